package wire

import "encoding/binary"

// SA is a Security Association payload: proposals in order of preference
// (RFC 7296 §3.3).
type SA struct {
	Proposals []Proposal
}

// Proposal is one proposal of an SA payload (RFC 7296 §3.3.1).
type Proposal struct {
	Number     uint8
	Protocol   ProtocolID
	SPI        []byte // the sender's: 4 octets for ESP and AH; none, or 8 when an IKE SA is rekeyed
	Transforms []Transform
}

// Transform is one transform of a proposal (RFC 7296 §3.3.2).
type Transform struct {
	Type    TransformType
	ID      uint16
	KeyBits uint16 // the Key Length attribute; 0: there is none
	// Attributes are all others, in order. A receiver that does not understand
	// one must not choose the transform (RFC 7296 §3.3.6).
	Attributes []Attribute
}

// Attribute is a transform attribute in either format of RFC 7296 §3.3.5.
type Attribute struct {
	Type  uint16 // 15 bits
	Short bool   // Type/Value format: Value has exactly 2 octets
	Value []byte
}

const (
	proposalHeaderBytes  = 8
	transformHeaderBytes = 8
	attributeHeaderBytes = 4
	moreProposals        = 2
	moreTransforms       = 3
	shortAttribute       = 0x8000
)

// Type is PayloadSA.
func (*SA) Type() PayloadType { return PayloadSA }

func parseSA(d *decoder) (Payload, error) {
	p := &SA{}
	for last := false; !last; {
		if len(p.Proposals) == proposalsMax {
			return nil, d.errorf(d.at, "Proposals", "more than %d", proposalsMax)
		}
		start := d.at
		if err := d.need(proposalHeaderBytes, "Proposal"); err != nil {
			return nil, err
		}
		sub, isLast, err := substructure(d, "Last Substruc", "Proposal Length", moreProposals, proposalHeaderBytes)
		if err != nil {
			return nil, err
		}
		last = isLast
		prop, err := parseProposal(&sub, start)
		if err != nil {
			return nil, err
		}
		p.Proposals = append(p.Proposals, prop)
	}
	if d.left() != 0 {
		return nil, d.errorf(d.at, "Last Substruc", "marks the last proposal, but %d octets follow it", d.left())
	}
	return p, nil
}

// substructure reads the four octets that proposals and transforms begin with
// (last or more, reserved, length) and returns a decoder for what follows them.
func substructure(d *decoder, lastField, lengthField string, more uint8, atLeast int) (sub decoder, last bool, err error) {
	start := d.at
	flag := d.uint8()
	if flag != 0 && flag != more {
		return sub, false, d.errorf(start, lastField, "is %d, must be 0 (last) or %d (more)", flag, more)
	}
	d.take(1)
	length := int(d.uint16())
	if rest := d.end - start; length < atLeast || length > rest {
		return sub, false, d.errorf(start+2, lengthField, "is %d, must be between %d and the %d octets that are left", length, atLeast, rest)
	}
	return d.sub(length - 4), flag == 0, nil
}

func parseProposal(d *decoder, start int) (Proposal, error) {
	p := Proposal{Number: d.uint8(), Protocol: ProtocolID(d.uint8())}
	spiBytes, count := int(d.uint8()), int(d.uint8())
	if reason := checkProposalSPI(p.Protocol, spiBytes); reason != "" {
		return p, d.errorf(start+6, "SPI Size", "is %d: %s", spiBytes, reason)
	}
	if err := d.need(spiBytes, "SPI"); err != nil {
		return p, err
	}
	p.SPI = d.take(spiBytes)
	for i := range count {
		if err := d.need(transformHeaderBytes, "Transform"); err != nil {
			return p, err
		}
		at := d.at
		sub, last, err := substructure(d, "Last Substruc", "Transform Length", moreTransforms, transformHeaderBytes)
		if err != nil {
			return p, err
		}
		if last != (i == count-1) {
			return p, d.errorf(at, "Last Substruc", "of transform %d disagrees with Num Transforms, which is %d", i+1, count)
		}
		t, err := parseTransform(&sub)
		if err != nil {
			return p, err
		}
		p.Transforms = append(p.Transforms, t)
	}
	if d.left() != 0 {
		return p, d.errorf(start+2, "Proposal Length", "leaves %d octets after the last of %d transforms", d.left(), count)
	}
	return p, nil
}

// checkProposalSPI says what is wrong with an SPI size, "" for nothing.
func checkProposalSPI(protocol ProtocolID, size int) string {
	switch protocol {
	case ProtocolIKE:
		if size != 0 && size != 8 {
			return "IKE has none in the first exchange and 8 octets when rekeying"
		}
	case ProtocolAH, ProtocolESP:
		if size != 4 {
			return "ESP and AH have 4 octets"
		}
	}
	return ""
}

