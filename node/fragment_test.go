package node

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"pgregory.net/rapid"
)

// pattern is data whose every piece is told from every other.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31
	}
	return b
}

// ends are two hosts on one link.
func ends(t testing.TB, mtu int) (a, b *Node) {
	host := func(name, v4, v6 string) *Node {
		return newNode(t, Config{Name: name, Listen: []uint16{7},
			Interfaces: []Interface{{Name: "a", Up: true, MTUBytes: mtu, Addresses: []netip.Prefix{prefix(v4), prefix(v6)}}}})
	}
	return host("a", "10.1.0.1/24", "2001:db8:1::1/64"), host("b", "10.1.0.2/24", "2001:db8:1::2/64")
}

func TestFragmentsReassemble(t *testing.T) {
	for _, c := range []struct {
		name   string
		dst    string
		mtu    int
		size   int
		pieces int
	}{
		{"IPv4, last piece short", "10.1.0.2:7", 1280, 3000, 3},
		{"IPv4, pieces full", "10.1.0.2:7", 1276, 2*1256 - 8, 2},
		{"IPv4, one byte more", "10.1.0.2:7", 1276, 2*1256 - 7, 3},
		{"IPv4, the longest", "10.1.0.2:7", 1500, 65507, 45},
		{"IPv6", "[2001:db8:1::2]:7", 1280, 3000, 3},
		{"IPv6, pieces full", "[2001:db8:1::2]:7", 1280, 2*1232 - 8, 2},
		{"IPv6, the longest", "[2001:db8:1::2]:7", 1500, 65487, 46},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := ends(t, max(c.mtu, 1280))
			a.interfaces[0].mtu = c.mtu
			sent := packets(a.Handle(0, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port(c.dst), Payload: pattern(c.size), MayFragment: true}))
			if len(sent) != c.pieces {
				t.Errorf("%d pieces, want %d", len(sent), c.pieces)
			}
			for _, order := range [][]int{{0, 1}, {1, 0}} {
				var got []Deliver
				pieces := slices.Clone(sent)
				if order[0] == 1 {
					slices.Reverse(pieces)
				}
				for _, p := range pieces {
					if len(p.Bytes) > c.mtu {
						t.Fatalf("a piece of %d bytes on a link of %d", len(p.Bytes), c.mtu)
					}
					got = append(got, delivers(b.Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(p.Bytes)}))...)
				}
				if len(got) != 1 || !bytes.Equal(got[0].Payload, pattern(c.size)) {
					t.Errorf("order %v: delivered %d datagrams", order, len(got))
				}
				if len(b.reassemblies) != 0 {
					t.Errorf("%d packets are still in the making", len(b.reassemblies))
				}
			}
		})
	}
}

func TestPiecesOfTwoPacketsDoNotMix(t *testing.T) {
	for _, dst := range []string{"10.1.0.2:7", "[2001:db8:1::2]:7"} {
		a, b := ends(t, 1500)
		in := DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 9), Dst: port(dst), Payload: pattern(2000), MayFragment: true}
		first, second := packets(a.Handle(0, in)), packets(a.Handle(0, in))
		if got := delivers(b.Handle(0, PacketIn{Interface: 0, Bytes: first[0].Bytes})); len(got) != 0 {
			t.Errorf("%s: delivered from one piece", dst)
		}
		if got := delivers(b.Handle(0, PacketIn{Interface: 0, Bytes: second[1].Bytes})); len(got) != 0 {
			t.Errorf("%s: delivered from pieces of two packets", dst)
		}
		if got := delivers(b.Handle(0, PacketIn{Interface: 0, Bytes: first[1].Bytes})); len(got) != 1 {
			t.Errorf("%s: the first packet was not delivered", dst)
		}
	}
}

