package report

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/topology"
)

// collapseAbove is the number of alike instances that a picture still shows one by one. More of them become one
// box that says how many it stands for.
const collapseAbove = 6

// picture is what all formats draw: networks and nodes as vertices, interfaces as edges between them, connections
// as tunnels between nodes.
type picture struct {
	title    string
	networks []vertex
	nodes    []vertex
	wires    []wire
	tunnels  []tunnelArc
}

// vertex is a network or a node, or several alike that are drawn as one.
type vertex struct {
	name string
	// instances is how many it stands for, at least 1.
	instances int
	// kind is a node's implementation, empty for a network.
	kind string
	// lines are the prefixes of a network or the interfaces of a node, one text each.
	lines []line
}

// line is one line of text in a vertex, with a fainter remark.
type line struct{ text, remark string }

// wire attaches a node to a network; row is the interface's place among the node's lines.
type wire struct {
	node, network int
	row           int
	up            bool
}

// tunnelArc is one or more connections between two nodes.
type tunnelArc struct {
	from, to int
	label    string
}

// newPicture turns a plan into a picture, alike instances collapsed.
func newPicture(p *topology.Plan) picture {
	pic := picture{title: p.Lab.Name}

	networkOf, networkGroups := group(len(p.Networks), func(i int) (string, string) {
		lengths := make([]string, 0, len(p.Networks[i].Prefixes))
		for _, prefix := range p.Networks[i].Prefixes {
			lengths = append(lengths, fmt.Sprintf("%d/%d", prefix.Addr().BitLen(), prefix.Bits()))
		}
		return p.Networks[i].Name, strings.Join(lengths, " ")
	})
	networkIndex := make(map[string]int, len(p.Networks))
	for i, n := range p.Networks {
		networkIndex[n.Name] = networkOf[i]
	}
	for _, members := range networkGroups {
		first, last := p.Networks[members[0]], p.Networks[members[len(members)-1]]
		v := vertex{name: span2(first.Name, last.Name), instances: len(members)}
		for i, prefix := range first.Prefixes {
			v.lines = append(v.lines, line{text: span2(prefix.String(), last.Prefixes[i].String())})
		}
		pic.networks = append(pic.networks, v)
	}

	nodeOf, nodeGroups := group(len(p.Nodes), func(i int) (string, string) {
		n := p.Nodes[i]
		alike := []string{n.Implementation, fmt.Sprint(len(n.Connections))}
		for _, f := range n.Interfaces {
			alike = append(alike, f.Name, fmt.Sprint(networkIndex[f.Network]), fmt.Sprint(len(f.Addresses)), fmt.Sprint(f.Up), linkRemark(f.Link))
		}
		return n.Name, strings.Join(alike, "\x00")
	})
	owner := make(map[netip.Addr]int)
	for i, n := range p.Nodes {
		for _, f := range n.Interfaces {
			for _, a := range f.Addresses {
				owner[a.Addr()] = nodeOf[i]
			}
		}
	}
	for g, members := range nodeGroups {
		first, last := p.Nodes[members[0]], p.Nodes[members[len(members)-1]]
		v := vertex{name: span2(first.Name, last.Name), instances: len(members), kind: first.Implementation}
		for i, f := range first.Interfaces {
			remark := linkRemark(f.Link)
			if !f.Up {
				remark = strings.TrimPrefix(remark+", down at first", ", ")
			}
			pic.wires = append(pic.wires, wire{node: g, network: networkIndex[f.Network], row: len(v.lines), up: f.Up})
			for j, a := range f.Addresses {
				text := f.Name + " " + span2(a.String(), last.Interfaces[i].Addresses[j].String())
				if j > 0 {
					text = strings.Repeat(" ", len(f.Name)+1) + span2(a.String(), last.Interfaces[i].Addresses[j].String())
				}
				v.lines = append(v.lines, line{text: text})
			}
			if len(f.Addresses) == 0 {
				v.lines = append(v.lines, line{text: f.Name})
			}
			v.lines[len(v.lines)-1].remark = remark
		}
		pic.nodes = append(pic.nodes, v)
	}
	pic.tunnels = tunnels(p, nodeOf, owner)
	return pic
}

