//go:build linux

package host

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = hosttest.Patience

// needKernel skips a test by name where this process may not make namespaces and TUN
// devices, and takes its turn on the host: benchmarks have it alone.
func needKernel(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		if _, err := os.Stat(tunCloneDevice); err == nil {
			if _, measures := t.(*testing.B); measures {
				hosttest.Alone(t)
			} else {
				hosttest.Share(t)
			}
			return
		}
	}
	hosttest.Lacks(t, "root with CAP_NET_ADMIN and CAP_SYS_ADMIN, and /dev/net/tun", "run as root (sudo make test), modprobe tun")
}

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// stream is a deterministic source of octets for tests.
type stream struct {
	label string
	block uint64
	rest  []byte
}

func (s *stream) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(s.rest) == 0 {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.label), s.block))
			s.block++
			s.rest = sum[:]
		}
		c := copy(b[n:], s.rest)
		n, s.rest = n+c, s.rest[c:]
	}
	return len(b), nil
}

// ts are prefixes as traffic selectors, any protocol and port.
func ts(prefixes ...string) (all []wire.Selector) {
	for _, p := range prefixes {
		all = append(all, wire.PrefixSelector(prefix(p), 0, 0, 65535))
	}
	return all
}

func proposal(t testing.TB, protocol suite.Protocol, s string) []suite.Proposal {
	t.Helper()
	p, err := suite.ParseProposal(protocol, s)
	if err != nil {
		t.Fatal(err)
	}
	return []suite.Proposal{p}
}

// world is two sites whose gateways share a link: inside A, gateway A, gateway B,
// inside B.
type world struct {
	t       testing.TB
	inside  [2]ns.NetNS
	gateway [2]ns.NetNS
	host    [2]*Host
	config  [2]Config
	seen    [2]*journal
	epoch   time.Time
}

// journal keeps what a host's Observe saw.
type journal struct {
	mu      sync.Mutex
	changed chan struct{}
	// quiet journals keep nothing.
	quiet   bool
	events  []node.Event
	packets []node.PacketOut
}

func (j *journal) observe(out node.Output) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.quiet {
		return
	}
	switch out := out.(type) {
	case *node.Event:
		j.events = append(j.events, *out)
	case *node.PacketOut:
		p := *out
		p.Bytes = append([]byte(nil), p.Bytes...)
		j.packets = append(j.packets, p)
	}
	close(j.changed)
	j.changed = make(chan struct{})
}

// all are the events so far.
func (j *journal) all() []node.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.events)
}

// count counts the events of a kind, with a reason where one is given.
func (j *journal) count(kind node.EventKind, reason node.DropReason) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for i := range j.events {
		if j.events[i].Kind == kind && (reason == "" || j.events[i].Drop.Reason == reason) {
			n++
		}
	}
	return n
}

// wait waits for n events of a kind.
func (j *journal) wait(t testing.TB, n int, kind node.EventKind, reason node.DropReason) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		j.mu.Lock()
		changed := j.changed
		j.mu.Unlock()
		if j.count(kind, reason) >= n {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			j.mu.Lock()
			defer j.mu.Unlock()
			var all []string
			for i := range j.events {
				e := &j.events[i]
				text := string(e.Kind) + " " + string(e.Drop.Reason) + " " + e.Problem
				if e.IKE != nil {
					text += fmt.Sprint(" ", e.IKE.Fields)
				}
				all = append(all, text)
			}
			t.Fatalf("no %s %s within %v; there were:\n%s", kind, reason, patience, strings.Join(all, "\n"))
		}
	}
}

// option changes what a world's gateways are.
type option func(side int, c *Config)

func connection(change func(side int, c *ike.Connection)) option {
	return func(side int, c *Config) { change(side, &c.Node.IKE.Connections[0]) }
}

func encap() option { return connection(func(_ int, c *ike.Connection) { c.Encap = true }) }

func startAction(action ike.StartAction) option {
	return connection(func(_ int, c *ike.Connection) { c.Children[0].StartAction = action })
}

func selectors(a, b []wire.Selector) option {
	return connection(func(side int, c *ike.Connection) {
		c.Children[0].LocalTS, c.Children[0].RemoteTS = a, b
		if side == 1 {
			c.Children[0].LocalTS, c.Children[0].RemoteTS = b, a
		}
	})
}

