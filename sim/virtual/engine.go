package virtual

import (
	"context"
	"errors"

	"github.com/ikelab/ikelab/sim"
)

// EventsMax is how many events a run may have where Engine does not say.
const EventsMax = 2_000_000_000

// ErrEventBudget says that a run had more events than its engine allows, as a
// routing loop or a lab far too large makes it have.
var ErrEventBudget = errors.New("event budget exhausted")

// Engine runs labs in virtual time. The zero value is ready; one Engine may run
// several labs, each on one goroutine.
type Engine struct {
	// EventsMax bounds the events of a run, 0 for the constant EventsMax.
	EventsMax uint64
}

var _ sim.Engine = Engine{}

// Run implements sim.Engine.
func (e Engine) Run(ctx context.Context, r *sim.Run, opt sim.EngineOptions) (*sim.Result, error) {
	return nil, nil
}
