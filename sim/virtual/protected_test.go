package virtual

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ikelab/ikelab/topology"
)

// TestProtectedIsTrueOrAbsent: an arrival is called protected where the receiving host itself opened the packet, whole or
// in pieces. Of what a gateway opened for it nothing is said, since it was protected on the way and is not any more.
func TestProtectedIsTrueOrAbsent(t *testing.T) {
	plan := twoGateways(0)
	flow := func(name, from, fromAddr, to, toAddr string, protocol string, size int) topology.Flow {
		return topology.Flow{
			Name: name, From: from, To: to, Protocol: protocol, SourcePort: 40001, DestinationPort: 5005,
			FromAddr: netip.MustParseAddr(fromAddr), ToAddr: netip.MustParseAddr(toAddr),
			Rate: topology.Rate{Packets: 1, Per: time.Second}, SizeBytes: size, Start: 5 * time.Second, Stop: 9 * time.Second,
		}
	}
	udp, icmp := topology.ProtocolUDP, topology.ProtocolICMP
	plan.Flows = []topology.Flow{
		flow("host to host", "alice", "10.1.0.2", "bob", "10.2.0.2", udp, 200),
		flow("host to host, echo", "alice", "10.1.0.2", "bob", "10.2.0.2", icmp, 200),
		flow("to the gateway", "alice", "10.1.0.2", "gw-b", "10.2.0.1", udp, 200),
		flow("to the gateway, in pieces", "alice", "10.1.0.2", "gw-b", "10.2.0.1", udp, 4000),
		flow("from the gateway", "gw-a", "10.1.0.1", "gw-b", "10.2.0.1", udp, 4000),
		flow("from the gateway, echo", "gw-a", "10.1.0.1", "bob", "10.2.0.2", icmp, 200),
		flow("to the gateway, echo", "alice", "10.1.0.2", "gw-b", "10.2.0.1", icmp, 200),
		flow("in clear", "gw-a", "198.51.100.1", "gw-b", "198.51.100.2", udp, 200),
		flow("on the LAN", "alice", "10.1.0.2", "gw-a", "10.1.0.1", icmp, 200),
	}
	protected := map[string]bool{"to the gateway": true, "to the gateway, in pieces": true, "from the gateway": true, "from the gateway, echo": true}
	arrived := map[string]int{}
	for _, r := range mustRun(t, plan).records("", "flow-arrival") {
		name := r.Fields[0].Value
		arrived[name]++
		got := "absent"
		for _, f := range r.Fields {
			if f.Key == "protected" {
				got = f.Value
			}
		}
		want := "absent"
		if protected[name] {
			want = "true"
		}
		if got != want {
			t.Fatalf("%s: protected is %s, want %s", name, got, want)
		}
	}
	for _, f := range plan.Flows {
		if arrived[f.Name] != 4 {
			t.Errorf("%s: %d of 4 arrived", f.Name, arrived[f.Name])
		}
	}
}
