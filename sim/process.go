package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

const (
	// ProcessOutputBytesMax bounds what is kept of a process's standard output, and
	// of its standard error: the first half and the last.
	ProcessOutputBytesMax = 64 << 10
	// processGrace is how long a process has to end after SIGTERM, before SIGKILL.
	processGrace = 2 * time.Second
)

// process is a process of the plan while the lab runs.
type process struct {
	topology.Process
	node int
	// ordered says that its start was ordered or is no longer to be; started, over
	// and failed are what the engine reported.
	ordered, started, over, failed bool
	startedAt, endedAt             time.Duration
	status                         int
	problem                        string
	// stopping says that it was asked to end.
	stopping            bool
	output, errorOutput boundedText
}

// ProcessStream is one of a process's two outputs.
type ProcessStream uint8

const (
	ProcessOutput ProcessStream = iota + 1
	ProcessErrorOutput
)

// addProcesses puts the plan's processes on the timeline.
func (r *Run) addProcesses() error {
	for i, p := range r.plan.Processes {
		n, ok := r.byName[p.Node]
		if !ok {
			return fmt.Errorf("process %q: there is no node %q", p.Name, p.Node)
		}
		if len(p.Command) == 0 || p.Command[0] == "" {
			return fmt.Errorf("process %q: it has no command", p.Name)
		}
		r.processes = append(r.processes, process{Process: p, node: n})
		if p.On != nil {
			r.waiting = append(r.waiting, waiting{due: due{at: p.After, kind: dueProcessStart, index: i}, on: *p.On})
		} else {
			r.timeline.add(due{at: p.Start, kind: dueProcessStart, index: i})
		}
		if p.Stop > 0 {
			r.timeline.add(due{at: p.Stop, kind: dueProcessStop, index: i})
		}
	}
	return nil
}

// processDue starts a process or makes it end.
func (r *Run) processDue(now time.Duration, d due) {
	p := &r.processes[d.index]
	order := func(do ProcessDo) {
		r.orders = append(r.orders, Order{Node: p.node, Process: &ProcessChange{Process: d.index, Do: do}})
	}
	switch {
	case d.kind == dueProcessStart:
		if !p.ordered {
			p.ordered = true
			order(ProcessStart)
		}
	case d.kind == dueProcessStop && !p.ordered:
		p.ordered = true // it does not start any more
	case p.over || p.failed || !p.ordered || d.kind == dueProcessStop && p.stopping:
	case d.kind == dueProcessKill:
		order(ProcessKill)
	case !p.stopping:
		p.stopping = true
		order(ProcessTerminate)
		r.timeline.add(due{at: now + processGrace, kind: dueProcessKill, index: d.index})
	}
}

// ProcessStarted notes that a process of the plan runs.
func (r *Run) ProcessStarted(now time.Duration, index int) {
	p := &r.processes[index]
	if p.started || p.failed {
		return
	}
	p.started, p.startedAt = true, now
	if p.Timeout > 0 {
		r.timeline.add(due{at: now + p.Timeout, kind: dueProcessTimeout, index: index})
	}
	r.happened(now, p.node, recordProcStarted, text("process", p.Name))
}

// ProcessWrote takes what a process wrote. The bytes are not kept.
func (r *Run) ProcessWrote(now time.Duration, index int, stream ProcessStream, b []byte) {
	p := &r.processes[index]
	if stream == ProcessErrorOutput {
		p.errorOutput.add(b)
	} else {
		p.output.add(b)
	}
	r.changed(now)
}

// ProcessExited notes that a process is over, after everything that it wrote. The
// status is its own, or 128 and the number of the signal that ended it, as shells
// have it.
func (r *Run) ProcessExited(now time.Duration, index, status int) {
	p := &r.processes[index]
	if p.over || p.failed {
		return
	}
	p.over, p.endedAt, p.status = true, now, status
	r.happened(now, p.node, recordProcExited, text("process", p.Name), trace.Int("status", status),
		trace.Uint("output_bytes", p.output.bytes), trace.Uint("error_output_bytes", p.errorOutput.bytes))
}

// ProcessFailed notes that a process could not be started, and why; the status is
// 127 for a command that does not exist, 126 for another reason, as shells have it.
func (r *Run) ProcessFailed(now time.Duration, index, status int, problem string) {
	p := &r.processes[index]
	if p.started || p.failed {
		return
	}
	p.failed, p.endedAt, p.status, p.problem = true, now, status, problem
	r.happened(now, p.node, recordProcExited, text("process", p.Name), trace.Int("status", status), text("problem", problem))
}

// duration is how long a process ran, or has run until now.
func (p *process) duration(now time.Duration) time.Duration {
	switch {
	case !p.started:
		return 0
	case p.over:
		return p.endedAt - p.startedAt
	}
	return now - p.startedAt
}

// measured is what expectations see of a process.
func (p *process) measured(now time.Duration) topology.ProcessResult {
	errorOutput := p.errorOutput.String()
	if p.failed {
		errorOutput = p.problem
	}
	return topology.ProcessResult{
		Started: p.started, Running: p.started && !p.over, StartedAt: p.startedAt, Duration: p.duration(now),
		Exited: p.over || p.failed, ExitStatus: p.status, Output: p.output.String(), ErrorOutput: errorOutput,
	}
}

// processResults are the same values for the Result.
func (r *Run) processResults(now time.Duration) []ProcessResult {
	var out []ProcessResult
	for i := range r.processes {
		p := &r.processes[i]
		out = append(out, ProcessResult{
			Name: p.Name, Node: p.Node, Command: slices.Clone(p.Command),
			Started: p.started, StartedAt: p.startedAt, Running: p.started && !p.over, Duration: p.duration(now),
			Exited: p.over || p.failed, ExitStatus: p.status, Problem: p.problem, Stopped: p.stopping,
			Output: p.output.String(), OutputBytes: p.output.bytes,
			ErrorOutput: p.errorOutput.String(), ErrorOutputBytes: p.errorOutput.bytes,
		})
	}
	return out
}

// boundedText is a text that may be long: its beginning and its end.
type boundedText struct {
	head, tail []byte
	bytes      uint64
	// shown is the text as it was when it had shownBytes bytes.
	shown      string
	shownBytes uint64
}

// add appends to the text.
func (t *boundedText) add(b []byte) {
	const half = ProcessOutputBytesMax / 2
	t.bytes += uint64(len(b))
	n := min(half-len(t.head), len(b))
	t.head, b = append(t.head, b[:n]...), b[n:]
	if len(b) > half {
		b = b[len(b)-half:]
	}
	if over := len(t.tail) + len(b) - half; over > 0 {
		t.tail = slices.Delete(t.tail, 0, over)
	}
	t.tail = append(t.tail, b...)
}

// String is the text, in UTF-8, with a line in it that says how much is left out.
func (t *boundedText) String() string {
	if t.shownBytes == t.bytes {
		return t.shown
	}
	s := string(t.head)
	if omitted := t.bytes - uint64(len(t.head)+len(t.tail)); omitted > 0 {
		s += fmt.Sprintf("\n… %d bytes left out …\n", omitted)
	}
	t.shown, t.shownBytes = strings.ToValidUTF8(s+string(t.tail), "\uFFFD"), t.bytes
	return t.shown
}
