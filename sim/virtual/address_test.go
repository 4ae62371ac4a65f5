package virtual

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// addressed is an action on the addresses of an interface.
func addressed(kind, node, iface string, addresses ...string) topology.Action {
	return topology.Action{Kind: kind, Node: node, Interface: iface, Addresses: prefixes(addresses...)}
}

// pings is a flow of echo requests from one address to another, ten per second.
func pings(from, to, fromAddr, toAddr string) topology.Flow {
	return topology.Flow{
		Name: from + ">" + toAddr, From: from, To: to, Protocol: topology.ProtocolICMP,
		FromAddr: netip.MustParseAddr(fromAddr), ToAddr: netip.MustParseAddr(toAddr),
		Rate: topology.Rate{Packets: 10, Per: time.Second}, SizeBytes: 56, Stop: 10 * time.Second,
	}
}

// neighbours are three hosts in one network.
func neighbours() *topology.Plan {
	plan := &topology.Plan{
		Lab:      topology.Lab{Name: "neighbours", Seed: 1, Duration: 10 * time.Second},
		Networks: []topology.Network{{Name: "lan", Prefixes: prefixes("10.1.0.0/16")}},
	}
	for i, name := range []string{"a", "b", "c"} {
		plan.Nodes = append(plan.Nodes, topology.Node{
			Name: name, Implementation: topology.ImplementationHost,
			Interfaces: []topology.Interface{iface(name, "eth0", "lan", fmt.Sprintf("10.1.0.%d/16", i+1), impair.LinkConfig{Delay: ms})},
		})
	}
	return plan
}

