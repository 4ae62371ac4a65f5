package suite

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

const (
	ccmSaltBytes = 3 // RFC 4309 §7.1, RFC 5282 §4
	ccmIVBytes   = 8
	// ccmAADBytesMax is what the two-octet encoding of RFC 3610 §2.2 can say; an
	// IKE header with the payloads before SK stays far below.
	ccmAADBytesMax = 0xff00 - 1
)

// ccmICVBytes is the length of the check value, 0 where the ID is not AES-CCM.
func ccmICVBytes(id uint16) int {
	switch id {
	case EncrAESCCM8:
		return 8
	case EncrAESCCM12:
		return 12
	case EncrAESCCM16:
		return 16
	}
	return 0
}

// ccm is AES-CCM as RFC 4309 uses it, for opening only.
type ccm struct {
	block    cipher.Block
	nonce    [ccmSaltBytes + ccmIVBytes]byte
	icvBytes int
}

func newCCM(block cipher.Block, salt []byte, icvBytes int) *ccm {
	c := &ccm{block: block, icvBytes: icvBytes}
	copy(c.nonce[:], salt)
	return c
}

// open decrypts text in place and reports whether icv fits.
func (c *ccm) open(iv, text, icv, aad []byte) bool {
	copy(c.nonce[ccmSaltBytes:], iv)
	return ccmOpen(c.block, c.nonce[:], text, icv, aad)
}

// ccmOpen is CCM with a nonce of 7 to 13 octets (RFC 3610, NIST SP 800-38C). It
// decrypts text in place and reports whether icv fits.
func ccmOpen(block cipher.Block, nonce, text, icv, aad []byte) bool {
	if len(aad) > ccmAADBytesMax {
		return false
	}
	// L of RFC 3610: the octets of a block that flags and nonce leave to a number.
	lengthBytes := aesBlockBytes - 1 - len(nonce)

	// RFC 3610 §2.3: block 0 of the key stream masks the check value, the text
	// begins at block 1.
	var counter, mask [aesBlockBytes]byte
	counter[0] = byte(lengthBytes - 1)
	copy(counter[1:], nonce)
	block.Encrypt(mask[:], counter[:])
	counter[aesBlockBytes-1] = 1
	cipher.NewCTR(block, counter[:]).XORKeyStream(text, text)

	// RFC 3610 §2.2: a CBC-MAC over flags, nonce, length, aad and the plaintext.
	var sum [aesBlockBytes]byte
	sum[0] = byte((len(icv)-2)/2)<<3 | byte(lengthBytes-1)
	if len(aad) > 0 {
		sum[0] |= 1 << 6
	}
	// A nonce of more than 11 octets leaves less than 32 bits to the length, and
	// stands in front of it.
	binary.BigEndian.PutUint32(sum[aesBlockBytes-4:], uint32(len(text)))
	copy(sum[1:], nonce)
	block.Encrypt(sum[:], sum[:])
	if len(aad) > 0 {
		absorb(block, &sum, binary.BigEndian.AppendUint16(nil, uint16(len(aad))), aad)
	}
	absorb(block, &sum, text)

	subtle.XORBytes(sum[:], sum[:], mask[:])
	return subtle.ConstantTimeCompare(sum[:len(icv)], icv) == 1
}

// absorb runs the parts, one after the other and padded with zeros to a whole
// number of blocks, through the CBC-MAC.
func absorb(block cipher.Block, sum *[aesBlockBytes]byte, parts ...[]byte) {
	at := 0
	for _, p := range parts {
		for _, b := range p {
			sum[at] ^= b
			if at++; at == aesBlockBytes {
				block.Encrypt(sum[:], sum[:])
				at = 0
			}
		}
	}
	if at > 0 {
		block.Encrypt(sum[:], sum[:])
	}
}
