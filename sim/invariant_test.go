package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"net/netip"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/topology"
)

// TestInvariantNames: topology refuses a name that does not exist, and may not
// ask this package.
func TestInvariantNames(t *testing.T) {
	if d := cmp.Diff(topology.InvariantNames(), Invariants()); d != "" {
		t.Errorf("topology and sim name different invariants (-topology +sim):\n%s", d)
	}
}

const (
	nodeA = 0
	nodeB = 1
)

var (
	spiI = wire.SPI{0xa1}
	spiR = wire.SPI{0xb1}

	tsA = []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("10.1.0.0/16"), 0, 0, 65535)}
	tsB = []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("10.2.0.0/16"), 0, 0, 65535)}
)

func testInvariantConfig() invariantConfig {
	return invariantConfig{
		nodes:  []string{"gw-a", "gw-b"},
		speaks: []bool{true, true},
		policies: [][]policy{
			{{connection: "to-b", child: "net", local: tsA, remote: tsB}},
			{},
		},
		quiet: 100 * time.Second,
	}
}

// up and down are packets at a node's end of a link.
func up(t *testing.T, node int, packet []byte) observation {
	s := see(t, packet)
	own := s.src == gwA && node == nodeA || s.src == gwB && node == nodeB
	return &sighted{now: time.Second, node: node, direction: impair.Up, own: own, tunnelEnds: betweenGateways(s), packet: s}
}

func down(t *testing.T, node int, packet []byte) observation {
	return &sighted{now: time.Second, node: node, direction: impair.Down, packet: see(t, packet)}
}

// child is one end of a child SA: the ends' SPIs and keys are those of SA number
// n between the nodes.
func child(node int, ordinal uint64, n byte) *installed {
	i := &installed{
		now: time.Second, by: association{node: node, ordinal: ordinal}, ike: spiI,
		policy: policy{connection: "to-b", child: "net", local: tsA, remote: tsB},
		spiIn:  0xa00 + uint32(n), spiOut: 0xb00 + uint32(n), keyIn: keyPrint{0xa, n}, keyOut: keyPrint{0xb, n},
		replayWindow: 64, peer: gwB,
	}
	if node == nodeB {
		i.policy = policy{connection: "to-a", child: "net", local: tsB, remote: tsA}
		i.spiIn, i.spiOut, i.keyIn, i.keyOut, i.peer = i.spiOut, i.spiIn, i.keyOut, i.keyIn, gwA
	}
	return i
}

func with(i *installed, change func(*installed)) *installed {
	change(i)
	return i
}

func seal(ordinal, sequence uint64, iv byte) observation {
	return &sealed{now: time.Second, by: association{node: nodeA, ordinal: ordinal}, spi: 0xb01, sequence: sequence, iv: [16]byte{7: iv}, ivBytes: 8}
}

func open(ordinal, sequence uint64) observation {
	return &opened{now: time.Second, by: association{node: nodeA, ordinal: ordinal}, spi: 0xa01, sequence: sequence}
}

func initRequest() wire.Header {
	return wire.Header{InitiatorSPI: spiI, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}
}

func initResponse() wire.Header {
	return wire.Header{InitiatorSPI: spiI, ResponderSPI: spiR, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagResponse}
}

func authRequest() wire.Header {
	return wire.Header{InitiatorSPI: spiI, ResponderSPI: spiR, Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagInitiator, MessageID: 1}
}

func authResponse() wire.Header {
	return wire.Header{InitiatorSPI: spiI, ResponderSPI: spiR, Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagResponse, MessageID: 1}
}

// invariantTest feeds an invariant and says what it must find: nothing, or a
// violation whose sentence holds the words.
type invariantTest struct {
	observations []observation
	end          time.Duration // 1 hour if zero
	violation    string        // "" for none
	checks       uint64        // at least
}

