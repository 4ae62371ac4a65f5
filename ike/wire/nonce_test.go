package wire

import "testing"

func TestNonce(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"shortest", &Nonce{Data: make([]byte, 16)}, repeat("00", 16), "Ni,Nr"},
		{"longest", &Nonce{Data: make([]byte, 256)}, repeat("00", 256), "Ni,Nr"},
	})
	refuse(t, PayloadNonce, []refusal{
		{"15 octets", repeat("00", 15), "Nonce Data", 4},
		{"257 octets", repeat("00", 257), "Nonce Data", 4},
	})
	refuseToWrite(t, []unwritable{
		{"15 octets", &Nonce{Data: make([]byte, 15)}, "Nonce Data"},
		{"257 octets", &Nonce{Data: make([]byte, 257)}, "Nonce Data"},
	})
}
