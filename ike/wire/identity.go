package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// identityTextBytesMax bounds an identity's text.
const identityTextBytesMax = 1024

// IdentityError says why a text is not an identity.
type IdentityError struct {
	// Reason is what is wrong and what would be right, without a full stop.
	Reason string
	// Later names what swanctl has and this implementation has not, "a pattern"; ""
	// for a text that is wrong as it stands.
	Later string
}

// Error is the reason.
func (e *IdentityError) Error() string { return e.Reason }

// identityKinds are swanctl's prefixes; any case is read. Zero is what comes later.
var identityKinds = []struct {
	prefix string
	idType IDType
	later  string
}{
	{prefix: "ipv4", idType: IDTypeIPv4Addr},
	{prefix: "ipv6", idType: IDTypeIPv6Addr},
	{prefix: "fqdn", idType: IDTypeFQDN},
	{prefix: "dns", idType: IDTypeFQDN},
	{prefix: "email", idType: IDTypeRFC822Addr},
	{prefix: "rfc822", idType: IDTypeRFC822Addr},
	{prefix: "userfqdn", idType: IDTypeRFC822Addr},
	{prefix: "keyid", idType: IDTypeKeyID},
	{prefix: "ipv4net", later: laterPrefix},
	{prefix: "ipv6net", later: laterPrefix},
	{prefix: "ipv4range", later: laterRange},
	{prefix: "ipv6range", later: laterRange},
	{prefix: "asn1dn", later: laterDN},
	{prefix: "asn1gn", later: laterGN},
	{prefix: "xmppaddr", later: laterGN},
}

// What an identity may be in swanctl, and not here yet.
const (
	laterDN      = "a distinguished name"
	laterGN      = "a general name"
	laterPattern = "a pattern"
	laterPrefix  = "a prefix"
	laterRange   = "a range of addresses"
)

// ParseIdentity reads an identity as swanctl.conf has it: an address, "name" or
// "@name" for an FQDN, "user@host" or "@@user@host" for a mail address, "@#0a1b" or
// "keyid:text" for a key ID, "%any" for nobody in particular, whose type is 0; or one
// of swanctl's prefixes "ipv4:", "ipv6:", "fqdn:", "dns:", "email:", "rfc822:",
// "userfqdn:" and "keyid:" in front of text or of "#" and hexadecimal digits.
//
// Behind a prefix the text stands as it is. Without one it must look like what it is
// taken for, so that patterns, prefixes, ranges, misspelt addresses and the notations
// of other programs are refused and not taken for names. Errors are *IdentityError.
func ParseIdentity(text string) (IDType, []byte, error) {
	switch {
	case text == "":
		return wrongIdentity(`an identity cannot be empty: write "%%any" for anyone`)
	case len(text) > identityTextBytesMax:
		return wrongIdentity("an identity has at most %d bytes: this has %d", identityTextBytesMax, len(text))
	}
	if kind, rest, found := strings.Cut(text, ":"); found {
		for _, k := range identityKinds {
			switch {
			case !strings.EqualFold(kind, k.prefix):
			case k.later != "":
				return laterIdentity(text, k.later)
			default:
				return typedIdentity(k.idType, kind, rest)
			}
		}
	}
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		if a.IsUnspecified() {
			return 0, nil, nil // swanctl's other way to say %any
		}
		if a.Is4() {
			return IDTypeIPv4Addr, a.AsSlice(), nil
		}
		return IDTypeIPv6Addr, a.AsSlice(), nil
	}
	switch {
	case text == "%any" || text == "%any6":
		return 0, nil, nil
	case text == "*":
		return 0, nil, &IdentityError{Later: laterPattern, Reason: `"*" is a pattern: write "%any" for anyone`}
	case text[0] == '%':
		return wrongIdentity("there is no identity %q: write \"%%any\" for anyone", text)
	case text[0] == '{':
		return wrongIdentity(`%q gives the type of an identity by its number: write "fqdn:", "email:", "ipv4:", "ipv6:" or "keyid:"`, text)
	case strings.HasPrefix(text, "@#"):
		return hexIdentity(IDTypeKeyID, text[2:])
	case strings.HasPrefix(text, "@~"):
		return laterIdentity(text, laterDN)
	case strings.HasPrefix(text, "@["):
		return wrongIdentity(`%q is another program's key ID: write "keyid:%s"`, text, strings.Trim(text[1:], "[]"))
	case strings.ContainsRune(text, '='):
		return laterIdentity(text, laterDN)
	case strings.HasPrefix(text, "@@"):
		return mailIdentity(text, text[2:])
	case text[0] == '@':
		return nameIdentity(text, text[1:])
	case strings.Contains(text, "@"):
		return mailIdentity(text, text)
	}
	return bareIdentity(text)
}

// wrongIdentity is a text that is no identity.
func wrongIdentity(format string, args ...any) (IDType, []byte, error) {
	return 0, nil, &IdentityError{Reason: fmt.Sprintf(format, args...)}
}

// laterIdentity is one that swanctl has and this implementation has not.
func laterIdentity(text, what string) (IDType, []byte, error) {
	return 0, nil, &IdentityError{Later: what, Reason: fmt.Sprintf("%q is %s, which comes later: use a name, a mail address, an address or a key ID", text, what)}
}

