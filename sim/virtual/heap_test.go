package virtual

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// drawKeys draws keys with few distinct times, classes and sources, so that
// every rank of the comparison has ties to break; (source, sequence) is unique
// as in the engine.
func drawKeys(t *rapid.T) []key {
	next := map[uint32]uint64{}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) key {
		source := rapid.Uint32Range(0, 3).Draw(t, "source")
		next[source]++
		return key{
			at:       time.Duration(rapid.IntRange(0, 4).Draw(t, "at")),
			class:    class(rapid.IntRange(0, int(classTimer)).Draw(t, "class")),
			source:   source,
			sequence: next[source],
		}
	}), 0, 200).Draw(t, "keys")
}

func sorted(keys []key) []key {
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b key) int {
		return cmp4(int64(a.at)-int64(b.at), int64(a.class)-int64(b.class),
			int64(a.source)-int64(b.source), int64(a.sequence)-int64(b.sequence))
	})
	return keys
}

// cmp4 is the first difference that is not zero.
func cmp4(differences ...int64) int {
	for _, d := range differences {
		if d != 0 {
			return int(d)
		}
	}
	return 0
}

func drain(h *heap[key]) []key {
	var got []key
	for h.len() > 0 {
		k, v := h.pop()
		if k != v {
			panic("a value came out under another value's key")
		}
		got = append(got, k)
	}
	return got
}

var keyOptions = cmp.AllowUnexported(key{})

func TestHeapSorts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t)
		var h heap[key]
		for _, k := range keys {
			h.push(k, k)
		}
		if d := cmp.Diff(sorted(keys), drain(&h), keyOptions, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("out of order (-sorted +popped):\n%s", d)
		}
	})
}

// TestHeapIgnoresInsertionOrder: two permutations of the same events come out
// the same.
func TestHeapIgnoresInsertionOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := drawKeys(t)
		shuffled := rapid.Permutation(keys).Draw(t, "shuffled")
		var a, b heap[key]
		for i := range keys {
			a.push(keys[i], keys[i])
			b.push(shuffled[i], shuffled[i])
		}
		if d := cmp.Diff(drain(&a), drain(&b), keyOptions); d != "" {
			t.Fatalf("the order of insertion shows (-straight +shuffled):\n%s", d)
		}
	})
}

// TestHeapMixed pushes and pops in any order against a sorted slice.
func TestHeapMixed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h heap[key]
		var model []key
		for _, k := range drawKeys(t) {
			h.push(k, k)
			model = sorted(append(model, k))
			for len(model) > 0 && rapid.Bool().Draw(t, "pop") {
				if h.peek() != model[0] {
					t.Fatalf("peek is %v, want %v", h.peek(), model[0])
				}
				got, _ := h.pop()
				if got != model[0] {
					t.Fatalf("popped %v, want %v", got, model[0])
				}
				model = model[1:]
			}
			if h.len() != len(model) {
				t.Fatalf("the heap holds %d values, want %d", h.len(), len(model))
			}
		}
		if d := cmp.Diff(model, drain(&h), keyOptions, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("what was left came out wrong (-model +popped):\n%s", d)
		}
	})
}

// TestHeapReusesSlots: a heap that holds few values at a time stays small
// however many pass through it, and keeps none of them alive.
func TestHeapReusesSlots(t *testing.T) {
	var h heap[[]byte]
	for i := range 10_000 {
		h.push(key{at: time.Duration(i), sequence: uint64(i)}, []byte{1})
		if i >= 3 {
			h.pop()
		}
	}
	if len(h.slots) > 4 {
		t.Errorf("%d slots for 4 values", len(h.slots))
	}
	for h.len() > 0 {
		h.pop()
	}
	for i, s := range h.slots {
		if s != nil {
			t.Errorf("slot %d still holds a value", i)
		}
	}
}
