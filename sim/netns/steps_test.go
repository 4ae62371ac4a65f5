//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// tunnel is a lab of two gateways, with what a test adds.
func tunnel(duration, link, more string) string {
	return fmt.Sprintf(`
lab "tunnel" { duration = %q }
network "a" { prefix = "10.1.0.0/24" }
network "internet" { prefixes = ["198.51.100.0/24", "2001:db8::/64"] }
network "b" { prefix = "10.2.0.0/24" }
node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.a }
}
node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.internet
    %s
  }
  connection "to-b" {
    local_addrs        = [node.gw-a.interface.wan]
    remote_addrs       = [node.gw-b.interface.wan]
    retransmit_timeout = "300ms"
    retransmit_tries   = 3
    dpd_delay          = "1s"
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "trap"
    }
  }
}
node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    local_addrs        = [node.gw-b.interface.wan]
    remote_addrs       = [node.gw-a.interface.wan]
    retransmit_timeout = "300ms"
    retransmit_tries   = 3
    dpd_delay          = "1s"
    child "net" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}
node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.b }
}
secret "psk" { secret = "tunnel" }
flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "20pps"
  start    = "500ms"
}
%s
`, duration, link, more)
}

// TestLinkState: while a link is away nothing passes, and the node at it notices; on a
// link of the box's and on a bridge.
func TestLinkState(t *testing.T) {
	t.Parallel()
	for name, link := range map[string]string{"switched": `link = { delay = "2ms" }`, "bridged": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := run(t, load(t, tunnel("5s", link, `
step "pull" {
  at     = "2s"
  action = link_down(node.gw-a.interface.wan)
}
step "plug" {
  at     = "3s"
  action = link_up(node.gw-a.interface.wan)
}
expect "the node notices" {
  condition = event_count({ event = "interface-down", node = node.gw-a }) == 1 && event_count({ event = "interface-up", node = node.gw-a }) == 1
}
expect "nobody else does" {
  condition = event_count({ event = "interface-down", node = node.gw-b }) == 0
}
`)), Engine{}, sim.EngineOptions{})
			f := o.Flows[0]
			// 20 a second for a second are lost, and what was on its way.
			if f.LongestGap < 950*time.Millisecond || f.Lost < 19 || f.Received == 0 || f.Lost+f.InFlight+f.Received != f.Sent {
				t.Errorf("%+v", f)
			}
			for _, n := range o.Nodes {
				if slices.ContainsFunc(n.Drops, func(d sim.DropCount) bool { return d.Reason == sim.DropHostQueueFull }) {
					t.Errorf("a link that is away is taken for a host that is busy: %+v", n)
				}
			}
			// However late the host pulls the link, the gap ends behind the step that plugs it in again.
			if o.Ended < 5*time.Second || f.LongestGapAt > 3*time.Second || f.LongestGapAt+f.LongestGap < 3*time.Second {
				t.Errorf("the gap began at %v and lasted %v", f.LongestGapAt, f.LongestGap)
			}
		})
	}
}

// TestKill: a node that is killed says nothing, its peer finds out by asking, and a new
// life makes a new tunnel. Nothing leaves in clear meanwhile.
func TestKill(t *testing.T) {
	t.Parallel()
	o := run(t, load(t, tunnel("8s", `link = { delay = "2ms" }`, `
step "kill" {
  at     = "2s"
  action = kill(node.gw-a)
}
step "start" {
  on     = { event = "ike-deleted", node = node.gw-b }
  after  = "200ms"
  action = start(node.gw-a)
}
expect "the peer notices by asking" {
  condition = event_count({ event = "ike-deleted", node = node.gw-b }) == 1 && event_count({ event = "ike-deleted", node = node.gw-a }) == 0
}
expect "and then there is another tunnel" {
  condition = result.node.gw-a.connection.to-b.established && result.node.gw-b.connection.to-a.established_count == 2
}
`)), Engine{}, sim.EngineOptions{})
	if f := o.Flows[0]; f.LongestGap < 2*time.Second || f.Received < 40 {
		t.Errorf("%+v", f)
	}
}

