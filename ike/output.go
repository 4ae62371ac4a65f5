package ike

import (
	"net/netip"

	"github.com/ikelab/ikelab/ike/wire"
)

// emit adds an action to the present step.
func (m *Machine) emit(a Action) { m.actions = append(m.actions, a) }

// record adds a record about an SA.
func (m *Machine) record(sa *ikeSA, r Record) {
	r.Connection = sa.connectionName()
	r.IKE, r.Initiator = sa.id, sa.initiator
	if !r.Local.IsValid() {
		r.Local, r.Remote = sa.local, sa.remote
	}
	m.emit(r)
}

// reason is why something happened: the name of the notification or a few fixed
// words, so that labs can compare it.
func reason(text string) []Field { return []Field{{"reason", text}} }

// detail is the sentence behind a reason.
func detail(text string) Field {
	if len(text) > detailBytesMax {
		text = text[:detailBytesMax]
	}
	return Field{"detail", text}
}

// send emits a datagram of an SA.
func (m *Machine) send(sa *ikeSA, b []byte, local, remote netip.AddrPort, info Exchange) {
	sa.lastSent = m.now
	m.touch(sa)
	m.emit(Send{
		Local: local, Remote: remote, Payload: append([]byte(nil), b...),
		NonESPMarker: local.Port() == portNATT, Exchange: &info,
	})
}

// keepalive holds the NAT mapping open (RFC 3948 §2.3): one octet, no marker. Whatever
// else went the same way, of this IKE SA or another, has done so (RFC 3948 §4).
func (m *Machine) keepalive(sa *ikeSA) {
	for _, other := range m.sas {
		if other.local == sa.local && other.remote == sa.remote {
			sa.lastSent = max(sa.lastSent, other.lastSent)
		}
	}
	if m.now-sa.lastSent < sa.conn.KeepAlive {
		return
	}
	sa.lastSent = m.now
	m.emit(Send{Local: sa.local, Remote: sa.remote, Payload: []byte{0xff}, Keepalive: true})
}

// received records a message that passed its checks.
func (m *Machine) received(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload, protected bool) {
	info := describe(h, ps, protected)
	m.record(sa, Record{Kind: RecordReceived, Local: d.Local, Remote: d.Remote, Exchange: &info})
}

// drop records a message that changes nothing. sa and h are nil when unknown.
func (m *Machine) drop(sa *ikeSA, d Datagram, h *wire.Header, why string) {
	if len(why) > detailBytesMax {
		why = why[:detailBytesMax]
	}
	r := Record{Kind: RecordDropped, Local: d.Local, Remote: d.Remote, Fields: reason(why)}
	if h != nil {
		info := describe(*h, nil, false)
		r.Exchange = &info
	}
	if sa == nil {
		m.emit(r)
		return
	}
	m.record(sa, r)
}

// respond answers a request on an SA, and keeps the answer for repetitions. The
// response goes to where the request came from (RFC 7296 §2.11).
func (m *Machine) respond(sa *ikeSA, d Datagram, h wire.Header, ps []wire.Payload) bool {
	rh := sa.header(h.Exchange, h.MessageID, true)
	b, err := m.encode(sa, rh, ps)
	if err != nil {
		m.drop(sa, d, &h, "cannot write the response: "+err.Error())
		return false
	}
	if !sa.affords(len(b)) {
		m.drop(sa, d, &h, "the response would send an unproven address more than it sent")
		return false
	}
	info := describe(rh, ps, h.Exchange != wire.ExchangeIKESAInit)
	sa.last = &answeredRequest{request: d.Payload, response: b, info: info}
	sa.expect = h.MessageID + 1
	sent := info
	m.record(sa, Record{Kind: RecordSent, Local: d.Local, Remote: d.Remote, Exchange: &sent})
	m.send(sa, b, d.Local, d.Remote, info)
	return true
}

// repeatResponse answers a repeated request with the octets of the first answer
// (RFC 7296 §2.1). That of IKE_SA_INIT only as far as the requests pay for it.
func (m *Machine) repeatResponse(sa *ikeSA, d Datagram) {
	last := sa.last
	sa.init.received += len(d.Payload)
	if !sa.affords(len(last.response)) {
		m.drop(sa, d, nil, "repeating the response would send an unproven address more than it sent")
		return
	}
	last.info.Transmission++
	info := last.info
	m.record(sa, Record{Kind: RecordResponseResent, Local: d.Local, Remote: d.Remote, Exchange: &info})
	m.send(sa, last.response, d.Local, d.Remote, last.info)
}

// affords takes n octets off what a responder may still send to a peer that has not
// shown that it gets what is sent to it; false when they are not left. A request whose
// integrity check holds shows that, and is answered whatever its size (RFC 7296 §2.11).
func (sa *ikeSA) affords(n int) bool {
	if sa.initiator || sa.proven {
		return true
	}
	if sa.init.sent+n > sa.init.received {
		return false
	}
	sa.init.sent += n
	return true
}
