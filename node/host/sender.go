//go:build linux

package host

import (
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// controlBytes is room for the control messages of one datagram: segment size and
// traffic class.
const controlBytes = 64

// sender hands the sealed groups of a batch to the kernel with as few calls as can
// be.
type sender struct {
	messages []message
	pieces   []unix.Iovec
	control  []byte
	// group is the group behind each message, and packet the first of its packets.
	group, packet []int
	done          int
	// again is a message that is tried once more, counted from 1: an error may be
	// about what was sent before, and is told once.
	again int
	errno unix.Errno
	// sent are the packets that the kernel has taken since deliver began.
	sent  uint64
	write func(fd uintptr)
}

func (s *sender) init() { s.write = s.writeSome }

// send sends all groups. Those of one socket go together.
func (s *sender) send(w *outWorker) {
	groups := w.grouper.groups
	for i := 0; i < len(groups); {
		if groups[i].count == 0 {
			i++
			continue
		}
		via := groups[i].association.path.Load().via
		s.clear(len(w.packets))
		j := i
		for ; j < len(groups); j++ {
			way := groups[j].association.path.Load()
			if groups[j].count == 0 {
				continue
			}
			if way.via != via {
				break
			}
			s.add(w, j, way)
		}
		if via == nil {
			s.unsent(w, node.DropNoSource)
		} else {
			s.deliver(w, via)
		}
		i = j
	}
}

// clear makes room for packets; pieces must not move while messages point at them.
func (s *sender) clear(packets int) {
	if cap(s.pieces) < packets {
		s.pieces = make([]unix.Iovec, 0, 2*packets)
		s.messages = make([]message, 0, 2*packets)
		s.control = make([]byte, 2*packets*controlBytes)
	}
	s.pieces, s.messages, s.group, s.packet = s.pieces[:0], s.messages[:0], s.group[:0], s.packet[:0]
	s.done, s.again = 0, 0
}

// add makes the messages of a group.
func (s *sender) add(w *outWorker, index int, way *path) {
	g := &w.grouper.groups[index]
	if way.segments.Load() {
		s.begin(w, index, g.first, way)
		m := &s.messages[len(s.messages)-1]
		at := len(s.pieces)
		for i := g.first; i >= 0; i = w.packets[i].next {
			s.piece(w.packets[i].sealed)
		}
		m.header.Iov = &s.pieces[at]
		m.header.SetIovlen(len(s.pieces) - at)
		if g.count > 1 {
			s.attach(m, unix.SOL_UDP, unix.UDP_SEGMENT, int32(len(w.packets[g.first].sealed)), 2)
		}
		return
	}
	for i := g.first; i >= 0; i = w.packets[i].next {
		s.begin(w, index, i, way)
		m := &s.messages[len(s.messages)-1]
		s.piece(w.packets[i].sealed)
		m.header.Iov = &s.pieces[len(s.pieces)-1]
		m.header.SetIovlen(1)
	}
}

// begin starts a message: where it goes, and with which traffic class. The outer
// one is the inner's (RFC 4301 §5.1.2.1, RFC 6040 §4.1, normal mode).
func (s *sender) begin(w *outWorker, index, packet int, way *path) {
	s.messages = append(s.messages, message{})
	s.group, s.packet = append(s.group, index), append(s.packet, packet)
	m := &s.messages[len(s.messages)-1]
	m.header.Name = &way.to.bytes[0]
	m.header.Namelen = way.to.size
	if class := w.grouper.groups[index].trafficClass; class != 0 {
		if way.remote.Addr().Is4() {
			s.attach(m, unix.IPPROTO_IP, unix.IP_TOS, int32(class), 4)
		} else {
			s.attach(m, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int32(class), 4)
		}
	}
}

func (s *sender) piece(b []byte) {
	s.pieces = append(s.pieces, unix.Iovec{Base: &b[0]})
	s.pieces[len(s.pieces)-1].SetLen(len(b))
}

// attach adds a control message to the message under construction.
func (s *sender) attach(m *message, level, kind, value int32, size int) {
	at := (len(s.messages) - 1) * controlBytes
	used := int(m.header.Controllen)
	b := putControl(s.control[at:at+used:at+controlBytes], level, kind, value, size)
	m.header.Control = &b[0]
	m.header.SetControllen(len(b))
}

// deliver hands the messages to a socket. A datagram in segments that the path does
// not take is sent packet by packet, and so are all later ones of that path: its
// device cannot do checksums, or the path has become narrower.
func (s *sender) deliver(w *outWorker, via *socket) {
	s.sent = 0
	defer func() { w.h.tally.sent.Add(s.sent) }()
	for s.done < len(s.messages) {
		if via.raw.Control(s.write) != nil || via.closed.Load() {
			s.unsent(w, node.DropNoSource) // closed: the address is gone, or the host ends
			return
		}
		if s.errno == 0 {
			continue
		}
		m, index := &s.messages[s.done], s.group[s.done]
		g := &w.grouper.groups[index]
		way := g.association.path.Load()
		inSegments := way.segments.Load() && g.count > 1 && int(m.header.Iovlen) == g.count
		switch {
		case inSegments && (s.errno == unix.EIO || s.errno == unix.EINVAL || s.errno == unix.EMSGSIZE || s.errno == unix.EOPNOTSUPP):
			way.segments.Store(false)
			rest := append([]int(nil), s.group[s.done:]...)
			s.clear(len(w.packets))
			for k, r := range rest {
				if k == 0 || r != rest[k-1] {
					s.add(w, r, w.grouper.groups[r].association.path.Load())
				}
			}
			if s.errno == unix.EMSGSIZE {
				w.h.enter(w.h.pathNarrowed)
			}
		case s.errno != unix.ENOBUFS && s.again != s.done+1:
			s.again = s.done + 1
		default:
			s.lostOne(w, sendReason(s.errno))
			s.done++
		}
	}
}

// writeSome sends until everything is sent or something is wrong. A full buffer makes it
// wait a while, and then see to it that the socket is still there.
func (s *sender) writeSome(fd uintptr) {
	s.errno = 0
	for s.done < len(s.messages) {
		n, errno := sendMessages(fd, s.messages[s.done:])
		switch errno {
		case 0:
			for _, m := range s.messages[s.done : s.done+n] {
				s.sent += uint64(int(m.header.Iovlen)) // a piece each; its type depends on the processor
			}
			s.done += n
		case unix.EAGAIN:
			waitWritable(fd)
			return
		case unix.EINTR:
		default:
			s.errno = errno
			return
		}
	}
}

// unsent records that no message left.
func (s *sender) unsent(w *outWorker, reason node.DropReason) {
	for ; s.done < len(s.messages); s.done++ {
		s.lostOne(w, reason)
	}
}

// lostOne records that the packets of the message at hand did not leave.
func (s *sender) lostOne(w *outWorker, reason node.DropReason) {
	a := w.grouper.groups[s.group[s.done]].association
	way := a.path.Load()
	w.h.enter(func() {
		i := s.packet[s.done]
		for range int(s.messages[s.done].header.Iovlen) {
			outer := outerKey(way.local, way.remote, a.encap, len(w.packets[i].sealed))
			w.h.dropOut(outer, reason, node.ESP{Connection: a.connection, Child: a.child, Ordinal: a.ordinal, SPI: a.spiOut, Outer: outer})
			i = w.packets[i].next
		}
	})
}
