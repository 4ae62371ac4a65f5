package esp

import (
	"errors"
	"fmt"

	"github.com/ikelab/ikelab/ike/suite"
)

const (
	headerBytes      = 8  // SPI and sequence number (RFC 4303 §2)
	trailerBytes     = 2  // Pad Length and Next Header
	alignBytesMin    = 4  // RFC 4303 §2.4
	counterIVBytes   = 8  // RFC 4106 §3.1, RFC 7634 §2, RFC 3686 §3.1
	cbcIVBytes       = 16 // RFC 3602 §3
	sequenceMax32    = 1<<32 - 1
	sequenceMax64    = 1<<64 - 1
	extendedAADBytes = 12 // SPI and 64-bit sequence number (RFC 4106 §5)
)

// NextHeader values that tunnel mode carries (RFC 4303 §2.6).
const (
	NextHeaderIPv4  uint8 = 4
	NextHeaderIPv6  uint8 = 41
	NextHeaderDummy uint8 = 59 // a packet to be discarded (RFC 4303 §2.6)
)

// ErrSequenceExhausted says that an SA has used its last sequence number; its
// CHILD SA must be rekeyed (RFC 4303 §3.3.3).
var ErrSequenceExhausted = errors.New("the ESP SA has no sequence number left; rekey its CHILD SA")

// SAConfig is what IKE negotiated for one direction of a CHILD SA.
type SAConfig struct {
	SPI   uint32
	Encr  suite.Transform // ENCR, with its key length where it has one
	Integ suite.Transform // INTEG; the zero value with an AEAD
	// EncrKey includes the salt or nonce that RFC 4106, RFC 7634 and RFC 3686
	// take from the keying material.
	EncrKey  []byte
	IntegKey []byte
	// IVKey is a secret AES key (16, 24 or 32 octets), independent of the others.
	// An outbound SA with AES-CBC encrypts its sequence numbers under it to make
	// IVs that cannot be predicted (NIST SP 800-38A appendix C). Unused otherwise.
	IVKey []byte
	// ESN says that 64-bit sequence numbers were negotiated (RFC 4303 §2.2.1).
	ESN bool
	// ReplayWindowPackets is the size of an inbound SA's window, 32 to 4096; 0
	// turns anti-replay off, which RFC 4303 §2.2.1 does not allow with ESN.
	ReplayWindowPackets int
}

// cipher is what both directions know about their transform.
type cipher struct {
	crypter    suite.Crypter
	spi        uint32
	esn        bool
	aead       bool
	ivBytes    int
	icvBytes   int
	alignBytes int
	// scratch holds what is authenticated but not sent. It lives here, not on
	// the stack, because the crypter is called through an interface.
	scratch [extendedAADBytes]byte
}

func newCipher(c SAConfig) (cipher, error) {
	if c.SPI <= 255 {
		return cipher{}, fmt.Errorf("ESP SPI %#x is reserved (RFC 4303 §2.1); choose one above 0xff", c.SPI)
	}
	crypter, err := suite.NewCrypter(c.Encr, c.Integ, c.EncrKey, c.IntegKey)
	if err != nil {
		return cipher{}, fmt.Errorf("ESP SA %#08x: %w", c.SPI, err)
	}
	k := cipher{
		crypter: crypter, spi: c.SPI, esn: c.ESN, aead: crypter.AEAD(),
		ivBytes: crypter.IVBytes(), icvBytes: crypter.ICVBytes(),
		alignBytes: max(alignBytesMin, crypter.AlignBytes()),
	}
	switch k.ivBytes {
	case 0, counterIVBytes, cbcIVBytes:
	default:
		return cipher{}, fmt.Errorf("ESP SA %#08x: no rule for an IV of %d octets", c.SPI, k.ivBytes)
	}
	return k, nil
}

// associated returns what is authenticated around the text: header is the SPI
// and sequence number as sent, high the upper half of the sequence number. An
// AEAD has the high half in the middle (RFC 4106 §5), an HMAC at the end
// (RFC 4303 §2.8).
func (k *cipher) associated(header []byte, high uint32) (aad, tail []byte) {
	switch {
	case !k.esn:
		return header, nil
	case k.aead:
		copy(k.scratch[0:4], header[0:4])
		putUint32(k.scratch[4:8], high)
		copy(k.scratch[8:12], header[4:8])
		return k.scratch[:], nil
	default:
		putUint32(k.scratch[0:4], high)
		return header, k.scratch[:4]
	}
}

// padBytes is the padding that a text of n octets needs before its trailer
// (RFC 4303 §2.4).
func (k *cipher) padBytes(n int) int {
	return (k.alignBytes - (n+trailerBytes)%k.alignBytes) % k.alignBytes
}

// SPI reads the SPI of an ESP packet; false when the packet is too short to have
// one or the SPI is 0, which is never sent (RFC 4303 §2.1).
func SPI(packet []byte) (uint32, bool) {
	if len(packet) < headerBytes {
		return 0, false
	}
	spi := getUint32(packet)
	return spi, spi != 0
}
