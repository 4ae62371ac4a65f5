//go:build linux

package host

import (
	"encoding/binary"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike"
)

// espNumber reads SPI and sequence number of an outbound ESP packet of IPv4, of the
// first one where the kernel has not cut yet.
func espNumber(p gopacket.Packet) (spi, sequence uint32, ok bool) {
	ip, isIP := p.NetworkLayer().(*layers.IPv4)
	if !isIP || !ip.SrcIP.Equal(net.IPv4(198, 51, 100, 1)) {
		return 0, 0, false
	}
	b := ip.Payload
	switch ip.Protocol {
	case layers.IPProtocolESP:
	case layers.IPProtocolUDP:
		if len(b) < 16 || binary.BigEndian.Uint16(b[2:]) != portNATT {
			return 0, 0, false
		}
		b = b[8:]
	default:
		return 0, 0, false
	}
	if len(b) < espHeaderBytes || binary.BigEndian.Uint32(b) == 0 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), true
}

// TestNumbersRise releases packets that have waited while others come out of the TUN
// device: whoever seals, the numbers rise on the wire, so that a peer with a replay
// window of 32 packets takes them all.
func TestNumbersRise(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"in UDP": {encap()}, "bare": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, append(options, connection(func(_ int, c *ike.Connection) { c.Children[0].ReplayWindowPackets = 32 }))...)
			w.up()
			x := w.watchWire()
			sink := make(chan net.PacketConn, 1)
			in(t, w.inside[1], func() error {
				c, err := net.ListenPacket("udp", "10.2.0.2:7")
				sink <- c
				return err
			})
			defer func() { _ = (<-sink).Close() }()
			h := w.host[0]
			buffer := gopacket.NewSerializeBuffer()
			ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IPv4(10, 1, 0, 2), DstIP: net.IPv4(10, 2, 0, 2)}
			udp := &layers.UDP{SrcPort: 9, DstPort: 7}
			if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
				t.Fatal(err)
			}
			if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload("held")); err != nil {
				t.Fatal(err)
			}
			var sender net.Conn
			in(t, w.inside[0], func() (err error) {
				sender, err = net.Dial("udp", "10.2.0.2:7")
				return err
			})
			defer sender.Close()
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = sender.Write([]byte("new"))
					}
				}
			}()
			const rounds, burst = 100, 8
			for range rounds {
				h.enter(func() {
					for range burst {
						h.release.send(h.sas.all[0], buffer.Bytes())
					}
				})
				for limit := time.Now().Add(patience); h.release.waiting.Load(); runtime.Gosched() {
					if time.Now().After(limit) {
						t.Fatal("what was released does not leave")
					}
				}
			}
			close(stop)
			<-done
			before := h.Associations()[0].Counters.PacketsOut
			w.ping(w.inside[0], "10.2.0.2", 1) // behind all others
			x.sees("the last packet", func(p gopacket.Packet) bool {
				_, n, ok := espNumber(p)
				return ok && uint64(n) > before
			})
			x.mu.Lock()
			defer x.mu.Unlock()
			last, seen := uint32(0), 0
			for _, p := range x.packets {
				_, n, ok := espNumber(p)
				if !ok {
					continue
				}
				if seen++; n <= last {
					t.Fatalf("number %d behind %d", n, last)
				}
				last = n
			}
			t.Logf("%d datagrams up to number %d, %d replays at the peer", seen, last, w.host[1].Associations()[0].Counters.Replays)
		})
	}
}
