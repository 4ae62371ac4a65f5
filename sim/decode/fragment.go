package decode

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// fragmentKey is a datagram in fragments (RFC 791 §3.2, RFC 8200 §4.5), at one
// point of observation: copies of its fragments at another link are another.
type fragmentKey struct {
	point    uint64
	src, dst netip.Addr
	id       uint32
	protocol uint8 // IPv4 only
}

// piece is one fragment.
type piece struct {
	offset int
	data   []byte
	hash   uint64
	at     time.Time
}

// incomplete is a datagram of which fragments are missing.
type incomplete struct {
	pieces []piece // by offset
	total  int     // octets, -1 until the last fragment came
	bytes  int
	frames int
	// protocol is the first fragment's: in IPv6 only that one need have it.
	protocol uint8
}

// cost is the memory that a datagram takes, roughly.
func (i *incomplete) cost() int { return i.bytes + pieceBytes*len(i.pieces) }

// reassembler puts datagrams together. It is written here because gopacket's two
// (one for each IP version) keep no bound on memory and know no points of
// observation, so that a capture at several links would mix copies.
type reassembler struct {
	waiting *bounded[fragmentKey, *incomplete]
	bytes   int // the cost of all
	// completed are datagrams whose fragments may come again, captured twice.
	completed *bounded[fragmentKey, completed]
	forgotten uint64 // datagrams that reset dropped
}

// completed is a datagram that was put together.
type completed struct {
	at     time.Time
	hashes []uint64 // of its fragments, in their order
}

func newReassembler() *reassembler {
	r := &reassembler{completed: newBounded[fragmentKey, completed](completedMax)}
	r.reset()
	return r
}

// reset forgets all datagrams.
func (r *reassembler) reset() {
	if r.waiting != nil {
		r.forgotten += r.waiting.dropped + uint64(len(r.waiting.entries))
	}
	r.bytes, r.waiting = 0, newBounded[fragmentKey, *incomplete](datagramsMax)
	r.waiting.onDrop = func(_ fragmentKey, i *incomplete) { r.bytes -= i.cost() }
}

// evicted is how many datagrams made room for others before they were complete.
func (r *reassembler) evicted() uint64 { return r.forgotten + r.waiting.dropped }

// add takes a fragment, whose octets have a hash. whole is the datagram if it is
// complete now, and frames how many it came in. again says that the same fragment
// was there a moment ago.
func (r *reassembler) add(point, hash uint64, now time.Time, d *datagram) (whole *datagram, frames int, again bool, malformed *Malformed) {
	where := fmt.Sprintf("IPv%d fragment", d.version())
	key := fragmentKey{point: point, src: d.src, dst: d.dst, id: d.id}
	if d.version() == 4 {
		key.protocol = d.protocol
	}
	end := d.offset + len(d.payload)
	switch {
	case d.missing > 0:
		return nil, 0, false, &Malformed{Where: where, Offset: len(d.payload), Reason: fmt.Sprintf("%d octets of it were not captured", d.missing)}
	case len(d.payload) == 0:
		return nil, 0, false, &Malformed{Where: where, Field: "Fragment Offset", Reason: "carries nothing"}
	case end > datagramBytesMax:
		return nil, 0, false, &Malformed{Where: where, Field: "Fragment Offset", Reason: fmt.Sprintf("ends at octet %d, a datagram has at most %d", end, datagramBytesMax)}
	case d.more && len(d.payload)%8 != 0:
		return nil, 0, false, &Malformed{Where: where, Field: "Fragment Offset", Reason: fmt.Sprintf("has %d octets, all but the last have a multiple of 8", len(d.payload))}
	}
	if r.bytes > datagramsBytesMax {
		r.reset() // nothing but hostile traffic leaves so much incomplete
	}
	i, ok := r.waiting.get(key)
	if !ok {
		if c, known := r.completed.get(key); known && now.Sub(c.at).Abs() <= duplicateMax && slices.Contains(c.hashes, hash) {
			return nil, 0, true, nil
		}
		i = &incomplete{total: -1, protocol: d.protocol}
		r.waiting.put(key, i)
	}
	drop := func(format string, args ...any) (*datagram, int, bool, *Malformed) {
		r.bytes -= i.cost()
		r.waiting.remove(key)
		return nil, 0, false, &Malformed{Where: where, Field: "Fragment Offset", Reason: fmt.Sprintf(format, args...)}
	}
	if !d.more {
		if i.total >= 0 && i.total != end {
			return drop("two last fragments, which end at octets %d and %d", i.total, end)
		}
		i.total = end
	}
	if d.offset == 0 {
		i.protocol = d.protocol
	}
	at, found := slices.BinarySearchFunc(i.pieces, d.offset, func(p piece, offset int) int { return p.offset - offset })
	switch {
	case found && len(i.pieces[at].data) == len(d.payload):
		p := i.pieces[at]
		return nil, 0, p.hash == hash && now.Sub(p.at).Abs() <= duplicateMax, nil
	case found,
		at > 0 && i.pieces[at-1].offset+len(i.pieces[at-1].data) > d.offset,
		at < len(i.pieces) && end > i.pieces[at].offset:
		return drop("overlaps another fragment at octet %d; RFC 5722 has the datagram dropped", d.offset)
	case len(i.pieces) == datagramFragmentsMax:
		return drop("more than %d fragments", datagramFragmentsMax)
	}
	i.pieces = slices.Insert(i.pieces, at, piece{d.offset, slices.Clone(d.payload), hash, now})
	i.frames++
	i.bytes += len(d.payload)
	r.bytes += len(d.payload) + pieceBytes
	if i.total < 0 || i.bytes < i.total {
		return nil, 0, false, nil
	}
	if i.bytes > i.total {
		return drop("a fragment lies behind the last one")
	}
	out := *d
	out.protocol, out.fragment, out.more, out.offset = i.protocol, false, false, 0
	out.payload = make([]byte, 0, i.total)
	done := completed{at: now}
	for _, p := range i.pieces {
		out.payload = append(out.payload, p.data...)
		done.hashes = append(done.hashes, p.hash)
	}
	r.completed.put(key, done)
	r.bytes -= i.cost()
	r.waiting.remove(key)
	return &out, i.frames, false, nil
}
