package node

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
)

// outers are the forms that a tunnel's outer packet can have.
var outers = []struct {
	name string
	sa   func(*ike.ChildSA)
}{
	{"ipv4 esp", func(*ike.ChildSA) {}},
	{"ipv4 udp", encapsulated},
	{"ipv6 esp", outerIPv6},
	{"ipv6 udp", func(sa *ike.ChildSA) { encapsulated(sa); outerIPv6(sa) }},
}

func TestTunnelCarriesBothFamilies(t *testing.T) {
	for _, c := range outers {
		t.Run(c.name, func(t *testing.T) {
			n := site(t, tunnel(t, c.sa))
			for _, ping := range []struct {
				dst  string
				size int
			}{
				{"10.2.0.9", 0}, {"10.2.0.9", 1}, {"10.2.0.9", 500}, {"10.2.0.9", 5000}, {"10.2.0.1", 500},
				{"2001:db8:2::9", 0}, {"2001:db8:2::9", 1}, {"2001:db8:2::9", 500}, {"2001:db8:2::1", 500},
			} {
				if !n.ping(hostA, ping.dst, ping.size) {
					t.Errorf("no reply from %s to %d bytes: %v %v %v", ping.dst, ping.size, n.reasons(gwA), n.reasons(gwB), n.reasons(hostA))
				}
			}
			n.noClear()
			for _, p := range n.onWAN() {
				d := decode(t, p.Bytes)
				form := "ipv4"
				if d.NetworkLayer().LayerType() == layers.LayerTypeIPv6 {
					form = "ipv6"
				}
				switch {
				case d.Layer(layers.LayerTypeUDP) != nil:
					form += " udp"
					u := d.Layer(layers.LayerTypeUDP).(*layers.UDP)
					if u.SrcPort != 4500 || u.DstPort != 4500 || (u.Checksum == 0) != (form == "ipv4 udp") {
						t.Errorf("ports %d and %d, checksum %#x in %s", u.SrcPort, u.DstPort, u.Checksum, form)
					}
				case d.Layer(layers.LayerTypeIPSecESP) != nil:
					form += " esp"
				default:
					continue // a later fragment
				}
				if form != c.name {
					t.Errorf("outer packet is %s", form)
				}
			}
		})
	}
}

func TestOuterHeader(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet []byte
		df     bool
		tos    uint8
	}{
		{"DF and DSCP are the inner packet's", udp(t, "10.1.0.9:1", "10.2.0.9:7", nil, df, tos(0xb8)), true, 0xb8},
		{"no DF, ECT(0)", udp(t, "10.1.0.9:1", "10.2.0.9:7", nil, tos(2)), false, 2},
		{"congestion stays visible", udp(t, "10.1.0.9:1", "10.2.0.9:7", nil, tos(3)), false, 3},
		{"IPv6 implies DF", udp(t, "[2001:db8:1::9]:1", "[2001:db8:2::9]:7", nil, tos(0x28)), true, 0x28},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := tunnel(t, nil)[0]
			sent := packets(a.Handle(0, PacketIn{Interface: 0, Bytes: slices.Clone(c.packet)}))
			if len(sent) != 1 || sent[0].Origin != OriginESP || sent[0].Interface != 1 || sent[0].NextHop != addr("198.51.100.2") {
				t.Fatalf("sent %v", sent)
			}
			h := decode(t, sent[0].Bytes).NetworkLayer().(*layers.IPv4)
			if got := h.Flags&layers.IPv4DontFragment != 0; got != c.df {
				t.Errorf("DF %v, want %v", got, c.df)
			}
			if h.TOS != c.tos || h.TTL != 64 || h.Protocol != layers.IPProtocolESP {
				t.Errorf("TOS %#x TTL %d protocol %v, want TOS %#x TTL 64 ESP", h.TOS, h.TTL, h.Protocol, c.tos)
			}
			if h.SrcIP.String() != "198.51.100.1" || h.DstIP.String() != "198.51.100.2" {
				t.Errorf("from %v to %v", h.SrcIP, h.DstIP)
			}
			if (h.Id == 0) != c.df {
				t.Errorf("identification %d with DF %v", h.Id, c.df)
			}
		})
	}
}

