//go:build linux

package host

import (
	"fmt"
	"io"
	"net"
	"net/netip"

	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if trafficMain() {
		return // this process is an end of a benchmark's flow
	}
	goleak.VerifyTestMain(m)
}

// TestTunnel brings a tunnel up and uses it, in both forms and families.
func TestTunnel(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"in UDP":       {encap()},
		"bare":         nil,
		"in UDP, IPv6": {encap(), overIPv6()},
		"bare, IPv6":   {overIPv6()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options...)
			x := w.watchWire()
			w.up()
			for _, from := range [][]string{{"inside"}, {"gateway"}} {
				n := w.inside[0]
				if from[0] == "gateway" {
					n = w.gateway[0]
				}
				w.ping(n, "10.2.0.2", 3)
				w.ping(n, "2001:db8:2::2", 3)
			}
			w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 10<<20)
			w.transfer(w.inside[1], w.inside[0], "2001:db8:1::2", 10<<20)
			if leaked := x.clear(); len(leaked) > 0 {
				t.Errorf("%d packets crossed the link in clear, the first:\n%s", len(leaked), leaked[0])
			}
			for i, h := range w.host {
				a := h.Associations()
				if len(a) != 1 || a[0].Counters.PacketsIn == 0 || a[0].Counters.BytesOut < 10<<20 || a[0].Counters.IntegrityFailures+a[0].Counters.SelectorMismatches != 0 {
					t.Errorf("gateway %d's associations: %+v", i, a)
				}
				if p := h.Policies(); len(p) != 2 || p[0].Association != 1 || p[1].Child != "nets" || len(p[1].Local) != 2 {
					t.Errorf("gateway %d's policies: %+v", i, p)
				}
			}
		})
	}
}

// TestPacketEvents wants an event for every packet of the tunnel, with what was
// inside, and the sending one first.
func TestPacketEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap(), packetEvents())
	w.up()
	w.ping(w.inside[0], "10.2.0.2", 2)
	w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 1<<20)
	for i, h := range w.host {
		c := h.Associations()[0].Counters
		if out, in := w.seen[i].count(node.EventESPOut, ""), w.seen[i].count(node.EventESPIn, ""); uint64(out) != c.PacketsOut || uint64(in) != c.PacketsIn {
			t.Errorf("gateway %d has %d and %d events for %d packets out and %d in", i, out, in, c.PacketsOut, c.PacketsIn)
		}
		last := map[node.EventKind]uint64{}
		for _, e := range w.seen[i].all() {
			if e.Kind != node.EventESPOut && e.Kind != node.EventESPIn {
				continue
			}
			if e.ESP.Sequence != last[e.Kind]+1 || e.ESP.Ordinal != 1 || e.ESP.IVBytes != 8 || !e.ESP.Inner.Src.IsValid() || e.ESP.Outer.DstPort != portNATT {
				t.Fatalf("gateway %d: %s behind %d: %+v", i, e.Kind, last[e.Kind], e.ESP)
			}
			last[e.Kind]++
		}
	}
	for i := range 2 {
		messages := 0
		w.seen[i].mu.Lock()
		defer w.seen[i].mu.Unlock()
		for _, p := range w.seen[i].packets {
			if p.Origin != node.OriginIKE || p.Interface != 1 || p.Exchange == nil || p.NextHop != addr(fmt.Sprintf("198.51.100.%d", 2-i)) {
				t.Errorf("gateway %d sent %+v", i, p)
			}
			messages++
		}
		if messages != 2 {
			t.Errorf("gateway %d sent %d IKE messages", i, messages)
		}
	}
}

// TestNoTunnelNoPacket sends protected traffic where there is no tunnel: it is
// dropped, before the host has an association, after it was killed, and nothing
// crosses the link in clear.
func TestNoTunnelNoPacket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.watchWire()
	w.start(0)
	send := func(n int) {
		for range n {
			_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.05", "10.2.0.2")
			_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.05", "2001:db8:2::2")
			_, _ = run(t, w.gateway[0], "ping", "-n", "-c", "1", "-W", "0.05", "10.2.0.2")
		}
	}
	send(1)
	w.seen[0].wait(t, 3, node.EventPolicyDrop, node.DropNoAssociation)
	w.host[0].Kill()
	send(1)
	if out, err := run(t, w.gateway[0], "ping", "-n", "-c", "1", "-w", fmt.Sprint(patience.Seconds()), "198.51.100.2"); err != nil {
		t.Errorf("what no policy protects does not pass: %v %s", err, out)
	}
	x.sees("the ping that no policy protects", func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeICMPv4) != nil })
	if leaked := x.clear(); len(leaked) > 0 {
		t.Errorf("%d packets crossed the link in clear, the first:\n%s", len(leaked), leaked[0])
	}
}

