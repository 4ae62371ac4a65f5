package decode

// bounded is a map that drops its oldest entry when it is full, in order of
// insertion, so that the same capture gives the same output.
type bounded[K comparable, V any] struct {
	entries map[K]V
	order   []K // a ring once it is full
	next    int // the oldest of a full ring
	max     int
	// Dropped counts the entries that made room.
	dropped uint64
	// onDrop, if set, sees an entry that makes room.
	onDrop func(K, V)
}

func newBounded[K comparable, V any](limit int) *bounded[K, V] {
	return &bounded[K, V]{entries: map[K]V{}, max: limit}
}

func (b *bounded[K, V]) get(k K) (V, bool) {
	v, ok := b.entries[k]
	return v, ok
}

// put sets an entry.
func (b *bounded[K, V]) put(k K, v V) {
	if _, ok := b.entries[k]; ok {
		b.entries[k] = v
		return
	}
	switch {
	case len(b.order) < b.max:
		b.order = append(b.order, k)
	default:
		old := b.order[b.next]
		if dropped, ok := b.entries[old]; ok {
			delete(b.entries, old)
			b.dropped++
			if b.onDrop != nil {
				b.onDrop(old, dropped)
			}
		}
		b.order[b.next] = k
		b.next = (b.next + 1) % b.max
	}
	b.entries[k] = v
}

// remove forgets an entry. Its place in the order is taken when its turn comes,
// so a key that is put again may leave earlier than its age says; it never stays
// longer.
func (b *bounded[K, V]) remove(k K) { delete(b.entries, k) }

// each visits the entries that are left, oldest first, each once.
func (b *bounded[K, V]) each(visit func(K, V)) {
	seen := make(map[K]bool, len(b.entries))
	for i := range b.order {
		k := b.order[(b.next+i)%len(b.order)]
		if v, ok := b.entries[k]; ok && !seen[k] {
			seen[k] = true
			visit(k, v)
		}
	}
}
