package virtual

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// proposal reads a proposal in swanctl's words.
func proposal(protocol suite.Protocol, words string) suite.Proposal {
	p, err := suite.ParseProposal(protocol, words)
	if err != nil {
		panic(err)
	}
	return p
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// iface is an interface that is up, with its link.
func iface(node, name, network, address string, link impair.LinkConfig) topology.Interface {
	link.Name = node + "." + name
	return topology.Interface{
		Name: name, Network: network, Addresses: prefixes(address), Up: true, Link: link, MTUBytes: 1500,
	}
}

func plainHost(name, network, address, gateway string) topology.Node {
	return topology.Node{
		Name: name, Implementation: topology.ImplementationHost, Dataplane: topology.DataplaneUserspace,
		Interfaces: []topology.Interface{iface(name, "eth0", network, address, impair.LinkConfig{Delay: ms / 10})},
		Routes:     []topology.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Via: netip.MustParseAddr(gateway), Interface: "eth0"}},
	}
}

func fqdn(name string) topology.Identity {
	return topology.Identity{Type: wire.IDTypeFQDN, Text: name, Data: []byte(name)}
}

func selector(prefix string) []topology.TrafficSelector {
	return []topology.TrafficSelector{{Prefix: netip.MustParsePrefix(prefix), ToPort: 65535}}
}

// connection is a PSK connection with one child.
func connection(name, local, remote, localID, remoteID, localTS, remoteTS, startAction string) topology.Connection {
	return topology.Connection{
		Name:       name,
		LocalAddrs: []netip.Addr{netip.MustParseAddr(local)}, RemoteAddrs: []netip.Addr{netip.MustParseAddr(remote)},
		LocalPort: 500, RemotePort: 500, Version: 2,
		Proposals:   []suite.Proposal{proposal(suite.ProtocolIKE, "aes256gcm16-prfsha256-x25519")},
		Local:       topology.Auth{Method: topology.AuthPSK, ID: fqdn(localID)},
		Remote:      topology.Auth{Method: topology.AuthPSK, ID: fqdn(remoteID)},
		KeyingTries: 1,
		Retransmit:  topology.Retransmit{Timeout: 500 * ms, BaseMilli: 1800, Tries: 5},
		Children: []topology.Child{{
			Name: "net", LocalTS: selector(localTS), RemoteTS: selector(remoteTS),
			ESPProposals: []suite.Proposal{proposal(suite.ProtocolESP, "aes256gcm16")},
			StartAction:  startAction, ReplayWindowPackets: 64,
		}},
	}
}

// twoGateways is the first tunnel: two gateways, a host behind each, a ping and a
// UDP flow through the tunnel, over a link with delay and loss.
func twoGateways(loss float64) *topology.Plan {
	wan := impair.LinkConfig{Delay: 10 * ms, Loss: impair.Loss{Model: impair.LossRandom, P: loss}}
	secrets := []topology.Secret{{Name: "psk", Key: []byte("correct horse battery staple")}}
	gateway := func(name, own, peer, inside, ownNet, peerNet, start string) topology.Node {
		return topology.Node{
			Name: name, Implementation: topology.ImplementationIkelab, Dataplane: topology.DataplaneUserspace, Forward: true,
			Interfaces: []topology.Interface{
				iface(name, "wan", "internet", own+"/24", wan),
				iface(name, "lan", "lan-"+name, inside, impair.LinkConfig{Delay: ms / 10}),
			},
			Routes:      []topology.Route{{Prefix: netip.MustParsePrefix(peerNet), Via: netip.MustParseAddr(peer), Interface: "wan"}},
			Connections: []topology.Connection{connection("tunnel", own, peer, name, map[string]string{"gw-a": "gw-b", "gw-b": "gw-a"}[name], ownNet, peerNet, start)},
			Secrets:     secrets,
		}
	}
	return &topology.Plan{
		Lab: topology.Lab{Name: "first-tunnel", Seed: 1, Duration: 20 * time.Second, Epoch: time.Unix(1_700_000_000, 0).UTC()},
		Networks: []topology.Network{
			{Name: "internet", Prefixes: prefixes("198.51.100.0/24")},
			{Name: "lan-gw-a", Prefixes: prefixes("10.1.0.0/16")},
			{Name: "lan-gw-b", Prefixes: prefixes("10.2.0.0/16")},
		},
		Nodes: []topology.Node{
			gateway("gw-a", "198.51.100.1", "198.51.100.2", "10.1.0.1/16", "10.1.0.0/16", "10.2.0.0/16", topology.StartStart),
			gateway("gw-b", "198.51.100.2", "198.51.100.1", "10.2.0.1/16", "10.2.0.0/16", "10.1.0.0/16", topology.StartNone),
			plainHost("alice", "lan-gw-a", "10.1.0.2/16", "10.1.0.1"),
			plainHost("bob", "lan-gw-b", "10.2.0.2/16", "10.2.0.1"),
		},
		Flows: []topology.Flow{
			{
				Name: "ping", From: "alice", To: "bob", Protocol: topology.ProtocolICMP,
				FromAddr: netip.MustParseAddr("10.1.0.2"), ToAddr: netip.MustParseAddr("10.2.0.2"),
				Rate: topology.Rate{Packets: 1, Per: time.Second}, SizeBytes: 56, Start: 5 * time.Second, Stop: 20 * time.Second,
			},
			{
				Name: "call", From: "alice", To: "bob", Protocol: topology.ProtocolUDP, SourcePort: 40000, DestinationPort: 5004,
				FromAddr: netip.MustParseAddr("10.1.0.2"), ToAddr: netip.MustParseAddr("10.2.0.2"),
				Rate: topology.Rate{Packets: 50, Per: time.Second}, SizeBytes: 200, Start: 5 * time.Second, Stop: 20 * time.Second,
			},
		},
	}
}

