package topology

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
)

// planText renders a plan for comparison. Proposals stand in swanctl's words.
func planText(t testing.TB, p *Plan) string {
	t.Helper()
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(plain(tree), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// plain takes zero values out and renders proposals and durations.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if list, is := v["Transforms"].([]any); is {
			var p suite.Proposal
			for _, e := range list {
				m := e.(map[string]any)
				p.Transforms = append(p.Transforms, suite.Transform{Type: suite.TransformType(m["Type"].(float64)), ID: uint16(m["ID"].(float64)), KeyBits: uint16(m["KeyBits"].(float64))})
			}
			return p.String()
		}
		for key, e := range v {
			e = plain(e)
			switch n, is := e.(float64); {
			case e == nil || e == "" || e == false || e == 0.0:
				delete(v, key)
				continue
			case is && (strings.HasSuffix(key, "Delay") || strings.HasSuffix(key, "Timeout") || strings.HasSuffix(key, "Limit") ||
				key == "Sigma" || key == "Per" || key == "At" || key == "After" || key == "From" || key == "Start" || key == "Stop" ||
				key == "Duration" || key == "KeepAlive"):
				e = time.Duration(n).String()
			}
			v[key] = e
		}
		if len(v) == 0 {
			return nil
		}
		return v
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}

// TestPlans compares whole plans with golden files; -update rewrites them.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".hcl")
		t.Run(name, func(t *testing.T) {
			p, d := loadFile(t, "plans/"+name+".hcl")
			if d.Len() > 0 {
				var out strings.Builder
				if err := d.Write(&out, 0, false); err != nil {
					t.Fatal(err)
				}
				t.Fatal(out.String())
			}
			checkGolden(t, strings.TrimSuffix(path, ".hcl")+".golden", planText(t, p))
			again, _ := loadFile(t, "plans/"+name+".hcl")
			if diff := cmp.Diff(planText(t, p), planText(t, again)); diff != "" {
				t.Errorf("a second load differs:\n%s", diff)
			}
		})
	}
}

func checkGolden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./topology -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestSketch loads the sketch of the design, completed to a whole lab. What later
// versions bring is refused by name, each time it occurs, and nothing else is wrong
// with it; without that it is a whole plan.
func TestSketch(t *testing.T) {
	refusals := []string{
		"15: the block nat is not available yet",
		"20: the block nat is not available yet",
		`31: discipline "codel" is not available yet`,
		"34: the block pki is not available yet",
		"55: mobike is not available yet",
		`57: auth "pubkey" is not available yet`,
		"59: cert is not available yet",
		`62: auth "pubkey" is not available yet`,
		"80: mobike is not available yet",
		`82: auth "pubkey" is not available yet`,
		"84: cert is not available yet",
		`87: auth "pubkey" is not available yet`,
	}
	for _, despite := range []bool{false, true} {
		var opts []Option
		if despite {
			opts = append(opts, PlanDespiteRefusals())
		}
		p, d := loadFile(t, "sketch.hcl", opts...)
		var got []string
		for _, one := range d.All() {
			if !one.Refusal || !one.Error {
				t.Errorf("line %d: %s: %s", one.Line, one.Summary, one.Detail)
			}
			got = append(got, jsonNumber(one.Line)+": "+one.Summary)
		}
		if diff := cmp.Diff(refusals, got); diff != "" {
			t.Errorf("refusals (-want +got):\n%s", diff)
		}
		if (p != nil) != despite {
			t.Fatalf("plan %v, despite refusals %v", p, despite)
		}
		if despite {
			checkGolden(t, "testdata/sketch.golden", planText(t, p))
		}
	}
}

func jsonNumber(n int) string {
	text, _ := json.Marshal(n) // an int always marshals
	return string(text)
}
