package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// checkStep says what a step's action lacks to be carried out.
func (r *Run) checkStep(a topology.Action) error {
	n, ok := r.byName[a.Node]
	if !ok {
		return fmt.Errorf("%s: there is no node %q", a.Kind, a.Node)
	}
	switch a.Kind {
	case topology.ActionLinkDown, topology.ActionLinkUp,
		topology.ActionAddAddress, topology.ActionRemoveAddress, topology.ActionSetAddress:
		if r.interfaceOf(a) < 0 {
			return fmt.Errorf("%s: node %q has no interface %q", a.Kind, a.Node, a.Interface)
		}
		if a.Kind != topology.ActionSetAddress && len(a.Addresses) != 1 &&
			(a.Kind == topology.ActionAddAddress || a.Kind == topology.ActionRemoveAddress) {
			return fmt.Errorf("%s: it has %d addresses; one at a time is added or removed", a.Kind, len(a.Addresses))
		}
		return r.checkAddresses(a)
	case topology.ActionKill, topology.ActionStart, topology.ActionRestart:
		if p := &r.plan.Nodes[n]; p.Implementation != topology.ImplementationIkelab || len(p.Connections) == 0 {
			return fmt.Errorf("%s: node %q speaks no IKE and so has no process of its own; only a node with connections can be killed", a.Kind, a.Node)
		}
	case topology.ActionInitiate, topology.ActionTerminate, topology.ActionLiveness:
	default:
		return fmt.Errorf("there is no action %q", a.Kind)
	}
	return nil
}

// checkAddresses says why an interface cannot have the addresses of an action.
func (r *Run) checkAddresses(a topology.Action) error {
	iface := r.plan.Nodes[r.byName[a.Node]].Interfaces[r.interfaceOf(a)]
	var prefixes []netip.Prefix
	for _, n := range r.plan.Networks {
		if n.Name == iface.Network {
			prefixes = n.Prefixes
		}
	}
	if len(a.Addresses) > topology.AddressesPerInterfaceMax {
		return fmt.Errorf("%s: an interface has at most %d addresses", a.Kind, topology.AddressesPerInterfaceMax)
	}
	for _, p := range a.Addresses {
		if !slices.Contains(prefixes, p.Masked()) {
			return fmt.Errorf("%s: %s is not in network %q with the network's prefix length; it has %s", a.Kind, p, iface.Network, joinPrefixes(prefixes))
		}
		if p.Addr().Is6() && iface.MTUBytes > 0 && iface.MTUBytes < mtuIPv6BytesMin {
			return fmt.Errorf("%s: interface %q has an MTU of %d bytes; IPv6 needs %d", a.Kind, a.Interface, iface.MTUBytes, mtuIPv6BytesMin)
		}
	}
	return nil
}

// mtuIPv6BytesMin is the smallest MTU of a link with IPv6 (RFC 8200, section 5).
const mtuIPv6BytesMin = 1280

// interfaceOf is the index of the interface that an action is about, -1 for none.
func (r *Run) interfaceOf(a topology.Action) int {
	return slices.IndexFunc(r.plan.Nodes[r.byName[a.Node]].Interfaces, func(i topology.Interface) bool { return i.Name == a.Interface })
}

// step does a step of the plan. New has seen to it that the step can be done.
func (r *Run) step(now time.Duration, index int) {
	s := r.plan.Steps[index]
	r.act(now, s.Name, s.Action)
}

// act does an action that checkStep lets pass: it writes it down and orders what it
// takes. What it finds when its time comes may still leave it without an effect; the
// record and the answer then say why.
func (r *Run) act(now time.Duration, name string, a topology.Action) (problem string) {
	n := r.byName[a.Node]
	fields := []trace.Field{text("step", name), text("action", a.Kind), text("node", a.Node)}
	switch a.Kind {
	case topology.ActionLinkDown, topology.ActionLinkUp:
		r.record(now, -1, recordStep, fields...)
		r.setLink(now, n, r.interfaceOf(a), a.Kind == topology.ActionLinkUp)
	case topology.ActionInitiate, topology.ActionTerminate, topology.ActionLiveness:
		if r.nodes[n].dead {
			problem = "the node is dead"
			r.record(now, -1, recordStep, append(fields, text("problem", problem))...)
			return problem
		}
		r.record(now, -1, recordStep, fields...)
		r.command(n, a)
	case topology.ActionKill, topology.ActionStart, topology.ActionRestart:
		return r.lifeStep(now, n, a.Kind, fields)
	default:
		return r.addressStep(now, n, a, fields)
	}
	return ""
}

