package sim

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// TestInvariantsAndDeath: a node that dies takes its state with it, without an event.
func TestInvariantsAndDeath(t *testing.T) {
	die := func(node int, at time.Duration) observation { return &died{at, node} }
	again := func(node int, ordinal uint64, n byte) *installed {
		return with(child(node, ordinal, n), func(i *installed) { i.by.life = 2 })
	}
	testInvariant(t, InvariantNoReuse, map[string]invariantTest{
		"an SPI of the life before": {observations: []observation{child(nodeA, 1, 1), die(nodeA, time.Second),
			with(again(nodeA, 1, 2), func(i *installed) { i.spiIn = 0xa01 })}},
		"a key of the life before": {observations: []observation{child(nodeA, 1, 1), die(nodeA, time.Second), again(nodeA, 1, 1)},
			violation: "gw-a seals with a key in its child SA number 1 of its life 2 that gw-a seals with in its number 1"},
		"sequence numbers from 1 again": {observations: []observation{child(nodeA, 1, 1), seal(1, 1, 1), seal(1, 2, 2), die(nodeA, time.Second),
			again(nodeA, 1, 2), &sealed{by: association{node: nodeA, life: 2, ordinal: 1}, sequence: 1, ivBytes: 8}}},
	})
	testInvariant(t, InvariantNoReplay, map[string]invariantTest{
		"an SA of the life before": {observations: []observation{child(nodeA, 1, 1), open(1, 1), die(nodeA, time.Second), open(1, 2)}, violation: "without an SA installed"},
		"the first packet again":   {observations: []observation{child(nodeA, 1, 1), open(1, 1), die(nodeA, time.Second), again(nodeA, 1, 2), &opened{by: association{node: nodeA, life: 2, ordinal: 1}, sequence: 1}}},
		"the other end lives on":   {observations: []observation{child(nodeA, 1, 1), child(nodeB, 1, 1), die(nodeB, time.Second), open(1, 1), open(1, 1)}, violation: "twice"},
	})
	inClear := up(t, nodeB, udp(hostB, hostA, 1000, 2000, []byte("x")))
	testInvariant(t, InvariantNoCleartext, map[string]invariantTest{
		"a policy that came with an SA": {observations: []observation{child(nodeB, 1, 1), die(nodeB, time.Second), inClear}},
		"before the death":              {observations: []observation{child(nodeB, 1, 1), inClear}, violation: "in clear"},
		"a configured policy outlives it": {observations: []observation{die(nodeA, time.Second),
			up(t, nodeA, udp(hostA, hostB, 1000, 2000, []byte("x")))}, violation: "in clear"},
		"policies follow addresses": {observations: []observation{inClear,
			&readdressed{node: nodeB, policies: []policy{{connection: "to-a", child: "net", local: tsB, remote: tsA}}}, inClear}, violation: "in clear"},
		"and leave the old ones": {observations: []observation{&readdressed{node: nodeA}, up(t, nodeA, udp(hostA, hostB, 1000, 2000, []byte("x")))}},
	})
	unknown := func(body string) observation {
		return up(t, nodeB, ikePacket(t, gwB, gwA, 500, authResponse(), body))
	}
	testInvariant(t, InvariantIdenticalRetransmission, map[string]invariantTest{
		"what another life answers":  {observations: []observation{unknown("x"), die(nodeB, time.Second), unknown("INVALID_IKE_SPI")}},
		"what the same life answers": {observations: []observation{unknown("x"), die(nodeA, time.Second), unknown("y")}, violation: "other bytes"},
	})
	validated := []observation{
		down(t, nodeB, ikePacket(t, gwA, gwB, 500, initRequest(), "x")), up(t, nodeB, ikePacket(t, gwB, gwA, 500, initResponse(), "x")),
		down(t, nodeB, ikePacket(t, gwA, gwB, 500, authRequest(), "x")),
	}
	long := up(t, nodeB, ikePacket(t, gwB, gwA, 500, authResponse(), strings.Repeat("x", 1000)))
	testInvariant(t, InvariantNoAmplification, map[string]invariantTest{
		"validated by this life":   {observations: append(slices.Clone(validated), long)},
		"validated by another one": {observations: append(slices.Clone(validated), die(nodeB, time.Second), long), violation: "unvalidated"},
	})
}

