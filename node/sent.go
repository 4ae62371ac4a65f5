package node

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/esp"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// An ICMP error that says a packet was too big comes from anybody. It counts when what
// it quotes proves that the packet was sent by this host (RFC 8201 §4, RFC 4443
// §2.4(c)):
//
//   - ESP, bare or in UDP: the SPI of an association with that peer, between those
//     addresses and ports (RFC 4301 §8.2.1). A quote too short to show it proves
//     nothing.
//   - IKE: addresses, ports, and the initiator's SPI, of a message that was sent.
//   - A later fragment, which shows none of these: its identification and offset, and
//     that its first eight octets are those that were sent.
//   - Anything else: addresses, protocol and ports (for ICMP type, code and
//     identifier) of something that was sent. That is what Linux asks for, a socket, and
//     the other end besides. When a policy protects the traffic, the report must have
//     come out of the association that carries it: whoever sees it in clear is behind
//     the tunnel.
//
// And always: the quoted packet is longer than what is said to fit.

const (
	// sentKeysMax bounds the flows that are remembered; at one more, all are
	// forgotten.
	sentKeysMax = 1024
	// sentFragmentsMax later fragments are remembered, the latest ones.
	sentFragmentsMax = 256
	// proofBytes of a later fragment must be quoted: what RFC 792 has in every quote.
	proofBytes = 8
	// ikeSPIBytes is the length of an IKE SPI (RFC 7296 §3.1).
	ikeSPIBytes = 8
)

// sentKey names a flow of packets that this host sent.
type sentKey struct {
	src, dst netip.Addr
	protocol uint8
	// a and b are the ports, or ICMP's type and code, and echo's identifier.
	a, b uint16
	// ikeSPI is the initiator's SPI of an IKE message.
	ikeSPI uint64
}

// sentFragment is a later fragment that this host sent.
type sentFragment struct {
	src, dst netip.Addr
	protocol uint8
	id       uint32
	offset   int
	start    [proofBytes]byte
	origin   Origin
	// protected says that the packet was cut in front of a tunnel, for its traffic.
	protected bool
}

// sent is what this host remembers of what it sent: what every link carries cannot be
// reported as too big, and is not remembered.
type sent struct {
	keys      map[sentKey]struct{}
	fragments []sentFragment
	// next is where in fragments the next one goes, once there are enough.
	next int
}

// canBeTooBig says whether routers can report a packet of this length as too long.
func canBeTooBig(v6 bool, bytes int) bool {
	if v6 {
		return bytes > pathMTU6Min
	}
	return bytes > ipv4LinkMTUMin
}

// readSentKey names the flow of a packet, of which at least the beginning is there:
// transport is what follows its IP header. isIKE says that it is IKE at one of IKE's
// ports.
func readSentKey(k PacketKey, transport []byte, isIKE bool) sentKey {
	s := sentKey{src: k.Src, dst: k.Dst, protocol: k.Protocol}
	if !k.PortsKnown {
		return s
	}
	s.a, s.b = k.SrcPort, k.DstPort
	switch {
	case k.Protocol == protocolICMP && len(transport) >= header.ICMPv4MinimumSize:
		s.b = header.ICMPv4(transport).Ident()
	case k.Protocol == protocolICMPv6 && len(transport) >= header.ICMPv6EchoMinimumSize:
		s.b = header.ICMPv6(transport).Ident()
	case isIKE:
		message := transport[min(len(transport), header.UDPMinimumSize):]
		if k.SrcPort == portNATT {
			message = message[min(len(message), markerBytes):]
		}
		if len(message) >= ikeSPIBytes {
			s.ikeSPI = binary.BigEndian.Uint64(message)
		}
	}
	return s
}

// rememberSent notes a packet of this host before it is cut.
func (n *Node) rememberSent(p *packet) {
	if !canBeTooBig(p.v6, len(p.bytes)) {
		return
	}
	s := &n.sent
	if p.laterFragment() {
		s.rememberFragment(p, p.bytes, n.mayBeProtected(p))
		return
	}
	if s.keys == nil || len(s.keys) >= sentKeysMax {
		s.keys = make(map[sentKey]struct{})
	}
	s.keys[readSentKey(p.key, p.payload(), p.origin == OriginIKE)] = struct{}{}
}

// mayBeProtected says whether a policy protects, or may protect, p's traffic.
func (n *Node) mayBeProtected(p *packet) bool {
	return p.origin == OriginLocal && (n.lookup(esp.DirectionOut, p.key) != nil || p.laterFragment() && n.mayMatch(esp.DirectionOut, p.key))
}

// rememberFragment notes one piece of a packet of this host; the first piece shows what
// any packet shows and needs no note.
func (s *sent) rememberFragment(whole *packet, piece []byte, protected bool) {
	q, ok := parseQuote(piece)
	if !ok || !q.laterFragment() || len(q.transport) < proofBytes {
		return
	}
	f := sentFragment{src: q.key.Src, dst: q.key.Dst, protocol: q.key.Protocol, id: q.fragmentID, offset: q.fragmentOffset,
		origin: whole.origin, protected: protected}
	copy(f.start[:], q.transport)
	if len(s.fragments) < sentFragmentsMax {
		s.fragments = append(s.fragments, f)
		return
	}
	s.fragments[s.next] = f
	s.next = (s.next + 1) % sentFragmentsMax
}

