package node

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
)

// Node is one host. It has no lock: one caller at a time.
type Node struct {
	name       string
	forward    bool
	interfaces []attachment
	routes     routes
	// ports are the open UDP ports.
	ports map[uint16]struct{}
	// ids count the packets per destination that may be fragmented.
	ids map[netip.Addr]uint32
	// pathMTUs are what other nodes reported about the ways from here, by the other
	// end alone; outerMTUs are the same for the packets of associations.
	pathMTUs, outerMTUs PathMTUs
	sent                sent
	icmpErrors          tokenBucket
	reassemblies        []*reassembly

	// machine is nil for a plain host.
	machine *ike.Machine
	// ikeEvents wait for the end of what is being handled: the machine is not
	// entered again while its actions are carried out.
	ikeEvents []ike.Event

	policies []*policy
	// installed are the children whose held packets go when the machine's actions
	// are done.
	installed    []childName
	associations associations
	spd          esp.SPD
	// decisions remembers what the SPD said; any change of it empties them.
	decisions map[decisionKey]*esp.Policy

	booted bool
	now    time.Duration
	// outputs and what they point to live from one Handle to the next.
	outputs  []Output
	packets  []PacketOut
	delivers []Deliver
	events   []Event
}

// childName names a child of a connection.
type childName struct{ connection, child string }

// New makes a host from its configuration. Errors name the node, the part at
// fault and the remedy.
func New(cfg Config) (*Node, error) {
	interfaces, err := newAttachments(cfg.Name, cfg.Interfaces)
	if err != nil {
		return nil, err
	}
	table, err := newRoutes(cfg.Name, cfg.Routes, interfaces)
	if err != nil {
		return nil, err
	}
	n := &Node{
		name:         cfg.Name,
		forward:      cfg.Forward,
		interfaces:   interfaces,
		routes:       table,
		ports:        make(map[uint16]struct{}),
		ids:          make(map[netip.Addr]uint32),
		icmpErrors:   tokenBucket{tokens: icmpErrorBurstMax},
		associations: newAssociations(),
		decisions:    make(map[decisionKey]*esp.Policy),
	}
	for _, port := range cfg.Listen {
		n.ports[port] = struct{}{}
	}
	if cfg.IKE != nil {
		if err := n.attachIKE(*cfg.IKE); err != nil {
			return nil, fmt.Errorf("node %q: %w", cfg.Name, err)
		}
	}
	return n, nil
}

// Handle takes what happens at the instant now, the time since the lab's epoch,
// and returns what shall be done, in order. now never goes back. The first call
// also boots the node, whatever its input.
func (n *Node) Handle(now time.Duration, in Input) []Output {
	n.now = now
	n.outputs, n.packets, n.delivers, n.events = n.outputs[:0], n.packets[:0], n.delivers[:0], n.events[:0]
	if !n.booted {
		n.booted = true
		n.boot()
	}
	switch in := in.(type) {
	case PacketIn:
		n.receive(in)
	case FromInside:
		n.fromInside(in.Bytes)
	case DatagramOut:
		n.sendDatagram(in)
	case EchoOut:
		n.sendEcho(in)
	case Listen:
		if in.Close {
			delete(n.ports, in.Port)
		} else {
			n.ports[in.Port] = struct{}{}
		}
	case NeighborFailed:
		n.neighborFailed(in)
	case InterfaceChange:
		n.changeInterface(in)
	case AddressChange:
		n.changeAddresses(in)
	case Command:
		n.tellIKE(in.IKE)
	case Timeout:
		n.expireReassemblies()
		n.expireHeld()
		if at, _, ok := n.ikeDeadline(); ok && at <= now {
			n.tellESP()
			n.tellIKE(ike.Timeout{})
		}
	}
	n.runIKE()
	return n.outputs
}

