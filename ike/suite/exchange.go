package suite

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"io"
)

// ErrPublic says that a peer's public value is not one that the method allows
// (RFC 6989, RFC 7748 §6, RFC 5903 §9): of another length, outside the group,
// or chosen so that the secret would be known to all.
var ErrPublic = errors.New("suite: invalid public value")

// KeyExchange is a key exchange method (RFC 7296 §3.4, RFC 9370). It is shaped
// like a KEM: the initiator publishes, the responder publishes and has the
// secret at once, the initiator finishes. All octet strings are as the KE
// payload's Key Exchange Data has them. It is safe for concurrent use.
type KeyExchange interface {
	// ID is the transform ID, e.g. [KEX25519].
	ID() uint16
	// PublicBytes are the lengths of what the initiator and the responder publish,
	// in octets; they differ only with KEMs.
	PublicBytes() (initiator, responder int)
	// Initiate draws a private key from rand and gives the value to send. It fails
	// only when rand does.
	Initiate(rand io.Reader) (public []byte, private KEPrivate, err error)
	// Respond answers the initiator's value with the value to send back and the
	// shared secret. It fails with [ErrPublic] or when rand fails.
	Respond(rand io.Reader, peer []byte) (public, shared []byte, err error)
}

// KEPrivate is what an initiator keeps until the answer comes.
type KEPrivate interface {
	// Finish makes the shared secret of the responder's value. It fails with
	// [ErrPublic]; a later call with another value may succeed.
	Finish(peer []byte) (shared []byte, err error)
}

// NewKeyExchange is the key exchange method with the given transform ID. It
// fails, naming the method, for one that is not implemented.
func NewKeyExchange(id uint16) (KeyExchange, error) {
	switch id {
	case KEX25519:
		return x25519{}, nil
	case KEECP256:
		return ecp{id: id, curve: ecdh.P256(), fieldBytes: 32, topMask: 0xff}, nil
	case KEECP384:
		return ecp{id: id, curve: ecdh.P384(), fieldBytes: 48, topMask: 0xff}, nil
	case KEECP521:
		return ecp{id: id, curve: ecdh.P521(), fieldBytes: 66, topMask: 0x01}, nil
	case KEModp2048, KEModp3072, KEModp4096, KEModp6144, KEModp8192:
		return modpOf(id), nil
	}
	return nil, fmt.Errorf("suite: %v is not an implemented key exchange method; there are x25519, ecp256, ecp384, ecp521 and modp2048 to modp8192",
		Transform{Type: TransformKE, ID: id})
}

// x25519 is Curve25519 (RFC 8031, RFC 7748).
type x25519 struct{}

const x25519Bytes = 32

type x25519Private struct{ key *ecdh.PrivateKey }

func (x25519) ID() uint16              { return KEX25519 }
func (x25519) PublicBytes() (int, int) { return x25519Bytes, x25519Bytes }

func (x25519) Initiate(rand io.Reader) ([]byte, KEPrivate, error) {
	var secret [x25519Bytes]byte
	if _, err := io.ReadFull(rand, secret[:]); err != nil {
		return nil, nil, randError(KEX25519, err)
	}
	key, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), x25519Private{key}, nil
}

func (x x25519) Respond(rand io.Reader, peer []byte) ([]byte, []byte, error) {
	return respond(x, rand, peer)
}

// Finish refuses a peer value of small order, which gives the all-zero secret
// (RFC 8031 §2, RFC 7748 §6.1).
func (p x25519Private) Finish(peer []byte) ([]byte, error) {
	public, err := ecdh.X25519().NewPublicKey(peer)
	if err != nil {
		return nil, fmt.Errorf("%w for x25519: %d octets, not %d", ErrPublic, len(peer), x25519Bytes)
	}
	shared, err := p.key.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("%w for x25519: a point of small order", ErrPublic)
	}
	return shared, nil
}

// ecp is a NIST curve (RFC 5903). The public value is x | y, without the octet
// that SEC 1 puts before an uncompressed point; the secret is x.
type ecp struct {
	curve      ecdh.Curve
	fieldBytes int
	id         uint16
	topMask    byte // the bits of the first octet that the group order has
}

type ecpPrivate struct {
	ecp
	key *ecdh.PrivateKey
}

// ecpTriesMax bounds rejection sampling. With the top bits masked a draw is
// refused with a probability of 2⁻³² on P-256 and far less on the others, so a
// sound reader never gets there.
const ecpTriesMax = 8

// sec1Uncompressed begins an uncompressed point in SEC 1 §2.3.3.
const sec1Uncompressed = 4

func (e ecp) ID() uint16              { return e.id }
func (e ecp) PublicBytes() (int, int) { return 2 * e.fieldBytes, 2 * e.fieldBytes }

func (e ecp) Initiate(rand io.Reader) ([]byte, KEPrivate, error) {
	secret := make([]byte, e.fieldBytes)
	for range ecpTriesMax {
		if _, err := io.ReadFull(rand, secret); err != nil {
			return nil, nil, randError(e.id, err)
		}
		secret[0] &= e.topMask
		// NewPrivateKey refuses zero and what is not below the order: rejection
		// sampling leaves every key equally likely.
		if key, err := e.curve.NewPrivateKey(secret); err == nil {
			return key.PublicKey().Bytes()[1:], ecpPrivate{e, key}, nil
		}
	}
	return nil, nil, fmt.Errorf("suite: no private key for %v in %d draws: the random source is broken", e.transform(), ecpTriesMax)
}

func (e ecp) Respond(rand io.Reader, peer []byte) ([]byte, []byte, error) {
	return respond(e, rand, peer)
}

func (e ecp) transform() Transform { return Transform{Type: TransformKE, ID: e.id} }

func (p ecpPrivate) Finish(peer []byte) ([]byte, error) {
	if len(peer) != 2*p.fieldBytes {
		return nil, fmt.Errorf("%w for %v: %d octets, not %d", ErrPublic, p.transform(), len(peer), 2*p.fieldBytes)
	}
	public, err := p.curve.NewPublicKey(append([]byte{sec1Uncompressed}, peer...))
	if err != nil {
		return nil, fmt.Errorf("%w for %v: not a point of the curve", ErrPublic, p.transform())
	}
	shared, err := p.key.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("%w for %v: %w", ErrPublic, p.transform(), err)
	}
	return shared, nil
}

// respond is Respond for the methods in which both sides do the same.
func respond(x KeyExchange, rand io.Reader, peer []byte) (public, shared []byte, err error) {
	public, private, err := x.Initiate(rand)
	if err != nil {
		return nil, nil, err
	}
	if shared, err = private.Finish(peer); err != nil {
		return nil, nil, err
	}
	return public, shared, nil
}

func randError(id uint16, err error) error {
	return fmt.Errorf("suite: private key for %v: %w", Transform{Type: TransformKE, ID: id}, err)
}
