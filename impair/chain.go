package impair

import "math/bits"

const (
	// chainBlockOrdinals is how far a chain's memory reaches: at every ordinal that is a multiple of it the
	// state is drawn from the stationary distribution. It bounds the way back from any ordinal. A block is
	// the range of an IKE message's fragments in Identity.Ordinal, so chains run along the fragments of a
	// message and start anew with the next message.
	chainBlockOrdinals = 1 << 16
	// chainBlockRetransmissions is the same for the retransmissions of one packet.
	chainBlockRetransmissions = 1 << 10
	// markovFlowsMax bounds the flows whose last state is remembered, per direction.
	markovFlowsMax = 4096
)

// chain is a Gilbert–Elliott chain for every flow of one direction. One draw per ordinal says where a step
// leads from either state, so a flow's state at an ordinal is a pure function of the draws: the walk back ends
// at the nearest step that leads to one state from both, or where the block begins. No memory is needed
// (coupling from the past); the remembered states only shorten the walk.
//
// A retransmission goes on from its original's state along a branch of its own. It is a later packet, and a
// sender whose retransmissions could never leave the bad state would be no model of a burst.
type chain struct {
	link string
	dir  Direction
	draw Draw

	toBad      probability // good → bad
	stayBad    probability // bad → bad
	stationary probability // bad, in the long run
	lossGood   probability
	deliverBad probability

	known  map[string]chainState
	recent []string // the flows in known, a ring in order of first sight
	oldest int
}

// chainState is the state of a flow at an ordinal.
type chainState struct {
	ordinal uint64
	bad     bool
}

func newChain(link string, dir Direction, draw Draw, cfg Loss) *chain {
	p, r := newProbability(cfg.P), newProbability(cfg.R)
	return &chain{
		link:       link,
		dir:        dir,
		draw:       draw,
		toBad:      p,
		stayBad:    r.complement(),
		stationary: stationaryBad(p, r),
		lossGood:   newProbability(cfg.LossGood),
		deliverBad: newProbability(cfg.DeliverBad),
		known:      make(map[string]chainState),
	}
}

// stationaryBad returns p/(p+r), the share of the bad state in the long run. r is possible.
func stationaryBad(p, r probability) probability {
	// Halved, so that the sum fits. The smallest r stays above 0, or the share could not be written.
	a, b := p.below/2, max(r.below/2, 1)
	below, _ := bits.Div64(a, 0, a+b)
	return probability{below: below}
}

// loses decides about one packet.
func (c *chain) loses(id Identity) bool {
	loss := c.lossGood
	if c.bad(id) {
		loss = c.deliverBad.complement()
	}
	// Gilbert's model needs no second draw: it always loses in one state and never in the other.
	if loss.always || !loss.possible() {
		return loss.always
	}
	return loss.holds(c.draw(c.link, c.dir, EffectLoss, id.key()))
}

// bad returns the state that the chain of the packet's flow has at the packet.
func (c *chain) bad(id Identity) bool {
	state := c.state(id.Flow, id.Ordinal)
	if id.Content != 0 || id.Retransmission == 0 {
		// A packet known by its content takes another place in its flow whenever it is seen again.
		return state
	}
	return c.walk(uint64(id.Retransmission), chainBlockRetransmissions,
		chainState{ordinal: 0, bad: state},
		func(position uint64) uint64 {
			return c.draw(c.link, c.dir, EffectLossState,
				Identity{Flow: id.Flow, Ordinal: id.Ordinal, Retransmission: uint32(position)})
		})
}

// state returns the state of a flow at an ordinal and remembers the furthest one.
func (c *chain) state(flow string, ordinal uint64) bool {
	known, ok := c.known[flow]
	if ok && known.ordinal == ordinal {
		return known.bad
	}
	if !ok {
		known = chainState{ordinal: ^uint64(0)} // never met on the way back
	}
	bad := c.walk(ordinal, chainBlockOrdinals, known, func(position uint64) uint64 {
		return c.draw(c.link, c.dir, EffectLossState, Identity{Flow: flow, Ordinal: position})
	})
	switch {
	case !ok:
		c.admit(flow)
		fallthrough
	case known.ordinal < ordinal:
		c.known[flow] = chainState{ordinal: ordinal, bad: bad}
	}
	return bad
}

// walk returns the state at a position: back to where it is certain, composing the steps on the way.
func (c *chain) walk(position, block uint64, known chainState, draw func(position uint64) uint64) bool {
	// The state at the end, if the state behind the steps composed so far is good or bad.
	ifGood, ifBad := false, true
	end := func(bad bool) bool {
		if bad {
			return ifBad
		}
		return ifGood
	}
	for ; ; position-- {
		if position == known.ordinal {
			return end(known.bad)
		}
		u := draw(position)
		if position%block == 0 {
			return end(c.stationary.holds(u))
		}
		ifGood, ifBad = end(c.toBad.holds(u)), end(c.stayBad.holds(u))
		if ifGood == ifBad {
			return ifGood
		}
	}
}

// admit makes room for a flow. Which flow has to go is decided by order of first sight; it changes how long
// a walk is, never a decision.
func (c *chain) admit(flow string) {
	if len(c.recent) < markovFlowsMax {
		c.recent = append(c.recent, flow)
		return
	}
	delete(c.known, c.recent[c.oldest])
	c.recent[c.oldest] = flow
	c.oldest = (c.oldest + 1) % markovFlowsMax
}