func parseTransform(d *decoder) (Transform, error) {
	t := Transform{Type: TransformType(d.uint8())}
	d.take(1)
	t.ID = d.uint16()
	for n := 0; d.left() > 0; n++ {
		at := d.at
		if n == transformAttributesMax {
			return t, d.errorf(at, "Transform Attributes", "more than %d", transformAttributesMax)
		}
		if err := d.need(attributeHeaderBytes, "Transform Attribute"); err != nil {
			return t, err
		}
		head := d.uint16()
		a := Attribute{Type: head &^ shortAttribute, Short: head&shortAttribute != 0}
		if a.Short {
			a.Value = d.take(2)
		} else {
			length := int(d.uint16())
			if err := d.need(length, "Attribute Value"); err != nil {
				return t, err
			}
			a.Value = d.take(length)
		}
		// A length of zero stays a raw attribute: it is not the same as no attribute.
		if a.Type == attributeKeyLength && a.Short && binary.BigEndian.Uint16(a.Value) != 0 {
			if t.KeyBits != 0 {
				return t, d.errorf(at, "Key Length", "appears twice in one transform")
			}
			t.KeyBits = binary.BigEndian.Uint16(a.Value)
			continue
		}
		t.Attributes = append(t.Attributes, a)
	}
	return t, nil
}

func (p *SA) appendBody(b []byte) ([]byte, error) {
	if n := len(p.Proposals); n == 0 || n > proposalsMax {
		return nil, encodeErrorf(PayloadSA, "Proposals", "%d of them, must be between 1 and %d", n, proposalsMax)
	}
	for i, prop := range p.Proposals {
		if len(prop.Transforms) > transformsMax {
			return nil, encodeErrorf(PayloadSA, "Num Transforms", "%d in proposal %d, at most %d", len(prop.Transforms), prop.Number, transformsMax)
		}
		if len(prop.SPI) > 255 {
			return nil, encodeErrorf(PayloadSA, "SPI Size", "%d octets do not fit into 8 bits", len(prop.SPI))
		}
		if reason := checkProposalSPI(prop.Protocol, len(prop.SPI)); reason != "" {
			return nil, encodeErrorf(PayloadSA, "SPI Size", "is %d: %s", len(prop.SPI), reason)
		}
		start := len(b)
		b = append(b, more(i, len(p.Proposals), moreProposals), 0, 0, 0,
			prop.Number, byte(prop.Protocol), byte(len(prop.SPI)), byte(len(prop.Transforms)))
		b = append(b, prop.SPI...)
		for j, t := range prop.Transforms {
			var err error
			if b, err = appendTransform(b, t, more(j, len(prop.Transforms), moreTransforms)); err != nil {
				return nil, err
			}
		}
		if len(b)-start > 0xffff {
			return nil, encodeErrorf(PayloadSA, "Proposal Length", "%d octets do not fit into 16 bits", len(b)-start)
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	}
	return b, nil
}

// more is the Last Substruc octet of element i of n.
func more(i, n int, flag byte) byte {
	if i == n-1 {
		return 0
	}
	return flag
}

func appendTransform(b []byte, t Transform, last byte) ([]byte, error) {
	n := len(t.Attributes)
	if t.KeyBits != 0 {
		n++
	}
	if n > transformAttributesMax {
		return nil, encodeErrorf(PayloadSA, "Transform Attributes", "%d in one transform, at most %d", n, transformAttributesMax)
	}
	start := len(b)
	b = append(b, last, 0, 0, 0, byte(t.Type), 0)
	b = binary.BigEndian.AppendUint16(b, t.ID)
	if t.KeyBits != 0 {
		b = binary.BigEndian.AppendUint16(b, shortAttribute|attributeKeyLength)
		b = binary.BigEndian.AppendUint16(b, t.KeyBits)
	}
	for _, a := range t.Attributes {
		switch {
		case a.Type >= shortAttribute:
			return nil, encodeErrorf(PayloadSA, "Attribute Type", "%d does not fit into 15 bits", a.Type)
		case a.Short && len(a.Value) != 2:
			return nil, encodeErrorf(PayloadSA, "Attribute Value", "a short attribute has 2 octets, not %d", len(a.Value))
		case len(a.Value) > 0xffff:
			return nil, encodeErrorf(PayloadSA, "Attribute Length", "%d octets do not fit into 16 bits", len(a.Value))
		case a.Short:
			b = binary.BigEndian.AppendUint16(b, shortAttribute|a.Type)
		default:
			b = binary.BigEndian.AppendUint16(b, a.Type)
			b = binary.BigEndian.AppendUint16(b, uint16(len(a.Value)))
		}
		b = append(b, a.Value...)
	}
	if len(b)-start > 0xffff {
		return nil, encodeErrorf(PayloadSA, "Transform Length", "%d octets do not fit into 16 bits", len(b)-start)
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return b, nil
}
