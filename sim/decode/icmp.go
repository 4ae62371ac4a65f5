package decode

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// icmpHeaderBytes are type, code, checksum and what depends on the type; in an
// error the packet that caused it follows (RFC 792, RFC 4443 §2.1, §3).
const icmpHeaderBytes = 8

// ICMP is what an ICMP message says.
type ICMP struct {
	Version    int // 4 or 6, of IP
	Type, Code uint8
	// MTU is that of the link that a packet was too big for, with HasMTU. A
	// router that does not know RFC 1191 says 0.
	MTU    uint32
	HasMTU bool
	// Quote is the packet that an error is about, nil without one.
	Quote *Quote
}

// Quote is the front of a packet inside an ICMP error, as far as it was quoted.
type Quote struct {
	Src, Dst         netip.Addr
	Protocol         uint8
	Later            bool // a fragment that is not the first
	SrcPort, DstPort uint16
	HasPorts         bool
	Kind             Kind
	// SPI and Seq are those of ESP and AH.
	SPI            uint32
	Seq            uint64
	HasSPI, HasSeq bool
	// Header is that of an IKE message, as far as HeaderBytes lead.
	Header      wire.Header
	HeaderBytes int
}

// parseICMP reads an ICMP message of which missing octets at the end were not captured.
func parseICMP(protocol uint8, b []byte, missing int) (*ICMP, *Malformed) {
	name, least := "ICMP", icmpHeaderBytes
	m := &ICMP{Version: 4}
	if protocol == protocolICMPv6 {
		name, least, m.Version = "ICMPv6", header.ICMPv6MinimumSize, 6
	}
	if len(b) < 2 || len(b) < least && missing == 0 {
		if missing > 0 {
			return nil, nil
		}
		return nil, &Malformed{Where: name, Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), least)}
	}
	m.Type, m.Code = b[0], b[1]
	if !m.isError() || len(b) < icmpHeaderBytes {
		return m, nil
	}
	switch {
	case m.Version == 4 && header.ICMPv4Type(m.Type) == header.ICMPv4DstUnreachable && header.ICMPv4Code(m.Code) == header.ICMPv4FragmentationNeeded:
		m.MTU, m.HasMTU = uint32(binary.BigEndian.Uint16(b[6:])), true // RFC 1191 §4
	case m.Version == 6 && header.ICMPv6Type(m.Type) == header.ICMPv6PacketTooBig:
		m.MTU, m.HasMTU = binary.BigEndian.Uint32(b[4:]), true
	}
	quoted := b[icmpHeaderBytes:]
	// RFC 4884 §3: a length in front of extensions, in words of 32 or 64 bits.
	length := 4 * int(b[5])
	if m.Version == 6 {
		length = 8 * int(b[4])
		if m.HasMTU || header.ICMPv6Type(m.Type) == header.ICMPv6ParamProblem {
			length = 0 // these octets are the MTU's, or the pointer's
		}
	}
	if length > 0 && length < len(quoted) {
		quoted = quoted[:length]
	}
	m.Quote = parseQuote(quoted)
	return m, nil
}

// isError reports whether a message quotes the packet that it is about.
func (m *ICMP) isError() bool {
	if m.Version == 6 {
		return m.Type < 128 // RFC 4443 §2.1
	}
	switch header.ICMPv4Type(m.Type) {
	case header.ICMPv4DstUnreachable, header.ICMPv4SrcQuench, header.ICMPv4Redirect, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return true
	}
	return false
}

// parseQuote reads the front of a packet, nil if it is none.
func parseQuote(b []byte) *Quote {
	g, malformed := parseIP(b, datagramBytesMax) // a quote is cut by whoever quotes
	if malformed != nil && !g.src.IsValid() || g.src == (netip.Addr{}) {
		return nil
	}
	q := &Quote{Src: g.src, Dst: g.dst, Protocol: g.protocol, Later: g.offset > 0, Kind: KindOther}
	if malformed != nil || g.offset > 0 {
		return q // what follows is the middle of something
	}
	p := g.payload
	switch g.protocol {
	case protocolUDP, protocolTCP:
		if len(p) < 4 {
			return q
		}
		q.SrcPort, q.DstPort, q.HasPorts = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:]), true
		if g.protocol == protocolUDP && len(p) >= header.UDPMinimumSize {
			q.udp(p[header.UDPMinimumSize:])
		}
	case protocolESP:
		q.secured(KindESP, p)
	case protocolAH:
		q.secured(KindAH, p[min(4, len(p)):])
	}
	return q
}

