package virtual

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

func life(kind, node string) topology.Action { return topology.Action{Kind: kind, Node: node} }

// watched lets both gateways ask for a sign of life, soon enough for a lab of 20 s.
func watched(plan *topology.Plan) *topology.Plan {
	for n := range 2 {
		c := &plan.Nodes[n].Connections[0]
		c.DPDDelay = time.Second
		c.Retransmit.Tries = 2
	}
	return plan
}

// TestKill: a node that was killed is silent. Its peer asks, gives up and forgets it.
func TestKill(t *testing.T) {
	plan := watched(twoGateways(0))
	plan.Steps = []topology.Step{
		step("kill", 8*time.Second, life(topology.ActionKill, "gw-b")),
		step("again", 9*time.Second, life(topology.ActionKill, "gw-b")),
		step("order", 9*time.Second, topology.Action{Kind: topology.ActionInitiate, Node: "gw-b", Connection: "tunnel"}),
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	for _, r := range o.run.Trace().Records() {
		if r.Node == "gw-b" && r.At >= 8*time.Second && r.Kind != "node-killed" && r.Kind != "packet-dropped" {
			t.Errorf("at %v the dead node said %s", r.At, r.Kind)
		}
	}
	a, b := o.Connections[0], o.Connections[1]
	if a.Established || b.Established || b.Children[0].Installed || a.EstablishedCount != 1 {
		t.Errorf("after the kill: %+v, %+v", a, b)
	}
	if r := o.records("gw-a", "ike-deleted"); len(r) != 1 {
		t.Errorf("gw-a noticed %d times", len(r))
	}
	if o.run.Established() != 0 {
		t.Errorf("%d IKE SAs stand", o.run.Established())
	}
	// One leaves every 20 ms from 5 s on and takes 20.4 ms.
	if call := o.Flows[1]; call.Received != 149 {
		t.Errorf("%d packets of the call arrived in the 3 s until the kill, want 149", call.Received)
	}
	var dead uint64
	for _, d := range o.Nodes[1].Drops {
		if d.Reason == string(sim.DropNodeDead) {
			dead = d.Count
		}
	}
	if dead == 0 {
		t.Error("nothing that reached the dead node was counted")
	}
	discarded := 0
	for _, row := range o.Exchanges {
		if row.Discarded == string(sim.DropNodeDead) {
			discarded++
		}
	}
	if discarded != 3 {
		t.Errorf("%d messages were discarded by the dead node, want a question and two repetitions", discarded)
	}
	problems := map[string]string{}
	for _, r := range o.records("", "step") {
		for _, f := range r.Fields {
			if f.Key == "problem" {
				problems[r.Fields[0].Value] = f.Value
			}
		}
	}
	if problems["again"] != "the node is dead already" || problems["order"] != "the node is dead" || len(problems) != 2 {
		t.Errorf("steps without an effect: %v", problems)
	}
}

// TestKillUnnoticed: an end without dpd_delay cannot notice, and nobody blames it.
func TestKillUnnoticed(t *testing.T) {
	plan := twoGateways(0)
	plan.Steps = []topology.Step{step("kill", 8*time.Second, life(topology.ActionKill, "gw-b"))}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	if a := o.Connections[0]; !a.Established || !a.Children[0].Installed {
		t.Errorf("gw-a: %+v", a)
	}
}

// TestRestart: the next life knows nothing, says so (RFC 7296 §2.4), and draws other
// keys and SPIs; the traffic goes on.
func TestRestart(t *testing.T) {
	for _, node := range []string{"gw-a", "gw-b"} {
		t.Run(node, func(t *testing.T) {
			plan := watched(twoGateways(0))
			plan.Nodes[0].Connections[0].Children[0].StartAction = topology.StartTrap
			plan.Nodes[1].Connections[0].Children[0].StartAction = topology.StartTrap
			plan.Steps = []topology.Step{
				step("restart", 8*time.Second, life(topology.ActionRestart, node)),
				step("kill", 12*time.Second, life(topology.ActionKill, node)),
				{Name: "start", On: &topology.Selector{Event: "node-killed", Node: node, Nth: 2}, After: 500 * ms, Action: life(topology.ActionStart, node)},
				step("alive", 19*time.Second, life(topology.ActionStart, node)),
			}
			o := mustRun(t, plan)
			for _, f := range failures(o.Result) {
				t.Error(f)
			}
			if killed, started := o.records(node, "node-killed"), o.records(node, "node-started"); len(killed) != 2 || len(started) != 2 ||
				started[0].Fields[0].Value != "2" || started[1].Fields[0].Value != "3" || started[1].At != 12500*ms {
				t.Errorf("killed %v, started %v", killed, started)
			}
			for i, c := range o.Connections[:2] {
				if !c.Established || !c.Children[0].Installed {
					t.Errorf("connection %d: %+v", i, c)
				}
			}
			if call := o.Flows[1]; call.LongestGap > 7*time.Second || call.Received < 200 {
				t.Errorf("the call: %+v", call)
			}
			// Every key and every SPI is there once; that of a life before would be again.
			seen := map[string]string{}
			for _, kind := range []string{"child-installed", "ike-init"} {
				for _, r := range o.records(node, kind) {
					for _, f := range r.Fields {
						if f.Key == "encr_out" || f.Key == "spi-in" || f.Key == "spi_i" && kind == "ike-init" {
							if before, again := seen[f.Key+f.Value]; again {
								t.Errorf("%s %s at %v and at %s", f.Key, f.Value, r.At, before)
							}
							seen[f.Key+f.Value] = r.At.String()
						}
					}
				}
			}
			if len(seen) < 6 {
				t.Errorf("only %d keys and SPIs were compared", len(seen))
			}
		})
	}
}

// TestLivesKeepInvariants: whoever dies, whenever, and comes back or not, while packets
// get lost, the invariants hold, and a second run is the first one over again.
func TestLivesKeepInvariants(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	killed, started, unnoticed := 0, 0, 0
	for seed := range uint64(300) {
		plan := disturbed(rand.New(rand.NewPCG(seed, 1)))
		o := mustRunSeed(t, plan, seed)
		for _, f := range failures(o.Result) {
			t.Errorf("seed %d: %s\n%s", seed, f, describeSteps(plan))
		}
		killed += len(o.records("", "node-killed"))
		started += len(o.records("", "node-started"))
		for _, c := range o.Connections[:2] {
			if c.Established {
				unnoticed++
			}
		}
		if seed%50 == 0 {
			if again := mustRunSeed(t, plan, seed); again.Digest != o.Digest {
				t.Errorf("seed %d: two runs differ", seed)
			}
		}
	}
	if killed < 200 || started < 100 || unnoticed < 50 {
		t.Errorf("%d kills, %d starts, %d ends standing: the labs do not disturb enough", killed, started, unnoticed)
	}
}

// disturbed is a lab whose nodes die, come back and move.
func disturbed(draw *rand.Rand) *topology.Plan {
	// Loss alone must not end an IKE SA, or an end without dpd_delay would be an orphan.
	lossy := draw.IntN(2) == 0
	plan := twoGateways(map[bool]float64{true: 0.05}[lossy])
	actions := []string{topology.StartNone, topology.StartTrap, topology.StartStart}
	for n := range 2 {
		c := &plan.Nodes[n].Connections[0]
		c.DPDDelay = []time.Duration{0, 500 * ms, 2 * time.Second}[draw.IntN(3)]
		c.Retransmit.Tries = draw.IntN(4)
		if lossy {
			c.Retransmit.Tries = 7
		}
		c.Children[0].StartAction = actions[draw.IntN(3)]
		if draw.IntN(2) == 0 {
			c.LocalAddrs = nil
		}
	}
	plan.Nodes[0].Connections[0].Children[0].StartAction = actions[1+draw.IntN(2)]
	plan.Lab.Duration = time.Duration(20+draw.IntN(40)) * time.Second
	for i := range plan.Flows {
		plan.Flows[i].Rate = topology.Rate{Packets: 5, Per: time.Second}
		plan.Flows[i].Start = time.Duration(draw.IntN(3000)) * ms
	}
	for i := range 1 + draw.IntN(8) {
		n := []string{"gw-a", "gw-b"}[draw.IntN(2)]
		kind := []string{topology.ActionKill, topology.ActionStart, topology.ActionRestart, topology.ActionStart, topology.ActionInitiate}[draw.IntN(5)]
		a := topology.Action{Kind: kind, Node: n}
		if kind == topology.ActionInitiate {
			a.Connection = "tunnel"
		}
		plan.Steps = append(plan.Steps, step(fmt.Sprint("step-", i), time.Duration(draw.IntN(20_000_000))*time.Microsecond, a))
	}
	return plan
}

func describeSteps(plan *topology.Plan) string {
	var b strings.Builder
	for _, s := range plan.Steps {
		fmt.Fprintf(&b, "%v %s %s %v\n", s.At, s.Action.Kind, s.Action.Node, s.Action.Addresses)
	}
	for n := range 2 {
		c := plan.Nodes[n].Connections[0]
		fmt.Fprintf(&b, "%s: dpd %v, tries %d, %s, duration %v\n", plan.Nodes[n].Name, c.DPDDelay, c.Retransmit.Tries, c.Children[0].StartAction, plan.Lab.Duration)
	}
	return b.String()
}

// mustRunSeed runs a plan with a seed.
func mustRunSeed(t *testing.T, plan *topology.Plan, seed uint64) outcome {
	t.Helper()
	o, err := runLab(t, plan, sim.Options{Seed: &seed}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return o
}
