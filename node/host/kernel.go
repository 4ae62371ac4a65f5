//go:build linux

package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/esp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// socketMark is on everything that the host sends itself, so that the rules
	// tell it from the traffic that tunnels carry. Any value does that nobody else
	// in the namespace uses; these are the letters "ike".
	socketMark = 0x696b65
	// tunnelTable is the first routing table of the tunnel; strongSwan's has the same
	// number, so people look there. Further ones count from tunnelTableMore.
	tunnelTable     = 220
	tunnelTableMore = 220_001
	// The rules, in their order: the host's own packets look at the main table, and
	// then at nothing else; protected traffic goes to the tunnel.
	// Those that look at a protocol too have a priority of their own, because the
	// kernel takes a rule for one that is there already when the other says the same
	// and more.
	rulePriorityOwn      = 218
	rulePriorityNoLoop   = 219
	rulePriorityTunnel   = 220
	rulePriorityProtocol = 221
	// routeProtocol marks rules and routes as ours (rtnetlink's protocol numbers;
	// no daemon of /etc/iproute2/rt_protos has this one).
	routeProtocol = 73
	// unreachableMetric is worse than any that a person would choose.
	unreachableMetric = 1<<32 - 16
	// rulesMax bounds the rules of a node, which a packet meets one after the other:
	// selectors that are no prefixes need several each. routesMax bounds its routes.
	rulesMax  = 4096
	routesMax = 1 << 17
)

// kernelState is what a host has the kernel hold for its policies. It is compared
// with what is wanted, so that only differences are carried out: a gateway gets a new
// peer without anything being done again for the others.
type kernelState struct {
	// pairs are what rules, routes and filter are for; nil before the first time.
	pairs  map[protectedPair]struct{}
	rules  map[string]netlink.Rule
	routes map[string]netlink.Route
	// tables are the numbers of routing tables.
	tables map[tableKey]int
	filter filter
}

// protectedPair is a pair of selectors of one family.
type protectedPair struct {
	local, remote esp.Selector
	// dynamic says that local is whatever addresses this host has: rules and filter
	// then ask whether this host is the one that sends, because a new address is good
	// for sending before anybody has told the host of it, and when it is dead.
	dynamic bool
}

// pairs are all pairs of all policies in force: configured children, and the
// associations of connections whose "dynamic" was not known before. The lock is
// held, here and below.
func (h *Host) pairs() []protectedPair {
	var all []protectedPair
	seen := make(map[protectedPair]bool)
	add := func(local, remote []esp.Selector, dynamic bool) {
		for _, l := range local {
			for _, r := range remote {
				for _, pair := range splitFamilies(protectedPair{l, r, dynamic}) {
					if !seen[pair] && slices.Contains(h.families, pair.family()) {
						seen[pair] = true
						all = append(all, pair)
					}
				}
			}
		}
	}
	for _, p := range h.policies {
		if p.anyOwn() {
			add([]esp.Selector{esp.AnySelector()}, p.match.Remote, true)
		} else {
			add(p.match.Local, p.match.Remote, false)
		}
	}
	for _, a := range h.sas.all {
		add(a.policy.Local, a.policy.Remote, false)
	}
	return all
}

