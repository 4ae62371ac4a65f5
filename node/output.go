package node

import (
	"net/netip"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
)

// outputBytes sends a packet that a process of this host, or the host itself, has
// built. mayFragment matters to IPv6, whose header does not say; discover is as in
// packet.
func (n *Node) outputBytes(b []byte, mayFragment, discover bool) {
	var p packet
	if reason := parse(b, &p); reason != "" {
		n.drop(&p, reason)
		return
	}
	p.origin = OriginLocal
	p.dontFragment = !mayFragment
	p.discover = discover && !mayFragment
	n.output(&p)
}

// output takes a packet that leaves this host or passes through it: first the
// security policy, then the routes (RFC 4301 §5.1).
func (n *Node) output(p *packet) {
	if n.routes.isLocal(p.key.Dst) {
		// A packet to oneself meets no network and no policy.
		n.inputLocal(p)
		return
	}
	if p.origin == OriginLocal && (p.key.Dst.IsMulticast() || n.routes.isBroadcast(p.key.Dst)) {
		n.drop(p, DropMulticast)
		return
	}
	if p.origin == OriginLocal && !p.released {
		n.rememberSent(p)
	}
	v := n.decideOut(p)
	switch {
	case v.association != nil:
		n.protect(p, v.association)
	case v.policy != nil:
		n.hold(p, v.policy)
	case v.unmatched:
		n.drop(p, DropFragmentUnmatched)
	case p.mustProtect:
		n.drop(p, DropICMPUnprotected)
	default:
		n.route(p)
	}
}

// route sends a packet that needs no protection.
func (n *Node) route(p *packet) {
	iface, next, ok := n.routes.lookup(p.key.Dst)
	if !ok {
		n.drop(p, DropNoRoute)
		n.sendError(p, errorNetUnreachable, 0)
		return
	}
	mtu := n.interfaces[iface].mtu
	least, fragile := mtu, false
	if p.origin == OriginLocal {
		least, fragile = n.ownMTU(p.key.Dst, mtu)
	}
	if p.discover && (len(p.bytes) > least || fragile) {
		n.allowFragments(p)
	}
	if len(p.bytes) > mtu && p.dontFragment {
		n.drop(p, DropTooBig)
		n.sendError(p, errorTooBig, mtu)
		return
	}
	if !p.dontFragment {
		mtu = least // no router cuts IPv6, and none needs to cut what is cut here
	}
	n.transmit(p, iface, next, mtu, nil)
}

// transmit puts a packet on a link, in pieces of at most mtu bytes when it is
// longer; the caller has seen to it that it may be cut.
func (n *Node) transmit(p *packet, iface int, next netip.Addr, mtu int, exchange *ike.Exchange) {
	n.watchClear(p, iface)
	out := PacketOut{Interface: iface, NextHop: next, Bytes: p.bytes, Origin: p.origin, Exchange: exchange}
	if len(p.bytes) <= mtu {
		n.packet(out)
		return
	}
	n.cut(p, mtu, func(b []byte) {
		out.Bytes = b
		n.packet(out)
	})
}

// watchClear reports a packet that leaves in clear although a configured policy
// protects its traffic. It repeats none of the decisions before it, so that a
// mistake in them shows.
func (n *Node) watchClear(p *packet, iface int) {
	if len(n.policies) == 0 || p.origin == OriginESP || p.origin == OriginIKE {
		return
	}
	f := p.key.Flow()
	for _, c := range n.policies {
		if c.match.Matches(esp.DirectionOut, f) || (p.laterFragment() && c.wide.Matches(esp.DirectionOut, f)) {
			n.event(EventClearOut, iface).Drop.Packet = p.key
			return
		}
	}
}
