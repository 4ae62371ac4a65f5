//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
)

// background is for sockets that are opened at once or not at all.
var background = context.Background()

// Options say how a lab is built.
type Options struct {
	// Standing builds a lab for a person to work in: it is called by its own name, of
	// which there is one at a time, and any link can be pulled by hand.
	Standing bool
	// Alone says that this process does nothing beside the lab: what it gets as children
	// that it did not start are what the lab's commands left behind, and end with it.
	Alone bool
	// Tap, if not nil, sees every packet at every link end, one at a time. In a lab that
	// stands it does while somebody asked for it by Tapping.
	Tap sim.Tap
	// Decided, if not nil, is told what every link with a model decided about every
	// packet, one at a time. It is for tests of what the seed decides.
	Decided func(Decision)
}

// Decision is what a link decided about a packet.
type Decision struct {
	Node, Interface int // in the plan
	Direction       impair.Direction
	Identity        impair.Identity
	// Drop is the reason for which the packet was dropped, empty when it was not.
	Drop string
	// Copies is how many packets come out.
	Copies int
}

// Lab is a lab that stands in namespaces. Create makes it, Start begins its time,
// Drive carries the run out, Close removes it. Its methods are safe for concurrent
// use where they say so.
type Lab struct {
	run      *sim.Run
	opt      Options
	claim    *claim
	stations []*station
	hub      *hub
	box      *box
	boxRuns  bool
	ports    map[endpoint]*port // of the box's segments
	segments []segment
	// known are the interfaces that each is told of (acquaint).
	known    map[endpoint][]endpoint
	sockets  []*sockets
	watchers []*watcher // by node, nil where nobody looks
	// tablesBefore are the host's neighbour tables before the lab was made.
	tablesBefore []NeighbourTable
	// lostBefore are the packets that devices had lost when the lab's time began, or their
	// node's present life, and lostEarlier those of earlier lives; lostMu guards both.
	lostMu                  sync.Mutex
	lostBefore, lostEarlier []map[string]uint64

	tapMu   sync.Mutex
	tapping map[endpoint]int // how many ask for Tapping
	group   *os.File         // the commands' control group, nil where there is none
	forker  *forker
	byHand  sync.Mutex // held while a person's action is carried out
	running []*Started // by process of the plan; Drive's alone

	// hosts are the nodes' processes, nil for one that is dead.
	hostsMu sync.Mutex
	hosts   []*host.Host

	// mu is held while the run is entered, and for nothing that waits.
	mu sync.Mutex
	// lives are the numbers of the nodes' present lives, 0 for a dead one: what a
	// process still says after the run has it killed is not heard any more.
	lives    []int
	ledgers  []*ledger                 // by node, of a standing lab
	epoch    atomic.Pointer[time.Time] // nil before Start; for anybody to read
	last     time.Duration
	armed    time.Duration // until when Drive sleeps
	finished bool
	kick     chan struct{}
	failure  chan error
	closing  chan struct{}
	once     sync.Once
	waiting  sync.WaitGroup // goroutines that watch hosts and processes
}