// roadWarriors is one gateway with a host behind it and n clients, each with a
// tunnel and a flow of its own.
func roadWarriors(n int) *topology.Plan {
	secrets := []topology.Secret{{Name: "psk", Key: []byte("correct horse battery staple")}}
	plan := &topology.Plan{
		Lab: topology.Lab{Name: "road-warriors", Seed: 1, Duration: 10 * time.Second},
		Networks: []topology.Network{
			{Name: "internet", Prefixes: prefixes("100.64.0.0/16")},
			{Name: "office", Prefixes: prefixes("10.1.0.0/16")},
		},
		Nodes: []topology.Node{
			{
				Name: "gw", Implementation: topology.ImplementationIkelab, Dataplane: topology.DataplaneUserspace, Forward: true,
				Interfaces: []topology.Interface{
					iface("gw", "wan", "internet", "100.64.0.1/16", impair.LinkConfig{Delay: 5 * ms}),
					iface("gw", "lan", "office", "10.1.0.1/16", impair.LinkConfig{}),
				},
				Secrets: secrets,
			},
			plainHost("server", "office", "10.1.0.2/16", "10.1.0.1"),
		},
	}
	for i := range n {
		name := fmt.Sprintf("client-%d", i)
		address := netip.AddrFrom4([4]byte{100, 64, 1 + byte(i/200), 1 + byte(i%200)}).String()
		gwSide := connection(name, "100.64.0.1", address, "gw", name, "10.1.0.0/16", address+"/32", topology.StartNone)
		plan.Nodes[0].Connections = append(plan.Nodes[0].Connections, gwSide)
		plan.Nodes = append(plan.Nodes, topology.Node{
			Name: name, Implementation: topology.ImplementationIkelab, Dataplane: topology.DataplaneUserspace,
			Interfaces:  []topology.Interface{iface(name, "wan", "internet", address+"/16", impair.LinkConfig{Delay: 20 * ms})},
			Routes:      []topology.Route{{Prefix: netip.MustParsePrefix("10.1.0.0/16"), Via: netip.MustParseAddr("100.64.0.1"), Interface: "wan"}},
			Connections: []topology.Connection{connection("office", address, "100.64.0.1", name, "gw", address+"/32", "10.1.0.0/16", topology.StartStart)},
			Secrets:     secrets,
		})
		plan.Flows = append(plan.Flows, topology.Flow{
			Name: name, From: name, To: "server", Protocol: topology.ProtocolUDP, SourcePort: 40000, DestinationPort: 5004,
			FromAddr: netip.MustParseAddr(address), ToAddr: netip.MustParseAddr("10.1.0.2"),
			Rate: topology.Rate{Packets: 10, Per: time.Second}, SizeBytes: 100, Start: 2 * time.Second, Stop: 8 * time.Second,
		})
	}
	return plan
}

// outcome is a run with its trace as text.
type outcome struct {
	*sim.Result
	trace []byte
	run   *sim.Run
}

// runLab runs a plan to its end.
func runLab(t testing.TB, plan *topology.Plan, opt sim.Options, engine Engine, engineOpt sim.EngineOptions, ctx context.Context) (outcome, error) {
	t.Helper()
	r, err := sim.New(plan, opt)
	if err != nil {
		t.Fatal(err)
	}
	result, runErr := engine.Run(ctx, r, engineOpt)
	if result == nil {
		t.Fatal(runErr)
	}
	var lines bytes.Buffer
	if err := r.Trace().WriteJSONL(&lines); err != nil {
		t.Fatal(err)
	}
	return outcome{result, lines.Bytes(), r}, runErr
}

// mustRun runs a plan that nothing disturbs.
func mustRun(t testing.TB, plan *topology.Plan) outcome {
	t.Helper()
	o, err := runLab(t, plan, sim.Options{}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// records are the records of one kind at one node; an empty node is any.
func (o outcome) records(node, kind string) []trace.Record {
	var out []trace.Record
	for _, r := range o.run.Trace().Records() {
		if (node == "" || r.Node == node) && r.Kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// failures lists what did not hold.
func failures(r *sim.Result) []string {
	var out []string
	for _, e := range r.Expectations {
		if !e.Pass {
			out = append(out, fmt.Sprintf("expect %s: %s", e.Name, e.Why))
		}
	}
	for _, i := range r.Invariants {
		if !i.Off && !i.Pass {
			out = append(out, fmt.Sprintf("invariant %s: %s", i.Name, i.Why))
		}
	}
	return out
}
