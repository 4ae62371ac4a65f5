//go:build linux

package netns

import (
	"net/netip"

	"github.com/ikelab/ikelab/topology"
)

// neighboursMax is the largest segment on which everybody is told who is where. On a
// larger one, where that would be the square of its size, a node is told of those whom
// the plan has it talk to, and asks for others.
//
// All namespaces of a host share one neighbour table per family, and what is learned by
// asking may fill it (net.ipv4.neigh.default.gc_thresh3, 1024 entries). What a node is
// told is permanent and does not count there: the kernel neither limits nor collects it.
const neighboursMax = 64

// hopsMax bounds how far a packet is followed, should routes make a circle.
const hopsMax = 32

// acquaintances are the pairs of interfaces that know each other's hardware addresses
// from the beginning, each in both directions.
type acquaintances struct {
	plan *topology.Plan
	// segments are the numbers of the networks that interfaces are on, owners who has an
	// address at any time of the plan.
	segments map[endpoint]int
	owners   map[netip.Addr][]endpoint
	known    map[endpoint][]endpoint
	pairs    map[[2]endpoint]bool
	followed map[journey]bool
}

// journey is the way of packets from a node to an address.
type journey struct {
	node int
	to   netip.Addr
}

// acquaint decides who is told of whom.
func acquaint(plan *topology.Plan, segments []segment) map[endpoint][]endpoint {
	a := &acquaintances{
		plan: plan, segments: map[endpoint]int{}, owners: map[netip.Addr][]endpoint{}, known: map[endpoint][]endpoint{},
		pairs: map[[2]endpoint]bool{}, followed: map[journey]bool{},
	}
	large := false
	for number, s := range segments {
		for i, at := range s.ends {
			a.segments[at] = number
			if len(s.ends) > neighboursMax {
				large = true
				continue
			}
			for _, other := range s.ends[:i] {
				a.meet(at, other)
			}
		}
	}
	if !large {
		return a.known
	}
	a.findOwners()
	for n := range plan.Nodes {
		for _, r := range plan.Nodes[n].Routes {
			if r.Via.IsValid() {
				a.hop(endpoint{n, interfaceNamed(&plan.Nodes[n], r.Interface)}, r.Via)
			}
		}
		for c := range plan.Nodes[n].Connections {
			a.connection(n, &plan.Nodes[n].Connections[c])
		}
	}
	for _, f := range plan.Flows {
		for _, from := range a.owners[f.FromAddr] {
			a.follow(from.node, f.ToAddr)
		}
		for _, to := range a.owners[f.ToAddr] {
			a.follow(to.node, f.FromAddr)
		}
	}
	return a.known
}

// findOwners notes who has which address, also those that steps bring.
func (a *acquaintances) findOwners() {
	numbers := map[string]int{}
	for n := range a.plan.Nodes {
		node := &a.plan.Nodes[n]
		numbers[node.Name] = n
		for i := range node.Interfaces {
			for _, p := range node.Interfaces[i].Addresses {
				a.owners[p.Addr()] = append(a.owners[p.Addr()], endpoint{n, i})
			}
		}
	}
	for _, s := range a.plan.Steps {
		n, known := numbers[s.Action.Node]
		if !known || len(s.Action.Addresses) == 0 {
			continue
		}
		at := endpoint{n, interfaceNamed(&a.plan.Nodes[n], s.Action.Interface)}
		for _, p := range s.Action.Addresses {
			a.owners[p.Addr()] = append(a.owners[p.Addr()], at)
		}
	}
}

// interfaceNamed is the place of an interface in its node, -1 for none.
func interfaceNamed(n *topology.Node, name string) int {
	for i := range n.Interfaces {
		if n.Interfaces[i].Name == name {
			return i
		}
	}
	return -1
}

// connection lets the ends of a connection know whoever carries their packets.
func (a *acquaintances) connection(n int, c *topology.Connection) {
	for _, remote := range c.RemoteAddrs {
		a.follow(n, remote)
		local := c.LocalAddrs
		if len(local) == 0 {
			if i, _, ok := a.route(n, remote); ok {
				for _, p := range a.plan.Nodes[n].Interfaces[i].Addresses {
					local = append(local, p.Addr())
				}
			}
		}
		for _, peer := range a.owners[remote] {
			for _, l := range local {
				if l.Is4() == remote.Is4() {
					a.follow(peer.node, l)
				}
			}
		}
	}
}

// follow goes the way of a packet, and lets those who hand it on know each other.
func (a *acquaintances) follow(n int, to netip.Addr) {
	for range hopsMax {
		if a.followed[journey{n, to}] {
			return
		}
		a.followed[journey{n, to}] = true
		for _, at := range a.owners[to] {
			if at.node == n {
				return // it has arrived
			}
		}
		i, next, ok := a.route(n, to)
		if !ok {
			return
		}
		if n, ok = a.hop(endpoint{n, i}, next); !ok {
			return
		}
	}
}

// hop lets an interface know a next hop on its network, and says which node that is.
func (a *acquaintances) hop(at endpoint, next netip.Addr) (node int, ok bool) {
	for _, other := range a.owners[next] {
		if at.iface >= 0 && other.iface >= 0 && a.segments[other] == a.segments[at] && other != at {
			a.meet(at, other)
			node, ok = other.node, true
		}
	}
	return node, ok
}

// meet lets two interfaces know each other.
func (a *acquaintances) meet(x, y endpoint) {
	if a.pairs[[2]endpoint{x, y}] {
		return
	}
	a.pairs[[2]endpoint{x, y}], a.pairs[[2]endpoint{y, x}] = true, true
	a.known[x] = append(a.known[x], y)
	a.known[y] = append(a.known[y], x)
}

// route is the way that a node's own packets take by the plan, whatever is up.
func (a *acquaintances) route(n int, to netip.Addr) (iface int, next netip.Addr, ok bool) {
	node := &a.plan.Nodes[n]
	bits := -1
	for i := range node.Interfaces {
		for _, p := range node.Interfaces[i].Addresses {
			if p.Masked().Contains(to) && p.Bits() > bits {
				iface, next, bits = i, to, p.Bits()
			}
		}
	}
	for _, r := range node.Routes {
		if i := interfaceNamed(node, r.Interface); i >= 0 && r.Prefix.Contains(to) && r.Prefix.Bits() > bits {
			if iface, next, bits = i, to, r.Prefix.Bits(); r.Via.IsValid() {
				next = r.Via
			}
		}
	}
	return iface, next, bits >= 0
}
