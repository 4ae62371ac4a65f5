package topology

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// decl is a named top-level block, which stands for one instance or, with count or
// for_each, for any number.
type decl struct {
	l      *loader
	kind   string
	name   string
	schema *blockSchema
	block  *hclsyntax.Block
	// repeated says that the block has count or for_each; forEach that it has the
	// latter.
	repeated, forEach bool
	// expanded computes instances and keys. Instances are in the order of their
	// index, of the list, or of the keys.
	expanded  cell
	instances []*item
	keys      []string
	byKey     map[string]int
	used      bool
}

// path is how a reference writes the block.
func (d *decl) path() string { return d.kind + "." + d.name }

// keyOf answers the key of an instance.
func (d *decl) keyOf(i int) string { return d.keys[i] }

// firstPath is how a reference writes one instance, for messages.
func (d *decl) firstPath() string {
	if len(d.instances) > 0 {
		return d.instances[0].path
	}
	if d.forEach {
		return d.path() + `["KEY"]`
	}
	return d.path() + "[0]"
}

// newDecl makes a decl; its instances come when they are asked for.
func (l *loader) newDecl(schema *blockSchema, b *hclsyntax.Block) *decl {
	d := &decl{l: l, kind: b.Type, name: b.Labels[0], schema: schema, block: b}
	d.expanded = cell{label: d.path(), rng: b.LabelRanges[0], compute: d.expand}
	if schema.repeatable {
		d.repeated = b.Body.Attributes["count"] != nil || b.Body.Attributes["for_each"] != nil
		d.forEach = b.Body.Attributes["for_each"] != nil
	}
	return d
}

// expand makes the instances.
func (d *decl) expand(c *cell) {
	count, forEach := d.block.Body.Attributes["count"], d.block.Body.Attributes["for_each"]
	switch {
	case !d.repeated:
		c.ok = d.add(nil, "", d.name, d.path())
	case count != nil && forEach != nil:
		d.l.errorf(forEach.NameRange, "count and for_each exclude each other", "A block has one of them; take the other out.")
	case count != nil:
		c.label += " (count)"
		c.rng = count.Expr.Range()
		c.ok = d.expandCount(count)
	default:
		c.label += " (for_each)"
		c.rng = forEach.Expr.Range()
		c.ok = d.expandForEach(forEach)
	}
}

func (d *decl) expandCount(a *hclsyntax.Attribute) bool {
	v, ok := d.l.eval(a.Expr, nil)
	if !ok {
		return false
	}
	s := source{l: d.l, name: "count", expr: a.Expr, rng: a.Expr.Range()}
	if v.IsNull() || !v.IsWhollyKnown() {
		return s.bad("count takes a whole number that is known before the run.")
	}
	n, ok := integer{max: instancesMax}.decode(s, v)
	if !ok {
		return false
	}
	for i := range n.(uint64) {
		text := strconv.FormatUint(i, 10)
		e := &env{count: cty.NumberVal(new(big.Float).SetUint64(i))}
		if !d.add(e, text, d.name+"-"+text, d.path()+"["+text+"]") {
			return false
		}
	}
	return true
}

func (d *decl) expandForEach(a *hclsyntax.Attribute) bool {
	v, ok := d.l.eval(a.Expr, nil)
	if !ok {
		return false
	}
	s := source{l: d.l, name: "for_each", expr: a.Expr, rng: a.Expr.Range()}
	if v.IsNull() || !v.IsKnown() {
		return s.bad("for_each takes an object or a list of strings that is known before the run.")
	}
	ty := v.Type()
	isMap := ty.IsObjectType() || ty.IsMapType()
	if !isMap && !ty.IsTupleType() && !ty.IsListType() && !ty.IsSetType() || isReference(v) {
		return s.bad("for_each takes an object, whose keys name the instances, or a list of strings; for a number of instances use count.")
	}
	n := v.LengthInt()
	if n > instancesMax {
		return s.bad("for_each has %d elements; at most %d are allowed.", n, instancesMax)
	}
	seen := map[string]bool{}
	for i, it := 0, v.ElementIterator(); it.Next(); i++ {
		k, e := it.Element()
		es := s.element(i, n)
		if !isMap {
			if k = e; !e.IsKnown() || e.IsNull() || e.Type() != cty.String {
				return es.bad("for_each over a list takes strings, which name the instances; for anything else write an object with names as keys.")
			}
		}
		key := k.AsString()
		switch {
		case !d.schema.free && !keyPattern.MatchString(key):
			return es.bad("%q cannot name an instance: a key has letters, digits, \"_\", \"-\" and \".\" and begins with a letter or digit.", key)
		case seen[key]:
			return es.bad("%q occurs twice; each names an instance of its own.", key)
		}
		seen[key] = true
		if !d.add(&env{key: cty.StringVal(key), value: e}, key, d.name+"-"+key, fmt.Sprintf("%s[%q]", d.path(), key)) {
			return false
		}
	}
	return true
}

