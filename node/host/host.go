//go:build linux

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// tunnelDefault is the TUN device's name where a configuration gives none.
const tunnelDefault = "ipsec0"

// Config describes a node on a real kernel.
type Config struct {
	// Node is as for node.New. IKE nil is a plain host: its interfaces are
	// watched, and nothing else is done. Routes and Listen are the kernel's
	// affair and not looked at.
	Node node.Config
	// Devices are the kernel's names for Node.Interfaces, in their order; nil
	// means the interfaces' own names.
	Devices []string
	// Namespace is where sockets, the TUN device and rules are made. Start keeps
	// a handle of its own.
	Namespace ns.NetNS
	// Clock tells the instant since the lab's epoch. It is monotonic and safe for
	// concurrent use.
	Clock func() time.Duration
	// Observe gets everything that happens, in order. It is called with the
	// host's lock held and must not call back; what it gets is valid until it
	// returns. Nil: nobody looks.
	Observe func(node.Output)
	// PacketEvents asks for esp-in and esp-out events too, one per packet.
	PacketEvents bool
	// Tunnel names the TUN device; empty is "ipsec0".
	Tunnel string

	// families are the address families to work with; nil asks the kernel. Tests do as
	// if it had no IPv6.
	families []int
}

// Policy is a PROTECT policy in force: a configured child, or the selectors that
// an association agreed on.
type Policy struct {
	Connection, Child string
	// Trap says that a packet without association starts a negotiation.
	Trap bool
	// Association is the ordinal of the association behind the policy, zero for
	// a configured child.
	Association uint64
	// Local and Remote are this end and the other; both are empty while
	// "dynamic" knows no address.
	Local, Remote []esp.Selector
}

// Host is a node at work in a network namespace. Its methods are safe for
// concurrent use, but not from within Config.Observe.
type Host struct {
	cfg       Config
	namespace ns.NetNS
	kernel    *netlink.Handle
	// families are AF_INET, and AF_INET6 where the kernel has it.
	families []int

	// mu guards everything down to the blank line: the machine, what it made,
	// and the order of what Observe sees.
	mu        sync.Mutex
	now       time.Duration
	machine   *ike.Machine
	booted    bool
	ended     bool
	ikeEvents []ike.Event
	policies  []*policy
	// unsettled are packets from an address that is about to settle.
	unsettled [][]byte
	installed []childName
	sas       associations
	// unpublished is true while the data plane does not know of an association
	// whose record has not been observed yet.
	unpublished bool
	interfaces  []attachment
	sockets     map[netip.AddrPort]*socket
	// overflowed are the Overflows of sockets that have been closed.
	overflowed map[string]uint64
	timer      *time.Timer
	applied    kernelState
	watcher    *watcher
	clearLog   *clearLog
	// narrowedAt is when a path last became narrower.
	narrowedAt time.Duration
	// recheckAt is when narrow paths are looked at again, 0 while none is known.
	recheckAt time.Duration
	failure   error
	release   releaser

	// tun is nil for a plain host.
	tun *tunDevice
	// snap is what the data plane looks at; it is replaced, never changed.
	snap    atomic.Pointer[snapshot]
	tally   tally
	stopped chan struct{}
	done    chan struct{}
	workers sync.WaitGroup
}

// Start makes everything that the node needs in its namespace: the TUN device,
// sockets, rules and routes, and the watch over its interfaces. An error has
// undone what was made. The node is silent until Boot, but answers nobody
// either: what comes before Boot waits in its sockets.
func Start(cfg Config) (*Host, error) {
	if cfg.Tunnel == "" {
		cfg.Tunnel = tunnelDefault
	}
	if cfg.Devices != nil && len(cfg.Devices) != len(cfg.Node.Interfaces) {
		return nil, fmt.Errorf("node %q: %d device names for %d interfaces; give one each, or none", cfg.Node.Name, len(cfg.Devices), len(cfg.Node.Interfaces))
	}
	if cfg.Namespace == nil || cfg.Clock == nil {
		return nil, fmt.Errorf("node %q: a host needs a namespace and a clock", cfg.Node.Name)
	}
	h := &Host{
		cfg:     cfg,
		sas:     newAssociations(),
		sockets: make(map[netip.AddrPort]*socket),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
	}
	h.snap.Store(&snapshot{})
	if err := h.start(); err != nil {
		h.mu.Lock()
		h.shut()
		h.mu.Unlock()
		h.workers.Wait()
		return nil, errors.Join(fmt.Errorf("node %q: %w", cfg.Node.Name, err), h.cleanUp())
	}
	return h, nil
}

