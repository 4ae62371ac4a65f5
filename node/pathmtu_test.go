package node

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
)

// Two hosts of one network, A and B, talk through a router whose second link is
// narrower: the first datagram is lost to the router's report, the next ones are cut
// to what it said, and ten minutes later A tries the whole length again.
func TestPathMTUDiscovery(t *testing.T) {
	for _, c := range []struct {
		name, dst string
		source    netip.Addr
		mtu       int
	}{
		{"IPv4", "192.0.2.9:7", addr("10.1.0.5"), 1300},
		{"IPv6", "[2001:db8:9::9]:7", addr("2001:db8:1::5"), 1300},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := router(t, func(cfg *Config) { cfg.Interfaces[1].MTUBytes = c.mtu })
			a := newNode(t, Config{Name: "a",
				Interfaces: []Interface{{Name: "e", Up: true, Addresses: []netip.Prefix{prefix("10.1.0.5/24"), prefix("2001:db8:1::5/64")}}},
				Routes: []Route{
					{Prefix: prefix("0.0.0.0/0"), Via: addr("10.1.0.1"), Interface: "e"},
					{Prefix: prefix("::/0"), Via: addr("2001:db8:1::1"), Interface: "e"},
				}})
			// through sends a datagram from A and returns what gets past the router;
			// what the router sends back goes to A.
			through := func(now time.Duration, size int) (passed []PacketOut) {
				out := DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port(c.dst), Payload: pattern(size), Discover: true}
				for _, p := range packets(a.Handle(now, out)) {
					for _, q := range packets(r.Handle(now, PacketIn{Interface: 0, Bytes: bytes.Clone(p.Bytes)})) {
						if q.Interface == 1 {
							passed = append(passed, q)
							continue
						}
						a.Handle(now, PacketIn{Interface: 0, Bytes: bytes.Clone(q.Bytes)})
					}
				}
				return passed
			}
			if got := through(0, 1400); len(got) != 0 {
				t.Fatalf("%d packets of 1400 bytes and more passed a link of %d", len(got), c.mtu)
			}
			got := through(time.Second, 1400)
			if len(got) != 2 || len(got[0].Bytes) > c.mtu || len(got[0].Bytes) < c.mtu-8 {
				t.Fatalf("after the report %d packets passed, want 2, the first filling %d bytes", len(got), c.mtu)
			}
			if got := through(2*time.Second, 1000); len(got) != 1 {
				t.Errorf("a datagram that fits became %d packets", len(got))
			}
			if got := through(601*time.Second, 1400); len(got) != 0 {
				t.Errorf("after ten minutes %d packets passed; A should have tried the whole length again", len(got))
			}
		})
	}
}

// What does not fit the first link is cut without anybody's report.
func TestDiscoverCutsForTheFirstLink(t *testing.T) {
	a, _ := ends(t, 1500)
	for _, dst := range []string{"10.1.0.2:7", "[2001:db8:1::2]:7"} {
		out := DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port(dst), Payload: pattern(3000), Discover: true}
		if got := packets(a.Handle(0, out)); len(got) != 3 {
			t.Errorf("3000 bytes to %s became %d packets, want 3", dst, len(got))
		}
	}
}

func TestPathMTUsAreBounded(t *testing.T) {
	var m PathMTUs
	first := addr("192.0.2.1")
	for i, dst := 0, first; i <= pathMTUsMax; i, dst = i+1, dst.Next() {
		m.Learn(0, Path{Remote: dst}, 1300)
	}
	if got := len(m.known); got > pathMTUsMax {
		t.Errorf("%d paths are remembered, at most %d may be", got, pathMTUsMax)
	}
}

