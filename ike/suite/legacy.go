package suite

import "strconv"

// Encryption transform IDs that negotiation refuses and decoding knows (IANA,
// IKEv2 Transform Type 1).
const (
	EncrDES      uint16 = 2  // RFC 2405
	Encr3DES     uint16 = 3  // RFC 2451
	EncrCAST     uint16 = 6  // RFC 2451, RFC 2144
	EncrBlowfish uint16 = 7  // RFC 2451
	EncrNULL     uint16 = 11 // RFC 2410
	EncrAESCCM8  uint16 = 14 // RFC 4309, 8-octet ICV
	EncrAESCCM12 uint16 = 15 // RFC 4309, 12-octet ICV
	EncrAESCCM16 uint16 = 16 // RFC 4309, 16-octet ICV
	EncrAESGMAC  uint16 = 21 // RFC 4543: integrity without encryption
)

// Integrity transform IDs that negotiation refuses and decoding knows (IANA,
// IKEv2 Transform Type 3).
const (
	IntegHMACMD5_96   uint16 = 1 // RFC 2403
	IntegHMACMD5_128  uint16 = 6 // RFC 4595
	IntegHMACSHA1_160 uint16 = 7 // RFC 4595
	// IntegHMACSHA256_96 is the truncation of a draft that old kernels kept
	// (draft-ietf-ipsec-ciph-sha-256-00). Its number is strongSwan's, from the
	// range for private use.
	IntegHMACSHA256_96 uint16 = 1027
)

// legacyKeywords are strongSwan's words for what only decoding knows. They are
// not in keywords: a proposal with one of them is refused by name.
var legacyKeywords = []struct {
	name string
	t    Transform
}{
	{"des", Transform{TransformENCR, EncrDES, 0}},
	{"3des", Transform{TransformENCR, Encr3DES, 0}},
	{"cast128", Transform{TransformENCR, EncrCAST, 128}},
	{"blowfish128", Transform{TransformENCR, EncrBlowfish, 128}},
	{"blowfish192", Transform{TransformENCR, EncrBlowfish, 192}},
	{"blowfish256", Transform{TransformENCR, EncrBlowfish, 256}},
	{"null", Transform{TransformENCR, EncrNULL, 0}},
	{"aes128ccm8", Transform{TransformENCR, EncrAESCCM8, 128}},
	{"aes192ccm8", Transform{TransformENCR, EncrAESCCM8, 192}},
	{"aes256ccm8", Transform{TransformENCR, EncrAESCCM8, 256}},
	{"aes128ccm12", Transform{TransformENCR, EncrAESCCM12, 128}},
	{"aes192ccm12", Transform{TransformENCR, EncrAESCCM12, 192}},
	{"aes256ccm12", Transform{TransformENCR, EncrAESCCM12, 256}},
	{"aes128ccm16", Transform{TransformENCR, EncrAESCCM16, 128}},
	{"aes192ccm16", Transform{TransformENCR, EncrAESCCM16, 192}},
	{"aes256ccm16", Transform{TransformENCR, EncrAESCCM16, 256}},
	{"aes128gmac", Transform{TransformENCR, EncrAESGMAC, 128}},
	{"aes192gmac", Transform{TransformENCR, EncrAESGMAC, 192}},
	{"aes256gmac", Transform{TransformENCR, EncrAESGMAC, 256}},
	{"md5", Transform{TransformINTEG, IntegHMACMD5_96, 0}},
	{"md5_128", Transform{TransformINTEG, IntegHMACMD5_128, 0}},
	{"sha1_160", Transform{TransformINTEG, IntegHMACSHA1_160, 0}},
	{"sha256_96", Transform{TransformINTEG, IntegHMACSHA256_96, 0}},
}

// RecordedName is what swanctl.conf calls a transform, like [Transform.String],
// and also for transforms that only decoding knows. A cipher whose key length is
// not said goes by its family: "aes", "aesgcm16", "blowfish".
func RecordedName(t Transform) string {
	if name, ok := keywordOf(t); ok {
		return name
	}
	for _, k := range legacyKeywords {
		if k.t == t {
			return k.name
		}
	}
	if t.Type == TransformENCR {
		bits := ""
		if t.KeyBits != 0 {
			bits = strconv.Itoa(int(t.KeyBits))
		}
		switch t.ID {
		case EncrAESCBC:
			return "aes" + bits
		case EncrAESCTR:
			return "aes" + bits + "ctr"
		case EncrAESGCM8:
			return "aes" + bits + "gcm8"
		case EncrAESGCM12:
			return "aes" + bits + "gcm12"
		case EncrAESGCM16:
			return "aes" + bits + "gcm16"
		case EncrAESCCM8:
			return "aes" + bits + "ccm8"
		case EncrAESCCM12:
			return "aes" + bits + "ccm12"
		case EncrAESCCM16:
			return "aes" + bits + "ccm16"
		case EncrAESGMAC:
			return "aes" + bits + "gmac"
		case EncrBlowfish:
			return "blowfish" + bits
		case EncrCAST:
			return "cast" + bits
		}
	}
	return t.String()
}

// RecordedTransform is the transform that a keyword names, [ParseProposals]'s
// words and those that only decoding knows.
func RecordedTransform(keyword string) (Transform, bool) {
	if t, ok := transformOf(keyword); ok {
		return t, true
	}
	for _, k := range legacyKeywords {
		if k.name == keyword {
			return k.t, true
		}
	}
	return Transform{}, false
}

// RecordedKeyBytes are the lengths of one direction's keys in octets, salt
// included, for a pair of transforms that decoding knows. integ is the zero
// value with an AEAD. It is false for an algorithm that decoding does not know
// or whose key length is not said.
func RecordedKeyBytes(encr, integ Transform) (encrBytes, integBytes int, ok bool) {
	encrBytes, err := EncrKeyBytes(encr)
	if err != nil {
		switch encr.ID {
		case EncrDES:
			encrBytes = 8
		case Encr3DES:
			encrBytes = 24
		case EncrNULL:
			encrBytes = 0
		case EncrCAST, EncrBlowfish:
			if encrBytes = int(encr.KeyBits) / 8; encrBytes == 0 {
				encrBytes = 16 // RFC 2451 §2.3: the default
			}
		case EncrAESCCM8, EncrAESCCM12, EncrAESCCM16:
			if encr.KeyBits == 0 {
				return 0, 0, false
			}
			encrBytes = int(encr.KeyBits)/8 + ccmSaltBytes
		case EncrAESGMAC:
			if encr.KeyBits == 0 {
				return 0, 0, false
			}
			encrBytes = int(encr.KeyBits)/8 + gcmSaltBytes
		default:
			return 0, 0, false
		}
	}
	if recordedAEAD(encr) {
		return encrBytes, 0, true
	}
	if integ.ID == IntegNone {
		return encrBytes, 0, true
	}
	_, _, keyBytes, ok := macOf(integ.ID)
	return encrBytes, keyBytes, ok
}
