package virtual

import (
	"context"
	"testing"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// BenchmarkEngine runs whole labs and reports events per second of wall time,
// building the nodes and judging the run included.
func BenchmarkEngine(b *testing.B) {
	for name, plan := range map[string]*topology.Plan{
		"two-gateways":      twoGateways(0.05),
		"200-road-warriors": roadWarriors(200),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var events uint64
			for b.Loop() {
				r, err := sim.New(plan, sim.Options{})
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
