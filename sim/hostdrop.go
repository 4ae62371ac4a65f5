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
