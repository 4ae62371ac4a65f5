package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// Colours of a picture.
const (
	inkColour    = "#1f2933"
	faintColour  = "#6b7785"
	barColour    = "#3f6fa3"
	gateColour   = "#fdf3e7" // a node with connections
	hostColour   = "#f4f6f8"
	tunnelColour = "#b4451f"
)

// svg draws the picture.
func (p picture) svg() string {
	l := p.layout()
	gate := make(map[int]bool)
	for _, t := range p.tunnels {
		gate[t.from], gate[t.to] = true, true
	}
	width := max(l.width, columnsOf(p.title)*9+2*marginPx)

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="11">`+"\n",
		width, l.height, width, l.height)
	fmt.Fprintf(&b, "<title>%s</title>\n", xmlText(p.title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, l.height)
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="15" font-weight="bold" fill="%s">%s</text>`+"\n", marginPx, marginPx+10, inkColour, xmlText(p.title))

	for _, w := range p.wires {
		p.svgWire(&b, l, w)
	}
	for i := range p.networks {
		svgBar(&b, &l.shapes[i])
	}
	for i := range p.nodes {
		fill := hostColour
		if gate[i] {
			fill = gateColour
		}
		svgBox(&b, &l.shapes[l.networks+i], fill)
	}
	for _, t := range p.tunnels {
		svgArc(&b, &l.shapes[l.networks+t.from], &l.shapes[l.networks+t.to], t.label)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// svgWire draws a straight line from the interface's row to the bar, with a dot where it is attached.
func (p picture) svgWire(b *strings.Builder, l *layout, w wire) {
	box, bar := &l.shapes[l.networks+w.node], &l.shapes[w.network]
	y := l.rowY(w.node, w.row)
	from := box.x + box.w
	if bar.column < box.column {
		from = box.x
	}
	to := bar.x + barPx/2
	dash := ""
	if !w.up {
		dash = ` stroke-dasharray="2 3"`
	}
	fmt.Fprintf(b, `<path d="M%d %dH%d" stroke="%s" fill="none"%s/><circle cx="%d" cy="%d" r="3.5" fill="%s"/>`+"\n",
		from, y, to, barColour, dash, to, y, barColour)
}

// svgBar draws a network: a vertical bar under its name and prefixes.
func svgBar(b *strings.Builder, s *shape) {
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="3" fill="%s"/>`+"\n", s.x, s.top, barPx, s.bottom-s.top, barColour)
	x, y := s.x+barPx/2, s.y+linePx-4
	// A white edge keeps the text legible where a wire passes behind it.
	const halo = `text-anchor="middle" paint-order="stroke" stroke="#ffffff" stroke-width="4"`
	fmt.Fprintf(b, `<text x="%d" y="%d" %s fill="%s" font-weight="bold">%s</text>`+"\n", x, y, halo, barColour, xmlText(s.vertex.name+s.vertex.times()))
	for _, t := range s.vertex.lines {
		y += linePx
		fmt.Fprintf(b, `<text x="%d" y="%d" %s fill="%s">%s</text>`+"\n", x, y, halo, faintColour, xmlText(t.text))
	}
}

// svgBox draws a node: its name, its interfaces with addresses, and what their links do. A box that stands for
// several has others behind it.
func svgBox(b *strings.Builder, s *shape, fill string) {
	if s.vertex.instances > 1 {
		for _, d := range []int{6, 3} {
			fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="4" fill="%s" stroke="%s"/>`+"\n", s.x+d, s.y+d, s.w, s.h, fill, faintColour)
		}
	}
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="4" fill="%s" stroke="%s"/>`+"\n", s.x, s.y, s.w, s.h, fill, inkColour)
	x, y := s.x+padPx, s.y+titlePx-6
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold" fill="%s">%s</text>`+"\n", x, y, inkColour, xmlText(s.vertex.name+s.vertex.times()))
	y = s.y + titlePx - 4
	for _, t := range s.vertex.lines {
		y += linePx
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s" xml:space="preserve">%s</text>`+"\n", x, y, inkColour, xmlText(t.text))
		if t.remark != "" {
			y += linePx
			fmt.Fprintf(b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", x+2*charPx, y, faintColour, xmlText(t.remark))
		}
	}
}

// svgArc draws a tunnel: over the boxes, or beside them where they stand in one column.
func svgArc(b *strings.Builder, from, to *shape, label string) {
	const stroke = `stroke="` + tunnelColour + `" stroke-width="1.5" stroke-dasharray="6 4" fill="none"`
	const text = `text-anchor="middle" paint-order="stroke" stroke="#ffffff" stroke-width="4" fill="` + tunnelColour + `"`
	if from.column == to.column {
		if from.y > to.y {
			from, to = to, from
		}
		x1, y1, x2, y2 := from.x+from.w, from.y+titlePx/2, to.x+to.w, to.y+titlePx/2
		bulge := max(x1, x2) + sideBulge(y2-y1)
		fmt.Fprintf(b, `<path d="M%d %dC%d %d %d %d %d %d" %s/>`+"\n", x1, y1, bulge, y1, bulge, y2, x2, y2, stroke)
		fmt.Fprintf(b, `<text x="%d" y="%d" %s>%s</text>`+"\n", (x1+x2+6*bulge)/8, (y1+y2)/2, text, xmlText(label))
		return
	}
	x1, x2 := from.x+from.w/2, to.x+to.w/2
	peak := min(from.y, to.y) - arcRise(to.column-from.column)
	// A cubic's middle is at three quarters of the way to its control points; this one touches the peak.
	control := peak - (min(from.y, to.y)-peak)/3
	fmt.Fprintf(b, `<path d="M%d %dC%d %d %d %d %d %d" %s/>`+"\n", x1, from.y, x1, control, x2, control, x2, to.y, stroke)
	fmt.Fprintf(b, `<text x="%d" y="%d" %s>%s</text>`+"\n", (x1+x2)/2, peak-4, text, xmlText(label))
}

// xmlText escapes text for XML.
func xmlText(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a bytes.Buffer takes everything
	return b.String()
}
