package virtual

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// measuresLab reads one of the labs that both engines are tried with.
func measuresLab(t testing.TB, name string, vars map[string]string) *topology.Plan {
	t.Helper()
	plan, diags := topology.Load(os.DirFS("../testdata/measures"), name+".hcl", vars)
	if plan == nil || diags.HasErrors() {
		t.Fatalf("the lab is wrong: %v", diags)
	}
	return plan
}

// invariantOf is the verdict on an invariant.
func invariantOf(t testing.TB, r *sim.Result, name string) sim.InvariantResult {
	t.Helper()
	for _, i := range r.Invariants {
		if i.Name == name {
			return i
		}
	}
	t.Fatalf("no verdict on %s", name)
	return sim.InvariantResult{}
}

// TestOwnFragments: a node's own IKE and ESP in fragments, which overtake each other,
// are nothing in clear.
func TestOwnFragments(t *testing.T) {
	for _, vars := range []map[string]string{{}, {"encap": "true"}, {"v6": "true"}, {"v6": "true", "encap": "true"}} {
		o := mustRun(t, measuresLab(t, "fragments", vars))
		if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); !i.Pass || i.Checks == 0 {
			t.Errorf("%v: no-cleartext after %d checks: %s", vars, i.Checks, i.Why)
		}
		if !o.Connections[0].Established {
			t.Errorf("%v: there is no tunnel", vars)
		}
	}
}

// TestHubWithOneLeg: what comes out of a tunnel and goes on over the internet in clear is
// an alarm; what goes into another tunnel, or to the hub's own network, is none.
func TestHubWithOneLeg(t *testing.T) {
	for _, test := range []struct{ legs, inside, violation string }{
		{"1", "false", "hub put a packet from 10.1.1.2 to 10.1.2.2 (protocol 17, 1500 bytes) on the wire in clear by its wide-area side, though it came protected, by child net of connection a"},
		{"1", "true", ""},
		{"2", "false", ""},
		{"2", "true", ""},
	} {
		o := mustRun(t, measuresLab(t, "hub", map[string]string{"legs": test.legs, "inside": test.inside}))
		if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); i.Pass != (test.violation == "") || !strings.Contains(i.Why, test.violation) {
			t.Errorf("%s legs, inside is %s: %q, want %q", test.legs, test.inside, i.Why, test.violation)
		}
		if f := o.Flows[0]; f.Received != f.Sent {
			t.Errorf("%s legs, inside is %s: %d of %d packets arrived", test.legs, test.inside, f.Received, f.Sent)
		}
	}
}

// TestFlowToPort500: a flow between hosts is no IKE, whatever its port.
func TestFlowToPort500(t *testing.T) {
	for _, lab := range []string{"flow-to-500", "junk"} {
		o := mustRun(t, measuresLab(t, lab, nil))
		for _, f := range failures(o.Result) {
			t.Errorf("%s: %s", lab, f)
		}
	}
}

// TestOrphanAfterInterruption: an end whose peer gave up is an orphan once it had the
// time to notice, whatever kept them apart.
func TestOrphanAfterInterruption(t *testing.T) {
	for _, cut := range []string{"link", "router", "set-address", "remove-address", "route", "burst"} {
		for _, test := range []struct {
			vars  map[string]string
			alone bool // a holds its end when the lab ends
			pass  bool
		}{
			{map[string]string{"duration": "20s"}, true, true},
			{map[string]string{"duration": "20s", "tries": "5"}, true, true},
			{map[string]string{"duration": "60s"}, false, true},
			// It has no means to notice, and has been alone for a schedule.
			{map[string]string{"duration": "60s", "dpd": "0s"}, true, false},
			{map[string]string{"duration": "60s", "dpd": "0s", "tries": "5"}, true, true},
			{map[string]string{"duration": "400s", "dpd": "0s", "tries": "5"}, true, false},
		} {
			vars := map[string]string{"cut": cut, "tries": "0"}
			maps.Copy(vars, test.vars)
			o := mustRunSeed(t, measuresLab(t, "orphan", vars), 3)
			if o.Connections[0].Established != test.alone || o.Connections[1].Established || o.Connections[1].EstablishedCount == 0 {
				t.Errorf("%v: a %v, b %v", vars, o.Connections[0].Established, o.Connections[1].Established)
			}
			if i := invariantOf(t, o.Result, sim.InvariantNoOrphanSA); i.Pass != test.pass {
				t.Errorf("%v: pass is %v, want %v: %s", vars, i.Pass, test.pass, i.Why)
			}
		}
	}
}
