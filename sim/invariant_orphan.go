package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// orphanInvariant: no orphan or duplicate SA after quiet. When nothing has
// happened at two nodes for longer than a whole retransmission schedule, every
// exchange has come to its end, so both must hold the same SAs, mirrored, and
// one per child. Nodes that are still busy when the run ends are not judged.
type orphanInvariant struct {
	verdict
	c          invariantConfig
	lastActive []time.Duration // by node: IKE on its wire, or a change of its SAs
	children   []childStanding // in order of installation
	sas        []saStanding    // in order of establishment
}

type childStanding struct {
	*installed
}

type saStanding struct {
	established
}

func newOrphanInvariant(c invariantConfig) *orphanInvariant {
	return &orphanInvariant{c: c, lastActive: make([]time.Duration, len(c.nodes))}
}

func (*orphanInvariant) name() string { return InvariantNoOrphanSA }

func (i *orphanInvariant) observe(o observation) {
	switch o := o.(type) {
	case *sighted:
		if o.packet.ike != nil {
			i.lastActive[o.node] = o.now
		}
	case *installed:
		i.lastActive[o.by.node] = o.now
		kept := *o
		i.children = append(i.children, childStanding{&kept})
	case *removed:
		i.lastActive[o.node] = o.now
		i.children = slices.DeleteFunc(i.children, func(s childStanding) bool {
			return s.by.node == o.node && s.spiIn == o.spiIn && s.spiOut == o.spiOut
		})
	case *established:
		i.lastActive[o.node] = o.now
		i.sas = append(i.sas, saStanding{*o})
	case *gone:
		i.lastActive[o.node] = o.now
		i.sas = slices.DeleteFunc(i.sas, func(s saStanding) bool {
			return s.node == o.node && s.spiI == o.spiI && s.spiR == o.spiR
		})
	}
}

// quiet reports whether a node has been quiet for its whole schedule.
func (i *orphanInvariant) quiet(node int, now time.Duration) bool {
	return now-i.lastActive[node] > i.c.quiet[node]
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
		if !i.quiet(s.node, now) {
			continue
		}
		i.checks++
		if holders[pair{s.spiI, s.spiR}] < 2 {
			i.violated(now, "%s still holds the IKE SA %s:%s of connection %s, established at %v, which no other node holds",
				i.c.node(s.node), s.spiI, s.spiR, s.connection, s.now)
		}
	}
}

// finishChildren looks for child SAs without a mirror: another node that sends
// with what this one receives with, and the other way round.
func (i *orphanInvariant) finishChildren(now time.Duration) {
	type ends struct {
		spiIn, spiOut uint32
		keyIn, keyOut keyPrint
	}
	held := map[ends]bool{}
	for _, s := range i.children {
		held[ends{s.spiIn, s.spiOut, s.keyIn, s.keyOut}] = true
	}
	for _, s := range i.children {
		if !i.quiet(s.by.node, now) {
			continue
		}
		i.checks++
		if !held[ends{s.spiOut, s.spiIn, s.keyOut, s.keyIn}] {
			i.violated(now, "%s still holds the child SA %#08x/%#08x of %s, installed at %v, whose other end no node holds",
				i.c.node(s.by.node), s.spiIn, s.spiOut, s.policy.child, s.now)
		}
	}
}

// finishDuplicates looks for two SAs of one child with one peer and the same
// selectors.
func (i *orphanInvariant) finishDuplicates(now time.Duration) {
	children := slices.Clone(i.children)
	compare := func(a, b childStanding) int {
		return cmp.Or(cmp.Compare(a.by.node, b.by.node), cmp.Compare(a.policy.connection, b.policy.connection),
			cmp.Compare(a.policy.child, b.policy.child), a.peerEnd.Compare(b.peerEnd))
	}
	slices.SortStableFunc(children, compare)
	for n := 1; n < len(children); n++ {
		a, b := children[n-1], children[n]
		if compare(a, b) != 0 || !i.quiet(b.by.node, now) ||
			!slices.EqualFunc(a.policy.local, b.policy.local, sameSelector) ||
			!slices.EqualFunc(a.policy.remote, b.policy.remote, sameSelector) {
			continue
		}
		i.violated(now, "%s holds two child SAs of %s with %s for the same traffic: inbound SPIs %#08x and %#08x",
			i.c.node(b.by.node), b.policy.child, b.peerEnd, a.spiIn, b.spiIn)
	}
}

func sameSelector(a, b wire.Selector) bool {
	return a.IPProtocol == b.IPProtocol && a.StartPort == b.StartPort && a.EndPort == b.EndPort && a.Start == b.Start && a.End == b.End
}
