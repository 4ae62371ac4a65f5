package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stream is go test -json of a package with one test that passes, one that is skipped for tshark, one for
// captures, and of a package that does not build.
const stream = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:3: chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestB","Output":"    a_test.go:7: needs tshark; cure:\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"        apt-get install tshark\n"}
{"Action":"output","Package":"p","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestC","Output":"    a_test.go:9: IKELAB_CAPTURES is unset: point it at a folder of captures\n"}
{"Action":"skip","Package":"p","Test":"TestC","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.5}
`

func TestSummaryListsSkipsWithTheirCure(t *testing.T) {
	var s summary
	var while, after strings.Builder
	if err := s.read(strings.NewReader(stream), &while); err != nil {
		t.Fatal(err)
	}
	s.print(&after)
	if strings.Contains(while.String(), "chatter") {
		t.Errorf("a passing test's output was printed:\n%s", while.String())
	}
	want := `
skipped, and what cures it:
  needs tshark; cure: apt-get install tshark
    p TestB
  IKELAB_CAPTURES is unset: point it at a folder of captures
    p TestC

1 passed, 0 failed, 2 skipped
`
	if diff := cmp.Diff(want, after.String()); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func TestSkipIsAFailureInCI(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ci    bool
		skips []skip
		fails bool
	}{
		{"a person's machine", false, []skip{{"p", "T", "needs tshark"}}, false},
		{"CI without a tool", true, []skip{{"p", "T", "needs tshark"}}, true},
		{"CI without the data of others", true, []skip{{"p", "T", "IKELAB_CAPTURES is unset"}}, false},
		{"CI that asked for little", true, []skip{{"p", "T", quickReason}}, false},
		{"CI with everything", true, nil, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := summary{ci: tc.ci, skips: tc.skips}
			if err := s.verdict(nil); (err != nil) != tc.fails {
				t.Errorf("verdict is %v, want failure %v", err, tc.fails)
			}
		})
	}
}

func TestSummaryPrintsFailuresAndBuildErrors(t *testing.T) {
	const failing = `{"ImportPath":"q","Action":"build-output","Output":"q.go:1:1: syntax error\n"}
{"Action":"output","Package":"p","Test":"TestD","Output":"    d_test.go:4: want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestD","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.1}
{"Action":"fail","Package":"q","Elapsed":0,"FailedBuild":"q"}
`
	var s summary
	var while strings.Builder
	if err := s.read(strings.NewReader(failing), &while); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"q.go:1:1: syntax error", "want 1, got 2", "FAIL  p"} {
		if !strings.Contains(while.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, while.String())
		}
	}
	want := []testKey{{"p", "TestD"}, {"q", "(as a whole, see above)"}}
	if diff := cmp.Diff(want, s.failed, cmp.AllowUnexported(testKey{})); diff != "" {
		t.Errorf("failures (-want +got):\n%s", diff)
	}
}

func TestDiscovery(t *testing.T) {
	const src = `package p
import ("flag"; "testing")
var update = flag.Bool("update", false, "rewrite golden files")
func FuzzOpen(f *testing.F) {}
func Fuzziness() int { return 0 }
func (r reader) FuzzNot(f *testing.F) {}
`
	f, err := parser.ParseFile(token.NewFileSet(), "p_test.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"FuzzOpen"}, fuzzTargets(f)); diff != "" {
		t.Errorf("fuzz targets (-want +got):\n%s", diff)
	}
	if !hasUpdateFlag(f) {
		t.Error("the -update flag was not found")
	}
}
