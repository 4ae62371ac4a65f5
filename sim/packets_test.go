package sim

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// Addresses of the tests: two gateways and a host behind each.
var (
	gwA   = netip.MustParseAddr("198.51.100.1")
	gwB   = netip.MustParseAddr("198.51.100.2")
	hostA = netip.MustParseAddr("10.1.0.2")
	hostB = netip.MustParseAddr("10.2.0.2")
	host6 = netip.MustParseAddr("2001:db8:1::2")
	peer6 = netip.MustParseAddr("2001:db8:2::2")
)

// ip makes an IP packet around a payload.
func ip(src, dst netip.Addr, protocol uint8, payload []byte) []byte {
	if src.Is4() {
		b := make([]byte, header.IPv4MinimumSize+len(payload))
		header.IPv4(b).Encode(&header.IPv4Fields{
			TotalLength: uint16(len(b)), TTL: 64, Protocol: protocol,
			SrcAddr: tcpip.AddrFrom4(src.As4()), DstAddr: tcpip.AddrFrom4(dst.As4()),
		})
		copy(b[header.IPv4MinimumSize:], payload)
		return b
	}
	b := make([]byte, header.IPv6MinimumSize+len(payload))
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(payload)), TransportProtocol: tcpip.TransportProtocolNumber(protocol), HopLimit: 64,
		SrcAddr: tcpip.AddrFrom16(src.As16()), DstAddr: tcpip.AddrFrom16(dst.As16()),
	})
	copy(b[header.IPv6MinimumSize:], payload)
	return b
}

// udp makes a UDP packet.
func udp(src, dst netip.Addr, srcPort, dstPort uint16, payload []byte) []byte {
	u := make([]byte, header.UDPMinimumSize+len(payload))
	header.UDP(u).Encode(&header.UDPFields{SrcPort: srcPort, DstPort: dstPort, Length: uint16(len(u))})
	copy(u[header.UDPMinimumSize:], payload)
	return ip(src, dst, protocolUDP, u)
}

// esp makes an ESP packet whose content nobody can read.
func esp(src, dst netip.Addr, spi, sequence uint32) []byte {
	b := make([]byte, 40)
	binary.BigEndian.PutUint32(b, spi)
	binary.BigEndian.PutUint32(b[4:], sequence)
	return ip(src, dst, protocolESP, b)
}

// icmpError makes an ICMPv4 error about a packet.
func icmpError(src, dst netip.Addr, about []byte) []byte {
	return ip(src, dst, protocolICMP, append([]byte{byte(header.ICMPv4TimeExceeded), 0, 0, 0, 0, 0, 0, 0}, about...))
}

// ikeMessage makes an IKE message with a vendor ID of so many octets to tell
// messages apart by.
func ikeMessage(t *testing.T, h wire.Header, body string) []byte {
	t.Helper()
	b, err := (&wire.Message{Header: h, Payloads: []wire.Payload{&wire.VendorID{Data: []byte(body)}}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ikePacket makes an IKE packet between the gateways, by port 500 or 4500.
func ikePacket(t *testing.T, src, dst netip.Addr, port uint16, h wire.Header, body string) []byte {
	t.Helper()
	message := ikeMessage(t, h, body)
	if port == portIKENAT {
		message = append(make([]byte, nonESPMarkerBytes), message...)
	}
	return udp(src, dst, port, port, message)
}

// see parses a packet as the run does.
func see(t *testing.T, packet []byte) *sight {
	t.Helper()
	var s sight
	if !s.look(packet) {
		t.Fatalf("the packet %x has no addresses", packet)
	}
	return &s
}
