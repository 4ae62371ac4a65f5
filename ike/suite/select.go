package suite

import (
	"fmt"
	"strings"
)

// optional are the types that a proposal may lack or carry as NONE (transform
// ID 0), which mean the same (RFC 7296 §3.3.3).
func optional(t TransformType) bool { return t == TransformINTEG || t == TransformKE }

// types lists the transform types of both proposals, each once, ascending.
func types(a, b Proposal) []TransformType {
	var present [256]bool
	for _, p := range []Proposal{a, b} {
		for _, t := range p.Transforms {
			present[t.Type] = true
		}
	}
	var out []TransformType
	for t, ok := range present {
		if ok {
			out = append(out, TransformType(t))
		}
	}
	return out
}

// of is p's transforms of type t. An optional type that p lacks is NONE.
func (p Proposal) of(t TransformType) []Transform {
	var out []Transform
	for _, x := range p.Transforms {
		if x.Type == t {
			out = append(out, x)
		}
	}
	if out == nil && optional(t) {
		out = []Transform{{Type: t}}
	}
	return out
}

// pick is the first of own that peer has too.
func pick(own, peer []Transform) (Transform, bool) {
	for _, o := range own {
		for _, p := range peer {
			if o == p {
				return o, true
			}
		}
	}
	return Transform{}, false
}

// match chooses one transform of each type, by own's preference. It gives the
// first type in which the two have nothing in common otherwise.
func match(own, peer Proposal) (chosen Proposal, failed TransformType, ok bool) {
	chosen.Protocol = own.Protocol
	for _, t := range types(own, peer) {
		x, ok := pick(own.of(t), peer.of(t))
		if !ok {
			return Proposal{}, t, false
		}
		if x.ID == 0 && optional(t) {
			continue
		}
		chosen.Transforms = append(chosen.Transforms, x)
	}
	return chosen, 0, true
}

// Select chooses a proposal as a responder does (RFC 7296 §2.7, §3.3): the
// first of own that fits any of peer, and in it one transform of each type, all
// by own's preference. Key lengths must be equal. A type in which the two have
// nothing in common, or that only one of them has, rules a pair out; NONE and
// an absent type are the same for integrity and key exchange and do not appear
// in chosen. Transforms of chosen are in ascending order of type; peerIndex
// says which of peer it came from. For the first child of an IKE SA give both
// sides [Proposal.Without] TransformKE.
func Select(own, peer []Proposal) (chosen Proposal, peerIndex int, ok bool) {
	for _, o := range own {
		for i, p := range peer {
			if o.Protocol != p.Protocol {
				continue
			}
			if c, _, ok := match(o, p); ok {
				return c, i, true
			}
		}
	}
	return Proposal{}, 0, false
}

// Mismatch says in one line why Select finds nothing: in which transform type
// the pair of proposals that agrees furthest has nothing in common, with both
// lists. It is empty when Select finds something.
func Mismatch(own, peer []Proposal) string {
	if _, _, ok := Select(own, peer); ok {
		return ""
	}
	switch {
	case len(own) == 0:
		return "no proposal of our own"
	case len(peer) == 0:
		return "the peer offers no proposal"
	}
	var bestFailed TransformType
	var bestOwn, bestPeer Proposal
	best := -1
	for _, o := range own {
		for _, p := range peer {
			if o.Protocol != p.Protocol {
				continue
			}
			failed, agreed := TransformType(0), 0
			for _, t := range types(o, p) {
				if _, ok := pick(o.of(t), p.of(t)); ok {
					agreed++
				} else if failed == 0 {
					failed = t
				}
			}
			if agreed > best {
				best, bestFailed, bestOwn, bestPeer = agreed, failed, o, p
			}
		}
	}
	if best < 0 {
		return fmt.Sprintf("the peer offers %v, we have %v", peer[0].Protocol, own[0].Protocol)
	}
	return fmt.Sprintf("no %s in common: we have %s, the peer offers %s", bestFailed.Noun(),
		list(bestOwn.of(bestFailed)), list(bestPeer.of(bestFailed)))
}

// list joins transforms for a sentence.
func list(ts []Transform) string {
	names := make([]string, 0, len(ts))
	for _, t := range ts {
		if t.ID == 0 && optional(t.Type) {
			names = append(names, "none")
			continue
		}
		names = append(names, t.String())
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
