package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
)

const (
	// exchangeRowsMax bounds the rows of a ladder.
	exchangeRowsMax = 1 << 16
	// exchangeFlightMax is how long a message may be on its way at the end of a
	// run before it counts as lost.
	exchangeFlightMax = 10 * time.Second
)

// ladder gathers one row for every IKE message that was put on a wire, and
// finds out what became of it.
type ladder struct {
	rows    []ExchangeRow
	omitted uint64
	// about says whose row it is: the node and the IKE SA.
	about []rowKey
	// pending are the rows of a message, in order of transmission, whose fate
	// is not known. A message that arrives is taken for its oldest
	// transmission on its way.
	pending map[messageKey][]int
	// connections are the names that nodes have for IKE SAs, which responders
	// learn only after they answered.
	connections map[rowKey]string
	// latest is the row that arrived last, -1 for none.
	latest int
}

type rowKey struct {
	node int
	spiI wire.SPI
}

func newLadder() ladder {
	return ladder{latest: -1, pending: map[messageKey][]int{}, connections: map[rowKey]string{}}
}

// sent adds a row for a message that node puts on a wire.
func (l *ladder) sent(now time.Duration, node int, from, to string, x *ike.Exchange, bytes int) {
	if len(l.rows) == exchangeRowsMax {
		l.omitted++
		return
	}
	key := exchangeKey(x)
	l.pending[key] = append(l.pending[key], len(l.rows))
	l.about = append(l.about, rowKey{node, x.SPIi})
	l.rows = append(l.rows, ExchangeRow{
		At: now, From: from, To: to,
		Exchange: x.Type.String(), MessageID: x.MessageID, Response: x.Response, FromInitiator: x.Initiator,
		Retransmission: x.Transmission, Bytes: bytes, Payloads: slices.Clone(x.Payloads),
	})
}

// exchangeKey identifies a message wherever it is seen.
func exchangeKey(x *ike.Exchange) messageKey {
	var flags wire.Flags
	if x.Initiator {
		flags |= wire.FlagInitiator
	}
	if x.Response {
		flags |= wire.FlagResponse
	}
	return messageKey{spiI: x.SPIi, spiR: x.SPIr, exchange: x.Type, flags: flags, id: x.MessageID}
}

// fate notes what became of the message in a packet: it arrived at the node
// that it was for, or drop says why it did not.
func (l *ladder) fate(now time.Duration, p *sight, drop string) {
	h, err := wire.ParseHeader(p.ike)
	if err != nil {
		return
	}
	key := messageKey{
		spiI: h.InitiatorSPI, spiR: h.ResponderSPI, exchange: h.Exchange,
		flags: h.Flags & (wire.FlagInitiator | wire.FlagResponse), id: h.MessageID,
	}
	rows := l.pending[key]
	if len(rows) == 0 {
		return // a link's duplicate, or somebody's replay
	}
	if drop != "" {
		// Most are lost on the first link, and then it is the latest.
		last := len(rows) - 1
		row := &l.rows[rows[last]]
		row.Lost, row.Reason = true, drop
		rows = rows[:last]
	} else {
		row := &l.rows[rows[0]]
		row.Arrived, row.ArrivedAt = true, now
		l.latest = rows[0]
		rows = rows[1:]
	}
	if len(rows) == 0 {
		delete(l.pending, key)
	} else {
		l.pending[key] = rows
	}
}

// discarded notes that the node which the latest message arrived at threw something away
// in the same instant. Its reason is the message's when it is one that IKE messages have;
// what else a node drops then, such as packets that waited in vain, is another's.
func (l *ladder) discarded(now time.Duration, at, reason string) {
	if l.latest < 0 {
		return
	}
	if row := &l.rows[l.latest]; row.ArrivedAt == now && row.To == at && row.Discarded == "" {
		row.Discarded = reason
	}
}

// named notes a node's name for an IKE SA.
func (l *ladder) named(node int, spiI wire.SPI, connection string) {
	if l.omitted == 0 && len(l.connections) < 2*exchangeRowsMax {
		l.connections[rowKey{node, spiI}] = connection
	}
}

// finish completes the rows and answers them.
func (l *ladder) finish(now time.Duration) []ExchangeRow {
	for i := range l.rows {
		row := &l.rows[i]
		row.Connection = l.connections[l.about[i]]
		if !row.Arrived && !row.Lost && now-row.At > exchangeFlightMax {
			row.Lost = true
		}
	}
	return l.rows
}

// peerName is how a row calls the holder of an address.
func (r *Run) peerName(addr netip.Addr) string {
	if n, ok := r.owner[addr]; ok {
		return r.plan.Nodes[n].Name
	}
	return "[" + addr.String() + "]"
}
