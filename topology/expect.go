package topology

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// planExpectations makes the expectations. Conditions and messages are evaluated once
// over unknown results, so that what they misspell is found before the run.
func (l *loader) planExpectations(p *Plan) {
	for _, it := range l.all("expect") {
		e := Expectation{Name: it.name, File: l.file, Line: it.rng.Start.Line, Mode: ModeEnd, At: p.Lab.Duration}
		if it.decl.repeated {
			e.Name = it.label + " [" + it.decl.keys[it.index] + "]"
		}
		l.expectMode(p, it, &e)
		condition := it.body.Attributes["condition"]
		if condition == nil {
			l.failed = true
			continue
		}
		s := scope{env: it.env, results: true}
		j := &judge{l: l, condition: condition.Expr, env: it.env}
		ok := l.checkCondition(condition, s)
		if message := it.body.Attributes["error_message"]; message != nil {
			_, okMessage := l.messageOf(message, s)
			ok = ok && okMessage
			j.message = message.Expr
		}
		if !ok {
			l.failed = true
			continue
		}
		if j.conditionTree, ok = l.resolveAll(j.condition, s); ok && j.message != nil {
			j.messageTree, ok = l.resolveAll(j.message, s)
		}
		if ok {
			j.findOperands()
			e.Evaluate = j.judge
		}
		p.Expectations = append(p.Expectations, e)
	}
}

// expectMode reads after, within and always.
func (l *loader) expectMode(p *Plan, it *item, e *Expectation) {
	after, within, always := it.attr("after"), it.attr("within"), it.attr("always")
	isAlways := value[bool](it, "always")
	from := value[time.Duration](it, "after")
	switch {
	case !after.ok || !within.ok || !always.ok:
		return
	case isAlways && within.set:
		l.errorf(within.rng, "within and always exclude each other", "Either the condition comes true at some time, or it holds at all times; take one out.")
	case within.set:
		e.Mode, e.From, e.At = ModeWithin, from, from+within.typed.(time.Duration)
		if e.At > p.Lab.Duration {
			l.errorf(within.rng, "Expectation beyond the lab's end", "Its time is up at %v, the lab ends at %v; lengthen lab.duration.", e.At, p.Lab.Duration)
		}
	case isAlways:
		e.Mode, e.From = ModeAlways, from
	case after.set:
		e.Mode, e.At = ModeAfter, from
	}
	if after.set && from > p.Lab.Duration {
		l.errorf(after.rng, "Expectation beyond the lab's end", "It is judged after %v, the lab ends at %v; lengthen lab.duration.", from, p.Lab.Duration)
	}
}

// checkCondition evaluates a condition over unknown results.
func (l *loader) checkCondition(a *hclsyntax.Attribute, s scope) bool {
	v, ok := l.evalScoped(a.Expr, s)
	if !ok {
		return false
	}
	if b, err := convert.Convert(v, cty.Bool); err != nil || v.IsNull() {
		l.errorf(a.Expr.Range(), "Invalid condition", "A condition is true or false; this is %s. Compare it with something, e.g. %s > 0.", typeName(v), clip(l.textOf(a.Expr.Range()), 40))
		return false
	} else if b.IsKnown() && !l.refersToResults(a.Expr) {
		l.warnf(a.Expr.Range(), "Condition without a result", "The condition is %v whatever happens in the run; compare something that begins with result., or an event_count().", b.True())
	}
	return true
}

func typeName(v cty.Value) string {
	if isReference(v) {
		return "a reference to " + referenceOf(v).describe()
	}
	if v.IsNull() {
		return "null"
	}
	return v.Type().FriendlyName()
}

// refersToResults says whether an expression asks for anything measured.
func (l *loader) refersToResults(expr hclsyntax.Expression) bool {
	for _, u := range l.usesOf(expr) {
		if u.root == "result" {
			return true
		}
	}
	return strings.Contains(l.textOf(expr.Range()), "event_")
}

