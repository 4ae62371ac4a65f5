package esp

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// bare is an algorithm straight from its library: what a packet costs at least.
type bare interface {
	seal(iv, text, icv, aad []byte)
	open(iv, text, icv, aad []byte) bool
}

// bareAEAD is an AEAD with its 4 octets of salt.
type bareAEAD struct {
	aead  stdcipher.AEAD
	nonce [12]byte
}

func (a *bareAEAD) seal(iv, text, icv, aad []byte) {
	copy(a.nonce[4:], iv)
	a.aead.Seal(text[:0], a.nonce[:], text, aad)
}

func (a *bareAEAD) open(iv, text, icv, aad []byte) bool {
	copy(a.nonce[4:], iv)
	sealed := text[:len(text)+len(icv)]
	_, err := a.aead.Open(sealed[:0], a.nonce[:], sealed, aad)
	return err == nil
}

// bareCBC is AES-CBC and an HMAC, which no library offers as one.
type bareCBC struct {
	encrypt, decrypt chained
	mac              hash.Hash
	sum              [32]byte
}

// chained is the standard library's CBC, which takes a new IV without allocating.
type chained interface {
	stdcipher.BlockMode
	SetIV(iv []byte)
}

func (c *bareCBC) tag(aad, iv, text []byte) []byte {
	c.mac.Reset()
	c.mac.Write(aad)
	c.mac.Write(iv)
	c.mac.Write(text)
	return c.mac.Sum(c.sum[:0])
}

func (c *bareCBC) seal(iv, text, icv, aad []byte) {
	c.encrypt.SetIV(iv)
	c.encrypt.CryptBlocks(text, text)
	copy(icv, c.tag(aad, iv, text))
}

func (c *bareCBC) open(iv, text, icv, aad []byte) bool {
	ok := hmac.Equal(icv, c.tag(aad, iv, text)[:len(icv)])
	c.decrypt.SetIV(iv)
	c.decrypt.CryptBlocks(text, text)
	return ok
}

// benchCase is an algorithm of ours beside its bare form.
type benchCase struct {
	algorithm
	bare func(b *testing.B, c SAConfig) bare
}

func benchCases() []benchCase {
	all := algorithms()
	aead := func(newAEAD func(key []byte) (stdcipher.AEAD, error)) func(*testing.B, SAConfig) bare {
		return func(b *testing.B, c SAConfig) bare {
			salt := len(c.EncrKey) - 4
			a, err := newAEAD(c.EncrKey[:salt])
			if err != nil {
				b.Fatal(err)
			}
			n := &bareAEAD{aead: a}
			copy(n.nonce[:], c.EncrKey[salt:])
			return n
		}
	}
	return []benchCase{
		{all[0], aead(func(key []byte) (stdcipher.AEAD, error) {
			block, err := aes.NewCipher(key)
			if err != nil {
				return nil, err
			}
			return stdcipher.NewGCM(block)
		})},
		{all[3], aead(chacha20poly1305.New)},
		{all[5], func(b *testing.B, c SAConfig) bare {
			block, err := aes.NewCipher(c.EncrKey)
			if err != nil {
				b.Fatal(err)
			}
			zero := make([]byte, cbcIVBytes)
			return &bareCBC{
				encrypt: stdcipher.NewCBCEncrypter(block, zero).(chained),
				decrypt: stdcipher.NewCBCDecrypter(block, zero).(chained),
				mac:     hmac.New(sha256.New, c.IntegKey),
			}
		}},
	}
}

// batchPackets are handled in a row before the other side's turn: few enough that
// both see the same machine, enough that reading the clock does not matter.
const batchPackets = 64

// benchRig holds the packets of a batch and both ways to treat them.
type benchRig struct {
	out     *Outbound
	in      *Inbound
	bare    bare
	inner   []byte
	buffers [batchPackets][]byte
	packets [batchPackets][]byte
}

func newBenchRig(b *testing.B, c benchCase, size int) *benchRig {
	o, i := pair(b, c.SAConfig)
	r := &benchRig{out: o, in: i, bare: c.bare(b, c.SAConfig), inner: ascending(0, size)}
	for n := range r.buffers {
		r.buffers[n] = make([]byte, 0, size+o.Overhead(size))
	}
	return r
}

// sealBatch reserves and seals a batch in place, as a node does.
func (r *benchRig) sealBatch(b *testing.B) {
	first, err := r.out.Reserve(batchPackets)
	if err != nil {
		b.Fatal(err)
	}
	for n := range r.packets {
		if r.packets[n], err = r.out.Seal(r.buffers[n], first+uint64(n), r.inner, NextHeaderIPv4); err != nil {
			b.Fatal(err)
		}
	}
}

func (r *benchRig) openBatch(b *testing.B) {
	for _, p := range r.packets {
		if _, _, _, err := r.in.Open(p); err != nil {
			b.Fatal(err)
		}
	}
}

// parts are the slices of a packet that a bare cipher wants.
func (r *benchRig) parts(p []byte) (iv, text, icv, aad []byte) {
	textAt, textEnd := headerBytes+r.out.ivBytes, len(p)-r.out.icvBytes
	return p[headerBytes:textAt], p[textAt:textEnd], p[textEnd:], p[:headerBytes]
}

func (r *benchRig) bareSealBatch(*testing.B) {
	for _, p := range r.packets {
		r.bare.seal(r.parts(p))
	}
}

func (r *benchRig) bareOpenBatch(b *testing.B) {
	for _, p := range r.packets {
		if !r.bare.open(r.parts(p)) {
			b.Fatal("the bare cipher disagrees about the ICV")
		}
	}
}

// BenchmarkSeal and BenchmarkOpen time packets and the bare cipher in turns, on
// the same octets, and report the ratio of the two.
func BenchmarkSeal(b *testing.B) {
	benchmarkBeside(b, (*benchRig).sealBatch, (*benchRig).bareSealBatch, func(r *benchRig, b *testing.B) {})
}

// BenchmarkOpen is BenchmarkSeal's counterpart; what it opens is sealed while no
// clock runs.
func BenchmarkOpen(b *testing.B) {
	benchmarkBeside(b, (*benchRig).openBatch, (*benchRig).bareOpenBatch, (*benchRig).sealBatch)
}

func benchmarkBeside(b *testing.B, ours, theirs, prepare func(*benchRig, *testing.B)) {
	for _, c := range benchCases() {
		for _, size := range []int{64, 512, 1400} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				r := newBenchRig(b, c, size)
				r.sealBatch(b)
				timed := func(f func(*benchRig, *testing.B)) time.Duration {
					prepare(r, b)
					start := time.Now()
					f(r, b)
					return time.Since(start)
				}
				var our, their time.Duration
				packets := 0
				for b.Loop() {
					our += timed(ours)
					their += timed(theirs)
					packets += batchPackets
				}
				allocs := testing.AllocsPerRun(10, func() { prepare(r, b); ours(r, b) })
				b.ReportMetric(float64(our.Nanoseconds())/float64(packets), "ns/packet")
				b.ReportMetric(float64(their.Nanoseconds())/float64(packets), "bare-ns/packet")
				b.ReportMetric(float64(our)/float64(their), "ratio")
				b.ReportMetric(float64(size*packets)*8/our.Seconds()/1e6, "Mbit/s")
				b.ReportMetric(allocs/batchPackets, "allocs/packet")
			})
		}
	}
}
