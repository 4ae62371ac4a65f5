package suite

// keywords lists what swanctl.conf calls the transforms that are implemented.
// The first keyword of a transform is the one that String prints; the others
// are strongSwan's aliases for it.
var keywords = []struct {
	name string
	t    Transform
}{
	{"aes128gcm16", Transform{TransformENCR, EncrAESGCM16, 128}},
	{"aes192gcm16", Transform{TransformENCR, EncrAESGCM16, 192}},
	{"aes256gcm16", Transform{TransformENCR, EncrAESGCM16, 256}},
	{"aes128gcm12", Transform{TransformENCR, EncrAESGCM12, 128}},
	{"aes192gcm12", Transform{TransformENCR, EncrAESGCM12, 192}},
	{"aes256gcm12", Transform{TransformENCR, EncrAESGCM12, 256}},
	{"aes128gcm8", Transform{TransformENCR, EncrAESGCM8, 128}},
	{"aes192gcm8", Transform{TransformENCR, EncrAESGCM8, 192}},
	{"aes256gcm8", Transform{TransformENCR, EncrAESGCM8, 256}},
	{"chacha20poly1305", Transform{TransformENCR, EncrChaCha20Poly1305, 0}},
	{"aes128", Transform{TransformENCR, EncrAESCBC, 128}},
	{"aes192", Transform{TransformENCR, EncrAESCBC, 192}},
	{"aes256", Transform{TransformENCR, EncrAESCBC, 256}},
	{"aes128ctr", Transform{TransformENCR, EncrAESCTR, 128}},
	{"aes192ctr", Transform{TransformENCR, EncrAESCTR, 192}},
	{"aes256ctr", Transform{TransformENCR, EncrAESCTR, 256}},
	{"sha1", Transform{TransformINTEG, IntegHMACSHA1_96, 0}},
	{"sha256", Transform{TransformINTEG, IntegHMACSHA256_128, 0}},
	{"sha384", Transform{TransformINTEG, IntegHMACSHA384_192, 0}},
	{"sha512", Transform{TransformINTEG, IntegHMACSHA512_256, 0}},
	{"prfsha1", Transform{TransformPRF, PRFHMACSHA1, 0}},
	{"prfsha256", Transform{TransformPRF, PRFHMACSHA256, 0}},
	{"prfsha384", Transform{TransformPRF, PRFHMACSHA384, 0}},
	{"prfsha512", Transform{TransformPRF, PRFHMACSHA512, 0}},
	{"x25519", Transform{TransformKE, KEX25519, 0}},
	{"ecp256", Transform{TransformKE, KEECP256, 0}},
	{"ecp384", Transform{TransformKE, KEECP384, 0}},
	{"ecp521", Transform{TransformKE, KEECP521, 0}},
	{"modp2048", Transform{TransformKE, KEModp2048, 0}},
	{"modp3072", Transform{TransformKE, KEModp3072, 0}},
	{"modp4096", Transform{TransformKE, KEModp4096, 0}},
	{"modp6144", Transform{TransformKE, KEModp6144, 0}},
	{"modp8192", Transform{TransformKE, KEModp8192, 0}},
	{"esn", Transform{TransformESN, ESNYes, 0}},
	{"noesn", Transform{TransformESN, ESNNo, 0}},

	// Aliases.
	{"aes", Transform{TransformENCR, EncrAESCBC, 128}},
	{"aes128gcm", Transform{TransformENCR, EncrAESGCM16, 128}},
	{"aes192gcm", Transform{TransformENCR, EncrAESGCM16, 192}},
	{"aes256gcm", Transform{TransformENCR, EncrAESGCM16, 256}},
	{"aes128gcm128", Transform{TransformENCR, EncrAESGCM16, 128}},
	{"aes192gcm128", Transform{TransformENCR, EncrAESGCM16, 192}},
	{"aes256gcm128", Transform{TransformENCR, EncrAESGCM16, 256}},
	{"aes128gcm96", Transform{TransformENCR, EncrAESGCM12, 128}},
	{"aes192gcm96", Transform{TransformENCR, EncrAESGCM12, 192}},
	{"aes256gcm96", Transform{TransformENCR, EncrAESGCM12, 256}},
	{"aes128gcm64", Transform{TransformENCR, EncrAESGCM8, 128}},
	{"aes192gcm64", Transform{TransformENCR, EncrAESGCM8, 192}},
	{"aes256gcm64", Transform{TransformENCR, EncrAESGCM8, 256}},
	{"sha", Transform{TransformINTEG, IntegHMACSHA1_96, 0}},
	{"sha2_256", Transform{TransformINTEG, IntegHMACSHA256_128, 0}},
	{"sha2_384", Transform{TransformINTEG, IntegHMACSHA384_192, 0}},
	{"sha2_512", Transform{TransformINTEG, IntegHMACSHA512_256, 0}},
	{"curve25519", Transform{TransformKE, KEX25519, 0}},
}

// keywordOf is the first keyword of t. Linear: it runs for texts only.
func keywordOf(t Transform) (string, bool) {
	for _, k := range keywords {
		if k.t == t {
			return k.name, true
		}
	}
	return "", false
}

// transformOf is the transform that a keyword names.
func transformOf(name string) (Transform, bool) {
	for _, k := range keywords {
		if k.name == name {
			return k.t, true
		}
	}
	return Transform{}, false
}
