package topology

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/mitchellh/go-wordwrap"
)

// Diagnostics is everything that Load has to say about a lab. The zero value says
// nothing.
type Diagnostics struct {
	list    hcl.Diagnostics
	sources map[string][]byte
}

// Diagnostic is one message, with the place it is about.
type Diagnostic struct {
	// Error says that it keeps the lab from being planned; else it is a warning.
	Error bool
	// Summary is one short sentence; Detail says more and what would be right.
	Summary, Detail string
	// File is as given to Load, lines and columns count from 1. The end is behind
	// the last character. A diagnostic about no place has no file.
	File                             string
	Line, Column, EndLine, EndColumn int
	// Refusal says that the lab asks for what a later version brings.
	Refusal bool
}

// refusal marks, in hcl.Diagnostic.Extra, what a later version brings.
type refusal struct{}

// HasErrors says whether any of them is an error.
func (d Diagnostics) HasErrors() bool { return d.list.HasErrors() }

// Len answers how many there are.
func (d Diagnostics) Len() int { return len(d.list) }

// All answers them in the order of the file.
func (d Diagnostics) All() []Diagnostic {
	out := make([]Diagnostic, 0, len(d.list))
	for _, h := range d.list {
		one := Diagnostic{Error: h.Severity == hcl.DiagError, Summary: h.Summary, Detail: h.Detail}
		_, one.Refusal = h.Extra.(refusal)
		if h.Subject != nil {
			one.File = h.Subject.Filename
			one.Line, one.Column = h.Subject.Start.Line, h.Subject.Start.Column
			one.EndLine, one.EndColumn = h.Subject.End.Line, h.Subject.End.Column
		}
		out = append(out, one)
	}
	return out
}

