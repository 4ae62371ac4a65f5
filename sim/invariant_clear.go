package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/impair"
)

// clearInvariant: no protected traffic in clear. Every configured child is a
// policy from the start, whatever its start_action (RFC 4301, section 4.4.1), and
// so is every SA for as long as it is installed. What leaves a node under one of
// the node's policies must be ESP; the node's own IKE, NAT keepalives and ICMP
// errors about them and about ESP pass policies by.
type clearInvariant struct {
	verdict
	c        invariantConfig
	policies [][]policyInForce // by node
	// clear remembers, by node, traffic that no policy is about, until the
	// node's policies change.
	clear []map[traffic]struct{}
}

// traffic is what policies look at.
type traffic struct {
	src, dst         netip.Addr
	protocol         uint8
	srcPort, dstPort uint16
	portsKnown       bool
}

// trafficRememberedMax bounds what is remembered per node.
const trafficRememberedMax = 4096

// policyInForce is a policy with the SA that brought it, if it was one.
type policyInForce struct {
	policy
	configured bool
	spiIn      uint32
}

func newClearInvariant(c invariantConfig) *clearInvariant {
	i := &clearInvariant{
		c: c, policies: make([][]policyInForce, len(c.nodes)), clear: make([]map[traffic]struct{}, len(c.nodes)),
	}
	for node, policies := range c.policies {
		for _, p := range policies {
			i.policies[node] = append(i.policies[node], policyInForce{policy: p, configured: true})
		}
	}
	return i
}

func (*clearInvariant) name() string { return InvariantNoCleartext }

func (i *clearInvariant) observe(o observation) {
	switch o := o.(type) {
	case *installed:
		i.clear[o.by.node] = nil
		i.policies[o.by.node] = append(i.policies[o.by.node], policyInForce{policy: o.policy, spiIn: o.spiIn})
	case *removed:
		i.policies[o.by.node] = slices.DeleteFunc(i.policies[o.by.node], func(p policyInForce) bool {
			return !p.configured && p.spiIn == o.spiIn
		})
	case *died:
		i.policies[o.node] = slices.DeleteFunc(i.policies[o.node], func(p policyInForce) bool { return !p.configured })
	case *readdressed:
		i.clear[o.node] = nil
		i.policies[o.node] = slices.DeleteFunc(i.policies[o.node], func(p policyInForce) bool { return p.configured })
		for _, p := range o.policies {
			i.policies[o.node] = append(i.policies[o.node], policyInForce{policy: p, configured: true})
		}
	case *sighted:
		if o.direction == impair.Up && len(i.policies[o.node]) > 0 {
			i.judge(o)
		}
	}
}

func (i *clearInvariant) judge(o *sighted) {
	i.checks++
	p := o.packet
	if p.esp != nil || o.own && passesBy(p) {
		return
	}
	key := traffic{p.src, p.dst, p.protocol, p.srcPort, p.dstPort, p.portsKnown}
	if _, known := i.clear[o.node][key]; known {
		return
	}
	for _, in := range i.policies[o.node] {
		if p.under(in.local, in.remote) {
			i.violated(o.now, "%s put a packet from %s to %s (protocol %d, %d bytes) on the wire in clear, though child %s of connection %s protects it",
				i.c.node(o.node), p.src, p.dst, p.protocol, len(p.bytes), in.child, in.connection)
			return
		}
	}
	if i.clear[o.node] == nil || len(i.clear[o.node]) == trafficRememberedMax {
		i.clear[o.node] = map[traffic]struct{}{}
	}
	i.clear[o.node][key] = struct{}{}
}

// passesBy reports whether a node's own packet is one that policies do not
// concern.
func passesBy(p *sight) bool {
	if p.ike != nil {
		return true
	}
	if p.protocol == protocolUDP && p.srcPort == portIKENAT && p.bytes[len(p.bytes)-1] == 0xff {
		return true // RFC 3948, section 2.3
	}
	quote := p.quote()
	var about sight
	return quote != nil && about.look(quote) && (about.esp != nil || about.protocol == protocolUDP &&
		(about.srcPort == portIKE || about.srcPort == portIKENAT || about.dstPort == portIKE || about.dstPort == portIKENAT))
}

func (i *clearInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
