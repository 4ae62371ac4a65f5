package seed

import (
	"bytes"
	"encoding/hex"
	"io"
	"math"
	"math/bits"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dchest/siphash"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/impair"
)

// first returns the first bytes of a stream.
func first(t *testing.T, r io.Reader, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// The streams are frozen: a change here changes every digest and every golden file. The values were computed
// by a second implementation of HKDF (RFC 5869) and chacha8rand (c2sp.org/chacha8rand), not by this one.
func TestStreamKnownAnswers(t *testing.T) {
	tests := []struct {
		seed  uint64
		label string
		want  string
	}{
		{1, "node/gw-a/ike/nonce", "444f890bb929a090668a4d9cd76d7705b2d6325dd9ed352a91461910de4b0f75"},
		{2, "node/gw-a/ike/nonce", "3c314c61ce2dff1daa5934e731b53f01deea26ec13cb3ebdd010a581b8bbb8a6"},
		{1, "node/gw-b/ike/nonce", "683f90bdacb5004d545fa035e852525ff554b77655b8071d402e4e020ab49b49"},
		{math.MaxUint64, "", "275cf3d527cc6a6b000625ef44f9c325d525aeffb8fd9c321942fa4c69c8d479"},
	}
	for _, test := range tests {
		if got := hex.EncodeToString(first(t, New(test.seed).Stream(test.label), 32)); got != test.want {
			t.Errorf("seed %d, label %q: %s; want %s", test.seed, test.label, got, test.want)
		}
	}
}

// The draws are frozen like the streams, their values computed by a second implementation of SipHash-2-4.
func TestDrawKnownAnswers(t *testing.T) {
	esp := impair.Identity{Flow: "esp gw-a>gw-b #1", Ordinal: 7}
	ping := impair.Identity{Flow: "protocol 1 10.1.0.7>10.2.0.9 #1", Ordinal: 3, Content: 0xfeed, Retransmission: 2}
	tests := []struct {
		seed   uint64
		link   string
		dir    impair.Direction
		effect impair.Effect
		id     impair.Identity
		want   uint64
	}{
		{1, "gw-a.wan", impair.Up, impair.EffectLoss, esp, 0x96f9f8bce28202c0},
		{1, "gw-a.wan", impair.Down, impair.EffectLoss, esp, 0x975b47002275f607},
		{1, "gw-a.wan", impair.Up, impair.EffectDelay, esp, 0x1eb967d644770bf2},
		{1, "gw-a.wan", impair.Up, impair.EffectLoss, ping, 0x36cf88328b4ca797},
		{2, "gw-a.wan", impair.Up, impair.EffectLoss, esp, 0x3bb55efe9f8ae6bf},
	}
	for _, test := range tests {
		got := New(test.seed).Draw()(test.link, test.dir, test.effect, test.id)
		if got != test.want {
			t.Errorf("seed %d, %s %v, %s, %+v: %#016x; want %#016x", test.seed, test.link, test.dir, test.effect, test.id, got, test.want)
		}
	}
}

// A stream's bytes do not depend on how they are read.
func TestStreamReadsAlikeInAnyPieces(t *testing.T) {
	s := New(1)
	want := first(t, s.Stream("l"), 5000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"byte by byte": iotest.OneByteReader,
		"by halves":    iotest.HalfReader,
	} {
		if got := first(t, wrap(s.Stream("l")), len(want)); !bytes.Equal(got, want) {
			t.Errorf("read %s the stream differs", name)
		}
	}
}

// Reading one stream moves no other, and asking for one again starts it again.
func TestStreamsAreIndependent(t *testing.T) {
	s := New(1)
	a, b := s.Stream("a"), s.Stream("b")
	first(t, a, 1000)
	if !bytes.Equal(first(t, b, 64), first(t, s.Stream("b"), 64)) {
		t.Error("reading stream a has moved stream b")
	}
	if bytes.Equal(first(t, s.Stream("a"), 64), first(t, s.Stream("b"), 64)) {
		t.Error("two labels give the same stream")
	}
	if !bytes.Equal(first(t, s.Node("gw")("x"), 64), first(t, s.Stream("node/gw/x"), 64)) {
		t.Error("a node's stream x is not the stream node/<node>/x")
	}
}

// Different parts never give the same label, whatever is in them.
func TestLabelsAreUnambiguous(t *testing.T) {
	part := rapid.StringMatching(`[a%/2F]{0,4}`)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOfN(part, 1, 3).Draw(t, "a")
		b := rapid.SliceOfN(part, 1, 3).Draw(t, "b")
		same := len(a) == len(b)
		for i := 0; same && i < len(a); i++ {
			same = a[i] == b[i]
		}
		if (Label(a...) == Label(b...)) != same {
			t.Fatalf("%q and %q have the labels %q and %q", a, b, Label(a...), Label(b...))
		}
	})
	if got, want := Label("node", "a/b", "50%"), "node/a%2Fb/50%25"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every part of a draw's key matters, and where one string ends and the next begins too.
