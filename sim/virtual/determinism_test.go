package virtual

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// TestSameDigest: runs of one seed are equal to the last record, whatever runs
// beside them; another seed differs.
func TestSameDigest(t *testing.T) {
	first := mustRun(t, twoGateways(0.05))
	var wait sync.WaitGroup
	outcomes := make([]outcome, 20)
	for i := range outcomes {
		r, err := sim.New(twoGateways(0.05), sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			result, err := Engine{}.Run(context.Background(), r, sim.EngineOptions{})
			if err != nil {
				t.Error(err)
			}
			var lines bytes.Buffer
			if err := r.Trace().WriteJSONL(&lines); err != nil {
				t.Error(err)
			}
			outcomes[i] = outcome{result, lines.Bytes(), r}
		})
	}
	wait.Wait()
	for i, o := range outcomes {
		if o.Digest != first.Digest {
			difference, err := trace.FirstDifference(bytes.NewReader(first.trace), bytes.NewReader(o.trace))
			t.Fatalf("run %d has another digest: %v %v", i, difference, err)
		}
		if d := cmp.Diff(first.Result, o.Result, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("run %d has another result:\n%s", i, d)
		}
	}
	seed := uint64(2)
	other, err := runLab(t, twoGateways(0.05), sim.Options{Seed: &seed}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if other.Digest == first.Digest {
		t.Error("seeds 1 and 2 have the same digest")
	}
}

// TestAnotherNodeChangesNothing: a node, a network, a link and a flow that have
// nothing to do with the others, put in front of them, change no key, no loss and
// no delay of theirs.
func TestAnotherNodeChangesNothing(t *testing.T) {
	before := mustRun(t, twoGateways(0.05))
	plan := twoGateways(0.05)
	plan.Networks = append([]topology.Network{{Name: "elsewhere", Prefixes: prefixes("172.16.0.0/24")}}, plan.Networks...)
	lossy := impair.LinkConfig{Delay: ms, Loss: impair.Loss{Model: impair.LossRandom, P: 0.5}}
	dave := plainHost("dave", "elsewhere", "172.16.0.2/24", "172.16.0.1")
	carol := plainHost("carol", "elsewhere", "172.16.0.1/24", "172.16.0.2")
	carol.Interfaces = append(carol.Interfaces, iface("carol", "eth1", "internet", "198.51.100.9/24", lossy))
	plan.Nodes = append([]topology.Node{carol, dave}, plan.Nodes...)
	plan.Flows = append([]topology.Flow{{
		Name: "aside", From: "carol", To: "dave", Protocol: topology.ProtocolUDP, SourcePort: 1000, DestinationPort: 2000,
		FromAddr: netip.MustParseAddr("172.16.0.1"), ToAddr: netip.MustParseAddr("172.16.0.2"),
		Rate: topology.Rate{Packets: 100, Per: time.Second}, SizeBytes: 100, Stop: 20 * time.Second,
	}}, plan.Flows...)
	after := mustRun(t, plan)
	if after.Flows[0].Received == 0 {
		t.Fatal("the new flow did not flow")
	}
	for _, kind := range []string{"ike-keys", "child-installed", "link-drop", "esp-out", "esp-in", "flow-arrival"} {
		for _, node := range []string{"gw-a", "gw-b", "alice", "bob"} {
			want, got := before.records(node, kind), after.records(node, kind)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s of %s changed:\n%s", kind, node, d)
			}
		}
	}
	if len(before.records("gw-a", "ike-keys")) == 0 || len(before.records("gw-b", "link-drop")) == 0 {
		t.Error("there were no keys or losses to compare")
	}
}

// TestNodeOrderChangesNoDecision: the engine numbers its sources in the plan's
// order, and still nodes in another order do the same, each for itself: in all 24
// orders there are. The records of one instant may then come in another order.
func TestNodeOrderChangesNoDecision(t *testing.T) {
	sortedTrace := func(o outcome) []string {
		lines := strings.Split(string(o.trace), "\n")
		slices.Sort(lines)
		return lines
	}
	want := sortedTrace(mustRun(t, twoGateways(0.05)))
	order := []int{0, 1, 2, 3}
	var try func(fixed int)
	try = func(fixed int) {
		if fixed < len(order) {
			for i := fixed; i < len(order); i++ {
				order[fixed], order[i] = order[i], order[fixed]
				try(fixed + 1)
				order[fixed], order[i] = order[i], order[fixed]
			}
			return
		}
		original, plan := twoGateways(0.05), twoGateways(0.05)
		for i, n := range order {
			plan.Nodes[i] = original.Nodes[n]
		}
		slices.Reverse(plan.Networks)
		if d := cmp.Diff(want, sortedTrace(mustRun(t, plan))); d != "" {
			t.Fatalf("the order %v of nodes changed what happens:\n%s", order, d)
		}
	}
	try(0)
}

// TestTraceIsInOrder: time never goes back.
func TestTraceIsInOrder(t *testing.T) {
	var last time.Duration
	err := trace.Read(bytes.NewReader(mustRun(t, twoGateways(0.05)).trace), func(r trace.Record) error {
		if r.At < last && r.Kind != "expectation" {
			return fmt.Errorf("%s at %v stands behind one at %v", r.Kind, r.At, last)
		}
		last = max(last, r.At)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
