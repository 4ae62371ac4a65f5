//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Ports of the traffic, the same in all namespaces.
const (
	portTCP  = 5001
	portUDP  = 5002
	portEcho = 5003
)

const (
	tcpChunkBytes = 256 << 10
	// udpTick is how often the UDP sender wakes, udpCatchUp what it makes up for when it woke late.
	udpTick    = 200 * time.Microsecond
	udpCatchUp = time.Millisecond
	// trialMillisecondsMax is how long a trial can be.
	trialMillisecondsMax = 1 << 16
	// A tunnel's queues are empty when nothing has come in some looks, or at the latest after a while.
	drainPoll    = 10 * time.Millisecond
	drainedPolls = 3
	drainMax     = time.Second
	// echoBytes is the payload of what goes back and forth, echoPause the time between a reply and the next request.
	echoBytes = 64
	echoPause = time.Millisecond
	// echoTimeout is when a reply counts as lost.
	echoTimeout = 200 * time.Millisecond
)

// None is nothing, for calls without arguments or answers.
type None struct{}

// Path is from one protected address to the other.
type Path struct{ From, To netip.Addr }

// Traffic is the process that sends and receives in one namespace. Its methods are called by net/rpc.
type Traffic struct {
	received atomic.Int64
	outgoing net.Conn
	failed   chan error

	// mu guards the current trial: which it is, when it began, how many packets came, and how many in each millisecond.
	mu      sync.Mutex
	trial   uint32
	began   time.Duration
	counted int64
	within  [trialMillisecondsMax]int64
}

// Listen opens the receiving end of everything at an address.
func (t *Traffic) Listen(at netip.Addr, _ *None) error {
	l, err := net.Listen("tcp4", netip.AddrPortFrom(at, portTCP).String())
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go t.swallow(c)
		}
	}()
	udp, err := udpSocket(netip.AddrPortFrom(at, portUDP), netip.AddrPort{})
	if err != nil {
		return err
	}
	go t.count(udp)
	echo, err := udpSocket(netip.AddrPortFrom(at, portEcho), netip.AddrPort{})
	if err != nil {
		return err
	}
	go reply(echo)
	return nil
}

// swallow reads a connection to its end.
func (t *Traffic) swallow(c net.Conn) {
	defer func() { _ = c.Close() }() // it was only read
	b := make([]byte, tcpChunkBytes)
	for {
		n, err := c.Read(b)
		t.received.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// Received is what TCP has brought so far.
func (t *Traffic) Received(_ None, bytes *int64) error {
	*bytes = t.received.Load()
	return nil
}

// Pour connects and sends as fast as it can until Stop.
func (t *Traffic) Pour(p Path, _ *None) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.From, 0)), Timeout: 10 * time.Second}
	c, err := d.Dial("tcp4", netip.AddrPortFrom(p.To, portTCP).String())
	if err != nil {
		return err
	}
	t.outgoing, t.failed = c, make(chan error, 1)
	go func() {
		b := make([]byte, tcpChunkBytes)
		for {
			if _, err := c.Write(b); err != nil {
				t.failed <- err
				return
			}
		}
	}()
	return nil
}

// Stop ends what Pour began; the error says that it had ended before.
func (t *Traffic) Stop(None, *None) error {
	// What waits in the socket goes nowhere, so that it is not in the way of who comes next.
	if err := errors.Join(t.outgoing.(*net.TCPConn).SetLinger(0), t.outgoing.Close()); err != nil {
		return err
	}
	if err := <-t.failed; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("sending TCP: %w", err)
	}
	return nil
}

// count counts the current trial's packets.
func (t *Traffic) count(fd int) {
	runtime.LockOSThread()
	d := newDatagrams(udpPayload)
	if err := d.stamp(fd); err != nil {
		return // so that nothing is counted
	}
	for {
		n, err := d.receive(fd)
		if err != nil {
			return
		}
		t.mu.Lock()
		for i := range n {
			if binary.BigEndian.Uint32(d.bytes[i][:]) == t.trial {
				t.counted++
				t.within[min(max(int((d.arrived(i)-t.began)/time.Millisecond), 0), trialMillisecondsMax-1)]++
			}
		}
		t.mu.Unlock()
	}
}