// TestOrphanOfTheDead: who is left behind is an orphan once it had the means to notice.
func TestOrphanOfTheDead(t *testing.T) {
	sa := func(node int, spi wire.SPI) observation {
		return &established{now: time.Second, node: node, connection: map[int]string{nodeA: "to-b", nodeB: "to-a"}[node], spiI: spi, spiR: spiR}
	}
	tunnel := []observation{
		up(t, nodeA, ikePacket(t, gwA, gwB, 500, authRequest(), "x")), up(t, nodeB, ikePacket(t, gwB, gwA, 500, authResponse(), "x")),
		&answered{now: time.Second, node: nodeA, spiI: spiI, exchange: wire.ExchangeIKEAuth, id: 1},
		sa(nodeA, spiI), sa(nodeB, spiI), child(nodeA, 1, 1), child(nodeB, 1, 1),
	}
	after := func(more ...observation) []observation { return append(slices.Clone(tunnel), more...) }
	dead := &died{10 * time.Second, nodeB}
	// gw-a notices within 30 s; what was on its way is given 10 s more.
	for name, test := range map[string]struct {
		invariantTest
		blind bool
	}{
		"before it could notice":   {invariantTest: invariantTest{observations: after(dead), end: 49 * time.Second}},
		"after it should have":     {invariantTest: invariantTest{observations: after(dead), end: 51 * time.Second, violation: "gw-a holds the IKE SA"}},
		"it cannot notice":         {invariantTest: invariantTest{observations: after(dead)}, blind: true},
		"it noticed":               {invariantTest: invariantTest{observations: after(dead, &gone{node: nodeA, spiI: spiI, spiR: spiR}, &removed{by: association{node: nodeA}, spiIn: 0xa01, spiOut: 0xb01})}},
		"both died":                {invariantTest: invariantTest{observations: after(dead, &died{11 * time.Second, nodeA})}},
		"the other end was no end": {invariantTest: invariantTest{observations: append(after(), &died{10 * time.Second, 2}, &gone{node: nodeB, spiI: spiI, spiR: spiR}), violation: "gw-a holds the IKE SA"}, blind: true},
		"a tunnel with the next life": {invariantTest: invariantTest{observations: after(dead,
			up(t, nodeA, ikePacket(t, gwA, gwB, 500, wire.Header{InitiatorSPI: wire.SPI{9}, Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagInitiator}, "x")),
			&answered{now: time.Second, node: nodeA, spiI: wire.SPI{9}, exchange: wire.ExchangeIKEAuth}, sa(nodeA, wire.SPI{9})),
			violation: "0900000000000000"}, blind: true},
		"two for the same, one of them widowed": {invariantTest: invariantTest{observations: after(dead,
			with(child(nodeA, 2, 2), func(i *installed) { i.ike = wire.SPI{9} }),
			with(child(nodeB, 1, 2), func(i *installed) { i.ike = wire.SPI{9}; i.by.life = 2 }))}, blind: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := testInvariantConfig()
			if !test.blind {
				c.notice = []map[string]time.Duration{{"to-b": 30 * time.Second}, {}}
			}
			i := newOrphanInvariant(c)
			for _, o := range test.observations {
				i.observe(o)
			}
			if test.end == 0 {
				test.end = time.Hour
			}
			got := i.finish(test.end)
			if got.Pass != (test.violation == "") || !strings.Contains(got.Why, test.violation) {
				t.Errorf("%q, want %q", got.Why, test.violation)
			}
		})
	}
}

