package node

import (
	"fmt"
	"net/netip"
	"slices"
)

// attachment is an interface at work.
type attachment struct {
	name      string
	addresses []netip.Prefix
	up        bool
	mtu       int
}

// hop is where a route leads: an interface, and the next hop unless the
// destination is on the link.
type hop struct {
	iface int
	via   netip.Addr
}

// route is one line of the routing table.
type route struct {
	prefix netip.Prefix
	hop
}

// routes is the routing table, longest prefixes first. Only routes by
// interfaces that are up are in it, as a kernel keeps it.
type routes struct {
	configured []route
	table      []route
	// local holds every address of the node, whatever the interface's state
	// (RFC 1122 §3.3.4.2, the weak end system model).
	local map[netip.Addr]int
	// broadcast holds the directed broadcast addresses of the connected
	// prefixes; those of 31 bits and more have none (RFC 3021).
	broadcast map[netip.Addr]struct{}
}

// rebuild derives the table from the interfaces.
func (r *routes) rebuild(interfaces []attachment) {
	r.table = r.table[:0]
	r.local = make(map[netip.Addr]int)
	r.broadcast = make(map[netip.Addr]struct{})
	for i, a := range interfaces {
		for _, prefix := range a.addresses {
			if _, taken := r.local[prefix.Addr()]; !taken {
				r.local[prefix.Addr()] = i
			}
			if prefix.Addr().Is4() && prefix.Bits() < 31 {
				r.broadcast[lastAddress(prefix)] = struct{}{}
			}
			if a.up {
				r.table = append(r.table, route{prefix: prefix.Masked(), hop: hop{iface: i}})
			}
		}
	}
	for _, c := range r.configured {
		if interfaces[c.iface].up {
			r.table = append(r.table, c)
		}
	}
	// Stable: connected routes go before configured ones of the same length,
	// and each kind keeps its order.
	slices.SortStableFunc(r.table, func(a, b route) int { return b.prefix.Bits() - a.prefix.Bits() })
}

// lookup finds the way to dst: the interface and the next hop on its link.
func (r *routes) lookup(dst netip.Addr) (iface int, next netip.Addr, ok bool) {
	for i := range r.table {
		if c := &r.table[i]; c.prefix.Contains(dst) {
			if c.via.IsValid() {
				return c.iface, c.via, true
			}
			return c.iface, dst, true
		}
	}
	return 0, netip.Addr{}, false
}

// isLocal says whether a is one of the node's own addresses.
func (r *routes) isLocal(a netip.Addr) bool {
	_, ok := r.local[a]
	return ok
}

// isBroadcast says whether a is the limited broadcast address or that of a
// connected IPv4 prefix (RFC 1812 §5.3.5).
func (r *routes) isBroadcast(a netip.Addr) bool {
	if !a.Is4() {
		return false
	}
	_, directed := r.broadcast[a]
	return directed || a == broadcast4
}

// lastAddress is the address of an IPv4 prefix with all host bits set.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// sourceOn chooses among an interface's addresses the one that shares the
// longest prefix with dst (RFC 6724 §5 rule 8), the first of equals.
func sourceOn(a *attachment, dst netip.Addr) (netip.Addr, bool) {
	best, bits := netip.Addr{}, -1
	for _, p := range a.addresses {
		if p.Addr().Is4() != dst.Is4() {
			continue
		}
		if common := commonPrefixBits(p.Addr(), dst); common > bits {
			best, bits = p.Addr(), common
		}
	}
	return best, bits >= 0
}

// commonPrefixBits counts the leading bits that a and b share; both are of one
// family.
func commonPrefixBits(a, b netip.Addr) int {
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if d := x[i] ^ y[i]; d != 0 {
			n := 8 * i
			for mask := byte(0x80); d&mask == 0; mask >>= 1 {
				n++
			}
			return n
		}
	}
	return 8 * len(x)
}

// sourceFor chooses the address for a packet that this host sends, described by
// k but for its source: the one that the routes choose, unless a policy protects
// the traffic from another address of the node and not from that one. The tunnel
// would carry no other.
func (n *Node) sourceFor(k PacketKey) (netip.Addr, bool) {
	if n.routes.isLocal(k.Dst) {
		return k.Dst, true
	}
	routed, ok := n.routedSource(k.Dst)
	if ok && n.protects(routed, k) {
		return routed, true
	}
	for i := range n.interfaces {
		for _, own := range n.interfaces[i].addresses {
			if n.interfaces[i].up && own.Addr().Is4() == k.Dst.Is4() && n.protects(own.Addr(), k) {
				return own.Addr(), true
			}
		}
	}
	return routed, ok
}

