//go:build linux

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

const (
	// receiveUDPMax is how many datagrams one call takes, each of which may be many in
	// segments. Of bare ESP every packet comes alone, so more make a batch: as many as
	// can become one frame of the TUN device, and some. All have room for the longest;
	// memory that no packet reached stays the kernel's.
	receiveUDPMax   = 16
	receiveRawMax   = 64
	receiveBytesMax = 1 << 16
)

// Congestion notification in the two low bits of the traffic class (RFC 3168).
const (
	ecnMask      = 3
	ecnNotECT    = 0
	ecnECT1      = 1
	ecnECT0      = 2
	ecnCongested = 3
)

// inWorker takes what arrives at one socket: IKE to the machine, ESP through its
// association to the TUN device. One goroutine runs it.
type inWorker struct {
	h       *Host
	s       *socket
	got     int
	errno   unix.Errno
	attempt func() bool
	receive func(fd uintptr)
	done    bool
	// narrowed says that a path's MTU has become less.
	narrowed bool
	control  func(level, kind int32, value int)
	segment  int
	class    uint8
	batches  *sync.Pool
	// inBatch is there while the worker is busy.
	*inBatch
	view headerView
	// open is the association whose inbound half is locked at the moment.
	open *association
}

// inBatch is what a worker needs while it has something to do. Workers share them:
// there are many sockets, of which few are busy at a time.
type inBatch struct {
	messages []message
	pieces   []unix.Iovec
	buffers  []byte
	names    []sockaddr
	controls []byte
	cache    inCache
	writer   tunWriter
}

var (
	udpBatches = sync.Pool{New: func() any { return newInBatch(receiveUDPMax) }}
	rawBatches = sync.Pool{New: func() any { return newInBatch(receiveRawMax) }}
)

func newInBatch(most int) *inBatch {
	b := &inBatch{
		messages: make([]message, most), pieces: make([]unix.Iovec, most), buffers: make([]byte, most*receiveBytesMax),
		names: make([]sockaddr, most), controls: make([]byte, most*controlBytes),
	}
	for i := range b.messages {
		b.pieces[i].Base = &b.buffers[i*receiveBytesMax]
		b.pieces[i].SetLen(receiveBytesMax)
		m := &b.messages[i].header
		m.Iov = &b.pieces[i]
		m.SetIovlen(1)
		m.Name = &b.names[i].bytes[0]
		m.Control = &b.controls[i*controlBytes]
	}
	b.writer.init()
	return b
}

func newInWorker(h *Host, s *socket) *inWorker {
	w := &inWorker{h: h, s: s, batches: &udpBatches}
	if s.local.Port() == portRawESP {
		w.batches = &rawBatches
	}
	w.attempt, w.receive, w.control = w.tryReceive, w.receiveOnce, w.takeControl
	return w
}

// tryReceive is what the waiter tries; true ends the wait.
func (w *inWorker) tryReceive() bool { return w.s.raw.Control(w.receive) != nil || w.done }

func (w *inWorker) receiveOnce(fd uintptr) {
	if w.s.waiter != nil && w.s.waiter.failed {
		w.s.waiter.failed = false
		w.readErrors(fd)
	}
	w.done = w.readMessages(fd) || w.narrowed
}

// readErrors empties the socket's queue of errors. The one that matters is that a
// packet was too long for its path: IKE finds out about others more reliably.
func (w *inWorker) readErrors(fd uintptr) {
	control, b := make([]byte, 512), make([]byte, 64)
	for {
		_, n, _, _, err := unix.Recvmsg(int(fd), b, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		eachControl(control[:n], func(level, kind int32, errno int) {
			if level == unix.IPPROTO_IP && kind == unix.IP_RECVERR || level == unix.IPPROTO_IPV6 && kind == unix.IPV6_RECVERR {
				w.narrowed = w.narrowed || unix.Errno(errno) == unix.EMSGSIZE
			}
		})
	}
}

// take and leave get and give back what a busy worker needs.
func (w *inWorker) take() {
	w.inBatch = w.batches.Get().(*inBatch)
	w.writer.attach(w.h)
}

func (w *inWorker) leave() {
	w.batches.Put(w.inBatch)
	w.inBatch = nil
}

// run works until the socket is closed.
func (w *inWorker) run() {
	defer w.h.workers.Done()
	for {
		w.got, w.errno = 0, 0
		err := w.s.waiter.wait(w.attempt)
		if err == nil && w.errno != 0 {
			err = w.errno
		}
		if w.s.closed.Load() {
			return
		}
		if w.narrowed {
			w.narrowed = false
			w.h.enter(w.h.pathNarrowed)
		}
		switch {
		case w.got > 0:
			w.handle()
			w.leave()
		case err == nil:
		case errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOTSOCK), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EFAULT):
			w.h.fail(fmt.Errorf("receiving at %s: %w", w.s.local, err))
			return
		default:
			w.s.waiter.failed = true // about something sent before
		}
	}
}