// TestClearInbound wants what arrives in clear, but should not have, dropped and
// reported, also when the daemon is dead.
func TestClearInbound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(0) // gateway 1 has no policy and forwards in clear
	send := func() {
		for _, to := range []string{"10.1.0.2", "2001:db8:1::2", "10.1.0.1"} {
			if out, err := run(t, w.inside[1], "ping", "-n", "-c", "1", "-W", "0.2", to); err == nil {
				t.Errorf("%s answers what came in clear:\n%s", to, out)
			}
		}
	}
	send()
	w.seen[0].wait(t, 3, node.EventPolicyDrop, node.DropClearInbound)
	e := w.seen[0].all()
	if d := e[len(e)-1]; d.Interface != 1 || d.Drop.Packet.Dst != addr("10.1.0.1") || d.Drop.Packet.Protocol != 1 || !d.Drop.Packet.PortsKnown {
		t.Errorf("the report: %+v", d)
	}
	w.host[0].Kill()
	send()
}

// TestTerminate takes a tunnel down by command, on both sides.
func TestTerminate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap())
	w.up()
	w.ping(w.inside[0], "10.2.0.2", 1)
	w.host[0].Command(ike.Command{Kind: ike.Terminate, Connection: "site"})
	for i := range 2 {
		w.seen[i].wait(t, 1, "child-deleted", "")
		w.seen[i].wait(t, 1, "ike-deleted", "")
		if a := w.host[i].Associations(); len(a) != 0 {
			t.Errorf("gateway %d still has %+v", i, a)
		}
	}
	_, _ = run(t, w.inside[1], "ping", "-n", "-c", "1", "-W", "0.01", "10.1.0.2")
	w.seen[1].wait(t, 1, node.EventPolicyDrop, node.DropNoAssociation)
}

// TestFullTunnel protects everything of a host: its IKE and ESP packets must not
// fall into the tunnel themselves.
func TestFullTunnel(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"in UDP": {encap()}, "bare": nil, "in UDP, IPv6": {encap(), overIPv6()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everything, own := ts("0.0.0.0/0", "::/0"), ts("198.51.100.1/32", "2001:db8:ff::1/128")
			w := newWorld(t, append([]option{selectors(own, everything), startAction(ike.StartTrap)}, options...)...)
			x := w.watchWire()
			w.start(1)
			w.start(0)
			w.ping(w.gateway[0], "10.2.0.2", 3)
			w.ping(w.gateway[0], "2001:db8:2::2", 3)
			w.ping(w.gateway[0], "198.51.100.2", 1)
			w.transfer(w.gateway[0], w.inside[1], "10.2.0.2", 1<<20)
			w.transfer(w.gateway[0], w.gateway[1], "2001:db8:ff::2", 1<<20)
			x.mu.Lock()
			defer x.mu.Unlock()
			for _, p := range x.packets {
				if p.Layer(layers.LayerTypeTCP) != nil || p.Layer(layers.LayerTypeICMPv4) != nil {
					t.Fatalf("in clear: %s", p)
				}
			}
		})
	}
}

// TestKillAndRestart kills a daemon and starts it again in its namespace.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap(), startAction(ike.StartTrap))
	w.up()
	w.ping(w.inside[0], "10.2.0.2", 1)
	w.host[0].Kill()
	select {
	case <-w.host[0].Done():
	default:
		t.Error("a killed host is not done")
	}
	if out, err := run(t, w.gateway[0], "ip", "-o", "link", "show", "ipsec0"); err == nil {
		t.Errorf("the tunnel device outlives the daemon: %s", out)
	}
	w.seen[0] = &journal{changed: make(chan struct{})}
	w.config[0].Observe = w.seen[0].observe
	w.config[0].Node.IKE.Random = func(label string) io.Reader { return &stream{label: "again/" + label} }
	w.start(0)
	w.ping(w.inside[0], "10.2.0.2", 2)
	w.seen[0].wait(t, 1, "child-installed", "")
	if err := w.host[0].Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"ip rule", "ip -6 rule", "nft list ruleset", "ip route show table 220"} {
		out, _ := run(t, w.gateway[0], strings.Fields(c)...)
		for _, mine := range []string{"220:", "218:", "ikelab", "unreachable"} {
			if strings.Contains(out, mine) {
				t.Errorf("%s is left of a closed host:\n%s", c, out)
			}
		}
	}
}

