package ike

import (
	"fmt"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// authRequest handles the initiator's IKE_AUTH request (RFC 7296 §1.2).
func (m *Machine) authRequest(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload) {
	idi, ids := onlyID(ps, wire.PayloadIDi)
	idr, idrs := onlyID(ps, wire.PayloadIDr)
	if ids != 1 || idrs > 1 {
		m.refuse(sa, d, h, wire.InvalidSyntax, nil, detail("one IDi and at most one IDr are needed"))
		return
	}
	sa.peerID = identityOf(idi)
	several := len(sa.candidates) > 1
	var asked Identity
	if idr != nil {
		asked = identityOf(idr)
	}
	if why := sa.chooseConnection(asked, onlyTS(ps, true), onlyTS(ps, false)); why != "" {
		m.authRefused(sa, d, h, why)
		return
	}
	if several {
		m.natDetected(sa)
	}
	sa.localID = sa.localIdentity(sa.conn)
	auth, ok := only[*wire.Auth](ps)
	if !ok {
		m.authRefused(sa, d, h, fmt.Sprintf("%s sent no AUTH payload: it wants EAP, which comes with a later issue", sa.peerID))
		return
	}
	if err := m.verify(sa, auth, sa.localID, sa.peerID); err != nil {
		m.authRefused(sa, d, h, err.Error())
		return
	}
	key, _ := m.secretFor(sa.localID, sa.peerID) // verify has found it
	m.established(sa)
	if notify(ps, wire.InitialContact) != nil {
		m.initialContact(sa)
	}
	answer := []wire.Payload{sa.localID.payload(wire.PayloadIDr), sa.authPayload(false, sa.localID, key)}
	answer = append(answer, m.answerChild(sa, ps)...)
	m.respond(sa, d, h, answer)
	m.resolveRedundant(sa)
}

// chooseConnection takes, of the candidates whose identities fit and whose
// proposals allow the algorithms in use, the first that has a child for the
// proposed selectors, or else the first. It says why there is none, "" for success.
func (sa *ikeSA) chooseConnection(asked Identity, tsi, tsr []wire.Selector) (why string) {
	var fits *connection
	why = fmt.Sprintf("no connection is for %s as %s", sa.peerID, asked)
	for _, c := range sa.candidates {
		if !c.Remote.ID.accepts(sa.peerID) {
			continue
		}
		if !asked.IsZero() && !sa.localIdentity(c).Equal(asked) {
			continue
		}
		if _, _, ok := suite.Select(c.Proposals, []suite.Proposal{sa.proposal}); !ok {
			why = fmt.Sprintf("connection %q is for %s, but does not allow %s, which IKE_SA_INIT has settled on", c.Name, sa.peerID, sa.proposal)
			continue
		}
		if fits == nil {
			fits = c
		}
		if _, _, _, ok := sa.chooseChild(c, tsi, tsr); ok {
			fits = c
			break
		}
	}
	if fits == nil {
		return why
	}
	sa.conn, sa.candidates = fits, nil
	return ""
}

// authRefused answers AUTHENTICATION_FAILED; the peer does not learn why, the
// record does (RFC 7296 §2.21.2).
func (m *Machine) authRefused(sa *ikeSA, d Datagram, h wire.Header, why string) {
	m.refuse(sa, d, h, wire.AuthenticationFailed, nil, detail(why), Field{"remote-id", sa.peerID.String()})
}

// answerChild sets up the CHILD_SA that IKE_AUTH asks for and returns what the
// response says of it: SA, TSi and TSr, or the reason why there is none.
func (m *Machine) answerChild(sa *ikeSA, ps []wire.Payload) []wire.Payload {
	offer, ok := only[*wire.SA](ps)
	tsi, tsr := onlyTS(ps, true), onlyTS(ps, false)
	if !ok || tsi == nil || tsr == nil {
		m.childFailed(sa, "", "the IKE_AUTH request lacks SA, TSi or TSr")
		return []wire.Payload{&wire.Notify{Kind: wire.InvalidSyntax}}
	}
	cfg, gotI, gotR, ok := sa.chooseChild(sa.conn, tsi, tsr)
	if !ok {
		var localTS, remoteTS []wire.Selector
		for _, c := range sa.conn.Children {
			localTS = append(localTS, policySelectors(c.LocalTS, sa.local.Addr())...)
			remoteTS = append(remoteTS, policySelectors(c.RemoteTS, sa.remote.Addr())...)
		}
		name := "" // none of several can be said to have been meant
		if len(sa.conn.Children) == 1 {
			name = sa.conn.Children[0].Name
		}
		m.childFailed(sa, name, wire.TSUnacceptable.String(), childFields(nil, nil, localTS, remoteTS, tsr, tsi)...)
		return []wire.Payload{&wire.Notify{Kind: wire.TSUnacceptable}}
	}
	own, peer := espOffers(cfg.ESPProposals), fromWire(offer.Proposals)
	for i := range peer {
		peer[i] = peer[i].Without(suite.TransformKE)
	}
	chosen, i, ok := suite.Select(own, peer)
	if !ok {
		m.childFailed(sa, cfg.Name, wire.NoProposalChosen.String(), bothProposals(own, peer)...)
		return []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}
	}
	if why := reservedSPI(espSPIValue(offer.Proposals[i].SPI)); why != "" {
		m.childFailed(sa, cfg.Name, why)
		return []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}
	}
	child, ok := m.reserveChild(sa)
	if !ok {
		m.childFailed(sa, cfg.Name, "no free ESP SPI")
		return []wire.Payload{&wire.Notify{Kind: wire.TemporaryFailure}}
	}
	child.child = cfg.Name
	if !m.install(sa, child, cfg, chosen, espSPIValue(offer.Proposals[i].SPI), gotI, gotR) {
		return []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}
	}
	return []wire.Payload{
		toWire([]suite.Proposal{chosen}, offer.Proposals[i].Number, espSPIBytes(child.spiIn)),
		&wire.TS{Initiator: true, Selectors: gotI}, &wire.TS{Selectors: gotR},
	}
}

