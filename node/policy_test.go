package node

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
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
		Interfaces: []Interface{{Name: "wan", Up: true, Addresses: []netip.Prefix{prefix("198.51.100.1/24")}}},
		Routes:     []Route{{Prefix: prefix("0.0.0.0/0"), Via: addr("198.51.100.2")}},
		IKE: &ike.Config{Random: labelled("x"), Connections: []ike.Connection{{
			Name: "office", RemoteAddrs: []netip.Addr{addr("198.51.100.2")}, Proposals: proposal(t, 1, "aes128-sha256-x25519"),
			Children: []ike.Child{{Name: "net", RemoteTS: ts("10.2.0.0/24"), ESPProposals: proposal(t, 3, "aes128gcm16")}},
		}}},
	})
	send := func() []DropReason {
		return reasons(n.Handle(0, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port("10.2.0.9:7")}))
	}
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, send()); diff != "" {
		t.Errorf("from the first address (-want +got):\n%s", diff)
	}
	n.Handle(0, AddressChange{Interface: 0, Addresses: []netip.Prefix{prefix("198.51.100.7/24")}})
	if diff := cmp.Diff([]DropReason{DropNoAssociation}, send()); diff != "" {
		t.Errorf("from the second address (-want +got):\n%s", diff)
	}
}

// TestBadSelectorsAreRefused shows that New looks at the policy.
func TestBadSelectorsAreRefused(t *testing.T) {
	cfg := Config{Name: "x", IKE: &ike.Config{Random: labelled("x"), Connections: []ike.Connection{{
		Name: "c", RemoteAddrs: []netip.Addr{addr("198.51.100.2")}, Proposals: proposal(t, 1, "aes128-sha256-x25519"),
		Children: []ike.Child{{Name: "n", ESPProposals: proposal(t, 3, "aes128gcm16"), RemoteTS: ts("10.0.0.0/8"),
			LocalTS: []wire.Selector{{Type: wire.TSIPv4AddrRange, Start: addr("10.0.0.9"), End: addr("10.0.0.1"), EndPort: 65535}}}},
	}}}}
	if _, err := New(cfg); err == nil {
		t.Error("New took a selector whose first address is above its last")
	}
}
