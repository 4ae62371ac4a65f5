package sim

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// datagram names a packet that travels in fragments, wherever they are (RFC 791,
// section 3.2; RFC 8200, section 4.5, which leaves the protocol out because a later
// fragment names the header that its own part of the packet begins with).
type datagram struct {
	src, dst netip.Addr
	protocol uint8 // 0 for IPv6
	id       uint32
}

// datagram is the one that a fragment belongs to.
func (s *sight) datagram() datagram {
	d := datagram{src: s.src, dst: s.dst, protocol: s.protocol, id: s.fragmentID}
	if s.src.Is6() {
		d.protocol = 0
	}
	return d
}

// traffic is what policies look at in a packet.
func (s *sight) traffic() traffic {
	return traffic{s.src, s.dst, s.protocol, s.srcPort, s.dstPort, s.portsKnown}
}

const (
	// firstsMax bounds the packets in fragments that are followed at a time, the
	// oldest forgotten first.
	firstsMax = 1 << 15
	// firstsAgeMax is how long a first fragment speaks for later ones: no receiver
	// puts older ones together (RFC 1122, section 3.3.2; RFC 8200, section 4.5), and
	// the identification comes again.
	firstsAgeMax = 120 * time.Second
	// fragmentsWaitingMax bounds the later fragments that were seen before a first
	// one, the oldest judged first.
	fragmentsWaitingMax = 1 << 12
	// firstBehindMax is how much later than a fragment the first may be seen: in real
	// time, what passes one node may be told after what has passed the next.
	firstBehindMax = time.Second
)

// firsts remembers what the first fragments of packets showed, seen anywhere on their
// way: those behind them show nothing but addresses, and may overtake them.
type firsts struct {
	known map[datagram]firstFragment
	order []datagram // a ring
	next  int
}

type firstFragment struct {
	at time.Duration
	shown
}

func newFirsts() firsts { return firsts{known: map[datagram]firstFragment{}} }

// note remembers a first fragment.
func (f *firsts) note(now time.Duration, d datagram, s shown) {
	if _, again := f.known[d]; !again {
		if len(f.order) < firstsMax {
			f.order = append(f.order, d)
		} else {
			delete(f.known, f.order[f.next])
			f.order[f.next] = d
			f.next = (f.next + 1) % firstsMax
		}
	}
	f.known[d] = firstFragment{now, s}
}

// of finds what the first fragment showed of a later one's packet.
func (f *firsts) of(now time.Duration, p *sight) (shown, bool) {
	first, ok := f.known[p.datagram()]
	return first.shown, ok && now-first.at <= firstsAgeMax
}

// waitingFragment is a later fragment that left a node before anybody saw the first.
type waitingFragment struct {
	datagram
	now    time.Duration
	node   int
	own    bool
	packet sight // without its bytes
	bytes  int
	// under are the policies that it may fall under, in order.
	under []policyInForce
}

// begin notes a first fragment, and judges those that were ahead of it.
func (i *clearInvariant) begin(o *sighted) {
	s, d := o.shows(), o.packet.datagram()
	i.firsts.note(o.now, d, s)
	i.waiting = slices.DeleteFunc(i.waiting, func(w waitingFragment) bool {
		if w.datagram != d {
			return false
		}
		i.judgeWaiting(&w, &s)
		return true
	})
}

// wait keeps a later fragment whose first one nobody has seen, if a policy may be
// about it.
func (i *clearInvariant) wait(o *sighted) {
	var under []policyInForce
	for _, in := range i.policies[o.node] {
		if o.packet.mayBeUnder(in.policy) {
			under = append(under, in)
		}
	}
	if len(under) == 0 {
		return
	}
	if len(i.waiting) == fragmentsWaitingMax {
		i.judgeWaiting(&i.waiting[0], nil)
		i.waiting = slices.Delete(i.waiting, 0, 1)
	}
	w := waitingFragment{datagram: o.packet.datagram(), now: o.now, node: o.node, own: o.own, packet: *o.packet, bytes: len(o.packet.bytes), under: under}
	w.packet.bytes = nil
	i.waiting = append(i.waiting, w)
}

// judgeWaiting judges a fragment that waited, by the policies of its time: by what the
// first one shows, or, when none came, by what it shows itself. Nothing then says that
// it is ESP or IKE, whose first fragments somebody always sees.
func (i *clearInvariant) judgeWaiting(w *waitingFragment, first *shown) {
	if first != nil && (first.esp || w.own && first.passesBy) {
		return
	}
	p := w.packet
	for _, in := range w.under {
		under := p.under(in.local, in.remote)
		if first != nil {
			as := p
			as.protocol, as.srcPort, as.dstPort, as.portsKnown = first.protocol, first.srcPort, first.dstPort, first.portsKnown
			under = under || as.under(in.local, in.remote)
		}
		if under {
			i.inClear(w.now, w.node, &p, w.bytes, in.policy)
			return
		}
	}
}

// finishWaiting judges the fragments whose first one was never seen.
func (i *clearInvariant) finishWaiting(now time.Duration) {
	for n := range i.waiting {
		if w := &i.waiting[n]; now-w.now > firstBehindMax {
			i.judgeWaiting(w, nil)
		}
	}
}

// mayBeUnder reports whether a later fragment, which shows no ports, may belong to a
// policy's traffic.
func (s *sight) mayBeUnder(p policy) bool {
	for _, l := range p.local {
		if within(s.src, l) && slices.ContainsFunc(p.remote, func(r wire.Selector) bool { return within(s.dst, r) }) {
			return true
		}
	}
	return false
}
