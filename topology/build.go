package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/impair"
)

// plan makes the plan of everything that was declared. What is wrong it reports; the
// plan then has a gap and is thrown away.
func (l *loader) plan() *Plan {
	p := &Plan{Lab: l.planLab()}
	for _, kind := range []string{"network", "link", "node", "secret", "flow", "step", "process", "nat"} {
		l.checkInstances(kind)
		for _, it := range l.all(kind) {
			it.forceAll()
		}
	}
	l.planNetworks(p)
	for _, it := range l.all("link") {
		if cfg, ok := l.link(it); ok {
			cfg.Name = it.name
			p.Links = append(p.Links, Link{Name: it.name, Config: cfg, Pos: l.position(it)})
		}
	}
	l.planNodes(p)
	routed := newRouter(p)
	if !routed.derive() {
		l.failed = true
		l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Too many routes",
			Detail: fmt.Sprintf("The lab needs more than %d derived routes; use fewer networks or routers.", derivedRoutesTotalMax)})
	}
	l.planSecrets(p)
	l.planFlows(p)
	l.planSteps(p)
	l.planProcesses(p)
	l.planExpectations(p)
	p.Watches = l.watches
	return p
}

func (l *loader) planLab() Lab {
	if l.lab == nil {
		l.failed = true
		return Lab{}
	}
	lab := Lab{
		Name:        l.lab.label,
		Description: value[string](l.lab, "description"),
		Seed:        value[uint64](l.lab, "seed"),
		Duration:    value[time.Duration](l.lab, "duration"),
		Epoch:       value[time.Time](l.lab, "epoch"),

		EnginesDiffer: value[string](l.lab, "engines_differ"),
	}
	for _, i := range l.lab.children("invariants") {
		for _, e := range value[[]located](i, "off") {
			if name := e.typed.(string); !slices.Contains(lab.InvariantsOff, name) {
				lab.InvariantsOff = append(lab.InvariantsOff, name)
			}
		}
	}
	return lab
}

// checkInstances compares the names that instances have in the plan: those of count
// and for_each may meet the name of another block.
func (l *loader) checkInstances(kind string) {
	taken := map[string]*item{}
	for _, it := range l.all(kind) {
		if other := taken[it.name]; other != nil {
			l.errorf(it.rng, fmt.Sprintf("Duplicate %s %q", kind, it.name), "%s and %s are both called %q in the plan; rename one of the blocks.", other.path, it.path, it.name)
		}
		if len(it.name) > 2*nameBytesMax {
			l.errorf(it.rng, "Invalid name", "%s is called %q, which is longer than %d bytes; use shorter keys.", it.path, it.name, 2*nameBytesMax)
		}
		taken[it.name] = it
	}
}

// forceAll evaluates every attribute of a block and of those in it, so that every
// mistake is reported, whoever would have looked at it.
func (it *item) forceAll() {
	for i := range it.schema.attributes {
		it.attr(it.schema.attributes[i].name)
	}
	for _, nested := range it.schema.blocks {
		for _, child := range it.nested[nested.name] {
			child.forceAll()
		}
	}
}

// placed is a prefix of a network of the file.
type placed struct {
	prefix netip.Prefix
	of     *item
	rng    hcl.Range
}

func (l *loader) planNetworks(p *Plan) {
	var all []placed
	for _, it := range l.all("network") {
		prefixes, ok := it.prefixes()
		if !ok {
			continue
		}
		for i, prefix := range prefixes {
			rng := it.attr("prefix").rng
			if c := it.attr("prefixes"); c.set {
				rng = c.typed.([]located)[i].rng
			}
			all = append(all, placed{prefix, it, rng})
		}
		it.index = len(p.Networks)
		p.Networks = append(p.Networks, Network{Name: it.name, Prefixes: prefixes})
	}
	if len(p.Networks) > networksMax {
		l.errorf(l.lab.rngOr(), "Too many networks", "A lab has at most %d networks.", networksMax)
	}
	// Sorted by address and length, a prefix overlaps with the last one that began
	// before it and has not ended, or with none.
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b placed) int { return a.prefix.Compare(b.prefix) })
	var open []placed
	for _, one := range order {
		for len(open) > 0 && !open[len(open)-1].prefix.Overlaps(one.prefix) {
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			other := open[len(open)-1]
			// Complain where the file says it second.
			if before(one.rng, other.rng) {
				one, other = other, one
			}
			l.errorf(one.rng, "Overlapping prefixes", "%s of %s overlaps with %s of %s; every network has addresses of its own.", one.prefix, one.of.path, other.prefix, other.of.path)
			continue
		}
		open = append(open, one)
	}
}