// TestAddressesAndLinks follows what happens to interfaces: events, sockets, and
// what the machine believes.
func TestAddressesAndLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap(), connection(func(side int, c *ike.Connection) { c.LocalAddrs = nil }))
	w.up()
	h, j := w.host[0], w.seen[0]
	sockets := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.sockets)
	}
	before := sockets()
	w.address(w.gateway[0], "wan", "198.51.100.7/24")
	j.wait(t, 1, node.EventAddressChanged, "")
	if got := h.Addresses()[1]; len(got) != 3 || got[2] != prefix("198.51.100.7/24") {
		t.Errorf("addresses are %v", got)
	}
	if n := sockets(); n != before+3 {
		t.Errorf("%d sockets after %d", n, before)
	}
	in(t, w.inside[1], func() error { // the new address answers at the IKE port
		c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(198, 51, 100, 7), Port: portIKE})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(make([]byte, 28))
		return err
	})
	j.wait(t, 1, node.EventPacketDropped, node.DropIKEMalformed)
	w.removeAddress(w.gateway[0], "wan", "198.51.100.7/24")
	j.wait(t, 2, node.EventAddressChanged, "")
	if n := sockets(); n != before {
		t.Errorf("%d sockets after %d", n, before)
	}
	// An address in place of another is one change.
	w.address(w.gateway[0], "lan", "10.77.0.9/24")
	w.removeAddress(w.gateway[0], "lan", "10.1.0.1/24")
	j.wait(t, 3, node.EventAddressChanged, "")
	if got := h.Addresses()[0]; len(got) != 2 || got[1] != prefix("10.77.0.9/24") {
		t.Errorf("addresses are %v", got)
	}
	w.address(w.gateway[0], "lan", "10.1.0.1/24")
	w.removeAddress(w.gateway[0], "lan", "10.77.0.9/24")
	j.wait(t, 4, node.EventAddressChanged, "")
	link := func(up bool) {
		in(t, w.gateway[0], func() error {
			l, err := netlink.LinkByName("wan")
			if err != nil {
				return err
			}
			if up {
				return netlink.LinkSetUp(l)
			}
			return netlink.LinkSetDown(l)
		})
	}
	link(false)
	j.wait(t, 1, node.EventInterfaceDown, "")
	w.seen[1].wait(t, 1, node.EventInterfaceDown, "") // the other end has no carrier
	link(true)
	j.wait(t, 1, node.EventInterfaceUp, "")
	w.route(w.gateway[0], "0.0.0.0/0", "198.51.100.2")
	w.ping(w.inside[0], "10.2.0.2", 1)
}

// TestMTU has long packets reported or cut, and the tunnel's MTU what fits.
func TestMTU(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap())
	w.up()
	w.host[0].mu.Lock()
	mtu := w.host[0].tun.mtu
	w.host[0].mu.Unlock()
	if mtu != 1438 { // 1500 - 20 - 8 - 8 - 8 - 2 - 16, in whole words
		t.Errorf("the tunnel's MTU is %d", mtu)
	}
	w.ping(w.inside[0], "10.2.0.2", 2, "-M", "do", "-s", fmt.Sprint(mtu-28))
	if out, err := run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.2", "-M", "do", "-s", fmt.Sprint(mtu-27), "10.2.0.2"); err == nil || !strings.Contains(out, "mtu = 1438") {
		t.Errorf("a packet that is too long: %v %s", err, out)
	}
	w.ping(w.inside[0], "10.2.0.2", 2, "-M", "dont", "-s", "8000")
	// IPv6 is cut by its source, once that has been told.
	if out, err := run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.2", "-s", "8000", "2001:db8:2::2"); err == nil || !strings.Contains(out, "mtu=1438") {
		t.Errorf("a packet that is too long: %v %s", err, out)
	}
	_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.2", "-s", "8000", "2001:db8:2::2") // tells the answer's source
	w.ping(w.inside[0], "2001:db8:2::2", 2, "-s", "8000")
}