func testInvariant(t *testing.T, name string, tests map[string]invariantTest) {
	t.Helper()
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			all := newInvariants(testInvariantConfig())
			i := all[slices.Index(Invariants(), name)]
			for _, o := range test.observations {
				i.observe(o)
			}
			if test.end == 0 {
				test.end = time.Hour
			}
			got := i.finish(test.end)
			switch {
			case test.violation == "" && !got.Pass:
				t.Errorf("violated: %s", got.Why)
			case test.violation != "" && got.Pass:
				t.Errorf("passes, though %s", test.violation)
			case !strings.Contains(got.Why, test.violation):
				t.Errorf("violated because %q, want %q", got.Why, test.violation)
			case got.Pass != (got.Count == 0):
				t.Errorf("pass is %v with %d violations", got.Pass, got.Count)
			}
			if got.Name != name || got.Checks < test.checks {
				t.Errorf("result of %s over %d checks, want %s over at least %d", got.Name, got.Checks, name, test.checks)
			}
		})
	}
}

func TestNoCleartext(t *testing.T) {
	inner := udp(hostA, hostB, 5000, 6000, []byte("secret"))
	installedOnB := child(nodeB, 1, 1)
	testInvariant(t, InvariantNoCleartext, map[string]invariantTest{
		"ESP is not clear": {observations: []observation{up(t, nodeA, esp(gwA, gwB, 1, 1))}, checks: 1},
		"a packet under a configured policy": {
			observations: []observation{up(t, nodeA, inner)}, violation: "in clear, though child net of connection to-b protects it"},
		"a packet on its way into the network behind": {
			observations: []observation{up(t, nodeA, udp(hostB, hostA, 6000, 5000, nil))}, checks: 1},
		"a flow at the port of ESP in UDP": {
			observations: []observation{up(t, nodeA, udp(hostA, hostB, 5000, 4500, []byte("secret")))}, violation: "in clear, though child net of connection to-b protects it"},
		"a flow between the ports of IKE": {
			observations: []observation{up(t, nodeA, udp(hostA, hostB, 500, 500, []byte("secret")))}, violation: "in clear, though child net of connection to-b protects it"},
		"other traffic": {observations: []observation{up(t, nodeA, udp(hostA, gwB, 1, 2, nil))}, checks: 1},
		"a packet that arrives is the sender's affair": {
			observations: []observation{down(t, nodeA, inner)}},
		"an SA brings its own policy": {
			observations: []observation{installedOnB, up(t, nodeB, udp(hostB, hostA, 6000, 5000, nil))}, violation: "gw-b put a packet"},
		"also for traffic that was clear before": {
			observations: []observation{up(t, nodeB, udp(hostB, hostA, 6000, 5000, nil)), installedOnB, up(t, nodeB, udp(hostB, hostA, 6000, 5000, nil))}, violation: "gw-b put a packet"},
		"which goes with it": {
			observations: []observation{installedOnB, &removed{now: 0, by: association{node: nodeB}, spiIn: installedOnB.spiIn, spiOut: installedOnB.spiOut},
				up(t, nodeB, udp(hostB, hostA, 6000, 5000, nil))}},
		"a node without policies protects nothing": {
			observations: []observation{up(t, nodeB, udp(hostB, hostA, 6000, 5000, nil))}},
	})
}

