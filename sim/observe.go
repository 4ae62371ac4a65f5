package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// failuresMax bounds the failures that a result lists.
const failuresMax = 1024

// keysKeptMax bounds the IKE SAs, and the ESP SAs, whose keys a result holds.
const keysKeptMax = 1 << 17

// espKeysID says which ESP SA keys belong to.
type espKeysID struct {
	src, dst netip.Addr
	spi      uint32
}

// Observe takes one output of a node, in the order in which Handle answered
// them. Packets that leave are looked at, not sent; the engine calls Transit for
// them when it has put them on their link. What a node says after it was killed
// (an engine may find it waiting) is what the kill kept it from saying.
func (r *Run) Observe(now time.Duration, nodeIndex int, out node.Output) {
	if r.nodes[nodeIndex].dead {
		return
	}
	switch out := out.(type) {
	case *node.PacketOut:
		// Of a message in fragments, the first stands for all.
		if out.Exchange != nil && r.seen.look(out.Bytes) && r.seen.ike != nil {
			r.ladder.sent(now, nodeIndex, r.plan.Nodes[nodeIndex].Name, r.peerName(r.seen.dst), out.Exchange, r.seen.ikeBytes())
		}
	case *node.Deliver:
		r.delivered(now, nodeIndex, out)
	case *node.Event:
		r.event(now, nodeIndex, out)
	}
}

// Transit sees a packet at a link's end: going up when it leaves its node,
// before the link has done anything to it, and going down when it enters its
// node. The bytes are not kept.
func (r *Run) Transit(now time.Duration, nodeIndex, iface int, direction impair.Direction, packet []byte) {
	s := &r.seen
	if !s.look(packet) {
		return
	}
	if s.ike != nil && direction == impair.Down && r.owns(nodeIndex, s.dst) {
		r.ladder.fate(now, s, "")
	}
	r.sighted = sighted{
		now: now, node: nodeIndex, iface: iface, direction: direction, packet: s,
		own: r.owns(nodeIndex, s.src), mine: direction == impair.Down && r.owns(nodeIndex, s.dst),
		tunnelEnds: s.esp != nil && r.speaksIKEAt(s.src) && r.speaksIKEAt(s.dst),
	}
	r.tell(&r.sighted)
}

// Dropped notes that the link at an interface dropped a packet on its way up or
// down, and why.
func (r *Run) Dropped(now time.Duration, nodeIndex, iface int, direction impair.Direction, packet []byte, reason string) {
	whole := r.seen.look(packet)
	r.recordDrop(now, nodeIndex, iface, direction, &r.seen, reason)
	if whole && r.seen.ike != nil {
		r.ladder.fate(now, &r.seen, reason)
	}
	if whole {
		r.lost(&r.seen)
	}
}

// Unreachable notes that nobody on the network has a packet's next hop.
func (r *Run) Unreachable(now time.Duration, nodeIndex, iface int, nextHop netip.Addr, packet []byte) {
	r.unreachable++
	whole := r.seen.look(packet)
	r.record(now, nodeIndex, recordUnreachable,
		text("interface", r.interfaceName(nodeIndex, iface)), text("next_hop", nextHop.String()), trace.Int("bytes", len(packet)))
	if whole && r.seen.ike != nil {
		r.ladder.fate(now, &r.seen, "next hop unreachable")
	}
	if whole {
		r.lost(&r.seen)
	}
}

func (r *Run) owns(nodeIndex int, addr netip.Addr) bool {
	owner, ok := r.owner[addr]
	return ok && owner == nodeIndex
}

// speaksIKEAt reports whether an address is, or was last, that of a node that runs IKE.
func (r *Run) speaksIKEAt(addr netip.Addr) bool {
	i, ok := (*r.names.Load())[addr]
	return ok && speaksIKE(&r.plan.Nodes[i])
}

// tell hands an observation to every invariant.
func (r *Run) tell(o observation) {
	for _, i := range r.invariants {
		i.observe(o)
	}
}

// delivered takes what reached the inside of a host: a flow's packet, or
// something for nobody.
func (r *Run) delivered(now time.Duration, nodeIndex int, d *node.Deliver) {
	if f, a := r.flowOf(d); f != nil {
		isEcho := d.Kind == node.DeliverEchoReply
		if f.receiver() == nodeIndex && isEcho == (f.Protocol == topology.ProtocolICMP) &&
			f.meter.arrivedAt(now, a.sentAt, a.sequence, len(d.Payload)) {
			fields := []trace.Field{text("flow", f.Name), trace.Uint("sequence", a.sequence), trace.Int("delay", now-a.sentAt)}
			if d.Protected {
				// What came to its last host in clear may have been protected on the way,
				// and a kernel does not tell: then nothing is said.
				fields = append(fields, trace.Bool("protected", true))
			}
			r.record(now, nodeIndex, recordFlowArrival, fields...)
			return
		}
	}
	r.record(now, nodeIndex, recordDelivered, trace.Uint("what", d.Kind),
		text("src", d.Src.String()), text("dst", d.Dst.String()), trace.Int("bytes", len(d.Payload)),
		trace.Uint("type", d.Type), trace.Uint("code", d.Code), trace.Uint("mtu", d.MTU))
}

