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
	ofFile := r.Err != nil && r.Err.Where == whereCapture // and of no interface
	switch {
	case ofFile:
	case r.Interface|r.Layer == 0: // as in most lines
		b = append(b, `,"interface":0,"layer":0`...)
	default:
		b = appendUint(b, "interface", uint64(max(r.Interface, 0)), true)
		b = appendUint(b, "layer", uint64(r.Layer), true)
	}
	if r.Src.IsValid() {
		b = append(b, `,"src":"`...)
		b = r.Src.AppendTo(b)
		b = append(b, `","dst":"`...)
		b = r.Dst.AppendTo(b)
		b = append(b, '"')
		b = appendUint(b, "sport", uint64(r.SrcPort), r.HasPorts)
		b = appendUint(b, "dport", uint64(r.DstPort), r.HasPorts)
		if r.Transport != "" {
			b = append(b, `,"transport":"`...)
			b = append(b, r.Transport...)
			b = append(b, '"')
		}
	}
	b = appendUint(b, "bytes", uint64(max(r.Bytes, 0)), true)
	switch {
	case r.Frames > 0:
		b = appendUint(b, "ip_fragments", uint64(r.Frames), true)
	case r.Kind != KindOther && r.Transport != "tcp":
		b = append(b, `,"ip_fragments":0`...)
	}
	switch r.Kind {
	case KindIKE:
		b = appendIKEJSON(b, r)
	case KindESP, KindAH:
		b = appendSecuredJSON(b, r)
	default:
		b = appendBool(b, "duplicate", true, r.Duplicate)
		if r.ICMP != nil {
			b = r.ICMP.appendJSON(b)
		}
		if r.Unread != "" {
			b = append(b, `,"unread":`...)
			b = appendString(b, r.Unread)
		}
	}
	if r.Encrypted {
		b = append(b, `,"decrypted":`...)
		b = strconv.AppendBool(b, r.Decrypted)
	}
	if r.Encrypted || r.Kind == KindAH && r.HasSeq {
		b = append(b, `,"icv":"`...)
		b = append(b, r.ICV.String()...)
		b = append(b, '"')
	}
	if r.Decrypted || r.Inner != nil {
		b = append(b, `,"inner":"`...)
		b = hex.AppendEncode(b, r.Inner)
		b = append(b, '"')
		if r.Kind == KindESP {
			b = append(b, `,"tfc_padding":`...)
			b = strconv.AppendUint(b, uint64(r.TFC), 10)
		}
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

// Octets of the IKE header at which fields end (RFC 7296 §3.1).
const (
	initiatorSPIEnd = 8
	responderSPIEnd = 16
	versionEnd      = 18
	exchangeEnd     = 19
	flagsEnd        = 20
	messageIDEnd    = 24
)

// appendIKEJSON writes the fields that were captured: a header may be cut.
func appendIKEJSON(b []byte, r *Record) []byte {
	h := r.Header
	if r.HeaderBytes >= versionEnd {
		b = append(b, `,"version":"`...)
		b = strconv.AppendUint(b, uint64(h.MajorVersion), 10)
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(h.MinorVersion), 10)
		b = append(b, '"')
	}
	if r.HeaderBytes >= initiatorSPIEnd {
		b = append(b, `,"initiator_spi":"`...)
		b = hex.AppendEncode(b, h.InitiatorSPI[:])
		b = append(b, '"')
	}
	if r.HeaderBytes >= responderSPIEnd {
		b = append(b, `,"responder_spi":"`...)
		b = hex.AppendEncode(b, h.ResponderSPI[:])
		b = append(b, '"')
	}
	if r.HeaderBytes >= exchangeEnd {
		if name := exchangeName(h); name != "" {
			b = append(b, `,"exchange":`...)
			b = appendString(b, name)
		}
		b = appendUint(b, "exchange_number", uint64(h.Exchange), h.MajorVersion != 2)
	}
	if r.HeaderBytes >= flagsEnd && h.MajorVersion == 2 {
		b = appendBool(b, "initiator", h.FromInitiator(), true)
		b = appendBool(b, "response", h.IsResponse(), true)
	}
	b = appendUint(b, "message_id", uint64(h.MessageID), r.HeaderBytes >= messageIDEnd)
	if r.HasHeader && h.MajorVersion == 2 {
		b = appendStrings(b, "payloads", r.Payloads)
		b = appendStrings(b, "details", r.Details)
		b = appendStrings(b, "remarks", r.Remarks)
	}
	b = appendUint(b, "fragment", uint64(r.Fragment), r.Fragments > 0)
	b = appendUint(b, "fragments", uint64(r.Fragments), r.Fragments > 0)
	b = appendUint(b, "retransmission", uint64(r.Retransmission), r.Tracked)
	b = appendBool(b, "duplicate", r.Duplicate, r.Tracked)
	return appendBool(b, "elsewhere", r.Elsewhere, r.Tracked)
}

// appendSecuredJSON writes what is known of an ESP or AH packet.
func appendSecuredJSON(b []byte, r *Record) []byte {
	if r.HasSPI {
		b = append(b, `,"spi":"`...)
		b = appendHex(b, r.SPI)
		b = append(b, '"')
	}
	b = appendUint(b, "seq", r.Seq, r.HasSeq)
	switch {
	case !r.Tracked:
	case r.HasGap && r.Gap|r.Late == 0 && !r.Replay && !r.Duplicate && !r.Elsewhere: // as in most lines
		b = append(b, `,"replay":false,"duplicate":false,"elsewhere":false,"gap":0,"late":0`...)
	default:
		b = appendBool(b, "replay", r.Replay, true)
		b = appendBool(b, "duplicate", r.Duplicate, true)
		b = appendBool(b, "elsewhere", r.Elsewhere, true)
		b = appendUint(b, "gap", r.Gap, r.HasGap)
		b = appendUint(b, "late", r.Late, r.HasGap)
	}
	if len(r.Remarks) > 0 {
		b = appendStrings(b, "remarks", r.Remarks)
	}
	return appendUint(b, "next_header", uint64(r.NextHeader), r.HasNextHeader)
}

// appendBool adds a truth value under a name.
func appendBool(b []byte, name string, value, wanted bool) []byte {
	if !wanted {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendBool(b, value)
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