// TestNoCleartextPassesBy: with a policy for everything, the gateway's own IKE,
// keepalives and errors about ESP are the exceptions, and the only ones.
func TestNoCleartextPassesBy(t *testing.T) {
	everything := []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("0.0.0.0/0"), 0, 0, 65535)}
	tests := map[string]struct {
		packet []byte
		pass   bool
	}{
		"own IKE":                    {ikePacket(t, gwA, gwB, 500, initRequest(), "x"), true},
		"own IKE on 4500":            {ikePacket(t, gwA, gwB, 4500, authRequest(), "x"), true},
		"forwarded IKE":              {ikePacket(t, hostA, gwB, 500, initRequest(), "x"), false},
		"own keepalive":              {udp(gwA, gwB, 4500, 4500, []byte{0xff}), true},
		"own error about ESP":        {icmpError(gwA, gwB, esp(gwB, gwA, 1, 1)), true},
		"own error about IKE":        {icmpError(gwA, gwB, udp(gwB, gwA, 500, 500, nil)), true},
		"own error about a tunnel's": {icmpError(gwA, hostB, udp(hostB, hostA, 1, 2, nil)), false},
		"own ping":                   {ip(gwA, gwB, protocolICMP, []byte{8, 0, 0, 0, 0, 0, 0, 0}), false},
		"own UDP":                    {udp(gwA, gwB, 5000, 6000, []byte{0xff}), false},
		"own UDP to a port of IKE":   {udp(gwA, gwB, 5000, 500, make([]byte, 100)), false},
		"own UDP like a keepalive":   {udp(gwA, gwB, 4500, 6000, []byte{0, 0, 0, 0, 0xff}), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := testInvariantConfig()
			c.policies[nodeA] = []policy{{connection: "c", child: "all", local: everything, remote: everything}}
			i := newClearInvariant(c)
			i.observe(up(t, nodeA, test.packet))
			if got := i.finish(time.Second); got.Pass != test.pass {
				t.Errorf("pass is %v, want %v: %s", got.Pass, test.pass, got.Why)
			}
		})
	}
}

func TestNoReuse(t *testing.T) {
	testInvariant(t, InvariantNoReuse, map[string]invariantTest{
		"numbers and IVs that rise": {observations: []observation{child(nodeA, 1, 1), child(nodeB, 1, 1), seal(1, 1, 1), seal(1, 2, 2), seal(1, 9, 3)}, checks: 5},
		"a sequence number twice":   {observations: []observation{seal(1, 1, 1), seal(1, 1, 2)}, violation: "sequence number 1 of SPI 0x00000b01 again"},
		"a smaller sequence number": {observations: []observation{seal(1, 5, 1), seal(1, 4, 2)}, violation: "out of order"},
		"an IV twice":               {observations: []observation{seal(1, 1, 7), seal(1, 2, 7)}, violation: "used the IV 0000000000000007 twice"},
		"an IV twice, later":        {observations: []observation{seal(1, 1, 7), seal(1, 2, 8), seal(1, 3, 7)}, violation: "twice"},
		"the same under other keys": {observations: []observation{seal(1, 1, 7), seal(2, 1, 7)}},
		"a key under two SAs of one node": {
			observations: []observation{child(nodeA, 1, 1), with(child(nodeA, 2, 2), func(i *installed) { i.keyOut = keyPrint{0xb, 1} })},
			violation:    "seals with a key"},
		"an inbound key under two SAs": {
			observations: []observation{child(nodeA, 1, 1), with(child(nodeA, 2, 2), func(i *installed) { i.keyIn = keyPrint{0xa, 1} })},
			violation:    "opens with a key"},
		"a key under SAs of two nodes": {
			observations: []observation{child(nodeA, 1, 1), with(child(nodeB, 1, 2), func(i *installed) { i.keyOut = keyPrint{0xb, 1} })},
			violation:    "gw-b seals with a key in its child SA number 1 that gw-a seals with"},
		"one key both ways": {
			observations: []observation{with(child(nodeA, 1, 1), func(i *installed) { i.keyIn = i.keyOut })}, violation: "both directions"},
		"an SPI that is in use": {
			observations: []observation{child(nodeA, 1, 1), with(child(nodeA, 2, 2), func(i *installed) { i.spiIn = 0xa01 })}, violation: "two child SAs at a time"},
		"an SPI that was in use": {
			observations: []observation{child(nodeA, 1, 1), &removed{by: association{node: nodeA}, spiIn: 0xa01, spiOut: 0xb01},
				with(child(nodeA, 2, 2), func(i *installed) { i.spiIn = 0xa01 })}},
	})
}

