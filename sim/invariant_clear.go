package sim

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
)

// clearInvariant: no protected traffic in clear. Every configured child is a
// policy from the start, whatever its start_action (RFC 4301, section 4.4.1), and
// so is every SA for as long as it is installed. What leaves a node under one of
// the node's policies must be ESP; the node's own IKE, NAT keepalives and ICMP
// errors about them and about ESP pass policies by. A fragment is judged by what its
// packet's first one shows (firsts).
//
// Nor does a node send in clear what came to it protected (RFC 4301, section 5.2: it
// matched a policy on its way in), unless it is where it belongs: what came out of a
// tunnel does not leave by the node's wide-area side (wide) but into another tunnel.
type clearInvariant struct {
	verdict
	c        invariantConfig
	policies [][]policyInForce // by node
	// clear remembers, by node, traffic that no policy is about, until the
	// node's policies change.
	clear []map[traffic]struct{}
	// firsts are the first fragments of late, waiting the later ones that were seen
	// without one, oldest first.
	firsts  firsts
	waiting []waitingFragment
	// wide holds, by node, the interfaces of its wide-area side, with the peers that are
	// there: those by which ESP of its own left or was accepted, or its IKE left beyond
	// IKE_SA_INIT, which anybody may have begun.
	wide []map[int]map[netip.Addr]struct{}
	// inside is what came out of the node's tunnels, by node, with the SA by which it
	// came last.
	inside []map[traffic]association
}

// traffic is what policies look at.
type traffic struct {
	src, dst         netip.Addr
	protocol         uint8
	srcPort, dstPort uint16
	portsKnown       bool
}

// compared is the traffic with ports only where sights and nodes read the same ones.
func (t traffic) compared() traffic {
	switch t.protocol {
	case protocolTCP, protocolUDP, protocolICMP, protocolICMPv6:
	default:
		t.srcPort, t.dstPort, t.portsKnown = 0, 0, false
	}
	return t
}

// trafficOf is the traffic that a node says a packet belongs to.
func trafficOf(k node.PacketKey) traffic {
	return traffic{k.Src, k.Dst, k.Protocol, k.SrcPort, k.DstPort, k.PortsKnown}
}

const (
	// trafficRememberedMax bounds what is remembered per node.
	trafficRememberedMax = 4096
	// peersRememberedMax bounds the peers per interface of a wide-area side.
	peersRememberedMax = 1 << 16
)

// policyInForce is a policy with the SA that brought it, if it was one.
type policyInForce struct {
	policy
	configured bool
	// by, spiIn and peer are the SA's, and its other end.
	by    association
	spiIn uint32
	peer  netip.Addr
}

func newClearInvariant(c invariantConfig) *clearInvariant {
	nodes := len(c.nodes)
	i := &clearInvariant{
		c: c, policies: make([][]policyInForce, nodes), clear: make([]map[traffic]struct{}, nodes), firsts: newFirsts(),
		wide: make([]map[int]map[netip.Addr]struct{}, nodes), inside: make([]map[traffic]association, nodes),
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
		i.policies[o.by.node] = append(i.policies[o.by.node], policyInForce{policy: o.policy, by: o.by, spiIn: o.spiIn, peer: o.peer})
	case *removed:
		i.policies[o.by.node] = slices.DeleteFunc(i.policies[o.by.node], func(p policyInForce) bool {
			return !p.configured && p.spiIn == o.spiIn
		})
		maps.DeleteFunc(i.inside[o.by.node], func(_ traffic, by association) bool { return by == o.by })
	case *died:
		i.policies[o.node] = slices.DeleteFunc(i.policies[o.node], func(p policyInForce) bool { return !p.configured })
		i.inside[o.node] = nil
	case *readdressed:
		i.clear[o.node] = nil
		i.policies[o.node] = slices.DeleteFunc(i.policies[o.node], func(p policyInForce) bool { return p.configured })
		for _, p := range o.policies {
			i.policies[o.node] = append(i.policies[o.node], policyInForce{policy: p, configured: true})
		}
	case *opened:
		i.open(o)
	case *sighted:
		i.sight(o)
	}
}

// open notes traffic that came out of a tunnel, and by which interface.
func (i *clearInvariant) open(o *opened) {
	for _, in := range i.policies[o.by.node] {
		if !in.configured && in.by == o.by && o.iface >= 0 {
			i.isWide(o.by.node, o.iface, in.peer)
		}
	}
	inside := i.inside[o.by.node]
	if inside == nil || len(inside) == trafficRememberedMax {
		inside = map[traffic]association{}
		i.inside[o.by.node] = inside
	}
	inside[o.inner.compared()] = o.by
}

// isWide notes that an interface is on a node's wide-area side, towards a peer.
func (i *clearInvariant) isWide(node, iface int, peer netip.Addr) {
	if i.wide[node] == nil {
		i.wide[node] = map[int]map[netip.Addr]struct{}{}
	}
	if i.wide[node][iface] == nil {
		i.wide[node][iface] = map[netip.Addr]struct{}{}
	}
	if peers := i.wide[node][iface]; len(peers) < peersRememberedMax {
		peers[peer] = struct{}{}
	}
}

