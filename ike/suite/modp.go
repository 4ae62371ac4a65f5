package suite

import (
	"fmt"
	"io"
	"math/big"
)

// modp is a MODP group of RFC 3526 with its generator 2.
//
// Exponents have the length that RFC 3526 §8 gives for its second, higher
// estimate of each group's strength (320, 420, 480, 540 and 620 bits), rounded
// up to whole octets; RFC 7296 §5 asks for no less. math/big does not run in
// constant time, which a testbed whose exponents live for one run can accept.
type modp struct {
	p             *big.Int
	top           *big.Int // p - 1, the first value that is too large
	id            uint16
	publicBytes   int
	exponentBytes int
}

var modpGroups = []*modp{
	newModp(KEModp2048, modp2048Hex, 320),
	newModp(KEModp3072, modp3072Hex, 420),
	newModp(KEModp4096, modp4096Hex, 480),
	newModp(KEModp6144, modp6144Hex, 540),
	newModp(KEModp8192, modp8192Hex, 620),
}

var (
	bigOne = big.NewInt(1)
	bigTwo = big.NewInt(2)
)

func newModp(id uint16, hex string, exponentBits int) *modp {
	p, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		panic("suite: a prime is not hexadecimal")
	}
	return &modp{
		p:             p,
		top:           new(big.Int).Sub(p, bigOne),
		id:            id,
		publicBytes:   (p.BitLen() + 7) / 8,
		exponentBytes: (exponentBits + 7) / 8,
	}
}

// modpOf wants an ID that is in modpGroups.
func modpOf(id uint16) *modp {
	for _, g := range modpGroups {
		if g.id == id {
			return g
		}
	}
	panic(fmt.Sprintf("suite: no MODP group %d", id))
}

type modpPrivate struct {
	*modp
	x *big.Int
}

func (g *modp) ID() uint16              { return g.id }
func (g *modp) PublicBytes() (int, int) { return g.publicBytes, g.publicBytes }

func (g *modp) Initiate(rand io.Reader) ([]byte, KEPrivate, error) {
	b := make([]byte, g.exponentBytes)
	if _, err := io.ReadFull(rand, b); err != nil {
		return nil, nil, randError(g.id, err)
	}
	// The top bit fixes the exponent's length, so that no draw is a weak one and
	// every draw is used.
	b[0] |= 0x80
	x := new(big.Int).SetBytes(b)
	y := new(big.Int).Exp(bigTwo, x, g.p)
	return y.FillBytes(make([]byte, g.publicBytes)), modpPrivate{g, x}, nil
}

func (g *modp) Respond(rand io.Reader, peer []byte) ([]byte, []byte, error) {
	if _, err := g.public(peer); err != nil { // before the costly part
		return nil, nil, err
	}
	return respond(g, rand, peer)
}

// Finish gives the secret with leading zeros up to the prime's length, as
// RFC 7296 §2.14 wants it.
func (p modpPrivate) Finish(peer []byte) ([]byte, error) {
	y, err := p.public(peer)
	if err != nil {
		return nil, err
	}
	return y.Exp(y, p.x, p.p).FillBytes(make([]byte, p.publicBytes)), nil
}

// public is a peer's value, checked as RFC 6989 §2.1 asks for groups whose
// (p-1)/2 is prime: 1 < y < p-1. Its length is the prime's (RFC 7296 §3.4).
func (g *modp) public(peer []byte) (*big.Int, error) {
	t := Transform{Type: TransformKE, ID: g.id}
	if len(peer) != g.publicBytes {
		return nil, fmt.Errorf("%w for %v: %d octets, not %d", ErrPublic, t, len(peer), g.publicBytes)
	}
	y := new(big.Int).SetBytes(peer)
	if y.Cmp(bigOne) <= 0 || y.Cmp(g.top) >= 0 {
		return nil, fmt.Errorf("%w for %v: not between 1 and p-1", ErrPublic, t)
	}
	return y, nil
}
