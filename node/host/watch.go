//go:build linux

package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	mtuDefaultBytes = 1500
	// watchBufferBytes is room for the notifications of many changes at once.
	watchBufferBytes = 1 << 20
	// settle is how long changes of addresses are gathered: an address that replaces
	// another is two changes for netlink and one for everybody else.
	settle = 5 * time.Millisecond
)

// attachment is an interface as the kernel has it.
type attachment struct {
	name, device string
	// index is the kernel's, 0 while there is no such device.
	index     int
	up        bool
	addresses []netip.Prefix
	// latest are the addresses by the kernel's latest notification; they become
	// addresses when they have settled.
	latest []netip.Prefix
	mtu    int
}

// watcher listens to the kernel's changes of links and addresses: one socket for
// both, so that they come in their order.
type watcher struct {
	socket *nl.NetlinkSocket
	// settling is set while addresses settle.
	settling *time.Timer
}

func (w *watcher) close() {
	w.socket.Close()
	if w.settling != nil {
		w.settling.Stop()
	}
}

// watch reads how the interfaces are and begins to follow them. The lock is held.
func (h *Host) watch() error {
	s, err := nl.SubscribeAt(netns.NsHandle(h.namespace.Fd()), netns.None(), unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("listening to changes of its interfaces: %w", err)
	}
	h.watcher = &watcher{socket: s}
	if err := s.SetReceiveBufferSize(watchBufferBytes, true); err != nil {
		// The usual buffer is enough for all but hundreds of changes at once, and
		// an overflow is noticed.
		_ = s.SetReceiveBufferSize(watchBufferBytes, false)
	}
	for i, c := range h.cfg.Node.Interfaces {
		a := attachment{name: c.Name, device: c.Name, mtu: mtuDefaultBytes}
		if h.cfg.Devices != nil {
			a.device = h.cfg.Devices[i]
		}
		if slices.ContainsFunc(h.interfaces, func(o attachment) bool { return o.device == a.device }) {
			return fmt.Errorf("interface %q: device %q belongs to another interface already", c.Name, a.device)
		}
		h.interfaces = append(h.interfaces, a)
	}
	links, addresses, err := h.dump()
	if err != nil {
		return err
	}
	for i := range h.interfaces {
		a := &h.interfaces[i]
		link, ok := links[a.device]
		if !ok {
			return fmt.Errorf("interface %q: there is no device %q in the namespace; create it first", a.name, a.device)
		}
		a.index, a.up, a.mtu = link.index, link.up, link.mtu
		a.addresses = h.ordered(i, addresses[link.index])
		a.latest = a.addresses
	}
	h.workers.Add(1)
	go h.follow(s)
	return nil
}

// linkState is what the kernel says of a link.
type linkState struct {
	index, mtu int
	up         bool
}

// dump reads all links, by name, and all addresses, by link.
func (h *Host) dump() (map[string]linkState, map[int][]netip.Prefix, error) {
	links, err := h.kernel.LinkList()
	if err != nil {
		return nil, nil, fmt.Errorf("listing the interfaces: %w", err)
	}
	byName := make(map[string]linkState)
	for _, l := range links {
		a := l.Attrs()
		byName[a.Name] = linkState{index: a.Index, mtu: a.MTU, up: isUp(a.RawFlags)}
	}
	list, err := h.kernel.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, nil, fmt.Errorf("listing the addresses: %w", err)
	}
	byLink := make(map[int][]netip.Prefix)
	for _, a := range list {
		if p, ok := prefixOf(a.IP, a.Mask); ok && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			byLink[a.LinkIndex] = append(byLink[a.LinkIndex], p)
		}
	}
	return byName, byLink, nil
}

// isUp says whether a link carries packets: it is switched on, and so is the other
// end.
func isUp(flags uint32) bool { return flags&unix.IFF_UP != 0 && flags&unix.IFF_LOWER_UP != 0 }

func prefixOf(ip, mask []byte) (netip.Prefix, bool) {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Prefix{}, false
	}
	bits := 0
	for _, b := range mask {
		for ; b != 0; b <<= 1 {
			bits++
		}
	}
	return netip.PrefixFrom(a.Unmap(), bits), true
}

// ordered brings addresses of interface i into the configuration's order; what it
// does not name comes behind. Link-local addresses count only where it names them:
// kernels make them unasked.
func (h *Host) ordered(i int, addresses []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range h.cfg.Node.Interfaces[i].Addresses {
		if slices.Contains(addresses, p) {
			all = append(all, p)
		}
	}
	for _, p := range addresses {
		if !slices.Contains(all, p) && !p.Addr().IsLinkLocalUnicast() {
			all = append(all, p)
		}
	}
	return all
}

// follow handles the kernel's notifications until the socket is closed.
func (h *Host) follow(s *nl.NetlinkSocket) {
	defer h.workers.Done()
	for {
		messages, _, err := s.Receive()
		select {
		case <-h.stopped:
			return
		default:
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// Some are lost: look at everything.
			h.enter(h.reread)
		case errors.Is(err, unix.EINTR):
		case err != nil:
			h.fail(fmt.Errorf("listening to changes of its interfaces: %w", err))
			return
		default:
			h.enter(func() {
				for i := range messages {
					h.notified(&messages[i])
				}
			})
		}
	}
}

// notified handles one notification. The lock is held, here and below.
func (h *Host) notified(m *syscall.NetlinkMessage) {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		h.linkNotified(m.Header.Type == unix.RTM_DELLINK, m.Data)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		h.addressNotified(m.Header.Type == unix.RTM_DELADDR, m.Data)
	}
}

