package impair

import "math"

// probability is a chance as the share of the 64-bit numbers that mean yes.
type probability struct {
	below  uint64 // a draw below this means yes
	always bool   // 1 cannot be written as a 64-bit share
}

// newProbability converts 0 ≤ p ≤ 1. Scaling by a power of two and cutting are exact, so every machine
// compares with the same integer.
func newProbability(p float64) probability {
	switch {
	case p >= 1:
		return probability{below: math.MaxUint64, always: true}
	case p > 0:
		return probability{below: uint64(p * (1 << 64))}
	}
	return probability{} // and NaN
}

// possible reports whether any draw means yes. It spares drawing for effects that a link does not have.
func (p probability) possible() bool { return p.always || p.below > 0 }

// holds decides with a uniformly distributed draw.
func (p probability) holds(draw uint64) bool { return p.always || draw < p.below }

// complement returns the chance of the contrary.
func (p probability) complement() probability {
	switch {
	case p.always:
		return probability{}
	case p.below == 0:
		return probability{below: math.MaxUint64, always: true}
	}
	return probability{below: -p.below}
}