func before(a, b hcl.Range) bool { return a.Start.Byte < b.Start.Byte }

// rngOr answers the item's range; that of nothing for no item.
func (it *item) rngOr() hcl.Range {
	if it == nil {
		return hcl.Range{Start: hcl.InitialPos, End: hcl.InitialPos}
	}
	return it.rng
}

// link answers the configuration of a link block or of a link in braces.
func (l *loader) link(it *item) (impair.LinkConfig, bool) {
	ok := true
	for i := range linkSchema.attributes {
		ok = it.attr(linkSchema.attributes[i].name).ok && ok
	}
	if !ok {
		return impair.LinkConfig{}, false
	}
	cfg := impair.LinkConfig{
		Delay:             value[time.Duration](it, "delay"),
		Duplicate:         value[float64](it, "duplicate"),
		Reorder:           value[float64](it, "reorder"),
		Corrupt:           value[float64](it, "corrupt"),
		RateBitsPerSecond: value[uint64](it, "rate"),
		MTUBytes:          int(value[uint64](it, "mtu")),
	}
	if j, ok := get[*item](it, "jitter"); ok {
		cfg.Jitter = impair.Jitter{
			Distribution: impair.Distribution(value[string](j, "distribution")),
			Sigma:        value[time.Duration](j, "sigma"),
			KeepOrder:    value[bool](j, "keep_order"),
		}
	}
	if o, ok := get[*item](it, "loss"); ok {
		cfg.Loss = impair.Loss{
			Model:      impair.LossModel(value[string](o, "model")),
			P:          value[float64](o, "p"),
			R:          value[float64](o, "r"),
			DeliverBad: value[float64](o, "deliver_bad"),
			LossGood:   value[float64](o, "loss_good"),
		}
		l.checkLoss(it, o, cfg.Loss)
	}
	if q, ok := get[*item](it, "queue"); ok {
		cfg.Queue.Discipline = value[string](q, "discipline")
		bound := value[queueBound](q, "limit")
		cfg.Queue.LimitDelay, cfg.Queue.LimitPackets, cfg.Queue.LimitBytes = bound.delay, int(bound.packets), int(bound.bytes)
		if cfg.RateBitsPerSecond == 0 {
			l.warnf(it.attr("queue").rng, "Queue without a rate", "Nothing waits on a link without a rate; give the link a rate, e.g. rate = \"10mbit\".")
		}
	}
	if cfg.Reorder > 0 && cfg.Delay == 0 && cfg.Jitter.Sigma == 0 {
		l.warnf(it.attr("reorder").rng, "Reorder without a delay", "A packet overtakes by skipping the delay; give the link one, e.g. delay = \"10ms\".")
	}
	if err := cfg.Validate(); err != nil {
		l.errorf(it.rng, "Invalid link", "%s.", sentence(strings.TrimPrefix(err.Error(), `link "": `)))
		return cfg, false
	}
	return cfg, true
}

// checkLoss points at what the loss model cannot do with.
func (l *loader) checkLoss(it, o *item, loss impair.Loss) {
	set := func(name string) bool { return o.attr(name).set }
	switch loss.Model {
	case impair.LossGilbertElliott:
		if loss.R == 0 {
			l.errorf(it.attr("loss").rng, "Missing r", "The model \"gilbert-elliott\" needs r, the probability of leaving the bad state, above 0; 1/r packets are the mean length of a burst.")
			l.failed = true
		}
	case impair.LossRandom:
		for _, name := range []string{"r", "deliver_bad", "loss_good"} {
			if set(name) {
				l.errorf(o.attr(name).rng, name+" is not for this model", "The model \"random\" has p only; for bursts write model = \"gilbert-elliott\".")
			}
		}
		if !set("p") {
			l.errorf(it.attr("loss").rng, "Missing p", "loss needs p, the probability of losing a packet, e.g. { p = 0.05 }.")
		}
	}
}