// fragment finds the later fragment that q quotes.
func (s *sent) fragment(q *quote) *sentFragment {
	if len(q.transport) < proofBytes {
		return nil
	}
	start := [proofBytes]byte(q.transport)
	i := slices.IndexFunc(s.fragments, func(f sentFragment) bool {
		return f.id == q.fragmentID && f.offset == q.fragmentOffset && f.src == q.key.Src && f.dst == q.key.Dst &&
			f.protocol == q.key.Protocol && f.start == start
	})
	if i < 0 {
		return nil
	}
	return &s.fragments[i]
}

// learnTooBig takes the report p that a packet of this host, of which q is the quote,
// is longer than mtu, when the quote proves it.
func (n *Node) learnTooBig(p *packet, q *quote, mtu int) (proven bool) {
	if q.key.Bytes <= mtu {
		return false
	}
	outer := Path{Local: q.key.Src, Remote: q.key.Dst}
	switch {
	case q.laterFragment():
		f := n.sent.fragment(q)
		switch {
		case f == nil || f.protected && p.via == nil:
			return false
		case f.origin == OriginESP:
			n.outerMTUs.Learn(n.now, outer, mtu)
			return true
		}
	case n.isOuter(q.key) && !q.isIKE():
		if !n.showsSPI(q) {
			return false
		}
		n.outerMTUs.Learn(n.now, outer, mtu)
		return true
	case !n.isOuter(q.key) && !n.mayReport(p, q.key):
		return false
	default:
		if _, ok := n.sent.keys[readSentKey(q.key, q.transport, n.isOuter(q.key))]; !ok {
			return false
		}
	}
	n.pathMTUs.Learn(n.now, Path{Remote: q.key.Dst}, mtu)
	return true
}

// mayReport says whether p, an error about traffic of this host, came from where that
// traffic can be seen.
func (n *Node) mayReport(p *packet, about PacketKey) bool {
	if n.lookup(esp.DirectionOut, about) == nil {
		return true
	}
	return p.via != nil && p.via.policy.Matches(esp.DirectionOut, about.Flow())
}

// showsSPI says whether q, a quote of ESP, shows the SPI of an association that sends
// from and to where the quote says.
func (n *Node) showsSPI(q *quote) bool {
	packet := q.transport
	encap := q.key.Protocol == protocolUDP
	if encap {
		packet = packet[min(len(packet), header.UDPMinimumSize):]
	}
	spi, ok := esp.SPI(packet)
	return ok && slices.ContainsFunc(n.associations.all, func(a *association) bool {
		return a.out != nil && a.spiOut == spi && a.encap == encap && a.local.Addr() == q.key.Src && a.remote.Addr() == q.key.Dst &&
			(!encap || a.local.Port() == q.key.SrcPort && a.remote.Port() == q.key.DstPort)
	})
}

// quote is a packet as an ICMP error shows it: the beginning.
type quote struct {
	key PacketKey
	// transport is what is there behind the IP header, its extensions, and IPv6's
	// fragment header.
	transport []byte
	// fragmentOffset and fragmentID are as in packet; a first fragment is one too.
	fragmentOffset int
	fragmentID     uint32
}

func (q *quote) laterFragment() bool { return q.fragmentOffset > 0 }

// isIKE says whether the quoted packet, from one of IKE's ports, is IKE and not ESP.
func (q *quote) isIKE() bool {
	if q.key.Protocol != protocolUDP {
		return false
	}
	return q.key.SrcPort != portNATT || len(q.transport) > header.UDPMinimumSize && esp.IsNonESP(q.transport[header.UDPMinimumSize:])
}

// parseQuote reads as much of a quoted packet as there is: quotes end early, so
// lengths and checksums say nothing.
func parseQuote(b []byte) (q quote, ok bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		h := header.IPv4(b)
		if len(h) < header.IPv4MinimumSize || int(h.HeaderLength()) < header.IPv4MinimumSize || int(h.HeaderLength()) > len(h) {
			return q, false
		}
		q.key = PacketKey{Src: netip.AddrFrom4(h.SourceAddress().As4()), Dst: netip.AddrFrom4(h.DestinationAddress().As4()),
			Protocol: h.Protocol(), Bytes: int(h.TotalLength())}
		q.transport = b[h.HeaderLength():]
		q.fragmentOffset, q.fragmentID = int(h.FragmentOffset()), uint32(h.ID())
	case header.IPv6Version:
		h := header.IPv6(b)
		if len(h) < header.IPv6MinimumSize {
			return q, false
		}
		q.key = PacketKey{Src: netip.AddrFrom16(h.SourceAddress().As16()), Dst: netip.AddrFrom16(h.DestinationAddress().As16()),
			Protocol: h.NextHeader(), Bytes: header.IPv6MinimumSize + int(h.PayloadLength())}
		q.walkExtensions(b[header.IPv6MinimumSize:])
	default:
		return q, false
	}
	if !q.laterFragment() {
		q.key.readPorts(q.transport)
	}
	return q, true
}

// walkExtensions goes over IPv6's extension headers as far as the quote shows them.
func (q *quote) walkExtensions(b []byte) {
	for range extensionHeadersMax {
		length := 0
		switch q.key.Protocol {
		case extensionHopByHop, extensionRouting, extensionDestination:
			if len(b) >= 2 {
				length = 8 + 8*int(b[1])
			}
		case extensionFragment:
			if f := header.IPv6Fragment(b); f.IsValid() {
				length = header.IPv6FragmentHeaderSize
				q.fragmentOffset, q.fragmentID = int(f.FragmentOffset())*8, f.ID()
			}
		default:
			q.transport = b
			return
		}
		if length == 0 || length > len(b) {
			return
		}
		q.key.Protocol, b = b[0], b[length:]
		if q.laterFragment() {
			q.transport = b
			return
		}
	}
}
