package topology

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// measurement is a value that only a run knows.
type measurement struct {
	field *resultField
	it    *item
}

// value answers what was measured; unknown before the run, and where there is no
// sample.
func (m *measurement) value(r *Results) cty.Value {
	if r != nil {
		if v := m.field.of(r, m.it); v != cty.NilVal {
			return v
		}
	}
	return cty.UnknownVal(m.field.ty).RefineNotNull()
}

// resultField is a measured value of a kind of block. of answers cty.NilVal where
// there is no sample.
type resultField struct {
	name     string
	ty       cty.Type
	duration bool
	of       func(*Results, *item) cty.Value
}

func counter(name string, of func(*Results, *item) uint64) resultField {
	return resultField{name: name, ty: cty.Number, of: func(r *Results, it *item) cty.Value { return cty.NumberUIntVal(of(r, it)) }}
}

func truth(name string, of func(*Results, *item) bool) resultField {
	return resultField{name: name, ty: cty.Bool, of: func(r *Results, it *item) cty.Value { return cty.BoolVal(of(r, it)) }}
}

func word(name string, of func(*Results, *item) string) resultField {
	return resultField{name: name, ty: cty.String, of: func(r *Results, it *item) cty.Value { return cty.StringVal(of(r, it)) }}
}

func lapse(name string, of func(*Results, *item) (Dur, bool)) resultField {
	return resultField{name: name, ty: cty.Number, duration: true, of: func(r *Results, it *item) cty.Value {
		d, ok := of(r, it)
		if !ok {
			return cty.NilVal
		}
		return secondsValue(d)
	}}
}

// Where the results of a block are. The items' indices are the plan's.
func flowOf(r *Results, it *item) *FlowResult             { return &r.Flows[it.index] }
func nodeOf(r *Results, it *item) *NodeResult             { return &r.Nodes[it.index] }
func connectionOf(r *Results, it *item) *ConnectionResult { return &r.Connections[it.index] }
func childOf(r *Results, it *item) *ChildResult {
	return &r.Connections[it.parent.index].Children[it.index]
}

func processOf(r *Results, it *item) *ProcessResult { return &r.Processes[it.index] }

func delay(name string, of func(*FlowResult) Dur) resultField {
	return lapse(name, func(r *Results, it *item) (Dur, bool) { f := flowOf(r, it); return of(f), f.HasDelay })
}

