package topology

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// Option changes what Load does.
type Option func(*options)

type options struct{ despiteRefusals bool }

// PlanDespiteRefusals makes Load answer a plan although the lab asks for what this
// version does not have. The refusals are in the diagnostics all the same, as
// errors; the plan leaves out what they name and must not be run.
func PlanDespiteRefusals() Option { return func(o *options) { o.despiteRefusals = true } }

// Load reads the lab at path in fsys, with values for its variables by name, and
// answers its plan. The plan is nil when the diagnostics hold an error. Warnings may
// come with a plan.
func Load(fsys fs.FS, path string, vars map[string]string, opts ...Option) (*Plan, Diagnostics) {
	l := &loader{
		file: path, sources: map[string][]byte{}, said: map[diagnosticKey]struct{}{},
		decls: map[string][]*decl{}, byName: map[string]map[string]*decl{},
		variables: map[string]*variable{}, locals: map[string]*local{},
		functions: functions(), analysed: map[hclsyntax.Expression][]use{},
	}
	l.attached = cell{label: "the interfaces of the lab", compute: l.attach}
	for _, o := range opts {
		o(&l.opts)
	}
	body, ok := l.parse(fsys, path)
	if !ok {
		return nil, l.finish()
	}
	l.declare(body)
	l.giveVariables(vars)
	for _, v := range l.localOrder {
		l.force(&v.cell)
	}
	plan := l.plan()
	l.warnUnused()
	d := l.finish()
	refusalsOnly := true
	for _, one := range d.All() {
		refusalsOnly = refusalsOnly && (!one.Error || one.Refusal)
	}
	switch {
	case !d.HasErrors() && !l.failed:
		return plan, d
	case !d.HasErrors():
		// Nothing is worse than a plan with a hole in it.
		d.list = append(d.list, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "The lab could not be planned",
			Detail: "A value stayed unknown without a reason that ikelab could name. Please report this lab."})
		return nil, d
	case refusalsOnly && l.opts.despiteRefusals:
		return plan, d
	}
	return nil, d
}

// parse reads the file and answers its syntax tree.
func (l *loader) parse(fsys fs.FS, path string) (*hclsyntax.Body, bool) {
	src, err := readBounded(fsys, path)
	if err != nil {
		detail := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			detail = fmt.Sprintf("There is no file %s.", path)
		}
		l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Cannot read the lab", Detail: detail})
		return nil, false
	}
	if at := binaryAt(src); at >= 0 {
		l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Not a lab file",
			Detail: fmt.Sprintf("%s is no text: byte %d is 0x%02x. A lab is HCL in UTF-8.", path, at, src[at])})
		return nil, false
	}
	l.sources[path] = src
	f, diags := parseSource(src, path)
	for _, d := range diags {
		l.add(clean(d))
	}
	if diags.HasErrors() {
		return nil, false
	}
	body := f.Body.(*hclsyntax.Body)
	l.countLoops(body)
	return body, true
}

// binaryAt is where a file shows that it is not text in UTF-8, -1 when it does not.
func binaryAt(src []byte) int {
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// readBounded reads a file of at most fileBytesMax.
func readBounded(fsys fs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	src, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && len(src) > fileBytesMax {
		err = fmt.Errorf("%s is longer than %d bytes; a lab is not that long", path, fileBytesMax)
	}
	return src, err
}

// parseSource parses HCL whose nesting is bounded: HCL's parser and its evaluation
// are recursive.
func parseSource(src []byte, path string) (*hcl.File, hcl.Diagnostics) {
	tokens, _ := hclsyntax.LexConfig(src, path, hcl.InitialPos) // the parser reports what is wrong with them
	if d := nesting(tokens); d != nil {
		return nil, hcl.Diagnostics{d}
	}
	return hclsyntax.ParseConfig(src, path, hcl.InitialPos)
}

// statementTokensMax bounds what stands between two commas or line ends at one depth
// of brackets: each operator in it is one level of the syntax tree.
const statementTokensMax = 2000

// hugeNumber finds numbers whose digits would fill the memory.
var hugeNumber = regexp.MustCompile(`^\s*[-+]?[0-9.]+[eE][-+]?[0-9]{3,}\s*$`)

// nesting answers a diagnostic when brackets, operators or numbers go beyond the bounds.
func nesting(tokens hclsyntax.Tokens) *hcl.Diagnostic {
	type level struct {
		lines  bool // line ends separate
		tokens int
	}
	levels := []level{{lines: true}}
	complain := func(t hclsyntax.Token, summary, detail string) *hcl.Diagnostic {
		return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: t.Range.Ptr()}
	}
	for _, t := range tokens {
		top := &levels[len(levels)-1]
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOQuote,
			hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			top.tokens++
			levels = append(levels, level{lines: t.Type == hclsyntax.TokenOBrace})
			if len(levels) > nestingDepthMax {
				return complain(t, "Brackets are nested too deeply", fmt.Sprintf("At most %d levels are allowed.", nestingDepthMax))
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
		case hclsyntax.TokenComma:
			top.tokens = 0
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			if top.lines {
				top.tokens = 0
			}
		case hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit:
			if hugeNumber.Match(t.Bytes) {
				return complain(t, "Number too large", "The exponent of a number has at most two digits.")
			}
			top.tokens++
		default:
			top.tokens++
		}
		if top.tokens > statementTokensMax {
			return complain(t, "Expression too long", fmt.Sprintf("An expression has at most %d parts; put some of it into locals.", statementTokensMax))
		}
	}
	return nil
}

