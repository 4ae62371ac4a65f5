package node

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"pgregory.net/rapid"
)

// dnsOnly narrows the policy to UDP port 53 of the far side.
func dnsOnly(c *Config) {
	child := &c.IKE.Connections[0].Children[0]
	child.LocalTS = []wire.Selector{wire.PrefixSelector(prefix("10.1.0.0/24"), 17, 0, 65535)}
	child.RemoteTS = []wire.Selector{wire.PrefixSelector(prefix("10.2.0.0/24"), 17, 53, 53)}
}

// TestPolicyOutbound sends from the protected side of a gateway without any
// association.
func TestPolicyOutbound(t *testing.T) {
	later := func(offset int) []byte {
		return build(t, ip("10.1.0.9", "10.2.0.9", layers.IPProtocolUDP, fragmentOf(1, offset, false)), &rawLayer{make([]byte, 64)})
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		packet []byte
		want   []DropReason
	}{
		{"the policy's traffic", nil, udp(t, "10.1.0.9:1", "10.2.0.9:7", nil), []DropReason{DropNoAssociation}},
		{"the policy's IPv6 traffic", nil, udp(t, "[2001:db8:1::9]:1", "[2001:db8:2::9]:7", nil), []DropReason{DropNoAssociation}},
		{"a later fragment of it", nil, later(64), []DropReason{DropNoAssociation}},
		{"another destination", nil, udp(t, "10.1.0.9:1", "10.3.0.9:7", nil), nil},
		{"another source", nil, udp(t, "10.3.0.9:1", "10.2.0.9:7", nil), nil},
		{"forwarded IKE in the policy's traffic", nil, udp(t, "10.1.0.9:500", "10.2.0.9:500", nil), []DropReason{DropNoAssociation}},
		{"forwarded ESP in the policy's traffic", nil, build(t, ip("10.1.0.9", "10.2.0.9", 50), &rawLayer{make([]byte, 64)}), []DropReason{DropNoAssociation}},
		{"the policy's port", dnsOnly, udp(t, "10.1.0.9:1", "10.2.0.9:53", nil), []DropReason{DropNoAssociation}},
		{"another port", dnsOnly, udp(t, "10.1.0.9:1", "10.2.0.9:54", nil), nil},
		{"another protocol", dnsOnly, echo(t, "10.1.0.9", "10.2.0.9", 1, 1, nil), nil},
		{"a later fragment of perhaps the policy's port", dnsOnly, later(64), []DropReason{DropFragmentUnmatched}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := gateway(t, 0)
			if c.change != nil {
				n = gateway(t, 0, c.change)
			}
			out := n.Handle(0, PacketIn{Interface: 0, Bytes: slices.Clone(c.packet)})
			if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if passed := len(packets(out)) == 1; passed != (c.want == nil) {
				t.Errorf("passed: %v", passed)
			}
			for _, e := range events(out) {
				if e.Kind == EventClearOut || (c.want != nil && c.want[0] == DropNoAssociation && e.Kind != EventPolicyDrop) {
					t.Errorf("event %s", e.Kind)
				}
			}
		})
	}
}

// TestPolicyInbound lets cleartext arrive at the WAN of a gateway whose tunnel is
// up.
func TestPolicyInbound(t *testing.T) {
	about := func(quote []byte) []byte {
		return build(t, ip("10.2.0.77", "198.51.100.1", layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}, &rawLayer{quote})
	}
	// everything also protects what goes to the gateway's own address.
	everything := func(c *Config) {
		c.IKE.Connections[0].Children[0].LocalTS = ts("0.0.0.0/0", "::/0")
	}
	espQuote := build(t, ip("198.51.100.1", "198.51.100.2", 50), &rawLayer{make([]byte, 64)})
	ikeQuote := udp(t, "198.51.100.1:500", "198.51.100.2:500", make([]byte, 64))
	for _, c := range []struct {
		name   string
		change func(*Config)
		packet []byte
		want   []DropReason
	}{
		{"the tunnel's traffic", nil, udp(t, "10.2.0.9:7", "10.1.0.9:1", nil), []DropReason{DropClearInbound}},
		{"the tunnel's traffic to the gateway", nil, echo(t, "10.2.0.9", "10.1.0.1", 1, 1, nil), []DropReason{DropClearInbound}},
		{"the tunnel's IPv6 traffic", nil, udp(t, "[2001:db8:2::9]:7", "[2001:db8:1::9]:1", nil), []DropReason{DropClearInbound}},
		{"another source", nil, udp(t, "10.3.0.9:7", "10.1.0.9:1", nil), nil},
		{"another destination", nil, echo(t, "10.2.0.9", "198.51.100.1", 1, 1, nil), nil},
		{"echo under a wide policy", everything, echo(t, "10.2.0.77", "198.51.100.1", 1, 1, nil), []DropReason{DropClearInbound}},
		{"an error about ESP", everything, about(espQuote), nil},
		{"an error about IKE", everything, about(ikeQuote), nil},
		{"an error about anything else", everything, about(udp(t, "198.51.100.1:9", "198.51.100.2:9", nil)), []DropReason{DropClearInbound}},
		{"an error about another's ESP", everything, about(build(t, ip("198.51.100.9", "198.51.100.2", 50), &rawLayer{make([]byte, 64)})), []DropReason{DropClearInbound}},
		{"a later fragment of perhaps the policy's port", func(c *Config) {
			dnsOnly(c)
			child := &c.IKE.Connections[0].Children[0]
			child.LocalTS, child.RemoteTS = child.RemoteTS, child.LocalTS
		}, build(t, ip("10.1.0.9", "10.2.0.9", layers.IPProtocolUDP, fragmentOf(1, 64, false)), &rawLayer{make([]byte, 64)}), []DropReason{DropClearInbound}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := gateway(t, 0)
			if c.change != nil {
				n = gateway(t, 0, c.change)
			}
			out := n.Handle(0, PacketIn{Interface: 1, Bytes: slices.Clone(c.packet)})
			if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if len(c.want) > 0 && len(packets(out))+len(delivers(out)) != 0 {
				t.Error("the packet had an effect")
			}
			for _, e := range events(out) {
				if len(c.want) > 0 && e.Kind != EventPolicyDrop {
					t.Errorf("event %s, want policy-drop", e.Kind)
				}
			}
		})
	}
}

