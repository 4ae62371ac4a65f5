package node

import (
	"time"

	"github.com/ikelab/ikelab/ike"
)

const (
	// holdPacketsPerPolicyMax packets wait for one policy's association; the
	// oldest gives way.
	holdPacketsPerPolicyMax = 64
	// holdTimeoutMs is how long a packet waits. Linux gives a negotiation the
	// same (net.core.xfrm_acq_expires).
	holdTimeoutMs = 30_000
)

// heldPacket waits for an association.
type heldPacket struct {
	packet
	expires time.Duration
}

// dropFor drops a packet of a policy's traffic.
func (n *Node) dropFor(p *packet, by *policy, reason DropReason) {
	e := n.drop(p, reason)
	e.ESP.Connection, e.ESP.Child = by.connection, by.child
}

// hold keeps a packet that a policy protects and no association fits, when the
// policy is a trap, and asks for an association once. A packet that lies outside what
// the association with the child's one peer was narrowed to does not wait: it takes
// CREATE_CHILD_SA to ask for another association beside that one. Where any peer may
// come, the packet may be for another of them.
func (n *Node) hold(p *packet, by *policy) {
	reason := DropReason("")
	switch {
	case len(by.remoteAddrs) > 0 && n.associations.sendsFor(by):
		reason = DropOutsideNarrowed
	case !by.trap || p.released:
		reason = DropNoAssociation
	case n.now < by.rests:
		reason = DropTrapRests
	}
	if reason != "" {
		n.dropFor(p, by, reason)
		return
	}
	if len(by.held) == holdPacketsPerPolicyMax {
		oldest := by.held[0]
		by.held = append(by.held[:0], by.held[1:]...)
		n.dropFor(&oldest.packet, by, DropHoldFull)
	}
	by.held = append(by.held, heldPacket{packet: *p, expires: n.now + holdTimeoutMs*time.Millisecond})
	if by.acquiring && n.now-by.asked < holdTimeoutMs*time.Millisecond {
		return
	}
	by.acquiring, by.asked = true, n.now
	e := n.event(EventTrapAcquire, p.arrived)
	e.Drop.Packet = p.key
	e.ESP.Connection, e.ESP.Child = by.connection, by.child
	key := ike.TrafficKey{Source: p.key.Src, Destination: p.key.Dst, Protocol: p.key.Protocol}
	if p.key.PortsKnown {
		key.SourcePort, key.DestinationPort = p.key.SrcPort, p.key.DstPort
	}
	n.tellIKE(ike.Acquire{Connection: by.connection, Child: by.child, Packet: key})
}

// release sends what waited for a child, in order, now that it has an
// association. What does not fit its selectors, which may be narrower than the
// policy's, is dropped.
func (n *Node) release(connection, child string) {
	for _, c := range n.policies {
		if c.connection != connection || c.child != child {
			continue
		}
		held := c.held
		c.held, c.acquiring, c.rests = nil, false, 0
		for i := range held {
			held[i].released = true
			n.output(&held[i].packet)
		}
	}
}

// rest drops what waits for a child, or for any of the connection, because the
// negotiation has failed, and lets traps rest until the machine wants to be asked again.
func (n *Node) rest(r ike.TrapRests) {
	for _, c := range n.policies {
		if c.connection != r.Connection || (r.Child != "" && c.child != r.Child) {
			continue
		}
		held := c.held
		c.held, c.acquiring, c.rests = nil, false, r.Until
		for i := range held {
			n.dropFor(&held[i].packet, c, DropNegotiationFailed)
		}
	}
}

// Waiting describes the packets that wait for an association, as drops: when a run, or
// the node, ends, nobody will send them.
func (n *Node) Waiting() []Event {
	var all []Event
	for _, c := range n.policies {
		for i := range c.held {
			p := &c.held[i]
			all = append(all, Event{Kind: EventPacketDropped, Interface: p.arrived,
				Drop: Drop{Reason: DropStillHeld, Packet: p.key}, ESP: ESP{Connection: c.connection, Child: c.child}})
		}
	}
	return all
}

// expireHeld drops what has waited too long. A packet that comes so long after the
// machine was asked asks again.
func (n *Node) expireHeld() {
	for _, c := range n.policies {
		for len(c.held) > 0 && c.held[0].expires <= n.now {
			oldest := c.held[0]
			c.held = append(c.held[:0], c.held[1:]...)
			n.dropFor(&oldest.packet, c, DropHoldTimeout)
		}
	}
}
