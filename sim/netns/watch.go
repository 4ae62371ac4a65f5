//go:build linux

package netns

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/offload"
)

// watchBufferBytes is how much the kernel may hold for the box of what passes a
// node's interfaces.
const watchBufferBytes = 16 << 20

// watcher sees what passes the interfaces of a node that are on segments of the
// kernel's. One socket for all of them keeps the order in which a node saw things.
type watcher struct {
	fd   int
	node int
	// ifaces are the plan's numbers of the devices.
	ifaces map[int]int
	// unseen is what lost has answered until now.
	unseen uint64
}

// segmentsMax is how many segments a packet may have that an interface is given to
// send, as Linux has it where nobody looks.
const segmentsMax = 65535

// watch looks at those of a node's interfaces from now on that somebody asks about and
// that are on segments of the kernel's.
func (l *Lab) watch(n int) error {
	s := l.stations[n]
	ifaces := map[int]int{}
	for _, segment := range l.segments {
		for _, at := range segment.ends {
			if at.node == n && !segment.switched && l.watches(at) {
				ifaces[s.links[at.iface].Attrs().Index] = at.iface
			}
		}
	}
	w := l.watchers[n]
	switch {
	case w == nil && len(ifaces) == 0:
		return nil
	case w == nil:
		var err error
		if w, err = newWatcher(s, n, ifaces); err != nil {
			return err
		}
		l.watchers[n] = w
		if err := s.limitSegments(ifaces, segmentsWatched()); err != nil {
			return err
		}
		if !l.boxRuns {
			err = l.box.watch(w)
		} else {
			l.box.do(func() { err = l.box.watch(w) })
		}
		if err != nil {
			return fmt.Errorf("node %q: packet socket: %w", s.plan.Name, err)
		}
		return nil
	case len(ifaces) == 0:
		l.watchers[n] = nil
		l.box.do(func() {
			delete(l.box.watchers, w.fd)
			_ = unix.Close(w.fd)
		})
		return s.limitSegments(w.ifaces, segmentsMax)
	}
	// The socket stays: nobody who looks already misses anything.
	before := w.ifaces
	err := w.filter(ifaces)
	l.box.do(func() { w.ifaces = ifaces })
	return errors.Join(err, s.limitSegments(before, segmentsMax), s.limitSegments(ifaces, segmentsWatched()))
}

// segmentsWatched is how many segments a packet may have that an interface is given to
// send where somebody looks. What is seen is what would be on a wire, because the box
// cuts what the kernel leaves whole; but before Linux 6.2 a packet socket cannot tell how
// UDP was to be cut, and there the kernel cuts everything itself.
func segmentsWatched() int {
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err == nil {
		_, err = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
		if err == nil && (major > 6 || major == 6 && minor >= 2) {
			return segmentsMax
		}
	}
	return 1
}

// limitSegments bounds what interfaces are given to send at once.
func (s *station) limitSegments(ifaces map[int]int, segments int) error {
	for _, i := range ifaces {
		if err := s.handle.LinkSetGSOMaxSegs(s.links[i], segments); err != nil {
			return fmt.Errorf("node %q: interface %q: segmentation: %w", s.plan.Name, s.plan.Interfaces[i].Name, err)
		}
	}
	return nil
}

// Tapping says that somebody wants Options.Tap to see every packet at the interfaces that
// wanted names, by their places in the plan, from now on; or with on false that he does
// not any more. Without it a lab that stands looks at no packet that nobody asks for,
// which would cost most of what its links can carry. It is safe for concurrent use.
func (l *Lab) Tapping(on bool, wanted func(node, iface int) bool) error {
	l.tapMu.Lock()
	defer l.tapMu.Unlock()
	by := 1
	if !on {
		by = -1
	}
	var errs []error
	for n, s := range l.stations {
		changes := false
		for i := range s.plan.Interfaces {
			if wanted(n, i) {
				l.tapping[endpoint{n, i}] += by
				changes = true
			}
		}
		if changes {
			errs = append(errs, l.watch(n))
		}
	}
	return errors.Join(errs...)
}

