package align

import (
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/sim"
)

// Side is one of the two runs that are compared.
type Side struct {
	// Name is what the answer calls it, the engine's for example.
	Name     string
	Protocol sim.Protocol
	// Result is what the run came to; its rows say why a message was repeated, and
	// its end what may be missing. Nil says nothing of either.
	Result *sim.Result
}

// Options say how to compare.
type Options struct {
	// Slack is how long before the end of a run its last events may be missing in the
	// other run, which ended before it came to them. 0 is right where both runs have
	// virtual time.
	Slack time.Duration
}

// Report is the answer.
type Report struct {
	// Left and Right are the sides' names.
	Left  string `json:"left"`
	Right string `json:"right"`
	// Same says that all IKE SAs, and what stands outside any, agree.
	Same bool `json:"same"`
	// SAs are the IKE SAs at each node, in the order in which the left run, and then
	// the right one, came to them.
	SAs []SA `json:"sas"`
	// First is the index of the SA whose difference is the earliest, -1 for none.
	First int `json:"first"`
}

// SA says how an IKE SA at one node compares.
type SA struct {
	Node string `json:"node"`
	// Connection is the node's name for it, empty where it learnt none; Peer the node
	// at the other end, or its address in brackets.
	Connection string `json:"connection,omitempty"`
	Peer       string `json:"peer,omitempty"`
	// SPI is the initiator's SPI, of the left run if both have one; empty for what
	// stands outside any IKE SA. Initiator says that the node began the IKE SA.
	SPI       string `json:"spi,omitempty"`
	Initiator bool   `json:"initiator"`
	// Same is how many events from the beginning on are the same.
	Same int `json:"same_events"`
	// Left and Right are how many events there are.
	Left  int `json:"left_events"`
	Right int `json:"right_events"`
	// Tail are events that were not compared, because the end of one run cut them
	// off; nil for none.
	Tail *Tail `json:"tail,omitempty"`
	// Difference is the first one, nil for none.
	Difference *Difference `json:"difference,omitempty"`

	left, right []Event
}

// Tail is what one run had beyond the other's end.
type Tail struct {
	// Side is the run that has the events.
	Side string `json:"side"`
	// Events is how many they are, From when the first of them was, in a run that
	// ended at Ended.
	Events int           `json:"events"`
	From   time.Duration `json:"from_ns"`
	Ended  time.Duration `json:"ended_ns"`
}

// Agrees says that nothing differs.
func (s *SA) Agrees() bool { return s.Difference == nil }

// Outside says that this is what a node reports outside any IKE SA.
func (s *SA) Outside() bool { return s.SPI == "" }

