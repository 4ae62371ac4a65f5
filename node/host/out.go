//go:build linux

package host

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/offload"
	"golang.org/x/sys/unix"
)

const (
	// frameBytesMax is the longest frame that the TUN device hands over.
	frameBytesMax = offload.HeaderBytes + 0xffff
	// arenaBytes is room for a batch of packets with what is sealed around them. A
	// frame in the smallest segments that Linux makes (48 bytes of payload) needs
	// the most.
	arenaBytes = 512 << 10
	// arenaFrameBytes is what a frame may take of the arena: no further one is read
	// into a batch that has less left.
	arenaFrameBytes = 320 << 10
	// headroomBytes in front of an inner packet takes ESP's header and IV, tailBytes
	// behind it its padding, trailer and ICV.
	headroomBytes = 24
	tailBytes     = 56
	// batchPacketsMax is where a batch ends: what waits longer arrives later.
	batchPacketsMax = 128
)

// outPacket is one packet of a batch on its way out.
type outPacket struct {
	// at and size are where the inner packet lies in the arena.
	at, size int
	// flow is the same for all packets of a flow, and seldom for others.
	flow         uint32
	trafficClass uint8
	v6           bool
	// sealed is the ESP packet; key describes the inner one, where events want it.
	sealed []byte
	key    node.PacketKey
	// next is the next packet of the group, -1 behind the last.
	next int
}

// outWorker takes packets from the TUN device to the wire: a batch of frames is
// read, cut, looked up, grouped, numbered, sealed in place and sent. One goroutine
// runs it.
type outWorker struct {
	h *Host
	// outBatch is there while the worker is busy.
	*outBatch
	view    headerView
	attempt func() bool
	read    func(fd uintptr)
	done    bool
	errno   unix.Errno
}

// outBatch is what a worker needs while it has something to do. Workers of many
// hosts share them.
type outBatch struct {
	frame   []byte
	arena   []byte
	used    int
	packets []outPacket
	grouper grouper
	// ordered are the associations of the batch at hand, whose order is held.
	ordered []*association
	cache   outCache
	sender  sender
}

var outBatches = sync.Pool{New: func() any {
	b := &outBatch{frame: make([]byte, frameBytesMax), arena: make([]byte, arenaBytes)}
	b.sender.init()
	return b
}}

func newOutWorker(h *Host) *outWorker {
	w := &outWorker{h: h}
	w.attempt, w.read = w.tryRead, w.readOnce
	return w
}

// tryRead is what the waiter tries; true ends the wait.
func (w *outWorker) tryRead() bool { return w.h.tun.raw.Control(w.read) != nil || w.done }

func (w *outWorker) readOnce(fd uintptr) { w.done = w.readFrames(fd) }

// begin and leave get and give back what a busy worker needs.
func (w *outWorker) begin() { w.outBatch = outBatches.Get().(*outBatch) }

func (w *outWorker) leave() {
	outBatches.Put(w.outBatch)
	w.outBatch = nil
}

// run works until the TUN device is closed.
func (w *outWorker) run() {
	defer w.h.workers.Done()
	for {
		err := w.h.tun.waiter.wait(w.attempt)
		if err == nil && w.errno != 0 {
			err = w.errno
		}
		if closed := w.h.tun.closed.Load(); closed || err != nil {
			if !closed {
				w.h.fail(fmt.Errorf("reading from the tunnel device %q: %w", w.h.cfg.Tunnel, err))
			}
			return
		}
		w.h.release.drain(w.h) // what has waited is older
		w.flush()
		w.leave()
	}
}

// readFrames reads and sorts frames until none is left or the batch is full; false
// asks to be called again when there is one.
func (w *outWorker) readFrames(fd uintptr) bool {
	w.errno = 0
	w.begin()
	for taken := false; ; taken = true {
		if len(w.packets) >= batchPacketsMax || len(w.arena)-w.used < arenaFrameBytes {
			return true
		}
		n, errno := readInto(fd, w.frame)
		switch errno {
		case 0:
			w.take(w.frame[:n])
		case unix.EAGAIN:
			if !taken {
				w.leave()
			}
			return taken
		case unix.EINTR:
		default:
			w.errno = errno
			w.leave()
			return true
		}
	}
}

