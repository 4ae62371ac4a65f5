package sim

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

func mustProposal(t *testing.T, protocol suite.Protocol, words string) []suite.Proposal {
	t.Helper()
	p, err := suite.ParseProposal(protocol, words)
	if err != nil {
		t.Fatal(err)
	}
	return []suite.Proposal{p}
}

// TestNodeConfig: every value of a plan's node reaches the node's configuration,
// and what the two call by different names is translated.
func TestNodeConfig(t *testing.T) {
	ikeProposals := mustProposal(t, suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519")
	espProposals := mustProposal(t, suite.ProtocolESP, "aes256gcm16")
	name := topology.Identity{Type: wire.IDTypeFQDN, Text: "a.example.org", Data: []byte("a.example.org")}
	ts := topology.TrafficSelector{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Protocol: 17, FromPort: 53, ToPort: 54}
	in := topology.Node{
		Name: "gw-a", Implementation: topology.ImplementationIkelab, Forward: true,
		Interfaces: []topology.Interface{{Name: "wan", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}, Up: true, MTUBytes: 1400}},
		Routes:     []topology.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: gwB, Interface: "wan", Derived: true}},
		Connections: []topology.Connection{{
			Name: "c", LocalAddrs: []netip.Addr{gwA}, RemoteAddrs: []netip.Addr{gwB}, LocalPort: 500, RemotePort: 4500,
			Proposals: ikeProposals, Local: topology.Auth{Method: topology.AuthPSK, ID: name}, Encap: true,
			DPDDelay: 7 * time.Second, KeepAlive: 9 * time.Second, KeyingTries: 3,
			Retransmit: topology.Retransmit{Timeout: 2 * time.Second, BaseMilli: 1500, Tries: 4, Limit: 6 * time.Second},
			Children: []topology.Child{
				{Name: "start", LocalTS: []topology.TrafficSelector{ts}, ESPProposals: espProposals, StartAction: topology.StartStart, ReplayWindowPackets: 64},
				{Name: "trap", ESPProposals: espProposals, StartAction: topology.StartTrap},
				{Name: "none", ESPProposals: espProposals, StartAction: topology.StartNone, ReplayWindowPackets: 32},
			},
		}},
		Secrets: []topology.Secret{{Name: "s", IDs: []topology.Identity{name}, Key: []byte("key")}},
	}
	id := ike.Identity{Type: wire.IDTypeFQDN, Data: []byte("a.example.org")}
	want := node.Config{
		Name: "gw-a", Forward: true, Listen: []uint16{5004},
		Interfaces: []node.Interface{{Name: "wan", Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}, Up: true, MTUBytes: 1400}},
		Routes:     []node.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: gwB, Interface: "wan"}},
		IKE: &ike.Config{
			Node: "gw-a",
			Connections: []ike.Connection{{
				Name: "c", LocalAddrs: []netip.Addr{gwA}, RemoteAddrs: []netip.Addr{gwB}, LocalPort: 500, RemotePort: 4500,
				Proposals: ikeProposals, Local: ike.Auth{ID: id}, Encap: true,
				DPDDelay: 7 * time.Second, KeepAlive: 9 * time.Second, KeyingTries: 3,
				Retransmit: ike.Retransmit{Timeout: 2 * time.Second, BaseMilli: 1500, Tries: 4, Limit: 6 * time.Second},
				Children: []ike.Child{
					{Name: "start", LocalTS: []wire.Selector{wire.PrefixSelector(ts.Prefix, 17, 53, 54)}, ESPProposals: espProposals, StartAction: ike.StartStart, ReplayWindowPackets: 64},
					{Name: "trap", ESPProposals: espProposals, StartAction: ike.StartTrap, ReplayWindowPackets: -1},
					{Name: "none", ESPProposals: espProposals, StartAction: ike.StartNone, ReplayWindowPackets: 32},
				},
			}},
			Secrets: []ike.Secret{{Name: "s", IDs: []ike.Identity{id}, Key: []byte("key")}},
		},
	}
	got, err := nodeConfig(in, []uint16{5004}, nil)
	if err != nil {
		t.Fatal(err)
	}
	options := cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})}
	if d := cmp.Diff(want, got, options); d != "" {
		t.Errorf("configuration (-want +got):\n%s", d)
	}

	// None is 0 in a plan and negative in package ike, where 0 is a default.
	in.Connections[0].KeepAlive, in.Connections[0].Retransmit.Tries = 0, 0
	if got, err = nodeConfig(in, nil, nil); err != nil {
		t.Fatal(err)
	}
	if c := got.IKE.Connections[0]; c.KeepAlive >= 0 || c.Retransmit.Tries >= 0 {
		t.Errorf("keepalives every %v and %d retransmissions, want none of both", c.KeepAlive, c.Retransmit.Tries)
	}
}

