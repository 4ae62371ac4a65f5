package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/topology"
)

// iface makes an interface with addresses.
func iface(name, network string, addresses ...string) topology.Interface {
	f := topology.Interface{Name: name, Network: network, Up: true, MTUBytes: 1500}
	for _, a := range addresses {
		f.Addresses = append(f.Addresses, netip.MustParsePrefix(a))
	}
	return f
}

func network(name string, prefixes ...string) topology.Network {
	n := topology.Network{Name: name}
	for _, p := range prefixes {
		n.Prefixes = append(n.Prefixes, netip.MustParsePrefix(p))
	}
	return n
}

func to(name, remote string) []topology.Connection {
	c := topology.Connection{Name: name}
	if remote != "" {
		c.RemoteAddrs = []netip.Addr{netip.MustParseAddr(remote)}
	}
	return []topology.Connection{c}
}

// twoGateways is the smallest lab that is worth a picture.
func twoGateways() *topology.Plan {
	wan := iface("wan", "internet", "198.51.100.1/24")
	wan.Link = impair.LinkConfig{Delay: 20 * ms, Jitter: impair.Jitter{Sigma: ms}, Loss: impair.Loss{Model: impair.LossRandom, P: 0.05}, RateBitsPerSecond: 80e6}
	spare := iface("lte <\"&>", "internet", "198.51.100.9/24")
	spare.Up = false
	return &topology.Plan{
		Lab:      topology.Lab{Name: "two gateways & \"more\""},
		Networks: []topology.Network{network("left", "10.1.0.0/16", "2001:db8:1::/64"), network("internet", "198.51.100.0/24"), network("right", "10.2.0.0/16")},
		Nodes: []topology.Node{
			{Name: "host-a", Implementation: topology.ImplementationHost, Interfaces: []topology.Interface{iface("eth0", "left", "10.1.0.10/16", "2001:db8:1::10/64")}},
			{Name: "gw-a", Implementation: topology.ImplementationIkelab, Connections: to("to-b", "198.51.100.2"),
				Interfaces: []topology.Interface{iface("lan", "left", "10.1.0.1/16", "2001:db8:1::1/64"), wan}},
			{Name: "gw-b", Implementation: topology.ImplementationIkelab, Connections: to("to-a", "198.51.100.1"),
				Interfaces: []topology.Interface{iface("wan", "internet", "198.51.100.2/24"), spare, iface("lan", "right", "10.2.0.1/16")}},
			{Name: "host-b", Implementation: topology.ImplementationHost, Interfaces: []topology.Interface{iface("eth0", "right", "10.2.0.10/16")}},
		},
	}
}

// warriors is a gateway with n road warriors and a host behind it.
func warriors(n int) *topology.Plan {
	p := &topology.Plan{
		Lab:      topology.Lab{Name: "warriors"},
		Networks: []topology.Network{network("internet", "198.51.100.0/22"), network("office", "10.1.0.0/16")},
		Nodes: []topology.Node{
			{Name: "gw", Implementation: topology.ImplementationIkelab, Connections: to("warriors", ""),
				Interfaces: []topology.Interface{iface("wan", "internet", "198.51.100.1/22"), iface("lan", "office", "10.1.0.1/16")}},
			{Name: "server", Implementation: topology.ImplementationHost, Interfaces: []topology.Interface{iface("eth0", "office", "10.1.0.2/16")}},
		},
	}
	for i := range n {
		addr := netip.AddrFrom4([4]byte{198, 51, byte(101 + i/200), byte(1 + i%200)})
		p.Nodes = append(p.Nodes, topology.Node{Name: fmt.Sprintf("warrior-%d", i), Implementation: topology.ImplementationIkelab, Connections: to("office", "198.51.100.1"),
			Interfaces: []topology.Interface{iface("wan", "internet", addr.String()+"/22")}})
	}
	return p
}

// sites is a hub with sites, each with a network of its own.
func sites(n int) *topology.Plan {
	p := &topology.Plan{
		Lab:      topology.Lab{Name: "hub and sites"},
		Networks: []topology.Network{network("internet", "198.51.100.0/24"), network("centre", "10.0.0.0/16")},
		Nodes: []topology.Node{{Name: "hub", Implementation: topology.ImplementationIkelab, Connections: to("sites", ""),
			Interfaces: []topology.Interface{iface("wan", "internet", "198.51.100.1/24"), iface("lan", "centre", "10.0.0.1/16")}}},
	}
	for i := range n {
		lan := fmt.Sprintf("10.%d.0.", i+1)
		p.Networks = append(p.Networks, network(fmt.Sprintf("site-%d", i), lan+"0/24"))
		p.Nodes = append(p.Nodes, topology.Node{Name: fmt.Sprintf("gw-%d", i), Implementation: topology.ImplementationIkelab, Connections: to("hub", "198.51.100.1"),
			Interfaces: []topology.Interface{iface("wan", "internet", fmt.Sprintf("198.51.100.%d/24", i+10)), iface("lan", fmt.Sprintf("site-%d", i), lan+"1/24")}})
	}
	// A node of a network that nothing else is on lies apart.
	p.Networks = append(p.Networks, network("island", "192.0.2.0/24"))
	p.Nodes = append(p.Nodes, topology.Node{Name: "hermit", Implementation: topology.ImplementationHost, Interfaces: []topology.Interface{iface("eth0", "island", "192.0.2.1/24")}})
	return p
}

