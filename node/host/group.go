//go:build linux

package host

const (
	// segmentsMax and segmentBytesMax bound one UDP datagram that the kernel cuts:
	// Linux takes 64 segments from the beginning (udp(7)), and an IP packet's
	// payload.
	segmentsMax     = 64
	segmentBytesMax = 65535 - 40 - 8
	// groupsLookedAtMax bounds how many groups a packet is tried with.
	groupsLookedAtMax = 8
	// flowsTrackedMax is how many flows of a batch are told apart.
	flowsTrackedMax = 256
)

// group is a run of packets that become one datagram of equal segments, of which
// the last may be shorter.
type group struct {
	association  *association
	trafficClass uint8
	// size is the first packet's; closed says that a shorter one has ended it.
	size   int
	closed bool
	// first and last are the ends of the list of packets.
	first, last, count int
	innerBytes         int
	// sequence is the first packet's number.
	sequence uint64
}

// grouper sorts the packets of a batch into groups before they are numbered, so
// that the numbers rise on the wire. Packets of one flow keep their order.
type grouper struct {
	groups []group
	// latest is the group of a flow's latest packet, counted from 1.
	latest [flowsTrackedMax]int32
}

func (g *grouper) reset() {
	g.groups = g.groups[:0]
	clear(g.latest[:])
}

// add sorts packets[i] in.
func (g *grouper) add(a *association, packets []outPacket, i int) {
	p := &packets[i]
	latest := &g.latest[p.flow%flowsTrackedMax]
	own := int(*latest) - 1
	at := max(own, len(g.groups)-groupsLookedAtMax, 0)
	for ; at < len(g.groups); at++ {
		if g.groups[at].takes(a, p, at == own) {
			break
		}
	}
	if at == len(g.groups) {
		g.groups = append(g.groups, group{association: a, trafficClass: p.trafficClass, size: p.size, first: i, last: i, count: 1, innerBytes: p.size})
	} else {
		d := &g.groups[at]
		packets[d.last].next = i
		d.last = i
		d.count++
		d.innerBytes += p.size
		d.closed = p.size < d.size
	}
	*latest = int32(at) + 1
}

// takes says whether a packet can be the group's next segment. A shorter one, which
// ends it, must be of the flow that the group is for: others would end it early.
func (d *group) takes(a *association, p *outPacket, own bool) bool {
	if d.association != a || d.trafficClass != p.trafficClass || d.count == segmentsMax {
		return false
	}
	if !a.encap {
		return true // each is its own datagram
	}
	return !d.closed && (p.size == d.size || own && p.size < d.size) && (d.count+1)*(d.size+headroomBytes+tailBytes) <= segmentBytesMax
}
