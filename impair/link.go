package impair

import "time"

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
	out  [2]Delivery // reused: a packet and its duplicate
}

// NewLink returns a link that is up. The configuration must satisfy LinkConfig.Validate; draw must not be nil.
func NewLink(cfg LinkConfig, draw Draw) *Link {
	return &Link{cfg: cfg, draw: draw}
}

// Step takes a packet that enters the link at now and returns when and in what shape it leaves: once, or twice
// when it is duplicated. A packet that does not leave has a drop reason, one of the Drop constants, and no
// deliveries. now must not go back within a direction.
//
// The returned slice is valid until the next call. The packet's bytes now belong to the deliveries.
func (l *Link) Step(now Dur, dir Direction, p Packet) (deliveries []Delivery, drop string) {
	if l.down {
		return nil, DropLinkDown
	}
	l.out[0] = Delivery{At: now + l.cfg.Delay, Packet: p}
	return l.out[:1], ""
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
