package ike

import (
	"net/netip"
	"strings"

	"github.com/ikelab/ikelab/ike/wire"
)

// intersect is the traffic that both selectors admit (RFC 7296 §2.9).
func intersect(a, b wire.Selector) (wire.Selector, bool) {
	if a.Type != b.Type || (a.Type != wire.TSIPv4AddrRange && a.Type != wire.TSIPv6AddrRange) {
		return wire.Selector{}, false
	}
	out := a
	switch {
	case a.IPProtocol == b.IPProtocol || b.IPProtocol == 0:
	case a.IPProtocol == 0:
		out.IPProtocol = b.IPProtocol
	default:
		return wire.Selector{}, false
	}
	switch {
	case a.IsOpaque() && (b.IsOpaque() || b.AnyPort()):
	case b.IsOpaque() && a.AnyPort():
		out.StartPort, out.EndPort = b.StartPort, b.EndPort
	case a.IsOpaque() || b.IsOpaque():
		return wire.Selector{}, false
	default:
		out.StartPort, out.EndPort = max(a.StartPort, b.StartPort), min(a.EndPort, b.EndPort)
		if out.StartPort > out.EndPort {
			return wire.Selector{}, false
		}
	}
	if out.Start.Less(b.Start) {
		out.Start = b.Start
	}
	if b.End.Less(out.End) {
		out.End = b.End
	}
	if out.End.Less(out.Start) {
		return wire.Selector{}, false
	}
	return out, true
}

// contains reports whether outer admits everything that inner does.
func contains(outer, inner wire.Selector) bool {
	both, ok := intersect(outer, inner)
	return ok && both.IPProtocol == inner.IPProtocol && both.StartPort == inner.StartPort && both.EndPort == inner.EndPort &&
		both.Start == inner.Start && both.End == inner.End
}

// narrow is what a responder answers: of the proposed selectors, the part that its
// policy admits, in the order proposed and without selectors that another one
// covers. Empty means TS_UNACCEPTABLE.
//
// An initiator puts the selectors of the packet that it has in front of its policy
// (RFC 7296 §2.9). They are never lost here: whatever the policy admits of them is
// in the answer, if only inside a wider selector.
func narrow(policy, proposed []wire.Selector) []wire.Selector {
	var out []wire.Selector
	for _, want := range proposed {
		for _, allowed := range policy {
			if s, ok := intersect(want, allowed); ok {
				out = addSelector(out, s)
			}
			if len(out) == selectorsPerPayloadMax {
				return out // narrower still, which RFC 7296 §2.9 allows; two long lists have 65025 pairs
			}
		}
	}
	return out
}

// addSelector adds s unless the list covers it, and removes what s covers.
func addSelector(list []wire.Selector, s wire.Selector) []wire.Selector {
	kept := list[:0]
	for _, have := range list {
		if contains(have, s) {
			return list
		}
	}
	for _, have := range list {
		if !contains(s, have) {
			kept = append(kept, have)
		}
	}
	return append(kept, s)
}

// within reports whether every answered selector lies in one of the proposed ones;
// the answer must be a subset (RFC 7296 §2.9). An answer that joins two neighbouring
// proposals into one selector counts as outside.
func within(answered, proposed []wire.Selector) bool {
	for _, a := range answered {
		inside := false
		for _, p := range proposed {
			if contains(p, a) {
				inside = true
				break
			}
		}
		if !inside {
			return false
		}
	}
	return len(answered) > 0
}

// policySelectors is a child's policy for one end; an empty one is swanctl's
// "dynamic", the end's IKE address.
func policySelectors(configured []wire.Selector, end netip.Addr) []wire.Selector {
	if len(configured) > 0 {
		return configured
	}
	end = end.Unmap().WithZone("")
	return []wire.Selector{wire.PrefixSelector(netip.PrefixFrom(end, end.BitLen()), 0, 0, 65535)}
}

// packetSelector is the selector of one end of the packet that triggered an
// initiator; ok is false when there was none.
func packetSelector(addr netip.Addr, protocol uint8, port uint16) (s wire.Selector, ok bool) {
	if !addr.IsValid() {
		return wire.Selector{}, false
	}
	addr = addr.Unmap().WithZone("")
	s = wire.PrefixSelector(netip.PrefixFrom(addr, addr.BitLen()), protocol, 0, 65535)
	if port != 0 {
		s.StartPort, s.EndPort = port, port
	}
	return s, true
}

// proposedSelectors are the selectors an initiator proposes for one end: those of
// the packet, where the policy admits it, then the policy.
func proposedSelectors(policy []wire.Selector, addr netip.Addr, protocol uint8, port uint16) []wire.Selector {
	s, ok := packetSelector(addr, protocol, port)
	if !ok || !within([]wire.Selector{s}, policy) || len(policy) >= selectorsPerPayloadMax {
		return policy
	}
	return append([]wire.Selector{s}, policy...)
}

// describeSelectors is a list of selectors for a record.
func describeSelectors(list []wire.Selector) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = s.String()
	}
	return strings.Join(parts, " ")
}
