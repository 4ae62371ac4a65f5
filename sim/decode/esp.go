package decode

import (
	"encoding/binary"
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/suite"
)

const (
	espHeaderBytes  = 8 // SPI and sequence number (RFC 4303 §2)
	espTrailerBytes = 2 // Pad Length and Next Header
	espAlignBytes   = 4 // where they end at a multiple (RFC 4303 §2.4)
	ahHeaderBytes   = 12
)

// espPacket decodes an ESP packet, from its SPI on.
func (d *Decoder) espPacket(g *datagram, b []byte, layer int) {
	r := &d.rec
	r.Bytes = len(b) + g.missing
	if r.HasSPI = len(b) >= 4; r.HasSPI {
		r.SPI = binary.BigEndian.Uint32(b)
	}
	if len(b) < espHeaderBytes {
		r.Err = &Malformed{Where: "ESP", Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, SPI and sequence number have %d", len(b), espHeaderBytes)}
		if g.missing > 0 {
			r.Err.Reason += fmt.Sprintf("; %d octets were not captured", g.missing)
		}
		d.send()
		return
	}
	low := binary.BigEndian.Uint32(b[4:])
	r.Seq, r.HasSeq, r.Encrypted = uint64(low), true, true
	sa := d.association(g, protocolESP, r.SPI)
	var inner []byte
	switch {
	case g.missing > 0:
		r.Err = &Malformed{Where: "ESP", Offset: len(b), Reason: fmt.Sprintf("%d of its %d octets were not captured", g.missing, len(b)+g.missing)}
	case len(sa.candidates) > 0:
		inner = d.openESP(sa, b, low, layer)
	}
	if m := espLength(len(b) + g.missing); m != nil {
		r.Err = m // whatever else is wrong follows from it
	}
	if r.SPI == 0 {
		r.Err = &Malformed{Where: "ESP", Field: "SPI", Reason: "is 0, which is never sent (RFC 4303 §2.1)"}
	}
	nextHeader, further := r.NextHeader, r.Decrypted && r.ICV != suite.ICVBad
	if further {
		r.Note = "" // it is what it seemed not to be
	}
	d.track(sa, g, b)
	d.send()
	if further {
		d.inner(g, nextHeader, inner, 0, layer)
	}
}

// espLength says what is wrong with the length of an ESP packet, nil for nothing.
// Pad Length and Next Header end at a multiple of 4 octets (RFC 4303 §2.4) and are
// always there; check values of all algorithms are multiples of 4 octets.
func espLength(n int) *Malformed {
	switch {
	case n < espHeaderBytes+espAlignBytes:
		return &Malformed{Where: "ESP", Offset: n, Reason: fmt.Sprintf("has %d octets; the least is %d, with Pad Length and Next Header (RFC 4303 §2)", n, espHeaderBytes+espAlignBytes)}
	case n%espAlignBytes != 0:
		return &Malformed{Where: "ESP", Offset: n, Reason: fmt.Sprintf("has %d octets, which is no multiple of %d (RFC 4303 §2.4)", n, espAlignBytes)}
	}
	return nil
}

// openESP opens a packet with the keys that its SA may have. What it returns is
// valid until another packet of the same layer is opened.
func (d *Decoder) openESP(sa *espSA, b []byte, low uint32, layer int) []byte {
	r := &d.rec
	var text []byte
	var used *espKeys
	if sa.keys != nil {
		text, used = d.try(sa, sa.keys, b, low, layer), sa.keys
	}
	if r.ICV != suite.ICVGood {
		for _, k := range sa.candidates {
			if k == sa.keys {
				continue
			}
			before := r.ICV
			if other := d.try(sa, k, b, low, layer); other != nil && (used == nil || text == nil || r.ICV == suite.ICVGood) {
				text, used = other, k
			} else {
				r.ICV = before
				if used != nil && text != nil {
					text = d.try(sa, used, b, low, layer) // the scratch memory holds another try
				}
			}
			if r.ICV == suite.ICVGood {
				break
			}
		}
	}
	if used == nil {
		used = sa.candidates[0]
	}
	if text == nil {
		r.Err = &Malformed{Where: "ESP", Offset: espHeaderBytes, Reason: fmt.Sprintf("%d octets behind the sequence number are too few, or not a whole number of blocks, for %s", len(b)-espHeaderBytes, used.algorithms)}
		return nil
	}
	d.esp.scratch[layer] = text
	if r.ICV == suite.ICVGood || !used.opener.Checks() {
		sa.keys = used
	}
	return d.trailer(b, text, used)
}

// try opens a packet with one key: first as the SA is known to number its
// packets, then as it may. The record's ICV and Seq are set.
func (d *Decoder) try(sa *espSA, k *espKeys, b []byte, low uint32, layer int) []byte {
	r := &d.rec
	esn, known := sa.esn, sa.esnKnown
	if !known && k.esnKnown {
		esn, known = k.esn, true
	}
	if !known || !esn {
		text := d.attempt(k, b, false, 0, layer)
		if known || text == nil || r.ICV == suite.ICVGood || !k.opener.Checks() {
			if r.ICV == suite.ICVGood {
				sa.esnKnown = true
			}
			r.Seq = uint64(low)
			return text
		}
	}
	// RFC 4303 appendix A2: the upper half is that of the number nearest to the
	// highest one seen.
	guess := nearest(sa.highest, low)
	text := d.attempt(k, b, true, uint32(guess>>32), layer)
	if r.ICV != suite.ICVGood && sa.tried < esnTryPacketsMax && text != nil && k.opener.Checks() && sa.good == 0 {
		sa.tried++
		for high := range uint32(esnHighTriesMax) {
			if text = d.attempt(k, b, true, high, layer); r.ICV == suite.ICVGood {
				guess = uint64(high)<<32 | uint64(low)
				break
			}
		}
	}
	if r.ICV == suite.ICVGood {
		sa.esn, sa.esnKnown = true, true
		sa.highest = max(sa.highest, guess)
		r.Seq = guess
	} else {
		r.Seq = uint64(low)
	}
	return text
}

// nearest is the number with the given lower half that is nearest to top.
func nearest(top uint64, low uint32) uint64 {
	high := top >> 32
	guess := high<<32 | uint64(low)
	switch {
	case guess+1<<31 < top && high < 1<<32-1:
		guess += 1 << 32
	case guess > top+1<<31 && high > 0:
		guess -= 1 << 32
	}
	return guess
}

// attempt opens a packet with a key and an upper half of its sequence number.
func (d *Decoder) attempt(k *espKeys, b []byte, esn bool, high uint32, layer int) []byte {
	o := k.opener
	if len(b) < espHeaderBytes+o.IVBytes()+o.ICVBytes()+espTrailerBytes {
		d.rec.ICV = suite.ICVUnchecked
		return nil
	}
	aad, tail := b[:espHeaderBytes], []byte(nil)
	switch {
	case esn && o.AEAD():
		copy(d.esp.aad[0:], b[0:4])
		binary.BigEndian.PutUint32(d.esp.aad[4:], high)
		copy(d.esp.aad[8:], b[4:8])
		aad = d.esp.aad[:]
	case esn:
		binary.BigEndian.PutUint32(d.esp.tail[:], high)
		tail = d.esp.tail[:]
	}
	ivEnd := espHeaderBytes + o.IVBytes()
	text, state := o.Open(d.esp.scratch[layer], b[espHeaderBytes:ivEnd], b[ivEnd:], aad, tail)
	if text != nil {
		d.esp.scratch[layer] = text
	}
	d.rec.ICV = state
	return text
}

// trailer takes the padding off a plaintext and decides whether it is one.
func (d *Decoder) trailer(b, text []byte, k *espKeys) []byte {
	r := &d.rec
	at := len(b) - k.opener.ICVBytes() - espTrailerBytes // of Pad Length in the packet
	pad, nextHeader := int(text[len(text)-2]), text[len(text)-1]
	end := len(text) - espTrailerBytes - pad
	if end < 0 {
		r.Err = &Malformed{Where: "ESP", Offset: at, Field: "Pad Length", Reason: fmt.Sprintf("is %d, %d octets are in front of it", pad, len(text)-espTrailerBytes) + doubt(r.ICV)}
		return nil
	}
	inner := text[:end]
	for i, v := range text[end : end+pad] {
		if v == byte(i+1) {
			continue
		}
		r.Err = &Malformed{Where: "ESP", Offset: at - pad, Field: "Padding", Reason: "is not 1, 2, 3, … (RFC 4303 §2.4)" + doubt(r.ICV)}
		if r.ICV != suite.ICVGood {
			return nil
		}
		break
	}
	if r.ICV == suite.ICVBad && !whole(nextHeader, inner) {
		r.Err = &Malformed{Where: "ESP", Offset: len(b) - k.opener.ICVBytes(), Field: "ICV", Reason: "is wrong, and the plaintext is no packet: a wrong key, or octets that were changed"}
		return nil
	}
	inner, r.TFC = cutTFC(nextHeader, inner)
	r.Decrypted, r.Inner, r.NextHeader, r.HasNextHeader = true, inner, nextHeader, true
	return inner
}

// cutTFC takes traffic flow confidentiality padding off a plaintext and says how
// much there was: what lies behind the end of an inner packet that says its
// length, as IP and UDP do (RFC 4303 §2.7).
func cutTFC(nextHeader uint8, b []byte) (inner []byte, padding int) {
	size := len(b)
	switch {
	case nextHeader == protocolIPv4 && len(b) >= header.IPv4MinimumSize && b[0]>>4 == 4:
		if total := int(header.IPv4(b).TotalLength()); total >= header.IPv4MinimumSize {
			size = total
		}
	case nextHeader == protocolIPv6 && len(b) >= header.IPv6MinimumSize && b[0]>>4 == 6:
		if n := int(header.IPv6(b).PayloadLength()); n > 0 || b[6] == protocolNoNext {
			size = header.IPv6MinimumSize + n
		}
	case nextHeader == protocolUDP && len(b) >= header.UDPMinimumSize:
		if n := int(header.UDP(b).Length()); n >= header.UDPMinimumSize {
			size = n
		}
	}
	size = min(size, len(b))
	return b[:size], len(b) - size
}

// doubt is what a plaintext without structure makes one think.
func doubt(icv suite.ICVState) string {
	if icv == suite.ICVGood {
		return ""
	}
	return "; the key may be wrong"
}

// whole reports whether a plaintext is an IP packet, by version and length.
func whole(nextHeader uint8, b []byte) bool {
	switch {
	case nextHeader == protocolIPv4 && len(b) >= header.IPv4MinimumSize:
		return b[0]>>4 == 4 && int(header.IPv4(b).TotalLength()) <= len(b)
	case nextHeader == protocolIPv6 && len(b) >= header.IPv6MinimumSize:
		return b[0]>>4 == 6 && header.IPv6MinimumSize+int(header.IPv6(b).PayloadLength()) <= len(b)
	}
	return false
}

// ahPacket decodes an AH packet (RFC 4302 §2). Its check value is not checked:
// Wireshark's tables have no keys for it.
func (d *Decoder) ahPacket(g *datagram, layer int) {
	r := &d.rec
	b := g.payload
	r.Bytes = len(b) + g.missing
	if r.HasNextHeader = len(b) >= 1; r.HasNextHeader {
		r.NextHeader = b[0]
	}
	if r.HasSPI = len(b) >= 8; r.HasSPI {
		r.SPI = binary.BigEndian.Uint32(b[4:])
	}
	cut := ""
	if g.missing > 0 {
		cut = fmt.Sprintf("; %d octets were not captured", g.missing)
	}
	if len(b) < ahHeaderBytes {
		r.Err = &Malformed{Where: "AH", Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has at least %d", len(b), ahHeaderBytes) + cut}
		d.send()
		return
	}
	r.Seq, r.HasSeq = uint64(binary.BigEndian.Uint32(b[8:])), true
	size := 4 * (int(b[1]) + 2)
	switch {
	case r.SPI == 0:
		r.Err = &Malformed{Where: "AH", Offset: 4, Field: "SPI", Reason: "is 0, which is never sent (RFC 4302 §2.4)"}
	case size < ahHeaderBytes || size > len(b)+g.missing:
		r.Err = &Malformed{Where: "AH", Offset: 1, Field: "Payload Len", Reason: fmt.Sprintf("says %d octets, must be between %d and the %d that are there", size, ahHeaderBytes, len(b)+g.missing)}
	case size > len(b):
		r.Err = &Malformed{Where: "AH", Offset: len(b), Reason: fmt.Sprintf("ends after %d octets of %d", len(b), size) + cut}
	}
	if size >= ahHeaderBytes && size <= len(b)+g.missing {
		d.track(d.association(g, protocolAH, r.SPI), g, b)
	}
	if size < ahHeaderBytes || size > len(b) {
		d.send()
		return
	}
	r.Inner = b[size:]
	nextHeader := b[0]
	d.send()
	d.inner(g, nextHeader, b[size:], g.missing, layer)
}