// modelSelector is a traffic selector in a form that needs no address ranges: the
// third byte of 10.0.x.0/24 and a range of ports.
type modelSelector struct {
	net      byte
	protocol uint8
	from, to uint16
}

func (s modelSelector) wire() wire.Selector {
	return wire.PrefixSelector(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, s.net, 0}), 24), s.protocol, s.from, s.to)
}

func (s modelSelector) matches(net byte, protocol uint8, port uint16) bool {
	return s.net == net && (s.protocol == 0 || s.protocol == protocol) && port >= s.from && port <= s.to
}

// TestPolicyModel draws policies and packets close together and holds the gateway
// to RFC 4301 in three lines: what a policy names leaves sealed or not at all, what
// it names does not come in in clear, and all else passes.
func TestPolicyModel(t *testing.T) {
	selector := rapid.Custom(func(rt *rapid.T) modelSelector {
		s := modelSelector{net: rapid.ByteRange(0, 3).Draw(rt, "net"), to: 0xffff}
		if rapid.Bool().Draw(rt, "one protocol") {
			s.protocol = rapid.SampledFrom([]uint8{6, 17}).Draw(rt, "protocol")
			if rapid.Bool().Draw(rt, "some ports") {
				s.from = rapid.Uint16Range(1, 4).Draw(rt, "from")
				s.to = s.from + rapid.Uint16Range(0, 2).Draw(rt, "more")
			}
		}
		return s
	})
	rapid.Check(t, func(rt *rapid.T) {
		local := rapid.SliceOfN(selector, 1, 3).Draw(rt, "local_ts")
		remote := rapid.SliceOfN(selector, 1, 3).Draw(rt, "remote_ts")
		up := rapid.Bool().Draw(rt, "tunnel up")
		sides := func(all []modelSelector) (out []wire.Selector) {
			for _, s := range all {
				out = append(out, s.wire())
			}
			return out
		}
		n := gateway(t, 0, func(c *Config) {
			c.Interfaces[0].Addresses = []netip.Prefix{prefix("192.0.2.1/24")}
			c.Routes = append(c.Routes[:1], Route{Prefix: prefix("10.0.0.0/16"), Via: addr("192.0.2.2")})
			child := &c.IKE.Connections[0].Children[0]
			child.LocalTS, child.RemoteTS = sides(local), sides(remote)
		})
		if up {
			if err := n.install(keyed(t, 0, 1, func(sa *ike.ChildSA) { sa.LocalTS, sa.RemoteTS = sides(local), sides(remote) })); err != nil {
				rt.Fatal(err)
			}
		}
		for range 10 {
			src, dst := rapid.ByteRange(0, 3).Draw(rt, "src"), rapid.ByteRange(0, 3).Draw(rt, "dst")
			protocol := rapid.SampledFrom([]uint8{6, 17}).Draw(rt, "protocol")
			sport, dport := rapid.Uint16Range(0, 7).Draw(rt, "source port"), rapid.Uint16Range(0, 7).Draw(rt, "destination port")
			transport := make([]byte, 20)
			transport[1], transport[3] = byte(sport), byte(dport)
			b := build(t, ip(fmt.Sprintf("10.0.%d.9", src), fmt.Sprintf("10.0.%d.9", dst), layers.IPProtocol(protocol)), &rawLayer{transport})

			matches := func(all []modelSelector, net byte, port uint16) bool {
				return slices.ContainsFunc(all, func(s modelSelector) bool { return s.matches(net, protocol, port) })
			}
			inbound := matches(remote, src, sport) && matches(local, dst, dport)
			outbound := matches(local, src, sport) && matches(remote, dst, dport)
			var want []DropReason
			var origin []Origin
			switch {
			case inbound:
				want = []DropReason{DropClearInbound}
			case outbound && !up:
				want = []DropReason{DropNoAssociation}
			case outbound:
				origin = []Origin{OriginESP}
			default:
				origin = []Origin{OriginForwarded}
			}
			out := n.Handle(0, PacketIn{Interface: 1, Bytes: b})
			var left []Origin
			for _, p := range packets(out) {
				left = append(left, p.Origin)
			}
			if diff := cmp.Diff(want, reasons(out)) + cmp.Diff(origin, left); diff != "" {
				rt.Fatalf("10.0.%d.9:%d to 10.0.%d.9:%d protocol %d (-want +got):\n%s", src, sport, dst, dport, protocol, diff)
			}
		}
	})
}

