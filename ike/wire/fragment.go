package wire

import "encoding/binary"

// EncryptedFragment is an Encrypted Fragment payload, SKF{...} (RFC 7383 §2.5).
// It is the last payload of its message.
type EncryptedFragment struct {
	First  PayloadType // as in Encrypted in the first fragment, PayloadNone in the others
	Number uint16      // from 1 to Total
	Total  uint16
	Body   []byte // IV, ciphertext, ICV
	Offset int    // of Body in the message as parsed, as in Encrypted
}

// Type is PayloadSKF.
func (*EncryptedFragment) Type() PayloadType { return PayloadSKF }

// checkFragment says what is wrong with a fragment's numbers (RFC 7383 §2.5), "" for nothing.
func checkFragment(first PayloadType, number, total uint16) (field, reason string) {
	switch {
	case number == 0:
		return "Fragment Number", "is 0, fragments count from 1 (RFC 7383 §2.5)"
	case number > total:
		return "Total Fragments", "is less than Fragment Number"
	case number != 1 && first != PayloadNone:
		return "Next Payload", "must be 0 in every fragment but the first (RFC 7383 §2.5)"
	}
	return "", ""
}

func parseEncryptedFragment(d *decoder, first PayloadType) (Payload, error) {
	if err := d.need(4, "Fragment Number"); err != nil {
		return nil, err
	}
	start := d.at
	p := &EncryptedFragment{First: first, Number: d.uint16(), Total: d.uint16()}
	if field, reason := checkFragment(first, p.Number, p.Total); reason != "" {
		return nil, d.errorf(start, field, "%s", reason)
	}
	p.Offset = d.at
	p.Body = d.rest()
	return p, nil
}

func (p *EncryptedFragment) appendBody(b []byte) ([]byte, error) {
	if field, reason := checkFragment(p.First, p.Number, p.Total); reason != "" {
		return nil, encodeErrorf(PayloadSKF, field, "%s", reason)
	}
	b = binary.BigEndian.AppendUint16(b, p.Number)
	b = binary.BigEndian.AppendUint16(b, p.Total)
	return append(b, p.Body...), nil
}
