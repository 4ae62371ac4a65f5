package esp

import (
	"crypto/aes"
	stdcipher "crypto/cipher"
	"encoding/binary"
	"fmt"
	"slices"
)

func putUint32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, v) }
func getUint32(b []byte) uint32    { return binary.BigEndian.Uint32(b) }

// Outbound is the sending half of a CHILD SA.
type Outbound struct {
	cipher
	last    uint64          // highest sequence number reserved
	max     uint64          // highest that may ever be
	ivBlock stdcipher.Block // for CBC, nil otherwise
	ivIn    [cbcIVBytes]byte
}

// NewOutbound makes the sending half. It fails for transforms that suite does
// not have, for keys of a wrong length and for AES-CBC without an IVKey.
func NewOutbound(c SAConfig) (*Outbound, error) {
	k, err := newCipher(c)
	if err != nil {
		return nil, err
	}
	o := &Outbound{cipher: k, max: sequenceMax32}
	if c.ESN {
		o.max = sequenceMax64
	}
	if k.ivBytes == cbcIVBytes {
		if o.ivBlock, err = aes.NewCipher(c.IVKey); err != nil {
			return nil, fmt.Errorf("ESP SA %#08x: a CBC transform needs an IVKey of 16, 24 or 32 octets, not %d", c.SPI, len(c.IVKey))
		}
	}
	return o, nil
}

// SPI is the SPI that the receiver chose.
func (o *Outbound) SPI() uint32 { return o.spi }

// Headroom is the number of octets in front of the inner packet in an ESP
// packet: header and IV.
func (o *Outbound) Headroom() int { return headerBytes + o.ivBytes }

// Overhead is the number of octets by which the ESP packet of an inner packet of
// innerLen octets is longer, without outer headers.
func (o *Outbound) Overhead(innerLen int) int {
	return headerBytes + o.ivBytes + o.padBytes(innerLen) + trailerBytes + o.icvBytes
}

// Reserve takes the next n sequence numbers for a batch and returns the first.
// It fails with ErrSequenceExhausted, reserving none, when fewer than n are left,
// and for an n below 1. The first number of an SA is 1 (RFC 4303 §3.3.3).
func (o *Outbound) Reserve(n int) (first uint64, err error) {
	if n < 1 {
		return 0, fmt.Errorf("cannot reserve %d ESP sequence numbers; at least 1", n)
	}
	if uint64(n) > o.max-o.last {
		return 0, ErrSequenceExhausted
	}
	first = o.last + 1
	o.last += uint64(n)
	return first, nil
}

// Remaining is how many sequence numbers are left.
func (o *Outbound) Remaining() uint64 { return o.max - o.last }

// Seal appends to dst the ESP packet, from SPI to ICV, that carries inner under
// the reserved sequence number seq. Each number must be sealed once only. When
// dst has Overhead(len(inner)) + len(inner) octets of capacity left, nothing is
// allocated; inner may lie anywhere in that space, and is not even moved when it
// lies Headroom octets after the end of dst. On error dst is returned as given.
func (o *Outbound) Seal(dst []byte, seq uint64, inner []byte, nextHeader uint8) ([]byte, error) {
	if seq == 0 || seq > o.last {
		return dst, fmt.Errorf("ESP SA %#08x: sequence number %d was not reserved; the last one is %d", o.spi, seq, o.last)
	}
	pad := o.padBytes(len(inner))
	start := len(dst)
	textAt := start + headerBytes + o.ivBytes
	textEnd := textAt + len(inner) + pad + trailerBytes
	out := slices.Grow(dst, textEnd+o.icvBytes-start)[:textEnd+o.icvBytes]

	copy(out[textAt:], inner) // first, because inner may lie where the header goes
	header := out[start : start+headerBytes]
	putUint32(header, o.spi)
	putUint32(header[4:], uint32(seq))
	iv := out[start+headerBytes : textAt]
	o.writeIV(iv, seq)
	trailer := out[textAt+len(inner) : textEnd]
	for i := range pad {
		trailer[i] = byte(i + 1) // RFC 4303 §2.4
	}
	trailer[pad] = byte(pad)
	trailer[pad+1] = nextHeader

	aad, tail := o.associated(header, uint32(seq>>32))
	o.crypter.Seal(iv, out[textAt:textEnd], out[textEnd:], aad, tail)
	return out, nil
}

// writeIV derives the IV from the sequence number, so that it cannot repeat
// under a key.
func (o *Outbound) writeIV(iv []byte, seq uint64) {
	switch len(iv) {
	case counterIVBytes:
		binary.BigEndian.PutUint64(iv, seq)
	case cbcIVBytes:
		binary.BigEndian.PutUint64(o.ivIn[cbcIVBytes-8:], seq)
		o.ivBlock.Encrypt(iv, o.ivIn[:])
	}
}
