package topology

import (
	"net/netip"
	"slices"
)

// attachment is an interface of a node, by their positions in the plan.
type attachment struct{ node, iface int }

// router derives routes: packets go over as few routers as possible, and among equals
// over the one that stands first in the file.
type router struct {
	plan    *Plan
	network map[string]int
	// attached are the interfaces in each network, in the order of the file.
	attached [][]attachment
	// derived is the number of routes derived so far.
	derived int
}

func newRouter(p *Plan) *router {
	r := &router{plan: p, network: map[string]int{}, attached: make([][]attachment, len(p.Networks))}
	for i, n := range p.Networks {
		r.network[n.Name] = i
	}
	for n := range p.Nodes {
		for i := range p.Nodes[n].Interfaces {
			if at, ok := r.network[p.Nodes[n].Interfaces[i].Network]; ok {
				r.attached[at] = append(r.attached[at], attachment{n, i})
			}
		}
	}
	return r
}

func (r *router) iface(a attachment) *Interface {
	return &r.plan.Nodes[a.node].Interfaces[a.iface]
}

// address answers an interface's first address of a family, in the same prefix as one
// of the neighbour's if there is such.
func address(i *Interface, four bool, neighbour *Interface) netip.Addr {
	var first netip.Addr
	for _, p := range i.Addresses {
		if p.Addr().Is4() != four {
			continue
		}
		if !first.IsValid() {
			first = p.Addr()
		}
		if neighbour == nil {
			return first
		}
		for _, q := range neighbour.Addresses {
			if q.Contains(p.Addr()) {
				return p.Addr()
			}
		}
	}
	return first
}

// unreachable is the distance of what cannot be reached.
const unreachable = int(^uint(0) >> 1)

// distances answers how many routers lie between each router and a network, for one
// family: 1 for a router in the network. Interfaces that are down at the epoch count
// only when down is true.
func (r *router) distances(to int, four, down bool) []int {
	dist := make([]int, len(r.plan.Nodes))
	for i := range dist {
		dist[i] = unreachable
	}
	seen := make([]bool, len(r.plan.Networks))
	seen[to] = true
	usable := func(a attachment) bool {
		i := r.iface(a)
		return (i.Up || down) && address(i, four, nil).IsValid()
	}
	for round, here := 1, []int{to}; len(here) > 0; round++ {
		var next []int
		for _, n := range here {
			for _, a := range r.attached[n] {
				node := &r.plan.Nodes[a.node]
				if !node.Forward || !usable(a) || dist[a.node] <= round {
					continue
				}
				dist[a.node] = round
				for i := range node.Interfaces {
					if m, ok := r.network[node.Interfaces[i].Network]; ok && !seen[m] && usable(attachment{a.node, i}) {
						seen[m] = true
						next = append(next, m)
					}
				}
			}
		}
		here = next
	}
	return dist
}

// hop is one way from a node towards a network.
type hop struct {
	iface    int
	via      netip.Addr
	down     bool
	distance int
}

// derive adds to every node the routes to every network that it is not in. It answers
// false when there would be too many.
func (r *router) derive() bool {
	// hops[node][family] are the ways to each network, for the choice of default routes.
	type reached struct {
		network int
		hops    []hop
	}
	hops := make([][2][]reached, len(r.plan.Nodes))
	for to := range r.plan.Networks {
		for family, four := range []bool{true, false} {
			if !slices.ContainsFunc(r.plan.Networks[to].Prefixes, func(p netip.Prefix) bool { return p.Addr().Is4() == four }) {
				continue
			}
			for n, h := range r.towards(to, four) {
				if len(h) == 0 {
					continue
				}
				if r.derived += len(h); r.derived > derivedRoutesTotalMax {
					return false
				}
				hops[n][family] = append(hops[n][family], reached{to, h})
			}
		}
	}
	for n := range r.plan.Nodes {
		node := &r.plan.Nodes[n]
		stated := slices.Clone(node.Routes)
		for family, four := range []bool{true, false} {
			all := hops[n][family]
			if len(all) == 0 {
				continue
			}
			same := !node.Forward && !slices.ContainsFunc(stated, func(s Route) bool { return s.Prefix.Addr().Is4() == four })
			for _, one := range all[1:] {
				same = same && slices.EqualFunc(one.hops, all[0].hops, func(a, b hop) bool { return a.iface == b.iface && a.via == b.via })
			}
			if same {
				everything := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
				if four {
					everything = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
				}
				r.add(node, everything, all[0].hops)
				continue
			}
			for _, one := range all {
				for _, p := range r.plan.Networks[one.network].Prefixes {
					covered := func(s Route) bool { return s.Prefix.Bits() <= p.Bits() && s.Prefix.Contains(p.Addr()) }
					if p.Addr().Is4() == four && !slices.ContainsFunc(stated, covered) {
						r.add(node, p, one.hops)
					}
				}
			}
		}
	}
	return true
}

