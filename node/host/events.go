//go:build linux

package host

import (
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
)

// fromInside stands for the interface of what concerns none.
const fromInside = -1

// observe passes an output on. The lock is held, here and below.
func (h *Host) observe(out node.Output) {
	if h.cfg.Observe != nil {
		h.cfg.Observe(out)
	}
}

// event passes an event on.
func (h *Host) event(e node.Event) { h.observe(&e) }

// drop records that a packet goes nowhere.
func (h *Host) drop(key node.PacketKey, reason node.DropReason, iface int, of node.ESP) {
	kind := node.EventPacketDropped
	switch reason {
	case node.DropClearInbound, node.DropNoAssociation, node.DropOutsideNarrowed, node.DropTrapRests, node.DropSelectorMismatch, node.DropICMPUnprotected:
		kind = node.EventPolicyDrop
	}
	h.event(node.Event{Kind: kind, Interface: iface, Drop: node.Drop{Reason: reason, Packet: key}, ESP: of})
}

// record passes a record of the machine on. A CHILD_SA gets the number by which the node's
// own events name it: the machine's is unique within one IKE SA alone.
func (h *Host) record(r ike.Record) {
	if r.Child != nil {
		if a := h.sas.inbound[r.Child.SPIIn]; a != nil {
			numbered := *r.Child
			numbered.Ordinal = a.ordinal
			r.Child = &numbered
		}
	}
	h.event(node.Event{Kind: node.EventKind(r.Kind), Interface: fromInside, IKE: &r, Child: r.Child})
	if r.Kind == ike.RecordChildInstalled {
		// Only now, so that nobody sees a packet of an association before the
		// association.
		h.publish()
	}
}

// observePacket passes an event about a packet of an association on, unless that
// direction of it has been deleted meanwhile: then it is false, and the packet must
// go nowhere. The caller does not hold the lock.
func (h *Host) observePacket(stands *bool, f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || !*stands {
		return false
	}
	f()
	return true
}
