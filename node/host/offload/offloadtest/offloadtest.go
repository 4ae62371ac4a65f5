//go:build linux

package offloadtest

import (
	"bytes"
	"net"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/node/host/offload"
)

// TCPSumAt and UDPSumAt are the places of the checksums in the transport headers.
const (
	TCPSumAt = 16
	UDPSumAt = 6
)

// WholePacket makes a TCP or UDP packet with checksums by gopacket.
func WholePacket(t testing.TB, v6, udp bool, payload []byte, change func(*layers.TCP)) []byte {
	t.Helper()
	var network gopacket.SerializableLayer
	protocol := layers.IPProtocolTCP
	if udp {
		protocol = layers.IPProtocolUDP
	}
	if v6 {
		network = &layers.IPv6{Version: 6, HopLimit: 63, TrafficClass: 0x28, NextHeader: protocol, SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("2001:db8::2")}
	} else {
		network = &layers.IPv4{Version: 4, TTL: 63, TOS: 0x28, Id: 77, Flags: layers.IPv4DontFragment, Protocol: protocol, SrcIP: net.IPv4(10, 1, 0, 1), DstIP: net.IPv4(10, 2, 0, 2)}
	}
	var transport gopacket.SerializableLayer
	if udp {
		u := &layers.UDP{SrcPort: 1234, DstPort: 5678}
		_ = u.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer))
		transport = u
	} else {
		c := &layers.TCP{SrcPort: 1234, DstPort: 5678, Seq: 0xfffffff0, Ack: 99, ACK: true, PSH: true, Window: 500,
			Options: []layers.TCPOption{{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 0, 1, 0, 0, 0, 2}}}}
		if change != nil {
			change(c)
		}
		_ = c.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer))
		transport = c
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, network, transport, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// Check reads a packet with gopacket, checksums and all.
func Check(t testing.TB, p []byte) gopacket.Packet {
	t.Helper()
	first := layers.LayerTypeIPv4
	if p[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	d := gopacket.NewPacket(p, first, gopacket.Default)
	if e := d.ErrorLayer(); e != nil {
		t.Fatalf("undecodable packet %x: %v", p, e.Error())
	}
	if l, ok := d.TransportLayer().(interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}); ok {
		_ = l.SetNetworkLayerForChecksum(d.NetworkLayer())
	}
	if err, mismatches := d.VerifyChecksums(); err != nil || len(mismatches) > 0 {
		t.Fatalf("checksums of %v: %v %v", d, err, mismatches)
	}
	return d
}

// VirtioFor is the header with which Linux would hand packet over, to be cut into
// payloads of size bytes.
func VirtioFor(packet []byte, udp bool, size int) offload.Header {
	v := offload.Header{Flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, GSOBytes: uint16(size), SumStart: 20, SumOffset: TCPSumAt, GSOType: unix.VIRTIO_NET_HDR_GSO_TCPV4, Segmented: true, NeedChecksum: true}
	if packet[0]>>4 == 6 {
		v.SumStart, v.GSOType = 40, unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	if udp {
		v.SumOffset, v.GSOType = UDPSumAt, unix.VIRTIO_NET_HDR_GSO_UDP_L4
	}
	return v
}

// Cut cuts a packet as a device's reader does.
func Cut(t testing.TB, packet []byte, v offload.Header) (all [][]byte) {
	t.Helper()
	var s offload.Segmenter
	if !s.Start(packet, v) {
		t.Fatalf("the packet %x is refused", packet)
	}
	for n := s.Size(); n > 0; n = s.Size() {
		b := make([]byte, n)
		s.Write(b)
		all = append(all, b)
	}
	return all
}
