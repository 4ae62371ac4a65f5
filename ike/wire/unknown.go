package wire

// Unknown is a payload whose type this package does not know, kept raw. A parser
// only returns it when its critical bit is clear (RFC 7296 §2.5); a writer may
// set the bit, to test a peer.
type Unknown struct {
	PayloadType PayloadType
	Critical    bool
	Data        []byte // everything after the generic payload header
}

// Type is the payload's own type.
func (p *Unknown) Type() PayloadType { return p.PayloadType }

func (p *Unknown) appendBody(dst []byte) ([]byte, error) {
	if p.PayloadType == PayloadNone || known(p.PayloadType) {
		return nil, encodeErrorf(p.PayloadType, "Next Payload", "an Unknown payload cannot have the type of a known one; use its own Go type")
	}
	return append(dst, p.Data...), nil
}

// known reports whether the type has a Go type of its own.
func known(t PayloadType) bool {
	return t >= PayloadSA && t <= PayloadEAP || t == PayloadSKF
}