// flowOf finds the flow that a delivery belongs to, nil for none.
func (r *Run) flowOf(d *node.Deliver) (*flow, flowArrival) {
	a, ok := parseFlowPayload(d.Payload)
	if !ok || d.Kind == node.DeliverICMPError {
		return nil, a
	}
	i, ok := r.flowByTag[a.tag]
	if !ok {
		return nil, a
	}
	return r.flows[i], a
}

// event takes a node's event: into the trace, the counts, the states that
// expectations ask for, the steps that wait for it, and the invariants.
func (r *Run) event(now time.Duration, nodeIndex int, e *node.Event) {
	r.recordEvent(now, nodeIndex, e)
	r.protocolEvent(now, nodeIndex, e)
	connection := e.ESP.Connection
	if e.IKE != nil {
		connection = e.IKE.Connection
	}
	state := &r.nodes[nodeIndex]
	r.counts.note(now, eventKey{string(e.Kind), nodeIndex, connection}, state.plan.Name)
	r.selectors(now, string(e.Kind), state.plan.Name, connection)
	switch e.Kind {
	case node.EventPacketDropped, node.EventPolicyDrop:
		state.dropped++
		state.drops[string(e.Drop.Reason)]++
		r.gaveUp(&e.Drop)
		switch e.Drop.Reason {
		case node.DropChecksum, node.DropTruncated, node.DropHeaderInvalid, node.DropIKEMalformed:
			r.ladder.discarded(now, state.plan.Name, string(e.Drop.Reason))
		}
	case node.EventESPIn:
		if c := state.child(connection, e.ESP.Child); c != nil {
			c.packetsIn++
			c.bytesIn += uint64(e.ESP.Inner.Bytes)
		}
		r.opened = opened{now, r.association(nodeIndex, e.ESP.Ordinal), e.ESP.SPI, e.ESP.Sequence, e.Interface, trafficOf(e.ESP.Inner)}
		r.tell(&r.opened)
	case node.EventESPOut:
		if c := state.child(connection, e.ESP.Child); c != nil {
			c.packetsOut++
			c.bytesOut += uint64(e.ESP.Inner.Bytes)
		}
		r.seals.note(e.ESP.SPI, uint32(e.ESP.Sequence), r.flowByTraffic(trafficOf(e.ESP.Inner)))
		r.sealed = sealed{now, r.association(nodeIndex, e.ESP.Ordinal), e.ESP.SPI, e.ESP.Sequence, e.ESP.IV, e.ESP.IVBytes}
		r.tell(&r.sealed)
	case node.EventInterfaceUp, node.EventInterfaceDown, node.EventAddressChanged:
		r.changed(now)
	case node.EventInstallFailed:
		r.installFailed(now, nodeIndex, e)
	}
	if e.IKE != nil && e.IKE.Kind == ike.RecordDropped {
		r.ladder.discarded(now, state.plan.Name, e.IKE.Field("reason"))
	}
	if e.IKE != nil {
		r.ikeRecord(now, nodeIndex, state, e.IKE)
	}
}

// selectors counts an event for the watches and for the steps that wait for it.
func (r *Run) selectors(now time.Duration, event, nodeName, connection string) {
	for i, s := range r.plan.Watches {
		if s.Matches(event, nodeName, connection) {
			if r.watches[i].Count++; r.watches[i].Count == uint64(max(s.Nth, 1)) {
				r.watches[i].At = now
			}
		}
	}
	for i := range r.waiting {
		w := &r.waiting[i]
		if w.done || !w.on.Matches(event, nodeName, connection) {
			continue
		}
		if w.count++; w.count == max(w.on.Nth, 1) {
			w.done = true
			r.timeline.add(due{at: now + w.due.at, kind: w.due.kind, index: w.due.index})
		}
	}
}

// happened takes an event of the lab itself: what became of a node or of a process.
func (r *Run) happened(now time.Duration, nodeIndex int, kind string, fields ...trace.Field) {
	r.record(now, nodeIndex, kind, fields...)
	name := r.plan.Nodes[nodeIndex].Name
	r.counts.note(now, eventKey{kind, nodeIndex, ""}, name)
	r.selectors(now, kind, name, "")
	r.changed(now)
}