// TestTrafficClass carries the inner packet's DSCP and ECN over to the outer one.
func TestTrafficClass(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"in UDP": {encap()}, "bare": nil, "in UDP, IPv6": {encap(), overIPv6()}, "bare, IPv6": {overIPv6()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options...)
			x := w.watchWire()
			w.up()
			w.ping(w.inside[0], "10.2.0.2", 1, "-Q", "0xba")
			w.ping(w.inside[0], "2001:db8:2::2", 1, "-Q", "0x68")
			for _, class := range []uint8{0xba, 0x68} {
				x.sees(fmt.Sprintf("ESP of class %#x", class), func(p gopacket.Packet) bool {
					switch ip := p.NetworkLayer().(type) {
					case *layers.IPv4:
						return ip.TOS == class && (ip.Protocol == layers.IPProtocolESP || ip.Protocol == layers.IPProtocolUDP)
					case *layers.IPv6:
						return ip.TrafficClass == class && (ip.NextHeader == layers.IPProtocolESP || ip.NextHeader == layers.IPProtocolUDP)
					}
					return false
				})
			}
		})
	}
}

// TestPathMTU puts a router between the gateways whose second link is narrower: the
// tunnel learns it, and its sources do.
func TestPathMTU(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"in UDP": {encap()}, "bare": nil, "in UDP, IPv6": {encap(), overIPv6()}, "bare, IPv6": {overIPv6()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options...)
			router := newNamespace(t)
			w.sysctl(router, "net/ipv4/ip_forward", "1")
			w.sysctl(router, "net/ipv6/conf/all/forwarding", "1")
			in(t, w.gateway[0], func() error {
				l, err := netlink.LinkByName("wan")
				if err != nil {
					return err
				}
				return netlink.LinkDel(l)
			})
			for i := range 2 {
				port := fmt.Sprintf("to%d", i)
				w.veth(w.gateway[i], "wan", router, port)
				w.address(w.gateway[i], "wan", fmt.Sprintf("198.51.100.%d/32", i+1), fmt.Sprintf("2001:db8:ff::%d/128", i+1))
				w.address(router, port, fmt.Sprintf("192.0.2.%d/32", i+1), fmt.Sprintf("2001:db8:fe::%d/128", i+1))
				for _, c := range []string{
					fmt.Sprintf("ip route add default via 192.0.2.%d dev wan onlink", i+1),
					fmt.Sprintf("ip -6 route add default via 2001:db8:fe::%d dev wan onlink", i+1),
				} {
					if out, err := run(t, w.gateway[i], strings.Fields(c)...); err != nil {
						t.Fatalf("%s: %s", c, out)
					}
				}
				for _, c := range []string{
					fmt.Sprintf("ip route add 198.51.100.%d/32 dev %s", i+1, port),
					fmt.Sprintf("ip -6 route add 2001:db8:ff::%d/128 dev %s", i+1, port),
				} {
					if out, err := run(t, router, strings.Fields(c)...); err != nil {
						t.Fatalf("%s: %s", c, out)
					}
				}
				w.config[i].Node.Interfaces[1].Addresses = nil
			}
			for _, c := range []struct {
				n      ns.NetNS
				device string
			}{{router, "to1"}, {w.gateway[1], "wan"}} {
				if out, err := run(t, c.n, "ip", "link", "set", c.device, "mtu", "1400"); err != nil {
					t.Fatal(out)
				}
			}
			w.up()
			mtu := func(i int) int {
				w.host[i].mu.Lock()
				defer w.host[i].mu.Unlock()
				return w.host[i].tun.mtu
			}
			if a, b := mtu(0), mtu(1); a <= b {
				t.Fatalf("the tunnel's MTUs are %d and %d before anybody has learnt", a, b)
			}
			for limit := time.Now().Add(patience); mtu(0) != mtu(1); {
				if time.Now().After(limit) {
					t.Fatalf("the tunnel's MTU stays %d, the other end's is %d", mtu(0), mtu(1))
				}
				_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.05", "-M", "do", "-s", "1380", "10.2.0.2")
			}
			if p := w.host[0].Associations()[0].PathMTUBytes; p != 1400 {
				t.Errorf("the path's MTU is %d", p)
			}
			w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 1<<20)
			w.transfer(w.inside[0], w.inside[1], "2001:db8:2::2", 1<<20)
		})
	}
}

