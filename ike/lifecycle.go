package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// start initiates what the configuration wants up from the beginning.
func (m *Machine) start() {
	for _, c := range m.connections {
		for i, child := range c.Children {
			if child.StartAction == StartStart {
				m.initiate(c, attempt{child: i}, false)
			}
		}
	}
}

// acquire initiates the child that a packet needs, unless it rests after a failure.
func (m *Machine) acquire(ev Acquire) {
	c, i, why := m.lookup(ev.Connection, ev.Child)
	if why != "" {
		m.ignore(ev.Connection, why)
		return
	}
	if until := c.resting(i); until > m.now && c.current == nil && c.waiting == nil {
		m.emit(TrapRests{Connection: c.Name, Child: ev.Child, Until: until})
		return
	}
	if !m.initiate(c, attempt{child: i, packet: ev.Packet}, false) {
		m.emit(TrapRests{Connection: c.Name, Child: ev.Child, Until: max(saturatingAdd(m.now, restMin), c.resting(i))})
	}
}

// command carries out an operator's order.
func (m *Machine) command(ev Command) {
	c, i, why := m.lookup(ev.Connection, ev.Child)
	if why != "" {
		m.ignore(ev.Connection, why)
		return
	}
	switch ev.Kind {
	case Initiate:
		m.initiate(c, attempt{child: i}, true)
	case Terminate:
		m.terminate(c, ev.Child)
	case Liveness:
		asked := false
		for _, sa := range m.of(c) {
			if sa.up() {
				m.touch(sa)
				m.checkLiveness(sa, "command")
				asked = true
			}
		}
		if !asked {
			m.ignore(c.Name, "there is no established IKE SA to check")
		}
	default:
		m.ignore(c.Name, fmt.Sprintf("command %d is unknown", ev.Kind))
	}
}

// lookup finds a connection and one of its children, the first for an empty name.
func (m *Machine) lookup(connection, child string) (c *connection, index int, why string) {
	c = m.byName[connection]
	if c == nil {
		return nil, 0, fmt.Sprintf("there is no connection %q", connection)
	}
	if child == "" {
		return c, 0, ""
	}
	index = slices.IndexFunc(c.Children, func(x Child) bool { return x.Name == child })
	if index < 0 {
		return nil, 0, fmt.Sprintf("connection %q has no child %q", connection, child)
	}
	return c, index, ""
}

// of lists the SAs of a connection, in order of creation.
func (m *Machine) of(c *connection) []*ikeSA {
	var out []*ikeSA
	for _, sa := range m.sas {
		if sa.conn == c {
			out = append(out, sa)
		}
	}
	return out
}

// ignore records an order that came to nothing.
func (m *Machine) ignore(connection, why string) {
	m.emit(Record{Kind: RecordIgnored, Connection: connection, Fields: reason(why)})
}

// secondChild says what to do about a child that an IKE SA has no exchange for yet.
const secondChild = "a second CHILD_SA needs CREATE_CHILD_SA, which comes with a later issue; give the child a connection of its own"

// initiate brings up a child unless it is up or on its way. It returns false when
// nothing has been begun, nor is under way, that will show how it ends.
func (m *Machine) initiate(c *connection, a attempt, ordered bool) bool {
	if len(c.Children) == 0 {
		m.ignore(c.Name, "the connection has no child: IKE_AUTH sets up the first CHILD_SA (RFC 7296 §1.2)")
		return false
	}
	if len(c.RemoteAddrs) == 0 {
		m.ignore(c.Name, "the connection has no remote_addrs, so it can only answer")
		return false
	}
	name := c.Children[a.child].Name
	for _, sa := range m.of(c) {
		switch {
		case !sa.up() || sa.ending():
		case sa.has(name):
			if ordered {
				m.ignore(c.Name, fmt.Sprintf("child %q is installed already", name))
			}
			return false
		case sa.hasAny():
			m.childCrowded(sa, name)
			return true
		default:
			// Its CHILD_SA is gone, and only IKE_AUTH can make one: a new IKE SA replaces it.
			sa.queue(task{kind: taskDeleteIKE, reason: "replaced: it has no CHILD_SA left"})
			m.touch(sa)
		}
	}
	if c.current != nil {
		if c.current.attempt.child != a.child {
			m.childCrowded(c.current, name)
		} else if ordered {
			m.ignore(c.Name, "the connection is being negotiated already")
		}
		return true
	}
	if w := c.waiting; w != nil && !ordered {
		// Its next try is for the child that it was begun for.
		return w.child == a.child
	}
	m.stopWaiting(c) // an order does not wait
	m.begin(c, a)
	return true
}

