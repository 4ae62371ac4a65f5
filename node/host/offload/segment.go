//go:build linux

package offload

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	ipv4Bytes      = 20
	ipv6Bytes      = 40
	udpHeaderBytes = 8

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

// Segmenter cuts a TCP or UDP packet that the kernel left whole into those that
// leave.
type Segmenter struct {
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

// Start takes a packet up, which begins with its IP header as the places in v do; false
// when it contradicts v.
func (s *Segmenter) Start(packet []byte, v Header) bool {
	*s = Segmenter{packet: packet, ipBytes: int(v.SumStart), gsoBytes: int(v.GSOBytes)}
	s.udp = v.GSOType == unix.VIRTIO_NET_HDR_GSO_UDP_L4
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
		// another in HdrBytes.
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

// Size is the length of the next segment, 0 when there is none left.
func (s *Segmenter) Size() int {
	if s.next >= len(s.packet) {
		return 0
	}
	return s.headerBytes + min(s.gsoBytes, len(s.packet)-s.next)
}

// Write puts the next segment into b, which has its size, with all checksums.
func (s *Segmenter) Write(b []byte) {
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
