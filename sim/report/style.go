package report

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
)

// Options say how a report is written.
type Options struct {
	// WidthColumns is the width to fill and not to exceed, where words allow; 0 means 100. It is kept between
	// widthColumnsMin and widthColumnsMax.
	WidthColumns int
	// Colour switches ANSI colours on; it is for terminals only.
	Colour bool
	// PairsMax is how many pairs of nodes a ladder shows, RowsMax how many rows a table has; 0 shows everything.
	PairsMax, RowsMax int
	// RungsMax is how many messages a ladder shows between two nodes, the first ones and the last; 0 shows all.
	RungsMax int
	// OutDir is where the run's files are, for the lines that say where to find what was cut; empty where there
	// are none.
	OutDir string
	// RealTime says that the run took the time that it shows.
	RealTime bool
}

const (
	widthColumnsDefault = 100
	widthColumnsMin     = 64
	widthColumnsMax     = 140
)

func (o Options) width() int {
	if o.WidthColumns == 0 {
		return widthColumnsDefault
	}
	return min(max(o.WidthColumns, widthColumnsMin), widthColumnsMax)
}

// elsewhere ends a line that says what was cut; file is the one that has all of it.
func (o Options) elsewhere(file string) string {
	if o.OutDir == "" {
		return "; --out DIR keeps them"
	}
	return "; see " + strings.TrimSuffix(o.OutDir, "/") + "/" + file
}

var (
	goodStyle  = lipgloss.NewStyle().Foreground(lipgloss.Green)
	badStyle   = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
	faintStyle = lipgloss.NewStyle().Faint(true)
	boldStyle  = lipgloss.NewStyle().Bold(true)
)

func (o Options) paint(s lipgloss.Style, text string) string {
	if !o.Colour || text == "" {
		return text
	}
	return s.Render(text)
}

// verdict is the word in front of an expectation or invariant, six columns wide.
func (o Options) verdict(pass, off bool) string {
	switch {
	case off:
		return o.paint(faintStyle, "off ")
	case pass:
		return o.paint(goodStyle, "pass")
	default:
		return o.paint(badStyle, "FAIL")
	}
}

// instant writes a time since the epoch in seconds to the millisecond.
func instant(at time.Duration) string {
	return fmt.Sprintf("%d.%03d s", at/time.Second, at%time.Second/time.Millisecond)
}

// span writes a duration with three or four significant digits.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d)
	case d < time.Millisecond:
		return decimals(d, time.Microsecond) + " µs"
	case d < time.Second:
		return decimals(d, time.Millisecond) + " ms"
	default:
		return decimals(d, time.Second) + " s"
	}
}

// decimals divides, keeping three significant digits of what is below the unit and all of what is above it.
func decimals(d, unit time.Duration) string {
	whole := d / unit
	switch {
	case whole >= 100:
		return fmt.Sprintf("%d", (d+unit/2)/unit)
	case whole >= 10:
		tenths := (d + unit/20) / (unit / 10)
		return fmt.Sprintf("%d.%d", tenths/10, tenths%10)
	default:
		hundredths := (d + unit/200) / (unit / 100)
		return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
	}
}

// count writes a number with a word in singular or plural.
func count(n uint64, singular, plural string) string {
	if n == 1 {
		return "1 " + singular
	}
	return fmt.Sprintf("%d %s", n, plural)
}

// pad fills text with spaces to a display width.
func pad(text string, columns int) string {
	if n := columns - lipgloss.Width(text); n > 0 {
		return text + strings.Repeat(" ", n)
	}
	return text
}

// padLeft fills text with spaces on its left to a display width.
func padLeft(text string, columns int) string {
	if n := columns - lipgloss.Width(text); n > 0 {
		return strings.Repeat(" ", n) + text
	}
	return text
}

// wrap breaks text into lines of at most the given width, at spaces, and inside a word only when the word alone is
// too long.
func wrap(text string, columns int) []string {
	var lines []string
	line, width := "", 0
	for _, word := range strings.Fields(text) {
		for {
			w := lipgloss.Width(word)
			if line == "" && w > columns {
				head, tail := cut(word, columns)
				lines = append(lines, head)
				word = tail
				continue
			}
			if line == "" {
				line, width = word, w
				break
			}
			if width+1+w <= columns {
				line, width = line+" "+word, width+1+w
				break
			}
			lines = append(lines, line)
			line, width = "", 0
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// cut splits a word at a display width, taking at least one rune; behind a dash, comma or slash if there is one in the
// second half, as proposals have.
func cut(word string, columns int) (head, tail string) {
	width, seam := 0, 0 // seam is where to cut, in bytes
	for i, r := range word {
		w := lipgloss.Width(string(r))
		if i > 0 && width+w > columns {
			if seam > 0 {
				i = seam
			}
			return word[:i], word[i:]
		}
		width += w
		if strings.ContainsRune("-,/", r) && 2*width > columns {
			seam = i + 1
		}
	}
	return word, ""
}

// clip shortens text to a display width, an ellipsis at its end.
func clip(text string, columns int) string {
	width := 0
	for i, r := range text {
		w := lipgloss.Width(string(r))
		if width+w > columns-1 && lipgloss.Width(text[i:]) > columns-width {
			return text[:i] + "…"
		}
		width += w
	}
	return text
}

// table lays out rows in columns; right says which columns are numbers. Rows may be shorter than the header.
func table(b *strings.Builder, indent string, header []string, right []bool, rows [][]string, o Options) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = lipgloss.Width(h)
	}
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	line := func(cells []string) string {
		var l strings.Builder
		for i, cell := range cells {
			if i > 0 {
				l.WriteString("  ")
			}
			if right[i] {
				l.WriteString(padLeft(cell, widths[i]))
			} else {
				l.WriteString(pad(cell, widths[i]))
			}
		}
		return strings.TrimRight(l.String(), " ")
	}
	b.WriteString(indent + o.paint(faintStyle, line(header)) + "\n")
	for _, row := range rows {
		b.WriteString(indent + line(row) + "\n")
	}
}
