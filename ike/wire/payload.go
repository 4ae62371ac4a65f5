package wire

import (
	"encoding/binary"
	"fmt"
)

// Payload is one payload of a message: *SA, *KE, *ID, *Cert, *CertReq, *Auth,
// *Nonce, *Notify, *Delete, *VendorID, *TS, *Encrypted, *EncryptedFragment, *CP,
// *EAP or *Unknown.
type Payload interface {
	// Type is the value of the Next Payload field that announces the payload.
	Type() PayloadType
	// appendBody writes the octets that follow the generic payload header.
	appendBody(dst []byte) ([]byte, error)
}

// FirstType is the type of the first payload of a chain, PayloadNone for an empty
// one: what the Next Payload field in front of the chain must hold.
func FirstType(ps []Payload) PayloadType {
	if len(ps) == 0 {
		return PayloadNone
	}
	return ps[0].Type()
}

// ParsePayloads reads the chain inside a decrypted Encrypted payload (or inside
// fragments put together), without its padding. first is the Next Payload field
// of the SK payload, or of the first SKF payload. Offsets in errors count from
// the start of body. The result does not alias body.
func ParsePayloads(first PayloadType, body []byte) ([]Payload, error) {
	return parseChain(first, clone(body), 0, false)
}

// AppendPayloads writes a chain that will be sealed after dst; FirstType says
// what the SK payload must announce. On error dst is returned as it was given.
func AppendPayloads(dst []byte, ps []Payload) ([]byte, error) {
	return appendChain(dst, ps, false)
}

// parseChain reads payloads from msg[at:], which it may keep. Only the outer
// chain of a message may hold SK or SKF.
func parseChain(next PayloadType, msg []byte, at int, outer bool) ([]Payload, error) {
	var ps []Payload
	for next != PayloadNone {
		if len(ps) == payloadsMax {
			return nil, &ParseError{Offset: at, Field: "Next Payload", Reason: fmt.Sprintf("the message has more than %d payloads", payloadsMax)}
		}
		rest := len(msg) - at
		if rest < payloadHeaderBytes {
			return nil, &ParseError{Offset: at, Payload: next, Field: "Generic Payload Header",
				Reason: fmt.Sprintf("announced, but %d octets are left of the %d it needs", rest, payloadHeaderBytes)}
		}
		length := int(binary.BigEndian.Uint16(msg[at+2:]))
		if length < payloadHeaderBytes || length > rest {
			return nil, &ParseError{Offset: at + 2, Payload: next, Field: "Payload Length",
				Reason: fmt.Sprintf("is %d, must be between %d and the %d octets that are left", length, payloadHeaderBytes, rest)}
		}
		d := decoder{msg: msg, at: at + payloadHeaderBytes, end: at + length, payload: next}
		following := PayloadType(msg[at])
		critical := msg[at+1]&criticalBit != 0
		if next == PayloadSK || next == PayloadSKF {
			if !outer {
				return nil, &ParseError{Offset: at, Payload: next, Field: "Next Payload", Reason: "an Encrypted payload cannot be inside another one (RFC 7296 §3.14)"}
			}
			if length != rest {
				return nil, &ParseError{Offset: at + 2, Payload: next, Field: "Payload Length",
					Reason: fmt.Sprintf("is %d, but it must reach the end of the message, %d octets away (RFC 7296 §3.14)", length, rest)}
			}
		}
		p, err := d.decode(following, critical, at)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
		at += length
		if next == PayloadSK || next == PayloadSKF {
			return ps, nil // its Next Payload belongs to the plaintext
		}
		next = following
	}
	if at != len(msg) {
		return nil, &ParseError{Offset: at, Field: "Next Payload",
			Reason: fmt.Sprintf("the chain ends here, but %d octets follow", len(msg)-at)}
	}
	return ps, nil
}

