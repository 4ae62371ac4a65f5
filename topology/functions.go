package topology

import (
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those that every expression may call. pow and log are not among them:
// math.Pow and math.Log differ between architectures (design.md §3.5).
func functions() map[string]function.Function {
	all := map[string]function.Function{
		"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "max": stdlib.MaxFunc,
		"min": stdlib.MinFunc, "parseint": stdlib.ParseIntFunc, "signum": stdlib.SignumFunc,

		"chomp": stdlib.ChompFunc, "format": bounded(stdlib.FormatFunc, 0), "formatlist": bounded(stdlib.FormatListFunc, 0),
		"join": stdlib.JoinFunc, "lower": stdlib.LowerFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,
		"replace": stdlib.ReplaceFunc, "split": stdlib.SplitFunc, "strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc,
		"substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
		"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc,

		"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc,
		"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc,
		"distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
		"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc,
		"range": stdlib.RangeFunc, "reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc,
		"setproduct": boundedProduct(), "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
		"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

		"strcontains": containsFunction(),

		"jsondecode": jsonDecodeFunction(), "jsonencode": stdlib.JSONEncodeFunc,
		"tobool": stdlib.MakeToFunc(cty.Bool), "tonumber": stdlib.MakeToFunc(cty.Number), "tostring": stdlib.MakeToFunc(cty.String),
		"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),

		"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,

		"alltrue": truthFunction(true), "anytrue": truthFunction(false), "sum": sumFunction(),

		"duration": durationFunction(), "rate": rateFunction(), "size": sizeFunction(), "humanize": humanizeFunction(),
		"cidrhost": cidrHostFunction(), "cidrsubnet": cidrSubnetFunction(), "cidrnetmask": cidrNetmaskFunction(),
	}
	for _, kind := range actionNames {
		all[kind] = actionFunction(kind)
	}
	for _, kind := range laterActionNames {
		all[kind] = laterActionFunction(kind)
	}
	return all
}

// widthPattern finds a width or precision in a format that would fill the memory.
var widthPattern = regexp.MustCompile(`[0-9]{4,}`)

// bounded refuses formats whose width or precision has four digits or more.
func bounded(f function.Function, formatArg int) function.Function {
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if v := args[formatArg]; v.IsKnown() && !v.IsNull() && v.Type() == cty.String && widthPattern.MatchString(v.AsString()) {
				return cty.NilType, function.NewArgErrorf(formatArg, "a width or precision has at most three digits")
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// boundedProduct is setproduct for results of up to elementsMax elements.
func boundedProduct() function.Function {
	f := stdlib.SetProductFunc
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			n := 1
			for _, a := range args {
				if !a.IsKnown() || a.IsNull() || !a.CanIterateElements() {
					continue
				}
				if n *= max(a.LengthInt(), 1); n > elementsMax {
					return cty.NilType, fmt.Errorf("the product has more than %d elements", elementsMax)
				}
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// containsFunction is strcontains: whether a text has another one in it.
func containsFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(strings.Contains(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// jsonDecodeFunction is jsondecode for values that are not too large to go on with.
func jsonDecodeFunction() function.Function {
	f := stdlib.JSONDecodeFunc
	decode := func(args []cty.Value) (cty.Value, error) {
		if s := args[0]; s.IsKnown() && !s.IsNull() && s.Type() == cty.String && jsonDepth(s.AsString()) > nestingDepthMax {
			return cty.NilVal, function.NewArgErrorf(0, "brackets are nested more than %d deep", nestingDepthMax)
		}
		v, err := f.Call(args)
		if err == nil {
			if why := oversized(v); why != "" {
				err = function.NewArgErrorf(0, "%s", why)
			}
		}
		return v, err
	}
	return function.New(&function.Spec{
		Params: f.Params(),
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := decode(args)
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return decode(args) },
	})
}

// jsonDepth is how deep brackets nest in a JSON text.
func jsonDepth(text string) int {
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// truthFunction is alltrue (of nothing: true) and anytrue (of nothing: false). An
// element without a sample makes the answer unknown unless another one settles it.
func truthFunction(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType, AllowUnknown: true}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			err := eachElement(args[0], func(e cty.Value) error {
				b, err := convert.Convert(e, cty.Bool)
				switch {
				case err != nil:
					return err
				case !b.IsKnown():
					unknown = true
				case b.IsNull():
					return errors.New("an element is null")
				case b.True() != all:
					return errSettled
				}
				return nil
			})
			switch {
			case errors.Is(err, errSettled):
				return cty.BoolVal(!all), nil
			case errors.Is(err, errUnknown) || unknown && err == nil:
				return cty.UnknownVal(cty.Bool), nil
			case err != nil:
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.BoolVal(all), nil
		},
	})
}

var (
	errSettled = errors.New("settled")
	errUnknown = errors.New("unknown")
)

// eachElement calls f for the elements of a list, set, tuple, or the values of an
// object or map, until it answers an error.
func eachElement(v cty.Value, f func(cty.Value) error) error {
	if !v.IsKnown() {
		return errUnknown
	}
	if v.IsNull() || !v.CanIterateElements() {
		return errors.New("a list is needed here, such as [for x in … : …]")
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// sumFunction adds the elements of a list.
func sumFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType, AllowUnknown: true}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			total := cty.Zero
			err := eachElement(args[0], func(e cty.Value) error {
				n, err := convert.Convert(e, cty.Number)
				switch {
				case err != nil:
					return err
				case !n.IsKnown():
					return errUnknown
				case n.IsNull():
					return errors.New("an element is null")
				}
				total = total.Add(n)
				return nil
			})
			switch {
			case errors.Is(err, errUnknown):
				return cty.UnknownVal(cty.Number), nil
			case err != nil:
				return cty.NilVal, function.NewArgError(0, err)
			}
			return total, nil
		},
	})
}

// stringFunction makes a number of a text with a unit.
func stringFunction(parse func(string) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].Type() == cty.Number {
				return cty.NilVal, function.NewArgErrorf(0, "a text with a unit is needed here, such as \"40s\"")
			}
			text, err := convert.Convert(args[0], cty.String)
			if err != nil || text.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "a text with a unit is needed here")
			}
			v, err := parse(text.AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return v, nil
		},
	})
}

