package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// ikeMessage decodes an IKE message, without the non-ESP marker, of which
// missing octets at the end were not captured.
func (d *Decoder) ikeMessage(g *datagram, b []byte, missing int) {
	r := &d.rec
	r.Kind, r.Bytes = KindIKE, len(b)+missing
	defer d.send()
	h, err := wire.ParseHeader(b)
	if err != nil {
		r.Err = malformed(err)
		if missing > 0 {
			r.Err.Reason += fmt.Sprintf("; %d octets were not captured", missing)
		}
		return
	}
	r.Header, r.HasHeader = h, true
	if h.MajorVersion == 1 {
		d.stats.IKEv1++
		r.Note = "IKEv1 (RFC 2409), which is not decoded"
		if int64(h.Length) != int64(len(b)+missing) {
			r.Err = &Malformed{Where: "IKEv1", Offset: 24, Field: "Length", Reason: fmt.Sprintf("says %d octets, the datagram has %d", h.Length, len(b)+missing)}
		}
		return
	}
	if missing > 0 {
		d.walk(h, b)
		r.Err = &Malformed{Where: "IKE message", Offset: len(b), Reason: fmt.Sprintf("%d of its %d octets were not captured", missing, len(b)+missing)}
		return
	}
	m, err := wire.Parse(b)
	if err != nil {
		d.walk(h, b)
		r.Err = malformed(err)
		return
	}
	sa := d.sa(h)
	var fragment *wire.EncryptedFragment
	if n := len(m.Payloads); n > 0 {
		if f, ok := m.Payloads[n-1].(*wire.EncryptedFragment); ok {
			fragment = f
			r.Fragment, r.Fragments = f.Number, f.Total
		}
	}
	s, again, elsewhere := d.sight(g, h, r.Fragment, b)
	r.Retransmission, r.Elsewhere = again, elsewhere
	d.payloads(h, m.Payloads)
	if sa != nil && !elsewhere {
		sa.messages++
		sa.bytes += uint64(len(b))
		if again > 0 {
			sa.again++
		}
	}
	d.initExchange(h, m, sa)
	if n := len(m.Payloads); n > 0 {
		if sk, ok := m.Payloads[n-1].(*wire.Encrypted); ok {
			d.encrypted(sa, h, b, sk.First, sk.Offset)
		} else if fragment != nil {
			d.fragment(g, sa, h, b, fragment)
		}
	}
	if d.opt.Ladder {
		d.row(s)
	}
}

// malformed is a parser's error as a record has it.
func malformed(err error) *Malformed {
	var p *wire.ParseError
	var c *wire.UnsupportedCriticalError
	var v *wire.VersionError
	switch {
	case errors.As(err, &p):
		where := "IKE message"
		if p.Payload != wire.PayloadNone {
			where = payloadName(p.Payload)
		}
		return &Malformed{Where: where, Offset: p.Offset, Field: p.Field, Reason: p.Reason}
	case errors.As(err, &c):
		return &Malformed{Where: payloadName(c.Payload), Offset: c.Offset, Field: "Critical", Reason: "a payload that is unknown and critical; RFC 7296 §2.5 has the message rejected"}
	case errors.As(err, &v):
		return &Malformed{Where: "IKE message", Offset: 17, Field: "Version", Reason: fmt.Sprintf("%d.%d; this is neither IKEv2 nor IKEv1", v.Major, v.Minor)}
	}
	return &Malformed{Where: "IKE message", Reason: err.Error()}
}

// payloadName is a payload type in a list of payloads.
func payloadName(t wire.PayloadType) string {
	if t == wire.PayloadNonce {
		return "Nonce"
	}
	return t.String()
}

// walk names the payloads of a chain that does not parse as far as their
// generic headers lead (RFC 7296 §3.2).
func (d *Decoder) walk(h wire.Header, b []byte) {
	if h.MajorVersion != 2 {
		return
	}
	b = b[:min(len(b), int(h.Length))]
	d.chain(h.NextPayload, b, min(wire.HeaderBytes, len(b)))
}

func (d *Decoder) chain(next wire.PayloadType, b []byte, at int) {
	const headerBytes = 4
	for len(d.rec.Payloads) < payloadsNamedMax && next != wire.PayloadNone && len(b)-at >= headerBytes {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		d.rec.Payloads = append(d.rec.Payloads, payloadName(next))
		d.rec.Details = append(d.rec.Details, payloadName(next))
		if size < headerBytes || size > len(b)-at || next == wire.PayloadSK || next == wire.PayloadSKF {
			return
		}
		next, at = wire.PayloadType(b[at]), at+size
	}
}