// decode reads the body of one payload; at is where its generic header starts.
func (d *decoder) decode(following PayloadType, critical bool, at int) (Payload, error) {
	switch d.payload {
	case PayloadSA:
		return parseSA(d)
	case PayloadKE:
		return parseKE(d)
	case PayloadIDi, PayloadIDr:
		return parseID(d)
	case PayloadCert:
		return parseCert(d)
	case PayloadCertReq:
		return parseCertReq(d)
	case PayloadAuth:
		return parseAuth(d)
	case PayloadNonce:
		return parseNonce(d)
	case PayloadNotify:
		return parseNotify(d)
	case PayloadDelete:
		return parseDelete(d)
	case PayloadVendorID:
		return &VendorID{Data: d.rest()}, nil
	case PayloadTSi, PayloadTSr:
		return parseTS(d)
	case PayloadSK:
		return parseEncrypted(d, following)
	case PayloadSKF:
		return parseEncryptedFragment(d, following)
	case PayloadCP:
		return parseCP(d)
	case PayloadEAP:
		return parseEAP(d)
	}
	if critical {
		return nil, &UnsupportedCriticalError{Payload: d.payload, Offset: at}
	}
	return &Unknown{PayloadType: d.payload, Data: d.rest()}, nil
}

// appendChain writes payloads with their generic headers.
func appendChain(dst []byte, ps []Payload, outer bool) ([]byte, error) {
	if len(ps) > payloadsMax {
		return dst, &EncodeError{Field: "Next Payload", Reason: fmt.Sprintf("%d payloads, at most %d are written", len(ps), payloadsMax)}
	}
	b := dst
	for i, p := range ps {
		next := FirstType(ps[i+1:])
		switch p := p.(type) {
		case *Encrypted:
			next = p.First
		case *EncryptedFragment:
			next = p.First
		}
		if t := p.Type(); t == PayloadSK || t == PayloadSKF {
			if !outer || i != len(ps)-1 {
				return dst, &EncodeError{Payload: t, Field: "Next Payload", Reason: "must be the last payload of a message, and cannot be sealed itself (RFC 7296 §3.14)"}
			}
		}
		var flags byte
		if u, ok := p.(*Unknown); ok && u.Critical {
			flags = criticalBit
		}
		start := len(b)
		b = append(b, byte(next), flags, 0, 0)
		var err error
		if b, err = p.appendBody(b); err != nil {
			return dst, err
		}
		size := len(b) - start
		if size > 0xffff {
			return dst, &EncodeError{Payload: p.Type(), Field: "Payload Length", Reason: fmt.Sprintf("%d octets do not fit into 16 bits", size)}
		}
		binary.BigEndian.PutUint16(b[start+2:], uint16(size))
	}
	return b, nil
}

// decoder walks the body of one payload. Offsets are those of the whole slice,
// so that an error can name the octet.
type decoder struct {
	msg     []byte
	at, end int
	payload PayloadType
}

// left is the number of octets that remain.
func (d *decoder) left() int { return d.end - d.at }

// need fails unless n octets remain for the named field.
func (d *decoder) need(n int, field string) error {
	if d.left() < n {
		return d.errorf(d.at, field, "needs %d octets, %d are left in the payload", n, d.left())
	}
	return nil
}

// take returns the next n octets, which the caller has checked for with need,
// with no spare capacity.
func (d *decoder) take(n int) []byte {
	b := d.msg[d.at : d.at+n : d.at+n]
	d.at += n
	return b
}

func (d *decoder) uint8() uint8   { return d.take(1)[0] }
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }

// rest returns all octets that remain.
func (d *decoder) rest() []byte { return d.take(d.left()) }

// sub is a decoder for the next n octets, which it skips.
func (d *decoder) sub(n int) decoder {
	s := *d
	s.end = d.at + n
	d.at += n
	return s
}

func (d *decoder) errorf(at int, field, format string, args ...any) error {
	return &ParseError{Offset: at, Payload: d.payload, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// encodeErrorf is the counterpart for writing.
func encodeErrorf(t PayloadType, field, format string, args ...any) error {
	return &EncodeError{Payload: t, Field: field, Reason: fmt.Sprintf(format, args...)}
}
