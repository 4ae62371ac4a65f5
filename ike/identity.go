package ike

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ikelab/ikelab/ike/wire"
)

// Identity is what IDi or IDr says (RFC 7296 §3.5). The zero value is nobody in
// particular: "any" where a peer is matched, "my address" where an end names itself.
type Identity struct {
	Type wire.IDType
	Data []byte
}

// IsZero reports whether the identity is unset.
func (id Identity) IsZero() bool { return id.Type == 0 }

// Equal reports whether both are the same octets of the same type. Names compare
// without regard to case, as DNS does.
func (id Identity) Equal(other Identity) bool {
	if id.Type != other.Type {
		return false
	}
	if id.Type == wire.IDTypeFQDN || id.Type == wire.IDTypeRFC822Addr {
		return bytes.EqualFold(id.Data, other.Data)
	}
	return bytes.Equal(id.Data, other.Data)
}

// String is the identity as a person writes it, "%any" for the zero one.
func (id Identity) String() string {
	if id.IsZero() {
		return "%any"
	}
	return (&wire.ID{Kind: wire.PayloadIDi, IDType: id.Type, Data: id.Data}).String()
}

// ParseIdentity reads an identity as swanctl.conf has it: "%any" or nothing for
// anyone, an address, "user@host", "@name" or "name" for an FQDN, "keyid:text" or
// "keyid:0xhex". Distinguished names come with certificates and are refused.
func ParseIdentity(text string) (Identity, error) {
	switch {
	case text == "" || text == "%any":
		return Identity{}, nil
	case len(text) > identityBytesMax:
		return Identity{}, fmt.Errorf("identity of %d octets: at most %d are allowed", len(text), identityBytesMax)
	case strings.HasPrefix(text, "keyid:"):
		return parseKeyID(strings.TrimPrefix(text, "keyid:"))
	case strings.HasPrefix(text, "@"):
		return nameIdentity(wire.IDTypeFQDN, text[1:], text)
	case strings.Contains(text, "="):
		return Identity{}, fmt.Errorf("identity %q: distinguished names come with certificate authentication; use a name, an address or keyid:…", text)
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return AddrIdentity(a), nil
	}
	if strings.Contains(text, "@") {
		return nameIdentity(wire.IDTypeRFC822Addr, text, text)
	}
	return nameIdentity(wire.IDTypeFQDN, text, text)
}

// AddrIdentity is the identity of an address.
func AddrIdentity(a netip.Addr) Identity {
	a = a.Unmap()
	if a.Is4() {
		return Identity{Type: wire.IDTypeIPv4Addr, Data: a.AsSlice()}
	}
	return Identity{Type: wire.IDTypeIPv6Addr, Data: a.WithZone("").AsSlice()}
}

func nameIdentity(t wire.IDType, name, text string) (Identity, error) {
	if name == "" || strings.ContainsAny(name, " \t\r\n\x00") {
		return Identity{}, fmt.Errorf("identity %q: a name needs at least one character and no white space", text)
	}
	return Identity{Type: t, Data: []byte(name)}, nil
}

func parseKeyID(text string) (Identity, error) {
	hexDigits, isHex := strings.CutPrefix(text, "0x")
	if !isHex {
		if text == "" {
			return Identity{}, errors.New("identity \"keyid:\": text or 0xhex must follow")
		}
		return Identity{Type: wire.IDTypeKeyID, Data: []byte(text)}, nil
	}
	var data []byte
	if _, err := fmt.Sscanf(hexDigits, "%x", &data); err != nil || len(data)*2 != len(hexDigits) {
		return Identity{}, fmt.Errorf("identity %q: an even number of hexadecimal digits must follow 0x", "keyid:"+text)
	}
	return Identity{Type: wire.IDTypeKeyID, Data: data}, nil
}

// accepts reports whether a configured identity admits a presented one.
func (id Identity) accepts(presented Identity) bool {
	return id.IsZero() || id.Equal(presented)
}

// identityOf reads an ID payload.
func identityOf(p *wire.ID) Identity { return Identity{Type: p.IDType, Data: p.Data} }

// payload is the identity as IDi or IDr.
func (id Identity) payload(kind wire.PayloadType) *wire.ID {
	return &wire.ID{Kind: kind, IDType: id.Type, Data: id.Data}
}
