package wire

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// ID is an Identification payload, IDi or IDr (RFC 7296 §3.5).
type ID struct {
	Kind   PayloadType // PayloadIDi or PayloadIDr
	IDType IDType
	Data   []byte
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
	p := &ID{Kind: d.payload, IDType: IDType(d.uint8())}
	d.take(3)
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
	return append(append(b, byte(p.IDType), 0, 0, 0), p.Data...), nil
}
