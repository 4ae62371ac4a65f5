package house

import (
	"fmt"
	"strings"
)

// room is one row of the floor table in ARCHITECTURE.md.
type room struct {
	path  string
	floor int
	// step orders the rooms of a floor that may look at one another: a room may import those of its own floor
	// that stand on a lower step. Rooms on one step never import each other.
	step int
	// only, where set, names the sole packages of ours that the room may import.
	only []string
	// never names packages that the room may not import although its floor would allow it.
	never []string
}

// rooms is the floor table. Rooms that later work brings stand in it already, so that they are built on their
// floor from the first file on.
var rooms = []room{
	{path: "ike/wire", floor: 0, only: []string{}},
	{path: "ike/suite", floor: 0, only: []string{}},
	{path: "ike/settings", floor: 0, only: []string{}},
	{path: "impair", floor: 0, only: []string{}},

	{path: "esp", floor: 1, only: []string{"ike/suite"}},
	{path: "impair/fault", floor: 1},
	{path: "ike/cert", floor: 1},
	{path: "ike/eap", floor: 1},
	{path: "topology", floor: 1},

	{path: "ike", floor: 2},

	{path: "node", floor: 3},

	{path: "node/host", floor: 4, never: []string{"sim"}},
	{path: "node/xfrm", floor: 4, never: []string{"sim"}},
	{path: "node/daemon", floor: 4, never: []string{"sim"}},

	// Floor 5 stands on floors 0–3, not on the nodes of floor 4: a run does not know what carries it.
	{path: "sim/seed", floor: 5, step: 0, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/trace", floor: 5, step: 0, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/capture", floor: 5, step: 0, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/tcp", floor: 5, step: 0, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim", floor: 5, step: 1, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/decode", floor: 5, step: 1, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/align", floor: 5, step: 2, never: []string{"node/host", "node/xfrm", "node/daemon"}},
	{path: "sim/report", floor: 5, step: 3, never: []string{"node/host", "node/xfrm", "node/daemon"}},

	{path: "sim/virtual", floor: 6},
	{path: "sim/netns", floor: 6},
	{path: "sim/guest", floor: 6},

	{path: "cmd/ikelab", floor: 7},
}

// roomOf finds the room that a package belongs to: the room of its own path, or, for a sub-package, of the nearest
// path above it.
func roomOf(path string) (room, bool) {
	for p := path; ; {
		for _, r := range rooms {
			if r.path == p {
				return r, true
			}
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return room{}, false
		}
		p = p[:i]
	}
}

// within reports whether path is the package above or one of its sub-packages.
func within(path, above string) bool {
	return path == above || strings.HasPrefix(path, above+"/")
}

// Floors reports every import that the floor table forbids, one sentence each, beginning with file and line.
func Floors(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		from, ok := roomOf(p.Path)
		if !ok {
			where := p.Path
			if len(p.Files) > 0 {
				where = p.Files[0].Name
			}
			broken = append(broken, fmt.Sprintf("%s: package %s is in no room of the floor table; give it a floor there and in ARCHITECTURE.md", where, p.Path))
			continue
		}
		for _, f := range p.Files {
			paths, nodes := f.imports()
			for i, path := range paths {
				if path != Module && !strings.HasPrefix(path, Module+"/") {
					continue
				}
				if why := forbidden(from, below(path)); why != "" {
					broken = append(broken, fmt.Sprintf("%s: %s imports %s: %s", f.at(nodes[i]), p.Path, below(path), why))
				}
			}
		}
	}
	return broken
}

// forbidden says why a room may not import a package of ours, or nothing.
func forbidden(from room, path string) string {
	to, ok := roomOf(path)
	if !ok {
		return "it is in no room of the floor table"
	}
	if to.path == from.path {
		return "" // a room and its sub-packages
	}
	if from.only != nil {
		for _, allowed := range from.only {
			if allowed == path {
				return ""
			}
		}
		if len(from.only) == 0 {
			return from.path + " imports nothing of ours"
		}
		return fmt.Sprintf("%s may import %s only", from.path, strings.Join(from.only, ", "))
	}
	for _, never := range from.never {
		if within(path, never) {
			return fmt.Sprintf("%s never imports %s", from.path, never)
		}
	}
	switch {
	case to.floor < from.floor:
		return ""
	case to.floor == from.floor && to.step < from.step:
		return ""
	case to.floor == from.floor:
		return fmt.Sprintf("both stand on floor %d, and imports go down only", from.floor)
	default:
		return fmt.Sprintf("floor %d must not see floor %d", from.floor, to.floor)
	}
}
