package report

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/ikelab/ikelab/sim"
)

// processLinesMax bounds what is shown of what a process wrote when it went wrong: the last lines of standard error,
// or of standard output where it wrote none there.
const processLinesMax = 3

// processes writes a line for each process, and below one that went wrong its last words. What went wrong comes first
// where not everything is shown.
func processes(b *strings.Builder, r *sim.Result, o Options) {
	if len(r.Processes) == 0 {
		return
	}
	heading(b, o, "processes")
	order := make([]*sim.ProcessResult, 0, len(r.Processes))
	for i := range r.Processes {
		order = append(order, &r.Processes[i])
	}
	if o.RowsMax > 0 && len(order) > o.RowsMax {
		order = order[:0]
		for pass := range 2 {
			for i := range r.Processes {
				if p := &r.Processes[i]; wentWrong(p) == (pass == 0) {
					order = append(order, p)
				}
			}
		}
	}
	shown := order
	if o.RowsMax > 0 && len(shown) > o.RowsMax {
		shown = shown[:o.RowsMax]
	}
	nameColumns := 0
	for _, p := range shown {
		nameColumns = max(nameColumns, len(p.Name)+2+len(p.Node))
	}
	for _, p := range shown {
		fmt.Fprintf(b, "  %s  %s\n", pad(p.Name+"  "+p.Node, nameColumns), processState(p, o))
		fmt.Fprintf(b, "    %s\n", o.paint(faintStyle, clip(printable(strings.Join(p.Command, " ")), o.width()-4)))
		if wentWrong(p) {
			for _, line := range lastWords(p) {
				fmt.Fprintf(b, "    │ %s\n", clip(line, o.width()-6))
			}
		}
	}
	if hidden := order[len(shown):]; len(hidden) > 0 {
		wrong := 0
		for _, p := range hidden {
			if wentWrong(p) {
				wrong++
			}
		}
		fmt.Fprintf(b, "  … and %s, of which %d went wrong%s\n",
			count(uint64(len(hidden)), "other process", "other processes"), wrong, o.elsewhere("result.json"))
	}
}

// wentWrong says that a process failed. One that the lab asked to end, and that did, has not.
func wentWrong(p *sim.ProcessResult) bool {
	const terminated, killed = 128 + 15, 128 + 9
	asked := p.Stopped && (p.ExitStatus == terminated || p.ExitStatus == killed)
	return p.Exited && p.ExitStatus != 0 && !asked
}

// processState says in one line what became of a process.
func processState(p *sim.ProcessResult, o Options) string {
	switch {
	case p.Problem != "":
		return o.paint(badStyle, "could not be started: "+printable(p.Problem))
	case !p.Started:
		return "never started"
	case p.Running:
		return fmt.Sprintf("started at %s, still running at the end", instant(p.StartedAt))
	}
	status := fmt.Sprintf("exit status %d", p.ExitStatus)
	if p.ExitStatus > 128 && p.ExitStatus <= 128+64 {
		status += fmt.Sprintf(" (signal %d)", p.ExitStatus-128)
	}
	if p.Stopped {
		status += ", asked to end,"
	}
	if wentWrong(p) {
		status = o.paint(badStyle, status)
	}
	return fmt.Sprintf("started at %s, %s after %s", instant(p.StartedAt), status, span(p.Duration))
}

// lastWords are the last lines that a process wrote, safe for a terminal.
func lastWords(p *sim.ProcessResult) []string {
	text := strings.TrimSpace(p.ErrorOutput)
	if text == "" {
		text = strings.TrimSpace(p.Output)
	}
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(len(lines)-processLinesMax, 0):]
	for i := range lines {
		lines[i] = printable(strings.TrimRight(lines[i], "\r"))
	}
	return lines
}

// printable replaces what could move a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
