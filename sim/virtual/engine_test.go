package virtual

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

func field(r trace.Record, key string) string {
	for _, f := range r.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// TestFirstTunnel: a ping and a UDP flow pass through a tunnel over a lossy
// link, and every packet of the tunnel is accounted for.
func TestFirstTunnel(t *testing.T) {
	o := mustRun(t, twoGateways(0.05))
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	for _, c := range o.Connections {
		if !c.Established || c.EstablishedCount != 1 || !c.Children[0].Installed || c.Failed != "" {
			t.Errorf("%s/%s did not come up: %+v", c.Node, c.Name, c)
		}
	}
	for _, f := range o.Flows {
		if f.Sent != f.Received+f.Lost+f.InFlight {
			t.Errorf("%s: %d sent, %d received, %d lost, %d in flight", f.Name, f.Sent, f.Received, f.Lost, f.InFlight)
		}
		// Two links of 10 ms, four of 0.1 ms, and no time in nodes.
		want := 20*ms + 4*ms/10
		if f.Protocol == topology.ProtocolICMP {
			want *= 2
		}
		if f.DelayMin != want || f.DelayMax != want || f.DelayMean != want {
			t.Errorf("%s: delays from %v by %v to %v, want %v", f.Name, f.DelayMin, f.DelayMean, f.DelayMax, want)
		}
		if f.Lost == 0 || f.Lost > f.Sent/2 {
			t.Errorf("%s: %d of %d lost over two links that lose 5 %%", f.Name, f.Lost, f.Sent)
		}
	}
	// What gw-a sealed, a link dropped, or gw-b opened, or it is on its way.
	var dropped uint64
	for _, r := range o.records(t, "", "link-drop") {
		if field(r, "src") == "198.51.100.1" && field(r, "protocol") == "50" {
			dropped++
		}
	}
	sealed, opened := o.Connections[0].Children[0].PacketsOut, o.Connections[1].Children[0].PacketsIn
	if onTheWay := sealed - dropped - opened; onTheWay > 2 {
		t.Errorf("gw-a sealed %d packets, links dropped %d, gw-b opened %d: %d are missing", sealed, dropped, opened, onTheWay)
	}
	for _, i := range o.Invariants {
		if i.Name != sim.InvariantIdenticalRetransmission && i.Checks == 0 {
			t.Errorf("%s had nothing to judge", i.Name)
		}
	}
}

// TestLadder: the rows of the ladder are the messages of the handshake, each
// with what became of it.
func TestLadder(t *testing.T) {
	plan := twoGateways(0)
	plan.Lab.Duration = time.Second
	type rung struct {
		at         time.Duration
		from, to   string
		exchange   string
		response   bool
		arrivedAt  time.Duration
		connection string
	}
	want := []rung{
		{0, "gw-a", "gw-b", "IKE_SA_INIT", false, 20 * ms, "tunnel"},
		{20 * ms, "gw-b", "gw-a", "IKE_SA_INIT", true, 40 * ms, "tunnel"},
		{40 * ms, "gw-a", "gw-b", "IKE_AUTH", false, 60 * ms, "tunnel"},
		{60 * ms, "gw-b", "gw-a", "IKE_AUTH", true, 80 * ms, "tunnel"},
	}
	var got []rung
	for _, r := range mustRun(t, plan).Exchanges {
		got = append(got, rung{r.At, r.From, r.To, r.Exchange, r.Response, r.ArrivedAt, r.Connection})
		if r.Lost || !r.Arrived || len(r.Payloads) == 0 || r.Bytes < 100 {
			t.Errorf("row %+v", r)
		}
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(rung{})); d != "" {
		t.Errorf("ladder (-want +got):\n%s", d)
	}
}

// TestLossyHandshake: whatever the link loses, each lost row has a reason, each
// repetition is counted, and nothing is violated.
func TestLossyHandshake(t *testing.T) {
	lost, repeated := 0, 0
	for seed := range uint64(20) {
		o, err := runLab(t, twoGateways(0.3), sim.Options{Seed: &seed}, Engine{}, sim.EngineOptions{}, context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range failures(o.Result) {
			t.Errorf("seed %d: %s", seed, f)
		}
		drops := 0
		for _, r := range o.records(t, "", "link-drop") {
			if field(r, "protocol") == "17" && strings.HasPrefix(field(r, "src"), "198.51.100.") {
				drops++
			}
		}
		rows := 0
		for _, r := range o.Exchanges {
			if r.Lost {
				rows++
				if r.Reason != impair.DropLoss || r.Arrived {
					t.Errorf("seed %d: lost row %+v", seed, r)
				}
			}
			if r.Retransmission > 0 {
				repeated++
			}
		}
		if rows != drops {
			t.Errorf("seed %d: %d rows are lost, links dropped %d IKE packets", seed, rows, drops)
		}
		lost += rows
	}
	if lost == 0 || repeated == 0 {
		t.Errorf("%d messages lost and %d repeated in 20 runs over a link that loses 30 %%", lost, repeated)
	}
}

// TestSameDigest: runs of one seed are equal to the last record, whatever runs
// beside them; another seed differs.
func TestSameDigest(t *testing.T) {
	first := mustRun(t, twoGateways(0.05))
	var wait sync.WaitGroup
	outcomes := make([]outcome, 20)
	for i := range outcomes {
		r, err := sim.New(twoGateways(0.05), sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			result, err := Engine{}.Run(context.Background(), r, sim.EngineOptions{})
			if err != nil {
				t.Error(err)
			}
			var lines bytes.Buffer
			if err := r.Trace().WriteJSONL(&lines); err != nil {
				t.Error(err)
			}
			outcomes[i] = outcome{result, lines.Bytes(), r}
		})
	}
	wait.Wait()
	for i, o := range outcomes {
		if o.Digest != first.Digest {
			difference, err := trace.FirstDifference(bytes.NewReader(first.trace), bytes.NewReader(o.trace))
			t.Fatalf("run %d has another digest: %v %v", i, difference, err)
		}
		if d := cmp.Diff(first.Result, o.Result, cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Fatalf("run %d has another result:\n%s", i, d)
		}
	}
	seed := uint64(2)
	other, err := runLab(t, twoGateways(0.05), sim.Options{Seed: &seed}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if other.Digest == first.Digest {
		t.Error("seeds 1 and 2 have the same digest")
	}
}

// TestAnotherNodeChangesNothing: a node, a network, a link and a flow that have
// nothing to do with the others, put in front of them, change no key, no loss and
// no delay of theirs.
func TestAnotherNodeChangesNothing(t *testing.T) {
	before := mustRun(t, twoGateways(0.05))
	plan := twoGateways(0.05)
	plan.Networks = append([]topology.Network{{Name: "elsewhere", Prefixes: prefixes("172.16.0.0/24")}}, plan.Networks...)
	lossy := impair.LinkConfig{Delay: ms, Loss: impair.Loss{Model: impair.LossRandom, P: 0.5}}
	dave := plainHost("dave", "elsewhere", "172.16.0.2/24", "172.16.0.1")
	carol := plainHost("carol", "elsewhere", "172.16.0.1/24", "172.16.0.2")
	carol.Interfaces = append(carol.Interfaces, iface("carol", "eth1", "internet", "198.51.100.9/24", lossy))
	plan.Nodes = append([]topology.Node{carol, dave}, plan.Nodes...)
	plan.Flows = append([]topology.Flow{{
		Name: "aside", From: "carol", To: "dave", Protocol: topology.ProtocolUDP, SourcePort: 1000, DestinationPort: 2000,
		FromAddr: netip.MustParseAddr("172.16.0.1"), ToAddr: netip.MustParseAddr("172.16.0.2"),
		Rate: topology.Rate{Packets: 100, Per: time.Second}, SizeBytes: 100, Stop: 20 * time.Second,
	}}, plan.Flows...)
	after := mustRun(t, plan)
	if after.Flows[0].Received == 0 {
		t.Fatal("the new flow did not flow")
	}
	for _, kind := range []string{"ike-keys", "child-installed", "link-drop", "esp-out", "esp-in", "flow-arrival"} {
		for _, node := range []string{"gw-a", "gw-b", "alice", "bob"} {
			want, got := before.records(t, node, kind), after.records(t, node, kind)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s of %s changed:\n%s", kind, node, d)
			}
		}
	}
	if len(before.records(t, "gw-a", "ike-keys")) == 0 || len(before.records(t, "gw-b", "link-drop")) == 0 {
		t.Error("there were no keys or losses to compare")
	}
}

// TestInsertionOrder: the engine's heap is fed in the order of nodes, so nodes
// in another order must still do the same, each for itself. The records of one
// instant may then come in another order.
func TestNodeOrderChangesNoDecision(t *testing.T) {
	sortedTrace := func(o outcome) []string {
		lines := strings.Split(string(o.trace), "\n")
		slices.Sort(lines)
		return lines
	}
	want := sortedTrace(mustRun(t, twoGateways(0.05)))
	rapid.Check(t, func(rt *rapid.T) {
		plan := twoGateways(0.05)
		plan.Nodes = rapid.Permutation(plan.Nodes).Draw(rt, "nodes")
		plan.Networks = rapid.Permutation(plan.Networks).Draw(rt, "networks")
		if d := cmp.Diff(want, sortedTrace(mustRun(t, plan))); d != "" {
			rt.Fatalf("another order of nodes changed what happens:\n%s", d)
		}
	})
}

// TestTraceIsInOrder: time never goes back.
func TestTraceIsInOrder(t *testing.T) {
	var last time.Duration
	err := trace.Read(bytes.NewReader(mustRun(t, twoGateways(0.05)).trace), func(r trace.Record) error {
		if r.At < last && r.Kind != "expectation" {
			return fmt.Errorf("%s at %v stands behind one at %v", r.Kind, r.At, last)
		}
		last = max(last, r.At)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSequentialAccess: many tunnels at once, all established, and no invariant
// violated.
func TestRoadWarriors(t *testing.T) {
	const clients = 50
	o := mustRun(t, roadWarriors(clients))
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	established := 0
	for _, c := range o.Connections {
		if c.Established {
			established++
		}
	}
	if established != 2*clients {
		t.Errorf("%d ends of IKE SAs stand, want %d", established, 2*clients)
	}
	for _, f := range o.Flows {
		if f.Received != 60 {
			t.Errorf("flow %s: %d of 60 packets received", f.Name, f.Received)
		}
	}
}

// TestNoProposalChosen: a failed negotiation shows both sides' proposals at both
// nodes.
func TestNoProposalChosen(t *testing.T) {
	plan := twoGateways(0)
	plan.Nodes[1].Connections[0].Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, "aes128-sha256-modp2048")}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	if o.Connections[0].Established || o.Connections[0].Failed != "NO_PROPOSAL_CHOSEN" {
		t.Errorf("gw-a's connection: %+v", o.Connections[0])
	}
	var nodes []string
	for _, f := range o.Failures {
		nodes = append(nodes, f.Node)
		a, b := strings.Join(f.LocalProposals, " "), strings.Join(f.RemoteProposals, " ")
		if f.Node == "gw-b" {
			a, b = b, a
		}
		if !strings.Contains(a, "x25519") || !strings.Contains(b, "modp2048") {
			t.Errorf("at %s: gw-a's proposals %q, gw-b's %q", f.Node, a, b)
		}
	}
	slices.Sort(nodes)
	if d := cmp.Diff([]string{"gw-a", "gw-b"}, slices.Compact(nodes)); d != "" {
		t.Errorf("nodes that report the failure:\n%s", d)
	}
}

func TestAuthenticationFailed(t *testing.T) {
	plan := twoGateways(0)
	plan.Nodes[1].Secrets = []topology.Secret{{Name: "psk", Key: []byte("another one")}}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	if c := o.Connections[0]; c.Established || c.Failed != "AUTHENTICATION_FAILED" || c.FailedCount != 1 {
		t.Errorf("gw-a's connection: %+v", c)
	}
	if f := o.Flows[1]; f.Received != 0 || f.LongestGap < 14*time.Second {
		t.Errorf("the call without a tunnel: %+v", f)
	}
}

// step makes a step at an instant.
func step(name string, at time.Duration, action topology.Action) topology.Step {
	return topology.Step{Name: name, At: at, Action: action}
}

// TestLinkDown: while the link is away nothing arrives, and the call is silent
// for exactly that long.
func TestLinkDown(t *testing.T) {
	plan := twoGateways(0)
	plan.Steps = []topology.Step{
		step("away", 8*time.Second, topology.Action{Kind: topology.ActionLinkDown, Node: "gw-a", Interface: "wan"}),
		step("back", 11*time.Second, topology.Action{Kind: topology.ActionLinkUp, Node: "gw-a", Interface: "wan"}),
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	// The call's packets leave at 0, 20, 40 ms …; that of 8 s and the others until
	// 11 s are lost, which is the first to get through again.
	call := o.Flows[1]
	if call.Lost != 150 || call.LongestGap != 3*time.Second+20*ms {
		t.Errorf("lost %d, longest gap %v, want 150 and 3.02 s", call.Lost, call.LongestGap)
	}
	if len(o.records(t, "gw-a", "interface-down")) != 1 || len(o.records(t, "gw-a", "interface-up")) != 1 {
		t.Error("the node did not notice")
	}
}

// TestStepOnEvent: a step that waits for an event happens so much later, once.
func TestStepOnEvent(t *testing.T) {
	plan := twoGateways(0)
	plan.Steps = []topology.Step{
		{Name: "hang up", On: &topology.Selector{Event: "ike-established", Node: "gw-a", Nth: 1}, After: 2 * time.Second,
			Action: topology.Action{Kind: topology.ActionTerminate, Node: "gw-a", Connection: "tunnel"}},
		{Name: "at once", On: &topology.Selector{Event: "ike-deleted", Node: "gw-b", Nth: 1},
			Action: topology.Action{Kind: topology.ActionInitiate, Node: "gw-b", Connection: "tunnel", Child: "net"}},
		{Name: "never", On: &topology.Selector{Event: "ike-established", Node: "gw-a", Nth: 3},
			Action: topology.Action{Kind: topology.ActionTerminate, Node: "gw-a", Connection: "tunnel"}},
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	type done struct {
		step string
		at   time.Duration
	}
	var got []done
	for _, r := range o.records(t, "", "step") {
		got = append(got, done{field(r, "step"), r.At})
	}
	// Established at 80 ms; the delete arrives 20 ms after it was sent.
	want := []done{{"hang up", 2080 * ms}, {"at once", 2100 * ms}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(done{})); d != "" {
		t.Errorf("steps (-want +got):\n%s", d)
	}
	if c := o.Connections[0]; c.EstablishedCount != 2 || !c.Established {
		t.Errorf("gw-a's connection: %+v", c)
	}
}

// TestUnreachable: a packet whose next hop nobody has is counted, and its
// sender told.
func TestUnreachable(t *testing.T) {
	plan := twoGateways(0)
	for i := range plan.Nodes {
		if plan.Nodes[i].Name == "alice" {
			plan.Nodes[i].Routes[0].Via = netip.MustParseAddr("10.1.0.99")
		}
	}
	o := mustRun(t, plan)
	if o.Unreachable == 0 || o.Flows[1].Received != 0 {
		t.Errorf("%d packets unreachable, %d received", o.Unreachable, o.Flows[1].Received)
	}
	if len(o.records(t, "alice", "next-hop-unreachable")) == 0 {
		t.Error("there is no record of it")
	}
	for _, n := range o.Nodes {
		if n.Name == "alice" && !slices.ContainsFunc(n.Drops, func(d sim.DropCount) bool { return d.Reason == "host-unreachable" }) {
			t.Errorf("alice was not told: %+v", n.Drops)
		}
	}
}

func TestUntil(t *testing.T) {
	o, err := runLab(t, twoGateways(0), sim.Options{Until: 6 * time.Second}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// The call's packets leave from 5 s on, 50 a second; that of 6 s does not.
	if o.Ended != 6*time.Second || o.Flows[1].Sent != 50 || !o.OK() {
		t.Errorf("ended at %v with %d packets sent, want 6 s and 50", o.Ended, o.Flows[1].Sent)
	}
	long := 30 * time.Second
	o, err = runLab(t, twoGateways(0), sim.Options{Until: long}, Engine{}, sim.EngineOptions{}, context.Background())
	if err != nil || o.Ended != 20*time.Second {
		t.Errorf("ended at %v, want the lab's own end (%v)", o.Ended, err)
	}
}

// TestInterrupted: a cancelled context ends the run soon, with what there is.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tap := tapFunc(func(at time.Duration) {
		if at >= 7*time.Second {
			cancel()
		}
	})
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{Tap: tap}, ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !o.Interrupted || o.OK() || o.Ended < 7*time.Second || o.Ended > 8*time.Second {
		t.Errorf("interrupted %v, ok %v, ended at %v", o.Interrupted, o.OK(), o.Ended)
	}
	if o.Flows[1].Received == 0 || len(o.Digest) != 64 || len(o.Exchanges) != 4 {
		t.Errorf("the result does not have what there was: %+v", o.Result)
	}
	whole := mustRun(t, twoGateways(0))
	part := o.trace[:bytes.LastIndexByte(o.trace[:bytes.Index(o.trace, []byte(`"kind":"invariant"`))], '\n')+1]
	if !bytes.HasPrefix(whole.trace, part) {
		t.Error("what an interrupted run did is not the beginning of the whole one")
	}
}

func TestCancelledBeforehand(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{}, ctx)
	if err != nil || !o.Interrupted || o.Events != 0 {
		t.Errorf("interrupted %v after %d events (%v)", o.Interrupted, o.Events, err)
	}
}

// circle is a lab whose two routers send bob's packets to each other, over links
// that may duplicate them.
func circle(duplicate float64) *topology.Plan {
	plan := twoGateways(0)
	for i := range 2 {
		n := &plan.Nodes[i]
		n.Connections = nil
		n.Interfaces[0].Link.Delay, n.Interfaces[0].Link.Duplicate = 0, duplicate
		peer := plan.Nodes[1-i].Interfaces[0].Addresses[0].Addr()
		n.Routes = []topology.Route{{Prefix: netip.MustParsePrefix("10.2.0.0/24"), Via: peer, Interface: "wan"}}
	}
	return plan
}

// TestBounds: a run that is too much ends with an error that says why, and a
// result.
func TestBounds(t *testing.T) {
	tests := map[string]struct {
		plan   *topology.Plan
		engine Engine
		want   error
	}{
		"too long":    {twoGateways(0), Engine{EventsMax: 1000}, ErrEventBudget},
		"too many":    {circle(1), Engine{PendingMax: 1000}, ErrPending},
		"no progress": {circle(0.5), Engine{InstantEventsMax: 5000}, ErrTimeStands},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := runLab(t, test.plan, sim.Options{}, test.engine, sim.EngineOptions{}, context.Background())
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if o.Stopped != err.Error() || o.OK() || o.Interrupted || o.Events == 0 || o.Events > 6000 || o.Ended >= o.Until {
				t.Errorf("%d events until %v, stopped %q, ok %v", o.Events, o.Ended, o.Stopped, o.OK())
			}
		})
	}
}

