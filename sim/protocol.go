package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
)

// protocolEventsMax bounds the protocol events that a run keeps.
const protocolEventsMax = 1 << 18

// Protocol is what the IKE machines of a run reported, in the order in which the
// nodes did, each event with the IKE SA that it belongs to. sim/align compares
// two of them.
type Protocol struct {
	SAs    []ProtocolSA
	Events []ProtocolEvent
	// Omitted counts the events beyond protocolEventsMax, which are not kept.
	Omitted uint64
}

// ProtocolSA is an IKE SA at one of its ends, or what a node reports outside any.
type ProtocolSA struct {
	Node string
	// SPIi is the initiator's SPI, which follows from the seed; zero for what
	// belongs to no IKE SA. A message that made none, because it was refused, say,
	// stands under its own SPI.
	SPIi wire.SPI
	// Initiator says that the node began the IKE SA.
	Initiator bool
	// Connection is the node's name for it, empty where it never learnt one; Peer
	// the node at the other end, or its address in brackets, empty where there is
	// none.
	Connection, Peer string
}

// ProtocolEvent is one record of an IKE machine, or says with the kind of
// node.EventInstallFailed that a node could not do what its machine ordered.
type ProtocolEvent struct {
	At time.Duration
	// SA is the index in Protocol.SAs.
	SA   int
	Kind ike.RecordKind
	// Message is the message the event is about, nil for none.
	Message *ike.Exchange
	// Facts are what the record says besides, in a fixed order per kind.
	Facts []ike.Field
}

// protocolLog gathers a run's Protocol. The nil log keeps nothing.
type protocolLog struct {
	protocol Protocol
	// numbered finds the SA that a machine calls by a number, spoken the latest one
	// with an SPI, unbound what belongs to none.
	numbered map[protocolNumber]int
	spoken   map[protocolSPI]int
	unbound  map[protocolUnbound]int
	// refused is, per node, the last message outside any IKE SA: what became of it
	// follows in a record that does not name it.
	refused map[int]protocolRefused
	// claimed are the SAs that a machine has numbered.
	claimed []bool
}

type protocolNumber struct {
	node int
	ike  uint64
}

type protocolSPI struct {
	node      int
	initiator bool
	spiI      wire.SPI
}

type protocolUnbound struct {
	node       int
	connection string
}

type protocolRefused struct {
	local, remote netip.AddrPort
	sa            int
}

func newProtocolLog() *protocolLog {
	return &protocolLog{
		numbered: map[protocolNumber]int{}, spoken: map[protocolSPI]int{}, unbound: map[protocolUnbound]int{},
		refused: map[int]protocolRefused{},
	}
}

// Protocol answers the protocol events so far, nothing if Options.Protocol did
// not ask for them. They are not to be changed.
func (r *Run) Protocol() Protocol {
	if r.protocol == nil {
		return Protocol{}
	}
	return r.protocol.protocol
}

// protocolEvent keeps a record of a node's IKE machine, and of what the node
// reports of the machine's orders.
func (r *Run) protocolEvent(now time.Duration, nodeIndex int, e *node.Event) {
	l, rec := r.protocol, e.IKE
	if e.Kind == node.EventInstallFailed {
		// The machine then deletes a CHILD_SA, and nobody would know why.
		rec = &ike.Record{Kind: ike.RecordKind(e.Kind), Fields: []ike.Field{{Key: "reason", Value: e.Problem}}}
	}
	if l == nil || rec == nil {
		return
	}
	if len(l.protocol.Events) == protocolEventsMax {
		l.protocol.Omitted++
		return
	}
	index := l.find(nodeIndex, rec)
	sa := &l.protocol.SAs[index]
	sa.Node = r.plan.Nodes[nodeIndex].Name
	if rec.Connection != "" {
		sa.Connection = rec.Connection
	}
	if sa.Peer == "" && rec.Remote.IsValid() {
		sa.Peer = r.peerName(rec.Remote.Addr())
	}
	kept := ProtocolEvent{At: now, SA: index, Kind: rec.Kind, Facts: protocolFacts(rec)}
	if rec.Exchange != nil {
		x := *rec.Exchange
		x.Payloads = slices.Clone(x.Payloads)
		kept.Message = &x
	}
	l.protocol.Events = append(l.protocol.Events, kept)
}

