package node

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"
)

func TestForwardTakesTheLongestPrefix(t *testing.T) {
	n := router(t, func(c *Config) {
		c.Routes = append(c.Routes,
			Route{Prefix: prefix("203.0.113.0/24"), Via: addr("198.51.100.3")},
			Route{Prefix: prefix("203.0.113.64/26"), Via: addr("198.51.100.4")},
			Route{Prefix: prefix("2001:db8:2::/48"), Via: addr("2001:db8:ff::3")})
	})
	for _, c := range []struct {
		name, src, dst string
		iface          int
		next           string
	}{
		{"default", "10.1.0.5", "192.0.2.9", 1, "198.51.100.2"},
		{"shorter", "10.1.0.5", "203.0.113.1", 1, "198.51.100.3"},
		{"longer", "10.1.0.5", "203.0.113.65", 1, "198.51.100.4"},
		{"connected", "192.0.2.9", "10.1.0.5", 0, "10.1.0.5"},
		{"default of IPv6", "2001:db8:1::5", "2001:db8:9::1", 1, "2001:db8:ff::2"},
		{"longer of IPv6", "2001:db8:1::5", "2001:db8:2::1", 1, "2001:db8:ff::3"},
		{"connected of IPv6", "2001:db8:9::1", "2001:db8:1::5", 0, "2001:db8:1::5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := udp(t, netip.AddrPortFrom(addr(c.src), 1000).String(), netip.AddrPortFrom(addr(c.dst), 2000).String(), []byte("hello"), tos(0xb8))
			got := packets(n.Handle(0, PacketIn{Interface: 1 - c.iface, Bytes: slices.Clone(sent)}))
			if len(got) != 1 {
				t.Fatalf("%d packets, want 1", len(got))
			}
			want := udp(t, netip.AddrPortFrom(addr(c.src), 1000).String(), netip.AddrPortFrom(addr(c.dst), 2000).String(), []byte("hello"), tos(0xb8), ttl(63))
			if diff := cmp.Diff(PacketOut{Interface: c.iface, NextHop: addr(c.next), Bytes: want, Origin: OriginForwarded}, got[0],
				cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("forwarded packet (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLookupModel holds the table to a search for the longest prefix among routes
// that are drawn at random, close together so that they nest.
func TestLookupModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		drawn := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Route {
			b := [4]byte{10, rapid.Byte().Draw(rt, "b") & 3, rapid.Byte().Draw(rt, "c") & 3, 0}
			return Route{Prefix: netip.PrefixFrom(netip.AddrFrom4(b), rapid.IntRange(8, 26).Draw(rt, "bits")).Masked(),
				Interface: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "interface")}
		}), 0, 12).Draw(rt, "routes")
		down := rapid.IntRange(0, 3).Draw(rt, "down")
		cfg := Config{Name: "m", Routes: drawn}
		for i, name := range []string{"a", "b", "c"} {
			cfg.Interfaces = append(cfg.Interfaces, Interface{Name: name, Up: i != down})
		}
		n, err := New(cfg)
		if err != nil {
			rt.Fatal(err)
		}
		for range 20 {
			dst := netip.AddrFrom4([4]byte{10, rapid.Byte().Draw(rt, "b") & 3, rapid.Byte().Draw(rt, "c") & 3, rapid.Byte().Draw(rt, "d")})
			want, bits := -1, -1
			for _, r := range drawn {
				if i := int(r.Interface[0] - 'a'); i != down && r.Prefix.Contains(dst) && r.Prefix.Bits() > bits {
					want, bits = i, r.Prefix.Bits()
				}
			}
			iface, next, ok := n.routes.lookup(dst)
			if ok != (want >= 0) || (ok && (iface != want || next != dst)) {
				rt.Fatalf("%v goes to %d (%v), want %d", dst, iface, ok, want)
			}
		}
	})
}

