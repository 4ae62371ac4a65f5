//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/vishvananda/netlink"
)

const (
	// wan is the name of the veth's ends.
	wan       = "eth0"
	outerBits = 24
)

var (
	outer = [2]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	inner = [2]netip.Addr{netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.2.0.1")}
)

// ends are the tunnel's ends as side sees them.
func ends(side int) Ends {
	return Ends{Here: outer[side], There: outer[1-side], HereInner: inner[side], ThereInner: inner[1-side]}
}

// world is two namespaces with a link between them, and a process in each that makes traffic.
type world struct {
	network [2]ns.NetNS
	traffic [2]*process
}

// newWorld makes a world whose ends do not know yet how to reach each other's inner address.
func newWorld(ctx context.Context) (*world, error) {
	w := new(world)
	if err := w.make(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) make(ctx context.Context) error {
	for i := range w.network {
		n, err := ns.TempNetNS()
		if err != nil {
			return fmt.Errorf("a network namespace: %w; cure: run as root", err)
		}
		w.network[i] = n
	}
	err := w.in(0, func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: wan}, PeerName: wan, PeerNamespace: netlink.NsFd(w.network[1].Fd())})
	})
	if err != nil {
		return fmt.Errorf("a veth pair: %w", err)
	}
	for i := range w.network {
		err := w.in(i, func() error {
			for _, all := range []string{"all", "default"} {
				if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+all+"/rp_filter", []byte("0"), 0o644); err != nil {
					return err
				}
			}
			return errors.Join(raise("lo", netip.PrefixFrom(inner[i], 32)), raise(wan, netip.PrefixFrom(outer[i], outerBits)))
		})
		if err != nil {
			return err
		}
		if w.traffic[i], err = startProcess(w.network[i], "traffic"); err != nil {
			return err
		}
		if err := w.traffic[i].call(ctx, "Listen", inner[i], nil); err != nil {
			return err
		}
	}
	return nil
}

// in does something in a side's namespace.
func (w *world) in(side int, f func() error) error {
	return w.network[side].Do(func(ns.NetNS) error { return f() })
}

// raise gives an interface an address and sets it up.
func raise(name string, address netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return fmt.Errorf("%s %s: %w", name, address, err)
	}
	return netlink.LinkSetUp(link)
}

// lead sends what is for the other side's inner address through a device, which it sets up; via may be zero.
func (w *world) lead(side int, device string, via netip.Addr) error {
	return w.in(side, func() error {
		link, err := netlink.LinkByName(device)
		if err != nil {
			return fmt.Errorf("%s: %w", device, err)
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.PrefixFrom(inner[1-side], 32)), Src: inner[side].AsSlice()}
		if via.IsValid() {
			r.Gw = via.AsSlice()
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		return netlink.RouteAdd(r)
	})
}

// mtu is a device's, in bytes; that of the first device with a name that begins so.
func (w *world) mtu(prefix string) (int, error) {
	mtu := 0
	err := w.in(0, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if mtu == 0 && strings.HasPrefix(l.Attrs().Name, prefix) {
				mtu = l.Attrs().MTU
			}
		}
		return nil
	})
	if err == nil && mtu == 0 {
		err = fmt.Errorf("there is no device %s", prefix)
	}
	return mtu, err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// close ends the processes, with which the namespaces go.
func (w *world) close() error {
	var problems []error
	for i := range w.network {
		if w.traffic[i] != nil {
			problems = append(problems, w.traffic[i].close())
		}
		if w.network[i] != nil {
			problems = append(problems, w.network[i].Close())
		}
	}
	return errors.Join(problems...)
}
