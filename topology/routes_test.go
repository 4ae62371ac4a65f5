package topology

import (
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// routesOf loads a lab and answers the routes of its nodes, one line each.
func routesOf(t *testing.T, src string) map[string][]string {
	t.Helper()
	p, d := loadText(t, "lab \"x\" {}\n"+src, nil)
	if d.HasErrors() {
		t.Fatal(d.Error())
	}
	out := map[string][]string{}
	for _, n := range p.Nodes {
		for _, r := range n.Routes {
			out[n.Name] = append(out[n.Name], strings.TrimSpace(fmt.Sprintf("%s via %s dev %s", r.Prefix, r.Via, r.Interface)))
		}
	}
	return out
}

func TestDerivedRoutes(t *testing.T) {
	for _, test := range []struct {
		name, src string
		want      map[string][]string
	}{
		{"a host has a default route over its only router", `
network "a" { prefix = "10.1.0.0/16" }
network "b" { prefix = "10.2.0.0/16" }
node "host" {
  interface "i" { network = network.a }
}
node "router" {
  interface "a" { network = network.a }
  interface "b" { network = network.b }
}`, map[string][]string{"host": {"0.0.0.0/0 via 10.1.0.2 dev i"}}},

		{"a node that does not forward is no way", `
network "a" { prefix = "10.1.0.0/16" }
network "b" { prefix = "10.2.0.0/16" }
node "host" {
  interface "i" { network = network.a }
}
node "router" {
  forward = false
  interface "a" { network = network.a }
  interface "b" { network = network.b }
}`, map[string][]string{}},

		{"of equal ways the first in the file, and the other interface behind it", `
network "a" { prefix = "10.1.0.0/16" }
network "b" { prefix = "10.2.0.0/16" }
network "c" { prefix = "10.3.0.0/16" }
node "host" {
  forward = false
  interface "b" { network = network.b }
  interface "a" { network = network.a }
}
node "second" {
  interface "a" { network = network.a }
  interface "c" { network = network.c }
}
node "first" {
  interface "b" { network = network.b }
  interface "c" { network = network.c }
}`, map[string][]string{
			"host":   {"0.0.0.0/0 via 10.2.0.2 dev b", "0.0.0.0/0 via 10.1.0.2 dev a"},
			"second": {"10.2.0.0/16 via 10.3.0.2 dev c"},
			"first":  {"10.1.0.0/16 via 10.3.0.1 dev c"},
		}},

		{"an interface that is down comes last", `
network "a" { prefix = "10.1.0.0/16" }
network "b" { prefix = "10.2.0.0/16" }
network "c" { prefix = "10.3.0.0/16" }
node "host" {
  forward = false
  interface "a" {
    network = network.a
    up      = false
  }
  interface "b" { network = network.b }
}
node "router" {
  interface "a" { network = network.a }
  interface "b" { network = network.b }
  interface "c" { network = network.c }
}`, map[string][]string{"host": {"0.0.0.0/0 via 10.2.0.2 dev b", "0.0.0.0/0 via 10.1.0.2 dev a"}}},

		{"a stated route replaces the derived ones that it covers", `
network "a" { prefix = "10.1.0.0/16" }
network "b" { prefix = "10.2.0.0/16" }
network "c" { prefix = "172.16.0.0/16" }
node "host" {
  interface "i" { network = network.a }
  route {
    to  = "10.0.0.0/8"
    via = node.slow.interface.a
  }
}
node "fast" {
  interface "a" { network = network.a }
  interface "b" { network = network.b }
  interface "c" { network = network.c }
}
node "slow" {
  interface "a" { network = network.a }
  interface "b" { network = network.b }
}`, map[string][]string{
			"host": {"10.0.0.0/8 via 10.1.0.3 dev i", "172.16.0.0/16 via 10.1.0.2 dev i"},
			"slow": {"172.16.0.0/16 via 10.1.0.2 dev a", "172.16.0.0/16 via 10.2.0.1 dev b"},
		}},

		{"each family has its own ways", `
network "a" { prefixes = ["10.1.0.0/16", "2001:db8:1::/64"] }
network "b" { prefixes = ["10.2.0.0/16", "2001:db8:2::/64"] }
node "host" {
  interface "i" { network = network.a }
}
node "four" {
  interface "a" {
    network = network.a
    address = "10.1.0.4"
  }
  interface "b" { network = network.b }
}
node "six" {
  interface "a" {
    network = network.a
    address = "2001:db8:1::6"
  }
  interface "b" { network = network.b }
}`, map[string][]string{
			"host": {"0.0.0.0/0 via 10.1.0.4 dev i", "::/0 via 2001:db8:1::6 dev i"},
			"four": {"2001:db8:1::/64 via 2001:db8:2::2 dev b"},
			"six":  {"10.1.0.0/16 via 10.2.0.1 dev b"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, routesOf(t, test.src)); diff != "" {
				t.Errorf("routes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRoutesLead: in any lab, whoever has a derived route to an address of a network
// that it can reach gets a packet there, and no packet goes round in a circle.
func TestRoutesLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		networks := rapid.IntRange(1, 7).Draw(t, "networks")
		p := &Plan{}
		for i := range networks {
			p.Networks = append(p.Networks, Network{Name: fmt.Sprint(i), Prefixes: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i))}})
		}
		owner := map[netip.Addr]int{}
		for n := range rapid.IntRange(1, 9).Draw(t, "nodes") {
			node := Node{Name: fmt.Sprint("n", n), Forward: rapid.Bool().Draw(t, "forward")}
			for i := range networks {
				if rapid.IntRange(0, 2).Draw(t, "attached") > 0 {
					continue
				}
				a := netip.MustParseAddr(fmt.Sprintf("10.%d.0.%d", i, n+1))
				owner[a] = n
				node.Interfaces = append(node.Interfaces, Interface{Name: fmt.Sprint("i", i), Network: fmt.Sprint(i), Addresses: []netip.Prefix{netip.PrefixFrom(a, 16)}, Up: true})
			}
			p.Nodes = append(p.Nodes, node)
		}
		r := newRouter(p)
		if !r.derive() {
			t.Fatal("too many routes")
		}
		for to := range p.Networks {
			dist := r.distances(to, true, false)
			for from := range p.Nodes {
				for _, target := range r.attached[to] {
					dst := r.iface(target).Addresses[0].Addr()
					reachable := false
					for _, i := range p.Nodes[from].Interfaces {
						for _, a := range r.attached[r.network[i.Network]] {
							reachable = reachable || r.network[i.Network] == to || a.node != from && dist[a.node] != unreachable
						}
					}
					arrived, hops := walk(p, owner, from, dst)
					if arrived != reachable {
						t.Fatalf("from n%d to %v: arrived %v after %v, reachable %v", from, dst, arrived, hops, reachable)
					}
				}
			}
		}
	})
}

// walk follows the routes and answers whether a packet arrives.
func walk(p *Plan, owner map[netip.Addr]int, at int, dst netip.Addr) (arrived bool, path []int) {
	for range 2 * len(p.Nodes) {
		path = append(path, at)
		if owner[dst] == at {
			return true, path
		}
		if len(path) > 1 && !p.Nodes[at].Forward {
			return false, path
		}
		next, best := -1, -1
		for _, i := range p.Nodes[at].Interfaces {
			if i.Addresses[0].Contains(dst) {
				next, best = owner[dst], 33
			}
		}
		for _, r := range p.Nodes[at].Routes {
			if r.Prefix.Contains(dst) && r.Prefix.Bits() > best {
				next, best = owner[r.Via], r.Prefix.Bits()
			}
		}
		if next < 0 {
			return false, path
		}
		at = next
	}
	return false, path
}

// TestRateIsExact: packets do not drift, and no product overflows.
func TestRateIsExact(t *testing.T) {
	third := Rate{Packets: 3, Per: time.Second}
	for n, want := range map[uint64]time.Duration{0: 0, 1: 333333333, 2: 666666666, 3: time.Second, 3_000_000: 1_000_000 * time.Second} {
		if got := third.At(n); got != want {
			t.Errorf("packet %d at %v, want %v", n, got, want)
		}
	}
	if got := (Rate{Packets: 1, Per: time.Hour}).At(1 << 62); got != durMax {
		t.Errorf("overflow gives %v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Packets: rapid.Uint64Range(1, 1<<40).Draw(t, "packets"), Per: time.Duration(rapid.Int64Range(1, 1<<55).Draw(t, "per"))}
		n := rapid.Uint64Range(0, 1<<50).Draw(t, "n")
		want := new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(int64(r.Per)))
		want.Quo(want, new(big.Int).SetUint64(r.Packets))
		if !want.IsInt64() {
			want.SetInt64(int64(durMax))
		}
		if got := r.At(n); int64(got) != want.Int64() {
			t.Fatalf("%+v packet %d at %d, want %v", r, n, int64(got), want)
		}
	})
}
