package virtual

import "time"

// class orders events that fall on the same instant. A lab's steps come first,
// so that a link taken down at 10 s carries nothing at 10 s; then what travels;
// timers last, so that an answer that arrives at the very instant of a timeout
// is in time.
type class uint8

const (
	classTimeline class = iota // the run's flows and steps
	classNetwork               // a packet leaves a link's upper end and is switched
	classArrival               // a packet leaves a link's lower end into its node
	classTimer                 // a node's deadline
)

// key is the order of events (design §3, rule 1). The pair (source, sequence)
// is unique, so no two keys are equal and no tie is left to chance.
type key struct {
	at       time.Duration
	sequence uint64
	source   uint32
	class    class
}

// before reports whether k comes before other.
func (k key) before(other key) bool {
	if k.at != other.at {
		return k.at < other.at
	}
	if k.class != other.class {
		return k.class < other.class
	}
	if k.source != other.source {
		return k.source < other.source
	}
	return k.sequence < other.sequence
}

// heapArity is the number of children of a heap entry. Four keeps the tree
// half as deep as two, and the four keys that a step down compares lie
// together in memory.
const heapArity = 4

// heap is a 4-ary min-heap of values ordered by key. The entries that move
// hold the key and the number of a slot; the values stay where they are. The
// zero heap is empty and ready.
type heap[T any] struct {
	entries []heapEntry
	slots   []T
	free    []uint32
}

type heapEntry struct {
	key  key
	slot uint32
}

// len is the number of values in the heap.
func (h *heap[T]) len() int { return len(h.entries) }

// push adds a value.
func (h *heap[T]) push(k key, value T) {
	var slot uint32
	if last := len(h.free) - 1; last >= 0 {
		slot = h.free[last]
		h.free = h.free[:last]
		h.slots[slot] = value
	} else {
		slot = uint32(len(h.slots))
		h.slots = append(h.slots, value)
	}
	h.entries = append(h.entries, heapEntry{k, slot})
	h.up(len(h.entries) - 1)
}

// peek answers the first key, which must exist.
func (h *heap[T]) peek() key { return h.entries[0].key }

// pop removes the first value, which must exist. The heap keeps no reference
// to it.
func (h *heap[T]) pop() (key, T) {
	first := h.entries[0]
	last := len(h.entries) - 1
	h.entries[0] = h.entries[last]
	h.entries = h.entries[:last]
	if last > 0 {
		h.down(0)
	}
	value := h.slots[first.slot]
	var none T
	h.slots[first.slot] = none
	h.free = append(h.free, first.slot)
	return first.key, value
}

// each calls f for every value, in no order.
func (h *heap[T]) each(f func(*T)) {
	for _, e := range h.entries {
		f(&h.slots[e.slot])
	}
}

// up moves entry i towards the root until its parent comes before it.
func (h *heap[T]) up(i int) {
	moving := h.entries[i]
	for i > 0 {
		parent := (i - 1) / heapArity
		if !moving.key.before(h.entries[parent].key) {
			break
		}
		h.entries[i] = h.entries[parent]
		i = parent
	}
	h.entries[i] = moving
}

// down moves entry i away from the root until it comes before its children.
func (h *heap[T]) down(i int) {
	moving := h.entries[i]
	for {
		child := i*heapArity + 1
		if child >= len(h.entries) {
			break
		}
		least := child
		for sibling := child + 1; sibling < min(child+heapArity, len(h.entries)); sibling++ {
			if h.entries[sibling].key.before(h.entries[least].key) {
				least = sibling
			}
		}
		if !h.entries[least].key.before(moving.key) {
			break
		}
		h.entries[i] = h.entries[least]
		i = least
	}
	h.entries[i] = moving
}
