package wire

// Encrypted is an Encrypted payload, SK{...} (RFC 7296 §3.14). It is the last
// payload of its message.
type Encrypted struct {
	First PayloadType // type of the first payload of the plaintext, PayloadNone when it is empty
	Body  []byte      // IV, ciphertext, ICV
	// Offset is where Body starts in the message as parsed: the octets before it
	// are the associated data of an AEAD (RFC 5282 §5.1), and those before the ICV
	// are what an integrity transform covers. Append ignores it.
	Offset int
}

// Type is PayloadSK.
func (*Encrypted) Type() PayloadType { return PayloadSK }

func parseEncrypted(d *decoder, first PayloadType) (Payload, error) {
	at := d.at
	return &Encrypted{First: first, Body: d.rest(), Offset: at}, nil
}

func (p *Encrypted) appendBody(b []byte) ([]byte, error) { return append(b, p.Body...), nil }