func TestReceiveRefuses(t *testing.T) {
	good := udp(t, "10.1.0.5:1000", "192.0.2.9:2000", []byte("hello"))
	good6 := udp(t, "[2001:db8:1::5]:1000", "[2001:db8:9::1]:2000", []byte("hello"))
	change := func(b []byte, at int, v ...byte) []byte {
		b = slices.Clone(b)
		copy(b[at:], v)
		return b
	}
	sourceRoute := build(t, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: addr("10.1.0.5").AsSlice(), DstIP: addr("192.0.2.9").AsSlice(),
		Options: []layers.IPv4Option{{OptionType: 131, OptionLength: 7, OptionData: []byte{4, 10, 1, 0, 9}}}})
	routing := append(slices.Clone(good6[:40]), 17, 0, 0, 1, 0, 0, 0, 0)
	routing = change(append(routing, good6[40:]...), 4, 0, byte(len(good6)-40+8), 43)
	hopByHopLate := append(slices.Clone(good6[:40]), 0, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0)
	hopByHopLate = change(append(hopByHopLate, good6[40:]...), 4, 0, byte(len(good6)-40+16), 60)
	endless := slices.Clone(good6[:40])
	for range extensionHeadersMax + 1 {
		endless = append(endless, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	endless = change(endless, 4, 0, byte(len(endless)-40), 60)

	for _, c := range []struct {
		name   string
		packet []byte
		want   DropReason
	}{
		{"nothing", nil, DropTruncated},
		{"version 5", change(good, 0, 0x55), DropHeaderInvalid},
		{"half a header", good[:19], DropTruncated},
		{"less than its length", good[:len(good)-1], DropTruncated},
		{"header length below 20", change(good, 0, 0x44), DropHeaderInvalid},
		{"header longer than the packet", change(good[:20], 0, 0x4f, 0, 0, 20), DropHeaderInvalid},
		{"bad checksum", change(good, 8, 65), DropChecksum},
		{"source route", sourceRoute, DropSourceRoute},
		{"half an IPv6 header", good6[:39], DropTruncated},
		{"less than its IPv6 length", good6[:len(good6)-1], DropTruncated},
		{"routing header with segments left", routing, DropSourceRoute},
		{"hop-by-hop header behind another", hopByHopLate, DropHeaderInvalid},
		{"too many extension headers", endless, DropHeaderInvalid},
		{"extension header behind the end", change(good6, 6, 60, 64, 0x20), DropTruncated},
		{"from nowhere", udp(t, "0.0.0.0:1", "192.0.2.9:2", nil), DropMartian},
		{"from loopback", udp(t, "127.0.0.1:1", "192.0.2.9:2", nil), DropMartian},
		{"to loopback", udp(t, "10.1.0.5:1", "127.0.0.1:2", nil), DropMartian},
		{"from multicast", udp(t, "224.0.0.9:1", "192.0.2.9:2", nil), DropMartian},
		{"from the node itself", udp(t, "198.51.100.1:1", "192.0.2.9:2", nil), DropMartian},
		{"from a broadcast address", udp(t, "10.1.0.255:1", "192.0.2.9:2", nil), DropMartian},
		{"from IPv6 loopback", udp(t, "[::1]:1", "[2001:db8:9::1]:2", nil), DropMartian},
		{"from a mapped address", udp(t, "[2001:db8:1::5]:1", "[2001:db8:9::1]:2", nil)[:40], DropTruncated},
		{"link-local", udp(t, "[fe80::5]:1", "[2001:db8:9::1]:2", nil), DropMartian},
		{"to multicast", udp(t, "10.1.0.5:1", "224.0.0.9:2", nil), DropMulticast},
		{"to a directed broadcast", udp(t, "192.0.2.9:1", "10.1.0.255:2", nil), DropMulticast},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := router(t).Handle(0, PacketIn{Interface: 0, Bytes: slices.Clone(c.packet)})
			if diff := cmp.Diff([]DropReason{c.want}, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if sent := packets(out); len(sent) > 0 {
				t.Errorf("answered with %d packets", len(sent))
			}
		})
	}
}

func TestTwoHostsOnASlash31(t *testing.T) {
	n := router(t, func(c *Config) {
		c.Interfaces[1].Addresses = []netip.Prefix{prefix("198.51.100.2/31"), prefix("2001:db8:ff::1/64")}
	})
	out := n.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.5:1", "198.51.100.3:2", nil)})
	if got := packets(out); len(got) != 1 || got[0].NextHop != addr("198.51.100.3") {
		t.Errorf("the other end of a /31 (RFC 3021): %v", reasons(out))
	}
}

