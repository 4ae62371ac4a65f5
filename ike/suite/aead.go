package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	aeadIVBytes    = 8  // explicit IV of RFC 4106 §3.1 and RFC 7634 §2
	aeadNonceBytes = 12 // salt | IV
	aeadTagBytes   = 16 // what the ciphers compute before truncation
)

// newAEAD makes an AEAD from a key with its salt behind it.
func newAEAD(t Transform, keyAndSalt []byte) (Crypter, error) {
	split := len(keyAndSalt) - gcmSaltBytes // the same for GCM and ChaCha20
	key, salt := keyAndSalt[:split], keyAndSalt[split:]
	if t.ID == EncrChaCha20Poly1305 {
		a, err := chacha20poly1305.New(key)
		if err != nil {
			return nil, err
		}
		return newWholeTag(a, salt), nil
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	switch t.ID {
	case EncrAESGCM8:
		return newTruncatedGCM(a, salt, 8), nil
	case EncrAESGCM12:
		return newTruncatedGCM(a, salt, 12), nil
	}
	return newWholeTag(a, salt), nil
}

// wholeTag is an AEAD whose cipher makes tags of the length that is sent.
type wholeTag struct {
	aead    cipher.AEAD
	scratch []byte // for a packet whose tag does not follow its text
	nonce   [aeadNonceBytes]byte
}

func newWholeTag(a cipher.AEAD, salt []byte) *wholeTag {
	c := &wholeTag{aead: a}
	copy(c.nonce[:], salt)
	return c
}

func (c *wholeTag) AEAD() bool      { return true }
func (c *wholeTag) IVBytes() int    { return aeadIVBytes }
func (c *wholeTag) ICVBytes() int   { return c.aead.Overhead() }
func (c *wholeTag) AlignBytes() int { return 1 }

func (c *wholeTag) Seal(iv, text, icv, aad, tail []byte) {
	checkSeal(c, iv, text, icv, tail)
	copy(c.nonce[gcmSaltBytes:], iv)
	n := len(text)
	if adjacent(text, icv) {
		c.aead.Seal(text[:0:n+len(icv)], c.nonce[:], text, aad)
		return
	}
	c.scratch = room(c.scratch, n+len(icv))
	c.aead.Seal(c.scratch[:0], c.nonce[:], text, aad)
	copy(text, c.scratch[:n])
	copy(icv, c.scratch[n:n+len(icv)])
}

func (c *wholeTag) Open(iv, text, icv, aad, tail []byte) error {
	if !openable(c, iv, text, icv, tail) {
		return ErrIntegrity
	}
	copy(c.nonce[gcmSaltBytes:], iv)
	n := len(text)
	var sealed []byte
	if adjacent(text, icv) {
		sealed = text[:n+len(icv)]
	} else {
		c.scratch = room(c.scratch, n+len(icv))
		sealed = c.scratch[:n+len(icv)]
		copy(sealed, text)
		copy(sealed[n:], icv)
	}
	plain, err := c.aead.Open(sealed[:0], c.nonce[:], sealed, aad)
	if err != nil {
		return ErrIntegrity
	}
	if len(plain) > 0 && &plain[0] != &text[0] {
		copy(text, plain)
	}
	return nil
}

// truncatedGCM is AES-GCM with a tag of 8 or 12 octets. Go's GCM does not go
// below 12, and with 12 its assembly writes past a text that does not fill its
// last block, over what follows the tag. So both directions work on the whole
// tag in scratch memory: Seal truncates it; Open makes it again from the
// plaintext and compares its leading octets. The plaintext comes from the
// cipher itself: in counter mode sealing a ciphertext gives the plaintext back,
// beside a tag that nobody wants. That costs Open a second pass and keeps the
// speed of AES instructions.
type truncatedGCM struct {
	aead     cipher.AEAD
	plain    []byte
	sealed   []byte
	icvBytes int
	nonce    [aeadNonceBytes]byte
}

func newTruncatedGCM(a cipher.AEAD, salt []byte, icvBytes int) *truncatedGCM {
	c := &truncatedGCM{aead: a, icvBytes: icvBytes}
	copy(c.nonce[:], salt)
	return c
}

func (c *truncatedGCM) AEAD() bool      { return true }
func (c *truncatedGCM) IVBytes() int    { return aeadIVBytes }
func (c *truncatedGCM) ICVBytes() int   { return c.icvBytes }
func (c *truncatedGCM) AlignBytes() int { return 1 }

func (c *truncatedGCM) Seal(iv, text, icv, aad, tail []byte) {
	checkSeal(c, iv, text, icv, tail)
	copy(c.nonce[gcmSaltBytes:], iv)
	n := len(text)
	c.sealed = room(c.sealed, n+aeadTagBytes)
	c.aead.Seal(c.sealed[:0], c.nonce[:], text, aad)
	copy(text, c.sealed[:n])
	copy(icv, c.sealed[n:n+c.icvBytes])
}

func (c *truncatedGCM) Open(iv, text, icv, aad, tail []byte) error {
	if !openable(c, iv, text, icv, tail) {
		return ErrIntegrity
	}
	copy(c.nonce[gcmSaltBytes:], iv)
	n := len(text)
	c.plain = room(c.plain, n+aeadTagBytes)
	c.sealed = room(c.sealed, n+aeadTagBytes)
	plain := c.aead.Seal(c.plain[:0], c.nonce[:], text, nil)[:n]
	tag := c.aead.Seal(c.sealed[:0], c.nonce[:], plain, aad)[n:]
	if subtle.ConstantTimeCompare(tag[:c.icvBytes], icv) != 1 {
		return ErrIntegrity
	}
	copy(text, plain)
	return nil
}

// room is b with at least n octets, reusing its memory when it has them.
func room(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
