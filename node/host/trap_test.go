//go:build linux

package host

import (
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
)

// TestTrap brings a tunnel up by the packet that needs it, which waits and passes.
func TestTrap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startAction(ike.StartTrap))
	w.start(1)
	w.start(0)
	w.ping(w.inside[0], "10.2.0.2", 1)
	w.seen[0].wait(t, 1, node.EventTrapAcquire, "")
	w.ping(w.gateway[0], "2001:db8:2::2", 1)
	if n := w.seen[0].count(node.EventTrapAcquire, ""); n != 1 {
		t.Errorf("%d acquires", n)
	}
	if d := w.seen[0].count(node.EventPacketDropped, "") + w.seen[0].count(node.EventPolicyDrop, ""); d != 0 {
		t.Errorf("%d packets were dropped", d)
	}
}

// TestTrapInVain drops what waits when the negotiation fails. The trap rests for a
// second, and then fires again.
func TestTrapInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startAction(ike.StartTrap), connection(func(_ int, c *ike.Connection) {
		c.Retransmit = ike.Retransmit{Timeout: 20 * time.Millisecond, BaseMilli: 1000, Tries: 2}
	}))
	w.start(0)
	before := time.Now()
	_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.01", "10.2.0.2")
	w.seen[0].wait(t, 1, node.EventPacketDropped, node.DropNegotiationFailed)
	for w.seen[0].count(node.EventTrapAcquire, "") < 2 {
		_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.01", "10.2.0.2")
	}
	if passed := time.Since(before); passed < time.Second {
		t.Errorf("it fires again after %v", passed)
	}
	w.seen[0].wait(t, 2, node.EventPacketDropped, node.DropNegotiationFailed)
	var rests []string
	for _, e := range w.seen[0].all() {
		if e.Kind == node.EventKind(ike.RecordIKEFailed) {
			rests = append(rests, e.IKE.Field("rests"))
		}
	}
	if got := strings.Join(rests[:2], " "); got != "1s 2s" {
		t.Errorf("it rests for %s, want 1s and then 2s", got)
	}
}

// TestOutsideNarrowed wants a packet for which the peer has left no room named at once,
// and the trap to fire again when the tunnel is gone.
func TestOutsideNarrowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startAction(ike.StartTrap), connection(func(i int, c *ike.Connection) {
		if i == 1 {
			c.Children[0].LocalTS = []wire.Selector{wire.PrefixSelector(prefix("10.2.0.2/32"), 0, 0, 65535)}
		}
	}))
	w.start(1)
	w.start(0)
	w.ping(w.inside[0], "10.2.0.2", 1)
	_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.01", "10.2.0.1")
	w.seen[0].wait(t, 1, node.EventPolicyDrop, node.DropOutsideNarrowed)
	if waits := w.host[0].Waiting(); len(waits) != 0 {
		t.Errorf("%d packets wait", len(waits))
	}
	w.host[1].Command(ike.Command{Kind: ike.Terminate, Connection: "site"})
	w.seen[0].wait(t, 1, "child-deleted", "")
	for w.seen[0].count(node.EventTrapAcquire, "") < 2 { // the peer may have been quick to delete it
		_, _ = run(t, w.inside[0], "ping", "-n", "-c", "1", "-W", "0.01", "10.2.0.1")
	}
	w.seen[0].wait(t, 2, "child-installed", "")
}

// TestESPSentIsTold wants the machine to know when something was last sent in UDP, so that
// it sends no NAT keepalive then (RFC 3948 §4).
func TestESPSentIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap())
	w.up()
	before := w.host[0].cfg.Clock()
	w.ping(w.inside[0], "10.2.0.2", 1)
	h := w.host[0]
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellESP()
	var told []ike.ESPSent
	for _, ev := range h.ikeEvents {
		if ev, is := ev.(ike.ESPSent); is {
			told = append(told, ev)
		}
	}
	h.ikeEvents = nil
	if len(told) != 1 || told[0].At < before || told[0].At > h.cfg.Clock() || told[0].SPI != h.sas.all[0].spiIn {
		t.Errorf("told %+v, want once, after %v", told, before)
	}
}
