package sim

import (
	"math"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// underWay is what an engine finds of packets when the run ends: on links, and in nodes
// that hold them for a tunnel. A flow's packet that is neither received nor among them
// is lost.
type underWay struct {
	// looked says that the engine has told at all, whole that there is nowhere else a
	// packet could be. Where a kernel carries packets there is.
	looked, whole bool
	// packets are those of flows whose number shows, by flow; sealed counts those that
	// do not show it, from inside an SA; held are those that nodes hold.
	packets []map[uint64]struct{}
	sealed  []uint64
	held    []map[uint64]struct{}
	// unknown counts packets that may be of any flow: a tunnel within a tunnel, or
	// a later fragment without its first.
	unknown uint64
	// firsts are the packets whose first fragment is there, laters those that have a
	// later one there.
	firsts, laters map[datagram]struct{}
}

// seals remembers which flow a sealed packet is of, for as many packets as may be on
// links behind each other. It is a table in which the youngest packet of a place stays.
type seals struct{ places []sealedFlow }

// sealedFlow is a packet under an SA: flow is the index in the plan, or one of the
// constants below.
type sealedFlow struct {
	spi, sequence uint32
	flow          int32
}

const (
	// sealPlaces is the length of the table, a power of two.
	sealPlaces = 1 << 15
	// sealOfNone is a packet of no flow, sealUnknown one of which that cannot be told.
	sealOfNone  = -1
	sealUnknown = -2
)

func (s *seals) place(spi, sequence uint32) *sealedFlow {
	const spread = 0x9e3779b1 // the golden ratio's, so that SAs do not share places in step
	return &s.places[(sequence+spi*spread)%sealPlaces]
}

func (s *seals) note(spi, sequence uint32, flow int32) {
	if s.places == nil {
		s.places = make([]sealedFlow, sealPlaces)
	}
	*s.place(spi, sequence) = sealedFlow{spi, sequence, flow}
}

func (s *seals) flow(spi, sequence uint32) int32 {
	if s.places == nil {
		return sealUnknown
	}
	if p := s.place(spi, sequence); p.spi == spi && p.sequence == sequence {
		return p.flow
	}
	return sealUnknown
}

// flowEnds is what tells a flow's packets where their number does not show.
type flowEnds = traffic

// nameFlowEnds notes the traffic of a flow, in both directions for echoes. Of two flows
// between the same ends the first stands for both.
func (r *Run) nameFlowEnds(index int, f *flow) {
	name := func(t traffic) {
		if _, taken := r.flowByEnds[t]; !taken {
			r.flowByEnds[t] = index
		}
	}
	if f.Protocol != topology.ProtocolICMP {
		name(traffic{f.FromAddr, f.ToAddr, protocolUDP, f.SourcePort, f.DestinationPort, true})
		return
	}
	request, reply, protocol := uint16(header.ICMPv4Echo)<<8, uint16(header.ICMPv4EchoReply)<<8, uint8(protocolICMP)
	if f.ToAddr.Is6() {
		request, reply, protocol = uint16(header.ICMPv6EchoRequest)<<8, uint16(header.ICMPv6EchoReply)<<8, protocolICMPv6
	}
	name(traffic{f.FromAddr, f.ToAddr, protocol, request, request, true})
	name(traffic{f.ToAddr, f.FromAddr, protocol, reply, reply, true})
}

// flowByTraffic is the flow that a packet is of by its ends, sealOfNone for none and
// sealUnknown for a packet that shows nothing: ESP, and later fragments.
func (r *Run) flowByTraffic(t traffic) int32 {
	if i, ok := r.flowByEnds[t]; ok {
		return int32(i)
	}
	if t.protocol == protocolESP || !t.portsKnown ||
		t.protocol == protocolUDP && (t.srcPort == portIKENAT || t.dstPort == portIKENAT) {
		return sealUnknown
	}
	return sealOfNone
}

// flowPacket is the flow and the number of a packet that shows them.
func (r *Run) flowPacket(s *sight) (*flow, uint64, bool) {
	a, ok := parseFlowPayload(s.inside)
	if !ok {
		return nil, 0, false
	}
	i, ok := r.flowByTag[a.tag]
	if !ok || a.sequence >= r.flows[i].meter.sentCount {
		return nil, 0, false
	}
	return r.flows[i], a.sequence, true
}

// lost notes that a packet was dropped, and its flow knows.
func (r *Run) lost(s *sight) {
	if f, sequence, ok := r.flowPacket(s); ok {
		f.meter.droppedPacket(sequence)
	} else if s.esp != nil {
		if spi, sequence, ok := espNumbers(s.esp); ok {
			if i := r.seals.flow(spi, sequence); i >= 0 {
				r.flows[i].meter.droppedYoungest()
			}
		}
	}
}

// gaveUp notes that a node gave a packet up.
func (r *Run) gaveUp(d *node.Drop) {
	i, ok := r.flowByEnds[trafficOf(d.Packet)]
	if !ok {
		return
	}
	switch d.Reason {
	case node.DropHoldFull, node.DropHoldTimeout, node.DropNegotiationFailed,
		// A full table makes room by its oldest packet.
		node.DropFragmentTimeout, node.DropFragmentTableFull:
		r.flows[i].meter.droppedOldest()
	default:
		r.flows[i].meter.droppedYoungest()
	}
}

// espNumbers are the SPI of an ESP packet and the sequence number that it shows.
func espNumbers(b []byte) (spi, sequence uint32, ok bool) {
	if len(b) < 8 {
		return 0, 0, false
	}
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]),
		uint32(b[4])<<24 | uint32(b[5])<<16 | uint32(b[6])<<8 | uint32(b[7]), true
}

