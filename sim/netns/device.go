//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/ikelab/ikelab/topology"
)

// station is a node's namespace with what is in it.
type station struct {
	plan    *topology.Node
	ns      ns.NetNS
	handle  *netlink.Handle // into the namespace
	devices []string        // kernel's names by interface
	links   []netlink.Link
	macs    []net.HardwareAddr
}

// sysctls of a node's namespace. The kernel does what package node does, and says
// nothing of itself: what is on the wire is what the lab is about.
func sysctls(n *topology.Node) [][2]string {
	forward := "0"
	if n.Forward {
		forward = "1"
	}
	all := [][2]string{
		{"net/ipv4/ip_forward", forward},
		{"net/ipv4/ping_group_range", "0 0"}, // echo flows are ping sockets
	}
	for _, scope := range []string{"all", "default"} {
		v4, v6 := "net/ipv4/conf/"+scope+"/", "net/ipv6/conf/"+scope+"/"
		all = append(all,
			[2]string{v4 + "rp_filter", "0"},
			// Taking one address away leaves the others of its prefix.
			[2]string{v4 + "promote_secondaries", "1"},
			[2]string{v4 + "accept_redirects", "0"},
			[2]string{v4 + "send_redirects", "0"},
			// A route over a link that is away is no route (package node, routes).
			[2]string{v4 + "ignore_routes_with_linkdown", "1"},
			[2]string{v6 + "forwarding", forward},
			[2]string{v6 + "ignore_routes_with_linkdown", "1"},
			[2]string{v6 + "accept_ra", "0"},
			[2]string{v6 + "accept_redirects", "0"},
			[2]string{v6 + "router_solicitations", "0"},
			[2]string{v6 + "accept_dad", "0"},
			[2]string{v6 + "dad_transmits", "0"},
			[2]string{v6 + "addr_gen_mode", "1"},     // no link-local addresses of the kernel's own
			[2]string{v6 + "keep_addr_on_down", "1"}, // as IPv4 does
		)
	}
	return all
}

// writeSysctls sets what the kernel has of the list; it must run inside the
// namespace. A kernel without IPv6 has none of its entries.
func writeSysctls(list [][2]string) error {
	for _, s := range list {
		err := os.WriteFile("/proc/sys/"+s[0], []byte(s[1]), 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("sysctl %s = %s: %w", s[0], s[1], err)
		}
	}
	return nil
}

// newStation makes a node's namespace, without interfaces.
func newStation(name string, n *topology.Node) (*station, error) {
	s := &station{plan: n, devices: deviceNames(n)}
	for _, iface := range n.Interfaces {
		s.macs = append(s.macs, hardwareAddress(n.Name, iface.Name))
	}
	s.links = make([]netlink.Link, len(n.Interfaces))
	var err error
	if s.ns, err = newNamespace(name); err != nil {
		return nil, err
	}
	err = s.ns.Do(func(ns.NetNS) error { return writeSysctls(sysctls(n)) })
	if err == nil {
		s.handle, err = netlink.NewHandleAt(vishns.NsHandle(s.ns.Fd()), unix.NETLINK_ROUTE)
	}
	if err == nil {
		err = upLoopback(s.handle)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("node %q: %w", n.Name, err)
	}
	return s, nil
}

func upLoopback(h *netlink.Handle) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return h.LinkSetUp(lo)
}

// close lets go of the namespace; its name is the claim's to remove.
func (s *station) close() {
	if s.handle != nil {
		s.handle.Close()
	}
	if s.ns != nil {
		_ = s.ns.Close()
	}
}

// attributes of an interface's device.
func (s *station) attributes(i int) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = s.devices[i]
	a.MTU = s.plan.Interfaces[i].MTUBytes
	a.HardwareAddr = s.macs[i]
	return a
}

// configure gives the interface its addresses and takes it up. The device must be
// there, with a carrier: IPv6 does not configure one without.
func (s *station) configure(i int) error {
	link, err := s.handle.LinkByName(s.devices[i])
	if err != nil {
		return fmt.Errorf("node %q: interface %q: %w", s.plan.Name, s.plan.Interfaces[i].Name, err)
	}
	s.links[i] = link
	for _, p := range s.plan.Interfaces[i].Addresses {
		if err := s.addAddress(i, p); err != nil {
			return err
		}
	}
	if err := s.handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("node %q: interface %q: %w", s.plan.Name, s.plan.Interfaces[i].Name, err)
	}
	return nil
}

// addAddress gives an interface an address, at once usable.
func (s *station) addAddress(i int, p netip.Prefix) error {
	err := s.handle.AddrAdd(s.links[i], address(p))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("node %q: interface %q: address %v: %w", s.plan.Name, s.plan.Interfaces[i].Name, p, err)
	}
	return nil
}

