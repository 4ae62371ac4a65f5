package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"math/big"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

// beside runs ours and bare in turn and reports how much longer ours takes. The
// two alternate in one run, so that whatever else the machine does hits both.
func beside(b *testing.B, ours, bare func()) {
	b.Helper()
	var oursFor, bareFor time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		ours()
		middle := time.Now()
		bare()
		oursFor += middle.Sub(start)
		bareFor += time.Since(middle)
	}
	b.ReportMetric(float64(oursFor.Nanoseconds())/float64(b.N), "ns/ours")
	b.ReportMetric(float64(bareFor.Nanoseconds())/float64(b.N), "ns/bare")
	b.ReportMetric(float64(oursFor)/float64(bareFor), "ratio")
}

// packetsPerTurn makes a turn long enough for the clock.
const packetsPerTurn = 64

var packetBytes = []int{64, 512, 1408}

func BenchmarkSealAEAD(b *testing.B) {
	for _, name := range []string{"aes128gcm16", "aes256gcm16", "aes256gcm12", "aes256gcm8", "chacha20poly1305"} {
		for _, n := range packetBytes {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				c, bare := newCrypter(b, name, ""), bareAEAD(b, name)
				packet, other := make([]byte, n+c.ICVBytes()), make([]byte, n+aeadTagBytes)
				iv, aad, nonce := make([]byte, 8), make([]byte, 8), make([]byte, 12)
				b.SetBytes(int64(packetsPerTurn * n))
				beside(b, func() {
					for range packetsPerTurn {
						c.Seal(iv, packet[:n], packet[n:], aad, nil)
					}
				}, func() {
					for range packetsPerTurn {
						bare.Seal(other[:0], nonce, other[:n], aad)
					}
				})
			})
		}
	}
}

