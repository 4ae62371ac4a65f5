package topology

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// planSteps makes the steps.
func (l *loader) planSteps(p *Plan) {
	book := newAddressBook()
	killed := map[*item]bool{}
	for _, it := range l.all("step") {
		s := Step{Name: it.name, At: value[time.Duration](it, "at"), After: value[time.Duration](it, "after"), Pos: l.position(it)}
		at := it.attr("at")
		s.On = l.whenOf(it, "at", selectorSchema.example)
		if at.set && at.ok && s.At > p.Lab.Duration {
			l.errorf(at.rng, "Step beyond the lab's end", "It happens at %v, the lab ends at %v; lengthen lab.duration.", s.At, p.Lab.Duration)
		}
		if c := it.attr("action"); c.ok && c.set {
			a := c.typed.(*action)
			s.Action = a.plan()
			l.planAction(p, it, a, &s.Action, book)
			killed[a.on] = killed[a.on] || a.kind == ActionKill
		}
		p.Steps = append(p.Steps, s)
	}
	book.check(l)
	for _, it := range l.all("step") {
		if c := it.attr("action"); c.ok && c.set {
			if a := c.typed.(*action); a.kind == ActionStart && !killed[a.on] {
				l.errorf(it.argument(0), "Nothing kills the node", "%s lives from the beginning, and no step kills it; write restart(%s) to kill and start it at once.", a.on.path, a.on.path)
			}
		}
	}
}

// whenOf answers the selector of a block that happens at an instant, the attribute
// named, or after an event; nil for the former. It reports what contradicts that. An
// instant without a default must be there unless an event is; example is then shown.
func (l *loader) whenOf(it *item, instant, example string) *Selector {
	at, on, after := it.attr(instant), it.attr("on"), it.attr("after")
	switch {
	case at.set && on.set:
		l.errorf(on.rng, instant+" and on exclude each other", "A %s happens at an instant or on an event; for a while after the event write after.", it.schema.name)
	case !at.set && !on.set && at.ok && on.ok && it.schema.attribute(instant).fallback == nil:
		l.errorf(it.rng, "Missing "+instant, "%s %q needs %s, an instant such as \"10s\", or on, an event such as %s.", it.schema.name, it.label, instant, example)
	case !on.set && after.set:
		l.errorf(after.rng, "after is for on", "A %s at an instant needs no after; add the two.", it.schema.name)
	}
	if !on.set || !on.ok {
		return nil
	}
	selector, ok := l.selector(on.typed.(*item))
	if !ok {
		l.failed = true
		return nil
	}
	return &selector
}

// position is where a block stands.
func (l *loader) position(it *item) Position { return Position{l.file, it.rng.Start.Line} }

// argument is where the n-th argument of a step's action stands, or the action where
// it is no call.
func (it *item) argument(n int) hcl.Range {
	s := it.argumentSource(n)
	return s.rng
}

func (it *item) argumentSource(n int) source {
	s := source{l: it.l, name: "address", rng: it.attr("action").rng, env: it.env}
	if a := it.body.Attributes["action"]; a != nil {
		s.expr = a.Expr
		if call, is := unwrap(a.Expr).(*hclsyntax.FunctionCallExpr); is && n < len(call.Args) {
			s.expr, s.rng = call.Args[n], call.Args[n].Range()
		}
	}
	return s
}

// plan is the action in the words of the plan.
func (a *action) plan() Action {
	out := Action{Kind: a.kind}
	for it := a.on; it != nil; it = it.parent {
		switch it.schema.name {
		case "node":
			out.Node = it.name
		case "interface":
			out.Interface = it.label
		case "connection":
			out.Connection = it.label
		case "child":
			out.Child = it.label
		}
	}
	return out
}

// planAction completes an action and checks what its kind asks for.
func (l *loader) planAction(p *Plan, step *item, a *action, out *Action, book *addressBook) {
	switch a.kind {
	case ActionKill, ActionStart, ActionRestart:
		n := &p.Nodes[a.on.index]
		switch {
		case n.Implementation != ImplementationIkelab:
			l.errorf(step.argument(0), "The node has no process", "%s is %q: it has no IPsec process that could die. To cut it off, take its link down.", a.on.path, n.Implementation)
		case len(a.on.children("connection")) == 0:
			l.errorf(step.argument(0), "The node has no process", "%s has no connection, so no IPsec process runs there. To cut it off, take its link down.", a.on.path)
		}
	case ActionAddAddress, ActionRemoveAddress, ActionSetAddress:
		l.planAddresses(p, step, a, out, book)
	}
}

