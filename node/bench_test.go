package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/suite"
)

// benchBatchPackets is how many packets one side of a comparison handles before
// the other has its turn.
const benchBatchPackets = 256

// compare runs two ways of handling a batch by turns, so that both see the same
// machine, and reports packets per second of the first, and how many times as
// long it takes as the second.
func compare(b *testing.B, ours, theirs func(packet int)) {
	b.Helper()
	var our, their time.Duration
	batches := 0
	for b.Loop() {
		begin := time.Now()
		for i := range benchBatchPackets {
			ours(i)
		}
		middle := time.Now()
		for i := range benchBatchPackets {
			theirs(i)
		}
		our, their = our+middle.Sub(begin), their+time.Since(middle)
		batches++
	}
	b.ReportMetric(float64(batches*benchBatchPackets)/our.Seconds(), "packets/s")
	b.ReportMetric(float64(our)/float64(their), "ratio")
}

// benchBytes are the inner packets' lengths.
var benchBytes = []struct {
	name  string
	bytes int
}{{"64", 64}, {"512", 512}, {"1400", 1400}}

// bareSA is the peer's view of the keys that tunnel installs, without a node.
func bareSA(b *testing.B) esp.SAConfig {
	sa := keyed(b, 0, 1)
	encr, _ := sa.Proposal.Find(suite.TransformENCR)
	return esp.SAConfig{SPI: sa.SPIOut, Encr: encr, EncrKey: sa.Out.Encr, ReplayWindowPackets: 64}
}

// BenchmarkForward forwards against a mere copy of the packet.
func BenchmarkForward(b *testing.B) {
	for _, c := range []struct{ name, src, dst string }{
		{"ipv4", "10.1.0.5:1000", "192.0.2.9:2000"},
		{"ipv6", "[2001:db8:1::5]:1000", "[2001:db8:9::1]:2000"},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := router(b)
			sent := udp(b, c.src, c.dst, make([]byte, 512), ttl(255))
			buffer := make([]byte, len(sent))
			b.ReportAllocs()
			compare(b, func(int) {
				copy(buffer, sent)
				if out := n.Handle(0, PacketIn{Interface: 0, Bytes: buffer}); len(out) != 1 {
					b.Fatal(reasons(out))
				}
			}, func(int) {
				copy(buffer, sent)
			})
		})
	}
}

// BenchmarkProtect takes packets from the LAN to the WAN through a tunnel, against
// sealing alone.
func BenchmarkProtect(b *testing.B) {
	for _, c := range benchBytes {
		b.Run(c.name, func(b *testing.B) {
			n := tunnel(b, nil)[0]
			sent := udp(b, "10.1.0.9:1000", "10.2.0.9:2000", make([]byte, c.bytes-28))
			buffer := make([]byte, len(sent))
			out, err := esp.NewOutbound(bareSA(b))
			if err != nil {
				b.Fatal(err)
			}
			bare := make([]byte, 0, len(sent)+out.Overhead(len(sent)))
			b.ReportAllocs()
			compare(b, func(int) {
				copy(buffer, sent)
				if out := n.Handle(0, PacketIn{Interface: 0, Bytes: buffer}); len(out) != 2 {
					b.Fatal(reasons(out))
				}
			}, func(int) {
				sequence, err := out.Reserve(1)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := out.Seal(bare, sequence, sent, esp.NextHeaderIPv4); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkUnprotect takes packets from the WAN to the LAN out of a tunnel, against
// opening alone. Both open the same packets, sealed before each batch.
func BenchmarkUnprotect(b *testing.B) {
	for _, c := range benchBytes {
		b.Run(c.name, func(b *testing.B) {
			both := tunnel(b, nil)
			inner := udp(b, "10.1.0.9:1000", "10.2.0.9:2000", make([]byte, c.bytes-28))
			in, err := esp.NewInbound(bareSA(b))
			if err != nil {
				b.Fatal(err)
			}
			ring, bare := make([][]byte, benchBatchPackets), make([][]byte, benchBatchPackets)
			seal := func() {
				for i := range ring {
					ring[i] = packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(inner)}))[0].Bytes
					bare[i] = bytes.Clone(ring[i][20:])
				}
			}
			var our, their time.Duration
			batches := 0
			for b.Loop() {
				b.StopTimer()
				seal()
				b.StartTimer()
				begin := time.Now()
				for _, p := range ring {
					if out := both[1].Handle(0, PacketIn{Interface: 1, Bytes: p}); len(out) != 2 {
						b.Fatal(reasons(out))
					}
				}
				middle := time.Now()
				for _, p := range bare {
					if _, _, _, err := in.Open(p); err != nil {
						b.Fatal(err)
					}
				}
				our, their = our+middle.Sub(begin), their+time.Since(middle)
				batches++
			}
			b.ReportMetric(float64(batches*benchBatchPackets)/our.Seconds(), "packets/s")
			b.ReportMetric(float64(our)/float64(their), "ratio")
		})
	}
}

// TestAllocationsPerPacket holds the packet paths to what they need: nothing, but
// for the outer packet that sealing makes.
func TestAllocationsPerPacket(t *testing.T) {
	both := tunnel(t, nil)
	inner := udp(t, "10.1.0.9:1000", "10.2.0.9:2000", make([]byte, 512), ttl(255))
	buffer := make([]byte, len(inner))
	const runs = 100
	var sealed [][]byte
	for range runs + 2 {
		sealed = append(sealed, packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(inner)}))[0].Bytes)
	}
	r := router(t)
	for _, c := range []struct {
		name string
		do   func()
		want float64
	}{
		{"forward", func() {
			copy(buffer, inner)
			r.Handle(0, PacketIn{Interface: 0, Bytes: buffer})
		}, 0},
		{"protect", func() {
			copy(buffer, inner)
			both[0].Handle(0, PacketIn{Interface: 0, Bytes: buffer})
		}, 1},
		{"unprotect", func() {
			both[1].Handle(0, PacketIn{Interface: 1, Bytes: sealed[0]})
			sealed = sealed[1:]
		}, 0},
	} {
		c.do()
		if got := testing.AllocsPerRun(runs, c.do); got != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
}