// begin starts an IKE SA for an attempt.
func (m *Machine) begin(c *connection, a attempt) {
	remote := netip.AddrPortFrom(c.RemoteAddrs[a.address], c.RemotePort)
	source := m.source(c, remote.Addr())
	if !source.IsValid() {
		m.attemptOver(c, a, nil, "no local address", true, detail(fmt.Sprintf("no local address reaches %s", remote.Addr())))
		return
	}
	if !m.admit() {
		m.attemptOver(c, a, nil, fmt.Sprintf("%d IKE SAs exist, the limit", m.cfg.Limits.IKESAsMax), false)
		return
	}
	c.initiated++
	label := initiatorLabel(c.Name, c.initiated)
	spi, ok := m.randomSPI(label)
	if !ok {
		m.attemptOver(c, a, nil, "no free SPI", false)
		return
	}
	sa := &ikeSA{
		label: label, conn: c, initiator: true, state: stateInitSent, spiI: spi, attempt: a,
		local: netip.AddrPortFrom(source, c.LocalPort), remote: remote,
	}
	c.current = sa
	m.add(sa)
	m.record(sa, Record{Kind: RecordIKEInit})
	m.initBegin(sa)
}

// source is the address from which a connection reaches remote.
func (m *Machine) source(c *connection, remote netip.Addr) netip.Addr {
	sameFamily := func(a netip.Addr) bool { return a.Unmap().Is4() == remote.Unmap().Is4() }
	if len(c.LocalAddrs) > 0 {
		if i := slices.IndexFunc(c.LocalAddrs, sameFamily); i >= 0 {
			return c.LocalAddrs[i]
		}
		return netip.Addr{}
	}
	if m.cfg.SourceAddr != nil {
		return m.cfg.SourceAddr(remote)
	}
	if i := slices.IndexFunc(m.addresses, sameFamily); i >= 0 {
		return m.addresses[i]
	}
	return netip.Addr{}
}

// attemptFailed ends an initiator's SA before it was established. unreachable says
// that the peer never answered, which another address or try may cure.
func (m *Machine) attemptFailed(sa *ikeSA, why string, unreachable bool, more ...Field) {
	c := sa.conn
	if c.current == sa {
		c.current = nil
	}
	m.remove(sa)
	m.attemptOver(c, sa.attempt, sa, why, unreachable && sa.terminate == "", more...)
}

// attemptOver records a failure and goes on with the next address or try. Every
// try goes through all addresses, each with a whole retransmission schedule; before
// the next try there is a rest, and before a trap fires again.
func (m *Machine) attemptOver(c *connection, a attempt, sa *ikeSA, why string, again bool, more ...Field) {
	a.address++
	if a.address >= len(c.RemoteAddrs) {
		a.address = 0
		a.tries++
	}
	again = again && (c.KeyingTries < 0 || a.tries < c.KeyingTries)
	var wait time.Duration
	if !again || a.address == 0 {
		wait = c.rest.fail(m.now)
	}
	r := Record{Kind: RecordIKEFailed, Connection: c.Name, Initiator: true, Fields: append(reason(why), more...)}
	switch {
	case !again:
		r.Fields = append(r.Fields, c.restField("", wait)...)
	default:
		r.Kind = RecordIKERetry
		r.Fields = append(r.Fields, Field{"next", c.RemoteAddrs[a.address].String()})
		if wait > 0 {
			r.Fields = append(r.Fields, Field{"after", wait.String()})
		}
	}
	if sa != nil {
		m.record(sa, r)
	} else {
		m.emit(r)
	}
	switch {
	case !again:
		m.tellRest(c, "", c.rest.until)
	case wait > 0:
		m.wait(c, a)
	default:
		m.begin(c, a)
	}
}

