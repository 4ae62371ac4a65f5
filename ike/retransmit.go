package ike

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/ike/wire"
)

// outstanding is the one request that waits for its response: the window is one
// (RFC 7296 §2.3).
type outstanding struct {
	bytes         []byte // as sent, and as sent again
	info          Exchange
	local, remote netip.AddrPort
	first, due    time.Duration
	wait          time.Duration // the wait that ends at due
	task          task          // what the exchange is for; zero for IKE_SA_INIT and IKE_AUTH
}

// defaults fills the zero fields.
func (r Retransmit) defaults() Retransmit {
	if r.Timeout == 0 {
		r.Timeout = retransmitTimeoutDefault
	}
	if r.BaseMilli == 0 {
		r.BaseMilli = retransmitBaseMilliDefault
	}
	if r.Tries == 0 {
		r.Tries = retransmitTriesDefault
	}
	if r.Limit == 0 {
		r.Limit = settings.RetransmitWaitMax
	}
	return r
}

func (r Retransmit) check() error {
	switch {
	case r.Timeout < 0 || r.Timeout > settings.RetransmitWaitMax:
		return fmt.Errorf("retransmit timeout %s: must be above 0 and at most %s", r.Timeout, settings.RetransmitWaitMax)
	case r.Limit < 0 || r.Limit > settings.RetransmitWaitMax:
		return fmt.Errorf("retransmit limit %s: must be above 0 and at most %s", r.Limit, settings.RetransmitWaitMax)
	case r.BaseMilli != 0 && (r.BaseMilli < settings.RetransmitBaseMilliMin || r.BaseMilli > settings.RetransmitBaseMilliMax):
		return fmt.Errorf("retransmit base %d thousandths: must be %d to %d", r.BaseMilli, settings.RetransmitBaseMilliMin, settings.RetransmitBaseMilliMax)
	case r.Tries > settings.RetransmitTriesMax:
		return fmt.Errorf("%d retransmissions: at most %d are allowed", r.Tries, settings.RetransmitTriesMax)
	}
	return nil
}

// first is the wait after the first transmission.
func (r Retransmit) first() time.Duration { return min(r.Timeout, r.Limit) }

// after is the wait that follows a wait. It grows in integers, so that the
// schedule is the same on every machine; an hour times 10000 fits easily.
func (r Retransmit) after(wait time.Duration) time.Duration {
	return min(wait/1000*time.Duration(r.BaseMilli)+wait%1000*time.Duration(r.BaseMilli)/1000, r.Limit)
}

// request sends a new request on the SA and starts its schedule.
func (m *Machine) request(sa *ikeSA, exchange wire.ExchangeType, ps []wire.Payload, t task) {
	h := sa.header(exchange, sa.nextRequest, false)
	b, err := m.encode(sa, h, ps)
	if err != nil {
		m.close(sa, RecordIKEFailed, "internal", detail("cannot write a request: "+err.Error()))
		return
	}
	sa.nextRequest++
	sa.out = &outstanding{
		bytes: b, info: describe(h, ps, exchange != wire.ExchangeIKESAInit),
		local: sa.local, remote: sa.remote, first: m.now, wait: sa.conn.Retransmit.first(), task: t,
	}
	sa.out.due = saturatingAdd(m.now, sa.out.wait)
	info := sa.out.info
	m.record(sa, Record{Kind: RecordSent, Exchange: &info})
	m.send(sa, b, sa.out.local, sa.out.remote, sa.out.info)
}

// retransmit repeats the outstanding request or gives it up.
func (m *Machine) retransmit(sa *ikeSA) {
	out := sa.out
	if sa.state == stateInitSent && sa.init.refusal != "" {
		m.attemptFailed(sa, sa.init.refusal, false, Field{"local-proposals", describeProposals(sa.conn.Proposals)})
		return
	}
	if out.info.Transmission >= sa.conn.Retransmit.Tries {
		m.giveUp(sa)
		return
	}
	out.info.Transmission++
	out.wait = sa.conn.Retransmit.after(out.wait)
	out.due = saturatingAdd(m.now, out.wait)
	if sa.state == stateEstablished || sa.state == stateDeleting {
		out.local, out.remote = sa.local, sa.remote // the peer's NAT mapping may have moved; the octets have not
	}
	info := out.info
	m.record(sa, Record{Kind: RecordRetransmit, Exchange: &info, Fields: []Field{
		{"transmission", strconv.Itoa(out.info.Transmission)},
		{"next", out.wait.String()},
	}})
	m.send(sa, out.bytes, out.local, out.remote, out.info)
}

// giveUp ends a request that no retransmission helped.
func (m *Machine) giveUp(sa *ikeSA) {
	out := sa.out
	info := out.info
	m.record(sa, Record{Kind: RecordGiveUp, Exchange: &info, Fields: []Field{
		{"transmissions", strconv.Itoa(out.info.Transmission + 1)},
		{"after", (m.now - out.first).String()},
	}})
	switch sa.state {
	case stateInitSent, stateAuthSent:
		var more []Field
		if sa.state == stateInitSent && sa.init.unread != "" {
			more = append(more, detail("one came that cannot be read: "+sa.init.unread))
		}
		m.attemptFailed(sa, fmt.Sprintf("no response to %s", out.info.Type), true, more...)
	case stateDeleting:
		m.close(sa, RecordIKEDeleted, out.task.reason, detail("the peer never confirmed it"))
	default:
		m.close(sa, RecordIKEDeleted, "dead peer", detail(fmt.Sprintf("no response to %s", out.info.Type)))
	}
}

// answered is what a response does to the schedule.
func (sa *ikeSA) answered() task {
	t := sa.out.task
	sa.out = nil
	return t
}