// TestClearOutIsSeen takes the policy out of the SPD behind the node's back and
// expects the check at the interface to notice what that lets through.
func TestClearOutIsSeen(t *testing.T) {
	n := gateway(t, 0)
	n.spd.Remove(n.policies[0].match.Name)
	n.forgetDecisions()
	out := n.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.9:1", "10.2.0.9:7", nil)})
	if len(packets(out)) != 1 {
		t.Fatal("the packet did not leave")
	}
	if got := events(out); len(got) != 1 || got[0].Kind != EventClearOut || got[0].Interface != 1 || got[0].Drop.Packet.DstPort != 7 {
		t.Errorf("events %v, want clear-out", got)
	}
}

// TestDynamicSelectors takes selectors that a configuration leaves out from the
// addresses, also when they change.
func TestDynamicSelectors(t *testing.T) {
	n := newNode(t, Config{
		Name:       "roadwarrior",
		Forward:    true,
		Interfaces: []Interface{{Name: "wan", Up: true, Addresses: []netip.Prefix{prefix("198.51.100.1/24")}}},
		Routes:     []Route{{Prefix: prefix("0.0.0.0/0"), Via: addr("198.51.100.2")}},
		IKE: &ike.Config{Random: labelled("x"), Connections: []ike.Connection{{
			Name: "office", RemoteAddrs: []netip.Addr{addr("198.51.100.2")}, Proposals: proposal(t, suite.ProtocolIKE, "aes128-sha256-x25519"),
			Children: []ike.Child{{Name: "net", RemoteTS: ts("10.2.0.0/24"), ESPProposals: proposal(t, suite.ProtocolESP, "aes128gcm16")}},
		}}},
	})
	send := func() []DropReason {
		return reasons(n.Handle(0, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port("10.2.0.9:7")}))
	}
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, send()); diff != "" {
		t.Errorf("from the first address (-want +got):\n%s", diff)
	}
	arrive := func() []DropReason {
		return reasons(n.Handle(0, PacketIn{Interface: 0, Bytes: echo(t, "10.2.0.9", "198.51.100.7", 1, 1, nil)}))
	}
	if got := arrive(); len(got) != 0 {
		t.Errorf("for another host: %v", got)
	}
	n.Handle(0, AddressChange{Interface: 0, Addresses: []netip.Prefix{prefix("198.51.100.7/24")}})
	if diff := cmp.Diff([]DropReason{DropClearInbound}, arrive()); diff != "" {
		t.Errorf("for the second address (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, send()); diff != "" {
		t.Errorf("from the second address (-want +got):\n%s", diff)
	}
}

// TestBadSelectorsAreRefused shows that New looks at the policy.
func TestBadSelectorsAreRefused(t *testing.T) {
	cfg := Config{Name: "x", IKE: &ike.Config{Random: labelled("x"), Connections: []ike.Connection{{
		Name: "c", RemoteAddrs: []netip.Addr{addr("198.51.100.2")}, Proposals: proposal(t, suite.ProtocolIKE, "aes128-sha256-x25519"),
		Children: []ike.Child{{Name: "n", ESPProposals: proposal(t, suite.ProtocolESP, "aes128gcm16"), RemoteTS: ts("10.0.0.0/8"),
			LocalTS: []wire.Selector{{Type: wire.TSIPv4AddrRange, Start: addr("10.0.0.9"), End: addr("10.0.0.1"), EndPort: 65535}}}},
	}}}}
	if _, err := New(cfg); err == nil {
		t.Error("New took a selector whose first address is above its last")
	}
}
