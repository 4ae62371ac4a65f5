package topology

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// loader holds one lab while it is being read.
type loader struct {
	opts    options
	file    string
	sources map[string][]byte

	// decls are the named top-level blocks in the order of the file, by kind.
	decls  map[string][]*decl
	byName map[string]map[string]*decl
	// lab is nil when the file has no lab block.
	lab       *item
	variables map[string]*variable
	locals    map[string]*local
	// order of variables and locals in the file
	variableOrder []*variable
	localOrder    []*local
	instances     int

	functions map[string]function.Function
	analysed  map[hclsyntax.Expression][]use
	stack     []*cell
	steps     int
	watches   []Selector

	attached cell // which interfaces are in which network
	members  map[*item][]*item

	diags    hcl.Diagnostics
	said     map[diagnosticKey]struct{}
	diagsCut bool
	failed   bool // a value is missing; something has been reported
	// routable says that no address, network or route is missing.
	routable bool
}

// cell is a value that is computed at most once, on demand. A cell that is asked for
// while it is being computed is a cycle.
type cell struct {
	// label is how a cycle's path names it.
	label   string
	rng     hcl.Range
	compute func(*cell)
	state   cellState
	// set says that the file states the value; typed and value are then, or by
	// default, what it is.
	set   bool
	ok    bool
	typed any
	value cty.Value
	src   source
}

type cellState uint8

const (
	cellNew cellState = iota
	cellBusy
	cellDone
)

// force computes a cell and says whether it has a value. When it has none, that has
// been reported.
func (l *loader) force(c *cell) bool {
	switch c.state {
	case cellDone:
		return c.ok
	case cellBusy:
		l.cycle(c)
		return false
	}
	if len(l.stack) >= evalDepthMax {
		l.errorf(c.rng, "Values depend too deeply on each other", "More than %d values depend on each other in a row; shorten the chain.", evalDepthMax)
		c.state, c.value = cellDone, cty.DynamicVal
		return false
	}
	c.state, c.value = cellBusy, cty.DynamicVal
	l.stack = append(l.stack, c)
	c.compute(c)
	l.stack = l.stack[:len(l.stack)-1]
	c.state = cellDone
	if !c.ok {
		c.value, l.failed = cty.DynamicVal, true
	}
	return c.ok
}

// cycle reports that c depends on itself, with the path.
func (l *loader) cycle(c *cell) {
	l.failed = true
	var path []string
	at := c.rng
	for i := len(l.stack) - 1; i >= 0; i-- {
		if len(path) == 0 || path[0] != l.stack[i].label {
			path = append([]string{l.stack[i].label}, path...)
		}
		if l.stack[i] == c {
			break
		}
	}
	path = append(path, c.label)
	l.errorf(at, "Values depend on each other in a circle",
		"%s. State one of them without the others.", strings.Join(path, " → "))
}

// env is what an instance of a block sees beside the lab.
type env struct {
	count      cty.Value // a number, or cty.NilVal
	key, value cty.Value // of for_each, or cty.NilVal
}

// isOK says that a cell, if there is one, has a value.
func (c *cell) isOK() bool { return c == nil || c.ok }

// item is one block as it counts: an instance of a top-level block, a block nested in
// one, or an object in braces.
type item struct {
	l      *loader
	schema *blockSchema
	// name is the block's in the plan, path how a reference writes it.
	name, path string
	// label is the name as the block itself has it, without index.
	label  string
	body   *hclsyntax.Body // nil for an object in braces
	rng    hcl.Range       // of the name
	env    *env
	parent *item
	decl   *decl // of a top-level block
	cells  map[string]*cell
	nested map[string][]*item
	ref    cty.Value
	// index is the position in the plan's slice, for results.
	index int
}