// TestPathMTUEstimate takes reports of one path in order. An estimate falls and never
// rises by a report, has a floor, and becomes too old ten minutes after it last fell, but
// not in the five minutes behind any report.
func TestPathMTUEstimate(t *testing.T) {
	const minute = 60_000 * ms
	type step struct {
		at     time.Duration
		report int // -1 is none
		want   PathMTU
	}
	for _, c := range []struct {
		name, dst string
		steps     []step
	}{
		{"IPv4", "192.0.2.9", []step{
			{0, -1, PathMTU{}},
			{0, 1400, PathMTU{Bytes: 1400}},
			{minute, 1300, PathMTU{Bytes: 1300}},
			{2 * minute, 1301, PathMTU{Bytes: 1300}},
			{3 * minute, 9000, PathMTU{Bytes: 1300}},
			{11*minute - 1, -1, PathMTU{Bytes: 1300}},
			{11 * minute, -1, PathMTU{}},
			{12 * minute, 1350, PathMTU{Bytes: 1350}},
			{21 * minute, 1500, PathMTU{Bytes: 1350}},
			{26*minute - 1, -1, PathMTU{Bytes: 1350}},
			{26 * minute, -1, PathMTU{}},
			{27 * minute, 552, PathMTU{Bytes: 552}},
			{28 * minute, 551, PathMTU{Bytes: 552, Fragile: true}},
			{29 * minute, 1000, PathMTU{Bytes: 552, Fragile: true}},
			{38*minute - 1, -1, PathMTU{Bytes: 552, Fragile: true}},
			{38 * minute, -1, PathMTU{}},
			{39 * minute, 0, PathMTU{Bytes: 552, Fragile: true}},
		}},
		{"IPv6", "2001:db8:9::9", []step{
			{0, 1279, PathMTU{}},
			{0, 0, PathMTU{}},
			{0, 1281, PathMTU{Bytes: 1281}},
			{minute, 1500, PathMTU{Bytes: 1281}},
			{2 * minute, 1280, PathMTU{Bytes: 1280}},
			{3 * minute, 68, PathMTU{Bytes: 1280}},
			{12*minute - 1, -1, PathMTU{Bytes: 1280}},
			{12 * minute, -1, PathMTU{}},
		}},
	} {
		var m PathMTUs
		path := Path{Remote: addr(c.dst)}
		for i, s := range c.steps {
			before, _ := m.Known(s.at, path)
			if s.report >= 0 {
				changed := m.Learn(s.at, path, s.report)
				now, _ := m.Known(s.at, path)
				before.expires, now.expires = 0, 0
				if changed != (before != now) {
					t.Errorf("%s step %d: says changed %v; was %+v, is %+v", c.name, i, changed, before, now)
				}
			}
			got, ok := m.Known(s.at, path)
			if got.expires = 0; got != s.want || ok != (s.want.Bytes > 0) {
				t.Errorf("%s step %d, a report of %d at %v: known %+v %v, want %+v", c.name, i, s.report, s.at, got, ok, s.want)
			}
		}
	}
}

// narrow lets nothing longer than mtu pass from gwA to gwB. It returns a function that
// gives gwA the reports about what was lost since, as a router on the way makes them.
func narrow(n *net, mtu int) (report func() int) {
	var lost [][]byte
	n.lose = func(from place, p PacketOut) bool {
		if from != (place{gwA, 1}) || len(p.Bytes) <= mtu {
			return false
		}
		lost = append(lost, p.Bytes)
		return true
	}
	return func() int {
		count := len(lost)
		for _, b := range lost {
			v6 := b[0]>>4 == 6
			quoted := 548
			if v6 {
				quoted = 1232
			}
			n.do(gwA, PacketIn{Interface: 1, Bytes: tooBig(n.t, v6, uint16(mtu), b[:min(len(b), quoted)])})
		}
		lost = nil
		return count
	}
}

