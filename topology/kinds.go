package topology

import (
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/ikelab/ikelab/impair"
)

// kind is the type of an attribute: how a value becomes a typed one, and how a typed
// one looks in an expression.
type kind interface {
	// decode reports what is wrong with v at s and answers the typed value. v is
	// known and not null.
	decode(s source, v cty.Value) (typed any, ok bool)
	// value is what an expression sees that refers to the attribute.
	value(typed any) cty.Value
	// what says in a few words what the attribute takes, after "takes ".
	what() string
}

// source is where a value comes from: the text, as far as it can be followed.
type source struct {
	l    *loader
	name string // of the attribute, for messages
	expr hclsyntax.Expression
	rng  hcl.Range
	env  *env
}

// element is where the i-th of n elements comes from.
func (s source) element(i, n int) source {
	if tuple, ok := unwrap(s.expr).(*hclsyntax.TupleConsExpr); ok && len(tuple.Exprs) == n {
		s.expr, s.rng = tuple.Exprs[i], tuple.Exprs[i].Range()
	}
	return s
}

// field is where a field of an object comes from; key is where its name stands.
func (s source) field(name string) (value source, key hcl.Range) {
	key = s.rng
	if object, ok := unwrap(s.expr).(*hclsyntax.ObjectConsExpr); ok {
		for _, item := range object.Items {
			k, diags := item.KeyExpr.Value(nil)
			if !diags.HasErrors() && k.Type() == cty.String && k.IsKnown() && !k.IsNull() && k.AsString() == name {
				s.expr, s.rng, key = item.ValueExpr, item.ValueExpr.Range(), item.KeyExpr.Range()
			}
		}
	}
	s.name = name
	return s, key
}

// literal says that the value stands in the file as it is.
func (s source) literal() bool {
	switch e := unwrap(s.expr).(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.UnaryOpExpr:
		_, is := unwrap(e.Val).(*hclsyntax.LiteralValueExpr)
		return is
	}
	return false
}

func (s source) wrongType(k kind, v cty.Value) bool {
	got := v.Type().FriendlyName()
	switch {
	case isReference(v):
		got = "a reference to " + referenceOf(v).describe()
	case v.Type().IsTupleType() || v.Type().IsListType():
		got = "a list"
	case v.Type().IsObjectType() || v.Type().IsMapType():
		got = "an object"
	case v.Type() == cty.Bool:
		got = "true or false"
	case v.Type() == cty.Number, v.Type() == cty.String:
		got = "a " + got
	}
	s.l.errorf(s.rng, "Wrong type for "+s.name, "%s takes %s; this is %s.", s.name, k.what(), got)
	return false
}

// bad reports a value of the right type that is wrong.
func (s source) bad(detail string, args ...any) bool {
	s.l.errorf(s.rng, "Invalid "+s.name, detail, args...)
	return false
}

// unwrap takes parentheses and bare interpolation ("${x}") away.
func unwrap(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		switch inner := e.(type) {
		case *hclsyntax.ParenthesesExpr:
			e = inner.Expression
		case *hclsyntax.TemplateWrapExpr:
			e = inner.Wrapped
		case counted:
			e = inner.Expression
		default:
			return e
		}
	}
}

// text is a string. The pattern, when there is one, is what it must match.
type text struct {
	pattern *regexp.Regexp
	means   string
	bytes   int // the longest, 0 for stringBytesMax
	empty   bool
}

func (k text) what() string {
	if k.means != "" {
		return k.means
	}
	return "a string"
}
func (k text) value(typed any) cty.Value { return cty.StringVal(typed.(string)) }
func (k text) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t := v.AsString()
	switch {
	case t == "" && !k.empty:
		return nil, s.bad("%s is empty; it takes %s.", s.name, k.what())
	case k.bytes > 0 && len(t) > k.bytes:
		return nil, s.bad("%s has %d bytes; at most %d are allowed.", s.name, len(t), k.bytes)
	case k.pattern != nil && !k.pattern.MatchString(t):
		return nil, s.bad("%q is not %s.", t, k.what())
	}
	return t, true
}

// boolean is true or false.
type boolean struct{}

func (boolean) what() string              { return "true or false" }
func (boolean) value(typed any) cty.Value { return cty.BoolVal(typed.(bool)) }
func (k boolean) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.Bool {
		if v.Type() == cty.String && slices.Contains([]string{"yes", "no", "on", "off", "true", "false"}, v.AsString()) {
			truth := slices.Contains([]string{"yes", "on", "true"}, v.AsString())
			return nil, s.bad("%s takes true or false without quotes; write %v.", s.name, truth)
		}
		return nil, s.wrongType(k, v)
	}
	return v.True(), true
}

