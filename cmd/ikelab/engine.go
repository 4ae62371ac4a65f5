package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/virtual"
)

// engines are the names that --engine and --engines know: the one place where an engine is chosen.
var engines = []engineChoice{
	{name: "sim", make: func() sim.Engine { return virtual.Engine{} }, exact: true},
	netnsEngine,
	{name: "guest", absent: "it runs labs in a user-mode Linux with a virtual clock and comes with a later version"},
}

// engineChoice is one engine.
type engineChoice struct {
	name string
	// make makes the engine; nil for one that this version does not have, of which absent says the rest.
	make   func() sim.Engine
	absent string
	// exact engines have virtual time: two runs of one lab end after the same event.
	exact bool
}

// engineNamed finds a name in the table and refuses those that this version does not have.
func engineNamed(name string) (engineChoice, error) {
	var known []string
	for _, e := range engines {
		if e.name != name {
			known = append(known, e.name)
			continue
		}
		if e.make == nil {
			return engineChoice{}, usageError("engine %s: this version does not have it; %s. --engine sim runs the same lab in virtual time", name, e.absent)
		}
		return e, nil
	}
	return engineChoice{}, usageError("engine %q: want one of %s", name, strings.Join(known, ", "))
}

// engineError says that an engine gave up or could not begin.
func engineError(name string, err error) error {
	var unsupported *sim.UnsupportedError
	if errors.As(err, &unsupported) {
		return usageError("%w", err)
	}
	err = fmt.Errorf("engine %s: %w", name, err)
	if name == netnsEngine.name {
		return netnsError(context.Background(), err)
	}
	return internalError("%w", err)
}