// ikeRecord follows the IKE SAs and children of a node.
func (r *Run) ikeRecord(now time.Duration, nodeIndex int, state *nodeState, rec *ike.Record) {
	c := state.connection(rec.Connection)
	if c == nil {
		c = &connectionState{} // what belongs to no connection of the plan is not kept
	}
	if rec.Exchange != nil && rec.Connection != "" {
		r.ladder.named(nodeIndex, rec.Exchange.SPIi, rec.Connection)
	}
	switch rec.Kind {
	case ike.RecordIKEInit:
		if rec.Initiator {
			c.attempts++
		}
	case ike.RecordKeys:
		state.spis[rec.IKE] = spiPair{rec.Keys.SPIi, rec.Keys.SPIr}
		r.keepIKEKeys(rec.Keys)
	case ike.RecordIKEEstablished:
		c.standing++
		r.established++
		if c.establishedCount++; c.establishedCount == 1 {
			c.establishedAt = now
		}
		c.failed = ""
		pair := state.spis[rec.IKE]
		r.ladder.named(nodeIndex, pair.i, rec.Connection)
		r.tell(&established{now, nodeIndex, rec.Connection, pair.i, pair.r})
		r.changed(now)
	case ike.RecordIKEDeleted:
		c.standing--
		r.established--
		pair := state.spis[rec.IKE]
		r.tell(&gone{now, nodeIndex, pair.i, pair.r})
		delete(state.spis, rec.IKE)
		r.changed(now)
	case ike.RecordIKEExpired:
		delete(state.spis, rec.IKE)
	case ike.RecordIKEFailed:
		delete(state.spis, rec.IKE)
		c.failedCount++
		c.failed = rec.Field("reason")
		r.failed(now, nodeIndex, rec)
	case ike.RecordSent:
		r.spoke(now, nodeIndex, rec.Exchange)
	case ike.RecordRetransmit:
		c.retransmissions++
		r.spoke(now, nodeIndex, rec.Exchange)
	case ike.RecordGiveUp:
		if rec.Exchange != nil {
			r.tell(&gaveUp{now, nodeIndex, saidIn(rec.Exchange)})
		}
	case ike.RecordReceived:
		if x := rec.Exchange; x != nil {
			r.tell(&heard{now, nodeIndex, saidIn(x)})
			if x.Response {
				r.tell(&answered{now, nodeIndex, x.SPIi, x.Type, x.MessageID})
			}
		}
	case ike.RecordNATDetected:
		c.nat = rec.Field("local") == "yes" || rec.Field("remote") == "yes"
	case ike.RecordChildInstalled, ike.RecordChildFailed, ike.RecordChildDeleted:
		r.childRecord(now, nodeIndex, state, c, rec)
	}
}

// deletesIKE is how an exchange describes the payload that deletes its IKE SA.
var deletesIKE = wire.Describe(&wire.Delete{Protocol: wire.ProtocolIKE})

// spoke tells the invariants of a message that a node sent.
func (r *Run) spoke(now time.Duration, nodeIndex int, x *ike.Exchange) {
	if x != nil {
		r.tell(&spoke{now, nodeIndex, saidIn(x), slices.Contains(x.Payloads, deletesIKE)})
	}
}

func saidIn(x *ike.Exchange) said {
	return said{spiI: x.SPIi, exchange: x.Type, id: x.MessageID, response: x.Response}
}

// childRecord follows the CHILD_SAs of a node.
func (r *Run) childRecord(now time.Duration, nodeIndex int, state *nodeState, c *connectionState, rec *ike.Record) {
	defer r.changed(now)
	name := rec.Field("child")
	child := state.child(rec.Connection, name)
	if child == nil {
		child = &childState{}
	}
	switch rec.Kind {
	case ike.RecordChildInstalled:
		sa := rec.Child
		child.standing++
		child.installs++
		child.failed = ""
		c.encap = sa.Encap
		r.keepESPKeys(espKeys(sa, false))
		r.keepESPKeys(espKeys(sa, true))
		state.ordinals[sa.SPIIn] = sa.Ordinal
		r.tell(&installed{
			now: now, by: r.association(nodeIndex, sa.Ordinal),
			policy: policy{connection: sa.Connection, child: sa.Child, local: sa.LocalTS, remote: sa.RemoteTS},
			ike:    state.spis[sa.IKE].i, spiIn: sa.SPIIn, spiOut: sa.SPIOut,
			keyIn: printKeys(sa.In), keyOut: printKeys(sa.Out),
			replayWindow: sa.ReplayWindowPackets, peer: sa.Remote.Addr(),
		})
	case ike.RecordChildFailed:
		child.failed = rec.Field("reason")
		r.failed(now, nodeIndex, rec)
	case ike.RecordChildDeleted:
		child.standing--
		in, out := parseSPI(rec.Field("spi-in")), parseSPI(rec.Field("spi-out"))
		r.tell(&removed{now, r.association(nodeIndex, state.ordinals[in]), in, out})
		delete(state.ordinals, in)
	}
}