// TestAddresses: packets find an address from the instant at which it is given until
// the one at which it is taken away, wherever it is; the trace and the pictures name
// its owner.
func TestAddresses(t *testing.T) {
	plan := neighbours()
	plan.Flows = []topology.Flow{
		pings("a", "b", "10.1.0.1", "10.1.0.2"),
		pings("a", "b", "10.1.0.1", "10.1.0.9"),
	}
	plan.Steps = []topology.Step{
		step("give", 2*time.Second, addressed(topology.ActionAddAddress, "b", "eth0", "10.1.0.9/16")),
		step("again", 3*time.Second, addressed(topology.ActionAddAddress, "b", "eth0", "10.1.0.9/16")),
		step("taken", 3*time.Second, addressed(topology.ActionAddAddress, "c", "eth0", "10.1.0.9/16")),
		step("take", 4*time.Second, addressed(topology.ActionRemoveAddress, "b", "eth0", "10.1.0.9/16")),
		step("gone", 5*time.Second, addressed(topology.ActionRemoveAddress, "b", "eth0", "10.1.0.9/16")),
		step("move", 6*time.Second, addressed(topology.ActionSetAddress, "c", "eth0", "10.1.0.9/16")),
		step("same", 7*time.Second, addressed(topology.ActionSetAddress, "c", "eth0", "10.1.0.9/16")),
		step("none", 8*time.Second, addressed(topology.ActionSetAddress, "c", "eth0")),
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	if f := o.Flows[0]; f.Lost != 0 {
		t.Errorf("the address that stayed: %+v", f)
	}
	// A request takes 2 ms, so those of 2.0 to 3.9 s are answered, and those of 6.0 to 7.9 s.
	if f := o.Flows[1]; f.Received != 40 || f.LongestGap > 2200*ms {
		t.Errorf("the address that moved: %+v", f)
	}
	if o.Unreachable != 60 {
		t.Errorf("%d packets found nobody, want those of 0 to 2, 4 to 6 and 8 to 10 s", o.Unreachable)
	}
	problems := map[string]string{}
	for _, r := range o.records("", "step") {
		for _, f := range r.Fields {
			if f.Key == "problem" {
				problems[r.Fields[0].Value] = f.Value
			}
		}
	}
	want := map[string]string{
		"again": "the interface has the address already", "taken": "b has 10.1.0.9",
		"gone": "the interface does not have the address", "same": "the interface has these addresses already",
	}
	if fmt.Sprint(problems) != fmt.Sprint(want) {
		t.Errorf("steps without an effect: %v\nwant %v", problems, want)
	}
	if len(o.records("b", "address-changed")) != 2 || len(o.records("c", "address-changed")) != 2 {
		t.Error("the nodes did not notice")
	}
	if name, ok := o.run.NodeOf(netip.MustParseAddr("10.1.0.9")); name != "c" || !ok {
		t.Errorf("10.1.0.9 was %q's last", name)
	}
}

// TestRenumber: an IKE SA from the new address takes the place of the one that lost its
// address, which both ends find out by dpd_delay.
func TestRenumber(t *testing.T) {
	plan := watched(twoGateways(0))
	plan.Lab.Duration = 40 * time.Second
	roam(plan)
	plan.Flows[1].Stop = 39 * time.Second
	plan.Steps = []topology.Step{
		step("move", 8*time.Second, addressed(topology.ActionSetAddress, "gw-a", "wan", "198.51.100.77/24")),
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	a, b := o.Connections[0], o.Connections[1]
	if !a.Established || !b.Established || a.EstablishedCount != 2 || b.EstablishedCount != 2 {
		t.Errorf("%+v, %+v", a, b)
	}
	if call := o.Flows[1]; call.LongestGap > 10*time.Second {
		t.Errorf("the call was silent for %v", call.LongestGap)
	}
	last := o.Exchanges[len(o.Exchanges)-1]
	if last.From != "gw-a" && last.From != "gw-b" || strings.HasPrefix(last.To, "[") {
		t.Errorf("the ladder does not know who has the new address: %+v", last)
	}
}

// roam lets gw-a call from anywhere, whenever a packet asks for it, and gw-b take it.
func roam(plan *topology.Plan) {
	plan.Nodes[0].Connections[0].LocalAddrs = nil
	plan.Nodes[0].Connections[0].Children[0].StartAction = topology.StartTrap
	plan.Nodes[1].Connections[0].RemoteAddrs = nil
	plan.Nodes[1].Connections[0].LocalAddrs = nil
}

// TestMovesKeepInvariants: addresses come and go, nodes die and come back with those
// that are there then, and the invariants hold.
func TestMovesKeepInvariants(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	moved, established := 0, uint64(0)
	for seed := range uint64(150) {
		draw := rand.New(rand.NewPCG(seed, 2))
		plan := watched(twoGateways(0))
		roam(plan)
		plan.Lab.Duration = 60 * time.Second
		for i := range plan.Flows {
			plan.Flows[i].Rate = topology.Rate{Packets: 5, Per: time.Second}
			plan.Flows[i].Stop = 50 * time.Second
		}
		for i := range 1 + draw.IntN(10) {
			a := life([]string{topology.ActionKill, topology.ActionStart, topology.ActionRestart}[draw.IntN(3)], []string{"gw-a", "gw-b"}[draw.IntN(2)])
			if draw.IntN(3) > 0 {
				address := fmt.Sprintf("198.51.100.%d/24", []int{1, 77, 78}[draw.IntN(3)])
				a = addressed([]string{topology.ActionAddAddress, topology.ActionRemoveAddress, topology.ActionSetAddress}[draw.IntN(3)], "gw-a", "wan", address)
				if draw.IntN(8) == 0 {
					a = addressed(topology.ActionSetAddress, "gw-a", "wan")
				}
			}
			plan.Steps = append(plan.Steps, step(fmt.Sprint("step-", i), time.Duration(draw.IntN(25_000_000))*time.Microsecond, a))
		}
		o := mustRunSeed(t, plan, seed)
		for _, f := range failures(o.Result) {
			t.Errorf("seed %d: %s\n%s", seed, f, describeSteps(plan))
		}
		moved += len(o.records("gw-a", "address-changed"))
		established += o.Connections[0].EstablishedCount
	}
	if moved < 200 || established < 200 {
		t.Errorf("%d moves, %d IKE SAs: the labs do not disturb enough", moved, established)
	}
}

// TestProcessesAreRefused: a lab with commands does not start, and the error says where
// they are and what to do.
func TestProcessesAreRefused(t *testing.T) {
	plan := neighbours()
	for i := range 7 {
		plan.Processes = append(plan.Processes, topology.Process{
			Name: fmt.Sprint("p", i), Node: "a", Command: []string{"true"}, Pos: topology.Position{File: "lab.hcl", Line: 10 + i},
		})
	}
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	result, err := Engine{}.Run(t.Context(), r, sim.EngineOptions{})
	var refused *sim.UnsupportedError
	if result != nil || !errors.As(err, &refused) || len(refused.Uses) != 7 {
		t.Fatalf("result %v, error %v", result, err)
	}
	for _, part := range []string{"engine sim", `lab.hcl:10: process "p0"`, `lab.hcl:14: process "p4"`, "and 2 more", "--engine netns"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if r.Trace().Count() != 0 {
		t.Error("something began all the same")
	}
}
