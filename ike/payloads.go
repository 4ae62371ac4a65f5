package ike

import "github.com/ikelab/ikelab/ike/wire"

// only is the one payload of a Go type; ok is false when there is none or more
// than one.
func only[P wire.Payload](ps []wire.Payload) (found P, ok bool) {
	n := 0
	for _, p := range ps {
		if x, is := p.(P); is {
			found, n = x, n+1
		}
	}
	return found, n == 1
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

// onlyTS are the selectors of the one TSi or TSr payload, nil when there is none
// or more than one.
func onlyTS(ps []wire.Payload, initiator bool) []wire.Selector {
	var found []wire.Selector
	n := 0
	for _, p := range ps {
		if x, is := p.(*wire.TS); is && x.Initiator == initiator {
			found, n = x.Selectors, n+1
		}
	}
	if n != 1 {
		return nil
	}
	return found
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