// removeAddress takes an address away; one that is not there already is.
func (s *station) removeAddress(i int, p netip.Prefix) error {
	err := s.handle.AddrDel(s.links[i], address(p))
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("node %q: interface %q: address %v: %w", s.plan.Name, s.plan.Interfaces[i].Name, p, err)
	}
	return nil
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// routePriorityFirst is the metric of a node's first route; those behind it follow,
// so that of two for one prefix the first in the file wins.
const routePriorityFirst = 100

// routes installs the node's routes. It is safe to call again: addresses that come
// back need the routes that went with them.
func (s *station) routes() error {
	for n, r := range s.plan.Routes {
		i := -1
		for j, iface := range s.plan.Interfaces {
			if iface.Name == r.Interface {
				i = j
			}
		}
		if i < 0 {
			return fmt.Errorf("node %q: route to %v leads to interface %q, which the node does not have", s.plan.Name, r.Prefix, r.Interface)
		}
		route := &netlink.Route{
			LinkIndex: s.links[i].Attrs().Index, Dst: ipNet(r.Prefix), Priority: routePriorityFirst + n,
			Protocol: unix.RTPROT_STATIC,
		}
		if r.Via.IsValid() {
			route.Gw = r.Via.AsSlice()
			route.Flags = int(netlink.FLAG_ONLINK) // whatever the addresses are at the moment
		} else {
			route.Scope = netlink.SCOPE_LINK
		}
		if err := s.handle.RouteReplace(route); err != nil {
			return fmt.Errorf("node %q: route to %v via %v over %q: %w", s.plan.Name, r.Prefix, r.Via, r.Interface, err)
		}
	}
	return nil
}

const (
	// ownRouteWaitMax is how long the kernel may take to make an address its own.
	ownRouteWaitMax  = 5 * time.Second
	ownRouteInterval = time.Millisecond
)

// reachable waits until the kernel takes what comes for its IPv6 addresses: it makes an
// address's own route a little after the address.
func (s *station) reachable() error {
	for i := range s.links {
		addresses, err := s.handle.AddrList(s.links[i], netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("node %q: interface %q: addresses: %w", s.plan.Name, s.plan.Interfaces[i].Name, err)
		}
		for _, a := range addresses {
			if !s.owns(a.IP) {
				return fmt.Errorf("node %q: interface %q: the kernel does not take %v for its own, though it has had it for %v; see: ip -6 route show table local",
					s.plan.Name, s.plan.Interfaces[i].Name, a.IP, ownRouteWaitMax)
			}
		}
	}
	return nil
}

// owns waits until the kernel takes an address for its own.
func (s *station) owns(address net.IP) bool {
	for begun := time.Now(); time.Since(begun) < ownRouteWaitMax; time.Sleep(ownRouteInterval) {
		routes, err := s.handle.RouteGet(address)
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return true
		}
	}
	return false
}

// neighbour tells the node who has an address on an interface's network, or with
// gone that nobody has.
func (s *station) neighbour(i int, a netip.Addr, mac net.HardwareAddr, gone bool) error {
	n := &netlink.Neigh{
		LinkIndex: s.links[i].Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac,
		Family: unix.AF_INET,
	}
	if a.Is6() {
		n.Family = unix.AF_INET6
	}
	var err error
	if gone {
		if err = s.handle.NeighDel(n); errors.Is(err, unix.ENOENT) {
			err = nil
		}
	} else {
		err = s.handle.NeighSet(n)
	}
	if err != nil {
		return fmt.Errorf("node %q: neighbour %v on %q: %w", s.plan.Name, a, s.plan.Interfaces[i].Name, err)
	}
	return nil
}

// newTAP makes an interface whose other end is the file that it answers. Frames go
// through it behind an offload.Header, and not blocking; udp says that UDP may be joined.
func newTAP(s *station, i int) (fd int, udp bool, err error) {
	fd = -1
	err = s.ns.Do(func(ns.NetNS) error {
		var err error
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		ifr, err := unix.NewIfreq(s.devices[i])
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		// Without offloads every frame is one packet: slower, and nothing else.
		udp, _ = offload.Ask(fd)
		// It ends with its namespace and not with the descriptor: the kernel takes many
		// devices away at once much faster than one by one.
		return unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	})
	if err == nil {
		var link netlink.Link
		if link, err = s.handle.LinkByName(s.devices[i]); err == nil {
			err = errors.Join(s.handle.LinkSetHardwareAddr(link, s.macs[i]), s.handle.LinkSetMTU(link, s.plan.Interfaces[i].MTUBytes))
		}
	}
	if err != nil {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
		return -1, false, fmt.Errorf("node %q: interface %q: TAP: %w", s.plan.Name, s.plan.Interfaces[i].Name, err)
	}
	return fd, udp, nil
}

