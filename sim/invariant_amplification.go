package sim

import (
	"maps"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// unvalidatedMax bounds the unvalidated addresses that the amplification
// invariant follows at a time; the oldest are forgotten first.
const unvalidatedMax = 1 << 16

// amplificationInvariant: before authentication, no responder sends an
// unvalidated address more than it received from it, in octets of IKE. A responder
// is a node that runs IKE, and what it sends is IKE when it leaves by a port of IKE
// and is a message of IKEv2: a flow to or from such a port is none. What came from
// the address counts whatever it is, since an answer may be to something that is no
// IKE of this version (RFC 7296, section 2.5). An address is validated when a message from it carries a responder SPI that this
// node chose and sent only there: whoever forges a source address does not get
// to see it, as he does not get to see a cookie (RFC 7296, section 2.6).
type amplificationInvariant struct {
	verdict
	c     invariantConfig
	peers map[peerKey]*peerState
	order []peerKey // a ring
	next  int
}

// peerKey is an IKE SA's initiator as one responder sees it. The port is left
// out: floating to 4500 (RFC 7296, section 2.23) changes it and not the host.
type peerKey struct {
	node    int
	address netip.Addr
	spiI    wire.SPI
}

type peerState struct {
	received, sent uint64 // octets of IKE
	spiR           []wire.SPI
	validated      bool
}

// responderSPIsMax bounds the responder SPIs remembered per initiator.
const responderSPIsMax = 8

func newAmplificationInvariant(c invariantConfig) *amplificationInvariant {
	return &amplificationInvariant{c: c, peers: map[peerKey]*peerState{}}
}

func (*amplificationInvariant) name() string { return InvariantNoAmplification }

func (i *amplificationInvariant) observe(o observation) {
	if dead, is := o.(*died); is {
		// The next life has validated nobody.
		maps.DeleteFunc(i.peers, func(k peerKey, _ *peerState) bool { return k.node == dead.node })
		return
	}
	seen, is := o.(*sighted)
	if !is || !i.c.speaksIKE(seen.node) {
		return
	}
	p := seen.packet
	h, err := wire.ParseHeader(p.atIKE)
	if err != nil {
		return
	}
	switch {
	case seen.direction == impair.Down && h.FromInitiator():
		peer := i.peer(peerKey{seen.node, p.src, h.InitiatorSPI})
		peer.received += uint64(p.atIKEBytes())
		for _, spi := range peer.spiR {
			peer.validated = peer.validated || spi == h.ResponderSPI
		}
	case seen.direction == impair.Up && seen.own && p.ike != nil && p.fromIKEPort() && !h.FromInitiator():
		peer := i.peer(peerKey{seen.node, p.dst, h.InitiatorSPI})
		if !h.ResponderSPI.IsZero() && len(peer.spiR) < responderSPIsMax {
			peer.spiR = append(peer.spiR, h.ResponderSPI)
		}
		if peer.validated {
			return
		}
		i.checks++
		peer.sent += uint64(p.ikeBytes())
		if peer.sent > peer.received {
			i.violated(seen.now, "%s sent the unvalidated address %s %d octets of IKE though only %d came from it",
				i.c.node(seen.node), p.dst, peer.sent, peer.received)
		}
	}
}

func (i *amplificationInvariant) peer(key peerKey) *peerState {
	peer := i.peers[key]
	if peer == nil {
		if len(i.order) < unvalidatedMax {
			i.order = append(i.order, key)
		} else {
			delete(i.peers, i.order[i.next])
			i.order[i.next] = key
			i.next = (i.next + 1) % unvalidatedMax
		}
		peer = &peerState{}
		i.peers[key] = peer
	}
	return peer
}

func (i *amplificationInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