// Create builds the namespaces of a lab, with everything in them, and starts its
// nodes without booting them. Errors name what is refused, or what failed; what was
// made until then is removed.
func Create(r *sim.Run, opt Options) (*Lab, error) {
	plan := r.Plan()
	if err := refuse(plan); err != nil {
		return nil, err
	}
	segments, err := segments(plan, opt.Standing)
	if err != nil {
		return nil, err
	}
	if err := enoughDescriptors(plan); err != nil {
		return nil, err
	}
	if opt.Standing { // a run has a name of its own
		if err := noOlderLab(plan.Lab.Name); err != nil {
			return nil, err
		}
	}
	tables, err := NeighbourTables()
	if err != nil {
		return nil, err
	}
	if _, err := Sweep(); err != nil {
		return nil, fmt.Errorf("clearing away what an earlier lab left behind: %w", err)
	}
	c, err := newClaim(plan.Lab.Name, !opt.Standing)
	if err != nil {
		return nil, err
	}
	l := &Lab{
		run: r, opt: opt, claim: c, segments: segments, known: acquaint(plan, segments), ports: map[endpoint]*port{}, tapping: map[endpoint]int{},
		stations: make([]*station, len(plan.Nodes)), watchers: make([]*watcher, len(plan.Nodes)), hosts: make([]*host.Host, len(plan.Nodes)), sockets: make([]*sockets, len(plan.Nodes)),
		lives: make([]int, len(plan.Nodes)), running: make([]*Started, len(plan.Processes)), group: openCgroup(c.record.cgroup), kick: make(chan struct{}, 1), failure: make(chan error, 1), closing: make(chan struct{}), tablesBefore: tables,
	}
	l.forker = newForker(c.mark(), l.group)
	if l.group == nil && opt.Alone {
		l.forker.adopt()
	}
	if opt.Standing {
		for range plan.Nodes {
			l.ledgers = append(l.ledgers, newLedger())
		}
	}
	if err := l.build(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// build makes everything, in the order in which it needs each other.
func (l *Lab) build() error {
	var names []string
	bridged := false
	for _, s := range l.segments {
		bridged = bridged || s.bridged
	}
	if bridged {
		names = append(names, l.claim.hub())
	}
	plan := l.run.Plan()
	for i := range plan.Nodes {
		names = append(names, l.claim.namespace(plan.Nodes[i].Name))
	}
	if err := l.claim.plan(names); err != nil {
		return err
	}
	var err error
	if l.box, err = newBox(l, trace.NewClassifier(l.run.NodeOf)); err != nil {
		return err
	}
	if bridged {
		if l.hub, err = newHub(l.claim.hub()); err != nil {
			return err
		}
	}
	if err := each(len(plan.Nodes), makersMax, func(n int) (err error) {
		l.stations[n], err = newStation(l.claim.namespace(plan.Nodes[n].Name), &plan.Nodes[n])
		return err
	}); err != nil {
		return err
	}
	if err := l.connect(); err != nil {
		return err
	}
	if err := each(len(plan.Nodes), makersMax, l.configure); err != nil {
		return err
	}
	if err := l.unplug(); err != nil {
		return err
	}
	for n := range plan.Nodes {
		if err := l.settle(n); err != nil {
			return err
		}
	}
	if err := each(len(plan.Nodes), makersMax, func(n int) error {
		return l.startHost(n, 1, l.run.Nodes()[n])
	}); err != nil {
		return err
	}
	l.boxRuns = true
	go l.box.run()
	if !l.opt.Standing {
		l.waiting.Go(l.keepFolder)
	}
	return nil
}

// keepFolder keeps a run's folder until the end. A run whose folder was taken away goes
// on, since nobody needs it to be found.
func (l *Lab) keepFolder() {
	for {
		select {
		case <-time.After(keepInterval):
			_ = l.claim.keep() // it is tried again
		case <-l.closing:
			return
		}
	}
}

// makersMax is how many namespaces are made at a time: making one waits for the
// kernel more than it computes.
const makersMax = 4

// each calls f for 0 to n-1, some at a time, and joins the errors.
func each(n, atATime int, f func(int) error) error {
	var wait sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	next := make(chan int)
	for range min(n, atATime) {
		wait.Go(func() {
			for i := range next {
				if err := f(i); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	return errors.Join(errs...)
}

// connect makes the interfaces of all segments.
func (l *Lab) connect() error {
	numbers := map[endpoint]int{} // links in the plan's order
	for n := range l.run.Plan().Nodes {
		for i := range l.run.Plan().Nodes[n].Interfaces {
			numbers[endpoint{n, i}] = len(numbers)
		}
	}
	draw := l.run.Draw()
	for number := range l.segments {
		s := &l.segments[number]
		switch {
		case s.switched:
			segment := &switched{byMAC: map[[6]byte]*port{}}
			for _, at := range s.ends {
				station := l.stations[at.node]
				fd, udp, err := newTAP(station, at.iface)
				if err != nil {
					return err
				}
				p := newPort(at, fd, udp)
				p.mac, p.segment, p.number = macArray(station.macs[at.iface]), segment, numbers[at]
				p.link = impair.NewLink(station.plan.Interfaces[at.iface].Link, draw)
				p.identified = p.link.Draws() || l.opt.Decided != nil
				l.ports[at] = p
				if err := l.box.add(p); err != nil {
					return fmt.Errorf("node %q: interface %q: %w", station.plan.Name, station.plan.Interfaces[at.iface].Name, err)
				}
			}
		case s.bridged:
			bridge, err := l.hub.bridge(number)
			if err != nil {
				return fmt.Errorf("network %q: %w", s.name, err)
			}
			for _, at := range s.ends {
				if err := l.hub.attach(l.stations[at.node], at, bridge); err != nil {
					return err
				}
			}
		default:
			a, b := s.ends[0], s.ends[1]
			sa, sb := l.stations[a.node], l.stations[b.node]
			if err := veth(sa.handle, sa.attributes(a.iface), sa.ns, sb.attributes(b.iface), sb.ns); err != nil {
				return fmt.Errorf("network %q: %w", s.name, err)
			}
		}
	}
	return nil
}

// configure takes a node's interfaces up and gives it addresses, routes and
// neighbours.
func (l *Lab) configure(n int) error {
	s := l.stations[n]
	for i := range s.plan.Interfaces {
		if err := s.configure(i); err != nil {
			return err
		}
	}
	for i := range s.plan.Interfaces {
		for _, there := range l.known[endpoint{n, i}] {
			other := l.stations[there.node]
			for _, a := range other.plan.Interfaces[there.iface].Addresses {
				if err := s.neighbour(i, a.Addr(), other.macs[there.iface], false); err != nil {
					return err
				}
			}
		}
	}
	if err := s.routes(); err != nil {
		return err
	}
	return s.reachable()
}

// unplug takes the links away that are down at the epoch.
func (l *Lab) unplug() error {
	for n, s := range l.stations {
		for i, iface := range s.plan.Interfaces {
			if iface.Up {
				continue
			}
			if err := l.plug(endpoint{n, i}, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// plug plugs a link in, or pulls it.
func (l *Lab) plug(at endpoint, up bool) error {
	s := l.stations[at.node]
	var err error
	switch p := l.ports[at]; {
	case p != nil && l.boxRuns:
		err = l.box.setUp(p, up)
	case p != nil:
		p.link.SetUp(up)
		err = setCarrier(p.fd, up)
	case l.hub != nil && l.hub.ports[at] != nil:
		err = l.hub.setCarrier(at, up)
	default:
		err = errors.New("it is one end of a pair, which share a carrier")
	}
	if err == nil {
		// Linux tells of a carrier that is gone up to a second late, or never when it is
		// back by then. Whoever asks about the interface has it told at once.
		_, err = s.handle.LinkByIndex(s.links[at.iface].Attrs().Index)
	}
	if err != nil {
		return fmt.Errorf("node %q: link at interface %q: %w", s.plan.Name, s.plan.Interfaces[at.iface].Name, err)
	}
	return nil
}

// watches says whether anybody asks what passes an interface: the invariants do at nodes
// that have policies, and a tap does everywhere; in a lab that stands, nobody but who is
// Tapping. The caller holds l.tapMu once the lab has begun.
func (l *Lab) watches(at endpoint) bool {
	if l.opt.Standing {
		return l.tapping[at] > 0
	}
	return l.opt.Tap != nil || len(l.stations[at.node].plan.Connections) > 0
}

// settle makes what looks at a node and sends from it.
func (l *Lab) settle(n int) error {
	s := l.stations[n]
	if err := l.watch(n); err != nil {
		return err
	}
	l.sockets[n] = newSockets(s, func(d *node.Deliver) {
		l.enter(func(now time.Duration) { l.run.Observe(now, n, d) })
	})
	l.lives[n] = 1
	return l.sockets[n].prepare(l.run.Plan())
}

// startHost begins a node's life, without booting it.
func (l *Lab) startHost(n, life int, config node.Config) error {
	h, err := host.Start(host.Config{
		Node: config, Devices: l.stations[n].devices, Namespace: l.stations[n].ns, Tunnel: tunnelDevice,
		Clock: l.clock, Observe: func(out node.Output) { l.observe(n, life, out) }, PacketEvents: !l.opt.Standing,
	})
	if err != nil {
		return err
	}
	l.hostsMu.Lock()
	l.hosts[n] = h
	l.hostsMu.Unlock()
	l.waiting.Go(func() {
		select {
		case <-h.Done():
			if err := h.Err(); err != nil {
				l.perished(n, life, err)
			}
		case <-l.closing:
		}
	})
	return nil
}

// host is the node's process, nil when it is dead. Safe for concurrent use.
func (l *Lab) host(n int) *host.Host {
	l.hostsMu.Lock()
	defer l.hostsMu.Unlock()
	return l.hosts[n]
}

// fail ends Drive with an error, the first one.
func (l *Lab) fail(err error) {
	select {
	case l.failure <- err:
	default:
	}
}

// Start begins the lab's time: the epoch is now, and the nodes boot.
func (l *Lab) Start() {
	before, earlier := make([]map[string]uint64, len(l.stations)), make([]map[string]uint64, len(l.stations))
	for n := range l.stations {
		before[n], earlier[n] = l.losses(n), map[string]uint64{}
	}
	l.lostMu.Lock()
	l.lostBefore, l.lostEarlier = before, earlier
	l.lostMu.Unlock()
	now := time.Now()
	l.epoch.Store(&now)
	for n := range l.hosts {
		if h := l.host(n); h != nil {
			h.Boot()
		}
	}
}

// clock is the time since the epoch, zero before it. Safe for concurrent use, and
// without a lock: nodes ask for every packet.
func (l *Lab) clock() time.Duration {
	epoch := l.epoch.Load()
	if epoch == nil {
		return 0
	}
	return time.Since(*epoch)
}

// tick is the clock for the run, which is locked. It never goes back.
func (l *Lab) tick() time.Duration {
	l.last = max(l.last, l.clock())
	return l.last
}

// enter calls f with the run locked, unless the run is over, and wakes Drive when
// the run then has something to do sooner.
func (l *Lab) enter(f func(now time.Duration)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.tick()
	if l.finished || now >= l.run.Until() {
		return // what falls on the end does not happen any more
	}
	f(now)
	if at, ok := l.run.Deadline(); ok && at < l.armed {
		l.armed = at
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
}

// observe hands an output of one of a node's lives to the run.
func (l *Lab) observe(n, life int, out node.Output) {
	l.enter(func(now time.Duration) {
		if l.lives[n] != life {
			return
		}
		l.run.Observe(now, n, out)
		if e, is := out.(*node.Event); is && l.ledgers != nil {
			l.ledgers[n].note(now, e)
		}
	})
}

// now implements world.
func (l *Lab) now() time.Duration { return l.clock() }

// transit implements world.
func (l *Lab) transit(at endpoint, direction impair.Direction, packet []byte) {
	l.enter(func(now time.Duration) {
		if !l.opt.Standing { // there nothing is judged, and a capture is not to cost what judging does
			l.run.Transit(now, at.node, at.iface, direction, packet)
		}
		if l.opt.Tap != nil {
			l.opt.Tap.Packet(now, at.node, at.iface, direction, packet)
		}
	})
}

// dropped implements world.
func (l *Lab) dropped(at endpoint, direction impair.Direction, packet []byte, reason string) {
	l.enter(func(now time.Duration) { l.run.Dropped(now, at.node, at.iface, direction, packet, reason) })
}

// decided implements world.
func (l *Lab) decided(at endpoint, direction impair.Direction, id impair.Identity, copies int, drop string) {
	if l.opt.Decided != nil {
		l.opt.Decided(Decision{Node: at.node, Interface: at.iface, Direction: direction, Identity: id, Copies: copies, Drop: drop})
	}
}

// ID is the lab's identifier on this host: its namespaces are called
// "ikelab-ID.NODE".
func (l *Lab) ID() string { return l.claim.id }

// Namespace is the namespace of a node of the plan, by its place there.
func (l *Lab) Namespace(n int) ns.NetNS { return l.stations[n].ns }

// Close removes the lab from the host. It may be called at any time, and again.
func (l *Lab) Close() error {
	var err error
	l.once.Do(func() {
		// An action by hand is seen to its end, and none begins any more: it could start a
		// node that nobody ends.
		l.byHand.Lock()
		l.mu.Lock()
		l.finished = true
		l.mu.Unlock()
		l.byHand.Unlock()
		close(l.closing)
		var errs []error
		l.hostsMu.Lock()
		hosts := slices.Clone(l.hosts)
		l.hostsMu.Unlock()
		_ = each(len(hosts), closersMax, func(n int) error {
			if hosts[n] != nil {
				hosts[n].Kill() // its rules go with the namespace
			}
			return nil
		})
		l.forker.stop() // which ends the processes, but for those that have other rights
		errs = append(errs, l.claim.killProcesses(), l.forker.endAdopted())
		l.waiting.Wait()
		for _, s := range l.sockets {
			if s != nil {
				s.close()
			}
		}
		switch {
		case l.boxRuns:
			errs = append(errs, l.box.stop())
		case l.box != nil:
			l.box.closeDescriptors()
		}
		for _, s := range l.stations {
			if s != nil {
				s.close()
			}
		}
		if l.hub != nil {
			l.hub.close()
		}
		if l.group != nil {
			_ = l.group.Close() // only opened
		}
		errs = append(errs, l.claim.remove())
		err = errors.Join(errs...)
	})
	return err
}
