package node

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// addr and prefix shorten the tables.
func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func port(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// build serializes layers with lengths and checksums by gopacket, so that no
// test packet is made by the code under test.
func build(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// header options of the packets that ip4 and ip6 make.
type ipOption func(*layers.IPv4, *layers.IPv6)

func ttl(n uint8) ipOption {
	return func(a *layers.IPv4, b *layers.IPv6) { a.TTL, b.HopLimit = n, n }
}
func df(a *layers.IPv4, _ *layers.IPv6) { a.Flags |= layers.IPv4DontFragment }
func tos(n uint8) ipOption {
	return func(a *layers.IPv4, b *layers.IPv6) { a.TOS, b.TrafficClass = n, n }
}
func fragmentOf(id uint16, offset int, more bool) ipOption {
	return func(a *layers.IPv4, _ *layers.IPv6) {
		a.Id, a.FragOffset = id, uint16(offset/8)
		if more {
			a.Flags |= layers.IPv4MoreFragments
		}
	}
}

// ip makes the network layer for two addresses of one family.
func ip(src, dst string, protocol layers.IPProtocol, options ...ipOption) gopacket.SerializableLayer {
	a := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: addr(src).AsSlice(), DstIP: addr(dst).AsSlice()}
	b := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: addr(src).AsSlice(), DstIP: addr(dst).AsSlice()}
	for _, o := range options {
		o(a, b)
	}
	if addr(dst).Is4() {
		return a
	}
	return b
}

// udp makes a datagram.
func udp(t testing.TB, src, dst string, payload []byte, options ...ipOption) []byte {
	t.Helper()
	from, to := port(src), port(dst)
	network := ip(from.Addr().String(), to.Addr().String(), layers.IPProtocolUDP, options...)
	u := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	if err := u.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	return build(t, network, u, gopacket.Payload(payload))
}

// echo makes an echo request.
func echo(t testing.TB, src, dst string, id, sequence uint16, payload []byte, options ...ipOption) []byte {
	t.Helper()
	if addr(dst).Is4() {
		return build(t, ip(src, dst, layers.IPProtocolICMPv4, options...),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: id, Seq: sequence}, gopacket.Payload(payload))
	}
	network := ip(src, dst, layers.IPProtocolICMPv6, options...)
	return build(t, network, icmp6(t, network, 128, 0), &layers.ICMPv6Echo{Identifier: id, SeqNumber: sequence}, gopacket.Payload(payload))
}

func icmp6(t testing.TB, network gopacket.SerializableLayer, kind, code uint8) *layers.ICMPv6 {
	t.Helper()
	h := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, code)}
	if err := h.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
		t.Fatal(err)
	}
	return h
}

// decode reads a packet with gopacket and checks every checksum in it by making
// the packet again.
func decode(t testing.TB, b []byte) gopacket.Packet {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("undecodable packet %x: %v", b, e.Error())
	}
	for _, l := range p.Layers() {
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := c.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err, mismatches := p.VerifyChecksums(); err != nil || len(mismatches) > 0 {
		t.Fatalf("checksums of %v: %v %v", p, err, mismatches)
	}
	return p
}

// packets, events and delivers sort outputs by kind, as copies that stay.
func packets(out []Output) (all []PacketOut) {
	for _, o := range out {
		if p, ok := o.(*PacketOut); ok {
			c := *p
			c.Bytes = bytes.Clone(p.Bytes)
			all = append(all, c)
		}
	}
	return all
}

func events(out []Output) (all []Event) {
	for _, o := range out {
		if e, ok := o.(*Event); ok {
			all = append(all, *e)
		}
	}
	return all
}

func delivers(out []Output) (all []Deliver) {
	for _, o := range out {
		if d, ok := o.(*Deliver); ok {
			c := *d
			c.Payload = bytes.Clone(d.Payload)
			all = append(all, c)
		}
	}
	return all
}

// reasons are those of all drops, in order.
func reasons(out []Output) (all []DropReason) {
	for _, e := range events(out) {
		if e.Kind == EventPacketDropped || e.Kind == EventPolicyDrop {
			all = append(all, e.Drop.Reason)
		}
	}
	return all
}

// router is a node between a LAN and a WAN in both families, with a default
// route by the WAN.
func router(t testing.TB, change ...func(*Config)) *Node {
	t.Helper()
	cfg := Config{
		Name: "r", Forward: true,
		Interfaces: []Interface{
			{Name: "lan", Up: true, Addresses: []netip.Prefix{prefix("10.1.0.1/24"), prefix("2001:db8:1::1/64")}},
			{Name: "wan", Up: true, Addresses: []netip.Prefix{prefix("198.51.100.1/24"), prefix("2001:db8:ff::1/64")}},
		},
		Routes: []Route{
			{Prefix: prefix("0.0.0.0/0"), Via: addr("198.51.100.2"), Interface: "wan"},
			{Prefix: prefix("::/0"), Via: addr("2001:db8:ff::2")},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return newNode(t, cfg)
}

func newNode(t testing.TB, cfg Config) *Node {
	t.Helper()
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const ms = time.Millisecond