// chooseChild narrows the proposed selectors to the connection's child that admits
// all of them, or else to the first that admits any (RFC 7296 §2.9).
func (sa *ikeSA) chooseChild(conn *connection, tsi, tsr []wire.Selector) (cfg Child, gotI, gotR []wire.Selector, ok bool) {
	for _, c := range conn.Children {
		i := narrow(policySelectors(c.RemoteTS, sa.remote.Addr()), tsi)
		r := narrow(policySelectors(c.LocalTS, sa.local.Addr()), tsr)
		if len(i) == 0 || len(r) == 0 {
			continue
		}
		if within(tsi, i) && within(tsr, r) {
			return c, i, r, true
		}
		if !ok {
			cfg, gotI, gotR, ok = c, i, r, true
		}
	}
	return cfg, gotI, gotR, ok
}

// established marks an SA whose peer is authenticated.
func (m *Machine) established(sa *ikeSA) {
	if sa.conn.current == sa {
		sa.conn.current = nil
	}
	m.setState(sa, stateEstablished)
	m.record(sa, Record{Kind: RecordIKEEstablished, Fields: []Field{
		{"proposal", sa.proposal.String()}, {"local-id", sa.localID.String()}, {"remote-id", sa.peerID.String()},
	}})
}

// initialContact forgets what the peer says it has forgotten (RFC 7296 §2.4): the
// SAs of the same two identities that were established before this one was begun.
// One that was established since was being negotiated at the same time, so its
// initiator knows it well.
func (m *Machine) initialContact(sa *ikeSA) {
	for _, other := range slices.Clone(m.byPeer[sa.peerKey()]) {
		if other != sa && other.establishedAt < sa.begunAt {
			m.touch(other)
			m.close(other, RecordIKEDeleted, "INITIAL_CONTACT: the peer has forgotten it")
		}
	}
}

// resolveRedundant ends one of two IKE SAs that both ends initiated at the same
// time. As RFC 7296 §2.8.1 has it for rekeying, the one with the lowest of the four
// nonces goes, deleted by the end that created it; both ends come to one conclusion.
// Only what both know may count: whether one of them has lost its CHILD_SA is known
// at one end first. Where this end is deleting one of the two anyway, the other stays.
func (m *Machine) resolveRedundant(sa *ikeSA) {
	for _, other := range slices.Clone(m.byPeer[sa.peerKey()]) {
		if other == sa || other.conn != sa.conn || other.initiator == sa.initiator || !other.up() || !sa.up() || other.ending() || sa.ending() {
			continue
		}
		loser := sa
		if slices.Compare(other.lowestNonce(), sa.lowestNonce()) < 0 {
			loser = other
		}
		if loser.initiator {
			m.touch(loser)
			loser.queue(task{kind: taskDeleteIKE, reason: "redundant: both ends initiated at the same time"})
		}
	}
}

func (sa *ikeSA) lowestNonce() []byte {
	if slices.Compare(sa.init.nonceI, sa.init.nonceR) < 0 {
		return sa.init.nonceI
	}
	return sa.init.nonceR
}
