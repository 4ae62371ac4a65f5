//go:build linux

package host

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// virtioBytes is the length of struct virtio_net_hdr, which stands in front of
// every frame of the TUN device.
const virtioBytes = 10

// virtioHeader is struct virtio_net_hdr (Virtio 1.2 §5.1.6), in the processor's
// byte order as TUN has it.
type virtioHeader struct {
	flags, gsoType          uint8
	headerBytes, gsoBytes   uint16
	sumStart, sumOffset     uint16
	segmented, needChecksum bool
}

func parseVirtio(b []byte) virtioHeader {
	v := virtioHeader{
		flags: b[0], gsoType: b[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN,
		headerBytes: binary.NativeEndian.Uint16(b[2:]), gsoBytes: binary.NativeEndian.Uint16(b[4:]),
		sumStart: binary.NativeEndian.Uint16(b[6:]), sumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
	v.segmented = v.gsoType != unix.VIRTIO_NET_HDR_GSO_NONE
	v.needChecksum = v.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	return v
}

const (
	tcpSequenceAt = 4
	tcpOffsetAt   = 12
	tcpFlagsAt    = 13
	tcpSumAt      = 16
	tcpBytesMin   = 20
	udpLengthAt   = 4
	udpSumAt      = 6

	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpCWR = 0x80
)

// completeChecksum finishes a checksum that the kernel left to the device: the
// field holds the sum of the pseudo header.
func completeChecksum(packet []byte, v virtioHeader) bool {
	start, at := int(v.sumStart), int(v.sumStart)+int(v.sumOffset)
	if at+2 > len(packet) {
		return false
	}
	sum := ^checksum.Checksum(packet[start:], 0)
	if sum == 0 && v.sumOffset == udpSumAt {
		sum = 0xffff // in UDP zero means none
	}
	binary.BigEndian.PutUint16(packet[at:], sum)
	return true
}

// segmenter cuts a TCP or UDP packet that the kernel left whole into those that
// leave.
type segmenter struct {
	packet      []byte
	v6, udp     bool
	ipBytes     int
	headerBytes int
	gsoBytes    int
	// pseudo is the sum over the addresses and the protocol, without the length.
	pseudo uint16
	// next is where the next segment's payload starts; index counts them.
	next, index int
}

// start takes a packet up; false when it contradicts its header.
func (s *segmenter) start(packet []byte, v virtioHeader) bool {
	*s = segmenter{packet: packet, ipBytes: int(v.sumStart), gsoBytes: int(v.gsoBytes)}
	s.udp = v.gsoType == unix.VIRTIO_NET_HDR_GSO_UDP_L4
	if len(packet) < 20 || s.gsoBytes == 0 {
		return false
	}
	s.v6 = packet[0]>>4 == 6
	transport := tcpBytesMin
	if s.udp {
		transport = udpHeaderBytes
	}
	if s.ipBytes < 20 || (s.v6 && s.ipBytes < 40) || len(packet) < s.ipBytes+transport {
		return false
	}
	if !s.udp {
		// The header's own length, because a forwarded packet may come with
		// another in headerBytes.
		if transport = int(packet[s.ipBytes+tcpOffsetAt]>>4) * 4; transport < tcpBytesMin {
			return false
		}
	}
	s.headerBytes = s.ipBytes + transport
	if len(packet) < s.headerBytes {
		return false
	}
	s.next = s.headerBytes
	protocol := uint16(unix.IPPROTO_TCP)
	if s.udp {
		protocol = unix.IPPROTO_UDP
	}
	addresses := packet[12:20]
	if s.v6 {
		addresses = packet[8:40]
	}
	s.pseudo = checksum.Combine(checksum.Checksum(addresses, 0), protocol)
	return true
}

// size is the length of the next segment, 0 when there is none left.
func (s *segmenter) size() int {
	if s.next >= len(s.packet) {
		return 0
	}
	return s.headerBytes + min(s.gsoBytes, len(s.packet)-s.next)
}

// write puts the next segment into b, which has its size.
func (s *segmenter) write(b []byte) {
	last := s.next+s.gsoBytes >= len(s.packet)
	copy(b, s.packet[:s.headerBytes])
	copy(b[s.headerBytes:], s.packet[s.next:])
	if s.v6 {
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-40))
	} else {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		binary.BigEndian.PutUint16(b[4:], binary.BigEndian.Uint16(b[4:])+uint16(s.index))
		b[10], b[11] = 0, 0
		binary.BigEndian.PutUint16(b[10:], ^checksum.Checksum(b[:s.ipBytes], 0))
	}
	t := b[s.ipBytes:]
	sumAt := tcpSumAt
	if s.udp {
		sumAt = udpSumAt
		binary.BigEndian.PutUint16(t[udpLengthAt:], uint16(len(t)))
	} else {
		binary.BigEndian.PutUint32(t[tcpSequenceAt:], binary.BigEndian.Uint32(t[tcpSequenceAt:])+uint32(s.next-s.headerBytes))
		if !last {
			t[tcpFlagsAt] &^= tcpFIN | tcpPSH
		}
		if s.index > 0 {
			t[tcpFlagsAt] &^= tcpCWR
		}
	}
	t[sumAt], t[sumAt+1] = 0, 0
	sum := ^checksum.Checksum(t, checksum.Combine(s.pseudo, uint16(len(t))))
	if sum == 0 && s.udp {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(t[sumAt:], sum)
	s.next += s.gsoBytes
	s.index++
}
