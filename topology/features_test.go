package topology

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestUses: what a plan asks of an engine is listed once per place, with the place.
func TestUses(t *testing.T) {
	p, d := loadText(t, `lab "uses" {}
network "n" { prefix = "192.0.2.0/24" }
link "dsl" {
  delay = "5ms"
  loss  = { p = 0.1 }
  rate  = "1mbit"
  queue = { limit = "10p" }
}
link "dry" { loss = { p = 0 } }
node "a" {
  count = 2
  interface "e" {
    network = network.n
    link    = link.dsl
  }
  connection "b" {
    remote_addrs = [node.b.interface.e]
    child "net" { remote_ts = ["10.0.0.0/8"] }
  }
}
node "b" {
  interface "e" {
    network = network.n
    link    = { corrupt = 0.5, duplicate = 0.5, reorder = 0.1, delay = "1ms", jitter = { sigma = "1ms" } }
  }
}
node "c" {
  implementation = "host"
  interface "e" {
    network = network.n
    link    = link.dry
  }
}
secret "psk" { secret = "x" }
step "down" {
  at     = "1s"
  action = link_down(node.b.interface.e)
}
step "kill" {
  at     = "1s"
  action = kill(node.a[0])
}
step "ask" {
  at     = "1s"
  action = liveness(node.a[0].connection.b)
}
step "move" {
  at     = "1s"
  action = set_address(node.b.interface.e, [])
}
process "ping" {
  node    = node.b
  command = ["ping"]
}
`, nil)
	if d.HasErrors() {
		t.Fatal(d.Error())
	}
	var got []string
	for _, u := range p.Uses() {
		got = append(got, u.String())
	}
	want := strings.Split(strings.TrimSpace(`
lab.hcl:3: link "dsl" (delay)
lab.hcl:3: link "dsl" (loss)
lab.hcl:3: link "dsl" (rate)
lab.hcl:3: link "dsl" (queue)
lab.hcl:22: the link of b.e (delay)
lab.hcl:22: the link of b.e (jitter)
lab.hcl:22: the link of b.e (duplicate)
lab.hcl:22: the link of b.e (reorder)
lab.hcl:22: the link of b.e (corrupt)
lab.hcl:35: step "down" (link_down and link_up)
lab.hcl:39: step "kill" (kill, start and restart)
lab.hcl:43: step "ask" (initiate, terminate and liveness)
lab.hcl:47: step "move" (changes of addresses)
lab.hcl:51: process "ping" (process blocks)`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s := (Use{Feature: FeatureLoss, What: "a link"}).String(); s != "a link (loss)" {
		t.Errorf("a use without a place is %q", s)
	}
}