func (i *clearInvariant) sight(o *sighted) {
	p := o.packet
	if p.partial {
		i.begin(o)
	}
	if o.direction == impair.Up && o.own && i.c.speaksIKE(o.node) &&
		(o.esp() || p.ike != nil && p.fromIKEPort() && wire.ExchangeType(p.ike[exchangeTypeAt]) != wire.ExchangeIKESAInit) {
		i.isWide(o.node, o.iface, p.dst)
	}
	if o.direction != impair.Up || len(i.policies[o.node]) == 0 {
		return
	}
	i.checks++
	if !p.later {
		i.judge(o, o.shows())
		return
	}
	if p.protocol == protocolESP {
		return // whatever is in it (RFC 4303, section 3.3.4: fragments are of the ESP packet)
	}
	if first, ok := i.firsts.of(o.now, p); ok {
		i.judge(o, first)
		return
	}
	i.wait(o)
}

// shown is what a packet shows, or the first of its fragments.
type shown struct {
	traffic
	// esp says that it is ESP, passesBy that policies do not concern it if it is the
	// node's own.
	esp, passesBy bool
}

// shows is what a packet shows that is no later fragment.
func (o *sighted) shows() shown {
	return shown{traffic: o.packet.traffic(), esp: o.esp(), passesBy: passesBy(o.packet)}
}

// judge judges a packet that leaves a node, by what it shows, or its first fragment.
func (i *clearInvariant) judge(o *sighted, s shown) {
	p := o.packet
	if s.esp || o.own && s.passesBy {
		return
	}
	key := s.traffic
	// A later fragment falls under OPAQUE selectors too, which the first does not.
	if _, known := i.clear[o.node][key]; !known || p.later {
		as := *p
		as.protocol, as.srcPort, as.dstPort, as.portsKnown = s.protocol, s.srcPort, s.dstPort, s.portsKnown
		for _, in := range i.policies[o.node] {
			if as.under(in.local, in.remote) || p.later && p.under(in.local, in.remote) {
				i.inClear(o.now, o.node, p, len(p.bytes), in.policy)
				return
			}
		}
		if i.clear[o.node] == nil || len(i.clear[o.node]) == trafficRememberedMax {
			i.clear[o.node] = map[traffic]struct{}{}
		}
		i.clear[o.node][key] = struct{}{}
	}
	if !o.own {
		i.judgeForwarded(o, s)
	}
}

// inClear notes a packet in clear that a policy protects.
func (i *clearInvariant) inClear(now time.Duration, node int, p *sight, bytes int, in policy) {
	i.violated(now, "%s put a packet from %s to %s (protocol %d, %d bytes) on the wire in clear, though child %s of connection %s protects it",
		i.c.node(node), p.src, p.dst, p.protocol, bytes, in.child, in.connection)
}

// judgeForwarded judges a packet in clear that no policy of the node is about on its
// way out: it may not be one that came out of a tunnel, if it leaves by the wide-area
// side. It may if it has arrived: when it is for the very network behind that
// interface, and the tunnel does not run by that interface itself, or its local
// selectors name that network or a part of it, as with a gateway that has one arm.
// And it may go on into the inside: by an interface whose network the local selectors
// cover, when the tunnel does not run by it, whatever other tunnel does.
func (i *clearInvariant) judgeForwarded(o *sighted, s shown) {
	peers, wide := i.wide[o.node][o.iface]
	if !wide {
		return
	}
	by, came := i.inside[o.node][s.compared()]
	if !came && o.packet.later { // it was in fragments already inside the tunnel
		by, came = i.inside[o.node][o.packet.traffic().compared()]
	}
	if !came {
		return
	}
	for _, in := range i.policies[o.node] {
		if in.configured || in.by != by {
			continue
		}
		_, same := peers[in.peer]
		if i.c.delivers(o.node, o.iface, o.packet.dst, in.policy, !same) {
			return
		}
		i.violated(o.now, "%s put a packet from %s to %s (protocol %d, %d bytes) on the wire in clear by its wide-area side, though it came protected, by child %s of connection %s",
			i.c.node(o.node), o.packet.src, o.packet.dst, o.packet.protocol, len(o.packet.bytes), in.child, in.connection)
		return
	}
}

// passesBy reports whether a node's own packet is one that policies do not
// concern.
func passesBy(p *sight) bool {
	if p.atIKE != nil && p.fromIKEPort() {
		return true
	}
	if p.keepalive && p.srcPort == portIKENAT {
		return true
	}
	quote := p.quote()
	var about sight
	return quote != nil && about.look(quote) && (about.protocol == protocolESP || about.esp != nil || about.protocol == protocolUDP &&
		(about.srcPort == portIKE || about.srcPort == portIKENAT || about.dstPort == portIKE || about.dstPort == portIKENAT))
}

func (i *clearInvariant) finish(now time.Duration) InvariantResult {
	i.finishWaiting(now)
	return i.result(i.name())
}
