package esp

// Limits of the anti-replay window. RFC 4303 §3.4.3 asks for 32 at least.
const (
	ReplayWindowPacketsMin = 32
	ReplayWindowPacketsMax = 4096
)

const wordBits = 64

// window is the sliding window of RFC 4303 §3.4.3 over 64-bit sequence numbers,
// kept as a ring of words so that moving it clears words instead of shifting
// bits (the idea of RFC 6479).
type window struct {
	size uint64   // packets; 0: no anti-replay
	top  uint64   // highest number received
	ring []uint64 // a power of two of words; bit n%64 of word n/64 is number n
}

func newWindow(packets int) window {
	if packets == 0 {
		return window{}
	}
	// One word more than the window covers, because the word of the highest number
	// is partly in the future.
	words := 1
	for words < packets/wordBits+2 {
		words *= 2
	}
	return window{size: uint64(packets), ring: make([]uint64, words)}
}

// check says why a number cannot be accepted, "" when it can. Zero is never sent.
func (w *window) check(seq uint64) string {
	switch {
	case seq == 0:
		return "0 is never a sequence number"
	case w.size == 0 || seq > w.top:
		return ""
	case w.top-seq >= w.size:
		return "the number lies before the window"
	case w.ring[w.word(seq)]&bit(seq) != 0:
		return "the number was received before"
	}
	return ""
}

// advance marks a number that check accepted as received.
func (w *window) advance(seq uint64) {
	if seq > w.top {
		w.clear(seq)
		w.top = seq
	}
	if w.size != 0 {
		w.ring[w.word(seq)] |= bit(seq)
	}
}

// clear empties the words between the one that holds top and the one that will.
func (w *window) clear(top uint64) {
	if w.size == 0 {
		return
	}
	words := top/wordBits - w.top/wordBits
	words = min(words, uint64(len(w.ring)))
	for n := range words {
		w.ring[(top/wordBits-n)%uint64(len(w.ring))] = 0
	}
}

func (w *window) word(seq uint64) uint64 { return seq / wordBits % uint64(len(w.ring)) }

func bit(seq uint64) uint64 { return 1 << (seq % wordBits) }

// infer finds the upper half of a 64-bit sequence number from its lower half
// (RFC 4303 appendix A2.1): the number that lies in the window, or else the next
// one above it. It fails when that would be before 0 or after the last number.
func (w *window) infer(low uint32) (uint64, bool) {
	topHigh, topLow := uint32(w.top>>32), uint32(w.top)
	bottom := topLow - uint32(w.size) + 1 // lower half of the window's first number; may wrap
	high := topHigh
	if uint64(topLow) >= w.size-1 { // the window lies within one span of 2^32 numbers
		if low < bottom {
			if topHigh == 1<<32-1 {
				return 0, false
			}
			high++
		}
	} else if low >= bottom { // it reaches into the span before, and so does the number
		if topHigh == 0 {
			return 0, false
		}
		high--
	}
	return uint64(high)<<32 | uint64(low), true
}
