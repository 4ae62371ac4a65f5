package suite

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
)

// TestCCM opens the examples of NIST SP 800-38C appendix C and the first packet
// vector of RFC 3610 §8, and none of them changed.
func TestCCM(t *testing.T) {
	for _, c := range []struct {
		source, key, nonce, aad, plain, sealed string
		icvBytes                               int
	}{
		{"NIST SP 800-38C C.1", "404142434445464748494a4b4c4d4e4f", "10111213141516", "0001020304050607", "20212223", "7162015b4dac255d", 4},
		{"NIST SP 800-38C C.2", "404142434445464748494a4b4c4d4e4f", "1011121314151617", "000102030405060708090a0b0c0d0e0f",
			"202122232425262728292a2b2c2d2e2f", "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd", 6},
		{"NIST SP 800-38C C.3", "404142434445464748494a4b4c4d4e4f", "101112131415161718191a1b", "000102030405060708090a0b0c0d0e0f10111213",
			"202122232425262728292a2b2c2d2e2f3031323334353637", "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951", 8},
		{"RFC 3610 §8 packet vector 1", "c0c1c2c3c4c5c6c7c8c9cacbcccdcecf", "00000003020100a0a1a2a3a4a5", "0001020304050607",
			"08090a0b0c0d0e0f101112131415161718191a1b1c1d1e", "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0", 8},
	} {
		t.Run(c.source, func(t *testing.T) {
			block, err := aes.NewCipher(unhex(t, c.key))
			if err != nil {
				t.Fatal(err)
			}
			sealed, aad := unhex(t, c.sealed), unhex(t, c.aad)
			open := func(sealed, aad []byte) ([]byte, bool) {
				b := bytes.Clone(sealed)
				n := len(b) - c.icvBytes
				ok := ccmOpen(block, unhex(t, c.nonce), b[:n], b[n:], aad)
				return b[:n], ok
			}
			if plain, ok := open(sealed, aad); !ok || !bytes.Equal(plain, unhex(t, c.plain)) {
				t.Errorf("opened %t as %x, want %s", ok, plain, c.plain)
			}
			for i := range sealed {
				changed := bytes.Clone(sealed)
				changed[i] ^= 1
				if _, ok := open(changed, aad); ok {
					t.Errorf("opened with octet %d changed", i)
				}
			}
			if _, ok := open(sealed, aad[1:]); ok {
				t.Error("opened with other associated data")
			}
		})
	}
}

// TestCCMWycheproof opens what Project Wycheproof says is valid, and nothing else.
func TestCCMWycheproof(t *testing.T) {
	for _, v := range vectors[aeadVector](t, "wycheproof_aes_ccm.json") {
		block, err := aes.NewCipher(v.Key)
		if err != nil {
			t.Fatal(err)
		}
		text := bytes.Clone(v.Cipher)
		ok := ccmOpen(block, v.Nonce, text, v.Tag, v.AAD)
		if ok != (v.Result == "valid") || ok && !bytes.Equal(text, v.Plain) {
			t.Errorf("%s, %s: opened %t as %x, want %x", v.Case, v.Result, ok, text, v.Plain)
		}
	}
}

