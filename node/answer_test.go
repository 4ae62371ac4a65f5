package node

import (
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike"
)

// TestIKEAnswersToWhereItIsAsked: a request from any port is answered to that port,
// from the address and port that it came to, and so is its repetition (RFC 7296 §2.11).
func TestIKEAnswersToWhereItIsAsked(t *testing.T) {
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartStart)), gateway(t, 1)})
	n.lose = func(from place, _ PacketOut) bool { return from.node == gwA }
	n.run(time.Millisecond)
	sent := n.onWAN()
	if len(sent) == 0 {
		t.Fatal("gwA sends no IKE_SA_INIT request")
	}
	request := decode(t, sent[0].Bytes).Layer(layers.LayerTypeUDP).(*layers.UDP).Payload
	asked := udp(t, "198.51.100.1:4321", "198.51.100.2:500", request)
	for range 2 {
		answers := packets(n.nodes[gwB].Handle(n.now, PacketIn{Interface: 1, Bytes: asked}))
		if len(answers) != 1 {
			t.Fatalf("%d answers, want one", len(answers))
		}
		d := decode(t, answers[0].Bytes)
		u := d.Layer(layers.LayerTypeUDP).(*layers.UDP)
		if flow := d.NetworkLayer().NetworkFlow().String(); flow != "198.51.100.2->198.51.100.1" || u.SrcPort != 500 || u.DstPort != 4321 {
			t.Errorf("the answer goes %s, from port %d to %d", flow, u.SrcPort, u.DstPort)
		}
	}
}
