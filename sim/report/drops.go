package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ikelab/ikelab/sim"
)

// drops writes which nodes gave packets up and why: the first thing to look at when a flow lost more than its links
// did. Nothing is written when there were none.
func drops(b *strings.Builder, r *sim.Result, o Options) {
	nodeColumns := 0
	var shown []*sim.NodeResult
	var nodes, packets uint64
	for i := range r.Nodes {
		n := &r.Nodes[i]
		switch {
		case n.PacketsDropped == 0:
		case o.RowsMax > 0 && len(shown) == o.RowsMax:
			nodes, packets = nodes+1, packets+n.PacketsDropped
		default:
			shown = append(shown, n)
			nodeColumns = max(nodeColumns, len(n.Name))
		}
	}
	if len(shown) == 0 {
		return
	}
	heading(b, o, "packets that nodes gave up")
	for _, n := range shown {
		most := slices.Clone(n.Drops)
		slices.SortStableFunc(most, func(a, b sim.DropCount) int { return cmp.Compare(b.Count, a.Count) })
		var reasons []string
		for _, d := range most {
			reasons = append(reasons, fmt.Sprintf("%d %s", d.Count, d.Reason))
		}
		for i, line := range wrap(strings.Join(reasons, ", "), max(o.width()-4-nodeColumns, 20)) {
			name := ""
			if i == 0 {
				name = n.Name
			}
			fmt.Fprintf(b, "  %s  %s\n", pad(name, nodeColumns), line)
		}
	}
	if nodes > 0 {
		fmt.Fprintf(b, "  … and %s: %s%s\n", count(nodes, "other node", "other nodes"),
			count(packets, "packet", "packets"), o.elsewhere("result.json"))
	}
}

// hostTroubles writes what the host lacked. Nothing is written when it lacked nothing.
func hostTroubles(b *strings.Builder, r *sim.Result, o Options) {
	if len(r.HostTroubles) == 0 {
		return
	}
	heading(b, o, "this host")
	for _, t := range r.HostTroubles {
		for _, line := range wrap(t.String(), max(o.width()-2, 20)) {
			fmt.Fprintf(b, "  %s\n", line)
		}
	}
}
