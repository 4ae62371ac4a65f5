package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// Summary writes everything about a run that a person wants to see, in the order in which it is asked: what ran,
// the ladder, the connections, the flows, the processes, what nodes gave up, the verdicts, and last the two lines of Closing.
func Summary(w io.Writer, r *sim.Result, o Options) error {
	var b strings.Builder
	kind := "virtual"
	if o.RealTime {
		kind = "real"
	}
	fmt.Fprintf(&b, "%s  seed %d  %s of %s time  %s\n", o.paint(boldStyle, "lab "+r.Lab), r.Seed,
		instant(r.Ended), kind, count(r.Events, "event", "events"))
	switch {
	case r.Interrupted:
		fmt.Fprintf(&b, "%s\n", o.paint(badStyle, "interrupted at "+instant(r.Ended)+" of "+instant(r.Until)))
	case r.Stopped != "":
		fmt.Fprintf(&b, "%s\n", o.paint(badStyle, "stopped at "+instant(r.Ended)+": "+r.Stopped))
	}

	heading(&b, o, "IKE exchanges")
	if err := Ladder(&b, r, o); err != nil {
		return err
	}
	if len(r.Connections) > 0 {
		heading(&b, o, "connections")
		connections(&b, r, o)
	}
	if len(r.Failures) > 0 {
		heading(&b, o, "failed negotiations")
		failures(&b, r, o)
	}
	if len(r.Flows) > 0 {
		heading(&b, o, "flows")
		flows(&b, r, o)
	}
	processes(&b, r, o)
	drops(&b, r, o)
	hostTroubles(&b, r, o)
	heading(&b, o, "expectations")
	expectations(&b, r, o)
	heading(&b, o, "invariants")
	invariants(&b, r, o)
	b.WriteByte('\n')
	b.WriteString(Closing(r))
	_, err := io.WriteString(w, b.String())
	return err
}

func heading(b *strings.Builder, o Options, text string) {
	fmt.Fprintf(b, "\n%s\n", o.paint(boldStyle, text))
}

// Closing is the end of a run's output, two lines for scripts: the digest, and the result with its counts. An
// interrupted run says so in place of pass or fail.
func Closing(r *sim.Result) string {
	e, eAll, i, iAll := r.Passed()
	verdict := "fail"
	switch {
	case r.Interrupted:
		verdict = "interrupted"
	case r.OK():
		verdict = "pass"
	}
	return fmt.Sprintf("digest  sha256:%s\nresult  %s  expectations %d/%d  invariants %d/%d\n",
		r.Digest, verdict, e, eAll, i, iAll)
}

// connections writes a line for each end of each connection, and what became of its children.
func connections(b *strings.Builder, r *sim.Result, o Options) {
	// What failed is shown first where not everything is.
	order := make([]*sim.ConnectionResult, 0, len(r.Connections))
	if o.RowsMax > 0 && len(r.Connections) > o.RowsMax {
		for pass := range 2 {
			for i := range r.Connections {
				c := &r.Connections[i]
				if troubled := c.Failed != "" || !c.Established; troubled == (pass == 0) {
					order = append(order, c)
				}
			}
		}
	} else {
		for i := range r.Connections {
			order = append(order, &r.Connections[i])
		}
	}
	shown := order
	if o.RowsMax > 0 && len(shown) > o.RowsMax {
		shown = shown[:o.RowsMax]
	}
	nameColumns := 0
	for _, c := range shown {
		nameColumns = max(nameColumns, len(c.Node)+2+len(c.Name))
	}
	for _, c := range shown {
		indent := strings.Repeat(" ", 4)
		fmt.Fprintf(b, "  %s  %s\n", pad(c.Node+"  "+c.Name, nameColumns), state(c, o))
		for _, ch := range c.Children {
			fmt.Fprintf(b, "%schild %s: %s\n", indent, ch.Name, childState(ch))
		}
	}
	if hidden := order[len(shown):]; len(hidden) > 0 {
		var up, failed, again uint64
		for _, c := range hidden {
			if c.Established {
				up++
			}
			if c.Failed != "" {
				failed++
			}
			again += c.Retransmissions
		}
		fmt.Fprintf(b, "  … and %s: %d established, %d failed, %s%s\n",
			count(uint64(len(hidden)), "other end", "other ends"), up, failed,
			count(again, "retransmission", "retransmissions"), o.elsewhere("result.json"))
	}
}

