package sim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// TestResultJSON: result.json has names in one manner, lists that are empty
// rather than null, no keys, and reads back.
func TestResultJSON(t *testing.T) {
	r, err := New(&topology.Plan{Lab: topology.Lab{Name: "empty", Duration: time.Second}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	result := r.Finish(time.Second, 0, false, "")
	if !result.OK() {
		t.Errorf("an empty lab does not pass: %+v", result)
	}
	result.Failures = []Failure{{Node: "gw-a", Reason: "TIMEOUT", Fields: []trace.Field{{Key: "exchange", Value: "IKE_SA_INIT"}}}}
	b, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"null", "Keys", `"Key"`} {
		if strings.Contains(string(b), word) {
			t.Errorf("%s is in %s", word, b)
		}
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(*result, back); d != "" {
		t.Errorf("read back (-written +read):\n%s", d)
	}
}

// TestOK: a run passes when it came to its end and everything that is on held.
func TestOK(t *testing.T) {
	pass, fail := ExpectationResult{Pass: true}, ExpectationResult{}
	tests := map[string]struct {
		result Result
		want   bool
	}{
		"nothing to hold":      {Result{}, true},
		"all hold":             {Result{Expectations: []ExpectationResult{pass}, Invariants: []InvariantResult{{Pass: true}}}, true},
		"an expectation fails": {Result{Expectations: []ExpectationResult{pass, fail}}, false},
		"an invariant fails":   {Result{Invariants: []InvariantResult{{Pass: true}, {}}}, false},
		"an invariant is off":  {Result{Invariants: []InvariantResult{{Off: true}}}, true},
		"interrupted":          {Result{Interrupted: true}, false},
		"stopped":              {Result{Stopped: "budget"}, false},
	}
	for name, test := range tests {
		if got := test.result.OK(); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
