package node

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// encap and the like change what gateway makes.
func encap(c *Config) { c.IKE.Connections[0].Encap = true }

// negotiated makes a site whose gateway A starts the tunnel, and lets it come up.
func negotiated(t testing.TB, changeA, changeB func(*Config)) *net {
	t.Helper()
	unchanged := func(*Config) {}
	if changeA == nil {
		changeA = unchanged
	}
	if changeB == nil {
		changeB = unchanged
	}
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartStart), changeA), gateway(t, 1, changeB)})
	n.run(time.Second)
	return n
}

func TestNegotiatedTunnelCarriesBothFamilies(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		encap  bool
	}{
		{"plain", nil, false},
		{"encap", encap, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := negotiated(t, c.change, nil)
			for side := range 2 {
				got := n.nodes[side].Associations()
				if len(got) != 1 || got[0].Encap != c.encap {
					t.Fatalf("gateway %d has %v; its events are %v", side, got, n.kinds(side))
				}
				if e := n.events(side, "child-installed"); len(e) != 1 || e[0].Child == nil || e[0].Child.SPIIn != got[0].SPIIn || e[0].IKE == nil {
					t.Errorf("gateway %d: child-installed %v", side, e)
				}
			}
			for _, dst := range []string{"10.2.0.9", "2001:db8:2::9"} {
				if !n.ping(hostA, dst, 400) {
					t.Errorf("no reply from %s: %v %v", dst, n.reasons(gwA), n.reasons(gwB))
				}
			}
			n.noClear()
			for _, p := range n.onWAN() {
				d := decode(t, p.Bytes)
				u, isUDP := d.Layer(layers.LayerTypeUDP).(*layers.UDP)
				switch p.Origin {
				case OriginESP:
					if isUDP != c.encap {
						t.Errorf("ESP in UDP: %v", isUDP)
					}
				case OriginIKE:
					if p.Exchange == nil {
						t.Error("an IKE message without its exchange")
						continue
					}
					body := u.Payload
					if want := c.encap && p.Exchange.Type != wire.ExchangeIKESAInit; (u.DstPort == 4500) != want {
						t.Errorf("%v by port %d", p.Exchange.Type, u.DstPort)
					} else if want {
						if !bytes.Equal(body[:4], make([]byte, 4)) {
							t.Errorf("%v without marker", p.Exchange.Type)
						}
						body = body[4:]
					}
					if !bytes.Equal(body[:8], p.Exchange.SPIi[:]) {
						t.Errorf("%v: the message starts with %x, its SPI is %x", p.Exchange.Type, body[:8], p.Exchange.SPIi)
					}
				}
			}
		})
	}
}

// TestTrap sends into a tunnel that does not exist yet.
func TestTrap(t *testing.T) {
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartTrap)), gateway(t, 1)})
	n.run(ms)
	if len(n.onWAN()) != 0 {
		t.Fatalf("%d packets before there is anything to send", len(n.onWAN()))
	}
	for i := range 3 {
		in := DatagramOut{Src: port("10.1.0.9:9"), Dst: port("10.2.0.9:7"), Payload: []byte{byte(i)}}
		// The three arrive before the gateways have exchanged anything.
		for _, p := range packets(n.nodes[hostA].Handle(n.now, in)) {
			n.do(gwA, PacketIn{Interface: 0, Bytes: p.Bytes})
		}
	}
	n.run(time.Second)
	if got := n.events(gwA, EventTrapAcquire); len(got) != 1 || got[0].Drop.Packet.Dst != addr("10.2.0.9") || got[0].ESP.Connection != "site" || got[0].ESP.Child != "nets" {
		t.Errorf("trap-acquire %v, want one", got)
	}
	var order []byte
	for _, d := range n.deliveries(hostB) {
		order = append(order, d.Payload...)
	}
	if diff := cmp.Diff([]byte{0, 1, 2}, order); diff != "" {
		t.Errorf("delivered (-want +got):\n%s\n%v %v", diff, n.kinds(gwA), n.kinds(gwB))
	}
	n.noClear()
}

