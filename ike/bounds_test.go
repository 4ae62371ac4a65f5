package ike

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// machineOf makes a machine alone, without the network's own source addresses.
func machineOf(t *testing.T, peer string, change func(*Config)) *Machine {
	t.Helper()
	cfg, err := testConfig("a", peer, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Random = func(label string) io.Reader { return testStream(label) }
	change(&cfg)
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestSource holds where an initiator's requests come from.
func TestSource(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tc := range []struct {
		name, peer string
		local      []netip.Addr // local_addrs
		node       []netip.Addr // AddressChange
		routes     func(netip.Addr) netip.Addr
		want       string // "" when no address reaches the peer
	}{
		{name: "the node's first address of the family", peer: "198.51.100.1",
			node: []netip.Addr{addr("2001:db8::9"), addr("192.0.2.1"), addr("192.0.2.2")}, want: "192.0.2.1:500"},
		{name: "the same for IPv6", peer: "2001:db8::1", node: []netip.Addr{addr("192.0.2.1"), addr("2001:db8::9")}, want: "[2001:db8::9]:500"},
		{name: "the route's", peer: "198.51.100.1", node: []netip.Addr{addr("192.0.2.1")},
			routes: func(netip.Addr) netip.Addr { return addr("192.0.2.7") }, want: "192.0.2.7:500"},
		{name: "local_addrs before routes", peer: "198.51.100.1", local: []netip.Addr{addr("2001:db8::9"), addr("192.0.2.3")},
			routes: func(netip.Addr) netip.Addr { return addr("192.0.2.7") }, want: "192.0.2.3:500"},
		{name: "local_addrs of another family", peer: "198.51.100.1", local: []netip.Addr{addr("2001:db8::9")}},
		{name: "no route", peer: "198.51.100.1", routes: func(netip.Addr) netip.Addr { return netip.Addr{} }},
		{name: "no address at all", peer: "198.51.100.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := machineOf(t, tc.peer, func(cfg *Config) {
				cfg.Connections[0].LocalAddrs, cfg.SourceAddr = tc.local, tc.routes
			})
			m.Step(0, AddressChange{Local: tc.node})
			got, failed := "", ""
			for _, a := range m.Step(0, Command{Kind: Initiate, Connection: "ike"}) {
				switch a := a.(type) {
				case Send:
					got = a.Local.String()
				case Record:
					if a.Kind == RecordIKEFailed {
						failed = a.Field("reason")
					}
				}
			}
			if got != tc.want || (failed == "no local address") != (tc.want == "") {
				t.Errorf("sends from %q, fails with %q; want %q", got, failed, tc.want)
			}
		})
	}
}

// TestCandidates: a responder tries connections that name the peer's address first,
// then those that name its own, then the others; a connection for other addresses never.
func TestCandidates(t *testing.T) {
	own, peer, other := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")
	m := &Machine{}
	for _, c := range []Connection{
		{Name: "any"}, {Name: "own", LocalAddrs: []netip.Addr{other, own}}, {Name: "peer", RemoteAddrs: []netip.Addr{other, peer}},
		{Name: "both", LocalAddrs: []netip.Addr{own}, RemoteAddrs: []netip.Addr{peer}}, {Name: "any-too"},
		{Name: "elsewhere", LocalAddrs: []netip.Addr{other}}, {Name: "of-another", RemoteAddrs: []netip.Addr{other}},
	} {
		m.connections = append(m.connections, &connection{Connection: c})
	}
	var names []string
	for _, c := range m.candidates(own, peer) {
		names = append(names, c.Name)
	}
	if got, want := strings.Join(names, " "), "both peer own any any-too"; got != want {
		t.Errorf("candidates %q, want %q", got, want)
	}
}

