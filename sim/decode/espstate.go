package decode

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
)

// espID names an ESP or AH SA (RFC 4301 §4.1).
type espID struct {
	dst      netip.Addr
	spi      uint32
	protocol uint8
}

// espSA is what is known of an ESP or AH SA.
type espSA struct {
	id         espID
	src        netip.Addr // of the last packet
	udp        bool       // in UDP or TCP
	firstFrame uint64
	candidates []*espKeys
	keys       *espKeys // those that opened a packet
	generation uint64   // of derived keys, when candidates were looked for
	looked     bool

	esn      bool
	esnKnown bool
	highest  uint64 // sequence number, of packets whose upper half is known
	tried    int    // packets for which upper halves were guessed
	wrapped  bool   // the lower half began anew, and no check value says what that means

	good, bad, unchecked, opaque uint64
	points                       []*espPoint
	elsewhere                    uint64 // packets at points beyond espPointsMax
}

// espPoint is an SA as one point of observation sees it.
type espPoint struct {
	id       uint64
	iface    int
	packets  uint64
	bytes    uint64
	replays  uint64
	distinct uint64
	late     uint64 // too old to tell whether they were there before
	// duplicates were captured twice and are not counted as packets.
	duplicates uint64
	low, top   uint64
	window     [replayWindowPackets / 64]uint64 // bit n%replayWindowPackets: n was seen
}

// gaps is how many sequence numbers between the lowest and the highest are missing.
func (p *espPoint) gaps() uint64 {
	if p.distinct == 0 {
		return 0 // no number was believed
	}
	span := p.top - p.low + 1
	if seen := p.distinct + p.late; seen < span {
		return span - seen
	}
	return 0
}

// order is how a packet's sequence number stands to those before it.
type order struct {
	replay bool   // it was there before
	first  bool   // nothing was
	gap    uint64 // numbers between it, ahead of all, and the highest before it
	late   uint64 // how far it is behind the highest
}

// see counts a packet and says how its number stands to those before it.
func (p *espPoint) see(seq uint64, size int) order {
	p.packets++
	p.bytes += uint64(size)
	if p.distinct == 0 {
		p.low, p.top, p.distinct = seq, seq, 1
		p.mark(seq)
		return order{first: true}
	}
	var o order
	switch {
	case seq > p.top:
		o.gap = seq - p.top - 1
		if seq-p.top >= replayWindowPackets {
			clear(p.window[:])
		} else {
			for n := p.top + 1; n != seq; n++ {
				p.window[n%replayWindowPackets/64] &^= 1 << (n % 64)
			}
		}
		p.top = seq
	case p.top-seq >= replayWindowPackets:
		p.low = min(p.low, seq)
		p.late++
		return order{late: p.top - seq}
	case p.saw(seq):
		p.replays++
		return order{replay: true, late: p.top - seq}
	default:
		o.late = p.top - seq
	}
	p.low = min(p.low, seq)
	p.distinct++
	p.mark(seq)
	return o
}

// saw reports whether a number not ahead of all others was there, as far as the
// window reaches.
func (p *espPoint) saw(seq uint64) bool {
	return p.distinct > 0 && seq <= p.top && p.top-seq < replayWindowPackets &&
		p.window[seq%replayWindowPackets/64]&(1<<(seq%64)) != 0
}

// track notes a packet of octets b at the point where it is now, and what became
// of its check value.
func (d *Decoder) track(sa *espSA, g *datagram, b []byte) {
	r := &d.rec
	point := d.point(g)
	sa.extend(r)
	if g.protocol != protocolTCP && d.esp.twice(point, d.hash(b), d.frame.Time.UnixNano(), g.id, r) {
		r.Tracked, r.Duplicate = true, true
		if p := sa.at(point, d.frame.Interface); p != nil {
			p.duplicates++
		}
		return
	}
	sa.count(r.Encrypted, r.Decrypted, r.ICV)
	p := sa.at(point, d.frame.Interface)
	switch {
	case p == nil:
		return
	case r.ICV == suite.ICVBad && sa.good > 0:
		p.distrust(r.Bytes)
		return
	}
	o := p.see(r.Seq, r.Bytes)
	r.Tracked, r.Replay, r.Gap, r.Late, r.HasGap = true, o.replay, o.gap, o.late, !o.first
	if o.first && len(sa.points) == 1 && r.Seq == 0 {
		d.remark(sa.zero())
	}
	if len(sa.points) > 1 && !o.replay {
		r.Elsewhere = slices.ContainsFunc(sa.points, func(other *espPoint) bool { return other != p && other.saw(r.Seq) })
	}
}

// zero is what to remark on an SA whose first packet has the number 0: a sender
// begins with 1. It is empty where 0 may be the lower half of an extended number.
func (sa *espSA) zero() string {
	rfc := "RFC 4303 §3.3.3"
	if sa.id.protocol == protocolAH {
		rfc = "RFC 4302 §3.3.2"
	}
	remark := "the first packet has the sequence number 0, an SA begins with 1 (" + rfc + ")"
	says := func(esn bool) bool {
		return slices.ContainsFunc(sa.candidates, func(k *espKeys) bool { return k.esnKnown && k.esn == esn })
	}
	switch {
	case sa.esnKnown || says(false):
		return remark
	case says(true):
		return ""
	}
	return remark + ", unless extended sequence numbers are in use"
}