// TestTrapHoldsInOrder lets packets wait while nothing gets through, and more of
// them than have room.
func TestTrapHolds(t *testing.T) {
	const extra = 5
	for _, c := range []struct {
		name string
		// lost says for how long the WAN loses everything.
		lost time.Duration
		want []int
	}{
		{"until the tunnel is there", 3 * time.Second, countFrom(extra, holdPacketsPerPolicyMax)},
		{"too long", time.Hour, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartTrap)), gateway(t, 1)})
			n.lose = func(from place, p PacketOut) bool { return from.iface == 1 && from.node <= gwB && n.now < c.lost }
			for i := range holdPacketsPerPolicyMax + extra {
				n.do(hostA, DatagramOut{Src: port("10.1.0.9:9"), Dst: port("10.2.0.9:7"), Payload: []byte{byte(i)}})
			}
			full := 0
			for _, r := range n.reasons(gwA) {
				if r == DropHoldFull {
					full++
				}
			}
			if full != extra {
				t.Errorf("%d dropped for want of room, want %d", full, extra)
			}
			n.run(10 * time.Second)
			var got []int
			for _, d := range n.deliveries(hostB) {
				got = append(got, int(d.Payload[0]))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("delivered (-want +got):\n%s", diff)
			}
			n.run(holdTimeoutMs * ms)
			timedOut := slices.Contains(n.reasons(gwA), DropHoldTimeout)
			if timedOut != (c.want == nil) {
				t.Errorf("given up: %v; %v", timedOut, n.reasons(gwA))
			}
			if left := len(n.nodes[gwA].policies[0].held); left != 0 {
				t.Errorf("%d packets are still held", left)
			}
			if c.want != nil {
				return
			}
			n.do(hostA, DatagramOut{Src: port("10.1.0.9:9"), Dst: port("10.2.0.9:7")})
			if got := len(n.events(gwA, EventTrapAcquire)); got != 2 {
				t.Errorf("the next packet makes %d acquires, want a second", got)
			}
		})
	}
}

// TestHeldPacketsAwaitTheirOwnNegotiation lets negotiations fail that the peer began, or
// that are for something else, while packets wait for ours.
func TestHeldPacketsAwaitTheirOwnNegotiation(t *testing.T) {
	n := gateway(t, 0, startAction(ike.StartTrap))
	n.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)})
	for _, c := range []struct {
		action ike.Action
		held   int
	}{
		{ike.Record{Kind: ike.RecordIKEFailed, Connection: "site"}, 1},
		{ike.TrapRests{Connection: "other"}, 1},
		{ike.TrapRests{Connection: "site", Child: "other"}, 1},
		{ike.TrapRests{Connection: "site"}, 0},
	} {
		n.act(c.action)
		if got := len(n.policies[0].held); got != c.held {
			t.Errorf("%+v: %d packets held, want %d", c.action, got, c.held)
		}
	}
}

// TestTrapReleasesWhatFits narrows the tunnel, so that of two packets that wait one
// has none.
func TestTrapReleasesWhatFits(t *testing.T) {
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartTrap)), gateway(t, 1, func(c *Config) {
		c.IKE.Connections[0].Children[0].LocalTS = ts("10.2.0.8/29")
	})})
	n.lose = func(from place, p PacketOut) bool { return from.iface == 1 && from.node <= gwB && n.now < time.Second }
	for _, dst := range []string{"10.2.0.9:7", "10.2.0.77:7"} {
		n.do(hostA, DatagramOut{Src: port("10.1.0.9:9"), Dst: port(dst), Payload: []byte(dst)})
	}
	n.run(10 * time.Second)
	if got := n.deliveries(hostB); len(got) != 1 || string(got[0].Payload) != "10.2.0.9:7" {
		t.Errorf("delivered %v", got)
	}
	if diff := cmp.Diff([]DropReason{DropOutsideNarrowed}, n.reasons(gwA)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if got := n.events(gwA, EventTrapAcquire); len(got) != 1 {
		t.Errorf("%d acquires, want 1", len(got))
	}
}

func countFrom(first, n int) (all []int) {
	for i := range n {
		all = append(all, first+i)
	}
	return all
}

// TestTrapFails lets the peer refuse.
func TestTrapFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		kind   EventKind
	}{
		{"another key", func(c *Config) { c.IKE.Secrets[0].Key = []byte("another") }, "ike-failed"},
		{"other networks", func(c *Config) { c.IKE.Connections[0].Children[0].LocalTS = ts("10.77.0.0/24") }, "child-failed"},
		// Anyone can forge NO_PROPOSAL_CHOSEN, so the machine goes on asking
		// for a while (RFC 7296 §2.21.1).
		{"another proposal", func(c *Config) {
			c.IKE.Connections[0].Proposals = proposal(t, suite.ProtocolIKE, "aes128-sha1-modp2048")
		}, "ike-failed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartTrap)), gateway(t, 1, c.change)})
			n.do(hostA, DatagramOut{Src: port("10.1.0.9:9"), Dst: port("10.2.0.9:7")})
			n.run(5 * time.Minute)
			if len(n.events(gwA, c.kind)) != 1 {
				t.Errorf("events %v, want one %s", n.kinds(gwA), c.kind)
			}
			if diff := cmp.Diff([]DropReason{DropNegotiationFailed}, n.reasons(gwA)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			// The next packet tries again.
			n.do(hostA, DatagramOut{Src: port("10.1.0.9:9"), Dst: port("10.2.0.9:7")})
			if got := len(n.events(gwA, EventTrapAcquire)); got != 2 {
				t.Errorf("%d acquires, want 2", got)
			}
		})
	}
}

