package virtual

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// Bounds of a run where Engine does not say.
const (
	// EventsMax is how many events a run may have.
	EventsMax = 1_000_000_000
	// PendingMax is how many events may wait at a time: packets on links, mostly,
	// of up to 64 KiB each.
	PendingMax = 2_000_000
	// InstantEventsMax is how many events may fall on one instant.
	InstantEventsMax = 10_000_000
)

const (
	// contextEvents is how often, in events, the context is asked.
	contextEvents = 256
	// progressEvents is how often, in events, progress is reported.
	progressEvents = 4096
)

// Why an engine gives a run up.
var (
	// ErrEventBudget: the run had more events than EventsMax, as a lab far too
	// large or too long has.
	ErrEventBudget = errors.New("event budget exhausted")
	// ErrPending: more events waited than PendingMax, as when links duplicate
	// what routers send in circles.
	ErrPending = errors.New("too many events are pending")
	// ErrTimeStands: one instant had more events than InstantEventsMax, as when
	// packets go in circles over links without delay.
	ErrTimeStands = errors.New("virtual time stands still")
)

// Engine runs labs in virtual time. The zero value is ready, and may run several
// labs at a time.
type Engine struct {
	// EventsMax, PendingMax and InstantEventsMax bound a run, 0 for the constants
	// of these names.
	EventsMax, PendingMax, InstantEventsMax uint64
}

var _ sim.Engine = Engine{}

// Run implements sim.Engine. Besides the errors of building the nodes it answers
// ErrEventBudget, ErrPending and ErrTimeStands, with a result all the same, and a
// *sim.UnsupportedError, without one, for a lab with processes.
func (e Engine) Run(ctx context.Context, r *sim.Run, opt sim.EngineOptions) (*sim.Result, error) {
	if err := sim.Refuse(r.Plan(), "sim", "it runs in virtual time, in which a command of the host does nothing",
		"run the lab with --engine netns", topology.FeatureProcess); err != nil {
		return nil, err
	}
	w, err := newWorld(r, opt)
	if err != nil {
		return nil, err
	}
	bounds := Engine{
		EventsMax:        cmp.Or(e.EventsMax, EventsMax),
		PendingMax:       cmp.Or(e.PendingMax, PendingMax),
		InstantEventsMax: cmp.Or(e.InstantEventsMax, InstantEventsMax),
	}
	return w.run(ctx, bounds)
}

// exceeded says which bound the run has reached; at is when the next event is.
func (e Engine) exceeded(w *world, at time.Duration) error {
	switch {
	case w.events >= e.EventsMax:
		return fmt.Errorf("%w: %d events until %v of %v", ErrEventBudget, w.events, w.now, w.r.Until())
	case uint64(w.heap.len()) > e.PendingMax:
		return fmt.Errorf("%w: %d of them at %v", ErrPending, w.heap.len(), w.now)
	case at == w.now && w.instantEvents >= e.InstantEventsMax:
		return fmt.Errorf("%w: %d events at %v", ErrTimeStands, w.instantEvents, w.now)
	}
	return nil
}

// arrivalKind says where a travelling packet arrives.
type arrivalKind uint8

const (
	// eventTimeline: the run's own deadline.
	eventTimeline arrivalKind = iota
	// eventSwitch: a packet has left a link upwards and is switched to the
	// interface that has its next hop.
	eventSwitch
	// eventNode: a packet has left a link downwards, into its node.
	eventNode
	// eventWake: a node's deadline.
	eventWake
)

// event is what the heap holds. Its instant is in its key.
type event struct {
	kind    arrivalKind
	node    int32 // sender for eventSwitch, receiver for eventNode
	iface   int32
	nextHop netip.Addr // for eventSwitch
	packet  []byte
}

// linkEnd is a node's interface in the world: its link and its network.
type linkEnd struct {
	link    *impair.Link
	network int
	// number is the link's place in the plan's order, from which its sources
	// and classification points follow.
	number uint32
	// sequence counts the events of each direction.
	sequence [2]uint64
}

