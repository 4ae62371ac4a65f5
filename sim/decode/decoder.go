package decode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/suite"
)

// UDP and TCP ports (RFC 7296 §2, §2.23; RFC 9329 §2).
const (
	portIKE     = 500
	portIKENATT = 4500
)

// Options of a Decoder.
type Options struct {
	// Keys may be nil.
	Keys *Keys
	// Ladder has the decoder keep a row for every IKE message.
	Ladder bool
}

// Decoder turns frames into records and remembers the SAs that it saw. It is not
// safe for concurrent use.
type Decoder struct {
	opt   Options
	emit  func(*Record) error
	seed  maphash.Seed
	stats Stats

	frame     Frame  // without its data
	direction uint32 // of the frame, from its link header
	rec       Record
	emitted   int // records of the frame
	fail      error

	reassembler *reassembler
	tcp         *tcpStreams
	ike         ikeState
	esp         espState
	ladder      []Row
	ladderMore  uint64
	start, end  time.Time // of the first and the last frame
	unread      []Unread
}

// NewDecoder makes a decoder that hands records to emit, in the order of the
// capture. The first error of emit ends the work and is returned by Frame.
func NewDecoder(opt Options, emit func(*Record) error) *Decoder {
	d := &Decoder{opt: opt, emit: emit, seed: maphash.MakeSeed(), reassembler: newReassembler()}
	d.tcp = newTCPStreams(d)
	d.ike = newIKEState()
	d.esp = newESPState()
	return d
}

// Stats counts what was read so far.
func (d *Decoder) Stats() Stats { return d.stats }

// Run decodes a whole capture. What is wrong with the file itself, behind its
// last readable frame, becomes a record of kind "other" with an error. It fails
// only when emit does.
func (d *Decoder) Run(r *Reader) error {
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return d.Close()
		}
		if err != nil {
			d.begin(&Frame{Number: r.number, Time: d.end})
			d.rec.Err = &Malformed{Where: whereCapture, Reason: err.Error()}
			d.send()
			return errors.Join(d.Close(), d.fail)
		}
		if err := d.Frame(f); err != nil {
			return err
		}
	}
}

// Close says that there is no further frame. It ends nothing that Frame needs.
func (d *Decoder) Close() error {
	d.tcp.close()
	return d.fail
}

// Frame decodes one frame. Its data is not kept.
func (d *Decoder) Frame(f Frame) error {
	d.stats.Frames++
	if d.stats.Frames == 1 {
		d.start = f.Time
	}
	d.end = f.Time
	d.begin(&f)
	if len(f.Data) > frameBytesMax {
		d.rec.Note = fmt.Sprintf("a frame of %d octets; at most %d are dissected", len(f.Data), frameBytesMax)
		d.send()
		return d.fail
	}
	in := unlink(f.Link, f.Data)
	d.direction = in.direction
	switch {
	case in.malformed != nil && len(f.Data) < f.Length:
		d.rec.Note = fmt.Sprintf("only %d of %d octets were captured", len(f.Data), f.Length)
		d.send()
	case in.malformed != nil:
		d.rec.Err = in.malformed
		d.send()
	case in.other != "":
		d.rec.Note, d.rec.Unread = in.other, in.unread
		d.send()
	default:
		d.packet(in.ip, f.Length-len(f.Data), 0)
	}
	return d.fail
}

// begin starts the records of a frame. The record is empty since the last one was
// sent.
func (d *Decoder) begin(f *Frame) {
	d.frame, d.emitted = *f, 0
	d.frame.Data = nil
	d.rec.begin(f)
}

// send counts the record and hands it on. The next one of the frame begins anew.
func (d *Decoder) send() {
	r := &d.rec
	d.emitted++
	d.stats.Records++
	switch r.Kind {
	case KindIKE:
		d.stats.IKE++
	case KindESP:
		d.stats.ESP++
	case KindAH:
		d.stats.AH++
	default:
		d.stats.Other++
	}
	if r.Encrypted {
		if r.Decrypted {
			d.stats.Decrypted++
		} else {
			d.stats.Encrypted++
		}
	}
	if r.Err != nil {
		d.stats.Malformed++
	}
	if len(r.Remarks) > 0 {
		d.stats.Remarks++
	}
	if r.Duplicate {
		d.stats.Duplicates++
	}
	if r.Unread != "" {
		d.stats.Unread++
		d.leave(r.Unread)
	}
	if r.ICV == suite.ICVBad {
		d.stats.BadICV++
	}
	if d.fail == nil && d.emit != nil {
		d.fail = d.emit(r)
	}
	r.reset(&d.frame)
}

// hash is for telling octets apart within one Decoder.
func (d *Decoder) hash(b []byte) uint64 { return maphash.Bytes(d.seed, b) }

// point is where a packet was seen: the same packet at two points is one packet
// on its way, the same packet twice at one point was sent twice.
func (d *Decoder) point(g *datagram) uint64 {
	var b [42]byte
	binary.BigEndian.PutUint32(b[0:], uint32(d.frame.Interface))
	binary.BigEndian.PutUint32(b[4:], d.direction)
	b[8] = g.hops
	b[9] = byte(g.version())
	src, dst := g.src.As16(), g.dst.As16()
	copy(b[10:], src[:])
	copy(b[26:], dst[:])
	return d.hash(b[:])
}

