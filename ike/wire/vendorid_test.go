package wire

import "testing"

func TestVendorID(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"text", &VendorID{Data: []byte("ikelab")}, "696b656c6162", "V(ikelab)"},
		{"hash", &VendorID{Data: []byte{0, 1}}, "0001", "V(2 octets)"},
	})
}
