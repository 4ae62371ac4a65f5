package wire

import (
	"errors"
	"testing"
)

func TestUnknown(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"puzzle solution is not known here", &Unknown{PayloadType: 54, Data: []byte{1, 2}}, "0102", "payload 54(2 octets)"},
		{"empty", &Unknown{PayloadType: 200}, "", "payload 200(0 octets)"},
	})
	refuseToWrite(t, []unwritable{
		{"a known type", &Unknown{PayloadType: PayloadSA}, "Next Payload"},
		{"no type", &Unknown{}, "Next Payload"},
	})
}

// RFC 7296 §2.5: an unknown payload with the critical bit refuses the message;
// the bit of a known one is ignored.
func TestCriticalBit(t *testing.T) {
	b, err := AppendPayloads(nil, []Payload{&Notify{Kind: InitialContact}, &Unknown{PayloadType: 54, Critical: true, Data: []byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = ParsePayloads(PayloadNotify, b)
	var ue *UnsupportedCriticalError
	if !errors.As(err, &ue) || ue.Payload != 54 || ue.Offset != 8 {
		t.Errorf("got %v, want an UnsupportedCriticalError for type 54 at octet 8", err)
	}
	if _, err := ParsePayloads(PayloadNotify, unhex(t, "00 80 0008 00 00 4000")); err != nil {
		t.Errorf("the critical bit of a Notify payload was not ignored: %v", err)
	}
}
