package trace

import (
	"net/netip"
	"strconv"

	"github.com/ikelab/ikelab/impair"
)

// Bounds of the Classifier's tables. What is evicted and seen again is counted or numbered anew.
const (
	ikeSAsMax        = 1 << 16 // a flood of IKE_SA_INIT evicts IKE SAs, never ESP SAs
	espSAsMax        = 1 << 16
	conversationsMax = 1 << 16
	numberingsMax    = 1 << 16 // pairs of nodes, and kinds of conversations
	occurrencesMax   = 1 << 17
	positionsMax     = 1 << 16
	fragmentsMax     = 1 << 12
	namesMax         = 1 << 12
)

// Classifier says what packets are, for links to key their decisions by:
//
//   - an IKE message by the ordinal of its IKE SA between the two nodes, exchange type, message ID, sender,
//     request or response, fragment number and retransmission ordinal;
//   - an ESP or AH packet by the ordinal of its SA from the one node to the other, and the sequence number;
//   - anything else by the addresses, ports and the hash of its content, and its occurrence. Ports from 32768
//     on and ICMP identifiers are replaced by the ordinal of their conversation, TCP sequence numbers count
//     from the first one seen.
//
// IKE is UDP with port 500, or port 4500 behind a non-ESP marker (RFC 3948 §2.2); ESP is IP protocol 50, or
// UDP with port 4500 without the marker (§2.1). Ordinals count from 1 by first sight. What changes on the way
// (hop limit, checksums) or is drawn at random (IPv4 identification) is not part of an identity.
//
// It is not safe for concurrent use: one goroutine owns it, as it owns the links.
type Classifier struct {
	owner func(netip.Addr) (node string, ok bool)

	ikeSAs        table[saKey, uint64] // the ordinal
	espSAs        table[saKey, string] // the flow
	conversations table[conversationKey, *conversation]
	numberings    table[numberingKey, uint64]

	occurrences table[occurrenceKey, uint32]
	positions   table[positionKey, uint64]
	fragments   table[fragmentKey, impair.Identity]
	names       table[netip.Addr, string] // of addresses without an owner

	scratch []byte
	noting  bool // nobody asks for hashes
}

// NewClassifier returns a classifier with empty tables. owner names the node that an address belongs to; what
// belongs to none is known by its address.
func NewClassifier(owner func(netip.Addr) (node string, ok bool)) *Classifier {
	return &Classifier{
		owner:         owner,
		ikeSAs:        newTable[saKey, uint64](ikeSAsMax),
		espSAs:        newTable[saKey, string](espSAsMax),
		conversations: newTable[conversationKey, *conversation](conversationsMax),
		numberings:    newTable[numberingKey, uint64](numberingsMax),
		occurrences:   newTable[occurrenceKey, uint32](occurrencesMax),
		positions:     newTable[positionKey, uint64](positionsMax),
		fragments:     newTable[fragmentKey, impair.Identity](fragmentsMax),
		names:         newTable[netip.Addr, string](namesMax),
	}
}

type (
	// occurrenceKey is a packet at a point, but for how often it was there before.
	occurrenceKey struct {
		point            int
		flow             string
		ordinal, content uint64
	}
	positionKey struct {
		point int
		flow  string
	}
	// fragmentKey tells fragmented datagrams apart (RFC 791, RFC 8200 §4.5).
	fragmentKey struct {
		point    int
		src, dst netip.Addr
		protocol uint8
		id       uint32
	}
	numberingKey struct {
		kind string
		a, b string
	}
)

// Classify returns the identity of a whole IPv4 or IPv6 packet that enters a link. The point is the number of
// the link, times two, plus the direction, or any other number that tells the places apart where packets are
// classified: retransmissions and equal packets are counted at each place by itself, since a packet that
// crosses three links is not a packet that was sent three times. SAs and conversations are numbered for all
// places together. The packet is not kept.
//
// Any bytes have an identity. Who classifies a packet twice at one point sees its second occurrence.
func (c *Classifier) Classify(point int, packet []byte) impair.Identity {
	d, ok := parseIP(packet)
	if !ok {
		return c.count(point, trait{flow: "malformed", content: c.hash(nil, packet)})
	}
	if d.offset > 0 {
		return c.laterFragment(point, d)
	}
	id := c.count(point, c.recognise(d))
	if d.more {
		c.fragments.put(d.fragmentKey(point), id)
	}
	return id
}

// Note has the classifier see a packet whose identity nobody asks for, where it enters a link that does the same
// to every packet. SAs and conversations are numbered as by Classify, and nothing is counted: that is a matter
// of each place by itself.
func (c *Classifier) Note(packet []byte) {
	if d, ok := parseIP(packet); ok && d.offset == 0 {
		c.noting = true
		c.recognise(d)
		c.noting = false
	}
}

// trait is what can be told of a packet from its bytes and the numbers of its SA or conversation.
type trait struct {
	flow    string
	ordinal uint64 // 0 where content is set
	content uint64 // 0 for IKE, ESP and AH
	unique  bool   // a sequence number: nothing to count
}

// count completes a trait by what the point has seen before.
func (c *Classifier) count(point int, t trait) impair.Identity {
	id := impair.Identity{Flow: t.flow, Ordinal: t.ordinal, Content: t.content}
	if t.unique {
		return id
	}
	key := occurrenceKey{point: point, flow: t.flow, ordinal: t.ordinal, content: t.content}
	before, _ := c.occurrences.get(key)
	c.occurrences.put(key, before+1)
	id.Retransmission = before
	if t.content != 0 {
		key := positionKey{point: point, flow: t.flow}
		id.Ordinal, _ = c.positions.get(key)
		c.positions.put(key, id.Ordinal+1)
	}
	return id
}

// laterFragment derives the identity of a fragment without transport header from that of the first one.
func (c *Classifier) laterFragment(point int, d datagram) impair.Identity {
	if first, ok := c.fragments.get(d.fragmentKey(point)); ok {
		first.Flow += " fragment " + strconv.Itoa(d.offset)
		return first
	}
	flow := "fragment " + strconv.Itoa(d.offset) + " of protocol " + strconv.Itoa(int(d.protocol)) +
		" " + d.src.String() + ">" + d.dst.String()
	return c.count(point, trait{flow: flow, content: c.hash(nil, d.payload)})
}

func (d datagram) fragmentKey(point int) fragmentKey {
	return fragmentKey{point: point, src: d.src, dst: d.dst, protocol: d.protocol, id: d.id}
}

// number returns the next ordinal of a kind between a and b.
func (c *Classifier) number(kind, a, b string) uint64 {
	key := numberingKey{kind: kind, a: a, b: b}
	n, _ := c.numberings.get(key)
	n++
	c.numberings.put(key, n)
	return n
}

// name returns the node that an address belongs to, else the address.
func (c *Classifier) name(a netip.Addr) string {
	if node, ok := c.owner(a); ok {
		return node
	}
	name, ok := c.names.get(a)
	if !ok {
		name = a.String()
		c.names.put(a, name)
	}
	return name
}
