//go:build linux

package host

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
)

// sendFrom sends one UDP datagram from a socket that options have been set of, and
// answers what the kernel said.
func sendFrom(t testing.TB, n ns.NetNS, to, from string, options func(fd int) error) (sent error) {
	t.Helper()
	in(t, n, func() error {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (problem error) {
			err := c.Control(func(fd uintptr) { problem = options(int(fd)) })
			if err != nil {
				return err
			}
			return problem
		}}
		if from != "" {
			d.LocalAddr = &net.UDPAddr{IP: addr(from).AsSlice()}
		}
		c, err := d.Dial("udp", net.JoinHostPort(to, "7"))
		if err != nil {
			sent = err
			return nil
		}
		defer c.Close()
		_, sent = c.Write([]byte("clear"))
		return nil
	})
	return sent
}

// boundTo binds a socket to a device.
func boundTo(device string) func(fd int) error {
	return func(fd int) error { return unix.BindToDevice(fd, device) }
}

// TestBoundToDevice sends protected traffic from sockets that have chosen the way past
// the tunnel: it is dropped and reported, with a tunnel, without and when the daemon is
// dead. What no policy protects passes, IPv6's neighbours among it.
func TestBoundToDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.watchWire()
	send := func() {
		for _, c := range [][2]string{{"10.1.0.1", "10.2.0.2"}, {"2001:db8:1::1", "2001:db8:2::2"}} {
			if err := sendFrom(t, w.gateway[0], c[1], c[0], boundTo("wan")); err == nil {
				t.Errorf("%s to %s was taken", c[0], c[1])
			}
		}
	}
	pass := func() {
		for _, to := range []string{"198.51.100.2", "2001:db8:ff::2"} {
			if err := sendFrom(t, w.gateway[0], to, "", boundTo("wan")); err != nil {
				t.Errorf("to %s: %v", to, err)
			}
			w.ping(w.gateway[0], to, 1, "-I", "wan")
		}
	}
	w.start(0)
	send()
	w.seen[0].wait(t, 2, node.EventPolicyDrop, node.DropNoAssociation)
	e := w.seen[0].all()
	if d := e[len(e)-1]; d.Interface != 1 || d.Drop.Packet.Dst != addr("2001:db8:2::2") || d.Drop.Packet.DstPort != 7 {
		t.Errorf("the report: %+v", d)
	}
	pass()
	w.start(1)
	w.host[0].Command(ike.Command{Kind: ike.Initiate, Connection: "site"})
	w.seen[0].wait(t, 1, "child-installed", "")
	send()
	pass()
	w.seen[0].wait(t, 4, node.EventPolicyDrop, node.DropNoAssociation)
	w.ping(w.gateway[0], "10.2.0.2", 2)
	w.host[0].Kill()
	send()
	pass()
	if leaked := x.clear(); len(leaked) > 0 {
		t.Errorf("%d packets crossed the link in clear, the first:\n%s", len(leaked), leaked[0])
	}
}

// TestForwardedPastTunnel forwards protected traffic by a rule that somebody has put in
// front of the host's: the filter drops it all the same.
func TestForwardedPastTunnel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.watchWire()
	w.start(0)
	for _, family := range []string{"-4", "-6"} {
		if out, err := run(t, w.gateway[0], "ip", family, "rule", "add", "priority", "100", "lookup", "main"); err != nil {
			t.Fatal(out)
		}
	}
	for i, to := range []string{"10.2.0.2", "2001:db8:2::2"} {
		if err := sendFrom(t, w.inside[0], to, "", nothing); err != nil {
			t.Fatal(err)
		}
		w.seen[0].wait(t, i+1, node.EventPolicyDrop, node.DropNoAssociation)
	}
	if leaked := x.clear(); len(leaked) > 0 {
		t.Errorf("%d packets crossed the link in clear, the first:\n%s", len(leaked), leaked[0])
	}
}

// TestPortsFromBoundSocket holds sockets with a device of their own to ports too.
func TestPortsFromBoundSocket(t *testing.T) {
	t.Parallel()
	udp := func(p string, from, to uint16) []wire.Selector {
		return []wire.Selector{wire.PrefixSelector(prefix(p), unix.IPPROTO_UDP, from, to)}
	}
	w := newWorld(t, selectors(udp("10.1.0.0/24", 0, 65535), udp("10.2.0.0/24", 7, 7)))
	w.start(0)
	if err := sendFrom(t, w.gateway[0], "10.2.0.2", "10.1.0.1", boundTo("wan")); err == nil {
		t.Error("what a policy has by its port was taken")
	}
	w.seen[0].wait(t, 1, node.EventPolicyDrop, node.DropNoAssociation)
	w.ping(w.gateway[0], "10.2.0.2", 1, "-I", "wan", "-I", "10.1.0.1")
	if n := w.seen[0].count(node.EventPolicyDrop, ""); n != 1 {
		t.Errorf("%d drops", n)
	}
}

