package sim

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// Well-known numbers that tell IKE and ESP on a wire.
const (
	protocolESP       = 50
	protocolICMP      = 1
	protocolICMPv6    = 58
	protocolTCP       = 6
	protocolUDP       = 17
	portIKE           = 500
	portIKENAT        = 4500
	nonESPMarkerBytes = 4    // RFC 3948, section 2.2
	keepaliveOctet    = 0xff // RFC 3948, section 2.3
	ikeMajorVersion   = 2
	exchangeTypeAt    = 18 // RFC 7296, section 3.1
)

// sight is a packet as somebody sees it who stands beside the wire and knows no
// node: addresses, ports, and IKE or ESP where it shows. The invariants judge by
// it, so it is read here and not by the code that is judged.
type sight struct {
	bytes    []byte
	src, dst netip.Addr
	protocol uint8
	// srcPort and dstPort are those of UDP and TCP; for ICMP both hold
	// type<<8|code (RFC 7296, section 3.13.1). They are known only when portsKnown.
	srcPort, dstPort uint16
	portsKnown       bool
	// ike is the IKE message, without marker, nil when the packet carries none: what
	// stands at an IKE port and says of itself that it is IKEv2 of that length.
	ike []byte
	// atIKE is what stands at an IKE port where IKE would, IKE or not, when it is as
	// long as an IKE header.
	atIKE []byte
	// keepalive says that the packet is a NAT keepalive (RFC 3948, section 2.3).
	keepalive bool
	// inside is what follows the header of UDP or ICMP.
	inside []byte
	// esp is the ESP packet from its SPI on, nil when the packet carries none.
	esp []byte
	// icmp is the ICMP message, nil when the packet is none.
	icmp []byte
	// partial says that the packet is the first of several fragments, so that
	// ike, esp and icmp are only the beginning.
	partial bool
	// later says that the packet is a fragment but the first, which shows no more of
	// what it belongs to than its addresses, protocol and fragmentID. The latter is
	// that of every fragment, the first included.
	later      bool
	fragmentID uint32
}

// inFragments says whether the packet is a fragment, the first or a later one.
func (s *sight) inFragments() bool { return s.partial || s.later }

// ikeBytes is the length of the IKE message in octets. Of a first fragment it is
// what the message itself says.
func (s *sight) ikeBytes() int {
	if s.partial {
		return int(binary.BigEndian.Uint32(s.ike[24:]))
	}
	return len(s.ike)
}

// atIKEBytes is the length of what stands where IKE would, which of a first fragment
// that is no IKE is only as much as it has.
func (s *sight) atIKEBytes() int {
	if s.ike != nil {
		return s.ikeBytes()
	}
	return len(s.atIKE)
}

// fromIKEPort says whether the packet comes from a port of IKE, as all that a node
// sends as IKE does.
func (s *sight) fromIKEPort() bool { return s.srcPort == portIKE || s.srcPort == portIKENAT }

// icmpHeaderBytes is the length of an ICMP error in front of what it quotes
// (RFC 792, RFC 4443).
const icmpHeaderBytes = 8

// quote is the packet that an ICMP error is about, nil for other packets.
func (s *sight) quote() []byte {
	if len(s.icmp) < icmpHeaderBytes {
		return nil
	}
	isError := s.protocol == protocolICMPv6 && s.icmp[0] < 128
	if s.protocol == protocolICMP {
		switch header.ICMPv4Type(s.icmp[0]) {
		case header.ICMPv4DstUnreachable, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
			isError = true
		}
	}
	if !isError {
		return nil
	}
	return s.icmp[icmpHeaderBytes:]
}

// look reads a packet into s. It answers false when that is not an IP packet
// whole enough to have addresses.
func (s *sight) look(b []byte) bool {
	*s = sight{bytes: b}
	var payload []byte
	var first bool // not a later fragment
	switch header.IPVersion(b) {
	case header.IPv4Version:
		h := header.IPv4(b)
		if len(b) < header.IPv4MinimumSize || int(h.HeaderLength()) < header.IPv4MinimumSize || len(b) < int(h.HeaderLength()) {
			return false
		}
		s.src, s.dst = netip.AddrFrom4(h.SourceAddress().As4()), netip.AddrFrom4(h.DestinationAddress().As4())
		s.protocol = h.Protocol()
		first = h.FragmentOffset() == 0
		s.partial, s.later = first && h.More(), !first
		if s.inFragments() {
			s.fragmentID = uint32(h.ID())
		}
		payload = b[h.HeaderLength():]
	case header.IPv6Version:
		h := header.IPv6(b)
		if len(b) < header.IPv6MinimumSize {
			return false
		}
		s.src, s.dst = netip.AddrFrom16(h.SourceAddress().As16()), netip.AddrFrom16(h.DestinationAddress().As16())
		payload = b[header.IPv6MinimumSize:]
		s.protocol, payload, first = s.skipExtensions(h.NextHeader(), payload)
	default:
		return false
	}
	if first {
		s.lookTransport(payload)
	}
	return true
}

