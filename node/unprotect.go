package node

import (
	"errors"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
)

// espSeenIntervalMs is how often the machine hears of an association's packets,
// besides at once when they come from another address, and before its deadlines.
const espSeenIntervalMs = 1000

// Congestion notification in the two low bits of the traffic class (RFC 3168).
const (
	ecnMask      = 3
	ecnNotECT    = 0
	ecnECT1      = 1
	ecnECT0      = 2
	ecnCongested = 3
)

// unprotect opens an ESP packet for this host, in place, and takes what was
// inside on its way. With encap it came in UDP; RFC 7296 §2.23 wants both forms
// taken at any time.
func (n *Node) unprotect(p *packet, b []byte, encap bool) {
	spi, ok := esp.SPI(b)
	if !ok {
		n.drop(p, DropESPMalformed)
		return
	}
	a := n.associations.inbound[spi]
	if a == nil {
		n.drop(p, DropESPNoAssociation).ESP = ESP{SPI: spi, Outer: p.key}
		return
	}
	inner, nextHeader, sequence, err := a.in.Open(b)
	described := a.describe(spi, sequence, b, p.key, PacketKey{})
	if err != nil {
		n.drop(p, a.refused(err)).ESP = described
		return
	}
	n.espSeen(p, a, encap)
	var q packet
	reason := n.parseInner(inner, nextHeader, p, a, &q)
	described.Inner = q.key
	if reason != "" {
		n.drop(&q, reason).ESP = described
		return
	}
	a.counters.PacketsIn++
	a.counters.BytesIn += uint64(len(q.bytes))
	n.event(EventESPIn, p.arrived).ESP = described
	n.dispatch(&q)
}

// refused counts and names what Open did not accept.
func (a *association) refused(err error) DropReason {
	var e *esp.DropError
	if errors.As(err, &e) {
		switch e.Kind {
		case esp.DropReplay:
			a.counters.Replays++
			return DropESPReplay
		case esp.DropIntegrity:
			a.counters.IntegrityFailures++
			return DropESPIntegrity
		}
	}
	return DropESPMalformed
}

// parseInner checks what came out of a tunnel: that it is the IP packet it says,
// that its addresses can be, and that it is what was agreed (RFC 4301 §5.2).
func (n *Node) parseInner(inner []byte, nextHeader uint8, outer *packet, a *association, q *packet) DropReason {
	q.arrived, q.via = outer.arrived, a
	q.key.Bytes = len(inner)
	switch nextHeader {
	case esp.NextHeaderDummy:
		return DropESPDummy
	case esp.NextHeaderIPv4, esp.NextHeaderIPv6:
	default:
		return DropInnerNotIP
	}
	reason := parse(inner, q)
	q.arrived, q.via = outer.arrived, a
	switch {
	case reason != "":
		return reason
	case q.v6 != (nextHeader == esp.NextHeaderIPv6):
		return DropInnerNotIP
	case n.martian(q):
		return DropMartian
	case !a.policy.Matches(esp.DirectionIn, q.key.Flow()):
		a.counters.SelectorMismatches++
		return DropSelectorMismatch
	}
	return q.mergeECN(outer.trafficClass & ecnMask)
}

// mergeECN carries a router's mark on the outer packet over to the inner one, by
// the table of RFC 6040 §4.2. A mark for a transport that cannot read it drops
// the packet, as the router would have done.
func (p *packet) mergeECN(outer uint8) DropReason {
	inner := p.trafficClass & ecnMask
	switch {
	case outer == ecnCongested && inner == ecnNotECT:
		return DropCongested
	case outer == ecnCongested && inner != ecnCongested:
		p.setTrafficClass(p.trafficClass | ecnCongested)
	case outer == ecnECT1 && inner == ecnECT0:
		p.setTrafficClass(p.trafficClass&^ecnMask | ecnECT1)
	}
	return ""
}

// espSeen tells the machine that the peer lives, and where.
func (n *Node) espSeen(p *packet, a *association, encap bool) {
	remote := netip.AddrPortFrom(p.key.Src, a.remote.Port())
	if encap {
		remote = netip.AddrPortFrom(p.key.Src, p.key.SrcPort)
	}
	a.seen = n.now
	if remote == a.remote && a.seenOnce && n.now-a.told < espSeenIntervalMs*time.Millisecond {
		return
	}
	a.told, a.seenOnce = n.now, true
	n.tellIKE(ike.ESPSeen{SPI: a.spiIn, Remote: remote, At: n.now})
}

// tellESP tells the machine of the packets it has not heard of yet, before it
// judges how long its peers have been silent.
func (n *Node) tellESP() {
	for _, a := range n.associations.all {
		if a.seen > a.told {
			a.told = a.seen
			n.tellIKE(ike.ESPSeen{SPI: a.spiIn, Remote: a.remote, At: a.seen})
		}
		if a.sent > a.toldSent {
			a.toldSent = a.sent
			n.tellIKE(ike.ESPSent{SPI: a.spiIn, At: a.sent})
		}
	}
}
