package decode

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// tcpPrefix begins a stream of IKE and ESP over TCP, in each direction from the
// connection's originator (RFC 9329 §3).
const tcpPrefix = "IKETCP"

// tcpLengthBytes precede each message in the stream and count themselves (RFC 9329 §3).
const tcpLengthBytes = 2

// tcpStreams puts TCP connections together that carry IKE.
type tcpStreams struct {
	d     *Decoder
	pool  *reassembly.StreamPool
	asm   *reassembly.Assembler
	known *bounded[tcpFlow, bool] // connections that carry IKE, both directions
	swept time.Time
	layer int // of the segment that is being assembled
	open  int
}

// tcpFlow is one direction of a connection.
type tcpFlow struct{ src, dst netip.AddrPort }

func newTCPStreams(d *Decoder) *tcpStreams {
	t := &tcpStreams{d: d, known: newBounded[tcpFlow, bool](2 * tcpStreamsMax)}
	t.reset()
	return t
}

// reset forgets all connections.
func (t *tcpStreams) reset() {
	t.pool = reassembly.NewStreamPool(t)
	t.asm = reassembly.NewAssembler(t.pool)
	t.asm.MaxBufferedPagesPerConnection = tcpStreamPagesMax
	t.asm.MaxBufferedPagesTotal = tcpPagesMax
	t.open = 0
}

// close hands on what is complete.
func (t *tcpStreams) close() {
	if t.open > 0 {
		t.asm.FlushAll()
	}
}

// segmentContext carries the capture's time to the library.
type segmentContext gopacket.CaptureInfo

func (c *segmentContext) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(*c) }

// tcpSegment decodes a TCP segment. Whole messages in it, or completed by it, are
// records of its frame; a segment without one is a record of kind "other".
func (d *Decoder) tcpSegment(g *datagram, layer int) {
	r := &d.rec
	r.Transport = "tcp"
	if len(g.payload) < header.TCPMinimumSize {
		if g.missing > 0 {
			d.ports(g.payload)
			r.Note = fmt.Sprintf("TCP, cut: %d octets were not captured", g.missing)
		} else {
			r.Err = &Malformed{Where: "TCP", Offset: len(g.payload), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(g.payload), header.TCPMinimumSize)}
		}
		d.send()
		return
	}
	h := header.TCP(g.payload)
	d.ports(g.payload)
	at := int(h.DataOffset())
	if at < header.TCPMinimumSize || at > len(g.payload) {
		if g.missing > 0 {
			r.Note = "TCP, cut"
		} else {
			r.Err = &Malformed{Where: "TCP", Offset: 12, Field: "Data Offset", Reason: fmt.Sprintf("says %d octets, must be between %d and the %d that are there", at, header.TCPMinimumSize, len(g.payload))}
		}
		d.send()
		return
	}
	if !d.tcp.carriesIKE(g, h, g.payload[at:]) {
		r.Note = "TCP"
		d.send()
		return
	}
	before := d.emitted
	d.tcp.add(g, h, layer)
	if d.emitted == before {
		d.rec.Layer, d.rec.Src, d.rec.Dst, d.rec.Transport = layer, g.src, g.dst, "tcp"
		d.ports(g.payload)
		d.rec.Note = fmt.Sprintf("TCP segment of IKE, %d octets", len(g.payload)-at)
		d.send()
	}
}

// carriesIKE reports whether a connection is one of RFC 9329: port 4500, or a
// stream that begins with the prefix.
func (t *tcpStreams) carriesIKE(g *datagram, h header.TCP, data []byte) bool {
	if h.SourcePort() == portIKENATT || h.DestinationPort() == portIKENATT {
		return true
	}
	flow := tcpFlow{netip.AddrPortFrom(g.src, h.SourcePort()), netip.AddrPortFrom(g.dst, h.DestinationPort())}
	if known, _ := t.known.get(flow); known {
		return true
	}
	if len(data) >= len(tcpPrefix) && string(data[:len(tcpPrefix)]) == tcpPrefix {
		t.known.put(flow, true)
		t.known.put(tcpFlow{flow.dst, flow.src}, true)
		return true
	}
	return false
}

// add gives a segment to the library, which calls ReassembledSG.
func (t *tcpStreams) add(g *datagram, h header.TCP, layer int) {
	var segment layers.TCP
	if segment.DecodeFromBytes(g.payload, gopacket.NilDecodeFeedback) != nil {
		return
	}
	now := t.d.frame.Time
	if t.open >= tcpStreamsMax {
		t.asm.FlushAll()
		t.reset()
	} else if now.Sub(t.swept) > tcpIdleMax {
		t.asm.FlushCloseOlderThan(now.Add(-tcpIdleMax))
		t.swept = now
	}
	kind := layers.EndpointIPv4
	if g.version() == 6 {
		kind = layers.EndpointIPv6
	}
	t.layer = layer
	flow := gopacket.NewFlow(kind, g.src.AsSlice(), g.dst.AsSlice())
	context := segmentContext{Timestamp: now}
	t.asm.AssembleWithContext(flow, &segment, &context)
}

