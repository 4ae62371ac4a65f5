package wire

import "encoding/binary"

// KE is a Key Exchange payload (RFC 7296 §3.4).
type KE struct {
	Group uint16 // the key exchange method's transform ID
	Data  []byte // the public value
}

// Type is PayloadKE.
func (*KE) Type() PayloadType { return PayloadKE }

func parseKE(d *decoder) (Payload, error) {
	if err := d.need(4, "Key Exchange Method Num"); err != nil {
		return nil, err
	}
	p := &KE{Group: d.uint16()}
	d.take(2)
	p.Data = d.rest()
	return p, nil
}

func (p *KE) appendBody(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint16(b, p.Group)
	b = append(b, 0, 0)
	return append(b, p.Data...), nil
}
