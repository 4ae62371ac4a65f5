package topology

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

// FuzzLoad: whatever stands in a lab file, Load answers in bounded time with a plan or
// with errors that lie in the file, the same ones each time; expectations judge any
// results; and Format changes nothing that is formatted.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*.hcl", "testdata/diagnostics/*.hcl", "testdata/plans/*.hcl"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			src, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		fsys := fstest.MapFS{"lab.hcl": {Data: src}}
		p, d := Load(fsys, "lab.hcl", nil, PlanDespiteRefusals())
		_, again := Load(fsys, "lab.hcl", nil, PlanDespiteRefusals())
		if d.Error() != again.Error() {
			t.Fatalf("two loads differ:\n%s\n---\n%s", d.Error(), again.Error())
		}
		refusals := 0
		for _, one := range d.All() {
			if one.Refusal {
				refusals++
			}
			if one.Summary == "The lab could not be planned" {
				t.Fatal("a value is unknown without a reason")
			}
			if one.Summary == "" || one.Detail == "" {
				t.Fatalf("diagnostic without a text: %+v", one)
			}
			if lines := bytes.Count(src, []byte("\n")) + 1; one.Line > lines || one.EndLine > lines {
				t.Fatalf("line %d to %d of %d: %s", one.Line, one.EndLine, lines, one.Summary)
			}
		}
		if err := d.Write(&bytes.Buffer{}, 80, true); err != nil {
			t.Fatal(err)
		}
		if p == nil != d.HasErrors() && refusals == 0 {
			t.Fatalf("plan %v, errors %v", p != nil, d.HasErrors())
		}
		if p != nil {
			judgeAll(p)
		}
		if formatted, fd := Format(src, "lab.hcl"); !fd.HasErrors() {
			twice, td := Format(formatted, "lab.hcl")
			if td.HasErrors() {
				t.Fatalf("formatting made an error: %s", td.Error())
			}
			if !bytes.Equal(formatted, twice) {
				t.Fatalf("formatting twice changes\n%q\ninto\n%q", formatted, twice)
			}
		}
	})
}

// judgeAll judges every expectation over a run in which nothing happened.
func judgeAll(p *Plan) {
	r := Results{Now: p.Lab.Duration, Flows: make([]FlowResult, len(p.Flows)), Nodes: make([]NodeResult, len(p.Nodes)), Watches: make([]WatchResult, len(p.Watches))}
	for _, n := range p.Nodes {
		for _, c := range n.Connections {
			r.Connections = append(r.Connections, ConnectionResult{Children: make([]ChildResult, len(c.Children))})
		}
	}
	for _, e := range p.Expectations {
		if e.Evaluate != nil {
			e.Evaluate(r)
		}
	}
}