// resultFields are the measured values, by kind of block.
var resultFields = map[string][]resultField{
	"flow": {
		counter("sent", func(r *Results, it *item) uint64 { return flowOf(r, it).Sent }),
		counter("received", func(r *Results, it *item) uint64 { return flowOf(r, it).Received }),
		counter("sent_bytes", func(r *Results, it *item) uint64 { return flowOf(r, it).SentBytes }),
		counter("received_bytes", func(r *Results, it *item) uint64 { return flowOf(r, it).ReceivedBytes }),
		counter("lost", func(r *Results, it *item) uint64 { return flowOf(r, it).Lost }),
		{name: "loss", ty: cty.Number, of: func(r *Results, it *item) cty.Value {
			f := flowOf(r, it)
			if f.Lost+f.Received == 0 {
				return cty.NilVal
			}
			return cty.NumberUIntVal(f.Lost).Divide(cty.NumberUIntVal(f.Lost + f.Received))
		}},
		counter("duplicated", func(r *Results, it *item) uint64 { return flowOf(r, it).Duplicated }),
		counter("reordered", func(r *Results, it *item) uint64 { return flowOf(r, it).Reordered }),
		lapse("longest_gap", func(r *Results, it *item) (Dur, bool) { return flowOf(r, it).LongestGap, true }),
		delay("delay_min", func(f *FlowResult) Dur { return f.DelayMin }),
		delay("delay_mean", func(f *FlowResult) Dur { return f.DelayMean }),
		delay("delay_max", func(f *FlowResult) Dur { return f.DelayMax }),
		delay("delay_p50", func(f *FlowResult) Dur { return f.DelayP50 }),
		delay("delay_p99", func(f *FlowResult) Dur { return f.DelayP99 }),
	},
	"node": {
		counter("dropped", func(r *Results, it *item) uint64 { return nodeOf(r, it).Dropped }),
	},
	"connection": {
		truth("established", func(r *Results, it *item) bool { return connectionOf(r, it).Established }),
		counter("established_count", func(r *Results, it *item) uint64 { return connectionOf(r, it).EstablishedCount }),
		lapse("established_at", func(r *Results, it *item) (Dur, bool) {
			c := connectionOf(r, it)
			return c.EstablishedAt, c.EstablishedCount > 0
		}),
		word("failed", func(r *Results, it *item) string { return connectionOf(r, it).Failed }),
		counter("failed_count", func(r *Results, it *item) uint64 { return connectionOf(r, it).FailedCount }),
		counter("attempts", func(r *Results, it *item) uint64 { return connectionOf(r, it).Attempts }),
		counter("retransmissions", func(r *Results, it *item) uint64 { return connectionOf(r, it).Retransmissions }),
		truth("nat", func(r *Results, it *item) bool { return connectionOf(r, it).NAT }),
		truth("encap", func(r *Results, it *item) bool { return connectionOf(r, it).Encap }),
	},
	"child": {
		truth("installed", func(r *Results, it *item) bool { return childOf(r, it).Installed }),
		counter("installs", func(r *Results, it *item) uint64 { return childOf(r, it).Installs }),
		word("failed", func(r *Results, it *item) string { return childOf(r, it).Failed }),
		counter("packets_in", func(r *Results, it *item) uint64 { return childOf(r, it).PacketsIn }),
		counter("packets_out", func(r *Results, it *item) uint64 { return childOf(r, it).PacketsOut }),
		counter("bytes_in", func(r *Results, it *item) uint64 { return childOf(r, it).BytesIn }),
		counter("bytes_out", func(r *Results, it *item) uint64 { return childOf(r, it).BytesOut }),
	},
	"process": {
		{name: "exit_status", ty: cty.Number, of: func(r *Results, it *item) cty.Value {
			p := processOf(r, it)
			if !p.Exited {
				return cty.NilVal
			}
			return cty.NumberIntVal(int64(p.ExitStatus))
		}},
		truth("running", func(r *Results, it *item) bool { return processOf(r, it).Running }),
		word("output", func(r *Results, it *item) string { return processOf(r, it).Output }),
		word("error_output", func(r *Results, it *item) string { return processOf(r, it).ErrorOutput }),
		lapse("started_at", func(r *Results, it *item) (Dur, bool) { p := processOf(r, it); return p.StartedAt, p.Started }),
		lapse("duration", func(r *Results, it *item) (Dur, bool) { p := processOf(r, it); return p.Duration, p.Started }),
	},
}

// nestedResults are the blocks in a block that have results.
var nestedResults = map[string]string{"node": "connection", "connection": "child"}

// resultNames are what may follow a block behind "result.".
func resultNames(kind string) []string {
	var names []string
	for _, f := range resultFields[kind] {
		names = append(names, f.name)
	}
	if nested := nestedResults[kind]; nested != "" {
		names = append(names, nested)
	}
	return names
}

// nowField is result.now.
var nowField = resultField{name: "now", ty: cty.Number, duration: true, of: func(r *Results, _ *item) cty.Value { return secondsValue(r.Now) }}

// resolveResult follows a reference behind "result.".
func (l *loader) resolveResult(u use, s scope, t *tree) bool {
	kinds := []string{"flow", "node", "process", "now"}
	if len(u.steps) == 0 || u.steps[0].name == "" {
		return l.incomplete(u, "result.flow.NAME.FIELD or result.node.NAME.connection.NAME.FIELD", nil)
	}
	switch root := u.steps[0].name; root {
	case "now":
		t.at(root).measured = &measurement{field: &nowField}
		return true
	case "flow", "node", "process":
		return l.resolveBlock(u, root, u.steps[1:], s, t.at(root), true)
	case "connection", "child":
		l.errorf(u.rng, "Results of a "+root+" are with its node", "Write result.node.NAME.connection.NAME.FIELD.")
	default:
		l.errorf(u.steps[0].rng, "There is no result "+fmt.Sprintf("%q", root), "%s", didYouMean(root, kinds))
	}
	return false
}