// payloadsNamedMax bounds the payloads that are named of a chain that does not parse.
const payloadsNamedMax = 128

// payloads names a parsed chain.
func (d *Decoder) payloads(h wire.Header, ps []wire.Payload) {
	for _, p := range ps {
		d.rec.Payloads = append(d.rec.Payloads, notation(p))
		d.rec.Details = append(d.rec.Details, describe(h, p))
	}
}

// initExchange learns from IKE_SA_INIT what later exchanges need.
func (d *Decoder) initExchange(h wire.Header, m *wire.Message, sa *ikeSA) {
	if h.Exchange != wire.ExchangeIKESAInit {
		return
	}
	var nonce []byte
	var chosen *wire.SA
	for _, p := range m.Payloads {
		switch p := p.(type) {
		case *wire.Nonce:
			nonce = p.Data
		case *wire.SA:
			chosen = p
		}
	}
	if sa == nil { // a request, or an answer that makes no SA: a cookie, a refusal
		before, _ := d.ike.halves.get(h.InitiatorSPI)
		if !d.rec.Elsewhere {
			before.messages++
			before.bytes += uint64(d.rec.Bytes)
			if d.rec.Retransmission > 0 {
				before.again++
			}
		}
		if nonce != nil && !h.IsResponse() {
			before.nonce = nonce
		}
		d.ike.halves.put(h.InitiatorSPI, before)
		return
	}
	if !h.IsResponse() || nonce == nil || sa.nr != nil || chosen == nil || len(chosen.Proposals) != 1 {
		return
	}
	sa.nr, sa.chosen = nonce, negotiated(chosen.Proposals[0])
	if before, ok := d.ike.halves.get(h.InitiatorSPI); ok {
		sa.ni = before.nonce
		sa.messages += before.messages
		sa.bytes += before.bytes
		sa.again += before.again
	}
}

// open decrypts the body of an SK or SKF payload with the keys of its SA: an SA
// with several key exchanges has new ones after each (RFC 9370 §2.2.2). plain is
// without padding; ok says that it may be shown. The record's ICV is set.
func (d *Decoder) open(sa *ikeSA, h wire.Header, b []byte, offset int) (plain []byte, ok bool) {
	r := &d.rec
	r.Encrypted = true
	if sa == nil || sa.keys == nil {
		return nil, false
	}
	plain, ok = d.openWith(sa.keys, h, b, offset)
	if r.ICV == suite.ICVGood || len(sa.candidates) < 2 {
		return plain, ok
	}
	for _, k := range sa.candidates {
		if k == sa.keys {
			continue
		}
		if plain, ok = d.openWith(k, h, b, offset); r.ICV == suite.ICVGood {
			sa.keys = k
			return plain, ok
		}
	}
	return d.openWith(sa.keys, h, b, offset) // the scratch memory holds another try
}

// openWith is open with one set of keys.
func (d *Decoder) openWith(k *ikeKeys, h wire.Header, b []byte, offset int) (plain []byte, ok bool) {
	r := &d.rec
	r.Err, r.ICV = nil, suite.ICVUnchecked
	opener := k.fromR
	if h.FromInitiator() {
		opener = k.fromI
	}
	body := b[offset:]
	if len(body) < opener.IVBytes()+opener.ICVBytes()+1 {
		r.Err = &Malformed{Where: "SK", Offset: offset, Reason: fmt.Sprintf("has %d octets, %s needs at least %d", len(body), k.algorithms, opener.IVBytes()+opener.ICVBytes()+1)}
		return nil, false
	}
	d.ike.icvAt = len(b) - opener.ICVBytes()
	iv, sealed := body[:opener.IVBytes()], body[opener.IVBytes():]
	plain, r.ICV = opener.Open(d.ike.scratch, iv, sealed, b[:offset], nil)
	if plain == nil {
		r.Err = &Malformed{Where: "SK", Offset: offset, Reason: fmt.Sprintf("%d encrypted octets are not a whole number of blocks of %s", len(sealed)-opener.ICVBytes(), k.algorithms)}
		return nil, false
	}
	d.ike.scratch = plain
	pad := int(plain[len(plain)-1])
	if pad+1 > len(plain) {
		r.Err = &Malformed{Where: "SK", Offset: len(b) - opener.ICVBytes() - 1, Field: "Pad Length", Reason: fmt.Sprintf("is %d, %d octets are in front of it", pad, len(plain)-1)}
		d.refuse(opener)
		return nil, false
	}
	return plain[:len(plain)-1-pad], true
}

