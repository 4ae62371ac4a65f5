package topology

import (
	"slices"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
)

// wrong reports everything that is wrong with a proposal's text. It returns what is left
// of it where only what comes later was, and refusals are to be passed over; else nil.
func (k proposal) wrong(s source, t string, err error) []suite.Proposal {
	all := suite.AllKeywordErrors(err)
	if len(all) == 0 {
		s.bad("%s.", err)
		return nil
	}
	words := strings.Split(t, "-")
	onlyLater := true
	for _, e := range all {
		at := s.l.part(s.rng, t, e.Offset, len(e.Keyword))
		if e.KnownLater {
			s.l.refuse(at, "the algorithm \""+e.Keyword+"\"")
			words = slices.DeleteFunc(words, func(w string) bool { return w == e.Keyword })
			continue
		}
		onlyLater = false
		summary := "Invalid " + s.name
		if e.Suggest != "" || strings.Contains(e.Problem, "not an algorithm") {
			summary = "Unknown algorithm"
		}
		s.l.errorf(at, summary, "%s.", strings.TrimSuffix(sentence(e.Error()), "?"))
	}
	if !onlyLater || !s.l.opts.despiteRefusals {
		return nil
	}
	left, err := suite.ParseProposals(k.protocol, strings.Join(words, "-"))
	if err != nil {
		left, _ = suite.ParseProposals(k.protocol, "default")
	}
	return left
}
