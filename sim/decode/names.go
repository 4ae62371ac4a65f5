package decode

import (
	"strconv"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
)

func encr(id, keyBits uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformENCR, ID: id, KeyBits: keyBits}
}

func integ(id uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformINTEG, ID: id}
}

// plain is a name as the tables below have it: in lower case and without the
// reference in brackets, which changed between versions of Wireshark.
func plain(name string) string {
	name, _, _ = strings.Cut(name, "[")
	return strings.ToLower(strings.TrimSpace(name))
}

// encryptionNames are Wireshark's, of both tables. In the ESP table a name says
// no key length.
var encryptionNames = map[string]suite.Transform{
	"null":                              encr(suite.EncrNULL, 0),
	"des-cbc":                           encr(suite.EncrDES, 0),
	"3des":                              encr(suite.Encr3DES, 0),
	"tripledes-cbc":                     encr(suite.Encr3DES, 0),
	"cast5-cbc":                         encr(suite.EncrCAST, 0),
	"blowfish-cbc":                      encr(suite.EncrBlowfish, 0),
	"aes-cbc":                           encr(suite.EncrAESCBC, 0),
	"aes-cbc-128":                       encr(suite.EncrAESCBC, 128),
	"aes-cbc-192":                       encr(suite.EncrAESCBC, 192),
	"aes-cbc-256":                       encr(suite.EncrAESCBC, 256),
	"aes-ctr":                           encr(suite.EncrAESCTR, 0),
	"aes-ctr-128":                       encr(suite.EncrAESCTR, 128),
	"aes-ctr-192":                       encr(suite.EncrAESCTR, 192),
	"aes-ctr-256":                       encr(suite.EncrAESCTR, 256),
	"aes-gcm":                           encr(suite.EncrAESGCM16, 0),
	"aes-gcm with 8 octet icv":          encr(suite.EncrAESGCM8, 0),
	"aes-gcm with 12 octet icv":         encr(suite.EncrAESGCM12, 0),
	"aes-gcm with 16 octet icv":         encr(suite.EncrAESGCM16, 0),
	"aes-gcm-128 with 8 octet icv":      encr(suite.EncrAESGCM8, 128),
	"aes-gcm-192 with 8 octet icv":      encr(suite.EncrAESGCM8, 192),
	"aes-gcm-256 with 8 octet icv":      encr(suite.EncrAESGCM8, 256),
	"aes-gcm-128 with 12 octet icv":     encr(suite.EncrAESGCM12, 128),
	"aes-gcm-192 with 12 octet icv":     encr(suite.EncrAESGCM12, 192),
	"aes-gcm-256 with 12 octet icv":     encr(suite.EncrAESGCM12, 256),
	"aes-gcm-128 with 16 octet icv":     encr(suite.EncrAESGCM16, 128),
	"aes-gcm-192 with 16 octet icv":     encr(suite.EncrAESGCM16, 192),
	"aes-gcm-256 with 16 octet icv":     encr(suite.EncrAESGCM16, 256),
	"aes-ccm-128 with 8 octet icv":      encr(suite.EncrAESCCM8, 128),
	"aes-ccm-192 with 8 octet icv":      encr(suite.EncrAESCCM8, 192),
	"aes-ccm-256 with 8 octet icv":      encr(suite.EncrAESCCM8, 256),
	"aes-ccm-128 with 12 octet icv":     encr(suite.EncrAESCCM12, 128),
	"aes-ccm-192 with 12 octet icv":     encr(suite.EncrAESCCM12, 192),
	"aes-ccm-256 with 12 octet icv":     encr(suite.EncrAESCCM12, 256),
	"aes-ccm-128 with 16 octet icv":     encr(suite.EncrAESCCM16, 128),
	"aes-ccm-192 with 16 octet icv":     encr(suite.EncrAESCCM16, 192),
	"aes-ccm-256 with 16 octet icv":     encr(suite.EncrAESCCM16, 256),
	"chacha20 with poly1305":            encr(suite.EncrChaCha20Poly1305, 0),
	"chacha20-poly1305":                 encr(suite.EncrChaCha20Poly1305, 0),
	"chacha20/poly1305":                 encr(suite.EncrChaCha20Poly1305, 0),
	"chacha20-poly1305 with 16 oct icv": encr(suite.EncrChaCha20Poly1305, 0),
}

// integrityNames are Wireshark's, of both tables.
var integrityNames = map[string]suite.Transform{
	"":                  {},
	"none":              {},
	"null":              {},
	"hmac-md5-96":       integ(suite.IntegHMACMD5_96),
	"hmac_md5_96":       integ(suite.IntegHMACMD5_96),
	"hmac_md5_128":      integ(suite.IntegHMACMD5_128),
	"hmac-sha-1-96":     integ(suite.IntegHMACSHA1_96),
	"hmac_sha1_96":      integ(suite.IntegHMACSHA1_96),
	"hmac_sha1_160":     integ(suite.IntegHMACSHA1_160),
	"hmac-sha-256-96":   integ(suite.IntegHMACSHA256_96),
	"hmac_sha2_256_96":  integ(suite.IntegHMACSHA256_96),
	"hmac-sha-256-128":  integ(suite.IntegHMACSHA256_128),
	"hmac_sha2_256_128": integ(suite.IntegHMACSHA256_128),
	"hmac-sha-384-192":  integ(suite.IntegHMACSHA384_192),
	"hmac_sha2_384_192": integ(suite.IntegHMACSHA384_192),
	"hmac-sha-512-256":  integ(suite.IntegHMACSHA512_256),
	"hmac_sha2_512_256": integ(suite.IntegHMACSHA512_256),
}