func overIPv6() option {
	return connection(func(side int, c *ike.Connection) {
		c.LocalAddrs = []netip.Addr{addr(fmt.Sprintf("2001:db8:ff::%d", side+1))}
		c.RemoteAddrs = []netip.Addr{addr(fmt.Sprintf("2001:db8:ff::%d", 2-side))}
	})
}

func packetEvents() option { return func(_ int, c *Config) { c.PacketEvents = true } }

// newWorld makes the namespaces and links, and configures the gateways without
// starting them.
func newWorld(t testing.TB, options ...option) *world {
	t.Helper()
	needKernel(t)
	w := &world{t: t, epoch: time.Now()}
	for i := range 2 {
		w.inside[i], w.gateway[i] = newNamespace(t), newNamespace(t)
	}
	w.veth(w.gateway[0], "wan", w.gateway[1], "wan")
	for i := range 2 {
		w.veth(w.gateway[i], "lan", w.inside[i], "eth0")
		w.address(w.gateway[i], "wan", fmt.Sprintf("198.51.100.%d/24", i+1), fmt.Sprintf("2001:db8:ff::%d/64", i+1))
		w.address(w.gateway[i], "lan", fmt.Sprintf("10.%d.0.1/24", i+1), fmt.Sprintf("2001:db8:%d::1/64", i+1))
		w.address(w.inside[i], "eth0", fmt.Sprintf("10.%d.0.2/24", i+1), fmt.Sprintf("2001:db8:%d::2/64", i+1))
		w.route(w.gateway[i], "0.0.0.0/0", fmt.Sprintf("198.51.100.%d", 2-i))
		w.route(w.gateway[i], "::/0", fmt.Sprintf("2001:db8:ff::%d", 2-i))
		w.route(w.inside[i], "0.0.0.0/0", fmt.Sprintf("10.%d.0.1", i+1))
		w.route(w.inside[i], "::/0", fmt.Sprintf("2001:db8:%d::1", i+1))
		w.sysctl(w.gateway[i], "net/ipv4/ip_forward", "1")
		w.sysctl(w.gateway[i], "net/ipv6/conf/all/forwarding", "1")
		w.config[i] = w.configure(i, options)
	}
	t.Cleanup(w.stop)
	return w
}

// newNamespace makes a namespace without a name, which goes with the test.
func newNamespace(t testing.TB) ns.NetNS {
	t.Helper()
	n, err := ns.TempNetNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	in(t, n, func() error {
		for _, all := range []string{"all", "default"} {
			for name, value := range map[string]string{"ipv4/conf/*/rp_filter": "0", "ipv6/conf/*/keep_addr_on_down": "1", "ipv6/conf/*/accept_dad": "0"} {
				if err := os.WriteFile("/proc/sys/net/"+strings.Replace(name, "*", all, 1), []byte(value), 0o644); err != nil {
					return err
				}
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return n
}

// in runs f in a namespace.
func in(t testing.TB, n ns.NetNS, f func() error) {
	t.Helper()
	if err := n.Do(func(ns.NetNS) error { return f() }); err != nil {
		t.Fatal(err)
	}
}

func (w *world) veth(a ns.NetNS, nameA string, b ns.NetNS, nameB string) {
	w.t.Helper()
	in(w.t, a, func() error {
		l := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: nameB, PeerNamespace: netlink.NsFd(int(b.Fd()))}
		l.Name = nameA
		l.TxQLen = 1000
		return netlink.LinkAdd(l)
	})
	for _, end := range []struct {
		n    ns.NetNS
		name string
	}{{a, nameA}, {b, nameB}} {
		in(w.t, end.n, func() error {
			l, err := netlink.LinkByName(end.name)
			if err != nil {
				return err
			}
			return netlink.LinkSetUp(l)
		})
	}
}

func (w *world) address(n ns.NetNS, device string, addresses ...string) {
	w.t.Helper()
	in(w.t, n, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(prefix(a)), Flags: unix.IFA_F_NODAD}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) removeAddress(n ns.NetNS, device, address string) {
	w.t.Helper()
	in(w.t, n, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.AddrDel(l, &netlink.Addr{IPNet: ipNet(prefix(address))})
	})
}

func (w *world) route(n ns.NetNS, dst, via string) {
	w.t.Helper()
	in(w.t, n, func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: ipNet(prefix(dst)), Gw: addr(via).AsSlice()})
	})
}

