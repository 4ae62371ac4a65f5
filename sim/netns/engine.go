//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim"
)

// progressInterval is how often, in wall time, progress is reported.
const progressInterval = 100 * time.Millisecond

// Engine runs labs in network namespaces. The zero value is ready, and may run
// several labs at a time.
type Engine struct {
	// Decided is Options.Decided.
	Decided func(Decision)
}

var _ sim.Engine = Engine{}

// Run implements sim.Engine: it builds the lab, carries the run out in real time and
// removes the lab.
func (e Engine) Run(ctx context.Context, r *sim.Run, opt sim.EngineOptions) (*sim.Result, error) {
	l, err := Create(r, Options{Tap: opt.Tap, Decided: e.Decided})
	if err != nil {
		return nil, err
	}
	l.Start()
	result, err := l.Drive(ctx, opt.Progress)
	return result, errors.Join(err, l.Close())
}

// Drive carries the run out until it ends or the context is cancelled, and answers
// its result as sim.Engine.Run does. progress may be nil.
func (l *Lab) Drive(ctx context.Context, progress func(sim.Progress)) (*sim.Result, error) {
	until := l.run.Until()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var reported time.Time
	for {
		l.mu.Lock()
		now := l.tick()
		var orders []sim.Order
		if now < until {
			orders = slices.Clone(l.run.Step(now)) // the run's own slice is used again
			l.follow(orders)
		}
		established := l.run.Established()
		l.mu.Unlock()
		if progress != nil && time.Since(reported) >= progressInterval {
			reported = time.Now()
			progress(sim.Progress{Now: min(now, until), Until: until, Events: l.box.events.Load(), Established: established})
		}
		for _, o := range orders {
			if err := l.carryOut(o); err != nil {
				return l.finish(min(l.clock(), until), progress, false, err)
			}
		}
		if now >= until {
			return l.finish(until, progress, false, nil)
		}
		timer.Reset(l.arm(until))
		select {
		case <-timer.C:
		case <-l.kick:
		case err := <-l.failure:
			return l.finish(min(l.clock(), until), progress, false, err)
		case <-l.box.stopped:
			return l.finish(min(l.clock(), until), progress, false, l.box.err)
		case <-ctx.Done():
			return l.finish(min(l.clock(), until), progress, true, nil)
		}
	}
}

// arm answers how long there is nothing to do.
func (l *Lab) arm(until time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := until
	if due, ok := l.run.Deadline(); ok {
		at = min(at, due)
	}
	now := l.tick()
	at = min(at, now+progressInterval)
	l.armed = at
	return at - now
}

// finish ends the run.
func (l *Lab) finish(now time.Duration, progress func(sim.Progress), interrupted bool, err error) (*sim.Result, error) {
	lost := l.Unseen()
	overrun := l.overruns()
	frames, held := l.underWay()
	trouble := l.trouble()
	// Whoever is in the middle of something is seen to its end first, and what comes
	// later is not.
	l.mu.Lock()
	l.finished = true
	l.mu.Unlock()
	// Hosts are asked without the run's lock, which they may be waiting for.
	waiting := make([][]node.Event, len(l.run.Plan().Nodes))
	for n := range waiting {
		if h := l.host(n); h != nil {
			waiting[n] = h.Waiting()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	end := min(max(now, l.last), l.run.Until())
	for n, events := range waiting {
		l.run.Left(end, n, events)
	}
	for n, devices := range overrun {
		for _, d := range devices {
			l.run.HostDropped(end, n, d.device, d.packets)
		}
	}
	for _, t := range trouble {
		l.run.HostTrouble(end, t)
	}
	if err == nil && lost > 0 {
		err = fmt.Errorf("%d packets passed unseen: this host was too busy to look at all of them, so nothing is sure; give it less to do, or the lab's links a rate", lost)
	}
	stopped := ""
	if err != nil {
		stopped = err.Error()
	}
	if progress != nil {
		progress(sim.Progress{Now: now, Until: l.run.Until(), Events: l.box.events.Load(), Established: l.run.Established()})
	}
	l.run.UnderWay(false)
	for _, packet := range frames {
		l.run.Travelling(packet)
	}
	for _, packet := range held {
		l.run.Holding(packet)
	}
	return l.run.Finish(end, l.box.events.Load(), interrupted, stopped), err
}

// follow notes which nodes live, the run being locked: from the instant at which the
// run takes a node for dead, nothing that its process says counts any more.
func (l *Lab) follow(orders []sim.Order) {
	for _, o := range orders {
		if o.Life == nil {
			continue
		}
		l.lives[o.Node] = 0
		if l.ledgers != nil {
			l.ledgers[o.Node] = newLedger()
		}
		if o.Life.Config != nil {
			l.lives[o.Node] = o.Life.Life
		}
	}
}

// carryOut does what the run orders. What the network refuses a flow is a lost
// packet and no error.
func (l *Lab) carryOut(o sim.Order) error {
	switch {
	case o.Link != nil:
		return l.plug(endpoint{o.Node, o.Link.Interface}, o.Link.Up)
	case o.Addresses != nil:
		return l.readdress(endpoint{o.Node, o.Addresses.Interface}, o.Addresses.Before, o.Addresses.After)
	case o.Life != nil:
		return l.live(o.Node, o.Life)
	case o.Process != nil:
		l.process(o.Process)
		return nil
	}
	switch in := o.Input.(type) {
	case node.DatagramOut:
		_ = l.sockets[o.Node].datagram(in)
	case node.EchoOut:
		_ = l.sockets[o.Node].echo(in)
	case node.Command:
		if h := l.host(o.Node); h != nil {
			h.Command(in.IKE)
		}
	case node.InterfaceChange:
		// The kernel tells the node that its carrier changed.
	default:
		return fmt.Errorf("node %q: an order that namespaces do not have: %T", l.run.Plan().Nodes[o.Node].Name, in)
	}
	return nil
}

// live ends a node's life, or begins the next one.
func (l *Lab) live(n int, change *sim.LifeChange) error {
	if change.Config != nil {
		if err := l.startHost(n, change.Life, *change.Config); err != nil {
			return err
		}
		l.host(n).Boot()
		return nil
	}
	l.bequeath(n)
	l.hostsMu.Lock()
	h := l.hosts[n]
	l.hosts[n] = nil
	l.hostsMu.Unlock()
	if h != nil {
		h.Kill()
		waiting := h.Waiting()
		l.enter(func(now time.Duration) { l.run.Left(now, n, waiting) })
	}
	return nil
}

// readdress replaces the addresses of an interface, and tells the others on its
// network. The kernel tells the node.
func (l *Lab) readdress(at endpoint, before, after []netip.Prefix) error {
	s := l.stations[at.node]
	var errs []error
	for _, p := range after { // first, so that an interface never is without
		if !slices.Contains(before, p) {
			errs = append(errs, s.addAddress(at.iface, p))
		}
	}
	for _, p := range before {
		if !slices.Contains(after, p) {
			errs = append(errs, s.removeAddress(at.iface, p))
		}
	}
	// Routes go with the addresses that they were reached from.
	errs = append(errs, s.routes(), s.reachable())
	for _, other := range l.known[at] {
		for _, p := range before {
			if !slices.Contains(after, p) {
				errs = append(errs, l.stations[other.node].neighbour(other.iface, p.Addr(), s.macs[at.iface], true))
			}
		}
		for _, p := range after {
			errs = append(errs, l.stations[other.node].neighbour(other.iface, p.Addr(), s.macs[at.iface], false))
		}
	}
	return errors.Join(errs...)
}
