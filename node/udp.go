package node

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// portIKE is where IKE starts and portNATT where it and ESP go when there
	// is a NAT between (RFC 7296 §2, RFC 3948 §2).
	portIKE  = 500
	portNATT = 4500

	// markerBytes zero bytes in front of an IKE message at port 4500 tell it
	// from ESP, whose SPI is never zero (RFC 3948 §2.2).
	markerBytes = 4
)

// checkUDP returns the datagram in p, without what may follow it, when its
// length and checksum hold. IPv4 datagrams may go without a checksum, those of
// IPv6 only where ESP does (RFC 6935).
func checkUDP(p *packet) (header.UDP, DropReason) {
	u := header.UDP(p.payload())
	if len(u) < header.UDPMinimumSize {
		return nil, DropTruncated
	}
	length := int(u.Length())
	if length < header.UDPMinimumSize || length > len(u) {
		return nil, DropHeaderInvalid
	}
	u = u[:length]
	if u.Checksum() == 0 {
		if p.v6 && u.DestinationPort() != portNATT {
			return nil, DropChecksum
		}
		return u, ""
	}
	if checksum.Checksum(u, pseudoChecksum(protocolUDP, p.key.Src, p.key.Dst, length)) != 0xffff {
		return nil, DropChecksum
	}
	return u, ""
}

// inputUDP delivers a datagram to an open port.
func (n *Node) inputUDP(p *packet) {
	u, reason := checkUDP(p)
	if reason != "" {
		n.drop(p, reason)
		return
	}
	if _, open := n.ports[u.DestinationPort()]; !open {
		n.drop(p, DropPortClosed)
		n.sendError(p, errorPortUnreachable, 0)
		return
	}
	d := n.deliver(DeliverDatagram, p)
	d.Src = netip.AddrPortFrom(p.key.Src, u.SourcePort())
	d.Dst = netip.AddrPortFrom(p.key.Dst, u.DestinationPort())
	d.Payload = u.Payload()
}

// sendDatagram builds and sends a UDP datagram of this host.
func (n *Node) sendDatagram(in DatagramOut) {
	key := PacketKey{Src: in.Src.Addr(), Dst: in.Dst.Addr(), Protocol: protocolUDP, SrcPort: in.Src.Port(), DstPort: in.Dst.Port(), PortsKnown: true}
	src, ok := n.chooseSource(key)
	key.Src = src
	if !ok {
		n.dropKey(key, DropNoSource, fromInside)
		return
	}
	ip := ipHeaderBytes(src)
	if key.Bytes = ip + header.UDPMinimumSize + len(in.Payload); key.Bytes > 0xffff {
		n.dropKey(key, DropTooBig, fromInside)
		return
	}
	n.ports[in.Src.Port()] = struct{}{}
	b := make([]byte, key.Bytes)
	copy(b[ip+header.UDPMinimumSize:], in.Payload)
	n.writeLocalIP(b, src, in.Dst.Addr(), protocolUDP, in.HopLimit, in.MayFragment)
	writeUDP(b[ip:], netip.AddrPortFrom(src, in.Src.Port()), in.Dst)
	n.outputBytes(b, in.MayFragment, in.Discover)
}

// sendEcho builds and sends an echo request of this host.
func (n *Node) sendEcho(in EchoOut) {
	protocol, echo := protocolICMP, uint16(header.ICMPv4Echo)<<8
	if in.Dst.Is6() {
		protocol, echo = protocolICMPv6, uint16(header.ICMPv6EchoRequest)<<8
	}
	key := PacketKey{Src: in.Src, Dst: in.Dst, Protocol: protocol, SrcPort: echo, DstPort: echo, PortsKnown: true}
	src, ok := n.chooseSource(key)
	key.Src = src
	if !ok {
		n.dropKey(key, DropNoSource, fromInside)
		return
	}
	ip := ipHeaderBytes(src)
	if key.Bytes = ip + header.ICMPv4MinimumSize + len(in.Payload); key.Bytes > 0xffff {
		n.dropKey(key, DropTooBig, fromInside)
		return
	}
	b := make([]byte, key.Bytes)
	copy(b[ip+header.ICMPv4MinimumSize:], in.Payload)
	n.writeLocalIP(b, src, in.Dst, protocol, in.HopLimit, in.MayFragment)
	if in.Dst.Is4() {
		h := header.ICMPv4(b[ip:])
		h.SetType(header.ICMPv4Echo)
		h.SetIdent(in.ID)
		h.SetSequence(in.Sequence)
		sumICMP4(h)
	} else {
		h := header.ICMPv6(b[ip:])
		h.SetType(header.ICMPv6EchoRequest)
		h.SetIdent(in.ID)
		h.SetSequence(in.Sequence)
		sumICMP6(h, src, in.Dst)
	}
	n.outputBytes(b, in.MayFragment, in.Discover)
}

// chooseSource is k's source address if it is the node's own and of the
// destination's family, or one that fits when k has none.
func (n *Node) chooseSource(k PacketKey) (netip.Addr, bool) {
	if !k.Dst.IsValid() || notADestination(k.Dst) {
		return k.Src, false
	}
	if !k.Src.IsValid() || k.Src.IsUnspecified() {
		return n.sourceFor(k)
	}
	return k.Src, k.Src.Is4() == k.Dst.Is4() && n.routes.isLocal(k.Src)
}

// writeLocalIP writes the header of a packet that a process of this host sends.
func (n *Node) writeLocalIP(b []byte, src, dst netip.Addr, protocol, hopLimit uint8, mayFragment bool) {
	f := ipFields{src: src, dst: dst, protocol: protocol, hopLimit: hopLimit, dontFragment: !mayFragment}
	if hopLimit == 0 {
		f.hopLimit = hopLimitDefault
	}
	if mayFragment {
		f.id = uint16(n.nextID(dst))
	}
	writeIP(b, f)
}

// nextID numbers the packets to dst that may be fragmented. The count is per
// destination so that traffic elsewhere changes no packet; those with DF carry
// zero (RFC 6864 §4.1).
func (n *Node) nextID(dst netip.Addr) uint32 {
	if _, known := n.ids[dst]; !known && len(n.ids) >= idCountersMax {
		clear(n.ids)
	}
	n.ids[dst]++
	return n.ids[dst]
}

// idCountersMax bounds the destinations that packets are counted for.
const idCountersMax = 4096