// take sorts one frame of the TUN device into the batch.
func (w *outWorker) take(frame []byte) {
	if len(frame) <= offload.HeaderBytes {
		w.lost(nil, node.DropTruncated)
		return
	}
	v := offload.Parse(frame)
	packet := frame[offload.HeaderBytes:]
	if v.Segmented {
		var s offload.Segmenter
		if !s.Start(packet, v) {
			w.lost(packet, node.DropHeaderInvalid)
			return
		}
		verdict, flow, ok := w.classify(packet)
		if !ok {
			return
		}
		if verdict.association == nil {
			for n := s.Size(); n > 0; n = s.Size() {
				b := make([]byte, n) // not the way of tunnelled traffic
				s.Write(b)
				w.h.tally.taken.Add(1)
				w.refuse(b, verdict)
			}
			return
		}
		for n := s.Size(); n > 0; n = s.Size() {
			if w.used+headroomBytes+n+tailBytes > len(w.arena) {
				w.lost(packet, node.DropTooBig) // smaller segments than Linux makes
				return
			}
			w.h.tally.taken.Add(1)
			s.Write(w.add(verdict.association, flow, n))
		}
		return
	}
	if v.NeedChecksum && !offload.CompleteChecksum(packet, v) {
		w.lost(packet, node.DropHeaderInvalid)
		return
	}
	verdict, flow, ok := w.classify(packet)
	if !ok {
		return
	}
	w.h.tally.taken.Add(1)
	switch {
	case verdict.association == nil:
		w.refuse(packet, verdict)
	default:
		copy(w.add(verdict.association, flow, len(packet)), packet)
	}
}

// classify asks the policy; false says that the packet goes nowhere. The view holds
// what was read of it.
func (w *outWorker) classify(packet []byte) (verdict, uint32, bool) {
	s := w.h.snap.Load()
	if !readHeader(packet, &w.view) {
		return w.classifySlowly(s, packet)
	}
	if isMulticast(&w.view.key) {
		w.chatter()
		return verdict{}, 0, false
	}
	v, flow := w.cache.decide(s, &w.view.key)
	return v, flow, true
}

// classifySlowly is for packets with options or extension headers.
func (w *outWorker) classifySlowly(s *snapshot, packet []byte) (verdict, uint32, bool) {
	key, later, reason := node.ReadPacketKey(packet)
	switch {
	case reason != "":
		w.lost(packet, reason)
		return verdict{}, 0, false
	case key.Dst.IsMulticast():
		w.chatter()
		return verdict{}, 0, false
	}
	w.view = headerView{bytes: key.Bytes}
	if packet[0]>>4 == 6 {
		w.view.key.kind = flowV6
		w.view.trafficClass = packet[0]<<4 | packet[1]>>4
	} else {
		w.view.trafficClass = packet[1]
	}
	return s.decide(key.Flow(), later), 0, true
}

// isMulticast is true for destinations that are not one host.
func isMulticast(k *flowKey) bool {
	if k.kind&flowV6 != 0 {
		return k.dst[0] == 0xff
	}
	return k.dst[0] >= 224 && k.dst[0] < 240 || [4]byte(k.dst[:4]) == [4]byte{255, 255, 255, 255}
}

// add makes room for a packet of size bytes in the batch, and answers it.
func (w *outWorker) add(a *association, flow uint32, size int) []byte {
	at := w.used + headroomBytes
	w.used = at + size + tailBytes
	w.packets = append(w.packets, outPacket{at: at, size: size, flow: flow, trafficClass: w.view.trafficClass, v6: w.view.key.kind&flowV6 != 0, next: -1})
	w.grouper.add(a, w.packets, len(w.packets)-1)
	return w.arena[at : at+size]
}

// refuse does what the policy wants with a packet that no association carries.
func (w *outWorker) refuse(packet []byte, v verdict) {
	switch {
	case v.fresh:
		passes := false
		w.h.enter(func() { passes = w.h.fresh(packet) })
		if passes {
			w.h.sendClear(packet)
		}
	case v.policy != nil:
		w.h.enter(func() { w.h.reconsider(packet) })
	case v.unmatched:
		w.gone(packet, node.DropFragmentUnmatched)
	default:
		w.h.sendClear(packet)
	}
}

// chatter counts what the kernel says of itself on a new device, and other multicast: no
// tunnel carries it, and nobody needs an event of it.
func (w *outWorker) chatter() {
	w.h.tally.taken.Add(1)
	w.h.tally.drop(node.DropMulticast, 1)
}

// lost records that a packet which is not taken goes nowhere.
func (w *outWorker) lost(packet []byte, reason node.DropReason) {
	w.h.tally.taken.Add(1)
	w.gone(packet, reason)
}

// gone records that a packet goes nowhere.
func (w *outWorker) gone(packet []byte, reason node.DropReason) {
	key, _, _ := node.ReadPacketKey(packet)
	w.h.enter(func() { w.h.dropOut(key, reason, node.ESP{}) })
}

