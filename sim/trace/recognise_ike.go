package trace

import (
	"encoding/binary"
	"strconv"

	"github.com/ikelab/ikelab/ike/wire"
)

// payloadsMax bounds the payloads that are stepped over on the way to a fragment's number.
const payloadsMax = 16

// saKey is an SA as its packets show it. For IKE, a and b are the two nodes in alphabetical order; an ESP SA
// leads from a to b.
type saKey struct {
	kind string
	a, b string
	spi  uint64
}

// ike recognises an IKEv2 message. One whose header cannot be right belongs to no SA.
func (c *Classifier) ike(d datagram, message []byte) (trait, bool) {
	h, err := wire.ParseHeader(message)
	if err != nil || h.MajorVersion != 2 || h.InitiatorSPI.IsZero() || h.Exchange < wire.ExchangeIKESAInit {
		return trait{}, false
	}
	if length := uint32(len(message)); h.Length < wire.HeaderBytes || h.Length != length && !(d.cut && h.Length > length) {
		return trait{}, false
	}
	from, to := c.name(d.src), c.name(d.dst)
	key := saKey{kind: "ike", a: min(from, to), b: max(from, to), spi: binary.BigEndian.Uint64(h.InitiatorSPI[:])}
	n, ok := c.ikeSAs.get(key)
	if !ok {
		n = c.number(key.kind, key.a, key.b)
		c.ikeSAs.put(key, n)
	}
	role, kind := "responder", "request"
	if h.FromInitiator() {
		role = "initiator"
	}
	if h.IsResponse() {
		kind = "response"
	}
	return trait{
		flow: "ike " + from + ">" + to + " #" + strconv.FormatUint(n, 10) +
			" " + role + " exchange " + strconv.Itoa(int(h.Exchange)) + " " + kind,
		// The fragments of a message are neighbours in the flow, so that a burst of losses hits several.
		ordinal: uint64(h.MessageID)<<16 | uint64(fragmentNumber(h, message)),
	}, true
}

// fragmentNumber returns the Fragment Number of a message's Encrypted Fragment payload (RFC 7383 §2.5), and 0
// for a message without one.
func fragmentNumber(h wire.Header, message []byte) uint16 {
	next, rest := h.NextPayload, message[wire.HeaderBytes:]
	for range payloadsMax {
		if len(rest) < 6 || next == wire.PayloadNone || next == wire.PayloadSK {
			return 0
		}
		if next == wire.PayloadSKF {
			return binary.BigEndian.Uint16(rest[4:])
		}
		// The generic payload header (RFC 7296 §3.2): next payload, critical bit, length.
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 4 || length > len(rest) {
			return 0
		}
		next, rest = wire.PayloadType(rest[0]), rest[length:]
	}
	return 0
}

// esp recognises an ESP or AH packet by the eight bytes of SPI and sequence number (RFC 4303 §2).
func (c *Classifier) esp(kind string, d datagram, spiAndSequence []byte) trait {
	key := saKey{
		kind: kind,
		a:    c.name(d.src),
		b:    c.name(d.dst),
		spi:  uint64(binary.BigEndian.Uint32(spiAndSequence)),
	}
	flow, ok := c.espSAs.get(key)
	if !ok {
		flow = kind + " " + key.a + ">" + key.b + " #" + strconv.FormatUint(c.number(kind, key.a, key.b), 10)
		c.espSAs.put(key, flow)
	}
	return trait{flow: flow, ordinal: uint64(binary.BigEndian.Uint32(spiAndSequence[4:])), unique: true}
}
