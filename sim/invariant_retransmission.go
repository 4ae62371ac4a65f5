package sim

import (
	"crypto/sha256"
	"maps"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// messagesRememberedMax bounds the IKE messages that the retransmission
// invariant remembers; the oldest are forgotten first.
const messagesRememberedMax = 1 << 17

// retransmissionInvariant: every retransmission byte-identical (RFC 7296,
// section 2.1). Two messages that a node sends within one IKE SA with the same
// exchange, message ID, direction and role are the same message, so they must
// be the same bytes. An IKE_SA_INIT request is the same message until an answer
// arrived: after COOKIE or INVALID_KE_PAYLOAD it is a new one (sections 2.6 and
// 2.7); its answers without a responder SPI belong to no SA and are not judged.
type retransmissionInvariant struct {
	verdict
	c     invariantConfig
	sent  map[messageKey][sha256.Size]byte
	order []messageKey // a ring
	next  int
}

// messageKey says which message of a node this is.
type messageKey struct {
	node       int
	spiI, spiR wire.SPI
	exchange   wire.ExchangeType
	flags      wire.Flags
	id         uint32
	fragment   uint16 // RFC 7383; each fragment is a message here
}

func newRetransmissionInvariant(c invariantConfig) *retransmissionInvariant {
	return &retransmissionInvariant{c: c, sent: map[messageKey][sha256.Size]byte{}}
}

func (*retransmissionInvariant) name() string { return InvariantIdenticalRetransmission }

func (i *retransmissionInvariant) observe(o observation) {
	if dead, is := o.(*died); is {
		// What another life says of an SA that it does not know is no retransmission.
		maps.DeleteFunc(i.sent, func(k messageKey, _ [sha256.Size]byte) bool { return k.node == dead.node })
		return
	}
	seen, is := o.(*sighted)
	if !is || seen.packet.ike == nil {
		return
	}
	h, err := wire.ParseHeader(seen.packet.ike)
	if err != nil {
		return
	}
	switch {
	case seen.direction == impair.Down:
		if h.Exchange == wire.ExchangeIKESAInit && h.IsResponse() {
			delete(i.sent, messageKey{node: seen.node, spiI: h.InitiatorSPI, exchange: h.Exchange, flags: wire.FlagInitiator, id: h.MessageID})
		}
	case seen.own:
		if h.ResponderSPI.IsZero() && h.IsResponse() {
			return
		}
		i.judge(seen, messageKey{
			node: seen.node, spiI: h.InitiatorSPI, spiR: h.ResponderSPI, exchange: h.Exchange,
			flags: h.Flags & (wire.FlagInitiator | wire.FlagResponse), id: h.MessageID, fragment: fragmentNumber(h, seen.packet.ike),
		})
	}
}

// fragmentNumber is the number in an Encrypted Fragment payload (RFC 7383,
// section 2.5) that stands first in the message, 0 for other messages.
func fragmentNumber(h wire.Header, message []byte) uint16 {
	const numberAt = wire.HeaderBytes + 4
	if h.NextPayload != wire.PayloadSKF || len(message) < numberAt+2 {
		return 0
	}
	return uint16(message[numberAt])<<8 | uint16(message[numberAt+1])
}

func (i *retransmissionInvariant) judge(seen *sighted, key messageKey) {
	octets := sha256.Sum256(seen.packet.ike)
	before, again := i.sent[key]
	if again {
		i.checks++
		if before != octets {
			what := "request"
			if key.flags&wire.FlagResponse != 0 {
				what = "response"
			}
			i.violated(seen.now, "%s repeated its %s %s with message ID %d of IKE SA %s:%s with other bytes",
				i.c.node(seen.node), key.exchange, what, key.id, key.spiI, key.spiR)
		}
		return
	}
	if len(i.order) < messagesRememberedMax {
		i.order = append(i.order, key)
	} else {
		delete(i.sent, i.order[i.next])
		i.order[i.next] = key
		i.next = (i.next + 1) % messagesRememberedMax
	}
	i.sent[key] = octets
}

func (i *retransmissionInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
