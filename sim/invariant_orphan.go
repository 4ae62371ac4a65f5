package sim

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// orphanInvariant: no orphan or duplicate SA after quiet. When no request is
// open within an IKE SA, or nothing was seen of it for longer than a whole
// retransmission schedule, then both its ends must hold the same SAs, mirrored,
// and one per child. What is still being negotiated when the run ends is not
// judged.
//
// What says that two ends must agree is that each has heard what the other said. Where
// a message of one never got to the other, whatever kept it (a link, an address, a
// route, loss, an MTU), one end may have given up without the other's knowledge. The
// other is an orphan only when it had the time to notice: the silence of its dpd_delay
// and a whole retransmission schedule since it last heard from its peer, by IKE or ESP.
// Without dpd_delay it never will, and is one once a schedule has passed.
//
// An end may also go without a word in its IKE SA: one that another IKE SA of the same
// identity pushes out (INITIAL_CONTACT, RFC 7296, section 2.4), which may be another
// host's. The other end is given the same time to notice, from when it last heard from
// its peer or from when that end went, whichever was first.
//
// A node that is killed takes its ends with it and says nothing. The other end is an
// orphan only when it had the means to notice: once the silence of its dpd_delay and
// a whole retransmission schedule have passed. Without dpd_delay it has none, unless
// the dead node's next life tells it (RFC 7296, section 2.4), and is left alone.
type orphanInvariant struct {
	verdict
	c        invariantConfig
	activity map[wire.SPI]*activity
	order    []wire.SPI // a ring of the IKE SAs in activity
	next     int
	children []installed   // in order of installation
	sas      []established // in order of establishment
	// count orders the beginnings of IKE SAs and the deaths of nodes, deaths holds
	// the latter.
	count  uint64
	deaths []death
	// ikeOf are the IKE SAs of the child SAs in children.
	ikeOf map[association]wire.SPI
}

// death is one end of a node's life.
type death struct {
	died
	count uint64
}

// activity is what goes on within an IKE SA.
type activity struct {
	last time.Duration
	open []request
	// unheard are the messages that one end sent and the other has not heard.
	unheard []message
	// deleted says that an end said that it deletes the IKE SA.
	deleted bool
	// begun is when it was first seen, by orphanInvariant.count; ends are the nodes
	// that sent messages of it or heard some.
	begun uint64
	ends  []activityEnd
}

// activityEnd is one end of an IKE SA; lastHeard is when it last heard from the other.
// left says that the end is gone since leftAt, and nobody had said that it would.
type activityEnd struct {
	node      int
	lastHeard time.Duration
	left      bool
	leftAt    time.Duration
}

// message is one that a node sent.
type message struct {
	node int
	said said
}

// request is one that a node waits to have answered.
type request struct {
	node     int
	exchange wire.ExchangeType
	id       uint32
}

const (
	// activitiesMax bounds the IKE SAs, half-open ones included, whose exchanges
	// are followed; the oldest are forgotten first and then count as quiet.
	activitiesMax = 1 << 17
	// openRequestsMax bounds the requests open within one IKE SA.
	openRequestsMax = 64
	// unheardMax bounds the messages of an IKE SA that the other end has not heard.
	unheardMax = 64
	// endsMax bounds the ends of an IKE SA; it has two.
	endsMax = 4
	// deathsMax bounds the deaths that are remembered, the oldest forgotten first.
	deathsMax = 1 << 12
)

func newOrphanInvariant(c invariantConfig) *orphanInvariant {
	return &orphanInvariant{c: c, activity: map[wire.SPI]*activity{}, ikeOf: map[association]wire.SPI{}}
}

func (*orphanInvariant) name() string { return InvariantNoOrphanSA }

func (i *orphanInvariant) observe(o observation) {
	switch o := o.(type) {
	case *sighted:
		i.sight(o)
	case *spoke:
		i.speak(o)
	case *heard:
		i.hear(o)
	case *gaveUp:
		i.active(o.said.spiI, o.now).close(request{o.node, o.said.exchange, o.said.id})
	case *opened:
		if spi, ok := i.ikeOf[o.by]; ok {
			i.active(spi, o.now).end(o.by.node).lastHeard = o.now
		}
	case *answered:
		i.active(o.spiI, o.now).close(request{o.node, o.exchange, o.id})
	case *installed:
		i.active(o.ike, o.now)
		i.children = append(i.children, *o)
		i.ikeOf[o.by] = o.ike
	case *removed:
		delete(i.ikeOf, o.by)
		i.children = slices.DeleteFunc(i.children, func(s installed) bool {
			return s.by.node == o.by.node && s.spiIn == o.spiIn && s.spiOut == o.spiOut
		})
	case *died:
		i.die(o)
	case *established:
		i.active(o.spiI, o.now)
		i.sas = append(i.sas, *o)
	case *gone:
		if a := i.active(o.spiI, o.now); !a.deleted {
			end := a.end(o.node)
			end.left, end.leftAt = true, o.now
		}
		i.sas = slices.DeleteFunc(i.sas, func(s established) bool {
			return s.node == o.node && s.spiI == o.spiI && s.spiR == o.spiR
		})
	}
}

