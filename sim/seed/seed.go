package seed

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/dchest/siphash"

	"github.com/ikelab/ikelab/impair"
)

// salt separates ikelab's keys from any other use of the same seed. Frozen.
const salt = "ikelab seed v1"

// Source makes the streams and draws of one run. It holds no state beside the seed and may be copied and used
// concurrently.
type Source struct {
	secret [8]byte
}

// New returns the source for a lab's seed.
func New(seed uint64) Source {
	var s Source
	binary.BigEndian.PutUint64(s.secret[:], seed)
	return s
}

// Stream returns the endless byte stream of a label: ChaCha8 keyed by HKDF-SHA256 (RFC 5869) with the seed,
// big-endian, as input keying material and the label as info. Each call starts at the stream's first byte.
// Reading never fails, and the bytes do not depend on how many are read at a time. A reader is for one
// goroutine.
func (s Source) Stream(label string) io.Reader {
	return rand.NewChaCha8([32]byte(s.key(label, 32)))
}

// Node returns the function that makes one node's streams: Stream with "node/<name>/" before each label.
func (s Source) Node(name string) func(label string) io.Reader {
	prefix := Label("node", name) + "/"
	return func(label string) io.Reader { return s.Stream(prefix + label) }
}

// key derives n bytes for a label.
func (s Source) key(label string, n int) []byte {
	k, err := hkdf.Key(sha256.New, s.secret[:], []byte(salt), label, n)
	if err != nil {
		// HKDF fails only for more than 255 hash lengths, or in FIPS mode for a short secret.
		panic("seed: " + err.Error())
	}
	return k
}

var escape = strings.NewReplacer("%", "%25", "/", "%2F")

// Label joins parts to a label. A "/" or "%" within a part is escaped as in a URL, so different parts give
// different labels.
func Label(parts ...string) string {
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = escape.Replace(p)
	}
	return strings.Join(escaped, "/")
}

// Draw returns the run's keyed draws for links: SipHash-2-4 under the key of the label "links", over the
// arguments in an encoding that keeps different arguments apart. The function may be called concurrently.
func (s Source) Draw() impair.Draw {
	k := s.key("links", 16)
	k0, k1 := binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:])
	return func(link string, dir impair.Direction, effect impair.Effect, id impair.Identity) uint64 {
		var stack [256]byte // longer names spill to the heap
		b := stack[:0]
		b = appendString(b, link)
		b = append(b, byte(dir))
		b = appendString(b, string(effect))
		b = appendString(b, id.Flow)
		b = binary.LittleEndian.AppendUint64(b, id.Ordinal)
		b = binary.LittleEndian.AppendUint64(b, id.Content)
		b = binary.LittleEndian.AppendUint32(b, id.Retransmission)
		return siphash.Hash(k0, k1, b)
	}
}

// appendString appends a string behind its length, so that neighbouring strings cannot be mistaken for each
// other.
func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
