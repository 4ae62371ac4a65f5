//go:build linux

package offload

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	// piecesMax bounds the pieces of one write; Linux takes 1024 (IOV_MAX).
	piecesMax = 512
	// segmentsMax bounds the packets of one UDP frame (UDP_MAX_SEGMENTS).
	segmentsMax = 64
	// headersMax is the longest that headers can be: Ethernet, IPv6, TCP with options.
	headersMax = 14 + ipv6Bytes + 60
)

// Joiner hands packets to a TUN or TAP device. Those of one TCP or UDP flow that come in
// a row, and could have been cut from one by the kernel, go as that one again, in the
// pieces in which they lie: nothing is copied. Its exported fields are set before use.
type Joiner struct {
	// LinkBytes is how much stands in front of the IP header: 14 in a TAP's frames,
	// nothing in a TUN's.
	LinkBytes int
	// UDP says that the kernel takes UDP in segments.
	UDP bool
	// Exact joins only what can be cut to the same octets again. Without it, the IPv4
	// identification and checksum may come out otherwise, as behind any receiver that
	// joins (RFC 791 §3.1 has them for fragments alone).
	Exact bool
	// Write writes a frame, with its Header in front.
	Write func(pieces []unix.Iovec)

	header [HeaderBytes + headersMax]byte
	pieces []unix.Iovec
	// packets counts those in the frame under construction; first is the first, with
	// what stands in front of it.
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
	// flags are TCP's of the last packet.
	flags uint8
}

// Add takes a frame, which must stay as it is until Flush. One that is to be alone is
// never joined with others.
func (j *Joiner) Add(frame []byte, alone bool) {
	if j.packets > 0 && !alone && j.append(frame) {
		return
	}
	j.Flush()
	j.begin(frame, alone)
}

// begin starts a frame.
func (j *Joiner) begin(frame []byte, alone bool) {
	j.packets, j.first, j.closed, j.verified = 1, frame, true, false
	j.pieces = j.pieces[:0]
	if alone || len(frame) < j.LinkBytes+ipv4Bytes {
		return
	}
	packet := frame[j.LinkBytes:]
	var protocol uint8
	switch {
	case packet[0] == 0x45:
		if binary.BigEndian.Uint16(packet[6:])&0x3fff != 0 {
			return // a fragment
		}
		j.v6, j.ipBytes, protocol = false, ipv4Bytes, packet[9]
	case packet[0]>>4 == 6 && len(packet) >= ipv6Bytes:
		j.v6, j.ipBytes, protocol = true, ipv6Bytes, packet[6]
	default:
		return
	}
	transport := packet[j.ipBytes:]
	switch {
	case protocol == unix.IPPROTO_TCP && len(transport) >= tcpBytesMin:
		j.udp = false
		size := int(transport[tcpOffsetAt]>>4) * 4
		if size < tcpBytesMin || size >= len(transport) || transport[tcpFlagsAt] != tcpACK {
			return // nothing to add to, or the end of something
		}
		j.headerBytes = j.ipBytes + size
		j.sequence = binary.BigEndian.Uint32(transport[tcpSequenceAt:])
	case protocol == unix.IPPROTO_UDP && len(transport) > udpHeaderBytes:
		j.udp = true
		j.headerBytes = j.ipBytes + udpHeaderBytes
		if !j.UDP || int(binary.BigEndian.Uint16(transport[udpLengthAt:])) != len(transport) || binary.BigEndian.Uint16(transport[udpSumAt:]) == 0 {
			return
		}
	default:
		return
	}
	j.segmentBytes = len(packet) - j.headerBytes
	j.payload = j.segmentBytes
	j.closed = false
}

// append adds a frame to the one under construction, if it continues it.
func (j *Joiner) append(frame []byte) bool {
	payload := len(frame) - j.LinkBytes - j.headerBytes
	if j.closed || payload <= 0 || payload > j.segmentBytes || j.headerBytes+j.payload+payload > 0xffff || len(j.pieces)+1 >= piecesMax {
		return false
	}
	p, first := frame[j.LinkBytes:], j.first[j.LinkBytes:]
	if !bytes.Equal(frame[:j.LinkBytes], j.first[:j.LinkBytes]) {
		return false
	}
	if j.v6 {
		// Version, class, label, next header, hop limit, addresses.
		if !bytes.Equal(p[:4], first[:4]) || !bytes.Equal(p[6:40], first[6:40]) {
			return false
		}
	} else if p[0] != 0x45 || p[1] != first[1] || !bytes.Equal(p[6:10], first[6:10]) || !bytes.Equal(p[12:20], first[12:20]) {
		// Version, class, flags, hop limit, protocol, addresses.
		return false
	}
	a, b := first[j.ipBytes:j.headerBytes], p[j.ipBytes:]
	if !bytes.Equal(a[:4], b[:4]) {
		return false // the ports
	}
	last, flags := payload < j.segmentBytes, uint8(0)
	if j.udp {
		if int(binary.BigEndian.Uint16(b[udpLengthAt:])) != len(b) || binary.BigEndian.Uint16(b[udpSumAt:]) == 0 || j.packets == segmentsMax {
			return false
		}
	} else {
		// In a row, the same acknowledgement, length, window, urgent pointer and options.
		if binary.BigEndian.Uint32(b[tcpSequenceAt:]) != j.sequence+uint32(j.payload) || !bytes.Equal(a[8:13], b[8:13]) ||
			!bytes.Equal(a[14:16], b[14:16]) || !bytes.Equal(a[18:], b[18:len(a)]) {
			return false
		}
		flags = b[tcpFlagsAt]
		switch flags {
		case tcpACK:
		case tcpACK | tcpPSH:
			last = true
		default:
			return false
		}
	}
	// The frame will say that its checksum is right, so each must be: what was broken
	// before must not be healed.
	if !j.verified {
		if j.verified = j.isRight(first, 0); !j.verified {
			j.closed = true
			return false
		}
	}
	if !j.isRight(p, j.packets) {
		return false
	}
	if j.packets == 1 {
		j.piece(nil) // the header's place
		j.piece(first[j.headerBytes:])
	}
	j.piece(p[j.headerBytes:])
	j.packets++
	j.payload += payload
	j.flags, j.closed = flags, last
	return true
}

