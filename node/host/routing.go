//go:build linux

package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/ikelab/ikelab/esp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tableKey is what pairs of one routing table have in common. Rules lead what is from
// there to the table, whose routes are the remote ends: so the kernel looks at few rules,
// one after the other, and finds one of many peers by longest prefix.
type tableKey struct {
	family     int
	protocol   uint8
	dynamic    bool
	start, end netip.Addr // the local end; none when it is dynamic
}

// routing is the rules and routes that policies need, in the order of the policies: of
// two that differ in nothing the kernel looks at, the first wins.
type routing struct {
	rules     []netlink.Rule
	routes    []netlink.Route
	hasRule   map[string]bool
	hasRoute  map[string]bool
	hasTables map[tableKey]bool
}

func (w *routing) addRule(r netlink.Rule) {
	if text := ruleText(&r); !w.hasRule[text] {
		w.hasRule[text] = true
		w.rules = append(w.rules, r)
	}
}

func (w *routing) addRoute(r netlink.Route) {
	if text := routeText(&r); !w.hasRoute[text] {
		w.hasRoute[text] = true
		w.routes = append(w.routes, r)
	}
}

// wantedRouting says which rules and routes the policies need. A rule looks at
// addresses and protocol only, not at ports: a fragment does not show them, and
// must not leave in clear. What comes to the tunnel though no policy has it leaves
// by the slow path. Each remote end has a route to the device, and one to nowhere for
// when that is gone; what a table has no route for goes its ordinary way.
func (h *Host) wantedRouting(pairs []protectedPair) (*routing, error) {
	w := &routing{hasRule: map[string]bool{}, hasRoute: map[string]bool{}, hasTables: map[tableKey]bool{}}
	for _, family := range h.families {
		own := newRule(family, rulePriorityOwn)
		own.Mark, own.Table = socketMark, unix.RT_TABLE_MAIN
		w.addRule(own)
		stop := newRule(family, rulePriorityNoLoop)
		stop.Mark, stop.Type = socketMark, unix.RTN_UNREACHABLE
		w.addRule(stop)
	}
	for _, p := range pairs {
		table := h.table(p, w)
		src := h.ownAddressIn(p.local)
		h.addRules(w, p, table, src)
		for _, remote := range halves(rangePrefixes(p.remote.Start, p.remote.End)) {
			route := netlink.Route{Family: p.family(), Dst: ipNet(remote), Table: table, LinkIndex: h.tun.index, Type: unix.RTN_UNICAST,
				Scope: netlink.SCOPE_LINK, Protocol: routeProtocol}
			if p.family() == unix.AF_INET6 {
				route.Scope, route.Gw, route.Flags = netlink.SCOPE_UNIVERSE, tunnelNextHop.AsSlice(), int(netlink.FLAG_ONLINK)
			}
			if src.IsValid() {
				route.Src = src.AsSlice()
			}
			w.addRoute(route)
			w.addRoute(netlink.Route{Family: p.family(), Dst: ipNet(remote), Table: table, Type: unix.RTN_UNREACHABLE,
				Priority: unreachableMetric, Protocol: routeProtocol})
		}
		if len(w.rules) > rulesMax {
			return nil, tooManyRules()
		}
		if len(w.routes) > routesMax {
			return nil, tooManyRoutes()
		}
	}
	return w, nil
}

// table is the number of a pair's routing table.
func (h *Host) table(p protectedPair, w *routing) int {
	key := tableKey{family: p.family(), protocol: p.protocol(), dynamic: p.dynamic}
	if !p.dynamic {
		key.start, key.end = p.local.Start, p.local.End
	}
	w.hasTables[key] = true
	if number, known := h.applied.tables[key]; known {
		return number
	}
	taken := make(map[int]bool)
	for other, number := range h.applied.tables {
		if other.family == key.family {
			taken[number] = true
		}
	}
	number := tunnelTable
	for next := tunnelTableMore; taken[number]; next++ {
		number = next
	}
	if h.applied.tables == nil {
		h.applied.tables = make(map[tableKey]int)
	}
	h.applied.tables[key] = number
	return number
}

// addRules adds the rules that lead a pair's packets to its table.
func (h *Host) addRules(w *routing, p protectedPair, table int, src netip.Addr) {
	rule := newRule(p.family(), rulePriorityTunnel)
	rule.Table = table
	if p.protocol() != 0 {
		rule.Priority, rule.IPProto = rulePriorityProtocol, int(p.protocol())
	}
	if !p.dynamic {
		for _, local := range halves(rangePrefixes(p.local.Start, p.local.End)) {
			r := rule
			r.Src = ipNet(local)
			w.addRule(r)
		}
	}
	switch {
	case p.dynamic:
		rule.IifName = "lo" // what this host itself sends
		w.addRule(rule)
	case src.IsValid():
		// What this host sends has no source yet when its route is looked up first.
		if p.family() == unix.AF_INET {
			rule.Src = &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(32, 32)}
		} else {
			rule.IifName = "lo"
		}
		w.addRule(rule)
	}
}

