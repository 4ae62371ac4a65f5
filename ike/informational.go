package ike

import (
	"errors"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// startTasks begins the next exchange that waits, once the window is free.
func (m *Machine) startTasks(sa *ikeSA) {
	for sa.up() && sa.out == nil && len(sa.tasks) > 0 {
		t := sa.tasks[0]
		sa.tasks = slices.Delete(sa.tasks, 0, 1)
		switch t.kind {
		case taskDeleteChild:
			if !slices.Contains(sa.children, t.child) {
				continue // it went meanwhile
			}
			t.child.deleting = true
			m.request(sa, wire.ExchangeInformational, []wire.Payload{deleteESP(t.spi)}, t)
		case taskDeleteIKE:
			sa.tasks = nil
			m.setState(sa, stateDeleting)
			m.request(sa, wire.ExchangeInformational, []wire.Payload{&wire.Delete{Protocol: wire.ProtocolIKE}}, t)
		case taskLiveness:
			m.record(sa, Record{Kind: RecordLiveness, Fields: reason(t.reason)})
			m.request(sa, wire.ExchangeInformational, nil, t)
		}
	}
}

// deleteESP is a Delete payload for SAs this end receives with.
func deleteESP(spis ...uint32) *wire.Delete {
	d := &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4}
	for _, spi := range spis {
		d.SPIs = append(d.SPIs, espSPIBytes(spi))
	}
	return d
}

// checkLiveness asks the peer for a sign of life, an empty INFORMATIONAL exchange
// (RFC 7296 §2.4).
func (m *Machine) checkLiveness(sa *ikeSA, why string) {
	sa.queue(task{kind: taskLiveness, reason: why})
}

// informationalRequest handles the peer's INFORMATIONAL request (RFC 7296 §1.4).
func (m *Machine) informationalRequest(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload) {
	afterAuth := !sa.initiator && h.MessageID == authMessageID+1
	var answer []wire.Payload
	var gone []uint32
	end := ""
	for _, p := range ps {
		switch p := p.(type) {
		case *wire.Delete:
			switch p.Protocol {
			case wire.ProtocolIKE:
				end = "the peer deleted it"
				if sa.state == stateDeleting {
					end = "both ends deleted it at the same time" // our own request is forgotten (RFC 7296 §2.25.2)
				}
			case wire.ProtocolESP:
				gone = append(gone, m.deletedByPeer(sa, p)...)
			}
		case *wire.Notify:
			if fatal(p.Kind) && afterAuth {
				end = p.Kind.String() // the initiator did not accept our IKE_AUTH response (RFC 7296 §2.21.2)
			}
		}
	}
	if end == "" && len(gone) > 0 {
		answer = append(answer, deleteESP(gone...))
	}
	if !m.respond(sa, d, h, answer) {
		return
	}
	if end == "" {
		return
	}
	lost := slices.Clone(sa.children)
	ours := sa.ending()
	m.close(sa, RecordIKEDeleted, end)
	for _, c := range lost {
		if !ours && !c.failed {
			m.childLost(c)
		}
	}
}

// deletedByPeer closes the CHILD_SAs of a Delete payload and returns the SPIs that
// the response has to name. Where this end's own Delete is out already, the
// outbound SA goes now, the inbound one with the response to that, and neither is
// named (RFC 7296 §1.4.1).
func (m *Machine) deletedByPeer(sa *ikeSA, p *wire.Delete) (answer []uint32) {
	for _, spi := range p.SPIs {
		i := slices.IndexFunc(sa.children, func(c *childSA) bool {
			return c.spiOut == espSPIValue(spi) && !c.outGone && !c.failed
		})
		if i < 0 {
			continue
		}
		c := sa.children[i]
		if c.deleting {
			m.removeChild(sa, c, 0, c.spiOut, "both ends deleted it at the same time")
			continue
		}
		m.removeChild(sa, c, c.spiIn, c.spiOut, "the peer deleted it")
		m.childLost(c)
		answer = append(answer, c.spiIn)
	}
	return answer
}

// fatal reports whether a notification ends an IKE SA without a Delete payload
// (RFC 7296 §2.21.2).
func fatal(kind wire.NotifyType) bool {
	return kind == wire.AuthenticationFailed || kind == wire.InvalidSyntax || kind == wire.UnsupportedCriticalPayload
}

