//go:build linux

package offload_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/ikelab/ikelab/node/host/offload/offloadtest"
)

// ethernet stands in front of a TAP's packets.
var ethernet = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}

// joined gives packets to a joiner and answers the frames that come out.
func joined(j *offload.Joiner, packets [][]byte) (frames [][]byte) {
	j.Write = func(pieces []unix.Iovec) {
		var frame []byte
		for _, p := range pieces {
			frame = append(frame, unsafe.Slice(p.Base, p.Len)...)
		}
		frames = append(frames, frame)
	}
	for _, p := range packets {
		j.Add(p, false)
	}
	j.Flush()
	return frames
}

// parted cuts what a joiner wrote.
func parted(t interface{ Fatalf(string, ...any) }, link int, frames [][]byte) (packets [][]byte) {
	for _, f := range frames {
		h := offload.Parse(f)
		f = f[offload.HeaderBytes:]
		if !h.Segmented {
			packets = append(packets, f)
			continue
		}
		var s offload.Segmenter
		h.SumStart -= uint16(link)
		if !s.Start(f[link:], h) {
			t.Fatalf("the frame %x is refused", f)
		}
		for n := s.Size(); n > 0; n = s.Size() {
			p := append(bytes.Clone(f[:link]), make([]byte, n)...)
			s.Write(p[link:])
			packets = append(packets, p)
		}
	}
	return packets
}

// TestCutAndJoin cuts packets, wants every piece valid, and joins them again to what
// they were.
func TestCutAndJoin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		v6, udp := rapid.Bool().Draw(r, "v6"), rapid.Bool().Draw(r, "udp")
		size := rapid.IntRange(1, 1400).Draw(r, "size")
		payload := rapid.SliceOfN(rapid.Byte(), 1, min(40*size, 30000)).Draw(r, "payload")
		whole := offloadtest.WholePacket(t, v6, udp, payload, nil)
		pieces := offloadtest.Cut(t, bytes.Clone(whole), offloadtest.VirtioFor(whole, udp, size))
		if want := (len(payload) + size - 1) / size; len(pieces) != want {
			r.Fatalf("%d pieces of %d", len(pieces), want)
		}
		var together []byte
		for i, p := range pieces {
			d := offloadtest.Check(t, p)
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
		framed := make([][]byte, len(pieces))
		link := ethernet[:14*rapid.IntRange(0, 1).Draw(r, "link")]
		for i, p := range pieces {
			framed[i] = slices.Concat(link, p)
		}
		frames := joined(&offload.Joiner{UDP: true, LinkBytes: len(link), Exact: rapid.Bool().Draw(r, "exact")}, framed)
		if len(frames) != 1 {
			r.Fatalf("%d frames", len(frames))
		}
		if !slices.EqualFunc(framed, parted(r, len(link), frames), bytes.Equal) {
			r.Fatal("cut again, they are others")
		}
		got := frames[0][offload.HeaderBytes:]
		if len(pieces) > 1 {
			v := offload.Parse(frames[0])
			if !v.NeedChecksum || int(v.GSOBytes) != min(size, len(payload)) || v.GSOType != offloadtest.VirtioFor(whole, udp, size).GSOType {
				r.Fatalf("the frame's header: %+v", v)
			}
			start := int(v.SumStart)
			binary.BigEndian.PutUint16(got[start+int(v.SumOffset):], ^checksum.Checksum(got[start:], 0))
		}
		if got = got[len(link):]; !bytes.Equal(got, whole) {
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
		p := offloadtest.WholePacket(t, false, udp, payload, nil)
		return offloadtest.Cut(t, p, offloadtest.VirtioFor(p, udp, 1000))
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
		"another class":    {true, func(p [][]byte) { p[1][1], p[1][11] = p[1][1]^1, p[1][11]^1 }, 3},
		"without checksum": {true, func(p [][]byte) { p[1][26], p[1][27] = 0, 0 }, 3},
		"a fragment":       {true, func(p [][]byte) { p[1][6] = 0x20 }, 3},
		"another flow":     {false, func(p [][]byte) { p[1] = offloadtest.WholePacket(t, true, false, payload[:1000], nil) }, 3},
		"an end of connection": {false, func(p [][]byte) {
			p[1] = offloadtest.WholePacket(t, false, false, payload[:1000], func(c *layers.TCP) { c.FIN = true })
		}, 3},
		"an empty segment":      {false, func(p [][]byte) { p[1] = offloadtest.WholePacket(t, false, false, nil, nil) }, 3},
		"UDP in two lengths":    {true, func(p [][]byte) { p[1] = offloadtest.WholePacket(t, false, true, payload[:900], nil) }, 2},
		"UDP that grows longer": {true, func(p [][]byte) { p[1] = offloadtest.WholePacket(t, false, true, payload[:1100], nil) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			p := base(c.udp)
			c.spoil(p)
			var want []string
			for _, b := range p {
				want = append(want, fmt.Sprintf("%x", b))
			}
			frames := joined(&offload.Joiner{UDP: true}, p)
			if len(frames) != c.frames {
				t.Errorf("%d frames instead of %d", len(frames), c.frames)
			}
			if c.frames == len(p) {
				for i := range frames {
					if got := fmt.Sprintf("%x", frames[i][offload.HeaderBytes:]); got != want[i] {
						t.Errorf("frame %d was changed:\n%s\n%s", i, got, want[i])
					}
				}
			}
		})
	}
}

