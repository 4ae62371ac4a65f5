package wire

import "testing"

func TestCert(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"X.509", &Cert{Encoding: CertX509Signature, Data: []byte{0x30, 0}}, "04 3000", "CERT(X509)"},
		{"unknown encoding", &Cert{Encoding: 99, Data: []byte{1}}, "63 01", "CERT(encoding 99)"},
	})
	refuse(t, PayloadCert, []refusal{{"empty", "", "Cert Encoding", 4}})
}
