package esp

import (
	"testing"

	"pgregory.net/rapid"
)

// The window agrees with a model that remembers every number it was given.
func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(ReplayWindowPacketsMin, ReplayWindowPacketsMax).Draw(t, "size")
		w := newWindow(size)
		received := map[uint64]bool{}
		var top uint64
		start := rapid.SampledFrom([]uint64{0, 63, 1<<32 - 100, 1<<40 + 5}).Draw(t, "start")
		if start > 0 {
			w.advance(start)
			received[start], top = true, start
		}
		for range rapid.IntRange(1, 300).Draw(t, "packets") {
			// Numbers around the window's two ends, and jumps far ahead.
			seq := top + rapid.SampledFrom([]uint64{0, 1, 2, 63, 64, 65, uint64(size), 5000}).Draw(t, "ahead")
			seq -= min(seq, rapid.SampledFrom([]uint64{0, 1, 63, 64, uint64(size) - 1, uint64(size), uint64(size) + 1}).Draw(t, "back"))
			want := seq != 0 && !received[seq] && (seq > top || top-seq < uint64(size))
			if got := w.check(seq) == ""; got != want {
				t.Fatalf("window of %d at %d: number %d accepted %t, want %t (%s)", size, top, seq, got, want, w.check(seq))
			}
			if want {
				w.advance(seq)
				received[seq] = true
				top = max(top, seq)
			}
			if w.top != top {
				t.Fatalf("the window is at %d, want %d", w.top, top)
			}
		}
	})
}

// The receiver finds every number from the window's first to almost a whole
// cycle of 2^32 above it (RFC 4303 appendix A2.1).
func TestInferAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(ReplayWindowPacketsMin, ReplayWindowPacketsMax).Draw(t, "size")
		w := window{size: uint64(size), top: rapid.OneOf(
			rapid.Uint64Range(1, 5000), rapid.Uint64Range(1<<32-5000, 1<<32+5000), rapid.Uint64Range(1, 1<<63),
		).Draw(t, "top")}
		bottom := w.top - min(w.top, uint64(size)-1)
		// A window that starts at number 0 reaches less far up, since there is no
		// number below 0 to be mistaken for.
		span := uint64(1<<32 - 1)
		seq := bottom + rapid.OneOf(rapid.Uint64Range(0, 10000), rapid.Uint64Range(span-10000, span), rapid.Uint64Range(0, span)).Draw(t, "offset")
		if w.top < uint64(size)-1 {
			seq = min(seq, 1<<32+w.top-uint64(size))
		}
		got, ok := w.infer(uint32(seq))
		if !ok || got != seq {
			t.Fatalf("window of %d at %d: %d was taken for %d, %t", size, w.top, seq, got, ok)
		}
	})
}

// Numbers outside the 64 bits do not exist.
func TestInferAtTheEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		top  uint64
		low  uint32
		want uint64
		ok   bool
	}{
		{"first packet", 0, 1, 1, true},
		{"before the first", 0, 1<<32 - 1, 0, false},
		{"inside a window that begins before the first", 10, 1<<32 - 5, 0, false},
		{"last number", 1<<64 - 10, 1<<32 - 1, 1<<64 - 1, true},
		{"after the last", 1<<64 - 10, 5, 0, false},
	} {
		w := window{size: 64, top: c.top}
		if got, ok := w.infer(c.low); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %d, %t; want %d, %t", c.name, got, ok, c.want, c.ok)
		}
	}
}
