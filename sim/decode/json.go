package decode

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// jsonTime is RFC 3339 with nanoseconds, so that lines sort as text.
const jsonTime = "2006-01-02T15:04:05.000000000Z"

// AppendJSON adds one record to b as a line of JSON, whose schema is
// docs/decode.md. It is written by hand because a capture has millions.
func AppendJSON(b []byte, r *Record) []byte {
	b = append(b, `{"frame":`...)
	b = strconv.AppendUint(b, r.Frame, 10)
	b = append(b, `,"time":"`...)
	b = r.Time.UTC().AppendFormat(b, jsonTime)
	b = append(b, `","kind":"`...)
	b = append(b, r.Kind...)
	b = append(b, '"')
	b = appendUint(b, "interface", uint64(r.Interface), r.Interface > 0)
	b = appendUint(b, "layer", uint64(r.Layer), r.Layer > 0)
	if r.Src.IsValid() {
		b = append(b, `,"src":"`...)
		b = r.Src.AppendTo(b)
		b = append(b, `","dst":"`...)
		b = r.Dst.AppendTo(b)
		b = append(b, '"')
		if r.SrcPort != 0 || r.DstPort != 0 {
			b = appendUint(b, "sport", uint64(r.SrcPort), true)
			b = appendUint(b, "dport", uint64(r.DstPort), true)
		}
		if r.Transport != "" {
			b = append(b, `,"transport":"`...)
			b = append(b, r.Transport...)
			b = append(b, '"')
		}
	}
	b = appendUint(b, "bytes", uint64(max(r.Bytes, 0)), true)
	b = appendUint(b, "ip_fragments", uint64(r.Frames), r.Frames > 0)
	if r.Kind == KindIKE && r.HasHeader {
		b = appendIKEJSON(b, r)
	}
	if (r.Kind == KindESP || r.Kind == KindAH) && (r.SPI != 0 || r.Seq != 0) {
		b = append(b, `,"spi":"`...)
		b = appendHex(b, r.SPI)
		b = append(b, '"')
		b = appendUint(b, "seq", r.Seq, true)
		if r.Replay {
			b = append(b, `,"replay":true`...)
		}
		b = appendUint(b, "next_header", uint64(r.NextHeader), r.Decrypted || r.Kind == KindAH)
	}
	if r.Encrypted {
		b = append(b, `,"decrypted":`...)
		b = strconv.AppendBool(b, r.Decrypted)
	}
	if r.Encrypted || r.Kind == KindAH {
		b = append(b, `,"icv":"`...)
		b = append(b, r.ICV.String()...)
		b = append(b, '"')
	}
	if r.Decrypted || r.Inner != nil {
		b = append(b, `,"inner":"`...)
		b = hex.AppendEncode(b, r.Inner)
		b = append(b, '"')
	}
	if r.Note != "" {
		b = append(b, `,"note":`...)
		b = appendString(b, r.Note)
	}
	if r.Err != nil {
		b = append(b, `,"error":{"payload":`...)
		b = appendString(b, r.Err.Where)
		b = appendUint(b, "offset", uint64(max(r.Err.Offset, 0)), true)
		if r.Err.Field != "" {
			b = append(b, `,"field":`...)
			b = appendString(b, r.Err.Field)
		}
		b = append(b, `,"reason":`...)
		b = appendString(b, r.Err.Reason)
		b = append(b, '}')
	}
	return append(b, '}', '\n')
}

func appendIKEJSON(b []byte, r *Record) []byte {
	h := r.Header
	b = append(b, `,"version":"`...)
	b = strconv.AppendUint(b, uint64(h.MajorVersion), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(h.MinorVersion), 10)
	b = append(b, `","initiator_spi":"`...)
	b = hex.AppendEncode(b, h.InitiatorSPI[:])
	b = append(b, `","responder_spi":"`...)
	b = hex.AppendEncode(b, h.ResponderSPI[:])
	b = append(b, '"')
	if h.MajorVersion == 2 {
		b = append(b, `,"exchange":`...)
		b = appendString(b, h.Exchange.String())
		b = append(b, `,"initiator":`...)
		b = strconv.AppendBool(b, h.FromInitiator())
		b = append(b, `,"response":`...)
		b = strconv.AppendBool(b, h.IsResponse())
	} else {
		b = appendUint(b, "exchange_number", uint64(h.Exchange), true)
	}
	b = appendUint(b, "message_id", uint64(h.MessageID), true)
	if h.MajorVersion == 2 {
		b = appendStrings(b, "payloads", r.Payloads)
		b = appendStrings(b, "details", r.Details)
	}
	b = appendUint(b, "fragment", uint64(r.Fragment), r.Fragments > 0)
	b = appendUint(b, "fragments", uint64(r.Fragments), r.Fragments > 0)
	b = appendUint(b, "retransmission", uint64(r.Retransmission), r.Retransmission > 0)
	if r.Elsewhere {
		b = append(b, `,"elsewhere":true`...)
	}
	return b
}

// appendUint adds a number under a name.
func appendUint(b []byte, name string, n uint64, wanted bool) []byte {
	if !wanted {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendUint(b, n, 10)
}

func appendStrings(b []byte, name string, values []string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, v)
	}
	return append(b, ']')
}

// appendString writes a JSON string (RFC 8259 §7). What is no UTF-8 becomes the
// replacement character.
func appendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b, i = append(b, '\\', c), i+1
		case c < 0x20 || c == 0x7f:
			b, i = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15]), i+1
		case c < utf8.RuneSelf:
			b, i = append(b, c), i+1
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b, i = utf8.AppendRune(b, r), i+n
		}
	}
	return append(b, '"')
}
