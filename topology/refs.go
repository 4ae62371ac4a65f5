package topology

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A reference to a block is opaque: a capsule. Where an expression goes on into the
// block, to node.gw.interface.wan.address, it sees an object with what it asks for and
// the capsule, under a name that no traversal can write.
var referenceType = cty.Capsule("reference", reflect.TypeFor[item]())

const referenceField = ""

// reference is the item as a value.
func (it *item) reference() cty.Value {
	if it.ref == cty.NilVal {
		it.ref = cty.CapsuleVal(referenceType, it)
	}
	return it.ref
}

// isReference says whether a value is a reference to one block.
func isReference(v cty.Value) bool {
	if !v.IsKnown() || v.IsNull() {
		return false
	}
	ty := v.Type()
	return ty.Equals(referenceType) ||
		ty.IsObjectType() && ty.HasAttribute(referenceField) && ty.AttributeType(referenceField).Equals(referenceType)
}

// referenceOf answers the block that isReference found.
func referenceOf(v cty.Value) *item {
	if v.Type().IsObjectType() {
		v = v.GetAttr(referenceField)
	}
	return v.EncapsulatedValue().(*item)
}

// isCollection says whether a value is all instances of a block.
func isCollection(v cty.Value) bool {
	ty := v.Type()
	if !v.IsKnown() || v.IsNull() || !ty.IsTupleType() && !ty.IsObjectType() || v.LengthInt() == 0 || isReference(v) {
		return false
	}
	for i := v.ElementIterator(); i.Next(); {
		if _, e := i.Element(); !isReference(e) {
			return false
		}
	}
	return true
}

// refuseCollection reports all instances of a block where one is needed.
func (l *loader) refuseCollection(s source, v cty.Value) bool {
	if !isCollection(v) {
		return false
	}
	i := v.ElementIterator()
	i.Next()
	_, first := i.Element()
	it := referenceOf(first)
	base := it.path
	if it.decl != nil {
		base = it.decl.path()
	}
	l.errorf(s.rng, s.name+" needs one "+it.schema.name+", not a collection",
		"%s is a collection of %d; choose one by its index, e.g. %s.", base, v.LengthInt(), it.path)
	return true
}

// describe names what a reference leads to.
func (it *item) describe() string { return it.schema.name + " " + strconv.Quote(it.label) }

// resolveAll finds what every reference of an expression leads to. What it does not
// find it reports.
func (l *loader) resolveAll(expr hclsyntax.Expression, s scope) (*tree, bool) {
	t := &tree{}
	ok := true
	for _, u := range l.usesOf(expr) {
		ok = l.resolve(u, s, t) && ok
	}
	return t, ok
}

// resolve finds what one reference leads to and puts it into the tree.
func (l *loader) resolve(u use, s scope, t *tree) bool {
	switch u.root {
	case "var":
		return l.resolveVar(u, s, t)
	case "local":
		return l.resolveLocal(u, t)
	case "count", "each":
		return l.resolveMeta(u, s, t)
	case "lab":
		if l.lab == nil {
			return false // that there is none has been reported
		}
		if len(u.steps) == 0 || u.steps[0].name == "" {
			return l.incomplete(u, "lab.NAME", visibleNames(labSchema))
		}
		return l.resolveAttribute(l.lab, u.steps, t.at("lab"))
	case "result":
		if !s.results {
			l.errorf(u.rng, "result is only known in expect",
				"Measured values exist after the run, in the condition and error_message of an expect block. Configuration stands beside it, e.g. flow.call.rate.")
			return false
		}
		return l.resolveResult(u, s, t.at("result"))
	}
	if slices.Contains(referable, u.root) {
		return l.resolveBlock(u, u.root, u.steps, s, t.at(u.root), false)
	}
	if b := rootSchema.block(u.root); b != nil && b.later {
		l.refuse(u.rng, "a reference to "+u.root)
		return false
	}
	l.errorf(u.rng, "Unknown name "+strconv.Quote(u.root),
		"A reference begins with %s. %s To write a text, put it in quotes.", enumerate(roots, "or"), didYouMeanOnly(u.root, roots))
	return false
}