// informationalResponse handles the answer to this end's INFORMATIONAL request.
func (m *Machine) informationalResponse(sa *ikeSA, ps []wire.Payload) {
	t := sa.answered()
	switch t.kind {
	case taskDeleteChild:
		if slices.Contains(sa.children, t.child) {
			m.removeChild(sa, t.child, t.child.spiIn, t.child.spiOut, t.reason)
		}
	case taskDeleteIKE:
		m.close(sa, RecordIKEDeleted, t.reason, t.more...)
	case taskLiveness:
		m.record(sa, Record{Kind: RecordLiveness, Fields: reason("alive")})
	case taskAuthFailed:
		m.remove(sa)
	}
	if n := notify(ps, wire.InvalidSyntax); n != nil && sa.up() {
		m.close(sa, RecordIKEDeleted, n.Kind.String(), Field{"detail", "the peer could not read a request"})
	}
}

// malformedRequest answers a request that passed its integrity check and cannot be
// read (RFC 7296 §2.21.2, §2.21.3).
func (m *Machine) malformedRequest(sa *ikeSA, d Datagram, h wire.Header, err error) {
	var critical *wire.UnsupportedCriticalError
	if errors.As(err, &critical) {
		m.refuse(sa, d, h, wire.UnsupportedCriticalPayload, []byte{byte(critical.Payload)}, detail(err.Error()))
		return
	}
	m.refuse(sa, d, h, wire.InvalidSyntax, nil, detail(err.Error()))
}

// deleteClosed answers a peer that deletes an IKE SA which is closed here already,
// so that it need not give the request up; anything else gets no answer.
func (m *Machine) deleteClosed(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload) {
	del, ok := only[*wire.Delete](ps)
	if h.Exchange != wire.ExchangeInformational || !ok || del.Protocol != wire.ProtocolIKE {
		m.drop(sa, d, &h, "the IKE SA is closed")
		return
	}
	m.respond(sa, d, h, nil)
}

// refuse answers a request with an error. Before authentication the IKE SA ends
// with it; afterwards only INVALID_SYNTAX ends it.
func (m *Machine) refuse(sa *ikeSA, d Datagram, h wire.Header, kind wire.NotifyType, data []byte, more ...Field) {
	if !m.respond(sa, d, h, []wire.Payload{&wire.Notify{Kind: kind, Data: data}}) {
		return
	}
	switch {
	case sa.state == stateHalfOpen:
		m.close(sa, RecordIKEFailed, kind.String(), more...)
	case kind == wire.InvalidSyntax:
		m.close(sa, RecordIKEDeleted, kind.String(), more...)
	}
}

// malformedResponse handles a response that passed its integrity check and cannot
// be read: the ends do not understand each other, so the IKE SA goes, and the peer is
// told (RFC 7296 §2.21, §2.21.3).
func (m *Machine) malformedResponse(sa *ikeSA, err error) {
	const why = "malformed response"
	switch sa.state {
	case stateAuthSent:
	case stateEstablished:
		sa.answered()
		sa.tasks = nil
		sa.queue(task{kind: taskDeleteIKE, reason: why, more: []Field{detail(err.Error())}})
		return
	default:
		m.close(sa, RecordIKEDeleted, why, detail(err.Error()))
		return
	}
	n := &wire.Notify{Kind: wire.InvalidSyntax}
	var critical *wire.UnsupportedCriticalError
	if errors.As(err, &critical) {
		n = &wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(critical.Payload)}}
	}
	sa.answered()
	m.authRejected(sa, n, "the IKE_AUTH response cannot be read: "+err.Error())
}

// unopened handles a message of a known SA that is not protected by its keys: it
// changes nothing. RFC 7296 §2.4 lets INVALID_IKE_SPI lead to a liveness check; it
// only gets here as the answer to an outstanding request, which is one already.
func (m *Machine) unopened(sa *ikeSA, d Datagram, msg *wire.Message, err error) {
	why := err.Error()
	if errors.Is(err, suite.ErrIntegrity) {
		why = "the integrity check failed"
	}
	if n := firstError(msg.Payloads); n != nil {
		why = "an unprotected " + n.Kind.String()
	}
	m.drop(sa, d, &msg.Header, why)
}