// typedIdentity reads what follows a prefix.
func typedIdentity(t IDType, kind, rest string) (IDType, []byte, error) {
	digits, isHex := strings.CutPrefix(rest, "#")
	name := t == IDTypeFQDN || t == IDTypeRFC822Addr
	switch {
	case rest == "":
		return wrongIdentity(`%q says nothing behind its kind`, kind+":")
	case isHex:
		return hexIdentity(t, digits)
	case t == IDTypeIPv4Addr || t == IDTypeIPv6Addr:
		a, err := netip.ParseAddr(rest)
		if err != nil || a.Is4() != (t == IDTypeIPv4Addr) || a.Zone() != "" {
			return wrongIdentity("%q is not an address of the kind %q", rest, kind)
		}
		return t, a.AsSlice(), nil
	case name && strings.ContainsRune(rest, '*'):
		return laterIdentity(kind+":"+rest, laterPattern)
	case name && strings.ContainsFunc(rest, unicode.IsControl):
		return wrongIdentity("%q holds a control character, which no name may (RFC 7296 §3.5)", rest)
	case t == IDTypeKeyID && (strings.HasPrefix(rest, "0x") || strings.HasPrefix(rest, "0X")):
		return wrongIdentity(`a key ID in hexadecimal is written with "#": "%s:#%s"`, kind, rest[2:])
	}
	return t, []byte(rest), nil
}

// hexIdentity reads an identity's octets; colons may stand between them.
func hexIdentity(t IDType, digits string) (IDType, []byte, error) {
	data, err := hex.DecodeString(strings.ReplaceAll(strings.TrimPrefix(digits, "0x"), ":", ""))
	if err != nil || len(data) == 0 {
		return wrongIdentity(`%q is not an even number of hexadecimal digits: a key ID is written "@#0a1b2c"`, digits)
	}
	if problem := checkID(t, len(data)); problem != "" {
		return wrongIdentity("%q has %d octets: %s", digits, len(data), problem)
	}
	return t, data, nil
}

// nameIdentity reads an FQDN that no prefix marks as one.
func nameIdentity(text, name string) (IDType, []byte, error) {
	switch {
	case strings.ContainsRune(name, '*'):
		return laterIdentity(text, laterPattern)
	case !isName(name):
		return wrongIdentity(`%q is not a name, which has letters, digits, "-", "_" and single dots: to use any other text, write "fqdn:" or "keyid:" in front of it`, name)
	}
	return IDTypeFQDN, []byte(name), nil
}

// mailIdentity reads a mail address that no prefix marks as one.
func mailIdentity(text, address string) (IDType, []byte, error) {
	at := strings.LastIndexByte(address, '@')
	odd := func(r rune) bool { return !isNameRune(r) && !strings.ContainsRune(".+'!&~^$", r) }
	switch {
	case strings.ContainsRune(address, '*'):
		return laterIdentity(text, laterPattern)
	case at < 1 || strings.ContainsFunc(address[:at], odd) || !isName(address[at+1:]):
		return wrongIdentity(`%q is not a mail address, which has a name, "@" and a domain: to use any other text, write "email:" or "keyid:" in front of it`, address)
	}
	return IDTypeRFC822Addr, []byte(address), nil
}

// bareIdentity reads what is neither an address nor marked by "@": an FQDN, or the
// misspelling of something else.
func bareIdentity(text string) (IDType, []byte, error) {
	low, high, isRange := strings.Cut(text, "-")
	kind, rest, colon := strings.Cut(text, ":")
	network, _, isPrefix := strings.Cut(text, "/")
	switch {
	case isPrefix && looksLikeAddress(network):
		return laterIdentity(text, laterPrefix)
	case text[0] == '/':
		return laterIdentity(text, laterDN) // as OpenSSL prints it
	case isRange && looksLikeAddress(low) && looksLikeAddress(high):
		return laterIdentity(text, laterRange)
	case looksLikeAddress(strings.ReplaceAll(text, "-", "")):
		return wrongIdentity(`%q looks like an address and is none: correct it, or write "fqdn:%s" to use it as a name`, text, text)
	case colon && rest != "" && isName(kind):
		return wrongIdentity(`there is no kind %q of identity: write "fqdn:", "email:", "ipv4:", "ipv6:" or "keyid:"; swanctl reads %q as "keyid:%s"`, kind, text, text)
	}
	return nameIdentity(text, text)
}

// looksLikeAddress reports whether somebody must have meant an address: digits and
// dots alone, or hexadecimal digits with two colons or more.
func looksLikeAddress(text string) bool {
	text, _, _ = strings.Cut(text, "%") // a zone
	if strings.Count(text, ":") >= 2 {
		return strings.Trim(text, "0123456789abcdefABCDEF:.") == ""
	}
	return text != "" && strings.Trim(text, "0123456789.") == "" && strings.Contains(text, ".")
}

// isName reports whether a text can be an FQDN: labels of letters, digits, "-" and
// "_" with dots between them, and perhaps one at the end.
func isName(text string) bool {
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return !isNameRune(r) }) {
			return false
		}
	}
	return true
}

func isNameRune(r rune) bool {
	return r != unicode.ReplacementChar && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || r == '-' || r == '_')
}
