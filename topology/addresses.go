package topology

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// derived answers the cell of a value that references see and that is no attribute, or
// not only one: the name, a network's prefixes, an interface's addresses.
func (it *item) derived(name string) *cell {
	key := "derived " + name
	if c := it.cells[key]; c != nil {
		return c
	}
	c := &cell{label: it.path + "." + name, rng: it.statedRange()}
	it.cells[key] = c
	strings := func(addresses []netip.Addr) cty.Value {
		values := make([]cty.Value, 0, len(addresses))
		for _, a := range addresses {
			values = append(values, cty.StringVal(a.String()))
		}
		return cty.TupleVal(values)
	}
	c.compute = func(c *cell) {
		c.value = cty.NullVal(cty.String)
		switch {
		case name == "name":
			c.ok, c.value = true, cty.StringVal(it.name)
		case it.schema.name == "network":
			prefixes, ok := it.prefixes()
			if c.ok = ok; !ok {
				return
			}
			values := make([]cty.Value, 0, len(prefixes))
			for _, p := range prefixes {
				values = append(values, cty.StringVal(p.String()))
			}
			c.value = cty.TupleVal(values)
			if name == "prefix" {
				c.value = values[0]
			}
		default:
			all, ok := it.addresses()
			if c.ok = ok; !ok {
				return
			}
			var four, six, both []netip.Addr
			for _, p := range all {
				both = append(both, p.Addr())
				if p.Addr().Is4() {
					four = append(four, p.Addr())
				} else {
					six = append(six, p.Addr())
				}
			}
			switch {
			case name == "addresses":
				c.value = strings(both)
			case name == "address" && len(both) > 0:
				c.value = cty.StringVal(both[0].String())
			case name == "address4" && len(four) > 0:
				c.value = cty.StringVal(four[0].String())
			case name == "address6" && len(six) > 0:
				c.value = cty.StringVal(six[0].String())
			}
		}
	}
	return c
}

// statedRange is where a block states its addresses or prefixes, else its name.
func (it *item) statedRange() hcl.Range {
	for _, name := range []string{"address", "addresses", "prefix", "prefixes"} {
		if a := it.body.Attributes[name]; a != nil {
			return a.Expr.Range()
		}
	}
	return it.rng
}

// prefixes answers a network's prefixes, in the order of the file.
func (it *item) prefixes() ([]netip.Prefix, bool) {
	one, many := it.attr("prefix"), it.attr("prefixes")
	switch {
	case !one.ok || !many.ok:
		return nil, false
	case one.set && many.set:
		it.l.errorf(many.rng, "prefix and prefixes exclude each other", "Write all prefixes of %s into prefixes.", it.path)
		it.l.failed = true
		return nil, false
	case one.set:
		return []netip.Prefix{one.typed.(netip.Prefix)}, true
	case many.set:
		var out []netip.Prefix
		for _, e := range many.typed.([]located) {
			out = append(out, e.typed.(netip.Prefix))
		}
		if len(out) > 0 {
			return out, true
		}
	}
	it.l.errorf(it.rng, "Missing prefix", "network %q needs a prefix, e.g. prefix = \"10.1.0.0/16\".", it.label)
	it.l.failed = true
	return nil, false
}

// addresses answers an interface's addresses with its network's prefix lengths: those
// that the file states, or one of each of the network's prefixes.
func (it *item) addresses() ([]netip.Prefix, bool) {
	key := "derived all addresses"
	c := it.cells[key]
	if c == nil {
		c = &cell{label: it.path + ".address", rng: it.statedRange(), compute: it.computeAddresses}
		it.cells[key] = c
	}
	if !it.l.force(c) {
		return nil, false
	}
	return c.typed.([]netip.Prefix), true
}

func (it *item) computeAddresses(c *cell) {
	network, ok := get[*item](it, "network")
	if !ok {
		return
	}
	stated, isStated, ok := it.statedAddresses()
	if !ok {
		return
	}
	prefixes, ok := network.prefixes()
	if !ok {
		return
	}
	if !isStated {
		c.typed, c.ok = it.l.assign(network, it)
		return
	}
	var out []netip.Prefix
	c.ok = true
	for _, e := range stated {
		a := e.typed.(statedAddress)
		p, ok := it.checkStated(network, prefixes, a, e)
		c.ok = c.ok && ok
		out = append(out, p)
	}
	c.typed = out
}

// statedAddresses answers the addresses in the file.
func (it *item) statedAddresses() (out []located, stated, ok bool) {
	one, many := it.attr("address"), it.attr("addresses")
	switch {
	case !one.ok || !many.ok:
		return nil, false, false
	case one.set && many.set:
		it.l.errorf(many.rng, "address and addresses exclude each other", "Write all addresses of %s into addresses.", it.path)
		it.l.failed = true
		return nil, false, false
	case one.set:
		return []located{{one.typed, one.rng}}, true, true
	case many.set:
		return many.typed.([]located), true, true
	}
	return nil, false, true
}