func TestNodeConfigWithoutIKE(t *testing.T) {
	for _, n := range []topology.Node{
		{Name: "h", Implementation: topology.ImplementationHost},
		{Name: "h", Implementation: topology.ImplementationIkelab},
	} {
		got, err := nodeConfig(n, nil, nil)
		if err != nil || got.IKE != nil {
			t.Errorf("%s without connections got the IKE configuration %v (%v)", n.Implementation, got.IKE, err)
		}
	}
	_, err := nodeConfig(topology.Node{Name: "h", Implementation: "nat"}, nil, nil)
	if err == nil || !strings.Contains(err.Error(), `node "h": implementation "nat" cannot be run`) {
		t.Errorf("error %v", err)
	}
}

// TestScheduleLength has charon's own schedule, of which strongSwan's
// documentation says that a request is given up after 165 s.
func TestScheduleLength(t *testing.T) {
	charon := topology.Retransmit{Timeout: 4 * time.Second, BaseMilli: 1800, Tries: 5}
	limited := charon
	limited.Limit = 10 * time.Second
	tests := map[string]struct {
		connection topology.Connection
		want       time.Duration
	}{
		"charon":            {topology.Connection{Retransmit: charon}, 165061 * ms},
		"for ever":          {topology.Connection{Retransmit: charon, KeyingTries: 0}, 165061 * ms},
		"three times":       {topology.Connection{Retransmit: charon, KeyingTries: 3}, 495183 * ms},
		"limited":           {topology.Connection{Retransmit: limited}, 4*time.Second + 7200*ms + 4*10*time.Second},
		"no retransmission": {topology.Connection{Retransmit: topology.Retransmit{Timeout: time.Second, BaseMilli: 2000}}, time.Second},
		"does not overflow": {topology.Connection{Retransmit: topology.Retransmit{Timeout: time.Hour, BaseMilli: 10000, Tries: 32}}, 33 * time.Hour},
	}
	for name, test := range tests {
		if got := scheduleLength(test.connection); got.Round(ms) != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestConfiguredPolicies: a child is a policy from the start; "dynamic" is an
// address.
func TestConfiguredPolicies(t *testing.T) {
	host := func(a netip.Addr) []wire.Selector {
		return []wire.Selector{wire.PrefixSelector(netip.PrefixFrom(a, a.BitLen()), 0, 0, 65535)}
	}
	ts := []topology.TrafficSelector{{Prefix: netip.MustParsePrefix("10.1.0.0/16"), ToPort: 65535}}
	n := topology.Node{
		Interfaces: []topology.Interface{{Addresses: []netip.Prefix{netip.MustParsePrefix("198.51.100.1/24")}}},
		Connections: []topology.Connection{
			{Name: "a", RemoteAddrs: []netip.Addr{gwB}, Children: []topology.Child{{Name: "nets", LocalTS: ts, RemoteTS: ts}, {Name: "hosts"}}},
			{Name: "b", LocalAddrs: []netip.Addr{hostA}, RemoteAddrs: []netip.Addr{gwB}, Children: []topology.Child{{Name: "mine"}}},
			{Name: "any", Children: []topology.Child{{Name: "unknown peer"}, {Name: "known net", RemoteTS: ts}}},
		},
	}
	want := []policy{
		{"a", "nets", tsA, tsA},
		{"a", "hosts", host(gwA), host(gwB)},
		{"b", "mine", host(hostA), host(gwB)},
		{"any", "known net", host(gwA), tsA},
	}
	if d := cmp.Diff(want, configuredPolicies(n), cmp.AllowUnexported(policy{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("policies (-want +got):\n%s", d)
	}
}

// What a node refuses is said when the run is made, for every node at once.
func TestNewChecksEveryNode(t *testing.T) {
	plan := &topology.Plan{Lab: topology.Lab{Name: "two faults", Duration: time.Second}}
	for _, name := range []string{"a", "b"} {
		plan.Nodes = append(plan.Nodes, topology.Node{Name: name, Implementation: topology.ImplementationHost,
			Interfaces: []topology.Interface{{Name: "eth0", MTUBytes: 5}}})
	}
	_, err := New(plan, Options{})
	for _, want := range []string{`node "a" interface "eth0": an MTU of 5 bytes`, `node "b" interface "eth0": an MTU of 5 bytes`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New said %v, want %q in it", err, want)
		}
	}
}
