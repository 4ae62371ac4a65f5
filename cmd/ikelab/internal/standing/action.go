package standing

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"

	"github.com/ikelab/ikelab/topology"
)

// Source is a lab as it was when it was read.
type Source struct {
	Path string            `json:"path"`
	Text []byte            `json:"text"`
	Vars map[string]string `json:"vars"`
}

// Load plans the lab.
func (s Source) Load() (*topology.Plan, topology.Diagnostics) {
	return topology.Load(oneFile{s.Path, s.Text}, s.Path, s.Vars)
}

// oneFile is a file system that holds a lab.
type oneFile struct {
	path string
	text []byte
}

// Open implements fs.FS.
func (f oneFile) Open(name string) (fs.File, error) {
	if name != f.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openFile{bytes.NewReader(f.text), f}, nil
}

type openFile struct {
	*bytes.Reader
	of oneFile
}

func (f *openFile) Close() error               { return nil }
func (f *openFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *openFile) Name() string               { return f.of.path }
func (f *openFile) Size() int64                { return int64(len(f.of.text)) }
func (f *openFile) Mode() fs.FileMode          { return 0o444 }
func (f *openFile) ModTime() time.Time         { return time.Time{} }
func (f *openFile) IsDir() bool                { return false }
func (f *openFile) Sys() any                   { return nil }

// actions are the functions that do something to a lab.
var actions = []string{
	topology.ActionLinkDown, topology.ActionLinkUp, topology.ActionInitiate, topology.ActionTerminate, topology.ActionLiveness,
	topology.ActionKill, topology.ActionStart, topology.ActionRestart,
	topology.ActionAddAddress, topology.ActionRemoveAddress, topology.ActionSetAddress,
}

// takesFirst are actions that a lab may only do behind others, which a person can have done.
var takesFirst = map[string]string{
	topology.ActionStart:         topology.ActionKill,
	topology.ActionRemoveAddress: topology.ActionAddAddress,
	topology.ActionAddAddress:    topology.ActionRemoveAddress,
}

// byHand is the name of actions that were typed, in the trace and, with more underscores where the lab has the name
// already, of the step that they are read as.
const byHand = "by-hand"

// actionOf finds out what a person wants done: a step of the lab by its name, or an action as a step would have it.
func (s Source) actionOf(plan *topology.Plan, what string) (name string, a topology.Action, err error) {
	what = strings.TrimSpace(what)
	var names []string
	for _, step := range plan.Steps {
		if step.Name == what {
			return step.Name, step.Action, nil
		}
		names = append(names, step.Name)
	}
	if !strings.ContainsRune(what, '(') {
		like := "it has none at all"
		if len(names) > 0 {
			like = DidYouMean(what, names)
		}
		return "", topology.Action{}, usage("the lab has no step %q: %s\nAn action is written as in a step, such as link_down(node.gw.interface.wan)", what, like)
	}
	if strings.ContainsAny(what, "\n\r") {
		return "", topology.Action{}, usage("an action is one line")
	}
	label := byHand
	for slices.Contains(names, label) || slices.Contains(names, label+"_") {
		label += "_"
	}
	const before = "  action = "
	typed := s
	typed.Text = slices.Concat(s.Text, fmt.Appendf(nil, "\nstep %q {\n  at = \"0s\"\n%s%s\n}\n", label, before, what))
	line, more := bytes.Count(typed.Text, []byte("\n"))-1, 1
	function, arguments, _ := strings.Cut(what, "(")
	function = strings.TrimSpace(function)
	with, diags := typed.Load()
	if first, takes := takesFirst[function]; takes && diags.HasErrors() {
		prepared := typed
		prepared.Text = fmt.Appendf(typed.Text, "\nstep %q {\n  at = \"0s\"\n  action = %s(%s\n}\n", label+"_", first, arguments)
		if plan, more1 := prepared.Load(); plan != nil && !more1.HasErrors() {
			with, diags, more = plan, more1, 2
		}
	}
	if diags.HasErrors() && strings.Contains(diags.Error(), "unknown function") {
		return "", topology.Action{}, usage("there is no action %q: %s", function, DidYouMean(function, actions))
	}
	if diags.HasErrors() || with == nil {
		return "", topology.Action{}, usage("%s", complaints(diags, what, line, len(before)))
	}
	if len(with.Steps) != len(plan.Steps)+more {
		return "", topology.Action{}, usage("%s: this is not one action", what)
	}
	for _, step := range with.Steps {
		if step.Name == label {
			return byHand, step.Action, nil
		}
	}
	return "", topology.Action{}, usage("%s: this is not an action", what)
}

// complaints writes what is wrong with an action, of which the lab's file shows line, behind so many columns.
func complaints(diags topology.Diagnostics, what string, line, columns int) string {
	var b strings.Builder
	here := func(d topology.Diagnostic) bool { return d.Line == line }
	for _, d := range diags.All() {
		if !d.Error || !here(d) && slices.ContainsFunc(diags.All(), here) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.Summary)
		if d.Line == line && d.Column > columns && d.Column-1-columns <= len([]rune(what)) {
			from := d.Column - 1 - columns
			to := len([]rune(what))
			if d.EndLine == line {
				to = min(d.EndColumn-1-columns, to)
			}
			fmt.Fprintf(&b, "\n  %s\n  %s%s", what, strings.Repeat(" ", from), strings.Repeat("~", max(to-from, 1)))
		} else if d.Line != line {
			fmt.Fprintf(&b, " (in %q)", what)
		}
		if d.Detail != "" {
			fmt.Fprintf(&b, "\n  %s", strings.ReplaceAll(d.Detail, "\n", "\n  "))
		}
	}
	return b.String()
}

// DidYouMean names what is most like a name that there is not, or a few of those that there are.
func DidYouMean(name string, known []string) string {
	const distanceMax, shownMax = 3, 8
	best, distance := "", distanceMax+1
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(k), nil); d < distance && d < max(len(k), 2) {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	known = slices.Sorted(slices.Values(known))
	if len(known) > shownMax {
		return fmt.Sprintf("there are %s, and %d more", strings.Join(known[:shownMax], ", "), len(known)-shownMax)
	}
	return "there are " + strings.Join(known, ", ")
}
