package align

import (
	"fmt"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/sim"
)

// Bounds of what a difference shows around it.
const (
	// eventsBefore are the events in front of a difference that it shows, eventsAfter
	// those of either run from it on.
	eventsBefore = 4
	eventsAfter  = 8
	// factsToldMax is how many facts the sentence names.
	factsToldMax = 3
)

// Difference is where two runs part.
type Difference struct {
	// At is when the right run's event was, or where it has none, the left one's.
	At time.Duration `json:"at_ns"`
	// Why says it in one sentence, more follow in Hints.
	Why   string   `json:"why"`
	Hints []string `json:"hints,omitempty"`
	// Retransmission says that one of the two events repeats a message, or gives up
	// repeating it.
	Retransmission bool `json:"retransmission"`
	// Facts are those in which two events of one kind differ.
	Facts []FactDifference `json:"facts,omitempty"`
	// Rows are the events around it, in order. Before counts the same ones that are
	// not shown in front of them, LeftAfter and RightAfter those behind them.
	Rows       []Row `json:"rows"`
	Before     int   `json:"before"`
	LeftAfter  int   `json:"left_after"`
	RightAfter int   `json:"right_after"`

	ordinal int // of the event that At is about
}

// before says that d came earlier than another difference. Instants of the two runs
// do not compare, so it is the right run, in which something went another way, that
// counts.
func (d *Difference) before(other *Difference) bool {
	if d.At != other.At {
		return d.At < other.At
	}
	return d.ordinal < other.ordinal
}

// Row is a rung of the two ladders: an event that both runs have, or one of either.
type Row struct {
	Left  *Event `json:"left,omitempty"`
	Right *Event `json:"right,omitempty"`
	// Same says that both are there and the same.
	Same bool `json:"same"`
}

// difference describes where the two runs part, after s.Same events.
func (s *SA) difference(left, right *Side) *Difference {
	d := &Difference{}
	var a, b *Event
	if s.Same < len(s.left) {
		a = &s.left[s.Same]
		d.At, d.ordinal = a.At, a.ordinal
	}
	if s.Same < len(s.right) {
		b = &s.right[s.Same]
		d.At, d.ordinal = b.At, b.ordinal
	}
	d.Why = s.why(d, a, b, left.Name, right.Name)
	for _, half := range []struct {
		event *Event
		side  *Side
		other string
	}{{a, left, right.Name}, {b, right, left.Name}} {
		if half.event == nil || !half.event.repetition() {
			continue
		}
		if !d.Retransmission {
			d.Retransmission = true
			d.Hints = append(d.Hints, "This is a retransmission. Losses on links are keyed: for one seed they fall on the same "+
				"messages in every engine. What only one run repeated was lost for another reason, or was late because the machine was too slow for the schedule.")
		}
		if cause := s.cause(half.event, half.side.Result); cause != "" {
			d.Hints = append(d.Hints, "In "+half.side.Name+" "+cause+".")
		}
	}
	from := max(s.Same-eventsBefore, 0)
	d.Before = from
	for i := from; i < s.Same; i++ {
		d.Rows = append(d.Rows, Row{&s.left[i], &s.right[i], true})
	}
	l, r := s.left[s.Same:], s.right[s.Same:]
	d.LeftAfter, d.RightAfter = max(len(l)-eventsAfter, 0), max(len(r)-eventsAfter, 0)
	d.Rows = append(d.Rows, rows(l[:len(l)-d.LeftAfter], r[:len(r)-d.RightAfter])...)
	return d
}

// why is the sentence of a difference.
func (s *SA) why(d *Difference, a, b *Event, left, right string) string {
	after := "from the beginning"
	switch {
	case s.Same == 1:
		after = "after 1 event that is the same"
	case s.Same > 1:
		after = fmt.Sprintf("after %d events that are the same", s.Same)
	}
	switch {
	case s.Left == 0:
		return fmt.Sprintf("only %s has any of it, first %s", right, b.Title())
	case s.Right == 0:
		return fmt.Sprintf("only %s has any of it, first %s", left, a.Title())
	case a == nil:
		return fmt.Sprintf("%s, %s has %s and %s nothing more", after, right, b.Title(), left)
	case b == nil:
		return fmt.Sprintf("%s, %s has %s and %s nothing more", after, left, a.Title(), right)
	case a.Kind == b.Kind && a.Title() == b.Title():
		d.Facts = Disagreements(a, b)
		told := ""
		for i, f := range d.Facts {
			switch {
			case i == factsToldMax:
				told += fmt.Sprintf("; and %d more", len(d.Facts)-i)
			case i > factsToldMax:
			case i > 0:
				told += "; " + f.sentence(left, right)
			default:
				told += f.sentence(left, right)
			}
		}
		return fmt.Sprintf("%s, %s differs: %s", after, a.Title(), told)
	}
	if a.Kind == b.Kind {
		d.Facts = Disagreements(a, b)
	}
	return fmt.Sprintf("%s, %s has %s and %s has %s", after, left, a.Title(), right, b.Title())
}

