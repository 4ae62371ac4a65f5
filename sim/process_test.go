package sim

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/topology"
)

// ordered lists the orders about processes that a run gives at an instant.
func ordered(r *Run, now time.Duration) string {
	var all []string
	for _, o := range r.Step(now) {
		if o.Process != nil {
			do := map[ProcessDo]string{ProcessStart: "start", ProcessTerminate: "terminate", ProcessKill: "kill"}[o.Process.Do]
			all = append(all, do+" "+r.Plan().Processes[o.Process.Process].Name+" at "+r.Plan().Nodes[o.Node].Name)
		}
	}
	return strings.Join(all, ", ")
}

// TestProcesses: who starts and ends when, what is known of it, and in what order.
func TestProcesses(t *testing.T) {
	r := loadRun(t, livesLab+`
process "short" {
  node    = node.a
  command = ["true"]
  start   = "1s"
  stop    = "9s"
}
process "deaf" {
  node    = node.b
  command = ["sleep", "100"]
  start   = "1s"
  stop    = "3s"
}
process "slow" {
  node    = node.host
  command = ["sleep", "100"]
  start   = "1s"
  timeout = "5s"
}
process "after" {
  node    = node.host
  command = ["cat"]
  stdin   = "hello"
  on      = { event = "process-exited", node = node.a }
  after   = "500ms"
}
process "late" {
  node    = node.host
  command = ["true"]
  on      = { event = "process-exited", node = node.host, nth = 2 }
  stop    = "4s"
}
process "missing" {
  node    = node.host
  command = ["no-such-command"]
  start   = "2s"
}
`)
	const second = time.Second
	index := map[string]int{"short": 0, "deaf": 1, "slow": 2, "after": 3, "late": 4, "missing": 5}
	want := func(now time.Duration, orders string) {
		t.Helper()
		if got := ordered(r, now); got != orders {
			t.Errorf("at %v: %q, want %q", now, got, orders)
		}
	}
	want(0, "")
	want(second, "start short at a, start deaf at b, start slow at host")
	if m := r.processes[0].measured(second); m.Started || m.Running || m.Exited {
		t.Errorf("ordered and not started: %+v", m)
	}
	for _, name := range []string{"short", "deaf", "slow"} {
		r.ProcessStarted(second, index[name])
	}
	r.ProcessWrote(second, index["short"], ProcessOutput, []byte("one "))
	r.ProcessWrote(second, index["short"], ProcessOutput, []byte("two"))
	r.ProcessWrote(second, index["short"], ProcessErrorOutput, []byte("bad \xff"))
	r.ProcessExited(1500*time.Millisecond, index["short"], 3)
	r.ProcessExited(1600*time.Millisecond, index["short"], 4) // an engine says it twice
	wantResult := topology.ProcessResult{Started: true, StartedAt: second, Exited: true, ExitStatus: 3, Duration: second / 2, Output: "one two", ErrorOutput: "bad \uFFFD"}
	if d := cmp.Diff(wantResult, r.processes[0].measured(8*second)); d != "" {
		t.Errorf("short (-want +got):\n%s", d)
	}
	want(2*second, "start after at host, start missing at host")
	r.ProcessStarted(2*second, index["after"])
	r.ProcessFailed(2*second, index["missing"], 127, "there is no command no-such-command")
	if m := r.processes[5].measured(3 * second); m.Started || !m.Exited || m.ExitStatus != 127 || !strings.Contains(m.ErrorOutput, "no-such-command") {
		t.Errorf("missing: %+v", m)
	}
	want(3*second, "terminate deaf at b")
	want(4*second, "") // late never starts, though its event comes
	want(5*second, "kill deaf at b")
	r.ProcessExited(5*second, index["deaf"], 137)
	r.ProcessExited(5*second, index["after"], 0)
	want(6*second, "terminate slow at host")
	r.ProcessExited(6*second, index["slow"], 143)
	want(20*second, "")

	result := r.Finish(20*second, 0, false, "")
	var states []string
	for _, p := range result.Processes {
		states = append(states, fmt.Sprintf("%s %s %d %v %v", p.Name, p.Node, p.ExitStatus, p.Started, p.Stopped))
	}
	if d := cmp.Diff([]string{"short a 3 true false", "deaf b 137 true true", "slow host 143 true true", "after host 0 true false",
		"late host 0 false false", "missing host 127 false false"}, states); d != "" {
		t.Errorf("results (-want +got):\n%s", d)
	}
	counts := map[string]uint64{}
	for _, c := range result.EventCounts {
		counts[c.Event+" "+c.Node] = c.Count
	}
	if counts["process-started host"] != 2 || counts["process-exited host"] != 3 || counts["process-exited a"] != 1 {
		t.Errorf("events: %v", counts)
	}
}

// TestProcessesRunning: one that runs has no exit status, and its duration grows.
func TestProcessesRunning(t *testing.T) {
	r := loadRun(t, livesLab+`
process "server" {
  node    = node.a
  command = ["sleep", "100"]
}
expect "it runs" {
  condition = result.process.server.running && result.process.server.duration == 19
}
expect "it has no status" {
  condition = !can(result.process.server.exit_status == 0)
}
`)
	if got := ordered(r, 0); got != "start server at a" {
		t.Fatal(got)
	}
	r.ProcessStarted(time.Second, 0)
	result := r.Finish(20*time.Second, 0, false, "")
	if e := result.Expectations[0]; !e.Pass {
		t.Errorf("%+v", e)
	}
	if e := result.Expectations[1]; e.Pass || !strings.Contains(e.Why, "exit_status") {
		t.Errorf("%+v", e)
	}
	if p := result.Processes[0]; !p.Running || p.Exited || p.Duration != 19*time.Second {
		t.Errorf("%+v", p)
	}
}

// TestNewChecksProcesses: a plan that no file made is checked all the same.
func TestNewChecksProcesses(t *testing.T) {
	plan, _ := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(livesLab)}}, "lab.hcl", nil)
	for want, p := range map[string]topology.Process{
		`there is no node "x"`: {Name: "p", Node: "x", Command: []string{"true"}},
		"it has no command":    {Name: "p", Node: "a"},
	} {
		plan.Processes = []topology.Process{p}
		if _, err := New(plan, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// TestBoundedText: short texts stay whole; of long ones the beginning and the end do,
// however they come.
func TestBoundedText(t *testing.T) {
	const half = ProcessOutputBytesMax / 2
	rapid.Check(t, func(t *rapid.T) {
		whole := []byte(strings.Repeat("0123456789", rapid.IntRange(0, 30_000).Draw(t, "length")))
		var text boundedText
		for rest := whole; len(rest) > 0; {
			n := min(rapid.SampledFrom([]int{1000, 1, 7, 65536, 200_000, half}).Draw(t, "piece"), len(rest))
			n = max(n, len(rest)/100)
			text.add(rest[:n])
			rest = rest[n:]
		}
		got := text.String()
		if len(whole) <= ProcessOutputBytesMax {
			if got != string(whole) {
				t.Fatalf("%d bytes became %d", len(whole), len(got))
			}
			return
		}
		marker := fmt.Sprintf("\n… %d bytes left out …\n", len(whole)-ProcessOutputBytesMax)
		if want := string(whole[:half]) + marker + string(whole[len(whole)-half:]); got != want {
			t.Fatalf("%d bytes became %d, want %d", len(whole), len(got), len(want))
		}
	})
}