// New begins a connection, for the library.
func (t *tcpStreams) New(network, _ gopacket.Flow, segment *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	t.open++
	src, _ := netip.AddrFromSlice(network.Src().Raw())
	dst, _ := netip.AddrFromSlice(network.Dst().Raw())
	s := &tcpStream{owner: t}
	s.half[0].flow = tcpFlow{netip.AddrPortFrom(src, uint16(segment.SrcPort)), netip.AddrPortFrom(dst, uint16(segment.DstPort))}
	s.half[1].flow = tcpFlow{s.half[0].flow.dst, s.half[0].flow.src}
	return s
}

// tcpStream is one connection.
type tcpStream struct {
	owner *tcpStreams
	half  [2]tcpHalf // by direction
}

// tcpHalf is one direction: octets that are no whole message yet.
type tcpHalf struct {
	flow   tcpFlow
	buffer []byte
	synced bool // buffer begins where a message does
}

// Accept takes every segment, also of connections whose beginning is not in the capture.
func (s *tcpStream) Accept(_ *layers.TCP, _ gopacket.CaptureInfo, _ reassembly.TCPFlowDirection, _ reassembly.Sequence, start *bool, _ reassembly.AssemblerContext) bool {
	*start = true
	return true
}

// ReassembledSG takes octets in order.
func (s *tcpStream) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	length, _ := sg.Lengths()
	direction, _, _, skip := sg.Info()
	h := &s.half[0]
	if direction == reassembly.TCPDirServerToClient {
		h = &s.half[1]
	}
	if skip != 0 { // -1: the beginning is missing
		h.buffer, h.synced = h.buffer[:0], false
	}
	h.buffer = append(h.buffer, sg.Fetch(length)...)
	s.messages(h)
	if len(h.buffer) > tcpBufferBytesMax {
		h.buffer, h.synced = h.buffer[:0], false
	}
}

// ReassemblyComplete has the library forget the connection.
func (s *tcpStream) ReassemblyComplete(reassembly.AssemblerContext) bool {
	s.owner.open--
	return true
}

// messages decodes the whole messages at the front of the buffer.
func (s *tcpStream) messages(h *tcpHalf) {
	d, t := s.owner.d, s.owner
	if !h.synced {
		if len(h.buffer) >= len(tcpPrefix) && string(h.buffer[:len(tcpPrefix)]) == tcpPrefix {
			h.buffer, h.synced = h.buffer[len(tcpPrefix):], true
		} else if !h.resync() {
			return
		}
	}
	for len(h.buffer) >= tcpLengthBytes {
		size := int(binary.BigEndian.Uint16(h.buffer))
		if size < tcpLengthBytes {
			t.describe(h)
			d.rec.Err = &Malformed{Where: "TCP", Field: "Length", Reason: fmt.Sprintf("a message in the stream says %d octets, its length alone has %d (RFC 9329 §3)", size, tcpLengthBytes)}
			d.send()
			h.buffer, h.synced = h.buffer[:0], false
			return
		}
		if len(h.buffer) < size {
			return
		}
		message := h.buffer[tcpLengthBytes:size]
		h.buffer = h.buffer[size:]
		t.message(h, message)
	}
}

// resync finds a message in the middle of a stream: an IKE message at the front
// of a segment, whose two lengths agree.
func (h *tcpHalf) resync() bool {
	const ikeAt = tcpLengthBytes + wire.NonESPMarkerBytes
	if len(h.buffer) < ikeAt+wire.HeaderBytes {
		if len(h.buffer) >= len(tcpPrefix) {
			h.buffer = h.buffer[:0]
		}
		return false
	}
	size := int(binary.BigEndian.Uint16(h.buffer))
	m, err := wire.ParseHeader(h.buffer[ikeAt:])
	if err == nil && m.MajorVersion == 2 && int(m.Length) == size-ikeAt && binary.BigEndian.Uint32(h.buffer[tcpLengthBytes:]) == 0 {
		h.synced = true
		return true
	}
	h.buffer = h.buffer[:0]
	return false
}

// describe makes the record one of a connection.
func (t *tcpStreams) describe(h *tcpHalf) {
	r := &t.d.rec
	r.Layer, r.Transport = t.layer, "tcp"
	r.HasPorts = true
	r.Src, r.SrcPort, r.Dst, r.DstPort = h.flow.src.Addr(), h.flow.src.Port(), h.flow.dst.Addr(), h.flow.dst.Port()
}

// message decodes one message of a stream: IKE behind a non-ESP marker, else ESP.
func (t *tcpStreams) message(h *tcpHalf, b []byte) {
	d := t.d
	t.describe(h)
	// The stream is put together once, wherever its segments were seen.
	inside := datagram{src: h.flow.src.Addr(), dst: h.flow.dst.Addr(), protocol: protocolTCP, payload: b}
	switch {
	case len(b) == 0 || len(b) == 1 && b[0] == 0xff:
		d.rec.Note = "keepalive in TCP"
		d.send()
	case len(b) >= wire.NonESPMarkerBytes && [wire.NonESPMarkerBytes]byte(b) == wire.NonESPMarker:
		d.rec.Kind = KindIKE
		d.ikeMessage(&inside, b[wire.NonESPMarkerBytes:], 0)
	default:
		d.rec.Kind, d.rec.Bytes = KindESP, len(b)
		d.espPacket(&inside, b, t.layer)
	}
}