// failures writes each negotiation that failed, as each end saw it, with both sides' proposals where they are what
// it was about.
func failures(b *strings.Builder, r *sim.Result, o Options) {
	shown := r.Failures
	if o.RowsMax > 0 && len(shown) > o.RowsMax {
		shown = shown[:o.RowsMax]
	}
	for _, f := range shown {
		who := f.Node
		for _, part := range []string{f.Connection, f.Child} {
			if part != "" {
				who += "  " + part
			}
		}
		peer := ""
		if f.Peer != "" {
			peer = "  with " + f.Peer
		}
		fmt.Fprintf(b, "%s  %s%s  %s\n", padLeft(instant(f.At), sentColumns), who, peer, o.paint(badStyle, f.Reason))
		indent := strings.Repeat(" ", sentColumns+2)
		facts := []fact{
			{"its own proposals", strings.Join(f.LocalProposals, ", ")},
			{"the peer's proposals", strings.Join(f.RemoteProposals, ", ")},
		}
		for _, field := range f.Fields {
			facts = append(facts, fact{strings.ReplaceAll(field.Key, "-", " "), field.Value})
		}
		labelled(b, indent, facts, o)
	}
	if hidden := r.Failures[len(shown):]; len(hidden) > 0 {
		fmt.Fprintf(b, "  … and %s%s\n", count(uint64(len(hidden)), "other failure", "other failures"), o.elsewhere("result.json"))
	}
}

// fact is a value with its name.
type fact struct{ name, value string }

// labelled writes facts below each other, those without a value left out.
func labelled(b *strings.Builder, indent string, facts []fact, o Options) {
	columns := 0
	for _, f := range facts {
		if f.value != "" {
			columns = max(columns, lipgloss.Width(f.name))
		}
	}
	for _, f := range facts {
		label := indent + pad(f.name, columns) + "  "
		for _, line := range wrap(f.value, o.width()-lipgloss.Width(label)) {
			b.WriteString(label + line + "\n")
			label = strings.Repeat(" ", lipgloss.Width(label))
		}
	}
}

// state says in one line how a connection stands.
func state(c *sim.ConnectionResult, o Options) string {
	var parts []string
	switch {
	case c.Established && c.EstablishedCount > 1:
		parts = append(parts, fmt.Sprintf("established, for the first time at %s, %d times in all", instant(c.EstablishedAt), c.EstablishedCount))
	case c.Established:
		parts = append(parts, "established at "+instant(c.EstablishedAt))
	case c.EstablishedCount > 0:
		parts = append(parts, fmt.Sprintf("was established at %s, is no more", instant(c.EstablishedAt)))
	case c.Failed == "":
		parts = append(parts, "never established")
	}
	if c.Failed != "" {
		parts = append(parts, o.paint(badStyle, "failed: "+c.Failed))
	}
	if c.Retransmissions > 0 {
		parts = append(parts, count(c.Retransmissions, "retransmission", "retransmissions"))
	}
	if c.NAT {
		parts = append(parts, "NAT detected")
	}
	if c.Encap {
		parts = append(parts, "ESP in UDP")
	}
	return strings.Join(parts, ", ")
}

func childState(ch sim.ChildResult) string {
	if ch.Installs == 0 {
		if ch.Failed != "" {
			return "failed: " + ch.Failed
		}
		return "never installed"
	}
	text := fmt.Sprintf("%s (%d bytes) in, %s (%d bytes) out", count(ch.PacketsIn, "packet", "packets"), ch.BytesIn,
		count(ch.PacketsOut, "packet", "packets"), ch.BytesOut)
	if !ch.Installed {
		text = "deleted; " + text
	}
	if ch.Installs > 1 {
		text += fmt.Sprintf(", installed %d times", ch.Installs)
	}
	return text
}

// flows writes the flows' figures as a table. Delays are round trips for an echo flow.
func flows(b *strings.Builder, r *sim.Result, o Options) {
	shown := r.Flows
	if o.RowsMax > 0 && len(shown) > o.RowsMax {
		shown = shown[:o.RowsMax]
	}
	header := []string{"flow", "path", "sent", "recv.", "lost", "reord.", "delay p50", "p99", "max", "longest gap"}
	right := []bool{false, false, true, true, true, true, true, true, true, true}
	var rows [][]string
	echo := false
	for _, f := range shown {
		name := f.Name
		if f.Protocol == topology.ProtocolICMP {
			name += "*"
			echo = true
		}
		row := []string{name, f.From + " → " + f.To, fmt.Sprint(f.Sent), fmt.Sprint(f.Received), lost(f), fmt.Sprint(f.Reordered)}
		if f.HasDelay {
			row = append(row, span(f.DelayP50), span(f.DelayP99), span(f.DelayMax))
		} else {
			row = append(row, "–", "–", "–")
		}
		rows = append(rows, append(row, gap(f)))
	}
	table(b, "  ", header, right, rows, o)
	if hidden := r.Flows[len(shown):]; len(hidden) > 0 {
		var sent, received, gone uint64
		for _, f := range hidden {
			sent, received, gone = sent+f.Sent, received+f.Received, gone+f.Lost
		}
		fmt.Fprintf(b, "  … and %s: %d sent, %d received, %d lost%s\n",
			count(uint64(len(hidden)), "other flow", "other flows"), sent, received, gone, o.elsewhere("result.json"))
	}
	for _, f := range shown {
		if f.InFlight > 0 {
			held := ""
			if f.Held > 0 {
				held = fmt.Sprintf(", %d of them held for a tunnel", f.Held)
			}
			fmt.Fprintf(b, "  %s: %s under way at the end%s, neither received nor lost\n", f.Name, count(f.InFlight, "packet was", "packets were"), held)
		}
	}
	if echo {
		b.WriteString("  * an echo flow: a reply counts as received, delays are round trips\n")
	}
}

