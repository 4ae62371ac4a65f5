package virtual

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// drawLink draws a link with every fault there is.
func drawLink(t *rapid.T, name string) impair.LinkConfig {
	percent := func(what string, most int) float64 {
		return float64(rapid.IntRange(0, most).Draw(t, name+" "+what)) / 100
	}
	return impair.LinkConfig{
		Delay:     time.Duration(rapid.IntRange(0, 200).Draw(t, name+" delay")) * ms,
		Jitter:    impair.Jitter{Distribution: impair.Pareto, Sigma: time.Duration(rapid.IntRange(0, 50).Draw(t, name+" jitter")) * ms},
		Loss:      impair.Loss{Model: impair.LossGilbertElliott, P: percent("loss", 20), R: 0.3},
		Duplicate: percent("duplicate", 30),
		Reorder:   percent("reorder", 30),
		Corrupt:   percent("corrupt", 10),
	}
}

// drawSteps draws what people and cables do to a lab meanwhile.
func drawSteps(t *rapid.T) []topology.Step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) topology.Step {
		a := topology.Action{
			Kind:       rapid.SampledFrom([]string{topology.ActionLinkDown, topology.ActionLinkUp, topology.ActionInitiate, topology.ActionTerminate, topology.ActionLiveness}).Draw(t, "action"),
			Node:       rapid.SampledFrom([]string{"gw-a", "gw-b"}).Draw(t, "node"),
			Connection: "tunnel",
		}
		if a.Kind == topology.ActionLinkDown || a.Kind == topology.ActionLinkUp {
			a.Interface, a.Connection = "wan", ""
		}
		if a.Kind == topology.ActionInitiate {
			a.Child = "net"
		}
		return step("step", time.Duration(rapid.IntRange(0, 15_000).Draw(t, "at"))*ms, a)
	}), 0, 4).Draw(t, "steps")
}

// TestWhateverHappens: no fault of a link and no order of an operator makes a
// node break an invariant, and each such run repeats itself to the last record.
// Orphans are left out where there are steps or schedules are short: a peer that
// gave up leaves one behind at a node without dpd_delay, and must.
func TestWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := twoGateways(0)
		plan.Lab.Seed = rapid.Uint64().Draw(rt, "seed")
		short := rapid.Bool().Draw(rt, "short schedule")
		for i := range 2 {
			name := plan.Nodes[i].Interfaces[0].Link.Name
			plan.Nodes[i].Interfaces[0].Link = drawLink(rt, name)
			plan.Nodes[i].Interfaces[0].Link.Name = name
			if short {
				plan.Nodes[i].Connections[0].Retransmit = topology.Retransmit{Timeout: 200 * ms, BaseMilli: 1500, Tries: 3}
			}
			plan.Nodes[i].Connections[0].DPDDelay = time.Duration(rapid.IntRange(0, 3).Draw(rt, "dpd_delay")) * time.Second
			plan.Nodes[i].Connections[0].Children[0].StartAction = rapid.SampledFrom([]string{topology.StartNone, topology.StartStart, topology.StartTrap}).Draw(rt, "start_action")
			plan.Nodes[i].Connections[0].Encap = rapid.Bool().Draw(rt, "encap")
		}
		if plan.Steps = drawSteps(rt); len(plan.Steps) > 0 || short {
			plan.Lab.InvariantsOff = []string{sim.InvariantNoOrphanSA}
		}
		var digests [2]string
		for i := range digests {
			o, err := runLab(t, plan, sim.Options{}, Engine{EventsMax: 1_000_000}, sim.EngineOptions{}, context.Background())
			if err != nil {
				rt.Fatal(err)
			}
			for _, f := range failures(o.Result) {
				rt.Error(f)
			}
			for _, f := range o.Flows {
				if f.Sent != f.Received+f.Lost+f.InFlight {
					rt.Errorf("%s: %d sent, %d received, %d lost, %d in flight", f.Name, f.Sent, f.Received, f.Lost, f.InFlight)
				}
			}
			digests[i] = o.Digest
		}
		if digests[0] != digests[1] {
			rt.Errorf("two runs have the digests %s and %s", digests[0], digests[1])
		}
	})
}