// checkStated compares an address of the file with the network.
func (it *item) checkStated(network *item, prefixes []netip.Prefix, a statedAddress, e located) (netip.Prefix, bool) {
	l := it.l
	for _, p := range prefixes {
		if !p.Contains(a.addr) {
			continue
		}
		switch {
		case a.bits >= 0 && a.bits != p.Bits():
			l.errorf(e.rng, "Wrong prefix length", "%s has the prefix %s; write %s or leave the length out.", network.path, p, netip.PrefixFrom(a.addr, p.Bits()))
			return netip.Prefix{}, false
		case !usable(p, a.addr):
			l.errorf(e.rng, "Address is not for a host", "%s is the first or last address of %s, which no host may have.", a.addr, p)
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a.addr, p.Bits()), true
	}
	same := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() != a.addr.Is4() })
	if len(same) == 0 {
		family := "IPv6"
		if a.addr.Is4() {
			family = "IPv4"
		}
		l.errorf(e.rng, "Address is not in the network", "%s is %s, and %s has no %s prefix; give it one, or write an address in %s.", a.addr, family, network.path, family, joinPrefixes(prefixes))
		return netip.Prefix{}, false
	}
	l.errorf(e.rng, "Address is not in the network", "%s is not in %s, which has %s; write an address in it, or leave it out to get the next free one.", a.addr, network.path, joinPrefixes(prefixes))
	return netip.Prefix{}, false
}

func joinPrefixes(prefixes []netip.Prefix) string {
	var texts []string
	for _, p := range prefixes {
		texts = append(texts, p.String())
	}
	return enumerate(texts, "and")
}

// usable says that a host may have the address: not the first (network, or RFC 4291
// §2.6.1's subnet-router anycast) and, in IPv4, not the last (broadcast), unless the
// prefix is too long to have such (RFC 3021, RFC 6164).
func usable(p netip.Prefix, a netip.Addr) bool {
	if p.Addr().BitLen()-p.Bits() < 2 {
		return true
	}
	if a == p.Addr() {
		return false
	}
	return a.Is6() || p.Contains(a.Next())
}

// interfacesOf answers the interfaces that are in a network, in the order of the file.
func (l *loader) interfacesOf(network *item) ([]*item, bool) {
	if !l.force(&l.attached) {
		return nil, false
	}
	return l.members[network], true
}

func (l *loader) attach(c *cell) {
	c.ok = true
	l.members = map[*item][]*item{}
	for _, n := range append(l.all("node"), l.all("nat")...) {
		for _, i := range n.children("interface") {
			// An interface without a network has been reported; the others go on.
			if network, ok := get[*item](i, "network"); ok {
				l.members[network] = append(l.members[network], i)
			}
		}
	}
}

// assignment is who has which address in a network.
type assignment struct{ of map[*item][]netip.Prefix }

// assign answers the derived addresses of an interface. All of a network are derived
// at once: each interface without stated ones gets the next free address of every
// prefix, in the order of the file.
func (l *loader) assign(network, iface *item) ([]netip.Prefix, bool) {
	c := network.cells["derived assignment"]
	if c == nil {
		c = &cell{label: "the addresses of " + network.path, rng: network.rng, compute: func(c *cell) { l.assignAll(c, network) }}
		network.cells["derived assignment"] = c
	}
	if !l.force(c) {
		return nil, false
	}
	out, ok := c.typed.(assignment).of[iface]
	return out, ok
}

func (l *loader) assignAll(c *cell, network *item) {
	prefixes, ok := network.prefixes()
	members, okMembers := l.interfacesOf(network)
	if !ok || !okMembers {
		return
	}
	taken := map[netip.Addr]bool{}
	var open []*item
	for _, i := range members {
		stated, isStated, ok := i.statedAddresses()
		if !ok {
			return
		}
		if !isStated {
			open = append(open, i)
		}
		for _, e := range stated {
			taken[e.typed.(statedAddress).addr] = true
		}
	}
	a := assignment{map[*item][]netip.Prefix{}}
	for _, p := range prefixes {
		next := p.Addr()
		for _, i := range open {
			for p.Contains(next) && (taken[next] || !usable(p, next) || notUnicast(next) != "") {
				next = next.Next()
			}
			if !p.Contains(next) {
				l.errorf(network.rng, "Network is full", "%s has no free address in %s for %s; use a shorter prefix.", network.path, p, i.path)
				return
			}
			a.of[i] = append(a.of[i], netip.PrefixFrom(next, p.Bits()))
			next = next.Next()
		}
	}
	c.typed, c.ok = a, true
}
