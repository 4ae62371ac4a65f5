package ike

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// initRequest handles an IKE_SA_INIT request (RFC 7296 §1.2, §2.1). Requests that
// fail leave no state.
func (m *Machine) initRequest(d Datagram, h wire.Header) {
	key := initKey{spi: h.InitiatorSPI, remote: d.Remote, hash: sha256.Sum256(d.Payload)}
	if sa := m.inits[key]; sa != nil {
		m.touch(sa)
		if sa.state == stateHalfOpen {
			m.repeatResponse(sa, d)
		} else {
			m.drop(sa, d, &h, "an old IKE_SA_INIT request")
		}
		return
	}
	if h.MessageID != 0 {
		m.drop(nil, d, &h, "an IKE_SA_INIT request whose message ID is not 0")
		return
	}
	msg, err := wire.Parse(d.Payload)
	if err != nil {
		m.initMalformed(d, h, err)
		return
	}
	offer, okSA := only[*wire.SA](msg.Payloads)
	ke, okKE := only[*wire.KE](msg.Payloads)
	nonce, okNonce := only[*wire.Nonce](msg.Payloads)
	if !okSA || !okKE || !okNonce {
		m.initRefuse(d, msg, &wire.Notify{Kind: wire.InvalidSyntax}, "", detail("one SA, one KE and one Ni are needed"))
		return
	}
	sa := &ikeSA{
		state: stateHalfOpen, spiI: h.InitiatorSPI, local: d.Local, remote: d.Remote,
		init: initState{request: d.Payload, nonceI: nonce.Data, key: key, received: len(d.Payload)},
	}
	number, ok := m.initSelect(sa, d, msg, offer, ke)
	if !ok {
		return
	}
	if why := nonceFault("Ni", sa.init.nonceI, sa.proposal); why != "" {
		m.initRefuse(d, msg, &wire.Notify{Kind: wire.InvalidSyntax}, "", detail(why))
		return
	}
	if m.halfOpen >= m.cfg.Limits.HalfOpenMax {
		m.drop(nil, d, &h, fmt.Sprintf("%d IKE SAs are half-open, the limit", m.halfOpen))
		return
	}
	if !m.admit() {
		m.drop(nil, d, &h, fmt.Sprintf("%d IKE SAs exist, the limit", m.cfg.Limits.IKESAsMax))
		return
	}
	m.initAnswer(sa, d, msg, ke, number)
}

// initSelect finds the connections that fit the addresses and, among them, the
// first with a proposal in common. It honours the initiator's guess of a group
// where policy allows that group, and asks for another one otherwise.
func (m *Machine) initSelect(sa *ikeSA, d Datagram, msg *wire.Message, offer *wire.SA, ke *wire.KE) (number uint8, ok bool) {
	sa.candidates = m.candidates(d.Local.Addr(), d.Remote.Addr())
	if len(sa.candidates) == 0 {
		m.initRefuse(d, msg, &wire.Notify{Kind: wire.NoProposalChosen}, "",
			detail(fmt.Sprintf("no connection is for %s and %s", d.Local.Addr(), d.Remote.Addr())))
		return 0, false
	}
	peer := fromWire(offer.Proposals)
	guessed := withGroup(peer, ke.Group)
	var wanted suite.Transform
	for _, c := range sa.candidates {
		if chosen, i, ok := suite.Select(c.Proposals, guessed); ok {
			sa.conn, sa.proposal = c, chosen
			return offer.Proposals[i].Number, true
		}
		if chosen, _, ok := suite.Select(c.Proposals, peer); ok && wanted.Type == 0 {
			wanted, _ = chosen.Find(suite.TransformKE)
		}
	}
	if wanted.ID != suite.KENone {
		m.initReply(d, msg, &wire.Notify{Kind: wire.InvalidKEPayload, Data: binary.BigEndian.AppendUint16(nil, wanted.ID)})
		return 0, false
	}
	first := sa.candidates[0]
	m.initRefuse(d, msg, &wire.Notify{Kind: wire.NoProposalChosen}, first.Name, bothProposals(first.Proposals, peer)...)
	return 0, false
}