// TestMeetsPeerOf: another IKE SA is with the same peer when the identities are the
// same, and as long as one of them is not known, when the addresses are.
func TestMeetsPeerOf(t *testing.T) {
	here, there := netip.MustParseAddrPort("198.51.100.1:500"), netip.MustParseAddrPort("203.0.113.1:4500")
	bob, carol := Identity{Type: wire.IDTypeFQDN, Data: []byte("bob")}, Identity{Type: wire.IDTypeFQDN, Data: []byte("carol")}
	sa := func(configured, authenticated Identity, remote netip.AddrPort) *ikeSA {
		return &ikeSA{conn: &connection{Connection: Connection{Remote: Auth{ID: configured}}}, peerID: authenticated, remote: remote}
	}
	for _, tc := range []struct {
		name          string
		have, another *ikeSA
		want          bool
	}{
		{"the same name, elsewhere", sa(bob, bob, here), sa(bob, Identity{}, there), true},
		{"another name, here", sa(bob, bob, here), sa(carol, Identity{}, here), false},
		{"anyone was configured, bob came", sa(Identity{}, bob, here), sa(bob, Identity{}, there), true},
		{"not authenticated yet", sa(bob, Identity{}, here), sa(bob, Identity{}, there), true},
		{"anyone is wanted, here", sa(bob, bob, here), sa(Identity{}, Identity{}, here), true},
		{"anyone is wanted, elsewhere", sa(bob, bob, here), sa(Identity{}, Identity{}, there), false},
	} {
		if got := tc.have.meetsPeerOf(tc.another); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// TestNextAddressIsReachable holds that an address which no local one reaches does
// not end the attempt, and that tries are not wasted on an instant.
func TestNextAddressIsReachable(t *testing.T) {
	m := machineOf(t, "2001:db8::1", func(cfg *Config) {
		c := &cfg.Connections[0]
		c.RemoteAddrs = append(c.RemoteAddrs, netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("198.51.100.1"))
		c.KeyingTries = 1000
	})
	m.Step(0, AddressChange{Local: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	actions := m.Step(0, Command{Kind: Initiate, Connection: "ike"})
	var kinds []string
	for _, a := range actions {
		if r, ok := a.(Record); ok {
			kinds = append(kinds, string(r.Kind))
		}
	}
	if got, want := strings.Join(kinds, " "), "ike-retry ike-retry ike-init exchange-sent"; got != want {
		t.Errorf("records %q, want %q", got, want)
	}
	m = machineOf(t, "198.51.100.1", func(cfg *Config) { cfg.Connections[0].KeyingTries = 1000 })
	if n := len(m.Step(0, Command{Kind: Initiate, Connection: "ike"})); n != 1 {
		t.Errorf("%d actions for a peer that cannot be reached, want one record", n)
	}
}

// TestIKESAsMax holds that closed IKE SAs make room for new ones, and nothing else does.
func TestIKESAsMax(t *testing.T) {
	n := newTestnet()
	n.quiet = true
	if _, err := addMachine(n, "b", "198.51.100.1", "any", nil); err != nil {
		t.Fatal(err)
	}
	b := n.node("b")
	b.machine.cfg.Limits.IKESAsMax = 2
	var peers []*testnode
	for _, p := range [][2]string{{"a", "192.0.2.1"}, {"a2", "192.0.2.2"}, {"a3", "192.0.2.3"}} {
		cfg, err := testConfig("a", "198.51.100.1", []string{"local_id a.example", "retransmit_timeout 1s"})
		if err != nil {
			t.Fatal(err)
		}
		node, err := n.add(p[0], netip.MustParseAddr(p[1]), cfg)
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, node)
	}
	up := Command{Kind: Initiate, Connection: "ike"}
	n.step(peers[0], up)
	n.settle()
	n.step(peers[1], up) // INITIAL_CONTACT of the same identity: the first is closed
	n.settle()
	if got := len(b.machine.sas); got != 2 || established(b) != 1 {
		t.Fatalf("%d IKE SAs, %d established, want 2 and 1", got, established(b))
	}
	n.step(peers[2], up) // takes the place of the closed one
	n.advance(20 * time.Millisecond)
	if got := len(b.machine.sas); got != 2 {
		t.Fatalf("%d IKE SAs, the limit is 2", got)
	}
	n.settle()
	b.machine.cfg.Limits.IKESAsMax = 1
	n.step(peers[0], Command{Kind: Terminate, Connection: "ike"})
	n.step(peers[0], up)
	n.advance(30 * time.Millisecond)
	wantRecord(t, b, RecordDropped, "1 IKE SAs exist, the limit")
}

// TestUnknownEvents holds that events about what is not there do nothing.
func TestUnknownEvents(t *testing.T) {
	m := machineOf(t, "198.51.100.1", func(*Config) {})
	for _, ev := range []Event{Timeout{}, ESPSeen{SPI: 1}, Lifetime{SPI: 1, Hard: true}, AddressChange{}} {
		if got := m.Step(0, ev); len(got) != 0 {
			t.Errorf("%T: %v", ev, got)
		}
	}
	for _, ev := range []Event{Acquire{Connection: "nowhere"}, Command{Kind: 77, Connection: "ike"}} {
		got := m.Step(0, ev)
		if r, ok := got[0].(Record); len(got) != 1 || !ok || r.Kind != RecordIgnored {
			t.Errorf("%T: %v, want one record", ev, got)
		}
	}
	if _, _, ok := m.Deadline(); ok {
		t.Error("a machine that does nothing waits for something")
	}
}
