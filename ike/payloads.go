package ike

import (
	"fmt"

	"github.com/ikelab/ikelab/ike/wire"
)

// only is the one payload of a Go type; ok is false when there is none or more
// than one.
func only[P wire.Payload](ps []wire.Payload) (found P, ok bool) {
	found, n := count[P](ps)
	return found, n == 1
}

// count is the last payload of a Go type and how many there are.
func count[P wire.Payload](ps []wire.Payload) (last P, n int) {
	for _, p := range ps {
		if x, is := p.(P); is {
			last, n = x, n+1
		}
	}
	return last, n
}

// onlyID is the one ID payload of a kind.
func onlyID(ps []wire.Payload, kind wire.PayloadType) (found *wire.ID, n int) {
	for _, p := range ps {
		if x, is := p.(*wire.ID); is && x.Kind == kind {
			found, n = x, n+1
		}
	}
	return found, n
}

// childPayloads are those by which a message sets up a CHILD_SA.
type childPayloads struct {
	sa       *wire.SA
	tsi, tsr []wire.Selector
}

// childPayloadsOf reads them; fault says which are missing or there more than once,
// "" for none. A message with such a fault is malformed as a whole.
func childPayloadsOf(ps []wire.Payload) (c childPayloads, fault string) {
	var sas, tsis, tsrs int
	c.sa, sas = count[*wire.SA](ps)
	for _, p := range ps {
		switch ts, is := p.(*wire.TS); {
		case !is:
		case ts.Initiator:
			c.tsi, tsis = ts.Selectors, tsis+1
		default:
			c.tsr, tsrs = ts.Selectors, tsrs+1
		}
	}
	if sas != 1 || tsis != 1 || tsrs != 1 {
		fault = fmt.Sprintf("%d SA, %d TSi and %d TSr payloads, where one of each is needed", sas, tsis, tsrs)
	}
	return c, fault
}

// notify is the first notification of a kind, nil for none.
func notify(ps []wire.Payload, kind wire.NotifyType) *wire.Notify {
	for _, p := range ps {
		if n, is := p.(*wire.Notify); is && n.Kind == kind {
			return n
		}
	}
	return nil
}

// firstError is the first notification of an error, known or not; nil for none.
func firstError(ps []wire.Payload) *wire.Notify {
	for _, p := range ps {
		if n, is := p.(*wire.Notify); is && n.Kind.IsError() {
			return n
		}
	}
	return nil
}

// firstFatal is the first notification that ends an IKE SA by itself, nil for none.
func firstFatal(ps []wire.Payload) *wire.Notify {
	for _, p := range ps {
		if n, is := p.(*wire.Notify); is && fatal(n.Kind) {
			return n
		}
	}
	return nil
}
