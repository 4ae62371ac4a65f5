package sim

import (
	"time"

	"github.com/ikelab/ikelab/sim/trace"
)

// recordHostDropped is the kind of the record that HostDropped writes.
const recordHostDropped = "host-dropped"

// DropHostQueueFull is the reason of packets that the host which runs the lab had no
// room for: it was too busy to take them from a node's device in time. Only engines in
// real time know it.
const DropHostQueueFull = "host-queue-full"

// HostDropped notes that so many packets of a node were lost in the host's own queues,
// behind a device of the node and before the link or the tunnel. No link has decided
// about them, and no seed can bring them back, so they are told apart from all others.
func (r *Run) HostDropped(now time.Duration, nodeIndex int, device string, count uint64) {
	state := &r.nodes[nodeIndex]
	state.dropped += count
	state.drops[DropHostQueueFull] += count
	r.record(now, nodeIndex, recordHostDropped, text("device", device), text("reason", DropHostQueueFull), trace.Uint("count", count))
}

// recordHostTrouble is the kind of the record that HostTrouble writes.
const recordHostTrouble = "host-trouble"

// HostTrouble is something that the host which runs the lab lacked, so that packets may
// have been lost that no link and no node gave up. Only engines in real time know it.
type HostTrouble struct {
	// Kind is a word for programs, Count how often it happened.
	Kind  string `json:"kind"`
	Count uint64 `json:"count"`
	// Means and Cure say to a person what it means, and what to do.
	Means string `json:"means"`
	Cure  string `json:"cure"`
}

// String is the trouble as a person reads it.
func (t HostTrouble) String() string { return t.Kind + ": " + t.Means + "; cure: " + t.Cure }

// HostTrouble notes such a lack. The result has it too.
func (r *Run) HostTrouble(now time.Duration, t HostTrouble) {
	r.trouble = append(r.trouble, t)
	r.record(now, -1, recordHostTrouble, text("kind", t.Kind), trace.Uint("count", t.Count))
}