// integer is a whole number from min to max.
type integer struct {
	min, max uint64
	unit     string
	// orZero also lets 0 through, which then means none.
	orZero bool
}

func (k integer) what() string {
	w := "a whole number"
	if k.unit != "" {
		w += " of " + k.unit
	}
	return w
}
func (integer) value(typed any) cty.Value { return cty.NumberUIntVal(typed.(uint64)) }
func (k integer) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.Number {
		return nil, s.wrongType(k, v)
	}
	f := v.AsBigFloat()
	if !f.IsInt() && !f.IsInf() {
		return nil, s.bad("%s takes a whole number; this is %s.", s.name, f.Text('g', 6))
	}
	n, accuracy := f.Uint64()
	if accuracy == big.Exact && n == 0 && k.orZero {
		return n, true
	}
	if accuracy != big.Exact || n < k.min || n > k.max {
		return nil, s.bad("%s is %s; it lies between %d and %d%s.", s.name, f.Text('g', 20), k.min, k.max, noneBy(k.orZero, "0"))
	}
	return n, true
}

// noneBy ends a diagnostic about a value that may also be zero.
func noneBy(orZero bool, zero string) string {
	if orZero {
		return ", or is " + zero + " for none"
	}
	return ""
}

// decimal is a number from min to max, such as a probability.
type decimal struct {
	min, max float64
	means    string
}

func (k decimal) what() string            { return k.means }
func (decimal) value(typed any) cty.Value { return cty.NumberFloatVal(typed.(float64)) }
func (k decimal) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.Number {
		if v.Type() == cty.String && strings.HasSuffix(strings.TrimSpace(v.AsString()), "%") {
			return nil, s.bad("%s is a number between %v and %v; write 5 %% as 0.05.", s.name, k.min, k.max)
		}
		return nil, s.wrongType(k, v)
	}
	f, _ := v.AsBigFloat().Float64()
	if f < k.min || f > k.max {
		hint := ""
		if k.max == 1 && f > 1 && f <= 100 {
			hint = " A percentage is divided by 100: write " + new(big.Float).Quo(big.NewFloat(f), big.NewFloat(100)).Text('g', 6) + "."
		}
		return nil, s.bad("%s is %v; it lies between %v and %v.%s", s.name, f, k.min, k.max, hint)
	}
	return f, true
}

// span is a length of time or an instant: a string with a unit, or an expression of
// seconds. A number that stands in the file has no unit and is refused.
type span struct {
	min, max time.Duration
	// orZero also lets 0 through, which then means none.
	orZero bool
}

func (span) what() string { return `a duration with a unit, e.g. "40s"` }
func (span) value(typed any) cty.Value {
	return secondsValue(typed.(time.Duration))
}
func (k span) decode(s source, v cty.Value) (any, bool) {
	var d time.Duration
	var err error
	switch v.Type() {
	case cty.String:
		d, err = parseDuration(v.AsString())
	case cty.Number:
		f := v.AsBigFloat()
		if s.literal() && f.Sign() != 0 {
			return nil, s.bad("%s has no unit: give a unit, e.g. %q.", s.name, f.Text('g', 12)+"s")
		}
		d, err = secondsToDuration(f)
	default:
		return nil, s.wrongType(k, v)
	}
	limit := k.max
	if limit == 0 {
		limit = durationMaxDefault
	}
	switch {
	case err != nil:
		return nil, s.bad("%s: %s.", s.name, err)
	case d < 0:
		return nil, s.bad("%s is %v; it cannot be negative.", s.name, d)
	case d == 0 && k.orZero:
	case d < k.min:
		return nil, s.bad("%s is %v; it is at least %v%s.", s.name, d, k.min, noneBy(k.orZero, "0s"))
	case d > limit:
		return nil, s.bad("%s is %v; it is at most %v.", s.name, d, limit)
	}
	return d, true
}

// secondsValue is how expressions see a duration: exact, in seconds.
func secondsValue(d time.Duration) cty.Value {
	f := new(big.Float).SetPrec(512).SetInt64(int64(d))
	return cty.NumberVal(f.Quo(f, new(big.Float).SetPrec(512).SetInt64(int64(time.Second))))
}

// bitRate is a link's rate.
type bitRate struct{ min, max uint64 }

func (bitRate) what() string              { return `a rate with a unit, e.g. "80mbit"` }
func (bitRate) value(typed any) cty.Value { return cty.NumberUIntVal(typed.(uint64)) }
func (k bitRate) decode(s source, v cty.Value) (any, bool) {
	var bits uint64
	var err error
	switch v.Type() {
	case cty.String:
		bits, err = parseBitRate(v.AsString())
	case cty.Number:
		f := v.AsBigFloat()
		if s.literal() {
			return nil, s.bad("%s has no unit: give a unit, e.g. \"80mbit\".", s.name)
		}
		bits, _ = f.Uint64()
	default:
		return nil, s.wrongType(k, v)
	}
	if err != nil {
		return nil, s.bad("%s: %s.", s.name, err)
	}
	if bits < k.min || bits > k.max {
		return nil, s.bad("%s is %d bit/s; it lies between %d and %d. Leave it out for no limit.", s.name, bits, k.min, k.max)
	}
	return bits, true
}

