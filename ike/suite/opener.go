package suite

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"

	"golang.org/x/crypto/blowfish" //nolint:staticcheck // recorded packets are not made safer by refusing to read them
	"golang.org/x/crypto/cast5"    //nolint:staticcheck // as above
	"golang.org/x/crypto/chacha20"
)

// ICVState is what is known of a recorded packet's integrity check value.
type ICVState uint8

// The states.
const (
	ICVUnchecked ICVState = iota // no key, or an algorithm that is not known
	ICVGood
	ICVBad
)

// String is "unchecked", "ok" or "bad".
func (s ICVState) String() string {
	switch s {
	case ICVGood:
		return "ok"
	case ICVBad:
		return "bad"
	}
	return "unchecked"
}

// OpenerConfig says how one direction of a recorded SA was protected.
type OpenerConfig struct {
	// Encr is the encryption. Where its KeyBits are 0 the key's length decides.
	Encr Transform
	// Integ is the integrity; the zero value with an AEAD and for none.
	Integ Transform
	// EncrKey has its salt last, as [NewCrypter] takes it.
	EncrKey []byte
	// IntegKey may have any length: HMAC takes all, and recordings have odd ones.
	IntegKey []byte
	// UncheckedICVBytes is the length of a check value whose algorithm or key is
	// not known. It is used where Integ is none, and never with an AEAD.
	UncheckedICVBytes int
}

// Opener reads what was recorded. Unlike a [Crypter] it knows algorithms that
// negotiation refuses, works without integrity or with one that it cannot
// check, and gives the plaintext of packets whose check value is wrong, which
// the caller must mark. Nothing but decoding may use it: it accepts nothing
// from a peer. It holds scratch memory and is not safe for concurrent use.
type Opener struct {
	aead       Crypter // nil where encryption and integrity are two algorithms, for CCM and for GMAC
	ccm        *ccm
	gmac       *gmac
	mac        *truncatedMAC // nil where nothing can be checked
	decrypt    func(iv, text []byte)
	encr       Transform
	ivBytes    int
	icvBytes   int
	alignBytes int
}

// Encr is the encryption, with the key length where the algorithm has some.
func (o *Opener) Encr() Transform { return o.encr }

// AEAD reports whether encryption and integrity are one algorithm, so that a
// 64-bit sequence number belongs into the associated data (RFC 4106 §5).
func (o *Opener) AEAD() bool { return o.aead != nil || o.ccm != nil || o.gmac != nil }

// Checks reports whether check values are compared.
func (o *Opener) Checks() bool { return o.AEAD() || o.mac != nil }

// IVBytes is the length of the IV that a packet carries, in octets.
func (o *Opener) IVBytes() int { return o.ivBytes }

// ICVBytes is the length of the check value, in octets.
func (o *Opener) ICVBytes() int { return o.icvBytes }

// AlignBytes divides the length of every text.
func (o *Opener) AlignBytes() int { return o.alignBytes }

// Open decrypts sealed, a text with its check value behind it, into dst, which
// is overwritten from its start, grows as needed and must not overlap sealed.
// aad and tail are those of [Crypter.Open]. The plaintext comes with every
// state; nil says that the lengths cannot be right.
func (o *Opener) Open(dst, iv, sealed, aad, tail []byte) ([]byte, ICVState) {
	n := len(sealed) - o.icvBytes
	if n < 0 || len(iv) != o.ivBytes || n%o.alignBytes != 0 {
		return nil, ICVUnchecked
	}
	dst = append(dst[:0], sealed...)
	text, icv := dst[:n], dst[n:]
	state := ICVUnchecked
	switch {
	case o.aead != nil:
		if o.aead.Open(iv, text, icv, aad, tail) == nil {
			return text, ICVGood
		}
		state = ICVBad
		copy(text, sealed) // a failed Open leaves zeros
	case o.ccm != nil:
		state = ICVBad
		if o.ccm.open(iv, text, icv, aad) {
			state = ICVGood
		}
		return text, state
	case o.gmac != nil:
		state = ICVBad
		if o.gmac.check(iv, text, icv, aad) {
			state = ICVGood
		}
		return text, state
	case o.mac != nil:
		state = ICVBad
		if subtle.ConstantTimeCompare(o.mac.of(aad, iv, text, tail), icv) == 1 {
			state = ICVGood
		}
	}
	o.decrypt(iv, text)
	return text, state
}

