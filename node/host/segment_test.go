//go:build linux

package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"pgregory.net/rapid"
)

// wholePacket makes a TCP or UDP packet with checksums by gopacket.
func wholePacket(t testing.TB, v6, udp bool, payload []byte, change func(*layers.TCP)) []byte {
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

// check reads a packet with gopacket, checksums and all.
func check(t testing.TB, p []byte) gopacket.Packet {
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

// virtioFor is the header with which Linux would hand packet over, to be cut into
// payloads of size bytes.
func virtioFor(packet []byte, udp bool, size int) virtioHeader {
	v := virtioHeader{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, gsoBytes: uint16(size), sumStart: 20, sumOffset: tcpSumAt, gsoType: unix.VIRTIO_NET_HDR_GSO_TCPV4, segmented: true, needChecksum: true}
	if packet[0]>>4 == 6 {
		v.sumStart, v.gsoType = 40, unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	if udp {
		v.sumOffset, v.gsoType = udpSumAt, unix.VIRTIO_NET_HDR_GSO_UDP_L4
	}
	return v
}

// cut cuts a packet as the TUN device's reader does.
func cut(t testing.TB, packet []byte, v virtioHeader) (all [][]byte) {
	t.Helper()
	var s segmenter
	if !s.start(packet, v) {
		t.Fatalf("the packet %x is refused", packet)
	}
	for n := s.size(); n > 0; n = s.size() {
		b := make([]byte, n)
		s.write(b)
		all = append(all, b)
	}
	return all
}

// pipeTUN is a TUN device whose frames come out of a pipe.
func pipeTUN(t testing.TB) (*Host, *os.File) {
	t.Helper()
	fds := make([]int, 2)
	if err := unix.Pipe2(fds, unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_DIRECT); err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() { _, _ = reader.Close(), writer.Close() })
	raw, err := writer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return &Host{tun: &tunDevice{file: writer, raw: raw, udp: true}}, reader
}

// joined gives packets to a writer and answers the frames that come out.
func joined(t testing.TB, h *Host, reader *os.File, packets [][]byte) (frames [][]byte) {
	t.Helper()
	var w tunWriter
	w.init()
	w.h = h
	read := func() {
		frame := []byte{}
		b := make([]byte, 1<<17)
		for {
			n, err := unix.Read(int(reader.Fd()), b)
			if err != nil || n == 0 {
				break
			}
			frame = append(frame, b[:n]...)
		}
		if len(frame) > 0 {
			frames = append(frames, frame)
		}
	}
	for _, p := range packets {
		var v headerView
		slow := !readHeader(p, &v)
		w.add(p, &v, slow)
		read()
	}
	w.flush()
	read()
	if w.errno != 0 {
		t.Fatal(w.errno)
	}
	return frames
}

// TestCutAndJoin cuts packets, wants every piece valid, and joins them again to what
// they were.
func TestCutAndJoin(t *testing.T) {
	t.Parallel()
	h, reader := pipeTUN(t)
	_, _ = unix.FcntlInt(reader.Fd(), unix.F_SETPIPE_SZ, 1<<20)
	rapid.Check(t, func(r *rapid.T) {
		v6, udp := rapid.Bool().Draw(r, "v6"), rapid.Bool().Draw(r, "udp")
		size := rapid.IntRange(1, 1400).Draw(r, "size")
		payload := rapid.SliceOfN(rapid.Byte(), 1, min(40*size, 30000)).Draw(r, "payload")
		whole := wholePacket(t, v6, udp, payload, nil)
		pieces := cut(t, bytes.Clone(whole), virtioFor(whole, udp, size))
		if want := (len(payload) + size - 1) / size; len(pieces) != want {
			r.Fatalf("%d pieces of %d", len(pieces), want)
		}
		var together []byte
		for i, p := range pieces {
			d := check(t, p)
			together = append(together, d.TransportLayer().LayerPayload()...)
			if c, ok := d.TransportLayer().(*layers.TCP); ok {
				if c.PSH != (i == len(pieces)-1) || c.Seq != 0xfffffff0+uint32(i*size) {
					r.Fatalf("piece %d: %+v", i, c)
				}
			}
			if ip, ok := d.NetworkLayer().(*layers.IPv4); ok && ip.Id != 77+uint16(i) {
				r.Fatalf("piece %d has identification %d", i, ip.Id)
			}
		}
		if !bytes.Equal(together, payload) {
			r.Fatal("the payload is another")
		}
		frames := joined(t, h, reader, pieces)
		if len(frames) != 1 {
			r.Fatalf("%d frames", len(frames))
		}
		got := frames[0][virtioBytes:]
		if len(pieces) > 1 {
			v := parseVirtio(frames[0])
			if !v.needChecksum || int(v.gsoBytes) != min(size, len(payload)) || v.gsoType != virtioFor(whole, udp, size).gsoType {
				r.Fatalf("the frame's header: %+v", v)
			}
			start := int(v.sumStart)
			binary.BigEndian.PutUint16(got[start+int(v.sumOffset):], ^checksum.Checksum(got[start:], 0))
		}
		if !bytes.Equal(got, whole) {
			r.Fatalf("joined to\n%x\nnot\n%x", got, whole)
		}
	})
}

// TestJoinHealsNothing keeps packets apart whose checksum is wrong, and those that
// belong to different flows or places.
func TestJoinHealsNothing(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("x"), 3000)
	base := func(udp bool) [][]byte {
		p := wholePacket(t, false, udp, payload, nil)
		return cut(t, p, virtioFor(p, udp, 1000))
	}
	for name, c := range map[string]struct {
		udp    bool
		spoil  func(p [][]byte)
		frames int
	}{
		"nothing":          {false, func([][]byte) {}, 1},
		"first wrong":      {false, func(p [][]byte) { p[0][100] ^= 1 }, 2},
		"second wrong":     {false, func(p [][]byte) { p[1][100] ^= 1 }, 3},
		"last wrong":       {true, func(p [][]byte) { p[2][100] ^= 1 }, 2},
		"swapped":          {false, func(p [][]byte) { p[0], p[1] = p[1], p[0] }, 3},
		"another class":    {true, func(p [][]byte) { setTrafficClass(p[1], 1) }, 3},
		"without checksum": {true, func(p [][]byte) { p[1][26], p[1][27] = 0, 0 }, 3},
		"a fragment":       {true, func(p [][]byte) { p[1][6] = 0x20 }, 3},
		"another flow":     {false, func(p [][]byte) { p[1] = wholePacket(t, true, false, payload[:1000], nil) }, 3},
		"an end of connection": {false, func(p [][]byte) {
			p[1] = wholePacket(t, false, false, payload[:1000], func(c *layers.TCP) { c.FIN = true })
		}, 3},
		"an empty segment":      {false, func(p [][]byte) { p[1] = wholePacket(t, false, false, nil, nil) }, 3},
		"UDP in two lengths":    {true, func(p [][]byte) { p[1] = wholePacket(t, false, true, payload[:900], nil) }, 2},
		"UDP that grows longer": {true, func(p [][]byte) { p[1] = wholePacket(t, false, true, payload[:1100], nil) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h, reader := pipeTUN(t)
			p := base(c.udp)
			c.spoil(p)
			var want []string
			for _, b := range p {
				want = append(want, fmt.Sprintf("%x", b))
			}
			frames := joined(t, h, reader, p)
			if len(frames) != c.frames {
				t.Errorf("%d frames instead of %d", len(frames), c.frames)
			}
			if c.frames == len(p) {
				for i := range frames {
					if got := fmt.Sprintf("%x", frames[i][virtioBytes:]); got != want[i] {
						t.Errorf("frame %d was changed:\n%s\n%s", i, got, want[i])
					}
				}
			}
		})
	}
}
