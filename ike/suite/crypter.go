package suite

import (
	"crypto/aes"
	"errors"
	"fmt"
)

// ErrIntegrity says that an integrity check value does not fit the packet:
// wrong key, changed octets or changed header.
var ErrIntegrity = errors.New("suite: integrity check failed")

// Salts that key material carries behind the key proper, in octets.
const (
	gcmSaltBytes    = 4 // RFC 4106 §8.1
	ctrNonceBytes   = 4 // RFC 3686 §5.1
	chachaSaltBytes = 4 // RFC 7634 §2
	chachaKeyBytes  = 32
)

// Crypter protects the payloads of one direction of one SA: encryption and
// integrity together, in place, without allocating. It holds scratch memory and
// is not safe for concurrent use.
//
// A caller lays out iv, text and icv as the packet has them. Text that the icv
// follows directly in the same array is the fast case; any other layout works,
// as long as the slices do not overlap.
type Crypter interface {
	// AEAD reports whether encryption and integrity are one algorithm.
	AEAD() bool
	// IVBytes is the length of the explicit IV that a packet carries, in octets.
	IVBytes() int
	// ICVBytes is the length of the integrity check value, in octets.
	ICVBytes() int
	// AlignBytes divides the length of every text: 16 with CBC, else 1. ESP's own
	// alignment to 4 octets (RFC 4303 §2.4) is ESP's matter.
	AlignBytes() int
	// Seal encrypts text in place and writes the check value to icv. An AEAD
	// authenticates aad and the ciphertext (RFC 5282 §5.1, RFC 4106 §5); tail must
	// be empty then, since ESP puts a 64-bit sequence number into aad. Otherwise
	// the check value covers aad | iv | ciphertext | tail, where tail is the high
	// half of a sequence number that is not sent (RFC 4303 §2.2.1). Using one IV
	// twice under a key is the caller's to prevent. Seal panics when a length is
	// not what the methods above say: that is a mistake in the caller, never in a
	// packet.
	Seal(iv, text, icv, aad, tail []byte)
	// Open checks icv in constant time and decrypts text in place. On
	// [ErrIntegrity] text holds what was received or zeros, never plaintext. Text
	// whose length AlignBytes does not divide, and an iv or icv of the wrong
	// length, are ErrIntegrity too: they come from the wire.
	Open(iv, text, icv, aad, tail []byte) error
}

// NewCrypter makes the Crypter of an encryption and an integrity transform.
// integ is the zero Transform (or NONE) and integKey empty with an AEAD.
// encrKey has [EncrKeyBytes] octets, salt last; integKey has [IntegKeyBytes].
// It fails for transforms that are not implemented, keys of the wrong length,
// an AEAD with integrity, and encryption that lacks it.
func NewCrypter(encr, integ Transform, encrKey, integKey []byte) (Crypter, error) {
	want, err := EncrKeyBytes(encr)
	if err != nil {
		return nil, err
	}
	if len(encrKey) != want {
		return nil, fmt.Errorf("suite: %v takes a key of %d octets with its salt, not %d", encr, want, len(encrKey))
	}
	if encr.AEAD() {
		if integ.ID != IntegNone || len(integKey) != 0 {
			return nil, fmt.Errorf("suite: %v checks integrity itself; give no integrity transform beside it", encr)
		}
		return newAEAD(encr, encrKey)
	}
	want, err = IntegKeyBytes(integ)
	if err != nil {
		return nil, fmt.Errorf("%w, which %v needs beside it", err, encr)
	}
	if len(integKey) != want {
		return nil, fmt.Errorf("suite: %v takes a key of %d octets, not %d", integ, want, len(integKey))
	}
	mac := newTruncatedMAC(integ.ID, integKey)
	if encr.ID == EncrAESCTR {
		return newCTR(encrKey, mac)
	}
	return newCBC(encrKey, mac)
}

// EncrKeyBytes is how much key material an encryption transform takes in
// octets, salt included. It fails for one that is not implemented and for a key
// length that the algorithm does not have.
func EncrKeyBytes(t Transform) (int, error) {
	salt := 0
	switch t.ID {
	case EncrAESCBC:
	case EncrAESCTR:
		salt = ctrNonceBytes
	case EncrAESGCM8, EncrAESGCM12, EncrAESGCM16:
		salt = gcmSaltBytes
	case EncrChaCha20Poly1305:
		if t.Type == TransformENCR && t.KeyBits == 0 {
			return chachaKeyBytes + chachaSaltBytes, nil
		}
	}
	aesKey := t.KeyBits == 128 || t.KeyBits == 192 || t.KeyBits == 256
	if _, ok := keywordOf(t); !ok || t.Type != TransformENCR || !aesKey {
		return 0, fmt.Errorf("suite: %v is not an implemented encryption algorithm", t)
	}
	return int(t.KeyBits)/8 + salt, nil
}

// IntegKeyBytes is how much key material an integrity transform takes in
// octets: the size of its hash (RFC 2404, RFC 4868 §2.1.1). It fails for one
// that is not implemented.
func IntegKeyBytes(t Transform) (int, error) {
	if t.Type == TransformINTEG {
		switch t.ID {
		case IntegHMACSHA1_96:
			return 20, nil
		case IntegHMACSHA256_128:
			return 32, nil
		case IntegHMACSHA384_192:
			return 48, nil
		case IntegHMACSHA512_256:
			return 64, nil
		}
	}
	return 0, fmt.Errorf("suite: %v is not an implemented integrity algorithm", t)
}

// checkSeal panics when a caller's slices do not have the lengths that it was
// told to give them.
func checkSeal(c Crypter, iv, text, icv, tail []byte) {
	switch {
	case len(iv) != c.IVBytes():
		panic(fmt.Sprintf("suite: Seal with an IV of %d octets, not %d", len(iv), c.IVBytes()))
	case len(icv) != c.ICVBytes():
		panic(fmt.Sprintf("suite: Seal with room for %d octets of check value, not %d", len(icv), c.ICVBytes()))
	case len(text)%c.AlignBytes() != 0:
		panic(fmt.Sprintf("suite: Seal with a text of %d octets, not a multiple of %d", len(text), c.AlignBytes()))
	case c.AEAD() && len(tail) != 0:
		panic("suite: Seal with a tail and an AEAD; its sequence number belongs into aad")
	}
}

// openable reports whether the slices of a received packet have usable lengths.
func openable(c Crypter, iv, text, icv, tail []byte) bool {
	return len(iv) == c.IVBytes() && len(icv) == c.ICVBytes() && len(text)%c.AlignBytes() == 0 &&
		!(c.AEAD() && len(tail) != 0)
}

// adjacent reports whether icv follows text directly in memory, so that both
// can be handed to the cipher as one slice.
func adjacent(text, icv []byte) bool {
	n := len(text)
	return len(icv) > 0 && cap(text) >= n+len(icv) && &text[: n+1 : n+1][n] == &icv[0]
}

const aesBlockBytes = aes.BlockSize
