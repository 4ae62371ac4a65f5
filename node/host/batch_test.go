//go:build linux

package host

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/ikelab/ikelab/node/host/offload/offloadtest"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestGroups sorts batches at random and holds what must be true of groups: equal
// lengths but for the last, within the kernel's limits, each packet in one, and the
// packets of a flow in their order.
func TestGroups(t *testing.T) {
	t.Parallel()
	associations := []*association{{encap: true}, {encap: true}, {}}
	rapid.Check(t, func(r *rapid.T) {
		var g grouper
		var packets []outPacket
		of := map[uint32]*association{}
		for i := range rapid.IntRange(1, 300).Draw(r, "packets") {
			flow := rapid.Uint32Range(0, 5).Draw(r, "flow")
			if of[flow] == nil {
				of[flow] = rapid.SampledFrom(associations).Draw(r, "association")
			}
			packets = append(packets, outPacket{
				size: rapid.SampledFrom([]int{60, 1000, 1400, 9000}).Draw(r, "size"), flow: flow, next: -1,
				trafficClass: rapid.SampledFrom([]uint8{0, 0, 0, 0x28}).Draw(r, "class"),
			})
			g.add(of[flow], packets, i)
		}
		seen := 0
		latest := map[uint32]int{}
		for _, d := range g.groups {
			count, inner := 0, 0
			for i := d.first; i >= 0; i = packets[i].next {
				p := &packets[i]
				if of[p.flow] != d.association || p.trafficClass != d.trafficClass {
					r.Fatalf("packet %d is in a group of others", i)
				}
				if before, ok := latest[p.flow]; ok && before > i {
					r.Fatalf("packet %d of flow %d behind %d", i, p.flow, before)
				}
				latest[p.flow] = i
				if d.association.encap && (p.size > d.size || p.size < d.size && p.next >= 0) {
					r.Fatalf("%d bytes in a group of %d", p.size, d.size)
				}
				count++
				inner += p.size + 36
			}
			if count != d.count || count > segmentsMax || d.association.encap && inner > 65507 {
				r.Fatalf("a group of %d packets and %d bytes, counted %d", count, inner, d.count)
			}
			seen += count
		}
		if seen != len(packets) {
			r.Fatalf("%d packets of %d", seen, len(packets))
		}
	})
}

// TestGroupsAreLarge wants two flows in turns to make two groups, not one per packet.
func TestGroupsAreLarge(t *testing.T) {
	t.Parallel()
	var g grouper
	var packets []outPacket
	a := &association{encap: true}
	for i := range 80 {
		packets = append(packets, outPacket{size: []int{1400, 60}[i%2], flow: uint32(i % 2), next: -1})
		g.add(a, packets, i)
	}
	if len(g.groups) != 2 {
		t.Errorf("%d groups", len(g.groups))
	}
}

// TestMergeECN is the table of RFC 6040 §4.2, with the inner mark in rows and the outer
// in columns; -1 drops.
func TestMergeECN(t *testing.T) {
	t.Parallel()
	want := map[uint8][4]int{ // outer: Not-ECT, ECT(1), ECT(0), CE
		ecnNotECT:    {0, 0, 0, -1},
		ecnECT1:      {1, 1, 1, 3},
		ecnECT0:      {2, 1, 2, 3},
		ecnCongested: {3, 3, 3, 3},
	}
	for inner, row := range want {
		for outer, mark := range row {
			for _, v6 := range []bool{false, true} {
				packet := offloadtest.WholePacket(t, v6, true, []byte("x"), nil)
				setTrafficClass(packet, 0x28|inner)
				w := inWorker{class: uint8(outer)}
				if !readHeader(packet, &w.view) {
					t.Fatal("the header is refused")
				}
				reason := w.mergeECN(packet)
				if mark < 0 {
					if reason != node.DropCongested {
						t.Errorf("inner %d, outer %d: %q", inner, outer, reason)
					}
					continue
				}
				var v headerView
				readHeader(packet, &v)
				if reason != "" || v.trafficClass != 0x28|uint8(mark) {
					t.Errorf("inner %d, outer %d, IPv6 %v: class %#x, %q", inner, outer, v6, v.trafficClass, reason)
				}
				offloadtest.Check(t, packet)
			}
		}
	}
}

// loop is a host whose association ends at itself over the loopback device, without
// a kernel's TUN device behind it: what is sent arrives at its own socket.
type loop struct {
	h   *Host
	out *outWorker
	in  *inWorker
}

