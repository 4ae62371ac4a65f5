package virtual

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
)

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
		if protocol := p[9]; protocol != 50 && protocol != 17 {
			t.Errorf("a packet of protocol %d is on the wire, which should carry ESP and IKE alone", protocol)
		}
	}
}

type taps []sim.Tap

func (all taps) Packet(at time.Duration, node, iface int, direction impair.Direction, packet []byte) {
	for _, t := range all {
		t.Packet(at, node, iface, direction, packet)
	}
}
