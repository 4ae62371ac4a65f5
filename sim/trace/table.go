package trace

// table is a map with a bound. When it is full, the key that was put first has to go: an order that depends on
// the packets alone, as a map's own order would not.
type table[K comparable, V any] struct {
	entriesMax int
	entries    map[K]V
	order      []K // the keys in entries, a ring from oldest on
	oldest     int
}

func newTable[K comparable, V any](entriesMax int) table[K, V] {
	return table[K, V]{entriesMax: entriesMax, entries: make(map[K]V)}
}

func (t *table[K, V]) get(key K) (V, bool) {
	v, ok := t.entries[key]
	return v, ok
}

// put sets a key's value. A key that is there keeps its place in the order.
func (t *table[K, V]) put(key K, value V) {
	if _, ok := t.entries[key]; !ok {
		if len(t.order) < t.entriesMax {
			t.order = append(t.order, key)
		} else {
			delete(t.entries, t.order[t.oldest])
			t.order[t.oldest] = key
			t.oldest = (t.oldest + 1) % t.entriesMax
		}
	}
	t.entries[key] = value
}
