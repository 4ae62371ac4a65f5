package node

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
)

func TestEchoReply(t *testing.T) {
	for _, c := range []struct{ name, src, dst string }{
		{"IPv4", "10.1.0.5", "10.1.0.1"},
		{"IPv4 by another interface's address", "10.1.0.5", "198.51.100.1"},
		{"IPv6", "2001:db8:1::5", "2001:db8:1::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := packets(router(t).Handle(0, PacketIn{Interface: 0, Bytes: echo(t, c.src, c.dst, 7, 9, []byte("payload"), tos(4), ttl(3))}))
			if len(got) != 1 {
				t.Fatalf("%d packets, want 1", len(got))
			}
			// The reply is the request from the other side, but for its type.
			request := decode(t, echo(t, c.dst, c.src, 7, 9, []byte("payload"), tos(4)))
			reply := decode(t, got[0].Bytes)
			if diff := cmp.Diff(request.NetworkLayer().NetworkFlow().String(), reply.NetworkLayer().NetworkFlow().String()); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
			want, have := request.NetworkLayer().LayerPayload(), reply.NetworkLayer().LayerPayload()
			if !bytes.Equal(want[4:], have[4:]) {
				t.Errorf("content %x, want %x", have[4:], want[4:])
			}
			if kind := have[0]; kind != 0 && kind != 129 {
				t.Errorf("type %d", kind)
			}
			if got[0].Interface != 0 || got[0].NextHop != addr(c.src) {
				t.Errorf("sent by interface %d to %v", got[0].Interface, got[0].NextHop)
			}
		})
	}
}

func TestEchoReachesTheInside(t *testing.T) {
	for _, c := range []struct{ name, dst, src string }{
		{"IPv4", "10.1.0.5", "10.1.0.1"},
		{"IPv6", "2001:db8:1::5", "2001:db8:1::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := router(t)
			sent := packets(n.Handle(0, EchoOut{Dst: addr(c.dst), ID: 7, Sequence: 9, Payload: []byte("ping")}))
			if len(sent) != 1 || sent[0].Origin != OriginLocal {
				t.Fatalf("sent %v", sent)
			}
			decode(t, sent[0].Bytes)
			if want := echo(t, c.src, c.dst, 7, 9, []byte("ping"), df); !bytes.Equal(sent[0].Bytes, want) {
				t.Errorf("sent\n%x, want\n%x", sent[0].Bytes, want)
			}
			peer := newNode(t, Config{Name: "p", Interfaces: []Interface{{Name: "a", Up: true,
				Addresses: []netip.Prefix{prefix("10.1.0.5/24"), prefix("2001:db8:1::5/64")}}}})
			reply := packets(peer.Handle(0, PacketIn{Interface: 0, Bytes: sent[0].Bytes}))
			if len(reply) != 1 {
				t.Fatalf("%d replies", len(reply))
			}
			got := delivers(n.Handle(0, PacketIn{Interface: 0, Bytes: reply[0].Bytes}))
			want := []Deliver{{Kind: DeliverEchoReply, Src: netip.AddrPortFrom(addr(c.dst), 0), Dst: netip.AddrPortFrom(addr(c.src), 0),
				Payload: []byte("ping"), HopLimit: 64, ID: 7, Sequence: 9}}
			if diff := cmp.Diff(want, got, comparers...); diff != "" {
				t.Errorf("delivered (-want +got):\n%s", diff)
			}
		})
	}
}

