package sim

import "time"

// replayMemoryPackets is how far back the replay invariant remembers what an SA
// accepted. It is wider than any replay window that a lab may ask for, so an
// accepted packet from further back is itself a violation.
const replayMemoryPackets = 1 << 16

// replayInvariant: no replayed packet accepted. SAs whose lab turned replay
// protection off (replay_window = 0) are left alone.
type replayInvariant struct {
	verdict
	c         invariantConfig
	receivers map[association]*receiverState
}

type receiverState struct {
	window   uint64 // packets; 0: not judged
	started  bool
	largest  uint64
	accepted []uint64 // ring of bits, replayMemoryPackets of them once in use
}

func newReplayInvariant(c invariantConfig) *replayInvariant {
	return &replayInvariant{c: c, receivers: map[association]*receiverState{}}
}

func (*replayInvariant) name() string { return InvariantNoReplay }

func (i *replayInvariant) observe(o observation) {
	switch o := o.(type) {
	case *installed:
		i.receivers[o.by] = &receiverState{window: uint64(max(o.replayWindow, 0))}
	case *opened:
		i.open(o)
	}
}

func (i *replayInvariant) open(o *opened) {
	r := i.receivers[o.by]
	if r == nil {
		i.violated(o.now, "%s accepted packet %d of SPI %#08x without an SA installed", i.c.node(o.by.node), o.sequence, o.spi)
		return
	}
	if r.window == 0 {
		return
	}
	i.checks++
	switch {
	case r.started && o.sequence+min(r.window, replayMemoryPackets) <= r.largest:
		i.violated(o.now, "%s accepted packet %d of SPI %#08x, which lies left of its window: the largest was %d, the window is %d packets",
			i.c.node(o.by.node), o.sequence, o.spi, r.largest, r.window)
		return
	case r.taken(o.sequence):
		i.violated(o.now, "%s accepted packet %d of SPI %#08x twice", i.c.node(o.by.node), o.sequence, o.spi)
		return
	}
	r.take(o.sequence)
}

// taken reports whether a sequence number, not further back than the memory
// reaches, was accepted.
func (r *receiverState) taken(sequence uint64) bool {
	if !r.started || sequence > r.largest {
		return false
	}
	bit := sequence % replayMemoryPackets
	return r.accepted[bit/64]&(1<<(bit%64)) != 0
}

func (r *receiverState) take(sequence uint64) {
	if r.accepted == nil {
		r.accepted = make([]uint64, replayMemoryPackets/64)
	}
	if r.started && sequence > r.largest {
		// What the ring holds for the numbers in between is a turn old.
		if sequence-r.largest >= replayMemoryPackets {
			clear(r.accepted)
		} else {
			for n := r.largest + 1; n <= sequence; n++ {
				bit := n % replayMemoryPackets
				r.accepted[bit/64] &^= 1 << (bit % 64)
			}
		}
	}
	if !r.started || sequence > r.largest {
		r.largest = sequence
	}
	r.started = true
	bit := sequence % replayMemoryPackets
	r.accepted[bit/64] |= 1 << (bit % 64)
}

func (i *replayInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
