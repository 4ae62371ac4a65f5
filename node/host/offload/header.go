//go:build linux

package offload

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

// HeaderBytes is the length of struct virtio_net_hdr, which stands in front of every
// frame of a device with IFF_VNET_HDR.
const HeaderBytes = 10

// Header is struct virtio_net_hdr (Virtio 1.2 §5.1.6), in the processor's byte order as
// TUN has it. Lengths and places are in octets, places from the frame's beginning.
type Header struct {
	Flags, GSOType      uint8
	HdrBytes, GSOBytes  uint16
	SumStart, SumOffset uint16
	// Segmented says that the frame is to be cut, NeedChecksum that its checksum is to
	// be completed.
	Segmented, NeedChecksum bool
}

// Parse reads a header; b has at least HeaderBytes.
func Parse(b []byte) Header {
	v := Header{
		Flags: b[0], GSOType: b[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN,
		HdrBytes: binary.NativeEndian.Uint16(b[2:]), GSOBytes: binary.NativeEndian.Uint16(b[4:]),
		SumStart: binary.NativeEndian.Uint16(b[6:]), SumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
	v.Segmented = v.GSOType != unix.VIRTIO_NET_HDR_GSO_NONE
	v.NeedChecksum = v.Flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	return v
}

// put writes the header into b, which has HeaderBytes.
func (h Header) put(b []byte) {
	b[0], b[1] = h.Flags, h.GSOType
	binary.NativeEndian.PutUint16(b[2:], h.HdrBytes)
	binary.NativeEndian.PutUint16(b[4:], h.GSOBytes)
	binary.NativeEndian.PutUint16(b[6:], h.SumStart)
	binary.NativeEndian.PutUint16(b[8:], h.SumOffset)
}

// CompleteChecksum finishes a checksum that the kernel left to the device: the field
// holds the sum of the pseudo header. It answers false when the frame has no such field.
func CompleteChecksum(frame []byte, h Header) bool {
	start, at := int(h.SumStart), int(h.SumStart)+int(h.SumOffset)
	if at+2 > len(frame) {
		return false
	}
	sum := ^checksum.Checksum(frame[start:], 0)
	if sum == 0 && h.SumOffset == udpSumAt {
		sum = 0xffff // in UDP zero means none
	}
	binary.BigEndian.PutUint16(frame[at:], sum)
	return true
}

const (
	offloadsTCP = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	offloadsUDP = unix.TUN_F_USO4 | unix.TUN_F_USO6
)

// Ask lets the kernel hand over, and take, TCP and UDP in segments of up to 64 KiB
// without checksums, on a TUN or TAP device that has IFF_VNET_HDR. UDP is from Linux 6.2
// on; udp says whether the kernel takes it. An error says that it takes nothing; frames
// then are single packets, with a header all the same.
func Ask(fd int) (udp bool, err error) {
	if unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloadsTCP|offloadsUDP) == nil {
		return true, nil
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloadsTCP); err != nil {
		return false, fmt.Errorf("asking for offloads: %w", err)
	}
	return false, nil
}
