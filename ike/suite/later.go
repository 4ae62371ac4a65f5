package suite

import "strings"

// laterKeywords are strongSwan's keywords for algorithms that ikelab does not
// have yet, by the type of transform they stand for.
var laterKeywords = []struct {
	t     TransformType
	names string
}{
	{TransformENCR, "null des 3des cast128 blowfish blowfish128 blowfish192 blowfish256 " +
		"aes128ccm aes192ccm aes256ccm aes128ccm8 aes192ccm8 aes256ccm8 aes128ccm12 aes192ccm12 aes256ccm12 " +
		"aes128ccm16 aes192ccm16 aes256ccm16 aes128ccm64 aes192ccm64 aes256ccm64 " +
		"aes128ccm96 aes192ccm96 aes256ccm96 aes128ccm128 aes192ccm128 aes256ccm128 " +
		"aes128gmac aes192gmac aes256gmac chacha20poly1305compat " +
		"camellia camellia128 camellia192 camellia256 camellia128ctr camellia192ctr camellia256ctr " +
		"camellia128ccm8 camellia192ccm8 camellia256ccm8 camellia128ccm12 camellia192ccm12 camellia256ccm12 " +
		"camellia128ccm16 camellia192ccm16 camellia256ccm16 camellia128ccm64 camellia192ccm64 camellia256ccm64 " +
		"camellia128ccm96 camellia192ccm96 camellia256ccm96 camellia128ccm128 camellia192ccm128 camellia256ccm128 " +
		"serpent serpent128 serpent192 serpent256 twofish twofish128 twofish192 twofish256"},
	{TransformINTEG, "md5 md5_128 sha1_160 sha256_96 sha2_256_96 aesxcbc camelliaxcbc aescmac"},
	{TransformPRF, "prfmd5 prfaesxcbc prfcamelliaxcbc prfaescmac"},
	{TransformKE, "none modpnone modpnull modp768 modp1024 modp1536 modp1024s160 modp2048s224 modp2048s256 " +
		"ecp192 ecp224 ecp224bp ecp256bp ecp384bp ecp512bp curve448 x448 mlkem512 mlkem768 mlkem1024 " +
		"ntru112 ntru128 ntru192 ntru256 newhope128 kyber1 kyber3 kyber5 ntrup1 ntrup3 ntrup5 ntrur3 " +
		"saber1 saber3 saber5 bike1 bike3 bike5 frodoa1 frodoa3 frodoa5 frodos1 frodos3 frodos5 hqc1 hqc3 hqc5 " +
		"sike1 sike2 sike3 sike5"},
}

// laterKE begins the keywords of additional key exchanges, ke1_ to ke7_
// (RFC 9370).
func laterKE(word string) bool {
	return len(word) > 4 && strings.HasPrefix(word, "ke") && word[2] >= '1' && word[2] <= '7' && word[3] == '_'
}

// typeOfLater is the transform type of a keyword that is known but not
// implemented; zero when it is not such a keyword.
func typeOfLater(word string) TransformType {
	if laterKE(word) {
		return TransformKE
	}
	for _, l := range laterKeywords {
		for _, name := range strings.Fields(l.names) {
			if name == word {
				return l.t
			}
		}
	}
	return 0
}

func later(word string) bool { return typeOfLater(word) != 0 }

// available lists the keywords of a type, without aliases.
func available(t TransformType) string {
	var names []string
	for _, k := range keywords {
		if name, _ := keywordOf(k.t); k.t.Type == t && name == k.name {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// Typos are corrected within editsMax edits, and never more than half a word.
const (
	editsMax     = 3
	wordBytesMax = 32
)

// nearest is the keyword that a person most likely meant: one that the word
// begins and a number completes ("modp", "ecp", "aes25"), else the one that
// takes the fewest edits, or empty when none is near. Among equals the first of
// keywords wins.
func nearest(word string) string {
	if len(word) > wordBytesMax {
		return ""
	}
	word = strings.ToLower(word)
	if len(word) >= 3 {
		for _, k := range keywords {
			if rest, ok := strings.CutPrefix(k.name, word); ok && strings.Trim(rest, "0123456789") == "" {
				return k.name
			}
		}
	}
	best, at := min(editsMax, len(word)/2)+1, ""
	for _, k := range keywords {
		if d := edits(word, k.name); d < best {
			best, at = d, k.name
		}
	}
	return at
}

// edits is the Levenshtein distance of two words, in octets.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