// Sum is the integrity algorithm's check value over the parts, nil where there
// is none or the encryption brings its own. It is valid until the next call.
func (o *Opener) Sum(parts ...[]byte) []byte {
	if o.mac == nil {
		return nil
	}
	o.mac.h.Reset()
	for _, p := range parts {
		o.mac.h.Write(p)
	}
	return o.mac.h.Sum(o.mac.sum[:0])[:o.mac.icvBytes]
}

// NewOpener makes an Opener. It fails for an algorithm that decoding does not
// know and for a key whose length the algorithm does not have.
func NewOpener(c OpenerConfig) (*Opener, error) {
	o := &Opener{encr: c.Encr}
	if c.Encr.Type != TransformENCR {
		return nil, fmt.Errorf("suite: %v is not an encryption algorithm", c.Encr)
	}
	if recordedAEAD(c.Encr) {
		return o, o.withAEAD(c)
	}
	if c.Integ.ID != IntegNone {
		newHash, icvBytes, _, ok := macOf(c.Integ.ID)
		if !ok || c.Integ.Type != TransformINTEG {
			return nil, fmt.Errorf("suite: decoding does not know the integrity algorithm %v", c.Integ)
		}
		o.mac = &truncatedMAC{h: hmac.New(newHash, c.IntegKey), icvBytes: icvBytes}
		o.icvBytes = icvBytes
	} else if o.icvBytes = c.UncheckedICVBytes; o.icvBytes < 0 || o.icvBytes > sha512.Size {
		return nil, fmt.Errorf("suite: an integrity check value of %d octets; 0 to %d are possible", o.icvBytes, sha512.Size)
	}
	return o, o.withCipher(c)
}

// withAEAD takes an encryption that checks integrity itself.
func (o *Opener) withAEAD(c OpenerConfig) error {
	t := c.Encr
	salt := gcmSaltBytes
	switch t.ID {
	case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16:
		salt = ccmSaltBytes
	case EncrChaCha20Poly1305:
		t.KeyBits = 0
	}
	split := len(c.EncrKey) - salt
	if split < 0 || t.KeyBits != 0 && int(t.KeyBits) != split*8 {
		return keyLengthError(c)
	}
	key, nonce := c.EncrKey[:split], c.EncrKey[split:]
	if t.ID == EncrChaCha20Poly1305 {
		if split != chachaKeyBytes {
			return keyLengthError(c)
		}
		o.decrypt = func(iv, text []byte) {
			s, err := chacha20.NewUnauthenticatedCipher(key, append(append(make([]byte, 0, chacha20.NonceSize), nonce...), iv...))
			if err == nil {
				s.SetCounter(1) // RFC 8439 §2.8: block 0 makes the authenticator's key
				s.XORKeyStream(text, text)
			}
		}
	} else {
		block, err := aes.NewCipher(key)
		if err != nil {
			return keyLengthError(c)
		}
		t.KeyBits = uint16(split * 8)
		o.encr = t
		if salt == ccmSaltBytes {
			o.ccm = newCCM(block, nonce, ccmICVBytes(t.ID))
			o.ivBytes, o.icvBytes, o.alignBytes = ccmIVBytes, o.ccm.icvBytes, 1
			return nil
		}
		if t.ID == EncrAESGMAC {
			if o.gmac, err = newGMAC(block, nonce); err != nil {
				return err
			}
			o.ivBytes, o.icvBytes, o.alignBytes = aeadIVBytes, aeadTagBytes, 1
			return nil
		}
		o.decrypt = func(iv, text []byte) {
			// NIST SP 800-38D §7.1: the text begins at counter 2.
			counter := append(append(make([]byte, 0, aesBlockBytes), nonce...), iv...)
			cipher.NewCTR(block, append(counter, 0, 0, 0, 2)).XORKeyStream(text, text)
		}
	}
	crypter, err := newAEAD(t, c.EncrKey)
	if err != nil {
		return err
	}
	o.aead = crypter
	o.ivBytes, o.icvBytes, o.alignBytes = crypter.IVBytes(), crypter.ICVBytes(), crypter.AlignBytes()
	return nil
}