// comparers let cmp look at addresses.
var comparers = []cmp.Option{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func TestICMPErrors(t *testing.T) {
	narrow := func(c *Config) { c.Interfaces[1].MTUBytes = 1280 }
	alone := func(c *Config) { c.Routes = nil }
	for _, c := range []struct {
		name       string
		change     func(*Config)
		packet     []byte
		want       DropReason
		kind, code uint8
		mtu        uint32
	}{
		{"TTL", nil, udp(t, "10.1.0.5:1", "192.0.2.9:2", []byte("x"), ttl(1)), DropTTL, 11, 0, 0},
		{"hop limit", nil, udp(t, "[2001:db8:1::5]:1", "[2001:db8:9::1]:2", []byte("x"), ttl(1)), DropTTL, 3, 0, 0},
		{"network", alone, udp(t, "10.1.0.5:1", "192.0.2.9:2", nil), DropNoRoute, 3, 0, 0},
		{"network of IPv6", alone, udp(t, "[2001:db8:1::5]:1", "[2001:db8:9::1]:2", nil), DropNoRoute, 1, 0, 0},
		{"port", nil, udp(t, "10.1.0.5:1", "10.1.0.1:2", nil), DropPortClosed, 3, 3, 0},
		{"port of IPv6", nil, udp(t, "[2001:db8:1::5]:1", "[2001:db8:1::1]:2", nil), DropPortClosed, 1, 4, 0},
		{"protocol", nil, build(t, ip("10.1.0.5", "10.1.0.1", 99)), DropProtocol, 3, 2, 0},
		{"protocol of IPv6", nil, build(t, ip("2001:db8:1::5", "2001:db8:1::1", 99)), DropProtocol, 4, 1, 6},
		{"ESP at a plain host", nil, build(t, ip("10.1.0.5", "10.1.0.1", 50)), DropProtocol, 3, 2, 0},
		{"fragmentation needed", narrow, udp(t, "10.1.0.5:1", "192.0.2.9:2", make([]byte, 1300), df), DropTooBig, 3, 4, 1280},
		{"packet too big", narrow, udp(t, "[2001:db8:1::5]:1", "[2001:db8:9::1]:2", make([]byte, 1300)), DropTooBig, 2, 0, 1280},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := router(t)
			if c.change != nil {
				n = router(t, c.change)
			}
			out := n.Handle(0, PacketIn{Interface: 0, Bytes: slices.Clone(c.packet)})
			if diff := cmp.Diff([]DropReason{c.want}, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			sent := packets(out)
			if len(sent) != 1 || sent[0].Origin != OriginICMPError || sent[0].Interface != 0 {
				t.Fatalf("sent %v, want one error by the LAN", sent)
			}
			p := decode(t, sent[0].Bytes)
			if src := p.NetworkLayer().NetworkFlow().Src().String(); src != "10.1.0.1" && src != "2001:db8:1::1" {
				t.Errorf("the error comes from %s, want the LAN's address", src)
			}
			m := p.NetworkLayer().LayerPayload()
			mtu := uint32(binary.BigEndian.Uint16(m[6:]))
			if p.NetworkLayer().LayerType() == layers.LayerTypeIPv6 {
				mtu = binary.BigEndian.Uint32(m[4:])
			}
			if m[0] != c.kind || m[1] != c.code || mtu != c.mtu {
				t.Errorf("type %d code %d with %d, want type %d code %d with %d", m[0], m[1], mtu, c.kind, c.code, c.mtu)
			}
			quote := m[8:]
			if len(sent[0].Bytes) > 1280 || len(quote) < min(len(c.packet), 28) || !bytes.Equal(quote[12:], c.packet[12:len(quote)]) {
				t.Errorf("quotes %d bytes %x…, want the packet %x…", len(quote), quote[:20], c.packet[:20])
			}
			for _, e := range events(out) {
				if e.Kind == EventICMPError && (e.ICMP.Type != c.kind || e.ICMP.Code != c.code) {
					t.Errorf("event %v", e.ICMP)
				}
			}
		})
	}
}

func TestNobodyIsToldAbout(t *testing.T) {
	quote := udp(t, "10.1.0.1:1", "10.1.0.5:2", nil)
	for _, c := range []struct {
		name   string
		packet []byte
	}{
		{"an error", build(t, ip("10.1.0.5", "192.0.2.9", layers.IPProtocolICMPv4, ttl(1)),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}, &rawLayer{quote})},
		{"an unknown ICMP message", build(t, ip("10.1.0.5", "192.0.2.9", layers.IPProtocolICMPv4, ttl(1)),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(200, 0)})},
		{"a later fragment", build(t, ip("10.1.0.5", "192.0.2.9", layers.IPProtocolUDP, ttl(1), fragmentOf(1, 64, false)), &rawLayer{make([]byte, 20)})},
		{"an IPv6 error", func() []byte {
			network := ip("2001:db8:1::5", "2001:db8:9::1", layers.IPProtocolICMPv6, ttl(1))
			return build(t, network, icmp6(t, network, 1, 0), &rawLayer{make([]byte, 60)})
		}()},
		{"ICMP too short to tell", build(t, ip("10.1.0.5", "192.0.2.9", layers.IPProtocolICMPv4, ttl(1)), &rawLayer{[]byte{8, 0}})},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := router(t).Handle(0, PacketIn{Interface: 0, Bytes: slices.Clone(c.packet)})
			if diff := cmp.Diff([]DropReason{DropTTL}, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if sent := packets(out); len(sent) != 0 {
				t.Errorf("sent %d packets", len(sent))
			}
		})
	}
}