// road makes side 0 a host whose own end is "dynamic", and side 1 its gateway.
func road() option {
	return connection(func(side int, c *ike.Connection) {
		if side == 0 {
			c.LocalAddrs, c.Children[0].LocalTS = nil, nil
		} else {
			c.RemoteAddrs, c.Children[0].RemoteTS = nil, nil
		}
	})
}

// toPort7 are the packets in clear to the port that sendFrom sends to.
func (x *tap) toPort7() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.packets {
		if u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP); ok && u.DstPort == 7 {
			n++
		}
	}
	return n
}

// newAddresses are addresses that a test gives to a gateway, with somebody in the
// protected network behind the other one, of their family.
var newAddresses = [][2]string{{"198.51.100.9", "10.2.0.2"}, {"2001:db8:ff::9", "2001:db8:2::2"}}

func bits(a string) string {
	if addr(a).Is4() {
		return a + "/24"
	}
	return a + "/64"
}

func nothing(int) error { return nil }

// TestNewAddressDoesNotLeak sends from an address before the host can know that it has
// it: nothing leaves in clear, by whatever socket. What waits for the address to settle
// is then the policy's affair.
func TestNewAddressDoesNotLeak(t *testing.T) {
	t.Parallel()
	w := newWorld(t, road(), startAction(ike.StartTrap))
	x := w.watchWire()
	w.start(0) // the other end does not answer
	for i, c := range newAddresses {
		func() {
			w.host[0].mu.Lock() // so that it hears of nothing
			defer w.host[0].mu.Unlock()
			w.address(w.gateway[0], "wan", bits(c[0]))
			if err := sendFrom(t, w.gateway[0], c[1], c[0], nothing); err != nil {
				t.Error(err)
			}
			if err := sendFrom(t, w.gateway[0], c[1], c[0], boundTo("wan")); err == nil {
				t.Errorf("a packet from %s went past the tunnel", c[0])
			}
		}()
		w.seen[0].wait(t, i+1, node.EventAddressChanged, "")
		w.seen[0].wait(t, i+1, node.EventPolicyDrop, node.DropNoAssociation) // of the socket with a device
	}
	w.seen[0].wait(t, 1, node.EventTrapAcquire, "") // both others wait for it
	if n := x.toPort7(); n > 0 {
		t.Errorf("%d packets left in clear", n)
	}
}

// TestNewAddressInARace has a sender that waits for the address, without holding the host
// up, on a tunnel that is up.
func TestNewAddressInARace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, road(), encap())
	x := w.watchWire()
	w.up()
	for range 20 {
		for _, c := range newAddresses {
			sent := make(chan int)
			go func() {
				n := 0
				for limit := time.Now().Add(patience); n < 20 && time.Now().Before(limit); {
					if sendFrom(t, w.gateway[0], c[1], c[0], nothing) == nil {
						n++
					}
				}
				sent <- n
			}()
			w.address(w.gateway[0], "wan", bits(c[0]))
			if n := <-sent; n != 20 {
				t.Errorf("%d packets were sent", n)
			}
			w.removeAddress(w.gateway[0], "wan", bits(c[0]))
		}
	}
	w.ping(w.gateway[0], "10.2.0.2", 2, "-I", "198.51.100.1")
	if n := x.toPort7(); n > 0 {
		t.Errorf("%d packets left in clear", n)
	}
}

// TestNewAddressOfTheDead gives a namespace another address when its daemon is dead: what
// that left protects the new address too, in both directions.
func TestNewAddressOfTheDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, road())
	w.start(0)
	w.host[0].Kill()
	// A child that another test is just making has all descriptors until it becomes
	// another program, so that the TUN may outlive Kill by a moment and swallow packets.
	for limit := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := run(t, w.gateway[0], "ip", "link", "show", tunnelDefault); err != nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the TUN of a dead node stays")
		}
	}
	x := w.watchWire()
	for _, c := range newAddresses {
		w.address(w.gateway[0], "wan", bits(c[0]))
		for how, options := range map[string]func(int) error{"by the routes": nothing, "past them": boundTo("wan")} {
			if err := sendFrom(t, w.gateway[0], c[1], c[0], options); err == nil {
				t.Errorf("a packet from %s left %s", c[0], how)
			}
		}
		// Into the host; gateway 1 has no policy.
		if out, err := run(t, w.inside[1], "ping", "-n", "-c", "1", "-W", "0.2", c[0]); err == nil {
			t.Errorf("%s answers what came in clear:\n%s", c[0], out)
		}
	}
	if n := x.toPort7(); n > 0 {
		t.Errorf("%d packets left in clear", n)
	}
	w.ping(w.gateway[0], "198.51.100.2", 1)
}
