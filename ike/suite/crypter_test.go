package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// everyCrypter lists every way to protect a packet: encryption keyword and,
// without an AEAD, integrity keyword.
func everyCrypter() [][2]string {
	var out [][2]string
	for _, k := range keywords {
		if name, _ := keywordOf(k.t); k.t.Type != TransformENCR || name != k.name {
			continue
		}
		if k.t.AEAD() {
			out = append(out, [2]string{k.name, ""})
			continue
		}
		for _, integ := range []string{"sha1", "sha256", "sha384", "sha512"} {
			out = append(out, [2]string{k.name, integ})
		}
	}
	return out
}

// newCrypter makes a crypter of keywords with keys that count up.
func newCrypter(t testing.TB, encr, integ string) Crypter {
	t.Helper()
	e := transform(t, encr)
	n, err := EncrKeyBytes(e)
	if err != nil {
		t.Fatal(err)
	}
	var i Transform
	var integKey []byte
	if integ != "" {
		i = transform(t, integ)
		m, err := IntegKeyBytes(i)
		if err != nil {
			t.Fatal(err)
		}
		integKey = ramp(100, m)
	}
	c, err := NewCrypter(e, i, ramp(1, n), integKey)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type aeadVector struct {
	Case, Result                        string
	Key, Nonce, AAD, Plain, Cipher, Tag octets
}

// checkAEAD holds one vector against a crypter, in both memory layouts.
func checkAEAD(t *testing.T, encr Transform, v aeadVector) {
	t.Helper()
	c, err := NewCrypter(encr, Transform{}, concat(v.Key, v.Nonce[:4]), nil)
	if err != nil {
		t.Fatal(err)
	}
	iv, tag := v.Nonce[4:], v.Tag[:c.ICVBytes()]
	for _, together := range []bool{true, false} {
		text, icv := layout(len(v.Plain), len(tag), together)
		if v.Result != "invalid" {
			copy(text, v.Plain)
			c.Seal(iv, text, icv, v.AAD, nil)
			if !bytes.Equal(text, v.Cipher) || !bytes.Equal(icv, tag) {
				t.Fatalf("%s, %v: sealed %x | %x, want %x | %x", v.Case, encr, text, icv, v.Cipher, tag)
			}
		}
		copy(text, v.Cipher)
		copy(icv, tag)
		err := c.Open(iv, text, icv, v.AAD, nil)
		if v.Result == "invalid" {
			if !errors.Is(err, ErrIntegrity) {
				t.Fatalf("%s, %v: opened, error %v", v.Case, encr, err)
			}
			continue
		}
		if err != nil || !bytes.Equal(text, v.Plain) {
			t.Fatalf("%s, %v: opened %x, %v, want %x", v.Case, encr, text, err, v.Plain)
		}
	}
}

// layout is room for a text and its check value, side by side or apart.
func layout(text, icv int, together bool) ([]byte, []byte) {
	if together {
		b := make([]byte, text+icv)
		return b[:text], b[text:]
	}
	return make([]byte, text), make([]byte, icv)
}

func TestAESGCMAsPublished(t *testing.T) {
	for _, name := range []string{"aes_gcm.json", "wycheproof_aes_gmac.json"} {
		for _, v := range vectors[aeadVector](t, name) {
			for _, id := range []uint16{EncrAESGCM8, EncrAESGCM12, EncrAESGCM16} {
				if v.Result == "invalid" && id != EncrAESGCM16 {
					continue // what was changed may be in the octets that are cut off
				}
				checkAEAD(t, Transform{TransformENCR, id, uint16(8 * len(v.Key))}, v)
			}
		}
	}
}

func TestChaCha20Poly1305AsPublished(t *testing.T) {
	for _, name := range []string{"chacha20_poly1305.json", "wycheproof_chacha20_poly1305.json"} {
		for _, v := range vectors[aeadVector](t, name) {
			checkAEAD(t, Transform{TransformENCR, EncrChaCha20Poly1305, 0}, v)
		}
	}
}

func TestAESCBCAndCTRAsPublished(t *testing.T) {
	for _, f := range []struct {
		name string
		id   uint16
	}{{"aes_cbc.json", EncrAESCBC}, {"aes_ctr.json", EncrAESCTR}} {
		for _, v := range vectors[struct {
			Case                          string
			Key, Nonce, IV, Plain, Cipher octets
		}](t, f.name) {
			macKey := ramp(7, 32)
			c, err := NewCrypter(Transform{TransformENCR, f.id, uint16(8 * len(v.Key))}, transform(t, "sha256"), concat(v.Key, v.Nonce), macKey)
			if err != nil {
				t.Fatal(err)
			}
			text, icv := layout(len(v.Plain), c.ICVBytes(), true)
			copy(text, v.Plain)
			c.Seal(v.IV, text, icv, []byte("header"), []byte("high"))
			if !bytes.Equal(text, v.Cipher) {
				t.Errorf("%s: sealed %x, want %x", v.Case, text, v.Cipher)
			}
			prf, _ := NewPRF(PRFHMACSHA256)
			if want := prf.Sum(nil, macKey, []byte("header"), v.IV, v.Cipher, []byte("high"))[:16]; !bytes.Equal(icv, want) {
				t.Errorf("%s: check value %x, want %x over aad | iv | ciphertext | tail", v.Case, icv, want)
			}
			if err := c.Open(v.IV, text, icv, []byte("header"), []byte("high")); err != nil || !bytes.Equal(text, v.Plain) {
				t.Errorf("%s: opened %x, %v", v.Case, text, err)
			}
		}
	}
}

func TestIntegrityAsPublished(t *testing.T) {
	for _, v := range vectors[struct {
		Case, Hash     string
		Key, Data, ICV octets
	}](t, "integrity.json") {
		m := newTruncatedMAC(transform(t, v.Hash).ID, v.Key)
		if got := m.of(v.Data[:1], v.Data[1:2], v.Data[2:3], v.Data[3:]); !bytes.Equal(got, v.ICV) {
			t.Errorf("%s: got %x, want %x", v.Case, got, v.ICV)
		}
		if n, err := IntegKeyBytes(transform(t, v.Hash)); err != nil || n != len(v.Key) {
			t.Errorf("%s: key of %d octets, %v, want %d", v.Case, n, err, len(v.Key))
		}
	}
}

// TestLongCTR holds texts of every length, beyond what RFC 3686 publishes,
// against Go's counter mode from the counter block nonce | IV | 1.
func TestLongCTR(t *testing.T) {
	key, iv := ramp(1, 36), ramp(9, 8)
	block, err := aes.NewCipher(key[:32])
	if err != nil {
		t.Fatal(err)
	}
	c := newCrypter(t, "aes256ctr", "sha256")
	icv := make([]byte, c.ICVBytes())
	for n := range 600 {
		want := make([]byte, n)
		cipher.NewCTR(block, concat(key[32:], iv, []byte{0, 0, 0, 1})).XORKeyStream(want, want)
		got := make([]byte, n)
		c.Seal(iv, got, icv, nil, nil)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d octets of key stream:\n got %x\nwant %x", n, got, want)
		}
	}
}

