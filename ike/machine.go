package ike

import (
	"container/heap"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// Machine is the IKEv2 machine of one node. It is for one goroutine.
type Machine struct {
	cfg         Config
	connections []*connection
	byName      map[string]*connection

	sas         []*ikeSA // in order of creation, which is order of id
	created     uint64
	sequence    uint64 // orders beginnings and establishments
	byLocalSPI  map[wire.SPI]*ikeSA
	inits       map[initKey]*ikeSA
	byPeer      map[string][]*ikeSA // established ones, in order of establishment
	inboundSPIs map[uint32]*childSA
	closed      []*ikeSA // in order of closing
	halfOpen    int
	peerSPIs    peerSPIs
	timers      timers
	waiting     []*connection // whose next try is put off, by instant
	addresses   []netip.Addr

	unprotectedSince time.Duration
	unprotectedCount int

	// of the present Step
	now     time.Duration
	actions []Action
	touched []*ikeSA
}

// connection is a configured connection and what runs on it.
type connection struct {
	Connection
	index     int    // in the configuration
	initiated uint64 // IKE SAs this end began
	current   *ikeSA // the one this end is negotiating
	// rest is that of the connection's own failures, rests are those of its children.
	// waiting is an attempt whose next try comes at nextTry.
	rest    rest
	rests   []rest
	waiting *attempt
	nextTry time.Duration
}

// New checks the configuration and returns a machine that has done nothing yet.
func New(cfg Config) (*Machine, error) {
	conns, err := prepare(&cfg)
	if err != nil {
		return nil, err
	}
	m := &Machine{
		cfg: cfg, connections: conns, byName: make(map[string]*connection),
		byLocalSPI: make(map[wire.SPI]*ikeSA), inits: make(map[initKey]*ikeSA),
		byPeer: make(map[string][]*ikeSA), inboundSPIs: make(map[uint32]*childSA),
	}
	for _, c := range conns {
		m.byName[c.Name] = c
	}
	return m, nil
}

// Step handles one event at the instant now, since the lab's epoch, and returns
// what is to be done. Instants must not go backwards. The slice is the caller's.
func (m *Machine) Step(now time.Duration, ev Event) []Action {
	m.now, m.actions = now, nil
	switch ev := ev.(type) {
	case Start:
		m.start()
	case Datagram:
		m.datagram(ev)
	case Timeout:
		m.timeout()
	case Acquire:
		m.acquire(ev)
	case ESPSeen:
		m.espSeen(ev)
	case ESPSent:
		m.espSent(ev)
	case Lifetime:
		m.lifetime(ev)
	case AddressChange:
		m.addresses = slices.Clone(ev.Local)
	case Command:
		m.command(ev)
	}
	m.settle()
	out := m.actions
	m.actions = nil
	return out
}

// Deadline is the next instant at which Step wants a Timeout, and what for; ok is
// false when the machine waits for nothing.
func (m *Machine) Deadline() (at time.Duration, why string, ok bool) {
	next, why := m.nextTry()
	if len(m.timers) == 0 || next < m.timers[0].timer.at {
		return next, why, next < never
	}
	sa := m.timers[0]
	name := sa.connectionName()
	if name == "" {
		name = "half-open"
	}
	return sa.timer.at, fmt.Sprintf("%s, %s[%d]", sa.timer.why, name, sa.id), true
}

// timeout runs every timer that is due, by instant and number of the SA; a
// connection's comes after the SAs'.
func (m *Machine) timeout() {
	for {
		next, _ := m.nextTry()
		if len(m.timers) == 0 || next < m.timers[0].timer.at {
			if next > m.now {
				return
			}
			m.tryAgain()
			m.settle()
			continue
		}
		sa := m.timers[0]
		if sa.timer.at > m.now {
			return
		}
		m.touch(sa)
		switch sa.timer.why {
		case timerRetransmit:
			m.retransmit(sa)
		case timerHalfOpen:
			m.close(sa, RecordIKEExpired, "no IKE_AUTH request within "+m.cfg.Limits.HalfOpenTimeout.String())
		case timerLinger:
			m.remove(sa)
		case timerLiveness:
			m.checkLiveness(sa, "silent for "+(m.now-sa.lastHeard).String())
		case timerKeepalive:
			m.keepalive(sa)
		}
		m.settle()
	}
}

// touch notes that an SA's timers or tasks may have changed.
func (m *Machine) touch(sa *ikeSA) {
	if !sa.touched {
		sa.touched = true
		m.touched = append(m.touched, sa)
	}
}

// settle starts waiting exchanges and puts timers right, for every touched SA.
func (m *Machine) settle() {
	for i := 0; i < len(m.touched); i++ { // tasks may touch further SAs
		sa := m.touched[i]
		m.startTasks(sa)
	}
	for _, sa := range m.touched {
		sa.touched = false
		m.timers.reschedule(sa)
	}
	m.touched = m.touched[:0]
}

// datagram dispatches one IKE message.
func (m *Machine) datagram(d Datagram) {
	h, err := wire.ParseHeader(d.Payload)
	switch {
	case err != nil:
		m.drop(nil, d, nil, err.Error())
		return
	case h.MajorVersion > 2:
		m.invalidMajorVersion(d, h)
		return
	case h.MajorVersion < 2:
		m.drop(nil, d, nil, fmt.Sprintf("IKE version %d.%d", h.MajorVersion, h.MinorVersion))
		return
	case h.InitiatorSPI.IsZero():
		m.drop(nil, d, &h, "the initiator's SPI is zero")
		return
	case h.Exchange == wire.ExchangeIKESAInit && !h.IsResponse() && h.FromInitiator() && h.ResponderSPI.IsZero():
		m.initRequest(d, h)
		return
	}
	sa := m.find(h)
	if sa == nil {
		m.unknownSPI(d, h)
		return
	}
	m.touch(sa)
	if h.IsResponse() {
		m.response(sa, d, h)
	} else {
		m.incomingRequest(sa, d, h)
	}
}

// find is the IKE SA of a message by its SPIs, nil for none.
func (m *Machine) find(h wire.Header) *ikeSA {
	local := h.InitiatorSPI
	if h.FromInitiator() {
		local = h.ResponderSPI
	}
	sa := m.byLocalSPI[local]
	switch {
	case sa == nil || sa.initiator == h.FromInitiator():
		return nil
	case sa.initiator && sa.state != stateInitSent && sa.spiR != h.ResponderSPI:
		return nil
	case !sa.initiator && sa.spiI != h.InitiatorSPI:
		return nil
	}
	return sa
}

// response handles a message with the Response flag for a known SA.
func (m *Machine) response(sa *ikeSA, d Datagram, h wire.Header) {
	if sa.out == nil || sa.out.info.MessageID != h.MessageID || sa.out.info.Type != h.Exchange {
		m.drop(sa, d, &h, "a response to nothing that is outstanding")
		return
	}
	msg, err := wire.Parse(d.Payload)
	if err != nil {
		sa.init.unread = err.Error()
		m.drop(sa, d, &h, err.Error())
		return
	}
	if sa.state == stateInitSent {
		m.initResponse(sa, d, msg)
		return
	}
	ps, err := m.open(sa, d.Payload, msg)
	if err != nil {
		m.unopened(sa, d, msg, err)
		return
	}
	m.heard(sa, d)
	inner, err := ps.parse()
	if err != nil {
		m.received(sa, d, h, nil, true)
		m.malformedResponse(sa, err)
		return
	}
	m.received(sa, d, h, inner, true)
	switch {
	case sa.state == stateAuthSent:
		m.authResponse(sa, inner)
	default:
		m.informationalResponse(sa, inner)
	}
}

// incomingRequest handles a message without the Response flag for a known SA.
func (m *Machine) incomingRequest(sa *ikeSA, d Datagram, h wire.Header) {
	if last := sa.last; last != nil && h.MessageID == last.info.MessageID && slices.Equal(d.Payload, last.request) {
		m.repeatResponse(sa, d)
		return
	}
	switch {
	case sa.state == stateClosed && sa.establishedAt == 0:
		m.drop(sa, d, &h, "the IKE SA is closed")
		return
	case sa.negotiating():
		m.drop(sa, d, &h, "the peer is not authenticated yet")
		return
	case h.MessageID < sa.expect:
		m.drop(sa, d, &h, fmt.Sprintf("an old message: %d is the next message ID", sa.expect))
		return
	case h.MessageID > sa.expect:
		m.drop(sa, d, &h, fmt.Sprintf("outside the window of one: %d is the next message ID", sa.expect))
		return
	}
	msg, err := wire.Parse(d.Payload)
	if err != nil {
		m.drop(sa, d, &h, err.Error())
		return
	}
	ps, err := m.open(sa, d.Payload, msg)
	if err != nil {
		m.unopened(sa, d, msg, err)
		return
	}
	m.heard(sa, d)
	sa.proven = true
	inner, err := ps.parse()
	if err != nil {
		m.received(sa, d, h, nil, true)
		m.malformedRequest(sa, d, h, err)
		return
	}
	m.received(sa, d, h, inner, true)
	switch {
	case sa.state == stateClosed:
		m.deleteClosed(sa, d, h, inner)
	case sa.state == stateHalfOpen && h.Exchange == wire.ExchangeIKEAuth:
		m.authRequest(sa, d, h, inner)
	case sa.state == stateHalfOpen:
		m.refuse(sa, d, h, wire.InvalidSyntax, nil, detail(h.Exchange.String()+" before IKE_AUTH"))
	case h.Exchange == wire.ExchangeInformational:
		m.informationalRequest(sa, d, h, inner)
	case h.Exchange == wire.ExchangeCreateChildSA:
		m.createChildRequest(sa, d, h)
	default:
		m.refuse(sa, d, h, wire.InvalidSyntax, nil, detail(h.Exchange.String()+" on an established IKE SA"))
	}
}

// admit makes room for a new IKE SA, at the cost of one that is closed; false when
// there is none.
func (m *Machine) admit() bool {
	if len(m.sas) >= m.cfg.Limits.IKESAsMax && len(m.closed) > 0 {
		m.remove(m.closed[0])
	}
	return len(m.sas) < m.cfg.Limits.IKESAsMax
}

// add registers a new SA, whose SPIs are set.
func (m *Machine) add(sa *ikeSA) {
	m.created++
	sa.id, sa.heapIndex = m.created, -1
	m.sequence++
	sa.begunAt = m.sequence
	sa.lastHeard, sa.lastSent = m.now, m.now
	m.sas = append(m.sas, sa)
	m.byLocalSPI[sa.localSPI()] = sa
	if sa.state == stateHalfOpen {
		m.halfOpen++
		m.inits[sa.init.key] = sa
	}
	m.touch(sa)
}

// setState moves an SA and keeps the tables that depend on its state.
func (m *Machine) setState(sa *ikeSA, s saState) {
	was := sa.state
	if was == s {
		return
	}
	sa.state = s
	if was == stateHalfOpen {
		m.halfOpen--
	}
	if s == stateEstablished {
		m.sequence++
		sa.establishedAt = m.sequence
		m.byPeer[sa.peerKey()] = append(m.byPeer[sa.peerKey()], sa)
	}
	if s == stateClosed {
		m.forgetPeer(sa)
		m.closed = append(m.closed, sa)
	}
	m.touch(sa)
}

// forgetPeer takes an SA out of the table of established ones.
func (m *Machine) forgetPeer(sa *ikeSA) {
	key := sa.peerKey()
	list, ok := m.byPeer[key]
	if !ok {
		return
	}
	if i := slices.Index(list, sa); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(m.byPeer, key)
		return
	}
	m.byPeer[key] = list
}

// peerKey names a pair of identities.
func (sa *ikeSA) peerKey() string {
	return fmt.Sprintf("%d:%x/%d:%x", sa.localID.Type, sa.localID.Data, sa.peerID.Type, sa.peerID.Data)
}

// remove forgets an SA for good.
func (m *Machine) remove(sa *ikeSA) {
	if sa.gone {
		return
	}
	if sa.state == stateHalfOpen {
		m.halfOpen--
	}
	m.dropPending(sa)
	sa.gone = true
	delete(m.byLocalSPI, sa.localSPI())
	if m.inits[sa.init.key] == sa {
		delete(m.inits, sa.init.key)
	}
	m.forgetPeer(sa)
	if i := slices.Index(m.closed, sa); i >= 0 {
		m.closed = slices.Delete(m.closed, i, i+1)
	}
	if i := sort.Search(len(m.sas), func(i int) bool { return m.sas[i].id >= sa.id }); i < len(m.sas) && m.sas[i] == sa {
		m.sas = slices.Delete(m.sas, i, i+1)
	}
	if sa.heapIndex >= 0 {
		heap.Remove(&m.timers, sa.heapIndex)
	}
	m.touch(sa)
}