// TestOrphanUnheard: an end is no orphan while it cannot know that its peer is gone,
// because something that one of them said did not get to the other.
func TestOrphanUnheard(t *testing.T) {
	sa := func(node int) observation {
		return &established{now: time.Second, node: node, connection: map[int]string{nodeA: "to-b", nodeB: "to-a"}[node], spiI: spiI, spiR: spiR}
	}
	liveness := func(response bool) said {
		return said{spiI: spiI, exchange: wire.ExchangeInformational, id: 2, response: response}
	}
	says := func(node int, at time.Duration, response bool) observation {
		return &spoke{now: at, node: node, said: liveness(response)}
	}
	hears := func(node int, at time.Duration, response bool) observation {
		return &heard{at, node, liveness(response)}
	}
	deletion := said{spiI: spiI, exchange: wire.ExchangeInformational, id: 3}
	deletes, hearsDeletes := &spoke{now: 8 * time.Second, node: nodeB, said: deletion, deletes: true}, &heard{8 * time.Second, nodeA, deletion}
	wasAnswered := &answered{8 * time.Second, nodeB, spiI, deletion.exchange, deletion.id}
	goes := []observation{&gone{now: 10 * time.Second, node: nodeB, spiI: spiI, spiR: spiR}, &removed{now: 10 * time.Second, by: association{node: nodeB, ordinal: 1}, spiIn: 0xb01, spiOut: 0xa01}}
	tunnel := []observation{sa(nodeA), sa(nodeB), child(nodeA, 1, 1), child(nodeB, 1, 1)}
	after := func(more ...observation) []observation { return append(append(slices.Clone(tunnel), more...), goes...) }
	unheard := []observation{says(nodeB, 5*time.Second, false), &gaveUp{9 * time.Second, nodeB, liveness(false)}}
	// gw-a notices within 30 s; what was on its way is given 10 s more.
	for name, test := range map[string]struct {
		invariantTest
		blind bool
	}{
		"it has heard everything": {invariantTest: invariantTest{observations: after(says(nodeB, 5*time.Second, false), hears(nodeA, 5*time.Second, false),
			says(nodeA, 5*time.Second, true), hears(nodeB, 5*time.Second, true), &answered{5 * time.Second, nodeB, spiI, wire.ExchangeInformational, 2}, deletes, hearsDeletes, wasAnswered),
			end: 12 * time.Second, violation: "gw-a holds the IKE SA"}},
		"a request got lost":       {invariantTest: invariantTest{observations: after(unheard...), end: 41 * time.Second}},
		"and it had time":          {invariantTest: invariantTest{observations: after(unheard...), end: 42 * time.Second, violation: "gw-a holds the IKE SA"}},
		"it heard something since": {invariantTest: invariantTest{observations: after(append(slices.Clone(unheard), &heard{8 * time.Second, nodeA, said{spiI: spiI, id: 1}})...), end: 48 * time.Second}},
		"ESP came since":           {invariantTest: invariantTest{observations: after(append(slices.Clone(unheard), &opened{now: 8 * time.Second, by: association{node: nodeA, ordinal: 1}})...), end: 48 * time.Second}},
		"ESP came, long ago":       {invariantTest: invariantTest{observations: after(append(slices.Clone(unheard), &opened{now: 8 * time.Second, by: association{node: nodeA, ordinal: 1}})...), end: 49 * time.Second, violation: "gw-a holds the IKE SA"}},
		"a response got lost": {invariantTest: invariantTest{observations: after(says(nodeB, 5*time.Second, false), hears(nodeA, 5*time.Second, false), says(nodeA, 5*time.Second, true),
			&gaveUp{9 * time.Second, nodeB, liveness(false)}), end: 45 * time.Second}},
		"what was lost was repeated": {invariantTest: invariantTest{observations: after(says(nodeB, 5*time.Second, false), says(nodeB, 6*time.Second, false), hears(nodeA, 6*time.Second, false),
			&gaveUp{9 * time.Second, nodeB, liveness(false)}, deletes, hearsDeletes, wasAnswered), end: 12 * time.Second, violation: "gw-a holds the IKE SA"}},
		"of another IKE SA":                          {invariantTest: invariantTest{observations: after(&spoke{now: 5 * time.Second, node: nodeB, said: said{spiI: wire.SPI{9}}}, deletes, hearsDeletes, wasAnswered), end: 12 * time.Second, violation: "gw-a holds the IKE SA"}},
		"it cannot notice, and waits for a schedule": {invariantTest: invariantTest{observations: after(unheard...), end: 111 * time.Second}, blind: true},
		"it cannot notice":                           {invariantTest: invariantTest{observations: after(unheard...), end: 112 * time.Second, violation: "gw-a holds the IKE SA"}, blind: true},
		"only the child is gone": {invariantTest: invariantTest{observations: append(slices.Clone(tunnel), &removed{by: association{node: nodeB, ordinal: 1}, spiIn: 0xb01, spiOut: 0xa01}),
			end: 12 * time.Second, violation: "gw-a holds the child SA net"}},
		"a new tunnel beside the old": {invariantTest: invariantTest{observations: after(append(slices.Clone(unheard),
			with(child(nodeA, 2, 2), func(i *installed) { i.ike = wire.SPI{9} }), with(child(nodeB, 2, 2), func(i *installed) { i.ike = wire.SPI{9} }))...), end: 41 * time.Second}},
		"two tunnels, and all is heard": {invariantTest: invariantTest{observations: append(slices.Clone(tunnel),
			with(child(nodeA, 2, 2), func(i *installed) { i.ike = wire.SPI{9} }), with(child(nodeB, 2, 2), func(i *installed) { i.ike = wire.SPI{9} })), end: 12 * time.Second,
			violation: "two child SAs net"}},
		"the other end said that it goes": {invariantTest: invariantTest{observations: after(deletes, hearsDeletes, wasAnswered), end: 12 * time.Second, violation: "gw-a holds the IKE SA"}},
		"without a word":                  {invariantTest: invariantTest{observations: after(), end: 41 * time.Second}},
		"without a word, and it had time": {invariantTest: invariantTest{observations: after(), end: 42 * time.Second, violation: "gw-a holds the IKE SA"}},
		"without a word, just after one":  {invariantTest: invariantTest{observations: after(hears(nodeA, 9*time.Second, false)), end: 49 * time.Second}},
		"it hears from one that left": {invariantTest: invariantTest{observations: append(after(), &opened{now: 45 * time.Second, by: association{node: nodeA, ordinal: 1}}),
			end: 51 * time.Second, violation: "gw-a holds the IKE SA"}},
		"without a word, and it cannot notice": {invariantTest: invariantTest{observations: after(), end: 111 * time.Second}, blind: true},
		"without a word, a schedule ago":       {invariantTest: invariantTest{observations: after(), end: 112 * time.Second, violation: "gw-a holds the IKE SA"}, blind: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := testInvariantConfig()
			if !test.blind {
				c.notice = []map[string]time.Duration{{"to-b": 30 * time.Second}, {}}
			}
			i := newOrphanInvariant(c)
			for _, o := range test.observations {
				i.observe(o)
			}
			got := i.finish(test.end)
			if got.Pass != (test.violation == "") || !strings.Contains(got.Why, test.violation) {
				t.Errorf("%q, want %q", got.Why, test.violation)
			}
		})
	}
}

