package sim

import (
	"maps"
	"time"
)

// replayInvariant: no replayed packet accepted. SAs whose lab turned replay
// protection off (replay_window = 0) are left alone.
type replayInvariant struct {
	verdict
	c         invariantConfig
	receivers map[association]*receiverState
}

// receiverState is one inbound SA: what it accepted within its window. An
// accepted packet from left of that is itself a violation.
type receiverState struct {
	window   uint64 // packets; 0: not judged
	started  bool
	largest  uint64
	accepted []uint64 // a ring of bits, at least window of them
}

// ring is the length of the ring in bits.
func (r *receiverState) ring() uint64 { return uint64(len(r.accepted)) * 64 }

func newReplayInvariant(c invariantConfig) *replayInvariant {
	return &replayInvariant{c: c, receivers: map[association]*receiverState{}}
}

func (*replayInvariant) name() string { return InvariantNoReplay }

func (i *replayInvariant) observe(o observation) {
	switch o := o.(type) {
	case *installed:
		if len(i.receivers) < associationsFollowedMax {
			window := max(o.replayWindow, 0)
			i.receivers[o.by] = &receiverState{window: uint64(window), accepted: make([]uint64, (window+63)/64)}
		}
	case *removed:
		delete(i.receivers, o.by)
	case *died:
		maps.DeleteFunc(i.receivers, func(by association, _ *receiverState) bool { return by.node == o.node })
	case *opened:
		i.open(o)
	}
}

func (i *replayInvariant) open(o *opened) {
	r := i.receivers[o.by]
	if r == nil && len(i.receivers) == associationsFollowedMax {
		return
	}
	if r == nil {
		i.violated(o.now, "%s accepted packet %d of SPI %#08x without an SA installed", i.c.node(o.by.node), o.sequence, o.spi)
		return
	}
	if r.window == 0 {
		return
	}
	i.checks++
	switch {
	case r.started && o.sequence+r.window <= r.largest:
		i.violated(o.now, "%s accepted packet %d of SPI %#08x, which lies left of its window: the largest was %d, the window is %d packets",
			i.c.node(o.by.node), o.sequence, o.spi, r.largest, r.window)
		return
	case r.taken(o.sequence):
		i.violated(o.now, "%s accepted packet %d of SPI %#08x twice", i.c.node(o.by.node), o.sequence, o.spi)
		return
	}
	r.take(o.sequence)
}

// taken reports whether a sequence number, not left of the window, was accepted.
func (r *receiverState) taken(sequence uint64) bool {
	if !r.started || sequence > r.largest {
		return false
	}
	bit := sequence % r.ring()
	return r.accepted[bit/64]&(1<<(bit%64)) != 0
}

func (r *receiverState) take(sequence uint64) {
	if r.started && sequence > r.largest {
		// What the ring holds for the numbers in between is a turn old.
		if sequence-r.largest >= r.ring() {
			clear(r.accepted)
		} else {
			for n := r.largest + 1; n <= sequence; n++ {
				bit := n % r.ring()
				r.accepted[bit/64] &^= 1 << (bit % 64)
			}
		}
	}
	if !r.started || sequence > r.largest {
		r.largest = sequence
	}
	r.started = true
	bit := sequence % r.ring()
	r.accepted[bit/64] |= 1 << (bit % 64)
}

func (i *replayInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