func (w *world) sysctl(n ns.NetNS, name, value string) {
	w.t.Helper()
	in(w.t, n, func() error { return os.WriteFile("/proc/sys/"+name, []byte(value), 0o644) })
}

// configure makes side 0 or 1's gateway.
func (w *world) configure(side int, options []option) Config {
	peer := 1 - side
	nets := [2][]string{{"10.1.0.0/24", "2001:db8:1::/64"}, {"10.2.0.0/24", "2001:db8:2::/64"}}
	w.seen[side] = &journal{changed: make(chan struct{})}
	c := Config{
		Node: node.Config{
			Name: fmt.Sprintf("gw%d", side), Forward: true,
			Interfaces: []node.Interface{
				{Name: "lan", Up: true, Addresses: []netip.Prefix{prefix(fmt.Sprintf("10.%d.0.1/24", side+1)), prefix(fmt.Sprintf("2001:db8:%d::1/64", side+1))}},
				{Name: "wan", Up: true, Addresses: []netip.Prefix{prefix(fmt.Sprintf("198.51.100.%d/24", side+1)), prefix(fmt.Sprintf("2001:db8:ff::%d/64", side+1))}},
			},
			IKE: &ike.Config{
				Node:   fmt.Sprintf("gw%d", side),
				Random: func(label string) io.Reader { return &stream{label: fmt.Sprintf("%d/%s/%p", side, label, w)} },
				Connections: []ike.Connection{{
					Name:        "site",
					LocalAddrs:  []netip.Addr{addr(fmt.Sprintf("198.51.100.%d", side+1))},
					RemoteAddrs: []netip.Addr{addr(fmt.Sprintf("198.51.100.%d", peer+1))},
					Proposals:   proposal(w.t, suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519"),
					Children: []ike.Child{{
						Name: "nets", LocalTS: ts(nets[side]...), RemoteTS: ts(nets[peer]...),
						ESPProposals: proposal(w.t, suite.ProtocolESP, "aes256gcm16"),
					}},
				}},
				Secrets: []ike.Secret{{Name: "psk", Key: []byte("a shared secret")}},
			},
		},
		Namespace: w.gateway[side],
		Clock:     func() time.Duration { return time.Since(w.epoch) },
		Observe:   w.seen[side].observe,
	}
	for _, o := range options {
		o(side, &c)
	}
	return c
}

// start starts and boots a gateway.
func (w *world) start(side int) *Host {
	w.t.Helper()
	h, err := Start(w.config[side])
	if err != nil {
		w.t.Fatal(err)
	}
	w.host[side] = h
	h.Boot()
	return h
}

// up starts both gateways, and waits for the tunnel that side 0 starts.
func (w *world) up() {
	w.t.Helper()
	w.start(1)
	w.start(0)
	w.host[0].Command(ike.Command{Kind: ike.Initiate, Connection: "site"})
	for i := range 2 {
		w.seen[i].wait(w.t, 1, "child-installed", "")
	}
}

// stop ends the gateways.
func (w *world) stop() {
	for _, h := range w.host {
		if h == nil {
			continue
		}
		if err := h.Close(); err != nil {
			w.t.Error(err)
		}
		if err := h.Err(); err != nil {
			w.t.Error(err)
		}
	}
}

// tap watches what crosses the link between the gateways.
type tap struct {
	t       testing.TB
	file    *os.File
	mu      sync.Mutex
	packets []gopacket.Packet
	done    chan struct{}
}

// watchWire begins to watch gateway 0's end.
func (w *world) watchWire() *tap {
	w.t.Helper()
	x := &tap{t: w.t, done: make(chan struct{})}
	in(w.t, w.gateway[0], func() error {
		l, err := netlink.LinkByName("wan")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		x.file = os.NewFile(uintptr(fd), "packet socket")
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return err
		}
		all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
	})
	go func() {
		defer close(x.done)
		b := make([]byte, 1<<16)
		for {
			n, err := x.file.Read(b)
			if err != nil {
				return
			}
			x.mu.Lock()
			x.packets = append(x.packets, gopacket.NewPacket(append([]byte(nil), b[:n]...), layers.LayerTypeEthernet, gopacket.Default))
			x.mu.Unlock()
		}
	}()
	w.t.Cleanup(func() {
		_ = x.file.Close()
		<-x.done
	})
	return x
}