// Differing are the SAs that differ, the earliest difference first.
func (r *Report) Differing() []*SA {
	var out []*SA
	for i := range r.SAs {
		if !r.SAs[i].Agrees() {
			out = append(out, &r.SAs[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *SA) int {
		switch {
		case a.Difference.before(b.Difference):
			return -1
		case b.Difference.before(a.Difference):
			return 1
		}
		return 0
	})
	return out
}

// Compare aligns the protocol events of two runs.
func Compare(left, right Side, o Options) *Report {
	r := &Report{Left: left.Name, Right: right.Name, Same: true, SAs: []SA{}, First: -1}
	a, b := sequences(&left.Protocol), sequences(&right.Protocol)
	for _, p := range pair(left.Protocol.SAs, right.Protocol.SAs) {
		sa := SA{}
		if p.right >= 0 {
			sa.describe(&right.Protocol.SAs[p.right])
			sa.right = b[p.right]
		}
		if p.left >= 0 {
			sa.describe(&left.Protocol.SAs[p.left])
			sa.left = a[p.left]
		}
		sa.Left, sa.Right = len(sa.left), len(sa.right)
		sa.compare(&left, &right, o)
		if d := sa.Difference; d != nil {
			r.Same = false
			if r.First < 0 || d.before(r.SAs[r.First].Difference) {
				r.First = len(r.SAs)
			}
		}
		r.SAs = append(r.SAs, sa)
	}
	return r
}

// describe takes an SA's names, keeping those that the other side knew and this one
// does not.
func (s *SA) describe(from *sim.ProtocolSA) {
	s.Node, s.Initiator = from.Node, from.Initiator
	if from.Connection != "" {
		s.Connection = from.Connection
	}
	if from.Peer != "" {
		s.Peer = from.Peer
	}
	if from.SPIi != (wire.SPI{}) {
		s.SPI = from.SPIi.String()
	}
}

// sequences sorts a run's events by IKE SA.
func sequences(p *sim.Protocol) [][]Event {
	out := make([][]Event, len(p.SAs))
	for i := range p.Events {
		e := event(&p.Events[i])
		e.ordinal = i
		out[p.Events[i].SA] = append(out[p.Events[i].SA], e)
	}
	return out
}

// paired are the indices of the two runs' halves of one SA, -1 for a half that is
// not there.
type paired struct{ left, right int }

// identity is what an SA is known by: the SPI where both engines draw it from the
// seed; else the n-th with a connection, or with a peer.
type identity struct {
	node, connection, peer string
	spi                    wire.SPI
	initiator              bool
	nth                    int
}

// pair finds the halves that belong together. SPIs come first. What has no partner
// then has another SPI in the other run, as with another seed or a foreign daemon,
// and is the n-th SA of its connection, or with its peer.
func pair(left, right []sim.ProtocolSA) []paired {
	partner := make([]int, len(left)) // of the left ones
	for i := range partner {
		partner[i] = -1
	}
	taken := make([]bool, len(right))
	for round, by := range []func(*sim.ProtocolSA) identity{
		func(s *sim.ProtocolSA) identity {
			id := identity{node: s.Node, initiator: s.Initiator, spi: s.SPIi}
			if s.SPIi == (wire.SPI{}) {
				id.connection = s.Connection
			}
			return id
		},
		func(s *sim.ProtocolSA) identity {
			return identity{node: s.Node, initiator: s.Initiator, connection: s.Connection, peer: s.Peer}
		},
		func(s *sim.ProtocolSA) identity {
			return identity{node: s.Node, initiator: s.Initiator, peer: s.Peer}
		},
	} {
		index := map[identity]int{}
		count := map[identity]int{}
		for j := range right {
			// What stands outside any IKE SA is known by its connection alone.
			if taken[j] || round > 0 && right[j].SPIi == (wire.SPI{}) {
				continue
			}
			id := by(&right[j])
			n := count[id]
			count[id]++
			id.nth = n
			index[id] = j
		}
		clear(count)
		for i := range left {
			if partner[i] >= 0 || round > 0 && left[i].SPIi == (wire.SPI{}) {
				continue
			}
			id := by(&left[i])
			n := count[id]
			count[id]++
			id.nth = n
			if j, ok := index[id]; ok {
				partner[i], taken[j] = j, true
			}
		}
	}
	out := make([]paired, 0, len(left))
	for i, j := range partner {
		out = append(out, paired{i, j})
	}
	for j := range right {
		if !taken[j] {
			out = append(out, paired{-1, j})
		}
	}
	return out
}

// compare finds the first difference of an SA.
func (s *SA) compare(left, right *Side, o Options) {
	n := min(len(s.left), len(s.right))
	for s.Same < n && same(&s.left[s.Same], &s.right[s.Same]) {
		s.Same++
	}
	if s.Same == len(s.left) && s.Same == len(s.right) {
		return
	}
	if s.Same == n {
		more, side := s.left[n:], left
		if len(s.right) > n {
			more, side = s.right[n:], right
		}
		if r := side.Result; o.Slack > 0 && r != nil && more[0].At >= r.Ended-o.Slack {
			s.Tail = &Tail{Side: side.Name, Events: len(more), From: more[0].At, Ended: r.Ended}
			return
		}
	}
	s.Difference = s.difference(left, right)
}
