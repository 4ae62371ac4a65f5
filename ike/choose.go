package ike

import "github.com/ikelab/ikelab/ike/wire"

// fit is how well a child suits what an initiator proposes, better ones higher.
type fit uint8

const (
	fitNone  fit = iota
	fitSome      // a part of it
	fitPart      // a part of its first selectors
	fitFirst     // all of its first selectors, which are those of its packet if it has one
	fitWhole     // everything
)

// choice is a child with the proposed selectors, narrowed to what it admits.
type choice struct {
	cfg      Child
	tsi, tsr []wire.Selector
	fit      fit
}

// chooseChild takes the connection's child that fits the proposed selectors best, the
// first of several: where policy admits the first selectors of TSi and TSr, the
// answer must include them (RFC 7296 §2.9). Selectors that no packet can match, since
// they pair with none of the other end, count for nothing and are not in the answer.
func (sa *ikeSA) chooseChild(conn *connection, tsi, tsr []wire.Selector) choice {
	var best choice
	tsi, tsr = wire.PairUp(tsi, tsr)
	for _, c := range conn.Children {
		one := choice{cfg: c}
		one.tsi, one.tsr = wire.PairUp(
			narrow(policySelectors(c.RemoteTS, sa.remote.Addr()), tsi),
			narrow(policySelectors(c.LocalTS, sa.local.Addr()), tsr))
		one.fit = one.fitOf(tsi, tsr)
		if one.fit > best.fit {
			best = one
		}
		if best.fit == fitWhole {
			break
		}
	}
	return best
}

// fitOf says how well a choice suits what was proposed.
func (c *choice) fitOf(tsi, tsr []wire.Selector) fit {
	if len(c.tsi) == 0 || len(c.tsr) == 0 {
		return fitNone
	}
	firstI, firstR := tsi[:1], tsr[:1]
	partI, _ := wire.PairUp(narrow(firstI, c.tsi), narrow(firstR, c.tsr))
	switch {
	case within(tsi, c.tsi) && within(tsr, c.tsr):
		return fitWhole
	case within(firstI, c.tsi) && within(firstR, c.tsr):
		return fitFirst
	case len(partI) > 0:
		return fitPart
	}
	return fitSome
}