// TestLegacyMACs computes the HMACs of RFC 2202 test cases 1 to 3, truncated, and
// whole for the 160- and 128-bit variants that RFC 4595 names.
func TestLegacyMACs(t *testing.T) {
	for _, c := range []struct {
		id        uint16
		key, data string
		sum       string
	}{
		{IntegHMACMD5_128, strings.Repeat("0b", 16), "4869205468657265", "9294727a3638bb1c13f48ef8158bfc9d"},
		{IntegHMACMD5_128, "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f", "750c783e6ab0b503eaa86e310a5db738"},
		{IntegHMACMD5_96, strings.Repeat("aa", 16), strings.Repeat("dd", 50), "56be34521d144c88dbb8c733"},
		{IntegHMACSHA1_160, strings.Repeat("0b", 20), "4869205468657265", "b617318655057264e28bc0b6fb378c8ef146be00"},
		{IntegHMACSHA1_160, strings.Repeat("aa", 20), strings.Repeat("dd", 50), "125d7342b9ac11cd91a39af48aa17b4f63f175d3"},
	} {
		o, err := NewOpener(OpenerConfig{
			Encr: Transform{Type: TransformENCR, ID: EncrNULL}, Integ: Transform{Type: TransformINTEG, ID: c.id}, IntegKey: unhex(t, c.key),
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", o.Sum(unhex(t, c.data))); got != c.sum {
			t.Errorf("%d over %s: %s, want %s", c.id, c.data, got, c.sum)
		}
	}
}

// TestOpenerAgreesWithCrypter opens what every Crypter seals, and gives the
// plaintext of a packet whose check value is wrong with the word that it is.
func TestOpenerAgreesWithCrypter(t *testing.T) {
	for _, names := range everyCrypter() {
		t.Run(names[0]+" "+names[1], func(t *testing.T) {
			c := newCrypter(t, names[0], names[1])
			e := transform(t, names[0])
			n, err := EncrKeyBytes(e)
			if err != nil {
				t.Fatal(err)
			}
			config := OpenerConfig{Encr: e, EncrKey: ramp(1, n)}
			if names[1] != "" {
				config.Integ = transform(t, names[1])
				m, err := IntegKeyBytes(config.Integ)
				if err != nil {
					t.Fatal(err)
				}
				config.IntegKey = ramp(100, m)
			}
			for _, bits := range []uint16{e.KeyBits, 0} { // the key's length says the same
				config.Encr.KeyBits = bits
				o, err := NewOpener(config)
				if err != nil {
					t.Fatal(err)
				}
				if o.Encr() != e || o.AEAD() != c.AEAD() || o.IVBytes() != c.IVBytes() || o.ICVBytes() != c.ICVBytes() || o.AlignBytes() != c.AlignBytes() || !o.Checks() {
					t.Fatalf("other lengths than the Crypter's: %+v", o)
				}
				plain := ramp(7, 5*c.AlignBytes())
				iv, aad := ramp(50, c.IVBytes()), ramp(60, 8)
				sealed := append(bytes.Clone(plain), make([]byte, c.ICVBytes())...)
				c.Seal(iv, sealed[:len(plain)], sealed[len(plain):], aad, nil)
				before := bytes.Clone(sealed)
				got, state := o.Open(nil, iv, sealed, aad, nil)
				if state != ICVGood || !bytes.Equal(got, plain) || !bytes.Equal(sealed, before) {
					t.Errorf("%v: %x, want %x", state, got, plain)
				}
				sealed[len(sealed)-1] ^= 1
				got, state = o.Open(got, iv, sealed, aad, nil)
				if state != ICVBad || !bytes.Equal(got, plain) {
					t.Errorf("damaged: %v: %x, want %x", state, got, plain)
				}
				if got, _ := o.Open(nil, iv, sealed[:c.ICVBytes()-1], aad, nil); got != nil {
					t.Errorf("a text of less than nothing opens as %x", got)
				}
			}
		})
	}
}

// TestLegacyCiphers opens what Go's own ciphers seal, with and without a check
// value that is checked.
func TestLegacyCiphers(t *testing.T) {
	plain, iv := ramp(9, 48), ramp(1, 8)
	key := ramp(33, 24)
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Clone(plain)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	macKey := ramp(5, 20)
	m := hmac.New(sha1.New, macKey)
	m.Write([]byte("aad"))
	m.Write(iv)
	m.Write(text)
	sealed := m.Sum(bytes.Clone(text))
	for _, c := range []struct {
		config OpenerConfig
		sealed []byte
		state  ICVState
	}{
		{OpenerConfig{Integ: Transform{Type: TransformINTEG, ID: IntegHMACSHA1_160}, IntegKey: macKey}, sealed, ICVGood},
		{OpenerConfig{Integ: Transform{Type: TransformINTEG, ID: IntegHMACSHA1_160}, IntegKey: macKey[1:]}, sealed, ICVBad},
		{OpenerConfig{UncheckedICVBytes: 20}, sealed, ICVUnchecked},
		{OpenerConfig{}, text, ICVUnchecked},
	} {
		c.config.Encr, c.config.EncrKey = Transform{Type: TransformENCR, ID: Encr3DES}, key
		o, err := NewOpener(c.config)
		if err != nil {
			t.Fatal(err)
		}
		if got, state := o.Open(nil, iv, c.sealed, []byte("aad"), nil); state != c.state || !bytes.Equal(got, plain) {
			t.Errorf("%v: %x, want %v: %x", state, got, c.state, plain)
		}
	}
}

// TestDESVector is the ciphertext of NIST SP 800-17 and of every DES paper since:
// key 0123456789abcdef, "Now is t" (FIPS 81 appendix C, CBC).
func TestDESVector(t *testing.T) {
	o, err := NewOpener(OpenerConfig{Encr: Transform{Type: TransformENCR, ID: EncrDES}, EncrKey: unhex(t, "0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := o.Open(nil, unhex(t, "1234567890abcdef"), unhex(t, "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6"), nil, nil)
	if string(got) != "Now is the time for all " {
		t.Errorf("opened as %q", got)
	}
}

// TestNegotiationRefusesLegacy: what only decoding knows cannot be proposed, has
// no key length in a negotiation, and makes no Crypter.
func TestNegotiationRefusesLegacy(t *testing.T) {
	for _, k := range legacyKeywords {
		if _, ok := transformOf(k.name); ok {
			t.Errorf("%s can be proposed", k.name)
		}
		if got, ok := RecordedTransform(k.name); !ok || got != k.t || RecordedName(k.t) != k.name {
			t.Errorf("%s is %v and called %s", k.name, got, RecordedName(k.t))
		}
		var err error
		if k.t.Type == TransformENCR {
			_, err = NewCrypter(k.t, Transform{Type: TransformINTEG, ID: IntegHMACSHA1_96}, make([]byte, 32), make([]byte, 20))
		} else {
			_, err = NewCrypter(Transform{Type: TransformENCR, ID: EncrAESCBC, KeyBits: 128}, k.t, make([]byte, 16), make([]byte, md5.Size))
		}
		if err == nil {
			t.Errorf("%s makes a Crypter", k.name)
		}
		keyword := k.name
		if k.t.Type == TransformENCR {
			keyword += "-sha256"
		} else {
			keyword = "aes128-" + keyword
		}
		if _, err := ParseProposals(ProtocolESP, keyword); err == nil {
			t.Errorf("the proposal %s is accepted", keyword)
		}
	}
}

// TestNewOpenerRefuses names algorithms that nobody knows and keys of a wrong length.
func TestNewOpenerRefuses(t *testing.T) {
	encr := func(id, bits uint16) Transform { return Transform{Type: TransformENCR, ID: id, KeyBits: bits} }
	for _, c := range []struct {
		config OpenerConfig
		says   string
	}{
		{OpenerConfig{}, "is not an encryption"},
		{OpenerConfig{Encr: encr(99, 0)}, "does not know the encryption"},
		{OpenerConfig{Encr: encr(EncrNULL, 0), Integ: Transform{Type: TransformINTEG, ID: 99}}, "does not know the integrity"},
		{OpenerConfig{Encr: encr(EncrNULL, 0), UncheckedICVBytes: 65}, "0 to 64"},
		{OpenerConfig{Encr: encr(EncrAESCBC, 128), EncrKey: make([]byte, 32)}, "aes128 does not take a key of 32"},
		{OpenerConfig{Encr: encr(EncrAESCBC, 0), EncrKey: make([]byte, 17)}, "aes does not take a key of 17"},
		{OpenerConfig{Encr: encr(EncrAESCTR, 0), EncrKey: make([]byte, 3)}, "key of 3"},
		{OpenerConfig{Encr: encr(EncrAESCTR, 128), EncrKey: make([]byte, 16)}, "key of 16"},
		{OpenerConfig{Encr: encr(EncrAESGCM16, 0), EncrKey: make([]byte, 16)}, "key of 16"},
		{OpenerConfig{Encr: encr(EncrAESCCM8, 0), EncrKey: make([]byte, 2)}, "key of 2"},
		{OpenerConfig{Encr: encr(EncrChaCha20Poly1305, 0), EncrKey: make([]byte, 32)}, "key of 32"},
		{OpenerConfig{Encr: encr(Encr3DES, 0), EncrKey: make([]byte, 16)}, "3des does not take a key of 16"},
		{OpenerConfig{Encr: encr(EncrCAST, 0), EncrKey: make([]byte, 5)}, "key of 5"},
	} {
		if _, err := NewOpener(c.config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.says)
		}
	}
}

// TestRecordedKeyBytes are the lengths of keys that follow from a key schedule.
func TestRecordedKeyBytes(t *testing.T) {
	for keywords, want := range map[string][2]int{
		"aes256gcm16 ": {36, 0}, "aes128 sha256": {16, 32}, "3des md5": {24, 16}, "null sha1_160": {0, 20}, "aes192ccm12 ": {27, 0},
		"aes128ctr sha512": {20, 64}, "cast128 sha1": {16, 20}, "aes192gmac ": {28, 0}, "chacha20poly1305 ": {36, 0}, "des md5_128": {8, 16},
	} {
		e, i, _ := strings.Cut(keywords, " ")
		encr, _ := RecordedTransform(e)
		integ, _ := RecordedTransform(i)
		encrBytes, integBytes, ok := RecordedKeyBytes(encr, integ)
		if !ok || encrBytes != want[0] || integBytes != want[1] {
			t.Errorf("%s: %d and %d, %t; want %v", keywords, encrBytes, integBytes, ok, want)
		}
	}
	if _, _, ok := RecordedKeyBytes(Transform{Type: TransformENCR, ID: 99}, Transform{}); ok {
		t.Error("an unknown algorithm has a key length")
	}
	if _, _, ok := RecordedKeyBytes(Transform{Type: TransformENCR, ID: EncrAESCCM8}, Transform{}); ok {
		t.Error("AES-CCM has a key length although none was negotiated")
	}
}