// extend adds the upper half to a packet's sequence number where no check value
// says whether it has one. A number that falls by more than half of all numbers is
// none of long ago: the lower half began anew, and 64 bits are counted (RFC 4303
// §2.2.1, appendix A2). An SA that is known to have 32 bits has none.
func (sa *espSA) extend(r *Record) {
	if sa.esnKnown {
		return
	}
	top := uint64(0)
	for _, p := range sa.points {
		top = max(top, p.top)
	}
	seq := nearest(top, uint32(r.Seq))
	if seq == r.Seq || slices.ContainsFunc(sa.candidates, func(k *espKeys) bool { return k.esnKnown && !k.esn }) {
		return
	}
	if r.Seq = seq; seq>>32 > top>>32 {
		sa.wrapped = true
		r.Note = wrapNote
	}
}

// wrapNote is said of the packet with which the lower half begins anew. Where
// replays are not looked for, a sender may go on without an upper half (RFC 4303
// §3.3.3).
const wrapNote = "the number wrapped: extended sequence numbers are in use (RFC 4303 §2.2.1), or no protection against replays (§3.3.3)"

// recent is a packet that was seen a moment ago.
type recent struct {
	at          int64 // nanoseconds since 1970: a table without pointers
	point, hash uint64
	id          uint32
}

// twice reports whether the packet of a record is one that was captured at the
// same point a moment ago, octet by octet. The place of a packet depends
// on what it is, so that the same capture has the same duplicates.
func (s *espState) twice(point, hash uint64, at int64, id uint32, r *Record) bool {
	if s.recent == nil {
		s.recent = make([]recent, recentPackets)
	}
	e := &s.recent[(uint32(r.Seq)+r.SPI*0x9e3779b1+uint32(r.Interface)*0x85ebca6b)%recentPackets]
	if e.point == point && e.hash == hash && e.id == id && soon(time.Duration(at-e.at), id) {
		return true
	}
	*e = recent{at: at, point: point, hash: hash, id: id}
	return false
}

// soon reports whether the same octets after a time are one packet with an IP
// identification, 0 for none.
func soon(after time.Duration, id uint32) bool {
	if id == 0 {
		return after.Abs() <= duplicateBareMax
	}
	return after.Abs() <= duplicateMax
}

// distrust counts a packet whose sequence number is as wrong as its check value
// may be: a forged or damaged number must not make gaps and replays of others
// (RFC 4303 §3.4.3 has a receiver move its window only behind the check).
func (p *espPoint) distrust(size int) {
	p.packets++
	p.bytes += uint64(size)
}

func (p *espPoint) mark(seq uint64) {
	p.window[seq%replayWindowPackets/64] |= 1 << (seq % 64)
}

// espState is what a Decoder remembers of ESP and AH.
type espState struct {
	sas        *bounded[espID, *espSA]
	derived    *bounded[uint32, []*espKeys]
	generation uint64
	recent     []recent
	scratch    [nestingMax][]byte
	aad        [12]byte
	tail       [4]byte
}

func newESPState() espState {
	return espState{
		sas:     newBounded[espID, *espSA](espSAsMax),
		derived: newBounded[uint32, []*espKeys](derivedMax),
	}
}

// derive adds keys for packets with an SPI, whatever their addresses: a
// translator may change them.
func (s *espState) derive(spi uint32, k *espKeys) {
	all, _ := s.derived.get(spi)
	if len(all) == derivedCandidatesMax {
		all = all[1:]
	}
	s.derived.put(spi, append(all[:len(all):len(all)], k))
	s.generation++
}

// knowsSPI reports whether there are keys for an SPI.
func (d *Decoder) knowsSPI(g *datagram, spi uint32) bool {
	if _, ok := d.esp.derived.get(spi); ok {
		return true
	}
	return d.opt.Keys != nil && len(d.opt.Keys.espBySPI[spi]) > 0 && len(d.opt.Keys.esp(g.src, g.dst, spi)) > 0
}

// association is the SA of a packet, made when it is seen first.
func (d *Decoder) association(g *datagram, protocol uint8, spi uint32) *espSA {
	id := espID{dst: g.dst, spi: spi, protocol: protocol}
	sa, ok := d.esp.sas.get(id)
	if !ok {
		sa = &espSA{id: id, firstFrame: d.frame.Number, udp: d.rec.Transport != "ip"}
		d.esp.sas.put(id, sa)
	}
	if protocol == protocolESP && (!sa.looked || sa.src != g.src || sa.generation != d.esp.generation) {
		d.look(sa, g)
	}
	sa.src = g.src
	return sa
}

// look finds the keys that an SA may have: the table's first.
func (d *Decoder) look(sa *espSA, g *datagram) {
	sa.looked, sa.generation = true, d.esp.generation
	sa.candidates = d.opt.Keys.esp(g.src, g.dst, sa.id.spi)
	derived, _ := d.esp.derived.get(sa.id.spi)
	sa.candidates = append(sa.candidates, derived...)
	if sa.keys != nil {
		return
	}
	for _, k := range sa.candidates {
		if k.high > 0 && sa.highest == 0 {
			sa.highest = uint64(k.high) << 32
		}
	}
}

// count notes what became of a packet's check value.
func (sa *espSA) count(encrypted, decrypted bool, icv suite.ICVState) {
	switch {
	case icv == suite.ICVGood:
		sa.good++
	case icv == suite.ICVBad:
		sa.bad++
	case encrypted && !decrypted:
		sa.opaque++
	default:
		sa.unchecked++
	}
}

// at is the SA's point of observation of a packet, nil beyond espPointsMax.
func (sa *espSA) at(id uint64, iface int) *espPoint {
	for _, p := range sa.points {
		if p.id == id {
			return p
		}
	}
	if len(sa.points) == espPointsMax {
		sa.elsewhere++
		return nil
	}
	p := &espPoint{id: id, iface: iface}
	sa.points = append(sa.points, p)
	return p
}