// TestSealOpen holds for every algorithm: what is sealed opens to the same, in
// both layouts; nothing outside the slices is written; any changed bit in any
// part is found, and then no plaintext is left behind.
func TestSealOpen(t *testing.T) {
	const guard = 0xa5
	for _, k := range everyCrypter() {
		t.Run(strings.TrimSuffix(k[0]+"-"+k[1], "-"), func(t *testing.T) {
			c := newCrypter(t, k[0], k[1])
			rapid.Check(t, func(r *rapid.T) {
				plain := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(r, "plain")
				plain = plain[:len(plain)/c.AlignBytes()*c.AlignBytes()]
				iv := rapid.SliceOfN(rapid.Byte(), c.IVBytes(), c.IVBytes()).Draw(r, "iv")
				aad := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(r, "aad")
				var tail []byte
				if !c.AEAD() {
					tail = rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(r, "tail")
				}
				together := rapid.Bool().Draw(r, "together")

				// text, icv and what must stay untouched lie in one array, with a gap
				// between text and icv when they are apart.
				gap := 0
				if !together {
					gap = 3
				}
				n, m := len(plain), c.ICVBytes()
				memory := bytes.Repeat([]byte{guard}, n+gap+m+32)
				text, icv := memory[:n], memory[n+gap:n+gap+m]
				copy(text, plain)
				c.Seal(iv, text, icv, aad, tail)
				untouched := func(by string) {
					for i, b := range memory {
						if b != guard && (i >= n && i < n+gap || i >= n+gap+m) {
							r.Fatalf("%s wrote octet %d, outside text and icv", by, i)
						}
					}
				}
				untouched("Seal")
				if n >= 16 && bytes.Equal(text, plain) {
					r.Fatal("the text is not encrypted")
				}
				sealed := bytes.Clone(memory)

				parts := [][]byte{iv, text, icv, aad, tail}
				which := rapid.IntRange(0, len(parts)-1).Draw(r, "part")
				if part := parts[which]; len(part) > 0 {
					bit := rapid.IntRange(0, 8*len(part)-1).Draw(r, "bit")
					part[bit/8] ^= 1 << (bit % 8)
					if err := c.Open(iv, text, icv, aad, tail); !errors.Is(err, ErrIntegrity) {
						r.Fatalf("bit %d of part %d changed: error %v", bit, which, err)
					}
					if n >= 16 && bytes.Equal(text, plain) {
						r.Fatal("plaintext left behind a failed check")
					}
					untouched("a failing Open")
					part[bit/8] ^= 1 << (bit % 8)
					copy(memory, sealed)
				}
				if err := c.Open(iv, text, icv, aad, tail); err != nil || !bytes.Equal(text, plain) {
					r.Fatalf("opened %x, %v, want %x", text, err, plain)
				}
				untouched("Open")
			})
		})
	}
}