// add makes one instance.
func (d *decl) add(e *env, key, name, path string) bool {
	if d.l.instances++; d.l.instances > instancesTotalMax {
		d.l.errorf(d.block.LabelRanges[0], "Too many instances", "The blocks of a lab have at most %d instances in all; lower count.", instancesTotalMax)
		return false
	}
	it := d.l.newItem(d.schema, d.block.Body, e)
	it.decl, it.name, it.label, it.rng = d, name, d.name, d.block.LabelRanges[0]
	it.setPath(path)
	it.index = len(d.instances)
	if d.byKey == nil {
		d.byKey = map[string]int{}
	}
	d.byKey[key] = it.index
	d.instances, d.keys = append(d.instances, it), append(d.keys, key)
	return true
}

// all answers every instance of a kind, in the order of the plan. Blocks whose
// instances are unknown have none; that has been reported.
func (l *loader) all(kind string) []*item {
	var out []*item
	for _, d := range l.decls[kind] {
		if l.force(&d.expanded) {
			out = append(out, d.instances...)
		}
	}
	return out
}

// checkBody compares a body with its schema: names, labels, what is required and what
// this version lacks. It is done once per block of the file, however many instances
// there are.
func (l *loader) checkBody(body *hclsyntax.Body, schema *blockSchema, what string, at hcl.Range) {
	for _, a := range sortedAttributes(body) {
		known := schema.attribute(a.Name)
		meta := a.Name == "count" || a.Name == "for_each"
		switch {
		case known != nil && known.later:
			l.refuse(a.NameRange, a.Name)
		case known != nil || schema.open:
		case meta && schema.repeatable:
		case meta:
			l.errorf(a.NameRange, a.Name+" is not for "+what, "count and for_each work on %s.", enumerate(repeatables(), "and"))
		default:
			l.unknownAttribute(a.NameRange, a.Name, schema)
		}
	}
	for i := range schema.attributes {
		if a := &schema.attributes[i]; a.required && body.Attributes[a.name] == nil {
			l.errorf(at, "Missing "+a.name, "%s needs the attribute %q, which takes %s.", what, a.name, a.kind.what())
		}
	}
	first := map[string]map[string]hcl.Range{}
	for _, b := range body.Blocks {
		nested := schema.block(b.Type)
		if nested == nil {
			l.unknownBlock(b, schema, what)
			continue
		}
		if nested.later && nested != natSchema {
			l.refuse(b.TypeRange, "the block "+b.Type)
			continue
		}
		if nested.later {
			l.refuse(b.TypeRange, "the block "+b.Type)
		}
		label, ok := l.checkLabels(b, nested)
		if !ok {
			continue
		}
		if first[b.Type] == nil {
			first[b.Type] = map[string]hcl.Range{}
		}
		before, again := first[b.Type][label]
		if !nested.labelled && !nested.single {
			again = false
		}
		if nested.single && len(first[b.Type]) > 0 {
			again = true
			for _, r := range first[b.Type] {
				before = r
			}
		}
		switch {
		case again && nested.single:
			l.errorf(b.TypeRange, "Duplicate block "+b.Type, "%s has one %s block; the first is in line %d.", what, b.Type, before.Start.Line)
			continue
		case again:
			l.errorf(b.LabelRanges[0], fmt.Sprintf("Duplicate %s %q", b.Type, label), "The name is taken by the %s in line %d; each has a name of its own.", b.Type, before.Start.Line)
			continue
		}
		first[b.Type][label] = b.DefRange()
		if !nested.later {
			l.checkBody(b.Body, nested, describeBlock(b), b.TypeRange)
		}
	}
	for _, nested := range schema.blocks {
		if nested.required && len(first[nested.name]) == 0 {
			l.errorf(at, "Missing block "+nested.name, "%s needs a %s block.", what, nested.name)
		}
	}
}

