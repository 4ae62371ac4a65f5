//go:build linux

package host

import (
	"maps"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// Account says what became of the packets that the kernel has led into the tunnel device.
// When nothing is on its way, Taken is Sent and Clear and Waiting and all of Dropped.
type Account struct {
	// Taken came from the device, cut into packets as a wire would have them.
	Taken uint64
	// Sent left inside an association: the kernel took the outer packet. Clear left
	// beside the tunnel, because no policy has them.
	Sent, Clear uint64
	// Waiting are held for an association, or for an address that is about to settle.
	Waiting uint64
	// Dropped are those that went nowhere, by reason. All but multicast are in
	// Config.Observe's events too: the kernel says that much of itself on any device.
	Dropped map[node.DropReason]uint64
}

// tally is an Account while it grows.
type tally struct {
	taken, sent, clear atomic.Uint64
	mu                 sync.Mutex
	dropped            map[node.DropReason]uint64
}

// drop counts packets that go nowhere. Any lock may be held.
func (t *tally) drop(reason node.DropReason, packets uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dropped == nil {
		t.dropped = make(map[node.DropReason]uint64)
	}
	t.dropped[reason] += packets
}

// Account is what became of the packets that were led into the tunnel.
func (h *Host) Account() Account {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := Account{Taken: h.tally.taken.Load(), Sent: h.tally.sent.Load(), Clear: h.tally.clear.Load(), Waiting: uint64(len(h.unsettled))}
	for _, p := range h.policies {
		a.Waiting += uint64(len(p.held))
	}
	h.release.queued.Lock()
	a.Waiting += uint64(len(h.release.queue))
	h.release.queued.Unlock()
	h.tally.mu.Lock()
	defer h.tally.mu.Unlock()
	a.Dropped = maps.Clone(h.tally.dropped)
	return a
}

// dropOut records that a packet which was led into the tunnel goes nowhere. The lock is
// held.
func (h *Host) dropOut(key node.PacketKey, reason node.DropReason, of node.ESP) {
	h.tally.drop(reason, 1)
	h.drop(key, reason, fromInside, of)
}

// Overflows says how many datagrams have found no room at each of the host's sockets,
// which came faster than they were taken; sockets without any are left out.
func (h *Host) Overflows() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := maps.Clone(h.overflowed)
	if all == nil {
		all = make(map[string]uint64)
	}
	for _, s := range h.sockets {
		if n := s.overflowed(); n > 0 {
			all[s.name()] += n
		}
	}
	return all
}

// name is the socket for people.
func (s *socket) name() string {
	if s.local.Port() == portRawESP {
		return "ESP " + s.local.Addr().String()
	}
	return "UDP " + s.local.String()
}

// overflowed is how many datagrams the socket had no room for.
func (s *socket) overflowed() uint64 {
	var figures [skMeminfoVars]uint32
	size := uint32(unsafe.Sizeof(figures))
	var errno unix.Errno
	err := s.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&figures)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 {
		return 0 // closed, or a kernel before 4.12: nothing is known
	}
	return uint64(figures[skMeminfoDrops])
}

// Figures of SO_MEMINFO (linux/sock_diag.h).
const (
	skMeminfoDrops = 8
	skMeminfoVars  = 9
)