// isRight checks a packet's transport checksum, and with Exact whatever else would not
// survive being cut again. place is its number in the frame.
func (j *Joiner) isRight(p []byte, place int) bool {
	if j.Exact {
		switch {
		case j.v6:
			if int(binary.BigEndian.Uint16(p[4:])) != len(p)-ipv6Bytes {
				return false
			}
		case int(binary.BigEndian.Uint16(p[2:])) != len(p),
			binary.BigEndian.Uint16(p[4:]) != binary.BigEndian.Uint16(j.first[j.LinkBytes+4:])+uint16(place),
			binary.BigEndian.Uint16(p[10:]) == 0xffff, // the same as zero, but not what is computed
			checksum.Checksum(p[:ipv4Bytes], 0) != 0xffff:
			return false
		}
		if !j.udp && binary.BigEndian.Uint16(p[j.ipBytes+tcpSumAt:]) == 0xffff {
			return false
		}
	}
	return checksum.Checksum(p[j.ipBytes:], j.pseudo(p, len(p)-j.ipBytes)) == 0xffff
}

// pseudo is the sum over the pseudo header.
func (j *Joiner) pseudo(p []byte, length int) uint16 {
	protocol, addresses := uint16(unix.IPPROTO_TCP), p[12:20]
	if j.udp {
		protocol = unix.IPPROTO_UDP
	}
	if j.v6 {
		addresses = p[8:40]
	}
	return checksum.Combine(checksum.Checksum(addresses, 0), checksum.Combine(protocol, uint16(length)))
}

func (j *Joiner) piece(b []byte) {
	j.pieces = append(j.pieces, unix.Iovec{})
	if len(b) > 0 {
		p := &j.pieces[len(j.pieces)-1]
		p.Base = &b[0]
		p.SetLen(len(b))
	}
}

// Flush writes the frame under construction, if there is one.
func (j *Joiner) Flush() {
	if j.packets == 0 {
		return
	}
	if j.packets == 1 {
		j.pieces = j.pieces[:0]
		clear(j.header[:HeaderBytes])
		j.piece(j.header[:HeaderBytes])
		j.piece(j.first)
	} else {
		j.complete()
	}
	j.packets, j.first = 0, nil
	j.Write(j.pieces)
}

// WriteVector is writev(2), for Joiner.Write: a frame is written whole or not at all.
func WriteVector(fd uintptr, pieces []unix.Iovec) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&pieces[0])), uintptr(len(pieces)))
	return errno
}

// complete makes the header of a frame of several packets.
func (j *Joiner) complete() {
	h := j.header[:HeaderBytes+j.LinkBytes+j.headerBytes]
	copy(h[HeaderBytes:], j.first[:j.LinkBytes+j.headerBytes])
	p := h[HeaderBytes+j.LinkBytes:]
	length := j.headerBytes - j.ipBytes + j.payload
	sumOffset := tcpSumAt
	gso := uint8(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	switch {
	case j.udp:
		gso, sumOffset = unix.VIRTIO_NET_HDR_GSO_UDP_L4, udpSumAt
		binary.BigEndian.PutUint16(p[j.ipBytes+udpLengthAt:], uint16(length))
	case j.v6:
		gso = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	if !j.udp {
		p[j.ipBytes+tcpFlagsAt] = j.flags
	}
	if j.v6 {
		binary.BigEndian.PutUint16(p[4:], uint16(length))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(j.ipBytes+length))
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^checksum.Checksum(p[:j.ipBytes], 0))
	}
	binary.BigEndian.PutUint16(p[j.ipBytes+sumOffset:], j.pseudo(p, length))
	Header{
		Flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, GSOType: gso, HdrBytes: uint16(j.LinkBytes + j.headerBytes), GSOBytes: uint16(j.segmentBytes),
		SumStart: uint16(j.LinkBytes + j.ipBytes), SumOffset: uint16(sumOffset),
	}.put(h)
	j.pieces[0].Base = &h[0]
	j.pieces[0].SetLen(len(h))
}