// TestOuterFragmentReported sends IPv4 that may be cut through a tunnel, whose outer
// packets are cut at the gateway; a narrower link on the way reports about the pieces.
func TestOuterFragmentReported(t *testing.T) {
	for i, outer := range outers[2:] {
		t.Run(outer.name, func(t *testing.T) {
			n := site(t, tunnel(t, outer.sa))
			report := narrow(n, 1300)
			ping := func() bool { return n.ping(hostA, "10.2.0.9", 1400) }
			if ping() {
				t.Fatal("an outer fragment passed a link that is too narrow")
			}
			if got := report(); got != 1 {
				t.Fatalf("%d fragments were lost, want the first", got)
			}
			if got := n.nodes[gwA].Associations()[0].PathMTUBytes; got != 1300 {
				t.Errorf("path MTU %d after a report about the first outer fragment, want 1300", got)
			}
			if !ping() {
				t.Errorf("no reply after the report: %v %v", n.reasons(gwA), n.reasons(gwB))
			}

			// A packet in three pieces, of which the report is about the second.
			b := tunnel(t, outer.sa)
			sent := packets(b[0].Handle(0, PacketIn{Interface: 0, Bytes: sized(t, false, 1400)}))
			sent = append(sent, packets(b[0].Handle(0, PacketIn{Interface: 0, Bytes: sized(t, false, 4000)}))...)
			later := sent[len(sent)-2].Bytes
			about := func(change func([]byte)) int {
				quoted := slices.Clone(later[:min(len(later), 1232)])
				change(quoted)
				b[0].Handle(0, PacketIn{Interface: 1, Bytes: tooBig(t, true, 1400, quoted)})
				return b[0].Associations()[0].PathMTUBytes
			}
			for name, change := range map[string]func([]byte){
				"another identification": func(q []byte) { q[47] ^= 1 },
				"another offset":         func(q []byte) { q[42] ^= 8 },
				"other content":          func(q []byte) { q[48] ^= 1 },
				"another peer":           func(q []byte) { q[39] ^= 0x40 },
			} {
				if got := about(change); got != 0 {
					t.Errorf("a report about a later fragment with %s made the path MTU %d", name, got)
				}
			}
			if got := about(func([]byte) {}); got != 1400 {
				t.Errorf("path MTU %d after a report about a later outer fragment, want 1400 (form %d)", got, i)
			}
		})
	}
}

// TestOwnDatagramsAreCutInFrontOfTheTunnel has a gateway talk to a host behind the other
// one. What the tunnel is too narrow for is cut before it is sealed: the far gateway may
// not cut IPv6, and its LAN is narrower than what the sender's own links carry.
func TestOwnDatagramsAreCutInFrontOfTheTunnel(t *testing.T) {
	for _, outer := range outers {
		for _, c := range []struct{ family, src, dst string }{
			{"IPv4", "10.1.0.1", "10.2.0.9"}, {"IPv6", "2001:db8:1::1", "2001:db8:2::9"},
		} {
			for _, size := range []int{1300, 1360, 1400, 1440, 1452, 1472, 1500, 4000, 9000} {
				n := site(t, tunnel(t, outer.sa))
				from, to := netip.AddrPortFrom(addr(c.src), 9), netip.AddrPortFrom(addr(c.dst), 7)
				n.do(gwA, DatagramOut{Src: from, Dst: to, Payload: pattern(size), Discover: true})
				got := n.deliveries(hostB)
				// The host behind the other gateway may have to be told first of its way back.
				for range 2 {
					n.do(gwA, EchoOut{Src: from.Addr(), Dst: to.Addr(), ID: 3, Payload: pattern(size), Discover: true})
				}
				replies := n.deliveries(gwA)
				if len(replies) == 2 {
					replies = replies[1:]
				}
				if len(got) != 1 || len(got[0].Payload) != size || len(replies) != 1 || len(replies[0].Payload) != size {
					t.Errorf("%s, %s, %d bytes: %d datagrams and %d replies arrived, want 1 and 1: %v %v",
						outer.name, c.family, size, len(got), len(replies), n.reasons(gwA), n.reasons(gwB))
				}
				for _, p := range n.onWAN() {
					var q packet
					if reason := parse(p.Bytes, &q); reason != "" || q.fragment && n.nodes[gwA].routes.isLocal(q.key.Src) {
						t.Errorf("%s, %s, %d bytes: an outer packet in pieces (%v)", outer.name, c.family, size, reason)
					}
				}
				n.noClear()
			}
		}
	}
}