// setLink takes a link up or down and tells the node, as a carrier does.
func (r *Run) setLink(now time.Duration, n, iface int, up bool) {
	if r.nodes[n].up[iface] && !up {
		r.nodes[n].downSince[iface] = now
	}
	r.nodes[n].up[iface] = up
	r.orders = append(r.orders,
		Order{Node: n, Link: &LinkChange{Interface: iface, Up: up}},
		Order{Node: n, Input: node.InterfaceChange{Interface: iface, Up: up}})
}

// command hands an operator's command to a node.
func (r *Run) command(n int, a topology.Action) {
	kind := ike.Initiate
	switch a.Kind {
	case topology.ActionTerminate:
		kind = ike.Terminate
	case topology.ActionLiveness:
		kind = ike.Liveness
	}
	r.orders = append(r.orders, Order{Node: n, Input: node.Command{IKE: ike.Command{Kind: kind, Connection: a.Connection, Child: a.Child}}})
}

// addressStep changes the addresses of an interface.
func (r *Run) addressStep(now time.Duration, n int, a topology.Action, fields []trace.Field) (problem string) {
	iface := r.interfaceOf(a)
	before := r.nodes[n].addresses[iface]
	fields = append(fields, text("interface", a.Interface), text("addresses", joinPrefixes(a.Addresses)))
	after, problem := r.addressesAfter(n, before, a)
	if problem != "" {
		r.record(now, -1, recordStep, append(fields, text("problem", problem))...)
		return problem
	}
	r.record(now, -1, recordStep, fields...)
	r.nodes[n].addresses[iface] = after
	for _, p := range before {
		if !slices.Contains(after, p) {
			delete(r.owner, p.Addr())
		}
	}
	for _, p := range after {
		r.owner[p.Addr()] = n
	}
	r.nameAddresses()
	r.tell(&readdressed{now: now, node: n, policies: configuredPolicies(r.present(n))})
	r.orders = append(r.orders, Order{
		Node: n, Addresses: &AddressesChange{Interface: iface, Before: slices.Clone(before), After: slices.Clone(after)},
		Input: node.AddressChange{Interface: iface, Addresses: slices.Clone(after)},
	})
	return ""
}

// addressesAfter are an interface's addresses once an action has changed them; a
// problem says why there is nothing to change.
func (r *Run) addressesAfter(n int, before []netip.Prefix, a topology.Action) (after []netip.Prefix, problem string) {
	switch a.Kind {
	case topology.ActionSetAddress:
		after = slices.Clone(a.Addresses)
	case topology.ActionRemoveAddress:
		after = slices.DeleteFunc(slices.Clone(before), func(p netip.Prefix) bool { return p == a.Addresses[0] })
		if len(after) == len(before) {
			return nil, "the interface does not have the address"
		}
	case topology.ActionAddAddress:
		if slices.Contains(before, a.Addresses[0]) {
			return nil, "the interface has the address already"
		}
		after = append(slices.Clone(before), a.Addresses[0])
	}
	if slices.Equal(before, after) {
		return nil, "the interface has these addresses already"
	}
	if len(after) > topology.AddressesPerInterfaceMax {
		return nil, fmt.Sprintf("the interface has %d addresses, the most that it may", len(before))
	}
	for _, p := range after {
		if other, taken := r.owner[p.Addr()]; taken && !slices.Contains(before, p) {
			return nil, r.plan.Nodes[other].Name + " has " + p.Addr().String()
		}
	}
	return after, ""
}

// present is a node of the plan with the addresses and states of interfaces that it
// has now.
func (r *Run) present(n int) topology.Node {
	p := r.plan.Nodes[n]
	p.Interfaces = slices.Clone(p.Interfaces)
	for i := range p.Interfaces {
		p.Interfaces[i].Addresses = slices.Clone(r.nodes[n].addresses[i])
		p.Interfaces[i].Up = r.nodes[n].up[i]
	}
	return p
}

// nameAddresses lets NodeOf know who has which address now.
func (r *Run) nameAddresses() {
	names := map[netip.Addr]int{}
	if old := r.names.Load(); old != nil {
		for a, n := range *old {
			names[a] = n
		}
	}
	for a, n := range r.owner {
		names[a] = n
	}
	r.names.Store(&names)
}

// joinPrefixes writes addresses as records have them.
func joinPrefixes(list []netip.Prefix) string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}