func tooManyRules() error {
	return fmt.Errorf("the local selectors need more than %d routing rules; give fewer, or whole prefixes", rulesMax)
}

func tooManyRoutes() error {
	return fmt.Errorf("the remote selectors need more than %d routes; give fewer, or whole prefixes", routesMax)
}

// ownAddressIn is the first own address inside a selector.
func (h *Host) ownAddressIn(s esp.Selector) netip.Addr {
	for _, a := range h.addresses() {
		if a.Is4() == s.Start.Is4() && !a.Less(s.Start) && !s.End.Less(a) {
			return a
		}
	}
	return netip.Addr{}
}

// addRouting adds what is missing: routes first, so that a rule finds them.
func (h *Host) addRouting(wanted *routing) error {
	if h.applied.rules == nil {
		// What another host left in the namespace is replaced.
		rules, err := listRules(h.kernel, h.families)
		if err != nil {
			return err
		}
		routes, err := listRoutes(h.kernel, h.families)
		if err != nil {
			return err
		}
		h.applied.rules, h.applied.routes = rules, routes
	}
	for _, route := range wanted.routes {
		text := routeText(&route)
		if old, ok := h.applied.routes[text]; ok && old.Src.Equal(route.Src) {
			continue
		}
		if len(h.applied.routes) >= routesMax {
			return tooManyRoutes()
		}
		if err := h.kernel.RouteReplace(&route); err != nil {
			return fmt.Errorf("route %s: %w", text, err)
		}
		h.applied.routes[text] = route
	}
	for _, rule := range wanted.rules {
		text := ruleText(&rule)
		if _, ok := h.applied.rules[text]; ok {
			continue
		}
		if len(h.applied.rules) >= rulesMax {
			return tooManyRules()
		}
		if err := h.kernel.RuleAdd(&rule); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("rule %s: %w", text, err)
		}
		h.applied.rules[text] = rule
	}
	return nil
}

// applyRouting adds what is missing, then takes away what is too much, so that
// there is no moment without rules.
func (h *Host) applyRouting(wanted *routing) error {
	if err := h.addRouting(wanted); err != nil {
		return err
	}
	for text, rule := range h.applied.rules {
		if wanted.hasRule[text] {
			continue
		}
		if err := h.kernel.RuleDel(&rule); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("taking rule %s away: %w", text, err)
		}
		delete(h.applied.rules, text)
	}
	for text, route := range h.applied.routes {
		if wanted.hasRoute[text] {
			continue
		}
		if err := h.kernel.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("taking route %s away: %w", text, err)
		}
		delete(h.applied.routes, text)
	}
	for key := range h.applied.tables {
		if !wanted.hasTables[key] {
			delete(h.applied.tables, key)
		}
	}
	return nil
}

func newRule(family, priority int) netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Protocol = family, priority, routeProtocol
	r.Table = 0
	return *r
}

// ruleText identifies a rule. It has what the kernel tells of a rule, and no more.
func ruleText(r *netlink.Rule) string {
	table := r.Table
	if r.Priority == rulePriorityNoLoop {
		table = 0 // a rule without a table is listed with none or with main
	}
	return fmt.Sprintf("%d family %d from %v to %v iif %q protocol %d mark %#x table %d", r.Priority, r.Family, r.Src, r.Dst, r.IifName, r.IPProto, r.Mark, table)
}

func routeText(r *netlink.Route) string {
	return fmt.Sprintf("%v family %d type %d in table %d", r.Dst, r.Family, r.Type, r.Table)
}

// listRules finds the rules that a host has made in a namespace.
func listRules(kernel *netlink.Handle, families []int) (map[string]netlink.Rule, error) {
	all := make(map[string]netlink.Rule)
	for _, family := range families {
		rules, err := kernel.RuleList(family)
		if err != nil {
			return nil, fmt.Errorf("listing the routing rules: %w", err)
		}
		for _, r := range rules {
			if r.Protocol == routeProtocol && r.Priority >= rulePriorityOwn && r.Priority <= rulePriorityProtocol {
				all[ruleText(&r)] = r
			}
		}
	}
	return all, nil
}

// listRoutes finds the routes that a host has made in a namespace.
func listRoutes(kernel *netlink.Handle, families []int) (map[string]netlink.Route, error) {
	all := make(map[string]netlink.Route)
	for _, family := range families {
		routes, err := kernel.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC, Protocol: routeProtocol}, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return nil, fmt.Errorf("listing the routes: %w", err)
		}
		for _, r := range routes {
			all[routeText(&r)] = r
		}
	}
	return all, nil
}