// durationFunction is duration("1.5s"): seconds.
func durationFunction() function.Function {
	return stringFunction(func(t string) (cty.Value, error) {
		d, err := parseDuration(t)
		return secondsValue(d), err
	})
}

// rateFunction is rate("80mbit") or rate("50pps"): per second.
func rateFunction() function.Function {
	return stringFunction(func(t string) (cty.Value, error) {
		if strings.HasSuffix(t, "pps") {
			r, err := parsePacketRate(t)
			if err != nil {
				return cty.NilVal, err
			}
			return packetRate{}.value(flowRate{packetsPerSecond: r}), nil
		}
		n, err := parseBitRate(t)
		return cty.NumberUIntVal(n), err
	})
}

// sizeFunction is size("64KiB"): bytes.
func sizeFunction() function.Function {
	return stringFunction(func(t string) (cty.Value, error) {
		n, err := parseSize(t)
		return cty.NumberUIntVal(n), err
	})
}

// humanizeFunction is humanize(seconds) or humanize(number, "bit/s").
func humanizeFunction() function.Function {
	return function.New(&function.Spec{
		Params:   []function.Parameter{{Name: "number", Type: cty.Number}},
		VarParam: &function.Parameter{Name: "unit", Type: cty.String},
		Type:     function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unit := "s"
			switch len(args) {
			case 1:
			case 2:
				unit = args[1].AsString()
			default:
				return cty.NilVal, function.NewArgErrorf(2, "humanize takes a number and, if it is no duration, its unit")
			}
			n := args[0].AsBigFloat()
			if n.IsInf() || n.MantExp(nil) > 200 {
				return cty.StringVal(n.Text('g', 4) + " " + unit), nil
			}
			if unit == "s" {
				return cty.StringVal(humanizeSeconds(n)), nil
			}
			return cty.StringVal(humanizeWith(n, unit)), nil
		},
	})
}

// cidrFunction makes a function of a prefix and whole numbers.
func cidrFunction(numbers []string, f func(prefix string, numbers []*big.Int) (string, error)) function.Function {
	params := []function.Parameter{{Name: "prefix", Type: cty.String}}
	for _, n := range numbers {
		params = append(params, function.Parameter{Name: n, Type: cty.Number})
	}
	return function.New(&function.Spec{
		Params: params,
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if _, err := prefixText(args[0].AsString()); err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			var whole []*big.Int
			for i, a := range args[1:] {
				n := a.AsBigFloat()
				if n.IsInf() || !n.IsInt() || n.MantExp(nil) > 129 {
					return cty.NilVal, function.NewArgErrorf(i+1, "a whole number of at most 128 bits is needed here")
				}
				k, _ := n.Int(nil)
				whole = append(whole, k)
			}
			text, err := f(args[0].AsString(), whole)
			if err != nil {
				return cty.NilVal, function.NewArgError(len(args)-1, err)
			}
			return cty.StringVal(text), nil
		},
	})
}

func cidrHostFunction() function.Function {
	return cidrFunction([]string{"hostnum"}, func(p string, n []*big.Int) (string, error) { return cidrHost(p, n[0]) })
}

func cidrSubnetFunction() function.Function {
	return cidrFunction([]string{"newbits", "netnum"}, func(p string, n []*big.Int) (string, error) {
		if !n[0].IsInt64() || n[0].Sign() < 0 || n[0].Int64() > 128 {
			return "", errors.New("newbits lies between 0 and 128")
		}
		return cidrSubnet(p, int(n[0].Int64()), n[1])
	})
}

func cidrNetmaskFunction() function.Function {
	return cidrFunction(nil, func(p string, _ []*big.Int) (string, error) { return cidrNetmask(p) })
}

// functionNames answers the names of all functions, in order.
func functionNames() []string {
	names := watchFunctionNames[:len(watchFunctionNames):len(watchFunctionNames)]
	for name := range functions() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
