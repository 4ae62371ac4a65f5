package node

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
)

// tooBig makes the report of a router on the way about a quoted packet of the first
// gateway.
func tooBig(t testing.TB, v6 bool, mtu uint16, quote []byte) []byte {
	if v6 {
		return tooBigTo(t, "2001:db8:77::1", "2001:db8:ff::1", mtu, quote)
	}
	return tooBigTo(t, "203.0.113.1", "198.51.100.1", mtu, quote)
}

func tooBigTo(t testing.TB, from, to string, mtu uint16, quote []byte) []byte {
	if addr(to).Is4() {
		return build(t, ip(from, to, layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu}, &rawLayer{quote})
	}
	network := ip(from, to, layers.IPProtocolICMPv6)
	return build(t, network, icmp6(t, network, 2, 0), &rawLayer{append([]byte{0, 0, byte(mtu >> 8), byte(mtu)}, quote...)})
}

// TestPathMTUReported lets a router on the way report a narrower link, and others report
// what is not so: an estimate falls by what shows the SPI alone, and never rises.
func TestPathMTUReported(t *testing.T) {
	for i, outer := range outers {
		t.Run(outer.name, func(t *testing.T) {
			v6, encap := i >= 2, i%2 == 1
			header, least := 20, pathMTU4Min
			if v6 {
				header, least = 40, pathMTU6Min
			}
			a := tunnel(t, outer.sa)[0]
			probe := packets(a.Handle(0, PacketIn{Interface: 0, Bytes: sized(t, false, 1400, df)}))[0].Bytes
			spiAt := header
			if encap {
				spiAt += 8
			}
			changed := func(at int, v byte) []byte {
				b := slices.Clone(probe[:548])
				b[at] ^= v
				return b
			}
			short := 0 // of a quote of eight octets, ESP shows its SPI and UDP does not
			if !encap {
				short = 1420
			}
			for _, c := range []struct {
				name  string
				at    time.Duration
				mtu   uint16
				quote []byte
				want  int // 0 is nothing known
			}{
				{"an SPI of nobody", 0, uint16(least), changed(spiAt, 1), 0},
				{"another peer", 0, 1400, changed(header-1, 0x40), 0},
				{"a quote without the SPI", 0, 1400, probe[:spiAt], 0},
				{"more than the quoted packet has", 0, 9000, probe[:548], 0},
				{"eight octets behind the header", 0, 1420, probe[:header+8], short},
				{"a long quote", ms, 1400, probe[:548], 1400},
				{"more than before", 2 * ms, 1450, probe[:548], 1400},
				{"much more than before", 2 * ms, 9000, probe[:548], 1400},
				{"another port or a bare one", 3 * ms, 1300, otherForm(t, probe, v6, encap), 1400},
				{"less", 4 * ms, 1290, probe[:548], 1290},
				{"an SPI of nobody again", 5 * ms, 1285, changed(spiAt+3, 1), 1290},
			} {
				out := a.Handle(c.at, PacketIn{Interface: 1, Bytes: tooBig(t, v6, c.mtu, c.quote)})
				if got := a.Associations()[0].PathMTUBytes; got != c.want || len(delivers(out)) != 0 {
					t.Errorf("%s: path MTU %d, want %d; %v", c.name, got, c.want, reasons(out))
				}
				if c.want == 0 {
					if !slices.Equal(reasons(out), []DropReason{DropICMPUnproven}) {
						t.Errorf("%s: %v, want icmp-unproven", c.name, reasons(out))
					}
					continue
				}
				if got := reasons(a.Handle(c.at, PacketIn{Interface: 0, Bytes: sized(t, false, c.want-20, df)})); !slices.Equal(got, []DropReason{DropTooBig}) {
					t.Errorf("%s: %v, want too-big", c.name, got)
				}
				cut := packets(a.Handle(c.at, PacketIn{Interface: 0, Bytes: sized(t, false, c.want-20)}))
				if len(cut) != 2 || len(cut[0].Bytes) > c.want || len(cut[1].Bytes) > c.want {
					t.Errorf("%s: without DF %d packets, want 2 of at most %d bytes", c.name, len(cut), c.want)
				}
			}

			// A new association with the same peer knows it too.
			again := keyed(t, 0, 2, outer.sa)
			if err := a.install(again); err != nil {
				t.Fatal(err)
			}
			if got := a.Associations()[1].PathMTUBytes; got != 1290 {
				t.Errorf("a second association with the peer begins with %d", got)
			}

			// Less than hosts must take: IPv6 discards that, IPv4 lets routers cut.
			a.Handle(6*ms, PacketIn{Interface: 1, Bytes: tooBig(t, v6, 300, probe[:548])})
			small := packets(a.Handle(6*ms, PacketIn{Interface: 0, Bytes: sized(t, false, 200, df)}))[0]
			var q packet
			if reason := parse(small.Bytes, &q); reason != "" {
				t.Fatal(reason)
			}
			want, wantDF := 1290, true
			if !v6 {
				want, wantDF = least, false
			}
			if got := a.Associations()[0].PathMTUBytes; got != want || q.dontFragment != wantDF {
				t.Errorf("after a report of 300 bytes: path MTU %d and DF %v, want %d and %v", got, q.dontFragment, want, wantDF)
			}

			a.Handle(11*60_000*ms, Timeout{})
			if got := a.Associations()[0].PathMTUBytes; got != 0 {
				t.Errorf("eleven minutes later the path MTU still is %d", got)
			}
			if got := packets(a.Handle(11*60_000*ms, PacketIn{Interface: 0, Bytes: sized(t, false, 1400, df)})); len(got) != 1 {
				t.Errorf("eleven minutes later the whole length is not tried: %d packets", len(got))
			}
			a.Handle(12*60_000*ms, PacketIn{Interface: 1, Bytes: tooBig(t, v6, 1400, probe[:548])})
			a.move(ike.MoveChild{SPIIn: 0x1001, SPIOut: 0x2001, Local: a.associations.all[0].local, Remote: a.associations.all[0].remote})
			if got := a.Associations()[0].PathMTUBytes; got != 0 {
				t.Errorf("the path MTU %d outlives the path", got)
			}
		})
	}
}

// otherForm is the quote of an ESP packet in the form that its association does not use:
// bare for one in UDP, and from another port the other way round.
func otherForm(t testing.TB, probe []byte, v6, encap bool) []byte {
	src, dst, at := "198.51.100.1", "198.51.100.2", 20
	if v6 {
		src, dst, at = "2001:db8:ff::1", "2001:db8:ff::2", 40
	}
	if encap {
		return build(t, ip(src, dst, layers.IPProtocolESP), &rawLayer{probe[at+8:]})[:548]
	}
	return udp(t, netip.AddrPortFrom(addr(src), 4500).String(), netip.AddrPortFrom(addr(dst), 4500).String(), probe[at:])[:548]
}
