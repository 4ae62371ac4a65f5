//go:build linux

package netns

import (
	"context"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repeats is how often a test does something: a few times in make test, more often
// in make soak.
func repeats(test, soak int) int {
	if os.Getenv("IKELAB_SOAK") != "" {
		return soak
	}
	return test
}

// load reads a lab.
func load(t testing.TB, text string) *topology.Plan {
	t.Helper()
	plan, diags := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(text)}}, "lab.hcl", nil)
	if plan == nil || diags.HasErrors() {
		t.Fatalf("the lab is wrong: %v", diags)
	}
	return plan
}

// outcome is a run and what it came to.
type outcome struct {
	*sim.Result
	run *sim.Run
}

// run carries a lab out and fails the test for everything that did not hold.
func run(t *testing.T, plan *topology.Plan, e Engine, opt sim.EngineOptions) outcome {
	t.Helper()
	root(t)
	for _, p := range plan.Processes {
		hosttest.Command(t, p.Command)
	}
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), hosttest.Patience)
	defer cancel()
	result, err := e.Run(ctx, r, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range result.Expectations {
		if !x.Pass {
			t.Errorf("expectation %q: %+v", x.Name, x)
		}
	}
	for _, i := range result.Invariants {
		if !i.Pass && !i.Off {
			t.Errorf("invariant %s: %+v", i.Name, i)
		}
	}
	return outcome{result, r}
}

// hosts is a lab of three hosts without IPsec: two behind links with a model and a
// router between two networks.
const hosts = `
lab "hosts" { duration = "4s" } # long enough for a host that stands still for a while
network "left" { prefixes = ["10.1.0.0/24", "2001:db8:1::/64"] }
network "right" { prefixes = ["10.2.0.0/24", "2001:db8:2::/64"] }
link "slow" { delay = "10ms" }
node "a" {
  implementation = "host"
  interface "eth0" {
    network = network.left
    link    = link.slow
  }
}
node "r" {
  implementation = "host"
  forward        = true
  interface "left" { network = network.left }
  interface "right" { network = network.right }
}
node "b" {
  implementation = "host"
  interface "eth0" { network = network.right }
}
flow "ping" {
  from     = node.a
  to       = node.b
  protocol = "icmp"
  rate     = "50pps"
  stop     = "1.9s"
}
flow "ping6" {
  from     = node.a
  to       = "2001:db8:2::2"
  protocol = "icmp"
  rate     = "50pps"
  stop     = "1.9s"
}
flow "call" {
  from     = node.b
  to       = node.a
  rate     = "100pps"
  size     = 200
  stop     = "1.9s"
}
`

// TestHosts: flows cross both kinds of segments, and the delay is the link's.
func TestHosts(t *testing.T) {
	t.Parallel()
	plan := load(t, hosts)
	o := run(t, plan, Engine{}, sim.EngineOptions{})
	for _, f := range o.Flows {
		t.Logf("%s: %d sent, %d received, p50 %v p99 %v max %v", f.Name, f.Sent, f.Received, f.DelayP50, f.DelayP99, f.DelayMax)
		want := 10 * time.Millisecond
		if f.Protocol == topology.ProtocolICMP {
			want *= 2
		}
		if f.Sent == 0 || f.Received != f.Sent {
			t.Errorf("%s: %d sent, %d received", f.Name, f.Sent, f.Received)
		}
		if f.DelayMin < want {
			t.Errorf("%s: a packet took %v over a link of %v", f.Name, f.DelayMin, want)
		}
	}
}
