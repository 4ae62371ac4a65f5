//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/sim"
)

// portsLab has two hosts and two gateways on one network. What flows there are is added.
const portsLab = `
lab "ports" { duration = "4s" }
network "net" { prefixes = ["192.0.2.0/24", "2001:db8::/64"] }
network "elsewhere" { prefix = "10.9.0.0/24" }
node "a" {
  implementation = "host"
  interface "eth0" { network = network.net }
}
node "b" {
  implementation = "host"
  interface "eth0" { network = network.net }
}
node "x" {
  interface "eth0" { network = network.net }
  connection "peer" {
    remote_addrs = [node.y.interface.eth0]
    child "net" { remote_ts = [network.elsewhere] }
  }
}
node "y" {
  interface "eth0" { network = network.net }
  interface "lan" { network = network.elsewhere }
  connection "peer" {
    remote_addrs = [node.x.interface.eth0]
    child "net" { local_ts = [network.elsewhere] }
  }
}
secret "psk" { secret = "ports" }
`

// portsFlows are flows of which some share ports at a node in every way that there is.
func portsFlows() (text string, arrive, junk []string) {
	var b strings.Builder
	number := 0
	flow := func(from, to string, sourcePort, destinationPort int, arrives bool) {
		for _, to := range []string{"node." + to, `"` + map[string]string{"a": "2001:db8::1", "b": "2001:db8::2", "x": "2001:db8::3", "y": "2001:db8::4"}[to] + `"`} {
			name := fmt.Sprintf("f%d", number)
			number++
			if arrives {
				arrive = append(arrive, name)
			} else {
				junk = append(junk, name)
			}
			fmt.Fprintf(&b, "flow %q {\n  from = node.%s\n  to = %s\n  start = \"1s\"\n  packets = 3\n", name, from, to)
			if destinationPort == 0 {
				b.WriteString("  protocol = \"icmp\"\n}\n")
				continue
			}
			if sourcePort != 0 {
				fmt.Fprintf(&b, "  source_port = %d\n", sourcePort)
			}
			fmt.Fprintf(&b, "  destination_port = %d\n}\n", destinationPort)
		}
	}
	for _, pair := range [][2]string{{"a", "b"}, {"x", "y"}, {"a", "x"}} {
		there, back := pair[0], pair[1]
		// Mirrored; what one sends from is where another ends; several that end, or begin, at one port; echo beside.
		flow(there, back, 5060, 5060, true)
		flow(back, there, 5060, 5060, true)
		flow(there, back, 1701, 5555, true)
		flow(back, there, 5555, 1701, true)
		flow(there, back, 7001, 7000, true)
		flow(there, back, 7002, 7000, true)
		flow(back, there, 8000, 7001, true)
		flow(back, there, 8000, 7002, true)
		flow(there, back, 0, 0, true)
		flow(back, there, 0, 0, true)
	}
	for _, port := range []int{500, 4500} {
		flow("a", "b", 0, port, true)    // no IKE there
		flow("b", "a", port, port, true) // nor here
		flow("x", "a", port, 9000, true) // from a port that the node itself has
		flow("x", "b", port, port, true)
		flow("b", "y", 0, port, false) // for the node itself, which does not take it for a flow
		flow("x", "y", port, port, false)
	}
	return b.String(), arrive, junk
}

// TestFlowsThatSharePorts: whichever ports flows have, each arrives, in both engines: also two that mirror each other
// at a node, several at one port, and those from or to a port of IKE's. What comes to such a port of a node that
// speaks IKE is the node's, in both engines too.
func TestFlowsThatSharePorts(t *testing.T) {
	t.Parallel()
	namespaces(t)
	flows, arrive, junk := portsFlows()
	lab := write(t, "ports.hcl", portsLab+flows)
	for _, engine := range []string{"sim", "netns"} {
		o := process(t, program(t), nil, "run", "--json", "--engine", engine, lab)
		var r sim.Result
		if err := json.Unmarshal([]byte(o.out), &r); err != nil {
			t.Fatalf("%s: status %d: %v\n%s\n%s", engine, o.status, err, o.out, o.err)
		}
		received := map[string]uint64{}
		for _, f := range r.Flows {
			if received[f.Name] = f.Received; f.Sent != 3 {
				t.Errorf("%s: flow %s: %d sent", engine, f.Name, f.Sent)
			}
		}
		for _, name := range arrive {
			if received[name] != 3 {
				t.Errorf("%s: flow %s: %d of 3 arrived", engine, name, received[name])
			}
		}
		for _, name := range junk {
			if received[name] != 0 {
				t.Errorf("%s: flow %s to a port of the node itself: %d arrived", engine, name, received[name])
			}
		}
	}
}
