package wire

import "testing"

func TestKE(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"X25519", &KE{Group: 31, Data: []byte{1, 2, 3}}, "001f 0000 010203", "KE(x25519)"},
		{"a method without a name", &KE{Group: 1024, Data: []byte{9}}, "0400 0000 09", "KE(group 1024)"},
		{"no data, which the method refuses", &KE{Group: 19}, "0013 0000", "KE(ecp256)"},
	})
	refuse(t, PayloadKE, []refusal{{"cut", "001f 00", "Key Exchange Method Num", 4}})
	refuseToWrite(t, []unwritable{{"64 KiB", &KE{Data: make([]byte, 0x10000-8)}, "Payload Length"}})
}
