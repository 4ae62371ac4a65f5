package topology

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

const (
	// argumentsMax bounds a process's command, environmentMax its variables.
	argumentsMax   = 256
	environmentMax = 256
	// processTimeoutMin is the shortest time that a process may have.
	processTimeoutMin = time.Millisecond
)

// planProcesses makes the processes.
func (l *loader) planProcesses(p *Plan) {
	for _, it := range l.all("process") {
		one := Process{
			Name: it.name, Stdin: value[string](it, "stdin"), Env: value[[]string](it, "env"),
			Start: value[time.Duration](it, "start"), After: value[time.Duration](it, "after"),
			Stop: value[time.Duration](it, "stop"), Timeout: value[time.Duration](it, "timeout"), Pos: l.position(it),
		}
		if n, ok := get[*item](it, "node"); ok {
			one.Node = n.name
		}
		for _, e := range value[[]located](it, "command") {
			one.Command = append(one.Command, e.typed.(string))
		}
		if c := it.attr("command"); c.ok && c.set && (len(one.Command) == 0 || one.Command[0] == "") {
			l.errorf(c.rng, "Invalid command", "A command begins with a program, e.g. command = [\"ping\", \"-c\", \"3\", node.b.interface.lan.address].")
			l.failed = true
		}
		one.On = l.whenOf(it, "start", selectorSchema.example)
		start, stop := it.attr("start"), it.attr("stop")
		switch {
		case stop.set && stop.ok && one.On == nil && one.Stop <= one.Start:
			l.errorf(stop.rng, "Process stops before it starts", "It starts at %v and stops at %v; stop is an instant, not a length. For a length write timeout.", one.Start, one.Stop)
		case stop.set && stop.ok && one.Stop == 0:
			l.errorf(stop.rng, "Process stops before it starts", "It stops at the very beginning; stop is an instant, not a length. For a length write timeout.")
		case stop.set && stop.ok && one.Stop > p.Lab.Duration:
			l.errorf(stop.rng, "Process beyond the lab's end", "It stops at %v, the lab ends at %v; lengthen lab.duration.", one.Stop, p.Lab.Duration)
		}
		if start.set && start.ok && one.Start >= p.Lab.Duration {
			l.errorf(start.rng, "Process beyond the lab's end", "It starts at %v, the lab ends at %v; lengthen lab.duration.", one.Start, p.Lab.Duration)
		}
		it.index = len(p.Processes)
		p.Processes = append(p.Processes, one)
	}
}

// argument is one word of a command.
type argument struct{}

func (argument) what() string              { return "a string" }
func (argument) value(typed any) cty.Value { return cty.StringVal(typed.(string)) }
func (k argument) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		if v.Type() == cty.Number || v.Type() == cty.Bool {
			return nil, s.bad("%s takes strings; put it in quotes, or write \"${…}\" around an expression.", s.name)
		}
		return nil, s.wrongType(k, v)
	}
	if strings.ContainsRune(v.AsString(), 0) {
		return nil, s.bad("%s has a zero byte in it, which no command can be given.", s.name)
	}
	return v.AsString(), true
}

// environment is variables for a command, NAME=VALUE in order of name.
type environment struct{}

// variablePattern is how a variable may be called (POSIX.1-2017, section 8.1).
var variablePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (environment) what() string { return `an object of strings, e.g. { LANG = "C" }` }
func (environment) value(typed any) cty.Value {
	values := map[string]cty.Value{}
	for _, e := range typed.([]string) {
		name, v, _ := strings.Cut(e, "=")
		values[name] = cty.StringVal(v)
	}
	return cty.ObjectVal(values)
}
func (k environment) decode(s source, v cty.Value) (any, bool) {
	if !v.Type().IsObjectType() && !v.Type().IsMapType() || isReference(v) {
		return nil, s.wrongType(k, v)
	}
	if n := v.LengthInt(); n > environmentMax {
		return nil, s.bad("%s has %d variables; at most %d are allowed.", s.name, n, environmentMax)
	}
	out := []string{}
	ok := true
	for it := v.ElementIterator(); it.Next(); {
		key, e := it.Element()
		name := key.AsString()
		es, _ := s.field(name)
		switch {
		case !variablePattern.MatchString(name):
			ok = es.bad("%q cannot name a variable: a name has letters, digits and \"_\" and begins with no digit.", name)
			continue
		case e.IsNull():
			ok = es.bad("%s is null; leave it out, or write \"\" for an empty one.", name)
			continue
		}
		word, good := argument{}.decode(es, e)
		if ok = ok && good; good {
			out = append(out, name+"="+word.(string))
		}
	}
	slices.Sort(out)
	return out, ok
}
