//go:build linux

package netns

import (
	"errors"
	"net/netip"
	"os/exec"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/topology"
)

// State is what a lab looks like at an instant.
type State struct {
	// Now is the time since the lab's epoch, Epoch that instant on the wall's clock.
	Now   time.Duration
	Epoch time.Time
	Nodes []NodeState // in the plan's order
	// HostTroubles are what this host has lacked since the lab was made.
	HostTroubles []sim.HostTrouble
}

// NodeState is what a node looks like.
type NodeState struct {
	Name, Implementation string
	// Namespace is its name for ip-netns(8).
	Namespace string
	// Alive says that its process runs; Life counts its lives from 1.
	Alive bool
	Life  int
	// Problem is why it died, where nobody killed it.
	Problem    string
	Interfaces []InterfaceState
	IKE        []IKEState
	Children   []ChildState
	// Policies are the configured children whose traffic is protected or goes nowhere.
	Policies []PolicyState
	Drops    []sim.DropCount
}

// InterfaceState is what the kernel says of an interface.
type InterfaceState struct {
	Name, Network string
	// Device is the kernel's name, which differs where Linux cannot have the lab's.
	Device string
	// Up says that the interface is up and has a carrier.
	Up        bool
	Addresses []netip.Prefix
}

// PolicyState is a configured child of a node.
type PolicyState struct {
	Connection, Child string
	// Trap says that a packet without association starts a negotiation.
	Trap          bool
	Local, Remote []string
}

// KeepFolder puts back what somebody has taken from the lab's folder, and answers
// ErrTakenAway when the whole of it was taken, or another lab has it. Whoever lets a lab
// stand calls it every so often, and not any more when it calls Close.
func (l *Lab) KeepFolder() error { return l.claim.keep() }

// KeepInterval is how often KeepFolder is worth calling.
const KeepInterval = keepInterval

// State says how the lab is now. It is safe for concurrent use.
func (l *Lab) State() State {
	plan := l.run.Plan()
	s := State{Nodes: make([]NodeState, len(plan.Nodes))}
	l.mu.Lock()
	s.Now = l.tick()
	if epoch := l.epoch.Load(); epoch != nil {
		s.Epoch = *epoch
	}
	for n := range plan.Nodes {
		at := &s.Nodes[n]
		at.Life, at.Alive = l.lives[n], l.lives[n] > 0
		if l.ledgers != nil {
			at.IKE, at.Children = l.ledgers[n].sorted()
			at.Problem = l.ledgers[n].problem
		}
		at.Drops = l.run.Drops(n)
	}
	l.mu.Unlock()
	overrun := l.overruns()
	s.HostTroubles = l.trouble()
	for n := range plan.Nodes {
		at, p := &s.Nodes[n], &plan.Nodes[n]
		for _, d := range overrun[n] {
			at.Drops = append(at.Drops, sim.DropCount{Reason: sim.DropHostQueueFull, Count: d.packets})
		}
		at.Name, at.Implementation, at.Namespace = p.Name, p.Implementation, l.claim.namespace(p.Name)
		for i := range p.Interfaces {
			at.Interfaces = append(at.Interfaces, l.stations[n].look(i))
		}
		// A node's own lock comes before the run's, never behind it.
		h := l.host(n)
		if h == nil {
			continue
		}
		counters := map[uint32]node.Counters{}
		for _, a := range h.Associations() {
			counters[a.SPIIn] = a.Counters
		}
		for i := range at.Children {
			at.Children[i].Counters = counters[at.Children[i].SPIIn]
		}
		for _, p := range h.Policies() {
			if p.Association == 0 {
				at.Policies = append(at.Policies, PolicyState{
					Connection: p.Connection, Child: p.Child, Trap: p.Trap, Local: selectorTexts(p.Local), Remote: selectorTexts(p.Remote),
				})
			}
		}
	}
	return s
}