func TestICMPErrorsAreBoundedByLabTime(t *testing.T) {
	n := router(t)
	send := func(now time.Duration) (errors, suppressed int) {
		out := n.Handle(now, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.5:1", "10.1.0.1:2", nil)})
		for _, e := range events(out) {
			if e.Kind == EventICMPSuppressed {
				suppressed++
			}
		}
		return len(packets(out)), suppressed
	}
	total := 0
	for range icmpErrorBurstMax + 10 {
		sent, _ := send(0)
		total += sent
	}
	if total != icmpErrorBurstMax {
		t.Errorf("%d errors at once, want %d", total, icmpErrorBurstMax)
	}
	if sent, suppressed := send((icmpErrorIntervalMs - 1) * ms); sent != 0 || suppressed != 1 {
		t.Errorf("before an interval: %d errors, %d suppressed", sent, suppressed)
	}
	if sent, _ := send(icmpErrorIntervalMs * ms); sent != 1 {
		t.Errorf("after an interval: %d errors, want 1", sent)
	}
	if sent, _ := send(icmpErrorIntervalMs * ms); sent != 0 {
		t.Errorf("after the interval's one: %d errors, want 0", sent)
	}
	// Asking in the middle of an interval moves no interval.
	if sent, _ := send(icmpErrorIntervalMs * 5 / 2 * ms); sent != 1 {
		t.Errorf("in the middle of the next: %d errors, want 1", sent)
	}
	if sent, _ := send(icmpErrorIntervalMs * 3 * ms); sent != 1 {
		t.Errorf("at the third: %d errors, want 1", sent)
	}
}

func TestErrorReachesTheInside(t *testing.T) {
	n := router(t)
	sent := packets(n.Handle(0, DatagramOut{Src: port("198.51.100.1:4000"), Dst: port("192.0.2.9:5000"), Payload: []byte("x"), HopLimit: 2}))
	if len(sent) != 1 {
		t.Fatalf("sent %v", sent)
	}
	next := newNode(t, Config{Name: "next", Forward: true,
		Interfaces: []Interface{{Name: "a", Up: true, Addresses: []netip.Prefix{prefix("198.51.100.2/24")}}},
		Routes:     []Route{{Prefix: prefix("192.0.2.0/24"), Via: addr("198.51.100.3")}}})
	hop := packets(next.Handle(0, PacketIn{Interface: 0, Bytes: sent[0].Bytes}))
	if len(hop) != 1 {
		t.Fatalf("the next hop sent %v", hop)
	}
	reports := packets(next.Handle(0, NeighborFailed{Interface: 0, Bytes: hop[0].Bytes}))
	if len(reports) != 1 {
		t.Fatalf("the next hop reported %v", reports)
	}
	got := delivers(n.Handle(0, PacketIn{Interface: 1, Bytes: reports[0].Bytes}))
	if len(got) != 1 || got[0].Kind != DeliverICMPError || got[0].Type != 3 || got[0].Code != 1 {
		t.Fatalf("delivered %v", got)
	}
	want := PacketKey{Src: addr("198.51.100.1"), Dst: addr("192.0.2.9"), Protocol: 17, SrcPort: 4000, DstPort: 5000, PortsKnown: true, Bytes: 29}
	if diff := cmp.Diff(want, got[0].Quoted, comparers...); diff != "" {
		t.Errorf("quoted (-want +got):\n%s", diff)
	}
}

// TestNeighborOfOwnPacketFails reports inside what no neighbour took, but for IKE
// and ESP, which no process of the host waits for.
func TestNeighborOfOwnPacketFails(t *testing.T) {
	n := tunnel(t, nil)[0]
	out := n.Handle(0, NeighborFailed{Interface: 1, Bytes: udp(t, "198.51.100.1:4000", "198.51.100.9:5000", nil)})
	if got := delivers(out); len(got) != 1 || got[0].Type != 3 || got[0].Code != 1 || !slices.Equal(reasons(out), []DropReason{DropHostUnreachable}) {
		t.Errorf("delivered %v, %v", got, reasons(out))
	}
	for _, b := range [][]byte{udp(t, "198.51.100.1:500", "198.51.100.2:500", nil), build(t, ip("198.51.100.1", "198.51.100.2", 50), &rawLayer{make([]byte, 40)})} {
		out := n.Handle(0, NeighborFailed{Interface: 1, Bytes: b})
		if len(delivers(out)) != 0 || len(packets(out)) != 0 || !slices.Equal(reasons(out), []DropReason{DropHostUnreachable}) {
			t.Errorf("delivered %v, %v", delivers(out), reasons(out))
		}
	}
	if out := n.Handle(0, NeighborFailed{Interface: 1, Bytes: []byte{0x45}}); len(out) != 0 {
		t.Errorf("half a packet: %v", out)
	}
}

func TestICMPIsRefused(t *testing.T) {
	message4 := func(kind uint8, body []byte) []byte {
		return build(t, ip("10.1.0.5", "10.1.0.1", layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0)}, &rawLayer{body})
	}
	message6 := func(kind uint8, body []byte) []byte {
		network := ip("2001:db8:1::5", "2001:db8:1::1", layers.IPProtocolICMPv6)
		return build(t, network, icmp6(t, network, kind, 0), &rawLayer{append(make([]byte, 4), body...)})
	}
	damaged := func(b []byte) []byte {
		b[len(b)-1] ^= 1
		return b
	}
	for _, c := range []struct {
		name   string
		packet []byte
		want   DropReason
	}{
		{"a bad checksum", damaged(echo(t, "10.1.0.5", "10.1.0.1", 1, 1, []byte("x"))), DropChecksum},
		{"a bad checksum of IPv6", damaged(echo(t, "2001:db8:1::5", "2001:db8:1::1", 1, 1, []byte("x"))), DropChecksum},
		{"half a header", build(t, ip("10.1.0.5", "10.1.0.1", 1), &rawLayer{[]byte{8, 0, 0}}), DropTruncated},
		{"half a header of IPv6", build(t, ip("2001:db8:1::5", "2001:db8:1::1", 58), &rawLayer{[]byte{128, 0, 0}}), DropTruncated},
		{"a redirect", message4(5, make([]byte, 28)), DropICMPUnhandled},
		{"a router advertisement", message6(134, make([]byte, 8)), DropICMPUnhandled},
		{"ICMPv6 in IPv4", build(t, ip("10.1.0.5", "10.1.0.1", 58), &rawLayer{make([]byte, 8)}), DropProtocol},
		{"an error about nothing", message4(3, nil), DropICMPUnhandled},
		{"an error about half a header", message4(3, udp(t, "10.1.0.1:1", "10.1.0.5:2", nil)[:12]), DropICMPUnhandled},
		{"an error about another's packet", message4(3, udp(t, "10.1.0.77:1", "10.1.0.5:2", nil)), DropICMPUnhandled},
		{"an error about half an IPv6 header", message6(1, udp(t, "[2001:db8:1::1]:1", "[2001:db8:1::5]:2", nil)[:30]), DropICMPUnhandled},
		{"an error about another version", message4(3, []byte{0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), DropICMPUnhandled},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := router(t).Handle(0, PacketIn{Interface: 0, Bytes: c.packet})
			if diff := cmp.Diff([]DropReason{c.want}, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if len(delivers(out)) != 0 {
				t.Errorf("delivered %v", delivers(out))
			}
		})
	}
}

func TestOwnPacketsFailInside(t *testing.T) {
	n := router(t, func(c *Config) { c.Routes = nil; c.Interfaces[1].MTUBytes = 1280 })
	out := n.Handle(0, DatagramOut{Src: port("198.51.100.1:4000"), Dst: port("198.51.100.9:5000"), Payload: make([]byte, 1400)})
	got := delivers(out)
	if len(packets(out)) != 0 || len(got) != 1 || got[0].Kind != DeliverICMPError || got[0].MTU != 1280 || got[0].Quoted.DstPort != 5000 {
		t.Errorf("too big: delivered %v, sent %d", got, len(packets(out)))
	}
	out = n.Handle(0, DatagramOut{Src: port("198.51.100.1:4000"), Dst: port("192.0.2.9:5000")})
	if got := delivers(out); len(got) != 1 || got[0].Type != 3 || got[0].Code != 0 {
		t.Errorf("no route: delivered %v", got)
	}
}
