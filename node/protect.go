package node

import (
	"net/netip"

	"github.com/ikelab/ikelab/esp"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// espHeaderBytes is SPI and sequence number (RFC 4303 §2).
const espHeaderBytes = 8

// outerBytes is what an association puts in front of ESP.
func (a *association) outerBytes() int {
	outer := ipHeaderBytes(a.remote.Addr())
	if a.encap {
		outer += header.UDPMinimumSize
	}
	return outer
}

// innerMTU is the longest inner packet whose outer packet has at most mtu bytes.
func (a *association) innerMTU(mtu int) int {
	// Padding makes the overhead jump by less than a block, so few steps do.
	inner := mtu - a.outerBytes()
	for inner > 0 && a.outerBytes()+inner+a.out.Overhead(inner) > mtu {
		inner--
	}
	return max(inner, 0)
}

// innerRoom is the longest piece that a packet is cut into for an association over a
// path of mtu bytes: what every link must carry has room, because then the outer packet
// is cut (RFC 2473 §7.1).
func (a *association) innerRoom(p *packet, mtu int) int {
	least := ipv4LinkMTUMin
	if p.v6 {
		least = header.IPv6MinimumMTU
	}
	return max(a.innerMTU(mtu), least)
}

// carriesPieces says whether an association takes fragments of p that show no ports. One
// for single ports does not (RFC 4301 §7.1).
func (a *association) carriesPieces(p *packet) bool {
	f := p.key.Flow()
	f.SourcePort, f.DestinationPort, f.NoPorts = 0, 0, true
	return a.policy.Matches(esp.DirectionOut, f)
}

// protect seals a packet into a tunnel and sends it. What is too long for the
// outer path is refused when it must stay whole (RFC 4301 §8.2.1); else this host's own
// packets are cut in front of the tunnel, because behind it nobody cuts IPv6 (RFC 8200
// §5), and of others' packets the outer one. An IPv6 packet that every link must carry is
// never refused: the tunnel, being its link, must carry it too (RFC 2473 §7.1).
func (n *Node) protect(p *packet, a *association) {
	iface, next, ok := n.routes.lookup(a.remote.Addr())
	if !ok {
		n.drop(p, DropNoRoute)
		n.sendError(p, errorNetUnreachable, 0)
		return
	}
	mtu, fragile := n.outerMTU(a, n.interfaces[iface].mtu)
	if p.origin == OriginLocal {
		room, weak := n.ownMTU(p.key.Dst, a.innerRoom(p, mtu))
		if p.discover && (len(p.bytes) > room || weak) {
			n.allowFragments(p)
		}
		if !p.dontFragment && len(p.bytes) > room && a.carriesPieces(p) {
			n.protectPieces(p, a, room)
			return
		}
	}
	dontFragment := p.dontFragment && !fragile
	if size := a.outerBytes() + len(p.bytes) + a.out.Overhead(len(p.bytes)); size > mtu {
		room := a.innerRoom(p, mtu)
		if size > 0xffff && !p.dontFragment {
			n.protectPieces(p, a, room)
			return
		}
		inner := a.innerMTU(mtu)
		if p.v6 {
			inner = room
		}
		if p.dontFragment && len(p.bytes) > inner {
			n.drop(p, DropTooBig)
			n.sendError(p, errorTooBig, inner)
			return
		}
		dontFragment = false
	}
	n.seal(p, a, outerRoute{iface: iface, next: next, mtu: mtu, dontFragment: dontFragment})
}

// protectPieces cuts a packet into pieces of at most mtu bytes, and protects each.
func (n *Node) protectPieces(p *packet, a *association, mtu int) {
	n.cut(p, mtu, func(b []byte) {
		var q packet
		if reason := parse(b, &q); reason != "" {
			n.drop(&q, reason)
			return
		}
		q.origin, q.arrived, q.via = p.origin, p.arrived, p.via
		n.protect(&q, a)
	})
}

// outerRoute is how an outer packet leaves.
type outerRoute struct {
	iface int
	next  netip.Addr
	// mtu is the link's, or the path's when that is known to be smaller.
	mtu int
	// dontFragment is false for outer packets that may be cut.
	dontFragment bool
}

// seal builds the outer packet. Its header is made as RFC 4301 §5.1.2 has it:
// DSCP and ECN are the inner packet's (RFC 6040, normal mode); so is DF, which an
// inner IPv6 packet implies, unless protect has to cut. The hop limit starts anew.
func (n *Node) seal(p *packet, a *association, way outerRoute) {
	sequence, err := a.out.Reserve(1)
	if err != nil {
		n.drop(p, DropESPSequence)
		n.outOfSequence(a, err)
		return
	}
	nextHeader := esp.NextHeaderIPv4
	if p.v6 {
		nextHeader = esp.NextHeaderIPv6
	}
	outer := a.outerBytes()
	b := make([]byte, outer, outer+len(p.bytes)+a.out.Overhead(len(p.bytes)))
	b, err = a.out.Seal(b, sequence, p.bytes, nextHeader)
	if err != nil {
		n.drop(p, DropESPSequence)
		return
	}
	protocol := uint8(protocolESP)
	if a.encap {
		protocol = protocolUDP
		a.encapsulate(b[ipHeaderBytes(a.remote.Addr()):])
	}
	f := ipFields{src: a.local.Addr(), dst: a.remote.Addr(), protocol: protocol,
		trafficClass: p.trafficClass, hopLimit: hopLimitDefault, dontFragment: way.dontFragment}
	if !way.dontFragment {
		f.id = uint16(n.nextID(f.dst))
	}
	writeIP(b, f)

	q := packet{bytes: b, v6: f.dst.Is6(), transport: ipHeaderBytes(f.dst), arrived: fromInside, origin: OriginESP, dontFragment: way.dontFragment,
		key: PacketKey{Src: f.src, Dst: f.dst, Protocol: protocol, Bytes: len(b)}}
	if a.encap {
		q.key.SrcPort, q.key.DstPort, q.key.PortsKnown = a.local.Port(), a.remote.Port(), true
	}
	a.counters.PacketsOut++
	a.counters.BytesOut += uint64(len(p.bytes))
	if a.encap {
		a.sent = n.now
	}
	e := n.event(EventESPOut, way.iface)
	e.ESP = a.describe(a.spiOut, sequence, b[outer:], q.key, p.key)
	n.transmit(&q, way.iface, way.next, way.mtu, nil)
}

// encapsulate writes the UDP header in front of an ESP packet. IPv4's checksum
// is zero, as RFC 3948 §2.1 advises; IPv6 knows none without.
func (a *association) encapsulate(b []byte) {
	if a.remote.Addr().Is6() {
		writeUDP(b, a.local, a.remote)
		return
	}
	header.UDP(b).Encode(&header.UDPFields{SrcPort: a.local.Port(), DstPort: a.remote.Port(), Length: uint16(len(b))})
}

// describe fills an event's part about an ESP packet of this association.
func (a *association) describe(spi uint32, sequence uint64, packet []byte, outer, inner PacketKey) ESP {
	e := ESP{Connection: a.connection, Child: a.child, Ordinal: a.ordinal, SPI: spi, Sequence: sequence, Outer: outer, Inner: inner}
	if len(packet) >= espHeaderBytes {
		e.IVBytes = uint8(copy(e.IV[:a.ivBytes], packet[espHeaderBytes:]))
	}
	return e
}