// Deadline says when the node wants a Timeout, and what for; ok is false when
// it waits for nothing. It may lie in the past, which means at once.
func (n *Node) Deadline() (at time.Duration, why string, ok bool) {
	if !n.booted {
		return 0, "boot", true
	}
	at, why, ok = n.ikeDeadline()
	earlier := func(t time.Duration, reason string) {
		if !ok || t < at {
			at, why, ok = t, reason, true
		}
	}
	if len(n.reassemblies) > 0 {
		earlier(n.reassemblies[0].expires, "reassembly")
	}
	for _, p := range n.policies {
		if len(p.held) > 0 {
			earlier(p.held[0].expires, "held packet")
		}
	}
	return at, why, ok
}

// changeInterface takes an interface up or down. A change to the state that it
// already has is none.
func (n *Node) changeInterface(in InterfaceChange) {
	if !n.hasInterface(in.Interface) || n.interfaces[in.Interface].up == in.Up {
		return
	}
	n.interfaces[in.Interface].up = in.Up
	kind := EventInterfaceDown
	if in.Up {
		kind = EventInterfaceUp
	}
	n.event(kind, in.Interface)
	n.addressesChanged()
}

// changeAddresses gives an interface other addresses. Addresses that cannot be
// an interface's leave it as it was, and the event says why.
func (n *Node) changeAddresses(in AddressChange) {
	if !n.hasInterface(in.Interface) {
		return
	}
	event := n.event(EventAddressChanged, in.Interface)
	if err := checkAddresses(in.Addresses); err != nil {
		event.Problem = err.Error()
		return
	}
	n.interfaces[in.Interface].addresses = append([]netip.Prefix(nil), in.Addresses...)
	n.addressesChanged()
}

// addressesChanged brings everything up to date that depends on interfaces.
func (n *Node) addressesChanged() {
	n.routes.rebuild(n.interfaces)
	if err := n.refreshPolicies(); err != nil {
		n.event(EventInstallFailed, fromInside).Problem = err.Error()
	}
	n.tellIKE(ike.AddressChange{Local: n.addresses()})
}

// addresses are those of the interfaces that are up, in order.
func (n *Node) addresses() []netip.Addr {
	return n.addressesOf(func(a attachment) bool { return a.up })
}

// addressesOf are those of the interfaces that are wanted.
func (n *Node) addressesOf(wanted func(attachment) bool) []netip.Addr {
	var all []netip.Addr
	for _, a := range n.interfaces {
		if wanted(a) {
			for _, p := range a.addresses {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

func (n *Node) hasInterface(i int) bool { return i >= 0 && i < len(n.interfaces) }

// packet adds a packet to the outputs.
func (n *Node) packet(p PacketOut) {
	n.packets = append(n.packets, p)
	n.outputs = append(n.outputs, &n.packets[len(n.packets)-1])
}

// deliver adds a delivery of p to the outputs, for the caller to complete.
func (n *Node) deliver(kind DeliverKind, p *packet) *Deliver {
	n.delivers = append(n.delivers, Deliver{
		Kind: kind, Src: netip.AddrPortFrom(p.key.Src, 0), Dst: netip.AddrPortFrom(p.key.Dst, 0),
		Protected: p.via != nil, HopLimit: p.hopLimit,
	})
	d := &n.delivers[len(n.delivers)-1]
	n.outputs = append(n.outputs, d)
	return d
}

// event adds an event to the outputs, for the caller to complete.
func (n *Node) event(kind EventKind, iface int) *Event {
	n.events = append(n.events, Event{Kind: kind, Interface: iface})
	e := &n.events[len(n.events)-1]
	n.outputs = append(n.outputs, e)
	return e
}

// drop records that p goes nowhere.
func (n *Node) drop(p *packet, reason DropReason) *Event {
	return n.dropKey(p.key, reason, p.arrived)
}

// dropKey records that the packet described by k goes nowhere.
func (n *Node) dropKey(k PacketKey, reason DropReason, iface int) *Event {
	kind := EventPacketDropped
	switch reason {
	case DropClearInbound, DropNoAssociation, DropOutsideNarrowed, DropTrapRests, DropSelectorMismatch, DropICMPUnprotected:
		kind = EventPolicyDrop
	}
	e := n.event(kind, iface)
	e.Drop = Drop{Reason: reason, Packet: k}
	return e
}
