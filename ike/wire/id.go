package wire

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ID is an Identification payload, IDi or IDr (RFC 7296 §3.5).
type ID struct {
	Kind   PayloadType // PayloadIDi or PayloadIDr
	IDType IDType
	Data   []byte
	// Reserved are the octets between type and data: zero when sent and without
	// meaning when received, and yet AUTH covers them as they are (RFC 7296 §2.15).
	Reserved [3]byte
}

// Body is the payload without its generic header, which is what AUTH covers
// (RFC 7296 §2.15).
func (p *ID) Body() []byte {
	return append(append([]byte{byte(p.IDType)}, p.Reserved[:]...), p.Data...)
}

// Type is Kind.
func (p *ID) Type() PayloadType { return p.Kind }

// String is the identity as a person writes it: an address, a name, a mail
// address, a distinguished name; hexadecimal digits after "keyid:" or the type's
// number for what has no text form.
func (p *ID) String() string {
	switch p.IDType {
	case IDTypeIPv4Addr, IDTypeIPv6Addr:
		if a, ok := netip.AddrFromSlice(p.Data); ok && a.Is4() == (p.IDType == IDTypeIPv4Addr) {
			return a.String()
		}
	case IDTypeFQDN, IDTypeRFC822Addr:
		if printable(p.Data) {
			return string(p.Data)
		}
		return strconv.Quote(string(p.Data))
	case IDTypeDERASN1DN:
		if s, ok := distinguishedName(p.Data); ok {
			return s
		}
	case IDTypeKeyID:
		if len(p.Data) > 0 && printable(p.Data) {
			return "keyid:" + string(p.Data)
		}
		return "keyid:0x" + hex.EncodeToString(p.Data)
	case IDTypeNull:
		return "%null"
	}
	return p.IDType.String() + ":0x" + hex.EncodeToString(p.Data)
}

// Typed is String with swanctl's prefix for the type in front, "fqdn:gw.example.org",
// so that two identities that look alike can be told apart.
func (p *ID) Typed() string {
	kind := ""
	switch p.IDType {
	case IDTypeIPv4Addr:
		kind = "ipv4:"
	case IDTypeIPv6Addr:
		kind = "ipv6:"
	case IDTypeFQDN:
		kind = "fqdn:"
	case IDTypeRFC822Addr:
		kind = "email:"
	case IDTypeDERASN1DN:
		kind = "asn1dn:"
	}
	text := p.String()
	if strings.HasPrefix(text, p.IDType.String()+":") { // it has no form of its own
		return text
	}
	return kind + text
}

// printable reports whether b can stand in a line of text as it is.
func printable(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !strconv.IsPrint(r) {
			return false
		}
	}
	return true
}

func parseID(d *decoder) (Payload, error) {
	if err := d.need(4, "ID Type"); err != nil {
		return nil, err
	}
	p := &ID{Kind: d.payload, IDType: IDType(d.uint8()), Reserved: [3]byte(d.take(3))}
	if reason := checkID(p.IDType, d.left()); reason != "" {
		return nil, d.errorf(d.at, "Identification Data", "has %d octets: %s", d.left(), reason)
	}
	p.Data = d.rest()
	return p, nil
}

// checkID says what is wrong with the length of an identity, "" for nothing.
func checkID(t IDType, n int) string {
	switch {
	case t == IDTypeIPv4Addr && n != 4:
		return "an IPv4 address has 4"
	case t == IDTypeIPv6Addr && n != 16:
		return "an IPv6 address has 16"
	case n == 0 && (t == IDTypeFQDN || t == IDTypeRFC822Addr || t == IDTypeDERASN1DN || t == IDTypeDERASN1GN):
		return "a name has at least 1"
	}
	return ""
}

func (p *ID) appendBody(b []byte) ([]byte, error) {
	if p.Kind != PayloadIDi && p.Kind != PayloadIDr {
		return nil, encodeErrorf(p.Kind, "Kind", "an ID payload is PayloadIDi or PayloadIDr")
	}
	if reason := checkID(p.IDType, len(p.Data)); reason != "" {
		return nil, encodeErrorf(p.Kind, "Identification Data", "has %d octets: %s", len(p.Data), reason)
	}
	return append(b, p.Body()...), nil
}
