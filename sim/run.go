package sim

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/sim/seed"
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
	// Protocol asks for Run.Protocol, which costs memory for every IKE message.
	Protocol bool
}

// Run is one run of a lab. An engine drives it; it is not safe for concurrent
// use.
type Run struct {
	plan    *topology.Plan
	seed    uint64
	until   time.Duration
	source  seed.Source
	configs []node.Config
	listen  [][]uint16         // UDP ports at which flows end, by node
	byName  map[string]int     // node's index
	owner   map[netip.Addr]int // node that has the address now
	// names holds which node has an address, or had it last. It is replaced and
	// never changed, so that engines may ask from anywhere.
	names atomic.Pointer[map[netip.Addr]int]

	trace     *trace.Writer
	timeline  timeline
	orders    []Order // reused
	flows     []*flow
	flowByTag map[flowTag]int
	// flowByEnds finds flows whose packets do not show the tag; seals and underWay tell
	// what is lost from what is under way.
	flowByEnds map[flowEnds]int
	seals      seals
	underWay   underWay
	waiting    []waiting
	processes  []process

	nodes       []nodeState
	counts      eventCounts
	watches     []topology.WatchResult
	failures    []Failure
	failureEnds []failureEnds // of each failure
	unreachable uint64
	trouble     []HostTrouble
	established int // IKE SAs that stand, at both ends
	ladder      ladder
	protocol    *protocolLog // nil if nobody asked for it
	ikeKeys     []capture.IKEKeys
	ikeKeysKept map[spiPair]bool
	espKeys     []capture.ESPKeys
	espKeysKept map[espKeysID]bool

	judges    []judge
	watching  int  // undecided expectations that are judged again and again
	changeDue bool // such a judgement is on the timeline for this instant

	invariants []invariant // those that are on
	// What invariants are told is kept here, one of each kind, because it is
	// told for every packet.
	seen     sight
	sighted  sighted
	sealed   sealed
	opened   opened
	finished bool
}

// waiting is a step, or the start of a process, that waits for an event.
type waiting struct {
	due   due // at is how long after the event
	on    topology.Selector
	count int // matching events so far
	done  bool
}

// failureEnds are the IKE addresses that a failure was between.
type failureEnds struct{ local, remote netip.Addr }

// New prepares a run of a plan. An error means that the plan cannot be run, and
// says why and what to do; it is about the lab, not about this host.
func New(plan *topology.Plan, opt Options) (*Run, error) {
	if plan == nil {
		return nil, errors.New("there is no plan to run")
	}
	r := &Run{
		plan: plan, seed: plan.Lab.Seed, until: plan.Lab.Duration,
		byName: map[string]int{}, owner: map[netip.Addr]int{}, flowByTag: map[flowTag]int{}, flowByEnds: map[flowEnds]int{},
		ikeKeysKept: map[spiPair]bool{}, espKeysKept: map[espKeysID]bool{},
		trace: trace.NewWriter(opt.Trace), ladder: newLadder(),
		watches: make([]topology.WatchResult, len(plan.Watches)),
	}
	if opt.Seed != nil {
		r.seed = *opt.Seed
	}
	if opt.Protocol {
		r.protocol = newProtocolLog()
	}
	if opt.Until < 0 {
		return nil, fmt.Errorf("a run cannot end at %v; give an instant after the lab's beginning", opt.Until)
	}
	if opt.Until > 0 {
		r.until = min(r.until, opt.Until)
	}
	if r.until <= 0 {
		return nil, fmt.Errorf("lab %q: duration is %v; a run needs a positive one", plan.Lab.Name, plan.Lab.Duration)
	}
	r.source = seed.New(r.seed)
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		r.byName[n.Name] = i
		r.nodes = append(r.nodes, newNodeState(n))
		for _, iface := range n.Interfaces {
			for _, a := range iface.Addresses {
				r.owner[a.Addr()] = i
			}
		}
	}
	r.nameAddresses()
	if err := errors.Join(r.addFlows(), r.addSteps(), r.addProcesses()); err != nil {
		return nil, err
	}
	if err := r.addNodes(); err != nil {
		return nil, err
	}
	r.addInvariants()
	r.startJudging()
	return r, nil
}

// addFlows puts the plan's flows on the timeline.
func (r *Run) addFlows() error {
	for i, f := range r.plan.Flows {
		from, okFrom := r.byName[f.From]
		to, okTo := r.byName[f.To]
		if !okFrom || !okTo {
			return fmt.Errorf("flow %q: it leads from %q to %q, and both must be nodes of the lab", f.Name, f.From, f.To)
		}
		flow, err := newFlow(f, uint16(i+1), from, to)
		if err != nil {
			return err
		}
		if other, taken := r.flowByTag[flow.tag]; taken {
			return fmt.Errorf("flow %q: flow %q has the same name or tag; rename one of them", f.Name, r.flows[other].Name)
		}
		r.flowByTag[flow.tag] = i
		r.flows = append(r.flows, flow)
		r.nameFlowEnds(i, flow)
		if at, ok := flow.due(); ok {
			r.timeline.add(due{at: at, kind: dueFlow, index: i})
		}
	}
	return nil
}

