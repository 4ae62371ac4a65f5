package node

import (
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Protocol numbers (IANA "Assigned Internet Protocol Numbers").
const (
	protocolICMP   = uint8(header.ICMPv4ProtocolNumber)
	protocolIPv4   = 4
	protocolTCP    = uint8(header.TCPProtocolNumber)
	protocolUDP    = uint8(header.UDPProtocolNumber)
	protocolIPv6   = 41
	protocolESP    = 50
	protocolICMPv6 = uint8(header.ICMPv6ProtocolNumber)
	protocolNone   = 59
)

// IPv6 extension headers that parse walks over (RFC 8200 §4).
const (
	extensionHopByHop    = 0
	extensionRouting     = 43
	extensionFragment    = header.IPv6FragmentHeader
	extensionDestination = 60

	// extensionHeadersMax bounds the walk.
	extensionHeadersMax = 8
)

const (
	// ipv4ProtocolAt is where IPv4's header names its payload.
	ipv4ProtocolAt = 9
	// ipv4OptionLSRR and ipv4OptionSSRR are the source route options of
	// RFC 791, which RFC 7126 §4.3 tells routers and hosts to refuse.
	ipv4OptionLSRR = 131
	ipv4OptionSSRR = 137
)

// PacketKey describes a packet by what policies and people look at.
type PacketKey struct {
	Src, Dst netip.Addr
	// Protocol is the IP protocol behind any IPv6 extension headers.
	Protocol uint8
	// SrcPort and DstPort are TCP's and UDP's. For ICMP both hold type<<8|code,
	// the form of traffic selectors (RFC 7296 §3.13.1).
	SrcPort, DstPort uint16
	// PortsKnown is false when the packet does not show them: later fragments,
	// other protocols, truncated quotes.
	PortsKnown bool
	// Bytes is the length of the IP packet.
	Bytes int
}

// String writes the key as people read it.
func (k PacketKey) String() string {
	src, dst := k.Src.String(), k.Dst.String()
	switch {
	case !k.PortsKnown:
		return fmt.Sprintf("%s > %s protocol %d, %d bytes", src, dst, k.Protocol, k.Bytes)
	case k.Protocol == protocolICMP || k.Protocol == protocolICMPv6:
		return fmt.Sprintf("%s > %s icmp type %d code %d, %d bytes", src, dst, k.SrcPort>>8, k.SrcPort&0xff, k.Bytes)
	}
	return fmt.Sprintf("%s > %s protocol %d, %d bytes",
		netip.AddrPortFrom(k.Src, k.SrcPort), netip.AddrPortFrom(k.Dst, k.DstPort), k.Protocol, k.Bytes)
}

// fromInside marks a packet that did not arrive at an interface.
const fromInside = -1

// packet is one IP packet on its way through the node. It is a view: bytes
// change under it only through its own methods.
type packet struct {
	// bytes is exactly the packet, without link padding.
	bytes []byte
	key   PacketKey
	v6    bool
	// transport is where the transport header starts.
	transport int
	hopLimit  uint8
	// trafficClass is IPv4's TOS byte or IPv6's traffic class.
	trafficClass uint8
	// fragmentOffset is in bytes; fragment says whether the packet is one.
	fragment       bool
	fragmentOffset int
	moreFragments  bool
	fragmentID     uint32
	dontFragment   bool
	// discover is true for a packet of this host that follows its path's MTU: it is
	// cut here when it turns out to be too long.
	discover bool
	// nextHeaderAt is where the byte stands that names the protocol of the
	// payload; fragmentAt is where IPv6's fragment header starts, and
	// fragmentNamedAt where the byte stands that announces it.
	nextHeaderAt    int
	fragmentAt      int
	fragmentNamedAt int
	// arrived is the interface, or fromInside.
	arrived int
	// via is the association the packet came out of, nil for clear.
	via *association
	// origin says why the packet leaves, once it does.
	origin Origin
	// mustProtect forbids that the packet leaves in clear: it quotes one that
	// a tunnel carried.
	mustProtect bool
	// released is true once the packet has waited for an association; it does
	// not wait again.
	released bool
}

// payload is the transport header and what follows.
func (p *packet) payload() []byte { return p.bytes[p.transport:] }

// laterFragment is true for every fragment but the first.
func (p *packet) laterFragment() bool { return p.fragment && p.fragmentOffset > 0 }

// tcpipAddress is a in the form of the header views.
func tcpipAddress(a netip.Addr) tcpip.Address {
	if a.Is4() {
		return tcpip.AddrFrom4(a.As4())
	}
	return tcpip.AddrFrom16(a.As16())
}

// parse reads the headers of b into p and checks everything that a host and a
// router must check before they look at a packet's addresses (RFC 1122
// §3.2.1, RFC 1812 §5.2.2, RFC 8200). A reason says what is wrong; p.key then
// holds what could be read.
func parse(b []byte, p *packet) DropReason {
	*p = packet{bytes: b, arrived: fromInside}
	p.key.Bytes = len(b)
	switch header.IPVersion(b) {
	case header.IPv4Version:
		return p.parse4()
	case header.IPv6Version:
		return p.parse6()
	case -1:
		return DropTruncated
	}
	return DropHeaderInvalid
}

func (p *packet) parse4() DropReason {
	h := header.IPv4(p.bytes)
	if len(h) < header.IPv4MinimumSize {
		return DropTruncated
	}
	p.key.Src = netip.AddrFrom4(h.SourceAddress().As4())
	p.key.Dst = netip.AddrFrom4(h.DestinationAddress().As4())
	p.key.Protocol = h.Protocol()
	if int(h.TotalLength()) > len(h) {
		return DropTruncated
	}
	if !h.IsValid(len(h)) {
		return DropHeaderInvalid
	}
	if !h.IsChecksumValid() {
		return DropChecksum
	}
	p.bytes = p.bytes[:h.TotalLength()]
	p.key.Bytes = len(p.bytes)
	p.transport = int(h.HeaderLength())
	p.nextHeaderAt = ipv4ProtocolAt
	p.hopLimit = h.TTL()
	p.trafficClass, _ = h.TOS()
	p.fragmentOffset = int(h.FragmentOffset())
	p.moreFragments = h.More()
	p.fragment = p.moreFragments || p.fragmentOffset > 0
	p.fragmentID = uint32(h.ID())
	p.dontFragment = h.Flags()&header.IPv4FlagDontFragment != 0
	if p.fragmentOffset+len(p.payload()) > 0xffff {
		return DropHeaderInvalid
	}
	if p.transport > header.IPv4MinimumSize {
		if reason := checkOptions(h.Options()); reason != "" {
			return reason
		}
	}
	p.parsePorts()
	return ""
}

// checkOptions refuses malformed options and source routes; all others are
// carried along unchanged.
func checkOptions(options header.IPv4Options) DropReason {
	for it := options.MakeIterator(); ; {
		option, done, problem := it.Next()
		switch {
		case problem != nil:
			return DropHeaderInvalid
		case done:
			return ""
		case option.Type() == ipv4OptionLSRR || option.Type() == ipv4OptionSSRR:
			return DropSourceRoute
		}
	}
}

func (p *packet) parse6() DropReason {
	h := header.IPv6(p.bytes)
	if len(h) < header.IPv6MinimumSize {
		return DropTruncated
	}
	p.v6 = true
	p.key.Src = netip.AddrFrom16(h.SourceAddress().As16())
	p.key.Dst = netip.AddrFrom16(h.DestinationAddress().As16())
	p.key.Protocol = h.NextHeader()
	if !h.IsValid(len(h)) {
		return DropTruncated
	}
	p.bytes = p.bytes[:header.IPv6MinimumSize+int(h.PayloadLength())]
	p.key.Bytes = len(p.bytes)
	p.hopLimit = h.HopLimit()
	p.trafficClass, _ = h.TOS()
	p.dontFragment = true
	p.nextHeaderAt = header.IPv6NextHeaderOffset
	return p.parseExtensions()
}

// parseExtensions walks the IPv6 extension headers to the transport header.
func (p *packet) parseExtensions() DropReason {
	next, at := p.key.Protocol, header.IPv6MinimumSize
	for n := 0; ; n++ {
		if n == extensionHeadersMax {
			return DropHeaderInvalid
		}
		switch next {
		case extensionHopByHop, extensionRouting, extensionDestination:
			if next == extensionHopByHop && n > 0 {
				return DropHeaderInvalid
			}
			if len(p.bytes) < at+8 {
				return DropTruncated
			}
			length := 8 + 8*int(p.bytes[at+1])
			if len(p.bytes) < at+length {
				return DropTruncated
			}
			// A routing header with segments left asks this node to send the
			// packet on: RFC 5095 took that away.
			if next == extensionRouting && p.bytes[at+3] != 0 {
				return DropSourceRoute
			}
			p.nextHeaderAt = at
			next, at = p.bytes[at], at+length
		case extensionFragment:
			f := header.IPv6Fragment(p.bytes[at:])
			if !f.IsValid() {
				return DropTruncated
			}
			p.fragmentOffset = int(f.FragmentOffset()) * 8
			p.moreFragments = f.More()
			// A fragment header around a whole packet makes no fragment
			// (RFC 6946).
			p.fragment = p.moreFragments || p.fragmentOffset > 0
			p.fragmentID = f.ID()
			p.fragmentAt, p.fragmentNamedAt = at, p.nextHeaderAt
			p.nextHeaderAt = at
			next, at = f.NextHeader(), at+header.IPv6FragmentHeaderSize
			if p.fragmentOffset > 0 {
				p.key.Protocol, p.transport = next, at
				return ""
			}
		default:
			p.key.Protocol, p.transport = next, at
			p.parsePorts()
			return ""
		}
	}
}

// parsePorts reads what policies select by from the transport header. A packet
// that is too short for its ports is left for its destination to judge.
func (p *packet) parsePorts() {
	if !p.laterFragment() {
		p.key.readPorts(p.payload())
	}
}

// readPorts fills the ports from the start of a transport header.
func (k *PacketKey) readPorts(b []byte) {
	switch k.Protocol {
	case protocolTCP, protocolUDP:
		if len(b) >= header.UDPMinimumSize {
			u := header.UDP(b)
			k.SrcPort, k.DstPort, k.PortsKnown = u.SourcePort(), u.DestinationPort(), true
		}
	case protocolICMP:
		if len(b) >= header.ICMPv4MinimumSize {
			i := header.ICMPv4(b)
			k.SrcPort = uint16(i.Type())<<8 | uint16(i.Code())
			k.DstPort, k.PortsKnown = k.SrcPort, true
		}
	case protocolICMPv6:
		if len(b) >= header.ICMPv6MinimumSize {
			i := header.ICMPv6(b)
			k.SrcPort = uint16(i.Type())<<8 | uint16(i.Code())
			k.DstPort, k.PortsKnown = k.SrcPort, true
		}
	}
}

// broadcast4 is the limited broadcast address.
var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// ipFields is what a header made here varies in.
type ipFields struct {
	src, dst     netip.Addr
	protocol     uint8
	trafficClass uint8
	hopLimit     uint8
	dontFragment bool
	id           uint16
}

// ipHeaderBytes is the length of the header that writeIP writes.
func ipHeaderBytes(dst netip.Addr) int {
	if dst.Is4() {
		return header.IPv4MinimumSize
	}
	return header.IPv6MinimumSize
}

// writeIP writes the header of the packet b, whose payload is in place.
func writeIP(b []byte, f ipFields) {
	if f.dst.Is4() {
		flags := uint8(0)
		if f.dontFragment {
			flags = header.IPv4FlagDontFragment
		}
		h := header.IPv4(b)
		h.Encode(&header.IPv4Fields{
			TOS: f.trafficClass, TotalLength: uint16(len(b)), ID: f.id, Flags: flags, TTL: f.hopLimit,
			Protocol: f.protocol, SrcAddr: tcpipAddress(f.src), DstAddr: tcpipAddress(f.dst),
		})
		h.SetChecksum(^h.CalculateChecksum())
		return
	}
	header.IPv6(b).Encode(&header.IPv6Fields{
		TrafficClass: f.trafficClass, PayloadLength: uint16(len(b) - header.IPv6MinimumSize), HopLimit: f.hopLimit,
		TransportProtocol: tcpip.TransportProtocolNumber(f.protocol),
		SrcAddr:           tcpipAddress(f.src), DstAddr: tcpipAddress(f.dst),
	})
}

// decrementHopLimit is a router's change to a packet.
func (p *packet) decrementHopLimit() {
	p.hopLimit--
	if p.v6 {
		header.IPv6(p.bytes).SetHopLimit(p.hopLimit)
		return
	}
	h := header.IPv4(p.bytes)
	h.SetTTL(p.hopLimit)
	p.refreshChecksum(h)
}

// setTrafficClass changes DSCP and ECN.
func (p *packet) setTrafficClass(class uint8) {
	p.trafficClass = class
	if p.v6 {
		h := header.IPv6(p.bytes)
		_, label := h.TOS()
		h.SetTOS(class, label)
		return
	}
	h := header.IPv4(p.bytes)
	h.SetTOS(class, 0)
	p.refreshChecksum(h)
}

func (p *packet) refreshChecksum(h header.IPv4) {
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
}

// pseudoChecksum starts a transport checksum over the pseudo header.
func pseudoChecksum(protocol uint8, src, dst netip.Addr, length int) uint16 {
	return header.PseudoHeaderChecksum(tcpip.TransportProtocolNumber(protocol), tcpipAddress(src), tcpipAddress(dst), uint16(length))
}

// writeUDP writes the header of the datagram b, whose payload is in place. In
// IPv4 the checksum zero means none, so a sum of zero is sent as all ones
// (RFC 768).
func writeUDP(b []byte, src, dst netip.AddrPort) {
	u := header.UDP(b)
	u.Encode(&header.UDPFields{SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(len(b))})
	sum := ^checksum.Checksum(b, pseudoChecksum(protocolUDP, src.Addr(), dst.Addr(), len(b)))
	if sum == 0 {
		sum = 0xffff
	}
	u.SetChecksum(sum)
}
