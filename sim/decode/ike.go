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
	s := d.readMessage(g, b, missing)
	if d.opt.Ladder {
		d.row(s)
	}
	d.send()
}

// readMessage reads a message into the record and returns its sightings, nil for
// one whose header is not there.
func (d *Decoder) readMessage(g *datagram, b []byte, missing int) *sightings {
	r := &d.rec
	h, err := wire.ParseHeader(b)
	if err != nil {
		r.Header, r.HeaderBytes = partialHeader(b)
		r.Err = malformed(err)
		if missing > 0 {
			r.Err.Reason += fmt.Sprintf("; %d octets were not captured", missing)
		}
		return nil
	}
	r.Header, r.HasHeader, r.HeaderBytes = h, true, wire.HeaderBytes
	if h.MajorVersion == 1 {
		d.stats.IKEv1++
		r.Note = "of IKEv1 (RFC 2409) only the header is read"
		if int64(h.Length) != int64(len(b)+missing) {
			r.Err = &Malformed{Where: "IKEv1", Offset: 24, Field: "Length", Reason: fmt.Sprintf("says %d octets, the datagram has %d", h.Length, len(b)+missing)}
		}
		return d.sight(g, h, 0, b)
	}
	m, err := wire.Parse(b)
	switch {
	case missing > 0:
		r.Err = &Malformed{Where: "IKE message", Offset: len(b), Reason: fmt.Sprintf("%d of its %d octets were not captured", missing, len(b)+missing)}
	case err != nil:
		r.Err = malformed(err)
	}
	if r.Err != nil {
		// What the capture cut is counted; of what is malformed, not even the SPIs are sure.
		cut := missing > 0 && h.MajorVersion == 2 && int64(h.Length) == int64(r.Bytes)
		var sa *ikeSA
		if cut {
			sa = d.sa(h)
		}
		s := d.sight(g, h, 0, b)
		sa.count(r)
		d.partial(h, sa, cut, b)
		return s
	}
	sa := d.sa(h)
	var fragment *wire.EncryptedFragment
	if n := len(m.Payloads); n > 0 {
		if f, ok := m.Payloads[n-1].(*wire.EncryptedFragment); ok {
			fragment = f
			r.Fragment, r.Fragments = f.Number, f.Total
		}
	}
	s := d.sight(g, h, r.Fragment, b)
	d.payloads(h, m.Payloads)
	sa.count(r)
	d.inClear(h, m.Payloads)
	d.initMessage(h, sa, messageWhole, m.Payloads)
	if n := len(m.Payloads); n > 0 {
		if sk, ok := m.Payloads[n-1].(*wire.Encrypted); ok {
			d.encrypted(sa, h, b, sk.First, sk.Offset)
		} else if fragment != nil {
			d.fragment(g, sa, h, b, fragment)
		}
	}
	return s
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

// partial tells of a message that does not parse, or that the capture cut, as much
// as there is. sa is nil for one that belongs to none, or is malformed.
func (d *Decoder) partial(h wire.Header, sa *ikeSA, cut bool, b []byte) {
	if h.MajorVersion != 2 {
		return
	}
	b = b[:min(len(b), int(h.Length))]
	ps := d.chain(h, h.NextPayload, b, min(wire.HeaderBytes, len(b)))
	state := messageMalformed
	if cut {
		state = messageCut
	}
	d.initMessage(h, sa, state, ps)
}

// chain tells of the payloads of a chain that does not parse as far as their
// generic headers lead (RFC 7296 §3.2): of those that are right themselves all
// that is to be told, of the others the name.
func (d *Decoder) chain(h wire.Header, next wire.PayloadType, b []byte, at int) []wire.Payload {
	const headerBytes = 4
	var ps []wire.Payload
	for len(d.rec.Payloads) < payloadsNamedMax && next != wire.PayloadNone && len(b)-at >= headerBytes {
		size := int(binary.BigEndian.Uint16(b[at+2:]))
		name, detail := payloadName(next), payloadName(next)
		ends := size < headerBytes || size > len(b)-at || next == wire.PayloadSK || next == wire.PayloadSKF
		if !ends {
			if p := alone(next, b[at:at+size]); p != nil {
				name, detail = notation(p), describe(h, p)
				ps = append(ps, p)
			}
		}
		d.rec.Payloads = append(d.rec.Payloads, name)
		d.rec.Details = append(d.rec.Details, detail)
		if ends {
			break
		}
		next, at = wire.PayloadType(b[at]), at+size
	}
	d.remarks(h, ps)
	return ps
}

// alone reads one payload of a chain, nil if it is malformed.
func alone(kind wire.PayloadType, b []byte) wire.Payload {
	b = slices.Clone(b)
	b[0], b[1] = byte(wire.PayloadNone), 0 // the last one, and not critical
	ps, err := wire.ParsePayloads(kind, b)
	if err != nil || len(ps) != 1 {
		return nil
	}
	return ps[0]
}

// payloadsNamedMax bounds the payloads that are named of a chain that does not parse.
const payloadsNamedMax = 128

// payloads tells of a parsed chain.
func (d *Decoder) payloads(h wire.Header, ps []wire.Payload) {
	for _, p := range ps {
		d.rec.Payloads = append(d.rec.Payloads, notation(p))
		d.rec.Details = append(d.rec.Details, describe(h, p))
	}
	d.remarks(h, ps)
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
		d.chain(h, first, plain, 0)
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
	if r.Duplicate {
		return // it is in place, or the message is whole
	}
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
