package node

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
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
	a, _ := ends(t, 1500)
	first := addr("192.0.2.1")
	for i, dst := 0, first; i <= pathMTUsMax; i, dst = i+1, dst.Next() {
		a.learnPathMTU(dst, 1300)
	}
	if got := len(a.pathMTUs); got > pathMTUsMax {
		t.Errorf("%d paths are remembered, at most %d may be", got, pathMTUsMax)
	}
	a.learnPathMTU(first, 68)
	if got := a.pathMTUTo(first); got != pathMTU4Min {
		t.Errorf("a report of 68 bytes made the path %d, want the least, %d", got, pathMTU4Min)
	}
}