func newLoop(t testing.TB, encap bool) *loop {
	t.Helper()
	keys := ike.ChildKeys{Encr: bytes.Repeat([]byte{7}, 36), IV: make([]byte, 32)}
	p, err := suite.ParseProposal(suite.ProtocolESP, "aes256gcm16")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { _ = file.Close() })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(addr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	raw, err := file.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// The worker takes it for port 4500's.
	s := &socket{local: netip.AddrPortFrom(at.Addr(), portNATT), file: file, raw: raw}
	sa := &ike.ChildSA{Connection: "c", Child: "n", Local: at, Remote: at, Encap: encap, SPIIn: 0x1000, SPIOut: 0x1000, Proposal: p, In: keys, Out: keys}
	a := &association{connection: "c", child: "n", ordinal: 1, spiIn: sa.SPIIn, spiOut: sa.SPIOut, encap: true, sends: true, receives: true,
		policy: esp.Policy{Name: "any", Action: esp.ActionProtect, Local: []esp.Selector{esp.AnySelector()}, Remote: []esp.Selector{esp.AnySelector()}}}
	if a.in.sa, a.out.sa, a.ivBytes, err = node.NewESP(sa); err != nil {
		t.Fatal(err)
	}
	way := &path{local: at, remote: at, via: s, to: newSockaddr(at, true), mtu: 65535}
	way.segments.Store(encap)
	a.path.Store(way)
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	l := &loop{h: &Host{cfg: Config{Clock: func() time.Duration { return 1 }}, tun: &tunDevice{file: null, udp: true}}}
	if l.h.tun.raw, err = null.SyscallConn(); err != nil {
		t.Fatal(err)
	}
	a.seen.Store(-1)
	l.h.snap.Store(&snapshot{out: []entry{{match: a.policy, association: a}}, inbound: map[uint32]*association{a.spiIn: a}})
	l.h.sas.all = []*association{a}
	l.out, l.in = newOutWorker(l.h), newInWorker(l.h, s)
	return l
}

// batch sends a frame round and answers how many packets came out at the other end.
func (l *loop) batch(t testing.TB, frame []byte) uint64 {
	before := l.h.sas.all[0].counters.packetsIn.Load()
	l.out.begin()
	l.out.take(frame)
	l.out.flush()
	l.out.leave()
	for {
		if l.in.errno = 0; !l.in.tryReceive() {
			return l.h.sas.all[0].counters.packetsIn.Load() - before
		}
		if l.in.errno != 0 {
			t.Fatal(l.in.errno)
		}
		l.in.handle()
		l.in.leave()
	}
}

// frameOf is a frame of the TUN device with a TCP packet of n payload bytes, to be cut
// at 1386.
func frameOf(t testing.TB, n int) []byte {
	packet := offloadtest.WholePacket(t, false, false, make([]byte, n), nil)
	frame := make([]byte, offload.HeaderBytes, offload.HeaderBytes+len(packet))
	frame[0], frame[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	frame[4], frame[5] = 1386&0xff, 1386>>8 // little endian, as all that run this test
	frame[6], frame[8] = 20, offloadtest.TCPSumAt
	return append(frame, packet...)
}

// TestWithoutSegments sends packet by packet, for good, where the kernel takes no
// segments: here because the socket wants no checksums.
func TestWithoutSegments(t *testing.T) {
	t.Parallel()
	l := newLoop(t, true)
	if err := unix.SetsockoptInt(int(l.in.s.file.Fd()), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	frame := frameOf(t, 40*1386)
	for range 2 {
		if got := l.batch(t, bytes.Clone(frame)); got != 40 {
			t.Errorf("%d packets of 40 came through", got)
		}
	}
	if l.h.sas.all[0].path.Load().segments.Load() {
		t.Error("the path still takes segments")
	}
}

// TestHotPathAllocatesNothing sends batches through a tunnel and wants no allocation
// but what a garbage collection in between makes necessary anew.
func TestHotPathAllocatesNothing(t *testing.T) {
	for _, segments := range []bool{true, false} {
		t.Run(fmt.Sprintf("segments %v", segments), func(t *testing.T) {
			l := newLoop(t, segments)
			frame := frameOf(t, 40*1386)
			if got := l.batch(t, bytes.Clone(frame)); got != 40 {
				t.Fatalf("%d packets of 40 came through", got)
			}
			copied := make([]byte, len(frame))
			allocations := testing.AllocsPerRun(100, func() {
				copy(copied, frame)
				l.batch(t, copied)
			})
			if allocations > allocationsMax {
				t.Errorf("%v allocations for a batch of 40 packets", allocations)
			}
		})
	}
}

// BenchmarkBatch sends batches of 40 packets through a tunnel over loopback.
func BenchmarkBatch(b *testing.B) {
	l := newLoop(b, true)
	frame := frameOf(b, 40*1386)
	copied := make([]byte, len(frame))
	b.ReportAllocs()
	b.SetBytes(40 * 1386)
	for b.Loop() {
		copy(copied, frame)
		if l.batch(b, copied) != 40 {
			b.Fatal("packets are missing")
		}
	}
}
