package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// HeaderBytes is the length of an IKE header (RFC 7296 §3.1).
const HeaderBytes = 28

// payloadHeaderBytes is the length of a generic payload header (RFC 7296 §3.2).
const payloadHeaderBytes = 4

// criticalBit is the critical bit in the second octet of a generic payload header.
const criticalBit = 0x80

// SPI is the SPI of an IKE SA; zero means "not chosen yet" (RFC 7296 §3.1).
type SPI [8]byte

// String is 16 hexadecimal digits.
func (s SPI) String() string { return hex.EncodeToString(s[:]) }

// IsZero reports whether the SPI is unset.
func (s SPI) IsZero() bool { return s == SPI{} }

// Header is an IKE header (RFC 7296 §3.1). NextPayload and Length are what was
// received; Append computes both.
type Header struct {
	InitiatorSPI SPI
	ResponderSPI SPI
	NextPayload  PayloadType
	MajorVersion uint8 // 4 bits; Append writes 2.0 when Major and Minor are both zero
	MinorVersion uint8 // 4 bits
	Exchange     ExchangeType
	Flags        Flags
	MessageID    uint32
	Length       uint32 // octets of the whole message
}

// IsResponse reports whether the Response flag is set.
func (h Header) IsResponse() bool { return h.Flags&FlagResponse != 0 }

// FromInitiator reports whether the original initiator of the IKE SA sent the message.
func (h Header) FromInitiator() bool { return h.Flags&FlagInitiator != 0 }

// Message is an IKE message: a header and a chain of payloads. An Encrypted or
// EncryptedFragment payload can only be the last one (RFC 7296 §3.14).
type Message struct {
	Header   Header
	Payloads []Payload
}

// ParseHeader reads the header alone and checks nothing but that 28 octets are
// there, so that a message which Parse refuses can still be attributed and answered.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderBytes {
		return Header{}, &ParseError{
			Offset: len(b), Field: "IKE Header",
			Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), HeaderBytes),
		}
	}
	return Header{
		InitiatorSPI: SPI(b[0:8]),
		ResponderSPI: SPI(b[8:16]),
		NextPayload:  PayloadType(b[16]),
		MajorVersion: b[17] >> 4,
		MinorVersion: b[17] & 0x0f,
		Exchange:     ExchangeType(b[18]),
		Flags:        Flags(b[19]),
		MessageID:    binary.BigEndian.Uint32(b[20:24]),
		Length:       binary.BigEndian.Uint32(b[24:28]),
	}, nil
}

// Parse reads a whole IKE message, without the non-ESP marker. Its errors are
// *ParseError, *VersionError and *UnsupportedCriticalError. The result does not
// alias b.
func Parse(b []byte) (*Message, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	if h.MajorVersion != 2 {
		return nil, &VersionError{Major: h.MajorVersion, Minor: h.MinorVersion}
	}
	if uint64(h.Length) != uint64(len(b)) {
		return nil, &ParseError{Offset: 24, Field: "Length",
			Reason: fmt.Sprintf("says %d octets, the message has %d", h.Length, len(b))}
	}
	if len(b) > messageBytesMax {
		return nil, &ParseError{Offset: 24, Field: "Length",
			Reason: fmt.Sprintf("says %d octets, at most %d are accepted", h.Length, messageBytesMax)}
	}
	ps, err := parseChain(h.NextPayload, clone(b), HeaderBytes, true)
	if err != nil {
		return nil, err
	}
	return &Message{Header: h, Payloads: ps}, nil
}

// Append writes the message after dst, computing NextPayload and Length. Errors
// are *EncodeError, and dst is then returned as it was given.
//
// To seal a message, give the last payload (Encrypted or EncryptedFragment) a
// Body of the final length: the octets before it are the associated data of
// RFC 5282 §5.1, and it is the tail of what Append returns.
func (m *Message) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	h := m.Header
	if h.MajorVersion == 0 && h.MinorVersion == 0 {
		h.MajorVersion = 2
	}
	if h.MajorVersion > 15 || h.MinorVersion > 15 {
		return dst, &EncodeError{Field: "Version", Reason: fmt.Sprintf("%d.%d does not fit into 4 bits each", h.MajorVersion, h.MinorVersion)}
	}
	b := append(dst, h.InitiatorSPI[:]...)
	b = append(b, h.ResponderSPI[:]...)
	b = append(b, byte(FirstType(m.Payloads)), h.MajorVersion<<4|h.MinorVersion, byte(h.Exchange), byte(h.Flags))
	b = binary.BigEndian.AppendUint32(b, h.MessageID)
	b = append(b, 0, 0, 0, 0)
	b, err := appendChain(b, m.Payloads, true)
	if err != nil {
		return dst, err
	}
	size := len(b) - start
	if size > messageBytesMax {
		return dst, &EncodeError{Field: "Length", Reason: fmt.Sprintf("%d octets, a message has at most %d", size, messageBytesMax)}
	}
	binary.BigEndian.PutUint32(b[start+24:], uint32(size))
	return b, nil
}

// clone copies b with no spare capacity, and never returns nil, so that an empty
// field reads back as an empty slice.
func clone(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c
}
