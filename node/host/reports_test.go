//go:build linux

package host

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/node"
)

// ipLayer is an IP header of the addresses' family.
func ipLayer(src, dst netip.Addr, protocol layers.IPProtocol) gopacket.SerializableLayer {
	if src.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
}

// packetOf is the packet that a report quotes: size bytes by its header, of which little
// is there.
func packetOf(t *testing.T, src, dst netip.Addr, protocol layers.IPProtocol, size int, transport []byte) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	whole := append(append([]byte(nil), transport...), make([]byte, size-len(transport)-ipHeaderBytes(dst))...)
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ipLayer(src, dst, protocol), gopacket.Payload(whole)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:ipHeaderBytes(dst)+len(transport)]
}

// report sends what a router says of a packet that is longer than mtu, from the other
// gateway's namespace.
func (w *world) report(to netip.Addr, mtu uint32, quote []byte) {
	w.t.Helper()
	from, protocol := addr("203.0.113.9"), layers.IPProtocolICMPv4
	body := append(make([]byte, 4), quote...)
	binary.BigEndian.PutUint16(body[2:], uint16(mtu))
	if to.Is6() {
		from, protocol = addr("2001:db8:77::9"), layers.IPProtocolICMPv6
		binary.BigEndian.PutUint32(body, mtu)
	}
	ip := ipLayer(from, to, protocol)
	var message gopacket.SerializableLayer
	if to.Is4() {
		message = &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: uint16(mtu)}
		body = quote
	} else {
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(2, 0)}
		if err := m.SetNetworkLayerForChecksum(ip.(gopacket.NetworkLayer)); err != nil {
			w.t.Fatal(err)
		}
		message = m
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, message, gopacket.Payload(body)); err != nil {
		w.t.Fatal(err)
	}
	w.sendWhole(1, b.Bytes(), to)
}

// TestReports has a router report about packets of the first gateway, and others who do
// not see them: the kernel hears of the former alone.
func TestReports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		options     []option
		encap, isV6 bool
	}{
		{"bare", nil, false, false}, {"in UDP", []option{encap()}, true, false},
		{"bare, IPv6", []option{overIPv6()}, false, true}, {"in UDP, IPv6", []option{encap(), overIPv6()}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.options...)
			w.up()
			a := w.host[0].Associations()[0]
			own, peer := a.Local.Addr(), a.Remote.Addr()
			pathMTU := func() int {
				h := w.host[0]
				h.mu.Lock()
				defer h.mu.Unlock()
				way, _ := h.route(own, peer)
				return way.mtu
			}
			inner, innerDst := addr("10.1.0.1"), addr("10.2.0.2")
			ping := []byte{0, 0, 0, 0, 0, 1, 0, 1}
			icmp := layers.IPProtocolICMPv4
			if c.isV6 {
				inner, innerDst, icmp, ping = addr("2001:db8:1::1"), addr("2001:db8:2::2"), layers.IPProtocolICMPv6, []byte{129, 0, 0, 0, 0, 1, 0, 1}
			}
			udp := func(port uint16, rest ...byte) []byte {
				b := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, port), port)
				return append(append(b, 0x05, 0x78, 0, 0), rest...)
			}
			spi := func(change uint32) []byte {
				return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, a.SPIOut^change), 1)
			}
			esp := func(change uint32) (layers.IPProtocol, []byte) {
				if c.encap {
					return layers.IPProtocolUDP, udp(portNATT, spi(change)...)
				}
				return layers.IPProtocolESP, spi(change)
			}
			espProtocol, foreign := esp(1)
			_, good := esp(0)
			forged := [][]byte{
				packetOf(t, own, peer, espProtocol, 1400, foreign),
				packetOf(t, own, peer, layers.IPProtocolUDP, 1400, udp(portIKE, make([]byte, 8)...)),
				packetOf(t, own, peer, layers.IPProtocolUDP, 1400, udp(portNATT, make([]byte, 8)...)),
				packetOf(t, own, peer, icmp, 1400, ping),
			}
			for i, quote := range forged {
				w.report(own, 1300, quote)
				w.seen[0].wait(t, i+1, node.EventPacketDropped, node.DropICMPUnproven)
				if got := pathMTU(); got != 1500 {
					t.Fatalf("forged report %d made the path's MTU %d", i, got)
				}
			}
			w.report(inner, 1300, packetOf(t, inner, innerDst, layers.IPProtocolUDP, 1400, udp(9)))
			w.seen[0].wait(t, len(forged)+1, node.EventPacketDropped, node.DropICMPUnproven)

			learns := func(want int) {
				t.Helper()
				for limit := time.Now().Add(patience); pathMTU() != want; time.Sleep(time.Millisecond) {
					if time.Now().After(limit) {
						t.Fatalf("the path's MTU is %d, want %d", pathMTU(), want)
					}
				}
			}
			quote := packetOf(t, own, peer, espProtocol, 1500, good)
			w.report(own, 1400, quote)
			learns(1400)
			for limit := time.Now().Add(patience); w.host[0].Associations()[0].PathMTUBytes != 1400; time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					t.Fatalf("the association's path MTU is %d", w.host[0].Associations()[0].PathMTUBytes)
				}
			}
			w.report(own, 9000, quote)
			if c.isV6 {
				// The first fragment of an outer packet.
				fragment := append([]byte{byte(espProtocol), 0, 0, 1, 0, 0, 0, 7}, good...)
				w.report(own, 1350, packetOf(t, own, peer, layers.IPProtocolIPv6Fragment, 1400, fragment))
				learns(1350)
			} else {
				w.report(own, 1350, quote)
				learns(1350)
			}

			// The kernel forgets: so does the node, when it looks again.
			for _, family := range []string{"-4", "-6"} {
				if out, err := run(t, w.gateway[0], "ip", family, "route", "flush", "cache"); err != nil {
					t.Fatal(out)
				}
			}
			learns(1500)
			h := w.host[0]
			h.enter(func() {
				if h.recheckAt == 0 {
					t.Error("the narrow path is never looked at again")
				}
				h.now += pathsRecheck
				h.recheckPaths()
			})
			if got := h.Associations()[0].PathMTUBytes; got != 0 {
				t.Errorf("the association still has a path MTU of %d", got)
			}
		})
	}
}
