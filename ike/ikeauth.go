package ike

import (
	"fmt"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// authBegin sends the IKE_AUTH request, with the first CHILD_SA (RFC 7296 §1.2).
func (m *Machine) authBegin(sa *ikeSA) {
	c := sa.conn
	sa.localID = sa.localIdentity(c)
	key, ok := m.secretFor(sa.localID, sa.expectedPeer())
	if !ok {
		m.attemptFailed(sa, "no secret", false, sa.noSecret())
		return
	}
	idi := sa.localID.payload(wire.PayloadIDi)
	ps := []wire.Payload{idi}
	if m.firstContact(sa) {
		ps = append(ps, &wire.Notify{Kind: wire.InitialContact})
	}
	if !c.Remote.ID.IsZero() {
		ps = append(ps, c.Remote.ID.payload(wire.PayloadIDr))
	}
	ps = append(ps, sa.authPayload(true, idi, key))
	child, ok := m.reserveChild(sa)
	if !ok {
		m.attemptFailed(sa, "no free ESP SPI", false)
		return
	}
	cfg := c.Children[sa.attempt.child]
	child.child = cfg.Name
	tsi, tsr := sa.initiatorSelectors(cfg)
	ps = append(ps, toWire(espOffers(cfg.ESPProposals), 1, espSPIBytes(child.spiIn)),
		&wire.TS{Initiator: true, Selectors: tsi}, &wire.TS{Selectors: tsr})
	sa.pending = child
	m.request(sa, wire.ExchangeIKEAuth, ps, task{})
}

// firstContact reports whether an initiator's SA is the only one between its two
// identities, which INITIAL_CONTACT claims (RFC 7296 §2.4): that would end every
// other one at the peer. One whose IKE_AUTH is out makes the claim itself. One that
// the peer has begun meanwhile may be established there by the time it reads the
// claim, and would be ended there and not here; who it is shows only later, so the
// address and the connection it may become decide.
func (m *Machine) firstContact(sa *ikeSA) bool {
	return !slices.ContainsFunc(m.sas, func(other *ikeSA) bool {
		switch {
		case other == sa:
			return false
		case other.state == stateHalfOpen:
			return other.remote.Addr() == sa.remote.Addr() && slices.Contains(other.candidates, sa.conn)
		}
		return (other.up() || other.state == stateAuthSent) &&
			(other.conn == sa.conn || other.localID.Equal(sa.localID) && other.meetsPeerOf(sa))
	})
}

// meetsPeerOf reports whether an SA is with the peer that another is about to meet.
// As long as one of the two takes anyone, the address decides.
func (sa *ikeSA) meetsPeerOf(another *ikeSA) bool {
	have, want := sa.peerID, another.conn.Remote.ID
	if have.IsZero() {
		have = sa.conn.Remote.ID
	}
	if have.IsZero() || want.IsZero() {
		return sa.remote.Addr() == another.remote.Addr()
	}
	return have.Equal(want)
}

// expectedPeer is whom an initiator expects to answer: an address stands for
// anyone until IDr says who it is.
func (sa *ikeSA) expectedPeer() Identity {
	if sa.conn.Remote.ID.IsZero() {
		return AddrIdentity(sa.remote.Addr())
	}
	return sa.conn.Remote.ID
}

// noSecret is the detail of an attempt that has nothing to authenticate with.
func (sa *ikeSA) noSecret() Field {
	return detail(fmt.Sprintf("there is no pre-shared key for %s and %s", sa.localIdentity(sa.conn).Typed(), sa.expectedPeer().Typed()))
}

// initiatorSelectors are TSi and TSr of the attempt: the packet that triggered it,
// then the policy (RFC 7296 §2.9).
func (sa *ikeSA) initiatorSelectors(cfg Child) (tsi, tsr []wire.Selector) {
	p := sa.attempt.packet
	tsi = proposedSelectors(policySelectors(cfg.LocalTS, sa.local.Addr()), p.Source, p.Protocol, p.SourcePort)
	tsr = proposedSelectors(policySelectors(cfg.RemoteTS, sa.remote.Addr()), p.Destination, p.Protocol, p.DestinationPort)
	return tsi, tsr
}

// authResponse handles the responder's answer to IKE_AUTH. Three notifications say
// that there is no IKE SA at the responder, whatever stands beside them, and need no
// Delete (RFC 7296 §2.21.2). An answer that is malformed as a whole leaves none here,
// and the responder is told so that it drops its own. Any other error that has a name
// is about the CHILD_SA alone.
func (m *Machine) authResponse(sa *ikeSA, ps []wire.Payload) {
	sa.answered()
	failure := firstError(ps)
	if n := firstFatal(ps); n != nil {
		m.attemptFailed(sa, n.Kind.String(), false, m.authFields(sa, n.Kind)...)
		return
	}
	auth, okAuth := only[*wire.Auth](ps)
	idr, ids := onlyID(ps, wire.PayloadIDr)
	child, fault := childPayloadsOf(ps)
	switch {
	case (!okAuth || ids != 1) && failure != nil:
		m.attemptFailed(sa, failure.Kind.String(), false, m.authFields(sa, failure.Kind)...)
		return
	case !okAuth || ids != 1:
		m.authRejected(sa, &wire.Notify{Kind: wire.InvalidSyntax}, "the IKE_AUTH response lacks IDr or AUTH, or has several")
		return
	case failure == nil && fault != "":
		m.authRejected(sa, &wire.Notify{Kind: wire.InvalidSyntax}, "the IKE_AUTH response has "+fault)
		return
	}
	sa.peerID = identityOf(idr)
	if !sa.conn.Remote.ID.accepts(sa.peerID) {
		m.authRejected(sa, &wire.Notify{Kind: wire.AuthenticationFailed}, fmt.Sprintf("the peer is %s, %s is configured", sa.peerID.Typed(), sa.conn.Remote.ID.Typed()))
		return
	}
	if err := m.verify(sa, auth, sa.localID, idr); err != nil {
		m.authRejected(sa, &wire.Notify{Kind: wire.AuthenticationFailed}, err.Error())
		return
	}
	if failure != nil && !failure.Kind.Known() {
		m.authRejected(sa, failure, "an error of an unknown type fails the whole exchange (RFC 7296 §3.10.1)")
		return
	}
	m.established(sa)
	m.authChild(sa, child, failure)
	m.resolveRedundant(sa)
	if sa.terminate != "" {
		sa.queue(task{kind: taskDeleteIKE, reason: sa.terminate})
	}
}

// authFields says who met whom, for the record of a failed authentication.
func (m *Machine) authFields(sa *ikeSA, kind wire.NotifyType) []Field {
	if kind == wire.NoProposalChosen {
		return []Field{{"local-proposals", describeProposals(espOffers(sa.conn.Children[sa.attempt.child].ESPProposals))}}
	}
	return []Field{{"local-id", sa.localID.Typed()}, {"remote-id", sa.conn.Remote.ID.Typed()}}
}

// authRejected ends an SA whose responder this initiator does not accept. The
// responder holds it for established, so it is told in an INFORMATIONAL exchange of
// its own, which ends the SA there too: by a notification that needs no Delete, or by
// a Delete where the error has no such meaning (RFC 7296 §2.21.2).
func (m *Machine) authRejected(sa *ikeSA, n *wire.Notify, why string) {
	kind, tell := n.Kind, wire.Payload(n)
	if !fatal(kind) {
		tell = &wire.Delete{Protocol: wire.ProtocolIKE}
	}
	m.dropPending(sa)
	c := sa.conn
	if c.current == sa {
		c.current = nil
	}
	m.attemptOver(c, sa.attempt, sa, kind.String(), false, append([]Field{detail(why)}, m.authFields(sa, kind)...)...)
	sa.failed = true
	m.setState(sa, stateDeleting)
	m.request(sa, wire.ExchangeInformational, []wire.Payload{tell}, task{kind: taskAuthFailed, reason: why})
}

// authChild sets up the CHILD_SA of an established SA's IKE_AUTH, or records why
// there is none. The IKE SA lives on without (RFC 7296 §2.21.2).
func (m *Machine) authChild(sa *ikeSA, got childPayloads, failure *wire.Notify) {
	cfg, pending := sa.conn.Children[sa.attempt.child], sa.pending
	sa.pending = nil
	offers := espOffers(cfg.ESPProposals)
	tsi, tsr := sa.initiatorSelectors(cfg)
	if failure != nil {
		m.freeSPI(pending)
		m.childRefused(sa, cfg.Name, failure.Kind.String(), childFields(offers, nil, tsi, tsr, nil, nil)...)
		return
	}
	chosen, spi, ok := answerTo(offers, got.sa)
	matched, _ := wire.PairUp(got.tsi, got.tsr)
	var why string
	switch {
	case !ok || chosen.Protocol != suite.ProtocolESP:
		why = "the peer chose a proposal that was not offered"
	case !within(got.tsi, tsi) || !within(got.tsr, tsr):
		why = "the peer answered with traffic selectors outside those proposed"
	case len(matched) == 0:
		why = "the peer answered with traffic selectors that no packet can match"
	default:
		why = reservedSPI(espSPIValue(spi))
	}
	if why != "" {
		m.childRefused(sa, cfg.Name, why, childFields(offers, fromWire(got.sa.Proposals), tsi, tsr, got.tsi, got.tsr)...)
		// The peer has installed it, so it must go there too; pending keeps its SPI until then.
		pending.failed = true
		sa.children = append(sa.children, pending)
		sa.queue(task{kind: taskDeleteChild, child: pending, spi: pending.spiIn, reason: why})
		return
	}
	m.install(sa, pending, cfg, chosen, espSPIValue(spi), got.tsi, got.tsr)
}