// newItem makes an item of a body and, recursively, of the blocks in it.
func (l *loader) newItem(schema *blockSchema, body *hclsyntax.Body, e *env) *item {
	it := &item{l: l, schema: schema, body: body, env: e, cells: map[string]*cell{}, nested: map[string][]*item{}}
	for _, b := range body.Blocks {
		nested := schema.block(b.Type)
		if nested == nil || nested.later || nested.labelled != (len(b.Labels) == 1) {
			continue
		}
		// What is there twice has been reported; the first counts.
		if nested.labelled && it.child(b.Type, b.Labels[0]) != nil || nested.single && len(it.nested[b.Type]) > 0 {
			continue
		}
		child := l.newItem(nested, b.Body, e)
		child.parent, child.rng = it, b.TypeRange
		if len(b.Labels) > 0 {
			child.label, child.name, child.rng = b.Labels[0], b.Labels[0], b.LabelRanges[0]
		}
		it.nested[b.Type] = append(it.nested[b.Type], child)
	}
	if schema == natSchema {
		it.attachNAT()
	}
	return it
}

// attachNAT gives a NAT box the two interfaces that inside and outside mean, so that
// what lies behind it counts as reachable although NAT is refused.
func (it *item) attachNAT() {
	it.nested["interface"] = nil
	for _, side := range []string{"inside", "outside"} {
		a := it.body.Attributes[side]
		if a == nil {
			continue
		}
		child := it.l.newItem(interfaceSchema, &hclsyntax.Body{Attributes: hclsyntax.Attributes{"network": a}}, it.env)
		child.parent, child.rng, child.label, child.name = it, a.NameRange, side, side
		it.nested["interface"] = append(it.nested["interface"], child)
	}
}

// setPath names an item and everything in it.
func (it *item) setPath(path string) {
	it.path = path
	for _, nested := range it.schema.blocks {
		for _, child := range it.nested[nested.name] {
			p := path + "." + nested.name
			if child.label != "" {
				p += "." + child.label
			}
			child.setPath(p)
		}
	}
}

// children answers the nested blocks of a kind, in the order of the file.
func (it *item) children(kind string) []*item { return it.nested[kind] }

// child answers the nested block of a kind and name, or nil.
func (it *item) child(kind, label string) *item {
	for _, c := range it.nested[kind] {
		if c.label == label {
			return c
		}
	}
	return nil
}

// attr answers an attribute, evaluated. An attribute that the file leaves out, or sets
// to null, has its default.
func (it *item) attr(name string) *cell {
	c := it.cells[name]
	if c == nil {
		c = &cell{label: it.path + "." + name, rng: it.rng, compute: func(c *cell) { it.compute(c, name) }}
		if a := it.body.Attributes[name]; a != nil {
			c.rng = a.Expr.Range()
		}
		it.cells[name] = c
	}
	it.l.force(c)
	return c
}

func (it *item) compute(c *cell, name string) {
	schema := it.schema.attribute(name)
	if schema == nil {
		panic("no attribute " + name + " in " + it.schema.name) // a mistake of this package
	}
	a := it.body.Attributes[name]
	if a == nil || schema.later {
		it.unset(c, schema)
		return
	}
	// Until it is evaluated the cell has no value, not its default.
	v, ok := it.l.eval(a.Expr, it.env)
	if !ok {
		return
	}
	it.unset(c, schema)
	it.decode(c, schema, v, source{l: it.l, name: name, expr: a.Expr, rng: a.Expr.Range(), env: it.env})
}

// unset gives a cell its default.
func (it *item) unset(c *cell, schema *attribute) {
	c.ok, c.typed, c.value = true, schema.fallback, cty.NullVal(cty.DynamicPseudoType)
	if schema.fallback != nil {
		c.value = schema.kind.value(schema.fallback)
	}
}

// decode gives a cell the value v.
func (it *item) decode(c *cell, schema *attribute, v cty.Value, src source) {
	c.src = src
	if v.IsNull() {
		if schema.required {
			c.ok = src.bad("%s is required and cannot be null; it takes %s.", src.name, schema.kind.what())
		}
		return
	}
	if _, free := schema.kind.(anything); !free && !v.IsWhollyKnown() {
		c.ok, it.l.failed = false, true
		return
	}
	c.set, c.ok = true, false
	c.typed, c.ok = schema.kind.decode(src, v)
	if c.ok {
		c.value = schema.kind.value(c.typed)
	}
}