// packet decodes an IP packet, layer deep in others, of which missing octets at
// the end were not captured.
func (d *Decoder) packet(b []byte, missing, layer int) {
	g, malformed := parseIP(b, missing)
	d.rec.Layer, d.rec.Src, d.rec.Dst = layer, g.src, g.dst
	if malformed != nil {
		if missing > 0 {
			malformed.Reason += fmt.Sprintf("; %d octets were not captured", missing)
		}
		d.rec.Err = malformed
		d.send()
		return
	}
	frames := 0
	if g.fragment {
		at, n, more := g.offset, len(g.payload), g.more
		whole, count, again, malformed := d.reassembler.add(d.point(&g), d.hash(g.payload), d.frame.Time, &g)
		if malformed != nil || whole == nil {
			d.rec.Duplicate = again
			d.rec.Err = malformed
			d.rec.Transport = "ip"
			last := ", the last one"
			if more {
				last = ""
			}
			d.rec.Note = fmt.Sprintf("IPv%d fragment of protocol %d, octets %d to %d%s", g.version(), g.protocol, at, at+n, last)
			d.send()
			return
		}
		g, frames = *whole, count
	}
	d.rec.Frames = frames
	d.transport(&g, layer)
}

// transport decodes what an IP packet carries.
func (d *Decoder) transport(g *datagram, layer int) {
	d.rec.Transport = "ip"
	switch g.protocol {
	case protocolUDP:
		d.udp(g, layer)
	case protocolTCP:
		d.tcpSegment(g, layer)
	case protocolESP:
		d.rec.Kind, d.rec.Bytes = KindESP, len(g.payload)
		d.espPacket(g, g.payload, layer)
	case protocolAH:
		d.rec.Kind, d.rec.Bytes = KindAH, len(g.payload)
		d.ahPacket(g, layer)
	case protocolIPv4, protocolIPv6:
		if layer+1 >= nestingMax {
			d.rec.Note = fmt.Sprintf("more than %d packets inside packets", nestingMax)
			d.send()
			return
		}
		// A tunnel in clear: what it carries is a record of the same frame.
		d.packet(g.payload, g.missing, layer+1)
	case protocolICMP, protocolICMPv6:
		d.icmp(g)
	default:
		d.rec.Note = protocolName(g.protocol)
		if name := tunnelProtocols[g.protocol]; name != "" {
			d.rec.Note, d.rec.Unread = name+notLookedInto, name
		}
		d.send()
	}
}

// icmp decodes an ICMP message. A message of the other IP version's ICMP is none.
func (d *Decoder) icmp(g *datagram) {
	r := &d.rec
	r.Note = protocolName(g.protocol)
	if (g.protocol == protocolICMP) == (g.version() == 4) {
		if r.ICMP, r.Err = parseICMP(g.protocol, g.payload, g.missing); r.ICMP != nil {
			r.Note = string(r.ICMP.appendText(append([]byte(r.Note), ' ')))
		}
	}
	d.send()
}

// udp decodes a UDP datagram.
func (d *Decoder) udp(g *datagram, layer int) {
	r := &d.rec
	r.Transport = "udp"
	if len(g.payload) < header.UDPMinimumSize {
		if g.missing > 0 {
			d.ports(g.payload)
			r.Note = fmt.Sprintf("UDP, cut: %d octets were not captured", g.missing)
		} else {
			r.Err = &Malformed{Where: "UDP", Offset: len(g.payload), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(g.payload), header.UDPMinimumSize)}
		}
		d.send()
		return
	}
	h := header.UDP(g.payload)
	d.ports(g.payload)
	size := int(h.Length())
	payload, missing := g.payload[header.UDPMinimumSize:], g.missing
	switch {
	case size == 0 && g.version() == 6: // a jumbogram (RFC 2675)
	case size < header.UDPMinimumSize:
		r.Err = &Malformed{Where: "UDP", Offset: 4, Field: "Length", Reason: fmt.Sprintf("says %d octets, the header alone has %d", size, header.UDPMinimumSize)}
		d.send()
		return
	case size > len(g.payload)+g.missing:
		r.Err = &Malformed{Where: "UDP", Offset: 4, Field: "Length", Reason: fmt.Sprintf("says %d octets, the packet has %d", size, len(g.payload)+g.missing)}
		d.send()
		return
	case size <= len(g.payload):
		payload, missing = g.payload[header.UDPMinimumSize:size], 0
	default:
		missing = size - len(g.payload)
	}
	d.udpPayload(g, r.SrcPort, r.DstPort, payload, missing, layer)
}

// inner decodes what was inside ESP or AH, if that is something to decode.
func (d *Decoder) inner(outer *datagram, nextHeader uint8, b []byte, missing, layer int) {
	if layer+1 >= nestingMax {
		return
	}
	switch nextHeader {
	case protocolIPv4, protocolIPv6:
		g, malformed := parseIP(b, missing)
		if malformed != nil || !interesting(&g) {
			return
		}
		d.packet(b, missing, layer+1)
	case protocolESP, protocolAH, protocolUDP, protocolTCP:
		g := *outer
		g.protocol, g.payload, g.missing, g.fragment = nextHeader, b, missing, false
		if !interesting(&g) {
			return
		}
		d.rec.Layer, d.rec.Src, d.rec.Dst = layer+1, g.src, g.dst
		d.transport(&g, layer+1)
	}
}

// interesting reports whether a packet that was inside another deserves a record
// of its own: only if it may be IKE, ESP or AH.
func interesting(g *datagram) bool {
	switch g.protocol {
	case protocolESP, protocolAH:
		return true
	case protocolUDP:
		if g.offset > 0 || len(g.payload) < header.UDPMinimumSize {
			return g.fragment
		}
		h := header.UDP(g.payload)
		for _, p := range [2]uint16{h.SourcePort(), h.DestinationPort()} {
			if p == portIKE || p == portIKENATT {
				return true
			}
		}
	}
	return false
}