func (l *loader) planNodes(p *Plan) {
	connections := 0
	l.routable = len(p.Networks) == len(l.all("network"))
	for _, it := range append(l.all("node"), l.all("nat")...) {
		n := Node{Name: it.name, Implementation: ImplementationNAT, Dataplane: DataplaneUserspace}
		isNAT := it.schema == natSchema
		if !isNAT {
			n.Implementation, n.Dataplane = value[string](it, "implementation"), value[string](it, "dataplane")
		}
		for _, i := range it.children("interface") {
			n.Interfaces = append(n.Interfaces, l.planInterface(it, i))
		}
		l.checkNodeAddresses(it)
		n.Forward = len(n.Interfaces) > 1
		if !isNAT {
			if forward, stated := get[bool](it, "forward"); stated {
				n.Forward = forward
			}
		}
		switch {
		case len(n.Interfaces) == 0 && !isNAT:
			l.errorf(it.rng, "Missing block interface", "node %q needs an interface, e.g. interface \"eth0\" { network = network.lan }.", it.label)
		case len(n.Interfaces) > interfacesPerNodeMax:
			l.errorf(it.rng, "Too many interfaces", "A node has at most %d interfaces.", interfacesPerNodeMax)
		}
		n.Routes = l.planRoutes(it, &n)
		children := 0
		for i, c := range it.children("connection") {
			c.index = connections
			connections++
			if i == settings.ConnectionsPerNodeMax {
				l.errorf(c.rng, "Too many connections", "A node has at most %d connections.", settings.ConnectionsPerNodeMax)
			}
			before := children
			if children += len(c.children("child")); children > settings.ChildrenPerNodeMax && before <= settings.ChildrenPerNodeMax {
				l.errorf(c.rng, "Too many children", "A node has at most %d children in all its connections; with this one %s has %d.", settings.ChildrenPerNodeMax, it.path, children)
			}
			n.Connections = append(n.Connections, l.planConnection(c))
		}
		if cs := it.children("connection"); n.Implementation == ImplementationHost && len(cs) > 0 {
			l.errorf(cs[0].rng, "A host has no connections", "implementation = \"host\" means a node without IPsec; take the connection or the implementation out.")
		}
		it.index = len(p.Nodes)
		p.Nodes = append(p.Nodes, n)
	}
	l.checkAddresses()
}

func (l *loader) planInterface(node, it *item) Interface {
	i := Interface{Name: it.label, Up: value[bool](it, "up"), MTUBytes: mtuDefaultBytes, Pos: l.position(it)}
	if network, ok := get[*item](it, "network"); ok {
		i.Network = network.name
	}
	var ok bool
	i.Addresses, ok = it.addresses()
	l.routable = l.routable && ok && node.cells["forward"].isOK()
	if c := it.attr("link"); c.ok && c.set {
		lk := c.typed.(*item)
		cfg, ok := l.link(lk)
		if !ok {
			l.failed = true
		}
		if i.Link = cfg; lk.decl != nil {
			i.LinkRef = lk.name
		}
	}
	i.Link.Name = node.name + "." + it.label
	if i.Link.MTUBytes > 0 {
		i.MTUBytes = i.Link.MTUBytes
	}
	if mtu, stated := get[uint64](it, "mtu"); stated {
		if i.Link.MTUBytes > 0 && int(mtu) > i.Link.MTUBytes {
			l.errorf(it.attr("mtu").rng, "Invalid mtu", "The interface's MTU, %d bytes, is larger than its link's, %d.", mtu, i.Link.MTUBytes)
		}
		i.MTUBytes = int(mtu)
	}
	if i.MTUBytes < mtuIPv6BytesMin && slices.ContainsFunc(i.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		at := it.attr("mtu").rng
		if !it.attr("mtu").set {
			at = it.attr("link").rng
		}
		l.errorf(at, "Invalid mtu", "An MTU of %d bytes is too small for IPv6, which needs at least %d (RFC 8200, section 5).", i.MTUBytes, mtuIPv6BytesMin)
	}
	return i
}

