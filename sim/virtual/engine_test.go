package virtual

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	for _, r := range o.records("", "link-drop") {
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
		for _, r := range o.records("", "link-drop") {
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

// TestRoadWarriors: many tunnels at once, all established, and no invariant
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

// TestNoProposalChosenTwice: of two connections that fail between the same nodes,
// each shows the lists of its own negotiation.
func TestNoProposalChosenTwice(t *testing.T) {
	plan := twoGateways(0)
	for n := range plan.Nodes[:2] {
		node := &plan.Nodes[n]
		one := node.Connections[0]
		two := one
		two.Name = "second"
		one.Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, []string{"aes128-sha256-modp2048", "aes256gcm16-prfsha384-x25519"}[n])}
		two.Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, []string{"aes192-sha512-ecp521", "chacha20poly1305-prfsha512-ecp256"}[n])}
		ends := []netip.Addr{netip.MustParseAddr("198.51.100.11"), netip.MustParseAddr("198.51.100.12")}
		two.LocalAddrs, two.RemoteAddrs = ends[n:n+1], ends[1-n:2-n]
		node.Interfaces[0].Addresses = append(node.Interfaces[0].Addresses, netip.PrefixFrom(ends[n], 24))
		node.Connections = []topology.Connection{one, two}
	}
	o := mustRun(t, plan)
	offered := map[string]string{}
	for _, f := range o.Failures {
		if f.Node != "gw-b" {
			continue
		}
		offered[strings.Join(f.RemoteProposals, " ")] = strings.Join(f.LocalProposals, " ")
	}
	if len(offered) != 2 {
		t.Fatalf("gw-b refused %v, want two lists", offered)
	}
	seen := 0
	for _, f := range o.Failures {
		if f.Node != "gw-a" {
			continue
		}
		seen++
		if got, want := strings.Join(f.RemoteProposals, " "), offered[strings.Join(f.LocalProposals, " ")]; got != want {
			t.Errorf("connection %s offered %v and shows %q for what gw-b would have taken, which is %q", f.Connection, f.LocalProposals, got, want)
		}
	}
	if seen != 2 {
		t.Errorf("gw-a reports %d failures, want 2", seen)
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
	if len(o.records("gw-a", "interface-down")) != 1 || len(o.records("gw-a", "interface-up")) != 1 {
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
	for _, r := range o.records("", "step") {
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
	if len(o.records("alice", "next-hop-unreachable")) == 0 {
		t.Error("there is no record of it")
	}
	for _, n := range o.Nodes {
		if n.Name == "alice" && !slices.ContainsFunc(n.Drops, func(d sim.DropCount) bool { return d.Reason == "host-unreachable" }) {
			t.Errorf("alice was not told: %+v", n.Drops)
		}
	}
}

// TestFragmentedIKE: over a link too narrow for its messages IKE goes in
// fragments, and the ladder still has one row per message, of its whole length.
func TestFragmentedIKE(t *testing.T) {
	plan := twoGateways(0)
	plan.Lab.Duration = time.Second
	for i := range 2 {
		plan.Nodes[i].Interfaces[0].MTUBytes = 128
	}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	wide := mustRun(t, twoGateways(0))
	for i, r := range o.Exchanges {
		if !r.Arrived || r.Bytes != wide.Exchanges[i].Bytes {
			t.Errorf("row %+v, want %d bytes", r, wide.Exchanges[i].Bytes)
		}
	}
	if len(o.Exchanges) != 4 || !o.Connections[0].Established {
		t.Errorf("%d rows, established %v", len(o.Exchanges), o.Connections[0].Established)
	}
}

// TestSuccessAfterFailure: what was negotiated after a failure is not called
// failed, and the failure still counts.
func TestSuccessAfterFailure(t *testing.T) {
	plan := twoGateways(0)
	plan.Nodes[0].Connections[0].Retransmit.Tries = 1
	plan.Nodes[1].Interfaces[0].Up = false
	wan := plan.Nodes[1].Interfaces[0].Name
	plan.Steps = []topology.Step{
		step("up", 4*time.Second, topology.Action{Kind: topology.ActionLinkUp, Node: "gw-b", Interface: wan}),
		step("again", 5*time.Second, topology.Action{Kind: topology.ActionInitiate, Node: "gw-a", Connection: "tunnel", Child: "net"}),
	}
	o := mustRun(t, plan)
	if c := o.Connections[0]; !c.Established || c.Failed != "" || c.FailedCount != 1 {
		t.Errorf("gw-a's connection: %+v", c)
	}
}

// TestInvalidKE: an initiator that guessed the wrong group tries again with the
// right one. Its second request has the first one's message ID and other octets,
// which is no retransmission.
func TestInvalidKE(t *testing.T) {
	plan := twoGateways(0)
	plan.Lab.Duration = time.Second
	plan.Nodes[0].Connections[0].Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, "aes256gcm16-prfsha256-x25519-ecp256")}
	plan.Nodes[1].Connections[0].Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, "aes256gcm16-prfsha256-ecp256")}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	if !o.Connections[0].Established || o.Connections[0].Failed != "" {
		t.Errorf("gw-a's connection: %+v", o.Connections[0])
	}
	var rows []string
	for _, r := range o.Exchanges {
		rows = append(rows, fmt.Sprintf("%s %s %v", r.From, r.Exchange, r.Arrived))
	}
	want := []string{
		"gw-a IKE_SA_INIT true", "gw-b IKE_SA_INIT true", "gw-a IKE_SA_INIT true", "gw-b IKE_SA_INIT true",
		"gw-a IKE_AUTH true", "gw-b IKE_AUTH true",
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("ladder (-want +got):\n%s", d)
	}
	if got := strings.Join(o.Exchanges[1].Payloads, " "); !strings.Contains(got, "INVALID_KE_PAYLOAD") {
		t.Errorf("the first answer holds %s", got)
	}
}