// addSteps puts the steps that have a time on the timeline and lets the others
// wait for their event.
func (r *Run) addSteps() error {
	for i, s := range r.plan.Steps {
		if err := r.checkStep(s.Action); err != nil {
			return fmt.Errorf("step %q: %w", s.Name, err)
		}
		if s.On != nil {
			r.waiting = append(r.waiting, waiting{due: due{at: s.After, kind: dueStep, index: i}, on: *s.On})
			continue
		}
		r.timeline.add(due{at: s.At, kind: dueStep, index: i})
	}
	return nil
}

// addNodes makes the nodes' configurations.
func (r *Run) addNodes() error {
	r.listen = make([][]uint16, len(r.plan.Nodes))
	for _, f := range r.flows {
		if f.Protocol == topology.ProtocolUDP && !slices.Contains(r.listen[f.to], f.DestinationPort) {
			r.listen[f.to] = append(r.listen[f.to], f.DestinationPort)
		}
	}
	var errs []error
	for i, n := range r.plan.Nodes {
		c, err := nodeConfig(n, r.listen[i], r.source.Node(n.Name))
		if err == nil {
			// A node that cannot be made is a fault of the lab, not of the engine
			// that would find it later.
			_, err = node.New(c)
		}
		errs = append(errs, err)
		r.configs = append(r.configs, c)
	}
	return errors.Join(errs...)
}

// addInvariants makes the invariants that the lab does not turn off.
func (r *Run) addInvariants() {
	c := invariantConfig{policies: make([][]policy, len(r.plan.Nodes))}
	prefixes := map[string][]netip.Prefix{}
	for _, n := range r.plan.Networks {
		prefixes[n.Name] = n.Prefixes
	}
	for i, n := range r.plan.Nodes {
		c.nodes = append(c.nodes, n.Name)
		c.speaks = append(c.speaks, speaksIKE(&n))
		c.policies[i] = configuredPolicies(n)
		var networks [][]netip.Prefix
		for _, iface := range n.Interfaces {
			networks = append(networks, prefixes[iface.Network])
		}
		c.networks = append(c.networks, networks)
		notice := map[string]time.Duration{}
		for _, connection := range n.Connections {
			length := scheduleLength(connection)
			c.quiet = max(c.quiet, length)
			if connection.DPDDelay > 0 {
				notice[connection.Name] = connection.DPDDelay + length
			}
		}
		c.notice = append(c.notice, notice)
	}
	for _, i := range newInvariants(c) {
		if !slices.Contains(r.plan.Lab.InvariantsOff, i.name()) {
			r.invariants = append(r.invariants, i)
		}
	}
}

// speaksIKE reports whether a node runs IKE.
func speaksIKE(n *topology.Node) bool {
	return n.Implementation != topology.ImplementationHost && len(n.Connections) > 0
}

// Plan is what the run was made from. Nodes and interfaces are known by their
// index in it.
func (r *Run) Plan() *topology.Plan { return r.plan }

// Until is the instant at which the run ends. What falls on it does not happen
// any more.
func (r *Run) Until() time.Duration { return r.until }

// Nodes are the configurations of the plan's nodes, in its order. Interfaces
// that are down at the epoch have a link that is down, too.
func (r *Run) Nodes() []node.Config { return r.configs }

// Draw is the source of what links decide by chance.
func (r *Run) Draw() impair.Draw { return r.source.Draw() }

// NodeOf names the node that has an address now, or else had it last, for
// trace.NewClassifier: a packet is on its way for longer than a step takes. It may
// be called concurrently with everything else.
func (r *Run) NodeOf(addr netip.Addr) (name string, ok bool) {
	i, ok := (*r.names.Load())[addr]
	if !ok {
		return "", false
	}
	return r.plan.Nodes[i].Name, true
}

// Trace is the run's trace so far.
func (r *Run) Trace() *trace.Writer { return r.trace }

// Established is the number of IKE SAs that stand, counted at both ends.
func (r *Run) Established() int { return r.established }

// Deadline is the next instant at which the run itself has something to do; ok
// is false when there is none. It may be beyond Until.
func (r *Run) Deadline() (at time.Duration, ok bool) { return r.timeline.next() }