// TestNarrowing lets the responder want less than the initiator offers.
func TestNarrowing(t *testing.T) {
	n := negotiated(t, nil, func(c *Config) {
		child := &c.IKE.Connections[0].Children[0]
		child.LocalTS, child.RemoteTS = ts("10.2.0.8/29"), ts("10.1.0.0/24")
	})
	if !n.ping(hostA, "10.2.0.9", 100) {
		t.Errorf("no reply from inside the narrower network: %v %v", n.kinds(gwA), n.reasons(gwA))
	}
	before := len(n.onWAN())
	for _, dst := range []string{"10.2.0.99", "2001:db8:2::9"} {
		if n.ping(hostA, dst, 100) {
			t.Errorf("%s answers from outside", dst)
		}
	}
	if diff := cmp.Diff([]DropReason{DropOutsideNarrowed, DropOutsideNarrowed}, n.reasons(gwA)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if len(n.onWAN()) != before {
		t.Error("something left by the WAN")
	}
}

// TestTerminate takes the tunnel down at one end.
func TestTerminate(t *testing.T) {
	n := negotiated(t, nil, nil)
	n.do(gwB, Command{IKE: ike.Command{Kind: ike.Terminate, Connection: "site"}})
	n.run(2 * time.Second)
	for side := range 2 {
		if got := n.nodes[side].Associations(); len(got) != 0 {
			t.Errorf("gateway %d still has %v", side, got)
		}
		if len(n.events(side, "ike-deleted")) != 1 {
			t.Errorf("gateway %d: %v", side, n.kinds(side))
		}
	}
	if n.ping(hostA, "10.2.0.9", 100) {
		t.Error("an answer without a tunnel")
	}
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, n.reasons(gwA)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	n.noClear()
	n.do(gwB, Command{IKE: ike.Command{Kind: ike.Initiate, Connection: "site"}})
	n.run(3 * time.Second)
	if !n.ping(hostA, "10.2.0.9", 100) {
		t.Errorf("no reply after a new start: %v", n.kinds(gwB))
	}
}

// TestNATKeepalives are sent as the machine asks, and swallowed by the peer.
func TestNATKeepalives(t *testing.T) {
	both := tunnel(t, encapsulated)
	both[0].act(ike.Send{Local: port("198.51.100.1:4500"), Remote: port("198.51.100.2:4500"), Payload: []byte{0xff}, Keepalive: true})
	sent := packets(both[0].outputs)
	if len(sent) != 1 || sent[0].Origin != OriginIKE || sent[0].Exchange != nil {
		t.Fatalf("sent %v", sent)
	}
	if u := decode(t, sent[0].Bytes).Layer(layers.LayerTypeUDP).(*layers.UDP); !bytes.Equal(u.Payload, []byte{0xff}) || u.DstPort != 4500 {
		t.Errorf("keepalive %x to port %d", u.Payload, u.DstPort)
	}
	if out := both[1].Handle(0, PacketIn{Interface: 1, Bytes: sent[0].Bytes}); len(out) != 0 {
		t.Errorf("the peer answers with %v", out)
	}
}

// TestSendIKE sends what cannot be sent, and to the node itself.
func TestSendIKE(t *testing.T) {
	send := func(n *Node, local, remote string, size int) []Output {
		n.Handle(0, Timeout{})
		payload := make([]byte, size)
		copy(payload, ikeHeader(2, 28))
		n.act(ike.Send{Local: port(local), Remote: port(remote), Payload: payload})
		return n.outputs
	}
	for _, c := range []struct {
		name          string
		local, remote string
		size, pieces  int
		want          []DropReason
	}{
		{"from another's address", "198.51.100.77:500", "198.51.100.2:500", 28, 0, []DropReason{DropNoSource}},
		{"across families", "198.51.100.1:500", "[2001:db8:ff::2]:500", 28, 0, []DropReason{DropNoSource}},
		{"too long for UDP", "198.51.100.1:500", "198.51.100.2:500", 0xffff, 0, []DropReason{DropTooBig}},
		{"IPv6", "[2001:db8:ff::1]:500", "[2001:db8:ff::2]:500", 28, 1, nil},
		{"IPv6, in pieces", "[2001:db8:ff::1]:500", "[2001:db8:ff::2]:500", 3000, 3, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := send(gateway(t, 0), c.local, c.remote, c.size)
			if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if sent := len(packets(out)); sent != c.pieces {
				t.Errorf("%d packets, want %d", sent, c.pieces)
			}
		})
	}
	n := gateway(t, 0)
	n.Handle(0, InterfaceChange{Interface: 1, Up: false})
	if diff := cmp.Diff([]DropReason{DropNoRoute}, reasons(send(n, "10.1.0.1:500", "203.0.113.9:500", 28))); diff != "" {
		t.Errorf("without a route (-want +got):\n%s", diff)
	}
	n = gateway(t, 0)
	if out := send(n, "198.51.100.1:500", "198.51.100.1:500", 28); len(packets(out)) != 0 || len(n.ikeEvents) != 1 {
		t.Errorf("to itself: %d packets and %d events", len(packets(out)), len(n.ikeEvents))
	}
}