// TestOwnDatagramsFollowTheNarrowPath narrows the tunnel's path, and then the far LAN.
func TestOwnDatagramsFollowTheNarrowPath(t *testing.T) {
	for _, outer := range outers {
		for _, dst := range []string{"10.2.0.9", "2001:db8:2::9"} {
			n := site(t, tunnel(t, outer.sa))
			report := narrow(n, 1380)
			send := func() bool {
				before := len(n.deliveries(hostB))
				n.do(gwA, DatagramOut{Src: port("0.0.0.0:9"), Dst: netip.AddrPortFrom(addr(dst), 7), Payload: pattern(1400), Discover: true})
				return len(n.deliveries(hostB)) == before+1
			}
			if send() || report() == 0 {
				t.Fatalf("%s to %s: a packet passed a link that is too narrow", outer.name, dst)
			}
			if !send() {
				t.Errorf("%s to %s: nothing arrives after the report: %v", outer.name, dst, n.reasons(gwA))
			}
			// gwB's LAN carries 1280: its report comes out of the tunnel.
			n.nodes[gwB].interfaces[0].mtu = 1280
			first, second := send(), send()
			if !second {
				t.Errorf("%s to %s: nothing passes a narrower far LAN (%v, %v): %v %v", outer.name, dst, first, second, n.reasons(gwA), n.reasons(gwB))
			}
			// Then it says that 1500 fit, which is no news.
			n.nodes[gwB].interfaces[0].mtu = 1500
			if !send() {
				t.Errorf("%s to %s: %v", outer.name, dst, n.reasons(gwA))
			}
		}
	}
}

// TestEchoRepliesAreCut asks a gateway behind a tunnel, and a host on a narrow path, for
// replies that are longer than what their way back carries whole.
func TestEchoRepliesAreCut(t *testing.T) {
	for _, outer := range outers {
		for _, dst := range []string{"10.2.0.1", "2001:db8:2::1"} {
			n := site(t, tunnel(t, outer.sa))
			n.ping(hostA, dst, 1440) // the host may have to be told of its way there
			if !n.ping(hostA, dst, 1440) {
				t.Errorf("%s: no reply from %s: %v %v", outer.name, dst, n.reasons(gwA), n.reasons(gwB))
			}
			n.noClear()
		}
	}
	for _, dst := range []string{"10.1.0.9", "2001:db8:1::9"} {
		n := site(t, tunnel(t, nil))
		// From the gateway's LAN address: the host's link is 1500, a router's report says
		// 1300 of the way back.
		n.do(gwA, EchoOut{Dst: addr(dst), ID: 3, Payload: pattern(1400), MayFragment: false})
		back := n.log[len(n.log)-2].Output.(*PacketOut).Bytes
		quoted := back[:548]
		from, to := "10.1.0.1", dst
		if addr(dst).Is6() {
			quoted, from = back[:1232], "2001:db8:1::1"
		}
		n.nodes[hostA].Handle(0, PacketIn{Interface: 0, Bytes: tooBigTo(t, from, to, 1300, quoted)})
		sent := packets(n.nodes[hostA].Handle(0, PacketIn{Interface: 0, Bytes: echo(t, from, to, 3, 1, pattern(1400))}))
		if len(sent) != 2 || len(sent[0].Bytes) > 1300 {
			t.Errorf("%s: after a report about its reply the host replies in %d packets, want 2 of at most 1300 bytes", dst, len(sent))
		}
	}
}