func lost(f sim.FlowResult) string {
	if f.Lost == 0 {
		return fmt.Sprint(f.Lost)
	}
	// Of those whose fate is known, as result.flow.X.loss has it.
	known := f.Lost + f.Received
	permille := (f.Lost*1000 + known/2) / known
	return fmt.Sprintf("%d (%d.%d %%)", f.Lost, permille/10, permille%10)
}

func gap(f sim.FlowResult) string {
	if f.LongestGap == 0 {
		return "–"
	}
	return span(f.LongestGap)
}

// expectations writes each expectation with its verdict; one that failed says why and prints its operands. Many
// instances of one that passed share a line.
func expectations(b *strings.Builder, r *sim.Result, o Options) {
	if len(r.Expectations) == 0 {
		b.WriteString("  none: the lab has no expect block\n")
		return
	}
	failed, hidden := 0, uint64(0)
	for i := 0; i < len(r.Expectations); {
		e := &r.Expectations[i]
		if e.Pass {
			n := alike(r.Expectations[i:])
			name := e.Name
			if n > collapseAbove {
				name = fmt.Sprintf("%s … %s", e.Name, strings.TrimPrefix(r.Expectations[i+n-1].Name, instanceOf(e.Name)))
			} else {
				n = 1
			}
			fmt.Fprintf(b, "  %s  %s\n", o.verdict(true, false), name)
			i += n
			continue
		}
		if failed++; o.RowsMax > 0 && failed > o.RowsMax {
			hidden++
		} else {
			failedExpectation(b, e, o)
		}
		i++
	}
	if hidden > 0 {
		fmt.Fprintf(b, "  … and %s%s\n", count(hidden, "other that failed", "others that failed"), o.elsewhere("result.json"))
	}
}

// alike counts the expectations at the head of a list that passed and are instances of one block.
func alike(list []sim.ExpectationResult) int {
	base, n := instanceOf(list[0].Name), 1
	for base != "" && n < len(list) && list[n].Pass && instanceOf(list[n].Name) == base {
		n++
	}
	return n
}

// instanceOf is an instance's name up to its index or key in brackets, empty for what is no instance.
func instanceOf(name string) string {
	if i := strings.LastIndexByte(name, '['); i > 0 && strings.HasSuffix(name, "]") {
		return name[:i]
	}
	return ""
}

func failedExpectation(b *strings.Builder, e *sim.ExpectationResult, o Options) {
	fmt.Fprintf(b, "  %s  %s  %s", o.verdict(false, false), e.Name, o.paint(faintStyle, fmt.Sprintf("%s:%d", e.File, e.Line)))
	if e.Mode != topology.ModeEnd {
		fmt.Fprintf(b, "  at %s", instant(e.At))
	}
	b.WriteByte('\n')
	why(b, e.Why, o)
	columns := 0
	for _, op := range e.Operands {
		if op.Text != op.Value {
			columns = max(columns, lipgloss.Width(op.Text))
		}
	}
	for _, op := range e.Operands {
		if op.Text != op.Value { // a literal says nothing twice
			fmt.Fprintf(b, "        %s = %s\n", pad(op.Text, columns), op.Value)
		}
	}
}

// invariants writes each invariant with its verdict and how much it had to judge.
func invariants(b *strings.Builder, r *sim.Result, o Options) {
	columns := 0
	for _, i := range r.Invariants {
		columns = max(columns, len(i.Name))
	}
	for _, i := range r.Invariants {
		fmt.Fprintf(b, "  %s  %s  ", o.verdict(i.Pass, i.Off), pad(i.Name, columns))
		switch {
		case i.Off:
			b.WriteString("turned off by the lab\n")
		case i.Pass:
			b.WriteString(o.paint(faintStyle, count(i.Checks, "check", "checks")) + "\n")
		default:
			fmt.Fprintf(b, "%s in %s, the first at %s\n", count(i.Count, "violation", "violations"), count(i.Checks, "check", "checks"), instant(i.At))
			why(b, i.Why, o)
		}
	}
}

func why(b *strings.Builder, text string, o Options) {
	for _, line := range wrap(text, o.width()-8) {
		b.WriteString("        " + line + "\n")
	}
}

// ProgressLine says where a run stands, in one line: virtual time of how much, events, IKE SAs that stand, and how fast
// it goes; wall is the time that a clock on the wall has measured.
func ProgressLine(p sim.Progress, wall time.Duration) string {
	line := fmt.Sprintf("%s of %s  %s", instant(p.Now), instant(p.Until), count(p.Events, "event", "events"))
	if p.Established > 0 {
		line += fmt.Sprintf("  %s", count(uint64(p.Established), "IKE SA", "IKE SAs"))
	}
	if wall > 0 {
		line += fmt.Sprintf("  %d/s  %.1f× real time", uint64(float64(p.Events)/wall.Seconds()), p.Now.Seconds()/wall.Seconds())
	}
	return line
}
