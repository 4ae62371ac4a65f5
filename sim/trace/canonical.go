package trace

import (
	"strconv"
	"unicode/utf8"
)

// appendLine appends the canonical line of a record, with its newline: a JSON object with the keys at, node,
// kind and fields in this order, without spaces.
func appendLine(b []byte, r Record) []byte {
	b = append(b, `{"at":`...)
	b = strconv.AppendInt(b, int64(r.At), 10)
	b = append(b, `,"node":`...)
	b = appendString(b, r.Node)
	b = append(b, `,"kind":`...)
	b = appendString(b, r.Kind)
	b = append(b, `,"fields":{`...)
	for i, f := range r.Fields {
		if i > 0 {
			b = append(b, ',')
		}
		key := f.Key
		if n := occurrence(r.Fields, i); n > 1 {
			key += "#" + strconv.Itoa(n)
		}
		b = appendString(b, key)
		b = append(b, ':')
		b = appendString(b, f.Value)
	}
	return append(b, "}}\n"...)
}

// occurrence returns how often the key of field i stands among the fields up to and including i. Records have
// a handful of fields, so comparing is cheaper than a table.
func occurrence(fields []Field, i int) int {
	n := 1
	for _, f := range fields[:i] {
		if f.Key == fields[i].Key {
			n++
		}
	}
	return n
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259 §7) in the one form that the digest knows: only what must be
// escaped is, control characters as \u00XX, and a byte that is not UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < 0x20:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b = utf8.AppendRune(b, r) // utf8.RuneError for a stray byte
		i += n
	}
	return append(b, '"')
}