// describeBlock names a block of the file.
func describeBlock(b *hclsyntax.Block) string {
	if len(b.Labels) == 0 {
		return b.Type
	}
	return b.Type + " " + strconv.Quote(b.Labels[0])
}

// repeatables are the blocks that take count and for_each.
func repeatables() []string {
	var names []string
	for _, b := range rootSchema.blocks {
		if b.repeatable && !b.later {
			names = append(names, b.name)
		}
	}
	return names
}

// checkLabels checks a block's name and answers it.
func (l *loader) checkLabels(b *hclsyntax.Block, schema *blockSchema) (string, bool) {
	switch {
	case !schema.labelled && len(b.Labels) > 0:
		l.errorf(b.LabelRanges[0], b.Type+" takes no name", "Write %s { … }.", b.Type)
		return "", false
	case !schema.labelled:
		return "", true
	case len(b.Labels) == 0:
		l.errorf(b.TypeRange, b.Type+" needs a name", "Write %s \"NAME\" { … }.", b.Type)
		return "", false
	case len(b.Labels) > 1:
		l.errorf(b.LabelRanges[1], b.Type+" takes one name", "Write %s %q { … }.", b.Type, b.Labels[0])
		return "", false
	}
	name := b.Labels[0]
	switch {
	case schema.free && name != "" && len(name) <= 4*nameBytesMax:
	case schema.free:
		l.errorf(b.LabelRanges[0], "Invalid name", "The name of an %s is a text of 1 to %d bytes.", b.Type, 4*nameBytesMax)
		return "", false
	case len(name) > nameBytesMax:
		l.errorf(b.LabelRanges[0], "Invalid name", "A name has at most %d characters; this one has %d.", nameBytesMax, len(name))
		return "", false
	case !namePattern.MatchString(name):
		l.errorf(b.LabelRanges[0], "Invalid name", "%q: a name has letters, digits, \"_\" and \"-\" and begins with a letter, so that references can write it.", name)
		return "", false
	}
	return name, true
}

// unknownAttribute reports an attribute that does not exist.
func (l *loader) unknownAttribute(at hcl.Range, name string, schema *blockSchema) {
	var names []string
	for i := range schema.attributes {
		a := &schema.attributes[i]
		for _, aka := range a.aka {
			if aka == name {
				l.errorf(at, "There is no attribute "+strconv.Quote(name), "Here it is called %q.", a.name)
				return
			}
		}
		if !a.later {
			names = append(names, a.name)
		}
	}
	if nested := schema.block(name); nested != nil {
		l.errorf(at, name+" is a block", "Write it without the equals sign: %s { … }.", name)
		return
	}
	l.errorf(at, "There is no attribute "+strconv.Quote(name), "%s", didYouMean(name, names))
}

// unknownBlock reports a block that does not exist.
func (l *loader) unknownBlock(b *hclsyntax.Block, schema *blockSchema, what string) {
	if a := schema.attribute(b.Type); a != nil {
		l.errorf(b.TypeRange, b.Type+" is an attribute", "Write it with an equals sign: %s = …; it takes %s.", b.Type, a.kind.what())
		return
	}
	var names []string
	for _, nested := range schema.blocks {
		if !nested.later {
			names = append(names, nested.name)
		}
	}
	if top := rootSchema.block(b.Type); top != nil && schema != rootSchema && !top.later {
		l.errorf(b.TypeRange, "There is no block "+strconv.Quote(b.Type)+" here", "A %s block stands by itself in the file, not in %s.", b.Type, what)
		return
	}
	if len(names) == 0 {
		l.errorf(b.TypeRange, "There is no block "+strconv.Quote(b.Type), "%s has no blocks in it.", sentence(what))
		return
	}
	l.errorf(b.TypeRange, "There is no block "+strconv.Quote(b.Type), "In %s: %s", what, didYouMean(b.Type, names))
}