// look asks the kernel about an interface. What it does not say is left out: a person
// may have done anything to it.
func (s *station) look(i int) InterfaceState {
	iface := &s.plan.Interfaces[i]
	state := InterfaceState{Name: iface.Name, Network: iface.Network, Device: s.devices[i]}
	link, err := s.handle.LinkByIndex(s.links[i].Attrs().Index)
	if err != nil {
		return state
	}
	const carrier = unix.IFF_UP | unix.IFF_LOWER_UP
	state.Up = link.Attrs().RawFlags&carrier == carrier
	addresses, err := s.handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return state
	}
	for _, a := range addresses {
		addr, ok := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if ok && !addr.Unmap().IsLinkLocalUnicast() {
			state.Addresses = append(state.Addresses, netip.PrefixFrom(addr.Unmap(), bits))
		}
	}
	return state
}

// selectorTexts writes selectors as IKE's records do.
func selectorTexts(list []esp.Selector) []string {
	var texts []string
	for _, s := range list {
		w := wire.Selector{Type: wire.TSIPv4AddrRange, IPProtocol: s.Protocol, StartPort: s.StartPort, EndPort: s.EndPort, Start: s.Start, End: s.End}
		if s.Start.Is6() {
			w.Type = wire.TSIPv6AddrRange
		}
		texts = append(texts, w.String())
	}
	return texts
}

// Keys are those of all SAs that there were until now, for Wireshark. It is safe for
// concurrent use.
func (l *Lab) Keys() ([]capture.IKEKeys, []capture.ESPKeys) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run.Keys()
}

// ErrEnded says that a lab is over.
var ErrEnded = errors.New("the lab has ended")

// Do does an action at once, as a step of the lab would. The name is for the trace. It
// is safe for concurrent use, once Start has been called.
func (l *Lab) Do(name string, a topology.Action) error {
	return l.DoFor(name, a, func() bool { return true })
}

// ErrUnwanted says that nobody waited for an action any more when its turn came, and that
// it was not done.
var ErrUnwanted = errors.New("nobody wants the action any more")

// DoFor is Do for somebody who may go away before it is the action's turn: it is done if
// wanted then says so.
func (l *Lab) DoFor(name string, a topology.Action, wanted func() bool) error {
	l.byHand.Lock()
	defer l.byHand.Unlock()
	if err := l.do(name, a, wanted); !errors.Is(err, errNotDue) {
		return err
	}
	return ErrUnwanted
}

// perished takes note of a node whose process has failed. In a run nothing is sure any
// more and it ends; in a lab that stands, whose owner may have done anything to it, the
// node is dead.
func (l *Lab) perished(n, life int, err error) {
	if !l.opt.Standing {
		l.fail(err)
		return
	}
	l.byHand.Lock()
	defer l.byHand.Unlock()
	l.bury(n, life, err)
}

// bury notes that a node's life is over, and why, with byHand held.
func (l *Lab) bury(n, life int, err error) {
	kill := topology.Action{Kind: topology.ActionKill, Node: l.run.Plan().Nodes[n].Name}
	doErr := l.do("failure", kill, func() bool { return l.lives[n] == life })
	if errors.Is(doErr, errNotDue) || errors.Is(doErr, ErrEnded) {
		return
	}
	if doErr != nil {
		l.fail(errors.Join(err, doErr)) // a node without IKE has no life that could end
		return
	}
	l.mu.Lock()
	l.ledgers[n].problem = err.Error()
	l.mu.Unlock()
}

var errNotDue = errors.New("not due")

// do is Do if it is still due, with byHand held. due is asked with the run locked.
func (l *Lab) do(name string, a topology.Action, due func() bool) error {
	err := ErrEnded
	var orders []sim.Order
	l.enter(func(now time.Duration) {
		if !due() {
			err = errNotDue
			return
		}
		if orders, err = l.run.Do(now, name, a); err == nil {
			orders = slices.Clone(orders)
			l.follow(orders)
		}
	})
	if err != nil {
		return err
	}
	for _, o := range orders {
		if err := l.carryOut(o); err != nil {
			if o.Life != nil && o.Life.Config != nil {
				l.bury(o.Node, o.Life.Life, err) // it was never born
			}
			return err
		}
	}
	return nil
}

// Exec starts a command in the namespace of a node, by its place in the plan. Its
// process leads a group of its own, or a session where the command asks for one; both
// end with the lab. It is safe for concurrent use.
func (l *Lab) Exec(nodeIndex int, cmd *exec.Cmd) (*Started, error) {
	return l.forker.start(cmd, l.stations[nodeIndex].ns)
}
