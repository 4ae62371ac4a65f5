package trace

import (
	"net/netip"

	"github.com/ikelab/ikelab/impair"
)

// Classifier says what packets are (design §3.4), for links to key their decisions by. It is not safe for
// concurrent use: one goroutine owns it, as it owns the links.
type Classifier struct {
	owner func(netip.Addr) (node string, ok bool)
}

// NewClassifier returns a classifier with empty tables. owner names the node that an address belongs to; what
// belongs to none is known by its address.
func NewClassifier(owner func(netip.Addr) (node string, ok bool)) *Classifier {
	return &Classifier{owner: owner}
}

// Classify returns the identity of a whole IPv4 or IPv6 packet that enters a link. The point is the link's
// number, times two, plus the direction, or any other number that tells the places apart where packets are
// classified: retransmissions and equal packets are counted at each place by itself, since a packet that
// crosses three links is not a packet that was sent three times. SAs and flows are numbered for all places
// together. The packet is not kept.
//
// Any bytes have an identity. Who classifies a packet twice at one point sees its second occurrence.
func (c *Classifier) Classify(point int, packet []byte) impair.Identity {
	return impair.Identity{}
}
