package report

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Sizes of a picture in pixels. All text is monospace, so that its width is known without a font.
const (
	charPx      = 7
	linePx      = 15
	titlePx     = 20 // a box's heading
	padPx       = 8
	boxGapPx    = 26 // between boxes of a column
	columnGapPx = 28 // between a column of boxes and the bars next to it
	barPx       = 8
	barMinPx    = 44
	lanePadPx   = 18
	marginPx    = 24
	headPx      = 34 // the picture's title

	sideBulgeMaxPx = 160
)

// shape is a vertex with its place.
type shape struct {
	vertex  *vertex
	network bool
	// column counts from the left over the whole picture; boxes and bars alternate.
	column     int
	x, y, w, h int
	// top and bottom are a bar's extent, y its label's.
	top, bottom int
	neighbours  []int // shapes
}

// layout places a picture's vertices in columns: from an end of the graph, every step to a neighbour is a column
// to the right, so that boxes and bars alternate and every wire leads to the next column. Unconnected parts lie
// below each other.
type layout struct {
	shapes        []shape // networks first, then nodes
	networks      int
	width, height int
}

func (p picture) layout() *layout {
	l := &layout{networks: len(p.networks)}
	for i := range p.networks {
		v := &p.networks[i]
		w := columnsOf(v.name + v.times())
		for _, t := range v.lines {
			w = max(w, columnsOf(t.text))
		}
		l.shapes = append(l.shapes, shape{vertex: v, network: true, w: w * charPx, h: max(barMinPx, linePx*(1+len(v.lines)))})
	}
	for i := range p.nodes {
		v := &p.nodes[i]
		w, rows := columnsOf(v.name+v.times())+2, 0
		for _, t := range v.lines {
			w = max(w, columnsOf(t.text))
			rows++
			if t.remark != "" {
				w = max(w, columnsOf(t.remark)+2)
				rows++
			}
		}
		l.shapes = append(l.shapes, shape{vertex: v, w: w*charPx + 2*padPx, h: titlePx + rows*linePx + padPx})
	}
	for _, w := range p.wires {
		node := l.networks + w.node
		l.shapes[node].neighbours = append(l.shapes[node].neighbours, w.network)
		l.shapes[w.network].neighbours = append(l.shapes[w.network].neighbours, node)
	}

	bottom := marginPx + headPx
	for _, part := range l.parts() {
		bottom = l.placePart(p, part, bottom+boxGapPx)
	}
	l.height = bottom + marginPx
	return l
}

// parts finds the connected parts, each in breadth-first order from one of its ends, columns set.
func (l *layout) parts() [][]int {
	var parts [][]int
	seen := make([]bool, len(l.shapes))
	for start := range l.shapes {
		// Boxes come second; begin with them, so that the first node of the file is on the left.
		start = (start + l.networks) % max(len(l.shapes), 1)
		if seen[start] {
			continue
		}
		part := l.walk(start)
		// The far end of a walk is an end of the graph. Of the two ends the one earlier in the file is on the left.
		far := l.walk(part[len(part)-1])
		other := far[len(far)-1]
		if near := far[0]; near < other && !l.shapes[near].network || l.shapes[other].network {
			part = l.walk(near)
		} else {
			part = l.walk(other)
		}
		for _, i := range part {
			seen[i] = true
		}
		parts = append(parts, part)
	}
	return parts
}

// walk visits what is connected with a shape, breadth first, and numbers the columns.
func (l *layout) walk(start int) []int {
	column := map[int]int{start: 0}
	order := []int{start}
	for k := 0; k < len(order); k++ {
		for _, n := range l.shapes[order[k]].neighbours {
			if _, ok := column[n]; !ok {
				column[n] = column[order[k]] + 1
				order = append(order, n)
			}
		}
	}
	// Boxes stand in even columns, so that the parts of a picture line up.
	shift := 0
	if l.shapes[start].network {
		shift = 1
	}
	for _, i := range order {
		l.shapes[i].column = column[i] + shift
	}
	return order
}

// placePart gives the shapes of a part their places below top and answers where it ends.
func (l *layout) placePart(p picture, part []int, top int) int {
	var columns [][]int
	for _, i := range part {
		for len(columns) <= l.shapes[i].column {
			columns = append(columns, nil)
		}
		columns[l.shapes[i].column] = append(columns[l.shapes[i].column], i)
	}
	for _, c := range columns {
		y := 0
		for _, i := range c {
			l.shapes[i].y = y
			y += l.shapes[i].h + boxGapPx
		}
	}
	// Pull every shape to the middle of its neighbours, a few times to and fro.
	for range 6 {
		for k := range columns {
			l.settle(columns[k])
		}
		for k := len(columns) - 1; k >= 0; k-- {
			l.settle(columns[k])
		}
	}
	l.bars(p, part)

	highest, lowest := part[0], part[0]
	for _, i := range part {
		if l.extent(i)[0] < l.extent(highest)[0] {
			highest = i
		}
		if l.extent(i)[1] > l.extent(lowest)[1] {
			lowest = i
		}
	}
	// Room for the arcs above the highest box.
	shift := top - l.extent(highest)[0]
	if reach := l.arcReach(p, part); reach > 0 {
		shift += reach
	}
	for _, i := range part {
		s := &l.shapes[i]
		s.y, s.top, s.bottom = s.y+shift, s.top+shift, s.bottom+shift
	}
	l.across(p, columns)
	return l.extent(lowest)[1]
}

