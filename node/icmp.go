package node

import (
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/esp"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// quote4Max and quote6Max bound an error message, in bytes: RFC 1812
	// §4.3.2.3 says 576, RFC 4443 §2.4(c) the minimum MTU.
	quote4Max = 576
	quote6Max = header.IPv6MinimumMTU

	// icmpErrorBurstMax and icmpErrorIntervalMs are the token bucket that
	// RFC 4443 §2.4(f) and RFC 1812 §4.3.2.8 demand: so many errors at once,
	// then one per interval.
	icmpErrorBurstMax   = 50
	icmpErrorIntervalMs = 10
)

// errorKind is an ICMP error in the terms that both families share.
type errorKind uint8

const (
	errorNetUnreachable errorKind = iota
	errorHostUnreachable
	errorProtocolUnreachable
	errorPortUnreachable
	errorTooBig
	errorTimeExceeded
	errorReassemblyTimeout
)

// errorType4 and errorType6 give the kinds their numbers.
var errorType4 = [...]struct {
	kind header.ICMPv4Type
	code header.ICMPv4Code
}{
	errorNetUnreachable:      {header.ICMPv4DstUnreachable, header.ICMPv4NetUnreachable},
	errorHostUnreachable:     {header.ICMPv4DstUnreachable, header.ICMPv4HostUnreachable},
	errorProtocolUnreachable: {header.ICMPv4DstUnreachable, header.ICMPv4ProtoUnreachable},
	errorPortUnreachable:     {header.ICMPv4DstUnreachable, header.ICMPv4PortUnreachable},
	errorTooBig:              {header.ICMPv4DstUnreachable, header.ICMPv4FragmentationNeeded},
	errorTimeExceeded:        {header.ICMPv4TimeExceeded, header.ICMPv4TTLExceeded},
	errorReassemblyTimeout:   {header.ICMPv4TimeExceeded, header.ICMPv4ReassemblyTimeout},
}

var errorType6 = [...]struct {
	kind header.ICMPv6Type
	code header.ICMPv6Code
}{
	errorNetUnreachable:      {header.ICMPv6DstUnreachable, header.ICMPv6NetworkUnreachable},
	errorHostUnreachable:     {header.ICMPv6DstUnreachable, header.ICMPv6AddressUnreachable},
	errorProtocolUnreachable: {header.ICMPv6ParamProblem, header.ICMPv6UnknownHeader},
	errorPortUnreachable:     {header.ICMPv6DstUnreachable, header.ICMPv6PortUnreachable},
	errorTooBig:              {header.ICMPv6PacketTooBig, 0},
	errorTimeExceeded:        {header.ICMPv6TimeExceeded, header.ICMPv6HopLimitExceeded},
	errorReassemblyTimeout:   {header.ICMPv6TimeExceeded, header.ICMPv6ReassemblyTimeout},
}

// tokenBucket bounds a rate by the lab's time.
type tokenBucket struct {
	tokens int
	// filled is up to when tokens have been added.
	filled time.Duration
}

// take uses one token if there is one.
func (t *tokenBucket) take(now time.Duration) bool {
	const interval = icmpErrorIntervalMs * time.Millisecond
	if fresh := int((now - t.filled) / interval); fresh > 0 {
		t.tokens = min(icmpErrorBurstMax, t.tokens+fresh)
		t.filled += time.Duration(fresh) * interval
	}
	if t.tokens == 0 {
		return false
	}
	t.tokens--
	return true
}

// isICMPError says whether p itself reports an error, or cannot be told from
// one.
func isICMPError(p *packet) bool {
	switch p.key.Protocol {
	case protocolICMP:
		if !p.key.PortsKnown {
			return true
		}
		switch header.ICMPv4Type(p.key.SrcPort >> 8) {
		case header.ICMPv4Echo, header.ICMPv4EchoReply, header.ICMPv4Timestamp, header.ICMPv4TimestampReply,
			header.ICMPv4InfoRequest, header.ICMPv4InfoReply:
			return false
		}
		return true
	case protocolICMPv6:
		return !p.key.PortsKnown || header.ICMPv6Type(p.key.SrcPort>>8).IsErrorType()
	}
	return false
}