func TestOpenRefusesWrongLengths(t *testing.T) {
	for _, k := range everyCrypter() {
		c := newCrypter(t, k[0], k[1])
		iv, text, icv := make([]byte, c.IVBytes()), make([]byte, 32), make([]byte, c.ICVBytes())
		c.Seal(iv, text, icv, nil, nil)
		cases := map[string]error{
			"short iv":  c.Open(iv[:len(iv)-1], text, icv, nil, nil),
			"long iv":   c.Open(append(bytes.Clone(iv), 0), text, icv, nil, nil),
			"short icv": c.Open(iv, text, icv[:len(icv)-1], nil, nil),
			"no icv":    c.Open(iv, text, nil, nil, nil),
		}
		if c.AlignBytes() > 1 {
			cases["unaligned"] = c.Open(iv, text[:31], icv, nil, nil)
		}
		if c.AEAD() {
			cases["tail"] = c.Open(iv, text, icv, nil, []byte{0})
		}
		// Whoever moves the border between text and icv must not get past the check
		// because the octets in a row are the same.
		whole := make([]byte, 32+c.ICVBytes())
		c.Seal(iv, whole[:32], whole[32:], nil, nil)
		if right := 32 + c.AlignBytes(); right <= len(whole) {
			cases["border moved right"] = c.Open(iv, whole[:right], whole[right:], nil, nil)
		}
		cases["border moved left"] = c.Open(iv, whole[:32-c.AlignBytes()], whole[32-c.AlignBytes():], nil, nil)
		for name, err := range cases {
			if !errors.Is(err, ErrIntegrity) {
				t.Errorf("%v, %s: error %v", k, name, err)
			}
		}
		if err := c.Open(iv, text, icv, nil, nil); err != nil {
			t.Errorf("%v: after the refusals: %v", k, err)
		}
	}
}