// skipExtensions walks over IPv6 extension headers (RFC 8200, section 4) to
// the transport header. first is false behind a later fragment's header.
func (s *sight) skipExtensions(next uint8, b []byte) (protocol uint8, payload []byte, first bool) {
	for {
		switch next {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if len(b) < 8 || len(b) < 8+8*int(b[1]) {
				return next, nil, false
			}
			next, b = b[0], b[8+8*int(b[1]):]
		case header.IPv6FragmentHeader:
			f := header.IPv6Fragment(b)
			if !f.IsValid() {
				return next, nil, false
			}
			s.later = f.FragmentOffset() != 0
			s.partial = !s.later && f.More()
			if s.inFragments() {
				s.fragmentID = f.ID()
			}
			if next, b = f.NextHeader(), b[header.IPv6FragmentHeaderSize:]; s.later {
				return next, nil, false
			}
		default:
			return next, b, true
		}
	}
}

func (s *sight) lookTransport(b []byte) {
	switch s.protocol {
	case protocolICMP, protocolICMPv6:
		if len(b) >= 2 {
			s.icmp, s.inside = b, b[min(len(b), icmpHeaderBytes):]
			s.srcPort = binary.BigEndian.Uint16(b)
			s.dstPort, s.portsKnown = s.srcPort, true
		}
	case protocolUDP:
		if len(b) < header.UDPMinimumSize {
			return
		}
		u := header.UDP(b)
		s.srcPort, s.dstPort, s.portsKnown = u.SourcePort(), u.DestinationPort(), true
		s.inside = u.Payload()
		s.lookUDP(s.inside, int(u.Length())-header.UDPMinimumSize)
	case protocolESP:
		s.esp = b
	default:
		if len(b) >= 4 {
			s.srcPort, s.dstPort, s.portsKnown = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), true
		}
	}
}

// lookUDP tells IKE from ESP in UDP by the marker (RFC 3948, section 2). bytes is the
// length of the whole payload, of which a fragment has only the beginning.
func (s *sight) lookUDP(payload []byte, bytes int) {
	switch {
	case s.srcPort == portIKENAT || s.dstPort == portIKENAT:
		if len(payload) < nonESPMarkerBytes {
			s.keepalive = len(payload) == 1 && payload[0] == keepaliveOctet
			return
		}
		if binary.BigEndian.Uint32(payload) != 0 {
			s.esp = payload
			return
		}
		s.atIKE, bytes = payload[nonESPMarkerBytes:], bytes-nonESPMarkerBytes
	case s.srcPort == portIKE || s.dstPort == portIKE:
		s.atIKE = payload
	}
	h, err := wire.ParseHeader(s.atIKE)
	if err != nil {
		s.atIKE = nil
		return
	}
	if h.MajorVersion == ikeMajorVersion && !h.InitiatorSPI.IsZero() && int64(h.Length) == int64(bytes) {
		s.ike = s.atIKE
	}
}

// sameFamily reports whether two addresses are of one family.
func sameFamily(a, b netip.Addr) bool { return a.BitLen() == b.BitLen() }

// within reports whether addr lies in the selector's range.
func within(addr netip.Addr, s wire.Selector) bool {
	return s.Start.IsValid() && sameFamily(addr, s.Start) && s.Start.Compare(addr) <= 0 && addr.Compare(s.End) <= 0
}

// selects reports whether one end of the packet, addr and port, falls under the
// selector. A packet that does not show its ports falls under selectors of any
// port and under OPAQUE ones.
func (s *sight) selects(selector wire.Selector, addr netip.Addr, port uint16) bool {
	if !within(addr, selector) || selector.IPProtocol != 0 && selector.IPProtocol != s.protocol {
		return false
	}
	if selector.StartPort == 0 && selector.EndPort == 65535 {
		return true
	}
	if selector.IsOpaque() || !s.portsKnown {
		return selector.IsOpaque() && !s.portsKnown
	}
	return selector.StartPort <= port && port <= selector.EndPort
}

// under reports whether the packet falls under a policy: its source under a
// selector of the local side, its destination under one of the remote side.
func (s *sight) under(local, remote []wire.Selector) bool {
	for _, l := range local {
		if !s.selects(l, s.src, s.srcPort) {
			continue
		}
		for _, r := range remote {
			if s.selects(r, s.dst, s.dstPort) {
				return true
			}
		}
	}
	return false
}