// tunnels joins the connections between two nodes, whichever end states them, into one arc each.
func tunnels(p *topology.Plan, nodeOf []int, owner map[netip.Addr]int) []tunnelArc {
	type key struct{ a, b int }
	var order []key
	names := make(map[key][]string)
	for i, n := range p.Nodes {
		for _, c := range n.Connections {
			for _, remote := range c.RemoteAddrs {
				to, ok := owner[remote]
				if !ok {
					continue
				}
				k := key{min(nodeOf[i], to), max(nodeOf[i], to)}
				if names[k] == nil {
					order = append(order, k)
				}
				names[k] = append(names[k], c.Name)
			}
		}
	}
	var arcs []tunnelArc
	for _, k := range order {
		var label []string
		counts := make(map[string]int)
		for _, name := range names[k] {
			if counts[name] == 0 {
				label = append(label, name)
			}
			counts[name]++
		}
		for i, name := range label {
			if counts[name] > 1 {
				label[i] = fmt.Sprintf("%s × %d", name, counts[name])
			}
		}
		arcs = append(arcs, tunnelArc{from: k.a, to: k.b, label: strings.Join(label, ", ")})
	}
	return arcs
}

// group puts instances of one block that are alike together: their names differ in a number behind the last dash
// only, they follow each other, and their signatures are the same. It answers the group of each instance and the
// members of each group, in order.
func group(n int, describe func(int) (name, signature string)) (of []int, groups [][]int) {
	of = make([]int, n)
	for i := 0; i < n; {
		name, signature := describe(i)
		end := i + 1
		if base, index, ok := indexed(name); ok {
			for ; end < n; end++ {
				nextName, nextSignature := describe(end)
				nextBase, nextIndex, ok := indexed(nextName)
				if !ok || nextBase != base || nextIndex != index+end-i || nextSignature != signature {
					break
				}
			}
		}
		if end-i <= collapseAbove {
			end = i + 1
		}
		var members []int
		for ; i < end; i++ {
			of[i] = len(groups)
			members = append(members, i)
		}
		groups = append(groups, members)
	}
	return of, groups
}

// indexed splits an instance's name into its block's and its index.
func indexed(name string) (base string, index int, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return "", 0, false
	}
	index, err := strconv.Atoi(name[i+1:])
	return name[:i], index, err == nil && index >= 0
}

// span2 writes the first and the last of several texts.
func span2(first, last string) string {
	if first == last {
		return first
	}
	return first + " … " + last
}

// linkRemark says what a link does to packets, briefly; nothing for an ideal one.
func linkRemark(c impair.LinkConfig) string {
	var parts []string
	if c.Delay > 0 {
		delay := span(c.Delay)
		if c.Jitter.Sigma > 0 {
			delay += " ± " + span(c.Jitter.Sigma)
		}
		parts = append(parts, delay)
	}
	switch c.Loss.Model {
	case impair.LossRandom:
		parts = append(parts, "loss "+percent(c.Loss.P))
	case impair.LossGilbertElliott:
		parts = append(parts, fmt.Sprintf("loss bursts p %s r %s", percent(c.Loss.P), percent(c.Loss.R)))
	}
	for _, e := range []struct {
		name string
		p    float64
	}{{"duplicate", c.Duplicate}, {"reorder", c.Reorder}, {"corrupt", c.Corrupt}} {
		if e.p > 0 {
			parts = append(parts, e.name+" "+percent(e.p))
		}
	}
	if c.RateBitsPerSecond > 0 {
		parts = append(parts, rate(c.RateBitsPerSecond))
	}
	return strings.Join(parts, ", ")
}

func percent(p float64) string {
	return strconv.FormatFloat(p*100, 'f', -1, 32) + " %"
}

func rate(bitsPerSecond uint64) string {
	for _, unit := range []struct {
		bits uint64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if bitsPerSecond >= unit.bits {
			return strconv.FormatFloat(float64(bitsPerSecond)/float64(unit.bits), 'f', -1, 32) + " " + unit.name
		}
	}
	return fmt.Sprintf("%d bit/s", bitsPerSecond)
}
