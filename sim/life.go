package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// lifeStep kills a node, starts it, or both.
func (r *Run) lifeStep(now time.Duration, n int, kind string, fields []trace.Field) (problem string) {
	state := &r.nodes[n]
	kill := kind != topology.ActionStart && !state.dead
	start := kind == topology.ActionRestart || kind == topology.ActionStart && state.dead
	if !kill && !start {
		problem = "the node is dead already"
		if kind == topology.ActionStart {
			problem = "the node is alive"
		}
		r.record(now, -1, recordStep, append(fields, text("problem", problem))...)
		return problem
	}
	r.record(now, -1, recordStep, fields...)
	if kill {
		r.orders = append(r.orders, Order{Node: n, Life: &LifeChange{Life: state.life}})
		r.died(now, n)
	}
	if start {
		state.life++
		state.dead = false
		c, err := r.lifeConfig(n)
		if err != nil {
			// New has made the same node; only its addresses and streams are others.
			panic(fmt.Sprintf("sim: node %q: %v", state.plan.Name, err))
		}
		r.orders = append(r.orders, Order{Node: n, Life: &LifeChange{Life: state.life, Config: &c}})
		r.happened(now, n, recordNodeStarted, trace.Int("life", state.life))
	}
	return ""
}

// died notes that a node's state is gone without a word.
func (r *Run) died(now time.Duration, n int) {
	state := &r.nodes[n]
	state.dead = true
	for i := range state.connections {
		c := &state.connections[i]
		r.established -= c.standing
		c.standing = 0
		for j := range c.children {
			c.children[j].standing = 0
		}
	}
	clear(state.spis)
	clear(state.ordinals)
	r.tell(&died{now, n})
	r.happened(now, n, recordNodeKilled, trace.Int("life", state.life))
}

// lifeConfig is what a node begins its present life with. Whatever it draws at
// random differs from one life to the next, as with a process that is started again:
// no key, nonce, SPI or IV comes back. The first life's streams are those of a lab
// without another one.
func (r *Run) lifeConfig(n int) (node.Config, error) {
	state := &r.nodes[n]
	random := r.source.Node(state.plan.Name)
	if state.life > 1 {
		first, prefix := random, fmt.Sprintf("life/%d/", state.life)
		random = func(label string) io.Reader { return first(prefix + label) }
	}
	return nodeConfig(r.present(n), r.listen[n], random)
}

// Swallowed notes that a packet reached a node that is dead, after Transit has seen
// it: nobody takes it, and nobody answers. Engines whose host goes on living without
// the node's process, and answers for itself, do not call it.
func (r *Run) Swallowed(now time.Duration, nodeIndex, iface int, packet []byte) {
	if !r.seen.look(packet) {
		return
	}
	s := &r.seen
	e := node.Event{Kind: node.EventPacketDropped, Interface: iface, Drop: node.Drop{
		Reason: DropNodeDead,
		Packet: node.PacketKey{
			Src: s.src, Dst: s.dst, Protocol: s.protocol,
			SrcPort: s.srcPort, DstPort: s.dstPort, PortsKnown: s.portsKnown, Bytes: len(packet),
		},
	}}
	r.event(now, nodeIndex, &e)
	if s.ike != nil && r.owns(nodeIndex, s.dst) {
		r.ladder.discarded(now, r.plan.Nodes[nodeIndex].Name, string(DropNodeDead))
	}
}

// Left notes what waited in a node when it was killed or the run ended: nobody will
// send it, and it is in the account by name. Engines call it before Finish.
func (r *Run) Left(now time.Duration, nodeIndex int, waiting []node.Event) {
	for i := range waiting {
		r.event(now, nodeIndex, &waiting[i])
	}
}

// DropNodeDead is the reason of packets that reach a node that was killed.
const DropNodeDead node.DropReason = "node-dead"

// Alive says whether a node lives.
func (r *Run) Alive(nodeIndex int) bool { return !r.nodes[nodeIndex].dead }

// association identifies a child SA of a node's present life by the node's number.
func (r *Run) association(nodeIndex int, ordinal uint64) association {
	return association{node: nodeIndex, life: r.nodes[nodeIndex].life, ordinal: ordinal}
}
