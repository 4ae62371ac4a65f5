package node

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// rawLayer serializes bytes as they are.
type rawLayer struct{ b []byte }

func (r *rawLayer) LayerType() gopacket.LayerType { return gopacket.LayerTypePayload }
func (r *rawLayer) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	room, err := b.PrependBytes(len(r.b))
	copy(room, r.b)
	return err
}

func TestDatagramsReachOpenPorts(t *testing.T) {
	n := router(t, func(c *Config) { c.Listen = []uint16{7} })
	arrive := func(dst string) []Output {
		return n.Handle(0, PacketIn{Interface: 0, Bytes: udp(t, "10.1.0.5:99", dst, []byte("data"), ttl(9))})
	}
	want := []Deliver{{Kind: DeliverDatagram, Src: port("10.1.0.5:99"), Dst: port("10.1.0.1:7"), Payload: []byte("data"), HopLimit: 9}}
	if diff := cmp.Diff(want, delivers(arrive("10.1.0.1:7")), comparers...); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		name string
		do   Input
		port string
		open bool
	}{
		{"closed", Timeout{}, "10.1.0.1:8", false},
		{"opened", Listen{Port: 8}, "10.1.0.1:8", true},
		{"closed again", Listen{Port: 8, Close: true}, "10.1.0.1:8", false},
		{"opened by sending", DatagramOut{Src: port("10.1.0.1:9"), Dst: port("10.1.0.5:1")}, "10.1.0.1:9", true},
		{"opened by sending a packet", FromInside{Bytes: udp(t, "10.1.0.1:10", "10.1.0.5:1", nil)}, "198.51.100.1:10", true},
	} {
		n.Handle(0, c.do)
		if got := len(delivers(arrive(c.port))) == 1; got != c.open {
			t.Errorf("%s: delivered %v, want %v", c.name, got, c.open)
		}
	}
}