func TestNoReuseForgetsTheOldestIVs(t *testing.T) {
	i := newReuseInvariant(testInvariantConfig())
	for n := range uint64(ivsRememberedMax + 100) {
		o := &sealed{by: association{node: nodeA, ordinal: 1}, sequence: n + 1, ivBytes: 8}
		o.iv = [16]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		i.observe(o)
	}
	if got := i.finish(0); !got.Pass {
		t.Fatalf("violated: %s", got.Why)
	}
	if len(i.ivs) != ivsRememberedMax || len(i.ivOrder) != ivsRememberedMax {
		t.Errorf("%d IVs in the set, %d in the ring, want %d of both", len(i.ivs), len(i.ivOrder), ivsRememberedMax)
	}
}

func TestNoReplay(t *testing.T) {
	sa := child(nodeA, 1, 1)
	testInvariant(t, InvariantNoReplay, map[string]invariantTest{
		"in order":               {observations: []observation{sa, open(1, 1), open(1, 2), open(1, 3)}, checks: 3},
		"out of order, in reach": {observations: []observation{sa, open(1, 64), open(1, 1)}, checks: 2},
		"twice":                  {observations: []observation{sa, open(1, 1), open(1, 1)}, violation: "packet 1 of SPI 0x00000a01 twice"},
		"twice, with others between": {
			observations: []observation{sa, open(1, 1), open(1, 2), open(1, 30), open(1, 2)}, violation: "packet 2 of SPI 0x00000a01 twice"},
		"left of the window": {observations: []observation{sa, open(1, 65), open(1, 1)}, violation: "left of its window"},
		"a jump of one turn": {observations: []observation{sa, open(1, 1), open(1, 1+64), open(1, 2+64)}, checks: 3},
		"twice after a jump": {observations: []observation{sa, open(1, 1), open(1, 1<<40), open(1, 1<<40)}, violation: "twice"},
		"a window of no whole words": {
			observations: []observation{with(child(nodeA, 1, 1), func(i *installed) { i.replayWindow = 33 }), open(1, 40), open(1, 8), open(1, 8)}, violation: "packet 8 of SPI 0x00000a01 twice"},
		"left of such a window": {
			observations: []observation{with(child(nodeA, 1, 1), func(i *installed) { i.replayWindow = 33 }), open(1, 40), open(1, 7)}, violation: "left of its window"},
		"another SA":    {observations: []observation{sa, child(nodeA, 2, 2), open(1, 1), open(2, 1)}, checks: 2},
		"without an SA": {observations: []observation{open(1, 1)}, violation: "without an SA installed"},
		"protection turned off": {
			observations: []observation{with(child(nodeA, 1, 1), func(i *installed) { i.replayWindow = 0 }), open(1, 1), open(1, 1)}},
	})
}

