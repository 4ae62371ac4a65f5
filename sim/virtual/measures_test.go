package virtual

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
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
	for _, test := range []struct{ legs, inside, port, violation string }{
		{"1", "false", "9", "hub put a packet from 10.1.1.2 to 10.1.2.2 (protocol 17, 1500 bytes) on the wire in clear by its wide-area side, though it came protected, by child net of connection a"},
		{"1", "true", "9", ""},
		{"2", "false", "9", ""},
		{"2", "true", "9", ""},
		// The ports of IKE and ESP in UDP say nothing of what goes between hosts.
		{"1", "false", "500", "hub put a packet from 10.1.1.2 to 10.1.2.2 "},
		{"1", "false", "4500", "hub put a packet from 10.1.1.2 to 10.1.2.2 "},
		{"2", "false", "4500", ""},
	} {
		o := mustRun(t, measuresLab(t, "hub", map[string]string{"legs": test.legs, "inside": test.inside, "port": test.port}))
		if i := invariantOf(t, o.Result, sim.InvariantNoCleartext); i.Pass != (test.violation == "") || !strings.Contains(i.Why, test.violation) {
			t.Errorf("%s legs, inside is %s, port %s: %q, want %q", test.legs, test.inside, test.port, i.Why, test.violation)
		}
		if f := o.Flows[0]; f.Received != f.Sent {
			t.Errorf("%s legs, inside is %s, port %s: %d of %d packets arrived", test.legs, test.inside, test.port, f.Received, f.Sent)
		}
	}
}

// TestFragmentsByPort: what shows no ports leaves in clear under no policy that selects by
// them, also where the policy's peer is known by its association alone (RFC 4301 §7).
func TestFragmentsByPort(t *testing.T) {
	o := mustRun(t, measuresLab(t, "ports", nil))
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
	if want := 2 * o.Flows[0].Sent; unmatched != want {
		t.Errorf("%d later fragments are named, want %d", unmatched, want)
	}
}

