package sim

import (
	"slices"
	"testing"

	"github.com/ikelab/ikelab/node"
)

// TestGaveUpWhich: what waited in a node longest is given up for lack of time or room,
// what just came for all other reasons.
func TestGaveUpWhich(t *testing.T) {
	const sent = 3
	for reason, want := range map[node.DropReason]uint64{
		node.DropHoldFull: 0, node.DropHoldTimeout: 0, node.DropNegotiationFailed: 0,
		node.DropFragmentTimeout: 0, node.DropFragmentTableFull: 0,
		node.DropFragmentOverlap: sent - 1, node.DropNoRoute: sent - 1,
	} {
		packet := node.PacketKey{Src: hostA, Dst: hostB, Protocol: protocolUDP, SrcPort: 5000, DstPort: 9, PortsKnown: true}
		f := &flow{}
		r := &Run{flows: []*flow{f}, flowByEnds: map[flowEnds]int{trafficOf(packet): 0}}
		for range sent {
			f.meter.sent(0, 100)
		}
		r.gaveUp(&node.Drop{Reason: reason, Packet: packet})
		var gone []uint64
		for n := range uint64(sent) {
			if !f.meter.mayCome(n) {
				gone = append(gone, n)
			}
		}
		if !slices.Equal(gone, []uint64{want}) {
			t.Errorf("%s: packets %v are gone, want %d", reason, gone, want)
		}
	}
}
