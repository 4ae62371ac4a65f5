//go:build linux

package netns

import (
	"container/heap"
	"time"

	"github.com/ikelab/ikelab/impair"
)

// travelling is a frame on a link.
type travelling struct {
	at        time.Duration
	direction impair.Direction
	port      *port
	// sequence keeps the order of what is due at one instant.
	sequence uint64
	frame    []byte
}

// travels holds the frames on all links in the order of their arrival.
type travels struct {
	entries  []travelling
	sequence uint64
}

func (t *travels) add(f travelling) {
	t.sequence++
	f.sequence = t.sequence
	heap.Push((*travelsHeap)(t), f)
}

// next is when the first frame arrives; ok is false when none travels.
func (t *travels) next() (at time.Duration, ok bool) {
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[0].at, true
}

// pop takes the first frame that is due at now.
func (t *travels) pop(now time.Duration) (travelling, bool) {
	if at, ok := t.next(); !ok || at > now {
		return travelling{}, false
	}
	return heap.Pop((*travelsHeap)(t)).(travelling), true
}

// travelsHeap implements heap.Interface.
type travelsHeap travels

func (h *travelsHeap) Len() int { return len(h.entries) }

func (h *travelsHeap) Less(i, j int) bool {
	a, b := &h.entries[i], &h.entries[j]
	if a.at != b.at {
		return a.at < b.at
	}
	return a.sequence < b.sequence
}

func (h *travelsHeap) Swap(i, j int) { h.entries[i], h.entries[j] = h.entries[j], h.entries[i] }

func (h *travelsHeap) Push(f any) { h.entries = append(h.entries, f.(travelling)) }

func (h *travelsHeap) Pop() any {
	last := len(h.entries) - 1
	f := h.entries[last]
	h.entries[last] = travelling{}
	h.entries = h.entries[:last]
	return f
}
