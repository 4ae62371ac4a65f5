//go:build linux

package netns

import (
	"bytes"
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

// travels holds the frames on all links in the order of their arrival. It is a binary
// heap of its own, since container/heap would allocate for every frame.
type travels struct {
	entries  []travelling
	sequence uint64
	bytes    int // of all frames
}

// Bounds of what is on all links together: a link that is long and fast holds much.
const (
	travellingMax      = 1 << 18
	travellingBytesMax = 512 << 20
)

// full says that no further frame may go on a link.
func (t *travels) full() bool {
	return len(t.entries) >= travellingMax || t.bytes >= travellingBytesMax
}

func (t *travels) add(f travelling) {
	t.sequence++
	f.sequence = t.sequence
	t.bytes += len(f.frame)
	t.entries = append(t.entries, f)
	i := len(t.entries) - 1
	for i > 0 {
		above := (i - 1) / 2
		if !f.before(&t.entries[above]) {
			break
		}
		t.entries[i] = t.entries[above]
		i = above
	}
	t.entries[i] = f
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
	first, n := t.entries[0], len(t.entries)-1
	t.bytes -= len(first.frame)
	last := t.entries[n]
	t.entries[n] = travelling{}
	t.entries = t.entries[:n]
	if n == 0 {
		return first, true
	}
	i := 0
	for {
		below := 2*i + 1
		if below >= n {
			break
		}
		if below+1 < n && t.entries[below+1].before(&t.entries[below]) {
			below++
		}
		if !t.entries[below].before(&last) {
			break
		}
		t.entries[i] = t.entries[below]
		i = below
	}
	t.entries[i] = last
	return first, true
}

// before says which of two frames arrives first.
func (f *travelling) before(g *travelling) bool {
	if f.at != g.at {
		return f.at < g.at
	}
	return f.sequence < g.sequence
}

// underWay are copies of the packets that are on links, and of those that nodes hold for
// a tunnel. The kernel has others, which nobody can count. The lab's lock is not held.
func (l *Lab) underWay() (frames, held [][]byte) {
	l.box.do(func() {
		for i := range l.box.travels.entries {
			if packet, ok := packetOf(l.box.travels.entries[i].frame); ok {
				frames = append(frames, bytes.Clone(packet))
			}
		}
	})
	for n := range l.stations {
		if h := l.host(n); h != nil {
			h.Held(func(packet []byte) { held = append(held, bytes.Clone(packet)) })
		}
	}
	return frames, held
}
