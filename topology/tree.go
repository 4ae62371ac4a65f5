package topology

import (
	"strconv"

	"github.com/zclconf/go-cty/cty"
)

// tree is what an expression needs to see of the lab: objects down to the values that
// it names, and no further, so that nothing else is evaluated.
type tree struct {
	names []string
	kids  map[string]*tree
	// sequence says that the children are the elements of a list, in order.
	sequence bool
	// ref is the block itself, leaf a value, measured one that only a run knows.
	ref      cty.Value
	leaf     cty.Value
	measured *measurement
}

// at answers the subtree of a name.
func (t *tree) at(name string) *tree {
	if t.kids == nil {
		t.kids = map[string]*tree{}
	}
	kid := t.kids[name]
	if kid == nil {
		kid = &tree{}
		t.kids[name] = kid
		t.names = append(t.names, name)
	}
	return kid
}

// build makes the value. r is nil before the run: what is measured is then unknown.
func (t *tree) build(r *Results) cty.Value {
	switch {
	case t.leaf != cty.NilVal:
		return t.leaf
	case t.measured != nil:
		return t.measured.value(r)
	case t.sequence:
		elements := make([]cty.Value, 0, len(t.kids))
		for i := range len(t.kids) {
			kid := t.kids[strconv.Itoa(i)]
			if kid == nil {
				break
			}
			elements = append(elements, kid.build(r))
		}
		return cty.TupleVal(elements)
	case len(t.kids) == 0 && t.ref != cty.NilVal:
		return t.ref
	}
	attributes := map[string]cty.Value{}
	for _, name := range t.names {
		attributes[name] = t.kids[name].build(r)
	}
	if t.ref != cty.NilVal {
		attributes[referenceField] = t.ref
	}
	return cty.ObjectVal(attributes)
}