// sight notes the requests that nodes send, and that an IKE SA is alive.
func (i *orphanInvariant) sight(o *sighted) {
	if o.packet.ike == nil {
		return
	}
	h, err := wire.ParseHeader(o.packet.ike)
	if err != nil {
		return
	}
	a := i.active(h.InitiatorSPI, o.now)
	if !o.own || o.direction != impair.Up {
		return
	}
	a.end(o.node)
	if !h.IsResponse() {
		a.ask(request{o.node, h.Exchange, h.MessageID})
	}
}

// speak notes what a node says, whether it gets out of the node or not.
func (i *orphanInvariant) speak(o *spoke) {
	a := i.active(o.said.spiI, o.now)
	a.end(o.node)
	a.deleted = a.deleted || o.deletes
	if !o.said.response {
		a.ask(request{o.node, o.said.exchange, o.said.id})
	}
	m := message{o.node, o.said}
	if slices.Contains(a.unheard, m) {
		return
	}
	if len(a.unheard) == unheardMax {
		a.unheard = slices.Delete(a.unheard, 0, 1)
	}
	a.unheard = append(a.unheard, m)
}

// hear notes that a node has heard what its peer said.
func (i *orphanInvariant) hear(o *heard) {
	a := i.active(o.said.spiI, o.now)
	a.end(o.node).lastHeard = o.now
	a.unheard = slices.DeleteFunc(a.unheard, func(m message) bool { return m.node != o.node && m.said == o.said })
}

// end is a node's end of the IKE SA. An IKE SA with more ends than it can have keeps the
// last for all others.
func (a *activity) end(node int) *activityEnd {
	n := slices.IndexFunc(a.ends, func(e activityEnd) bool { return e.node == node })
	if n < 0 && len(a.ends) < endsMax {
		a.ends = append(a.ends, activityEnd{node: node})
	}
	if n < 0 {
		n = len(a.ends) - 1
	}
	return &a.ends[n]
}

// has reports whether a node is an end of the IKE SA.
func (a *activity) has(node int) bool {
	return slices.ContainsFunc(a.ends, func(e activityEnd) bool { return e.node == node })
}

// ask notes that a request is open, close that it is not.
func (a *activity) ask(r request) {
	if len(a.open) < openRequestsMax && !slices.Contains(a.open, r) {
		a.open = append(a.open, r)
	}
}

func (a *activity) close(r request) {
	a.open = slices.DeleteFunc(a.open, func(open request) bool { return open == r })
}

// active notes that an IKE SA is alive now.
func (i *orphanInvariant) active(spiI wire.SPI, now time.Duration) *activity {
	a := i.activity[spiI]
	if a == nil {
		if len(i.order) < activitiesMax {
			i.order = append(i.order, spiI)
		} else {
			delete(i.activity, i.order[i.next])
			i.order[i.next] = spiI
			i.next = (i.next + 1) % activitiesMax
		}
		i.count++
		a = &activity{begun: i.count}
		i.activity[spiI] = a
	}
	a.last = now
	return a
}

// die takes what a dead node held, and its requests, which nobody waits for any more.
func (i *orphanInvariant) die(o *died) {
	i.count++
	if len(i.deaths) == deathsMax {
		i.deaths = slices.Delete(i.deaths, 0, 1)
	}
	i.deaths = append(i.deaths, death{*o, i.count})
	i.children = slices.DeleteFunc(i.children, func(s installed) bool { return s.by.node == o.node })
	i.sas = slices.DeleteFunc(i.sas, func(s established) bool { return s.node == o.node })
	maps.DeleteFunc(i.ikeOf, func(by association, _ wire.SPI) bool { return by.node == o.node })
	for _, a := range i.activity {
		a.open = slices.DeleteFunc(a.open, func(r request) bool { return r.node == o.node })
	}
}

// bereaved reports whether the other end of an IKE SA died, and whether the node that
// still holds it had the means to notice until now.
func (i *orphanInvariant) bereaved(node int, connection string, spiI wire.SPI, now time.Duration) (bereaved, noticed bool) {
	a := i.activity[spiI]
	if a == nil {
		return false, false
	}
	for _, d := range i.deaths {
		if d.node == node || d.count < a.begun || !a.has(d.node) {
			continue
		}
		bereaved = true
		// What was still on its way when the node died counts as a sign of life.
		if wait, asks := i.c.notices(node, connection); asks && now-d.now > wait+exchangeFlightMax {
			noticed = true
		}
	}
	return bereaved, noticed
}

// excused reports whether an end of an IKE SA may hold what its peer does not: it cannot
// know of it yet.
func (i *orphanInvariant) excused(node int, connection string, spiI wire.SPI, since, now time.Duration) bool {
	if bereaved, noticed := i.bereaved(node, connection, spiI, now); bereaved {
		return !noticed
	}
	a := i.activity[spiI]
	if a == nil {
		return false
	}
	if n := slices.IndexFunc(a.ends, func(e activityEnd) bool { return e.node == node }); n >= 0 {
		since = max(since, a.ends[n].lastHeard)
	}
	if len(a.unheard) == 0 {
		n := slices.IndexFunc(a.ends, func(e activityEnd) bool { return e.node != node && e.left })
		if n < 0 {
			return false
		}
		since = min(since, a.ends[n].leftAt)
	}
	wait, asks := i.c.notices(node, connection)
	if !asks {
		wait = i.c.quiet
	}
	return now-since <= wait+exchangeFlightMax
}