func TestReassembly(t *testing.T) {
	whole := udp(t, "10.1.0.1:9", "10.1.0.2:7", pattern(100))[20:]
	piece := func(from, to int, more bool) []byte {
		return build(t, ip("10.1.0.1", "10.1.0.2", layers.IPProtocolUDP, fragmentOf(5, from, more)), &rawLayer{whole[from:to]})
	}
	for _, c := range []struct {
		name     string
		pieces   [][]byte
		delivers int
		reasons  []DropReason
	}{
		{"in order", [][]byte{piece(0, 48, true), piece(48, 108, false)}, 1, nil},
		{"a piece repeated", [][]byte{piece(0, 48, true), piece(0, 48, true), piece(48, 108, false)}, 1, nil},
		{"a hole", [][]byte{piece(0, 40, true), piece(48, 108, false)}, 0, nil},
		{"an overlap", [][]byte{piece(0, 48, true), piece(40, 108, false)}, 0, []DropReason{DropFragmentOverlap}},
		{"an overlap from above", [][]byte{piece(48, 108, false), piece(0, 56, true)}, 0, []DropReason{DropFragmentOverlap}},
		{"another length at the same place", [][]byte{piece(0, 48, true), piece(0, 40, true)}, 0, []DropReason{DropFragmentOverlap}},
		{"two ends", [][]byte{piece(48, 108, false), piece(48, 96, false)}, 0, []DropReason{DropFragmentOverlap}},
		{"behind the end", [][]byte{piece(48, 96, false), piece(96, 104, true)}, 0, []DropReason{DropFragmentOverlap}},
		{"a middle piece of odd length", [][]byte{piece(0, 47, true)}, 0, []DropReason{DropHeaderInvalid}},
		{"behind the longest packet", [][]byte{build(t, ip("10.1.0.1", "10.1.0.2", layers.IPProtocolUDP, fragmentOf(5, 65528, false)), &rawLayer{make([]byte, 8)})},
			0, []DropReason{DropHeaderInvalid}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, b := ends(t, 1500)
			count := 0
			var why []DropReason
			for _, p := range c.pieces {
				out := b.Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(p)})
				count += len(delivers(out))
				why = append(why, reasons(out)...)
			}
			if count != c.delivers {
				t.Errorf("delivered %d, want %d", count, c.delivers)
			}
			if diff := cmp.Diff(c.reasons, why); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLongestIPv6Packet puts a piece behind what a length field can say.
func TestLongestIPv6Packet(t *testing.T) {
	_, b := ends(t, 1500)
	for _, c := range []struct {
		offset uint16
		want   []DropReason
	}{{65528, []DropReason{DropHeaderInvalid}}, {65512, nil}} {
		piece := build(t, ip("2001:db8:1::1", "2001:db8:1::2", layers.IPProtocolIPv6Fragment),
			&rawLayer{[]byte{17, 0, byte(c.offset >> 8), byte(c.offset), 0, 0, 0, 9}}, &rawLayer{make([]byte, 16)})
		if diff := cmp.Diff(c.want, reasons(b.Handle(0, PacketIn{Interface: 0, Bytes: piece}))); diff != "" {
			t.Errorf("at %d (-want +got):\n%s", c.offset, diff)
		}
	}
}

// TestPiecesInClearDoNotMeetTheTunnels sends half a packet in clear and half by the
// tunnel: together they would pass the policy, which each of them does not.
func TestPiecesInClearDoNotMeetTheTunnels(t *testing.T) {
	whole := udp(t, "10.1.0.9:9", "10.2.0.1:7", pattern(100))[20:]
	first := build(t, ip("10.1.0.9", "10.2.0.1", layers.IPProtocolUDP, fragmentOf(5, 0, true)), &rawLayer{whole[:48]})
	last := build(t, ip("10.1.0.9", "10.2.0.1", layers.IPProtocolUDP, fragmentOf(5, 48, false)), &rawLayer{whole[48:]})
	for _, c := range []struct {
		name           string
		clear, tunnels [][]byte
		want           int
	}{
		{"both by the tunnel", nil, [][]byte{first, last}, 1},
		{"the first in clear", [][]byte{first}, [][]byte{last}, 0},
		{"the last in clear", [][]byte{last}, [][]byte{first}, 0},
		{"both in clear", [][]byte{first, last}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			both := tunnel(t, nil, func(cfg *Config) { cfg.Listen = []uint16{7} })
			got := 0
			for _, b := range c.clear {
				got += len(delivers(both[1].Handle(0, PacketIn{Interface: 1, Bytes: bytes.Clone(b)})))
			}
			for _, b := range c.tunnels {
				for _, p := range packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(b)})) {
					got += len(delivers(both[1].Handle(0, PacketIn{Interface: 1, Bytes: p.Bytes})))
				}
			}
			if got != c.want {
				t.Errorf("delivered %d, want %d", got, c.want)
			}
		})
	}
}

