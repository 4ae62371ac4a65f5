package decode

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Columns of a line.
const (
	frameColumns = 6
	timeColumns  = 12
)

// Text writes records as lines for people.
type Text struct {
	// InterfaceName, where it is set and answers something, says on which
	// interface a frame was seen.
	InterfaceName func(number int) string

	start   time.Time
	started bool
}

// Append adds one record's line to b.
func (t *Text) Append(b []byte, r *Record) []byte {
	if !t.started {
		t.start, t.started = r.Time, true
	}
	b = right(b, frameColumns, func(b []byte) []byte { return strconv.AppendUint(b, r.Frame, 10) })
	b = right(append(b, ' '), timeColumns, func(b []byte) []byte { return appendSeconds(b, r.Time.Sub(t.start)) })
	b = append(b, ' ', ' ')
	ofFile := r.Err != nil && r.Err.Where == whereCapture // and of no frame
	if t.InterfaceName != nil && !ofFile {
		if name := t.InterfaceName(r.Interface); name != "" {
			b = append(append(b, safe(name)...), ": "...)
		}
	}
	for range r.Layer {
		b = append(b, "└ "...)
	}
	if r.Src.IsValid() {
		b = appendEnd(b, r, true)
		b = append(b, " > "...)
		b = appendEnd(b, r, false)
		b = append(b, ' ', ' ')
	}
	switch r.Kind {
	case KindIKE:
		b = appendIKE(b, r)
	case KindESP:
		b = appendESP(b, r)
	case KindAH:
		b = appendAH(b, r)
	default:
		if ofFile {
			break
		}
		if r.Note != "" {
			b = append(b, r.Note...)
			b = append(b, ", "...)
		}
		b = appendCount(b, r.Bytes, " octets")
		b = appendCopies(b, r)
	}
	if r.Frames > 0 {
		b = append(b, "  [of "...)
		b = appendCount(b, r.Frames, " IP fragments]")
	}
	if r.Err != nil {
		if !ofFile {
			b = append(b, "  "...)
		}
		b = append(append(b, "MALFORMED "...), r.Err.Error()...)
	}
	return append(b, '\n')
}

// right aligns what write appends.
func right(b []byte, columns int, write func([]byte) []byte) []byte {
	var scratch [40]byte
	value := write(scratch[:0])
	for n := len(value); n < columns; n++ {
		b = append(b, ' ')
	}
	return append(b, value...)
}

// appendSeconds writes an interval with microseconds.
func appendSeconds(b []byte, d time.Duration) []byte {
	if d < 0 {
		b, d = append(b, '-'), -d
	}
	micros := uint64(d / time.Microsecond)
	b = strconv.AppendUint(b, micros/1e6, 10)
	b = append(b, '.')
	rest := micros % 1e6
	for unit := uint64(100000); unit > 0; unit /= 10 {
		b = append(b, byte('0'+rest/unit%10))
	}
	return b
}

func appendCount(b []byte, n int, noun string) []byte {
	return append(strconv.AppendInt(b, int64(n), 10), noun...)
}

func appendEnd(b []byte, r *Record, src bool) []byte {
	a, port := r.Dst, r.DstPort
	if src {
		a, port = r.Src, r.SrcPort
	}
	if !r.HasPorts {
		return a.AppendTo(b)
	}
	if a.Is6() {
		b = append(a.AppendTo(append(b, '[')), ']')
	} else {
		b = a.AppendTo(b)
	}
	return strconv.AppendUint(append(b, ':'), uint64(port), 10)
}

func appendIKE(b []byte, r *Record) []byte {
	if !r.HasHeader {
		b = append(b, "IKE, "...)
		return appendCount(b, r.Bytes, " octets")
	}
	h := r.Header
	if h.MajorVersion != 2 {
		if h.MajorVersion == 1 {
			b = appendIKEv1(b, h)
		} else {
			b = append(b, "IKE of an unknown version"...)
		}
		b = appendSightings(b, r)
		b = append(b, ", "...)
		b = appendCount(b, r.Bytes, " octets")
		if r.Note != "" {
			b = append(append(b, "; "...), r.Note...)
		}
		return b
	}
	b = append(b, h.Exchange.String()...)
	if h.IsResponse() {
		b = append(b, " response "...)
	} else {
		b = append(b, " request "...)
	}
	b = strconv.AppendUint(b, uint64(h.MessageID), 10)
	b = appendSightings(b, r)
	b = append(b, ' ')
	for i, detail := range r.Details {
		b = append(b, ' ')
		if sealed(r.Payloads[i]) && r.Decrypted {
			b = append(b, r.Payloads[i]...)
			if r.Fragments > 0 {
				b = append(b, '(')
				b = strconv.AppendUint(b, uint64(r.Fragment), 10)
				b = append(b, '/')
				b = strconv.AppendUint(b, uint64(r.Fragments), 10)
				b = append(b, ')')
			}
			b = append(b, ':')
			if i == len(r.Details)-1 && len(r.Inner) == 0 {
				b = append(b, " nothing"...)
			}
			continue
		}
		b = append(b, detail...)
	}
	if r.Note != "" {
		b = append(b, "; "...)
		b = append(b, r.Note...)
	}
	b = appendState(b, r)
	return appendRemarks(b, r)
}

func appendRemarks(b []byte, r *Record) []byte {
	for _, remark := range r.Remarks {
		b = append(append(b, "  REMARK "...), remark...)
	}
	return b
}

// appendIKEv1 names an IKEv1 message by its header: exchange, cookies, message ID.
func appendIKEv1(b []byte, h wire.Header) []byte {
	b = append(append(b, "IKEv1 "...), exchangeName(h)...)
	return appendCookies(append(b, ' '), h)
}

