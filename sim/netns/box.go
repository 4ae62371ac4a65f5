//go:build linux

package netns

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/ikelab/ikelab/sim/trace"
)

const (
	// frameMax is the longest frame that an interface can send, in bytes, with the
	// header of the TAP.
	frameMax = offload.HeaderBytes + header.EthernetMinimumSize + 0xffff
	// framesPerTurn is how many frames are taken from one interface before the
	// others have their turn and what is due is delivered.
	framesPerTurn = 64
	// deliveriesPerTurn is how many frames arrive before nodes are given what is for
	// them: they may be joined, but do not wait long for others.
	deliveriesPerTurn = 64
	// readyMax is how many descriptors one wait answers.
	readyMax = 256
)

// DropTooMany is the reason for a frame that found the links full (queue.go).
const DropTooMany = "too-many-travelling"

// switched is a segment of the box's.
type switched struct {
	ports []*port
	byMAC map[[6]byte]*port
}

// world is what the box tells of packets. Its methods take the run's lock.
type world interface {
	// now is the instant.
	now() time.Duration
	transit(at endpoint, direction impair.Direction, packet []byte)
	dropped(at endpoint, direction impair.Direction, packet []byte, reason string)
	decided(at endpoint, direction impair.Direction, id impair.Identity, copies int, drop string)
}

// box holds the links that have a model, and watches the ones that have none. All
// of it belongs to one thread, that of run; other goroutines reach it by do.
type box struct {
	w          world
	classifier *trace.Classifier
	ports      map[int]*port    // by descriptor
	watchers   map[int]*watcher // by descriptor
	travels    travels
	orders     chan func()
	epoll      int
	wakeFD     int // an eventfd: there are orders
	timerFD    int
	armed      time.Duration // what the timer stands at, 0 for nothing
	events     atomic.Uint64
	stopped    chan struct{}
	err        error
	buffer     []byte
	segmenter  offload.Segmenter
	pool       pool
	waiting    []*port // that have frames to write
}

func newBox(w world, classifier *trace.Classifier) (*box, error) {
	b := &box{
		w: w, classifier: classifier, ports: map[int]*port{}, watchers: map[int]*watcher{},
		orders: make(chan func(), 64), epoll: -1, wakeFD: -1, timerFD: -1, stopped: make(chan struct{}), buffer: make([]byte, frameMax),
	}
	var err error
	if b.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
		if b.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
			// Go's own timers wait in whole milliseconds once the process is idle; this
			// one is the kernel's high-resolution timer.
			b.timerFD, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
		}
	}
	if err == nil {
		err = errors.Join(b.listen(b.wakeFD), b.listen(b.timerFD))
	}
	if err != nil {
		b.closeDescriptors()
		return nil, fmt.Errorf("links: %w", err)
	}
	return b, nil
}

func (b *box) listen(fd int) error {
	return unix.EpollCtl(b.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// add puts an interface on a segment, before run.
func (b *box) add(p *port) error {
	b.ports[p.fd] = p
	p.segment.ports = append(p.segment.ports, p)
	p.segment.byMAC[p.mac] = p
	return b.listen(p.fd)
}

// watch adds a packet socket, before run.
func (b *box) watch(w *watcher) error {
	b.watchers[w.fd] = w
	return b.listen(w.fd)
}

// do has the box's thread call f and waits until it has. It answers false when the
// box has stopped.
func (b *box) do(f func()) bool {
	done := make(chan struct{})
	select {
	case b.orders <- func() { f(); close(done) }:
	case <-b.stopped:
		return false
	}
	b.wake()
	select {
	case <-done:
		return true
	case <-b.stopped:
		return false
	}
}

func (b *box) wake() {
	one := [8]byte{7: 1}
	_, _ = unix.Write(b.wakeFD, one[:]) // full means that it will wake anyway
}

// stop ends run and closes everything.
func (b *box) stop() error {
	quit := false
	b.do(func() { quit = true; b.err = errQuit })
	if quit {
		<-b.stopped
	}
	if errors.Is(b.err, errQuit) {
		return nil
	}
	return b.err
}

var errQuit = errors.New("quit")

// run is the box's thread. It ends with stop, or with an error that stop answers.
func (b *box) run() {
	// The thread is woken as a thread is, not as a goroutine, and before all others
	// of the host where that is allowed: a link is no slower because something else
	// computes. It ends with the goroutine, being locked to it.
	runtime.LockOSThread()
	preferThread()
	defer close(b.stopped)
	defer b.closeDescriptors()
	events := make([]unix.EpollEvent, readyMax)
	for b.err == nil {
		n, err := unix.EpollWait(b.epoll, events, b.rearm())
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			b.err = fmt.Errorf("links: waiting for packets: %w", err)
			return
		}
		for _, e := range events[:n] {
			b.ready(int(e.Fd))
		}
		b.deliver()
	}
}

// threadPriority is the lowest of the real-time priorities.
const threadPriority = 1

// preferThread lets the calling thread run before all ordinary ones. Without the
// right to it, as in a user namespace, it stays as it is.
func preferThread() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: threadPriority, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
}