// Format answers src in the canonical layout of HCL, or diagnostics when src is not
// HCL. The name stands for the file in diagnostics.
func Format(src []byte, name string) ([]byte, Diagnostics) {
	l := &loader{sources: map[string][]byte{name: src}, said: map[diagnosticKey]struct{}{}}
	if len(src) > fileBytesMax {
		l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Cannot read the lab",
			Detail: fmt.Sprintf("%s is longer than %d bytes; a lab is not that long.", name, fileBytesMax)})
		return nil, l.finish()
	}
	_, diags := parseSource(src, name)
	for _, d := range diags {
		l.add(clean(d))
	}
	if diags.HasErrors() {
		return nil, l.finish()
	}
	return hclwrite.Format(src), l.finish()
}

// declare takes up every block of the file.
func (l *loader) declare(body *hclsyntax.Body) {
	start := hcl.Range{Filename: l.file, Start: hcl.InitialPos, End: hcl.InitialPos}
	l.checkBody(body, rootSchema, "the lab", start)
	for _, b := range body.Blocks {
		schema := rootSchema.block(b.Type)
		if schema == nil || schema.labelled != (len(b.Labels) == 1) {
			continue
		}
		switch schema {
		case labSchema:
			if l.lab == nil {
				l.lab = l.newItem(schema, b.Body, nil)
				l.lab.name, l.lab.label, l.lab.rng = b.Labels[0], b.Labels[0], b.LabelRanges[0]
				l.lab.setPath("lab")
			}
		case variableSchema:
			l.declareVariable(b)
		case localsSchema:
			l.declareLocals(b)
		default:
			if schema.later && schema != natSchema {
				continue
			}
			if l.byName[b.Type] == nil {
				l.byName[b.Type] = map[string]*decl{}
			}
			if l.byName[b.Type][b.Labels[0]] == nil {
				d := l.newDecl(schema, b)
				l.byName[b.Type][d.name] = d
				l.decls[b.Type] = append(l.decls[b.Type], d)
			}
		}
	}
}

func (l *loader) declareLocals(b *hclsyntax.Block) {
	for _, a := range sortedAttributes(b.Body) {
		if l.locals[a.Name] != nil {
			l.errorf(a.NameRange, fmt.Sprintf("Duplicate local value %q", a.Name), "The name is taken in line %d; each has a name of its own.", l.locals[a.Name].attr.NameRange.Start.Line)
			continue
		}
		v := &local{name: a.Name, attr: a}
		v.cell = cell{label: "local." + a.Name, rng: a.Expr.Range(), compute: func(c *cell) {
			c.value, c.ok = l.eval(a.Expr, nil)
		}}
		l.locals[a.Name], l.localOrder = v, append(l.localOrder, v)
	}
}

// sortedAttributes answers a body's attributes in the order of the file.
func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.NameRange.Start.Byte - b.NameRange.Start.Byte })
	return out
}

func (l *loader) declareVariable(b *hclsyntax.Block) {
	if l.variables[b.Labels[0]] != nil {
		return // the duplicate has been reported
	}
	v := &variable{item: l.newItem(variableSchema, b.Body, nil)}
	v.item.name, v.item.label, v.item.rng = b.Labels[0], b.Labels[0], b.LabelRanges[0]
	v.item.setPath("var." + b.Labels[0])
	v.cell = cell{label: v.item.path, rng: v.item.rng, compute: func(c *cell) { l.variableDefault(v, c) }}
	l.variables[b.Labels[0]], l.variableOrder = v, append(l.variableOrder, v)
}

// variableType answers the type that a variable declares.
func (l *loader) variableType(v *variable) (cty.Type, *typeexpr.Defaults, bool) {
	a := v.item.body.Attributes["type"]
	if a == nil {
		return cty.DynamicPseudoType, nil, true
	}
	ty, defaults, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
	for _, d := range diags {
		l.add(clean(d))
	}
	return ty, defaults, !diags.HasErrors()
}

func (l *loader) variableDefault(v *variable, c *cell) {
	a := v.item.body.Attributes["default"]
	if a == nil {
		l.errorf(v.item.rng, fmt.Sprintf("Variable %q has no value", v.item.label), "It has no default; give it one, or a value with --var %s=….", v.item.label)
		return
	}
	value, ok := l.eval(a.Expr, nil)
	if !ok {
		return
	}
	c.value, c.ok = l.convertVariable(v, value, a.Expr.Range(), "default")
}

