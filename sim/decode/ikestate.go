package decode

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// ikeSA is what is known of an IKE SA.
type ikeSA struct {
	id         ikeID
	initiator  netip.AddrPort
	responder  netip.AddrPort
	keys       *ikeKeys // those that opened the last message; nil without any
	candidates []*ikeKeys
	skd        [][]byte
	init       *initExchange // that made it, nil if the capture does not have it
	rekeyed    string        // the SA whose CREATE_CHILD_SA made it, as far as that is known
	chosen     suite.Proposal
	notOffered bool // chosen was not what the request offered
	wentOn     bool // there is an exchange that only an SA has, so that IKE_SA_INIT was answered
	ni, nr     []byte
	idi, idr   string
	firstFrame uint64
	messages   uint64
	bytes      uint64
	again      uint64 // retransmissions
	decrypted  uint64
	badICV     uint64
	deleted    bool
	children   []childSA
	more       int // children beyond childrenMax
}

// childSA is a CHILD SA as the exchange that made it says.
type childSA struct {
	protocol   wire.ProtocolID
	spiI, spiR []byte // those that the exchange's initiator and responder chose
	chosen     suite.Proposal
	keys       string // where its keys are from, or why there are none
}

// childRequestKey names a request that may make a CHILD SA.
type childRequestKey struct {
	sa        ikeID
	messageID uint32
	initiator bool // sent by the original initiator
}

// childRequest is what a request contributes to a CHILD SA.
type childRequest struct {
	proposals []wire.Proposal
	nonce     []byte
}

// messageKey is an IKE message, whatever its octets.
type messageKey struct {
	sa        ikeID
	messageID uint32
	exchange  wire.ExchangeType
	flags     wire.Flags
	fragment  uint16
	content   uint64
}

// sightings are how often a message passed the points where it was seen.
type sightings struct {
	points []sighting
	row    int // its row in the ladder, -1 without
}

// sighting is a message at one point.
type sighting struct {
	point uint64
	count int // transmissions
	// at and id are of the latest packet: the same again is no transmission.
	at time.Time
	id uint32
}

// fragmentedKey is an IKE message in fragments at one point.
type fragmentedKey struct {
	message messageKey // without fragment and content
	point   uint64
}

// fragmented is a message of which fragments are missing.
type fragmented struct {
	first wire.PayloadType
	total uint16
	parts map[uint16][]byte
	bytes int
}

type ikeState struct {
	sas        *bounded[ikeID, *ikeSA]
	inits      *bounded[wire.SPI, *initExchange]
	messages   *bounded[messageKey, *sightings]
	requests   *bounded[childRequestKey, childRequest]
	fragmented *bounded[fragmentedKey, *fragmented]
	scratch    []byte
	icvAt      int // octet of the check value in the message that was opened last
}

func newIKEState() ikeState {
	return ikeState{
		sas:        newBounded[ikeID, *ikeSA](ikeSAsMax),
		inits:      newBounded[wire.SPI, *initExchange](ikeInitsMax),
		messages:   newBounded[messageKey, *sightings](messagesMax),
		requests:   newBounded[childRequestKey, childRequest](childRequestsMax),
		fragmented: newBounded[fragmentedKey, *fragmented](ikeFragmentedMax),
	}
}

// sa is the IKE SA of a message, made when it is seen first. A request that has
// no responder's SPI yet belongs to none.
func (d *Decoder) sa(h wire.Header) *ikeSA {
	if h.ResponderSPI.IsZero() {
		return nil
	}
	id := ikeID{h.InitiatorSPI, h.ResponderSPI}
	if sa, ok := d.ike.sas.get(id); ok {
		return sa
	}
	sa := &ikeSA{id: id, firstFrame: d.frame.Number}
	if d.opt.Keys != nil {
		sa.candidates, sa.skd = d.opt.Keys.ike[id], d.opt.Keys.skd[id]
		if len(sa.candidates) > 0 {
			sa.keys = sa.candidates[0]
		}
	}
	src, dst := netip.AddrPortFrom(d.rec.Src, d.rec.SrcPort), netip.AddrPortFrom(d.rec.Dst, d.rec.DstPort)
	if h.FromInitiator() {
		sa.initiator, sa.responder = src, dst
	} else {
		sa.initiator, sa.responder = dst, src
	}
	d.join(sa)
	d.ike.sas.put(id, sa)
	return sa
}

// count adds a message to its SA, if it has one, once for all points.
func (sa *ikeSA) count(r *Record) {
	if sa == nil || r.Elsewhere || r.Duplicate {
		return
	}
	sa.messages++
	sa.bytes += uint64(r.Bytes)
	switch r.Header.Exchange {
	case wire.ExchangeIKESAInit, wire.ExchangeInformational: // which may also be for a peer without the SA (RFC 7296 §1.5)
	default:
		sa.wentOn = true
	}
	if r.Retransmission > 0 {
		sa.again++
	}
}

// sight counts a message at the point where it is now, and notes in the record how
// often it passed here before, and whether it passed another point.
func (d *Decoder) sight(g *datagram, h wire.Header, fragment uint16, message []byte) *sightings {
	r := &d.rec
	r.Tracked = true
	key := messageKey{
		sa: ikeID{h.InitiatorSPI, h.ResponderSPI}, messageID: h.MessageID, exchange: h.Exchange,
		flags: h.Flags & (wire.FlagInitiator | wire.FlagResponse), fragment: fragment, content: d.hash(message),
	}
	point := d.point(g)
	s, ok := d.ike.messages.get(key)
	if !ok {
		s = &sightings{row: -1}
		d.ike.messages.put(key, s)
	}
	at := slices.IndexFunc(s.points, func(p sighting) bool { return p.point == point })
	if at < 0 {
		r.Elsewhere = len(s.points) > 0
		if len(s.points) < messagePointsMax {
			s.points = append(s.points, sighting{point: point, count: 1, at: d.frame.Time, id: g.id})
		}
		return s
	}
	here := &s.points[at]
	if g.protocol != protocolTCP && here.id == g.id && soon(d.frame.Time.Sub(here.at), g.id) {
		r.Duplicate, r.Retransmission = true, here.count-1
		return s
	}
	r.Retransmission = here.count
	here.count++
	here.at, here.id = d.frame.Time, g.id
	// The n-th copy here is the n-th copy elsewhere on its way, if one was there.
	for i, p := range s.points {
		r.Elsewhere = r.Elsewhere || i != at && p.count > r.Retransmission
	}
	return s
}

// knows reports whether a CHILD SA was noted before: its exchange was sent again,
// or seen at another point.
func (sa *ikeSA) knows(c childSA) bool {
	return slices.ContainsFunc(sa.children, func(o childSA) bool {
		return slices.Equal(o.spiI, c.spiI) && slices.Equal(o.spiR, c.spiR)
	})
}

// child notes a CHILD SA.
func (sa *ikeSA) child(c childSA) {
	if len(sa.children) == childrenMax {
		sa.more++
		return
	}
	sa.children = append(sa.children, c)
}

// negotiated is what suite makes of a proposal in a message.
func negotiated(p wire.Proposal) suite.Proposal {
	out := suite.Proposal{Protocol: suite.Protocol(p.Protocol)}
	for _, t := range p.Transforms {
		out.Transforms = append(out.Transforms, suite.Transform{Type: suite.TransformType(t.Type), ID: t.ID, KeyBits: t.KeyBits})
	}
	return out
}
