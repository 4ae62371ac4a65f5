package wire

// Nonce is a Nonce payload, Ni or Nr (RFC 7296 §3.9).
type Nonce struct {
	Data []byte // 16 to 256 octets
}

// Type is PayloadNonce.
func (*Nonce) Type() PayloadType { return PayloadNonce }

func parseNonce(d *decoder) (Payload, error) {
	if n := d.left(); n < nonceBytesMin || n > nonceBytesMax {
		return nil, d.errorf(d.at, "Nonce Data", "has %d octets, must have between %d and %d (RFC 7296 §3.9)", n, nonceBytesMin, nonceBytesMax)
	}
	return &Nonce{Data: d.rest()}, nil
}

func (p *Nonce) appendBody(b []byte) ([]byte, error) {
	if n := len(p.Data); n < nonceBytesMin || n > nonceBytesMax {
		return nil, encodeErrorf(PayloadNonce, "Nonce Data", "has %d octets, must have between %d and %d (RFC 7296 §3.9)", n, nonceBytesMin, nonceBytesMax)
	}
	return append(b, p.Data...), nil
}
