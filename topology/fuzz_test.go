package topology

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	r := Results{Now: p.Lab.Duration, Flows: make([]FlowResult, len(p.Flows)), Nodes: make([]NodeResult, len(p.Nodes)),
		Processes: make([]ProcessResult, len(p.Processes)), Watches: make([]WatchResult, len(p.Watches))}
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

// TestWorkIsBounded: what would run or grow without end is cut off, and said so.
func TestWorkIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	for name, test := range map[string]struct{ src, want string }{
		"loops":     {`locals { a = [for a in range(1000): [for b in range(1000): [for c in range(1000): c]]] }`, "Too many iterations"},
		"splats":    {`locals { a = [for a in range(1000): [for b in range(1000): range(1000)[*]]] }`, "Too many iterations"},
		"product":   {`locals { a = setproduct(range(1000), range(1000)) }`, "more than 16384 elements"},
		"json":      {`locals { a = jsondecode("` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `") }`, "nested more than 100 deep"},
		"exponent":  {`locals { a = jsondecode("[1e99999]") }`, "beyond 2^1024"},
		"width":     {`locals { a = format("%999999999d", 1) }`, "width or precision"},
		"number":    {`locals { a = 1e999999999 }`, "Number too large"},
		"squares":   {"locals {\n a = 1e99 * 1e99\n b = local.a * local.a * local.a\n}", "Value too large"},
		"brackets":  {`locals { a = ` + strings.Repeat("(", 1000) + "1" + strings.Repeat(")", 1000) + ` }`, "nested too deeply"},
		"blocks":    {strings.Repeat("a {\n", 1000) + strings.Repeat("}\n", 1000), "nested too deeply"},
		"operators": {`locals { a = 1` + strings.Repeat(" + 1", 5000) + ` }`, "Expression too long"},
		"signs":     {`locals { a = ` + strings.Repeat("-", 5000) + `1 }`, "Expression too long"},
		"doubling":  {"locals {\n a0 = \"xxxxxxxxxxxxxxxx\"\n" + doubling(30) + "}", "Value too large"},
		"chain":     {"locals {\n a0 = 1\n" + chain(2000) + "}", "depend too deeply"},
		"count":     {"node \"a\" { count = 10001 }", "it lies between 0 and 10000"},
		"bytes":     {strings.Repeat("#", fileBytesMax+1), "longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := loadText(t, "lab \"x\" {}\n"+test.src+"\n", nil)
			if !strings.Contains(d.Error(), test.want) {
				t.Errorf("want %q, got %.300s", test.want, d.Error())
			}
		})
	}
}

// doubling makes n locals, each twice as long as the one before.
func doubling(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d = \"${local.a%d}${local.a%d}\"\n", i+1, i, i)
	}
	return b.String()
}

// chain makes n locals, each of which needs the next.
func chain(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "b%d = local.b%d\n", i, i+1)
	}
	fmt.Fprintf(&b, "b%d = 1\n", n)
	return b.String()
}
