package wire

import "testing"

func TestCertReq(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"one authority", &CertReq{Encoding: CertX509Signature, Authority: make([]byte, 20)}, "04" + repeat("00", 20), "CERTREQ(X509)"},
		{"any authority", &CertReq{Encoding: CertX509Signature}, "04", "CERTREQ(X509)"},
	})
	refuse(t, PayloadCertReq, []refusal{{"empty", "", "Cert Encoding", 4}})
}
