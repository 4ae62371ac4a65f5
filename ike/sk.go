package ike

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// errNotProtected is a message that should be an SK payload and is not.
var errNotProtected = errors.New("not protected: the message does not end with an Encrypted payload")

// skSender seals one direction's messages.
type skSender struct {
	crypter suite.Crypter
	counter uint64    // IVs of AEADs and counter modes: they must only be unique
	ivs     io.Reader // IVs of CBC: they must be unpredictable
}

// encode writes a message of this end, sealed unless it belongs to IKE_SA_INIT.
func (m *Machine) encode(sa *ikeSA, h wire.Header, ps []wire.Payload) ([]byte, error) {
	if h.Exchange == wire.ExchangeIKESAInit {
		return (&wire.Message{Header: h, Payloads: ps}).Append(nil)
	}
	return sa.keys.send.seal(h, ps)
}

// seal writes SK{payloads} (RFC 7296 §3.14, RFC 5282 §3).
func (s *skSender) seal(h wire.Header, ps []wire.Payload) ([]byte, error) {
	text, err := wire.AppendPayloads(nil, ps)
	if err != nil {
		return nil, err
	}
	return s.sealText(h, wire.FirstType(ps), text)
}

// sealText writes SK with payloads that are octets already, first the type of the
// first of them.
func (s *skSender) sealText(h wire.Header, first wire.PayloadType, text []byte) ([]byte, error) {
	align := s.crypter.AlignBytes()
	padding := (align - (len(text)+1)%align) % align
	text = append(text, make([]byte, padding)...)
	text = append(text, byte(padding))

	ivBytes, icvBytes := s.crypter.IVBytes(), s.crypter.ICVBytes()
	body := make([]byte, ivBytes+len(text)+icvBytes)
	b, err := (&wire.Message{Header: h, Payloads: []wire.Payload{
		&wire.Encrypted{First: first, Body: body},
	}}).Append(nil)
	if err != nil {
		return nil, err
	}
	offset := len(b) - len(body)
	iv, rest := b[offset:offset+ivBytes], b[offset+ivBytes:]
	copy(rest, text)
	if ivBytes == 8 {
		binary.BigEndian.PutUint64(iv, s.counter)
		s.counter++
	} else {
		copy(iv, readFull(s.ivs, ivBytes))
	}
	s.crypter.Seal(iv, rest[:len(text)], rest[len(text):], b[:offset], nil)
	return b, nil
}

// opened is the plaintext of an SK payload whose integrity check held.
type opened struct {
	first wire.PayloadType
	text  []byte // with padding
}

// open checks and decrypts a message of the peer. The message is left as it is. What
// stands before SK is covered by the integrity check (RFC 7296 §3.14) and ignored.
func (m *Machine) open(sa *ikeSA, b []byte, msg *wire.Message) (opened, error) {
	if len(msg.Payloads) == 0 || sa.keys.receive == nil {
		return opened{}, errNotProtected
	}
	sk, ok := msg.Payloads[len(msg.Payloads)-1].(*wire.Encrypted)
	if !ok {
		return opened{}, errNotProtected
	}
	c := sa.keys.receive
	ivBytes, icvBytes := c.IVBytes(), c.ICVBytes()
	textBytes := len(sk.Body) - ivBytes - icvBytes
	if textBytes < 0 {
		return opened{}, suite.ErrIntegrity
	}
	text := sk.Body[ivBytes : ivBytes+textBytes]
	if err := c.Open(sk.Body[:ivBytes], text, sk.Body[ivBytes+textBytes:], b[:sk.Offset], nil); err != nil {
		return opened{}, err
	}
	return opened{first: sk.First, text: text}, nil
}

// parse removes the padding and reads the payloads. Its errors are those of
// package wire: the peer made them, for the integrity check has held.
func (o opened) parse() ([]wire.Payload, error) {
	n := len(o.text)
	if n == 0 {
		return nil, &wire.ParseError{Payload: wire.PayloadSK, Field: "Pad Length", Reason: "is missing: the plaintext is empty"}
	}
	padding := int(o.text[n-1])
	if padding > n-1 {
		return nil, &wire.ParseError{Offset: n - 1, Payload: wire.PayloadSK, Field: "Pad Length",
			Reason: fmt.Sprintf("is %d, the plaintext has %d octets before it", padding, n-1)}
	}
	return wire.ParsePayloads(o.first, o.text[:n-1-padding])
}