func TestSealPanicsOnACallersMistake(t *testing.T) {
	for _, k := range everyCrypter() {
		c := newCrypter(t, k[0], k[1])
		iv, text, icv := make([]byte, c.IVBytes()), make([]byte, 32), make([]byte, c.ICVBytes())
		calls := map[string]func(){
			"iv":  func() { c.Seal(iv[1:], text, icv, nil, nil) },
			"icv": func() { c.Seal(iv, text, icv[1:], nil, nil) },
		}
		if c.AlignBytes() > 1 {
			calls["text"] = func() { c.Seal(iv, text[1:], icv, nil, nil) }
		}
		if c.AEAD() {
			calls["tail"] = func() { c.Seal(iv, text, icv, nil, []byte{0}) }
		}
		for name, call := range calls {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%v: a wrong %s goes through", k, name)
					}
				}()
				call()
			}()
		}
	}
}

func TestNewCrypterRefuses(t *testing.T) {
	for _, c := range []struct {
		name            string
		encr, integ     Transform
		encrKey, macKey int
		want            string
	}{
		{"short key", transform(t, "aes128gcm16"), Transform{}, 16, 0, "20 octets"},
		{"long key", transform(t, "aes128"), transform(t, "sha256"), 20, 32, "16 octets"},
		{"short integrity key", transform(t, "aes128"), transform(t, "sha256"), 16, 20, "32 octets"},
		{"no integrity", transform(t, "aes128"), Transform{}, 16, 0, "aes128 needs"},
		{"NONE", transform(t, "aes128ctr"), Transform{Type: TransformINTEG}, 20, 0, "aes128ctr needs"},
		{"integrity beside an AEAD", transform(t, "aes128gcm16"), transform(t, "sha256"), 20, 32, "checks integrity itself"},
		{"not implemented", Transform{TransformENCR, 3, 0}, Transform{}, 24, 0, "ENCR(3)"},
		{"AES of 160 bits", Transform{TransformENCR, EncrAESCBC, 160}, transform(t, "sha256"), 20, 32, "ENCR(12,160)"},
		{"AES without a key length", Transform{TransformENCR, EncrAESGCM16, 0}, Transform{}, 4, 0, "ENCR(20)"},
		{"ChaCha20 with a key length", Transform{TransformENCR, EncrChaCha20Poly1305, 256}, Transform{}, 36, 0, "ENCR(28,256)"},
		{"not an encryption", transform(t, "sha256"), Transform{}, 32, 0, "sha256 is not"},
	} {
		if _, err := NewCrypter(c.encr, c.integ, make([]byte, c.encrKey), make([]byte, c.macKey)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for _, k := range everyCrypter() {
		for _, together := range []bool{true, false} {
			c := newCrypter(t, k[0], k[1])
			text, icv := layout(1408, c.ICVBytes(), together)
			iv, aad := ramp(0, c.IVBytes()), ramp(0, 8)
			round := func() {
				c.Seal(iv, text, icv, aad, nil)
				if err := c.Open(iv, text, icv, aad, nil); err != nil {
					t.Fatal(err)
				}
				iv[0]++
			}
			round() // scratch memory grows once
			if n := testing.AllocsPerRun(100, round); n != 0 {
				t.Errorf("%v, together %v: %v allocations per packet sealed and opened", k, together, n)
			}
		}
	}
}

func ExampleNewCrypter() {
	encr := Transform{Type: TransformENCR, ID: EncrAESGCM16, KeyBits: 128}
	key := make([]byte, 20) // 16 octets of key, 4 of salt: from DeriveChild
	c, err := NewCrypter(encr, Transform{}, key, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	packet := append([]byte("attack at dawn.."), make([]byte, c.ICVBytes())...)
	text, icv := packet[:16], packet[16:]
	iv, aad := []byte("\x00\x00\x00\x00\x00\x00\x00\x01"), []byte("SPI and sequence")
	c.Seal(iv, text, icv, aad, nil)
	fmt.Println(c.Open(iv, text, icv, aad, nil), string(text))
	// Output: <nil> attack at dawn..
}