// appendCookies writes what tells one IKEv1 exchange from another.
func appendCookies(b []byte, h wire.Header) []byte {
	b = hex.AppendEncode(b, h.InitiatorSPI[:])
	b = hex.AppendEncode(append(b, '-'), h.ResponderSPI[:])
	b = appendHex(append(b, " message ID 0x"...), h.MessageID)
	if h.Flags&flagV1Encrypted != 0 {
		b = append(b, " encrypted"...)
	}
	return b
}

// appendSightings marks a message that was there before.
func appendSightings(b []byte, r *Record) []byte {
	if r.Retransmission > 0 {
		b = append(b, "  [retransmission "...)
		b = strconv.AppendInt(b, int64(r.Retransmission), 10)
		b = append(b, ']')
	}
	return appendCopies(b, r)
}

// appendCopies marks a packet of which the capture has another copy.
func appendCopies(b []byte, r *Record) []byte {
	if r.Duplicate {
		b = append(b, "  [captured twice]"...)
	}
	if r.Elsewhere {
		b = append(b, "  [seen at another point]"...)
	}
	return b
}

// sealed reports whether a payload holds others encrypted.
func sealed(notation string) bool { return notation == "SK" || notation == "SKF" }

// appendState says how decryption and the check value stand, where there is
// something to decrypt.
func appendState(b []byte, r *Record) []byte {
	if !r.Encrypted {
		return b
	}
	if !r.Decrypted {
		b = append(b, "; not decrypted"...)
	}
	switch r.ICV {
	case suite.ICVGood:
		return append(b, "; icv ok"...)
	case suite.ICVBad:
		return append(b, "; ICV BAD"...)
	}
	if r.Decrypted {
		b = append(b, "; icv unchecked"...)
	}
	return b
}

func appendSPI(b []byte, spi uint32) []byte {
	return appendHex(append(b, '0', 'x'), spi)
}

// appendHex writes eight hexadecimal digits.
func appendHex(b []byte, spi uint32) []byte {
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, digits[spi>>shift&15])
	}
	return b
}

// appendSecured names an ESP or AH packet as far as it was captured, and says how
// its sequence number stands to those before it.
func appendSecured(b []byte, r *Record) []byte {
	if !r.HasSPI {
		return append(b, " without SPI"...)
	}
	b = appendSPI(append(b, ' '), r.SPI)
	if !r.HasSeq {
		return b
	}
	b = append(b, " #"...)
	b = strconv.AppendUint(b, r.Seq, 10)
	if r.Replay {
		b = append(b, "  [replay]"...)
	}
	if r.Gap > 0 {
		b = append(b, "  ["...)
		b = strconv.AppendUint(b, r.Gap, 10)
		b = append(b, " missing before it]"...)
	}
	if r.Late > 0 && !r.Replay {
		b = append(b, "  [late, "...)
		b = strconv.AppendUint(b, r.Late, 10)
		b = append(b, " behind]"...)
	}
	return appendCopies(b, r)
}

func appendESP(b []byte, r *Record) []byte {
	b = appendSecured(append(b, "ESP"...), r)
	b = append(b, ' ', ' ')
	if r.Decrypted {
		b = appendInner(b, r.NextHeader, r.Inner)
	} else {
		b = appendCount(b, r.Bytes, " octets")
	}
	if r.TFC > 0 {
		b = appendCount(append(b, ", "...), r.TFC, " octets of TFC padding")
	}
	if r.Note != "" {
		b = append(b, "; "...)
		b = append(b, r.Note...)
	}
	return appendRemarks(appendState(b, r), r)
}

func appendAH(b []byte, r *Record) []byte {
	b = appendSecured(append(b, "AH"...), r)
	b = append(b, ' ', ' ')
	if r.Inner != nil {
		b = appendInner(b, r.NextHeader, r.Inner)
	} else {
		b = appendCount(b, r.Bytes, " octets")
	}
	if r.Note != "" {
		b = append(append(b, "; "...), r.Note...)
	}
	if !r.HasSeq {
		return b
	}
	return appendRemarks(append(b, "; icv unchecked"...), r)
}

// appendInner says what a decrypted packet is.
func appendInner(b []byte, nextHeader uint8, inner []byte) []byte {
	switch nextHeader {
	case protocolIPv4, protocolIPv6:
		g, m := parseIP(inner, 0)
		if m != nil {
			b = append(b, protocolName(nextHeader)...)
			b = append(b, ", malformed: "...)
			return append(b, m.Error()...)
		}
		b = g.src.AppendTo(b)
		b = append(b, " > "...)
		b = g.dst.AppendTo(b)
		b = append(b, ' ')
		if g.fragment {
			b = append(b, "fragment of "...)
			b = append(b, protocolName(g.protocol)...)
		} else {
			b = appendProtocol(b, g.protocol, g.payload)
		}
	case protocolNoNext:
		b = append(b, "dummy packet"...)
	default:
		b = appendProtocol(b, nextHeader, inner)
	}
	b = append(b, ", "...)
	return appendCount(b, len(inner), " octets")
}

// appendProtocol names a protocol with its ports, or what sort of ICMP it is.
func appendProtocol(b []byte, protocol uint8, payload []byte) []byte {
	b = append(b, protocolName(protocol)...)
	switch {
	case (protocol == protocolUDP || protocol == protocolTCP) && len(payload) >= 4:
		b = append(b, ' ')
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(payload)), 10)
		b = append(b, " > "...)
		b = strconv.AppendUint(b, uint64(binary.BigEndian.Uint16(payload[2:])), 10)
	case protocol == protocolICMP || protocol == protocolICMPv6:
		if m, _ := parseICMP(protocol, payload, 0); m != nil {
			b = m.appendText(append(b, ' '))
		}
	}
	return b
}
