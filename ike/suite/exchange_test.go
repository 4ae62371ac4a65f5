package suite

import (
	"bytes"
	"crypto/ecdh"
	"errors"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
)

var everyKE = []string{"x25519", "ecp256", "ecp384", "ecp521", "modp2048", "modp3072", "modp4096", "modp6144", "modp8192"}

func exchange(t testing.TB, keyword string) KeyExchange {
	t.Helper()
	x, err := NewKeyExchange(transform(t, keyword).ID)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestKeyExchangeAsPublished(t *testing.T) {
	for _, v := range vectors[struct {
		Case, Group          string
		I, PI, R, PR, Shared octets
	}](t, "key_exchange.json") {
		x := exchange(t, v.Group)
		pi, private, err := x.Initiate(bytes.NewReader(v.I))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, v.Case+": initiator's value", pi, v.PI)
		pr, shared, err := x.Respond(bytes.NewReader(v.R), pi)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, v.Case+": responder's value", pr, v.PR)
		equal(t, v.Case+": responder's secret", shared, v.Shared)
		if shared, err = private.Finish(pr); err != nil {
			t.Fatal(err)
		}
		equal(t, v.Case+": initiator's secret", shared, v.Shared)
	}
}

// TestModpAsPublished takes the exponents as they are, since Initiate draws them
// with another length.
func TestModpAsPublished(t *testing.T) {
	for _, v := range vectors[struct {
		Case, Group  string
		I, R, Shared octets
	}](t, "modp.json") {
		g := exchange(t, v.Group).(*modp)
		for _, pair := range [][2][]byte{{v.I, v.R}, {v.R, v.I}} {
			y := new(big.Int).Exp(bigTwo, new(big.Int).SetBytes(pair[0]), g.p)
			shared, err := modpPrivate{g, new(big.Int).SetBytes(pair[1])}.Finish(y.FillBytes(make([]byte, g.publicBytes)))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, v.Case, shared, v.Shared)
		}
	}
}

func TestX25519OfWycheproof(t *testing.T) {
	for _, v := range vectors[struct {
		Case, Result            string
		Flags                   []string
		Public, Private, Shared octets
	}](t, "wycheproof_x25519.json") {
		public, shared, err := exchange(t, "x25519").Respond(bytes.NewReader(v.Private), v.Public)
		// RFC 8031 §2 wants the all-zero secret refused, which the vectors leave to
		// the protocol.
		if !slices.ContainsFunc(v.Shared, func(b byte) bool { return b != 0 }) {
			if !errors.Is(err, ErrPublic) || shared != nil || public != nil {
				t.Errorf("%s: error %v for a secret of zeros", v.Case, err)
			}
			continue
		}
		if v.Result == "invalid" {
			t.Errorf("%s: this table of expectations does not know an invalid case with a secret", v.Case)
		}
		if err != nil || !bytes.Equal(shared, v.Shared) {
			t.Errorf("%s: got %x, %v, want %x", v.Case, shared, err, v.Shared)
		}
	}
}

// counting is a reader without end, different for every seed.
type counting struct{ seed, n byte }

func (c *counting) Read(b []byte) (int, error) {
	for i := range b {
		c.n++
		b[i] = c.seed*31 + c.n*7 + c.n>>3
	}
	return len(b), nil
}