// uncheckedNames are integrity algorithms of Wireshark's tables that decoding
// does not compute, with the length of their check values in octets.
var uncheckedNames = map[string]int{
	"mac-ripemd-160-96": 12,
	"aes-xcbc-mac-96":   12,
	"aes-cmac-96":       12,
}

// encryptionNamed is the encryption that Wireshark or swanctl.conf calls so.
func encryptionNamed(name string) (suite.Transform, bool) {
	if t, ok := encryptionNames[plain(name)]; ok {
		return t, true
	}
	t, ok := suite.RecordedTransform(plain(name))
	return t, ok && t.Type == suite.TransformENCR
}

// integrityNamed is the integrity that Wireshark or swanctl.conf calls so, or the
// length of a check value that is not checked: "ANY 96 bit authentication [no
// checking]" in the ESP table, "ANY 96-bits of Authentication [No Checking]" in
// the other.
func integrityNamed(name string) (t suite.Transform, uncheckedBytes int, ok bool) {
	key := plain(name)
	if t, ok = integrityNames[key]; ok {
		return t, 0, true
	}
	if n, ok := uncheckedNames[key]; ok {
		return suite.Transform{}, n, true
	}
	if rest, found := strings.CutPrefix(key, "any "); found {
		digits := strings.TrimRight(rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))], " ")
		bits, err := strconv.Atoi(digits)
		if err == nil && bits > 0 && bits <= 512 && bits%8 == 0 {
			return suite.Transform{}, bits / 8, true
		}
		return suite.Transform{}, 0, false
	}
	t, ok = suite.RecordedTransform(key)
	return t, 0, ok && t.Type == suite.TransformINTEG
}

// algorithms names a pair for people: "aes256gcm16", "3des with sha1",
// "3des with 12 octets unchecked".
func algorithms(e, i suite.Transform, uncheckedBytes int) string {
	name := suite.RecordedName(e)
	switch {
	case i.ID != suite.IntegNone:
		return name + " with " + suite.RecordedName(i)
	case uncheckedBytes > 0 && !e.AEAD():
		return name + " with " + strconv.Itoa(uncheckedBytes) + " octets unchecked"
	}
	return name
}

// Names of transforms that neither negotiation nor decoding knows, by IANA's
// numbers, in swanctl.conf's words where it has some.
var (
	encrNames = map[uint16]string{
		1: "des-iv64", 4: "rc5", 5: "idea", 8: "3idea", 9: "des-iv32", 23: "camellia-cbc",
		24: "camellia-ctr", 25: "camellia-ccm8", 26: "camellia-ccm12", 27: "camellia-ccm16",
		29: "aes-ccm8-iiv", 30: "aes-gcm16-iiv", 31: "chacha20poly1305-iiv", 32: "kuznyechik-mgm", 33: "magma-mgm",
	}
	prfNames = map[uint16]string{1: "prfmd5", 3: "prftiger", 4: "prfaesxcbc", 8: "prfaescmac", 9: "prfstreebog512"}
	intNames = map[uint16]string{3: "des-mac", 4: "kpdk-md5", 5: "aesxcbc", 8: "aescmac", 9: "aes128gmac", 10: "aes192gmac", 11: "aes256gmac"}
	keNames  = map[uint16]string{
		1: "modp768", 2: "modp1024", 5: "modp1536", 22: "modp1024s160", 23: "modp2048s224", 24: "modp2048s256",
		25: "ecp192", 26: "ecp224", 27: "ecp224bp", 28: "ecp256bp", 29: "ecp384bp", 30: "ecp512bp", 32: "x448",
		33: "gost256", 34: "gost512", 35: "mlkem512", 36: "mlkem768", 37: "mlkem1024",
	}
)

// transformName is a transform as a line shows it.
func transformName(t suite.Transform) string {
	var names map[uint16]string
	switch t.Type {
	case suite.TransformENCR:
		names = encrNames
	case suite.TransformPRF:
		names = prfNames
	case suite.TransformINTEG:
		names = intNames
		if t.ID == suite.IntegNone {
			return "none"
		}
	case suite.TransformKE:
		names = keNames
		if t.ID == suite.KENone {
			return "none"
		}
	case suite.TransformESN:
		switch t.ID {
		case suite.ESNYes:
			return "esn"
		case suite.ESNNo:
			return "noesn"
		}
	default:
		// RFC 9370: ADDKE1 to ADDKE7 are key exchanges too.
		if t.Type >= 6 && t.Type <= 12 {
			return "ke" + strconv.Itoa(int(t.Type)-5) + "_" + transformName(suite.Transform{Type: suite.TransformKE, ID: t.ID})
		}
	}
	name, ok := names[t.ID]
	if !ok {
		return suite.RecordedName(t)
	}
	if t.KeyBits != 0 {
		name += "-" + strconv.Itoa(int(t.KeyBits))
	}
	return name
}