// TestECNOnTheWayOut is the table of RFC 6040 §4.2.
func TestECNOnTheWayOut(t *testing.T) {
	const drop = 0xff
	for inner, row := range [4][4]uint8{
		//        outer: Not-ECT ECT(1) ECT(0) CE
		{0, 0, 0, drop}, // Not-ECT
		{1, 1, 1, 3},    // ECT(1)
		{2, 1, 2, 3},    // ECT(0)
		{3, 3, 3, 3},    // CE
	} {
		for outer, want := range row {
			for _, dst := range []string{"10.2.0.9:7", "[2001:db8:2::9]:7"} {
				both := tunnel(t, nil)
				src := "10.1.0.9:1"
				if port(dst).Addr().Is6() {
					src = "[2001:db8:1::9]:1"
				}
				sent := packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: udp(t, src, dst, nil, tos(0xb8|uint8(inner)))}))
				var p packet
				if reason := parse(sent[0].Bytes, &p); reason != "" {
					t.Fatal(reason)
				}
				p.setTrafficClass(0xb8 | uint8(outer))
				out := both[1].Handle(0, PacketIn{Interface: 1, Bytes: sent[0].Bytes})
				got := uint8(drop)
				if ps := packets(out); len(ps) == 1 {
					decode(t, ps[0].Bytes)
					if reason := parse(ps[0].Bytes, &p); reason != "" {
						t.Fatal(reason)
					}
					got = p.trafficClass &^ 0xb8
				}
				if got != want || (want == drop) != slices.Contains(reasons(out), DropCongested) {
					t.Errorf("%s: inner %d outer %d gives %#x, want %#x", dst, inner, outer, got, want)
				}
			}
		}
	}
}

// overMTU are packets of exactly size bytes from hostA.
func sized(t testing.TB, v6 bool, size int, options ...ipOption) []byte {
	if v6 {
		return udp(t, "[2001:db8:1::9]:1", "[2001:db8:2::9]:7", make([]byte, size-48), options...)
	}
	return udp(t, "10.1.0.9:1", "10.2.0.9:7", make([]byte, size-28), options...)
}

// TestPathMTU asks each kind of tunnel for its inner MTU by a packet that is too
// long, and holds it to the answer.
func TestPathMTU(t *testing.T) {
	for _, outer := range outers {
		for _, v6 := range []bool{false, true} {
			for _, mtu := range []int{1400, 1499, 1500} {
				a := tunnel(t, outer.sa, wanMTU(mtu))[0]
				out := a.Handle(0, PacketIn{Interface: 0, Bytes: sized(t, v6, mtu, df)})
				if !slices.Equal(reasons(out), []DropReason{DropTooBig}) {
					t.Fatalf("%s v6=%v at %d: reasons %v", outer.name, v6, mtu, reasons(out))
				}
				var told int
				for _, e := range events(out) {
					if e.Kind == EventICMPError {
						told = int(e.ICMP.MTU)
					}
				}
				if report := packets(out); len(report) != 1 || report[0].Interface != 0 || told < 1280 || told > mtu-40 {
					t.Fatalf("%s v6=%v at %d: told %d by %v", outer.name, v6, mtu, told, report)
				}
				fits := packets(a.Handle(0, PacketIn{Interface: 0, Bytes: sized(t, v6, told, df)}))
				if len(fits) != 1 || len(fits[0].Bytes) > mtu {
					t.Errorf("%s v6=%v at %d: %d bytes do not fit", outer.name, v6, mtu, told)
				}
				if got := reasons(a.Handle(0, PacketIn{Interface: 0, Bytes: sized(t, v6, told+1, df)})); !slices.Equal(got, []DropReason{DropTooBig}) {
					t.Errorf("%s v6=%v at %d: %d bytes: %v, want too-big", outer.name, v6, mtu, told+1, got)
				}
			}
		}
	}
}

