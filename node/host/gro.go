//go:build linux

package host

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// piecesMax bounds the pieces of one write; Linux takes 1024 (IOV_MAX).
const piecesMax = 512

// tunWriter hands packets to the TUN device. Those of one TCP or UDP flow that come
// in a row, and could have been cut from one by the kernel, go as that one again, in
// the pieces in which they lie: nothing is copied.
type tunWriter struct {
	h      *Host
	header [virtioBytes + 128]byte
	pieces []unix.Iovec
	// packets counts those in the frame under construction; first is the first.
	packets int
	first   []byte
	v6, udp bool
	ipBytes int
	// headerBytes is IP's and the transport's; payload is all payload so far, each
	// segment having segmentBytes but the last.
	headerBytes, payload, segmentBytes int
	closed                             bool
	sequence                           uint32
	verified                           bool
	errno                              unix.Errno
	write                              func(fd uintptr)
}

func (t *tunWriter) init() {
	t.pieces = make([]unix.Iovec, 0, piecesMax+1)
	t.write = t.writeFrame
}

// add takes a packet, which must stay as it is until flush. slow is true for one
// with options or extension headers, which goes alone.
func (t *tunWriter) add(packet []byte, view *headerView, slow bool) {
	if t.packets > 0 && !slow && t.append(packet) {
		return
	}
	t.flush()
	t.begin(packet, view, slow)
}

// begin starts a frame.
func (t *tunWriter) begin(packet []byte, view *headerView, slow bool) {
	t.packets, t.first, t.closed, t.verified = 1, packet, true, false
	t.pieces = t.pieces[:0]
	if slow || view.key.kind&flowPorts == 0 {
		return
	}
	t.v6 = view.key.kind&flowV6 != 0
	t.ipBytes = 20
	if t.v6 {
		t.ipBytes = 40
	} else if binary.BigEndian.Uint16(packet[6:])&0x3fff != 0 {
		return // a fragment
	}
	transport := packet[t.ipBytes:]
	switch view.key.protocol {
	case unix.IPPROTO_TCP:
		t.udp = false
		if len(transport) < tcpBytesMin {
			return
		}
		size := int(transport[tcpOffsetAt]>>4) * 4
		if size < tcpBytesMin || size >= len(transport) || transport[tcpFlagsAt] != tcpACK {
			return // nothing to add to, or the end of something
		}
		t.headerBytes = t.ipBytes + size
		t.sequence = binary.BigEndian.Uint32(transport[tcpSequenceAt:])
	case unix.IPPROTO_UDP:
		t.udp = true
		t.headerBytes = t.ipBytes + udpHeaderBytes
		if !t.h.tun.udp || int(binary.BigEndian.Uint16(transport[udpLengthAt:])) != len(transport) ||
			len(transport) == udpHeaderBytes || binary.BigEndian.Uint16(transport[udpSumAt:]) == 0 {
			return
		}
	default:
		return
	}
	t.segmentBytes = len(packet) - t.headerBytes
	t.payload = t.segmentBytes
	t.closed = false
}

// append adds a packet to the frame, if it continues it.
func (t *tunWriter) append(p []byte) bool {
	payload := len(p) - t.headerBytes
	if t.closed || payload <= 0 || payload > t.segmentBytes || t.headerBytes+t.payload+payload > 0xffff || len(t.pieces)+1 >= piecesMax {
		return false
	}
	if t.v6 {
		// Version, class, label, next header, hop limit, addresses.
		if !bytes.Equal(p[:4], t.first[:4]) || !bytes.Equal(p[6:40], t.first[6:40]) {
			return false
		}
	} else if p[0] != 0x45 || p[1] != t.first[1] || !bytes.Equal(p[6:10], t.first[6:10]) || !bytes.Equal(p[12:20], t.first[12:20]) {
		// Version, class, flags, hop limit, protocol, addresses.
		return false
	}
	a, b := t.first[t.ipBytes:t.headerBytes], p[t.ipBytes:]
	if !bytes.Equal(a[:4], b[:4]) {
		return false // the ports
	}
	last := payload < t.segmentBytes
	if t.udp {
		if int(binary.BigEndian.Uint16(b[udpLengthAt:])) != len(b) || binary.BigEndian.Uint16(b[udpSumAt:]) == 0 || t.packets == segmentsMax {
			return false
		}
	} else {
		// In a row, the same acknowledgement, length, window and options.
		if binary.BigEndian.Uint32(b[tcpSequenceAt:]) != t.sequence+uint32(t.payload) || !bytes.Equal(a[8:13], b[8:13]) ||
			!bytes.Equal(a[14:16], b[14:16]) || !bytes.Equal(a[18:], b[18:len(a)]) {
			return false
		}
		switch b[tcpFlagsAt] {
		case tcpACK:
		case tcpACK | tcpPSH:
			last = true
		default:
			return false
		}
	}
	// The frame will say that its checksum is right, so each must be: the tunnel
	// must not heal what was broken before it.
	if !t.verified {
		if t.verified = t.sumIsRight(t.first); !t.verified {
			t.closed = true
			return false
		}
	}
	if !t.sumIsRight(p) {
		return false
	}
	if !t.udp {
		t.header[virtioBytes+t.ipBytes+tcpFlagsAt] = b[tcpFlagsAt] // complete copies the rest
	}
	if t.packets == 1 {
		t.piece(nil) // the header's place
		t.piece(t.first[t.headerBytes:])
	}
	t.piece(p[t.headerBytes:])
	t.packets++
	t.payload += payload
	t.closed = last
	return true
}

