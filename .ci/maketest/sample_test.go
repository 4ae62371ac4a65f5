package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCensus follows a test binary with a child that it waits for, one that outlives it, and a linker.
func TestCensus(t *testing.T) {
	const goTest, linker, binary, child, holder = 10, 11, 12, 13, 14
	at := func(pid, parent int, seconds time.Duration) processStat {
		return processStat{processID{pid, uint64(pid)}, parent, seconds * time.Second}
	}
	folder := func(pid int) string {
		if pid == binary {
			return "/m/p"
		}
		return ""
	}
	c := newCensus()
	for _, moment := range []struct {
		what string
		all  []processStat
		want map[string]time.Duration
	}{
		{"a linker", []processStat{at(1, 0, 0), at(goTest, 1, 3), at(linker, goTest, 9)}, map[string]time.Duration{}},
		{"a test binary", []processStat{at(1, 0, 0), at(goTest, 1, 12), at(binary, goTest, 2)}, map[string]time.Duration{"/m/p": 2}},
		{"with a child", []processStat{at(1, 0, 0), at(goTest, 1, 12), at(binary, goTest, 3), at(child, binary, 4)}, map[string]time.Duration{"/m/p": 7}},
		{"that was waited for, and another", []processStat{at(1, 0, 0), at(goTest, 1, 12), at(binary, goTest, 7), at(holder, binary, 1)}, map[string]time.Duration{"/m/p": 8}},
		{"that goes away", []processStat{at(1, 0, 0), at(goTest, 1, 12), at(binary, goTest, 8), at(holder, 1, 2)}, map[string]time.Duration{"/m/p": 10}},
		{"and outlives the binary", []processStat{at(1, 0, 0), at(goTest, 1, 20), at(holder, 1, 5)}, map[string]time.Duration{"/m/p": 13}},
		{"until its number is another's", []processStat{at(1, 0, 0), at(goTest, 1, 20), {processID{holder, 99}, 1, time.Hour}}, map[string]time.Duration{"/m/p": 13}},
	} {
		c.look(moment.all, goTest, folder)
		want := map[string]time.Duration{}
		for k, v := range moment.want {
			want[k] = v * time.Second
		}
		if diff := cmp.Diff(want, c.folders()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", moment.what, diff)
		}
	}
}

func TestParseStat(t *testing.T) {
	const line = "77 (a ) test) S 42 77 42 0 -1 4194304 1 2 0 0 100 20 3 4 20 0 1 0 5555 1 1\n"
	want := processStat{processID{77, 5555}, 42, 1270 * time.Millisecond}
	if s, ok := parseStat(77, line); !ok || s != want {
		t.Errorf("%+v, %v; want %+v", s, ok, want)
	}
	for _, bad := range []string{"", "77 (x) S 1", "77 (x) S 1 2 3 4 5 6 7 8 9 10 a b c d 1 2 3 4 5 6"} {
		if s, ok := parseStat(77, bad); ok {
			t.Errorf("%q is %+v", bad, s)
		}
	}
}
