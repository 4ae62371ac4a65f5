package suite

import (
	"crypto/cipher"
	"crypto/subtle"
)

// gmac is ENCR_NULL_AUTH_AES_GMAC (RFC 4543), for opening only: the text is in
// clear, and everything is associated data.
type gmac struct {
	aead    cipher.AEAD
	nonce   [aeadNonceBytes]byte
	covered []byte
	tag     [aeadTagBytes]byte
}

func newGMAC(block cipher.Block, salt []byte) (*gmac, error) {
	a, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	g := &gmac{aead: a}
	copy(g.nonce[:], salt)
	return g, nil
}

// check reports whether icv fits aad, iv and text (RFC 4543 §3.3).
func (g *gmac) check(iv, text, icv, aad []byte) bool {
	copy(g.nonce[gcmSaltBytes:], iv)
	g.covered = append(append(append(g.covered[:0], aad...), iv...), text...)
	tag := g.aead.Seal(g.tag[:0], g.nonce[:], nil, g.covered)
	return subtle.ConstantTimeCompare(tag, icv) == 1
}
