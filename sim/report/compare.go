package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/align"
)

// besideColumnsMin is the width from which two ladders stand side by side; on a narrower page one stands below the
// other.
const besideColumnsMin = 92

// NamedResult is what a run came to, and what a comparison calls it.
type NamedResult struct {
	Name   string
	Result *sim.Result
}

// failuresPerRunMax is how many expectations that failed Runs shows of each run when RowsMax bounds it.
const failuresPerRunMax = 4

// Runs writes which runs are compared, a line for each, and what failed in them.
func Runs(w io.Writer, runs []NamedResult, o Options) error {
	var b strings.Builder
	columns := 0
	for _, run := range runs {
		columns = max(columns, lipgloss.Width(run.Name))
	}
	for i, run := range runs {
		r := run.Result
		if i == 0 {
			fmt.Fprintf(&b, "%s\n\n", o.paint(boldStyle, "lab "+r.Lab))
		}
		e, eAll, v, vAll := r.Passed()
		fmt.Fprintf(&b, "  %s  %s  seed %d  %s  expectations %d/%d  invariants %d/%d\n", pad(run.Name, columns), o.verdict(r.OK(), false), r.Seed, instant(r.Ended), e, eAll, v, vAll)
		if r.Stopped != "" {
			fmt.Fprintf(&b, "    %s\n", o.paint(badStyle, "stopped: "+r.Stopped))
		}
		failed := 0
		for j := range r.Expectations {
			if r.Expectations[j].Pass {
				continue
			}
			if failed++; o.RowsMax == 0 || failed <= failuresPerRunMax {
				failedExpectation(&b, &r.Expectations[j], o)
			}
		}
		if hidden := failed - failuresPerRunMax; o.RowsMax > 0 && hidden > 0 {
			fmt.Fprintf(&b, "  … and %s; --json names all\n", count(uint64(hidden), "other that failed", "others that failed"))
		}
		for _, i := range r.Invariants {
			if !i.Pass && !i.Off {
				fmt.Fprintf(&b, "  %s  %s\n", o.verdict(false, false), i.Name)
				why(&b, i.Why, o)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// EnginesDiffer writes the reason that a lab states for differences between engines, and whether there are any.
func EnginesDiffer(w io.Writer, reason string, differ bool, o Options) error {
	text := "The lab says why they differ: " + reason
	if !differ {
		text = "The lab says that engines differ (" + reason + "), and in this they did not; if they never do, take engines_differ out of the lab."
	}
	var b strings.Builder
	b.WriteByte('\n')
	for _, line := range wrap(text, o.width()) {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Comparison writes how two runs compare: a line for each IKE SA at each node and for what nodes report outside any,
// and for the earliest differences, at most PairsMax of them, both runs' ladders around it, side by side where there
// is room. RowsMax bounds the lines of SAs. A brief one is a single line, for runs that do not differ.
func Comparison(w io.Writer, r *align.Report, brief bool, o Options) error {
	var b strings.Builder
	if brief {
		events := 0
		for i := range r.SAs {
			events += r.SAs[i].Same
		}
		fmt.Fprintf(&b, "\n%s  %s, %s, the same order\n", o.paint(boldStyle, r.Left+" and "+r.Right),
			count(uint64(len(r.SAs)), "IKE SA", "IKE SAs"), count(uint64(events), "event", "events"))
		_, err := io.WriteString(w, b.String())
		return err
	}
	heading(&b, o, r.Left+" and "+r.Right)
	comparedSAs(&b, r, o)
	differing := r.Differing()
	shown := differing
	if o.PairsMax > 0 && len(shown) > o.PairsMax {
		shown = shown[:o.PairsMax]
	}
	for i, s := range shown {
		title := "the first difference, "
		if i > 0 {
			title = "and "
		}
		name := nameSA(s)
		b.WriteByte('\n')
		for _, line := range wrap(fmt.Sprintf("%sat %s (%s, %s)", title, name[0], name[1], name[2]), o.width()) {
			b.WriteString(o.paint(boldStyle, line) + "\n")
		}
		d := s.Difference
		for _, text := range append([]string{d.Why}, d.Hints...) {
			for _, line := range wrap(text, o.width()-2) {
				b.WriteString("  " + line + "\n")
			}
		}
		b.WriteByte('\n')
		compareLadders(&b, r, s, o)
	}
	if hidden := differing[len(shown):]; len(hidden) > 0 {
		fmt.Fprintf(&b, "\n… and %s later; --json shows all\n", count(uint64(len(hidden)), "other difference", "other differences"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// nameSA names an SA at a node in columns.
func nameSA(s *align.SA) []string {
	connection := s.Connection
	if connection == "" {
		connection = "–"
		if s.Peer != "" {
			connection = "with " + s.Peer
		}
	}
	which := "responder " + s.SPI
	switch {
	case s.Outside():
		which = "outside any IKE SA"
	case s.Initiator:
		which = "initiator " + s.SPI
	}
	return []string{s.Node, connection, which}
}

// comparedSAs writes a line for each SA, those of a node together.
func comparedSAs(b *strings.Builder, r *align.Report, o Options) {
	if len(r.SAs) == 0 {
		b.WriteString("  no node reported anything of IKE\n")
		return
	}
	firstAt := map[string]int{}
	order := make([]int, len(r.SAs))
	for i := range r.SAs {
		order[i] = i
		if _, ok := firstAt[r.SAs[i].Node]; !ok {
			firstAt[r.SAs[i].Node] = i
		}
	}
	slices.SortStableFunc(order, func(i, j int) int {
		return cmp.Compare(firstAt[r.SAs[i].Node], firstAt[r.SAs[j].Node])
	})
	// Of those that agree, of those that an end cut off, and of those that differ, as many each.
	var shown []*align.SA
	var seen, hidden [3]int
	hiddenEvents := 0
	for _, i := range order {
		s := &r.SAs[i]
		kind := 0
		switch {
		case !s.Agrees():
			kind = 2
		case s.Tail != nil:
			kind = 1
		}
		if seen[kind]++; o.RowsMax > 0 && seen[kind] > o.RowsMax {
			if hidden[kind]++; kind == 0 {
				hiddenEvents += s.Same
			}
			continue
		}
		shown = append(shown, s)
	}
	var columns [3]int
	for _, s := range shown {
		for i, text := range nameSA(s) {
			columns[i] = max(columns[i], lipgloss.Width(text))
		}
	}
	for _, s := range shown {
		b.WriteString(" ")
		for i, text := range nameSA(s) {
			b.WriteString(" " + pad(text, columns[i]) + " ")
		}
		b.WriteString(" " + standing(r, s, o) + "\n")
	}
	if hidden[0] > 0 {
		fmt.Fprintf(b, "  … and %s with %s, each in the same order\n", count(uint64(hidden[0]), "other", "others"), count(uint64(hiddenEvents), "event", "events"))
	}
	if hidden[1] > 0 {
		fmt.Fprintf(b, "  … and %s that the end of a run cut off\n", count(uint64(hidden[1]), "other", "others"))
	}
	if hidden[2] > 0 {
		fmt.Fprintf(b, "  … and %s; --json shows all\n", o.paint(badStyle, count(uint64(hidden[2]), "other that differs", "others that differ")))
	}
}

// standing says in a few words how an SA compares.
func standing(r *align.Report, s *align.SA, o Options) string {
	same := count(uint64(s.Same), "event", "events") + ", the same order"
	if s.Same == 1 {
		same = "1 event, the same"
	}
	switch d := s.Difference; {
	case d == nil && s.Tail == nil:
		return same
	case d == nil:
		other := r.Left
		if s.Tail.Side == r.Left {
			other = r.Right
		}
		if same += "; "; s.Same == 0 {
			same = ""
		}
		return fmt.Sprintf("%s%d more in %s from %s on, cut off in %s by its end", same,
			s.Tail.Events, s.Tail.Side, instant(s.Tail.From), other)
	case s.Left == 0:
		return o.paint(badStyle, "only in "+r.Right) + ", " + count(uint64(s.Right), "event", "events")
	case s.Right == 0:
		return o.paint(badStyle, "only in "+r.Left) + ", " + count(uint64(s.Left), "event", "events")
	}
	what := "differs"
	if s.Difference.Retransmission {
		what = "differs in a retransmission"
	}
	return fmt.Sprintf("%s at event %d of %d and %d", o.paint(badStyle, what), s.Same+1, s.Left, s.Right)
}

// end is the ladder of one end of an IKE SA, as a run reports it.
type end struct {
	node, peer string
	inner      int // between the rails
	o          Options
}

// columns is the ladder's width.
func (e end) columns() int { return sentColumns + 1 + 1 + e.inner + 1 }

func (e end) blank() string { return strings.Repeat(" ", sentColumns+1) }

// header names the rails.
func (e end) header() string {
	peer := e.peer
	if peer == "" {
		peer = "–"
	}
	room := e.inner + 2
	node := clip(e.node, room/2)
	peer = clip(peer, room-lipgloss.Width(node)-1)
	gap := max(room-lipgloss.Width(node)-lipgloss.Width(peer), 1)
	return e.blank() + e.o.paint(boldStyle, node) + strings.Repeat(" ", gap) + e.o.paint(boldStyle, peer)
}

// rung writes an event, in one line or more. Of a row that is not the same it shows what the event says: where there
// is another to compare it with, that in which they differ.
func (e end) rung(at, other *align.Event, same bool) []string {
	if at == nil {
		return []string{e.blank() + e.o.between(faintStyle, "", e.inner)}
	}
	when := padLeft(instant(at.At), sentColumns) + " "
	var lines []string
	m := at.Message
	toRight := false
	switch at.Kind {
	case ike.RecordSent, ike.RecordRetransmit, ike.RecordResponseResent:
		toRight = true
	case ike.RecordReceived, ike.RecordDropped:
	default:
		m = nil // nothing passes
	}
	if m == nil {
		style := boldStyle
		if !same {
			style = badStyle
		}
		for i, line := range wrap(at.Title(), e.inner-4) {
			margin := e.blank()
			if i == 0 {
				margin = when
			}
			lines = append(lines, margin+e.o.between(style, line, e.inner))
		}
	} else {
		lines = append(lines, when+"├"+e.o.arrow(messageLabel(m.Type.String(), m.Response, m.MessageID), "", e.inner, toRight)+"┤")
		switch {
		case at.Kind == ike.RecordDropped:
			lines = e.text(lines, badStyle, at.Title())
		case m.Transmission > 0:
			lines = e.text(lines, badStyle, fmt.Sprintf("%s, retransmission %d", at.Kind, m.Transmission))
		}
	}
	if same {
		return lines
	}
	if other != nil && other.Kind == at.Kind {
		for _, f := range align.Disagreements(at, other) {
			value := f.Left
			if value == "" {
				value = "–"
			}
			lines = e.text(lines, badStyle, f.Name+" "+value)
		}
		return lines
	}
	if m != nil && m.Transmission == 0 && at.Kind != ike.RecordDropped {
		return e.text(lines, faintStyle, strings.Join(m.Payloads, ", "))
	}
	for _, f := range at.Facts {
		switch {
		case at.Message != nil && f.Name != "reason":
		case slices.Contains([]string{"connection", "child", "local", "remote", "encap"}, f.Name),
			strings.HasPrefix(f.Name, "keys"), strings.HasPrefix(f.Name, "tunnel-"):
			// What follows from the rest.
		case f.Name == "reason" && m == nil: // in the title
		default:
			lines = e.text(lines, faintStyle, f.Name+" "+f.Value)
		}
	}
	return lines
}

// text adds text between the rails.
func (e end) text(lines []string, s lipgloss.Style, text string) []string {
	for _, line := range wrap(text, e.inner-4) {
		lines = append(lines, e.blank()+e.o.between(s, line, e.inner))
	}
	return lines
}

// remark is a line about what a ladder does not show, empty for nothing.
func (e end) remark(n int, what string) string {
	if n == 0 {
		return e.blank()
	}
	return e.blank() + fmt.Sprintf("… %s %s", count(uint64(n), "event", "events"), what)
}

// Marks between two ladders.
const (
	markColumns = 3
	markSame    = "   "
	markDiffer  = " ≠ "
	markLeft    = " ◁ "
	markRight   = " ▷ "
)

// compareLadders draws both runs' ladders around a difference.
func compareLadders(b *strings.Builder, r *align.Report, s *align.SA, o Options) {
	d := s.Difference
	if o.width() >= besideColumnsMin {
		e := end{s.Node, s.Peer, (o.width()-markColumns)/2 - sentColumns - 3, o}
		line := func(left, mark, right string) {
			b.WriteString(strings.TrimRight(pad(left, e.columns())+mark+right, " ") + "\n")
		}
		margin := e.blank()
		line(margin+o.paint(faintStyle, "in "+r.Left), markSame, margin+o.paint(faintStyle, "in "+r.Right))
		line(e.header(), markSame, e.header())
		if d.Before > 0 {
			line(e.remark(d.Before, "before, the same"), markSame, e.remark(d.Before, "before, the same"))
		}
		for _, row := range d.Rows {
			left, right := e.rung(row.Left, row.Right, row.Same), e.rung(row.Right, row.Left, row.Same)
			mark := o.paint(badStyle, markOf(row))
			for i := range max(len(left), len(right)) {
				halves := [2]string{e.rung(nil, nil, true)[0], e.rung(nil, nil, true)[0]}
				if i < len(left) {
					halves[0] = left[i]
				}
				if i < len(right) {
					halves[1] = right[i]
				}
				line(halves[0], mark, halves[1])
				mark = markSame
			}
		}
		if d.LeftAfter+d.RightAfter > 0 {
			line(e.remark(d.LeftAfter, "more"), markSame, e.remark(d.RightAfter, "more"))
		}
		return
	}
	e := end{s.Node, s.Peer, o.width() - markColumns - sentColumns - 3, o}
	for i, half := range []struct {
		name  string
		pick  func(align.Row) (*align.Event, *align.Event)
		after int
	}{
		{r.Left, func(row align.Row) (*align.Event, *align.Event) { return row.Left, row.Right }, d.LeftAfter},
		{r.Right, func(row align.Row) (*align.Event, *align.Event) { return row.Right, row.Left }, d.RightAfter},
	} {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(markSame + e.blank() + o.paint(faintStyle, "in "+half.name) + "\n" + markSame + e.header() + "\n")
		if d.Before > 0 {
			b.WriteString(markSame + e.remark(d.Before, "before, the same") + "\n")
		}
		empty := true
		for _, row := range d.Rows {
			at, other := half.pick(row)
			if at == nil {
				continue
			}
			empty = false
			mark := o.paint(badStyle, markOf(row))
			for _, line := range e.rung(at, other, row.Same) {
				b.WriteString(mark + line + "\n")
				mark = markSame
			}
		}
		if empty {
			b.WriteString(markSame + e.blank() + "… nothing\n")
		}
		if half.after > 0 {
			b.WriteString(markSame + e.remark(half.after, "more") + "\n")
		}
	}
}

// markOf is the mark of a row: whose event it is if only one run has it.
func markOf(row align.Row) string {
	switch {
	case row.Same:
		return markSame
	case row.Right == nil:
		return markLeft
	case row.Left == nil:
		return markRight
	}
	return markDiffer
}