// inlineItem makes an item of an object in braces.
func (l *loader) inlineItem(schema *blockSchema, s source, v cty.Value) (*item, bool) {
	it := &item{l: l, schema: schema, name: schema.name, path: s.name, rng: s.rng, env: s.env, cells: map[string]*cell{}}
	given := map[string]cty.Value{}
	names := []string{}
	for i := v.ElementIterator(); i.Next(); {
		k, e := i.Element()
		given[k.AsString()] = e
		names = append(names, k.AsString())
	}
	ok := true
	for _, name := range names {
		src, key := s.field(name)
		a := schema.attribute(name)
		switch {
		case a == nil:
			l.unknownAttribute(key, name, schema)
			ok = false
		case a.later:
			l.refuse(key, name)
			ok = ok && l.opts.despiteRefusals
		default:
			c := &cell{label: s.name + "." + name, rng: src.rng, state: cellDone}
			it.unset(c, a)
			it.decode(c, a, given[name], src)
			it.cells[name] = c
			ok = ok && c.ok
		}
	}
	for i := range schema.attributes {
		a := &schema.attributes[i]
		if it.cells[a.name] != nil {
			continue
		}
		if a.required {
			l.errorf(s.rng, "Missing "+a.name, "%s needs the field %q, which takes %s.", s.name, a.name, a.kind.what())
			ok = false
		}
		c := &cell{label: s.name + "." + a.name, rng: s.rng, state: cellDone}
		it.unset(c, a)
		it.cells[a.name] = c
	}
	return it, ok
}

// get answers the typed value of an attribute; ok is false when it has none, because
// the file leaves it out and there is no default, or because it is wrong, which has
// been reported.
func get[T any](it *item, name string) (T, bool) {
	c := it.attr(name)
	if !c.ok {
		var zero T
		return zero, false
	}
	typed, is := c.typed.(T)
	return typed, is
}

// value answers the typed value of an attribute that has a default; the zero value
// when it is wrong.
func value[T any](it *item, name string) T {
	v, _ := get[T](it, name)
	return v
}

// variable is a variable block.
type variable struct {
	item *item
	cell cell
	used bool
}

// local is one attribute of a locals block.
type local struct {
	name string
	attr *hclsyntax.Attribute
	cell cell
	used bool
}

// tooManySteps is what an evaluation that exceeds evalStepsMax panics with: HCL offers
// no other way out of a for expression.
type tooManySteps struct{}

// counted is an expression in a loop.
type counted struct {
	hclsyntax.Expression
	l *loader
}

// Value counts and evaluates.
func (c counted) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if c.l.steps++; c.l.steps > evalStepsMax {
		panic(tooManySteps{})
	}
	return c.Expression.Value(ctx)
}

// inside sees through counted.
func inside(n hclsyntax.Node) hclsyntax.Node {
	if c, is := n.(counted); is {
		return c.Expression
	}
	return n
}

// countLoops makes every loop in the file count its iterations.
func (l *loader) countLoops(body *hclsyntax.Body) {
	// The callback answers no diagnostics, so neither does the walk.
	_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics {
		switch e := inside(n).(type) {
		case *hclsyntax.ForExpr:
			e.ValExpr = counted{e.ValExpr, l}
			if e.CondExpr != nil {
				e.CondExpr = counted{e.CondExpr, l}
			}
		case *hclsyntax.SplatExpr:
			e.Each = counted{e.Each, l}
		}
		return nil
	})
}

// eval evaluates an expression in the lab; results are not known in it.
func (l *loader) eval(expr hclsyntax.Expression, e *env) (cty.Value, bool) {
	return l.evalScoped(expr, scope{env: e})
}

// scope says what an expression may refer to.
type scope struct {
	env *env
	// results allows result. and the functions over events.
	results bool
	// self allows var.NAME for this variable although its cell is busy.
	self *variable
}