func TestDrawDependsOnEverything(t *testing.T) {
	draw := New(1).Draw()
	type arguments struct {
		link   string
		dir    impair.Direction
		effect impair.Effect
		id     impair.Identity
	}
	seen := map[uint64]arguments{}
	for _, a := range []arguments{
		{"ab", impair.Up, "c", impair.Identity{Flow: "d"}},
		{"a", impair.Up, "bc", impair.Identity{Flow: "d"}},
		{"ab", impair.Up, "cd", impair.Identity{}},
		{"ab", impair.Down, "c", impair.Identity{Flow: "d"}},
		{"ab", impair.Up, "c", impair.Identity{Flow: "d", Ordinal: 1}},
		{"ab", impair.Up, "c", impair.Identity{Flow: "d", Ordinal: 1 << 63}},
		{"ab", impair.Up, "c", impair.Identity{Flow: "d", Content: 1}},
		{"ab", impair.Up, "c", impair.Identity{Flow: "d", Retransmission: 1}},
	} {
		u := draw(a.link, a.dir, a.effect, a.id)
		if before, ok := seen[u]; ok {
			t.Errorf("%+v and %+v draw the same", before, a)
		}
		seen[u] = a
	}
}

// The draws of neighbouring packets are uniform: every bit is set in half of them, within four standard
// deviations, and two draws share half of their bits.
func TestDrawsAreUniform(t *testing.T) {
	const n = 20_000
	draw := New(1).Draw()
	var set [64]int
	shared := 0
	before := uint64(0)
	for i := range uint64(n) {
		u := draw("gw-a.wan", impair.Up, impair.EffectLoss, impair.Identity{Flow: "f", Ordinal: i})
		for bit := range set {
			set[bit] += int(u >> bit & 1)
		}
		shared += 64 - bits.OnesCount64(u^before)
		before = u
	}
	slack := 4 * math.Sqrt(n) / 2
	for bit, count := range set {
		if math.Abs(float64(count)-n/2) > slack {
			t.Errorf("bit %d is set in %d of %d draws", bit, count, n)
		}
	}
	if math.Abs(float64(shared)-32*n) > 8*slack {
		t.Errorf("neighbours share %d of %d bits", shared, 64*n)
	}
}

func TestDrawDoesNotAllocate(t *testing.T) {
	draw := New(1).Draw()
	id := impair.Identity{Flow: "esp gw-a>gw-b #1"}
	if n := testing.AllocsPerRun(100, func() {
		id.Ordinal++
		draw("gw-a.wan", impair.Up, impair.EffectLoss, id)
	}); n != 0 {
		t.Errorf("%v allocations per draw", n)
	}
}

// A label too long for the draw's stack buffer draws like any other.
func TestDrawTakesLongNames(t *testing.T) {
	draw := New(1).Draw()
	long := string(bytes.Repeat([]byte("x"), 1000))
	a := draw(long, impair.Up, impair.EffectLoss, impair.Identity{Flow: long})
	b := draw(long, impair.Up, impair.EffectLoss, impair.Identity{Flow: long + "y"})
	if a == b || a != draw(long, impair.Up, impair.EffectLoss, impair.Identity{Flow: long}) {
		t.Error("long names are cut or drawn anew")
	}
}

// BenchmarkDraw compares a draw with the bare SipHash over as many bytes, interleaved, and reports the ratio.
func BenchmarkDraw(b *testing.B) {
	draw := New(1).Draw()
	id := impair.Identity{Flow: "esp gw-a>gw-b #1"}
	message := make([]byte, 4+8+1+4+4+4+16+20) // what Draw encodes for the arguments below
	var drawn, bare time.Duration
	for b.Loop() {
		start := time.Now()
		for range 1000 {
			id.Ordinal++
			draw("gw-a.wan", impair.Up, impair.EffectLoss, id)
		}
		drawn += time.Since(start)
		start = time.Now()
		for i := range 1000 {
			message[0] = byte(i)
			siphash.Hash(1, 2, message)
		}
		bare += time.Since(start)
	}
	b.ReportMetric(float64(drawn)/float64(bare), "ratio")
}
