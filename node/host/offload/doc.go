// Package offload does what a network card does for a kernel with TUN and TAP devices:
// it cuts a TCP or UDP packet that the kernel left whole into those that a wire would
// have had, and joins such packets again before the kernel gets them, so that one system
// call carries up to 64 KiB.
//
// What lies between kernel and device is struct virtio_net_hdr (Virtio 1.2 §5.1.6) in
// front of every frame. Header is that, Ask asks a device for it, Segmenter cuts, and
// Joiner joins. Package node/host has it for the TUN device of a node, sim/netns for the
// TAPs of links.
//
// It is not a socket's segmentation (UDP_SEGMENT, UDP_GRO), which is node/host's own, and
// what a device says to a write is for its callers to judge. It runs on Linux only.
//
// # What must stay true
//
//   - Packets that are cut are whole: lengths, identification, sequence numbers, flags and
//     checksums are those of packets on a wire.
//   - Joining heals nothing: each packet has a right checksum of its own, or goes alone.
//     With Joiner.Exact, cutting what was joined gives the same octets again.
//   - Packets are written in the order in which they came.
//   - Nothing is allocated per packet.
package offload
