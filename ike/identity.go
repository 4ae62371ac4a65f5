package ike

import (
	"bytes"
	"net/netip"

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

// Typed is the identity with its type in front, "fqdn:gw.example.org": what a record
// of two that do not fit each other shows.
func (id Identity) Typed() string {
	if id.IsZero() {
		return "%any"
	}
	return id.payload(wire.PayloadIDi).Typed()
}

// ParseIdentity reads an identity as swanctl.conf has it (wire.ParseIdentity); an empty
// text is anyone, as "%any" is.
func ParseIdentity(text string) (Identity, error) {
	if text == "" {
		return Identity{}, nil
	}
	t, data, err := wire.ParseIdentity(text)
	return Identity{Type: t, Data: data}, err
}

// AddrIdentity is the identity of an address.
func AddrIdentity(a netip.Addr) Identity {
	a = a.Unmap()
	if a.Is4() {
		return Identity{Type: wire.IDTypeIPv4Addr, Data: a.AsSlice()}
	}
	return Identity{Type: wire.IDTypeIPv6Addr, Data: a.WithZone("").AsSlice()}
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
