package suite

import "strconv"

// TransformType is a transform type of RFC 7296 §3.3.2.
type TransformType uint8

// The transform types of RFC 7296 §3.3.2. KE is what the RFC calls
// Diffie-Hellman group and RFC 9370 renames to key exchange method.
const (
	TransformENCR  TransformType = 1
	TransformPRF   TransformType = 2
	TransformINTEG TransformType = 3
	TransformKE    TransformType = 4
	TransformESN   TransformType = 5
)

// String is the name that RFC 7296 and RFC 9370 use, e.g. "ENCR" or "KE".
func (t TransformType) String() string {
	switch t {
	case TransformENCR:
		return "ENCR"
	case TransformPRF:
		return "PRF"
	case TransformINTEG:
		return "INTEG"
	case TransformKE:
		return "KE"
	case TransformESN:
		return "ESN"
	}
	return "transform type " + strconv.Itoa(int(t))
}

// Noun is what the type does, for sentences: "encryption", "key exchange" …
func (t TransformType) Noun() string {
	switch t {
	case TransformENCR:
		return "encryption"
	case TransformPRF:
		return "pseudorandom function"
	case TransformINTEG:
		return "integrity"
	case TransformKE:
		return "key exchange"
	case TransformESN:
		return "sequence number size"
	}
	return t.String()
}

// Encryption transform IDs (IANA, IKEv2 Transform Type 1).
const (
	EncrAESCBC           uint16 = 12 // RFC 3602
	EncrAESCTR           uint16 = 13 // RFC 3686
	EncrAESGCM8          uint16 = 18 // RFC 4106, 8-octet ICV
	EncrAESGCM12         uint16 = 19 // RFC 4106, 12-octet ICV
	EncrAESGCM16         uint16 = 20 // RFC 4106, 16-octet ICV
	EncrChaCha20Poly1305 uint16 = 28 // RFC 7634
)

// Pseudorandom function transform IDs (IANA, IKEv2 Transform Type 2).
const (
	PRFHMACSHA1   uint16 = 2 // RFC 2104
	PRFHMACSHA256 uint16 = 5 // RFC 4868
	PRFHMACSHA384 uint16 = 6 // RFC 4868
	PRFHMACSHA512 uint16 = 7 // RFC 4868
)

// Integrity transform IDs (IANA, IKEv2 Transform Type 3).
const (
	IntegNone           uint16 = 0  // with an AEAD, instead of leaving the type out
	IntegHMACSHA1_96    uint16 = 2  // RFC 2404
	IntegHMACSHA256_128 uint16 = 12 // RFC 4868
	IntegHMACSHA384_192 uint16 = 13 // RFC 4868
	IntegHMACSHA512_256 uint16 = 14 // RFC 4868
)

// Key exchange transform IDs (IANA, IKEv2 Transform Type 4).
const (
	KENone     uint16 = 0  // for a child without its own exchange
	KEModp2048 uint16 = 14 // RFC 3526
	KEModp3072 uint16 = 15 // RFC 3526
	KEModp4096 uint16 = 16 // RFC 3526
	KEModp6144 uint16 = 17 // RFC 3526
	KEModp8192 uint16 = 18 // RFC 3526
	KEECP256   uint16 = 19 // RFC 5903
	KEECP384   uint16 = 20 // RFC 5903
	KEECP521   uint16 = 21 // RFC 5903
	KEX25519   uint16 = 31 // RFC 8031
)

// Extended sequence number transform IDs (IANA, IKEv2 Transform Type 5).
const (
	ESNNo  uint16 = 0 // 32-bit sequence numbers
	ESNYes uint16 = 1 // 64-bit sequence numbers, RFC 4304
)

// Transform is one algorithm of a proposal. The zero value means "none". It is
// comparable: two transforms are the same algorithm when they are equal.
type Transform struct {
	Type TransformType
	ID   uint16
	// KeyBits is the Key Length attribute (RFC 7296 §3.3.5) in bits: 128, 192 or
	// 256 with AES, 0 with an algorithm that has no such attribute.
	KeyBits uint16
}

// String is the keyword that swanctl.conf uses, e.g. "aes256gcm16",
// "prfsha384", "sha256", "x25519" or "esn". A transform without a keyword here
// is named by its numbers, e.g. "ENCR(3)" or "ENCR(23,256)"; the zero value is
// "none".
func (t Transform) String() string {
	if name, ok := keywordOf(t); ok {
		return name
	}
	if t == (Transform{}) {
		return "none"
	}
	s := t.Type.String() + "(" + strconv.Itoa(int(t.ID))
	if t.KeyBits != 0 {
		s += "," + strconv.Itoa(int(t.KeyBits))
	}
	return s + ")"
}

// AEAD reports whether t is an encryption transform that brings its own
// integrity check, so that a proposal with it carries no integrity transform
// (RFC 5282 §8).
func (t Transform) AEAD() bool {
	if t.Type != TransformENCR {
		return false
	}
	switch t.ID {
	case EncrAESGCM8, EncrAESGCM12, EncrAESGCM16, EncrChaCha20Poly1305:
		return true
	}
	return false
}

// Protocol is a security protocol identifier of RFC 7296 §3.3.1.
type Protocol uint8

// The protocol identifiers of RFC 7296 §3.3.1.
const (
	ProtocolIKE Protocol = 1
	ProtocolAH  Protocol = 2
	ProtocolESP Protocol = 3
)

// String is the protocol's name: "IKE", "AH" or "ESP".
func (p Protocol) String() string {
	switch p {
	case ProtocolIKE:
		return "IKE"
	case ProtocolAH:
		return "AH"
	case ProtocolESP:
		return "ESP"
	}
	return "protocol " + strconv.Itoa(int(p))
}