// terminate deletes a child or, for an empty name, the connection's IKE SAs.
func (m *Machine) terminate(c *connection, child string) {
	found := false
	if w := c.waiting; w != nil && (child == "" || c.Children[w.child].Name == child) {
		m.stopWaiting(c)
		m.emit(Record{Kind: RecordIKEFailed, Connection: c.Name, Initiator: true, Fields: reason("terminated by command")})
		m.tellRest(c, "", m.now)
		found = true
	}
	for _, sa := range m.of(c) {
		switch {
		case sa.state == stateInitSent && child == "":
			m.attemptFailed(sa, "terminated by command", false)
		case sa.state == stateAuthSent && child == "":
			sa.terminate = "terminated by command"
		case sa.up() && child == "":
			sa.queue(task{kind: taskDeleteIKE, reason: "terminated by command"})
			m.touch(sa)
		case sa.up():
			for _, x := range sa.children {
				if x.child == child && !x.ending {
					found = true
					x.ending = true
					sa.queue(task{kind: taskDeleteChild, child: x, spi: x.spiIn, reason: "terminated by command"})
					m.touch(sa)
				}
			}
			continue
		default:
			continue
		}
		found = true
	}
	if !found {
		m.ignore(c.Name, "there is nothing to terminate")
	}
}

// close ends an IKE SA for this end: its children leave the data plane and it is
// recorded. What has a response to repeat lingers for that.
func (m *Machine) close(sa *ikeSA, kind RecordKind, why string, more ...Field) {
	if sa.gone || sa.state == stateClosed {
		return
	}
	for _, c := range slices.Clone(sa.children) {
		m.removeChild(sa, c, c.spiIn, c.spiOut, why)
	}
	if sa.conn.current == sa {
		sa.conn.current = nil
		sa.conn.rest.fail(m.now)
		m.tellRest(sa.conn, "", sa.conn.rest.until)
	}
	m.makeRoom(sa.conn)
	sa.out, sa.tasks = nil, nil
	if !sa.failed {
		m.record(sa, Record{Kind: kind, Fields: append(reason(why), more...)})
	}
	if sa.last == nil || kind == RecordIKEExpired || m.cfg.Limits.ClosedLinger < 0 {
		m.remove(sa)
		return
	}
	sa.expires = saturatingAdd(m.now, m.cfg.Limits.ClosedLinger)
	m.setState(sa, stateClosed)
}

// heard notes an authenticated message and follows the peer to the address it
// came from: always before this responder has authenticated the peer, afterwards
// when the peer is behind a NAT and this end is not (RFC 7296 §2.23).
func (m *Machine) heard(sa *ikeSA, d Datagram) {
	sa.lastHeard = m.now
	m.touch(sa)
	if sa.state == stateHalfOpen {
		sa.local, sa.remote = d.Local, d.Remote
		return
	}
	if d.Local == sa.local {
		m.follow(sa, d.Remote)
	}
}

// follow moves an SA and its children to the peer's present address.
func (m *Machine) follow(sa *ikeSA, remote netip.AddrPort) {
	if remote == sa.remote || !sa.nat.supported || !sa.nat.remote || sa.nat.local || !(sa.up() || sa.state == stateDeleting) {
		return
	}
	sa.remote = remote
	for _, c := range sa.children {
		m.emit(MoveChild{Connection: sa.conn.Name, Child: c.child, SPIIn: c.spiIn, SPIOut: c.spiOut, Local: sa.local, Remote: remote})
		m.record(sa, Record{Kind: RecordChildMoved, Fields: []Field{
			{"child", c.child}, {"spi-in", espSPI(c.spiIn)}, {"spi-out", espSPI(c.spiOut)}, {"remote", remote.String()},
		}})
	}
}

// espSent takes an ESP packet in UDP for what keeps a NAT mapping open.
func (m *Machine) espSent(ev ESPSent) {
	if c := m.inboundSPIs[ev.SPI]; c != nil {
		c.ike.lastSent = max(c.ike.lastSent, min(ev.At, m.now))
		m.touch(c.ike)
	}
}

// espSeen takes an ESP packet as a sign of life, and its source as the peer's address.
func (m *Machine) espSeen(ev ESPSeen) {
	c := m.inboundSPIs[ev.SPI]
	if c == nil {
		return
	}
	sa := c.ike
	at := m.now
	if ev.At > 0 {
		at = min(ev.At, m.now)
	}
	sa.lastHeard = max(sa.lastHeard, at)
	m.touch(sa)
	m.follow(sa, ev.Remote)
}