// udp reads what a quoted UDP datagram carries.
func (q *Quote) udp(p []byte) {
	switch {
	case q.SrcPort == portIKENATT || q.DstPort == portIKENATT:
		if len(p) < wire.NonESPMarkerBytes {
			return
		}
		if [wire.NonESPMarkerBytes]byte(p) != wire.NonESPMarker {
			q.secured(KindESP, p)
			return
		}
		p = p[wire.NonESPMarkerBytes:]
	case q.SrcPort != portIKE && q.DstPort != portIKE:
		return
	}
	if len(p) < initiatorSPIEnd {
		return
	}
	q.Kind = KindIKE
	q.Header, q.HeaderBytes = partialHeader(p)
}

// secured reads SPI and sequence number.
func (q *Quote) secured(kind Kind, p []byte) {
	q.Kind = kind
	if q.HasSPI = len(p) >= 4; q.HasSPI {
		q.SPI = binary.BigEndian.Uint32(p)
	}
	if q.HasSeq = len(p) >= 8; q.HasSeq {
		q.Seq = uint64(binary.BigEndian.Uint32(p[4:]))
	}
}

// partialHeader is an IKE header of which the end may be missing, and how many of
// its octets there are.
func partialHeader(b []byte) (wire.Header, int) {
	var whole [wire.HeaderBytes]byte
	n := copy(whole[:], b)
	h, _ := wire.ParseHeader(whole[:]) // it fails on short ones alone
	return h, n
}

// Names of types and codes (IANA, ICMP and ICMPv6 parameters).
var (
	icmp4Names = map[uint8]string{
		0: "echo reply", 3: "destination unreachable", 4: "source quench", 5: "redirect", 8: "echo request", 9: "router advertisement",
		10: "router solicitation", 11: "time exceeded", 12: "parameter problem", 13: "timestamp", 14: "timestamp reply",
	}
	icmp6Names = map[uint8]string{
		1: "destination unreachable", 2: "packet too big", 3: "time exceeded", 4: "parameter problem", 128: "echo request", 129: "echo reply",
		130: "multicast listener query", 131: "multicast listener report", 132: "multicast listener done", 133: "router solicitation",
		134: "router advertisement", 135: "neighbor solicitation", 136: "neighbor advertisement", 137: "redirect", 143: "multicast listener report",
	}
	icmp4Codes = map[[2]uint8]string{
		{3, 0}: "network unreachable", {3, 1}: "host unreachable", {3, 2}: "protocol unreachable", {3, 3}: "port unreachable",
		{3, 4}: "fragmentation needed", {3, 5}: "source route failed", {3, 6}: "network unknown", {3, 7}: "host unknown", {3, 8}: "source host isolated",
		{3, 9}: "network prohibited", {3, 10}: "host prohibited", {3, 11}: "network unreachable for TOS", {3, 12}: "host unreachable for TOS",
		{3, 13}: "administratively prohibited", {3, 14}: "host precedence violation", {3, 15}: "precedence cutoff",
		{5, 0}: "for the network", {5, 1}: "for the host", {5, 2}: "for TOS and network", {5, 3}: "for TOS and host",
		{11, 0}: "TTL exceeded in transit", {11, 1}: "fragment reassembly time exceeded",
		{12, 0}: "pointer indicates the error", {12, 1}: "missing a required option", {12, 2}: "bad length",
	}
	icmp6Codes = map[[2]uint8]string{
		{1, 0}: "no route", {1, 1}: "administratively prohibited", {1, 2}: "beyond scope of source address", {1, 3}: "address unreachable",
		{1, 4}: "port unreachable", {1, 5}: "source address failed policy", {1, 6}: "reject route", {1, 7}: "error in source routing header",
		{3, 0}: "hop limit exceeded in transit", {3, 1}: "fragment reassembly time exceeded",
		{4, 0}: "erroneous header field", {4, 1}: "unrecognised next header", {4, 2}: "unrecognised IPv6 option",
	}
)