// TestCircle: without duplication a packet that goes in circles dies of its hop
// limit, and the run goes on.
func TestCircle(t *testing.T) {
	o := mustRun(t, circle(0))
	if o.Flows[1].Received != 0 || o.Ended != 20*time.Second {
		t.Errorf("%d received until %v", o.Flows[1].Received, o.Ended)
	}
	var expired uint64
	for _, n := range o.Nodes {
		for _, d := range n.Drops {
			if d.Reason == "ttl-exceeded" {
				expired += d.Count
			}
		}
	}
	if want := o.Flows[0].Sent + o.Flows[1].Sent; expired != want {
		t.Errorf("%d packets expired, %d were sent", expired, want)
	}
}

// tapFunc is a Tap that only wants to know the time.
type tapFunc func(at time.Duration)

func (f tapFunc) Packet(at time.Duration, _, _ int, _ impair.Direction, _ []byte) { f(at) }

// recordingTap keeps what it sees of one interface.
type recordingTap struct {
	node, iface int
	up, down    [][]byte
}

func (r *recordingTap) Packet(_ time.Duration, node, iface int, direction impair.Direction, packet []byte) {
	if node != r.node || iface != r.iface {
		return
	}
	if direction == impair.Up {
		r.up = append(r.up, bytes.Clone(packet))
	} else {
		r.down = append(r.down, bytes.Clone(packet))
	}
}

