package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// initBegin sends the first IKE_SA_INIT request of an SA (RFC 7296 §1.2).
func (m *Machine) initBegin(sa *ikeSA) {
	if _, ok := m.secretFor(sa.localIdentity(sa.conn), sa.expectedPeer()); !ok {
		m.attemptFailed(sa, "no secret", false, sa.noSecret()) // before the peer spends anything on it
		return
	}
	sa.init.nonceI = m.draw(sa, "init", "nonce", nonceBytes)
	ke, _ := sa.conn.Proposals[0].Find(suite.TransformKE) // New has checked that there is one
	sa.init.group = ke.ID
	m.initSend(sa, true)
}

// initSend sends the request with the present group and cookie. A new key is only
// drawn for a new group: a repetition with a cookie must be the same message but
// for the cookie (RFC 7296 §2.6).
func (m *Machine) initSend(sa *ikeSA, newKey bool) {
	if newKey {
		method, err := suite.NewKeyExchange(sa.init.group)
		if err == nil {
			r := m.stream(sa, "init", fmt.Sprintf("ke/%d", sa.init.group))
			sa.init.public, sa.init.private, err = method.Initiate(r)
		}
		if err != nil {
			m.attemptFailed(sa, err.Error(), false)
			return
		}
		sa.init.triedGroups = append(sa.init.triedGroups, sa.init.group)
	}
	var ps []wire.Payload
	if len(sa.init.cookie) > 0 {
		ps = append(ps, &wire.Notify{Kind: wire.Cookie, Data: sa.init.cookie})
	}
	ps = append(ps,
		toWire(sa.conn.Proposals, 1, nil),
		&wire.KE{Group: sa.init.group, Data: sa.init.public},
		&wire.Nonce{Data: sa.init.nonceI})
	ps = append(ps, natPayloads(sa.spiI, wire.SPI{}, sa.local, sa.remote, sa.conn.Encap)...)
	sa.nextRequest = 0
	m.request(sa, wire.ExchangeIKESAInit, ps, task{})
	if sa.out != nil {
		sa.init.request = sa.out.bytes
	}
}

// initResponse handles what came back for IKE_SA_INIT. Nothing in it is
// authenticated, so whatever does not lead on is only noted, and believed when the
// retransmission timer ends without anything better (RFC 7296 §2.21.1).
func (m *Machine) initResponse(sa *ikeSA, d Datagram, msg *wire.Message) {
	if d.Remote != sa.out.remote || d.Local != sa.out.local {
		m.drop(sa, d, &msg.Header, fmt.Sprintf("the request went to %s", sa.out.remote))
		return
	}
	m.received(sa, d, msg.Header, msg.Payloads, false)
	switch {
	case notify(msg.Payloads, wire.Cookie) != nil && firstError(msg.Payloads) == nil:
		m.initCookie(sa, notify(msg.Payloads, wire.Cookie).Data)
	case notify(msg.Payloads, wire.InvalidKEPayload) != nil:
		m.initInvalidKE(sa, notify(msg.Payloads, wire.InvalidKEPayload).Data)
	case firstError(msg.Payloads) != nil:
		m.noteRefusal(sa, firstError(msg.Payloads).Kind.String())
	default:
		m.initAccept(sa, d, msg)
	}
}

// noteRefusal keeps the first reason to give up when the timer ends.
func (m *Machine) noteRefusal(sa *ikeSA, why string) {
	if sa.init.refusal == "" {
		sa.init.refusal = why
	}
}

// initCookie repeats the request with the responder's cookie in front.
func (m *Machine) initCookie(sa *ikeSA, cookie []byte) {
	switch {
	case len(cookie) == 0 || len(cookie) > cookieBytesMax:
		m.noteRefusal(sa, fmt.Sprintf("COOKIE of %d octets: RFC 7296 §2.6 has 1 to %d", len(cookie), cookieBytesMax))
	case sa.init.restarts >= initRestartsMax:
		m.noteRefusal(sa, fmt.Sprintf("COOKIE after %d repetitions of IKE_SA_INIT", sa.init.restarts))
	default:
		sa.init.restarts++
		sa.init.cookie = slices.Clone(cookie)
		m.initSend(sa, false)
	}
}

