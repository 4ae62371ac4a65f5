package wire

import "encoding/binary"

// Notify is a Notify payload (RFC 7296 §3.10).
type Notify struct {
	Protocol ProtocolID // ProtocolNone unless SPI names an SA
	SPI      []byte
	Kind     NotifyType
	Data     []byte
}

// Type is PayloadNotify.
func (*Notify) Type() PayloadType { return PayloadNotify }

func parseNotify(d *decoder) (Payload, error) {
	if err := d.need(4, "Notify Message Type"); err != nil {
		return nil, err
	}
	p := &Notify{Protocol: ProtocolID(d.uint8())}
	spiBytes := int(d.uint8())
	p.Kind = NotifyType(d.uint16())
	if err := d.need(spiBytes, "SPI"); err != nil {
		return nil, err
	}
	p.SPI = d.take(spiBytes)
	p.Data = d.rest()
	return p, nil
}

func (p *Notify) appendBody(b []byte) ([]byte, error) {
	if len(p.SPI) > 255 {
		return nil, encodeErrorf(PayloadNotify, "SPI Size", "%d octets do not fit into 8 bits", len(p.SPI))
	}
	b = append(b, byte(p.Protocol), byte(len(p.SPI)))
	b = binary.BigEndian.AppendUint16(b, uint16(p.Kind))
	b = append(b, p.SPI...)
	return append(b, p.Data...), nil
}