// splitFamilies gives both ends addresses of one family: "any address" becomes
// that of the other end, or one pair per family. Ends of different families, or of
// different protocols, are no pair.
func splitFamilies(p protectedPair) []protectedPair {
	if l, r := p.local.Protocol, p.remote.Protocol; l != 0 && r != 0 && l != r {
		return nil
	}
	any4, any6 := esp.SelectorFromPrefix(netip.PrefixFrom(netip.IPv4Unspecified(), 0)), esp.SelectorFromPrefix(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	resolve := func(s, whole esp.Selector) esp.Selector {
		if !s.Start.IsValid() {
			s.Start, s.End = whole.Start, whole.End
		}
		return s
	}
	var all []protectedPair
	for _, whole := range []esp.Selector{any4, any6} {
		q := protectedPair{resolve(p.local, whole), resolve(p.remote, whole), p.dynamic}
		if q.local.Start.Is4() == whole.Start.Is4() && q.remote.Start.Is4() == whole.Start.Is4() {
			all = append(all, q)
		}
	}
	return all
}

// family is the pair's address family.
func (p protectedPair) family() int {
	if p.remote.Start.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// protocol is the pair's protocol, 0 for any.
func (p protectedPair) protocol() uint8 { return max(p.local.Protocol, p.remote.Protocol) }

// applyKernel brings rules, routes and filter in line with the policies and the own
// addresses.
func (h *Host) applyKernel() error {
	pairs := h.pairs()
	wanted, err := h.wantedRouting(pairs)
	if err != nil {
		return err
	}
	if err := h.applyRouting(wanted); err != nil {
		return err
	}
	return h.applyPairs(pairs)
}

// applyPolicies does that when policies have changed and addresses have not.
func (h *Host) applyPolicies() error {
	pairs := h.pairs()
	var more []protectedPair
	for _, p := range pairs {
		if _, there := h.applied.pairs[p]; !there {
			more = append(more, p)
		}
	}
	if len(pairs)-len(more) < len(h.applied.pairs) {
		return h.applyKernel() // some are gone, and may have shared rules with others
	}
	if len(more) == 0 {
		return nil
	}
	wanted, err := h.wantedRouting(more)
	if err != nil {
		return err
	}
	if err := h.addRouting(wanted); err != nil {
		return err
	}
	return h.applyPairs(pairs)
}

// applyAssociation does that for one that is new: a gateway may have thousands of others.
func (h *Host) applyAssociation(a *association) error {
	var more []protectedPair
	for _, l := range a.policy.Local {
		for _, r := range a.policy.Remote {
			for _, pair := range splitFamilies(protectedPair{l, r, false}) {
				if _, there := h.applied.pairs[pair]; !there && slices.Contains(h.families, pair.family()) && !slices.Contains(more, pair) {
					more = append(more, pair)
				}
			}
		}
	}
	if len(more) == 0 {
		return nil
	}
	wanted, err := h.wantedRouting(more)
	if err != nil {
		return err
	}
	if err := h.addRouting(wanted); err != nil {
		return err
	}
	if err := h.addToFilter(more); err != nil {
		return err
	}
	for _, pair := range more {
		h.applied.pairs[pair] = struct{}{}
	}
	return nil
}

// applyPairs brings the filter in line, and notes what is applied.
func (h *Host) applyPairs(pairs []protectedPair) error {
	if err := h.applyFilter(pairs); err != nil {
		return err
	}
	h.applied.pairs = make(map[protectedPair]struct{}, len(pairs))
	for _, p := range pairs {
		h.applied.pairs[p] = struct{}{}
	}
	return nil
}

// cleanUp takes away everything that the kernel holds for a host, whichever host
// it was.
func (h *Host) cleanUp() error {
	if h.cfg.Node.IKE == nil {
		return nil
	}
	if err := h.cfg.takeAway(); err != nil {
		return fmt.Errorf("node %q: %w", h.cfg.Node.Name, err)
	}
	return nil
}

// takeAway is cleanUp for a namespace.
func (c *Config) takeAway() error {
	return c.Namespace.Do(func(ns.NetNS) error {
		here, err := netns.Get()
		if err != nil {
			return fmt.Errorf("its namespace: %w", err)
		}
		defer func() { _ = here.Close() }()
		kernel, err := netlink.NewHandleAt(here, unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("netlink in its namespace: %w", err)
		}
		defer kernel.Close()
		families, err := c.kernelFamilies()
		if err != nil {
			return err
		}
		problems := []error{removeFilter(int(here), families)}
		rules, err := listRules(kernel, families)
		problems = append(problems, err)
		for _, r := range rules {
			problems = append(problems, kernel.RuleDel(&r))
		}
		routes, err := listRoutes(kernel, families)
		problems = append(problems, err)
		for _, r := range routes {
			problems = append(problems, kernel.RouteDel(&r))
		}
		return errors.Join(problems...)
	})
}

// kernelFamilies are the address families that the kernel has, in the namespace that the
// thread is in: one without IPv6 takes no rules, routes and sockets for it, and needs
// none.
func (c *Config) kernelFamilies() ([]int, error) {
	if c.families != nil {
		return c.families, nil
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return []int{unix.AF_INET}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("an IPv6 socket: %w", err)
	}
	return []int{unix.AF_INET, unix.AF_INET6}, unix.Close(fd)
}

// hop is where the kernel would send a packet of the host itself.
type hop struct {
	// iface is the index in the configuration, -1 for a device that is not in it.
	iface int
	next  netip.Addr
	src   netip.Addr
	// mtu is the path's as far as the kernel knows it, in bytes; reported says that
	// routers told it, or whoever made the route.
	mtu      int
	reported bool
}

// route asks the kernel for the way of a packet that the host itself sends. A src
// may be missing. The lock is held.
func (h *Host) route(src, dst netip.Addr) (hop, bool) {
	options := &netlink.RouteGetOptions{Mark: socketMark}
	if src.IsValid() {
		options.SrcAddr = src.AsSlice()
	}
	routes, err := h.kernel.RouteGetWithOptions(dst.AsSlice(), options)
	if err != nil || len(routes) == 0 || routes[0].Type == unix.RTN_UNREACHABLE || routes[0].Type == unix.RTN_BLACKHOLE || routes[0].Type == unix.RTN_PROHIBIT {
		return hop{iface: fromInside}, false
	}
	r := &routes[0]
	w := hop{iface: h.interfaceByIndex(r.LinkIndex), next: dst, mtu: r.MTU, reported: r.MTU != 0}
	if gw, ok := netip.AddrFromSlice(r.Gw); ok {
		w.next = gw.Unmap()
	}
	w.src, _ = netip.AddrFromSlice(r.Src)
	w.src = w.src.Unmap()
	if w.mtu == 0 {
		w.mtu = mtuDefaultBytes
		if w.iface >= 0 {
			w.mtu = h.interfaces[w.iface].mtu
		}
	}
	return w, true
}

// isLocal asks the kernel whether an address is this host's own at this moment. The
// lock is held.
func (h *Host) isLocal(a netip.Addr) bool {
	routes, err := h.kernel.RouteGet(a.AsSlice())
	return err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL
}

// sourceAddr is ike.Config's SourceAddr by the kernel's routes. The machine asks
// with the lock held.
func (h *Host) sourceAddr(remote netip.Addr) netip.Addr {
	w, ok := h.route(netip.Addr{}, remote)
	if !ok {
		return netip.Addr{}
	}
	return w.src
}

// setSysctls makes settings of a device in the namespace that the thread is in. One
// that the kernel does not have is left out, and one that is right already is not
// written: in a container that may be forbidden.
func setSysctls(device string, settings map[string]string) error {
	for name, value := range settings {
		file := "/proc/sys/net/" + strings.Replace(name, "*", device, 1)
		if now, err := os.ReadFile(file); errors.Is(err, os.ErrNotExist) || err == nil && strings.TrimSpace(string(now)) == value {
			continue
		}
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return fmt.Errorf("setting %s of the tunnel device to %s: %w; mount /proc/sys writable", name, value, err)
		}
	}
	return nil
}

// ipNet is p for netlink.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// rangePrefixes covers a range of addresses, ends included, with as few prefixes
// as there can be, in order.
func rangePrefixes(start, end netip.Addr) []netip.Prefix {
	var all []netip.Prefix
	for a := start; a.IsValid() && !end.Less(a); {
		bits := a.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1)
			if wider.Masked().Addr() != a || end.Less(lastOf(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		all = append(all, p)
		a = lastOf(p).Next()
	}
	return all
}

// halves writes a prefix of all addresses as two: a rule from or to all addresses is
// one that does not look at them, which the kernel takes for any other.
func halves(all []netip.Prefix) []netip.Prefix {
	if len(all) != 1 || all[0].Bits() != 0 {
		return all
	}
	low := netip.PrefixFrom(all[0].Addr(), 1)
	return []netip.Prefix{low, netip.PrefixFrom(lastOf(low).Next(), 1)}
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := slices.Clone(p.Addr().AsSlice())
	for bit := p.Bits(); bit < 8*len(b); bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