// host is a node in the world.
type host struct {
	// node is nil while the node is dead.
	node *node.Node
	ends []linkEnd
	// wake is the earliest wake on the heap; waking says that there is one.
	// Wakes at other instants are stale and do nothing.
	wake     time.Duration
	waking   bool
	sequence uint64
}

// onLink is an address on a network.
type onLink struct {
	network int
	addr    netip.Addr
}

// endpoint is an interface of a node.
type endpoint struct{ node, iface int32 }

// world is the state of one run in virtual time. Everything happens on the
// goroutine that calls run.
type world struct {
	r          *sim.Run
	opt        sim.EngineOptions
	hosts      []host
	addresses  map[onLink]endpoint
	classifier *trace.Classifier
	heap       heap[event]
	now        time.Duration
	events     uint64
	// instantEvents counts the events of the present instant.
	instantEvents uint64
	// timeline is the earliest wake of the run itself on the heap, as with
	// host.wake.
	timeline         time.Duration
	timelineWaking   bool
	timelineSequence uint64
	// inputs wait while a node's outputs are carried out.
	inputs []sim.Order
}

// Sources of events are numbered in the plan's order: the run, then the nodes,
// then the link ends, each with its two directions.
const sourceRun = 0

func (w *world) sourceNode(n int) uint32 { return uint32(1 + n) }

func (w *world) sourceLink(end *linkEnd, direction impair.Direction) uint32 {
	return uint32(1+len(w.hosts)) + 2*end.number + uint32(direction)
}

func newWorld(r *sim.Run, opt sim.EngineOptions) (*world, error) {
	w := &world{r: r, opt: opt, addresses: map[onLink]endpoint{}, classifier: trace.NewClassifier(r.NodeOf)}
	plan := r.Plan()
	networks := map[string]int{}
	for i, n := range plan.Networks {
		networks[n.Name] = i
	}
	draw := r.Draw()
	var links uint32
	for i, config := range r.Nodes() {
		n, err := node.New(config)
		if err != nil {
			return nil, err
		}
		h := host{node: n}
		for j, iface := range plan.Nodes[i].Interfaces {
			network, ok := networks[iface.Network]
			if !ok {
				return nil, fmt.Errorf("node %q: interface %q is on network %q, which the lab does not have", config.Name, iface.Name, iface.Network)
			}
			if err := iface.Link.Validate(); err != nil {
				return nil, fmt.Errorf("node %q: interface %q: %w", config.Name, iface.Name, err)
			}
			link := impair.NewLink(iface.Link, draw)
			link.SetUp(iface.Up)
			h.ends = append(h.ends, linkEnd{link: link, network: network, number: links})
			links++
			for _, a := range iface.Addresses {
				w.addresses[onLink{network, a.Addr()}] = endpoint{int32(i), int32(j)}
			}
		}
		w.hosts = append(w.hosts, h)
	}
	return w, nil
}

// run is the engine: it takes the next event until the run ends.
func (w *world) run(ctx context.Context, bounds Engine) (*sim.Result, error) {
	until := w.r.Until()
	for n := range w.hosts {
		w.rearm(n)
	}
	w.rearmTimeline()
	for w.heap.len() > 0 {
		k := w.heap.peek()
		if k.at >= until {
			break
		}
		if w.events%contextEvents == 0 && ctx.Err() != nil {
			return w.finish(w.now, true, ""), nil
		}
		if err := bounds.exceeded(w, k.at); err != nil {
			return w.finish(w.now, false, err.Error()), err
		}
		if w.events%progressEvents == 0 {
			w.progress()
		}
		if k.at > w.now {
			w.now, w.instantEvents = k.at, 0
		}
		w.events++
		w.instantEvents++
		_, e := w.heap.pop()
		w.handle(e)
	}
	return w.finish(until, false, ""), nil
}