// settle orders a column by where its neighbours are and places it so, without overlaps.
func (l *layout) settle(column []int) {
	want := make(map[int]int, len(column))
	for _, i := range column {
		s := &l.shapes[i]
		sum := 0
		for _, n := range s.neighbours {
			sum += l.shapes[n].y + l.shapes[n].h/2
		}
		if len(s.neighbours) == 0 {
			want[i] = s.y
		} else {
			want[i] = sum/len(s.neighbours) - s.h/2
		}
	}
	slices.SortStableFunc(column, func(a, b int) int {
		return cmp.Compare(want[a]+l.shapes[a].h/2, want[b]+l.shapes[b].h/2)
	})
	y, drift := 0, 0
	for k, i := range column {
		s := &l.shapes[i]
		if k == 0 {
			y = want[i]
		}
		s.y = max(want[i], y)
		y = s.y + s.h + boxGapPx
		drift += s.y - want[i]
	}
	// What had to move down is spread over the whole column.
	for _, i := range column {
		l.shapes[i].y -= drift / len(column)
	}
}

// rowY is where an interface's wire leaves a box.
func (l *layout) rowY(node, row int) int {
	s := &l.shapes[l.networks+node]
	y := s.y + titlePx
	for i := range row {
		y += linePx
		if s.vertex.lines[i].remark != "" {
			y += linePx
		}
	}
	return y + linePx/2
}

// bars stretches each network's bar over the wires that end at it.
func (l *layout) bars(p picture, part []int) {
	for _, i := range part {
		s := &l.shapes[i]
		if !s.network {
			continue
		}
		first := true
		for _, w := range p.wires {
			if w.network != i {
				continue
			}
			y := l.rowY(w.node, w.row)
			if first || y-10 < s.top {
				s.top = y - 10
			}
			if first || y+10 > s.bottom {
				s.bottom = y + 10
			}
			first = false
		}
		if first {
			s.top, s.bottom = s.y, s.y+s.h
		}
		if missing := barMinPx - (s.bottom - s.top); missing > 0 {
			s.top -= missing / 2
			s.bottom += missing / 2
		}
		// The label stands on the bar.
		s.y = s.top - s.labelHeight()
		s.h = s.bottom - s.y
	}
}

func (s *shape) labelHeight() int { return linePx*(1+len(s.vertex.lines)) + 4 }

// extent is a shape's top and bottom, a bar's label included.
func (l *layout) extent(i int) [2]int {
	s := &l.shapes[i]
	return [2]int{s.y, s.y + s.h}
}

// arcReach is how far the arcs of a part rise above its highest shape.
func (l *layout) arcReach(p picture, part []int) int {
	reach := 0
	for _, t := range p.tunnels {
		if slices.Contains(part, l.networks+t.from) {
			reach = max(reach, arcRise(l.shapes[l.networks+t.to].column-l.shapes[l.networks+t.from].column)+linePx)
		}
	}
	return reach
}

// arcRise is how far above its higher end an arc's label is, by the number of columns that it spans.
func arcRise(columns int) int {
	if columns < 0 {
		columns = -columns
	}
	return 26 + 6*columns
}

// sideBulge is how far beside two boxes of one column the control points of their arc lie: longer arcs go further out,
// so that those of one hub fan out.
func sideBulge(distance int) int {
	return 24 + min(max(distance, -distance)/4, sideBulgeMaxPx)
}

// besides is the room that the arcs of a column need beside it.
func (l *layout) besides(p picture, column []int) int {
	room := columnGapPx
	for _, t := range p.tunnels {
		from, to := l.networks+t.from, l.networks+t.to
		if slices.Contains(column, from) && slices.Contains(column, to) {
			// A cubic reaches three quarters of the way to its control points.
			room = max(room, sideBulge(l.shapes[to].y-l.shapes[from].y)*3/4+columnsOf(t.label)*charPx/2+padPx)
		}
	}
	return room
}

// across gives the columns of a part their x, and bars of one column that would overlap a lane each.
func (l *layout) across(p picture, columns [][]int) {
	x := marginPx
	for _, c := range columns {
		if len(c) == 0 {
			continue
		}
		width := 0
		if !l.shapes[c[0]].network {
			for _, i := range c {
				width = max(width, l.shapes[i].w)
			}
			for _, i := range c {
				l.shapes[i].x = x + (width-l.shapes[i].w)/2
			}
			x += width + l.besides(p, c)
			continue
		}
		byTop := slices.Clone(c)
		slices.SortStableFunc(byTop, func(a, b int) int { return cmp.Compare(l.shapes[a].y, l.shapes[b].y) })
		type lane struct{ bottom, width int }
		var lanes []lane
		laneOf := make(map[int]int)
		for _, i := range byTop {
			s := &l.shapes[i]
			k := 0
			for k < len(lanes) && lanes[k].bottom+boxGapPx/2 > s.y {
				k++
			}
			if k == len(lanes) {
				lanes = append(lanes, lane{})
			}
			lanes[k] = lane{bottom: s.bottom, width: max(lanes[k].width, s.w+lanePadPx)}
			laneOf[i] = k
		}
		for k, ln := range lanes {
			for _, i := range c {
				if laneOf[i] == k {
					l.shapes[i].x = x + ln.width/2 - barPx/2
				}
			}
			x += ln.width
		}
		x += columnGapPx
	}
	l.width = max(l.width, x-columnGapPx+marginPx)
}

// columnsOf is a text's width in characters.
func columnsOf(text string) int { return utf8.RuneCountInString(text) }