// initInvalidKE repeats the request with the group the responder wants. Only a
// group that was offered is taken, and each only once: otherwise anyone on the path
// could choose a weaker group, or keep the exchange going round (RFC 7296 §2.7).
func (m *Machine) initInvalidKE(sa *ikeSA, data []byte) {
	if len(data) != 2 {
		m.noteRefusal(sa, "INVALID_KE_PAYLOAD without a group")
		return
	}
	group := binary.BigEndian.Uint16(data)
	name := suite.Transform{Type: suite.TransformKE, ID: group}.String()
	switch {
	case !offersGroup(sa.conn.Proposals, group):
		m.noteRefusal(sa, fmt.Sprintf("INVALID_KE_PAYLOAD asks for %s, which was not offered", name))
	case slices.Contains(sa.init.triedGroups, group):
		m.noteRefusal(sa, fmt.Sprintf("INVALID_KE_PAYLOAD asks for %s, which was sent already", name))
	case sa.init.restarts >= initRestartsMax:
		m.noteRefusal(sa, fmt.Sprintf("INVALID_KE_PAYLOAD after %d repetitions of IKE_SA_INIT", sa.init.restarts))
	default:
		sa.init.restarts++
		sa.init.group = group
		m.initSend(sa, true)
	}
}

// initAccept takes the responder's answer and goes on with IKE_AUTH.
func (m *Machine) initAccept(sa *ikeSA, d Datagram, msg *wire.Message) {
	answer, okSA := only[*wire.SA](msg.Payloads)
	ke, okKE := only[*wire.KE](msg.Payloads)
	nonce, okNonce := only[*wire.Nonce](msg.Payloads)
	if !okSA || !okKE || !okNonce || msg.Header.ResponderSPI.IsZero() {
		m.noteRefusal(sa, "the IKE_SA_INIT response lacks SA, KE, Nr or the responder's SPI")
		return
	}
	chosen, _, ok := answerTo(sa.conn.Proposals, answer)
	if !ok {
		m.noteRefusal(sa, fmt.Sprintf("the peer chose %s, which was not offered", describeProposals(fromWire(answer.Proposals))))
		return
	}
	group, _ := chosen.Find(suite.TransformKE)
	if group.ID != sa.init.group || ke.Group != sa.init.group {
		m.noteRefusal(sa, fmt.Sprintf("the peer chose %s and sent a KE payload for group %d; %s was sent", group, ke.Group,
			suite.Transform{Type: suite.TransformKE, ID: sa.init.group}))
		return
	}
	if why := nonceFault("Nr", nonce.Data, chosen); why != "" {
		m.noteRefusal(sa, why)
		return
	}
	shared, err := sa.init.private.Finish(ke.Data)
	if err != nil {
		m.noteRefusal(sa, err.Error())
		return
	}
	sa.answered()
	sa.proposal, sa.spiR = chosen, msg.Header.ResponderSPI
	sa.init.nonceR, sa.init.response = nonce.Data, d.Payload
	sa.init.private = nil
	sa.lastHeard = m.now
	sa.nat = detectNAT(msg.Payloads, sa.spiI, sa.spiR, d.Local, d.Remote)
	sa.nat.forced = sa.nat.supported && sa.conn.Encap
	m.setState(sa, stateAuthSent)
	if err := m.deriveKeys(sa, shared); err != nil {
		m.attemptFailed(sa, err.Error(), false)
		return
	}
	m.natDetected(sa)
	if sa.nat.encap() {
		sa.local = netip.AddrPortFrom(sa.local.Addr(), portNATT)
		sa.remote = netip.AddrPortFrom(sa.remote.Addr(), portNATT)
	}
	m.authBegin(sa)
}

// natDetected records who is behind a NAT, if anyone is, once the connection is known.
func (m *Machine) natDetected(sa *ikeSA) {
	if !sa.nat.encap() || len(sa.candidates) > 1 {
		return
	}
	m.record(sa, Record{Kind: RecordNATDetected, Fields: []Field{
		{"local", yesNo(sa.nat.local)}, {"remote", yesNo(sa.nat.remote)}, {"forced", yesNo(sa.nat.forced)},
	}})
}

// yesNo is a truth as swanctl.conf writes it.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
