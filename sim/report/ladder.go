package report

import (
	"fmt"
	"io"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/ikelab/ikelab/sim"
)

// pair is a conversation: the rungs between two nodes. The left one spoke first.
type pair struct {
	left, right string
	rungs       []*sim.ExchangeRow
}

// pairs sorts the rungs by the two nodes between which they were sent, in order of the first message.
func pairs(r *sim.Result) []*pair {
	var all []*pair
	index := make(map[[2]string]*pair)
	for i := range r.Exchanges {
		e := &r.Exchanges[i]
		key := [2]string{e.From, e.To}
		if e.To < e.From {
			key = [2]string{e.To, e.From}
		}
		p := index[key]
		if p == nil {
			p = &pair{left: e.From, right: e.To}
			index[key] = p
			all = append(all, p)
		}
		p.rungs = append(p.rungs, e)
	}
	return all
}

// The columns of a ladder beside its rails.
const (
	sentColumns    = 11 // when a message was sent, on the left
	arrivedColumns = 11 // when it arrived, on the right
)

// Ladder writes every IKE message that was put on a wire as a rung between the two nodes that it was meant to pass
// between: when it was sent, the exchange with its message ID, its payloads, decrypted, and when it arrived, or
// what became of it. A retransmission is a rung of its own and does not repeat the payloads, which are the same to
// the byte.
func Ladder(w io.Writer, r *sim.Result, o Options) error {
	var b strings.Builder
	all := pairs(r)
	if len(all) == 0 {
		b.WriteString("no IKE message was sent\n")
	}
	shown := all
	if o.PairsMax > 0 && len(shown) > o.PairsMax {
		shown = shown[:o.PairsMax]
	}
	for i, p := range shown {
		if i > 0 {
			b.WriteByte('\n')
		}
		p.write(&b, o)
	}
	if hidden := all[len(shown):]; len(hidden) > 0 {
		var rungs uint64
		for _, p := range hidden {
			rungs += uint64(len(p.rungs))
		}
		fmt.Fprintf(&b, "\n… and %s between %s%s\n", count(rungs, "message", "messages"),
			count(uint64(len(hidden)), "other pair of nodes", "other pairs of nodes"), o.elsewhere("ladder.txt"))
	}
	if r.ExchangesOmitted > 0 {
		fmt.Fprintf(&b, "\n… %s more were sent than a result keeps\n", count(r.ExchangesOmitted, "message", "messages"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *pair) write(b *strings.Builder, o Options) {
	// inner is the distance between the rails.
	inner := o.width() - sentColumns - arrivedColumns - 4
	margin := strings.Repeat(" ", sentColumns+1)
	gap := max(inner+2-lipgloss.Width(p.left)-lipgloss.Width(p.right), 1)
	b.WriteString(margin + o.paint(boldStyle, p.left) + strings.Repeat(" ", gap) + o.paint(boldStyle, p.right) + "\n")
	first, last := p.rungs, p.rungs[:0]
	if o.RungsMax > 0 && len(p.rungs) > o.RungsMax {
		// How it began says more than how it went on.
		last = p.rungs[len(p.rungs)-o.RungsMax/4:]
		first = p.rungs[:o.RungsMax-len(last)]
	}
	for _, e := range first {
		p.rung(b, e, inner, o)
	}
	if hidden := p.rungs[len(first) : len(p.rungs)-len(last)]; len(hidden) > 0 {
		lost := uint64(0)
		for _, e := range hidden {
			if e.Lost {
				lost++
			}
		}
		fmt.Fprintf(b, "%s… %s until %s, %d of them lost%s\n", margin,
			count(uint64(len(hidden)), "message more", "messages more"), instant(hidden[len(hidden)-1].At), lost, o.elsewhere("ladder.txt"))
	}
	for _, e := range last {
		p.rung(b, e, inner, o)
	}
}

// rung writes one message: the arrow, and below it the payloads.
func (p *pair) rung(b *strings.Builder, e *sim.ExchangeRow, inner int, o Options) {
	toRight := e.From == p.left
	label := e.Label
	if label == "" {
		label = messageLabel(e.Exchange, e.Response, e.MessageID)
	}
	if e.Retransmission > 0 {
		label += fmt.Sprintf(", retransmission %d", e.Retransmission)
	} else {
		label += fmt.Sprintf(", %d bytes", e.Bytes)
	}
	fate, arrived := "", ""
	switch {
	case e.Arrived:
		arrived = instant(e.ArrivedAt)
	case e.Lost:
		fate = "lost"
		if e.Reason != "" && e.Reason != "loss" {
			fate += " (" + e.Reason + ")"
		}
	default:
		fate = "in flight"
	}
	b.WriteString(padLeft(instant(e.At), sentColumns) + " ")
	if toRight {
		b.WriteString("├" + o.arrow(label, fate, inner, true) + rail(e.Arrived, "┤"))
	} else {
		b.WriteString(rail(e.Arrived, "├") + o.arrow(label, fate, inner, false) + "┤")
	}
	if arrived != "" {
		b.WriteString(padLeft(arrived, arrivedColumns))
	}
	b.WriteByte('\n')
	margin := strings.Repeat(" ", sentColumns+1)
	if e.Discarded != "" {
		for _, line := range wrap(e.To+" discarded it: "+e.Discarded, inner-4) {
			b.WriteString(margin + o.between(badStyle, line, inner) + "\n")
		}
	}
	if e.Retransmission > 0 {
		return
	}
	payloads := strings.Join(e.Payloads, ", ")
	if payloads == "" && e.Label == "" {
		payloads = "no payload"
	}
	if payloads != "" {
		for _, line := range wrap(payloads, inner-4) {
			b.WriteString(margin + o.between(faintStyle, line, inner) + "\n")
		}
	}
	for _, fault := range e.Faults {
		for _, line := range wrap(fault, inner-4) {
			b.WriteString(margin + o.between(badStyle, line, inner) + "\n")
		}
	}
}

// messageLabel names a message of an exchange.
func messageLabel(exchange string, response bool, id uint32) string {
	direction := "request"
	if response {
		direction = "response"
	}
	return fmt.Sprintf("%s %s %d", exchange, direction, id)
}

// between puts a line of text between the two rails.
func (o Options) between(s lipgloss.Style, line string, inner int) string {
	return "│  " + o.paint(s, pad(line, inner-4)) + "  │"
}

// rail is the receiver's rail where a rung ends: an arrow's point touches it, a lost message's does not.
func rail(arrived bool, touched string) string {
	if arrived {
		return touched
	}
	return "│"
}

// arrow draws a message of a width: its label near the sender, its fate near the receiver.
func (o Options) arrow(label, fate string, columns int, toRight bool) string {
	// The sender's stub, the label, the shaft, and at the receiver a point or the fate.
	const stub = 2
	end := "▶"
	if !toRight {
		end = "◀"
	}
	painted := end
	if fate != "" {
		end = "╳ " + fate + " "
		if !toRight {
			end = " " + fate + " ╳"
		}
		painted = o.paint(badStyle, end)
	}
	room := columns - stub - 2 - lipgloss.Width(end)
	label = clip(label, room)
	shaft := strings.Repeat("─", max(room-lipgloss.Width(label), 0))
	if toRight {
		return strings.Repeat("─", stub) + " " + label + " " + shaft + painted
	}
	return painted + shaft + " " + label + " " + strings.Repeat("─", stub)
}