var labs = []struct {
	name string
	plan *topology.Plan
}{
	{"two-gateways", twoGateways()},
	{"warriors-200", warriors(200)},
	{"warriors-3", warriors(3)},
	{"sites-3", sites(3)},
	{"sites-40", sites(40)},
	{"empty", &topology.Plan{Lab: topology.Lab{Name: "empty"}}},
}

func TestGraph(t *testing.T) {
	for _, lab := range labs {
		for _, format := range Formats {
			t.Run(lab.name+"."+format, func(t *testing.T) {
				var b bytes.Buffer
				if err := Graph(&b, lab.plan, format); err != nil {
					t.Fatal(err)
				}
				golden(t, "graph-"+lab.name+"."+format, b.Bytes())
			})
		}
	}
}

func TestGraphRefusesUnknownFormats(t *testing.T) {
	err := Graph(io.Discard, twoGateways(), "png")
	if err == nil || !strings.Contains(err.Error(), "svg, dot, mermaid") {
		t.Errorf("error is %v, want one that names the formats", err)
	}
}

// TestSVGIsXML: names with characters of XML's own do not break the picture.
func TestSVGIsXML(t *testing.T) {
	for _, lab := range labs {
		var b bytes.Buffer
		if err := Graph(&b, lab.plan, "svg"); err != nil {
			t.Fatal(err)
		}
		for dec := xml.NewDecoder(&b); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", lab.name, err)
			}
		}
	}
}

// TestLayoutKeepsShapesApart: no two boxes or labelled bars overlap, all lie in the picture, and every wire leads to
// a neighbouring column.
func TestLayoutKeepsShapesApart(t *testing.T) {
	for _, lab := range labs {
		pic := newPicture(lab.plan)
		l := pic.layout()
		type area struct{ x1, y1, x2, y2 int }
		areas := make([]area, len(l.shapes))
		for i, s := range l.shapes {
			areas[i] = area{s.x, s.y, s.x + s.w, s.y + s.h}
			if s.network { // the label is centred on the bar
				areas[i] = area{s.x + barPx/2 - s.w/2, s.y, s.x + barPx/2 + s.w/2, s.bottom}
			}
			if a := areas[i]; a.x1 < 0 || a.y1 < headPx || a.x2 > l.width || a.y2 > l.height {
				t.Errorf("%s: %s at %v leaves the picture of %d × %d", lab.name, s.vertex.name, a, l.width, l.height)
			}
		}
		for i, a := range areas {
			for j, b := range areas[:i] {
				if a.x1 < b.x2 && b.x1 < a.x2 && a.y1 < b.y2 && b.y1 < a.y2 {
					t.Errorf("%s: %s at %v and %s at %v overlap", lab.name, l.shapes[i].vertex.name, a, l.shapes[j].vertex.name, b)
				}
			}
		}
		for _, w := range pic.wires {
			box, bar := l.shapes[l.networks+w.node], l.shapes[w.network]
			if d := box.column - bar.column; d != 1 && d != -1 {
				t.Errorf("%s: the wire from %s to %s spans %d columns", lab.name, box.vertex.name, bar.vertex.name, d)
			}
		}
	}
}

// TestAlikeInstancesCollapse: 200 warriors are one box, three are three, and what differs stays apart.
func TestAlikeInstancesCollapse(t *testing.T) {
	odd := warriors(200)
	odd.Nodes[100].Interfaces[0].Up = false // warrior-98
	for _, tc := range []struct {
		name string
		plan *topology.Plan
		want int
	}{
		{"200 alike", warriors(200), 3},
		{"three alike", warriors(3), 5},
		{"one of 200 differs", odd, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pic := newPicture(tc.plan)
			if len(pic.nodes) != tc.want {
				t.Errorf("%d boxes, want %d", len(pic.nodes), tc.want)
			}
			total := 0
			for _, v := range pic.nodes {
				total += v.instances
			}
			if total != len(tc.plan.Nodes) {
				t.Errorf("boxes stand for %d nodes of %d", total, len(tc.plan.Nodes))
			}
		})
	}
}
