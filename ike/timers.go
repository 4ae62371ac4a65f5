package ike

import (
	"container/heap"
	"time"
)

// timer is what an IKE SA waits for next.
type timer struct {
	at  time.Duration
	why timerKind
}

// timerKind is the reason of a deadline. When two of one SA are due at one instant,
// the lower goes first.
type timerKind uint8

const (
	timerRetransmit timerKind = iota
	timerHalfOpen
	timerLinger
	timerLiveness
	timerKeepalive
)

var timerNames = [...]string{
	timerRetransmit: "retransmit",
	timerHalfOpen:   "half-open timeout",
	timerLinger:     "closed SA forgotten",
	timerLiveness:   "liveness check",
	timerKeepalive:  "NAT keepalive",
}

func (k timerKind) String() string { return timerNames[k] }

// next is the SA's earliest timer; at is never when it waits for nothing.
func (sa *ikeSA) next() timer {
	t := timer{at: never}
	consider := func(at time.Duration, why timerKind) {
		if at < t.at {
			t = timer{at, why}
		}
	}
	if sa.out != nil {
		consider(sa.out.due, timerRetransmit)
	}
	switch sa.state {
	case stateHalfOpen:
		consider(sa.expires, timerHalfOpen)
	case stateClosed:
		consider(sa.expires, timerLinger)
	case stateEstablished:
		if sa.conn.DPDDelay > 0 && sa.out == nil {
			consider(saturatingAdd(sa.lastHeard, sa.conn.DPDDelay), timerLiveness)
		}
	}
	if sa.keepsAlive() {
		consider(saturatingAdd(sa.lastSent, sa.conn.KeepAlive), timerKeepalive)
	}
	return t
}

// saturatingAdd adds a delay to an instant; what would overflow is never.
func saturatingAdd(at, delay time.Duration) time.Duration {
	if delay > never-at {
		return never
	}
	return at + delay
}

// timers is a heap of the IKE SAs that wait for something, by (instant, number).
type timers []*ikeSA

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	if t[i].timer.at != t[j].timer.at {
		return t[i].timer.at < t[j].timer.at
	}
	return t[i].id < t[j].id
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].heapIndex, t[j].heapIndex = i, j
}

// Push and Pop are for package heap.
func (t *timers) Push(x any) {
	sa := x.(*ikeSA)
	sa.heapIndex = len(*t)
	*t = append(*t, sa)
}

func (t *timers) Pop() any {
	old := *t
	sa := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	sa.heapIndex = -1
	return sa
}

// reschedule puts an SA where its next timer belongs, or takes it out.
func (t *timers) reschedule(sa *ikeSA) {
	sa.timer = timer{at: never}
	if !sa.gone {
		sa.timer = sa.next()
	}
	switch {
	case sa.timer.at == never && sa.heapIndex >= 0:
		heap.Remove(t, sa.heapIndex)
	case sa.timer.at == never:
	case sa.heapIndex >= 0:
		heap.Fix(t, sa.heapIndex)
	default:
		heap.Push(t, sa)
	}
}
