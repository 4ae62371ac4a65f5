package wire

import "encoding/binary"

// EAP is an EAP payload: one EAP message (RFC 7296 §3.16, RFC 3748 §4).
type EAP struct {
	Code       uint8 // EAPRequest, EAPResponse, EAPSuccess or EAPFailure
	Identifier uint8
	Data       []byte // what follows the EAP length: Type and Type-Data of requests and responses
}

// EAP codes (RFC 3748 §4).
const (
	EAPRequest  uint8 = 1
	EAPResponse uint8 = 2
	EAPSuccess  uint8 = 3
	EAPFailure  uint8 = 4
)

const eapHeaderBytes = 4

// Type is PayloadEAP.
func (*EAP) Type() PayloadType { return PayloadEAP }

// checkEAP says what is wrong with the data of a code, "" for nothing.
func checkEAP(code uint8, dataBytes int) string {
	switch {
	case (code == EAPRequest || code == EAPResponse) && dataBytes == 0:
		return "a request or response has a Type (RFC 3748 §4.1)"
	case (code == EAPSuccess || code == EAPFailure) && dataBytes != 0:
		return "success and failure have no data (RFC 3748 §4.2)"
	}
	return ""
}

func parseEAP(d *decoder) (Payload, error) {
	if err := d.need(eapHeaderBytes, "EAP Message"); err != nil {
		return nil, err
	}
	start, whole := d.at, d.left()
	p := &EAP{Code: d.uint8(), Identifier: d.uint8()}
	if length := int(d.uint16()); length != whole {
		return nil, d.errorf(start+2, "EAP Length", "says %d octets, the payload has %d", length, whole)
	}
	if reason := checkEAP(p.Code, d.left()); reason != "" {
		return nil, d.errorf(d.at, "EAP Type", "%s", reason)
	}
	p.Data = d.rest()
	return p, nil
}

func (p *EAP) appendBody(b []byte) ([]byte, error) {
	if reason := checkEAP(p.Code, len(p.Data)); reason != "" {
		return nil, encodeErrorf(PayloadEAP, "EAP Type", "%s", reason)
	}
	size := eapHeaderBytes + len(p.Data)
	if size > 0xffff {
		return nil, encodeErrorf(PayloadEAP, "EAP Length", "%d octets do not fit into 16 bits", size)
	}
	b = append(b, p.Code, p.Identifier)
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	return append(b, p.Data...), nil
}
