package virtual

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// TestExpectations judges conditions over the first tunnel in every mode. The
// IKE SA stands from 80 ms on at gw-a, the call runs from 5 s on, the lab ends at
// 20 s.
func TestExpectations(t *testing.T) {
	pass := func(ok bool) topology.Verdict {
		v := topology.Verdict{Pass: ok, Operands: []topology.Operand{{Text: "x", Value: "1"}}}
		if !ok {
			v.Message = "it does not"
		}
		return v
	}
	established := func(r topology.Results) topology.Verdict { return pass(r.Connections[0].Established) }
	received := func(n uint64) func(topology.Results) topology.Verdict {
		return func(r topology.Results) topology.Verdict { return pass(r.Flows[1].Received >= n) }
	}
	delay := func(r topology.Results) topology.Verdict {
		if !r.Flows[1].HasDelay {
			return topology.Verdict{NoSamples: true, Message: "no packet arrived"}
		}
		return pass(r.Flows[1].DelayMax < 25*ms)
	}
	never := func(topology.Results) topology.Verdict { return pass(false) }
	tests := map[string]struct {
		expectation topology.Expectation
		until       time.Duration // the lab's end if zero
		pass        bool
		at          time.Duration
		why         string
	}{
		"end holds":                   {topology.Expectation{Mode: topology.ModeEnd, Evaluate: established}, 0, true, 20 * time.Second, ""},
		"end does not hold":           {topology.Expectation{Mode: topology.ModeEnd, Evaluate: never}, 0, false, 20 * time.Second, "it does not"},
		"end without samples":         {topology.Expectation{Mode: topology.ModeEnd, Evaluate: delay}, 4 * time.Second, false, 4 * time.Second, "no packet arrived"},
		"after holds":                 {topology.Expectation{Mode: topology.ModeAfter, At: 80 * ms, Evaluate: never}, 0, false, 80 * ms, "it does not"},
		"after, later":                {topology.Expectation{Mode: topology.ModeAfter, At: 81 * ms, Evaluate: established}, 0, true, 81 * ms, ""},
		"after, at the end":           {topology.Expectation{Mode: topology.ModeAfter, At: 20 * time.Second, Evaluate: established}, 0, true, 20 * time.Second, ""},
		"after the run's end":         {topology.Expectation{Mode: topology.ModeAfter, At: 10 * time.Second, Evaluate: established}, time.Second, false, time.Second, "not judged: the run ended at 1s, before 10s"},
		"within holds":                {topology.Expectation{Mode: topology.ModeWithin, At: time.Second, Evaluate: established}, 0, true, 80 * ms, ""},
		"within, exactly in time":     {topology.Expectation{Mode: topology.ModeWithin, At: 81 * ms, Evaluate: established}, 0, true, 80 * ms, ""},
		"within, too late":            {topology.Expectation{Mode: topology.ModeWithin, At: 79 * ms, Evaluate: established}, 0, false, 79 * ms, "it does not (did not hold until 79ms)"},
		"within, by a counter":        {topology.Expectation{Mode: topology.ModeWithin, At: 6 * time.Second, Evaluate: received(10)}, 0, true, 5300 * ms, ""},
		"within, never":               {topology.Expectation{Mode: topology.ModeWithin, At: 6 * time.Second, Evaluate: never}, 0, false, 6 * time.Second, "did not hold until 6s"},
		"within, from an instant":     {topology.Expectation{Mode: topology.ModeWithin, From: 7 * time.Second, At: 8 * time.Second, Evaluate: established}, 0, true, 7 * time.Second, ""},
		"within, the run ends":        {topology.Expectation{Mode: topology.ModeWithin, At: 6 * time.Second, Evaluate: never}, time.Second, false, time.Second, "the run ended at 1s, before 6s"},
		"always holds":                {topology.Expectation{Mode: topology.ModeAlways, From: time.Second, Evaluate: established}, 0, true, 20 * time.Second, ""},
		"always, not at first":        {topology.Expectation{Mode: topology.ModeAlways, Evaluate: established}, 0, false, 0, "did not hold at 0s"},
		"always, no samples at first": {topology.Expectation{Mode: topology.ModeAlways, Evaluate: delay}, 0, true, 20 * time.Second, ""},
		"always, no samples at all":   {topology.Expectation{Mode: topology.ModeAlways, Evaluate: delay}, 4 * time.Second, false, 4 * time.Second, "no packet arrived"},
		"always, beyond the end":      {topology.Expectation{Mode: topology.ModeAlways, From: 10 * time.Second, Evaluate: established}, time.Second, false, time.Second, "not judged"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := twoGateways(0)
			test.expectation.Name, test.expectation.File, test.expectation.Line = name, "lab.hcl", 7
			plan.Expectations = []topology.Expectation{test.expectation}
			o, err := runLab(t, plan, sim.Options{Until: test.until}, Engine{}, sim.EngineOptions{}, context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got := o.Expectations[0]
			if got.Pass != test.pass || got.At != test.at || !strings.Contains(got.Why, test.why) || got.Pass != (got.Why == "") {
				t.Errorf("pass %v at %v because %q, want %v at %v because %q", got.Pass, got.At, got.Why, test.pass, test.at, test.why)
			}
			if got.Name != name || got.File != "lab.hcl" || got.Line != 7 || got.Mode != test.expectation.Mode {
				t.Errorf("the verdict is about %+v", got)
			}
			if o.OK() != test.pass {
				t.Errorf("the run is ok: %v", o.OK())
			}
		})
	}
}

