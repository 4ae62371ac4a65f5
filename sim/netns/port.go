//go:build linux

package netns

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/offload"
)

// port is the box's end of an interface: a TAP with its link and network.
type port struct {
	at      endpoint
	fd      int
	mac     [6]byte
	link    *impair.Link
	segment *switched
	// number is the link's place in the plan's order, from which its points of
	// classification follow.
	number int
	// identified says that somebody asks what packets are: the link, or a test.
	identified bool
	// joiner has the frames that are due for the node in this turn; written are those
	// that it was given.
	joiner  offload.Joiner
	written [][]byte
	// refused are the packets that the kernel did not take for another reason than that
	// the interface is down.
	refused atomic.Uint64
}

func newPort(at endpoint, fd int, udp bool) *port {
	p := &port{at: at, fd: fd}
	// What a node gets at once is what a card would have given it at once; where it
	// passes it on, it is cut again, and must be what it was.
	p.joiner = offload.Joiner{LinkBytes: header.EthernetMinimumSize, UDP: udp, Exact: true, Write: p.write}
	return p
}

// write gives a frame to the node. A node whose interface is down does not get it, as
// with a real cable.
func (p *port) write(pieces []unix.Iovec) {
	if errno := offload.WriteVector(uintptr(p.fd), pieces); errno != 0 && errno != unix.EIO {
		p.refused.Add(uint64(len(pieces) - 1)) // a piece each, behind their header
	}
}

// DropMalformed is the reason for a frame of segments that contradicts its header.
const DropMalformed = "malformed-segments"

// take cuts what a node sent into the frames that a wire would have had, and puts them on
// the link. raw is the box's.
func (b *box) take(p *port, raw []byte) {
	now := b.w.now()
	h, whole := offload.Parse(raw), raw[offload.HeaderBytes:]
	if h.Segmented {
		front, packet := whole[:header.EthernetMinimumSize], whole[header.EthernetMinimumSize:]
		h.SumStart -= min(h.SumStart, header.EthernetMinimumSize)
		if !b.segmenter.Start(packet, h) {
			b.w.dropped(p.at, impair.Up, packet, DropMalformed)
			return
		}
		for n := b.segmenter.Size(); n > 0; n = b.segmenter.Size() {
			frame := b.pool.get(len(front) + n)
			copy(frame, front)
			b.segmenter.Write(frame[len(front):])
			b.enter(now, p, impair.Up, frame)
		}
		return
	}
	if h.NeedChecksum && !offload.CompleteChecksum(whole, h) {
		b.w.dropped(p.at, impair.Up, whole[header.EthernetMinimumSize:], DropMalformed)
		return
	}
	b.enter(now, p, impair.Up, b.pool.copyOf(whole))
}

// handOver lets a node have a frame at the end of the turn, alone when it is not of the
// lab.
func (b *box) handOver(p *port, frame []byte, alone bool) {
	if len(p.written) == 0 {
		b.waiting = append(b.waiting, p)
	}
	p.written = append(p.written, frame)
	p.joiner.Add(frame, alone)
}

// flush ends the turn: what nodes are to have is written.
func (b *box) flush() {
	for i, p := range b.waiting {
		p.joiner.Flush()
		for j, frame := range p.written {
			b.pool.put(frame)
			p.written[j] = nil
		}
		p.written = p.written[:0]
		b.waiting[i] = nil
	}
	b.waiting = b.waiting[:0]
}

// pool keeps the memory of frames that have arrived for those that come.
type pool struct{ small, large [][]byte }

const (
	// Acknowledgements and the like are small; the others have the MTU of Ethernet.
	smallBytes = 192
	largeBytes = 2048
	// pooledMax bounds either kind.
	pooledMax = 4096
)

// get answers a frame of n bytes, with anything in it.
func (p *pool) get(n int) []byte {
	list, size := &p.small, smallBytes
	switch {
	case n > largeBytes:
		return make([]byte, n)
	case n > smallBytes:
		list, size = &p.large, largeBytes
	}
	last := len(*list) - 1
	if last < 0 {
		return make([]byte, n, size)
	}
	b := (*list)[last]
	*list = (*list)[:last]
	return b[:n]
}

func (p *pool) copyOf(frame []byte) []byte {
	b := p.get(len(frame))
	copy(b, frame)
	return b
}

// put takes a frame back that nobody has any more.
func (p *pool) put(b []byte) {
	switch {
	case cap(b) == smallBytes && len(p.small) < pooledMax:
		p.small = append(p.small, b)
	case cap(b) == largeBytes && len(p.large) < pooledMax:
		p.large = append(p.large, b)
	}
}
