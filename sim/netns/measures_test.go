//go:build linux

package netns

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// measure carries out one of the labs that both engines are tried with, whatever it
// comes to.
func measure(t *testing.T, name string, vars map[string]string) outcome {
	t.Helper()
	root(t)
	plan, diags := topology.Load(os.DirFS("../testdata/measures"), name+".hcl", vars)
	if plan == nil || diags.HasErrors() {
		t.Fatalf("the lab is wrong: %v", diags)
	}
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hosttest.Patience)
	defer cancel()
	result, err := Engine{}.Run(ctx, r, sim.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return outcome{result, r}
}

// invariantOf is the verdict on an invariant.
func invariantOf(t *testing.T, r *sim.Result, name string) sim.InvariantResult {
	t.Helper()
	for _, i := range r.Invariants {
		if i.Name == name {
			return i
		}
	}
	t.Fatalf("no verdict on %s", name)
	return sim.InvariantResult{}
}

// TestOwnFragments: the kernel's fragments of a node's own IKE and ESP are nothing in
// clear either.
func TestOwnFragments(t *testing.T) {
	for _, vars := range []map[string]string{{}, {"v6": "true", "encap": "true"}} {
		o := measure(t, "fragments", vars)
		if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); !i.Pass || i.Checks == 0 {
			t.Errorf("%v: no-cleartext after %d checks: %s", vars, i.Checks, i.Why)
		}
		if !o.Connections[0].Established {
			t.Errorf("%v: there is no tunnel", vars)
		}
	}
}

// TestHubWithOneLeg: what the kernel forwards out of a tunnel over the internet in clear
// is an alarm; what goes into another tunnel, or to the hub's own network, is none.
func TestHubWithOneLeg(t *testing.T) {
	for _, test := range []struct{ legs, inside, violation string }{
		{"1", "false", "on the wire in clear by its wide-area side, though it came protected, by child net of connection a"},
		{"1", "true", ""},
		{"2", "false", ""},
	} {
		o := measure(t, "hub", map[string]string{"legs": test.legs, "inside": test.inside})
		if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); i.Pass != (test.violation == "") || !strings.Contains(i.Why, test.violation) {
			t.Errorf("%s legs, inside is %s: %q, want %q", test.legs, test.inside, i.Why, test.violation)
		}
	}
}

// TestFragmentsByPort: what shows no ports leaves in clear under no policy that selects by
// them, also where the policy's peer is known by its association alone (RFC 4301 §7).
func TestFragmentsByPort(t *testing.T) {
	o := measure(t, "ports", nil)
	if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); !i.Pass {
		t.Error(i.Why)
	}
	unmatched := uint64(0)
	for _, n := range o.Nodes {
		for _, d := range n.Drops {
			if d.Reason == string(node.DropFragmentUnmatched) {
				unmatched += d.Count
			}
		}
	}
	// The kernel cuts them once more for the tunnel's device.
	if want := 2 * o.Flows[0].Sent; unmatched < want {
		t.Errorf("%d later fragments are named, want %d at the least", unmatched, want)
	}
}

// TestUnderWayInNodes: what a link has dropped by name is lost, and what a node holds is
// under way, also where a kernel carries packets that nobody can count.
func TestUnderWayInNodes(t *testing.T) {
	down := measure(t, "under-way", nil).Flows[0]
	if down.Lost != down.Sent || down.InFlight != 0 {
		t.Errorf("%d of %d are lost, %d under way", down.Lost, down.Sent, down.InFlight)
	}
	held := measure(t, "under-way", map[string]string{"trap": "true"}).Flows[0]
	if held.Sent == 0 || held.InFlight != held.Sent || held.Held == 0 {
		t.Errorf("of %d, %d are under way, %d of them held; %d are lost", held.Sent, held.InFlight, held.Held, held.Lost)
	}
}
