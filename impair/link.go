package impair

import (
	"math/bits"
	"time"
)

// DelayMax bounds every delay, jitter and queue limit of a link.
const DelayMax = time.Hour

// Why a link dropped a packet. The strings appear in records and labs.
const (
	DropLinkDown     = "link-down"
	DropMTU          = "mtu"
	DropQueuePackets = "queue-packets"
	DropQueueBytes   = "queue-bytes"
	DropQueueDelay   = "queue-delay"
	DropLoss         = "loss"
)

// Link is one link in both directions. It is not safe for concurrent use.
type Link struct {
	cfg  LinkConfig
	draw Draw
	down bool

	loss, duplicate, reorder, corrupt probability

	lanes [directionsMax]lane
	out   [2]Delivery // reused: a packet and its duplicate
}

// lane is what a link remembers about one direction.
type lane struct {
	serialiser  serialiser
	chain       *chain // nil but for LossGilbertElliott
	lastArrival Dur    // for Jitter.KeepOrder
}

// NewLink returns a link that is up. The configuration must satisfy LinkConfig.Validate; draw must not be nil.
func NewLink(cfg LinkConfig, draw Draw) *Link {
	l := &Link{
		cfg:       cfg,
		draw:      draw,
		duplicate: newProbability(cfg.Duplicate),
		reorder:   newProbability(cfg.Reorder),
		corrupt:   newProbability(cfg.Corrupt),
	}
	if cfg.Loss.Model == LossRandom {
		l.loss = newProbability(cfg.Loss.P)
	}
	for dir := range directionsMax {
		l.lanes[dir].serialiser = newSerialiser(cfg.RateBitsPerSecond, cfg.Queue)
		if cfg.Loss.Model == LossGilbertElliott {
			l.lanes[dir].chain = newChain(cfg.Name, dir, draw, cfg.Loss)
		}
	}
	return l
}

// Step takes a packet that enters the link at now and returns when and in what shape it leaves: once, or twice
// when it is duplicated. A packet that does not leave has a drop reason, one of the Drop constants, and no
// deliveries. now must not go back within a direction.
//
// A packet meets, in this order: the link being up, the MTU, the queue, the rate, loss, corruption, delay with
// jitter or reordering, duplication.
//
// The returned slice is valid until the next call. The packet's bytes now belong to the deliveries, each of
// which has its own.
func (l *Link) Step(now Dur, dir Direction, p Packet) (deliveries []Delivery, drop string) {
	if l.down {
		return nil, DropLinkDown
	}
	if l.cfg.MTUBytes > 0 && len(p.Bytes) > l.cfg.MTUBytes {
		return nil, DropMTU
	}
	lane := &l.lanes[dir]
	sent, drop := lane.serialiser.send(now, len(p.Bytes))
	if drop != "" {
		return nil, drop
	}
	id := p.Identity.key()
	if lane.chain != nil {
		if lane.chain.loses(p.Identity) {
			return nil, DropLoss
		}
	} else if l.decides(l.loss, dir, EffectLoss, id) {
		return nil, DropLoss
	}
	if l.decides(l.corrupt, dir, EffectCorrupt, id) {
		l.flipBit(dir, id, p.Bytes)
	}
	at := sent
	if !l.decides(l.reorder, dir, EffectReorder, id) {
		at = l.arrival(sent, dir, EffectDelay, id)
	}
	l.out[0] = Delivery{At: at, Packet: p}
	if !l.decides(l.duplicate, dir, EffectDuplicate, id) {
		return l.out[:1], ""
	}
	copied := p
	copied.Bytes = append([]byte(nil), p.Bytes...)
	l.out[1] = Delivery{At: l.arrival(sent, dir, EffectDuplicateDelay, id), Packet: copied}
	return l.out[:2], ""
}

// decides draws for an effect, if the link has it.
func (l *Link) decides(p probability, dir Direction, effect Effect, id Identity) bool {
	return p.possible() && p.holds(l.draw(l.cfg.Name, dir, effect, id))
}

// arrival returns when a packet arrives whose last bit was sent at an instant.
func (l *Link) arrival(sent Dur, dir Direction, effect Effect, id Identity) Dur {
	delay := l.cfg.Delay
	if l.cfg.Jitter.Sigma > 0 {
		delay += l.cfg.Jitter.offset(l.draw(l.cfg.Name, dir, effect, id))
	}
	at := sent + max(delay, 0)
	if l.cfg.Jitter.KeepOrder {
		lane := &l.lanes[dir]
		at = max(at, lane.lastArrival)
		lane.lastArrival = at
	}
	return at
}

// flipBit flips one bit of a packet, each with the same chance.
func (l *Link) flipBit(dir Direction, id Identity, packet []byte) {
	if len(packet) == 0 {
		return
	}
	bit, _ := bits.Mul64(l.draw(l.cfg.Name, dir, EffectCorruptBit, id), uint64(len(packet))*8)
	packet[bit/8] ^= 0x80 >> (bit % 8)
}

// Draws reports whether anything that the link does to packets depends on what they are, so that their
// identities matter to it.
func (l *Link) Draws() bool {
	return l.loss.possible() || l.duplicate.possible() || l.reorder.possible() || l.corrupt.possible() ||
		l.cfg.Loss.Model == LossGilbertElliott || l.cfg.Jitter.Sigma > 0
}

// SetUp plugs the link in or pulls it. What is already on its way still arrives.
func (l *Link) SetUp(up bool) { l.down = !up }

// Up reports whether the link carries packets.
func (l *Link) Up() bool { return !l.down }

// Deadline returns the next instant at which the link itself has something to do. A droptail queue knows every
// departure when the packet arrives, so there is none; disciplines that decide at departure will answer.
func (l *Link) Deadline() (at Dur, ok bool) { return 0, false }

// Config returns the configuration that the link was made from.
func (l *Link) Config() LinkConfig { return l.cfg }
