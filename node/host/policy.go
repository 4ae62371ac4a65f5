//go:build linux

package host

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
)

const (
	// holdPacketsPerPolicyMax packets wait for one policy's association; the
	// oldest gives way.
	holdPacketsPerPolicyMax = 64
	// holdTimeout is how long a packet waits. Linux gives a negotiation the same
	// (net.core.xfrm_acq_expires).
	holdTimeout = 30 * time.Second
)

// policy is a configured child: its traffic is protected or goes nowhere
// (RFC 4301 §4.4.1, PROTECT).
type policy struct {
	connection, child string
	trap              bool
	// localTS and remoteTS are the configuration; empty is dynamic.
	localTS, remoteTS       []wire.Selector
	localAddrs, remoteAddrs []netip.Addr
	// match is the policy with "dynamic" resolved. Without selectors for both
	// ends it matches nothing. The lock guards it; the data plane has copies.
	match esp.Policy

	// acquiring is true from an acquire, at asked, until its outcome.
	acquiring bool
	asked     time.Duration
	// rests is until when the machine is not asked again, because it failed.
	rests time.Duration
	// held are the packets that wait for the outcome, oldest first.
	held []heldPacket
}

// anyOwn says that the policy's local end is whatever addresses this host has.
func (p *policy) anyOwn() bool { return len(p.localTS)+len(p.localAddrs) == 0 }

// heldPacket waits for an association.
type heldPacket struct {
	bytes   []byte
	key     node.PacketKey
	expires time.Duration
}

// newPolicies makes the policies of a configuration, in its order.
func newPolicies(cfg *ike.Config) []*policy {
	var all []*policy
	for _, conn := range cfg.Connections {
		for _, child := range conn.Children {
			all = append(all, &policy{
				connection: conn.Name, child: child.Name, trap: child.StartAction == ike.StartTrap,
				localTS: child.LocalTS, remoteTS: child.RemoteTS,
				localAddrs: conn.LocalAddrs, remoteAddrs: conn.RemoteAddrs,
			})
		}
	}
	return all
}

// refreshPolicies gives "dynamic" the addresses that it now stands for. The lock
// is held, here and below.
func (h *Host) refreshPolicies() {
	own := h.addresses()
	for _, p := range h.policies {
		localAddrs := p.localAddrs
		if len(localAddrs) == 0 {
			localAddrs = own
		}
		p.match = esp.Policy{Action: esp.ActionProtect, Local: node.Selectors(p.localTS, localAddrs), Remote: node.Selectors(p.remoteTS, p.remoteAddrs)}
	}
	h.publish()
}

// reconsider asks the policy again about a packet that no association has carried,
// now that nothing changes meanwhile: an association may have come, or gone.
func (h *Host) reconsider(packet []byte) {
	key, later, _ := node.ReadPacketKey(packet)
	switch v := h.snap.Load().decide(key.Flow(), later); {
	case v.association != nil && v.association.sends:
		h.release.send(v.association, append([]byte(nil), packet...))
	case v.policy != nil:
		h.hold(packet, key, v.policy)
	default:
		// What was protected a moment ago does not leave in clear now.
		h.dropOut(key, node.DropNoAssociation, node.ESP{})
	}
}

// fresh decides about a packet that a policy would have if its source were one of this
// host's addresses, and answers whether it may leave in clear: only if it comes from
// elsewhere, and the rule for another policy brought it here. An address of which the
// host has not heard yet is about to settle, so its packet waits for that. One that this
// host has lost sends nothing.
func (h *Host) fresh(packet []byte) (passes bool) {
	key, later, _ := node.ReadPacketKey(packet)
	s := h.snap.Load()
	v := s.decide(key.Flow(), later)
	switch {
	case !v.fresh:
		h.reconsider(packet)
	case !h.isLocal(key.Src):
		if s.forwards(key.Flow()) {
			return true
		}
		h.dropFor(key, v.policy, node.DropMartian)
	case len(h.unsettled) == holdPacketsPerPolicyMax:
		h.dropFor(key, v.policy, node.DropHoldFull)
	default:
		h.unsettled = append(h.unsettled, append([]byte(nil), packet...))
		h.settleAddresses()
	}
	return false
}

// reconsiderUnsettled asks the policy again about the packets that waited for an
// address to settle.
func (h *Host) reconsiderUnsettled() {
	waited := h.unsettled
	h.unsettled = nil
	for _, packet := range waited {
		h.reconsider(packet)
	}
}