// Error answers the errors, one line each: file, line, column, summary, detail.
func (d Diagnostics) Error() string {
	var lines []string
	for _, one := range d.All() {
		if !one.Error {
			continue
		}
		line := one.Summary
		if one.Detail != "" {
			line += ": " + one.Detail
		}
		if one.File != "" {
			line = fmt.Sprintf("%s:%d:%d: %s", one.File, one.Line, one.Column, line)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Colours of a terminal (ECMA-48 SGR).
const (
	sgrError   = "\x1b[1;31m"
	sgrWarning = "\x1b[1;33m"
	sgrBold    = "\x1b[1m"
	sgrReset   = "\x1b[0m"
)

// Write renders them for a person: file and line, the source text with the offending
// part underlined, and the remedy, wrapped to width columns (0: not wrapped). HCL's
// own writer underlines only with colour; this one does so in a log as well.
func (d Diagnostics) Write(w io.Writer, width int, color bool) error {
	paint := func(code, text string) string {
		if !color {
			return text
		}
		return code + text + sgrReset
	}
	var out strings.Builder
	for i, one := range d.All() {
		if i > 0 {
			out.WriteByte('\n')
		}
		word, code := "Error", sgrError
		if !one.Error {
			word, code = "Warning", sgrWarning
		}
		fmt.Fprintf(&out, "%s %s\n", paint(code, word+":"), paint(sgrBold, visible(one.Summary)))
		if one.File != "" {
			fmt.Fprintf(&out, "  on %s line %d, column %d:\n", one.File, one.Line, one.Column)
			d.snippet(&out, one, func(marks string) string { return paint(code, marks) })
		}
		if one.Detail != "" {
			detail := visible(one.Detail)
			if width > 0 {
				detail = wordwrap.WrapString(detail, uint(max(width-2, 20)))
			}
			out.WriteString("  " + strings.ReplaceAll(detail, "\n", "\n  ") + "\n")
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// snippetLinesMax bounds how much source a diagnostic shows.
const snippetLinesMax = 4

// visible replaces what would move a terminal's cursor or change its colours, column by
// column, so that a lab cannot write over its own diagnostics.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

const (
	// snippetColumnsMax is how much of a source line is shown,
	// snippetColumnsBefore of it in front of the offending part.
	snippetColumnsMax    = 240
	snippetColumnsBefore = 60
)

// window cuts a long line down to what lies around from, and moves from and to along.
func window(text string, from, to int) (string, int, int) {
	runes := []rune(text)
	if len(runes) <= snippetColumnsMax {
		return text, from, to
	}
	start := max(0, min(from-snippetColumnsBefore, len(runes)-snippetColumnsMax))
	end := min(len(runes), start+snippetColumnsMax)
	cut := string(runes[start:end])
	from, to = from-start, min(to, end)-start
	if start > 0 {
		cut, from, to = "…"+cut, from+1, to+1
	}
	if end < len(runes) {
		cut += "…"
	}
	return cut, from, to
}

// snippet prints the source lines of a diagnostic, each with its offending part
// underlined. A tab in the source stays a tab under it, so that the marks align.
func (d Diagnostics) snippet(out *strings.Builder, one Diagnostic, paint func(string) string) {
	lines := strings.Split(string(d.sources[one.File]), "\n")
	last := min(one.EndLine, one.Line+snippetLinesMax-1)
	for n := one.Line; n <= last && n <= len(lines); n++ {
		text := visible(strings.TrimSuffix(lines[n-1], "\r"))
		from, to := 0, utf8.RuneCountInString(text)
		if n == one.Line {
			from = one.Column - 1
		}
		if n == one.EndLine {
			to = min(to, one.EndColumn-1)
		}
		text, from, to = window(text, from, to)
		fmt.Fprintf(out, "  %4d │ %s\n", n, text)
		var pad strings.Builder
		marks := 0
		for i, r := range []rune(text) {
			switch {
			case i >= to:
			case i >= from && (marks > 0 || r != ' ' && r != '\t'):
				marks++
			case r == '\t':
				pad.WriteByte('\t')
			default:
				pad.WriteByte(' ')
			}
		}
		fmt.Fprintf(out, "       │ %s%s\n", pad.String(), paint(strings.Repeat("^", max(marks, 1))))
	}
	if one.EndLine > last {
		fmt.Fprintf(out, "       │ …\n")
	}
}

// report adds one diagnostic. The instances of a block share its text: what is said
// of the same place twice is said once.
func (l *loader) report(severity hcl.DiagnosticSeverity, rng hcl.Range, extra any, summary, detail string) {
	l.add(&hcl.Diagnostic{Severity: severity, Subject: &rng, Summary: summary, Detail: detail, Extra: extra})
}

func (l *loader) add(d *hcl.Diagnostic) {
	key := diagnosticKey{summary: d.Summary}
	if d.Subject != nil {
		key.rng = *d.Subject
	}
	if _, said := l.said[key]; said {
		return
	}
	l.said[key] = struct{}{}
	if len(l.diags) >= diagnosticsMax {
		l.diagsCut = true
		return
	}
	l.diags = append(l.diags, d)
}

type diagnosticKey struct {
	rng     hcl.Range
	summary string
}

// errorf reports an error; detail must name the remedy.
func (l *loader) errorf(rng hcl.Range, summary, detail string, args ...any) {
	l.report(hcl.DiagError, rng, nil, summary, fmt.Sprintf(detail, args...))
}

// warnf reports a warning.
func (l *loader) warnf(rng hcl.Range, summary, detail string, args ...any) {
	l.report(hcl.DiagWarning, rng, nil, summary, fmt.Sprintf(detail, args...))
}

// refuse reports something that the language has and this version cannot do.
func (l *loader) refuse(rng hcl.Range, what string) {
	l.report(hcl.DiagError, rng, refusal{}, what+" is not available yet",
		"The lab language knows "+what+", but this version of ikelab cannot do it; a later one will. Remove it to run the lab.")
}

// finish answers the diagnostics in the order of the file.
func (l *loader) finish() Diagnostics {
	slices.SortStableFunc(l.diags, func(a, b *hcl.Diagnostic) int {
		switch {
		case a.Subject == nil || b.Subject == nil:
			if a.Subject == nil && b.Subject == nil {
				return 0
			} else if a.Subject == nil {
				return 1
			}
			return -1
		case a.Subject.Start.Byte != b.Subject.Start.Byte:
			return a.Subject.Start.Byte - b.Subject.Start.Byte
		}
		return a.Subject.End.Byte - b.Subject.End.Byte
	})
	if l.diagsCut {
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Too many diagnostics",
			Detail: fmt.Sprintf("There are more than %d; the others are left out. Cure these first.", diagnosticsMax)})
	}
	return Diagnostics{list: l.diags, sources: l.sources}
}

// nearest answers the name that was probably meant, or "".
func nearest(wrong string, names []string) string {
	best, bestDistance := "", 3
	if len(wrong) <= 3 {
		bestDistance = 2
	}
	for _, name := range names {
		d := levenshtein.Distance(wrong, name, nil)
		if d == 2 && len(wrong) >= 3 && letters(wrong) == letters(name) {
			d = 1 // two letters changed places
		}
		if d < bestDistance {
			best, bestDistance = name, d
		}
	}
	if best == "" && len(wrong) >= 3 {
		for _, name := range names {
			if strings.HasPrefix(name, wrong) || strings.HasPrefix(wrong, name) && len(name) >= 3 {
				return name
			}
		}
	}
	return best
}

// letters answers the letters of a word in alphabetical order.
func letters(word string) string {
	r := []rune(word)
	slices.Sort(r)
	return string(r)
}

// didYouMean answers the sentence that helps with a wrong name: the name that was
// probably meant, else those there are.
func didYouMean(wrong string, names []string) string {
	if name := nearest(wrong, names); name != "" {
		return fmt.Sprintf("Did you mean %q?", name)
	}
	if len(names) == 0 {
		return "There is none at all."
	}
	return "There is " + enumerate(names, "and") + "."
}

// namesShownMax bounds an enumeration of names in a message.
const namesShownMax = 12

// enumerate joins quoted names: "a", "b" and "c".
func enumerate(names []string, last string) string {
	quoted := make([]string, 0, len(names))
	for i, n := range names {
		if i == namesShownMax && len(names) > namesShownMax+1 {
			quoted = append(quoted, fmt.Sprintf("%d more", len(names)-i))
			break
		}
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + last + " " + quoted[len(quoted)-1]
}