// readMessages takes what has arrived; false asks to be called again when something
// has.
func (w *inWorker) readMessages(fd uintptr) bool {
	w.take()
	for i := range w.messages {
		m := &w.messages[i]
		m.header.Namelen = unix.SizeofSockaddrInet6
		m.header.SetControllen(controlBytes)
	}
	for {
		w.got, w.errno = receiveMessages(fd, w.messages)
		switch w.errno {
		case 0:
			return true
		case unix.EAGAIN:
			w.got, w.errno = 0, 0
			w.leave()
			return false
		case unix.EINTR:
		default:
			w.got = 0
			w.leave()
			return true
		}
	}
}

// takeControl reads one control message.
func (w *inWorker) takeControl(level, kind int32, value int) {
	switch {
	case level == unix.SOL_UDP && kind == unix.UDP_GRO:
		w.segment = value
	case level == unix.IPPROTO_IP && kind == unix.IP_TOS, level == unix.IPPROTO_IPV6 && kind == unix.IPV6_TCLASS:
		w.class = uint8(value)
	}
}

// handle works through what was received.
func (w *inWorker) handle() {
	for i := range w.got {
		m := &w.messages[i]
		b := w.buffers[i*receiveBytesMax:][:m.length]
		remote := parseSockaddr(w.names[i].bytes[:m.header.Namelen])
		w.segment, w.class = 0, 0
		eachControl(w.controls[i*controlBytes:][:m.header.Controllen], w.control)
		if w.s.local.Port() == portRawESP && w.s.local.Addr().Is4() {
			// A raw socket shows IPv4's header too.
			if len(b) < 20 || len(b) < int(b[0]&0xf)*4 {
				w.drop(outerKey(remote, w.s.local, false, len(b)), node.DropESPMalformed, node.ESP{})
				continue
			}
			w.class = b[1]
			b = b[int(b[0]&0xf)*4:]
		}
		step := w.segment
		if step <= 0 {
			step = max(len(b), 1)
		}
		for first := true; first || len(b) > 0; first = false { // an empty datagram is one too
			n := min(step, len(b))
			w.datagram(remote, b[:n:n])
			b = b[n:]
		}
	}
	w.release()
	w.writer.flush()
	w.writer.tell(func() int { return w.h.interfaceWith(w.s.local.Addr()) })
}

// datagram tells apart what may come to a socket: IKE, and at port 4500 keepalives
// and ESP (RFC 3948 §2).
func (w *inWorker) datagram(remote netip.AddrPort, b []byte) {
	switch {
	case w.s.local.Port() == portIKE:
		w.ike(remote, b, b)
	case w.s.local.Port() == portRawESP:
		w.esp(remote, b, false)
	case esp.IsKeepalive(b):
		// It has done its work on the way.
	case esp.IsNonESP(b):
		w.ike(remote, b, b[4:])
	default:
		w.esp(remote, b, true)
	}
}

// ike hands a message to the machine, behind everything that came before it, and drops
// what is none. payload is the whole datagram's.
func (w *inWorker) ike(remote netip.AddrPort, payload, message []byte) {
	if !node.IsIKE(message) {
		w.drop(outerKey(remote, w.s.local, true, len(payload)), node.DropIKEMalformed, node.ESP{})
		return
	}
	w.release()
	w.writer.flush()
	w.h.datagram(w.s.local, remote, message)
}

// release unlocks the association at hand.
func (w *inWorker) release() {
	if w.open != nil {
		w.open.in.Unlock()
		w.open = nil
	}
}