func (h *Host) linkNotified(gone bool, data []byte) {
	if len(data) < unix.SizeofIfInfomsg {
		return
	}
	info := nl.DeserializeIfInfomsg(data)
	if info.Family != unix.AF_UNSPEC {
		return // a bridge's news about its port
	}
	if gone && h.tun != nil && int(info.Index) == h.tun.index {
		go h.fail(fmt.Errorf("the tunnel device %q was removed; start the node again", h.cfg.Tunnel))
		return
	}
	attributes, err := nl.ParseRouteAttr(data[info.Len():])
	if err != nil {
		return
	}
	state := linkState{index: int(info.Index), up: isUp(info.Flags) && !gone}
	name := ""
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFLA_IFNAME:
			name = unix.ByteSliceToString(a.Value)
		case unix.IFLA_MTU:
			state.mtu = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	for i := range h.interfaces {
		a := &h.interfaces[i]
		switch {
		case a.index != 0 && a.index == state.index:
			if gone {
				a.index = 0
			}
			h.linkIs(i, state)
			if gone {
				a.latest = nil
				h.settleAddresses()
			}
		case a.index == 0 && a.device == name && !gone:
			a.index = state.index
			h.linkIs(i, state)
		}
	}
}

// linkIs takes up how interface i is.
func (h *Host) linkIs(i int, state linkState) {
	a := &h.interfaces[i]
	if state.mtu != 0 && state.mtu != a.mtu {
		a.mtu = state.mtu
		h.refreshPaths()
	}
	if a.up == state.up {
		return
	}
	h.takeAddresses() // what came before comes first
	a.up = state.up
	kind := node.EventInterfaceDown
	if a.up {
		kind = node.EventInterfaceUp
	}
	h.event(node.Event{Kind: kind, Interface: i})
	h.addressesChanged()
}

func (h *Host) addressNotified(gone bool, data []byte) {
	if len(data) < unix.SizeofIfAddrmsg {
		return
	}
	info := nl.DeserializeIfAddrmsg(data)
	i := h.interfaceByIndex(int(info.Index))
	if i < 0 {
		return
	}
	attributes, err := nl.ParseRouteAttr(data[info.Len():])
	if err != nil {
		return
	}
	var address, local []byte
	flags := uint32(info.Flags)
	for _, a := range attributes {
		switch a.Attr.Type {
		case unix.IFA_ADDRESS:
			address = a.Value
		case unix.IFA_LOCAL:
			local = a.Value // differs from the address on point-to-point links
		case unix.IFA_FLAGS:
			flags = binary.NativeEndian.Uint32(a.Value)
		}
	}
	if local == nil {
		local = address
	}
	ip, ok := netip.AddrFromSlice(local)
	if !ok {
		return
	}
	p := netip.PrefixFrom(ip.Unmap(), int(info.Prefixlen))
	a := &h.interfaces[i]
	a.latest = slices.DeleteFunc(slices.Clone(a.latest), func(o netip.Prefix) bool { return o == p })
	if !gone && flags&unix.IFA_F_TENTATIVE == 0 {
		a.latest = append(a.latest, p)
	}
	h.settleAddresses()
}

// settleAddresses takes changes of addresses up in a while, unless that is under way.
func (h *Host) settleAddresses() {
	if h.watcher.settling == nil {
		h.watcher.settling = time.AfterFunc(settle, func() { h.enter(h.takeAddresses) })
	}
}

// takeAddresses takes up the addresses of all interfaces as the kernel has them.
func (h *Host) takeAddresses() {
	if h.watcher.settling != nil {
		h.watcher.settling.Stop()
		h.watcher.settling = nil
	}
	changed := false
	for i := range h.interfaces {
		a := &h.interfaces[i]
		if latest := h.ordered(i, a.latest); !slices.Equal(latest, a.addresses) {
			a.addresses, changed = latest, true
			h.event(node.Event{Kind: node.EventAddressChanged, Interface: i})
		}
	}
	if changed {
		h.addressesChanged()
	}
	h.reconsiderUnsettled()
}

// reread looks at all interfaces, because notifications were lost.
func (h *Host) reread() {
	links, addresses, err := h.dump()
	if err != nil {
		go h.fail(err)
		return
	}
	for i := range h.interfaces {
		a := &h.interfaces[i]
		link, ok := links[a.device]
		if a.index = link.index; !ok {
			a.index = 0
		}
		h.linkIs(i, link)
		a.latest = addresses[link.index]
	}
	h.takeAddresses()
}

// addressesChanged brings everything up to date that depends on interfaces.
func (h *Host) addressesChanged() {
	if h.machine == nil {
		return
	}
	h.refreshPolicies()
	problem := h.syncSockets()
	h.refreshPaths()
	if problem = errors.Join(problem, h.applyKernel()); problem != nil {
		h.event(node.Event{Kind: node.EventInstallFailed, Interface: fromInside, Problem: problem.Error()})
	}
	if h.booted {
		h.tell(ike.AddressChange{Local: h.addresses()})
	}
}

// addresses are those of the interfaces that are up, in order.
func (h *Host) addresses() []netip.Addr {
	var all []netip.Addr
	for i := range h.interfaces {
		if h.interfaces[i].up {
			for _, p := range h.interfaces[i].addresses {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

// interfaceByIndex finds an interface by the kernel's index, -1 when it is not in
// the configuration.
func (h *Host) interfaceByIndex(index int) int {
	return slices.IndexFunc(h.interfaces, func(a attachment) bool { return a.index == index && index != 0 })
}

// interfaceWith finds the interface that has an address, -1 for none.
func (h *Host) interfaceWith(a netip.Addr) int {
	return slices.IndexFunc(h.interfaces, func(at attachment) bool {
		return slices.ContainsFunc(at.addresses, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}