// sumIsRight checks a packet's transport checksum.
func (t *tunWriter) sumIsRight(p []byte) bool {
	return checksum.Checksum(p[t.ipBytes:], t.pseudo(p, len(p)-t.ipBytes)) == 0xffff
}

// pseudo is the sum over the pseudo header.
func (t *tunWriter) pseudo(p []byte, length int) uint16 {
	protocol, addresses := uint16(unix.IPPROTO_TCP), p[12:20]
	if t.udp {
		protocol = unix.IPPROTO_UDP
	}
	if t.v6 {
		addresses = p[8:40]
	}
	return checksum.Combine(checksum.Checksum(addresses, 0), checksum.Combine(protocol, uint16(length)))
}

func (t *tunWriter) piece(b []byte) {
	t.pieces = append(t.pieces, unix.Iovec{})
	if len(b) > 0 {
		p := &t.pieces[len(t.pieces)-1]
		p.Base = &b[0]
		p.SetLen(len(b))
	}
}

// flush writes the frame under construction.
func (t *tunWriter) flush() {
	if t.packets == 0 {
		return
	}
	if t.packets == 1 {
		t.pieces = t.pieces[:0]
		clear(t.header[:virtioBytes])
		t.piece(t.header[:virtioBytes])
		t.piece(t.first)
	} else {
		t.complete()
	}
	t.packets = 0
	if t.h.tun.raw.Control(t.write) != nil || t.h.tun.closed.Load() {
		return // closed
	}
	switch {
	case t.errno == 0, t.errno == unix.ENOBUFS, t.errno == unix.EINVAL, t.errno == unix.EIO:
		// The last two: the kernel does not like the packet, which the other end
		// sent; or the device is not up.
	default:
		// Not from here: the caller may have an association locked.
		go t.h.fail(fmt.Errorf("writing to the tunnel device %q: %w", t.h.cfg.Tunnel, t.errno))
	}
}

// complete makes the header of a frame of several packets.
func (t *tunWriter) complete() {
	flags := t.header[virtioBytes+t.ipBytes+tcpFlagsAt]
	h := t.header[:virtioBytes+t.headerBytes]
	p := h[virtioBytes:]
	copy(p, t.first[:t.headerBytes])
	length := t.headerBytes - t.ipBytes + t.payload
	sumOffset := tcpSumAt
	gso := uint8(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	switch {
	case t.udp:
		gso, sumOffset = unix.VIRTIO_NET_HDR_GSO_UDP_L4, udpSumAt
		binary.BigEndian.PutUint16(p[t.ipBytes+udpLengthAt:], uint16(length))
	case t.v6:
		gso = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	if !t.udp {
		p[t.ipBytes+tcpFlagsAt] = flags
	}
	if t.v6 {
		binary.BigEndian.PutUint16(p[4:], uint16(length))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(t.ipBytes+length))
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^checksum.Checksum(p[:t.ipBytes], 0))
	}
	binary.BigEndian.PutUint16(p[t.ipBytes+sumOffset:], t.pseudo(t.first, length))
	h[0], h[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, gso
	binary.NativeEndian.PutUint16(h[2:], uint16(t.headerBytes))
	binary.NativeEndian.PutUint16(h[4:], uint16(t.segmentBytes))
	binary.NativeEndian.PutUint16(h[6:], uint16(t.ipBytes))
	binary.NativeEndian.PutUint16(h[8:], uint16(sumOffset))
	t.pieces[0].Base = &h[0]
	t.pieces[0].SetLen(len(h))
}

// writeFrame writes the frame.
func (t *tunWriter) writeFrame(fd uintptr) {
	for {
		_, t.errno = writeVector(fd, t.pieces)
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