// measure puts a measured value of a block into the tree.
func (l *loader) measure(u use, it *item, name string, t *tree) bool {
	fields := resultFields[it.schema.name]
	if i := slices.IndexFunc(fields, func(f resultField) bool { return f.name == name }); i >= 0 {
		t.measured = &measurement{&fields[i], it}
		return true
	}
	at := u.rng
	for _, s := range u.steps {
		if s.name == name {
			at = s.rng
		}
	}
	if len(fields) == 0 {
		l.errorf(u.rng, "There are no results of a "+it.schema.name, "Results are of flows, nodes, connections, children and processes.")
		return false
	}
	hint := didYouMean(name, resultNames(it.schema.name))
	if it.visible(name) != nil {
		hint = fmt.Sprintf("It is configuration: write %s.%s.", it.path, name)
	}
	l.errorf(at, fmt.Sprintf("There is no result %q of a %s", name, it.schema.name), "%s", hint)
	return false
}

// measureAll puts everything that is measured of a block into the tree.
func (l *loader) measureAll(it *item, t *tree) bool {
	fields := resultFields[it.schema.name]
	for i := range fields {
		t.at(fields[i].name).measured = &measurement{&fields[i], it}
	}
	if nested := nestedResults[it.schema.name]; nested != "" {
		group := t.at(nested)
		if len(it.children(nested)) == 0 {
			group.leaf = cty.EmptyObjectVal
		}
		for _, c := range it.children(nested) {
			l.measureAll(c, group.at(c.label))
		}
	}
	return true
}

// watchFunctionNames are the functions over events, which only expect knows.
var watchFunctionNames = []string{"event_count", "event_time"}

// watchFunctions makes event_count and event_time. Before the run they note the
// selectors that are asked for; with results they answer.
func (l *loader) watchFunctions(r *Results) map[string]function.Function {
	watching := func(answer func(WatchResult, Selector) cty.Value) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: "selector", Type: cty.DynamicPseudoType}},
			Type:   function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				s, err := l.selectorValue(args[0])
				if err != nil {
					return cty.NilVal, function.NewArgError(0, err)
				}
				i := slices.Index(l.watches, s)
				switch {
				case r != nil && i >= 0:
					return answer(r.Watches[i], s), nil
				case r != nil:
					return cty.NilVal, function.NewArgErrorf(0, "a selector cannot depend on results")
				case i < 0 && len(l.watches) >= watchesMax:
					return cty.NilVal, function.NewArgErrorf(0, "a lab has at most %d selectors", watchesMax)
				case i < 0:
					l.watches = append(l.watches, s)
				}
				return cty.UnknownVal(cty.Number).RefineNotNull(), nil
			},
		})
	}
	return map[string]function.Function{
		"event_count": watching(func(w WatchResult, _ Selector) cty.Value { return cty.NumberUIntVal(w.Count) }),
		"event_time": watching(func(w WatchResult, s Selector) cty.Value {
			if w.Count < uint64(s.Nth) {
				return cty.UnknownVal(cty.Number).RefineNotNull()
			}
			return secondsValue(w.At)
		}),
	}
}

// forbiddenFunctions answers them for everywhere else.
func (l *loader) forbiddenFunctions() map[string]function.Function {
	all := map[string]function.Function{}
	for _, name := range watchFunctionNames {
		all[name] = function.New(&function.Spec{
			VarParam: &function.Parameter{Name: "selector", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
			Type:     function.StaticReturnType(cty.Number),
			Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
				return cty.NilVal, fmt.Errorf("%s is only known in expect: events are counted while the lab runs", name)
			},
		})
	}
	return all
}

// selectorValue reads a selector that is an argument of a function.
func (l *loader) selectorValue(v cty.Value) (Selector, error) {
	if v.IsNull() || !v.Type().IsObjectType() || isReference(v) {
		return Selector{}, fmt.Errorf("a selector is needed here, such as %s", selectorSchema.example)
	}
	// The selector is judged by the same rules as a step's; what they report is the
	// function's error.
	quiet := *l
	quiet.diags, quiet.said = nil, map[diagnosticKey]struct{}{}
	it, ok := quiet.inlineItem(selectorSchema, source{l: &quiet, name: "selector", expr: &hclsyntax.LiteralValueExpr{}}, v)
	var s Selector
	if ok {
		s, ok = quiet.selector(it)
	}
	if !ok {
		if len(quiet.diags) == 0 {
			return s, fmt.Errorf("a selector cannot depend on results")
		}
		return s, fmt.Errorf("%s: %s", quiet.diags[0].Summary, quiet.diags[0].Detail)
	}
	return s, nil
}
