package ike

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// authRequest handles the initiator's IKE_AUTH request (RFC 7296 §1.2). One that is
// malformed as a whole, which it is without SA, TSi or TSr too until childless
// initiation comes (RFC 6023 §3), is answered INVALID_SYNTAX and nothing else before
// anything about its identity is looked at, and leaves no IKE SA (§2.21.2).
func (m *Machine) authRequest(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload) {
	idi, ids := onlyID(ps, wire.PayloadIDi)
	idr, idrs := onlyID(ps, wire.PayloadIDr)
	auth, auths := count[*wire.Auth](ps)
	child, fault := childPayloadsOf(ps)
	if ids != 1 || idrs > 1 || auths > 1 {
		fault = "not one IDi, or several IDr or AUTH"
	}
	if fault != "" {
		m.refuse(sa, d, h, wire.InvalidSyntax, nil, detail("the IKE_AUTH request has "+fault))
		return
	}
	sa.peerID = identityOf(idi)
	several := len(sa.candidates) > 1
	var asked Identity
	if idr != nil {
		asked = identityOf(idr)
	}
	if why := sa.chooseConnection(asked, child.tsi, child.tsr); why != "" {
		m.authRefused(sa, d, h, why)
		return
	}
	if several {
		m.natDetected(sa)
	}
	sa.localID = sa.localIdentity(sa.conn)
	if auths == 0 {
		m.authRefused(sa, d, h, fmt.Sprintf("%s sent no AUTH payload: it wants EAP, which comes with a later issue", sa.peerID.Typed()))
		return
	}
	if err := m.verify(sa, auth, sa.localID, idi); err != nil {
		m.authRefused(sa, d, h, err.Error())
		return
	}
	key, _ := m.secretFor(sa.localID, sa.peerID) // verify has found it
	m.established(sa)
	if notify(ps, wire.InitialContact) != nil {
		m.initialContact(sa)
	}
	own := sa.localID.payload(wire.PayloadIDr)
	answer := []wire.Payload{own, sa.authPayload(false, own, key)}
	answer = append(answer, m.answerChild(sa, child)...)
	m.respond(sa, d, h, answer)
	m.resolveRedundant(sa)
}

// chooseConnection takes, of the candidates whose identities fit and whose
// proposals allow the algorithms in use, the one whose child fits the proposed
// selectors best, the first of several. It says why there is none, "" for success.
func (sa *ikeSA) chooseConnection(asked Identity, tsi, tsr []wire.Selector) (why string) {
	var fits *connection
	best := fitNone
	why = fmt.Sprintf("no connection is for %s as %s: ", sa.peerID.Typed(), asked.Typed()) + sa.describeCandidates()
	for _, c := range sa.candidates {
		if !c.Remote.ID.accepts(sa.peerID) {
			continue
		}
		if !asked.IsZero() && !sa.localIdentity(c).Equal(asked) {
			continue
		}
		if _, _, ok := suite.Select(c.Proposals, []suite.Proposal{sa.proposal}); !ok {
			why = fmt.Sprintf("connection %q is for %s, but does not allow %s, which IKE_SA_INIT has settled on", c.Name, sa.peerID.Typed(), sa.proposal)
			continue
		}
		if choice := sa.chooseChild(c, tsi, tsr); fits == nil || choice.fit > best {
			fits, best = c, choice.fit
		}
		if best == fitWhole {
			break
		}
	}
	if fits == nil {
		return why
	}
	sa.conn, sa.candidates = fits, nil
	return ""
}

// describeCandidates says who the connections are for that IKE_SA_INIT left.
func (sa *ikeSA) describeCandidates() string {
	var out []string
	for i, c := range sa.candidates {
		if i == candidatesShownMax {
			out = append(out, fmt.Sprintf("and %d more", len(sa.candidates)-i))
			break
		}
		out = append(out, fmt.Sprintf("%q is for %s as %s", c.Name, c.Remote.ID.Typed(), sa.localIdentity(c).Typed()))
	}
	return strings.Join(out, ", ")
}

// authRefused answers AUTHENTICATION_FAILED; the peer does not learn why, the
// record does (RFC 7296 §2.21.2).
func (m *Machine) authRefused(sa *ikeSA, d Datagram, h wire.Header, why string) {
	m.refuse(sa, d, h, wire.AuthenticationFailed, nil, detail(why), Field{"remote-id", sa.peerID.Typed()})
}

// answerChild sets up the CHILD_SA that IKE_AUTH asks for and returns what the
// response says of it: SA, TSi and TSr, or the reason why there is none.
func (m *Machine) answerChild(sa *ikeSA, asked childPayloads) []wire.Payload {
	offer := asked.sa
	choice := sa.chooseChild(sa.conn, asked.tsi, asked.tsr)
	cfg := choice.cfg
	if choice.fit == fitNone {
		var localTS, remoteTS []wire.Selector
		for _, c := range sa.conn.Children {
			localTS = append(localTS, policySelectors(c.LocalTS, sa.local.Addr())...)
			remoteTS = append(remoteTS, policySelectors(c.RemoteTS, sa.remote.Addr())...)
		}
		name := "" // none of several can be said to have been meant
		if len(sa.conn.Children) == 1 {
			name = sa.conn.Children[0].Name
		}
		m.childFailed(sa, name, wire.TSUnacceptable.String(), childFields(nil, nil, localTS, remoteTS, asked.tsr, asked.tsi)...)
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
	if !m.install(sa, child, cfg, chosen, espSPIValue(offer.Proposals[i].SPI), choice.tsi, choice.tsr) {
		return []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}
	}
	return []wire.Payload{
		toWire([]suite.Proposal{chosen}, offer.Proposals[i].Number, espSPIBytes(child.spiIn)),
		&wire.TS{Initiator: true, Selectors: choice.tsi}, &wire.TS{Selectors: choice.tsr},
	}
}

// established marks an SA whose peer is authenticated.
func (m *Machine) established(sa *ikeSA) {
	if sa.conn.current == sa {
		sa.conn.current = nil
	}
	sa.conn.rest = rest{}
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