// Step does what is due at now and answers what the engine must do, in order.
// The slice is valid until the next call.
func (r *Run) Step(now time.Duration) []Order {
	r.orders = r.orders[:0]
	for {
		d, ok := r.timeline.pop(now)
		if !ok {
			return r.orders
		}
		switch d.kind {
		case dueStep:
			r.step(now, d.index)
		case dueProcessStart, dueProcessStop, dueProcessTimeout, dueProcessKill:
			r.processDue(now, d)
		case dueFlow:
			f := r.flows[d.index]
			r.record(now, f.from, recordFlowSent, text("flow", f.Name), trace.Uint("sequence", f.next))
			r.orders = append(r.orders, f.send(now))
			if at, ok := f.due(); ok {
				r.timeline.add(due{at: max(at, now), kind: dueFlow, index: d.index})
			}
		case dueJudge:
			r.judgeDue(now, d.index)
		}
	}
}

// Finish ends the run as of now, early if it was interrupted or if stopped says
// why the engine gave up, and answers its result. events is the engine's count.
func (r *Run) Finish(now time.Duration, events uint64, interrupted bool, stopped string) *Result {
	if r.finished {
		panic("sim: a run was finished twice")
	}
	r.finished = true
	result := &Result{
		Flows: []FlowResult{}, Processes: r.processResults(now),
		Lab: r.plan.Lab.Name, Seed: r.seed, Until: r.until, Ended: now,
		Interrupted: interrupted, Stopped: stopped, Events: events,
		Connections: r.connectionResults(), Nodes: r.nodeResults(), EventCounts: r.counts.sorted(),
		Failures: r.finishFailures(), Expectations: r.finishJudging(now), Invariants: r.finishInvariants(now),
		Exchanges: append([]ExchangeRow{}, r.ladder.finish(now)...), ExchangesOmitted: r.ladder.omitted,
		Unreachable: r.unreachable, HostTroubles: r.trouble, IKEKeys: r.ikeKeys, ESPKeys: r.espKeys,
	}
	for _, f := range r.flows {
		result.Flows = append(result.Flows, r.flowFigures(now, f))
	}
	for _, e := range result.Expectations {
		r.record(e.At, -1, recordExpectation, text("name", e.Name), trace.Bool("pass", e.Pass))
	}
	for _, i := range result.Invariants {
		r.record(now, -1, recordInvariant, text("name", i.Name), trace.Bool("off", i.Off), trace.Bool("pass", i.Pass))
	}
	r.record(now, -1, recordEnd, trace.Bool("interrupted", interrupted), text("stopped", stopped))
	digest := r.trace.Digest()
	result.Records, result.Digest = r.trace.Count(), hex.EncodeToString(digest[:])
	return result
}

// finishInvariants answers all verdicts, those that are off included.
func (r *Run) finishInvariants(now time.Duration) []InvariantResult {
	var out []InvariantResult
	on := r.invariants
	for _, name := range Invariants() {
		if len(on) > 0 && on[0].name() == name {
			out = append(out, on[0].finish(now))
			on = on[1:]
		} else {
			out = append(out, InvariantResult{Name: name, Off: true})
		}
	}
	return out
}

// finishFailures completes each failure with what the other end knew: an
// initiator learns of a refusal, but not what the responder would have taken.
func (r *Run) finishFailures() []Failure {
	// What the ends themselves knew; a list that is filled in here completes no
	// other failure.
	known := slices.Clone(r.failures)
	for i := range r.failures {
		f := &r.failures[i]
		if f.LocalProposals != nil && f.RemoteProposals != nil {
			continue
		}
		best, likeness := -1, -1
		for j, other := range known {
			if other.Node != f.Peer || other.Peer != f.Node || other.LocalProposals == nil || f.Reason != other.Reason {
				continue
			}
			if l := r.likeness(known, i, j); l > likeness {
				best, likeness = j, l
			}
		}
		if best < 0 {
			continue
		}
		if f.LocalProposals == nil {
			f.LocalProposals = known[best].RemoteProposals
		}
		f.RemoteProposals = known[best].LocalProposals
	}
	return r.failures
}

// likeness says how well two failures, one at each of two nodes, agree in being
// the same one. Two nodes may have several connections with each other: those
// differ in addresses, or in what was proposed. Nodes' names for connections are
// their own, and times differ by what the answer took.
func (r *Run) likeness(known []Failure, i, j int) int {
	likeness := 0
	a, b := r.failureEnds[i], r.failureEnds[j]
	if a.local == b.remote && a.remote == b.local {
		likeness += 4
	}
	if known[i].LocalProposals != nil && slices.Equal(known[i].LocalProposals, known[j].RemoteProposals) {
		likeness += 2
	}
	if (known[i].Child == "") == (known[j].Child == "") {
		likeness++
	}
	return likeness
}
