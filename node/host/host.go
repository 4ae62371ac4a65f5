package host

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
)

// Config describes a node on a real kernel.
type Config struct {
	// Node is as for node.New. IKE nil is a plain host: its interfaces are
	// watched, and nothing else is done.
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
	// host's lock held and must not call back. Nil: nobody looks.
	Observe func(node.Output)
	// PacketEvents asks for esp-in and esp-out events too, one per packet.
	PacketEvents bool
	// Tunnel names the TUN device; empty is "ipsec0".
	Tunnel string
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
// concurrent use.
type Host struct{}

// Start makes everything that the node needs in its namespace and boots it. An
// error has undone what was made.
func Start(cfg Config) (*Host, error) {
	return nil, fmt.Errorf("node %q: %w", cfg.Node.Name, errors.ErrUnsupported)
}

// Command hands an operator's command to the IKEv2 machine; a plain host ignores
// it.
func (h *Host) Command(_ ike.Command) {}

// Associations lists the installed CHILD_SAs in order of installation, with
// their counters.
func (h *Host) Associations() []node.Association { return nil }

// Policies lists what is protected, in the order in which packets meet it.
func (h *Host) Policies() []Policy { return nil }

// Addresses lists the node's own addresses as the kernel has them, per interface
// of the configuration.
func (h *Host) Addresses() [][]netip.Prefix { return nil }

// Done is closed when the host has ended, by Kill, Close or a failure.
func (h *Host) Done() <-chan struct{} { return nil }

// Err is the failure that ended the host; nil while it runs, and after Kill and
// Close.
func (h *Host) Err() error { return nil }

// Kill ends the host as kill -9 ends a daemon: everything is closed at once and
// nothing is sent. What a kernel keeps when a daemon dies stays: the rules that
// hold protected traffic back from leaving in clear. Start in the same namespace
// replaces them.
func (h *Host) Kill() {}

// Close is Kill, and takes the rules away too.
func (h *Host) Close() error { return nil }