// find answers the index of the SA that a record belongs to.
func (l *protocolLog) find(at int, rec *ike.Record) int {
	x := rec.Exchange
	switch {
	case rec.IKE != 0:
		return l.findNumbered(at, rec)
	case x != nil:
		// The peer's message, or this end's answer to it.
		key := protocolSPI{at, x.Initiator == (rec.Kind == ike.RecordSent), x.SPIi}
		sa, ok := l.spoken[key]
		if !ok {
			sa = l.add(key.initiator, x.SPIi)
			l.spoken[key] = sa
		}
		l.refused[at] = protocolRefused{rec.Local, rec.Remote, sa}
		return sa
	case rec.Kind == ike.RecordIKEFailed && !rec.Initiator:
		if last, ok := l.refused[at]; ok && last.local == rec.Local && last.remote == rec.Remote {
			return last.sa
		}
	}
	key := protocolUnbound{at, rec.Connection}
	sa, ok := l.unbound[key]
	if !ok {
		sa = l.add(false, wire.SPI{})
		l.unbound[key] = sa
	}
	return sa
}

// findNumbered answers the SA that a machine calls by a number. A node that was
// started again counts anew, so a number means another SA from the record on that
// begins one.
func (l *protocolLog) findNumbered(at int, rec *ike.Record) int {
	x := rec.Exchange
	number := protocolNumber{at, rec.IKE}
	begins := rec.Kind == ike.RecordIKEInit && rec.Initiator ||
		rec.Kind == ike.RecordReceived && !rec.Initiator && x != nil && x.Type == wire.ExchangeIKESAInit
	sa, known := l.numbered[number]
	if begins || !known {
		sa = -1
		if x != nil {
			// What had been refused under this SPI before is the same story.
			if earlier, ok := l.spoken[protocolSPI{at, rec.Initiator, x.SPIi}]; ok && !l.claimed[earlier] {
				sa = earlier
			}
		}
		if sa < 0 {
			sa = l.add(rec.Initiator, wire.SPI{})
		}
		l.numbered[number], l.claimed[sa] = sa, true
	}
	var spi wire.SPI
	switch {
	case x != nil:
		spi = x.SPIi
	case rec.Keys != nil:
		spi = rec.Keys.SPIi
	}
	if about := &l.protocol.SAs[sa]; about.SPIi == (wire.SPI{}) && spi != (wire.SPI{}) {
		about.SPIi = spi
		l.spoken[protocolSPI{at, rec.Initiator, spi}] = sa
	}
	return sa
}

func (l *protocolLog) add(initiator bool, spi wire.SPI) int {
	l.protocol.SAs = append(l.protocol.SAs, ProtocolSA{SPIi: spi, Initiator: initiator})
	l.claimed = append(l.claimed, false)
	return len(l.protocol.SAs) - 1
}

// protocolFacts is what a record says besides its message. Keys are told by a
// fingerprint: where it is the same, so are nonces, secrets and SPIs.
func protocolFacts(rec *ike.Record) []ike.Field {
	var facts []ike.Field
	if rec.Connection != "" {
		facts = append(facts, ike.Field{Key: "connection", Value: rec.Connection})
	}
	facts = append(facts, rec.Fields...)
	if k := rec.Keys; k != nil {
		facts = append(facts,
			ike.Field{Key: "spi-i", Value: k.SPIi.String()}, ike.Field{Key: "spi-r", Value: k.SPIr.String()},
			ike.Field{Key: "keys", Value: fingerprint(k.SKei, k.SKer, k.SKai, k.SKar, k.SKd)})
	}
	if c := rec.Child; c != nil {
		facts = append(facts,
			ike.Field{Key: "encap", Value: strconv.FormatBool(c.Encap)},
			ike.Field{Key: "keys-in", Value: fingerprint(c.In.Encr, c.In.Integ)}, ike.Field{Key: "keys-out", Value: fingerprint(c.Out.Encr, c.Out.Integ)},
			ike.Field{Key: "tunnel-local", Value: c.Local.String()}, ike.Field{Key: "tunnel-remote", Value: c.Remote.String()})
	}
	if rec.Local.IsValid() || rec.Remote.IsValid() {
		facts = append(facts, ike.Field{Key: "local", Value: rec.Local.String()}, ike.Field{Key: "remote", Value: rec.Remote.String()})
	}
	return facts
}

// fingerprint is short for keys, none of which is then told. Lengths are part of
// it, so that keys cannot be mistaken for each other.
func fingerprint(keys ...[]byte) string {
	h := sha256.New()
	for _, k := range keys {
		h.Write(strconv.AppendInt(nil, int64(len(k)), 10))
		h.Write([]byte{'.'})
		h.Write(k)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
