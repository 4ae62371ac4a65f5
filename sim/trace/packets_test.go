package trace

import (
	"encoding/binary"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// The addresses of a small lab: gw-a has two of each version, host none of its own.
var (
	gwA4   = netip.MustParseAddr("192.0.2.1")
	gwA4b  = netip.MustParseAddr("198.51.100.1")
	gwA6   = netip.MustParseAddr("2001:db8::1")
	gwB4   = netip.MustParseAddr("192.0.2.2")
	gwB6   = netip.MustParseAddr("2001:db8::2")
	host4  = netip.MustParseAddr("10.1.0.7")
	server = netip.MustParseAddr("10.2.0.9")
	host6  = netip.MustParseAddr("2001:db8:a::7")
	srv6   = netip.MustParseAddr("2001:db8:b::9")
)

func owner(a netip.Addr) (string, bool) {
	switch a {
	case gwA4, gwA4b, gwA6:
		return "gw-a", true
	case gwB4, gwB6:
		return "gw-b", true
	}
	return "", false
}

// random are the values of a packet that a foreign implementation or kernel draws, or that change on the way.
type random struct {
	ttl  uint8
	ipID uint16
}

func tcpipAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// ip puts an IP header in front of a payload.
func (r random) ip(src, dst netip.Addr, protocol uint8, payload []byte) []byte {
	if src.Is6() {
		b := make([]byte, header.IPv6MinimumSize)
		header.IPv6(b).Encode(&header.IPv6Fields{
			PayloadLength:     uint16(len(payload)),
			TransportProtocol: tcpip.TransportProtocolNumber(protocol),
			HopLimit:          r.ttl,
			SrcAddr:           tcpipAddr(src),
			DstAddr:           tcpipAddr(dst),
		})
		return append(b, payload...)
	}
	b := make([]byte, header.IPv4MinimumSize)
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b) + len(payload)),
		TTL:         r.ttl,
		ID:          r.ipID,
		Protocol:    protocol,
		SrcAddr:     tcpipAddr(src),
		DstAddr:     tcpipAddr(dst),
	})
	h.SetChecksum(^h.CalculateChecksum())
	return append(b, payload...)
}

func (r random) udp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, payload []byte) []byte {
	b := make([]byte, header.UDPMinimumSize)
	length := uint16(len(b) + len(payload))
	u := header.UDP(b)
	u.Encode(&header.UDPFields{SrcPort: sport, DstPort: dport, Length: length})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber, tcpipAddr(src), tcpipAddr(dst), length)
	u.SetChecksum(^u.CalculateChecksum(checksum.Checksum(payload, sum)))
	return r.ip(src, dst, protocolUDP, append(b, payload...))
}

func (r random) tcp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, seq, ack uint32, flags header.TCPFlags, payload []byte) []byte {
	b := make([]byte, header.TCPMinimumSize)
	h := header.TCP(b)
	h.Encode(&header.TCPFields{
		SrcPort: sport, DstPort: dport, SeqNum: seq, AckNum: ack,
		DataOffset: header.TCPMinimumSize, Flags: flags, WindowSize: r.ipID,
	})
	sum := header.PseudoHeaderChecksum(header.TCPProtocolNumber, tcpipAddr(src), tcpipAddr(dst), uint16(len(b)+len(payload)))
	h.SetChecksum(^h.CalculateChecksum(checksum.Checksum(payload, sum)))
	return r.ip(src, dst, protocolTCP, append(b, payload...))
}

// echo is a ping, or its answer.
func (r random) echo(src, dst netip.Addr, reply bool, id, seq uint16, payload []byte) []byte {
	if src.Is6() {
		h := header.ICMPv6(append(make([]byte, header.ICMPv6EchoMinimumSize), payload...))
		h.SetType(header.ICMPv6EchoRequest)
		if reply {
			h.SetType(header.ICMPv6EchoReply)
		}
		h.SetIdent(id)
		h.SetSequence(seq)
		h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h, Src: tcpipAddr(src), Dst: tcpipAddr(dst)}))
		return r.ip(src, dst, protocolICMPv6, h)
	}
	h := header.ICMPv4(append(make([]byte, header.ICMPv4MinimumSize), payload...))
	h.SetType(header.ICMPv4Echo)
	if reply {
		h.SetType(header.ICMPv4EchoReply)
	}
	h.SetIdent(id)
	h.SetSequence(seq)
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
	return r.ip(src, dst, protocolICMP, h)
}