// esp opens an ESP packet in place. Both forms are taken at any time (RFC 7296
// §2.23).
func (w *inWorker) esp(remote netip.AddrPort, b []byte, encap bool) {
	spi, ok := esp.SPI(b)
	if !ok {
		w.drop(outerKey(remote, w.s.local, encap, len(b)), node.DropESPMalformed, node.ESP{})
		return
	}
	a := w.open
	if a == nil || a.spiIn != spi {
		if a = w.h.snap.Load().inbound[spi]; a == nil {
			key := outerKey(remote, w.s.local, encap, len(b))
			w.drop(key, node.DropESPNoAssociation, node.ESP{SPI: spi, Outer: key})
			return
		}
		w.release()
		a.in.Lock()
		w.open = a
	}
	if a.in.sa == nil {
		key := outerKey(remote, w.s.local, encap, len(b))
		w.drop(key, node.DropESPNoAssociation, node.ESP{SPI: spi, Outer: key})
		return
	}
	inner, nextHeader, sequence, err := a.in.sa.Open(b)
	if err != nil {
		key := outerKey(remote, w.s.local, encap, len(b))
		w.drop(key, a.refused(err), a.describeESP(spi, sequence, b, key, node.PacketKey{}))
		return
	}
	w.seen(a, remote, encap)
	reason, slow := w.checkInner(a, inner, nextHeader)
	if reason != "" || w.h.cfg.PacketEvents {
		outer := outerKey(remote, w.s.local, encap, len(b))
		key, _, _ := node.ReadPacketKey(inner)
		described := a.describeESP(spi, sequence, b, outer, key)
		w.release()
		switch {
		case reason != "":
			w.drop(key, reason, described)
			return
		case !w.h.observePacket(&a.receives, func() {
			w.h.event(node.Event{Kind: node.EventESPIn, Interface: w.h.interfaceWith(w.s.local.Addr()), ESP: described})
		}):
			w.drop(outer, node.DropESPNoAssociation, node.ESP{SPI: spi, Outer: outer})
			return
		}
	}
	inner = inner[:w.view.bytes]
	a.counters.packetsIn.Add(1)
	a.counters.bytesIn.Add(uint64(len(inner)))
	w.writer.add(inner, &w.view, slow)
}

// drop records that a packet goes nowhere.
func (w *inWorker) drop(key node.PacketKey, reason node.DropReason, of node.ESP) {
	w.release()
	w.h.enter(func() { w.h.drop(key, reason, w.h.interfaceWith(w.s.local.Addr()), of) })
}

// checkInner checks what came out of a tunnel: that it is the IP packet it says, and
// that its addresses can be, and what was agreed (RFC 4301 §5.2). slow says that the packet has options or extension headers.
func (w *inWorker) checkInner(a *association, inner []byte, nextHeader uint8) (reason node.DropReason, slow bool) {
	switch nextHeader {
	case esp.NextHeaderDummy:
		return node.DropESPDummy, false
	case esp.NextHeaderIPv4, esp.NextHeaderIPv6:
	default:
		return node.DropInnerNotIP, false
	}
	version := byte(4)
	if nextHeader == esp.NextHeaderIPv6 {
		version = 6
	}
	if len(inner) < 20 || inner[0]>>4 != version {
		return node.DropInnerNotIP, false
	}
	refused := node.DropReason("")
	if slow = !readHeader(inner, &w.view); slow {
		key, _, reason := node.ReadPacketKey(inner)
		if reason != "" {
			return reason, true
		}
		w.view = headerView{bytes: key.Bytes, trafficClass: inner[1]}
		if version == 6 {
			w.view.key.kind = flowV6
			w.view.trafficClass = inner[0]<<4 | inner[1]>>4
		}
		refused = w.h.snap.Load().refusesInner(a, key.Flow())
	} else {
		refused = w.cache.refuses(w.h.snap.Load(), a, &w.view.key)
	}
	switch refused {
	case "":
	case node.DropSelectorMismatch:
		a.counters.selectorMismatches.Add(1)
		return refused, slow
	default:
		return refused, slow
	}
	return w.mergeECN(inner), slow
}

// mergeECN carries a router's mark on the outer packet over to the inner one, by the
// table of RFC 6040 §4.2. A mark for a transport that cannot read it drops the
// packet, as the router would have done.
func (w *inWorker) mergeECN(inner []byte) node.DropReason {
	outer, own := w.class&ecnMask, w.view.trafficClass&ecnMask
	class := w.view.trafficClass
	switch {
	case outer == own || outer == ecnNotECT:
		return ""
	case outer == ecnCongested && own == ecnNotECT:
		return node.DropCongested
	case outer == ecnCongested:
		class |= ecnCongested
	case outer == ecnECT1 && own == ecnECT0:
		class = class&^ecnMask | ecnECT1
	default:
		return ""
	}
	w.view.trafficClass = class
	setTrafficClass(inner, class)
	return ""
}

// seen tells the machine that the peer lives, and where.
func (w *inWorker) seen(a *association, remote netip.AddrPort, encap bool) {
	way := a.path.Load()
	if !encap {
		remote = netip.AddrPortFrom(remote.Addr(), way.remote.Port())
	}
	now := w.h.cfg.Clock()
	a.seen.Store(int64(now))
	told := a.told.Load()
	if remote == way.remote && told >= 0 && now-time.Duration(told) < espSeenInterval {
		return
	}
	w.release()
	w.h.enter(func() {
		a.told.Store(int64(w.h.now))
		w.h.tell(ike.ESPSeen{SPI: a.spiIn, Remote: remote, At: w.h.now})
	})
}