// routedSource chooses by the routes alone: an address of the outgoing
// interface, or of any other that is up when that one has none of the family.
func (n *Node) routedSource(dst netip.Addr) (netip.Addr, bool) {
	iface, _, ok := n.routes.lookup(dst)
	if !ok {
		return netip.Addr{}, false
	}
	if src, ok := sourceOn(&n.interfaces[iface], dst); ok {
		return src, true
	}
	for i := range n.interfaces {
		if n.interfaces[i].up {
			if src, ok := sourceOn(&n.interfaces[i], dst); ok {
				return src, true
			}
		}
	}
	return netip.Addr{}, false
}

// newAttachments checks the interfaces of a configuration.
func newAttachments(name string, interfaces []Interface) ([]attachment, error) {
	if len(interfaces) > interfacesMax {
		return nil, fmt.Errorf("node %q has %d interfaces; the limit is %d", name, len(interfaces), interfacesMax)
	}
	attachments := make([]attachment, len(interfaces))
	for i, c := range interfaces {
		if c.Name == "" || slices.ContainsFunc(interfaces[:i], func(o Interface) bool { return o.Name == c.Name }) {
			return nil, fmt.Errorf("node %q: interface %d needs a name of its own, not %q", name, i, c.Name)
		}
		if err := checkAddresses(c.Addresses); err != nil {
			return nil, fmt.Errorf("node %q interface %q: %w", name, c.Name, err)
		}
		mtu := c.MTUBytes
		if mtu == 0 {
			mtu = mtuDefaultBytes
		}
		if least := leastMTU(c.Addresses); mtu < least || mtu > 0xffff {
			return nil, fmt.Errorf("node %q interface %q: an MTU of %d bytes is impossible; choose one from %d to 65535", name, c.Name, mtu, least)
		}
		attachments[i] = attachment{name: c.Name, addresses: slices.Clone(c.Addresses), up: c.Up, mtu: mtu}
	}
	return attachments, nil
}

// checkAddresses refuses what cannot be a host's own address.
func checkAddresses(addresses []netip.Prefix) error {
	if len(addresses) > addressesPerInterfaceMax {
		return fmt.Errorf("%d addresses; the limit is %d", len(addresses), addressesPerInterfaceMax)
	}
	for _, a := range addresses {
		if !a.IsValid() || a.Addr().IsMulticast() || a.Addr().IsUnspecified() || a.Addr().IsLoopback() || a.Addr().Is4In6() || a.Addr() == broadcast4 {
			return fmt.Errorf("%v cannot be an interface's address; give a unicast address with its prefix length", a)
		}
	}
	return nil
}

// leastMTU is the smallest MTU that the families on an interface allow
// (RFC 791 §3.2, RFC 8200 §5).
func leastMTU(addresses []netip.Prefix) int {
	for _, a := range addresses {
		if a.Addr().Is6() {
			return 1280
		}
	}
	return 68
}

// newRoutes checks the routes of a configuration and resolves their
// interfaces.
func newRoutes(name string, configured []Route, interfaces []attachment) (routes, error) {
	var r routes
	if len(configured) > routesMax {
		return r, fmt.Errorf("node %q has %d routes; the limit is %d", name, len(configured), routesMax)
	}
	for _, c := range configured {
		if !c.Prefix.IsValid() || (c.Via.IsValid() && c.Via.Is4() != c.Prefix.Addr().Is4()) {
			return r, fmt.Errorf("node %q: route %v via %v is none; give a prefix, and a next hop of its family", name, c.Prefix, c.Via)
		}
		iface := slices.IndexFunc(interfaces, func(a attachment) bool {
			if c.Interface != "" {
				return a.name == c.Interface
			}
			return c.Via.IsValid() && slices.ContainsFunc(a.addresses, func(p netip.Prefix) bool { return p.Contains(c.Via) })
		})
		if iface < 0 {
			return r, fmt.Errorf("node %q: route %v via %v leads to no interface; name one of the node's", name, c.Prefix, c.Via)
		}
		r.configured = append(r.configured, route{prefix: c.Prefix.Masked(), hop: hop{iface: iface, via: c.Via}})
	}
	r.rebuild(interfaces)
	return r, nil
}