// unreachable is an ICMP error that quotes a packet.
func (r random) unreachable(src, dst netip.Addr, quoted []byte) []byte {
	if src.Is6() {
		h := header.ICMPv6(append(make([]byte, header.ICMPv6DstUnreachableMinimumSize), quoted...))
		h.SetType(header.ICMPv6DstUnreachable)
		h.SetCode(4)
		h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h, Src: tcpipAddr(src), Dst: tcpipAddr(dst)}))
		return r.ip(src, dst, protocolICMPv6, h)
	}
	h := header.ICMPv4(append(make([]byte, header.ICMPv4MinimumSize), quoted...))
	h.SetType(header.ICMPv4DstUnreachable)
	h.SetCode(3)
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
	return r.ip(src, dst, protocolICMP, h)
}

// esp is the visible part of an ESP packet and some ciphertext.
func esp(spi, seq uint32, ciphertext []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, spi)
	b = binary.BigEndian.AppendUint32(b, seq)
	return append(b, ciphertext...)
}

// ike is an IKE message whose Encrypted or, with a fragment number, Encrypted Fragment payload holds some
// ciphertext.
func ike(spi uint64, exchange wire.ExchangeType, flags wire.Flags, id uint32, fragment uint16, ciphertext []byte) []byte {
	m := wire.Message{Header: wire.Header{
		InitiatorSPI: wire.SPI(binary.BigEndian.AppendUint64(nil, spi)),
		Exchange:     exchange, Flags: flags, MessageID: id,
	}}
	if exchange != wire.ExchangeIKESAInit {
		m.Header.ResponderSPI = wire.SPI{7: 1}
	}
	body := append(make([]byte, 32), ciphertext...)
	if fragment > 0 {
		first := wire.PayloadNone
		if fragment == 1 {
			first = wire.PayloadIDi
		}
		m.Payloads = []wire.Payload{&wire.EncryptedFragment{First: first, Number: fragment, Total: 9, Body: body}}
	} else {
		m.Payloads = []wire.Payload{&wire.Encrypted{First: wire.PayloadIDi, Body: body}}
	}
	b, err := m.Append(nil)
	if err != nil {
		panic(err)
	}
	return b
}

// marked puts the non-ESP marker in front of an IKE message (RFC 3948 §2.2).
func marked(message []byte) []byte {
	return append(wire.NonESPMarker[:], message...)
}

// fragments cuts an IPv4 packet behind the first n bytes of its payload; n is a multiple of 8.
func fragments(packet []byte, n int) (first, second []byte) {
	h := header.IPv4(packet)
	piece := func(payload []byte, flags uint8, offset uint16) []byte {
		b := append(append([]byte(nil), packet[:header.IPv4MinimumSize]...), payload...)
		p := header.IPv4(b)
		p.SetTotalLength(uint16(len(b)))
		p.SetFlagsFragmentOffset(flags, offset)
		p.SetChecksum(0)
		p.SetChecksum(^p.CalculateChecksum())
		return b
	}
	payload := h.Payload()
	return piece(payload[:n], header.IPv4FlagMoreFragments, 0), piece(payload[n:], 0, uint16(n))
}

// fragments6 does the same for an IPv6 packet (RFC 8200 §4.5).
func fragments6(packet []byte, id uint32, n int) (first, second []byte) {
	h := header.IPv6(packet)
	piece := func(payload []byte, more bool, offset int) []byte {
		extension := make([]byte, 8)
		extension[0] = h.NextHeader()
		word := uint16(offset)
		if more {
			word |= 1
		}
		binary.BigEndian.PutUint16(extension[2:], word)
		binary.BigEndian.PutUint32(extension[4:], id)
		b := append(append([]byte(nil), packet[:header.IPv6MinimumSize]...), extension...)
		b = append(b, payload...)
		p := header.IPv6(b)
		p.SetNextHeader(44)
		p.SetPayloadLength(uint16(len(extension) + len(payload)))
		return b
	}
	return piece(h.Payload()[:n], true, 0), piece(h.Payload()[n:], false, n)
}