// TestTap: at one end of the wire a packet is seen as it left, at the other as
// it arrived; a lossy link shows it at the first only, a corrupting one shows two
// versions.
func TestTap(t *testing.T) {
	plan := twoGateways(0.2)
	plan.Nodes[0].Interfaces[0].Link.Corrupt = 0.2
	sender, receiver := &recordingTap{node: 0, iface: 0}, &recordingTap{node: 1, iface: 0}
	both := taps{sender, receiver}
	if _, err := runLab(t, plan, sim.Options{}, Engine{}, sim.EngineOptions{Tap: both}, context.Background()); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{}
	for _, p := range sender.up {
		left[string(p)] = true
	}
	changed := 0
	for _, p := range receiver.down {
		if !left[string(p)] {
			changed++
		}
	}
	if len(receiver.down) >= len(sender.up) || changed == 0 || changed > len(receiver.down)/2 {
		t.Errorf("%d packets left, %d arrived, %d of them changed", len(sender.up), len(receiver.down), changed)
	}
	for _, p := range sender.up {
		if bytes.Contains(p, []byte("198.51")) || bytes.Contains(p, netip.MustParseAddr("10.1.0.2").AsSlice()) && p[9] != 50 && p[9] != 17 {
			t.Error("an inner packet is on the wire")
		}
	}
}