// tunSetCarrier is TUNSETCARRIER of linux/if_tun.h.
const tunSetCarrier = 0x400454e2

// setCarrier plugs a TAP's cable in or pulls it.
func setCarrier(fd int, up bool) error {
	on := 0
	if up {
		on = 1
	}
	if err := unix.IoctlSetPointerInt(fd, tunSetCarrier, on); err != nil {
		return fmt.Errorf("TAP carrier: %w", err)
	}
	return nil
}

// veth makes a pair of interfaces, either end in a namespace of its own. h may be a
// handle into any namespace.
func veth(h *netlink.Handle, a netlink.LinkAttrs, aNS ns.NetNS, b netlink.LinkAttrs, bNS ns.NetNS) error {
	a.Namespace = netlink.NsFd(int(aNS.Fd()))
	pair := &netlink.Veth{
		LinkAttrs: a, PeerName: b.Name, PeerHardwareAddr: b.HardwareAddr, PeerMTU: uint32(b.MTU), PeerNamespace: netlink.NsFd(int(bNS.Fd())),
	}
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("veth pair %s and %s: %w", a.Name, b.Name, err)
	}
	runtime.KeepAlive(aNS)
	runtime.KeepAlive(bNS)
	return nil
}

// hub is the namespace that holds the bridges of segments.
type hub struct {
	ns     ns.NetNS
	handle *netlink.Handle
	// ports are the hub's ends of the interfaces on bridges.
	ports map[endpoint]netlink.Link
}

func newHub(name string) (*hub, error) {
	h := &hub{ports: map[endpoint]netlink.Link{}}
	var err error
	if h.ns, err = newNamespace(name); err != nil {
		return nil, err
	}
	err = h.ns.Do(func(ns.NetNS) error {
		return writeSysctls([][2]string{{"net/ipv6/conf/all/disable_ipv6", "1"}, {"net/ipv6/conf/default/disable_ipv6", "1"}})
	})
	if err == nil {
		h.handle, err = netlink.NewHandleAt(vishns.NsHandle(h.ns.Fd()), unix.NETLINK_ROUTE)
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("bridges: %w", err)
	}
	return h, nil
}

func (h *hub) close() {
	if h.handle != nil {
		h.handle.Close()
	}
	if h.ns != nil {
		_ = h.ns.Close()
	}
}

// bridge makes a segment's bridge. It knows where the plan's interfaces are, learns and
// floods for others as any switch, and neither snoops nor waits.
func (h *hub) bridge(number int) (netlink.Link, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("br%d", number)
	snooping := false
	b := &netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}
	if err := h.handle.LinkAdd(b); err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	return b, h.handle.LinkSetUp(b)
}

// attach makes an interface of a node on a bridge.
func (h *hub) attach(s *station, at endpoint, bridge netlink.Link) error {
	peer := netlink.NewLinkAttrs()
	peer.Name = fmt.Sprintf("p%dx%d", at.node, at.iface)
	peer.MTU = s.plan.Interfaces[at.iface].MTUBytes
	if err := veth(h.handle, s.attributes(at.iface), s.ns, peer, h.ns); err != nil {
		return fmt.Errorf("node %q: interface %q: %w", s.plan.Name, s.plan.Interfaces[at.iface].Name, err)
	}
	port, err := h.handle.LinkByName(peer.Name)
	if err == nil {
		err = errors.Join(h.handle.LinkSetMaster(port, bridge), h.handle.LinkSetUp(port))
	}
	if err != nil {
		return fmt.Errorf("node %q: interface %q: bridge: %w", s.plan.Name, s.plan.Interfaces[at.iface].Name, err)
	}
	h.ports[at] = port
	// Where it is need not be learned: frames for one that has not sent yet would go to
	// everybody.
	known := &netlink.Neigh{LinkIndex: port.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_NOARP, Flags: netlink.NTF_MASTER, HardwareAddr: s.macs[at.iface]}
	if err := h.handle.NeighSet(known); err != nil {
		return fmt.Errorf("node %q: interface %q: bridge: its hardware address: %w", s.plan.Name, s.plan.Interfaces[at.iface].Name, err)
	}
	return nil
}

// setCarrier plugs an interface on a bridge in or pulls it.
func (h *hub) setCarrier(at endpoint, up bool) error {
	if up {
		return h.handle.LinkSetUp(h.ports[at])
	}
	return h.handle.LinkSetDown(h.ports[at])
}
