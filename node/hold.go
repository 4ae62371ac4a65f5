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
// policy is a trap, and asks for an association once.
func (n *Node) hold(p *packet, by *policy) {
	if !by.trap || p.released {
		n.dropFor(p, by, DropNoAssociation)
		return
	}
	if len(by.held) == holdPacketsPerPolicyMax {
		oldest := by.held[0]
		by.held = append(by.held[:0], by.held[1:]...)
		n.dropFor(&oldest.packet, by, DropHoldFull)
	}
	by.held = append(by.held, heldPacket{packet: *p, expires: n.now + holdTimeoutMs*time.Millisecond})
	if by.acquiring {
		return
	}
	by.acquiring = true
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
		c.held, c.acquiring = nil, false
		for i := range held {
			held[i].released = true
			n.output(&held[i].packet)
		}
	}
}

// failHeld drops what waits for a child, or with an empty name for any child of
// the connection.
func (n *Node) failHeld(connection, child string) {
	for _, c := range n.policies {
		if c.connection != connection || (child != "" && c.child != child) {
			continue
		}
		held := c.held
		c.held, c.acquiring = nil, false
		for i := range held {
			n.dropFor(&held[i].packet, c, DropNegotiationFailed)
		}
	}
}

// expireHeld drops what has waited too long. The next packet asks again.
func (n *Node) expireHeld() {
	for _, c := range n.policies {
		for len(c.held) > 0 && c.held[0].expires <= n.now {
			oldest := c.held[0]
			c.held = append(c.held[:0], c.held[1:]...)
			n.dropFor(&oldest.packet, c, DropHoldTimeout)
			c.acquiring = len(c.held) > 0
		}
	}
}