// livesLab is two gateways and a host, and steps that a test fills in.
const livesLab = `
lab "lives" { duration = "20s" }
network "wan" { prefix = "192.0.2.0/24" }
secret "psk" { secret = "lives" }
node "a" {
  interface "wan" { network = network.wan }
  connection "b" {
    remote_addrs = [node.b.interface.wan]
    child "net" { remote_ts = ["10.0.0.0/8"] }
  }
}
node "b" {
  interface "wan" { network = network.wan }
  connection "a" {
    remote_addrs = [node.a.interface.wan]
    child "net" { local_ts = ["10.0.0.0/8"] }
  }
}
node "host" {
  implementation = "host"
  interface "wan" { network = network.wan }
}
`

func loadRun(t *testing.T, text string) *Run {
	t.Helper()
	plan, diags := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(text)}}, "lab.hcl", nil)
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	r, err := New(plan, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLives: what a node begins its next life with is its configuration, the state that
// its interfaces have by then, and streams that no life before had.
func TestLives(t *testing.T) {
	r := loadRun(t, livesLab+`
step "down" {
  at     = "1s"
  action = link_down(node.a.interface.wan)
}
step "move" {
  at     = "2s"
  action = set_address(node.a.interface.wan, ["192.0.2.50", "192.0.2.51"])
}
step "die" {
  at     = "3s"
  action = kill(node.a)
}
step "live" {
  at     = "4s"
  action = start(node.a)
}
step "both" {
  at     = "5s"
  action = restart(node.a)
}
`)
	draw := func(c node.Config) string {
		b := make([]byte, 16)
		if _, err := io.ReadFull(c.IKE.Random("ike/x"), b); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%x", b)
	}
	first := r.Nodes()[0]
	streams := map[string]bool{draw(first): true}
	var lives []node.Config
	for second := range 6 {
		for _, o := range r.Step(time.Duration(second) * time.Second) {
			if o.Addresses != nil {
				want := AddressesChange{Before: first.Interfaces[0].Addresses,
					After: []netip.Prefix{netip.MustParsePrefix("192.0.2.50/24"), netip.MustParsePrefix("192.0.2.51/24")}}
				if d := cmp.Diff(want, *o.Addresses, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
					t.Errorf("addresses (-want +got):\n%s", d)
				}
				if in, is := o.Input.(node.AddressChange); !is || !slices.Equal(in.Addresses, want.After) {
					t.Errorf("the node is told %+v", o.Input)
				}
			}
			if o.Life == nil {
				continue
			}
			if o.Life.Config == nil {
				if r.Alive(0) && second == 3 {
					t.Error("a node that was killed is alive")
				}
				continue
			}
			if o.Life.Life != len(lives)+2 {
				t.Errorf("life %d is the %d.", o.Life.Life, len(lives)+2)
			}
			lives = append(lives, *o.Life.Config)
		}
	}
	if len(lives) != 2 || !r.Alive(0) {
		t.Fatalf("%d lives, alive %v", len(lives), r.Alive(0))
	}
	for _, c := range lives {
		if i := c.Interfaces[0]; i.Up || len(i.Addresses) != 2 || i.Addresses[0].String() != "192.0.2.50/24" {
			t.Errorf("it begins with %+v", i)
		}
		if _, err := node.New(c); err != nil {
			t.Error(err)
		}
		streams[draw(c)] = true
	}
	if len(streams) != 3 {
		t.Errorf("3 lives draw %d different streams", len(streams))
	}
	// Another life changes nothing of the first one's streams.
	if plain := loadRun(t, livesLab); draw(plain.Nodes()[0]) != draw(first) {
		t.Error("the first life draws otherwise when there is a second one")
	}
	if name, ok := r.NodeOf(first.Interfaces[0].Addresses[0].Addr()); name != "a" || !ok {
		t.Errorf("who had the old address: %q, %v", name, ok)
	}
	if r.owns(0, first.Interfaces[0].Addresses[0].Addr()) {
		t.Error("a still owns the address that was taken away")
	}
}

// TestDeadNodesSayNothing: what an engine finds waiting after a kill is not observed.
func TestDeadNodesSayNothing(t *testing.T) {
	r := loadRun(t, livesLab+`
step "die" {
  at     = "1s"
  action = kill(node.a)
}
`)
	r.Step(time.Second)
	before := r.Trace().Count()
	r.Observe(time.Second, 0, &node.Event{Kind: node.EventInterfaceUp})
	if r.Trace().Count() != before {
		t.Error("the dead node was heard")
	}
	r.Observe(time.Second, 1, &node.Event{Kind: node.EventInterfaceUp})
	if r.Trace().Count() == before {
		t.Error("the living node was not")
	}
}

// TestNewChecksSteps: a plan that no file made is checked all the same.
func TestNewChecksSteps(t *testing.T) {
	for want, a := range map[string]topology.Action{
		`there is no node "x"`:           {Kind: topology.ActionKill, Node: "x"},
		"speaks no IKE":                  {Kind: topology.ActionRestart, Node: "host"},
		`has no interface "lan"`:         {Kind: topology.ActionSetAddress, Node: "a", Interface: "lan"},
		"it has 0 addresses":             {Kind: topology.ActionAddAddress, Node: "a", Interface: "wan"},
		`is not in network "wan"`:        {Kind: topology.ActionAddAddress, Node: "a", Interface: "wan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
		"with the network's prefix leng": {Kind: topology.ActionSetAddress, Node: "a", Interface: "wan", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/25")}},
		`there is no action "dance"`:     {Kind: "dance", Node: "a"},
	} {
		plan, _ := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(livesLab)}}, "lab.hcl", nil)
		plan.Steps = []topology.Step{{Name: "s", Action: a}}
		if _, err := New(plan, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", a, err, want)
		}
	}
}

