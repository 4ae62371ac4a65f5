//go:build linux

package host

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// sendRaw sends a UDP packet with any addresses, from a namespace.
func (w *world) sendRaw(side int, from, to string) {
	w.t.Helper()
	src, dst := addr(from), addr(to)
	udp := &layers.UDP{SrcPort: 9, DstPort: 7}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	}
	if src.Is4() {
		ip = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	} else {
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		w.t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload("martian")); err != nil {
		w.t.Fatal(err)
	}
	w.sendWhole(side, b.Bytes(), dst)
}

// sendWhole sends a packet as it is from a gateway's namespace.
func (w *world) sendWhole(side int, b []byte, dst netip.Addr) {
	w.t.Helper()
	family, target := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte(dst.AsSlice()[:4])})
	if dst.Is6() {
		family, target = unix.AF_INET6, &unix.SockaddrInet6{Addr: dst.As16()}
	}
	in(w.t, w.gateway[side], func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, b, 0, target)
	})
}

// TestMartian sends what nobody may send through a tunnel that takes everything: packets
// from an address of the receiver's own, and from addresses of no host. They end there,
// and do not go round.
func TestMartian(t *testing.T) {
	t.Parallel()
	w := newWorld(t, selectors(ts("10.1.0.0/24", "2001:db8:1::/64"), ts("0.0.0.0/0", "::/0")))
	w.up()
	for i, c := range [][2]string{{"10.1.0.1", "10.1.0.99"}, {"2001:db8:1::1", "2001:db8:1::99"}} {
		w.sendRaw(1, c[0], c[1])
		w.seen[0].wait(t, i+1, node.EventPacketDropped, node.DropMartian)
		e := w.seen[0].all()
		if d := e[len(e)-1]; d.Drop.Packet.Src != addr(c[0]) || d.ESP.Ordinal != 1 || d.Interface != 1 {
			t.Errorf("the report: %+v", d)
		}
	}
	// An address that comes later counts too.
	w.address(w.gateway[0], "lan", "2001:db8:1::77/64")
	w.seen[0].wait(t, 1, node.EventAddressChanged, "")
	w.sendRaw(1, "2001:db8:1::77", "2001:db8:1::99")
	w.seen[0].wait(t, 3, node.EventPacketDropped, node.DropMartian)
	if c := w.host[0].Associations()[0].Counters; c.PacketsOut != 0 || c.PacketsIn != 0 {
		t.Errorf("the tunnel's counters: %+v", c)
	}
	s := &snapshot{}
	for a, want := range map[string]bool{"0.0.0.0": true, "127.0.0.1": true, "224.0.0.1": true, "::": true, "::1": true, "ff02::1": true, "::ffff:10.0.0.1": true, "10.0.0.1": false, "2001:db8::1": false} {
		if got := s.martian(netip.MustParseAddr(a), addr("10.1.0.1")); got != want {
			t.Errorf("a packet from %s is a martian: %v", a, got)
		}
	}
}