// TestTunnelCarriesTheLeastIPv6MTU sends 1280 bytes through a path on which the
// tunnel has less room (RFC 2473 §7.1).
func TestTunnelCarriesTheLeastIPv6MTU(t *testing.T) {
	for _, outer := range outers {
		t.Run(outer.name, func(t *testing.T) {
			n := site(t, tunnel(t, outer.sa, wanMTU(1280)))
			if !n.ping(hostA, "2001:db8:2::9", 1280-48) {
				t.Errorf("no reply: %v %v", n.reasons(gwA), n.reasons(gwB))
			}
			if !n.ping(hostA, "2001:db8:2::9", 1280-48) {
				t.Error("no second reply")
			}
			if len(n.onWAN()) != 8 {
				t.Fatalf("%d packets on the WAN, want 2 for each of 2 on each way", len(n.onWAN()))
			}
			ids := make(map[uint32]int)
			for _, p := range n.onWAN() {
				var q packet
				if reason := parse(p.Bytes, &q); reason != "" {
					t.Fatal(reason)
				}
				if q.key.Src == n.nodes[gwA].interfaces[1].addresses[0].Addr() || q.key.Src == n.nodes[gwA].interfaces[1].addresses[1].Addr() {
					ids[q.fragmentID]++
				}
			}
			if len(ids) != 2 {
				t.Errorf("identifications and how often they are used: %v, want two for two packets", ids)
			}
			out := n.nodes[gwA].Handle(0, PacketIn{Interface: 0, Bytes: sized(t, true, 1281)})
			if got := reasons(out); !slices.Equal(got, []DropReason{DropTooBig}) {
				t.Errorf("1281 bytes: %v, want too-big", got)
			}
		})
	}
}

func TestESPIsRefused(t *testing.T) {
	both := tunnel(t, nil)
	sent := packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", pattern(64))}))[0].Bytes
	change := func(at int, v byte) []byte {
		b := slices.Clone(sent)
		b[at] ^= v
		return b
	}
	for _, c := range []struct {
		name   string
		packet []byte
		want   []DropReason
	}{
		{"damaged", change(len(sent)-20, 1), []DropReason{DropESPIntegrity}},
		{"with another sequence number", change(27, 2), []DropReason{DropESPIntegrity}},
		{"unchanged", slices.Clone(sent), nil},
		{"repeated", slices.Clone(sent), []DropReason{DropESPReplay}},
		{"of nobody", change(20, 1), []DropReason{DropESPNoAssociation}},
		{"too short", build(t, ip("198.51.100.1", "198.51.100.2", 50), &rawLayer{sent[20:26]}), []DropReason{DropESPMalformed}},
		{"without text", build(t, ip("198.51.100.1", "198.51.100.2", 50), &rawLayer{sent[20:30]}), []DropReason{DropESPMalformed}},
	} {
		out := both[1].Handle(0, PacketIn{Interface: 1, Bytes: c.packet})
		if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if accepted := len(packets(out)) == 1; accepted != (c.want == nil) {
			t.Errorf("%s: accepted %v", c.name, accepted)
		}
	}
	want := Counters{PacketsIn: 1, BytesIn: 92, Replays: 1, IntegrityFailures: 2}
	if diff := cmp.Diff(want, both[1].Associations()[0].Counters); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}

