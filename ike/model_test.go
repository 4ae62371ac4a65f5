package ike

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// refModel is what a person who watches the ladder knows: which IKE SAs each end
// says it has. It knows no cryptography and no timers.
type refModel struct {
	up map[string]map[string]bool // end -> IKE SA by its keys' name -> established
}

// fataler is what rapid.T and testing.T have in common.
type fataler interface {
	Fatalf(format string, args ...any)
}

// follow updates the model from one end's records since the last call.
func (m *refModel) follow(node *testnode, seen int, name func(id uint64) string, t fataler) int {
	for _, r := range node.records[seen:] {
		switch r.Kind {
		case RecordIKEEstablished:
			if m.up[node.name][name(r.IKE)] {
				t.Fatalf("%s establishes %s twice", node.name, name(r.IKE))
			}
			m.up[node.name][name(r.IKE)] = true
		case RecordIKEDeleted:
			if !m.up[node.name][name(r.IKE)] {
				t.Fatalf("%s deletes %s, which it never established", node.name, name(r.IKE))
			}
			delete(m.up[node.name], name(r.IKE))
		case RecordIKEFailed:
			if m.up[node.name][name(r.IKE)] {
				t.Fatalf("%s fails %s, which it had established", node.name, name(r.IKE))
			}
		}
	}
	return len(node.records)
}

// TestModel drives two machines over a network that loses, delays, duplicates and
// tampers with datagrams as it likes, with orders at any instant, and compares them
// with the model. In the end, once the network is well again and a whole
// retransmission schedule has passed, both ends agree.
func TestModel(t *testing.T) {
	const rounds = 10 // of rapid's default of 100 runs each, which -rapid.checks changes
	for i := range rounds {
		t.Run(fmt.Sprint(i), func(t *testing.T) { rapid.Check(t, checkModel) })
	}
}

func checkModel(t *rapid.T) {
	n := newTestnet()
	n.quiet = true
	settings := []string{"retransmit_timeout 1s", "retransmit_tries 4", "half_open_timeout 20s", "dpd_delay 10s"}
	if rapid.Bool().Draw(t, "cbc") {
		settings = append(settings, "proposals aes128-sha256-x25519", "esp_proposals aes128-sha256-esn")
	}
	if rapid.Bool().Draw(t, "other group first") {
		settings = append(settings, "proposals aes256gcm16-prfsha384-ecp256-x25519 aes128-sha256-x25519")
	}
	ends := map[string]string{"a": "192.0.2.1", "b": "198.51.100.1"}
	for _, name := range []string{"a", "b"} {
		peer := ends["b"]
		if name == "b" {
			peer = ends["a"]
		}
		if _, err := addMachine(n, name, ends[name], peer, settings); err != nil {
			t.Fatal(err)
		}
	}
	if rapid.Bool().Draw(t, "nat") {
		n.nats = append(n.nats, &testnat{
			inside: netip.MustParseAddr(ends["a"]), outside: netip.MustParseAddr("203.0.113.1"), next: 40000, out: map[uint16]uint16{},
		})
		// Behind the NAT a is not at its configured address.
		cfg, err := testConfig("b", "any", settings)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.add("b", netip.MustParseAddr(ends["b"]), cfg); err != nil {
			t.Fatal(err)
		}
	}
	m := &refModel{up: map[string]map[string]bool{"a": {}, "b": {}}}
	seen := map[string]int{}
	watch := func() {
		for _, name := range []string{"a", "b"} {
			node := n.node(name)
			seen[name] = m.follow(node, seen[name], func(id uint64) string { return saName(node, id) }, t)
		}
		for _, p := range n.problems {
			t.Fatal(p)
		}
	}
	end := func(t *rapid.T) *testnode { return n.node(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "end")) }

	t.Repeat(map[string]func(*rapid.T){
		"initiate": func(t *rapid.T) {
			n.step(end(t), Command{Kind: Initiate, Connection: "ike"})
		},
		"acquire": func(t *rapid.T) {
			n.step(end(t), Acquire{Connection: "ike", Child: "net", Packet: TrafficKey{
				Source: netip.MustParseAddr("10.1.0.9"), Destination: netip.MustParseAddr("10.2.0.9"), Protocol: 1,
			}})
		},
		"terminate": func(t *rapid.T) { n.step(end(t), Command{Kind: Terminate, Connection: "ike"}) },
		"terminate child": func(t *rapid.T) {
			n.step(end(t), Command{Kind: Terminate, Connection: "ike", Child: "net"})
		},
		"liveness": func(t *rapid.T) { n.step(end(t), Command{Kind: Liveness, Connection: "ike"}) },
		"network": func(t *rapid.T) {
			n.rules = append(n.rules, &rule{
				from: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "from"), to: "*", count: rapid.IntRange(1, 3).Draw(t, "packets"),
				what:  rapid.SampledFrom([]string{"lose", "lose", "delay", "duplicate", "tamper"}).Draw(t, "what"),
				delay: time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond,
			})
		},
		"replay": func(t *rapid.T) {
			if len(n.sent) > 0 {
				f := *n.sent[rapid.IntRange(0, len(n.sent)-1).Draw(t, "packet")]
				f.payload = slices.Clone(f.first)
				n.deliver(&f)
			}
		},
		"rebind": func(*rapid.T) {
			for _, nat := range n.nats {
				nat.out = map[uint16]uint16{}
			}
		},
		"wait": func(t *rapid.T) {
			n.advance(time.Duration(rapid.IntRange(1, 2500).Draw(t, "ms")) * time.Millisecond)
		},
		"": func(*rapid.T) { watch() },
	})

	// The network is well again; a whole schedule and every timeout pass.
	n.rules = nil
	n.advance(2 * time.Minute)
	n.settle() // a sign of life may be on its way at any instant
	watch()
	agree(t, n, m)
}