// TestEncap: with encap at one end both send ESP in UDP by port 4500, and find
// that no NAT is there.
func TestEncap(t *testing.T) {
	plan := twoGateways(0)
	plan.Nodes[0].Connections[0].Encap = true
	wire := &recordingTap{node: 1, iface: 0}
	o, err := runLab(t, plan, sim.Options{}, Engine{}, sim.EngineOptions{Tap: wire}, context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	for _, c := range o.Connections {
		if !c.Encap || !c.Established {
			t.Errorf("%s: %+v", c.Node, c)
		}
	}
	if o.Connections[0].NAT {
		t.Error("gw-a takes its own pretence for a NAT")
	}
	for _, p := range slices.Concat(wire.up, wire.down) {
		if p[9] != 17 {
			t.Fatalf("a packet of protocol %d is on the wire", p[9])
		}
	}
}

// TestLiveness: with dpd_delay a node asks its silent peer, in time, and gives
// the peer up when the line is cut.
func TestLiveness(t *testing.T) {
	plan := twoGateways(0)
	plan.Flows = nil
	plan.Lab.InvariantsOff = []string{sim.InvariantNoOrphanSA} // gw-b has no dpd_delay and never finds out
	plan.Nodes[0].Connections[0].DPDDelay = 2 * time.Second
	plan.Nodes[0].Connections[0].Retransmit = topology.Retransmit{Timeout: time.Second, BaseMilli: 1000, Tries: 2}
	plan.Steps = []topology.Step{step("cut", 5*time.Second, topology.Action{Kind: topology.ActionLinkDown, Node: "gw-b", Interface: "wan"})}
	o := mustRun(t, plan)
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	deleted := o.records("gw-a", "ike-deleted")
	// Established at 80 ms, asked at 2.08 s and answered at 2.12 s, at 4.12 s and
	// 4.16 s; asked at 6.16 s in vain, three times, a second each.
	if want := 9160 * ms; len(deleted) != 1 || deleted[0].At != want {
		t.Errorf("gw-a gave gw-b up in %v, want once at %v", deleted, want)
	}
	if a, b := o.Connections[0], o.Connections[1]; a.Established || !b.Established {
		t.Errorf("established is %v at gw-a and %v at gw-b, want false and true", a.Established, b.Established)
	}
	lost := 0
	for _, r := range o.Exchanges {
		if r.Lost && r.Reason == impair.DropLinkDown {
			lost++
		}
	}
	if lost != 3 {
		t.Errorf("%d messages were lost to the cut line, want 3", lost)
	}
}