// ready takes what a descriptor has.
func (b *box) ready(fd int) {
	switch p, w := b.ports[fd], b.watchers[fd]; {
	case p != nil:
		b.read(p)
	case w != nil:
		b.look(w)
	case fd == b.wakeFD:
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
		for {
			select {
			case f := <-b.orders:
				f()
			default:
				return
			}
		}
	case fd == b.timerFD:
		var count [8]byte
		_, _ = unix.Read(fd, count[:])
		b.armed = 0
	}
}

// wakeAhead is by how much earlier than a delivery the thread is woken, to be there in
// time: a timer wakes a thread some 60 µs late, in a virtual machine. What is left of it
// is waited for without sleeping.
const wakeAhead = 60 * time.Microsecond

// How long to wait for packets, as epoll has it.
const (
	waitForever = -1
	waitNot     = 0
)

// rearm sets the timer for the next delivery, and says how long to wait for packets.
func (b *box) rearm() (wait int) {
	at, ok := b.travels.next()
	if !ok {
		return waitForever
	}
	early := at - b.w.now() - wakeAhead
	if early <= 0 {
		return waitNot
	}
	if b.armed != 0 && b.armed <= at {
		return waitForever
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(early))}
	if err := unix.TimerfdSettime(b.timerFD, 0, &spec, nil); err != nil {
		b.err = fmt.Errorf("links: timer: %w", err)
		return waitNot
	}
	b.armed = at
	return waitForever
}

// read takes frames from an interface and puts them on its link.
func (b *box) read(p *port) {
	for range framesPerTurn {
		n, err := unix.Read(p.fd, b.buffer)
		if err != nil || n < offload.HeaderBytes+header.EthernetMinimumSize {
			return // nothing more, or the interface is down
		}
		b.take(p, b.buffer[:n])
		// What is due meanwhile does not wait for the rest.
		b.deliver()
	}
}

// enter lets a link decide about a frame, which is then the box's.
func (b *box) enter(now time.Duration, p *port, direction impair.Direction, frame []byte) {
	b.events.Add(1)
	packet, isIP := packetOf(frame)
	if !isIP {
		// Address resolution: nothing of the lab's, and no harm is done to it.
		b.arrive(now, travelling{port: p, direction: direction, frame: frame})
		return
	}
	if direction == impair.Up {
		b.w.transit(p.at, direction, packet)
	}
	var identity impair.Identity
	if p.identified {
		identity = b.classifier.Classify(2*p.number+int(direction), packet)
	} else {
		b.classifier.Note(packet)
	}
	deliveries, drop := p.link.Step(now, direction, impair.Packet{Identity: identity, Bytes: packet})
	if drop == "" && b.travels.full() {
		deliveries, drop = nil, DropTooMany
	}
	b.w.decided(p.at, direction, identity, len(deliveries), drop)
	if drop != "" {
		b.w.dropped(p.at, direction, packet, drop)
		b.pool.put(frame)
	}
	for i, d := range deliveries {
		f := travelling{at: d.At, direction: direction, port: p, frame: frame}
		if i > 0 { // a duplicate, whose bytes are its own
			f.frame = append(append([]byte(nil), frame[:header.EthernetMinimumSize]...), d.Packet.Bytes...)
		}
		if d.At <= now {
			b.arrive(now, f)
		} else {
			b.travels.add(f)
		}
	}
}