// convertVariable brings a value to a variable's type and applies its rules.
func (l *loader) convertVariable(v *variable, value cty.Value, at hcl.Range, what string) (cty.Value, bool) {
	ty, defaults, ok := l.variableType(v)
	if !ok {
		return cty.DynamicVal, false
	}
	if defaults != nil && !value.IsNull() {
		value = defaults.Apply(value)
	}
	converted, err := convert.Convert(value, ty)
	if err != nil {
		l.errorf(at, fmt.Sprintf("Wrong type for variable %q", v.item.label), "The %s does not fit the type %s: %s.", what, typeexpr.TypeString(ty), err)
		return cty.DynamicVal, false
	}
	return converted, true
}

// giveVariables sets the values from the command line.
func (l *loader) giveVariables(vars map[string]string) {
	given := make([]string, 0, len(vars))
	for name := range vars {
		given = append(given, name)
	}
	slices.Sort(given)
	for _, name := range given {
		v := l.variables[name]
		if v == nil {
			var names []string
			for _, o := range l.variableOrder {
				names = append(names, o.item.label)
			}
			l.add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: fmt.Sprintf("There is no variable %q", name), Detail: didYouMean(name, names)})
			continue
		}
		text := vars[name]
		v.cell.compute = func(c *cell) {
			value, at := cty.StringVal(text), v.item.rng
			ty, _, ok := l.variableType(v)
			if ok && ty != cty.String {
				expr, diags := hclsyntax.ParseExpression([]byte(text), "--var "+name, hcl.InitialPos)
				if len(text) <= stringBytesMax && !diags.HasErrors() && len(expr.Variables()) == 0 && nestedLittle(text) {
					if parsed, diags := expr.Value(&hcl.EvalContext{Functions: map[string]function.Function{}}); !diags.HasErrors() && oversized(parsed) == "" {
						value = parsed
					}
				}
			}
			c.value, c.ok = l.convertVariable(v, value, at, "value "+fmt.Sprintf("%q", text)+" of --var")
		}
	}
	for _, v := range l.variableOrder {
		if l.force(&v.cell) {
			l.validateVariable(v)
		}
	}
}

// nestedLittle says that a text may be parsed as an expression.
func nestedLittle(text string) bool {
	tokens, _ := hclsyntax.LexExpression([]byte(text), "", hcl.InitialPos) // the parser has reported what is wrong
	return nesting(tokens) == nil
}

// validateVariable applies a variable's validation blocks.
func (l *loader) validateVariable(v *variable) {
	for _, rule := range v.item.children("validation") {
		condition, message := rule.body.Attributes["condition"], rule.body.Attributes["error_message"]
		if condition == nil || message == nil {
			continue
		}
		holds, ok := l.evalScoped(condition.Expr, scope{self: v})
		if !ok {
			continue
		}
		b, err := convert.Convert(holds, cty.Bool)
		if err != nil || b.IsNull() || !b.IsKnown() {
			l.errorf(condition.Expr.Range(), "Invalid condition", "A condition is true or false; this is %s.", holds.Type().FriendlyName())
			continue
		}
		if text, ok := l.messageOf(message, scope{self: v}); ok && b.False() {
			l.errorf(v.item.rng, fmt.Sprintf("Invalid value for variable %q", v.item.label), "%s", text)
		}
	}
}

// messageOf evaluates an error_message.
func (l *loader) messageOf(a *hclsyntax.Attribute, s scope) (string, bool) {
	m, ok := l.evalScoped(a.Expr, s)
	if !ok {
		return "", false
	}
	text, err := convert.Convert(m, cty.String)
	if err != nil || text.IsNull() {
		l.errorf(a.Expr.Range(), "Invalid error_message", "error_message is a text; this is %s.", m.Type().FriendlyName())
		return "", false
	}
	if !text.IsKnown() {
		return "", true
	}
	return text.AsString(), true
}

// warnUnused names what the lab declares and nothing refers to.
func (l *loader) warnUnused() {
	for _, v := range l.variableOrder {
		if !v.used {
			l.warnf(v.item.rng, fmt.Sprintf("Variable %q is not used", v.item.label), "Nothing refers to var.%s; remove it.", v.item.label)
		}
	}
	for _, v := range l.localOrder {
		if !v.used {
			l.warnf(v.attr.NameRange, fmt.Sprintf("Local value %q is not used", v.name), "Nothing refers to local.%s; remove it.", v.name)
		}
	}
	for _, kind := range []string{"network", "link"} {
		for _, d := range l.decls[kind] {
			if !d.used {
				l.warnf(d.block.LabelRanges[0], fmt.Sprintf("%s %q is not used", sentence(kind), d.name), "Nothing refers to %s; remove it.", d.path())
			}
		}
	}
}
