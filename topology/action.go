package topology

import (
	"reflect"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// actionNames are the functions that a step's action calls; laterActionNames those
// that later versions bring.
var (
	actionNames = []string{
		ActionLinkDown, ActionLinkUp, ActionInitiate, ActionTerminate, ActionLiveness,
		ActionKill, ActionStart, ActionRestart, ActionAddAddress, ActionRemoveAddress, ActionSetAddress,
	}
	laterActionNames = []string{"rekey", "reauth", "redirect", "link_cut", "stop", "inject"}
)

// action is what an action function answers.
type action struct {
	kind string
	on   *item
	// given is the second argument, of actions that have one.
	given cty.Value
}

var actionType = cty.Capsule("action", reflect.TypeFor[action]())

// takes says what an action works on.
func takes(kind string) []string {
	switch kind {
	case ActionLinkDown, ActionLinkUp, ActionAddAddress, ActionRemoveAddress, ActionSetAddress:
		return []string{"interface"}
	case ActionKill, ActionStart, ActionRestart:
		return []string{"node"}
	case ActionLiveness:
		return []string{"connection"}
	}
	return []string{"connection", "child"}
}

// actionFunction makes the function of an action.
func actionFunction(kind string) function.Function {
	params := []function.Parameter{{Name: takes(kind)[0], Type: cty.DynamicPseudoType}}
	switch kind {
	case ActionAddAddress, ActionRemoveAddress:
		params = append(params, function.Parameter{Name: "address", Type: cty.DynamicPseudoType})
	case ActionSetAddress:
		params = append(params, function.Parameter{Name: "addresses", Type: cty.DynamicPseudoType})
	}
	return function.New(&function.Spec{
		Params: params,
		Type:   function.StaticReturnType(actionType),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			want := target{takes(kind)}.what()
			switch {
			case isCollection(args[0]):
				return cty.NilVal, function.NewArgErrorf(0, "%s takes %s, not a collection: choose one by its index", kind, want)
			case !isReference(args[0]):
				return cty.NilVal, function.NewArgErrorf(0, "%s takes %s", kind, want)
			}
			it := referenceOf(args[0])
			if !slices.Contains(takes(kind), it.schema.name) {
				return cty.NilVal, function.NewArgErrorf(0, "%s takes %s; %s is a %s", kind, want, it.path, it.schema.name)
			}
			a := &action{kind: kind, on: it}
			if len(args) > 1 {
				a.given = args[1]
			}
			return cty.CapsuleVal(actionType, a), nil
		},
	})
}

// laterActionFunction makes a function that is refused, whatever its arguments.
func laterActionFunction(kind string) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "arguments", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
		Type:     function.StaticReturnType(actionType),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.CapsuleVal(actionType, &action{kind: kind}), nil
		},
	})
}

// actionKind takes a call of an action function.
type actionKind struct{}

func (actionKind) what() string {
	return "an action such as link_down(node.gw.interface.wan) or initiate(node.gw.connection.office)"
}
func (actionKind) value(any) cty.Value { return cty.DynamicVal }
func (k actionKind) decode(s source, v cty.Value) (any, bool) {
	if !v.Type().Equals(actionType) {
		if v.Type().IsTupleType() {
			return nil, s.bad("A step has one action; write a step for each.")
		}
		return nil, s.wrongType(k, v)
	}
	a := v.EncapsulatedValue().(*action)
	if a.on == nil {
		s.l.refuse(s.rng, "the action "+a.kind)
		return a, s.l.opts.despiteRefusals
	}
	return a, true
}

// connectionName takes a connection in a selector: a reference, which also says at
// which node, or a name.
type connectionName struct{}

func (connectionName) what() string {
	return `a connection such as node.gw.connection.office, or its name as a string`
}
func (connectionName) value(typed any) cty.Value {
	if it, is := typed.(*item); is {
		return it.reference()
	}
	return cty.StringVal(typed.(string))
}
func (k connectionName) decode(s source, v cty.Value) (any, bool) {
	if v.Type() == cty.String {
		for _, n := range s.l.all("node") {
			if n.child("connection", v.AsString()) != nil {
				return v.AsString(), true
			}
		}
		var names []string
		for _, n := range s.l.all("node") {
			for _, c := range n.children("connection") {
				if !slices.Contains(names, c.label) {
					names = append(names, c.label)
				}
			}
		}
		return nil, s.bad("No node has a connection %q. %s", v.AsString(), didYouMean(v.AsString(), names))
	}
	return target{[]string{"connection"}}.decode(s, v)
}

// selector answers the Selector that an object in braces is.
func (l *loader) selector(it *item) (Selector, bool) {
	var s Selector
	ok := true
	event, has := get[string](it, "event")
	if s.Event = event; has && !slices.Contains(eventNames, event) {
		ok = it.attr("event").src.bad("There is no event %q. %s", event, didYouMean(event, eventNames))
	}
	if n, has := get[*item](it, "node"); has {
		s.Node = n.name
	}
	if name, has := get[string](it, "connection"); has {
		s.Connection = name
		if n, has := get[*item](it, "node"); has && n.child("connection", name) == nil {
			ok = it.attr("connection").src.bad("%s has no connection %q.", n.path, name)
		}
	}
	if c, has := get[*item](it, "connection"); has {
		if s.Node != "" && s.Node != c.parent.name {
			ok = it.attr("connection").src.bad("%s is a connection of %s, not of the node named beside it.", c.path, c.parent.path)
		}
		s.Connection, s.Node = c.label, c.parent.name
	}
	nth, _ := get[uint64](it, "nth")
	s.Nth = int(nth)
	return s, ok
}