// agree holds that both ends have the same IKE SAs and CHILD_SAs, at most one of
// each, that the model thinks so too, and that nothing is left over.
func agree(t fataler, n *testnet, m *refModel) {
	state := map[string][]string{}
	for _, name := range []string{"a", "b"} {
		node := n.node(name)
		for _, sa := range node.machine.sas {
			if !sa.up() || sa.out != nil {
				t.Fatalf("%s is not at rest: %s", name, n.state(node))
			}
			state[name] = append(state[name], saName(node, sa.id))
			if !m.up[name][saName(node, sa.id)] {
				t.Fatalf("%s has %s, which it never said", name, saName(node, sa.id))
			}
			for _, c := range sa.children {
				if _, ok := n.children[fmt.Sprintf("%s %08x", name, c.spiIn)]; !ok {
					t.Fatalf("%s keeps CHILD_SA %08x, which is not installed", name, c.spiIn)
				}
			}
		}
		slices.Sort(state[name])
		if len(state[name]) != len(m.up[name]) {
			t.Fatalf("%s has %v, it said %v", name, state[name], m.up[name])
		}
		if len(node.machine.inboundSPIs) > len(node.machine.sas) {
			t.Fatalf("%s keeps %d inbound SPIs for %d IKE SAs", name, len(node.machine.inboundSPIs), len(node.machine.sas))
		}
		if node.machine.halfOpen != 0 {
			t.Fatalf("%s counts %d half-open IKE SAs, there are none", name, node.machine.halfOpen)
		}
	}
	if !slices.Equal(state["a"], state["b"]) {
		t.Fatalf("a has %v, b has %v", state["a"], state["b"])
	}
	if len(state["a"]) > 1 {
		t.Fatalf("both have %d IKE SAs: %v", len(state["a"]), state["a"])
	}
	for key, sa := range n.children {
		other := "a"
		if key[0] == 'a' {
			other = "b"
		}
		twin, ok := n.children[fmt.Sprintf("%s %08x", other, sa.SPIOut)]
		if !ok || twin.SPIOut != sa.SPIIn {
			t.Fatalf("%s is installed at one end only", key)
		}
	}
}

// saName names an IKE SA the same way at both ends.
func saName(node *testnode, id uint64) string {
	for _, r := range node.records {
		if r.IKE == id && r.Kind == RecordKeys {
			return r.Keys.SPIi.String() + "/" + r.Keys.SPIr.String()
		}
	}
	return fmt.Sprintf("%s[%d]", node.name, id)
}

func addMachine(n *testnet, name, addr, peer string, settings []string) (*testnode, error) {
	cfg, err := testConfig(name, peer, settings)
	if err != nil {
		return nil, err
	}
	return n.add(name, netip.MustParseAddr(addr), cfg)
}
