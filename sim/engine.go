package sim

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
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

// Order is something that an engine must carry out at once. Exactly one of Input,
// Link, Life and Process says what, but for a change of addresses, which has both
// Addresses, for what holds a node's addresses, and Input, for the node. A node that
// is dead takes no Input: engines throw it away.
type Order struct {
	Node int // index in the plan
	// Input is to be handed to the node.
	Input node.Input
	// Link takes the link at an interface away or brings it back.
	Link *LinkChange
	// Addresses replaces an interface's addresses. Input is then the node.AddressChange
	// that says the same, for engines whose nodes are not told by a kernel.
	Addresses *AddressesChange
	// Life ends the node's life or begins its next one.
	Life *LifeChange
	// Process starts or ends a command in the node's place.
	Process *ProcessChange
}

// LinkChange takes the link at an interface away or brings it back.
type LinkChange struct {
	Interface int // index in the node
	Up        bool
}

// AddressesChange replaces the addresses of an interface. Packets for one that nobody
// has any more find nobody; those for a new one arrive.
type AddressesChange struct {
	Interface     int // index in the node
	Before, After []netip.Prefix
}

// LifeChange ends the life of a node as kill -9 ends a process: nothing is sent, and
// its IKE and ESP state is gone. Or it begins the node's next life. Addresses and the
// state of links are the host's and outlast the process.
type LifeChange struct {
	// Life is the number of the life that ends or begins, from 1.
	Life int
	// Config is what the node begins with, nil for the end of a life. Its interfaces
	// are in the state, and have the addresses, that they have by now.
	Config *node.Config
}

// ProcessDo is what becomes of a process.
type ProcessDo uint8

const (
	// ProcessStart starts it. The engine reports by Run.ProcessStarted, or by
	// Run.ProcessFailed when it cannot.
	ProcessStart ProcessDo = iota + 1
	// ProcessTerminate and ProcessKill send it SIGTERM and SIGKILL. They come for
	// processes only that the engine has not reported as over.
	ProcessTerminate
	ProcessKill
)

// ProcessChange starts a process of the plan, or ends it.
type ProcessChange struct {
	Process int // index in the plan
	Do      ProcessDo
}

// UnsupportedError says that an engine does not carry what a lab uses. It is about the
// lab and not about this host, and comes before anything was started.
type UnsupportedError struct {
	// Engine is the engine's name on the command line.
	Engine string
	// Uses are the places, at least one.
	Uses []topology.Use
	// Why says why the engine cannot, Remedy what to do, each a sentence's part.
	Why, Remedy string
}

// unsupportedShownMax bounds the places that the message names.
const unsupportedShownMax = 5

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	for i, u := range e.Uses {
		if i == unsupportedShownMax {
			fmt.Fprintf(&b, ", and %d more", len(e.Uses)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(u.String())
	}
	return fmt.Sprintf("engine %s does not carry what the lab uses: %s: %s; %s", e.Engine, b.String(), e.Why, e.Remedy)
}

// Refuse answers an *UnsupportedError for the places at which a plan uses one of the
// features, nil when there is none. An engine calls it before it begins.
func Refuse(p *topology.Plan, engine, why, remedy string, features ...topology.Feature) error {
	var uses []topology.Use
	for _, u := range p.Uses() {
		if slices.Contains(features, u.Feature) {
			uses = append(uses, u)
		}
	}
	if len(uses) == 0 {
		return nil
	}
	return &UnsupportedError{Engine: engine, Uses: uses, Why: why, Remedy: remedy}
}