// refuse explains a plaintext that cannot be one.
func (d *Decoder) refuse(opener *suite.Opener) {
	switch {
	case d.rec.ICV == suite.ICVBad:
		d.rec.Err = d.noPlaintext()
	case !opener.Checks():
		d.rec.Err.Reason += "; the key may be wrong, which nothing checks"
	}
}

// noPlaintext is what is wrong with a message whose check value is wrong and
// whose plaintext has no structure: that structure is not worth telling.
func (d *Decoder) noPlaintext() *Malformed {
	return &Malformed{Where: "SK", Offset: d.ike.icvAt, Field: "ICV", Reason: "is wrong, and the plaintext is none: a wrong key, or octets that were changed"}
}

// encrypted decodes an SK payload.
func (d *Decoder) encrypted(sa *ikeSA, h wire.Header, b []byte, first wire.PayloadType, offset int) {
	plain, ok := d.open(sa, h, b, offset)
	if sa != nil && d.rec.ICV == suite.ICVBad {
		sa.badICV++
	}
	if ok {
		d.plaintext(sa, h, first, plain)
	}
}

// plaintext decodes a decrypted payload chain.
func (d *Decoder) plaintext(sa *ikeSA, h wire.Header, first wire.PayloadType, plain []byte) {
	r := &d.rec
	ps, err := wire.ParsePayloads(first, plain)
	if err != nil {
		if r.ICV == suite.ICVBad {
			r.Err = d.noPlaintext()
			return
		}
		r.Err = malformed(err)
		if r.ICV != suite.ICVGood {
			r.Err.Reason += "; the key may be wrong"
			return
		}
		r.Decrypted, r.Inner = true, plain
		d.chain(first, plain, 0)
		return
	}
	r.Decrypted, r.Inner = true, plain
	d.payloads(h, ps)
	if r.ICV == suite.ICVBad {
		return // shown, and not built upon
	}
	sa.decrypted++
	d.learn(sa, h, ps)
}

// fragment decodes an SKF payload: each is encrypted on its own, and the
// plaintexts are put together (RFC 7383 §2.6).
func (d *Decoder) fragment(g *datagram, sa *ikeSA, h wire.Header, b []byte, f *wire.EncryptedFragment) {
	r := &d.rec
	plain, ok := d.open(sa, h, b, f.Offset)
	if !ok {
		return
	}
	if r.ICV == suite.ICVBad {
		sa.badICV++
		r.Err = &Malformed{Where: "SKF", Offset: f.Offset, Reason: "the integrity check value is wrong; the fragment is left out"}
		return
	}
	r.Decrypted, r.Inner = true, plain
	key := fragmentedKey{
		message: messageKey{
			sa: sa.id, messageID: h.MessageID, exchange: h.Exchange, flags: h.Flags & (wire.FlagInitiator | wire.FlagResponse),
		},
		point: d.point(g),
	}
	w, waiting := d.ike.fragmented.get(key)
	if waiting && f.Total < w.total {
		r.Note = "a fragment of an earlier, coarser division of the message (RFC 7383 §2.5.2)"
		return
	}
	if !waiting || f.Total > w.total {
		w = &fragmented{total: f.Total, parts: map[uint16][]byte{}}
		d.ike.fragmented.put(key, w)
	}
	if _, have := w.parts[f.Number]; have {
		return
	}
	if w.bytes+len(plain) > ikeFragmentedBytesMax || len(w.parts) == ikeFragmentsMax {
		r.Err = &Malformed{Where: "SKF", Offset: f.Offset, Reason: fmt.Sprintf("the message is longer than %d octets or %d fragments", ikeFragmentedBytesMax, ikeFragmentsMax)}
		d.ike.fragmented.remove(key)
		return
	}
	w.parts[f.Number] = slices.Clone(plain)
	w.bytes += len(plain)
	if f.Number == 1 {
		w.first = f.First
	}
	if len(w.parts) < int(w.total) {
		r.Note = fmt.Sprintf("%d of %d fragments are there", len(w.parts), w.total)
		return
	}
	d.ike.fragmented.remove(key)
	whole := make([]byte, 0, w.bytes)
	for n := uint16(1); n <= w.total && n != 0; n++ {
		whole = append(whole, w.parts[n]...)
	}
	r.Note = fmt.Sprintf("complete with %d fragments", w.total)
	d.plaintext(sa, h, w.first, whole)
}