// clip shortens a text for a message.
func clip(text string, n int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

// judge evaluates one expectation over results.
type judge struct {
	l                          *loader
	env                        *env
	condition, message         hclsyntax.Expression
	conditionTree, messageTree *tree
	operands                   []operand
}

// operand is a part of the condition that a failure shows.
type operand struct {
	expr hclsyntax.Expression
	text string
	// duration says that its value is a number of seconds.
	duration bool
}

// operandTextRunesMax bounds what a failure shows of an operand.
const operandTextRunesMax = 80

// findOperands takes the sides of every comparison in the condition; without one, the
// references in it.
func (j *judge) findOperands() {
	var comparisons func(e hclsyntax.Expression)
	add := func(e hclsyntax.Expression, duration bool) {
		text := clip(j.l.textOf(e.Range()), operandTextRunesMax)
		for _, o := range j.operands {
			if o.text == text {
				return
			}
		}
		j.operands = append(j.operands, operand{e, text, duration})
	}
	comparisons = func(e hclsyntax.Expression) {
		switch e := unwrap(e).(type) {
		case *hclsyntax.BinaryOpExpr:
			switch e.Op {
			case hclsyntax.OpEqual, hclsyntax.OpNotEqual, hclsyntax.OpGreaterThan, hclsyntax.OpGreaterThanOrEqual, hclsyntax.OpLessThan, hclsyntax.OpLessThanOrEqual:
				duration := j.isDuration(e.LHS) || j.isDuration(e.RHS)
				add(e.LHS, duration)
				add(e.RHS, duration)
			case hclsyntax.OpLogicalAnd, hclsyntax.OpLogicalOr:
				comparisons(e.LHS)
				comparisons(e.RHS)
			}
		case *hclsyntax.UnaryOpExpr:
			comparisons(e.Val)
		case *hclsyntax.ScopeTraversalExpr, *hclsyntax.RelativeTraversalExpr, *hclsyntax.IndexExpr:
			add(e, false)
		case *hclsyntax.FunctionCallExpr:
			for _, a := range e.Args {
				if len(j.l.usesOf(a)) > 0 {
					add(a, false)
				}
			}
		}
	}
	comparisons(j.condition)
}

// isDuration says that an expression is seconds, as far as its form tells.
func (j *judge) isDuration(e hclsyntax.Expression) bool {
	switch e := unwrap(e).(type) {
	case *hclsyntax.FunctionCallExpr:
		return e.Name == "duration" || e.Name == "event_time"
	case *hclsyntax.BinaryOpExpr:
		return (e.Op == hclsyntax.OpAdd || e.Op == hclsyntax.OpSubtract) && (j.isDuration(e.LHS) || j.isDuration(e.RHS))
	case *hclsyntax.ScopeTraversalExpr, *hclsyntax.RelativeTraversalExpr:
		uses := j.l.usesOf(e)
		if len(uses) != 1 || uses[0].root != "result" {
			return false
		}
		last := uses[0].steps[len(uses[0].steps)-1].name
		for _, kind := range []string{"flow", "connection", "process"} {
			for _, f := range resultFields[kind] {
				if f.name == last && f.duration {
					return true
				}
			}
		}
		return last == nowField.name
	}
	return false
}

// judge is Expectation.Evaluate.
func (j *judge) judge(r Results) Verdict {
	j.l.steps = 0
	v, err := j.eval(j.condition, j.conditionTree, &r)
	if err != nil {
		return Verdict{Message: "the condition cannot be evaluated: " + err.Error(), Operands: j.shown(&r)}
	}
	b, convertErr := convert.Convert(v, cty.Bool)
	switch {
	case convertErr != nil || b.IsKnown() && b.IsNull():
		return Verdict{Message: "the condition is neither true nor false", Operands: j.shown(&r)}
	case !b.IsKnown():
		operands := j.shown(&r)
		what := "a value in the condition"
		for _, o := range operands {
			if o.Value == noSample {
				what = o.Text
				break
			}
		}
		return Verdict{Message: "nothing was measured of " + what, Operands: operands, NoSamples: true}
	case b.True():
		return Verdict{Pass: true, Operands: j.shown(&r)}
	}
	verdict := Verdict{Message: "the condition does not hold", Operands: j.shown(&r)}
	if j.message != nil {
		if m, err := j.eval(j.message, j.messageTree, &r); err == nil && m.IsKnown() && !m.IsNull() {
			if text, err := convert.Convert(m, cty.String); err == nil {
				verdict.Message = text.AsString()
			}
		}
	}
	return verdict
}

// eval evaluates a part of the expectation over results.
func (j *judge) eval(e hclsyntax.Expression, t *tree, r *Results) (cty.Value, error) {
	ctx := j.l.context(t, r)
	ctx.Functions = j.l.watchFunctions(r)
	v, diags := j.l.run(e, ctx)
	if diags.HasErrors() {
		d := diags[0]
		return v, fmt.Errorf("%s: %s", d.Summary, d.Detail)
	}
	return v, nil
}

// noSample is how a value of which nothing was measured is shown.
const noSample = "no samples"

// shown answers the operands with their values.
func (j *judge) shown(r *Results) []Operand {
	out := make([]Operand, 0, len(j.operands))
	for _, o := range j.operands {
		one := Operand{Text: o.text}
		if v, err := j.eval(o.expr, j.conditionTree, r); err != nil {
			one.Value = err.Error()
		} else {
			one.Value = show(v, o.duration)
		}
		out = append(out, one)
	}
	return out
}

// shownElementsMax bounds how much of a list is shown.
const shownElementsMax = 8

// Of a long text, such as what a command wrote, the beginning is shown and the end,
// where most commands sum up.
const (
	shownHeadRunesMax = 120
	shownTailRunesMax = 280
)

// showText quotes a text, its middle left out where it is long.
func showText(text string) string {
	r := []rune(text)
	omitted := len(r) - shownHeadRunesMax - shownTailRunesMax
	if omitted <= 0 {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprintf("%q … %d characters … %q", string(r[:shownHeadRunesMax]), omitted, string(r[len(r)-shownTailRunesMax:]))
}

// show prints a value for a person.
func show(v cty.Value, duration bool) string {
	switch {
	case !v.IsKnown():
		return noSample
	case v.IsNull():
		return "null"
	case isReference(v):
		return referenceOf(v).path
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		return showText(v.AsString())
	case ty == cty.Bool:
		return fmt.Sprint(v.True())
	case ty == cty.Number && duration:
		return humanizeSeconds(v.AsBigFloat())
	case ty == cty.Number:
		return v.AsBigFloat().Text('g', 9)
	case ty.IsTupleType() || ty.IsListType() || ty.IsSetType():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			if len(parts) == shownElementsMax {
				parts = append(parts, fmt.Sprintf("… %d in all", v.LengthInt()))
				break
			}
			_, e := it.Element()
			parts = append(parts, show(e, duration))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return v.Type().FriendlyName()
}