// TestTunnelOnTheInside: a tunnel that runs on the LAN does not make the way to networks
// behind it one in clear.
func TestTunnelOnTheInside(t *testing.T) {
	o := mustRun(t, measuresLab(t, "lan-tunnel", nil))
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	for _, f := range o.Flows {
		if f.Sent == 0 || f.Received != f.Sent {
			t.Errorf("flow %s: %d of %d packets arrived", f.Name, f.Received, f.Sent)
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

// TestOrphanPushedOut: an end that another one of its identity pushed out is an orphan
// once it had the time to notice.
func TestOrphanPushedOut(t *testing.T) {
	for _, test := range []struct {
		duration, dpd string
		alone         bool // the first device holds its end when the lab ends
		pass          bool
	}{
		{"20s", "30s", true, true},
		{"60s", "30s", false, true},
		{"60s", "0s", true, true},
		// It has no means to notice, and has been alone for a schedule.
		{"400s", "0s", true, false},
	} {
		o := mustRun(t, measuresLab(t, "pushed-out", map[string]string{"duration": test.duration, "dpd": test.dpd}))
		for _, c := range o.Connections {
			if c.Node == "device-laptop" && c.Established != test.alone {
				t.Errorf("%+v: the laptop holds its SA: %v", test, c.Established)
			}
		}
		if i := invariantOf(t, o.Result, sim.InvariantNoOrphanSA); i.Pass != test.pass {
			t.Errorf("%+v: pass is %v: %s", test, i.Pass, i.Why)
		}
	}
}

// TestUnderWay: what is under way when a lab ends is what arrives, or is lost, when it
// goes on; and what was lost before, or is held for a tunnel, is told apart from it.
func TestUnderWay(t *testing.T) {
	for _, test := range []struct {
		name  string
		delay time.Duration
		loss  float64
		burst bool // the loss comes in long bursts
		encap bool
	}{
		{name: "a clean line", delay: 300 * ms},
		{name: "a lossy line", delay: 300 * ms, loss: 0.5},
		{name: "a lossy line, in UDP", delay: 300 * ms, loss: 0.5, encap: true},
		{name: "a line in bursts", delay: 300 * ms, loss: 0.2, burst: true},
		{name: "a slow line", delay: 2 * time.Second},
		{name: "a quick line, and nothing gets through", delay: 10 * ms, loss: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ended := func(until time.Duration) sim.FlowResult {
				plan := twoGateways(0)
				plan.Lab.Duration = 30 * time.Second
				link := &plan.Nodes[0].Interfaces[0].Link // what it loses is lost when it leaves
				link.Delay = test.delay
				if test.loss > 0 {
					link.Loss = impair.Loss{Model: impair.LossRandom, P: test.loss}
				}
				if test.burst {
					link.Loss = impair.Loss{Model: impair.LossGilbertElliott, P: test.loss, R: 0.05}
				}
				for i := range 2 {
					plan.Nodes[i].Connections[0].Encap = test.encap
					plan.Nodes[i].Connections[0].Retransmit.Tries = 20
					plan.Nodes[i].Connections[0].Retransmit.Limit = 500 * ms
				}
				plan.Flows[1].Stop = 20 * time.Second
				o, err := runLab(t, plan, sim.Options{Until: until}, Engine{}, sim.EngineOptions{}, context.Background())
				if err != nil {
					t.Fatal(err)
				}
				return o.Flows[1]
			}
			then, later := ended(20*time.Second), ended(30*time.Second)
			if later.InFlight != 0 || later.Sent != then.Sent {
				t.Fatalf("ten seconds later %d of %d are under way", later.InFlight, later.Sent)
			}
			if got := later.Received - then.Received; then.InFlight != got || then.Lost != later.Lost {
				t.Errorf("%d under way and %d lost, of which %d arrived and %d were lost", then.InFlight, then.Lost, got, later.Lost)
			}
			if test.loss < 1 && !test.burst && then.InFlight == 0 {
				t.Errorf("nothing is under way of %d packets", then.Sent)
			}
		})
	}
}

// TestUnderWayInNodes: an interface that is down loses everything, at once; a trap holds
// what it has room for.
func TestUnderWayInNodes(t *testing.T) {
	down := mustRun(t, measuresLab(t, "under-way", nil)).Flows[0]
	if down.Lost != down.Sent || down.InFlight != 0 {
		t.Errorf("%d of %d are lost, %d under way", down.Lost, down.Sent, down.InFlight)
	}
	held := mustRun(t, measuresLab(t, "under-way", map[string]string{"trap": "true"})).Flows[0]
	if held.Sent != 60 || held.InFlight != 60 || held.Held != 60 || held.Lost != 0 {
		t.Errorf("of %d, %d are under way, %d of them held; %d are lost", held.Sent, held.InFlight, held.Held, held.Lost)
	}
}

// TestJunk: what is neither IKE nor ESP is counted at either port of IKE, and answered
// at none.
func TestJunk(t *testing.T) {
	for port, reason := range map[uint16]string{500: "ike-malformed", 4500: "esp-no-association"} {
		plan := measuresLab(t, "junk", nil)
		plan.Flows[0].DestinationPort = port
		o := mustRun(t, plan)
		if d := cmp.Diff([]sim.DropCount{{Reason: reason, Count: 2}}, o.Nodes[1].Drops); d != "" {
			t.Errorf("port %d: dropped (-want +got):\n%s", port, d)
		}
		if len(o.Exchanges) > 0 || len(o.records("b", "message-dropped")) > 0 {
			t.Errorf("port %d: %d IKE messages were sent, %d taken for IKE", port, len(o.Exchanges), len(o.records("b", "message-dropped")))
		}
		for _, f := range failures(o.Result) {
			t.Errorf("port %d: %s", port, f)
		}
	}
}