// TestBothSidesAgree also holds that the same reader gives the same keys, and
// another one others.
func TestBothSidesAgree(t *testing.T) {
	for _, name := range everyKE {
		t.Run(name, func(t *testing.T) {
			x := exchange(t, name)
			pi, private, err := x.Initiate(&counting{seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			pr, atResponder, err := x.Respond(&counting{seed: 2}, pi)
			if err != nil {
				t.Fatal(err)
			}
			atInitiator, err := private.Finish(pr)
			if err != nil || !bytes.Equal(atInitiator, atResponder) {
				t.Errorf("secrets differ: %x, %x, %v", atInitiator, atResponder, err)
			}
			wi, wr := x.PublicBytes()
			if len(pi) != wi || len(pr) != wr || x.ID() != transform(t, name).ID {
				t.Errorf("lengths %d and %d, ID %d", len(pi), len(pr), x.ID())
			}
			again, _, err := x.Initiate(&counting{seed: 1})
			if err != nil || !bytes.Equal(again, pi) {
				t.Errorf("the same reader gave another value, %v", err)
			}
			if bytes.Equal(pi, pr) {
				t.Error("another reader gave the same value")
			}
		})
	}
}

// TestPublicValuesAreJudged gives every method the values that RFC 6989 and
// RFC 7748 want refused.
func TestPublicValuesAreJudged(t *testing.T) {
	for _, name := range everyKE {
		x := exchange(t, name)
		good, private, err := x.Initiate(&counting{seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		bad := map[string][]byte{
			"nothing":   {},
			"short":     good[1:],
			"long":      append(bytes.Clone(good), 0),
			"zeros":     make([]byte, len(good)),
			"with 0x04": append([]byte{4}, good...),
		}
		if g, ok := x.(*modp); ok {
			width := func(v *big.Int) []byte { return v.FillBytes(make([]byte, g.publicBytes)) }
			bad["one"] = width(big.NewInt(1))
			bad["p-1"] = width(new(big.Int).Sub(g.p, bigOne))
			bad["p"] = width(g.p)
			bad["p+2"] = width(new(big.Int).Add(g.p, bigTwo))
			for _, v := range []*big.Int{bigTwo, new(big.Int).Sub(g.p, bigTwo)} {
				if _, err := g.public(width(v)); err != nil {
					t.Errorf("%s: %v at the edge refused: %v", name, v, err)
				}
			}
		} else if name != "x25519" {
			off := bytes.Clone(good)
			off[len(off)-1] ^= 1
			bad["off the curve"] = off
			bad["ones"] = bytes.Repeat([]byte{0xff}, len(good))
		}
		for what, value := range bad {
			if shared, err := private.Finish(value); !errors.Is(err, ErrPublic) || shared != nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: initiator given %s: error %v", name, what, err)
			}
			if public, shared, err := x.Respond(&counting{seed: 4}, value); !errors.Is(err, ErrPublic) || public != nil || shared != nil {
				t.Errorf("%s: responder given %s: error %v", name, what, err)
			}
		}
		if _, err := private.Finish(good); err != nil {
			t.Errorf("%s: a good value after bad ones: %v", name, err)
		}
	}
}

// TestECPDrawsAgain gives the curves a first draw that is not a private key.
func TestECPDrawsAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		curve ecdh.Curve
		bytes int
	}{{"ecp256", ecdh.P256(), 32}, {"ecp384", ecdh.P384(), 48}, {"ecp521", ecdh.P521(), 66}} {
		good := ramp(1, c.bytes)
		good[0] = 0
		key, err := c.curve.NewPrivateKey(good)
		if err != nil {
			t.Fatal(err)
		}
		for what, first := range map[string][]byte{"zero": make([]byte, c.bytes), "above the order": bytes.Repeat([]byte{0xff}, c.bytes)} {
			rand := bytes.NewReader(concat(first, good))
			got, _, err := exchange(t, c.name).Initiate(rand)
			if err != nil || !bytes.Equal(got, key.PublicKey().Bytes()[1:]) || rand.Len() != 0 {
				t.Errorf("%s after %s: %v, %d octets unread", c.name, what, err, rand.Len())
			}
		}
		zeros := bytes.NewReader(make([]byte, 100*c.bytes))
		if _, _, err := exchange(t, c.name).Initiate(zeros); err == nil || !strings.Contains(err.Error(), "random source") {
			t.Errorf("%s: endless zeros: error %v", c.name, err)
		}
	}
}

func TestAFailingReaderIsReported(t *testing.T) {
	for _, name := range everyKE {
		x := exchange(t, name)
		good, _, err := x.Initiate(&counting{seed: 5})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.Initiate(bytes.NewReader(make([]byte, 5))); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Initiate: error %v", name, err)
		}
		if _, _, err := x.Respond(bytes.NewReader(nil), good); !errors.Is(err, io.EOF) {
			t.Errorf("%s: Respond: error %v", name, err)
		}
	}
}

