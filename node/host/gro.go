//go:build linux

package host

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/offload"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// tunWriter hands packets to the TUN device, those that belong together as one frame.
type tunWriter struct {
	h      *Host
	joiner offload.Joiner
	pieces []unix.Iovec
	errno  unix.Errno
	write  func(fd uintptr)
	// refused are the packets that the device did not take and that nobody knows of yet.
	refused []refusal
}

// refusal is some packets that the device did not take, of which key describes the first.
type refusal struct {
	key     node.PacketKey
	packets int
}

func (t *tunWriter) init() {
	t.joiner.Write = t.writePieces
	t.write = t.writeFrame
}

// attach says whose device it is, before packets are added.
func (t *tunWriter) attach(h *Host) {
	t.h = h
	t.joiner.UDP = h.tun != nil && h.tun.udp
}

// add takes a packet, which must stay as it is until flush. slow is true for one
// with options or extension headers, which goes alone.
func (t *tunWriter) add(packet []byte, view *headerView, slow bool) {
	t.joiner.Add(packet, slow || view.key.kind&flowPorts == 0)
}

// flush writes the frame under construction.
func (t *tunWriter) flush() { t.joiner.Flush() }

// writePieces writes a frame.
func (t *tunWriter) writePieces(pieces []unix.Iovec) {
	t.pieces = pieces
	if t.h.tun.raw.Control(t.write) != nil || t.h.tun.closed.Load() {
		return // closed
	}
	switch t.errno {
	case 0:
	case unix.ENOBUFS, unix.ENOMEM, unix.EINVAL, unix.EIO:
		// No memory; the kernel does not like the packet, which the other end sent; or
		// the device is not up. An association may be locked, so it is told later.
		var front []byte
		for _, p := range pieces[:min(len(pieces), 2)] {
			front = append(front, unsafe.Slice(p.Base, p.Len)...)
		}
		t.refused = append(t.refused, refusal{describeCut(front[offload.HeaderBytes:]), len(pieces) - 1})
	default:
		// Not from here: the caller may have an association locked.
		go t.h.fail(fmt.Errorf("writing to the tunnel device %q: %w", t.h.cfg.Tunnel, t.errno))
	}
}

// tell records the packets that the device did not take. The caller holds no lock.
func (t *tunWriter) tell(iface func() int) {
	if len(t.refused) == 0 {
		return
	}
	t.h.enter(func() {
		for _, r := range t.refused {
			for range r.packets {
				t.h.drop(r.key, node.DropTunnelRefused, iface(), node.ESP{})
			}
		}
	})
	t.refused = t.refused[:0]
}

// writeFrame writes the frame.
func (t *tunWriter) writeFrame(fd uintptr) {
	for {
		t.errno = offload.WriteVector(fd, t.pieces)
		switch t.errno {
		case unix.EAGAIN:
			if waitWritable(fd); t.h.tun.closed.Load() {
				return
			}
		case unix.EINTR:
		default:
			return
		}
	}
}

// setTrafficClass changes DSCP and ECN of a packet.
func setTrafficClass(p []byte, class uint8) {
	if p[0]>>4 == 6 {
		p[0] = 6<<4 | class>>4
		p[1] = class<<4 | p[1]&0xf
		return
	}
	p[1] = class
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^checksum.Checksum(p[:int(p[0]&0xf)*4], 0))
}