// TestWhatATunnelMayBring seals packets with the peer's keys that the peer should
// not have sent.
func TestWhatATunnelMayBring(t *testing.T) {
	sealed := func(t *testing.T, inner []byte, nextHeader uint8) []byte {
		sa := keyed(t, 0, 1)
		encr, _ := sa.Proposal.Find(suite.TransformENCR)
		out, err := esp.NewOutbound(esp.SAConfig{SPI: sa.SPIOut, Encr: encr, EncrKey: sa.Out.Encr})
		if err != nil {
			t.Fatal(err)
		}
		sequence, _ := out.Reserve(1)
		b, err := out.Seal(nil, sequence, inner, nextHeader)
		if err != nil {
			t.Fatal(err)
		}
		return build(t, ip("198.51.100.1", "198.51.100.2", 50), &rawLayer{b})
	}
	good := udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)
	for _, c := range []struct {
		name       string
		inner      []byte
		nextHeader uint8
		want       []DropReason
	}{
		{"what was agreed", good, 4, nil},
		{"a source outside", udp(t, "10.3.0.9:1", "10.2.0.9:7", nil), 4, []DropReason{DropSelectorMismatch}},
		{"a destination outside", udp(t, "10.1.0.9:1", "10.3.0.9:7", nil), 4, []DropReason{DropSelectorMismatch}},
		{"the other direction", udp(t, "10.2.0.9:1", "10.1.0.9:7", nil), 4, []DropReason{DropSelectorMismatch}},
		{"the gateway's own address", udp(t, "10.2.0.1:1", "10.2.0.9:7", nil), 4, []DropReason{DropMartian}},
		{"loopback", udp(t, "127.0.0.1:1", "10.2.0.9:7", nil), 4, []DropReason{DropMartian}},
		{"IPv4 that says IPv6", good, 41, []DropReason{DropInnerNotIP}},
		{"another protocol", good, 6, []DropReason{DropInnerNotIP}},
		{"a dummy", make([]byte, 40), 59, []DropReason{DropESPDummy}},
		{"nothing", nil, 4, []DropReason{DropTruncated}},
		{"half a header", good[:12], 4, []DropReason{DropTruncated}},
		{"an expired packet", udp(t, "10.1.0.9:1", "10.2.0.9:7", nil, ttl(1)), 4, []DropReason{DropTTL}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := tunnel(t, nil)[1].Handle(0, PacketIn{Interface: 1, Bytes: sealed(t, c.inner, c.nextHeader)})
			if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			for _, e := range events(out) {
				if e.Kind == EventPacketDropped && e.Drop.Reason != DropTTL && (e.ESP.SPI != 0x2001 || e.ESP.Sequence != 1) {
					t.Errorf("the drop names %#x/%d, want the packet's association", e.ESP.SPI, e.ESP.Sequence)
				}
			}
		})
	}
}

// TestESPEvents holds the events to the packets on the wire.
func TestESPEvents(t *testing.T) {
	both := tunnel(t, encapsulated)
	for sequence := uint64(1); sequence < 4; sequence++ {
		out := both[0].Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", pattern(64))})
		wire := packets(out)[0].Bytes
		want := ESP{Connection: "site", Child: "nets", Ordinal: 1, SPI: 0x2001, Sequence: sequence, IVBytes: 8,
			Outer: PacketKey{Src: addr("198.51.100.1"), Dst: addr("198.51.100.2"), Protocol: 17, SrcPort: 4500, DstPort: 4500, PortsKnown: true, Bytes: len(wire)},
			Inner: PacketKey{Src: addr("10.1.0.9"), Dst: addr("10.2.0.9"), Protocol: 17, SrcPort: 1, DstPort: 7, PortsKnown: true, Bytes: 92},
		}
		copy(want.IV[:], wire[36:44])
		es := events(out)
		if len(es) != 1 || es[0].Kind != EventESPOut {
			t.Fatalf("events %v", es)
		}
		if diff := cmp.Diff(want, es[0].ESP, comparers...); diff != "" {
			t.Errorf("esp-out (-want +got):\n%s", diff)
		}
		es = events(both[1].Handle(0, PacketIn{Interface: 1, Bytes: wire}))
		if len(es) != 1 || es[0].Kind != EventESPIn {
			t.Fatalf("events %v", es)
		}
		want.Inner.Bytes = 92
		if diff := cmp.Diff(want, es[0].ESP, comparers...); diff != "" {
			t.Errorf("esp-in (-want +got):\n%s", diff)
		}
	}
}

func TestSequenceNumbersEnd(t *testing.T) {
	a := tunnel(t, nil)[0]
	if _, err := a.associations.all[0].out.Reserve(1<<32 - 2); err != nil {
		t.Fatal(err)
	}
	send := func() []Output {
		return a.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)})
	}
	if got := packets(send()); len(got) != 1 {
		t.Fatalf("the last number: %d packets", len(got))
	}
	if diff := cmp.Diff([]DropReason{DropESPSequence}, reasons(send())); diff != "" {
		t.Errorf("behind the last number (-want +got):\n%s", diff)
	}
}