// packetOf is the IP packet in a frame, without padding behind it. Multicast is not
// the lab's: the kernel says such things of itself, and address resolution of IPv6
// is among them.
func packetOf(frame []byte) (packet []byte, ok bool) {
	eth := header.Ethernet(frame)
	if frame[0]&1 != 0 {
		return nil, false
	}
	b := frame[header.EthernetMinimumSize:]
	switch eth.Type() {
	case header.IPv4ProtocolNumber:
		if len(b) < header.IPv4MinimumSize {
			return nil, false
		}
		if n := int(header.IPv4(b).TotalLength()); n >= header.IPv4MinimumSize && n < len(b) {
			b = b[:n]
		}
	case header.IPv6ProtocolNumber:
		if len(b) < header.IPv6MinimumSize {
			return nil, false
		}
		if n := header.IPv6MinimumSize + int(header.IPv6(b).PayloadLength()); n < len(b) {
			b = b[:n]
		}
		if isNeighbourDiscovery(b) {
			return nil, false
		}
	default:
		return nil, false
	}
	return b, true
}

// isNeighbourDiscovery tells RFC 4861's messages, which may be unicast, from what
// belongs to the lab. None of them passes a router: their hop limit is 255.
func isNeighbourDiscovery(b []byte) bool {
	h := header.IPv6(b)
	if h.NextHeader() != uint8(header.ICMPv6ProtocolNumber) || h.HopLimit() != header.NDPHopLimit || len(b) <= header.IPv6MinimumSize {
		return false
	}
	t := header.ICMPv6Type(b[header.IPv6MinimumSize])
	return t >= header.ICMPv6RouterSolicit && t <= header.ICMPv6RedirectMsg
}

// deliver lets arrive what is due.
func (b *box) deliver() {
	for more := true; more; {
		now := b.w.now()
		for range deliveriesPerTurn {
			var f travelling
			if f, more = b.travels.pop(now); !more {
				break
			}
			b.arrive(now, f)
		}
		b.flush()
	}
}

// arrive takes a frame that has left a link: at the network, to the link of the
// interface that it is for, or into that interface's node.
func (b *box) arrive(now time.Duration, f travelling) {
	b.events.Add(1)
	if f.direction == impair.Down {
		packet, isIP := packetOf(f.frame)
		if isIP {
			b.w.transit(f.port.at, impair.Down, packet)
		}
		b.handOver(f.port, f.frame, !isIP)
		return
	}
	destination := [6]byte(f.frame[:6])
	if to := f.port.segment.byMAC[destination]; to != nil {
		b.enter(now, to, impair.Down, f.frame)
		return
	}
	if destination[0]&1 != 0 { // else nobody's
		for _, to := range f.port.segment.ports {
			if to != f.port {
				b.enter(now, to, impair.Down, b.pool.copyOf(f.frame))
			}
		}
	}
	b.pool.put(f.frame)
}

// setUp plugs a link in or pulls it; the node sees its carrier change.
func (b *box) setUp(p *port, up bool) error {
	err := errors.New("the lab has ended")
	b.do(func() {
		p.link.SetUp(up)
		err = setCarrier(p.fd, up)
	})
	return err
}

// closersMax is how many descriptors are closed at a time. The kernel lets each wait
// until nobody can still be looking at it, and all of them wait together.
const closersMax = 64

func (b *box) closeDescriptors() {
	fds := slices.Concat(slices.Collect(maps.Keys(b.ports)), slices.Collect(maps.Keys(b.watchers)))
	_ = each(len(fds), closersMax, func(i int) error { return unix.Close(fds[i]) })
	for _, fd := range []int{b.timerFD, b.wakeFD, b.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// macArray is a hardware address as a key.
func macArray(a net.HardwareAddr) [6]byte { return [6]byte(a) }