// didYouMeanOnly suggests a name, or nothing.
func didYouMeanOnly(wrong string, names []string) string {
	if name := nearest(wrong, names); name != "" {
		return fmt.Sprintf("Did you mean %q?", name)
	}
	return ""
}

func (l *loader) incomplete(u use, form string, names []string) bool {
	hint := ""
	if len(names) > 0 {
		hint = " There is " + enumerate(names, "and") + "."
	}
	l.errorf(u.rng, "Incomplete reference", "Write %s.%s", form, hint)
	return false
}

func (l *loader) resolveVar(u use, s scope, t *tree) bool {
	var names []string
	for _, v := range l.variableOrder {
		names = append(names, v.item.label)
	}
	if len(u.steps) == 0 || u.steps[0].name == "" {
		return l.incomplete(u, "var.NAME", names)
	}
	name := u.steps[0].name
	v := l.variables[name]
	if v == nil {
		l.errorf(u.rng, "There is no variable "+strconv.Quote(name), "%s Declare it: variable %q {}.", didYouMean(name, names), name)
		return false
	}
	v.used = v.used || s.self != v
	if !l.force(&v.cell) {
		return false
	}
	t.at("var").at(name).leaf = v.cell.value
	return true
}

func (l *loader) resolveLocal(u use, t *tree) bool {
	var names []string
	for _, v := range l.localOrder {
		names = append(names, v.name)
	}
	if len(u.steps) == 0 || u.steps[0].name == "" {
		return l.incomplete(u, "local.NAME", names)
	}
	name := u.steps[0].name
	v := l.locals[name]
	if v == nil {
		l.errorf(u.rng, "There is no local value "+strconv.Quote(name), "%s Declare it in a locals block.", didYouMean(name, names))
		return false
	}
	v.used = true
	if !l.force(&v.cell) {
		return false
	}
	t.at("local").at(name).leaf = v.cell.value
	return true
}

func (l *loader) resolveMeta(u use, s scope, t *tree) bool {
	fields := map[string]cty.Value{}
	needs := "count"
	if u.root == "each" {
		needs = "for_each"
	}
	if s.env != nil {
		if u.root == "count" && s.env.count != cty.NilVal {
			fields["index"] = s.env.count
		}
		if u.root == "each" && s.env.key != cty.NilVal {
			fields["key"], fields["value"] = s.env.key, s.env.value
		}
	}
	if len(fields) == 0 {
		l.errorf(u.rng, u.root+" is only known in a block with "+needs, "Add %s = … to the block, or take the reference out.", needs)
		return false
	}
	names := []string{"index"}
	if u.root == "each" {
		names = []string{"key", "value"}
	}
	if len(u.steps) == 0 || !slices.Contains(names, u.steps[0].name) {
		return l.incomplete(u, u.root+"."+strings.Join(names, " or "+u.root+"."), nil)
	}
	for _, n := range names {
		t.at(u.root).at(n).leaf = fields[n]
	}
	return true
}

// resolveBlock follows a reference to a top-level block and on into it. measured says
// that it stands behind "result.".
func (l *loader) resolveBlock(u use, kind string, steps []step, s scope, t *tree, measured bool) bool {
	var names []string
	for _, d := range l.decls[kind] {
		names = append(names, d.name)
	}
	if len(steps) == 0 {
		return l.incomplete(u, kind+".NAME", names)
	}
	name, known := l.stepName(steps[0], s)
	if !known {
		l.errorf(steps[0].rng, "Incomplete reference", "Write the name of the %s: %s.NAME. There is %s.", kind, kind, enumerate(names, "and"))
		return false
	}
	d := l.byName[kind][name]
	if d == nil {
		l.errorf(u.rng, fmt.Sprintf("There is no %s %q", kind, name), "%s", didYouMean(name, names))
		return false
	}
	d.used = d.used || !measured
	if !l.force(&d.expanded) {
		return false
	}
	t, steps = t.at(name), steps[1:]
	if !d.repeated {
		if len(steps) > 0 && steps[0].name == "" {
			if steps[0].all {
				l.errorf(u.rng, d.path()+" is not a collection", "It has neither count nor for_each; write [%s] for a list of it alone.", d.path())
			} else {
				l.errorf(u.rng, d.path()+" has no index", "It has neither count nor for_each; write %s.", d.path())
			}
			return false
		}
		return l.resolveInside(u, d.instances[0], steps, s, t, measured)
	}
	return l.resolveInstances(u, d, steps, s, t, measured)
}

