package decode

import (
	"encoding/binary"
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/suite"
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
	if port == 0 {
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
	if r.Header.MajorVersion != 2 {
		b = append(b, r.Note...)
		if r.Note == "" {
			b = append(b, "IKE of an unknown version"...)
		}
		b = append(b, ", "...)
		return appendCount(b, r.Bytes, " octets")
	}
	b = append(b, r.Header.Exchange.String()...)
	if r.Header.IsResponse() {
		b = append(b, " response "...)
	} else {
		b = append(b, " request "...)
	}
	b = strconv.AppendUint(b, uint64(r.Header.MessageID), 10)
	if r.Retransmission > 0 {
		b = append(b, "  [retransmission "...)
		b = strconv.AppendInt(b, int64(r.Retransmission), 10)
		b = append(b, ']')
	}
	if r.Elsewhere {
		b = append(b, "  [seen at another point]"...)
	}
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
	return appendState(b, r)
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

func appendESP(b []byte, r *Record) []byte {
	b = append(b, "ESP "...)
	b = appendSPI(b, r.SPI)
	b = append(b, " #"...)
	b = strconv.AppendUint(b, r.Seq, 10)
	if r.Replay {
		b = append(b, "  [replay]"...)
	}
	b = append(b, ' ', ' ')
	if r.Decrypted {
		b = appendInner(b, r.NextHeader, r.Inner)
	} else {
		b = appendCount(b, r.Bytes, " octets")
	}
	if r.Note != "" {
		b = append(b, "; "...)
		b = append(b, r.Note...)
	}
	return appendState(b, r)
}

func appendAH(b []byte, r *Record) []byte {
	b = append(b, "AH "...)
	b = appendSPI(b, r.SPI)
	b = append(b, " #"...)
	b = strconv.AppendUint(b, r.Seq, 10)
	if r.Replay {
		b = append(b, "  [replay]"...)
	}
	b = append(b, ' ', ' ')
	if r.Inner != nil {
		b = appendInner(b, r.NextHeader, r.Inner)
	}
	return append(b, "; icv unchecked"...)
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
	case protocol == protocolICMP && len(payload) >= header.ICMPv4MinimumSize:
		switch header.ICMPv4Type(payload[0]) {
		case header.ICMPv4Echo:
			b = append(b, " echo request"...)
		case header.ICMPv4EchoReply:
			b = append(b, " echo reply"...)
		default:
			b = append(b, " type "...)
			b = strconv.AppendUint(b, uint64(payload[0]), 10)
		}
	case protocol == protocolICMPv6 && len(payload) >= 4:
		switch header.ICMPv6Type(payload[0]) {
		case header.ICMPv6EchoRequest:
			b = append(b, " echo request"...)
		case header.ICMPv6EchoReply:
			b = append(b, " echo reply"...)
		default:
			b = append(b, " type "...)
			b = strconv.AppendUint(b, uint64(payload[0]), 10)
		}
	}
	return b
}
