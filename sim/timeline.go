package sim

import (
	"cmp"
	"container/heap"
	"time"
)

// dueKind orders what is due at one instant: steps before the packets of
// flows, so that a link taken down at 10 s carries nothing of 10 s, and
// judgements last. A process that starts at 10 s finds what steps of 10 s made.
type dueKind uint8

const (
	dueStep dueKind = iota
	dueProcessStart
	dueProcessStop
	dueProcessTimeout
	dueProcessKill
	dueFlow
	dueJudge
)

// due is something that the run itself does at an instant. The index is that of
// the step, process, flow or expectation in the plan.
type due struct {
	at    time.Duration
	kind  dueKind
	index int
}

// timeline holds what is due, in the order of (at, kind, index). At most one
// entry stands per flow and step and a few per expectation.
type timeline struct{ entries dueHeap }

// add puts something on the timeline.
func (t *timeline) add(d due) { heap.Push(&t.entries, d) }

// next is the first instant at which something is due.
func (t *timeline) next() (at time.Duration, ok bool) {
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[0].at, true
}

// pop takes the first entry that is due at now, or before.
func (t *timeline) pop(now time.Duration) (d due, ok bool) {
	if at, ok := t.next(); !ok || at > now {
		return due{}, false
	}
	return heap.Pop(&t.entries).(due), true
}

// dueHeap implements heap.Interface.
type dueHeap []due

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.kind, b.kind), cmp.Compare(a.index, b.index)) < 0
}

func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *dueHeap) Push(d any) { *h = append(*h, d.(due)) }

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	*h = (*h)[:last]
	return d
}