type taps []sim.Tap

func (all taps) Packet(at time.Duration, node, iface int, direction impair.Direction, packet []byte) {
	for _, t := range all {
		t.Packet(at, node, iface, direction, packet)
	}
}

// TestProgress: the calls come in order and the last one is at the end.
func TestProgress(t *testing.T) {
	var seen []sim.Progress
	o, err := runLab(t, twoGateways(0), sim.Options{}, Engine{}, sim.EngineOptions{Progress: func(p sim.Progress) { seen = append(seen, p) }}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	last := seen[len(seen)-1]
	if len(seen) < 3 || last.Now != o.Ended || last.Events != o.Events || last.Established != 2 {
		t.Errorf("%d calls, the last one %+v, want %v and %d events", len(seen), last, o.Ended, o.Events)
	}
	if !slices.IsSortedFunc(seen, func(a, b sim.Progress) int { return int(a.Now - b.Now) }) {
		t.Error("progress went back")
	}
}

// TestPlanErrors: what cannot be run is refused by name.
func TestPlanErrors(t *testing.T) {
	tests := map[string]struct {
		change func(*topology.Plan)
		want   string
	}{
		"network":  {func(p *topology.Plan) { p.Nodes[0].Interfaces[0].Network = "nowhere" }, `interface "wan" is on network "nowhere"`},
		"link":     {func(p *topology.Plan) { p.Nodes[0].Interfaces[0].Link.Loss.P = 2 }, "loss.p is 2"},
		"duration": {func(p *topology.Plan) { p.Lab.Duration = 0 }, "a run needs a positive one"},
		"flow":     {func(p *topology.Plan) { p.Flows[0].To = "nobody" }, `flow "ping": it leads from "alice" to "nobody"`},
		"size":     {func(p *topology.Plan) { p.Flows[0].SizeBytes = 4 }, `flow "ping": size is 4 octets`},
		"step": {func(p *topology.Plan) {
			p.Steps = []topology.Step{step("s", 0, topology.Action{Kind: topology.ActionLinkUp, Node: "gw-a", Interface: "lo"})}
		}, `step "s": link_up: node "gw-a" has no interface "lo"`},
		"action": {func(p *topology.Plan) {
			p.Steps = []topology.Step{step("s", 0, topology.Action{Kind: "reboot", Node: "gw-a"})}
		}, `there is no action "reboot"`},
		"implementation": {func(p *topology.Plan) { p.Nodes[0].Implementation = "strongswan" }, `implementation "strongswan" cannot be run`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			plan := twoGateways(0)
			test.change(plan)
			r, err := sim.New(plan, sim.Options{})
			if err == nil {
				_, err = Engine{}.Run(context.Background(), r, sim.EngineOptions{})
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q in it", err, test.want)
			}
		})
	}
}
