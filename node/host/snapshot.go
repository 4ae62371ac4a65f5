//go:build linux

package host

import (
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
)

// snapshot is what the data plane knows of policies and associations. It is
// immutable: the control side publishes a new one for every change, and a worker
// notices by the pointer.
type snapshot struct {
	// out is the SPD: the configured children in the file's order (RFC 4301 §4.4.1), each
	// behind its associations that send, the newest first.
	out []entry
	// fresh are the policies whose local end is whatever addresses this host has, with
	// any address for it: it may have one of which nobody has told it yet.
	fresh   []entry
	inbound map[uint32]*association
	// own are this host's addresses, which nobody else may send from.
	own map[netip.Addr]struct{}
}

// entry is one line of the SPD.
type entry struct {
	match, wide esp.Policy
	// association is nil for a configured child, policy nil for an association.
	association *association
	policy      *policy
}

// verdict is what the policy wants done with an outbound packet. The zero verdict
// lets it pass in clear.
type verdict struct {
	// association seals the packet.
	association *association
	// policy is the configured child that protects the traffic, without an
	// association that does.
	policy *policy
	// fresh says that the policy protects the traffic if the source is this host's.
	fresh bool
	// unmatched is a later fragment that may belong to a policy or an association by
	// ports.
	unmatched bool
}

// associationsByPolicy are the associations of each configured child, the newest first.
// The lock is held.
func (h *Host) associationsByPolicy() [][]*association {
	index := make(map[childName]int, len(h.policies))
	for i, p := range h.policies {
		index[childName{p.connection, p.child}] = i
	}
	all := make([][]*association, len(h.policies))
	for _, a := range slices.Backward(h.sas.all) {
		i := index[childName{a.connection, a.child}]
		all[i] = append(all[i], a)
	}
	return all
}

// publish replaces the snapshot. The lock is held.
func (h *Host) publish() {
	h.unpublished = false
	s := &snapshot{inbound: make(map[uint32]*association, len(h.sas.inbound)), own: make(map[netip.Addr]struct{})}
	byPolicy := h.associationsByPolicy()
	for i, p := range h.policies {
		for _, a := range byPolicy[i] {
			if a.sends {
				wide := a.policy
				wide.Local, wide.Remote = node.AnyPorts(wide.Local), node.AnyPorts(wide.Remote)
				s.out = append(s.out, entry{match: a.policy, wide: wide, association: a})
			}
		}
		if p.anyOwn() && len(p.match.Remote) > 0 {
			match := esp.Policy{Action: esp.ActionProtect, Local: []esp.Selector{esp.AnySelector()}, Remote: p.match.Remote}
			wide := match
			wide.Remote = node.AnyPorts(wide.Remote)
			s.fresh = append(s.fresh, entry{match: match, wide: wide, policy: p})
		}
		if len(p.match.Local) > 0 && len(p.match.Remote) > 0 {
			wide := p.match
			wide.Local, wide.Remote = node.AnyPorts(wide.Local), node.AnyPorts(wide.Remote)
			s.out = append(s.out, entry{match: p.match, wide: wide, policy: p})
		}
	}
	for spi, a := range h.sas.inbound {
		s.inbound[spi] = a
	}
	for _, a := range h.addresses() {
		s.own[a] = struct{}{}
	}
	h.snap.Store(s)
}

// martian is true for addresses that no packet from outside can have: those that belong
// to no host (RFC 1812 §5.3.7, RFC 4291 §2.5.2 and §2.7), and this host's own as source.
// IPv4's kernel drops the latter without a word; IPv6's forwards them, into the tunnel
// again where the policy says so, until their hop limit ends it.
func (s *snapshot) martian(src, dst netip.Addr) bool {
	_, own := s.own[src]
	return own || src.IsUnspecified() || src.IsLoopback() || src.IsMulticast() || src.Is4In6() ||
		dst.IsUnspecified() || dst.IsLoopback() || dst.Is4In6()
}

// decide looks an outbound packet up: the first configured child that fits, and of its
// associations the newest that fits.
func (s *snapshot) decide(f esp.Flow, laterFragment bool) verdict {
	for i := range s.out {
		e := &s.out[i]
		if e.match.Matches(esp.DirectionOut, f) {
			return verdict{association: e.association, policy: e.policy}
		}
	}
	if laterFragment {
		for i := range s.out {
			if e := &s.out[i]; e.wide.Matches(esp.DirectionOut, f) {
				return verdict{unmatched: true}
			}
		}
	}
	for i := range s.fresh {
		if e := &s.fresh[i]; e.match.Matches(esp.DirectionOut, f) || laterFragment && e.wide.Matches(esp.DirectionOut, f) {
			return verdict{policy: e.policy, fresh: true}
		}
	}
	return verdict{}
}

// forwards says that the rules for a policy whose local end is not this host bring such
// packets to the tunnel, whatever their ports.
func (s *snapshot) forwards(f esp.Flow) bool {
	for i := range s.out {
		e := &s.out[i]
		if e.policy != nil && e.policy.anyOwn() {
			continue
		}
		wide := esp.Policy{Local: node.AnyPorts(e.match.Local), Remote: node.AnyPorts(e.match.Remote)}
		if wide.Matches(esp.DirectionOut, f) {
			return true
		}
	}
	return false
}

// refusesInner says why a packet that came out of an association goes no further: its
// addresses cannot be, or it is not what was agreed (RFC 4301 §5.2).
func (s *snapshot) refusesInner(a *association, f esp.Flow) node.DropReason {
	switch {
	case s.martian(f.Source, f.Destination):
		return node.DropMartian
	case !a.policy.Matches(esp.DirectionIn, f):
		return node.DropSelectorMismatch
	}
	return ""
}
