package sim

import (
	"fmt"
	"time"

	"github.com/ikelab/ikelab/topology"
)

// judgeInterval is how often expectations that watch the whole run (always,
// within) are judged besides the instants at which a negotiation or an
// interface changes. What only rises, as counts do, is not missed between two
// judgements; a value that falls again within the interval may be.
const judgeInterval = 100 * time.Millisecond

// Entries of the timeline that are no expectation's own.
const (
	judgeTick  = -1 // every judgeInterval
	judgeEvent = -2 // something happened that conditions may be about
)

// judge is an expectation on its way to a verdict.
type judge struct {
	topology.Expectation
	decided bool
	result  ExpectationResult
	last    topology.Verdict // of the latest evaluation, for a failure's reasons
}

// watches says that the expectation is judged again and again.
func (j *judge) watches() bool { return j.Mode == topology.ModeAlways || j.Mode == topology.ModeWithin }

// startJudging puts the expectations on the timeline.
func (r *Run) startJudging() {
	for i, e := range r.plan.Expectations {
		r.judges = append(r.judges, judge{Expectation: e, result: ExpectationResult{
			Name: e.Name, File: e.File, Line: e.Line, Mode: e.Mode,
		}})
		switch e.Mode {
		case topology.ModeAfter:
			r.timeline.add(due{at: e.At, kind: dueJudge, index: i})
		case topology.ModeWithin:
			r.timeline.add(due{at: e.From, kind: dueJudge, index: i})
			r.timeline.add(due{at: e.At, kind: dueJudge, index: i})
			r.watching++
		case topology.ModeAlways:
			r.timeline.add(due{at: e.From, kind: dueJudge, index: i})
			r.watching++
		}
	}
	if r.watching > 0 {
		r.timeline.add(due{at: judgeInterval, kind: dueJudge, index: judgeTick})
	}
}

// changed says that something happened now which conditions may be about: the
// expectations that watch are judged before time goes on.
func (r *Run) changed(now time.Duration) {
	if r.watching > 0 && !r.changeDue {
		r.changeDue = true
		r.timeline.add(due{at: now, kind: dueJudge, index: judgeEvent})
	}
}

// judgeDue judges what an entry of the timeline is about.
func (r *Run) judgeDue(now time.Duration, index int) {
	if index >= 0 {
		if j := &r.judges[index]; !j.decided {
			r.judge(now, j, r.results(now), false)
		}
		return
	}
	if r.watching == 0 {
		return
	}
	if index == judgeTick {
		r.timeline.add(due{at: now + judgeInterval, kind: dueJudge, index: judgeTick})
	} else {
		r.changeDue = false
	}
	results := r.results(now)
	for i := range r.judges {
		if j := &r.judges[i]; !j.decided && j.watches() && now >= j.From {
			r.judge(now, j, results, false)
		}
	}
}

// judge evaluates an undecided expectation as of now. last says that there will
// be no other time.
func (r *Run) judge(now time.Duration, j *judge, results topology.Results, last bool) {
	j.last = j.Evaluate(results)
	v := j.last
	switch j.Mode {
	case topology.ModeWithin:
		switch {
		case v.Pass:
			r.decide(now, j, true, "")
		case now >= j.At:
			r.decide(now, j, false, why(v, fmt.Sprintf("did not hold until %v", j.At)))
		case last:
			r.decide(now, j, false, why(v, fmt.Sprintf("the run ended at %v, before %v", now, j.At)))
		}
	case topology.ModeAlways:
		switch {
		case v.Pass:
			if last {
				r.decide(now, j, true, "")
			}
		case !v.NoSamples || last:
			r.decide(now, j, false, why(v, fmt.Sprintf("did not hold at %v", now)))
		}
	case topology.ModeAfter:
		if now < j.At {
			r.decide(now, j, false, fmt.Sprintf("not judged: the run ended at %v, before %v", now, j.At))
			return
		}
		r.decide(now, j, v.Pass, why(v, ""))
	default:
		r.decide(now, j, v.Pass, why(v, ""))
	}
}

// why is the sentence about a verdict that is not a pass: the lab's own, and
// what the mode adds to it.
func why(v topology.Verdict, mode string) string {
	switch {
	case v.Pass:
		return ""
	case mode == "":
		return v.Message
	case v.Message == "":
		return mode
	}
	return v.Message + " (" + mode + ")"
}

// decide gives an expectation its verdict.
func (r *Run) decide(now time.Duration, j *judge, pass bool, why string) {
	j.decided = true
	j.result.Pass, j.result.At = pass, now
	if !pass {
		j.result.Why = why
		for _, o := range j.last.Operands {
			j.result.Operands = append(j.result.Operands, OperandResult(o))
		}
	}
	if j.watches() {
		r.watching--
	}
}

// finishJudging judges what is left at the end.
func (r *Run) finishJudging(now time.Duration) []ExpectationResult {
	results := r.results(now)
	out := make([]ExpectationResult, 0, len(r.judges))
	for i := range r.judges {
		j := &r.judges[i]
		switch {
		case j.decided:
		case j.watches() && now < j.From:
			r.decide(now, j, false, fmt.Sprintf("not judged: the run ended at %v, before %v", now, j.From))
		default:
			r.judge(now, j, results, true)
		}
		out = append(out, j.result)
	}
	return out
}
