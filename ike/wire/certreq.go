package wire

// CertReq is a Certificate Request payload (RFC 7296 §3.7).
type CertReq struct {
	Encoding CertEncoding
	// Authority holds, for X.509 encodings, SHA-1 hashes of the Subject Public
	// Key Info of accepted CAs, 20 octets each, one after the other.
	Authority []byte
}

// Type is PayloadCertReq.
func (*CertReq) Type() PayloadType { return PayloadCertReq }

func parseCertReq(d *decoder) (Payload, error) {
	if err := d.need(1, "Cert Encoding"); err != nil {
		return nil, err
	}
	return &CertReq{Encoding: CertEncoding(d.uint8()), Authority: d.rest()}, nil
}

func (p *CertReq) appendBody(b []byte) ([]byte, error) {
	return append(append(b, byte(p.Encoding)), p.Authority...), nil
}