// TestProcesses: real commands run in a node's namespace, see its interfaces, and say
// how they ended.
func TestProcesses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "begun")
	o := run(t, load(t, tunnel("5s", `link = { delay = "2ms" }`, fmt.Sprintf(`
process "ping" {
  node    = node.host-a
  command = ["ping", "-n", "-c", "3", "-i", "0.2", "-w", "60", "10.2.0.2"]
  start   = "1s"
}
process "say" {
  node    = node.gw-b
  command = ["sh", "-c", "cat; echo $WORD >&2; exit 7"]
  stdin   = "hello"
  env     = { WORD = "world" }
}
process "nothing" {
  node    = node.gw-b
  command = ["no-such-command-anywhere"]
}
process "forever" {
  node    = node.gw-b
  command = ["sleep", "60"]
  stop    = "2s"
}
process "deaf" {
  node    = node.gw-b
  command = ["sh", "-c", "trap '' TERM; touch %s; while :; do sleep 0.1; done"]
  stop    = "2s"
}
expect "ping went through the tunnel" {
  condition = result.process.ping.exit_status == 0 && strcontains(result.process.ping.output, " 3 received")
}
expect "a process has its input, environment and status" {
  condition = result.process.say.output == "hello" && result.process.say.error_output == "world\n" && result.process.say.exit_status == 7
}
expect "one that does not exist is 127, one that is ended has its signal" {
  condition = result.process.nothing.exit_status == 127 && result.process.forever.exit_status == 143 && result.process.deaf.exit_status == 137
}
`, file))), Engine{}, sim.EngineOptions{})
	for _, p := range o.Processes {
		if !p.Exited {
			t.Errorf("%s did not end: %+v", p.Name, p)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

// TestInterrupted: a run that is cancelled has a result, and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	root(t)
	r, err := sim.New(load(t, tunnel("600s", "", `
process "forever" {
  node    = node.host-a
  command = ["sleep", "600"]
}
`)), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := Create(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := l.ID()
	l.Start()
	result, err := l.Drive(ctx, func(p sim.Progress) {
		if p.Established == 2 {
			cancel()
		}
	})
	if err != nil || !result.Interrupted || result.OK() || result.Ended >= 600*time.Second {
		t.Errorf("%v, interrupted %v at %v", err, result.Interrupted, result.Ended)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	for _, name := range namespaces(t) {
		if strings.Contains(name, id) {
			t.Errorf("namespace %s is still there", name)
		}
	}
	if _, err := os.Stat(Folder(id)); !os.IsNotExist(err) {
		t.Errorf("the state of %s is still there", id)
	}
}

// TestRefused: what cannot be carried out is named before anything is made.
func TestRefused(t *testing.T) {
	privateState(t)
	plan := load(t, tunnel("5s", "", ""))
	plan.Nodes[0].Implementation = topology.ImplementationNAT
	plan.Nodes[1].Interfaces[0].Link.Loss.P = 2
	_, err := Create(mustNew(t, load(t, tunnel("5s", "", "")), plan), Options{})
	if err == nil || !strings.Contains(err.Error(), `node "host-a": implementation "nat"`) || !strings.Contains(err.Error(), "loss.p is 2") {
		t.Errorf("error %v, want both reasons", err)
	}
	if left, err := os.ReadDir(StateDir()); err != nil || len(left) != 0 {
		t.Errorf("%v were made (%v)", left, err)
	}
}

// mustNew makes a run of a plan that is sound and then becomes another.
func mustNew(t *testing.T, sound, other *topology.Plan) *sim.Run {
	t.Helper()
	r, err := sim.New(sound, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	*r.Plan() = *other
	return r
}

// TestStanding: a lab of one name stands once; runs of the same lab go on beside it.
func TestStanding(t *testing.T) {
	t.Parallel()
	root(t)
	text := strings.Replace(tunnel("2s", "", ""), `lab "tunnel"`, `lab "tunnel-that-stands"`, 1)
	create := func(standing bool) (*Lab, error) {
		r, err := sim.New(load(t, text), sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return Create(r, Options{Standing: standing})
	}
	one, err := create(true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := create(true); !errors.Is(err, ErrStanding) {
		t.Errorf("the second one: %v", err)
	}
	beside, err := create(false)
	if err != nil {
		t.Fatal(err)
	}
	if one.ID() != "tunnel-that-stands" || beside.ID() == one.ID() {
		t.Errorf("identifiers %q and %q", one.ID(), beside.ID())
	}
	for _, l := range []*Lab{one, beside} {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOverrun: packets that the box does not take in time are counted as the host's, not
// as the link's.
func TestOverrun(t *testing.T) {
	t.Parallel()
	root(t)
	r, err := sim.New(load(t, manyHosts(2, `link = { delay = "1ms" }`)), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Create(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	l.Start()
	flow := netip.MustParseAddrPort("10.0.0.1:1000")
	if err := l.sockets[0].send(flow); err != nil {
		t.Fatal(err)
	}
	l.box.do(func() { // while the box is busy with this
		for range 5000 { // more than a device's queue holds
			_ = l.sockets[0].datagram(node.DatagramOut{Src: flow, Dst: netip.MustParseAddrPort("10.0.0.2:9"), Payload: []byte("x")})
		}
	})
	lost := l.overruns()
	if len(lost[0]) != 1 || lost[0][0].device != "eth0" || lost[0][0].packets == 0 || len(lost[1]) != 0 {
		t.Fatalf("lost %+v", lost)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	result, err := l.Drive(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := result.Nodes[0].Drops; len(d) != 1 || d[0].Reason != sim.DropHostQueueFull || d[0].Count < lost[0][0].packets {
		t.Errorf("the result says %+v", d)
	}
}

// TestPastTheTunnel: a process whose socket is bound to a device gets nothing that is
// protected past the tunnel, while the node lives and when it is dead, also from an
// address that it gets by then.
func TestPastTheTunnel(t *testing.T) {
	t.Parallel()
	ping := func(name, start, from string) string {
		return fmt.Sprintf(`
process %q {
  node    = node.gw-a
  command = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I", "wan", "-I", %q, "10.2.0.2"]
  start   = %q
}
`, name, from, start)
	}
	run(t, load(t, tunnel("6s", `link = { delay = "2ms" }`, ping("alive", "1s", "10.1.0.2")+ping("dead", "4s", "10.1.0.77")+`
step "kill" {
  at     = "3s"
  action = kill(node.gw-a)
}
step "move" {
  at     = "3500ms"
  action = set_address(node.gw-a.interface.lan, ["10.1.0.77"])
}
expect "nothing passes" {
  condition = result.process.alive.exit_status != 0 && result.process.dead.exit_status != 0
}
expect "it was reported" {
  condition = event_count({ event = "policy-drop", node = node.gw-a }) >= 2
}
`)), Engine{}, sim.EngineOptions{})
}