// packetRate is a flow's rate: packets per second, or bits per second of payload.
type packetRate struct{}

// flowRate is exactly one of its fields.
type flowRate struct {
	packetsPerSecond *big.Rat
	bitsPerSecond    uint64
}

func (packetRate) what() string { return `a rate with a unit, e.g. "50pps" or "2mbit"` }
func (packetRate) value(typed any) cty.Value {
	r := typed.(flowRate)
	if r.packetsPerSecond == nil {
		return cty.NumberUIntVal(r.bitsPerSecond)
	}
	f := new(big.Float).SetPrec(512).SetRat(r.packetsPerSecond)
	return cty.NumberVal(f)
}
func (k packetRate) decode(s source, v cty.Value) (any, bool) {
	var r flowRate
	var err error
	switch v.Type() {
	case cty.String:
		if _, unit, ok := splitQuantity(strings.TrimSpace(v.AsString())); ok && strings.HasSuffix(strings.TrimSuffix(unit, "/s"), "bit") {
			r.bitsPerSecond, err = parseBitRate(v.AsString())
			if err == nil && r.bitsPerSecond == 0 {
				return nil, s.bad("%s is zero; a flow needs a positive rate.", s.name)
			}
		} else {
			r.packetsPerSecond, err = parsePacketRate(v.AsString())
		}
	case cty.Number:
		f := v.AsBigFloat()
		if s.literal() {
			return nil, s.bad("%s has no unit: give a unit, e.g. %q.", s.name, f.Text('g', 12)+"pps")
		}
		if f.IsInf() || f.MantExp(nil) > 64 || f.MantExp(nil) < -64 {
			return nil, s.bad("%s is out of range.", s.name)
		}
		// An expression's value is decimal; its nearest fraction of billionths is
		// what the file means.
		scaled, _ := new(big.Float).SetPrec(512).Mul(f, big.NewFloat(1e9)).Int(nil)
		r.packetsPerSecond = new(big.Rat).SetFrac(scaled, big.NewInt(1e9))
	default:
		return nil, s.wrongType(k, v)
	}
	switch {
	case err != nil:
		return nil, s.bad("%s: %s.", s.name, err)
	case r.packetsPerSecond != nil && r.packetsPerSecond.Sign() <= 0:
		return nil, s.bad("%s is %s packets per second; a flow needs a positive rate.", s.name, r.packetsPerSecond.RatString())
	}
	return r, true
}

// size is a number of bytes.
type size struct{ min, max uint64 }

func (size) what() string              { return `a size in bytes, e.g. 1400 or "64KiB"` }
func (size) value(typed any) cty.Value { return cty.NumberUIntVal(typed.(uint64)) }
func (k size) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		if v.Type() != cty.Number {
			return nil, s.wrongType(k, v)
		}
		return integer{min: k.min, max: k.max, unit: "bytes"}.decode(s, v)
	}
	n, err := parseSize(v.AsString())
	switch {
	case err != nil:
		return nil, s.bad("%s: %s.", s.name, err)
	case n < k.min || n > k.max:
		return nil, s.bad("%s is %d bytes; it lies between %d and %d.", s.name, n, k.min, k.max)
	}
	return n, true
}

// queueLimit bounds a queue by waiting time, bytes or packets.
type queueLimit struct{}

// queueBound is exactly one of its fields.
type queueBound struct {
	delay   time.Duration
	bytes   uint64
	packets uint64
}

func (queueLimit) what() string {
	return `a waiting time such as "100ms", a size such as "64KiB" or packets such as "100p"`
}
func (queueLimit) value(typed any) cty.Value {
	b := typed.(queueBound)
	if b.delay > 0 {
		return secondsValue(b.delay)
	}
	return cty.NumberUIntVal(max(b.bytes, b.packets))
}
func (k queueLimit) decode(s source, v cty.Value) (any, bool) {
	if v.Type() == cty.Number {
		return nil, s.bad("%s has no unit: give a unit, e.g. \"100ms\", \"64KiB\" or \"100p\" for packets.", s.name)
	}
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	number, unit, ok := splitQuantity(strings.TrimSpace(v.AsString()))
	switch {
	case ok && unit == "p":
		n, err := wholeNumber(number, v.AsString())
		if err != nil || n == 0 || n > impair.QueueLimitPacketsMax {
			return nil, s.bad("%s is %q; it lies between 1p and %dp.", s.name, v.AsString(), impair.QueueLimitPacketsMax)
		}
		return queueBound{packets: n}, true
	case ok && strings.HasSuffix(unit, "B"):
		n, ok := size{min: 1, max: 1 << 30}.decode(s, v)
		if !ok {
			return nil, false
		}
		return queueBound{bytes: n.(uint64)}, true
	}
	d, ok := span{min: time.Nanosecond, max: impair.DelayMax}.decode(s, v)
	if !ok {
		return nil, false
	}
	return queueBound{delay: d.(time.Duration)}, true
}