// flush seals and sends the batch.
func (w *outWorker) flush() {
	if len(w.packets) > 0 {
		w.holdOrder()
		for i := range w.grouper.groups {
			g := &w.grouper.groups[i]
			if !w.seal(g) || w.h.cfg.PacketEvents && !w.sealedEvents(g) {
				g.count = 0
			}
		}
		w.sender.send(w)
		w.letOrderGo()
	}
	w.used, w.packets = 0, w.packets[:0]
	w.grouper.reset()
}

// holdOrder keeps others from numbering packets of the batch's associations until its own
// have been sent. Who takes several such locks takes them in the associations' order.
func (w *outWorker) holdOrder() {
	for i := range w.grouper.groups {
		if a := w.grouper.groups[i].association; i == 0 || a != w.grouper.groups[i-1].association {
			w.ordered = append(w.ordered, a)
		}
	}
	if len(w.ordered) > 1 {
		slices.SortFunc(w.ordered, func(a, b *association) int { return cmp.Compare(a.ordinal, b.ordinal) })
		w.ordered = slices.Compact(w.ordered)
	}
	for _, a := range w.ordered {
		a.order.Lock()
	}
}

func (w *outWorker) letOrderGo() {
	for _, a := range w.ordered {
		a.order.Unlock()
	}
	clear(w.ordered)
	w.ordered = w.ordered[:0]
}

// seal numbers and seals a group.
func (w *outWorker) seal(g *group) bool {
	a := g.association
	a.out.Lock()
	sa := a.out.sa
	var first uint64
	var err error
	if sa == nil {
		err = os.ErrClosed
	} else if first, err = sa.Reserve(g.count); err == nil {
		g.sequence = first
		headroom := sa.Headroom()
		for i := g.first; i >= 0; i = w.packets[i].next {
			p := &w.packets[i]
			nextHeader := esp.NextHeaderIPv4
			if p.v6 {
				nextHeader = esp.NextHeaderIPv6
			}
			if w.h.cfg.PacketEvents {
				p.key, _, _ = node.ReadPacketKey(w.arena[p.at : p.at+p.size])
			}
			start := p.at - headroom
			if p.sealed, err = sa.Seal(w.arena[start:start:p.at+p.size+tailBytes], first, w.arena[p.at:p.at+p.size], nextHeader); err != nil {
				break
			}
			first++
		}
	}
	a.out.Unlock()
	if err != nil {
		w.h.enter(func() {
			for i := g.first; i >= 0; i = w.packets[i].next {
				p := &w.packets[i]
				packet := w.arena[p.at : p.at+p.size]
				if sa == nil {
					w.h.reconsider(packet)
					continue
				}
				key, _, _ := node.ReadPacketKey(packet)
				w.h.dropOut(key, node.DropESPSequence, node.ESP{Connection: a.connection, Child: a.child})
			}
			if errors.Is(err, esp.ErrSequenceExhausted) {
				w.h.outOfSequence(a)
			}
		})
		return false
	}
	a.counters.packetsOut.Add(uint64(g.count))
	a.counters.bytesOut.Add(uint64(g.innerBytes))
	if a.encap {
		a.sent.Store(int64(w.h.cfg.Clock()))
	}
	return true
}

// sealedEvents records the packets of a group before anybody can see them; false says
// that the association has been deleted meanwhile, and they go nowhere.
func (w *outWorker) sealedEvents(g *group) bool {
	a := g.association
	way := a.path.Load()
	sequence := g.sequence
	record := func() {
		for i := g.first; i >= 0; i = w.packets[i].next {
			p := &w.packets[i]
			outer := outerKey(way.local, way.remote, a.encap, len(p.sealed))
			w.h.event(node.Event{Kind: node.EventESPOut, Interface: way.iface, ESP: a.describeESP(a.spiOut, sequence, p.sealed, outer, p.key)})
			sequence++
		}
	}
	stands := w.h.observePacket(&a.sends, record)
	if !stands {
		w.h.enter(func() {
			for i := g.first; i >= 0; i = w.packets[i].next {
				w.h.dropOut(w.packets[i].key, node.DropNoAssociation, node.ESP{Connection: a.connection, Child: a.child})
			}
		})
	}
	return stands
}

// sendClear sends a packet past the tunnel: rules cannot look at everything that
// policies look at, so some packets come to the tunnel that it does not carry.
func (h *Host) sendClear(packet []byte) {
	key, _, reason := node.ReadPacketKey(packet)
	via := h.release.clear4
	if key.Dst.Is6() {
		via = h.release.clear6
	}
	switch {
	case reason != "":
	case via == nil:
		reason = node.DropNoRoute
	default:
		err := via.sendTo(packet[:key.Bytes], netip.AddrPortFrom(key.Dst, 0))
		if err == nil {
			h.tally.clear.Add(1)
			return
		}
		reason = sendReason(err)
	}
	h.enter(func() { h.dropOut(key, reason, node.ESP{}) })
}