// TestInstallFails hands the data plane keys that it cannot use.
func TestInstallFails(t *testing.T) {
	n := gateway(t, 0)
	n.Handle(0, Timeout{})
	sa := keyed(t, 0, 1)
	sa.Out.Encr = sa.Out.Encr[1:]
	n.act(ike.InstallChild{SA: *sa})
	if got := events(n.outputs); len(got) != 1 || got[0].Kind != EventInstallFailed || got[0].Problem == "" {
		t.Errorf("events %v", got)
	}
	if len(n.Associations()) != 0 || len(n.ikeEvents) != 1 {
		t.Errorf("associations %v, %d events for the machine", n.Associations(), len(n.ikeEvents))
	}
}

// TestWANGoesDown takes the tunnel's way out from under it.
func TestWANGoesDown(t *testing.T) {
	n := site(t, tunnel(t, nil))
	n.do(gwA, InterfaceChange{Interface: 1, Up: false})
	if n.ping(hostA, "10.2.0.9", 10) {
		t.Error("an answer without a way")
	}
	if got := n.deliveries(hostA); len(got) != 1 || got[0].Kind != DeliverICMPError || got[0].Type != 3 || got[0].Code != 0 {
		t.Errorf("delivered %v, want net unreachable", got)
	}
	n.do(gwA, InterfaceChange{Interface: 1, Up: true})
	if !n.ping(hostA, "10.2.0.9", 10) {
		t.Error("no answer after the way is back")
	}
}

// ikeHeader is an IKE message that is nothing but a header, of a version, and that says
// how long it is.
func ikeHeader(major byte, length byte) []byte {
	b := make([]byte, 28)
	b[0], b[17], b[27] = 1, major<<4, length
	return b
}

