package sim

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// byHandLab has two gateways, one of which is killed by a step at 5 s.
const byHandLab = `
lab "by-hand" { duration = "10s" }
network "wan" { prefix = "192.0.2.0/24" }
secret "psk" { secret = "by hand" }
node "a" {
  interface "wan" { network = network.wan }
  connection "b" {
    remote_addrs = [node.b.interface.wan]
    child "net" {}
  }
}
node "b" {
  interface "wan" { network = network.wan }
  connection "a" {
    remote_addrs = [node.a.interface.wan]
    child "net" {}
  }
}
step "crash" {
  at     = "5s"
  action = kill(node.b)
}
`

func TestDo(t *testing.T) {
	plan, diags := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(byHandLab)}}, "lab.hcl", nil)
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	r, err := New(plan, Options{})
	if err != nil {
		t.Fatal(err)
	}
	do := func(a topology.Action) []Order {
		t.Helper()
		orders, err := r.Do(time.Second, "hand", a)
		if err != nil {
			t.Fatal(err)
		}
		return orders
	}
	refused := func(want string, a topology.Action) {
		t.Helper()
		if orders, err := r.Do(time.Second, "hand", a); err == nil || !strings.Contains(err.Error(), want) || orders != nil {
			t.Errorf("%+v: %d orders, error %v; want one that says %q", a, len(orders), err, want)
		}
	}

	down := do(topology.Action{Kind: topology.ActionLinkDown, Node: "a", Interface: "wan"})
	if len(down) != 2 || down[0].Link == nil || down[0].Link.Up || down[1].Input != (node.InterfaceChange{Interface: 0}) {
		t.Errorf("link_down orders %+v", down)
	}
	do(topology.Action{Kind: topology.ActionKill, Node: "a"})
	refused("the node is dead already", topology.Action{Kind: topology.ActionKill, Node: "a"})
	refused("the node is dead", topology.Action{Kind: topology.ActionInitiate, Node: "a", Connection: "b"})
	refused(`no node "c"`, topology.Action{Kind: topology.ActionKill, Node: "c"})
	refused(`no interface "lan"`, topology.Action{Kind: topology.ActionLinkUp, Node: "a", Interface: "lan"})
	if started := do(topology.Action{Kind: topology.ActionStart, Node: "a"}); len(started) != 1 || started[0].Life == nil || started[0].Life.Life != 2 {
		t.Errorf("start orders %+v", started)
	}
	if r.Drops(0) != nil {
		t.Errorf("node a has dropped %v", r.Drops(0))
	}

	// What a person does takes nothing from the plan's own steps.
	if orders := r.Step(5 * time.Second); len(orders) != 1 || orders[0].Life == nil || orders[0].Node != 1 {
		t.Errorf("the plan's step orders %+v", orders)
	}
}