// TestForgedTooBig has somebody who does not see the traffic make reports about it.
func TestForgedTooBig(t *testing.T) {
	inner4, inner6 := "10.1.0.1:9", "[2001:db8:1::1]:9"
	network := ip("2001:db8:ff::1", "2001:db8:ff::2", layers.IPProtocolICMPv6)
	for _, c := range []struct {
		name, to string
		quote    []byte
	}{
		{"a datagram that no port sent", "198.51.100.1", udp(t, "198.51.100.1:4000", "198.51.100.2:9", pattern(1400))},
		{"a datagram to another port", "198.51.100.1", udp(t, "198.51.100.1:9", "198.51.100.2:10", pattern(1400))},
		{"an echo request with another identifier", "198.51.100.1", echo(t, "198.51.100.1", "198.51.100.2", 4, 1, pattern(1400))},
		{"an echo reply", "2001:db8:ff::1", build(t, network, icmp6(t, network, 129, 0), &layers.ICMPv6Echo{Identifier: 3}, gopacket.Payload(pattern(1400)))},
		{"an IKE message of nobody", "198.51.100.1", udp(t, "198.51.100.1:500", "198.51.100.2:500", pattern(1400))},
		{"an IKE message at 4500", "198.51.100.1", udp(t, "198.51.100.1:4500", "198.51.100.2:4500", append(make([]byte, 4), pattern(1400)...))},
		{"another protocol", "198.51.100.1", build(t, ip("198.51.100.1", "198.51.100.2", 47), &rawLayer{pattern(1400)})},
		{"what the tunnel carries", "10.1.0.1", udp(t, inner4, "10.2.0.9:7", pattern(1400))},
		{"what the tunnel carries of IPv6", "2001:db8:1::1", udp(t, inner6, "[2001:db8:2::9]:7", pattern(1400))},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tunnel(t, nil)[0]
			for _, dst := range []string{"198.51.100.2", "2001:db8:ff::2", "10.2.0.9", "2001:db8:2::9"} {
				a.Handle(0, DatagramOut{Src: port("0.0.0.0:9"), Dst: netip.AddrPortFrom(addr(dst), 7), Payload: pattern(1400), Discover: true})
				a.Handle(0, DatagramOut{Src: port("0.0.0.0:9"), Dst: netip.AddrPortFrom(addr(dst), 9), Payload: pattern(1400), Discover: true})
				a.Handle(0, EchoOut{Dst: addr(dst), ID: 3, Payload: pattern(1400), Discover: true})
			}
			from := "203.0.113.1"
			if addr(c.to).Is6() {
				from = "2001:db8:77::1"
			}
			out := a.Handle(0, PacketIn{Interface: 1, Bytes: tooBigTo(t, from, c.to, 1300, c.quote[:min(len(c.quote), 548)])})
			if !slices.Equal(reasons(out), []DropReason{DropICMPUnproven}) || len(delivers(out)) != 0 {
				t.Errorf("reasons %v, %d deliveries; want icmp-unproven alone", reasons(out), len(delivers(out)))
			}
			if len(a.pathMTUs.known)+len(a.outerMTUs.known) != 0 {
				t.Errorf("it was believed: %v %v", a.pathMTUs.known, a.outerMTUs.known)
			}
		})
	}
}

// TestIKEFollowsThePathMTU lets a narrow IPv6 path lose the first IKE message and report
// it: its repetition is cut.
func TestIKEFollowsThePathMTU(t *testing.T) {
	for _, at := range []uint16{portIKE, portNATT} {
		a := gateway(t, 0)
		s := ike.Send{Local: netip.AddrPortFrom(addr("2001:db8:ff::1"), at), Remote: netip.AddrPortFrom(addr("2001:db8:ff::2"), at), Payload: pattern(1400)[1:]}
		if s.NonESPMarker = at == portNATT; s.NonESPMarker {
			s.Payload = append(make([]byte, 4), s.Payload...)
		}
		a.Handle(0, Timeout{})
		send := func() []PacketOut {
			a.Handle(0, Listen{Port: 9})
			a.sendIKE(s)
			return packets(a.outputs)
		}
		whole := send()
		if len(whole) != 1 {
			t.Fatalf("port %d: %d packets", at, len(whole))
		}
		a.Handle(0, PacketIn{Interface: 1, Bytes: tooBig(t, true, 1300, whole[0].Bytes[:1232])})
		if got := send(); len(got) != 2 || len(got[0].Bytes) > 1300 {
			t.Errorf("port %d: after the report it is sent in %d packets, want 2 of at most 1300 bytes", at, len(got))
		}
		// A piece of it is reported in turn, the later one.
		later := send()[1].Bytes
		if len(later) > 1280 {
			t.Fatal("the later piece is longer than every link carries")
		}
	}
}