// sendError reports to p's source why p went no further. RFC 1122 §3.2.2,
// RFC 1812 §4.3.2.7 and RFC 4443 §2.4(e) say about which packets nobody is
// told: errors, later fragments, and those with an address that is not one
// host's, which do not get this far. A packet that this host sent itself is
// reported inside, as a socket error is.
func (n *Node) sendError(p *packet, kind errorKind, mtu int) {
	if isICMPError(p) || p.laterFragment() {
		return
	}
	if p.arrived == fromInside && p.via == nil {
		if p.origin == OriginLocal {
			n.deliverOwnError(p, kind, mtu)
		}
		return
	}
	tunnelled := p.via != nil || n.lookup(esp.DirectionIn, p.key) != nil
	src, ok := n.errorSource(p, kind, tunnelled)
	if !ok {
		return
	}
	if !n.icmpErrors.take(n.now) {
		n.event(EventICMPSuppressed, p.arrived).Drop = Drop{Reason: DropICMPRateLimited, Packet: p.key}
		return
	}
	b := makeError(p, kind, mtu, src)
	var e packet
	if parse(b, &e) != "" {
		return
	}
	e.origin = OriginICMPError
	e.mustProtect = tunnelled
	event := n.event(EventICMPError, p.arrived)
	event.ICMP = ICMPError{To: p.key.Src, Type: uint8(e.key.SrcPort >> 8), Code: uint8(e.key.SrcPort), MTU: uint32(mtu), About: p.key}
	n.output(&e)
}

// errorSource chooses whom an error comes from: for a packet out of a tunnel an
// address that the tunnel carries, else one of the interface where the packet
// came in, so that the report takes the packet's way back.
func (n *Node) errorSource(p *packet, kind errorKind, tunnelled bool) (netip.Addr, bool) {
	if !tunnelled {
		if src, ok := sourceOn(&n.interfaces[p.arrived], p.key.Src); ok {
			return src, true
		}
	}
	k := PacketKey{Dst: p.key.Src, Protocol: protocolICMP, PortsKnown: true}
	if p.v6 {
		k.Protocol = protocolICMPv6
	}
	k.SrcPort = errorPort(p.v6, kind)
	k.DstPort = k.SrcPort
	return n.sourceFor(k)
}

// errorPort is an error's type and code as selectors see them.
func errorPort(v6 bool, kind errorKind) uint16 {
	if v6 {
		return uint16(errorType6[kind].kind)<<8 | uint16(errorType6[kind].code)
	}
	return uint16(errorType4[kind].kind)<<8 | uint16(errorType4[kind].code)
}

// makeError builds the error message about p, quoting as much as the family
// allows.
func makeError(p *packet, kind errorKind, mtu int, src netip.Addr) []byte {
	ip := ipHeaderBytes(src)
	limit := quote4Max
	if p.v6 {
		limit = quote6Max
	}
	quote := p.bytes[:min(len(p.bytes), limit-ip-header.ICMPv4MinimumSize)]
	b := make([]byte, ip+header.ICMPv4MinimumSize+len(quote))
	copy(b[ip+header.ICMPv4MinimumSize:], quote)
	if p.v6 {
		writeIP(b, ipFields{src: src, dst: p.key.Src, protocol: protocolICMPv6, hopLimit: hopLimitDefault})
		h := header.ICMPv6(b[ip:])
		h.SetType(errorType6[kind].kind)
		h.SetCode(errorType6[kind].code)
		switch kind {
		case errorTooBig:
			h.SetMTU(uint32(mtu))
		case errorProtocolUnreachable:
			// The pointer shows the next header field at fault: the fixed
			// header's, unless extension headers follow.
			h.SetTypeSpecific(uint32(p.nextHeaderAt))
		}
		sumICMP6(h, src, p.key.Src)
		return b
	}
	writeIP(b, ipFields{src: src, dst: p.key.Src, protocol: protocolICMP, hopLimit: hopLimitDefault, dontFragment: true})
	h := header.ICMPv4(b[ip:])
	h.SetType(errorType4[kind].kind)
	h.SetCode(errorType4[kind].code)
	if kind == errorTooBig {
		h.SetMTU(uint16(mtu))
	}
	sumICMP4(h)
	return b
}

// sumICMP4 and sumICMP6 set a whole message's checksum.
func sumICMP4(h header.ICMPv4) {
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
}

func sumICMP6(h header.ICMPv6, src, dst netip.Addr) {
	h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h, Src: tcpipAddress(src), Dst: tcpipAddress(dst)}))
}

// deliverOwnError tells the inside that its packet p could not be sent.
func (n *Node) deliverOwnError(p *packet, kind errorKind, mtu int) {
	d := n.deliver(DeliverICMPError, p)
	d.Src, d.Dst = netip.AddrPortFrom(p.key.Src, 0), netip.AddrPortFrom(p.key.Src, 0)
	d.Payload = p.bytes
	d.MTU = uint32(mtu)
	d.Quoted = p.key
	if p.v6 {
		d.Type, d.Code = uint8(errorType6[kind].kind), uint8(errorType6[kind].code)
	} else {
		d.Type, d.Code = uint8(errorType4[kind].kind), uint8(errorType4[kind].code)
	}
}

