package sim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/topology"
)

// ErrNoEffect says that there was nothing to do.
var ErrNoEffect = errors.New("no effect")

// Do does an action that no step of the plan asks for, as a person does in a lab that
// stands, and answers what the engine must do, in order. The name is what the trace
// calls it. An error says why there was nothing to do: the plan has nobody to do it
// to, or the lab is in a state in which it has no effect (ErrNoEffect).
func (r *Run) Do(now time.Duration, name string, a topology.Action) ([]Order, error) {
	if err := r.checkStep(a); err != nil {
		return nil, err
	}
	// A step may be due at the same instant and has its orders in the same slice.
	before := r.orders
	r.orders = nil
	problem := r.act(now, name, a)
	orders := r.orders
	r.orders = before
	if problem != "" {
		return nil, fmt.Errorf("%s at node %q has %w: %s", a.Kind, a.Node, ErrNoEffect, problem)
	}
	return orders, nil
}

// Keys are those of all SAs that there were until now, for Wireshark.
func (r *Run) Keys() ([]capture.IKEKeys, []capture.ESPKeys) {
	return slices.Clone(r.ikeKeys), slices.Clone(r.espKeys)
}

// Drops are the packets that a node has given up until now, by reason.
func (r *Run) Drops(nodeIndex int) []DropCount { return r.nodes[nodeIndex].dropCounts() }