func (r *router) add(node *Node, p netip.Prefix, hops []hop) {
	for _, h := range hops {
		node.Routes = append(node.Routes, Route{Prefix: p, Via: h.via, Interface: node.Interfaces[h.iface].Name, Derived: true})
	}
}

// towards answers every node's ways to a network, best first: at most one per
// interface. A node in the network has none, nor one that cannot reach it.
func (r *router) towards(to int, four bool) [][]hop {
	out := make([][]hop, len(r.plan.Nodes))
	up, all := r.distances(to, four, false), []int(nil)
	inside := make([]bool, len(r.plan.Nodes))
	for _, a := range r.attached[to] {
		inside[a.node] = inside[a.node] || address(r.iface(a), four, nil).IsValid()
	}
	for from := range r.plan.Networks {
		if from == to {
			continue
		}
		dist := up
		first, second := r.nearest(from, four, false, dist)
		if first.node < 0 {
			if all == nil {
				all = r.distances(to, four, true)
			}
			dist = all
			first, second = r.nearest(from, four, true, dist)
		}
		if first.node < 0 {
			continue
		}
		for _, a := range r.attached[from] {
			if inside[a.node] {
				continue
			}
			next := first
			if next.node == a.node {
				if next = second; next.node < 0 {
					continue
				}
			}
			// A router passes packets only to those that are not farther than itself:
			// none of them sends them back (RFC 5286, loop-free alternates).
			if r.plan.Nodes[a.node].Forward && dist[next.node] > dist[a.node] {
				continue
			}
			me := r.iface(a)
			if !address(me, four, nil).IsValid() {
				continue
			}
			h := hop{iface: a.iface, via: address(r.iface(next), four, me), down: !me.Up, distance: dist[next.node]}
			if !slices.ContainsFunc(out[a.node], func(o hop) bool { return o.iface == h.iface }) {
				out[a.node] = append(out[a.node], h)
			}
		}
	}
	for n := range out {
		slices.SortStableFunc(out[n], func(a, b hop) int {
			switch {
			case a.down != b.down && a.down:
				return 1
			case a.down != b.down:
				return -1
			case a.distance != b.distance:
				return a.distance - b.distance
			}
			return a.iface - b.iface
		})
	}
	return out
}

// nearest answers the two routers of a network that are nearest to the target, of
// different nodes; node is -1 where there is none. Interfaces that are down at the
// epoch count only when down is true.
func (r *router) nearest(in int, four, down bool, dist []int) (first, second attachment) {
	first, second = attachment{-1, 0}, attachment{-1, 0}
	for _, a := range r.attached[in] {
		i := r.iface(a)
		if dist[a.node] == unreachable || !i.Up && !down || !address(i, four, nil).IsValid() {
			continue
		}
		switch {
		case first.node < 0 || dist[a.node] < dist[first.node]:
			first, second = a, first
		case second.node < 0 || dist[a.node] < dist[second.node]:
			second = a
		}
	}
	return first, second
}

// lookup answers the interface by which a node reaches an address: a connected prefix
// or its longest route, over interfaces that are up if there is such.
func (p *Plan) lookup(node int, to netip.Addr) (iface int, ok bool) {
	n := &p.Nodes[node]
	best := -1
	for _, wantUp := range []bool{true, false} {
		for i := range n.Interfaces {
			for _, a := range n.Interfaces[i].Addresses {
				if n.Interfaces[i].Up == wantUp && a.Contains(to) && a.Bits() > best {
					iface, best, ok = i, a.Bits(), true
				}
			}
		}
		for _, r := range n.Routes {
			i := slices.IndexFunc(n.Interfaces, func(i Interface) bool { return i.Name == r.Interface })
			if i >= 0 && n.Interfaces[i].Up == wantUp && r.Prefix.Contains(to) && r.Prefix.Bits() > best {
				iface, best, ok = i, r.Prefix.Bits(), true
			}
		}
		if ok {
			return iface, true
		}
	}
	return 0, false
}