// TestErrorsStayInTheTunnel traces the route through it: what the far gateway has
// to report about an inner packet comes back by the tunnel, or not at all.
func TestErrorsStayInTheTunnel(t *testing.T) {
	for _, c := range []struct{ src, dst string }{{"10.1.0.9:1", "10.2.0.9:7"}, {"[2001:db8:1::9]:1", "[2001:db8:2::9]:7"}} {
		n := site(t, tunnel(t, nil))
		n.do(hostA, DatagramOut{Src: port(c.src), Dst: port(c.dst), Payload: pattern(200), HopLimit: 2})
		got := n.deliveries(hostA)
		if len(got) != 1 || got[0].Kind != DeliverICMPError || n.nodes[gwB].routes.local[got[0].Src.Addr()] != 0 {
			t.Errorf("%s: delivered %v, want an error from the far gateway's LAN address", c.dst, got)
		}
		n.noClear()
	}
	t.Run("from the last link", func(t *testing.T) {
		n := site(t, tunnel(t, nil))
		n.do(hostA, DatagramOut{Src: port("10.1.0.9:1"), Dst: port("10.2.0.50:7"), Payload: pattern(200)})
		var forwarded *PacketOut
		for _, l := range n.log {
			if p, ok := l.Output.(*PacketOut); ok && l.node == gwB {
				forwarded = p
			}
		}
		n.do(gwB, NeighborFailed{Interface: 0, Bytes: bytes.Clone(forwarded.Bytes)})
		got := n.deliveries(hostA)
		if len(got) != 1 || got[0].Kind != DeliverICMPError || got[0].Code != 1 || got[0].Src.Addr() != addr("10.2.0.1") {
			t.Errorf("delivered %v, want host unreachable by the tunnel; %v", got, n.reasons(gwB))
		}
		n.noClear()
	})
	t.Run("without an address inside", func(t *testing.T) {
		n := site(t, tunnel(t, nil))
		n.do(gwB, AddressChange{Interface: 0, Addresses: []netip.Prefix{prefix("10.77.0.1/24")}})
		n.do(hostA, DatagramOut{Src: port("10.1.0.9:1"), Dst: port("10.2.0.9:7"), Payload: pattern(200), HopLimit: 2})
		if !slices.Contains(n.reasons(gwB), DropICMPUnprotected) || len(n.deliveries(hostA)) != 0 {
			t.Errorf("reasons %v", n.reasons(gwB))
		}
		n.noClear()
	})
}

func TestGatewayChoosesASourceThatTheTunnelCarries(t *testing.T) {
	n := site(t, tunnel(t, nil))
	for _, dst := range []string{"10.2.0.9", "2001:db8:2::9"} {
		if !n.ping(gwA, dst, 100) {
			t.Errorf("no reply from %s: %v", dst, n.reasons(gwA))
		}
	}
	if got := n.events(gwB, EventESPIn); len(got) != 2 || got[0].ESP.Inner.Src != addr("10.1.0.1") {
		t.Errorf("esp-in %v", got)
	}
}

// TestLongestInnerPacket sends what fits into no outer packet: the inner one has to
// be cut too.
func TestLongestInnerPacket(t *testing.T) {
	for _, outer := range outers {
		for dst, size := range map[string]int{"10.2.0.9:7": 65507, "[2001:db8:2::9]:7": 65487} {
			n := site(t, tunnel(t, outer.sa))
			n.do(gwA, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port(dst), Payload: pattern(size), MayFragment: true})
			if got := n.deliveries(hostB); len(got) != 1 || !bytes.Equal(got[0].Payload, pattern(size)) {
				t.Errorf("%s in %s: %d delivered; %v %v", dst, outer.name, len(got), n.reasons(gwA), n.reasons(gwB))
			}
			for _, p := range n.onWAN() {
				if len(p.Bytes) > 1500 {
					t.Errorf("%s in %s: %d bytes on the WAN", dst, outer.name, len(p.Bytes))
				}
			}
			n.noClear()
		}
	}
}

