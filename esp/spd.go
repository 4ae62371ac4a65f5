package esp

import (
	"fmt"
	"net/netip"
	"slices"
)

// policiesMax bounds an SPD.
const policiesMax = 65536

// Direction is which way a packet crosses the IPsec boundary (RFC 4301 §4.4.1).
type Direction uint8

// The directions.
const (
	DirectionOut Direction = iota // from the protected side
	DirectionIn                   // to the protected side
)

// Action is what a policy does with a packet (RFC 4301 §4.4.1).
type Action uint8

// The actions. The zero value is the harmless one.
const (
	ActionDiscard Action = iota
	ActionBypass
	ActionProtect
)

// String is RFC 4301's word.
func (a Action) String() string {
	switch a {
	case ActionDiscard:
		return "discard"
	case ActionBypass:
		return "bypass"
	case ActionProtect:
		return "protect"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Selector is a set of endpoints: a range of addresses, a protocol and a range
// of ports, ends included (RFC 4301 §4.4.1.1). For ICMP a port is type<<8 | code.
type Selector struct {
	Start, End         netip.Addr // both invalid: any address of either family
	Protocol           uint8      // 0: any
	StartPort, EndPort uint16     // 0 to 65535: any, seen or not; 65535 to 0: OPAQUE, ports that cannot be seen
}

// SelectorFromPrefix is the selector for all of a prefix, any protocol and port.
// The prefix must be valid.
func SelectorFromPrefix(p netip.Prefix) Selector {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	end, _ := netip.AddrFromSlice(last)
	return Selector{Start: p.Addr(), End: end, EndPort: 65535}
}

// AnySelector matches every packet.
func AnySelector() Selector { return Selector{EndPort: 65535} }

func (s Selector) check() error {
	if s.Start.IsValid() != s.End.IsValid() || s.Start.BitLen() != s.End.BitLen() {
		return fmt.Errorf("selector %s to %s: both ends must be addresses of one family", s.Start, s.End)
	}
	if s.End.Less(s.Start) {
		return fmt.Errorf("selector %s to %s: the first address is above the last", s.Start, s.End)
	}
	if s.StartPort > s.EndPort && !s.opaque() {
		return fmt.Errorf("selector port %d to %d: the first port is above the last; only 65535 to 0 (OPAQUE) may be", s.StartPort, s.EndPort)
	}
	return nil
}

func (s Selector) opaque() bool  { return s.StartPort == 65535 && s.EndPort == 0 }
func (s Selector) anyPort() bool { return s.StartPort == 0 && s.EndPort == 65535 }

// matches reports whether one end of a flow is in the set.
func (s Selector) matches(a netip.Addr, protocol uint8, port uint16, noPorts bool) bool {
	if s.Protocol != 0 && s.Protocol != protocol {
		return false
	}
	if s.Start.IsValid() && (a.BitLen() != s.Start.BitLen() || a.Less(s.Start) || s.End.Less(a)) {
		return false
	}
	switch {
	case s.anyPort():
		return true
	case s.opaque():
		return noPorts
	}
	return !noPorts && port >= s.StartPort && port <= s.EndPort
}

// Flow is what a policy looks at in a packet.
type Flow struct {
	Source, Destination         netip.Addr
	Protocol                    uint8
	SourcePort, DestinationPort uint16 // both type<<8 | code for ICMP
	// NoPorts says that ports cannot be seen: a fragment but the first, or a
	// protocol without them.
	NoPorts bool
}

// Policy is one entry of an SPD.
type Policy struct {
	Name   string     // unique in its SPD
	Local  []Selector // this end: source of outbound, destination of inbound packets; at least one
	Remote []Selector // the other end; at least one
	Action Action
	Ref    int // the caller's handle, such as a child's index; esp does not read it
}

// Matches reports whether a flow in a direction is the policy's: its local end
// is in Local and its remote end in Remote. A receiver applies it to what it has
// decrypted too (RFC 4301 §5.2).
func (p *Policy) Matches(d Direction, f Flow) bool {
	localAddr, remoteAddr, localPort, remotePort := f.Source, f.Destination, f.SourcePort, f.DestinationPort
	if d == DirectionIn {
		localAddr, remoteAddr, localPort, remotePort = remoteAddr, localAddr, remotePort, localPort
	}
	return anyMatches(p.Local, localAddr, f.Protocol, localPort, f.NoPorts) &&
		anyMatches(p.Remote, remoteAddr, f.Protocol, remotePort, f.NoPorts)
}

func anyMatches(selectors []Selector, a netip.Addr, protocol uint8, port uint16, noPorts bool) bool {
	for i := range selectors {
		if selectors[i].matches(a, protocol, port, noPorts) {
			return true
		}
	}
	return false
}

// SPD is an ordered list of policies (RFC 4301 §4.4.1). The zero value is empty
// and ready for use; what matches nothing is for the caller to decide, and
// RFC 4301 has it discarded.
type SPD struct {
	policies []*Policy
}

// Policies are the policies in order. The slice is a copy, its elements are not.
func (s *SPD) Policies() []*Policy { return slices.Clone(s.policies) }

// Insert puts a policy at an index, 0 for the first, and moves those behind it.
// An index of Len or more, or below zero, appends. It copies p and fails for a
// name that is taken and for selectors that are not sets.
func (s *SPD) Insert(index int, p Policy) error {
	if len(s.policies) == policiesMax {
		return fmt.Errorf("policy %q: the SPD is full with %d policies", p.Name, policiesMax)
	}
	if s.index(p.Name) >= 0 {
		return fmt.Errorf("policy %q: the name is taken; remove the other first", p.Name)
	}
	if len(p.Local) == 0 || len(p.Remote) == 0 {
		return fmt.Errorf("policy %q: at least one selector for each end; AnySelector matches everything", p.Name)
	}
	p.Local, p.Remote = slices.Clone(p.Local), slices.Clone(p.Remote)
	for _, sel := range slices.Concat(p.Local, p.Remote) {
		if err := sel.check(); err != nil {
			return fmt.Errorf("policy %q: %w", p.Name, err)
		}
	}
	if index < 0 || index > len(s.policies) {
		index = len(s.policies)
	}
	s.policies = slices.Insert(s.policies, index, &p)
	return nil
}

// Append puts a policy behind all others.
func (s *SPD) Append(p Policy) error { return s.Insert(len(s.policies), p) }

// Remove takes a policy out and reports whether it was there.
func (s *SPD) Remove(name string) bool {
	i := s.index(name)
	if i < 0 {
		return false
	}
	s.policies = slices.Delete(s.policies, i, i+1)
	return true
}

// Len is the number of policies.
func (s *SPD) Len() int { return len(s.policies) }

func (s *SPD) index(name string) int {
	return slices.IndexFunc(s.policies, func(p *Policy) bool { return p.Name == name })
}

// Lookup finds the first policy that a flow matches.
func (s *SPD) Lookup(d Direction, f Flow) (*Policy, bool) {
	for _, p := range s.policies {
		if p.Matches(d, f) {
			return p, true
		}
	}
	return nil, false
}