func TestNewKeyExchangeNamesWhatItLacks(t *testing.T) {
	for _, id := range []uint16{0, 1, 2, 5, 22, 25, 28, 32, 36} {
		if _, err := NewKeyExchange(id); err == nil || !strings.Contains(err.Error(), Transform{Type: TransformKE, ID: id}.String()) {
			t.Errorf("KE %d: error %v", id, err)
		}
	}
}

// TestModpPrimes computes the primes from π as RFC 3526 gives them, and checks
// that they are safe primes, which the judgement of public values rests on.
func TestModpPrimes(t *testing.T) {
	for _, c := range []struct {
		name string
		bits uint
		plus int64
	}{
		{"modp2048", 2048, 124476}, {"modp3072", 3072, 1690314}, {"modp4096", 4096, 240904},
		{"modp6144", 6144, 929484}, {"modp8192", 8192, 4743158},
	} {
		pow := func(n uint) *big.Int { return new(big.Int).Lsh(bigOne, n) }
		middle := new(big.Int).Add(piTimesTwoTo(c.bits-130), big.NewInt(c.plus))
		want := pow(c.bits)
		want.Sub(want, pow(c.bits-64)).Sub(want, bigOne).Add(want, middle.Lsh(middle, 64))
		g := exchange(t, c.name).(*modp)
		if g.p.Cmp(want) != 0 {
			t.Errorf("%s is not the prime of RFC 3526", c.name)
		}
		if c.bits > 3072 && testing.Short() {
			continue
		}
		// One round each: these are famous numbers and not an adversary's.
		half := new(big.Int).Rsh(g.p, 1)
		if c.bits <= 4096 && (!g.p.ProbablyPrime(0) || !half.ProbablyPrime(0)) {
			t.Errorf("%s is not a safe prime", c.name)
		}
		// 2 generates the subgroup of prime order: 2^((p-1)/2) = 1.
		if new(big.Int).Exp(bigTwo, half, g.p).Cmp(bigOne) != 0 {
			t.Errorf("%s: 2 does not generate the subgroup of order (p-1)/2", c.name)
		}
	}
}

// piTimesTwoTo is ⌊2ⁿ·π⌋ by Machin's formula, with guard bits.
func piTimesTwoTo(n uint) *big.Int {
	const guardBits = 64
	one := new(big.Int).Lsh(bigOne, n+guardBits)
	arctanInverse := func(x int64) *big.Int {
		square := big.NewInt(x * x)
		term := new(big.Int).Div(one, big.NewInt(x))
		sum := new(big.Int).Set(term)
		for k := int64(1); term.Sign() != 0; k++ {
			term.Div(term, square)
			part := new(big.Int).Div(term, big.NewInt(2*k+1))
			if k%2 == 1 {
				part.Neg(part)
			}
			sum.Add(sum, part)
		}
		return sum
	}
	pi := new(big.Int).Mul(arctanInverse(5), big.NewInt(4))
	pi.Sub(pi, arctanInverse(239))
	return pi.Rsh(pi.Mul(pi, big.NewInt(4)), guardBits)
}

func TestModpExponents(t *testing.T) {
	// The widths of RFC 3526 §8, rounded up to octets.
	for name, want := range map[string]int{"modp2048": 40, "modp3072": 53, "modp4096": 60, "modp6144": 68, "modp8192": 78} {
		rand := bytes.NewReader(make([]byte, 1000))
		_, private, err := exchange(t, name).Initiate(rand)
		if err != nil {
			t.Fatal(err)
		}
		if read := 1000 - rand.Len(); read != want || private.(modpPrivate).x.BitLen() != 8*want {
			t.Errorf("%s: %d octets read, exponent of %d bits, want %d octets", name, read, private.(modpPrivate).x.BitLen(), want)
		}
	}
}

// TestModpSecretsKeepTheirLength: a secret with leading zeros has the prime's
// length all the same (RFC 7296 §2.14), here 2^1.
func TestModpSecretsKeepTheirLength(t *testing.T) {
	g := exchange(t, "modp2048").(*modp)
	two := make([]byte, 256)
	two[255] = 2
	shared, err := modpPrivate{g, big.NewInt(1)}.Finish(two)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "secret", shared, two)
}