func TestHostDoesNotForward(t *testing.T) {
	n := router(t, func(c *Config) { c.Forward = false })
	out := n.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.5:1", "192.0.2.9:2", nil)})
	if diff := cmp.Diff([]DropReason{DropNotForUs}, reasons(out)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestInterfaceDownTakesItsRoutesAway(t *testing.T) {
	n := router(t)
	packet := func() []byte { return udp(t, "10.1.0.5:1", "192.0.2.9:2", nil) }

	out := n.Handle(0, InterfaceChange{Interface: 1, Up: false})
	if got := events(out); len(got) != 1 || got[0].Kind != EventInterfaceDown || got[0].Interface != 1 {
		t.Errorf("going down: events %v", got)
	}
	if diff := cmp.Diff([]DropReason{DropNoRoute}, reasons(n.Handle(0, PacketIn{Interface: 0, Bytes: packet()}))); diff != "" {
		t.Errorf("towards the interface (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]DropReason{DropInterfaceDown}, reasons(n.Handle(0, PacketIn{Interface: 1, Bytes: udp(t, "192.0.2.9:2", "10.1.0.5:1", nil)}))); diff != "" {
		t.Errorf("from the interface (-want +got):\n%s", diff)
	}
	if got := events(n.Handle(0, InterfaceChange{Interface: 1, Up: false})); len(got) != 0 {
		t.Errorf("down again: events %v", got)
	}
	n.Handle(0, InterfaceChange{Interface: 1, Up: true})
	if got := packets(n.Handle(0, PacketIn{Interface: 0, Bytes: packet()})); len(got) != 1 {
		t.Errorf("up again: %d packets, want 1", len(got))
	}
}

func TestAddressChange(t *testing.T) {
	n := router(t)
	n.Handle(0, AddressChange{Interface: 1, Addresses: []netip.Prefix{prefix("203.0.113.7/24")}})
	sent := packets(n.Handle(0, EchoOut{Dst: addr("203.0.113.9"), ID: 1, Sequence: 1}))
	if len(sent) != 1 || decode(t, sent[0].Bytes).NetworkLayer().NetworkFlow().Src().String() != "203.0.113.7" {
		t.Errorf("packets after the change: %v", sent)
	}
	out := n.Handle(0, PacketIn{Interface: 1, Bytes: echo(t, "203.0.113.9", "198.51.100.1", 1, 1, nil)})
	if diff := cmp.Diff([]DropReason{DropTTL}, reasons(n.Handle(0, PacketIn{Interface: 1, Bytes: echo(t, "203.0.113.9", "198.51.100.1", 1, 1, nil, ttl(1))}))); diff != "" {
		t.Errorf("the old address is still taken for the node's (-want +got):\n%s", diff)
	}
	if len(delivers(out)) != 0 {
		t.Errorf("the old address still delivers")
	}
	bad := events(n.Handle(0, AddressChange{Interface: 1, Addresses: []netip.Prefix{prefix("224.0.0.1/24")}}))
	if len(bad) != 1 || bad[0].Problem == "" {
		t.Errorf("a multicast address: events %v, want a problem", bad)
	}
}

func TestSourceAddress(t *testing.T) {
	n := newNode(t, Config{
		Name: "h",
		Interfaces: []Interface{
			{Name: "a", Up: true, Addresses: []netip.Prefix{prefix("10.0.0.1/24"), prefix("10.0.7.1/24"), prefix("2001:db8::1/64"), prefix("2001:db8:0:1::1/64")}},
			{Name: "b", Up: true, Addresses: []netip.Prefix{prefix("192.0.2.1/24")}},
			{Name: "c", Up: true},
		},
		Routes: []Route{{Prefix: prefix("0.0.0.0/0"), Via: addr("192.0.2.2")}, {Prefix: prefix("172.16.0.0/12"), Interface: "c"}},
	})
	for _, c := range []struct{ name, dst, want string }{
		{"its network", "10.0.7.9", "10.0.7.1"},
		{"the first of equals", "10.0.0.9", "10.0.0.1"},
		{"the outgoing interface", "203.0.113.1", "192.0.2.1"},
		{"another when that has none", "172.16.0.9", "10.0.0.1"},
		{"itself", "192.0.2.1", "192.0.2.1"},
		{"longest common prefix", "2001:db8:0:1::9", "2001:db8:0:1::1"},
		{"no route", "2001:db9::1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := n.sourceFor(PacketKey{Dst: addr(c.dst)})
			if ok != (c.want != "") || (ok && got != addr(c.want)) {
				t.Errorf("source %v (%v), want %q", got, ok, c.want)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	one := []Interface{{Name: "a", Addresses: []netip.Prefix{prefix("10.0.0.1/24")}}}
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"interfaces of one name", Config{Interfaces: append(slices.Clone(one), one...)}},
		{"an interface without name", Config{Interfaces: []Interface{{}}}},
		{"a multicast address", Config{Interfaces: []Interface{{Name: "a", Addresses: []netip.Prefix{prefix("224.0.0.1/8")}}}}},
		{"a mapped address", Config{Interfaces: []Interface{{Name: "a", Addresses: []netip.Prefix{prefix("::ffff:10.0.0.1/120")}}}}},
		{"an MTU too small for IPv4", Config{Interfaces: []Interface{{Name: "a", MTUBytes: 67}}}},
		{"an MTU too small for IPv6", Config{Interfaces: []Interface{{Name: "a", MTUBytes: 1279, Addresses: []netip.Prefix{prefix("2001:db8::1/64")}}}}},
		{"a route by no interface", Config{Interfaces: one, Routes: []Route{{Prefix: prefix("0.0.0.0/0"), Via: addr("10.0.1.1")}}}},
		{"a route by an unknown interface", Config{Interfaces: one, Routes: []Route{{Prefix: prefix("0.0.0.0/0"), Interface: "b"}}}},
		{"a next hop of another family", Config{Interfaces: one, Routes: []Route{{Prefix: prefix("::/0"), Via: addr("10.0.0.2")}}}},
		{"a route to nowhere", Config{Interfaces: one, Routes: []Route{{Interface: "a"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, err := New(c.cfg); err == nil {
				t.Errorf("New made %v, want an error", n)
			}
		})
	}
}