// TestRoutedSourceIsPreferred gives a host two addresses that its policy protects.
func TestRoutedSourceIsPreferred(t *testing.T) {
	n := newNode(t, Config{
		Name: "roadwarrior",
		Interfaces: []Interface{
			{Name: "old", Up: true, Addresses: []netip.Prefix{prefix("203.0.113.1/24")}},
			{Name: "new", Up: true, Addresses: []netip.Prefix{prefix("198.51.100.1/24")}},
		},
		Routes: []Route{{Prefix: prefix("0.0.0.0/0"), Via: addr("198.51.100.2")}},
		IKE: &ike.Config{Random: labelled("x"), Connections: []ike.Connection{{
			Name: "office", RemoteAddrs: []netip.Addr{addr("198.51.100.2")}, Proposals: proposal(t, suite.ProtocolIKE, "aes128-sha256-x25519"),
			Children: []ike.Child{{Name: "net", RemoteTS: ts("10.2.0.0/24"), ESPProposals: proposal(t, suite.ProtocolESP, "aes128gcm16")}},
		}}},
	})
	out := n.Handle(0, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port("10.2.0.9:7")})
	if got := events(out); len(got) != 1 || got[0].Kind != EventPolicyDrop || got[0].Drop.Packet.Src != addr("198.51.100.1") {
		t.Errorf("events %v, want a drop of a packet from the routed address", got)
	}
}

func TestUninstall(t *testing.T) {
	both := tunnel(t, nil)
	a := both[0]
	send := func() []Output {
		return a.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)})
	}
	spi := func(out []Output) uint32 {
		for _, e := range events(out) {
			if e.Kind == EventESPOut {
				return e.ESP.SPI
			}
		}
		return 0
	}
	if err := a.install(keyed(t, 0, 2)); err != nil {
		t.Fatal(err)
	}
	if got := spi(send()); got != 0x2002 {
		t.Errorf("sent by %#x, want the newest 0x2002", got)
	}
	old := packets(both[1].Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.2.0.9:7", "10.1.0.9:1", nil)}))[0].Bytes
	if got := packets(a.Handle(0, PacketIn{Interface: 1, Bytes: slices.Clone(old)})); len(got) != 1 {
		t.Error("the older association no longer receives")
	}
	a.uninstall(ike.DeleteChild{Connection: "site", Child: "nets", SPIOut: 0x2002})
	if got := spi(send()); got != 0x2001 {
		t.Errorf("sent by %#x, want the one that is left 0x2001", got)
	}
	if err := a.install(keyed(t, 0, 2)); err == nil {
		t.Error("an inbound SPI was installed twice")
	}
	a.uninstall(ike.DeleteChild{Connection: "site", Child: "nets", SPIIn: 0x1002})
	a.uninstall(ike.DeleteChild{Connection: "site", Child: "nets", SPIIn: 0x1001, SPIOut: 0x2001})
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, reasons(send())); diff != "" {
		t.Errorf("without any (-want +got):\n%s", diff)
	}
	if left := a.Associations(); len(left) != 0 || len(a.associations.inbound) != 0 || len(a.associations.byOrdinal) != 0 || a.spd.Len() != 1 {
		t.Errorf("left over: %v, %d policies", left, a.spd.Len())
	}
}

func TestMove(t *testing.T) {
	a := tunnel(t, encapsulated)[0]
	a.move(ike.MoveChild{SPIIn: 0x1001, SPIOut: 0x2001, Local: port("198.51.100.1:4500"), Remote: port("198.51.100.77:31000")})
	sent := packets(a.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)}))
	d := decode(t, sent[0].Bytes)
	if u := d.Layer(layers.LayerTypeUDP).(*layers.UDP); u.DstPort != 31000 || sent[0].NextHop != addr("198.51.100.77") {
		t.Errorf("sent to %v port %d", sent[0].NextHop, u.DstPort)
	}
}

func TestBothFormsOfESPAreTaken(t *testing.T) {
	plain, wrapped := tunnel(t, nil), tunnel(t, encapsulated)
	for i, sender := range []*Node{plain[0], wrapped[0]} {
		receiver := []*Node{wrapped[1], plain[1]}[i]
		sent := packets(sender.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)}))
		if got := packets(receiver.Handle(0, PacketIn{Interface: 1, Bytes: bytes.Clone(sent[0].Bytes)})); len(got) != 1 {
			t.Errorf("form %d was not taken", i)
		}
	}
}
