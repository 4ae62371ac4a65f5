//go:build linux

package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
)

// flat is a lab of one gateway and n clients on one network, of which everybody brings
// a tunnel up and every fourth uses it, in both families. The last one also sends to the
// first beside all tunnels.
func flat(n int, duration, link string) string {
	return fmt.Sprintf(`
lab "flat" { duration = %[2]q }
network "net" { prefixes = ["10.0.0.0/16", "2001:db8:1::/48"] }
network "office" { prefixes = ["10.1.0.0/16", "2001:db8:2::/48"] }
node "gw" {
  interface "wan" {
    network   = network.net
    addresses = ["10.0.0.1", "2001:db8:1::1"]
    %[3]s
  }
  interface "lan" { network = network.office }
  connection "all" {
    local { id = "gw.example.org" }
    child "office" { local_ts = [network.office] }
  }
}
node "server" {
  implementation = "host"
  interface "eth0" { network = network.office }
}
node "client" {
  count = %[1]d
  interface "wan" {
    network = network.net
    %[3]s
  }
  connection "office" {
    remote_addrs = [count.index %% 2 == 0 ? "10.0.0.1" : "2001:db8:1::1"]
    local { id = format("client-%%d@example.org", count.index) }
    remote { id = "gw.example.org" }
    child "office" {
      remote_ts    = [network.office]
      start_action = "start"
    }
  }
}
secret "group" { secret = "known to all" }
flow "work" {
  count    = %[1]d / 4
  from     = node.client[4 * count.index]
  to       = node.server
  rate     = "2pps"
  start    = "6s"
  packets  = 4
}
flow "echo" {
  count    = %[1]d / 4
  from     = node.client[4 * count.index + 1]
  to       = "2001:db8:2::2"
  protocol = "icmp"
  rate     = "2pps"
  start    = "6s"
  packets  = 4
}
flow "beside" {
  from    = node.client[%[1]d - 1]
  to      = node.client[0]
  start   = "6s"
  packets = 4
}
`, n, duration, link)
}

// TestAcquaint: everybody on a small network is told of everybody, and on a large one of
// those who are on the way of something.
func TestAcquaint(t *testing.T) {
	const clients = 100
	plan := load(t, flat(clients, "9s", "")+`
step "move" {
  at     = "8s"
  action = set_address(node.client[7].interface.wan, ["10.0.9.9"])
}
`)
	s, err := segments(plan, false)
	if err != nil {
		t.Fatal(err)
	}
	known := acquaint(plan, s)
	wan, lan, server := endpoint{0, 0}, endpoint{0, 1}, endpoint{1, 0}
	client := func(i int) endpoint { return endpoint{2 + i, 0} }
	if len(known[wan]) != clients {
		t.Errorf("the gateway knows %d of %d clients", len(known[wan]), clients)
	}
	if !slices.Contains(known[lan], server) || !slices.Contains(known[server], lan) {
		t.Error("the server and the gateway do not know each other")
	}
	pairs := 0
	for i := range clients {
		pairs += len(known[client(i)])
		if !slices.Contains(known[client(i)], wan) || !slices.Contains(known[wan], client(i)) {
			t.Errorf("client %d and the gateway do not know each other", i)
		}
	}
	if !slices.Contains(known[client(0)], client(clients-1)) || !slices.Contains(known[client(clients-1)], client(0)) {
		t.Error("the ends of a flow do not know each other")
	}
	if pairs != clients+2 {
		t.Errorf("clients know %d others, want the gateway each and the ends of one flow", pairs)
	}
	small := load(t, flat(20, "9s", ""))
	if s, err = segments(small, false); err != nil {
		t.Fatal(err)
	}
	if known := acquaint(small, s); len(known[wan]) != 20 || len(known[client(3)]) != 20 {
		t.Errorf("on a small network the gateway knows %d and a client %d others, of 20", len(known[wan]), len(known[client(3)]))
	}
}

// learned are the neighbours of a lab's nodes that the kernel counts and may forget:
// those that are not permanent, but for multicast, which it drops first.
func learned(t *testing.T, l *Lab) []string {
	t.Helper()
	var all []string
	for _, s := range l.stations {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			list, err := s.handle.NeighList(0, family)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range list {
				if n.State != netlink.NUD_PERMANENT && !n.IP.IsMulticast() && !n.IP.Equal(net.IPv4bcast) {
					all = append(all, fmt.Sprintf("%s: %v state %#x on %d", s.plan.Name, n.IP, n.State, n.LinkIndex))
				}
			}
		}
	}
	return all
}

