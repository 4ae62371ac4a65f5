package wire

// Auth is an Authentication payload (RFC 7296 §3.8).
type Auth struct {
	Method AuthMethod
	Data   []byte
}

// Type is PayloadAuth.
func (*Auth) Type() PayloadType { return PayloadAuth }

func parseAuth(d *decoder) (Payload, error) {
	if err := d.need(4, "Auth Method"); err != nil {
		return nil, err
	}
	p := &Auth{Method: AuthMethod(d.uint8())}
	d.take(3)
	p.Data = d.rest()
	return p, nil
}

func (p *Auth) appendBody(b []byte) ([]byte, error) {
	return append(append(b, byte(p.Method), 0, 0, 0), p.Data...), nil
}
