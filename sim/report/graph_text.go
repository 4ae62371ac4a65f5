package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/ikelab/ikelab/topology"
)

// Formats are the names that Graph knows.
var Formats = []string{"svg", "dot", "mermaid"}

// Graph draws a plan's topology: networks, nodes with their interfaces, and tunnels. The formats are those of
// Formats: a picture, Graphviz's language, Mermaid's.
func Graph(w io.Writer, p *topology.Plan, format string) error {
	pic := newPicture(p)
	var text string
	switch format {
	case "svg":
		text = pic.svg()
	case "dot":
		text = pic.dot()
	case "mermaid":
		text = pic.mermaid()
	default:
		return fmt.Errorf("no format %q for a graph: want one of %s", format, strings.Join(Formats, ", "))
	}
	_, err := io.WriteString(w, text)
	return err
}

// times says how many instances a vertex stands for, where it is more than one.
func (v vertex) times() string {
	if v.instances == 1 {
		return ""
	}
	return fmt.Sprintf(" × %d", v.instances)
}

// dot writes Graphviz's language.
func (p picture) dot() string {
	var b strings.Builder
	fmt.Fprintf(&b, "graph %s {\n", dotQuote(p.title))
	b.WriteString("  rankdir=LR;\n  node [fontname=\"monospace\", fontsize=10];\n  edge [fontname=\"monospace\", fontsize=9];\n")
	for i, v := range p.networks {
		label := v.name + v.times()
		for _, l := range v.lines {
			label += "\n" + l.text
		}
		fmt.Fprintf(&b, "  net%d [shape=box, style=\"rounded,filled\", fillcolor=\"#dbe7f3\", label=%s];\n", i, dotQuote(label))
	}
	for i, v := range p.nodes {
		label := v.name + v.times()
		for _, l := range v.lines {
			label += "\n" + l.text
			if l.remark != "" {
				label += " (" + l.remark + ")"
			}
		}
		fmt.Fprintf(&b, "  node%d [shape=box, label=%s];\n", i, dotQuote(label))
	}
	for _, w := range p.wires {
		style := ""
		if !w.up {
			style = " [style=dotted]"
		}
		fmt.Fprintf(&b, "  node%d -- net%d%s;\n", w.node, w.network, style)
	}
	for _, t := range p.tunnels {
		fmt.Fprintf(&b, "  node%d -- node%d [style=dashed, color=\"#b4451f\", constraint=false, label=%s];\n", t.from, t.to, dotQuote(t.label))
	}
	b.WriteString("}\n")
	return b.String()
}

// dotQuote quotes a string for Graphviz: backslashes and quotes escaped, lines ended by \n.
func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// mermaid writes Mermaid's flowchart language.
func (p picture) mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, v := range p.networks {
		label := "<b>" + mermaidEscape(v.name+v.times()) + "</b>"
		for _, l := range v.lines {
			label += "<br/>" + mermaidEscape(l.text)
		}
		fmt.Fprintf(&b, "  net%d([\"%s\"])\n", i, label)
	}
	for i, v := range p.nodes {
		label := "<b>" + mermaidEscape(v.name+v.times()) + "</b>"
		for _, l := range v.lines {
			text := l.text
			if l.remark != "" {
				text += " (" + l.remark + ")"
			}
			label += "<br/>" + mermaidEscape(strings.TrimLeft(text, " "))
		}
		fmt.Fprintf(&b, "  node%d[\"%s\"]\n", i, label)
	}
	for _, w := range p.wires {
		fmt.Fprintf(&b, "  node%d --- net%d\n", w.node, w.network)
	}
	for _, t := range p.tunnels {
		fmt.Fprintf(&b, "  node%d -. \"%s\" .- node%d\n", t.from, mermaidEscape(t.label), t.to)
	}
	return b.String()
}

// mermaidEscape writes the characters that mean something in a label as entities.
func mermaidEscape(s string) string {
	return strings.NewReplacer("&", "&amp;", `"`, "&quot;", "<", "&lt;", ">", "&gt;", "#", "&#35;").Replace(s)
}