// resolveInstances follows a reference to a block with count or for_each.
func (l *loader) resolveInstances(u use, d *decl, steps []step, s scope, t *tree, measured bool) bool {
	if len(steps) == 0 || steps[0].all {
		if len(steps) > 0 && d.forEach && steps[0].splat {
			l.errorf(u.rng, d.path()+" has keys", "[*] is for count; write [for x in %s : x…] to go over the instances of for_each.", d.path())
			return false
		}
		t.sequence = !d.forEach
		rest := steps
		if len(steps) > 0 {
			rest = steps[1:]
		}
		ok := true
		for i, it := range d.instances {
			ok = l.resolveInside(u, it, rest, s, t.at(d.keyOf(i)), measured) && ok
		}
		if len(d.instances) == 0 && !t.sequence {
			t.leaf = cty.EmptyObjectVal
		}
		return ok
	}
	key, local := "", false
	switch step := steps[0]; {
	case step.name != "" && d.forEach && slices.Contains(d.keys, step.name):
		key = step.name
	case step.name != "":
		l.errorf(u.rng, d.path()+" is a collection", "Choose an instance before going on to %q, e.g. %s.%s.", step.name, d.firstPath(), step.name)
		return false
	default:
		v, ok, isLocal := l.stepKey(step, s)
		if !ok {
			return false
		}
		if local = isLocal; !local {
			key = keyText(v)
		}
	}
	if local {
		// The index is a variable of a loop: it may be any of them.
		return l.resolveInstances(u, d, append([]step{{all: true, rng: u.rng}}, steps[1:]...), s, t, measured)
	}
	i, exists := d.byKey[key]
	if !exists {
		if d.forEach {
			l.errorf(u.rng, d.path()+" has no instance "+strconv.Quote(key), "%s", didYouMean(key, d.keys))
		} else {
			l.errorf(u.rng, d.path()+" has no instance "+key, "It has %d; the indices go from 0 to %d.", len(d.keys), len(d.keys)-1)
		}
		return false
	}
	return l.resolveInside(u, d.instances[i], steps[1:], s, t.at(key), measured)
}

// stepName answers the name that a step takes when it is written .name or ["name"].
func (l *loader) stepName(st step, s scope) (string, bool) {
	switch {
	case st.name != "":
		return st.name, true
	case st.all:
		return "", false
	}
	v, ok, local := l.stepKey(st, s)
	if !ok || local {
		return "", false
	}
	return keyText(v), true
}

// stepKey answers the index of a step. local says that it depends on a variable of a
// loop.
func (l *loader) stepKey(st step, s scope) (v cty.Value, ok, local bool) {
	if st.expr == nil {
		return st.key, true, false
	}
	if l.dependsOnLoop(st.expr) {
		return cty.NilVal, true, true
	}
	v, ok = l.evalScoped(st.expr, s)
	if !ok {
		return v, false, false
	}
	if !v.IsKnown() || v.IsNull() || v.Type() != cty.String && v.Type() != cty.Number {
		l.errorf(st.rng, "Invalid index", "An index of a block is a number or a key that is known before the run.")
		return v, false, false
	}
	return v, true, false
}

// dependsOnLoop says whether an expression uses names that are no roots: those of a
// for expression around it.
func (l *loader) dependsOnLoop(expr hclsyntax.Expression) bool {
	for _, t := range expr.Variables() {
		name := t.RootName()
		if !slices.Contains(roots, name) {
			if b := rootSchema.block(name); b == nil {
				return true
			}
		}
	}
	return false
}

