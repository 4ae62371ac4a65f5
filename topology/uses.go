package topology

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// use is one reference in an expression: a root and the way on from it.
type use struct {
	root  string
	steps []step
	rng   hcl.Range
}

// step is one step of the way: exactly one of name, key, expr and all.
type step struct {
	name  string
	key   cty.Value
	expr  hclsyntax.Expression // an index to be evaluated
	all   bool                 // the elements of a for expression, or of [*]: then splat
	splat bool
	rng   hcl.Range
}

// collector finds the uses of an expression.
type collector struct {
	uses []use
	// loops are the for expressions around, scopes what their variables stand for:
	// a use, or nil when they stand for nothing of the lab.
	loops  []*hclsyntax.ForExpr
	scopes []map[string]*use
	// part are the expressions inside a way that has been taken as a whole.
	part map[hclsyntax.Node]bool
}

// usesOf answers the references in an expression. The instances of a block share it.
func (l *loader) usesOf(expr hclsyntax.Expression) []use {
	if uses, done := l.analysed[expr]; done {
		return uses
	}
	c := &collector{part: map[hclsyntax.Node]bool{}}
	// The collector answers no diagnostics, so neither does the walk.
	_ = hclsyntax.Walk(expr, c)
	l.analysed[expr] = c.uses
	return c.uses
}

// Enter is called before a node's children.
func (c *collector) Enter(n hclsyntax.Node) hcl.Diagnostics {
	n = inside(n)
	switch e := n.(type) {
	case *hclsyntax.ForExpr:
		c.loops = append(c.loops, e)
		return nil
	case hclsyntax.ChildScope:
		names := map[string]*use{}
		for name := range e.LocalNames {
			names[name] = nil
		}
		if loop := c.loops[len(c.loops)-1]; loop.ValVar != "" {
			if u := c.way(loop.CollExpr); u != nil {
				u.steps = append(u.steps, step{all: true, rng: loop.CollExpr.Range()})
				names[loop.ValVar] = u
			}
		}
		c.scopes = append(c.scopes, names)
		return nil
	}
	expr, is := n.(hclsyntax.Expression)
	if !is || c.part[n] {
		return nil
	}
	if u := c.way(expr); u != nil {
		c.consume(expr)
		c.uses = append(c.uses, *u)
	}
	return nil
}

// Exit is called after a node's children.
func (c *collector) Exit(n hclsyntax.Node) hcl.Diagnostics {
	switch inside(n).(type) {
	case *hclsyntax.ForExpr:
		c.loops = c.loops[:len(c.loops)-1]
	case hclsyntax.ChildScope:
		c.scopes = c.scopes[:len(c.scopes)-1]
	}
	return nil
}

// way answers the reference that an expression is, or nil when it is something else.
func (c *collector) way(e hclsyntax.Expression) *use {
	switch e := unwrap(e).(type) {
	case *hclsyntax.ScopeTraversalExpr:
		name := e.Traversal.RootName()
		for i := len(c.scopes) - 1; i >= 0; i-- {
			if meant, local := c.scopes[i][name]; local {
				if meant == nil {
					return nil
				}
				return &use{root: meant.root, steps: append(slices.Clone(meant.steps), stepsOf(e.Traversal[1:])...), rng: e.Range()}
			}
		}
		return &use{root: name, steps: stepsOf(e.Traversal[1:]), rng: e.Range()}
	case *hclsyntax.RelativeTraversalExpr:
		if u := c.way(e.Source); u != nil {
			u.steps, u.rng = append(u.steps, stepsOf(e.Traversal)...), e.Range()
			return u
		}
	case *hclsyntax.IndexExpr:
		if u := c.way(e.Collection); u != nil {
			u.steps, u.rng = append(u.steps, step{expr: e.Key, rng: e.Key.Range()}), e.Range()
			return u
		}
	case *hclsyntax.SplatExpr:
		if u := c.way(e.Source); u != nil {
			u.steps, u.rng = append(u.steps, step{all: true, splat: true, rng: e.MarkerRange}), e.Range()
			u.steps = append(u.steps, c.behindSplat(e.Each)...)
			return u
		}
	}
	return nil
}

// behindSplat answers the way that a splat goes on with each element.
func (c *collector) behindSplat(e hclsyntax.Expression) []step {
	switch e := unwrap(e).(type) {
	case *hclsyntax.RelativeTraversalExpr:
		return append(c.behindSplat(e.Source), stepsOf(e.Traversal)...)
	case *hclsyntax.IndexExpr:
		return append(c.behindSplat(e.Collection), step{expr: e.Key, rng: e.Key.Range()})
	case *hclsyntax.SplatExpr:
		return append(append(c.behindSplat(e.Source), step{all: true, splat: true, rng: e.MarkerRange}), c.behindSplat(e.Each)...)
	}
	return nil
}

// consume marks the expressions that a way consists of; the indices in it are
// expressions of their own and stay.
func (c *collector) consume(e hclsyntax.Expression) {
	for {
		c.part[inside(e)] = true
		switch inner := inside(e).(type) {
		case *hclsyntax.ParenthesesExpr:
			e = inner.Expression
		case *hclsyntax.TemplateWrapExpr:
			e = inner.Wrapped
		case *hclsyntax.RelativeTraversalExpr:
			e = inner.Source
		case *hclsyntax.IndexExpr:
			e = inner.Collection
		case *hclsyntax.SplatExpr:
			c.consume(inner.Each)
			e = inner.Source
		default:
			return
		}
	}
}

// stepsOf translates HCL's traversal.
func stepsOf(t hcl.Traversal) []step {
	out := make([]step, 0, len(t))
	for _, s := range t {
		switch s := s.(type) {
		case hcl.TraverseAttr:
			out = append(out, step{name: s.Name, rng: s.SrcRange})
		case hcl.TraverseIndex:
			out = append(out, step{key: s.Key, rng: s.SrcRange})
		case hcl.TraverseSplat:
			out = append(out, step{all: true, splat: true, rng: s.SrcRange})
		}
	}
	return out
}
