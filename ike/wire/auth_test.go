package wire

import "testing"

func TestAuth(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"pre-shared key", &Auth{Method: AuthSharedKey, Data: []byte{1, 2}}, "02 000000 0102", "AUTH(PSK)"},
		{"digital signature", &Auth{Method: AuthDigitalSignature, Data: []byte{0}}, "0e 000000 00", "AUTH(SIG)"},
		{"unknown method", &Auth{Method: 201}, "c9 000000", "AUTH(method 201)"},
	})
	refuse(t, PayloadAuth, []refusal{{"cut", "02 0000", "Auth Method", 4}})
}