func (w *world) finish(now time.Duration, interrupted bool, stopped string) *sim.Result {
	w.now = now
	w.r.UnderWay(true)
	w.heap.each(func(e *event) {
		if e.packet != nil {
			w.r.Travelling(e.packet)
		}
	})
	for _, h := range w.hosts {
		if h.node != nil {
			h.node.Held(w.r.Holding)
		}
	}
	w.progress()
	for n := range w.hosts {
		w.left(n)
	}
	return w.r.Finish(now, w.events, interrupted, stopped)
}

// left tells what waits in a node and will not leave it any more.
func (w *world) left(n int) {
	if h := &w.hosts[n]; h.node != nil {
		w.r.Left(w.now, n, h.node.Waiting())
	}
}

func (w *world) progress() {
	if w.opt.Progress != nil {
		w.opt.Progress(sim.Progress{Now: w.now, Until: w.r.Until(), Events: w.events, Established: w.r.Established()})
	}
}

// handle carries one event out.
func (w *world) handle(e event) {
	switch e.kind {
	case eventTimeline:
		if w.timelineWaking && w.timeline == w.now {
			w.timelineWaking = false
			w.inputs = append(w.inputs, w.r.Step(w.now)...)
		}
	case eventSwitch:
		w.switchPacket(e)
	case eventNode:
		w.transit(int(e.node), int(e.iface), impair.Down, e.packet)
		if w.hosts[e.node].node == nil {
			w.r.Swallowed(w.now, int(e.node), int(e.iface), e.packet)
			break
		}
		w.input(int(e.node), node.PacketIn{Interface: int(e.iface), Bytes: e.packet})
	case eventWake:
		h := &w.hosts[e.node]
		if h.waking && h.wake == w.now {
			h.waking = false
			w.input(int(e.node), node.Timeout{})
		}
	}
	w.drain()
	w.rearmTimeline()
}

// input queues an input for a node. A node is not entered while its outputs,
// which live until its next Handle, are being carried out.
func (w *world) input(n int, in node.Input) {
	w.inputs = append(w.inputs, sim.Order{Node: n, Input: in})
}

// drain carries out what is queued, and what that queues.
func (w *world) drain() {
	for i := 0; i < len(w.inputs); i++ {
		order := w.inputs[i]
		switch {
		case order.Link != nil:
			w.hosts[order.Node].ends[order.Link.Interface].link.SetUp(order.Link.Up)
			continue
		case order.Life != nil:
			w.changeLife(order.Node, order.Life)
			continue
		case order.Addresses != nil:
			w.changeAddresses(order.Node, order.Addresses)
		}
		host := &w.hosts[order.Node]
		if host.node == nil {
			continue
		}
		for _, out := range host.node.Handle(w.now, order.Input) {
			w.r.Observe(w.now, order.Node, out)
			if p, ok := out.(*node.PacketOut); ok {
				w.transmit(order.Node, p)
			}
		}
		w.rearm(order.Node)
	}
	clear(w.inputs)
	w.inputs = w.inputs[:0]
}

// changeLife ends a node's life or begins the next one, which boots at this instant.
// A dead node is silent: it takes nothing, sends nothing and answers nothing. What it
// had put on a link travels on.
func (w *world) changeLife(n int, c *sim.LifeChange) {
	h := &w.hosts[n]
	if c.Config == nil {
		w.left(n)
		h.node = nil
		h.waking = false // the wake on the heap is stale
		return
	}
	life, err := node.New(*c.Config)
	if err != nil {
		// The run has made the same node before, with other addresses at most.
		panic(fmt.Sprintf("virtual: life %d of %s: %v", c.Life, c.Config.Name, err))
	}
	h.node = life
	w.rearm(n)
}

