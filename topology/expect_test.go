package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// judgedLab is two nodes with a connection, and a flow between them.
const judgedLab = `
lab "judged" { duration = "10s" }
network "lan" { prefix = "10.1.0.0/16" }
node "a" {
  interface "lan" { network = network.lan }
  connection "to-b" {
    remote_addrs = [node.b[0].interface.lan]
    child "net" {}
  }
}
node "b" {
  count = 1
  interface "lan" { network = network.lan }
}
secret "psk" { secret = "x" }
flow "call" {
  from = node.a
  to   = node.b[0]
  rate = "50pps"
}
flow "many" {
  count = 2
  from  = node.a
  to    = node.b[0]
}
process "run" {
  for_each = ["done", "going", "never"]
  node     = node.a
  command  = ["true"]
}
`

// judgedResults is what a run might have measured.
func judgedResults() Results {
	return Results{
		Now: 10 * time.Second,
		Flows: []FlowResult{
			{Sent: 100, Received: 97, Lost: 3, SentBytes: 6400, LongestGap: 1230 * time.Millisecond, HasDelay: true,
				DelayMin: 10 * time.Millisecond, DelayMean: 11 * time.Millisecond, DelayMax: 34567 * time.Microsecond, DelayP50: 11 * time.Millisecond, DelayP99: 30 * time.Millisecond},
			{Sent: 5},
			{Sent: 5, Received: 5},
		},
		Connections: []ConnectionResult{{Failed: "AUTHENTICATION_FAILED", FailedCount: 1, Attempts: 1, Children: []ChildResult{{PacketsIn: 7}}}},
		Nodes:       []NodeResult{{Dropped: 4}, {}},
		Processes: []ProcessResult{
			{Started: true, StartedAt: time.Second, Exited: true, ExitStatus: 143, Duration: 1500 * time.Millisecond,
				Output: `{"end": {"bits": 5e6}}`, ErrorOutput: strings.Repeat("x", 500)},
			{Started: true, Running: true, StartedAt: 2 * time.Second, Duration: 8 * time.Second},
			{},
		},
	}
}

