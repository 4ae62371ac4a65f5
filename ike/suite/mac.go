package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha512"
	"crypto/subtle"
	"hash"
)

// truncatedMAC is an HMAC integrity algorithm with its key: the leading half of
// the hash, or 96 bits with SHA-1 (RFC 2404, RFC 4868 §2.1).
type truncatedMAC struct {
	h        hash.Hash
	icvBytes int
	sum      [sha512.Size]byte // here so that a sum does not escape to the heap
}

// newTruncatedMAC wants a transform ID that IntegKeyBytes knows.
func newTruncatedMAC(id uint16, key []byte) truncatedMAC {
	prf, icvBytes := PRFHMACSHA1, 12
	switch id {
	case IntegHMACSHA256_128:
		prf, icvBytes = PRFHMACSHA256, 16
	case IntegHMACSHA384_192:
		prf, icvBytes = PRFHMACSHA384, 24
	case IntegHMACSHA512_256:
		prf, icvBytes = PRFHMACSHA512, 32
	}
	newHash, _, _ := hmacOf(prf)
	m := truncatedMAC{h: hmac.New(newHash, key), icvBytes: icvBytes}
	m.h.Reset() // the first Reset saves the keyed state and allocates for it
	return m
}

// of is the check value over the parts; it is valid until the next call.
func (m *truncatedMAC) of(aad, iv, text, tail []byte) []byte {
	m.h.Reset()
	m.h.Write(aad)
	m.h.Write(iv)
	m.h.Write(text)
	m.h.Write(tail)
	return m.h.Sum(m.sum[:0])[:m.icvBytes]
}

// blockMode is CBC with a chaining value that can be set, which Go's AES has.
type blockMode interface {
	cipher.BlockMode
	SetIV(iv []byte)
}

// cbc is AES-CBC (RFC 3602) with HMAC over the ciphertext.
type cbc struct {
	mac     truncatedMAC
	encrypt blockMode
	decrypt blockMode
}

func newCBC(key []byte, mac truncatedMAC) (Crypter, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var zero [aesBlockBytes]byte
	return &cbc{
		mac:     mac,
		encrypt: cipher.NewCBCEncrypter(block, zero[:]).(blockMode),
		decrypt: cipher.NewCBCDecrypter(block, zero[:]).(blockMode),
	}, nil
}

func (c *cbc) AEAD() bool      { return false }
func (c *cbc) IVBytes() int    { return aesBlockBytes }
func (c *cbc) ICVBytes() int   { return c.mac.icvBytes }
func (c *cbc) AlignBytes() int { return aesBlockBytes }

func (c *cbc) Seal(iv, text, icv, aad, tail []byte) {
	checkSeal(c, iv, text, icv, tail)
	c.encrypt.SetIV(iv)
	c.encrypt.CryptBlocks(text, text)
	copy(icv, c.mac.of(aad, iv, text, tail))
}

func (c *cbc) Open(iv, text, icv, aad, tail []byte) error {
	if !openable(c, iv, text, icv, tail) || subtle.ConstantTimeCompare(c.mac.of(aad, iv, text, tail), icv) != 1 {
		return ErrIntegrity
	}
	c.decrypt.SetIV(iv)
	c.decrypt.CryptBlocks(text, text)
	return nil
}

const ctrIVBytes = 8

// ctr is AES-CTR (RFC 3686) with HMAC over the ciphertext. Go's counter mode
// cannot be given another IV and would cost an allocation per packet. Its GCM
// can: it encrypts with the same counter blocks, nonce | IV | counter, but from
// counter 2 on. So the first block of a text, counter 1, is made here and GCM
// does the others, with a tag that nobody wants. On 1400 octets that is several
// times faster than making every block here.
type ctr struct {
	mac     truncatedMAC
	block   cipher.Block
	others  cipher.AEAD
	scratch []byte
	counter [aesBlockBytes]byte // nonce | IV | 1
	first   [aesBlockBytes]byte
}

func newCTR(keyAndNonce []byte, mac truncatedMAC) (Crypter, error) {
	split := len(keyAndNonce) - ctrNonceBytes
	block, err := aes.NewCipher(keyAndNonce[:split])
	if err != nil {
		return nil, err
	}
	others, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	c := &ctr{mac: mac, block: block, others: others}
	copy(c.counter[:], keyAndNonce[split:])
	c.counter[aesBlockBytes-1] = 1
	return c, nil
}

func (c *ctr) AEAD() bool      { return false }
func (c *ctr) IVBytes() int    { return ctrIVBytes }
func (c *ctr) ICVBytes() int   { return c.mac.icvBytes }
func (c *ctr) AlignBytes() int { return 1 }

// xor applies the key stream of iv to text.
func (c *ctr) xor(iv, text []byte) {
	copy(c.counter[ctrNonceBytes:], iv)
	c.block.Encrypt(c.first[:], c.counter[:])
	n := subtle.XORBytes(text, text, c.first[:])
	rest := text[n:]
	if len(rest) == 0 {
		return
	}
	c.scratch = room(c.scratch, len(rest)+aeadTagBytes)
	c.others.Seal(c.scratch[:0], c.counter[:aeadNonceBytes], rest, nil)
	copy(rest, c.scratch)
}

func (c *ctr) Seal(iv, text, icv, aad, tail []byte) {
	checkSeal(c, iv, text, icv, tail)
	c.xor(iv, text)
	copy(icv, c.mac.of(aad, iv, text, tail))
}

func (c *ctr) Open(iv, text, icv, aad, tail []byte) error {
	if !openable(c, iv, text, icv, tail) || subtle.ConstantTimeCompare(c.mac.of(aad, iv, text, tail), icv) != 1 {
		return ErrIntegrity
	}
	c.xor(iv, text)
	return nil
}