// inputICMP4 handles an ICMPv4 message for this host.
func (n *Node) inputICMP4(p *packet) {
	h := header.ICMPv4(p.payload())
	if len(h) < header.ICMPv4MinimumSize {
		n.drop(p, DropTruncated)
		return
	}
	if checksum.Checksum(h, 0) != 0xffff {
		n.drop(p, DropChecksum)
		return
	}
	switch h.Type() {
	case header.ICMPv4Echo:
		h.SetType(header.ICMPv4EchoReply)
		sumICMP4(h)
		n.answer(p)
	case header.ICMPv4EchoReply:
		n.deliverEchoReply(p, h.Ident(), h.Sequence(), h.Payload())
	case header.ICMPv4DstUnreachable, header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		e := inputICMPError{kind: uint8(h.Type()), code: uint8(h.Code())}
		if e.tooBig = h.Type() == header.ICMPv4DstUnreachable && h.Code() == header.ICMPv4FragmentationNeeded; e.tooBig {
			e.mtu = h.MTU()
		}
		n.inputError(p, e, h.Payload())
	default:
		n.drop(p, DropICMPUnhandled)
	}
}

// inputICMP6 handles an ICMPv6 message for this host. Links resolve no
// neighbours here, so neighbour discovery has nothing to say.
func (n *Node) inputICMP6(p *packet) {
	h := header.ICMPv6(p.payload())
	if len(h) < header.ICMPv6MinimumSize {
		n.drop(p, DropTruncated)
		return
	}
	if checksum.Checksum(h, pseudoChecksum(protocolICMPv6, p.key.Src, p.key.Dst, len(h))) != 0xffff {
		n.drop(p, DropChecksum)
		return
	}
	switch h.Type() {
	case header.ICMPv6EchoRequest:
		h.SetType(header.ICMPv6EchoReply)
		h.SetCode(0)
		sumICMP6(h, p.key.Dst, p.key.Src)
		n.answer(p)
	case header.ICMPv6EchoReply:
		n.deliverEchoReply(p, h.Ident(), h.Sequence(), h.Payload())
	case header.ICMPv6DstUnreachable, header.ICMPv6PacketTooBig, header.ICMPv6TimeExceeded, header.ICMPv6ParamProblem:
		e := inputICMPError{kind: uint8(h.Type()), code: uint8(h.Code())}
		if e.tooBig = h.Type() == header.ICMPv6PacketTooBig; e.tooBig {
			e.mtu = uint16(min(h.MTU(), 0xffff))
		}
		n.inputError(p, e, h.Payload())
	default:
		n.drop(p, DropICMPUnhandled)
	}
}

// answer sends the echo request p, its ICMP part already turned into the reply,
// back to where it came from. The reply has the request's DSCP and ECN, as hosts
// do it. It may be cut whatever the request says, as Linux' replies may: who asks
// with a long packet wants to know whether one arrives, and cannot know the way back.
// IPv6's is cut here (RFC 8200 §5).
func (n *Node) answer(p *packet) {
	// Extension headers and options of the request are not sent back.
	b := p.bytes[p.transport-ipHeaderBytes(p.key.Src):]
	writeIP(b, ipFields{src: p.key.Dst, dst: p.key.Src, protocol: p.key.Protocol,
		trafficClass: p.trafficClass, hopLimit: hopLimitDefault, id: uint16(n.nextID(p.key.Src))})
	n.outputBytes(b, true, false)
}

func (n *Node) deliverEchoReply(p *packet, id, sequence uint16, payload []byte) {
	d := n.deliver(DeliverEchoReply, p)
	d.ID, d.Sequence = id, sequence
	d.Payload = payload
}

// inputICMPError is an ICMP error for this host, in the numbering of its family.
type inputICMPError struct {
	kind, code uint8
	// tooBig is true for frag-needed and packet-too-big, which name an MTU in bytes.
	tooBig bool
	mtu    uint16
}

// inputError takes an error about a packet of this host to where it belongs: one about
// IKE or ESP stays here, all others go inside. About IKE and ESP only packet-too-big says
// anything that IKE does not find out more reliably.
func (n *Node) inputError(p *packet, e inputICMPError, quoted []byte) {
	q, ok := parseQuote(quoted)
	if !ok || !n.routes.isLocal(q.key.Src) {
		n.drop(p, DropICMPUnhandled)
		return
	}
	if e.tooBig && !n.learnTooBig(p, &q, int(e.mtu)) {
		n.drop(p, DropICMPUnproven)
		return
	}
	if n.quotesOuter(&q) {
		return
	}
	d := n.deliver(DeliverICMPError, p)
	d.Type, d.Code, d.MTU = e.kind, e.code, uint32(e.mtu)
	d.Payload = quoted
	d.Quoted = q.key
}