// names are those of type and code, empty for a code that has none.
func (m *ICMP) names() (name, code string) {
	types, codes := icmp4Names, icmp4Codes
	if m.Version == 6 {
		types, codes = icmp6Names, icmp6Codes
	}
	name, ok := types[m.Type]
	if !ok {
		name = "type " + strconv.Itoa(int(m.Type))
	}
	code, ok = codes[[2]uint8{m.Type, m.Code}]
	if !ok && m.Code != 0 {
		code = "code " + strconv.Itoa(int(m.Code))
	}
	return name, code
}

// appendText writes "destination unreachable, port unreachable, about …".
func (m *ICMP) appendText(b []byte) []byte {
	name, code := m.names()
	b = append(b, name...)
	if code != "" {
		b = append(append(b, ", "...), code...)
	}
	if m.HasMTU {
		b = strconv.AppendUint(append(b, ", MTU "...), uint64(m.MTU), 10)
	}
	if m.Quote != nil {
		b = m.Quote.appendText(append(b, ", about "...))
	}
	return b
}

// appendText writes ends and what was between them.
func (q *Quote) appendText(b []byte) []byte {
	r := Record{Src: q.Src, Dst: q.Dst, SrcPort: q.SrcPort, DstPort: q.DstPort, HasPorts: q.HasPorts}
	b = append(appendEnd(b, &r, true), " > "...)
	b = append(appendEnd(b, &r, false), ' ')
	switch {
	case q.Kind == KindESP || q.Kind == KindAH:
		r = Record{SPI: q.SPI, Seq: q.Seq, HasSPI: q.HasSPI, HasSeq: q.HasSeq}
		return appendSecured(append(b, protocolName(secureProtocol(q.Kind))...), &r)
	case q.Kind == KindIKE && q.HeaderBytes >= messageIDEnd && q.Header.MajorVersion == 2:
		b = append(append(b, q.Header.Exchange.String()...), ' ')
		if q.Header.IsResponse() {
			b = append(b, "response "...)
		} else {
			b = append(b, "request "...)
		}
		return strconv.AppendUint(b, uint64(q.Header.MessageID), 10)
	case q.Kind == KindIKE && q.HeaderBytes >= messageIDEnd && q.Header.MajorVersion == 1:
		return appendIKEv1(b, q.Header)
	case q.Kind == KindIKE:
		return append(b, "IKE"...)
	case q.Later:
		b = append(b, "a later fragment of "...)
	}
	return append(b, protocolName(q.Protocol)...)
}

// secureProtocol is the IP protocol of a kind.
func secureProtocol(k Kind) uint8 {
	if k == KindAH {
		return protocolAH
	}
	return protocolESP
}

// appendJSON writes the field "icmp".
func (m *ICMP) appendJSON(b []byte) []byte {
	name, code := m.names()
	b = append(b, `,"icmp":{"type":`...)
	b = strconv.AppendUint(b, uint64(m.Type), 10)
	b = appendUint(b, "code", uint64(m.Code), true)
	if code != "" {
		name += ", " + code
	}
	b = append(b, `,"name":`...)
	b = appendString(b, name)
	b = appendUint(b, "mtu", uint64(m.MTU), m.HasMTU)
	if q := m.Quote; q != nil {
		b = append(b, `,"quoted":{"kind":"`...)
		b = append(b, q.Kind...)
		b = append(b, `","src":"`...)
		b = q.Src.AppendTo(b)
		b = append(b, `","dst":"`...)
		b = q.Dst.AppendTo(b)
		b = append(b, '"')
		b = appendUint(b, "protocol", uint64(q.Protocol), true)
		b = appendUint(b, "sport", uint64(q.SrcPort), q.HasPorts)
		b = appendUint(b, "dport", uint64(q.DstPort), q.HasPorts)
		r := Record{Header: q.Header, HeaderBytes: q.HeaderBytes, SPI: q.SPI, Seq: q.Seq, HasSPI: q.HasSPI, HasSeq: q.HasSeq}
		if q.Kind == KindIKE {
			b = appendIKEJSON(b, &r)
		} else {
			b = appendSecuredJSON(b, &r)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}