// initAnswer makes the SA and sends the response.
func (m *Machine) initAnswer(sa *ikeSA, d Datagram, msg *wire.Message, ke *wire.KE, number uint8) {
	sa.label = m.peerSPIs.label(sa.spiI)
	spi, ok := m.randomSPI(sa.label)
	if !ok {
		m.drop(nil, d, &msg.Header, "no free SPI")
		return
	}
	sa.spiR = spi
	var public, shared []byte
	method, err := suite.NewKeyExchange(ke.Group)
	if err == nil {
		public, shared, err = method.Respond(m.stream(sa, "init", fmt.Sprintf("ke/%d", ke.Group)), ke.Data)
	}
	if err != nil {
		m.initRefuse(d, msg, &wire.Notify{Kind: wire.InvalidSyntax}, "", detail(err.Error()))
		return
	}
	sa.nat = detectNAT(msg.Payloads, sa.spiI, wire.SPI{}, d.Local, d.Remote)
	sa.nat.forced = sa.nat.supported && sa.conn.Encap
	ps := []wire.Payload{toWire([]suite.Proposal{sa.proposal}, number, nil), &wire.KE{Group: ke.Group, Data: public}}
	nonceAt := len(ps)
	ps = append(ps, &wire.Nonce{Data: m.draw(sa, "init", "nonce", nonceBytes)})
	if sa.nat.supported {
		ps = append(ps, natPayloads(sa.spiI, sa.spiR, d.Local, d.Remote, sa.conn.Encap)...)
	}
	nonce, ok := fitNonce(sa, ps, nonceAt, len(d.Payload))
	if !ok {
		m.drop(nil, d, &msg.Header, fmt.Sprintf("answering %d octets would send an unproven address more than that", len(d.Payload)))
		return
	}
	sa.init.nonceR = nonce
	sa.last = nil
	m.add(sa)
	m.received(sa, d, msg.Header, msg.Payloads, false)
	m.record(sa, Record{Kind: RecordIKEInit})
	if err := m.deriveKeys(sa, shared); err != nil {
		m.drop(sa, d, &msg.Header, err.Error())
		m.remove(sa)
		return
	}
	if !m.respond(sa, d, msg.Header, ps) {
		m.remove(sa)
		return
	}
	sa.init.response = sa.last.response
	sa.expires = saturatingAdd(m.now, m.cfg.Limits.HalfOpenTimeout)
	m.natDetected(sa)
}

// fitNonce puts a nonce into the response that keeps it no longer than the request:
// nonceBytes octets where the request is long enough, else as few as the
// initiator's nonce has and RFC 7296 §2.10 allows.
func fitNonce(sa *ikeSA, ps []wire.Payload, at, room int) ([]byte, bool) {
	nonce := ps[at].(*wire.Nonce)
	for _, n := range []int{nonceBytes, shortestNonce(sa)} {
		nonce.Data = nonce.Data[:min(n, len(nonce.Data))]
		b, err := (&wire.Message{Header: sa.header(wire.ExchangeIKESAInit, 0, true), Payloads: ps}).Append(nil)
		if err == nil && len(b) <= room {
			return nonce.Data, true
		}
	}
	return nil, false
}

// shortestNonce is the least length of a nonce: 16 octets, half the PRF's key, and
// what the initiator found enough.
func shortestNonce(sa *ikeSA) int {
	return max(leastNonce(sa.proposal), min(len(sa.init.nonceI), nonceBytes))
}

// leastNonce is the least length of a nonce that RFC 7296 §2.10 allows: 16 octets, and
// half the key of the PRF.
func leastNonce(p suite.Proposal) int {
	t, _ := p.Find(suite.TransformPRF)
	prf, err := suite.NewPRF(t.ID)
	if err != nil {
		return nonceBytesMin
	}
	return max(nonceBytesMin, prf.KeyBytes()/2)
}

// nonceFault says that the peer's nonce is too short for a proposal, "" when it is not.
func nonceFault(name string, nonce []byte, p suite.Proposal) string {
	least := leastNonce(p)
	if len(nonce) >= least {
		return ""
	}
	prf, _ := p.Find(suite.TransformPRF)
	return fmt.Sprintf("%s has %d octets; with %s it needs %d, half the PRF's key (RFC 7296 §2.10)", name, len(nonce), prf, least)
}

// candidates are the connections for a pair of addresses: those that name the
// remote address, then those that name the local one, then the others, each group
// in the order of the configuration.
func (m *Machine) candidates(local, remote netip.Addr) []*connection {
	var ranked [4][]*connection
	for _, c := range m.connections {
		rank := 0
		if len(c.LocalAddrs) > 0 {
			if !slices.Contains(c.LocalAddrs, local) {
				continue
			}
			rank++
		}
		if len(c.RemoteAddrs) > 0 {
			if !slices.Contains(c.RemoteAddrs, remote) {
				continue
			}
			rank += 2
		}
		ranked[rank] = append(ranked[rank], c)
	}
	return slices.Concat(ranked[3], ranked[2], ranked[1], ranked[0])
}

// initMalformed answers a request that cannot be read (RFC 7296 §2.5, §2.21.1).
func (m *Machine) initMalformed(d Datagram, h wire.Header, err error) {
	var critical *wire.UnsupportedCriticalError
	n := &wire.Notify{Kind: wire.InvalidSyntax}
	if errors.As(err, &critical) {
		n = &wire.Notify{Kind: wire.UnsupportedCriticalPayload, Data: []byte{byte(critical.Payload)}}
	}
	m.replyUnprotected(d, h, n, err.Error())
}

// initRefuse answers a request with an error and records the failed negotiation.
func (m *Machine) initRefuse(d Datagram, msg *wire.Message, n *wire.Notify, connection string, more ...Field) {
	m.initReply(d, msg, n)
	m.emit(Record{Kind: RecordIKEFailed, Connection: connection, Local: d.Local, Remote: d.Remote, Fields: append(reason(n.Kind.String()), more...)})
}

// initReply records an IKE_SA_INIT request and answers it without making an SA.
func (m *Machine) initReply(d Datagram, msg *wire.Message, n *wire.Notify) {
	info := describe(msg.Header, msg.Payloads, false)
	m.emit(Record{Kind: RecordReceived, Local: d.Local, Remote: d.Remote, Exchange: &info})
	m.sendUnprotected(d, msg.Header, n)
}