// newWatcher opens the packet socket of a node. devices are kernel indices of the
// interfaces to look at.
func newWatcher(s *station, node int, ifaces map[int]int) (*watcher, error) {
	w := &watcher{fd: -1, node: node, ifaces: ifaces}
	err := s.ns.Do(func(ns.NetNS) error {
		var err error
		// Frames, whose direction the address tells.
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL)))
		return err
	})
	if err == nil {
		err = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBufferBytes)
		if errors.Is(err, unix.EPERM) { // in a user namespace
			err = unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBufferBytes)
		}
	}
	if err == nil {
		// Who sends over a veth pair leaves checksums to the other end, which need not
		// check them. The header says so, and they can be completed.
		err = unix.SetsockoptInt(w.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}
	if err == nil {
		err = w.filter(ifaces)
	}
	if err != nil {
		if w.fd >= 0 {
			_ = unix.Close(w.fd)
		}
		return nil, fmt.Errorf("node %q: packet socket: %w", s.plan.Name, err)
	}
	return w, nil
}

// ifacesFilteredMax bounds the interfaces of which the kernel tells those that matter; a
// filter may have 4,096 instructions.
const ifacesFilteredMax = 1024

// filter keeps from the socket what passes other interfaces, and what does not concern the
// run: others' frames, broadcast and multicast, of which a large bridge has many. So the
// kernel does not copy it.
func (w *watcher) filter(ifaces map[int]int) error {
	// SKF_AD_OFF with SKF_AD_PKTTYPE and SKF_AD_IFINDEX, linux/filter.h
	const packetType, interfaceIndex = 0xfffff000 + 4, 0xfffff000 + 8
	const whole = 1 << 18
	refuse := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.PACKET_HOST, Jt: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.PACKET_OUTGOING, Jt: 1},
		refuse,
	}
	if len(ifaces) > ifacesFilteredMax { // look leaves out what it does not know
		code = append(code, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: whole})
	} else {
		code = append(code, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: interfaceIndex})
		for _, index := range slices.Sorted(maps.Keys(ifaces)) {
			code = append(code,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(index), Jf: 1},
				unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: whole})
		}
		code = append(code, refuse)
	}
	return unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// look shows the run what a watcher saw.
func (b *box) look(w *watcher) {
	for range framesPerTurn {
		n, from, err := unix.Recvfrom(w.fd, b.buffer, 0)
		if err != nil {
			return
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		iface, ours := w.ifaces[at.Ifindex]
		direction := impair.Down
		switch at.Pkttype {
		case unix.PACKET_HOST:
		case unix.PACKET_OUTGOING:
			direction = impair.Up
		default:
			continue // what came before the filter
		}
		if protocol := htons(at.Protocol); !ours || protocol != unix.ETH_P_IP && protocol != unix.ETH_P_IPV6 {
			continue
		}
		const front = offload.HeaderBytes + header.EthernetMinimumSize // of a veth's frames
		if n < front {
			continue
		}
		if packet := b.buffer[front:n]; isUnicastIP(packet) {
			h := offload.Parse(b.buffer)
			h.SumStart -= min(h.SumStart, header.EthernetMinimumSize)
			b.show(endpoint{w.node, iface}, direction, h, packet)
		}
	}
}

// show shows the run a packet of a watcher's as the packets of a wire.
func (b *box) show(at endpoint, direction impair.Direction, h offload.Header, packet []byte) {
	if !h.Segmented {
		if h.NeedChecksum {
			offload.CompleteChecksum(packet, h)
		}
		b.events.Add(1)
		b.w.transit(at, direction, packet)
		return
	}
	if !b.segmenter.Start(packet, h) {
		return
	}
	for n := b.segmenter.Size(); n > 0; n = b.segmenter.Size() {
		one := b.pool.get(n)
		b.segmenter.Write(one)
		b.events.Add(1)
		b.w.transit(at, direction, one)
		b.pool.put(one)
	}
}

// isUnicastIP says whether a packet belongs to the lab, as packetOf does for frames.
func isUnicastIP(b []byte) bool {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		return b[16]&0xf0 != 0xe0 && b[16] != 0xff
	case len(b) >= 40 && b[0]>>4 == 6:
		return b[24] != 0xff && !isNeighbourDiscovery(b)
	}
	return false
}

// lost is how many packets the kernel could not keep for the box, since the beginning.
func (w *watcher) lost() uint64 {
	stats, err := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err == nil {
		w.unseen += uint64(stats.Drops) // the kernel counts anew after each look
	}
	return w.unseen
}

// Unseen is how many packets have passed that nobody saw who is Tapping, because this
// host was too busy to look at all of them. It is safe for concurrent use.
func (l *Lab) Unseen() (lost uint64) {
	l.tapMu.Lock()
	defer l.tapMu.Unlock()
	for _, w := range l.watchers {
		if w != nil {
			lost += w.lost()
		}
	}
	return lost
}
