package sim

import (
	"slices"
	"time"

	"github.com/ikelab/ikelab/impair"
)

// clearInvariant: no protected traffic in clear. A packet that leaves a node
// under a policy of that node (trapped, or with an SA installed) must be ESP, or
// the node's own IKE. Traffic of a child that is neither trapped nor installed is
// not protected yet, as with strongSwan's start_action start and none.
type clearInvariant struct {
	verdict
	c        invariantConfig
	policies [][]policyInForce // by node
}

// policyInForce is a policy with the SA that brought it; traps have none.
type policyInForce struct {
	policy
	trap  bool
	spiIn uint32
}

func newClearInvariant(c invariantConfig) *clearInvariant {
	i := &clearInvariant{c: c, policies: make([][]policyInForce, len(c.nodes))}
	for node, policies := range c.policies {
		for _, p := range policies {
			i.policies[node] = append(i.policies[node], policyInForce{policy: p, trap: true})
		}
	}
	return i
}

func (*clearInvariant) name() string { return InvariantNoCleartext }

func (i *clearInvariant) observe(o observation) {
	switch o := o.(type) {
	case *installed:
		i.policies[o.by.node] = append(i.policies[o.by.node], policyInForce{policy: o.policy, spiIn: o.spiIn})
	case *removed:
		i.policies[o.node] = slices.DeleteFunc(i.policies[o.node], func(p policyInForce) bool {
			return !p.trap && p.spiIn == o.spiIn
		})
	case *sighted:
		if o.direction == impair.Up && len(i.policies[o.node]) > 0 {
			i.judge(o)
		}
	}
}

func (i *clearInvariant) judge(o *sighted) {
	i.checks++
	p := o.packet
	if p.esp != nil || o.own && p.ike != nil {
		return
	}
	// A NAT keepalive is one octet of 0xff between the two ports (RFC 3948,
	// section 2.3) and lies beside every policy.
	if o.own && p.protocol == protocolUDP && p.srcPort == portIKENAT && len(p.bytes) > 0 && p.bytes[len(p.bytes)-1] == 0xff {
		return
	}
	for _, in := range i.policies[o.node] {
		if p.under(in.local, in.remote) {
			i.violated(o.now, "%s put a packet from %s to %s (protocol %d, %d bytes) on the wire in clear, though child %s of connection %s protects it",
				i.c.node(o.node), p.src, p.dst, p.protocol, len(p.bytes), in.child, in.connection)
			return
		}
	}
}

func (i *clearInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