// TestNarrowPath has outer packets cut where the path is too narrow for IPv6's least
// MTU inside.
func TestNarrowPath(t *testing.T) {
	t.Parallel()
	t.Run("in UDP", func(t *testing.T) { t.Parallel(); narrowPath(t, encap()) })
	t.Run("bare", func(t *testing.T) { t.Parallel(); narrowPath(t) })
	t.Run("bare, IPv6", func(t *testing.T) { t.Parallel(); narrowPath(t, overIPv6()) })
}

func narrowPath(t *testing.T, options ...option) {
	w := newWorld(t, options...)
	for i := range 2 {
		in(t, w.gateway[i], func() error {
			l, err := netlink.LinkByName("wan")
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(l, 1290)
		})
	}
	w.up()
	w.ping(w.inside[0], "2001:db8:2::2", 2, "-s", "1232")
	w.transfer(w.inside[0], w.inside[1], "2001:db8:2::2", 1<<20)
	w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 1<<20)
}

// TestPorts protects one port, and lets the rest pass in clear by the slow path.
func TestPorts(t *testing.T) {
	t.Parallel()
	tcp := func(p string, from, to uint16) []wire.Selector {
		return []wire.Selector{wire.PrefixSelector(prefix(p), 6, from, to)}
	}
	w := newWorld(t, selectors(tcp("10.1.0.0/24", 0, 65535), tcp("10.2.0.0/24", 7000, 7000)))
	w.up()
	x := w.watchWire()
	w.ping(w.gateway[0], "10.2.0.2", 2)
	w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 1<<20) // to another port
	x.sees("TCP in clear", func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeTCP) != nil })
	if c := w.host[0].Associations()[0].Counters; c.PacketsOut != 0 {
		t.Errorf("%d packets went into the tunnel", c.PacketsOut)
	}
	in(t, w.inside[0], func() error {
		c, err := net.DialTimeout("tcp", "10.2.0.2:7000", patience)
		if err == nil {
			_ = c.Close()
		}
		return nil // nobody listens: the answer is a reset, through the tunnel
	})
	if c := w.host[0].Associations()[0].Counters; c.PacketsOut == 0 || c.PacketsIn == 0 {
		t.Errorf("the tunnel's counters: %+v", c)
	}
}

// TestWithoutChecksumOffload sends through a device without checksum offload, as TAP
// devices are: older kernels take no segments for it.
func TestWithoutChecksumOffload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap())
	for i := range 2 {
		in(t, w.gateway[i], func() error { return withoutChecksumOffload("wan") })
	}
	w.up()
	w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 1<<20)
}

// withoutChecksumOffload is ethtool -K device tx off.
func withoutChecksumOffload(device string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	command := struct{ cmd, data uint32 }{cmd: 0x17} // ETHTOOL_STXCSUM
	request := struct {
		name [unix.IFNAMSIZ]byte
		data *struct{ cmd, data uint32 }
		_    [16]byte
	}{data: &command}
	copy(request.name[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// TestStartUndoesItself leaves nothing behind when it fails.
func TestStartUndoesItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config[0].Devices = []string{"lan", "nothing"}
	if _, err := Start(w.config[0]); err == nil || !strings.Contains(err.Error(), `no device "nothing"`) {
		t.Fatalf("the error is %v", err)
	}
	w.config[0].Devices = nil
	w.start(0)
	if _, err := Start(w.config[0]); err == nil || !strings.Contains(err.Error(), "ipsec0") {
		t.Errorf("a second host in a namespace: %v", err)
	}
}

// TestPlainHost watches a host without IPsec.
func TestPlainHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config[0].Node.IKE = nil
	w.start(0)
	w.address(w.gateway[0], "lan", "10.9.0.1/24")
	w.seen[0].wait(t, 1, node.EventAddressChanged, "")
	if got := w.host[0].Addresses()[0]; len(got) != 3 || got[2].Addr() != netip.MustParseAddr("10.9.0.1") {
		t.Errorf("addresses are %v", got)
	}

}