// start is Start behind the checks.
func (h *Host) start() error {
	var err error
	// A path of the descriptor, because that of the thread which made the
	// namespace may be gone.
	if h.namespace, err = ns.GetNS(fmt.Sprintf("/proc/self/fd/%d", h.cfg.Namespace.Fd())); err != nil {
		return fmt.Errorf("its namespace: %w", err)
	}
	if h.kernel, err = netlink.NewHandleAt(netns.NsHandle(h.namespace.Fd()), unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink in its namespace: %w", err)
	}
	if err := h.namespace.Do(func(ns.NetNS) (err error) {
		h.families, err = h.cfg.kernelFamilies()
		return err
	}); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.watch(); err != nil {
		return err
	}
	if h.cfg.Node.IKE == nil {
		return nil
	}
	cfg := *h.cfg.Node.IKE
	if cfg.SourceAddr == nil {
		cfg.SourceAddr = h.sourceAddr
	}
	if h.machine, err = ike.New(cfg); err != nil {
		return err
	}
	h.policies = newPolicies(&cfg)
	h.timer = time.AfterFunc(time.Hour, h.timeout)
	h.timer.Stop()
	if h.tun, err = h.openTUN(); err != nil {
		return err
	}
	if err := h.openRelease(); err != nil {
		return err
	}
	h.refreshPolicies()
	if err := h.applyKernel(); err != nil {
		return err
	}
	if err := h.openClearLog(); err != nil {
		return err
	}
	return h.syncSockets()
}

// Boot is the node's first instant: the machine learns its addresses and begins
// what its configuration starts. It is called once; a second call does nothing.
func (h *Host) Boot() {
	h.enter(func() {
		if h.booted {
			return
		}
		h.booted = true
		if h.machine == nil {
			return
		}
		for _, s := range h.sockets {
			h.serve(s)
		}
		h.workers.Add(2)
		go newOutWorker(h).run()
		go h.release.run(h)
		h.tell(ike.AddressChange{Local: h.addresses()})
		h.tell(ike.Start{})
	})
}

// enter runs f, and what the machine makes of it, with the lock held. It reports
// whether the host was still there.
func (h *Host) enter(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.tick()
	f()
	h.runIKE()
	h.rearm()
	return true
}

// tick reads the clock; instants never go back.
func (h *Host) tick() { h.now = max(h.now, h.cfg.Clock()) }

// Command hands an operator's command to the IKEv2 machine; a plain host ignores
// it, and so does one that has not booted.
func (h *Host) Command(c ike.Command) {
	h.enter(func() {
		if h.booted {
			h.tell(c)
		}
	})
}

// Associations lists the installed CHILD_SAs in order of installation, with
// their counters.
func (h *Host) Associations() []node.Association {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]node.Association, len(h.sas.all))
	for i, a := range h.sas.all {
		all[i] = a.describe()
	}
	return all
}

// Policies lists what is protected, in the order in which packets meet it: the configured
// children in the file's order, each behind its associations, the newest first.
func (h *Host) Policies() []Policy {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []Policy
	byPolicy := h.associationsByPolicy()
	for i, p := range h.policies {
		for _, a := range byPolicy[i] {
			all = append(all, Policy{Connection: a.connection, Child: a.child, Association: a.ordinal, Local: a.policy.Local, Remote: a.policy.Remote})
		}
		all = append(all, Policy{Connection: p.connection, Child: p.child, Trap: p.trap, Local: p.match.Local, Remote: p.match.Remote})
	}
	return all
}

// Addresses lists the node's own addresses as the kernel has them, per interface
// of the configuration.
func (h *Host) Addresses() [][]netip.Prefix {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([][]netip.Prefix, len(h.interfaces))
	for i := range h.interfaces {
		all[i] = append(all[i], h.interfaces[i].addresses...)
	}
	return all
}

// Done is closed when the host has ended, by Kill, Close or a failure.
func (h *Host) Done() <-chan struct{} { return h.done }

// Err is the failure that ended the host; nil while it runs, and after Kill and
// Close.
func (h *Host) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failure
}

// Kill ends the host as kill -9 ends a daemon: everything is closed at once and
// nothing is sent. What a kernel keeps when a daemon dies stays: the rules that
// hold protected traffic back from leaving in clear, and those that drop what
// comes in clear but should not. Start in the same namespace replaces them.
func (h *Host) Kill() {
	h.end(nil)
	h.workers.Wait()
}

// Close is Kill, and takes the rules away too.
func (h *Host) Close() error {
	h.Kill()
	return h.cleanUp()
}

// fail ends the host because of a failure. The caller may be one of its workers.
func (h *Host) fail(err error) { h.end(fmt.Errorf("node %q: %w", h.cfg.Node.Name, err)) }

// end closes everything, once, without waiting for the workers.
func (h *Host) end(failure error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.failure = failure
	h.shut()
}

// letGo closes what a worker uses. That waits for the worker, which may be waiting
// for the lock, and so is not done under it; Kill waits for both.
func (h *Host) letGo(closing func()) { h.workers.Go(closing) }

// shut closes what is open. The lock is held.
func (h *Host) shut() {
	h.ended = true
	close(h.stopped)
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.watcher != nil {
		h.watcher.close()
	}
	if h.clearLog != nil {
		h.clearLog.close()
	}
	for _, s := range h.sockets {
		h.letGo(s.close)
	}
	h.letGo(h.release.close)
	if h.tun != nil {
		h.letGo(h.tun.close)
	}
	h.applied.filter.close()
	if h.kernel != nil {
		h.kernel.Close()
	}
	if h.namespace != nil {
		_ = h.namespace.Close()
	}
	close(h.done)
}
