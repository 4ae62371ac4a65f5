package virtual

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/topology"
)

// trapLabs are labs about traps and negotiations that fail. Package netns runs the same.
const trapLabs = "../testdata/traps"

// trapLab loads one of them, by its name and variables.
func trapLab(t *testing.T, words []string) *topology.Plan {
	t.Helper()
	vars := map[string]string{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		vars[key] = value
	}
	plan, diags := topology.Load(os.DirFS(trapLabs), words[0]+".hcl", vars)
	if plan == nil || diags.HasErrors() {
		t.Fatal(diags)
	}
	return plan
}

// TestTraps runs the labs, whose expectations say what is right.
func TestTraps(t *testing.T) {
	variants, err := os.ReadFile(trapLabs + "/variants.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(variants)) {
		words := strings.Fields(line)
		t.Run(strings.Join(words, ","), func(t *testing.T) {
			o := mustRun(t, trapLab(t, words))
			for _, f := range failures(o.Result) {
				t.Error(f)
			}
			if words[0] == "unanswered" {
				if d := o.Nodes[0].Drops; len(d) != 1 || d[0].Reason != "still-held" || d[0].Count != 2 {
					t.Errorf("what waits at the end is %+v, want 2 still-held", d)
				}
			}
		})
	}
}

// TestKilledWithPackets: what waits in a node that is killed is in the account.
func TestKilledWithPackets(t *testing.T) {
	plan := trapLab(t, []string{"unanswered"})
	plan.Expectations = nil
	plan.Steps = []topology.Step{step("kill", 3*time.Second, life(topology.ActionKill, "a"))}
	o := mustRun(t, plan)
	if d := o.Nodes[0].Drops; len(d) != 1 || d[0].Reason != "still-held" || d[0].Count != 2 {
		t.Errorf("what waited is %+v, want 2 still-held", d)
	}
}
