package sim

import (
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// Options of a run. The zero value runs the lab as it stands.
type Options struct {
	// Seed replaces the lab's seed.
	Seed *uint64
	// Until ends the run earlier than the lab's duration, 0 for the duration.
	Until time.Duration
	// Trace says what the run's trace keeps and where it goes besides.
	Trace trace.Options
}

// Run is one run of a lab. An engine drives it; it is not safe for concurrent
// use.
type Run struct {
	plan  *topology.Plan
	until time.Duration
}

// New prepares a run of a plan. An error means that the plan cannot be run, and
// says why and what to do.
func New(plan *topology.Plan, opt Options) (*Run, error) { return &Run{}, nil }

// Plan is what the run was made from. Nodes and interfaces are known by their
// index in it.
func (r *Run) Plan() *topology.Plan { return r.plan }

// Until is the instant at which the run ends. What falls on it does not happen
// any more.
func (r *Run) Until() time.Duration { return r.until }

// Nodes are the configurations of the plan's nodes, in its order.
func (r *Run) Nodes() []node.Config { return nil }

// Draw is the source of what links decide by chance.
func (r *Run) Draw() impair.Draw { return nil }

// Trace is the run's trace so far.
func (r *Run) Trace() *trace.Writer { return nil }

// Deadline is the next instant at which the run itself has something to do; ok
// is false when there is none before the end.
func (r *Run) Deadline() (at time.Duration, ok bool) { return 0, false }

// Step does what is due at now and answers what the engine must do, in order.
// The slice is valid until the next call.
func (r *Run) Step(now time.Duration) []Order { return nil }

// Observe takes one output of a node: packets that leave are looked at, not sent.
func (r *Run) Observe(now time.Duration, nodeIndex int, out node.Output) {}

// Transit sees a packet at a link's end: going up when it leaves its node, going
// down when it is about to enter it. drop says why the link dropped it, empty
// for a packet that goes on; a packet dropped on its way down is seen when it is
// dropped. The bytes are not kept.
func (r *Run) Transit(now time.Duration, nodeIndex, iface int, direction impair.Direction, packet []byte, drop string) {
}

// Finish ends the run, early if it was interrupted or stopped is not empty, and
// answers its result.
func (r *Run) Finish(now time.Duration, events uint64, interrupted bool, stopped string) *Result {
	return nil
}