// sentence says what both sides have of a fact.
func (f FactDifference) sentence(left, right string) string {
	value := func(v string) string {
		if v == "" {
			return "nothing"
		}
		return v
	}
	return fmt.Sprintf("%s is %s in %s, %s in %s", f.Name, value(f.Left), left, value(f.Right), right)
}

// rows lines up two sequences: the longest way on which they agree, and between its
// steps what either has alone.
func rows(a, b []Event) []Row {
	// length[i][j] is how many events a[i:] and b[j:] have in common, in order. Both
	// are short.
	length := make([][]int, len(a)+1)
	for i := range length {
		length[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			length[i][j] = max(length[i+1][j], length[i][j+1])
			if same(&a[i], &b[j]) {
				length[i][j] = max(length[i][j], 1+length[i+1][j+1])
			}
		}
	}
	var out []Row
	var l, r []*Event // what either has alone since they last agreed
	flush := func() {
		out = append(out, beside(l, r)...)
		l, r = nil, nil
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && same(&a[i], &b[j]) && length[i][j] == 1+length[i+1][j+1]:
			flush()
			out = append(out, Row{&a[i], &b[j], true})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && length[i+1][j] >= length[i][j+1]:
			l = append(l, &a[i])
			i++
		default:
			r = append(r, &b[j])
			j++
		}
	}
	flush()
	return out
}

// beside puts events that only one side has into rows: one of each side, and where a
// side has more of them, alone what stands in front of the other side's kind.
func beside(l, r []*Event) []Row {
	var out []Row
	for len(l) > 0 && len(r) > 0 {
		switch kind := l[0].Kind; {
		case kind != r[0].Kind && ahead(l[1:], len(l)-len(r), r[0].Kind):
			out = append(out, Row{Left: l[0]})
			l = l[1:]
		case kind != r[0].Kind && ahead(r[1:], len(r)-len(l), kind):
			out = append(out, Row{Right: r[0]})
			r = r[1:]
		default:
			out = append(out, Row{Left: l[0], Right: r[0]})
			l, r = l[1:], r[1:]
		}
	}
	for _, e := range l {
		out = append(out, Row{Left: e})
	}
	for _, e := range r {
		out = append(out, Row{Right: e})
	}
	return out
}

// ahead says that an event of the kind is among the first n.
func ahead(list []*Event, n int, kind ike.RecordKind) bool {
	return n > 0 && slices.ContainsFunc(list[:min(n, len(list))], func(e *Event) bool { return e.Kind == kind })
}

// cause says what had become of the message that an event repeats, as far as the
// run's ladder knows.
func (s *SA) cause(e *Event, r *sim.Result) string {
	m := e.Message
	if m == nil || m.Response || r == nil {
		return ""
	}
	about := func(row *sim.ExchangeRow, response bool) bool {
		return row.Exchange == m.Type.String() && row.MessageID == m.MessageID && row.Response == response &&
			row.FromInitiator == (m.Initiator != response)
	}
	var sent, answer *sim.ExchangeRow
	for i := range r.Exchanges {
		row := &r.Exchanges[i]
		switch {
		case row.From == s.Node && row.To == s.Peer && about(row, false) && row.At < e.At &&
			(s.Connection == "" || row.Connection == s.Connection):
			sent, answer = row, nil
		case sent != nil && answer == nil && row.From == s.Peer && row.To == s.Node && about(row, true) && row.At >= sent.At:
			answer = row
		}
	}
	switch {
	case sent == nil:
		return ""
	case sent.Lost:
		return "the transmission before it was lost" + because(sent.Reason)
	case !sent.Arrived:
		return "the transmission before it had not arrived at the end of the run"
	case sent.ArrivedAt > e.At:
		return fmt.Sprintf("the transmission before it took %s to arrive", brief(sent.ArrivedAt-sent.At))
	case sent.Discarded != "":
		return "the transmission before it arrived and was discarded: " + sent.Discarded
	case answer == nil:
		return "the transmission before it arrived and was never answered"
	case answer.Lost:
		return "the transmission before it arrived, and the response was lost" + because(answer.Reason)
	case answer.Arrived && answer.Discarded != "":
		return "the response to the transmission before it was discarded: " + answer.Discarded
	case answer.Arrived:
		return fmt.Sprintf("the response to the transmission before it came %s after that was sent", brief(answer.ArrivedAt-sent.At))
	}
	return "the transmission before it arrived, and the response was still on its way at the end of the run"
}

// brief leaves out what nobody wants to read of a duration.
func brief(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d
}

// because is the reason of a loss in brackets.
func because(reason string) string {
	if reason == "" || reason == "loss" {
		return " on a link"
	}
	return " (" + reason + ")"
}
