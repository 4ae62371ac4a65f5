package wire

// Cert is a Certificate payload (RFC 7296 §3.6).
type Cert struct {
	Encoding CertEncoding
	Data     []byte
}

// Type is PayloadCert.
func (*Cert) Type() PayloadType { return PayloadCert }

func parseCert(d *decoder) (Payload, error) {
	if err := d.need(1, "Cert Encoding"); err != nil {
		return nil, err
	}
	return &Cert{Encoding: CertEncoding(d.uint8()), Data: d.rest()}, nil
}

func (p *Cert) appendBody(b []byte) ([]byte, error) {
	return append(append(b, byte(p.Encoding)), p.Data...), nil
}