// changeAddresses lets the network find a node at its new addresses and not at those
// that it has no longer.
func (w *world) changeAddresses(n int, c *sim.AddressesChange) {
	network := w.hosts[n].ends[c.Interface].network
	here := endpoint{int32(n), int32(c.Interface)}
	for _, a := range c.Before {
		if at := (onLink{network, a.Addr()}); w.addresses[at] == here {
			delete(w.addresses, at)
		}
	}
	for _, a := range c.After {
		w.addresses[onLink{network, a.Addr()}] = here
	}
}

// rearm puts a node's deadline on the heap, unless an earlier or equal wake
// stands there already: that one will come here again.
func (w *world) rearm(n int) {
	h := &w.hosts[n]
	if h.node == nil {
		return
	}
	at, _, ok := h.node.Deadline()
	if !ok {
		return
	}
	at = max(at, w.now)
	if h.waking && h.wake <= at {
		return
	}
	h.wake, h.waking = at, true
	h.sequence++
	w.heap.push(key{at: at, class: classTimer, source: w.sourceNode(n), sequence: h.sequence},
		event{kind: eventWake, node: int32(n)})
}

// rearmTimeline does the same for the run's own deadline.
func (w *world) rearmTimeline() {
	at, ok := w.r.Deadline()
	if !ok {
		return
	}
	at = max(at, w.now)
	if w.timelineWaking && w.timeline <= at {
		return
	}
	w.timeline, w.timelineWaking = at, true
	w.timelineSequence++
	w.heap.push(key{at: at, class: classTimeline, source: sourceRun, sequence: w.timelineSequence}, event{kind: eventTimeline})
}

// transmit puts a packet on the link of the interface that it leaves by.
func (w *world) transmit(n int, p *node.PacketOut) {
	w.enterLink(n, p.Interface, impair.Up, p.NextHop, p.Bytes)
}

// switchPacket finds the interface that has a packet's next hop and puts the
// packet on that interface's link. Nobody there is what an unanswered ARP or
// neighbour solicitation would have found.
func (w *world) switchPacket(e event) {
	end := &w.hosts[e.node].ends[e.iface]
	to, ok := w.addresses[onLink{end.network, e.nextHop}]
	if !ok {
		w.r.Unreachable(w.now, int(e.node), int(e.iface), e.nextHop, e.packet)
		w.input(int(e.node), node.NeighborFailed{Interface: int(e.iface), Bytes: e.packet})
		return
	}
	w.enterLink(int(to.node), int(to.iface), impair.Down, e.nextHop, e.packet)
}

// enterLink lets a link decide about a packet and puts what comes out on the
// heap.
func (w *world) enterLink(n, iface int, direction impair.Direction, nextHop netip.Addr, packet []byte) {
	end := &w.hosts[n].ends[iface]
	if direction == impair.Up {
		w.transit(n, iface, impair.Up, packet)
	}
	point := int(2*end.number) + int(direction)
	identity := w.classifier.Classify(point, packet)
	deliveries, drop := end.link.Step(w.now, direction, impair.Packet{Identity: identity, Bytes: packet})
	if drop != "" {
		w.r.Dropped(w.now, n, iface, direction, packet, drop)
	}
	for _, d := range deliveries {
		k := key{at: d.At, class: classNetwork, source: w.sourceLink(end, direction)}
		e := event{kind: eventSwitch, node: int32(n), iface: int32(iface), nextHop: nextHop, packet: d.Packet.Bytes}
		if direction == impair.Down {
			k.class, e.kind = classArrival, eventNode
		}
		k.sequence = end.sequence[direction]
		end.sequence[direction]++
		w.heap.push(k, e)
	}
}

// transit shows a packet at a link end to the run and the tap: one that goes up
// before the link may change it, one that goes down when it arrives.
func (w *world) transit(n, iface int, direction impair.Direction, packet []byte) {
	w.r.Transit(w.now, n, iface, direction, packet)
	if w.opt.Tap != nil {
		w.opt.Tap.Packet(w.now, n, iface, direction, packet)
	}
}
