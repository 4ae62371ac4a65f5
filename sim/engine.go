package sim

import (
	"context"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
)

// Engine carries a run out: sim/virtual in virtual time, later ones on real
// sockets.
type Engine interface {
	// Run takes a fresh Run to its end and answers its result. When the context
	// is cancelled the result says Interrupted and the error is nil; when the
	// engine gives up, the result says Stopped and the error wraps the reason.
	// A run is for one engine, once.
	Run(ctx context.Context, r *Run, opt EngineOptions) (*Result, error)
}

// EngineOptions are what a caller may want of any engine. The zero value wants
// nothing.
type EngineOptions struct {
	// Progress, if not nil, is called now and then, from the engine's own
	// goroutine, and once at the end.
	Progress func(Progress)
	// Tap, if not nil, sees every packet at every link end.
	Tap Tap
}

// Progress is how far a run has come.
type Progress struct {
	// Now is the run's instant, Until when it will end.
	Now, Until time.Duration
	// Events counts what the engine carried out.
	Events uint64
	// Established counts the IKE SAs that stand, as seen by both ends.
	Established int
}

// Tap sees packets at link ends, as tcpdump would on the node's interface: those
// that leave (up) when they leave, also those the link then loses; those that
// arrive (down) when they arrive.
type Tap interface {
	// Packet gets a whole IP packet, which it must not keep or change. The node
	// and the interface are indices into the plan.
	Packet(at time.Duration, node, iface int, direction impair.Direction, packet []byte)
}

// Order is something that an engine must carry out at once: hand Input to a
// node, or, when Link is not nil, take a link up or down.
type Order struct {
	Node  int // index in the plan
	Input node.Input
	Link  *LinkChange
}

// LinkChange takes the link at an interface away or brings it back.
type LinkChange struct {
	Interface int // index in the node
	Up        bool
}
