package topology

import (
	"fmt"
	"math/big"
	"net/netip"
	"time"
)

// planFlows makes the flows and decides between which addresses they go.
func (l *loader) planFlows(p *Plan) {
	owner := map[netip.Addr]int{}
	for n := range p.Nodes {
		for _, i := range p.Nodes[n].Interfaces {
			for _, a := range i.Addresses {
				owner[a.Addr()] = n
			}
		}
	}
	type path struct {
		protocol string
		from, to netip.AddrPort
	}
	taken := map[path]*item{}
	for ordinal, it := range l.all("flow") {
		f, ok := l.planFlow(p, it, owner)
		it.index = len(p.Flows)
		p.Flows = append(p.Flows, f)
		if !ok {
			l.failed = true
			continue
		}
		if f.Protocol == ProtocolICMP {
			continue
		}
		last := &p.Flows[it.index]
		if last.DestinationPort == 0 {
			last.DestinationPort = flowDestinationPort
		}
		if last.SourcePort == 0 {
			last.SourcePort = uint16(flowSourcePortFirst + ordinal%(1<<16-flowSourcePortFirst))
		}
		key := path{f.Protocol, netip.AddrPortFrom(f.FromAddr, last.SourcePort), netip.AddrPortFrom(f.ToAddr, last.DestinationPort)}
		if other := taken[key]; other != nil {
			at := it.rng
			if c := it.attr("source_port"); c.set {
				at = c.rng
			}
			l.errorf(at, "Duplicate flow", "%s goes from %s to %s as well, so packets could not be told apart; choose another source_port or leave it out.", other.path, key.from, key.to)
		}
		taken[key] = it
	}
}

func (l *loader) planFlow(p *Plan, it *item, owner map[netip.Addr]int) (Flow, bool) {
	f := Flow{
		Name:            it.name,
		Protocol:        value[string](it, "protocol"),
		SizeBytes:       int(value[uint64](it, "size")),
		Packets:         value[uint64](it, "packets"),
		Start:           value[time.Duration](it, "start"),
		Stop:            p.Lab.Duration,
		SourcePort:      uint16(value[uint64](it, "source_port")),
		DestinationPort: uint16(value[uint64](it, "destination_port")),
	}
	ok := true
	for i := range flowSchema.attributes {
		ok = it.attr(flowSchema.attributes[i].name).ok && ok
	}
	if !ok || !it.attr("from").set || !it.attr("to").set {
		return f, false
	}
	if stop, stated := get[time.Duration](it, "stop"); stated {
		f.Stop = stop
		if stop <= f.Start {
			l.errorf(it.attr("stop").rng, "Flow stops before it starts", "It starts at %v and stops at %v; stop is an instant, not a length.", f.Start, stop)
		}
		if stop > p.Lab.Duration {
			l.errorf(it.attr("stop").rng, "Flow beyond the lab's end", "It stops at %v, the lab ends at %v; lengthen lab.duration.", stop, p.Lab.Duration)
		}
	}
	if f.Start >= p.Lab.Duration && it.attr("start").set {
		l.errorf(it.attr("start").rng, "Flow beyond the lab's end", "It starts at %v, the lab ends at %v; lengthen lab.duration.", f.Start, p.Lab.Duration)
	}
	if f.Protocol == ProtocolICMP {
		for _, name := range []string{"source_port", "destination_port"} {
			if c := it.attr(name); c.set {
				l.errorf(c.rng, name+" is not for icmp", "Echo requests have no ports; take it out.")
			}
		}
	}
	if f.Rate, ok = l.flowRate(it, f.SizeBytes); !ok {
		return f, false
	}
	return f, l.flowEnds(p, it, &f, owner)
}