// withCipher takes an encryption beside which integrity stands.
func (o *Opener) withCipher(c OpenerConfig) error {
	key := c.EncrKey
	if bits := int(c.Encr.KeyBits); bits != 0 && c.Encr.ID != EncrAESCTR && bits != len(key)*8 {
		return keyLengthError(c)
	}
	var block cipher.Block
	var err error
	switch c.Encr.ID {
	case EncrNULL:
		o.alignBytes = 1
		o.decrypt = func(iv, text []byte) {}
		return nil
	case EncrAESCTR:
		split := len(key) - ctrNonceBytes
		if split < 0 || c.Encr.KeyBits != 0 && int(c.Encr.KeyBits) != split*8 {
			return keyLengthError(c)
		}
		crypter, err := newCTR(key, truncatedMAC{})
		if err != nil {
			return keyLengthError(c)
		}
		stream := crypter.(*ctr) // its integrity is the Opener's matter
		o.encr.KeyBits = uint16(split * 8)
		o.ivBytes, o.alignBytes, o.decrypt = ctrIVBytes, 1, stream.xor
		return nil
	case EncrAESCBC:
		block, err = aes.NewCipher(key)
		o.encr.KeyBits = uint16(len(key) * 8)
	case EncrDES:
		block, err = des.NewCipher(key)
	case Encr3DES:
		block, err = des.NewTripleDESCipher(key)
	case EncrCAST:
		if len(key) != cast5.KeySize {
			return keyLengthError(c) // RFC 2144 §2.5 has shorter ones, which nobody uses
		}
		block, err = cast5.NewCipher(key)
	case EncrBlowfish:
		block, err = blowfish.NewCipher(key)
		o.encr.KeyBits = uint16(len(key) * 8)
	default:
		return fmt.Errorf("suite: decoding does not know the encryption algorithm %v", c.Encr)
	}
	if err != nil {
		return keyLengthError(c)
	}
	mode, ok := cipher.NewCBCDecrypter(block, make([]byte, block.BlockSize())).(blockMode)
	if !ok {
		return fmt.Errorf("suite: %s cannot be chained", RecordedName(c.Encr))
	}
	o.ivBytes, o.alignBytes = block.BlockSize(), block.BlockSize()
	o.decrypt = func(iv, text []byte) {
		mode.SetIV(iv)
		mode.CryptBlocks(text, text)
	}
	return nil
}

func keyLengthError(c OpenerConfig) error {
	return fmt.Errorf("suite: %s does not take a key of %d octets", RecordedName(c.Encr), len(c.EncrKey))
}

// recordedAEAD is [Transform.AEAD] for what decoding knows.
func recordedAEAD(t Transform) bool {
	return t.AEAD() || t.Type == TransformENCR && (ccmICVBytes(t.ID) != 0 || t.ID == EncrAESGMAC)
}

// macOf is the HMAC behind an integrity transform: its hash, and the lengths of
// its check value and of its negotiated key in octets.
func macOf(id uint16) (newHash func() hash.Hash, icvBytes, keyBytes int, ok bool) {
	switch id {
	case IntegHMACMD5_96:
		return md5.New, 12, md5.Size, true
	case IntegHMACMD5_128:
		return md5.New, 16, md5.Size, true
	case IntegHMACSHA1_96:
		return sha1.New, 12, sha1.Size, true
	case IntegHMACSHA1_160:
		return sha1.New, 20, sha1.Size, true
	case IntegHMACSHA256_96:
		return sha256.New, 12, sha256.Size, true
	case IntegHMACSHA256_128:
		return sha256.New, 16, sha256.Size, true
	case IntegHMACSHA384_192:
		return sha512.New384, 24, sha512.Size384, true
	case IntegHMACSHA512_256:
		return sha512.New, 32, sha512.Size, true
	}
	return nil, 0, 0, false
}
