package ike

import (
	"fmt"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// notUnderstoodKeyBits is a key length that no algorithm has. A transform with an
// attribute that this implementation does not know gets it, so that it is in the
// list, as the record of a failure must show it, and cannot be chosen
// (RFC 7296 §3.3.6).
const notUnderstoodKeyBits = 0xffff

// fromWire are an SA payload's proposals. Entry i is proposal i of the payload,
// whatever protocol it is for.
func fromWire(ps []wire.Proposal) []suite.Proposal {
	out := make([]suite.Proposal, len(ps))
	for i, p := range ps {
		out[i] = suite.Proposal{Protocol: suite.Protocol(p.Protocol), Transforms: make([]suite.Transform, len(p.Transforms))}
		for j, t := range p.Transforms {
			out[i].Transforms[j] = suite.Transform{Type: suite.TransformType(t.Type), ID: t.ID, KeyBits: t.KeyBits}
			if len(t.Attributes) > 0 {
				out[i].Transforms[j].KeyBits = notUnderstoodKeyBits
			}
		}
	}
	return out
}

// toWire is an SA payload with proposals numbered from first, all with one SPI.
func toWire(ps []suite.Proposal, first uint8, spi []byte) *wire.SA {
	sa := &wire.SA{Proposals: make([]wire.Proposal, len(ps))}
	for i, p := range ps {
		w := wire.Proposal{Number: first + uint8(i), Protocol: wire.ProtocolID(p.Protocol), SPI: spi, Transforms: make([]wire.Transform, len(p.Transforms))}
		for j, t := range p.Transforms {
			w.Transforms[j] = wire.Transform{Type: wire.TransformType(t.Type), ID: t.ID, KeyBits: t.KeyBits}
		}
		sa.Proposals[i] = w
	}
	return sa
}

// answerTo checks a responder's SA payload against what was offered: one proposal,
// under the number of an offered one, with one transform of each type, all of them
// offered (RFC 7296 §3.3).
func answerTo(offered []suite.Proposal, answer *wire.SA) (chosen suite.Proposal, spi []byte, ok bool) {
	if len(answer.Proposals) != 1 {
		return suite.Proposal{}, nil, false
	}
	p := answer.Proposals[0]
	i := int(p.Number) - 1
	if i < 0 || i >= len(offered) {
		return suite.Proposal{}, nil, false
	}
	given := fromWire(answer.Proposals)[0]
	var seen [256]bool
	for _, t := range given.Transforms {
		if seen[t.Type] {
			return suite.Proposal{}, nil, false
		}
		seen[t.Type] = true
	}
	chosen, _, ok = suite.Select([]suite.Proposal{offered[i]}, []suite.Proposal{given})
	return chosen, p.SPI, ok
}

// espOffers are a child's proposals for IKE_AUTH: without key exchange, which that
// exchange does not have, and with a sequence number size, which RFC 7296 §3.3.3
// makes mandatory.
func espOffers(ps []suite.Proposal) []suite.Proposal {
	out := make([]suite.Proposal, len(ps))
	for i, p := range ps {
		out[i] = p.Without(suite.TransformKE)
		if _, ok := out[i].Find(suite.TransformESN); !ok {
			out[i].Transforms = append(out[i].Transforms, suite.Transform{Type: suite.TransformESN, ID: suite.ESNNo})
		}
	}
	return out
}

// withGroup keeps the proposals that allow a key exchange method, and of their
// methods only that one.
func withGroup(ps []suite.Proposal, group uint16) []suite.Proposal {
	out := make([]suite.Proposal, len(ps))
	for i, p := range ps {
		out[i] = suite.Proposal{Protocol: p.Protocol}
		has := false
		for _, t := range p.Transforms {
			has = has || t.Type == suite.TransformKE && t.ID == group
		}
		if !has {
			continue // no transforms: Select cannot match it, and the numbering stays
		}
		for _, t := range p.Transforms {
			if t.Type != suite.TransformKE || t.ID == group {
				out[i].Transforms = append(out[i].Transforms, t)
			}
		}
	}
	return out
}

// offersGroup reports whether any proposal allows the key exchange method.
func offersGroup(ps []suite.Proposal, group uint16) bool {
	for _, p := range ps {
		for _, t := range p.Transforms {
			if t.Type == suite.TransformKE && t.ID == group && group != suite.KENone {
				return true
			}
		}
	}
	return false
}

// describeProposals is a list of proposals for a record.
func describeProposals(ps []suite.Proposal) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = p.String()
	}
	return strings.Join(names, ", ")
}

// describeSA is an SA payload as a ladder shows it: each proposal as swanctl.conf
// writes it, "SA[aes256gcm16-prfsha384-x25519 / aes256-sha256-x25519]". Proposals
// for which saDescriptionBytesMax leaves no room are counted, "SA[… and 3 more]".
func describeSA(sa *wire.SA) string {
	text := ""
	for i, p := range sa.Proposals {
		next := describeOffer(p)
		if i > 0 {
			next = " / " + next
		}
		if room := saDescriptionBytesMax - len(text); len(next) > room {
			if i == 0 { // one that is too long by itself shows its beginning
				text = next[:room]
				i++
			}
			text += "…"
			if more := len(sa.Proposals) - i; more > 0 {
				text += fmt.Sprintf(" and %d more", more)
			}
			break
		}
		text += next
	}
	return "SA[" + text + "]"
}

// describeOffer is one proposal of an SA payload. The exchange shows whether it is
// for IKE or for ESP; anything else is said. A transform without a name in
// swanctl.conf is shown by its numbers, one with attributes by theirs too.
func describeOffer(p wire.Proposal) string {
	names := make([]string, len(p.Transforms))
	for i, t := range p.Transforms {
		names[i] = suite.Transform{Type: suite.TransformType(t.Type), ID: t.ID, KeyBits: t.KeyBits}.String()
		for _, a := range t.Attributes {
			names[i] += fmt.Sprintf("(attribute %d)", a.Type)
		}
	}
	text := strings.Join(names, "-")
	if p.Protocol != wire.ProtocolIKE && p.Protocol != wire.ProtocolESP {
		text = suite.Protocol(p.Protocol).String() + ":" + text
	}
	return text
}

// bothProposals shows both sides' lists after NO_PROPOSAL_CHOSEN.
func bothProposals(own, peer []suite.Proposal) []Field {
	return []Field{
		{"mismatch", suite.Mismatch(own, peer)},
		{"local-proposals", describeProposals(own)},
		{"remote-proposals", describeProposals(peer)},
	}
}