// TestAlwaysSeesShortLapses: a tunnel that is away for less than the interval
// between two judgements fails an "always" all the same.
func TestAlwaysSeesShortLapses(t *testing.T) {
	plan := twoGateways(0)
	plan.Steps = []topology.Step{
		step("down", 3010*ms, topology.Action{Kind: topology.ActionTerminate, Node: "gw-a", Connection: "tunnel"}),
		{Name: "up", On: &topology.Selector{Event: "ike-deleted", Node: "gw-a", Nth: 1},
			Action: topology.Action{Kind: topology.ActionInitiate, Node: "gw-a", Connection: "tunnel", Child: "net"}},
	}
	plan.Expectations = []topology.Expectation{{
		Name: "stands", Mode: topology.ModeAlways, From: time.Second,
		Evaluate: func(r topology.Results) topology.Verdict {
			return topology.Verdict{Pass: r.Connections[0].Established, Message: "gone"}
		},
	}}
	o := mustRun(t, plan)
	got := o.Expectations[0]
	if got.Pass || got.At < 3010*ms || got.At > 3100*ms {
		t.Errorf("pass %v at %v: %s", got.Pass, got.At, got.Why)
	}
	if o.Connections[0].EstablishedCount != 2 {
		t.Errorf("the tunnel was established %d times, want 2", o.Connections[0].EstablishedCount)
	}
}

// TestWatches: events are counted by selectors, and the Nth is timed.
func TestWatches(t *testing.T) {
	plan := twoGateways(0)
	plan.Watches = []topology.Selector{
		{Event: "ike-established", Nth: 2},
		{Event: "ike-established", Node: "gw-b", Connection: "tunnel", Nth: 1},
		{Event: "ike-established", Node: "gw-b", Connection: "other", Nth: 1},
		{Event: "esp-in", Node: "gw-b", Nth: 3},
	}
	var got []topology.WatchResult
	plan.Expectations = []topology.Expectation{{Mode: topology.ModeEnd, Evaluate: func(r topology.Results) topology.Verdict {
		got = append(got, r.Watches...)
		return topology.Verdict{Pass: true}
	}}}
	o := mustRun(t, plan)
	opened := o.records("gw-b", "esp-in")
	want := []topology.WatchResult{
		{Count: 2, At: 80 * ms}, {Count: 1, At: 60 * ms}, {}, {Count: uint64(len(opened)), At: opened[2].At},
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("watch %+v: %+v, want %+v", plan.Watches[i], got[i], want[i])
		}
	}
}

// TestInvariantOff: an invariant that the lab turns off is neither passed nor
// failed.
func TestInvariantOff(t *testing.T) {
	plan := twoGateways(0)
	plan.Lab.InvariantsOff = []string{sim.InvariantNoReplay, sim.InvariantNoOrphanSA}
	o := mustRun(t, plan)
	_, _, passed, on := o.Passed()
	if passed != 4 || on != 4 || len(o.Invariants) != 6 {
		t.Errorf("%d of %d invariants passed, %d listed; want 4 of 4 and 6", passed, on, len(o.Invariants))
	}
	for _, i := range o.Invariants {
		if off := i.Name == sim.InvariantNoReplay || i.Name == sim.InvariantNoOrphanSA; i.Off != off {
			t.Errorf("%s is off: %v", i.Name, i.Off)
		}
	}
}
