package impair

import "time"

// Dur is an instant as the time since the lab's epoch, or a span of virtual time. Its unit is the nanosecond.
type Dur = time.Duration

// Identity says what a packet is, so that both engines can decide the same about it. The classifier of
// sim/trace computes it. It never holds a raw SPI, an ephemeral port or an ICMP identifier, because a foreign
// daemon or kernel draws those at random.
type Identity struct {
	// Flow names the sequence of packets this one belongs to, for example the requests of one exchange type
	// that gateway a sends within the second IKE SA between a and b, or one direction of an ESP SA.
	Flow string
	// Ordinal is the packet's place in the flow: an ESP sequence number, an IKE message ID with its fragment
	// number, else a count. Markov chains advance along it.
	Ordinal uint64
	// Content is the hash of what the packet carries when nothing better tells it from its neighbours, and 0
	// for IKE and ESP. Where it is set, decisions about this one packet are keyed by Content and
	// Retransmission and not by Ordinal.
	Content uint64
	// Retransmission counts how often a packet equal in all the rest was seen before: 0 is the first sending.
	Retransmission uint32
}

// key is the identity under which decisions about this one packet are drawn. A packet known by its content
// keeps its fate when another packet of the flow comes before it, so its place in the flow is left out.
func (id Identity) key() Identity {
	if id.Content != 0 {
		id.Ordinal = 0
	}
	return id
}

// Packet is a whole IPv4 or IPv6 packet, from the first byte of its IP header, with its identity. Its length
// is len(Bytes). Who hands a Packet over gives the bytes away.
type Packet struct {
	Identity Identity
	Bytes    []byte
}

// Direction tells the two ways through a link apart, seen from the interface that the link belongs to.
type Direction uint8

const (
	// Up leads out of the interface, towards the network.
	Up Direction = iota
	// Down leads from the network into the interface.
	Down
	directionsMax
)

// String returns "up" or "down".
func (d Direction) String() string {
	if d == Down {
		return "down"
	}
	return "up"
}

// Effect names what a draw decides. It is part of the draw's key, so that one packet's loss says nothing about
// its delay. The strings are frozen: another spelling would change every digest.
type Effect string

// The effects that a link draws for.
const (
	EffectLoss           Effect = "loss"            // is the packet lost (random; or in the chain's state)
	EffectLossState      Effect = "loss-state"      // the Gilbert–Elliott chain's step at a flow ordinal
	EffectDelay          Effect = "delay"           // how far the delay strays from its mean
	EffectDuplicate      Effect = "duplicate"       // does the packet arrive twice
	EffectDuplicateDelay Effect = "duplicate-delay" // the delay of the second arrival
	EffectReorder        Effect = "reorder"         // does the packet skip the delay
	EffectCorrupt        Effect = "corrupt"         // is a bit flipped
	EffectCorruptBit     Effect = "corrupt-bit"     // which one
)

// Draw returns 64 uniformly distributed bits for a key. It is a keyed pseudo-random function: the same
// arguments give the same bits whenever and how often it is called. sim/seed makes one from the lab's seed.
type Draw func(link string, dir Direction, effect Effect, id Identity) uint64

// Delivery is a packet that leaves the link's other end at an instant.
type Delivery struct {
	At     Dur
	Packet Packet
}
