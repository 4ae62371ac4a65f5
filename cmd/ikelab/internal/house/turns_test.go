package house

import (
	"strings"
	"testing"
)

// TestEveryLabHasItsTurn: tests that make network namespaces share the host, or have it alone.
func TestEveryLabHasItsTurn(t *testing.T) {
	files, err := Sources(root(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, Turns(files))
}

// TestTurnsCatches shows each way around a turn.
func TestTurnsCatches(t *testing.T) {
	for _, tc := range []struct {
		name, pkg, src string
		want           []string
	}{
		{"a namespace", "node/host", `func TestA(t *testing.T) { n, _ := ns.TempNetNS(); n.Close() }`, []string{"TestA makes network namespaces without a turn"}},
		{"a namespace, in turn", "node/host", `func TestA(t *testing.T) { hosttest.Share(t); ns.TempNetNS() }`, nil},
		{"through helpers", "node/host", `func TestA(t *testing.T) { world(t) }
func world(t *testing.T) { newNamespace(t) }`, []string{"TestA makes network namespaces without a turn"}},
		{"through helpers, in turn", "node/host", `func TestA(t *testing.T) { world(t) }
func world(t *testing.T) { need(t); newNamespace(t) }
func need(t *testing.T) { hosttest.Alone(t) }`, nil},
		{"a benchmark", "sim/netns", `func BenchmarkA(b *testing.B) { run(b, Engine{}) }`, []string{"BenchmarkA makes"}},
		{"a lab that stands", "cmd/ikelab", `func TestA(t *testing.T) { p.good("up", lab) }`, []string{"TestA makes"}},
		{"a run", "cmd/ikelab", `func TestA(t *testing.T) { here(t, "run", lab, "--engine", "netns") }`, []string{"TestA makes"}},
		{"a run in virtual time", "cmd/ikelab", `func TestA(t *testing.T) { here(t, "run", lab, "--engine", "sim") }`, nil},
		{"a holder", "cmd/ikelab/internal/standing", `func TestA(t *testing.T) { standing.Build(spec, log) }`, []string{"TestA makes"}},
		{"a file", "cmd/ikelab", `func TestA(t *testing.T) { os.Create(name) }`, nil},
		{"a large lab", "sim/netns", `func TestA(t *testing.T) { root(t); run(t, Engine{}, "count = 200") }
func root(t testing.TB) { if measures(t) { hosttest.Alone(t) } else { hosttest.Share(t) } }`, []string{"TestA has a lab of 50 nodes or more"}},
		{"a large lab, alone", "sim/netns", `func TestA(t *testing.T) { hosttest.Alone(t); run(t, Engine{}, "count = 200") }`, nil},
		{"a small lab", "sim/netns", `func TestA(t *testing.T) { hosttest.Share(t); run(t, Engine{}, "count = 3") }`, nil},
		{"elsewhere", "sim/virtual", `func TestA(t *testing.T) { run(t, Engine{}) }`, nil},
		{"parallel too late", "node/host", `func TestA(t *testing.T) {
	hosttest.Share(t)
	t.Parallel()
}`, []string{"t.Parallel() after Share"}},
		{"parallel too late, through a helper", "node/host", `func TestA(t *testing.T) {
	path := need(t)
	t.Parallel()
}
func need(t *testing.T) string { hosttest.Alone(t); return "" }`, []string{"t.Parallel() after need"}},
		{"a subtest, parallel too late", "node/host", `func TestA(t *testing.T) {
	t.Run("a", func(t *testing.T) {
		hosttest.Share(t)
		t.Parallel()
	})
}`, []string{"t.Parallel() after Share"}},
		{"parallel subtests of a turn", "node/host", `func TestA(t *testing.T) {
	t.Parallel()
	hosttest.Share(t)
	t.Run("a", func(t *testing.T) { t.Parallel() })
}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Turns(synthetic(t, tc.pkg, "x_test.go", "package x\n"+tc.src+"\n").Files)
			if len(got) != len(tc.want) {
				t.Fatalf("findings %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], tc.pkg+"/x_test.go:") || !strings.Contains(got[i], want) {
					t.Errorf("finding %q does not name the place and %q", got[i], want)
				}
			}
		})
	}
}