// quiet reports whether nothing is under way any more within an IKE SA.
func (i *orphanInvariant) quiet(spiI wire.SPI, now time.Duration) bool {
	a := i.activity[spiI]
	return a == nil || len(a.open) == 0 || now-a.last > i.c.quiet
}

func (i *orphanInvariant) finish(now time.Duration) InvariantResult {
	i.finishIKE(now)
	i.finishChildren(now)
	i.finishDuplicates(now)
	return i.result(i.name())
}

// finishIKE looks for IKE SAs that only one node holds.
func (i *orphanInvariant) finishIKE(now time.Duration) {
	type pair struct{ spiI, spiR wire.SPI }
	holders := map[pair]int{}
	for _, s := range i.sas {
		holders[pair{s.spiI, s.spiR}]++
	}
	for _, s := range i.sas {
		if !i.quiet(s.spiI, now) {
			continue
		}
		if holders[pair{s.spiI, s.spiR}] != 2 && i.excused(s.node, s.connection, s.spiI, s.now, now) {
			continue
		}
		i.checks++
		if holders[pair{s.spiI, s.spiR}] != 2 {
			i.violated(now, "%s holds the IKE SA %s:%s of connection %s, established at %v, of which %d ends exist, not 2",
				i.c.node(s.node), s.spiI, s.spiR, s.connection, s.now, holders[pair{s.spiI, s.spiR}])
		}
	}
}

// childEnds tells the two ends of a child SA apart, as one of them has them.
type childEnds struct {
	spiIn, spiOut uint32
	keyIn, keyOut keyPrint
}

// mirror is the child SA as its other end has it.
func (s *installed) mirror() childEnds { return childEnds{s.spiOut, s.spiIn, s.keyOut, s.keyIn} }

// held are the ends of child SAs that nodes hold.
func (i *orphanInvariant) held() map[childEnds]bool {
	held := map[childEnds]bool{}
	for _, s := range i.children {
		held[childEnds{s.spiIn, s.spiOut, s.keyIn, s.keyOut}] = true
	}
	return held
}

// finishChildren looks for child SAs without a mirror: another end that sends
// with what this one receives with, and the other way round.
func (i *orphanInvariant) finishChildren(now time.Duration) {
	held := i.held()
	for _, s := range i.children {
		if !i.quiet(s.ike, now) {
			continue
		}
		mirrored := held[s.mirror()]
		if !mirrored && i.excused(s.by.node, s.policy.connection, s.ike, s.now, now) {
			continue
		}
		i.checks++
		if !mirrored {
			i.violated(now, "%s holds the child SA %s with SPIs %08x (in) and %08x (out), installed at %v, whose other end no node holds",
				i.c.node(s.by.node), s.policy.child, s.spiIn, s.spiOut, s.now)
		}
	}
}

// finishDuplicates looks for two SAs of one child with one peer for the same
// traffic.
func (i *orphanInvariant) finishDuplicates(now time.Duration) {
	compare := func(a, b installed) int {
		return cmp.Or(cmp.Compare(a.by.node, b.by.node), cmp.Compare(a.policy.connection, b.policy.connection),
			cmp.Compare(a.policy.child, b.policy.child), a.peer.Compare(b.peer),
			slices.CompareFunc(a.policy.local, b.policy.local, compareSelectors),
			slices.CompareFunc(a.policy.remote, b.policy.remote, compareSelectors))
	}
	var children []installed
	held := i.held()
	for _, s := range i.children {
		// One whose other end is gone is judged as an orphan already, and one whose ends
		// do not hear each other may be given up for another.
		bereaved, _ := i.bereaved(s.by.node, s.policy.connection, s.ike, now)
		if i.quiet(s.ike, now) && !bereaved && held[s.mirror()] && !i.excused(s.by.node, s.policy.connection, s.ike, s.now, now) {
			children = append(children, s)
		}
	}
	slices.SortStableFunc(children, compare)
	for n := 1; n < len(children); n++ {
		if a, b := children[n-1], children[n]; compare(a, b) == 0 {
			i.violated(now, "%s holds two child SAs %s with %s for the same traffic: inbound SPIs %08x and %08x",
				i.c.node(b.by.node), b.policy.child, b.peer, a.spiIn, b.spiIn)
		}
	}
}

func compareSelectors(a, b wire.Selector) int {
	return cmp.Or(cmp.Compare(a.IPProtocol, b.IPProtocol), cmp.Compare(a.StartPort, b.StartPort),
		cmp.Compare(a.EndPort, b.EndPort), a.Start.Compare(b.Start), a.End.Compare(b.End))
}