// TestExpectations judges one condition at a time.
func TestExpectations(t *testing.T) {
	for _, test := range []struct {
		name, block string
		want        Verdict
	}{
		{"holds", `condition = result.flow.call.received > 90`,
			Verdict{Pass: true, Operands: []Operand{{"result.flow.call.received", "97"}, {"90", "90"}}}},
		{"fails with both operands", `condition = result.flow.call.lost == 0`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{{"result.flow.call.lost", "3"}, {"0", "0"}}}},
		{"fails with a message", `
			condition     = result.flow.call.longest_gap < duration("500ms")
			error_message = "silent for ${humanize(result.flow.call.longest_gap)}"`,
			Verdict{Message: "silent for 1.23s", Operands: []Operand{{"result.flow.call.longest_gap", "1.23s"}, {`duration("500ms")`, "500ms"}}}},
		{"no samples", `
			condition     = result.flow.many[0].delay_max < duration("1s")
			error_message = "delay ${result.flow.many[0].delay_max}"`,
			Verdict{NoSamples: true, Message: "nothing was measured of result.flow.many[0].delay_max",
				Operands: []Operand{{"result.flow.many[0].delay_max", "no samples"}, {`duration("1s")`, "1s"}}}},
		{"a share of nothing", `condition = result.flow.many[0].loss < 0.1`,
			Verdict{NoSamples: true, Message: "nothing was measured of result.flow.many[0].loss",
				Operands: []Operand{{"result.flow.many[0].loss", "no samples"}, {"0.1", "0.1"}}}},
		{"a share", `condition = result.flow.call.loss <= 0.03`,
			Verdict{Pass: true, Operands: []Operand{{"result.flow.call.loss", "0.03"}, {"0.03", "0.03"}}}},
		{"an expected failure", `condition = result.node.a.connection.to-b.failed == "AUTHENTICATION_FAILED"`,
			Verdict{Pass: true, Operands: []Operand{{"result.node.a.connection.to-b.failed", `"AUTHENTICATION_FAILED"`}, {`"AUTHENTICATION_FAILED"`, `"AUTHENTICATION_FAILED"`}}}},
		{"never established", `condition = result.node.a.connection.to-b.established_at < 3`,
			Verdict{NoSamples: true, Message: "nothing was measured of result.node.a.connection.to-b.established_at",
				Operands: []Operand{{"result.node.a.connection.to-b.established_at", "no samples"}, {"3", "3s"}}}},
		{"a truth value", `condition = result.node.a.connection.to-b.established`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{{"result.node.a.connection.to-b.established", "false"}}}},
		{"a negation", `condition = !result.node.a.connection.to-b.established`,
			Verdict{Pass: true, Operands: []Operand{{"result.node.a.connection.to-b.established", "false"}}}},
		{"two conditions", `condition = result.flow.call.received > 90 && result.node.a.dropped == 0`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{
				{"result.flow.call.received", "97"}, {"90", "90"}, {"result.node.a.dropped", "4"}, {"0", "0"}}}},
		{"what fails settles what has no samples", `condition = result.flow.call.received > 98 && result.flow.many[0].delay_max < 1`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{
				{"result.flow.call.received", "97"}, {"98", "98"}, {"result.flow.many[0].delay_max", "no samples"}, {"1", "1s"}}}},
		{"over a collection", `condition = alltrue([for f in result.flow.many : f.received > 0])`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{{"[for f in result.flow.many : f.received > 0]", "[false, true]"}}}},
		{"a sum over a splat", `condition = sum(result.flow.many[*].sent) == 10`,
			Verdict{Pass: true, Operands: []Operand{{"sum(result.flow.many[*].sent)", "10"}, {"10", "10"}}}},
		{"configuration beside results", `condition = result.flow.call.sent <= flow.call.rate * result.now`,
			Verdict{Pass: true, Operands: []Operand{{"result.flow.call.sent", "100"}, {"flow.call.rate * result.now", "500"}}}},
		{"a child", `condition = result.node.a.connection.to-b.child.net.packets_in == 7`,
			Verdict{Pass: true, Operands: []Operand{{"result.node.a.connection.to-b.child.net.packets_in", "7"}, {"7", "7"}}}},
		{"an index from a loop", `condition = alltrue([for i in range(2) : result.flow.many[i].sent == 5])`,
			Verdict{Pass: true, Operands: []Operand{{"[for i in range(2) : result.flow.many[i].sent == 5]", "[true, true]"}}}},
		{"an exit status", `condition = result.process.run.done.exit_status == 143`,
			Verdict{Pass: true, Operands: []Operand{{"result.process.run.done.exit_status", "143"}, {"143", "143"}}}},
		{"no exit status yet", `condition = result.process.run.going.exit_status == 0`,
			Verdict{NoSamples: true, Message: "nothing was measured of result.process.run.going.exit_status",
				Operands: []Operand{{"result.process.run.going.exit_status", "no samples"}, {"0", "0"}}}},
		{"running", `condition = result.process.run.going.running && !result.process.run.done.running && !result.process.run.never.running`,
			Verdict{Pass: true, Operands: []Operand{{"result.process.run.going.running", "true"},
				{"result.process.run.done.running", "false"}, {"result.process.run.never.running", "false"}}}},
		{"how long", `condition = result.process.run.done.duration > result.process.run.going.started_at`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{
				{"result.process.run.done.duration", "1.5s"}, {"result.process.run.going.started_at", "2s"}}}},
		{"never started", `condition = result.process.run.never.started_at > 0`,
			Verdict{NoSamples: true, Message: "nothing was measured of result.process.run.never.started_at",
				Operands: []Operand{{"result.process.run.never.started_at", "no samples"}, {"0", "0s"}}}},
		{"output as JSON", `condition = jsondecode(result.process.run.done.output).end.bits > rate("1mbit")`,
			Verdict{Pass: true, Operands: []Operand{{"jsondecode(result.process.run.done.output).end.bits", "5000000"}, {`rate("1mbit")`, "1000000"}}}},
		{"output that is no JSON", `condition = jsondecode(result.process.run.never.output).end.bits > 1`,
			Verdict{Message: `the condition cannot be evaluated: Error in function call: Call to function "jsondecode" failed: EOF.`,
				Operands: []Operand{{"jsondecode(result.process.run.never.output).end.bits", `Error in function call: Call to function "jsondecode" failed: EOF.`}, {"1", "1"}}}},
		{"long output", `condition = strcontains(result.process.run.done.error_output, "y")`,
			Verdict{Message: "the condition does not hold", Operands: []Operand{{"result.process.run.done.error_output",
				`"` + strings.Repeat("x", 120) + `" … 100 characters … "` + strings.Repeat("x", 280) + `"`}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, d := loadText(t, judgedLab+"expect \"it\" {\n"+test.block+"\n}\n", nil)
			if d.Len() > 0 {
				t.Fatal(d.All())
			}
			if diff := cmp.Diff(test.want, p.Expectations[0].Evaluate(judgedResults())); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExpectationModes reads after, within and always.
func TestExpectationModes(t *testing.T) {
	for _, test := range []struct {
		block    string
		mode     string
		from, at time.Duration
	}{
		{"", ModeEnd, 0, 10 * time.Second},
		{`after = "2s"`, ModeAfter, 0, 2 * time.Second},
		{`within = "3s"`, ModeWithin, 0, 3 * time.Second},
		{"after = \"2s\"\nwithin = \"3s\"", ModeWithin, 2 * time.Second, 5 * time.Second},
		{"always = true", ModeAlways, 0, 10 * time.Second},
		{"always = true\nafter = \"2s\"", ModeAlways, 2 * time.Second, 10 * time.Second},
		{"always = false", ModeEnd, 0, 10 * time.Second},
	} {
		p, d := loadText(t, judgedLab+"expect \"it\" {\ncondition = result.flow.call.sent > 0\n"+test.block+"\n}\n", nil)
		if d.Len() > 0 {
			t.Fatal(d.All())
		}
		e := p.Expectations[0]
		if e.Mode != test.mode || e.From != test.from || e.At != test.at {
			t.Errorf("%q: mode %s from %v at %v, want %s from %v at %v", test.block, e.Mode, e.From, e.At, test.mode, test.from, test.at)
		}
	}
}

// TestWatches: selectors are found before the run, each once, and answered after it.
func TestWatches(t *testing.T) {
	p, d := loadText(t, judgedLab+`
expect "count" {
  condition = event_count({ event = "retransmit", node = node.a }) <= 2
}
expect "time" {
  condition = event_time({ event = "ike-established", connection = node.a.connection.to-b, nth = 2 }) < event_time({ event = "ike-init" })
}
expect "again" {
  condition = alltrue([for n in [node.a, node.b[0]] : event_count({ event = "retransmit", node = n }) < 5])
}
`, nil)
	if d.Len() > 0 {
		t.Fatal(d.All())
	}
	want := []Selector{
		{Event: "retransmit", Node: "a", Nth: 1},
		{Event: "ike-established", Node: "a", Connection: "to-b", Nth: 2},
		{Event: "ike-init", Nth: 1},
		{Event: "retransmit", Node: "b-0", Nth: 1},
	}
	if diff := cmp.Diff(want, p.Watches); diff != "" {
		t.Fatalf("watches (-want +got):\n%s", diff)
	}
	r := judgedResults()
	r.Watches = []WatchResult{{Count: 3, At: time.Second}, {Count: 1, At: time.Second}, {Count: 1, At: 2 * time.Second}, {}}
	for i, want := range []Verdict{
		{Message: "the condition does not hold", Operands: []Operand{{`event_count({ event = "retransmit", node = node.a })`, "3"}, {"2", "2"}}},
		{NoSamples: true,
			Message: `nothing was measured of event_time({ event = "ike-established", connection = node.a.connection.to-b, nth = 2 })`,
			Operands: []Operand{
				{`event_time({ event = "ike-established", connection = node.a.connection.to-b, nt…`, "no samples"},
				{`event_time({ event = "ike-init" })`, "2s"}}},
		{Pass: true, Operands: []Operand{{`[for n in [node.a, node.b[0]] : event_count({ event = "retransmit", node = n })…`, "[true, true]"}}},
	} {
		got := p.Expectations[i].Evaluate(r)
		if i == 1 {
			want.Message = "nothing was measured of " + want.Operands[0].Text
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Expectations[i].Name, diff)
		}
	}
}