// checkNodeAddresses reports two interfaces of a node in one network: routes between
// them would be ambiguous.
func (l *loader) checkNodeAddresses(node *item) {
	first := map[*item]*item{}
	for _, i := range node.children("interface") {
		network, ok := get[*item](i, "network")
		if !ok {
			continue
		}
		if other := first[network]; other != nil {
			l.errorf(i.attr("network").rng, "Two interfaces in one network", "%s and %s are both in %s; a node has one interface per network, with several addresses if need be.", other.path, i.path, network.path)
		}
		first[network] = i
	}
}

// checkAddresses reports addresses that two interfaces have.
func (l *loader) checkAddresses() {
	owner := map[netip.Addr]*item{}
	for _, n := range append(l.all("node"), l.all("nat")...) {
		for _, i := range n.children("interface") {
			addresses, ok := i.addresses()
			if !ok {
				continue
			}
			at := i.rng
			if c := i.attr("address"); c.set {
				at = c.rng
			}
			for k, a := range addresses {
				if c := i.attr("addresses"); c.set {
					at = c.typed.([]located)[k].rng
				}
				if other := owner[a.Addr()]; other != nil {
					remedy := "leave it out to get the next free one"
					if n.decl != nil && n.decl.repeated {
						remedy = "let it depend on count.index or each.key, e.g. by cidrhost(), or leave it out"
					}
					l.errorf(at, "Duplicate address "+a.Addr().String(), "%s has it already; %s.", other.path, remedy)
					continue
				}
				owner[a.Addr()] = i
			}
		}
	}
}

// planRoutes answers the routes that the file states.
func (l *loader) planRoutes(node *item, n *Node) []Route {
	var out []Route
	seen := map[string]bool{}
	for _, r := range node.children("route") {
		to := r.attr("to")
		if !to.ok || !r.attr("via").ok || !r.attr("interface").ok || !to.set {
			l.routable = false
			continue
		}
		var prefixes []netip.Prefix
		switch t := to.typed.(type) {
		case netip.Prefix:
			prefixes = []netip.Prefix{t}
		case *item:
			prefixes, _ = t.prefixes()
		}
		var vias []netip.Addr
		for _, e := range value[[]located](r, "via") {
			vias = append(vias, e.typed.(netip.Addr))
		}
		dev, onLink := get[*item](r, "interface")
		switch {
		case onLink && dev.parent != node:
			l.errorf(r.attr("interface").rng, "Interface of another node", "%s is not an interface of %s; write %s.interface.%s.", dev.path, node.path, node.path, firstName(node.children("interface")))
			continue
		case len(vias) == 0 && !onLink:
			l.errorf(r.rng, "Missing via", "A route needs via, the next hop, or interface, for what is on the link.")
			continue
		}
		for _, via := range vias {
			iface := ""
			for i := range n.Interfaces {
				for _, a := range n.Interfaces[i].Addresses {
					if a.Contains(via) && (!onLink || dev.label == n.Interfaces[i].Name) {
						iface = n.Interfaces[i].Name
					}
				}
			}
			if iface == "" {
				if len(vias) == 1 {
					l.errorf(r.attr("via").rng, "Next hop is not on a link", "%s is in no network of %s; a next hop is a neighbour.", via, node.path)
				}
				continue
			}
			matching := prefixes
			if to.typed == "default" {
				zero := netip.IPv6Unspecified()
				if via.Is4() {
					zero = netip.IPv4Unspecified()
				}
				matching = []netip.Prefix{netip.PrefixFrom(zero, 0)}
			}
			used := false
			for _, p := range matching {
				if p.Addr().Is4() != via.Is4() {
					continue
				}
				used = true
				if key := p.String() + via.String(); seen[key] {
					l.errorf(to.rng, "Duplicate route", "%s has a route to %s by %s already; take one out.", node.path, p, via)
				} else {
					seen[key] = true
				}
				out = append(out, Route{Prefix: p, Via: via, Interface: iface})
			}
			if !used && len(vias) == 1 {
				l.errorf(r.attr("via").rng, "Next hop of the other family", "%s cannot lead to %s; both are IPv4 or both are IPv6.", via, joinPrefixes(matching))
			}
		}
		if len(vias) == 0 {
			if to.typed == "default" {
				prefixes = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
			}
			for _, p := range prefixes {
				out = append(out, Route{Prefix: p, Interface: dev.label})
			}
		}
	}
	return out
}