func TestReassemblyTimesOut(t *testing.T) {
	_, b := ends(t, 1500)
	first := build(t, ip("10.1.0.1", "10.1.0.2", layers.IPProtocolUDP, fragmentOf(5, 0, true)), &rawLayer{make([]byte, 48)})
	b.Handle(ms, PacketIn{Interface: 0, Bytes: first})
	at, why, ok := b.Deadline()
	if !ok || at != ms+reassemblyTimeoutMs*ms || why != "reassembly" {
		t.Fatalf("deadline %v %q %v", at, why, ok)
	}
	if got := reasons(b.Handle(at-1, Timeout{})); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	out := b.Handle(at, Timeout{})
	if diff := cmp.Diff([]DropReason{DropFragmentTimeout}, reasons(out)); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if sent := packets(out); len(sent) != 1 || decode(t, sent[0].Bytes).Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4).TypeCode != layers.CreateICMPv4TypeCode(11, 1) {
		t.Errorf("reported %v, want a reassembly timeout", sent)
	}
	if _, _, ok := b.Deadline(); ok {
		t.Error("still waits")
	}
}

func TestReassemblyIsBounded(t *testing.T) {
	_, b := ends(t, 1500)
	for i := range reassembliesMax + 1 {
		out := b.Handle(0, PacketIn{Interface: 0,
			Bytes: build(t, ip("10.1.0.1", "10.1.0.2", layers.IPProtocolUDP, fragmentOf(uint16(i), 8, true)), &rawLayer{make([]byte, 48)})})
		var want []DropReason
		if i == reassembliesMax {
			want = []DropReason{DropFragmentTableFull}
		}
		if diff := cmp.Diff(want, reasons(out)); diff != "" {
			t.Fatalf("packet %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestReassemblyModel sends pieces of one packet in any order, with repetitions,
// against a model that counts the pieces seen.
func TestReassemblyModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(0, 4000).Draw(rt, "payload bytes")
		mtu := rapid.IntRange(68, 1500).Draw(rt, "mtu")
		a, b := ends(t, 1500)
		a.interfaces[0].mtu = mtu
		sent := packets(a.Handle(0, DatagramOut{Src: port("10.1.0.1:9"), Dst: port("10.1.0.2:7"), Payload: pattern(size), MayFragment: true}))
		seen := make(map[int]bool)
		for step := 0; len(seen) < len(sent); step++ {
			i := rapid.IntRange(0, len(sent)-1).Draw(rt, "piece")
			if step > 4*len(sent) {
				i = step % len(sent)
			}
			seen[i] = true
			got := delivers(b.Handle(0, PacketIn{Interface: 0, Bytes: bytes.Clone(sent[i].Bytes)}))
			complete := len(seen) == len(sent) && len(sent) <= fragmentsPerPacketMax
			if complete != (len(got) == 1) {
				rt.Fatalf("%d of %d pieces seen: delivered %d", len(seen), len(sent), len(got))
			}
			if complete && !bytes.Equal(got[0].Payload, pattern(size)) {
				rt.Fatal("the datagram has changed")
			}
		}
	})
}

func TestOptionsOfLaterFragments(t *testing.T) {
	// Timestamp (68) is for the first fragment alone, router alert (148) for all.
	n := router(t, func(c *Config) { c.Interfaces[1].MTUBytes = 1280 })
	sent := build(t, &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: addr("10.1.0.5").AsSlice(), DstIP: addr("192.0.2.9").AsSlice(),
		Options: []layers.IPv4Option{
			{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}},
			{OptionType: 68, OptionLength: 8, OptionData: []byte{5, 0, 0, 0, 0, 0}},
		}}, &rawLayer{pattern(1400)})
	got := packets(n.Handle(0, PacketIn{Interface: 0, Bytes: sent}))
	if len(got) != 2 {
		t.Fatalf("%d pieces, want 2", len(got))
	}
	for i, want := range [][]byte{{148, 68}, {148}} {
		var kinds []byte
		for _, o := range decode(t, got[i].Bytes).NetworkLayer().(*layers.IPv4).Options {
			kinds = append(kinds, o.OptionType)
		}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("options of piece %d (-want +got):\n%s", i, diff)
		}
	}
}