func TestNoOrphanSA(t *testing.T) {
	sa := func(node int, spiI wire.SPI) observation {
		return &established{now: time.Second, node: node, connection: "c", spiI: spiI, spiR: spiR}
	}
	both := []observation{sa(nodeA, spiI), sa(nodeB, spiI), child(nodeA, 1, 1), child(nodeB, 1, 1)}
	request := up(t, nodeA, ikePacket(t, gwA, gwB, 500, authRequest(), "x"))
	answer := &answered{now: time.Second, node: nodeA, spiI: spiI, exchange: wire.ExchangeIKEAuth, id: 1}
	testInvariant(t, InvariantNoOrphanSA, map[string]invariantTest{
		"both ends hold both": {observations: both, checks: 4},
		"an IKE SA at one end": {
			observations: []observation{sa(nodeA, spiI)}, violation: "gw-a holds the IKE SA a100000000000000:b100000000000000 of connection c"},
		"an IKE SA that the other end deleted": {
			observations: append(slices.Clone(both), &gone{now: time.Second, node: nodeB, spiI: spiI, spiR: spiR}), violation: "gw-a holds the IKE SA"},
		"a child at one end": {observations: both[:3], violation: "gw-a holds the child SA net"},
		"a child that the other end deleted": {
			observations: append(slices.Clone(both), &removed{now: time.Second, by: association{node: nodeA}, spiIn: 0xa01, spiOut: 0xb01}), violation: "gw-b holds the child SA net"},
		"SPIs that match under other keys": {
			observations: []observation{sa(nodeA, spiI), sa(nodeB, spiI), child(nodeA, 1, 1), with(child(nodeB, 1, 1), func(i *installed) { i.keyIn = keyPrint{9} })},
			violation:    "whose other end no node holds"},
		"two children for the same": {
			observations: append(slices.Clone(both), child(nodeA, 2, 2), child(nodeB, 2, 2)), violation: "two child SAs net"},
		"two children with two peers": {
			observations: append(slices.Clone(both), with(child(nodeA, 2, 2), func(i *installed) { i.peer = hostB }), with(child(nodeB, 2, 2), func(i *installed) { i.peer = hostA }))},
		"all deleted": {
			observations: append(slices.Clone(both), &gone{node: nodeA, spiI: spiI, spiR: spiR}, &gone{node: nodeB, spiI: spiI, spiR: spiR},
				&removed{by: association{node: nodeA}, spiIn: 0xa01, spiOut: 0xb01}, &removed{by: association{node: nodeB}, spiIn: 0xb01, spiOut: 0xa01})},
		"an exchange still open": {
			observations: []observation{request, sa(nodeB, spiI)}, end: 10 * time.Second},
		"an exchange open for longer than a schedule": {
			observations: []observation{request, sa(nodeB, spiI)}, end: 102 * time.Second, violation: "gw-b holds the IKE SA"},
		"an exchange that was answered": {
			observations: []observation{request, sa(nodeB, spiI), answer}, end: 10 * time.Second, violation: "gw-b holds the IKE SA"},
		"an exchange of another IKE SA is no excuse": {
			observations: []observation{request, sa(nodeB, wire.SPI{0xa2})}, end: 10 * time.Second, violation: "gw-b holds the IKE SA"},
	})
}

func TestIdenticalRetransmission(t *testing.T) {
	init := func(body string) observation { return up(t, nodeA, ikePacket(t, gwA, gwB, 500, initRequest(), body)) }
	auth := func(port uint16, body string) observation {
		return up(t, nodeA, ikePacket(t, gwA, gwB, port, authRequest(), body))
	}
	response := func(body string) observation {
		return up(t, nodeB, ikePacket(t, gwB, gwA, 500, initResponse(), body))
	}
	stateless := initResponse()
	stateless.ResponderSPI = wire.SPI{}
	testInvariant(t, InvariantIdenticalRetransmission, map[string]invariantTest{
		"the same bytes":          {observations: []observation{init("x"), init("x"), init("x")}, checks: 2},
		"other bytes":             {observations: []observation{init("x"), init("y")}, violation: "gw-a repeated its IKE_SA_INIT request with message ID 0"},
		"the same by port 4500":   {observations: []observation{auth(500, "x"), auth(4500, "x")}, checks: 1},
		"other bytes by 4500":     {observations: []observation{auth(500, "x"), auth(4500, "y")}, violation: "IKE_AUTH request with message ID 1"},
		"a cached response":       {observations: []observation{response("x"), response("x")}, checks: 1},
		"a response made anew":    {observations: []observation{response("x"), response("y")}, violation: "gw-b repeated its IKE_SA_INIT response"},
		"another message":         {observations: []observation{init("x"), auth(500, "y")}},
		"another node's":          {observations: []observation{init("x"), down(t, nodeB, ikePacket(t, gwA, gwB, 500, initRequest(), "x"))}},
		"a request after refusal": {observations: []observation{init("x"), down(t, nodeA, ikePacket(t, gwB, gwA, 500, stateless, "cookie")), init("y"), init("y")}, checks: 1},
		"answers outside any SA":  {observations: []observation{up(t, nodeB, ikePacket(t, gwB, gwA, 500, stateless, "a")), up(t, nodeB, ikePacket(t, gwB, gwA, 500, stateless, "b"))}},
		"forwarded ones":          {observations: []observation{up(t, nodeA, ikePacket(t, hostA, gwB, 500, initRequest(), "x")), up(t, nodeA, ikePacket(t, hostA, gwB, 500, initRequest(), "y"))}},
	})
}