// choice is one of a few words. What later versions bring is refused by name.
type choice struct {
	of, later []string
}

func (k choice) what() string            { return "one of " + enumerate(k.of, "and") }
func (choice) value(typed any) cty.Value { return cty.StringVal(typed.(string)) }
func (k choice) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	word := v.AsString()
	switch {
	case slices.Contains(k.of, word):
		return word, true
	case slices.Contains(k.later, word):
		s.l.refuse(s.rng, s.name+" \""+word+"\"")
		// What was asked for is gone, the rest of the lab can still be judged.
		return k.of[0], s.l.opts.despiteRefusals
	}
	hint := ""
	if name := nearest(word, append(slices.Clone(k.of), k.later...)); name != "" {
		hint = " Did you mean \"" + name + "\"?"
	}
	return nil, s.bad("There is no %s %q; it is %s.%s", s.name, word, k.what(), hint)
}

// list is any number of values of one kind. A single value may stand without
// brackets where many is false.
type list struct {
	of  kind
	max int
}

func (k list) what() string { return "a list, each element " + k.of.what() }
func (k list) value(typed any) cty.Value {
	values := make([]cty.Value, 0)
	for _, e := range typed.([]located) {
		values = append(values, k.of.value(e.typed))
	}
	return cty.TupleVal(values)
}

// located is an element of a list with its place.
type located struct {
	typed any
	rng   hcl.Range
}

func (k list) decode(s source, v cty.Value) (any, bool) {
	ty := v.Type()
	if !ty.IsTupleType() && !ty.IsListType() && !ty.IsSetType() {
		if ty == cty.String || ty == cty.Number || isReference(v) {
			s.l.errorf(s.rng, "Wrong type for "+s.name, "%s takes a list; write it in brackets: [%s].", s.name, strings.TrimSpace(s.l.textOf(s.rng)))
			return nil, false
		}
		return nil, s.wrongType(k, v)
	}
	n := v.LengthInt()
	if n > k.max {
		return nil, s.bad("%s has %d elements; at most %d are allowed.", s.name, n, k.max)
	}
	out := make([]located, 0, n)
	ok := true
	for i, it := 0, v.ElementIterator(); it.Next(); i++ {
		_, e := it.Element()
		es := s.element(i, n)
		if e.IsNull() {
			ok = es.bad("An element of %s is null; each takes %s.", s.name, k.of.what())
			continue
		}
		typed, good := k.of.decode(es, e)
		ok = ok && good
		// An element may stand for several, a network for its prefixes.
		if many, is := typed.([]located); is && good {
			out = append(out, many...)
		} else {
			out = append(out, located{typed, es.rng})
		}
	}
	return out, ok
}

// object is attributes in braces, by the schema of a block.
type object struct{ schema *blockSchema }

func (k object) what() string { return "an object, e.g. " + k.schema.example }
func (k object) value(typed any) cty.Value {
	it := typed.(*item)
	values := map[string]cty.Value{}
	for _, a := range k.schema.attributes {
		if !a.later {
			values[a.name] = it.attr(a.name).value
		}
	}
	return cty.ObjectVal(values)
}
func (k object) decode(s source, v cty.Value) (any, bool) {
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return nil, s.wrongType(k, v)
	}
	return s.l.inlineItem(k.schema, s, v)
}

// anything takes every value as it is.
type anything struct{}

func (anything) what() string                             { return "any value" }
func (anything) value(typed any) cty.Value                { return typed.(cty.Value) }
func (anything) decode(_ source, v cty.Value) (any, bool) { return v, true }

// timestamp is a wall time.
type timestamp struct{}

func (timestamp) what() string { return `a time such as "2026-01-01T00:00:00Z"` }
func (timestamp) value(typed any) cty.Value {
	return cty.StringVal(typed.(time.Time).Format(time.RFC3339))
}
func (k timestamp) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t, err := time.Parse(time.RFC3339, v.AsString())
	if err != nil {
		return nil, s.bad("%q is not a time; write it as RFC 3339 does, e.g. %q.", v.AsString(), epochDefault)
	}
	return t.UTC(), true
}
