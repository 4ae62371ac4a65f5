package virtual

import (
	"context"
	"testing"
	"time"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// BenchmarkEngine runs whole labs and reports events per second of wall time,
// building the nodes and judging the run included.
func BenchmarkEngine(b *testing.B) {
	for _, lab := range []struct {
		name string
		plan *topology.Plan
	}{
		{"two-gateways", twoGateways(0.05)},
		{"200-road-warriors", roadWarriors(200)},
	} {
		b.Run(lab.name, func(b *testing.B) {
			b.ReportAllocs()
			var events uint64
			for b.Loop() {
				r, err := sim.New(lab.plan, sim.Options{})
				if err != nil {
					b.Fatal(err)
				}
				result, err := Engine{}.Run(context.Background(), r, sim.EngineOptions{})
				if err != nil {
					b.Fatal(err)
				}
				events += result.Events
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(events)/float64(b.N), "events/op")
		})
	}
}

// BenchmarkHeap pushes and pops at a size that labs have.
func BenchmarkHeap(b *testing.B) {
	var h heap[event]
	for i := range 1000 {
		h.push(key{at: 0, sequence: uint64(i)}, event{})
	}
	next := uint64(1000)
	for b.Loop() {
		k, e := h.pop()
		next++
		k.at += 1000
		k.sequence = next
		h.push(k, e)
	}
}

// BenchmarkInvariants compares a run that is judged with one that is not, turn by
// turn, and reports how many times longer it takes.
func BenchmarkInvariants(b *testing.B) {
	judged, unjudged := twoGateways(0.05), twoGateways(0.05)
	unjudged.Lab.InvariantsOff = sim.Invariants()
	var spent [2]time.Duration
	for b.Loop() {
		for i, plan := range []*topology.Plan{judged, unjudged} {
			r, err := sim.New(plan, sim.Options{})
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			if _, err := (Engine{}).Run(context.Background(), r, sim.EngineOptions{}); err != nil {
				b.Fatal(err)
			}
			spent[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "ratio")
}
