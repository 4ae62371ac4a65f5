package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCommittedTable: the table is one, and no row is above the budget.
func TestCommittedTable(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(cpuFile)))
	if err != nil {
		t.Fatal(err)
	}
	table, err := readTable(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(table.write()), string(text)); diff != "" {
		t.Errorf("make cputable writes another (-written +committed):\n%s", diff)
	}
}

func TestTableRefuses(t *testing.T) {
	for _, bad := range []string{"p", "p 5 6", "p five", "p 1", "p 91", "p 5\np 6"} {
		if table, err := readTable([]byte("# head\n" + bad + "\n")); err == nil || !strings.HasPrefix(err.Error(), cpuFile+":") {
			t.Errorf("%q is read as %v, error %v", bad, table, err)
		}
	}
	table, err := readTable([]byte("# head\n\np 5 # because\nq 90\n"))
	if diff := cmp.Diff(cpuTable{"p": 5, "q": 90}, table); diff != "" || err != nil {
		t.Errorf("error %v, table (-want +got):\n%s", err, diff)
	}
}

// TestPackagesAreHeldToTheirRows: three times the row passes, more fails in CI alone, a package without a row names
// the line to add, and one whose results are cached is not looked at.
func TestPackagesAreHeldToTheirRows(t *testing.T) {
	took := measured{"p": 15 * time.Second, "q": 15*time.Second + 10*time.Millisecond, "r": 1200 * time.Millisecond, "s": 7500 * time.Millisecond}
	dear := took.judge(cpuTable{"p": 5, "q": 5, "cached": 2})
	want := []string{
		"q took 15.0 s of processor time, more than 3 times the 5 s of its row in .ci/maketest/cpu.txt: make its tests cheaper, or say in the commit why they are not",
		"r has no row in .ci/maketest/cpu.txt; add the line: r 2",
		"s has no row in .ci/maketest/cpu.txt; add the line: s 8",
	}
	if diff := cmp.Diff(want, dear); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, ci := range []bool{false, true} {
		s := summary{ci: ci}
		if err := s.verdict(dear); (err != nil) != ci || ci && !strings.Contains(err.Error(), "add the line: r 2") {
			t.Errorf("CI=%v: verdict %v", ci, err)
		}
	}
}

// TestUpdate: what was measured replaces its rows, what was not stays, packages that are gone go, and none may be
// above the budget.
func TestUpdate(t *testing.T) {
	in := module{Path: "example.org/m", Dir: t.TempDir()}
	for _, dir := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(in.Dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	table := cpuTable{"example.org/m/a": 9, "example.org/m/b": 4, "example.org/m/gone": 5}
	took := byPackage(map[string]time.Duration{
		filepath.Join(in.Dir, "a"): 3100 * time.Millisecond, filepath.Join(in.Dir, "c"): time.Millisecond, "/elsewhere": time.Hour,
	}, in)
	if err := took.update(table, in); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cpuTable{"example.org/m/a": 4, "example.org/m/b": 4, "example.org/m/c": 2}, table); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	again, err := readTable(table.write())
	if diff := cmp.Diff(table, again); diff != "" || err != nil {
		t.Errorf("what is written is read with error %v, as (-written +read):\n%s", err, diff)
	}
	if err := (measured{"example.org/m/a": 91 * time.Second}).update(table, in); err == nil || !strings.Contains(err.Error(), "split it") {
		t.Errorf("above the budget: error %v", err)
	}
}

// TestCost: what packages took and which tests ran longest is printed, without those from the cache.
func TestCost(t *testing.T) {
	const events = `{"Action":"pass","Package":"m/p","Test":"TestShort","Elapsed":0.2}
{"Action":"pass","Package":"m/p","Test":"TestLong/sub","Elapsed":8}
{"Action":"pass","Package":"m/p","Test":"TestLong","Elapsed":8}
{"Action":"pass","Package":"m/p","Elapsed":8.3}
{"Action":"pass","Package":"m/q","Test":"TestOld","Elapsed":50}
{"Action":"output","Package":"m/q","Output":"ok  \tm/q\t(cached)\n"}
{"Action":"pass","Package":"m/q","Elapsed":0.1}
`
	var s summary
	var while, after strings.Builder
	if err := s.read(strings.NewReader(events), &while); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(while.String(), "0.1s (cached)\n") {
		t.Errorf("output does not say what is cached:\n%s", while.String())
	}
	s.printCost(&after, measured{"m/p": 9 * time.Second, "m/r": 500 * time.Millisecond}, cpuTable{"m/p": 7})
	want := `
processor time, and its row in .ci/maketest/cpu.txt:
  m/p                                                          9.0s     7
  m/r                                                          0.5s  none
  all                                                          9.5s

the tests that ran longest:
  p TestLong                                                             8.0s
  p TestShort                                                            0.2s
`
	if diff := cmp.Diff(want, after.String()); diff != "" {
		t.Errorf("cost (-want +got):\n%s", diff)
	}
}
