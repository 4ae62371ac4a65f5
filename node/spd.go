package node

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
)

// policy is a configured child: its traffic is protected or goes nowhere
// (RFC 4301 §4.4.1, PROTECT).
type policy struct {
	connection, child string
	// trap makes a packet without association start the negotiation.
	trap bool
	// match is the policy as the SPD knows it; wide is the same without ports,
	// for fragments that do not show them. Without selectors for both ends,
	// because "dynamic" knows no address yet, it matches nothing.
	match, wide esp.Policy
	// localTS and remoteTS are the configuration; empty is dynamic.
	localTS, remoteTS       []wire.Selector
	localAddrs, remoteAddrs []netip.Addr

	// acquiring is true from an acquire, at asked, until its outcome.
	acquiring bool
	asked     time.Duration
	// rests is until when the machine is not asked again, because it failed.
	rests time.Duration
	// held are the packets that wait for the outcome, oldest first.
	held []heldPacket
}

// decisionKey is a question to the SPD.
type decisionKey struct {
	direction esp.Direction
	flow      esp.Flow
}

// decisionsMax bounds the remembered answers.
const decisionsMax = 8192

// newPolicies makes the policies of a configuration, in its order.
func newPolicies(cfg *ike.Config) []*policy {
	var all []*policy
	for _, conn := range cfg.Connections {
		for _, child := range conn.Children {
			all = append(all, &policy{
				connection: conn.Name, child: child.Name, trap: child.StartAction == ike.StartTrap,
				localTS: child.LocalTS, remoteTS: child.RemoteTS,
				localAddrs: conn.LocalAddrs, remoteAddrs: conn.RemoteAddrs,
			})
		}
	}
	return all
}

// place is where in the SPD what belongs to the policy of a rank begins: each has its
// associations in front of it.
func (n *Node) place(rank int) int {
	entries := n.spd.Policies()
	at := slices.IndexFunc(entries, func(p *esp.Policy) bool {
		if p.Ref < 0 {
			return -1-p.Ref >= rank
		}
		return n.associations.byOrdinal[p.Ref].rank >= rank
	})
	if at < 0 {
		return len(entries)
	}
	return at
}

// refreshPolicies puts the policies into the SPD, each behind its associations, with
// the addresses that "dynamic" now stands for. Only configured selectors can make
// it fail, so after New it does not.
func (n *Node) refreshPolicies() error {
	// Of an interface that is down, too: the address is still this host's, and what is
	// sent from it is still protected.
	own := n.addressesOf(func(attachment) bool { return true })
	for i, c := range n.policies {
		name := fmt.Sprintf("child %q %q", c.connection, c.child)
		n.spd.Remove(name)
		localAddrs := c.localAddrs
		if len(localAddrs) == 0 {
			localAddrs = own
		}
		c.match = esp.Policy{Name: name, Action: esp.ActionProtect, Ref: -1 - i,
			Local: Selectors(c.localTS, localAddrs), Remote: Selectors(c.remoteTS, c.remoteAddrs)}
		c.wide = c.match
		c.wide.Local, c.wide.Remote = AnyPorts(c.match.Local), AnyPorts(c.match.Remote)
		if len(c.match.Local) > 0 && len(c.match.Remote) > 0 {
			if err := n.spd.Insert(n.place(i+1), c.match); err != nil {
				return err
			}
		}
	}
	n.forgetDecisions()
	return nil
}

// lookup asks the SPD, remembering the answer; nil is no policy.
func (n *Node) lookup(direction esp.Direction, k PacketKey) *esp.Policy {
	if n.spd.Len() == 0 {
		return nil
	}
	key := decisionKey{direction: direction, flow: k.Flow()}
	if found, known := n.decisions[key]; known {
		return found
	}
	if len(n.decisions) == decisionsMax {
		clear(n.decisions)
	}
	found, _ := n.spd.Lookup(direction, key.flow)
	n.decisions[key] = found
	return found
}

// forgetDecisions must follow every change of the SPD.
func (n *Node) forgetDecisions() { clear(n.decisions) }

// verdict is what the policy wants done with an outbound packet.
type verdict struct {
	// association seals the packet; nil with a policy means that there is none.
	association *association
	// policy is the configured child that protects the traffic.
	policy *policy
	// unmatched is a later fragment that may belong to a policy or an association by ports.
	unmatched bool
}

// decideOut looks an outbound packet up: the first policy that fits, in the file's order,
// and of its associations the newest that fits. The zero verdict lets it pass in clear.
func (n *Node) decideOut(p *packet) verdict {
	found := n.lookup(esp.DirectionOut, p.key)
	switch {
	case found == nil:
		return verdict{unmatched: p.laterFragment() && n.mayMatch(esp.DirectionOut, p.key)}
	case found.Ref < 0:
		return verdict{policy: n.policies[-1-found.Ref]}
	}
	return verdict{association: n.associations.byOrdinal[found.Ref]}
}

// admitted says whether a packet may pass towards the inside: one that came in
// clear may not belong to protected traffic (RFC 4301 §5.2).
func (n *Node) admitted(p *packet) bool {
	if p.via != nil || p.arrived == fromInside || n.spd.Len() == 0 {
		return true
	}
	return n.lookup(esp.DirectionIn, p.key) == nil && !(p.laterFragment() && n.mayMatch(esp.DirectionIn, p.key))
}

// mayMatch says whether a later fragment may belong to a policy that selects by ports, or
// to an association that does: the policy of one whose peer is not configured knows no
// address (RFC 4301 §7).
func (n *Node) mayMatch(direction esp.Direction, k PacketKey) bool {
	f := k.Flow()
	return slices.ContainsFunc(n.policies, func(c *policy) bool { return c.wide.Matches(direction, f) }) ||
		slices.ContainsFunc(n.associations.all, func(a *association) bool { return a.wide.Matches(direction, f) })
}

// protects says whether a policy protects the packet k when it comes from src.
func (n *Node) protects(src netip.Addr, k PacketKey) bool {
	k.Src = src
	return n.lookup(esp.DirectionOut, k) != nil
}