func (l *loader) evalScoped(expr hclsyntax.Expression, s scope) (cty.Value, bool) {
	tree, ok := l.resolveAll(expr, s)
	if !ok {
		l.failed = true
		return cty.DynamicVal, false
	}
	ctx := l.context(tree, nil)
	if s.results {
		ctx.Functions = l.watchFunctions(nil)
	} else {
		ctx.Functions = l.forbiddenFunctions()
	}
	v, diags := l.run(expr, ctx)
	for _, d := range diags {
		l.add(clean(d))
	}
	if diags.HasErrors() {
		l.failed = true
		return cty.DynamicVal, false
	}
	if why := oversized(v); why != "" {
		l.errorf(expr.Range(), "Value too large", "%s.", why)
		l.failed = true
		return cty.DynamicVal, false
	}
	return v, true
}

// context is the scope of one evaluation: what the tree holds, and the functions.
func (l *loader) context(t *tree, r *Results) *hcl.EvalContext {
	base := &hcl.EvalContext{Functions: l.functions}
	ctx := base.NewChild()
	ctx.Variables = map[string]cty.Value{}
	for _, name := range t.names {
		ctx.Variables[name] = t.kids[name].build(r)
	}
	return ctx
}

// run evaluates, and turns an exhausted step budget into a diagnostic.
func (l *loader) run(expr hclsyntax.Expression, ctx *hcl.EvalContext) (v cty.Value, diags hcl.Diagnostics) {
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case tooManySteps:
			rng := expr.Range()
			v, diags = cty.DynamicVal, hcl.Diagnostics{{Severity: hcl.DiagError, Subject: &rng, Summary: "Too many iterations",
				Detail: fmt.Sprintf("The for expressions of this lab take more than %d steps in all; loop over less.", evalStepsMax)}}
		default:
			panic(r)
		}
	}()
	v, diags = expr.Value(ctx)
	v, _ = v.UnmarkDeep()
	return v, diags
}

// clean answers HCL's own diagnostic without what refers to the syntax tree.
func clean(d *hcl.Diagnostic) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: d.Severity, Summary: d.Summary, Detail: d.Detail, Subject: d.Subject, Context: d.Context}
}

// oversized says why a value is too large to go on with.
func oversized(v cty.Value) string {
	elements, text := 0, 0
	why := ""
	// The callback answers no error, so neither does the walk.
	_ = cty.Walk(v, func(_ cty.Path, e cty.Value) (bool, error) {
		if !e.IsKnown() || e.IsNull() || why != "" {
			return false, nil
		}
		elements++
		switch {
		case e.Type() == cty.String:
			text += len(e.AsString())
		case e.Type() == cty.Number:
			if f := e.AsBigFloat(); !f.IsInf() && (f.MantExp(nil) > 1024 || f.MantExp(nil) < -4096) {
				why = "A number here is beyond 2^1024"
			}
		}
		if elements > elementsMax {
			why = fmt.Sprintf("A value here has more than %d elements", elementsMax)
		} else if text > stringBytesMax*16 || e.Type() == cty.String && len(e.AsString()) > stringBytesMax {
			why = fmt.Sprintf("A text here is longer than %d bytes", stringBytesMax)
		}
		return true, nil
	})
	return why
}

// textOf answers the text of a range.
func (l *loader) textOf(rng hcl.Range) string {
	src := l.sources[rng.Filename]
	if rng.Start.Byte < 0 || rng.End.Byte > len(src) || rng.Start.Byte > rng.End.Byte {
		return ""
	}
	return string(src[rng.Start.Byte:rng.End.Byte])
}

// part narrows the range of a quoted string that holds exactly text to a part of it;
// the whole range when the source is not such a string.
func (l *loader) part(rng hcl.Range, text string, offset, length int) hcl.Range {
	if length == 0 || l.textOf(rng) != `"`+text+`"` || rng.Start.Line != rng.End.Line {
		return rng
	}
	rng.Start.Byte += 1 + offset
	rng.Start.Column += 1 + offset
	rng.End = rng.Start
	rng.End.Byte += length
	rng.End.Column += length
	return rng
}