// unheld says why a packet that a policy protects and no association fits does not
// wait for one; empty for one that does. A packet that lies outside what the child's
// association was narrowed to does not: it takes CREATE_CHILD_SA to ask for another
// association beside that one.
func (h *Host) unheld(by *policy, released bool) node.DropReason {
	switch {
	case len(by.remoteAddrs) > 0 && slices.ContainsFunc(h.sas.all, func(a *association) bool {
		return a.sends && a.connection == by.connection && a.child == by.child
	}):
		return node.DropOutsideNarrowed
	case !by.trap || released:
		return node.DropNoAssociation
	case h.now < by.rests:
		return node.DropTrapRests
	}
	return ""
}

// hold keeps a packet that a policy protects and no association fits, when the
// policy is a trap, and asks for an association once.
func (h *Host) hold(packet []byte, key node.PacketKey, by *policy) {
	if reason := h.unheld(by, false); reason != "" {
		h.dropFor(key, by, reason)
		return
	}
	if len(by.held) == holdPacketsPerPolicyMax {
		oldest := by.held[0]
		by.held = append(by.held[:0], by.held[1:]...)
		h.dropFor(oldest.key, by, node.DropHoldFull)
	}
	by.held = append(by.held, heldPacket{bytes: append([]byte(nil), packet...), key: key, expires: h.now + holdTimeout})
	if by.acquiring && h.now-by.asked < holdTimeout {
		return
	}
	by.acquiring, by.asked = true, h.now
	h.event(node.Event{Kind: node.EventTrapAcquire, Interface: fromInside, Drop: node.Drop{Packet: key},
		ESP: node.ESP{Connection: by.connection, Child: by.child}})
	traffic := ike.TrafficKey{Source: key.Src, Destination: key.Dst, Protocol: key.Protocol}
	if key.PortsKnown {
		traffic.SourcePort, traffic.DestinationPort = key.SrcPort, key.DstPort
	}
	h.tell(ike.Acquire{Connection: by.connection, Child: by.child, Packet: traffic})
}

// dropFor drops a packet of a policy's traffic.
func (h *Host) dropFor(key node.PacketKey, by *policy, reason node.DropReason) {
	h.dropOut(key, reason, node.ESP{Connection: by.connection, Child: by.child})
}

// takeHeld empties the wait of a child, or with an empty name of every child of
// the connection. Its trap then rests until an instant.
func (h *Host) takeHeld(connection, child string, rests time.Duration, each func(by *policy, p *heldPacket)) {
	for _, by := range h.policies {
		if by.connection != connection || (child != "" && by.child != child) {
			continue
		}
		held := by.held
		by.held, by.acquiring, by.rests = nil, false, rests
		for i := range held {
			each(by, &held[i])
		}
	}
}

// releaseHeld sends what waited for a child, in order, now that it has an
// association. What does not fit its selectors, which may be narrower than the
// policy's, is dropped.
func (h *Host) releaseHeld(connection, child string) {
	h.takeHeld(connection, child, 0, func(by *policy, p *heldPacket) {
		v := h.snap.Load().decide(p.key.Flow(), false)
		if v.association == nil {
			h.dropFor(p.key, by, h.unheld(by, true))
			return
		}
		h.release.send(v.association, p.bytes)
	})
}

// restTraps drops what waits for a child, or for any of the connection, because the
// negotiation has failed, and lets traps rest until the machine wants to be asked again.
func (h *Host) restTraps(r ike.TrapRests) {
	h.takeHeld(r.Connection, r.Child, r.Until, func(by *policy, p *heldPacket) { h.dropFor(p.key, by, node.DropNegotiationFailed) })
}

// Waiting describes the packets that wait for an association, or for an address to
// settle, as drops: when a run, or the node, ends, nobody will send them.
func (h *Host) Waiting() []node.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []node.Event
	add := func(key node.PacketKey, of node.ESP) {
		all = append(all, node.Event{Kind: node.EventPacketDropped, Interface: fromInside, Drop: node.Drop{Reason: node.DropStillHeld, Packet: key}, ESP: of})
	}
	for _, by := range h.policies {
		for i := range by.held {
			add(by.held[i].key, node.ESP{Connection: by.connection, Child: by.child})
		}
	}
	for _, packet := range h.unsettled {
		key, _, _ := node.ReadPacketKey(packet)
		add(key, node.ESP{})
	}
	return all
}

// expireHeld drops what has waited too long. A packet that comes so long after the
// machine was asked asks again.
func (h *Host) expireHeld() {
	for _, by := range h.policies {
		for len(by.held) > 0 && by.held[0].expires <= h.now {
			oldest := by.held[0]
			by.held = append(by.held[:0], by.held[1:]...)
			h.dropFor(oldest.key, by, node.DropHoldTimeout)
		}
	}
}
