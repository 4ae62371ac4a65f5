package wire

import "encoding/binary"

// CP is a Configuration payload (RFC 7296 §3.15).
type CP struct {
	Kind       ConfigType
	Attributes []ConfigAttribute
}

// ConfigAttribute is one attribute of a Configuration payload; an empty value in
// a request asks for any.
type ConfigAttribute struct {
	Type  ConfigAttributeType // 15 bits
	Value []byte
}

// Type is PayloadCP.
func (*CP) Type() PayloadType { return PayloadCP }

func parseCP(d *decoder) (Payload, error) {
	if err := d.need(4, "CFG Type"); err != nil {
		return nil, err
	}
	p := &CP{Kind: ConfigType(d.uint8())}
	d.take(3)
	for d.left() > 0 {
		if len(p.Attributes) == configAttributesMax {
			return nil, d.errorf(d.at, "Configuration Attributes", "more than %d", configAttributesMax)
		}
		if err := d.need(4, "Configuration Attribute"); err != nil {
			return nil, err
		}
		a := ConfigAttribute{Type: ConfigAttributeType(d.uint16() & 0x7fff)} // the top bit is reserved
		length := int(d.uint16())
		if err := d.need(length, "Configuration Attribute Value"); err != nil {
			return nil, err
		}
		a.Value = d.take(length)
		p.Attributes = append(p.Attributes, a)
	}
	return p, nil
}

func (p *CP) appendBody(b []byte) ([]byte, error) {
	if n := len(p.Attributes); n > configAttributesMax {
		return nil, encodeErrorf(PayloadCP, "Configuration Attributes", "%d of them, at most %d", n, configAttributesMax)
	}
	b = append(b, byte(p.Kind), 0, 0, 0)
	for _, a := range p.Attributes {
		if a.Type > 0x7fff {
			return nil, encodeErrorf(PayloadCP, "Attribute Type", "%d does not fit into 15 bits", uint16(a.Type))
		}
		if len(a.Value) > 0xffff {
			return nil, encodeErrorf(PayloadCP, "Length", "%d octets do not fit into 16 bits", len(a.Value))
		}
		b = binary.BigEndian.AppendUint16(b, uint16(a.Type))
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		b = append(b, a.Value...)
	}
	return b, nil
}
