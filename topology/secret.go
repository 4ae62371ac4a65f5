package topology

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// secretKey reads a pre-shared key in swanctl's notation: text; 0x or 0X and
// hexadecimal digits, colons between the octets or not; or 0s or 0S and Base64. What
// swanctl would read as another key than the one meant, without a word, is an error:
// an odd digit, a character that is none of the alphabet, padding that is missing.
func secretKey(t string) ([]byte, error) {
	if len(t) < 2 || t[0] != '0' {
		return []byte(t), nil
	}
	prefix, rest := t[:2], t[2:]
	switch prefix {
	case "0x", "0X":
		key, err := hexKey(rest)
		if err != nil {
			return nil, fmt.Errorf("behind %s %w; %s", prefix, err, asText(t))
		}
		return key, nil
	case "0s", "0S":
		key, err := base64Key(rest)
		if err != nil {
			return nil, fmt.Errorf("behind %s %w; %s", prefix, err, asText(t))
		}
		return key, nil
	}
	return []byte(t), nil
}

// asText says how a key is written that begins like another notation and is text.
func asText(t string) string {
	return fmt.Sprintf("if the text itself is the key, write it in Base64, \"0s%s\"", base64.StdEncoding.EncodeToString([]byte(t)))
}

// hexKey reads hexadecimal digits.
func hexKey(digits string) ([]byte, error) {
	pure := strings.ReplaceAll(digits, ":", "")
	odd := strings.IndexFunc(pure, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) })
	switch {
	case pure == "":
		return nil, errors.New("hexadecimal digits are missing")
	case odd >= 0:
		return nil, fmt.Errorf("stand hexadecimal digits, and %q is none", []rune(pure[odd:])[0])
	case len(pure)%2 != 0:
		return nil, fmt.Errorf("an even number of hexadecimal digits is needed, and here are %d: one is missing, or the first is a 0 that was left out (swanctl reads \"0x0%s\")", len(pure), digits)
	}
	return hex.DecodeString(pure)
}

// base64Key reads Base64 with its padding (RFC 4648 §4).
func base64Key(text string) ([]byte, error) {
	data := strings.TrimRight(text, "=")
	padding := (4 - len(data)%4) % 4
	odd := strings.IndexFunc(data, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '+' && r != '/'
	})
	switch {
	case text == "":
		return nil, errors.New("Base64 is missing")
	case odd >= 0 && (data[odd] == '-' || data[odd] == '_'):
		return nil, fmt.Errorf("stands Base64, and %q belongs to the alphabet for URLs: write \"+\" for \"-\" and \"/\" for \"_\"", data[odd])
	case odd >= 0:
		return nil, fmt.Errorf("stands Base64, and %q is none of its characters", []rune(data[odd:])[0])
	case data == "" || padding == 3:
		return nil, fmt.Errorf("stand %d characters of Base64, which is no whole number of octets: one is missing or too many", len(data))
	case len(text)-len(data) < padding:
		return nil, fmt.Errorf("the Base64 lacks its padding, and swanctl would drop its last octets without a word: add %q at its end", strings.Repeat("=", padding-(len(text)-len(data))))
	case len(text)-len(data) > padding:
		return nil, fmt.Errorf("the Base64 has %d \"=\" at its end, where %d belong", len(text)-len(data), padding)
	}
	return base64.StdEncoding.DecodeString(text)
}