// keyText is an index as the keys of a block write it.
func keyText(v cty.Value) string {
	if v.Type() == cty.String {
		return v.AsString()
	}
	f := v.AsBigFloat()
	if f.IsInf() || f.MantExp(nil) > 64 {
		return "beyond"
	}
	return f.Text('f', -1)
}

// resolveInside follows a reference from an item on.
func (l *loader) resolveInside(u use, it *item, steps []step, s scope, t *tree, measured bool) bool {
	if len(steps) == 0 {
		if measured {
			return l.measureAll(it, t)
		}
		t.ref = it.reference()
		return true
	}
	name, known := l.stepName(steps[0], s)
	if !known {
		l.errorf(u.rng, it.path+" is not a collection", "It is one %s; write what you want of it: %s.", it.schema.name, enumerate(visibleNames(it.schema), "or"))
		return false
	}
	nested := it.schema.block(name)
	if nested == nil || !nested.labelled || nested.later {
		if measured {
			return l.measure(u, it, name, t.at(name))
		}
		return l.resolveAttribute(it, steps, t)
	}
	t = t.at(name)
	children := it.children(name)
	if len(steps) == 1 || steps[1].all {
		if len(children) == 0 {
			t.leaf = cty.EmptyObjectVal
			return true
		}
		ok := true
		for _, c := range children {
			rest := steps[1:]
			if len(rest) > 0 {
				rest = rest[1:]
			}
			ok = l.resolveInside(u, c, rest, s, t.at(c.label), measured) && ok
		}
		return ok
	}
	label, known := l.stepName(steps[1], s)
	var names []string
	for _, c := range children {
		names = append(names, c.label)
	}
	if !known {
		l.errorf(steps[1].rng, "Incomplete reference", "Write the name of the %s: %s.%s.NAME. There is %s.", name, it.path, name, enumerate(names, "and"))
		return false
	}
	c := it.child(name, label)
	if c == nil {
		l.errorf(u.rng, fmt.Sprintf("There is no %s %q", name, label), "%s has none of this name. %s", it.path, didYouMean(label, names))
		return false
	}
	return l.resolveInside(u, c, steps[2:], s, t.at(label), measured)
}

// resolveAttribute puts the value of an attribute into the tree of its block.
func (l *loader) resolveAttribute(it *item, steps []step, t *tree) bool {
	name := steps[0].name
	if name == "" && steps[0].key != cty.NilVal && steps[0].key.Type() == cty.String {
		name = steps[0].key.AsString()
	}
	if c := it.visible(name); c != nil {
		if !l.force(c) {
			return false
		}
		t.at(name).leaf = c.value
		return true
	}
	if a := it.schema.attribute(name); a != nil && a.later {
		l.refuse(steps[0].rng, name)
		return false
	}
	l.errorf(steps[0].rng, fmt.Sprintf("There is no %q in a %s", name, it.schema.name), "%s has none. %s", it.path, didYouMean(name, visibleNames(it.schema)))
	return false
}

// derivedNames are what expressions see of a block that is no attribute of it, or
// another one than the file states.
var derivedNames = map[string][]string{
	"network":   {"name", "prefix", "prefixes"},
	"interface": {"name", "address", "addresses", "address4", "address6"},
}

// visibleNames are what a reference can ask of a block.
func visibleNames(b *blockSchema) []string {
	names := slices.Clone(derivedNames[b.name])
	if len(names) == 0 && b.labelled {
		names = append(names, "name")
	}
	for _, a := range b.attributes {
		if !a.later && !slices.Contains(names, a.name) {
			names = append(names, a.name)
		}
	}
	for _, n := range b.blocks {
		if n.labelled && !n.later {
			names = append(names, n.name)
		}
	}
	return names
}

// visible answers the cell of what a reference can ask of a block, or nil.
func (it *item) visible(name string) *cell {
	if slices.Contains(derivedNames[it.schema.name], name) || name == "name" && it.schema.labelled {
		return it.derived(name)
	}
	if a := it.schema.attribute(name); a == nil || a.later {
		return nil
	}
	it.attr(name)
	return it.cells[name]
}
