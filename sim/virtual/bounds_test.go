package virtual

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

func TestUntil(t *testing.T) {
	o, err := runLab(t, twoGateways(0), sim.Options{Until: 6 * time.Second}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// The call's packets leave from 5 s on, 50 a second; that of 6 s does not.
	if o.Ended != 6*time.Second || o.Flows[1].Sent != 50 || !o.OK() {
		t.Errorf("ended at %v with %d packets sent, want 6 s and 50", o.Ended, o.Flows[1].Sent)
	}
	long := 30 * time.Second
	o, err = runLab(t, twoGateways(0), sim.Options{Until: long}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil || o.Ended != 20*time.Second {
		t.Errorf("ended at %v, want the lab's own end (%v)", o.Ended, err)
	}
}

// TestInterrupted: a cancelled context ends the run soon, with what there is.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tap := tapFunc(func(at time.Duration) {
		if at >= 7*time.Second {
			cancel()
		}
	})
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{Tap: tap}, ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Interrupted || o.OK() || o.Ended < 7*time.Second || o.Ended > 8*time.Second {
		t.Errorf("interrupted %v, ok %v, ended at %v", o.Interrupted, o.OK(), o.Ended)
	}
	if o.Flows[1].Received == 0 || len(o.Digest) != 64 || len(o.Exchanges) != 4 {
		t.Errorf("the result does not have what there was: %+v", o.Result)
	}
	whole := mustRun(t, twoGateways(0))
	part := o.trace[:bytes.LastIndexByte(o.trace[:bytes.Index(o.trace, []byte(`"kind":"invariant"`))], '\n')+1]
	if !bytes.HasPrefix(whole.trace, part) {
		t.Error("what an interrupted run did is not the beginning of the whole one")
	}
}

func TestCancelledBeforehand(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{}, ctx)
	if err != nil || !o.Interrupted || o.Events != 0 {
		t.Errorf("interrupted %v after %d events (%v)", o.Interrupted, o.Events, err)
	}
}

// circle is a lab whose two routers send bob's packets to each other, over links
// that may duplicate them.
func circle(duplicate float64) *topology.Plan {
	plan := twoGateways(0)
	for i := range 2 {
		n := &plan.Nodes[i]
		n.Connections = nil
		n.Interfaces[0].Link.Delay, n.Interfaces[0].Link.Duplicate = 0, duplicate
		peer := plan.Nodes[1-i].Interfaces[0].Addresses[0].Addr()
		n.Routes = []topology.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/24"), Via: peer, Interface: "wan"}}
	}
	return plan
}

// TestBounds: a run that is too much ends with an error that says why, and a
// result.
func TestBounds(t *testing.T) {
	tests := map[string]struct {
		plan   *topology.Plan
		engine Engine
		want   error
	}{
		"too long":    {twoGateways(0), Engine{EventsMax: 1000}, ErrEventBudget},
		"too many":    {circle(1), Engine{PendingMax: 1000}, ErrPending},
		"no progress": {circle(0.5), Engine{InstantEventsMax: 5000}, ErrTimeStands},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := runLab(t, test.plan, sim.Options{}, test.engine, sim.EngineOptions{}, context.Background())
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if o.Stopped != err.Error() || o.OK() || o.Interrupted || o.Events == 0 || o.Events > 6000 || o.Ended >= o.Until {
				t.Errorf("%d events until %v, stopped %q, ok %v", o.Events, o.Ended, o.Stopped, o.OK())
			}
		})
	}
}

// TestCircle: without duplication a packet that goes in circles dies of its hop
// limit, and the run goes on.
func TestCircle(t *testing.T) {
	o := mustRun(t, circle(0))
	if o.Flows[1].Received != 0 || o.Ended != 20*time.Second {
		t.Errorf("%d received until %v", o.Flows[1].Received, o.Ended)
	}
	var expired uint64
	for _, n := range o.Nodes {
		for _, d := range n.Drops {
			if d.Reason == "ttl-exceeded" {
				expired += d.Count
			}
		}
	}
	if want := o.Flows[0].Sent + o.Flows[1].Sent; expired != want {
		t.Errorf("%d packets expired, %d were sent", expired, want)
	}
}

// TestProgress: the calls come in order and the last one is at the end.
func TestProgress(t *testing.T) {
	var seen []sim.Progress
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{Progress: func(p sim.Progress) { seen = append(seen, p) }}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	last := seen[len(seen)-1]
	if len(seen) < 3 || last.Now != o.Ended || last.Events != o.Events || last.Established != 2 {
		t.Errorf("%d calls, the last one %+v, want %v and %d events", len(seen), last, o.Ended, o.Events)
	}
	if !slices.IsSortedFunc(seen, func(a, b sim.Progress) int { return int(a.Now - b.Now) }) {
		t.Error("progress went back")
	}
}

// TestPlanErrors: what cannot be run is refused by name.
func TestPlanErrors(t *testing.T) {
	tests := map[string]struct {
		change func(*topology.Plan)
		want   string
	}{
		"network":  {func(p *topology.Plan) { p.Nodes[0].Interfaces[0].Network = "nowhere" }, `interface "wan" is on network "nowhere"`},
		"link":     {func(p *topology.Plan) { p.Nodes[0].Interfaces[0].Link.Loss.P = 2 }, "loss.p is 2"},
		"duration": {func(p *topology.Plan) { p.Lab.Duration = 0 }, "a run needs a positive one"},
		"flow":     {func(p *topology.Plan) { p.Flows[0].To = "nobody" }, `flow "ping": it leads from "alice" to "nobody"`},
		"size":     {func(p *topology.Plan) { p.Flows[0].SizeBytes = 4 }, `flow "ping": size is 4 octets`},
		"step": {func(p *topology.Plan) {
			p.Steps = []topology.Step{step("s", 0, topology.Action{Kind: topology.ActionLinkUp, Node: "gw-a", Interface: "lo"})}
		}, `step "s": link_up: node "gw-a" has no interface "lo"`},
		"action": {func(p *topology.Plan) {
			p.Steps = []topology.Step{step("s", 0, topology.Action{Kind: "reboot", Node: "gw-a"})}
		}, `there is no action "reboot"`},
		"implementation": {func(p *topology.Plan) { p.Nodes[0].Implementation = "strongswan" }, `implementation "strongswan" cannot be run`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := twoGateways(0)
			test.change(plan)
			r, err := sim.New(plan, sim.Options{})
			if err == nil {
				_, err = Engine{}.Run(context.Background(), r, sim.EngineOptions{})
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}
