//go:build linux

package host

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/esp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ProbeFilter finds out whether the kernel takes the filter that Start installs, by
// installing all that it can have in a namespace, which must have no host, and taking it
// away again. The error names what the kernel said and what it needs.
func ProbeFilter(namespace ns.NetNS) error {
	return probe(namespace, func(h *Host) error {
		err := h.applyFilter(h.probePairs())
		h.applied.filter.close()
		return err
	})
}

// ProbeRules is ProbeFilter for the routing rules and their table.
func ProbeRules(namespace ns.NetNS) error {
	return probe(namespace, func(h *Host) error {
		wanted, err := h.wantedRouting(h.probePairs())
		if err != nil {
			return err
		}
		// There is no TUN device to route to.
		wanted.routes = slices.DeleteFunc(wanted.routes, func(r netlink.Route) bool { return r.Type == unix.RTN_UNICAST })
		if err := h.applyRouting(wanted); err != nil {
			return fmt.Errorf("policies as routing rules: %w; it takes CONFIG_IP_MULTIPLE_TABLES, with IPv6 CONFIG_IPV6_MULTIPLE_TABLES too, rules by protocol (Linux 4.17), and CAP_NET_ADMIN", err)
		}
		return nil
	})
}

// probe has a host without anything else do something in a namespace, and cleans up.
func probe(namespace ns.NetNS, try func(h *Host) error) error {
	h := &Host{cfg: Config{Namespace: namespace, Tunnel: tunnelDefault}, namespace: namespace, tun: &tunDevice{}}
	if err := namespace.Do(func(ns.NetNS) (err error) {
		h.families, err = h.cfg.kernelFamilies()
		return err
	}); err != nil {
		return err
	}
	var err error
	if h.kernel, err = netlink.NewHandleAt(netns.NsHandle(namespace.Fd()), unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("netlink in a namespace: %w", err)
	}
	defer h.kernel.Close()
	if err := try(h); err != nil {
		_ = h.cfg.takeAway() // what there is of it
		return err
	}
	return h.cfg.takeAway()
}

// probePairs have everything that rules and filter can look at: both families, addresses
// and ranges, protocols, ports, ICMP's types, fragments, and whether this host sends.
func (h *Host) probePairs() []protectedPair {
	selectorOf := func(p string, protocol uint8, from, to uint16) esp.Selector {
		s := esp.SelectorFromPrefix(netip.MustParsePrefix(p))
		s.Protocol, s.StartPort, s.EndPort = protocol, from, to
		return s
	}
	var all []protectedPair
	for _, family := range h.families {
		local, remote, whole, icmp := "192.0.2.0/25", "198.51.100.0/24", "0.0.0.0/0", uint8(unix.IPPROTO_ICMP)
		if family == unix.AF_INET6 {
			local, remote, whole, icmp = "2001:db8:1::/64", "2001:db8:2::/64", "::/0", unix.IPPROTO_ICMPV6
		}
		everyPort := func(p string) esp.Selector { return selectorOf(p, 0, 0, 0xffff) }
		all = append(all,
			protectedPair{local: everyPort(local), remote: everyPort(remote)},
			protectedPair{local: everyPort(local), remote: selectorOf(remote, unix.IPPROTO_TCP, 80, 443)},
			protectedPair{local: selectorOf(local, icmp, 0x0800, 0x08ff), remote: selectorOf(remote, icmp, 0x0800, 0x08ff)},
			protectedPair{local: everyPort(whole), remote: everyPort(whole), dynamic: true},
		)
	}
	return all
}