func TestDatagramChecksums(t *testing.T) {
	damage := func(b []byte, at int, v ...byte) []byte {
		b = slices.Clone(b)
		copy(b[at:], v)
		return b
	}
	v4, v6 := udp(t, "10.1.0.5:99", "10.1.0.1:7", []byte("data")), udp(t, "[2001:db8:1::5]:99", "[2001:db8:1::1]:7", []byte("data"))
	for _, c := range []struct {
		name   string
		packet []byte
		want   []DropReason
	}{
		{"right", v4, nil},
		{"damaged", damage(v4, 28, 'D'), []DropReason{DropChecksum}},
		{"none, in IPv4", damage(v4, 26, 0, 0), nil},
		{"right, in IPv6", v6, nil},
		{"none, in IPv6", damage(v6, 46, 0, 0), []DropReason{DropChecksum}},
		{"longer than the packet", damage(v4, 24, 0, 200), []DropReason{DropHeaderInvalid}},
		{"shorter than its header", damage(v4, 24, 0, 7), []DropReason{DropHeaderInvalid}},
		{"half a header", build(t, ip("10.1.0.5", "10.1.0.1", 17), &rawLayer{[]byte{0, 1, 0, 7}}), []DropReason{DropTruncated}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := router(t, func(c *Config) { c.Listen = []uint16{7} }).Handle(0, PacketIn{Interface: 0, Bytes: c.packet})
			if diff := cmp.Diff(c.want, reasons(out)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChecksumIsNeverZero sends every datagram of two octets: a sum of zero must be
// sent as all ones (RFC 768).
func TestChecksumIsNeverZero(t *testing.T) {
	n := router(t)
	for _, dst := range []string{"10.1.0.5:50", "[2001:db8:1::5]:50"} {
		ones := 0
		for v := range 0x10000 {
			out := n.Handle(0, DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 40), Dst: port(dst), Payload: []byte{byte(v >> 8), byte(v)}})
			b := out[0].(*PacketOut).Bytes
			switch sum := b[len(b)-4:]; {
			case sum[0] == 0 && sum[1] == 0:
				t.Fatalf("%s: %#x is sent without checksum", dst, v)
			case sum[0] == 0xff && sum[1] == 0xff:
				ones++
			}
		}
		if ones == 0 {
			t.Errorf("%s: no datagram had a sum of zero", dst)
		}
	}
}

func TestDatagramOut(t *testing.T) {
	n := router(t)
	for _, c := range []struct {
		name string
		in   DatagramOut
		want []byte
	}{
		{"source chosen", DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 40), Dst: port("10.1.0.5:50"), Payload: []byte("odd")},
			udp(t, "10.1.0.1:40", "10.1.0.5:50", []byte("odd"), df)},
		{"source given", DatagramOut{Src: port("198.51.100.1:40"), Dst: port("10.1.0.5:50"), HopLimit: 3},
			udp(t, "198.51.100.1:40", "10.1.0.5:50", nil, df, ttl(3))},
		{"IPv6", DatagramOut{Src: netip.AddrPortFrom(netip.Addr{}, 40), Dst: port("[2001:db8:1::5]:50"), Payload: []byte("even")},
			udp(t, "[2001:db8:1::1]:40", "[2001:db8:1::5]:50", []byte("even"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := packets(n.Handle(0, c.in))
			if len(sent) != 1 || !bytes.Equal(sent[0].Bytes, c.want) {
				t.Errorf("sent %v, want %x", sent, c.want)
			}
		})
	}
	for _, in := range []DatagramOut{
		{Src: port("10.9.9.9:1"), Dst: port("10.1.0.5:50")},
		{Src: port("[2001:db8:1::1]:1"), Dst: port("10.1.0.5:50")},
		{Src: port("10.1.0.1:1")},
		{Dst: port("127.0.0.1:50")},
		{Dst: port("[::ffff:10.1.0.5]:50")},
	} {
		if diff := cmp.Diff([]DropReason{DropNoSource}, reasons(n.Handle(0, in))); diff != "" {
			t.Errorf("%v (-want +got):\n%s", in, diff)
		}
	}
}

func TestFromInsideFillsTheSourceIn(t *testing.T) {
	n := router(t)
	for _, c := range []struct{ name, src, dst, open string }{
		{"IPv4", "10.1.0.1:40", "10.1.0.5:50", "0.0.0.0:40"},
		{"IPv6", "[2001:db8:1::1]:40", "[2001:db8:1::5]:50", "[::]:40"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := packets(n.Handle(0, FromInside{Bytes: udp(t, c.open, c.dst, []byte("abc"))}))
			if want := udp(t, c.src, c.dst, []byte("abc")); len(sent) != 1 || !bytes.Equal(sent[0].Bytes, want) {
				t.Errorf("sent %v, want %x", sent, want)
			}
		})
	}
	tcp := func(src string) []byte {
		network := ip(src, "10.1.0.5", layers.IPProtocolTCP)
		h := &layers.TCP{SrcPort: 1, DstPort: 2, SYN: true}
		if err := h.SetNetworkLayerForChecksum(network.(gopacket.NetworkLayer)); err != nil {
			t.Fatal(err)
		}
		return build(t, network, h, gopacket.Payload("abc"))
	}
	for _, c := range []struct {
		name       string
		sent, want []byte
	}{
		{"TCP", tcp("0.0.0.0"), tcp("10.1.0.1")},
		{"ICMPv6", echo(t, "::", "2001:db8:1::5", 1, 2, []byte("abc")), echo(t, "2001:db8:1::1", "2001:db8:1::5", 1, 2, []byte("abc"))},
	} {
		if got := packets(n.Handle(0, FromInside{Bytes: c.sent})); len(got) != 1 || !bytes.Equal(got[0].Bytes, c.want) {
			t.Errorf("%s: sent %v, want %x", c.name, got, c.want)
		}
	}
	for _, b := range [][]byte{udp(t, "10.9.9.9:1", "10.1.0.5:50", nil), udp(t, "0.0.0.0:1", "127.0.0.1:50", nil)} {
		if diff := cmp.Diff([]DropReason{DropMartian}, reasons(n.Handle(0, FromInside{Bytes: b}))); diff != "" {
			t.Errorf("a foreign source or destination (-want +got):\n%s", diff)
		}
	}
}

func TestPacketToOneself(t *testing.T) {
	n := router(t, func(c *Config) { c.Listen = []uint16{7} })
	out := n.Handle(0, DatagramOut{Src: port("10.1.0.1:40"), Dst: port("198.51.100.1:7"), Payload: []byte("x")})
	if len(packets(out)) != 0 || len(delivers(out)) != 1 {
		t.Errorf("datagram: %d packets and %d deliveries, want 0 and 1", len(packets(out)), len(delivers(out)))
	}
	out = n.Handle(0, EchoOut{Dst: addr("2001:db8:1::1"), ID: 3})
	if got := delivers(out); len(got) != 1 || got[0].Kind != DeliverEchoReply || got[0].ID != 3 {
		t.Errorf("echo: delivered %v", got)
	}
}
