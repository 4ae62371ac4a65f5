//go:build linux

package netns

import (
	"fmt"
	"testing"
	"time"

	"github.com/ikelab/ikelab/sim"
)

// manyHosts is a lab of n hosts on one network, a quarter of them behind a link with a
// model if modelled.
func manyHosts(n int, link string) string {
	return fmt.Sprintf(`
lab "many" { duration = "1s" }
network "net" { prefix = "10.0.0.0/16" }
node "host" {
  count          = %d
  implementation = "host"
  interface "eth0" {
    network = network.net
    %s
  }
}
flow "ping" {
  from     = node.host[0]
  to       = node.host[%d]
  protocol = "icmp"
  rate     = "10pps"
}
`, n, link, n-1)
}

// warriors is a gateway and n-1 clients with a tunnel each.
func warriors(n int) string {
	return fmt.Sprintf(`
lab "warriors" { duration = "10s" }
network "net" { prefix = "10.0.0.0/16" }
network "office" { prefix = "10.1.0.0/16" }
node "gw" {
  interface "wan" { network = network.net }
  interface "lan" { network = network.office }
  connection "all" {
    local { id = "gw.example.org" }
    child "office" { local_ts = [network.office] }
  }
}
node "warrior" {
  count = %d
  interface "wan" {
    network = network.net
    link    = { delay = "5ms" }
  }
  connection "office" {
    remote_addrs = [node.gw.interface.wan]
    local { id = format("warrior-%%d@example.org", count.index) }
    remote { id = "gw.example.org" }
    child "office" {
      remote_ts    = [network.office]
      start_action = "start"
    }
  }
}
secret "group" { secret = "known to all" }
expect "everybody has a tunnel" {
  count     = %d
  within    = "9s"
  condition = result.node.warrior[count.index].connection.office.established
}
`, n-1, n-1)
}

// BenchmarkCreate builds and removes labs of many namespaces, bridged by the kernel
// or switched by the box.
func BenchmarkCreate(b *testing.B) {
	for _, kind := range []struct {
		name string
		lab  func(n int) string
	}{
		{"bridged", func(n int) string { return manyHosts(n, "") }},
		{"switched", func(n int) string { return manyHosts(n, `link = { delay = "1ms" }`) }},
		{"warriors", warriors},
	} {
		for _, n := range []int{10, 200} {
			b.Run(fmt.Sprintf("%s-%d", kind.name, n), func(b *testing.B) {
				root(b)
				plan := load(b, kind.lab(n))
				var made, removed time.Duration
				for b.Loop() {
					r, err := sim.New(plan, sim.Options{})
					if err != nil {
						b.Fatal(err)
					}
					start := time.Now()
					l, err := Create(r, Options{})
					if err != nil {
						b.Fatal(err)
					}
					made += time.Since(start)
					start = time.Now()
					if err := l.Close(); err != nil {
						b.Fatal(err)
					}
					removed += time.Since(start)
				}
				b.ReportMetric(made.Seconds()/float64(b.N), "s/create")
				b.ReportMetric(removed.Seconds()/float64(b.N), "s/remove")
			})
		}
	}
}