// Expect begins to count the packets of a trial.
func (t *Traffic) Expect(trial uint32, _ *None) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trial, t.began, t.counted = trial, realtime(), 0
	clear(t.within[:])
	return nil
}

// Counted is how many of the trial's packets had come at an instant of CLOCK_REALTIME, give or take a millisecond. It
// waits until no more come.
func (t *Traffic) Counted(until time.Duration, packets *int64) error {
	for before, same := int64(-1), 0; same < drainedPolls; pause(drainPoll) {
		t.mu.Lock()
		if same++; t.counted != before {
			before, same = t.counted, 0
		}
		t.mu.Unlock()
		if realtime()-until > drainMax {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, n := range t.within {
		if t.began+time.Duration(i)*time.Millisecond <= until {
			*packets += n
		}
	}
	return nil
}

// Blast is a trial: so many packets a second for a time.
type Blast struct {
	Path
	Trial     uint32
	PerSecond float64
	For       time.Duration
}

// Blasted is what was sent, how long it took, and when it was over on CLOCK_REALTIME.
type Blasted struct {
	Packets     int
	Took, Ended time.Duration
}

// Blast sends UDP packets at a rate. Where the sender cannot reach it, fewer are sent.
func (t *Traffic) Blast(b Blast, out *Blasted) error {
	runtime.LockOSThread() // and never unlocked: with its priority the thread ends after the call
	hurry()
	fd, err := udpSocket(netip.AddrPortFrom(b.From, 0), netip.AddrPortFrom(b.To, portUDP))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // a datagram socket has nothing left to say
	d := newDatagrams(udpPayload)
	burstMax := max(int(b.PerSecond*udpCatchUp.Seconds()), 1)
	leftOut := 0
	for began := monotonic(); ; pause(udpTick) {
		out.Took = monotonic() - began
		if out.Took >= b.For {
			out.Ended = realtime()
			return nil
		}
		due := int(b.PerSecond*out.Took.Seconds()) - out.Packets - leftOut
		if due > burstMax {
			leftOut += due - burstMax
			due = burstMax
		}
		for due > 0 {
			n := min(due, batchMessages)
			for i := range n {
				putStamp(d.bytes[i][:], b.Trial, out.Packets+i)
			}
			if err := d.send(fd, n); err != nil {
				return err
			}
			out.Packets += n
			due -= n
		}
	}
}

// hurry makes the calling thread wake when it wants to, however many others are at work: a sender that waits for a
// processor would be measured instead of the tunnel. Where that is not allowed, the sender is what it can be.
func hurry() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Flags: unix.SCHED_FLAG_RESET_ON_FORK, Priority: 1}, 0)
}

// reply sends back what comes.
func reply(fd int) {
	runtime.LockOSThread()
	b := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		_ = unix.Sendto(fd, b[:n], 0, from) // a reply that is lost is missed at the other end
	}
}

// Ping is a number of round trips.
type Ping struct {
	Path
	Count int
}

// Ping measures round trips, one at a time. A lost one is not in the answer.
func (t *Traffic) Ping(p Ping, trips *[]time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fd, err := udpSocket(netip.AddrPortFrom(p.From, 0), netip.AddrPortFrom(p.To, portEcho))
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }() // as in Blast
	timeout := unix.NsecToTimeval(int64(echoTimeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return err
	}
	b := make([]byte, echoBytes)
	for i := range p.Count {
		pause(echoPause)
		binary.BigEndian.PutUint32(b, uint32(i))
		began := monotonic()
		if _, err := unix.Write(fd, b); err != nil {
			continue
		}
		for {
			n, err := unix.Read(fd, b)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				break
			}
			if n == echoBytes && binary.BigEndian.Uint32(b) == uint32(i) {
				*trips = append(*trips, monotonic()-began)
				break
			}
		}
	}
	return nil
}