// drive makes a lab, carries it out and calls look before it is removed.
func drive(t *testing.T, text string, look func(l *Lab)) *sim.Result {
	t.Helper()
	r, err := sim.New(load(t, text), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Create(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Start()
	result, err := l.Drive(context.Background(), nil)
	if err != nil {
		t.Error(err)
	}
	if look != nil {
		look(l)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	return result
}

// missing are the connections that were never established and the flows that lost
// something.
func missing(r *sim.Result) []string {
	var all []string
	for _, c := range r.Connections {
		if c.Node != "gw" && c.EstablishedCount == 0 {
			all = append(all, c.Node+" has no tunnel")
		}
	}
	for _, f := range r.Flows {
		if f.Sent == 0 || f.Received != f.Sent {
			all = append(all, fmt.Sprintf("flow %s: %d sent, %d received", f.Name, f.Sent, f.Received))
		}
	}
	for _, h := range r.HostTroubles {
		all = append(all, h.String())
	}
	return all
}

// TestLearnsNothing: a lab puts nothing into the neighbour table that counts there,
// however large its networks are, by the kernel's segments and the box's, in both
// families, and into tunnels.
func TestLearnsNothing(t *testing.T) {
	root(t)
	for name, link := range map[string]string{"bridged": "", "switched": `link = { delay = "1ms" }`} {
		t.Run(name, func(t *testing.T) {
			result := drive(t, flat(neighboursMax+8, "9s", link), func(l *Lab) {
				if all := learned(t, l); len(all) > 0 {
					t.Errorf("%d neighbours were learned:\n%s", len(all), strings.Join(all, "\n"))
				}
			})
			if all := missing(result); len(all) > 0 {
				t.Errorf("%d things are missing:\n%s", len(all), strings.Join(all, "\n"))
			}
		})
	}
}

// TestManyOnOneNetwork: many clients of one network, in make soak a thousand, bring their
// tunnels up, and a lab beside them loses nothing.
func TestManyOnOneNetwork(t *testing.T) {
	clients, begin, duration, beside := repeats(100, 1000), "6s", "9s", "15s"
	if clients > 100 {
		begin, duration, beside = "33s", "40s", "90s"
		hosttest.Alone(t)
	}
	root(t)
	var other sync.WaitGroup
	other.Go(func() {
		for _, f := range drive(t, tunnel(beside, "", ""), nil).Flows {
			if f.Lost > 0 || f.Received == 0 {
				t.Errorf("the lab beside: flow %s: %d sent, %d received, %d under way", f.Name, f.Sent, f.Received, f.InFlight)
			}
		}
	})
	result := drive(t, strings.ReplaceAll(flat(clients, duration, ""), `= "6s"`, fmt.Sprintf("= %q", begin)), func(l *Lab) {
		if all := learned(t, l); len(all) > 0 {
			t.Errorf("%d neighbours were learned, the first: %s", len(all), all[0])
		}
	})
	other.Wait()
	last, tunnels := time.Duration(0), 0
	for _, c := range result.Connections {
		if c.Node != "gw" && c.EstablishedCount > 0 {
			tunnels, last = tunnels+1, max(last, c.EstablishedAt)
		}
	}
	t.Logf("%d of %d tunnels, the last after %v", tunnels, clients, last)
	if all := missing(result); len(all) > 0 {
		t.Errorf("%d things are missing:\n%s", len(all), strings.Join(all[:min(len(all), 20)], "\n"))
	}
}

// TestNeighbourTables: what is read of the tables is what the kernel shows elsewhere, and
// an overflow between two looks is told with its cure.
func TestNeighbourTables(t *testing.T) {
	tables, err := NeighbourTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		limit, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(table.Sysctl(), ".", "/"))
		if err != nil {
			t.Skipf("the limit is not shown here: %v; cure: run outside of a container", err)
		}
		if want, _ := strconv.ParseUint(strings.TrimSpace(string(limit)), 10, 32); uint64(table.Limit) != want {
			t.Errorf("%s: limit %d, want %d", table.Family, table.Limit, want)
		}
		name := map[string]string{"IPv4": "arp_cache", "IPv6": "ndisc_cache"}[table.Family]
		statistics, err := os.ReadFile("/proc/net/stat/" + name)
		if err != nil {
			t.Skipf("the statistics are not shown here: %v; cure: run outside of a container", err)
		}
		var full uint64
		lines := strings.Split(strings.TrimSpace(string(statistics)), "\n")
		column := slices.Index(strings.Fields(lines[0]), "table_fulls")
		for _, processor := range lines[1:] {
			n, _ := strconv.ParseUint(strings.Fields(processor)[column], 16, 64)
			full += n
		}
		if full < table.Overflows { // it only grows
			t.Errorf("%s: %d overflows, want at most %d", table.Family, table.Overflows, full)
		}
	}
	before := []NeighbourTable{{Family: "IPv4", Limit: 1024, Overflows: 7}, {Family: "IPv6", Limit: 1024, Overflows: 1}}
	after := []NeighbourTable{{Family: "IPv4", Limit: 1024, Overflows: 7}, {Family: "IPv6", Limit: 1024, Overflows: 43}}
	trouble := NeighbourTrouble(before, after)
	if len(trouble) != 1 || trouble[0].Count != 42 || !strings.Contains(trouble[0].String(), "IPv6") || !strings.Contains(trouble[0].Cure, "net.ipv6.neigh.default.gc_thresh3=") {
		t.Errorf("trouble: %v", trouble)
	}
	if trouble := NeighbourTrouble(after, after); len(trouble) != 0 {
		t.Errorf("nothing happened: %v", trouble)
	}
	if !after[1].Full() || (&NeighbourTable{Limit: NeighbourLimitCure, Overflows: 3}).Full() || (&NeighbourTable{Limit: 1024}).Full() {
		t.Error("a table that was full and has no more room since is not told from others")
	}
}
