//go:build linux

package host

import (
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
)

// childName names a child of a connection.
type childName struct{ connection, child string }

// tell queues an event for the machine. The lock is held, here and below; enter
// lets the machine have it.
func (h *Host) tell(ev ike.Event) {
	if h.machine != nil {
		h.ikeEvents = append(h.ikeEvents, ev)
	}
}

// runIKE lets the machine handle what is queued and carries its actions out.
func (h *Host) runIKE() {
	for len(h.ikeEvents) > 0 {
		ev := h.ikeEvents[0]
		h.ikeEvents = h.ikeEvents[1:]
		for _, action := range h.machine.Step(h.now, ev) {
			h.act(action)
		}
		if h.unpublished {
			h.publish()
		}
		// What waited leaves behind the message that tells the peer of the
		// association: a responder installs before it sends its response.
		for _, c := range h.installed {
			h.releaseHeld(c.connection, c.child)
		}
		h.installed = h.installed[:0]
	}
	h.ikeEvents = nil
}

// act carries out one action of the machine.
func (h *Host) act(action ike.Action) {
	switch action := action.(type) {
	case ike.Send:
		h.sendIKE(action)
	case ike.InstallChild:
		if err := h.install(&action.SA); err != nil {
			h.event(node.Event{Kind: node.EventInstallFailed, Interface: fromInside, Problem: err.Error(), ESP: node.ESP{Connection: action.SA.Connection, Child: action.SA.Child}})
			h.tell(ike.Lifetime{SPI: action.SA.SPIIn, Hard: true, NotInstalled: true})
			return
		}
		h.installed = append(h.installed, childName{action.SA.Connection, action.SA.Child})
	case ike.DeleteChild:
		h.uninstall(action)
	case ike.MoveChild:
		h.move(action)
	case ike.TrapRests:
		h.restTraps(action)
	case ike.Record:
		h.record(action)
	}
}

// sendIKE sends an IKE message or a NAT keepalive. It passes the policy by.
func (h *Host) sendIKE(s ike.Send) {
	packet, key := node.IKEPacket(s, 0)
	via := h.sockets[s.Local]
	switch {
	case via == nil || s.Local.Addr().Is4() != s.Remote.Addr().Is4():
		h.drop(key, node.DropNoSource, fromInside, node.ESP{})
		return
	case packet == nil:
		h.drop(key, node.DropTooBig, fromInside, node.ESP{})
		return
	}
	way, ok := h.route(s.Local.Addr(), s.Remote.Addr())
	if !ok {
		h.drop(key, node.DropNoRoute, fromInside, node.ESP{})
		return
	}
	if way.iface >= 0 {
		h.observe(&node.PacketOut{Interface: way.iface, NextHop: way.next, Bytes: packet, Origin: node.OriginIKE, Exchange: s.Exchange})
	}
	headers := ipHeaderBytes(s.Remote.Addr()) + udpHeaderBytes
	if err := via.sendTo(packet[headers:], s.Remote); err != nil {
		h.drop(key, sendReason(err), way.iface, node.ESP{})
	}
}

// datagram hands an IKE message to the machine, which keeps the bytes.
func (h *Host) datagram(local, remote netip.AddrPort, message []byte) {
	h.enter(func() {
		h.tell(ike.Datagram{Local: local, Remote: remote, Payload: append([]byte(nil), message...)})
	})
}

// timeout is the timer's call.
func (h *Host) timeout() {
	h.enter(func() {
		h.expireHeld()
		h.recheckPaths()
		if at, _, ok := h.machine.Deadline(); ok && at <= h.now {
			h.tellESP()
			h.tell(ike.Timeout{})
		}
	})
}

// rearm sets the timer to the next deadline.
func (h *Host) rearm() {
	if h.timer == nil {
		return
	}
	at, _, ok := h.machine.Deadline()
	for _, p := range h.policies {
		if len(p.held) > 0 && (!ok || p.held[0].expires < at) {
			at, ok = p.held[0].expires, true
		}
	}
	if h.recheckAt != 0 && (!ok || h.recheckAt < at) {
		at, ok = h.recheckAt, true
	}
	if !ok {
		h.timer.Stop()
		return
	}
	h.timer.Reset(max(at-h.now, 0))
}

// tellESP tells the machine of the packets it has not heard of yet, before it
// judges how long its peers have been silent.
func (h *Host) tellESP() {
	for _, a := range h.sas.all {
		if seen := time.Duration(a.seen.Load()); seen > time.Duration(a.told.Load()) {
			a.told.Store(int64(seen))
			h.tell(ike.ESPSeen{SPI: a.spiIn, Remote: a.path.Load().remote, At: min(seen, h.now)})
		}
		if sent := time.Duration(a.sent.Load()); sent > a.toldSent {
			a.toldSent = sent
			h.tell(ike.ESPSent{SPI: a.spiIn, At: min(sent, h.now)})
		}
	}
}