func BenchmarkOpenAEAD(b *testing.B) {
	for _, name := range []string{"aes256gcm16", "aes256gcm8", "chacha20poly1305"} {
		for _, n := range packetBytes {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				c, bare := newCrypter(b, name, ""), bareAEAD(b, name)
				iv, aad, nonce := make([]byte, 8), make([]byte, 8), make([]byte, 12)
				sealed := make([]byte, n+c.ICVBytes())
				c.Seal(iv, sealed[:n], sealed[n:], aad, nil)
				bareSealed := bare.Seal(nil, nonce, make([]byte, n), aad)
				packet, other := bytes.Clone(sealed), bytes.Clone(bareSealed)
				b.SetBytes(int64(packetsPerTurn * n))
				beside(b, func() {
					for range packetsPerTurn {
						copy(packet, sealed)
						if err := c.Open(iv, packet[:n], packet[n:], aad, nil); err != nil {
							b.Fatal(err)
						}
					}
				}, func() {
					for range packetsPerTurn {
						copy(other, bareSealed)
						if _, err := bare.Open(other[:0], nonce, other, aad); err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

func bareAEAD(b *testing.B, name string) cipher.AEAD {
	b.Helper()
	if name == "chacha20poly1305" {
		a, err := chacha20poly1305.New(make([]byte, 32))
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	block, err := aes.NewCipher(make([]byte, transform(b, name).KeyBits/8))
	if err != nil {
		b.Fatal(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func BenchmarkSealHMAC(b *testing.B) {
	for _, k := range [][2]string{{"aes256", "sha256"}, {"aes128", "sha1"}, {"aes256", "sha512"}, {"aes256ctr", "sha256"}} {
		for _, n := range packetBytes {
			b.Run(fmt.Sprintf("%s-%s/%d", k[0], k[1], n), func(b *testing.B) {
				c := newCrypter(b, k[0], k[1])
				packet, other := make([]byte, n+c.ICVBytes()), make([]byte, n)
				iv, aad := make([]byte, c.IVBytes()), make([]byte, 8)
				block, err := aes.NewCipher(make([]byte, transform(b, k[0]).KeyBits/8))
				if err != nil {
					b.Fatal(err)
				}
				mac := hmac.New(map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}[k[1]], make([]byte, 64))
				encrypt := cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks
				if transform(b, k[0]).ID == EncrAESCTR {
					encrypt = cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream
				}
				var sum []byte
				b.SetBytes(int64(packetsPerTurn * n))
				beside(b, func() {
					for range packetsPerTurn {
						c.Seal(iv, packet[:n], packet[n:], aad, nil)
					}
				}, func() {
					for range packetsPerTurn {
						encrypt(other, other)
						mac.Reset()
						mac.Write(other)
						sum = mac.Sum(sum[:0])
					}
				})
			})
		}
	}
}

// BenchmarkKeyExchange is both sides of one exchange beside its bare operations:
// two public values and two secrets.
func BenchmarkKeyExchange(b *testing.B) {
	curves := map[string]ecdh.Curve{"x25519": ecdh.X25519(), "ecp256": ecdh.P256(), "ecp384": ecdh.P384(), "ecp521": ecdh.P521()}
	for _, name := range everyKE {
		b.Run(name, func(b *testing.B) {
			x := exchange(b, name)
			rand := &counting{seed: 1}
			beside(b, func() {
				pi, private, err := x.Initiate(rand)
				if err != nil {
					b.Fatal(err)
				}
				pr, _, err := x.Respond(rand, pi)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := private.Finish(pr); err != nil {
					b.Fatal(err)
				}
			}, func() {
				if g, ok := x.(*modp); ok {
					bareModp(g)
					return
				}
				bareECDH(b, curves[name])
			})
		})
	}
}

func bareECDH(b *testing.B, curve ecdh.Curve) {
	var public [2]*ecdh.PublicKey
	var private [2]*ecdh.PrivateKey
	for i := range private {
		var err error
		if private[i], err = curve.GenerateKey(nil); err != nil {
			b.Fatal(err)
		}
		public[i] = private[i].PublicKey()
	}
	for i := range private {
		if _, err := private[i].ECDH(public[1-i]); err != nil {
			b.Fatal(err)
		}
	}
}

func bareModp(g *modp) {
	x := new(big.Int).SetBytes(bytes.Repeat([]byte{0xa7}, g.exponentBytes))
	y := new(big.Int).Exp(bigTwo, x, g.p)
	new(big.Int).Exp(bigTwo, x, g.p)
	new(big.Int).Exp(y, x, g.p)
	new(big.Int).Exp(y, x, g.p)
}

// BenchmarkKeySchedule is what one side of a handshake derives: the IKE SA's
// keys, both AUTH values and the first child's keys.
func BenchmarkKeySchedule(b *testing.B) {
	for _, text := range []string{"aes256gcm16-prfsha384-x25519", "aes128-sha256-x25519", "aes256-sha512-x25519"} {
		b.Run(text, func(b *testing.B) {
			chosen, err := ParseProposal(ProtocolIKE, text)
			if err != nil {
				b.Fatal(err)
			}
			child, err := ParseProposal(ProtocolESP, "aes256gcm16")
			if err != nil {
				b.Fatal(err)
			}
			prf, err := prfOf(chosen)
			if err != nil {
				b.Fatal(err)
			}
			nonce, shared, message, id := ramp(1, 32), ramp(2, 32), make([]byte, 400), make([]byte, 20)
			b.ReportAllocs()
			for b.Loop() {
				_, keys, err := DeriveIKE(chosen, nonce, nonce, shared, [8]byte{1}, [8]byte{2})
				if err != nil {
					b.Fatal(err)
				}
				for _, skp := range [][]byte{keys.Pi, keys.Pr} {
					AuthPSK(prf, shared, SignedOctets(prf, message, nonce, skp, id))
				}
				if _, err := DeriveChild(prf, keys.D, child, nonce, nonce, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProposals(b *testing.B) {
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseProposal(ProtocolIKE, "aes256gcm16-aes128gcm16-prfsha384-x25519-ecp256"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("select", func(b *testing.B) {
		own, peer := DefaultIKE(), DefaultIKE()
		b.ReportAllocs()
		for b.Loop() {
			if _, _, ok := Select(own, peer); !ok {
				b.Fatal("nothing fits")
			}
		}
	})
}