func TestNoAmplification(t *testing.T) {
	request := func(bytes int) observation {
		return down(t, nodeB, ikePacket(t, gwA, gwB, 500, initRequest(), strings.Repeat("x", bytes)))
	}
	answer := func(bytes int) observation {
		return up(t, nodeB, ikePacket(t, gwB, gwA, 500, initResponse(), strings.Repeat("x", bytes)))
	}
	authenticated := func(port uint16) observation {
		return down(t, nodeB, ikePacket(t, gwA, gwB, port, authRequest(), "x"))
	}
	forged := authRequest()
	forged.ResponderSPI = wire.SPI{0xee}
	authAnswer := up(t, nodeB, ikePacket(t, gwB, gwA, 4500, authResponse(), strings.Repeat("x", 1000)))
	elsewhere := up(t, nodeB, ikePacket(t, gwB, hostA, 500, initResponse(), "x"))
	testInvariant(t, InvariantNoAmplification, map[string]invariantTest{
		"as much as was received":         {observations: []observation{request(100), answer(100)}, checks: 1},
		"one octet more":                  {observations: []observation{request(100), answer(101)}, violation: "gw-b sent the unvalidated address 198.51.100.1 133 octets of IKE though only 132 came from it"},
		"an answer per request":           {observations: []observation{request(100), answer(100), request(100), answer(100)}, checks: 2},
		"two answers to one request":      {observations: []observation{request(100), answer(60), answer(60)}, violation: "unvalidated"},
		"more, once it has shown the SPI": {observations: []observation{request(100), answer(100), authenticated(4500), authAnswer}, checks: 1},
		"an SPI that it made up": {
			observations: []observation{request(100), answer(100), down(t, nodeB, ikePacket(t, gwA, gwB, 4500, forged, "x")), authAnswer}, violation: "unvalidated"},
		"to an address that sent nothing": {observations: []observation{request(100), elsewhere}, violation: "only 0 came from it"},
		"an initiator may":                {observations: []observation{up(t, nodeA, ikePacket(t, gwA, gwB, 500, initRequest(), "x"))}},
		"a flow to port 500":              {observations: []observation{up(t, nodeB, udp(gwB, gwA, 5000, 500, make([]byte, 100)))}},
		"a flow from port 500":            {observations: []observation{up(t, nodeB, udp(gwB, gwA, 500, 5000, make([]byte, 100)))}},
		"a flow between ports of IKE":     {observations: []observation{up(t, nodeB, udp(gwB, gwA, 500, 500, make([]byte, 100)))}},
		"a message from another port":     {observations: []observation{up(t, nodeB, udp(gwB, gwA, 5000, 500, ikeMessage(t, initResponse(), "x")))}},
		"a node that runs no IKE": {observations: []observation{
			&sighted{now: time.Second, node: 2, direction: impair.Up, own: true, packet: see(t, ikePacket(t, hostA, hostB, 500, initResponse(), "x"))}}},
		"an answer to what is no IKEv2": {
			observations: []observation{down(t, nodeB, udp(gwA, gwB, 500, 500, laterVersion(t, 100))), answer(100)}, checks: 1},
		"a longer one": {
			observations: []observation{down(t, nodeB, udp(gwA, gwB, 500, 500, laterVersion(t, 100))), answer(101)}, violation: "133 octets of IKE though only 132 came from it"},
	})
}

// laterVersion is a message of an IKE to come.
func laterVersion(t *testing.T, bytes int) []byte {
	b := ikeMessage(t, initRequest(), strings.Repeat("x", bytes))
	b[17] = 0x30
	return b
}