// clear are the packets seen so far whose addresses are both of the protected
// networks.
func (x *tap) clear() (all []string) {
	protected := func(e gopacket.Endpoint) bool {
		a, _ := netip.AddrFromSlice(e.Raw())
		for _, p := range []string{"10.0.0.0/8", "2001:db8:1::/64", "2001:db8:2::/64"} {
			if prefix(p).Contains(a) {
				return true
			}
		}
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.packets {
		if n := p.NetworkLayer(); n != nil && protected(n.NetworkFlow().Src()) && protected(n.NetworkFlow().Dst()) {
			all = append(all, p.String())
		}
	}
	return all
}

// sees waits until a packet has crossed that f recognises.
func (x *tap) sees(what string, f func(gopacket.Packet) bool) {
	x.t.Helper()
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		x.mu.Lock()
		found := slices.ContainsFunc(x.packets, f)
		x.mu.Unlock()
		if found {
			return
		}
	}
	x.t.Fatalf("nothing crossed the link that is %s", what)
}

// run runs a command in a namespace and returns what it printed. Where there is no such program the test is skipped.
func run(t testing.TB, n ns.NetNS, command ...string) (string, error) {
	t.Helper()
	return runAt(t, n, hosttest.Command(t, command))
}

// runAt is run with the program's path, and skips nothing.
func runAt(t testing.TB, n ns.NetNS, command []string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	var out strings.Builder
	c.Stdout, c.Stderr = &out, &out
	in(t, n, c.Start) // a child starts in the namespace of the thread
	err := c.Wait()
	return out.String(), err
}

// ping sends echo requests until count are answered, which is what -w makes
// of -c.
func (w *world) ping(from ns.NetNS, to string, count int, options ...string) {
	w.t.Helper()
	command := append([]string{"ping", "-n", "-c", fmt.Sprint(count), "-i", "0.01", "-w", fmt.Sprint(patience.Seconds())}, options...)
	if out, err := run(w.t, from, append(command, to)...); err != nil {
		w.t.Fatalf("ping %s: %v\n%s\n%s", to, err, out, w.dump())
	}
}

// dump is the state of the gateways for a failed test.
func (w *world) dump() string {
	var b strings.Builder
	for i := range 2 {
		for _, c := range []string{"ip -s link", "ip rule", "ip route show table 220", "ip -6 route show table 220", "nft list ruleset"} {
			command := strings.Fields(c)
			path, err := hosttest.Look(command[0])
			if err != nil {
				fmt.Fprintln(&b, err) // the test has failed, and a skip would hide it
				continue
			}
			out, _ := runAt(w.t, w.gateway[i], append([]string{path}, command[1:]...))
			fmt.Fprintf(&b, "%d: %s\n%s\n", i, c, out)
		}
		if h := w.host[i]; h != nil {
			fmt.Fprintf(&b, "%+v\n", h.Associations())
		}
		for _, e := range w.seen[i].all() {
			fmt.Fprintf(&b, "%s %s %v %s\n", e.Kind, e.Drop.Reason, e.Drop.Packet, e.Problem)
		}
	}
	return b.String()
}

// transfer sends size octets over TCP and checks what arrives.
func (w *world) transfer(from, to ns.NetNS, address string, size int) {
	w.t.Helper()
	var listener net.Listener
	in(w.t, to, func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	})
	defer listener.Close()
	got := make(chan error, 1)
	want := sha256.New()
	go func() {
		c, err := listener.Accept()
		if err != nil {
			got <- err
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		sum := sha256.New()
		n, err := io.Copy(sum, c)
		if err == nil && (n != int64(size) || string(sum.Sum(nil)) != string(want.Sum(nil))) {
			err = fmt.Errorf("%d octets of %d arrived, or others", n, size)
		}
		got <- err
	}()
	var c net.Conn
	in(w.t, from, func() (err error) {
		c, err = net.DialTimeout("tcp", listener.Addr().String(), patience)
		return err
	})
	_ = c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, size)
	_, _ = (&stream{label: "payload"}).Read(b)
	_, _ = want.Write(b)
	if _, err := c.Write(b); err != nil {
		w.t.Fatal(err)
	}
	_ = c.Close()
	if err := <-got; err != nil {
		w.t.Fatal(err)
	}
}