// TestExact keeps packets apart that could be joined, but would be cut to others.
func TestExact(t *testing.T) {
	t.Parallel()
	whole := offloadtest.WholePacket(t, false, false, bytes.Repeat([]byte("x"), 3000), nil)
	for name, c := range map[string]struct {
		spoil  func(p [][]byte)
		frames int
	}{
		"nothing":                        {func([][]byte) {}, 1},
		"the same identification":        {func(p [][]byte) { copy(p[1][4:], p[0][4:6]); copy(p[1][10:], p[0][10:12]) }, 3},
		"the first's checksum of IPv4":   {func(p [][]byte) { p[0][10] ^= 1 }, 2},
		"the second's checksum of IPv4":  {func(p [][]byte) { p[1][10] ^= 1 }, 3},
		"something behind the packet":    {func(p [][]byte) { p[2] = append(p[2], 0, 0) }, 2},
		"a length that is less, in IPv4": {func(p [][]byte) { p[1][3]--; p[1][11]++ }, 3},
	} {
		p := offloadtest.Cut(t, bytes.Clone(whole), offloadtest.VirtioFor(whole, false, 1000))
		c.spoil(p)
		frames := joined(&offload.Joiner{UDP: true, Exact: true}, p)
		if len(frames) != c.frames {
			t.Errorf("%s: %d frames instead of %d", name, len(frames), c.frames)
		}
		if !slices.EqualFunc(p, parted(t, 0, frames), bytes.Equal) {
			t.Errorf("%s: cut again, the packets are others", name)
		}
	}
}

// TestNothingIsAllocated joins and cuts.
func TestNothingIsAllocated(t *testing.T) {
	whole := offloadtest.WholePacket(t, false, false, make([]byte, 30000), nil)
	pieces := offloadtest.Cut(t, bytes.Clone(whole), offloadtest.VirtioFor(whole, false, 1000))
	j := offload.Joiner{UDP: true, Exact: true, Write: func([]unix.Iovec) {}}
	buffer := make([]byte, 2000)
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range pieces {
			j.Add(p, false)
		}
		j.Flush()
		var s offload.Segmenter
		s.Start(whole, offloadtest.VirtioFor(whole, false, 1000))
		for n := s.Size(); n > 0; n = s.Size() {
			s.Write(buffer[:n])
		}
	}); n > 0 {
		t.Errorf("%v allocations for 30 packets", n)
	}
}

// FuzzJoin gives anything to an exact joiner: cut again, it must be what it was.
func FuzzJoin(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			p := offloadtest.WholePacket(f, v6, udp, make([]byte, 50), nil)
			q := offloadtest.Cut(f, bytes.Clone(p), offloadtest.VirtioFor(p, udp, 20))
			f.Add(q[0], q[1], q[2], false)
			f.Add(q[0], q[1], q[2], true)
			f.Add(q[0], q[0], q[2], false)
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte, link bool) {
		front := ethernet[:0]
		if link {
			front = ethernet
		}
		var packets [][]byte
		for _, p := range [][]byte{a, b, c} {
			if len(p) > 0 {
				packets = append(packets, slices.Concat(front, p))
			}
		}
		frames := joined(&offload.Joiner{UDP: true, LinkBytes: len(front), Exact: true}, packets)
		if !slices.EqualFunc(packets, parted(t, len(front), frames), bytes.Equal) {
			t.Fatalf("%x became %x", packets, parted(t, len(front), frames))
		}
	})
}

// FuzzCut gives anything to the segmenter: nothing may panic, and every piece is short.
func FuzzCut(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			p := offloadtest.WholePacket(f, v6, udp, make([]byte, 50), nil)
			f.Add([]byte{1, 5, 0, 0, 7, 0, 40, 0, 6, 0}, p)
			f.Add([]byte{1, 1, 0, 0, 7, 0, 20, 0, 16, 0}, p)
		}
	}
	f.Fuzz(func(t *testing.T, header, packet []byte) {
		if len(header) < offload.HeaderBytes || len(packet) > 0xffff {
			return
		}
		h := offload.Parse(header)
		var s offload.Segmenter
		if s.Start(packet, h) {
			for n := s.Size(); n > 0; n = s.Size() {
				if n > len(packet) {
					t.Fatalf("a piece of %d octets out of %d", n, len(packet))
				}
				s.Write(make([]byte, n))
			}
		}
		offload.CompleteChecksum(packet, h)
	})
}
