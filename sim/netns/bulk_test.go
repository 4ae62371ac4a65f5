//go:build linux

package netns

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
)

// wireTap is a tap that wants every packet to be one that a wire can have.
type wireTap struct {
	mtu int
	// harmed says that links may break packets, so that only those that have not been
	// on one must be right.
	harmed  bool
	mu      sync.Mutex
	packets int
	wrong   []string
}

// Packet implements sim.Tap.
func (w *wireTap) Packet(_ time.Duration, node, iface int, direction impair.Direction, packet []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets++
	if len(packet) > w.mtu {
		w.wrong = append(w.wrong, fmt.Sprintf("%d bytes", len(packet)))
	}
	if w.harmed && (direction == impair.Down || node == 1) {
		return
	}
	if wrong := wrongSums(packet); wrong != "" {
		w.wrong = append(w.wrong, fmt.Sprintf("node %d interface %d %v: %s: %x", node, iface, direction, wrong, packet))
	}
}

// wrongSums says which checksum of a packet is not right.
func wrongSums(packet []byte) string {
	var src, dst tcpip.Address
	var payload []byte
	var protocol tcpip.TransportProtocolNumber
	if packet[0]>>4 == 4 {
		h := header.IPv4(packet)
		if !h.IsValid(len(packet)) || int(h.TotalLength()) != len(packet) || !h.IsChecksumValid() {
			return "IPv4"
		}
		src, dst, protocol, payload = h.SourceAddress(), h.DestinationAddress(), h.TransportProtocol(), h.Payload()
	} else {
		h := header.IPv6(packet)
		if !h.IsValid(len(packet)) || len(h.Payload()) != len(packet)-header.IPv6MinimumSize {
			return "IPv6"
		}
		src, dst, protocol, payload = h.SourceAddress(), h.DestinationAddress(), h.TransportProtocol(), h.Payload()
	}
	if protocol != header.TCPProtocolNumber && protocol != header.UDPProtocolNumber {
		return ""
	}
	if protocol == header.UDPProtocolNumber && int(header.UDP(payload).Length()) != len(payload) {
		return "the length of UDP"
	}
	if checksum.Checksum(payload, header.PseudoHeaderChecksum(protocol, src, dst, uint16(len(payload)))) != 0xffff {
		return fmt.Sprintf("the checksum of protocol %d", protocol)
	}
	return ""
}

// transfer sends bytes from one node to another over TCP and answers what arrived.
func transfer(l *Lab, from, to int, address string, data []byte) ([]byte, error) {
	var listener net.Listener
	if err := l.Namespace(to).Do(func(ns.NetNS) (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "7777"))
		return err
	}); err != nil {
		return nil, err
	}
	defer listener.Close()
	sent := make(chan error, 1)
	go func() {
		sent <- l.Namespace(from).Do(func(ns.NetNS) error {
			c, err := net.DialTimeout("tcp", listener.Addr().String(), hosttest.Patience)
			if err != nil {
				_ = listener.Close()
				return err
			}
			defer c.Close()
			_, err = c.Write(data)
			return err
		})
	}()
	c, err := listener.Accept()
	if err != nil {
		return nil, fmt.Errorf("%w; the sender: %w", err, <-sent)
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if e := <-sent; e != nil {
		return nil, e
	}
	return got, err
}

// bulk carries data through a lab while a tap watches.
func bulk(t *testing.T, text string, w *wireTap, bytesOfData, from, to int, addresses ...string) {
	t.Helper()
	root(t)
	r, err := sim.New(load(t, text), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Create(r, Options{Tap: w})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	driven := make(chan error, 1)
	l.Start()
	go func() {
		_, err := l.Drive(ctx, nil)
		driven <- err
	}()
	defer func() {
		cancel()
		if err := <-driven; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	data := make([]byte, bytesOfData)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	for _, address := range addresses {
		if got, err := transfer(l, from, to, address, data); err != nil || !bytes.Equal(got, data) {
			t.Errorf("to %s: %d bytes of %d, not those that were sent: %v", address, len(got), len(data), err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if least := len(addresses) * bytesOfData / w.mtu; w.packets < least {
		t.Errorf("the tap saw %d packets, of at least %d", w.packets, least)
	}
	for _, wrong := range w.wrong[:min(len(w.wrong), 5)] {
		t.Errorf("one of %d that no wire has: %s", len(w.wrong), wrong)
	}
}

// bulkLab is two hosts with a router between them, behind links with a model.
func bulkLab(link string) string {
	return `
lab "bulk" { duration = "2m" }
network "left" { prefixes = ["10.1.0.0/24", "2001:db8:1::/64"] }
network "right" { prefixes = ["10.2.0.0/24", "2001:db8:2::/64"] }
node "x" {
  implementation = "host"
  interface "eth0" {
    network = network.left
    link    = ` + link + `
  }
}
node "r" {
  implementation = "host"
  forward        = true
  interface "left" { network = network.left }
  interface "right" { network = network.right }
}
node "y" {
  implementation = "host"
  interface "eth0" {
    network = network.right
    link    = { delay = "100us" }
  }
}
`
}

// TestBulk: bulk traffic is cut into packets of the wire, which is what a tap sees, and
// arrives as it was sent, also over links that lose, break, repeat and reorder. The subtests
// follow each other: one that waited for a place among parallel tests, all of which may wait
// for this test's turn to end, would wait for ever.
func TestBulk(t *testing.T) {
	t.Parallel()
	hosttest.Alone(t)
	for name, c := range map[string]struct {
		link   string
		bytes  int
		harmed bool
	}{
		"a delay":        {`{ delay = "300us" }`, 20 << 20, false},
		"a rate":         {`{ rate = "200mbit" }`, 4 << 20, false},
		"loss":           {`{ delay = "300us", loss = { p = 0.005 }, duplicate = 0.005, reorder = 0.005 }`, 4 << 20, false},
		"broken packets": {`{ delay = "300us", corrupt = 0.005 }`, 4 << 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			bulk(t, bulkLab(c.link), &wireTap{mtu: 1500, harmed: c.harmed}, c.bytes, 0, 2, "10.2.0.2", "2001:db8:2::2")
		})
	}
}

// TestBulkInTunnel: the same for datagrams of a tunnel, which its ends hand to the kernel
// many at once.
func TestBulkInTunnel(t *testing.T) {
	t.Parallel()
	hosttest.Alone(t)
	for name, encap := range map[string]string{"in UDP": "encap = true", "bare": "encap = false"} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(tunnel("2m", `link = { delay = "300us" }`, ""), "retransmit_tries   = 3", "retransmit_tries   = 3\n    "+encap)
			bulk(t, text, &wireTap{mtu: 1500}, 8<<20, 0, 3, "10.2.0.2")
		})
	}
}