// TestRefuse: an engine refuses by name what it does not carry, and only that.
func TestRefuse(t *testing.T) {
	r := loadRun(t, livesLab+`
step "die" {
  at     = "1s"
  action = kill(node.a)
}
`)
	if err := Refuse(r.Plan(), "x", "it cannot", "do not", topology.FeatureProcess, topology.FeatureLoss); err != nil {
		t.Error(err)
	}
	err := Refuse(r.Plan(), "x", "it cannot", "do not", topology.FeatureLife)
	var refused *UnsupportedError
	if !errors.As(err, &refused) || err.Error() != `engine x does not carry what the lab uses: lab.hcl:24: step "die" (kill, start and restart): it cannot; do not` {
		t.Errorf("error %v", err)
	}
}

// TestCutOff: where an engine cannot look everywhere, what left while an end of its flow
// was cut off is lost, and what left before may still be under way.
func TestCutOff(t *testing.T) {
	for name, test := range map[string]struct {
		more     string
		inFlight uint64
	}{
		"up":              {"", 10},
		"down":            {"step \"cut\" {\n  at = \"1s\"\n  action = link_down(node.b.interface.wan)\n}", 0},
		"down at last":    {"step \"cut\" {\n  at = \"4.75s\"\n  action = link_down(node.b.interface.wan)\n}", 8},
		"the sender's":    {"step \"cut\" {\n  at = \"4.75s\"\n  action = link_down(node.host.interface.wan)\n}", 8},
		"somebody else's": {"step \"cut\" {\n  at = \"1s\"\n  action = link_down(node.a.interface.wan)\n}", 10},
		"down and up":     {"step \"cut\" {\n  at = \"1s\"\n  action = link_down(node.b.interface.wan)\n}" + "\nstep \"mend\" {\n  at = \"4s\"\n  action = link_up(node.b.interface.wan)\n}", 10},
	} {
		t.Run(name, func(t *testing.T) {
			r := loadRun(t, livesLab+`
flow "f" {
  from = node.host
  to   = node.b
  rate = "10pps"
}
`+test.more)
			for at, ok := r.Deadline(); ok && at < 5*time.Second; at, ok = r.Deadline() {
				r.Step(at)
			}
			r.UnderWay(false)
			f := r.Finish(5*time.Second, 0, false, "").Flows[0]
			if f.Sent != 50 || f.InFlight != test.inFlight || f.Lost != 50-test.inFlight {
				t.Errorf("of %d, %d are under way and %d lost, want %d and the others", f.Sent, f.InFlight, f.Lost, test.inFlight)
			}
		})
	}
}