// TestIKEPorts shows what of the IKE ports' traffic the machine gets to see.
func TestIKEPorts(t *testing.T) {
	for _, c := range []struct {
		name    string
		packet  []byte
		seen    bool
		reasons []DropReason
	}{
		{"port 500", udp(t, "198.51.100.2:500", "198.51.100.1:500", ikeHeader(2, 28)), true, nil},
		{"port 4500 behind the marker", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", append(make([]byte, 4), ikeHeader(2, 28)...)), true, nil},
		{"IKEv1", udp(t, "198.51.100.2:500", "198.51.100.1:500", ikeHeader(1, 28)), true, nil},
		{"a later IKE", udp(t, "198.51.100.2:500", "198.51.100.1:500", ikeHeader(3, 28)), true, nil},
		{"junk at 500", udp(t, "198.51.100.2:500", "198.51.100.1:500", make([]byte, 64)), false, []DropReason{DropIKEMalformed}},
		{"junk at 500, short", udp(t, "198.51.100.2:500", "198.51.100.1:500", make([]byte, 27)), false, []DropReason{DropIKEMalformed}},
		{"nothing at 500", udp(t, "198.51.100.2:500", "198.51.100.1:500", nil), false, []DropReason{DropIKEMalformed}},
		{"another length at 500", udp(t, "198.51.100.2:500", "198.51.100.1:500", ikeHeader(2, 29)), false, []DropReason{DropIKEMalformed}},
		{"no SPI at 500", udp(t, "198.51.100.2:500", "198.51.100.1:500", append(make([]byte, 8), ikeHeader(2, 28)[8:]...)), false, []DropReason{DropIKEMalformed}},
		{"junk at 4500 behind the marker", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", make([]byte, 68)), false, []DropReason{DropIKEMalformed}},
		{"the marker alone", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", make([]byte, 4)), false, []DropReason{DropIKEMalformed}},
		{"nothing at 4500", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", nil), false, []DropReason{DropESPMalformed}},
		{"another port", udp(t, "198.51.100.2:4500", "198.51.100.1:501", make([]byte, 32)), false, []DropReason{DropPortClosed}},
		{"port 4500 by an SPI", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", append([]byte{0, 0, 9, 9}, make([]byte, 28)...)), false, []DropReason{DropESPNoAssociation}},
		{"port 4500, three octets", udp(t, "198.51.100.2:4500", "198.51.100.1:4500", make([]byte, 3)), false, []DropReason{DropESPMalformed}},
		{"a bad checksum", func() []byte {
			b := udp(t, "198.51.100.2:500", "198.51.100.1:500", make([]byte, 28))
			b[40] ^= 1
			return b
		}(), false, []DropReason{DropChecksum}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := gateway(t, 0).Handle(0, PacketIn{Interface: 1, Bytes: c.packet})
			if diff := cmp.Diff(c.reasons, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			seen := slices.ContainsFunc(events(out), func(e Event) bool { return e.IKE != nil })
			if seen != c.seen {
				t.Errorf("the machine saw it: %v", seen)
			}
		})
	}
}

// TestLargeIKEMessagesAreCut sends IKE over a link that is narrower than its
// messages.
func TestLargeIKEMessagesAreCut(t *testing.T) {
	narrow := func(c *Config) {
		c.Interfaces[1].Addresses, c.Interfaces[1].MTUBytes, c.Routes = c.Interfaces[1].Addresses[:1], 150, c.Routes[:1]
	}
	n := negotiated(t, narrow, narrow)
	if got := n.nodes[gwA].Associations(); len(got) != 1 {
		t.Errorf("no tunnel: %v", n.kinds(gwA))
	}
	if !n.ping(hostA, "10.2.0.9", 1000) {
		t.Errorf("no reply: %v %v", n.reasons(gwA), n.reasons(gwB))
	}
}

// TestHostToHost protects everything between the gateways' own addresses, but
// for the IKE that makes it so.
func TestHostToHost(t *testing.T) {
	dynamic := func(c *Config) {
		child := &c.IKE.Connections[0].Children[0]
		child.LocalTS, child.RemoteTS = nil, nil
	}
	n := negotiated(t, dynamic, dynamic)
	if !n.ping(gwA, "198.51.100.2", 300) {
		t.Errorf("no reply: %v %v", n.kinds(gwA), n.reasons(gwA))
	}
	n.noClear()
	if got := n.events(gwB, EventESPIn); len(got) != 1 || got[0].ESP.Inner.Src != addr("198.51.100.1") {
		t.Errorf("esp-in %v", got)
	}
}

// TestAssociationsOfManyPeers connects three gateways to one, whose IKE machine
// counts the CHILD_SAs of each IKE SA from 1.
func TestAssociationsOfManyPeers(t *testing.T) {
	const peers = 3
	hub := gateway(t, 1, func(c *Config) {
		conn := &c.IKE.Connections[0]
		conn.RemoteAddrs = nil
		conn.Children[0].RemoteTS = nil
	})
	n := &net{t: t, nodes: []*Node{hub}, wan: map[netip.Addr]place{addr("198.51.100.2"): {0, 1}}}
	for i := range peers {
		own := prefix(fmt.Sprintf("198.51.100.%d/24", 10+i))
		n.wan[own.Addr()] = place{1 + i, 1}
		n.nodes = append(n.nodes, gateway(t, 0, startAction(ike.StartStart), func(c *Config) {
			c.Interfaces[1].Addresses = []netip.Prefix{own, prefix("2001:db8:ff::9/64")}
			c.IKE.Random = labelled(own.String())
			c.IKE.Connections[0].LocalAddrs = []netip.Addr{own.Addr()}
			c.IKE.Connections[0].Children[0].LocalTS = nil
		}))
	}
	n.run(time.Second)
	installed := n.events(0, "child-installed")
	if len(installed) != peers || len(hub.Associations()) != peers {
		t.Fatalf("%d installed: %v", len(installed), n.kinds(0))
	}
	for i, a := range hub.Associations() {
		if a.Ordinal != uint64(i+1) || installed[i].Child.Ordinal != a.Ordinal || installed[i].Child.SPIIn != a.SPIIn {
			t.Errorf("association %d has number %d, its record %d", i, a.Ordinal, installed[i].Child.Ordinal)
		}
	}
	for i := range peers {
		if !n.ping(1+i, "10.2.0.1", 50) {
			t.Errorf("peer %d gets no reply: %v", i, n.reasons(1+i))
		}
	}
	for i, e := range n.events(0, EventESPIn) {
		if e.ESP.Ordinal != installed[slices.IndexFunc(installed, func(c *Event) bool { return c.Child.SPIIn == e.ESP.SPI })].Child.Ordinal {
			t.Errorf("esp-in %d names association %d", i, e.ESP.Ordinal)
		}
	}
}

// TestPeerMoves lets the NAT before the peer choose another port: the next ESP
// packet shows it, and the answers follow (RFC 7296 §2.23).
func TestPeerMoves(t *testing.T) {
	n := negotiated(t, encap, nil)
	sent := packets(n.nodes[gwA].Handle(n.now, PacketIn{Interface: 0, Bytes: echo(t, "10.1.0.9", "10.2.0.1", 1, 1, pattern(300))}))
	n.do(gwB, PacketIn{Interface: 1, Bytes: sent[0].Bytes})
	if got := n.nodes[gwB].Associations()[0].Remote; got != port("198.51.100.1:4500") {
		t.Fatalf("the peer is at %v before it moves", got)
	}
	// Within the same second, so that only the other port is a reason to tell.
	sent = packets(n.nodes[gwA].Handle(n.now, PacketIn{Interface: 0, Bytes: echo(t, "10.1.0.9", "10.2.0.1", 1, 2, pattern(300))}))
	moved := bytes.Clone(sent[0].Bytes)
	moved[20], moved[21] = 31000>>8, 31000&0xff
	n.do(gwB, PacketIn{Interface: 1, Bytes: moved})
	if got := n.nodes[gwB].Associations()[0].Remote; got != port("198.51.100.1:31000") {
		t.Errorf("the peer is at %v for the association; %v", got, n.kinds(gwB))
	}
	if len(n.events(gwB, EventKind(ike.RecordChildMoved))) != 1 {
		t.Errorf("events %v", n.kinds(gwB))
	}
}

// TestLostAnswers loses packets on the WAN in a pattern and lets IKE repeat them.
func TestLostAnswers(t *testing.T) {
	count := 0
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartStart)), gateway(t, 1)})
	n.lose = func(from place, p PacketOut) bool {
		if p.Origin == OriginIKE {
			count++
		}
		// Of four messages the first two are lost: a request and its repetition.
		return p.Origin == OriginIKE && (count%4 == 1 || count%4 == 2)
	}
	n.run(2 * time.Minute)
	if !n.ping(hostA, "10.2.0.9", 100) {
		t.Errorf("no reply: %v", n.kinds(gwA))
	}
	if len(n.events(gwA, "retransmit")) == 0 {
		t.Error("nothing was repeated")
	}
	for side := range 2 {
		if got := n.nodes[side].Associations(); len(got) != 1 {
			t.Errorf("gateway %d has %v", side, got)
		}
	}
}

// TestSameInputsSameOutputs runs the same net twice.
func TestSameInputsSameOutputs(t *testing.T) {
	run := func() (all [][]byte) {
		n := negotiated(t, encap, nil)
		n.ping(hostA, "10.2.0.9", 3000)
		n.ping(hostB, "2001:db8:1::9", 300)
		n.run(time.Minute)
		for _, p := range n.onWAN() {
			all = append(all, p.Bytes)
		}
		return all
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Errorf("the second run differs:\n%s", diff)
	}
}

// TestAddressesReachTheMachine starts a connection without local_addrs from the
// address that the routes choose.
func TestSourceOfIKE(t *testing.T) {
	n := negotiated(t, func(c *Config) {
		c.IKE.Connections[0].LocalAddrs = nil
		c.Interfaces[1].Addresses = append([]netip.Prefix{prefix("203.0.113.5/32")}, c.Interfaces[1].Addresses...)
	}, nil)
	if got := n.nodes[gwA].Associations(); len(got) != 1 || got[0].Local.Addr() != addr("198.51.100.1") {
		t.Errorf("associations %v; %v", got, n.kinds(gwA))
	}
}
