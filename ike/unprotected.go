package ike

import (
	"fmt"

	"github.com/ikelab/ikelab/ike/wire"
)

// invalidMajorVersion answers a message of a later IKE; the version that this end
// speaks is in the answer's header (RFC 7296 §2.5, §3.10.1).
func (m *Machine) invalidMajorVersion(d Datagram, h wire.Header) {
	why := fmt.Sprintf("IKE version %d.%d", h.MajorVersion, h.MinorVersion)
	if h.IsResponse() {
		m.drop(nil, d, &h, why)
		return
	}
	m.replyUnprotected(d, h, &wire.Notify{Kind: wire.InvalidMajorVersion}, why)
}

// unknownSPI answers a request for an IKE SA that does not exist (RFC 7296 §2.21.4).
func (m *Machine) unknownSPI(d Datagram, h wire.Header) {
	if h.IsResponse() {
		m.drop(nil, d, &h, "a response for an IKE SA that does not exist")
		return
	}
	m.replyUnprotected(d, h, &wire.Notify{Kind: wire.InvalidIKESPI}, "no IKE SA has these SPIs")
}

// replyUnprotected records a message that belongs to no IKE SA as dropped and
// answers it, as far as the bound on such answers allows.
func (m *Machine) replyUnprotected(d Datagram, h wire.Header, n *wire.Notify, why string) {
	m.drop(nil, d, &h, why)
	if m.now-m.unprotectedSince >= unprotectedRepliesWindow {
		m.unprotectedSince, m.unprotectedCount = m.now, 0
	}
	if m.unprotectedCount >= m.cfg.Limits.UnprotectedRepliesPerSecondMax {
		return
	}
	m.unprotectedCount++
	m.sendUnprotected(d, h, n)
}

// sendUnprotected answers a request with one notification, outside any IKE SA, and
// never with more octets than the request had.
func (m *Machine) sendUnprotected(d Datagram, h wire.Header, n *wire.Notify) {
	rh := wire.Header{
		InitiatorSPI: h.InitiatorSPI, ResponderSPI: h.ResponderSPI, Exchange: h.Exchange, MessageID: h.MessageID,
		Flags: wire.FlagResponse,
	}
	if !h.FromInitiator() {
		rh.Flags |= wire.FlagInitiator
	}
	ps := []wire.Payload{n}
	b, err := (&wire.Message{Header: rh, Payloads: ps}).Append(nil)
	if err != nil || len(b) > len(d.Payload) {
		m.drop(nil, d, &h, fmt.Sprintf("answering %d octets would send an unproven address more than that", len(d.Payload)))
		return
	}
	info := describe(rh, ps, false)
	recorded := info
	m.emit(Record{Kind: RecordSent, Local: d.Local, Remote: d.Remote, Exchange: &recorded})
	m.emit(Send{Local: d.Local, Remote: d.Remote, Payload: b, NonESPMarker: d.Local.Port() == portNATT, Exchange: &info})
}
