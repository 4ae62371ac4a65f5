package suite

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
)

// prfPlusBlocksMax bounds prf+: its block counter is one octet (RFC 7296 §2.13).
const prfPlusBlocksMax = 255

// PRF is a pseudorandom function of RFC 7296 §2.13. It keeps no state and no
// key; it is safe for concurrent use.
type PRF interface {
	// ID is the transform ID, e.g. [PRFHMACSHA256].
	ID() uint16
	// KeyBytes is the preferred key length in octets: that of SK_d, SK_pi and SK_pr.
	KeyBytes() int
	// SumBytes is the length of an output in octets.
	SumBytes() int
	// Sum appends prf(key, data₁ | data₂ | …) to dst.
	Sum(dst, key []byte, data ...[]byte) []byte
	// Plus is the first n octets of prf+(key, seed) (RFC 7296 §2.13). It fails
	// when n is negative or needs more than 255 blocks.
	Plus(key, seed []byte, n int) ([]byte, error)
}

// NewPRF is the pseudorandom function with the given transform ID. It fails,
// naming the ID, for one that is not implemented.
func NewPRF(id uint16) (PRF, error) {
	h, n, ok := hmacOf(id)
	if !ok {
		return nil, fmt.Errorf("suite: %v is not an implemented pseudorandom function; there are prfsha1, prfsha256, prfsha384 and prfsha512",
			Transform{Type: TransformPRF, ID: id})
	}
	return hmacPRF{id: id, new: h, sumBytes: n}, nil
}

// hmacOf is the hash behind an HMAC pseudorandom function, and its size in octets.
func hmacOf(id uint16) (func() hash.Hash, int, bool) {
	switch id {
	case PRFHMACSHA1:
		return sha1.New, sha1.Size, true
	case PRFHMACSHA256:
		return sha256.New, sha256.Size, true
	case PRFHMACSHA384:
		return sha512.New384, sha512.Size384, true
	case PRFHMACSHA512:
		return sha512.New, sha512.Size, true
	}
	return nil, 0, false
}

// hmacPRF is HMAC as a pseudorandom function. Its keys may have any length, so
// nonces and shared secrets are used whole (RFC 7296 §2.14).
type hmacPRF struct {
	new      func() hash.Hash
	sumBytes int
	id       uint16
}

func (p hmacPRF) ID() uint16    { return p.id }
func (p hmacPRF) KeyBytes() int { return p.sumBytes }
func (p hmacPRF) SumBytes() int { return p.sumBytes }

func (p hmacPRF) Sum(dst, key []byte, data ...[]byte) []byte {
	m := hmac.New(p.new, key)
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(dst)
}

func (p hmacPRF) Plus(key, seed []byte, n int) ([]byte, error) {
	if most := prfPlusBlocksMax * p.sumBytes; n < 0 || n > most {
		return nil, fmt.Errorf("suite: prf+ with %v gives 0 to %d octets, not %d (RFC 7296 §2.13)",
			Transform{Type: TransformPRF, ID: p.id}, most, n)
	}
	m := hmac.New(p.new, key)
	out := make([]byte, 0, (n+p.sumBytes-1)/p.sumBytes*p.sumBytes)
	var last []byte
	for block := byte(1); len(out) < n; block++ {
		m.Reset()
		m.Write(last)
		m.Write(seed)
		m.Write([]byte{block})
		at := len(out)
		out = m.Sum(out)
		last = out[at:]
	}
	return out[:n:n], nil
}