// planAddresses reads the addresses of an action.
func (l *loader) planAddresses(p *Plan, step *item, a *action, out *Action, book *addressBook) {
	s := step.argumentSource(1)
	var given []located
	if ty := a.given.Type(); ty.IsTupleType() || ty.IsListType() || ty.IsSetType() {
		if a.kind != ActionSetAddress {
			l.errorf(s.rng, "One address is needed", "%s takes one address; write a step for each, or set_address for all that the interface has from then on.", a.kind)
			l.failed = true
			return
		}
		typed, ok := list{ifaceAddress{}, addressesPerIfaceMax}.decode(s, a.given)
		if !ok {
			l.failed = true
			return
		}
		given = typed.([]located)
	} else {
		typed, ok := ifaceAddress{}.decode(s, a.given)
		if !ok {
			l.failed = true
			return
		}
		given = []located{{typed, s.rng}}
	}
	network, ok := get[*item](a.on, "network")
	if !ok {
		return
	}
	prefixes, ok := network.prefixes()
	if !ok {
		return
	}
	change := addressChange{kind: a.kind, of: a.on}
	for _, e := range given {
		address, ok := a.on.checkStated(network, prefixes, e.typed.(statedAddress), e)
		if !ok {
			l.failed = true
			return
		}
		if slices.Contains(out.Addresses, address) {
			l.errorf(e.rng, "Duplicate address "+address.Addr().String(), "It stands in the list already; take it out.")
			continue
		}
		if mtu := interfaceOf(p, a.on).MTUBytes; address.Addr().Is6() && mtu < mtuIPv6BytesMin && a.kind != ActionRemoveAddress {
			l.errorf(e.rng, "Invalid address", "%s has an MTU of %d bytes, too small for IPv6, which needs at least %d (RFC 8200, section 5).", a.on.path, mtu, mtuIPv6BytesMin)
		}
		out.Addresses = append(out.Addresses, address)
		change.addresses = append(change.addresses, placedAddress{address.Addr(), e.rng})
	}
	book.add(change)
}

// interfaceOf is an interface in the plan.
func interfaceOf(p *Plan, it *item) *Interface {
	n := &p.Nodes[it.parent.index]
	return &n.Interfaces[slices.IndexFunc(n.Interfaces, func(i Interface) bool { return i.Name == it.label })]
}

// addressChange is what a step does to an interface's addresses.
type addressChange struct {
	kind      string
	of        *item // interface
	addresses []placedAddress
}

type placedAddress struct {
	addr netip.Addr
	rng  hcl.Range
}

// addressBook holds what steps do to addresses, to find steps that can have no effect
// and addresses that two nodes would have. When a step on an event happens is not
// known, so only what no order of steps can make right is a mistake here; the run
// looks at the rest.
type addressBook struct {
	changes []addressChange
	of      map[*item]*addressLife
}

// addressLife is what steps do to the addresses of one interface.
type addressLife struct {
	given, removed map[netip.Addr]bool
	// sets counts the steps that replace all addresses, within those that give one.
	sets   int
	within map[netip.Addr]int
}

func newAddressBook() *addressBook { return &addressBook{of: map[*item]*addressLife{}} }

func (b *addressBook) add(c addressChange) {
	b.changes = append(b.changes, c)
	life := b.of[c.of]
	if life == nil {
		life = &addressLife{given: map[netip.Addr]bool{}, removed: map[netip.Addr]bool{}, within: map[netip.Addr]int{}}
		b.of[c.of] = life
	}
	if c.kind == ActionSetAddress {
		life.sets++
	}
	for _, a := range c.addresses {
		switch c.kind {
		case ActionRemoveAddress:
			life.removed[a.addr] = true
			continue
		case ActionSetAddress:
			life.within[a.addr]++
		}
		life.given[a.addr] = true
	}
}

// loses says that a step takes an address from an interface.
func (b *addressBook) loses(iface *item, a netip.Addr) bool {
	life := b.of[iface]
	return life != nil && (life.removed[a] || life.within[a] < life.sets)
}

// check reports what no order of the steps can make right.
func (b *addressBook) check(l *loader) {
	if len(b.changes) == 0 {
		return
	}
	first := map[netip.Addr]*item{}
	count := map[*item]int{}
	for _, n := range append(l.all("node"), l.all("nat")...) {
		for _, i := range n.children("interface") {
			addresses, _ := i.addresses()
			for _, a := range addresses {
				first[a.Addr()] = i
			}
			count[i] = len(addresses)
		}
	}
	kept := map[netip.Addr]*item{} // by whom, of those given by steps
	for _, c := range b.changes {
		for _, a := range c.addresses {
			owner := first[a.addr]
			switch {
			case c.kind == ActionRemoveAddress:
				if owner != c.of && !b.of[c.of].given[a.addr] {
					l.errorf(a.rng, "The interface does not have the address", "%s does not have %s at the beginning, and no step gives it; it begins with %s.", c.of.path, a.addr, addressesOf(c.of))
				}
				continue
			case owner != nil && owner != c.of && !b.loses(owner, a.addr):
				l.errorf(a.rng, "Duplicate address "+a.addr.String(), "%s has it, and no step takes it away; choose another one, or remove it there first.", owner.path)
				continue
			case owner == c.of && c.kind == ActionAddAddress && !b.loses(c.of, a.addr):
				l.errorf(a.rng, "The interface has the address already", "%s has %s from the beginning, and no step takes it away.", c.of.path, a.addr)
				continue
			}
			if b.loses(c.of, a.addr) {
				continue
			}
			if other := kept[a.addr]; other != nil && other != c.of {
				l.errorf(a.rng, "Duplicate address "+a.addr.String(), "Another step gives it to %s, and none takes it away; choose another one, or remove it there first.", other.path)
				continue
			}
			kept[a.addr] = c.of
		}
	}
	for _, c := range b.changes {
		if n := count[c.of] + len(b.of[c.of].given); n > addressesPerIfaceMax {
			l.errorf(c.of.rng, "Too many addresses", "With those that steps give it %s has up to %d addresses; at most %d are allowed.", c.of.path, n, addressesPerIfaceMax)
			count[c.of] = 0
		}
	}
}

// addressesOf names an interface's first addresses for messages.
func addressesOf(iface *item) string {
	addresses, _ := iface.addresses()
	if len(addresses) == 0 {
		return "none"
	}
	texts := make([]string, 0, len(addresses))
	for _, a := range addresses {
		texts = append(texts, a.Addr().String())
	}
	return enumerate(texts, "and")
}
