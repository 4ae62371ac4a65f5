package node

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// receive takes a packet from an interface.
func (n *Node) receive(in PacketIn) {
	if !n.hasInterface(in.Interface) {
		return
	}
	var p packet
	reason := parse(in.Bytes, &p)
	p.arrived = in.Interface
	switch {
	case !n.interfaces[in.Interface].up:
		reason = DropInterfaceDown
	case reason == "" && n.martian(&p):
		reason = DropMartian
	}
	if reason != "" {
		n.drop(&p, reason)
		return
	}
	n.dispatch(&p)
}

// martian is true for a packet with addresses that nobody else may send: those
// that belong to no host (RFC 1812 §5.3.7, RFC 4291 §2.5.2 and §2.7), and the
// node's own as source.
func (n *Node) martian(p *packet) bool {
	src, dst := p.key.Src, p.key.Dst
	return src.IsUnspecified() || src.IsLoopback() || src.IsMulticast() || src.Is4In6() || n.routes.isBroadcast(src) || n.routes.isLocal(src) ||
		notADestination(dst)
}

// notADestination is true for addresses to which no link carries packets.
func notADestination(a netip.Addr) bool { return a.IsUnspecified() || a.IsLoopback() || a.Is4In6() }

// dispatch takes a packet, from a link or out of a tunnel, up into this host or
// on its way.
func (n *Node) dispatch(p *packet) {
	switch {
	case n.routes.isLocal(p.key.Dst):
		n.inputLocal(p)
	case p.key.Dst.IsMulticast() || n.routes.isBroadcast(p.key.Dst):
		n.drop(p, DropMulticast)
	case !n.forward:
		n.drop(p, DropNotForUs)
	case !n.admitted(p):
		n.drop(p, DropClearInbound)
	case p.hopLimit <= 1:
		n.drop(p, DropTTL)
		n.sendError(p, errorTimeExceeded, 0)
	case p.key.Src.IsLinkLocalUnicast() || p.key.Dst.IsLinkLocalUnicast():
		// Such addresses mean something on their link alone (RFC 4291 §2.5.6,
		// RFC 3927 §7).
		n.drop(p, DropMartian)
	default:
		p.decrementHopLimit()
		p.origin = OriginForwarded
		n.output(p)
	}
}

// inputLocal handles a packet for one of this host's addresses. IKE and ESP for
// this host pass the security policy by (RFC 4301 §5.2, RFC 7296 §2.9).
func (n *Node) inputLocal(p *packet) {
	if p.fragment && !n.reassemble(p) {
		return
	}
	switch {
	case p.key.Protocol == protocolESP && n.machine != nil:
		n.unprotect(p, p.payload(), false)
		return
	case p.key.Protocol == protocolUDP && n.isIKEPort(p.key.DstPort):
		n.inputIKEPort(p)
		return
	}
	if !n.admitted(p) && !n.aboutOuter(p) {
		n.drop(p, DropClearInbound)
		return
	}
	switch {
	case p.key.Protocol == protocolUDP:
		n.inputUDP(p)
	case p.key.Protocol == protocolICMP && !p.v6:
		n.inputICMP4(p)
	case p.key.Protocol == protocolICMPv6 && p.v6:
		n.inputICMP6(p)
	case p.key.Protocol == protocolNone && p.v6:
		// Nothing follows, and nothing is to be done (RFC 8200 §4.7).
	default:
		n.drop(p, DropProtocol)
		n.sendError(p, errorProtocolUnreachable, 0)
	}
}

// aboutOuter is true for an ICMP error about IKE or ESP of this host. Routers on
// the way send them in clear whatever the policy says, and path MTU discovery
// needs them (RFC 4301 §6.1.1, §8.2).
func (n *Node) aboutOuter(p *packet) bool {
	if !isICMPError(p) || len(p.payload()) < header.ICMPv4MinimumSize {
		return false
	}
	q, ok := parseQuote(p.payload()[header.ICMPv4MinimumSize:])
	return ok && n.routes.isLocal(q.key.Src) && n.quotesOuter(&q)
}

// isOuter says whether a packet of this host is one that the policy does not
// touch: IKE, or ESP with or without UDP.
func (n *Node) isOuter(k PacketKey) bool {
	switch k.Protocol {
	case protocolESP:
		return n.machine != nil
	case protocolUDP:
		return n.isIKEPort(k.SrcPort)
	}
	return false
}

// quotesOuter says whether a quote is of such a packet. A later fragment of UDP shows no
// port: it is one when it was sent as one.
func (n *Node) quotesOuter(q *quote) bool {
	if q.laterFragment() && q.key.Protocol == protocolUDP {
		f := n.sent.fragment(q)
		return f != nil && f.origin != OriginLocal
	}
	return n.isOuter(q.key)
}

// fromInside takes a whole packet that a process of this host wants sent.
func (n *Node) fromInside(b []byte) {
	var p packet
	if reason := parse(b, &p); reason != "" {
		n.drop(&p, reason)
		return
	}
	if notADestination(p.key.Dst) {
		n.drop(&p, DropMartian)
		return
	}
	if p.key.Src.IsUnspecified() {
		src, ok := n.sourceFor(p.key)
		if !ok {
			n.drop(&p, DropNoSource)
			return
		}
		p.setSource(src)
	}
	if !n.routes.isLocal(p.key.Src) {
		n.drop(&p, DropMartian)
		return
	}
	if p.key.Protocol == protocolUDP && p.key.PortsKnown {
		n.ports[p.key.SrcPort] = struct{}{}
	}
	p.origin = OriginLocal
	n.output(&p)
}

// setSource fills in a source address that was unspecified, and the checksums
// over it.
func (p *packet) setSource(src netip.Addr) {
	old := tcpipAddress(p.key.Src)
	p.key.Src = src
	if p.v6 {
		header.IPv6(p.bytes).SetSourceAddress(tcpipAddress(src))
	} else {
		h := header.IPv4(p.bytes)
		h.SetSourceAddress(tcpipAddress(src))
		p.refreshChecksum(h)
	}
	if p.laterFragment() {
		return
	}
	b := p.payload()
	switch {
	case p.key.Protocol == protocolUDP && p.key.PortsKnown && header.UDP(b).Checksum() != 0:
		header.UDP(b).UpdateChecksumPseudoHeaderAddress(old, tcpipAddress(src), true)
	case p.key.Protocol == protocolTCP && len(b) >= header.TCPMinimumSize:
		header.TCP(b).UpdateChecksumPseudoHeaderAddress(old, tcpipAddress(src), true)
	case p.key.Protocol == protocolICMPv6 && p.key.PortsKnown:
		header.ICMPv6(b).UpdateChecksumPseudoHeaderAddress(old, tcpipAddress(src))
	}
}

// neighborFailed tells the source of a packet that the last hop has no one to
// give it to.
func (n *Node) neighborFailed(in NeighborFailed) {
	var p packet
	if !n.hasInterface(in.Interface) || parse(in.Bytes, &p) != "" {
		return
	}
	if n.routes.isLocal(p.key.Src) {
		// IKE finds out about dead peers by itself.
		if p.origin = OriginLocal; n.isOuter(p.key) {
			p.origin = OriginESP
		}
	} else if iface, _, ok := n.routes.lookup(p.key.Src); ok {
		// The packet came by where its source lives.
		p.arrived = iface
	}
	n.drop(&p, DropHostUnreachable)
	n.sendError(&p, errorHostUnreachable, 0)
}