// failed keeps a failed negotiation for the result.
func (r *Run) failed(now time.Duration, nodeIndex int, rec *ike.Record) {
	r.changed(now)
	if len(r.failures) == failuresMax {
		return
	}
	f := Failure{
		At: now, Node: r.plan.Nodes[nodeIndex].Name, Connection: rec.Connection,
		Child: rec.Field("child"), Reason: rec.Field("reason"),
		LocalProposals:  splitProposals(rec.Field("local-proposals")),
		RemoteProposals: splitProposals(rec.Field("remote-proposals")),
	}
	if rec.Remote.IsValid() {
		f.Peer = r.peerName(rec.Remote.Addr())
	}
	for _, field := range rec.Fields {
		switch field.Key {
		case "child", "reason", "local-proposals", "remote-proposals":
		default:
			f.Fields = append(f.Fields, trace.Field(field))
		}
	}
	r.failures = append(r.failures, f)
	r.failureEnds = append(r.failureEnds, failureEnds{rec.Local.Addr(), rec.Remote.Addr()})
}

// failureInstall is the reason of a Failure that no message tells of: what was agreed
// could not be carried out at this node.
const failureInstall = "install-failed"

// installFailed keeps an association or a policy that a node could not install for the
// result.
func (r *Run) installFailed(now time.Duration, nodeIndex int, e *node.Event) {
	if len(r.failures) == failuresMax {
		return
	}
	r.failures = append(r.failures, Failure{
		At: now, Node: r.plan.Nodes[nodeIndex].Name, Connection: e.ESP.Connection, Child: e.ESP.Child,
		Reason: failureInstall, Fields: []trace.Field{{Key: "problem", Value: e.Problem}},
	})
	r.failureEnds = append(r.failureEnds, failureEnds{})
}

// splitProposals separates a record's list of proposals.
func splitProposals(list string) []string {
	if list == "" {
		return nil
	}
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// parseSPI reads an SPI as records write it, 0 when there is none.
func parseSPI(s string) uint32 {
	v, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// printKeys stands for one direction's keys.
func printKeys(k ike.ChildKeys) keyPrint {
	h := sha256.New()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(k.Encr)))
	h.Write(length[:])
	h.Write(k.Encr)
	h.Write(k.Integ)
	return keyPrint(h.Sum(nil)[:16])
}

// espKeys are one direction's keys for Wireshark.
func espKeys(sa *ike.ChildSA, outbound bool) capture.ESPKeys {
	k := capture.ESPKeys{Src: sa.Remote.Addr(), Dst: sa.Local.Addr(), SPI: sa.SPIIn, ESN: sa.ESN}
	keys := sa.In
	if outbound {
		k.Src, k.Dst, k.SPI, keys = sa.Local.Addr(), sa.Remote.Addr(), sa.SPIOut, sa.Out
	}
	k.Encr, _ = sa.Proposal.Find(suite.TransformENCR)
	k.Integ, _ = sa.Proposal.Find(suite.TransformINTEG)
	k.EncrKey, k.IntegKey = slices.Clone(keys.Encr), slices.Clone(keys.Integ)
	return k
}

// keepESPKeys keeps an SA's keys, once though two nodes hold it.
func (r *Run) keepESPKeys(k capture.ESPKeys) {
	id := espKeysID{k.Src, k.Dst, k.SPI}
	if r.espKeysKept[id] || len(r.espKeys) == keysKeptMax {
		return
	}
	r.espKeysKept[id] = true
	r.espKeys = append(r.espKeys, k)
}

// keepIKEKeys keeps an IKE SA's keys, once though two nodes hold it.
func (r *Run) keepIKEKeys(k *ike.Keys) {
	id := spiPair{k.SPIi, k.SPIr}
	if r.ikeKeysKept[id] || len(r.ikeKeys) == keysKeptMax {
		return
	}
	r.ikeKeysKept[id] = true
	r.ikeKeys = append(r.ikeKeys, capture.IKEKeys{
		SPIi: k.SPIi, SPIr: k.SPIr, Encr: k.Encr, Integ: k.Integ,
		SKei: slices.Clone(k.SKei), SKer: slices.Clone(k.SKer), SKai: slices.Clone(k.SKai), SKar: slices.Clone(k.SKar),
		SKd: slices.Clone(k.SKd),
	})
}