// flowRate makes a rate exact: a whole number of packets per a whole number of
// nanoseconds.
func (l *loader) flowRate(it *item, sizeBytes int) (Rate, bool) {
	r := value[flowRate](it, "rate")
	perSecond := r.packetsPerSecond
	if perSecond == nil {
		if sizeBytes == 0 {
			return Rate{}, false // the size is wrong, and said to be
		}
		perSecond = new(big.Rat).SetFrac(new(big.Int).SetUint64(r.bitsPerSecond), big.NewInt(int64(sizeBytes)*8))
	}
	// packets per second = Num/Denom, so Num packets per Denom seconds.
	per := new(big.Rat).SetFrac(perSecond.Num(), new(big.Int).Mul(perSecond.Denom(), big.NewInt(int64(time.Second))))
	at := it.attr("rate").rng
	if !per.Num().IsUint64() || !per.Denom().IsInt64() {
		l.errorf(at, "Rate too precise", "The rate has too many digits; round it.")
		return Rate{}, false
	}
	rate := Rate{Packets: per.Num().Uint64(), Per: Dur(per.Denom().Int64())}
	switch gap := rate.At(1); {
	case gap < flowIntervalMin:
		l.errorf(at, "Rate too high", "A packet leaves every %v; at most one per %v is allowed.", gap, flowIntervalMin)
	case gap > durationMaxDefault:
		l.errorf(at, "Rate too low", "A packet leaves every %v.", gap)
	default:
		return rate, true
	}
	return Rate{}, false
}

// flowEnds decides the addresses: the first of the target that the sender has a route
// to and an address for. Failing that it says why.
func (l *loader) flowEnds(p *Plan, it *item, f *Flow, owner map[netip.Addr]int) bool {
	from, _ := get[*item](it, "from")
	fromNode, fromIface := from, (*item)(nil)
	if from.schema == interfaceSchema {
		fromNode, fromIface = from.parent, from
	}
	f.From = fromNode.name
	source := &p.Nodes[fromNode.index]

	var targets []netip.Addr
	toAt := it.attr("to").rng
	describe := ""
	switch to := it.attr("to").typed.(type) {
	case netip.Addr:
		n, known := owner[to]
		if !known {
			l.errorf(toAt, "Nobody has this address", "%s is no node's address; refer to a node, e.g. node.pbx.", to)
			return false
		}
		targets, f.To, describe = []netip.Addr{to}, p.Nodes[n].Name, to.String()
	case *item:
		node, interfaces := to, to.children("interface")
		if to.schema == interfaceSchema {
			node, interfaces = to.parent, []*item{to}
		}
		f.To, describe = node.name, to.path
		for _, i := range interfaces {
			addresses, ok := i.addresses()
			if !ok {
				return false
			}
			for _, a := range addresses {
				targets = append(targets, a.Addr())
			}
		}
	}
	if f.From == f.To {
		l.errorf(toAt, "Flow to itself", "%s is where the flow comes from; a flow goes from one node to another.", describe)
		return false
	}
	routed := false
	for _, to := range targets {
		via, ok := p.lookup(fromNode.index, to)
		if !ok {
			continue
		}
		routed = true
		out := &source.Interfaces[via]
		if fromIface != nil {
			for i := range source.Interfaces {
				if source.Interfaces[i].Name == fromIface.label {
					out = &source.Interfaces[i]
				}
			}
		}
		if a := address(out, to.Is4(), nil); a.IsValid() {
			f.FromAddr, f.ToAddr = a, to
			return true
		}
	}
	if !l.routable {
		return false // what is missing has been reported
	}
	if routed {
		l.errorf(toAt, "No address family in common", "%s has a route to %s, but no address of its family there; give both ends IPv4 or both IPv6.", from.path, describe)
		return false
	}
	families := fmt.Sprintf("%s has %s, %s has %s", fromNode.path, familiesOf(source), describe, familiesOfAddrs(targets))
	l.errorf(toAt, "No route", "%s has no route to %s: no forwarding node leads from one network to the other in one address family (%s). Add a node with an interface in both, a route block, or forward = true.", fromNode.path, describe, families)
	return false
}

func familiesOf(n *Node) string {
	var all []netip.Addr
	for _, i := range n.Interfaces {
		for _, a := range i.Addresses {
			all = append(all, a.Addr())
		}
	}
	return familiesOfAddrs(all)
}

func familiesOfAddrs(all []netip.Addr) string {
	four, six := false, false
	for _, a := range all {
		four, six = four || a.Is4(), six || a.Is6()
	}
	switch {
	case four && six:
		return "IPv4 and IPv6"
	case four:
		return "IPv4"
	case six:
		return "IPv6"
	}
	return "no address"
}