// UnderWay begins the account of packets that are under way when the run ends. Engines
// call it before Finish, and then Travelling and Holding for every packet that they
// find. whole says that those are all there are; otherwise those count as well that
// left within the time that packets of their flow have taken of late, and that nobody
// is known to have dropped.
func (r *Run) UnderWay(whole bool) {
	n := len(r.flows)
	r.underWay = underWay{
		looked: true, whole: whole, packets: make([]map[uint64]struct{}, n), sealed: make([]uint64, n), held: make([]map[uint64]struct{}, n),
		firsts: map[datagram]struct{}{}, laters: map[datagram]struct{}{},
	}
}

// Travelling says that a packet is on a link. The bytes are not kept.
func (r *Run) Travelling(packet []byte) { r.found(packet, r.underWay.packets) }

// Holding says that a node holds a packet for a tunnel. The bytes are not kept.
func (r *Run) Holding(packet []byte) { r.found(packet, r.underWay.held) }

func (r *Run) found(packet []byte, in []map[uint64]struct{}) {
	s, u := &r.seen, &r.underWay
	if !s.look(packet) {
		return
	}
	switch {
	case s.later:
		u.laters[s.datagram()] = struct{}{}
		return
	case s.partial:
		u.firsts[s.datagram()] = struct{}{}
	}
	if f, sequence, ok := r.flowPacket(s); ok {
		i := f.number - 1
		if in[i] == nil {
			in[i] = map[uint64]struct{}{}
		}
		in[i][sequence] = struct{}{}
		return
	}
	if s.esp == nil {
		return
	}
	flow := int32(sealUnknown)
	if spi, sequence, ok := espNumbers(s.esp); ok {
		flow = r.seals.flow(spi, sequence)
	}
	switch {
	case flow >= 0:
		u.sealed[flow]++
	case flow == sealUnknown:
		u.unknown++
	}
}

// cutOff is since when nothing of a flow can arrive because all interfaces of a node at
// one of its ends are down; the end of time when that is not so. A kernel drops there
// without a word.
func (r *Run) cutOff(f *flow) time.Duration {
	first := time.Duration(math.MaxInt64)
	for _, n := range []int{f.from, f.to} {
		since := time.Duration(0)
		for i, up := range r.nodes[n].up {
			if up {
				since = math.MaxInt64
			}
			since = max(since, r.nodes[n].downSince[i])
		}
		first = min(first, since)
	}
	return first
}

// inFlight is how many packets of a flow are under way, and how many of them wait in a
// node.
func (r *Run) inFlight(now time.Duration, f *flow) (inFlight, held uint64) {
	m, u := &f.meter, &r.underWay
	guess := m.inFlight(now, r.cutOff(f))
	if !u.looked {
		return guess, 0
	}
	i := f.number - 1
	for sequence := range u.held[i] {
		if !m.has(sequence) {
			held++
		}
	}
	there := held + u.sealed[i]
	for sequence := range u.packets[i] {
		if _, twice := u.held[i][sequence]; !twice && !m.has(sequence) {
			there++
		}
	}
	if u.whole {
		unknown := u.unknown
		for d := range u.laters {
			if _, known := u.firsts[d]; !known {
				unknown++
			}
		}
		if guess > there {
			there += min(guess-there, unknown)
		}
	} else {
		there = max(there, guess)
	}
	return min(there, m.sentCount-m.received), held
}
