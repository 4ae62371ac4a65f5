package suite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// keywordDefault stands for a whole list of proposals.
const keywordDefault = "default"

// KeywordError is a mistake in a proposal's text.
type KeywordError struct {
	// Keyword is the offending part of the text; the whole text when what is
	// wrong is what it lacks.
	Keyword string
	// Offset is where Keyword begins in the text, in octets.
	Offset int
	// Suggest is what to write instead of Keyword; empty when nothing comes close.
	Suggest string
	// KnownLater is true for a keyword that swanctl has and ikelab does not yet.
	KnownLater bool
	// Problem is what is wrong, as a clause without a full stop.
	Problem string
	// Remedy is what to do about it, as a clause without a full stop.
	Remedy string
}

// Error is the problem and its remedy in one line.
func (e *KeywordError) Error() string {
	if e.Remedy == "" {
		return e.Problem
	}
	return e.Problem + "; " + e.Remedy
}

// KeywordErrors are all mistakes of a proposal's text, two or more, in its order and
// each keyword once.
type KeywordErrors []*KeywordError

// Error is all of them in one line.
func (e KeywordErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.As the first of them.
func (e KeywordErrors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// AllKeywordErrors are the mistakes in an error of ParseProposal or ParseProposals,
// one or several; none in another error.
func AllKeywordErrors(err error) KeywordErrors {
	var all KeywordErrors
	if errors.As(err, &all) {
		return all
	}
	var one *KeywordError
	if errors.As(err, &one) {
		return KeywordErrors{one}
	}
	return nil
}

// ParseProposals reads one entry of swanctl's proposals or esp_proposals:
// "default" is [DefaultIKE] or [DefaultESP], anything else is what
// [ParseProposal] makes of it.
func ParseProposals(p Protocol, s string) ([]Proposal, error) {
	if s == keywordDefault {
		switch p {
		case ProtocolIKE:
			return DefaultIKE(), nil
		case ProtocolESP:
			return DefaultESP(), nil
		}
	}
	one, err := ParseProposal(p, s)
	if err != nil {
		return nil, err
	}
	return []Proposal{one}, nil
}

// ParseProposal reads one proposal in swanctl's words: keywords joined with
// dashes, alternatives of one type in order of preference, e.g.
// "aes256gcm16-prfsha384-x25519" or "aes128-sha256-modp2048". As strongSwan
// does, it derives the pseudorandom functions of an IKE proposal from its
// integrity algorithms when it names none, and adds noesn to a child's proposal
// that says nothing about sequence numbers. An AEAD has no integrity transform;
// in an IKE proposal an integrity keyword beside it only says which
// pseudorandom function to derive. "default" gives the first of the defaults;
// [ParseProposals] gives all. Errors are *[KeywordError], or [KeywordErrors] for
// several keywords that are wrong or not available.
func ParseProposal(p Protocol, s string) (Proposal, error) {
	if s == keywordDefault {
		switch p {
		case ProtocolIKE:
			return DefaultIKE()[0], nil
		case ProtocolESP:
			return DefaultESP()[0], nil
		}
	}
	b := builder{text: s, p: Proposal{Protocol: p}}
	offset := 0
	var wrong KeywordErrors
	for _, word := range strings.Split(s, "-") {
		if err := b.add(word, offset); err != nil && !slices.ContainsFunc(wrong, func(e *KeywordError) bool { return e.Keyword == word }) {
			wrong = append(wrong, err)
		}
		offset += len(word) + 1
	}
	switch len(wrong) {
	case 0:
	case 1:
		return Proposal{}, wrong[0]
	default:
		return Proposal{}, wrong
	}
	if err := b.complete(); err != nil {
		return Proposal{}, err
	}
	return b.p, nil
}

// builder collects the keywords of one proposal and where they stood.
type builder struct {
	text    string
	p       Proposal
	offsets []int
	words   []string
}

// add reads one keyword.
func (b *builder) add(word string, offset int) *KeywordError {
	t, ok := transformOf(word)
	if !ok {
		return b.unknown(word, offset)
	}
	for i, x := range b.p.Transforms {
		if x == t {
			return &KeywordError{Keyword: word, Offset: offset,
				Problem: fmt.Sprintf("%q repeats %q", word, b.words[i]),
				Remedy:  "name each algorithm once, in order of preference"}
		}
	}
	if why := misplaced(b.p.Protocol, t.Type); why != "" {
		return &KeywordError{Keyword: word, Offset: offset,
			Problem: fmt.Sprintf("%q does not belong into a proposal for %v: %s", word, b.p.Protocol, why),
			Remedy:  "leave it out"}
	}
	b.p.Transforms = append(b.p.Transforms, t)
	b.offsets = append(b.offsets, offset)
	b.words = append(b.words, word)
	return nil
}

// misplaced says why a type has no place in a protocol's proposals (RFC 7296
// §3.3.3); empty when it has.
func misplaced(p Protocol, t TransformType) string {
	switch {
	case p == ProtocolIKE && t == TransformESN:
		return "the IKE SA counts messages, not packets"
	case p != ProtocolIKE && t == TransformPRF:
		return "a child uses the IKE SA's pseudorandom function"
	case p == ProtocolAH && t == TransformENCR:
		return "AH does not encrypt"
	}
	return ""
}

// first is the index of the first transform of type t for which want holds.
func (b *builder) first(t TransformType, want func(Transform) bool) (int, bool) {
	for i, x := range b.p.Transforms {
		if x.Type == t && want(x) {
			return i, true
		}
	}
	return 0, false
}

func always(Transform) bool        { return true }
func combined(t Transform) bool    { return t.AEAD() }
func encryptOnly(t Transform) bool { return !t.AEAD() }

// lacks is the error for a proposal that is not complete.
func (b *builder) lacks(problem, remedy string) error {
	return &KeywordError{Keyword: b.text, Problem: problem, Remedy: remedy}
}

// complete judges the whole and adds what the text leaves to be derived.
func (b *builder) complete() error {
	aead, hasAEAD := b.first(TransformENCR, combined)
	plain, hasPlain := b.first(TransformENCR, encryptOnly)
	integ, hasInteg := b.first(TransformINTEG, always)
	_, hasPRF := b.first(TransformPRF, always)
	_, hasKE := b.first(TransformKE, always)
	_, hasESN := b.first(TransformESN, always)
	switch {
	case b.p.Protocol == ProtocolAH:
		if !hasInteg {
			return b.lacks("a proposal for AH needs an integrity algorithm", `add one such as "sha256"`)
		}
	case !hasAEAD && !hasPlain:
		return b.lacks(fmt.Sprintf("a proposal for %v needs an encryption algorithm", b.p.Protocol), `add one such as "aes256gcm16"`)
	case hasAEAD && hasPlain:
		return &KeywordError{Keyword: b.words[plain], Offset: b.offsets[plain],
			Problem: fmt.Sprintf("%q needs an integrity algorithm and %q forbids one, so they cannot share a proposal (RFC 7296 §3.3)", b.words[plain], b.words[aead]),
			Remedy:  "write two proposals"}
	case hasPlain && !hasInteg:
		return b.lacks(fmt.Sprintf("%q does not protect integrity", b.words[plain]), `add an integrity algorithm such as "sha256", or encrypt with one that does both, such as "aes256gcm16"`)
	case hasAEAD && hasInteg && (hasPRF || b.p.Protocol != ProtocolIKE):
		return &KeywordError{Keyword: b.words[integ], Offset: b.offsets[integ],
			Problem: fmt.Sprintf("%q protects integrity itself, so %q has no place beside it (RFC 5282 §8)", b.words[aead], b.words[integ]),
			Remedy:  "leave it out"}
	}
	if b.p.Protocol != ProtocolIKE {
		if !hasESN {
			b.p.Transforms = append(b.p.Transforms, Transform{Type: TransformESN, ID: ESNNo})
		}
		return nil
	}
	if !hasPRF {
		if !hasInteg {
			return b.lacks("a proposal for IKE needs a pseudorandom function", `add one such as "prfsha256"`)
		}
		b.derivePRF()
	}
	if hasAEAD && hasInteg {
		b.p = b.p.Without(TransformINTEG)
	}
	if !hasKE {
		return b.lacks("a proposal for IKE needs a key exchange method", `add one such as "x25519"`)
	}
	return nil
}

// derivePRF inserts, behind the integrity algorithms, the pseudorandom
// functions with the same hashes.
func (b *builder) derivePRF() {
	var out, prfs []Transform
	last := 0
	for i, t := range b.p.Transforms {
		if t.Type == TransformINTEG {
			last = i
			prfs = append(prfs, Transform{Type: TransformPRF, ID: prfOfInteg(t.ID)})
		}
	}
	for i, t := range b.p.Transforms {
		out = append(out, t)
		if i == last {
			out = append(out, prfs...)
		}
	}
	b.p.Transforms = out
}

// prfOfInteg is the pseudorandom function with an integrity algorithm's hash.
func prfOfInteg(id uint16) uint16 {
	switch id {
	case IntegHMACSHA256_128:
		return PRFHMACSHA256
	case IntegHMACSHA384_192:
		return PRFHMACSHA384
	case IntegHMACSHA512_256:
		return PRFHMACSHA512
	}
	return PRFHMACSHA1
}

// unknown is the error for a word that is not one of keywords.
func (b *builder) unknown(word string, offset int) *KeywordError {
	e := &KeywordError{Keyword: word, Offset: offset}
	switch {
	case word == "":
		e.Problem = "a keyword is missing here"
		e.Remedy = `write keywords with single dashes between them, e.g. "aes256gcm16-prfsha384-x25519"`
		if b.text == "" {
			e.Problem = "the proposal is empty"
		}
	case word == keywordDefault:
		e.Problem = `"default" stands for whole proposals`
		e.Remedy = "make it an entry of its own"
	case strings.ContainsAny(word, ", \t"):
		e.Problem = fmt.Sprintf("%q is not one keyword", word)
		e.Remedy = "make each proposal an entry of its own, without spaces"
	case later(word):
		e.KnownLater = true
		e.Problem = fmt.Sprintf("%q is known but not available yet", word)
		e.Remedy = "choose among " + available(typeOfLater(word))
	default:
		e.Problem = fmt.Sprintf("%q is not an algorithm keyword", word)
		if e.Suggest = nearest(word); e.Suggest != "" {
			e.Remedy = fmt.Sprintf("did you mean %q?", e.Suggest)
		} else {
			e.Remedy = "docs/language.md lists the keywords"
		}
	}
	return e
}
