package align

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/sim"
)

// spi makes an SPI of a number; 0 is none.
func spi(n int) wire.SPI {
	var s wire.SPI
	binary.BigEndian.PutUint64(s[:], uint64(n))
	return s
}

// script is an SA with its events, one word each: what kind and, behind a slash, a
// fact.
type script struct {
	sa     sim.ProtocolSA
	events []string
}

// gw is an SA at a gateway.
func gw(spiI int, events string) script {
	return script{sim.ProtocolSA{Node: "gw-a", SPIi: spi(spiI), Initiator: true, Connection: "to-b", Peer: "gw-b"}, strings.Fields(events)}
}

// played is a run of scripts, their events mixed by next, which picks a script that is
// not at its end. Every event is a second after the one before it.
func played(scripts []script, next func(left []int) int) sim.Protocol {
	var p sim.Protocol
	at := make([]int, len(scripts))
	for _, s := range scripts {
		p.SAs = append(p.SAs, s.sa)
	}
	for {
		var left []int
		for i, s := range scripts {
			if at[i] < len(s.events) {
				left = append(left, i)
			}
		}
		if len(left) == 0 {
			return p
		}
		i := left[next(left)]
		kind, fact, _ := strings.Cut(scripts[i].events[at[i]], "/")
		e := sim.ProtocolEvent{At: time.Duration(len(p.Events)) * time.Second, SA: i, Kind: ike.RecordKind(kind)}
		if fact != "" {
			e.Facts = []ike.Field{{Key: "reason", Value: fact}}
		}
		p.Events = append(p.Events, e)
		at[i]++
	}
}

func inOrder([]int) int { return 0 }

// compared compares two runs of scripts.
func compared(left, right []script) *Report {
	return Compare(Side{Name: "one", Protocol: played(left, inOrder)}, Side{Name: "two", Protocol: played(right, inOrder)}, Options{})
}

// TestModel: how the events of different SAs are mixed never matters, nor do instants; an event that is swapped with
// its neighbour, left out, or changed does, and at the place that a plain comparison finds.
func TestModel(t *testing.T) {
	word := rapid.SampledFrom([]string{"exchange-sent", "exchange-received", "liveness/alive", "liveness/command", "ike-failed/a", "ike-failed/b"})
	rapid.Check(t, func(t *rapid.T) {
		var left []script
		for i := range rapid.IntRange(1, 6).Draw(t, "SAs") {
			s := script{sim.ProtocolSA{Node: fmt.Sprint("gw-", i%2), SPIi: spi(i + 1), Initiator: i%3 == 0, Connection: "c"}, nil}
			if rapid.Bool().Draw(t, "outside") {
				s.sa.SPIi, s.sa.Connection = wire.SPI{}, fmt.Sprint("c", i)
			}
			s.events = rapid.SliceOfN(word, 1, 12).Draw(t, "events")
			left = append(left, s)
		}
		mix := func(left []int) int { return rapid.IntRange(0, len(left)-1).Draw(t, "next") }
		right := make([]script, len(left))
		for i, j := range rapid.Permutation(indices(len(left))).Draw(t, "order") {
			right[i] = script{left[j].sa, slices.Clone(left[j].events)}
		}
		one, two := Side{Name: "one", Protocol: played(left, mix)}, Side{Name: "two", Protocol: played(right, mix)}
		r := Compare(one, two, Options{})
		if !r.Same || r.First != -1 || len(r.SAs) != len(left) {
			t.Fatalf("the same events differ, mixed otherwise: %+v", r)
		}
		for i, sa := range r.SAs {
			if sa.Same != len(left[i].events) || !sa.Agrees() {
				t.Fatalf("SA %d: %d of %d events are the same", i, sa.Same, len(left[i].events))
			}
		}

		// One change, in one SA.
		at := rapid.IntRange(0, len(right)-1).Draw(t, "SA")
		before, events := slices.Clone(right[at].events), right[at].events
		i := rapid.IntRange(0, len(events)-1).Draw(t, "event")
		switch rapid.SampledFrom([]string{"swap", "leave out", "change", "add"}).Draw(t, "change") {
		case "swap":
			if i+1 == len(events) || events[i] == events[i+1] {
				return
			}
			events[i], events[i+1] = events[i+1], events[i]
		case "leave out":
			events = slices.Delete(events, i, i+1)
		case "change":
			events[i] += "x"
		case "add":
			events = slices.Insert(events, i, word.Draw(t, "new"))
		}
		right[at].events = events
		want := 0
		for want < len(before) && want < len(events) && before[want] == events[want] {
			want++
		}
		two.Protocol = played(right, mix)
		r = Compare(one, two, Options{})
		if r.Same || r.First < 0 {
			t.Fatalf("%v and %v are found the same", before, events)
		}
		for i := range r.SAs {
			sa := &r.SAs[i]
			changed := sa.Node == right[at].sa.Node && sa.Connection == right[at].sa.Connection && (sa.Outside() || sa.SPI == right[at].sa.SPIi.String())
			switch {
			case changed && len(events) == 0:
				// It has no events, so this end does not know it.
				if sa.Right != 0 || sa.Agrees() {
					t.Errorf("an SA without events: %+v", sa)
				}
			case changed:
				if sa.Agrees() || sa.Same != want || r.First != i {
					t.Errorf("%v and %v part after %d, found %d (the first is %d)", before, events, want, sa.Same, r.First)
				}
				covers(t, sa)
			case !sa.Agrees():
				t.Errorf("SA %d has not changed and differs: %s", i, sa.Difference.Why)
			}
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// covers holds the rows of a difference to the two sequences: every event once and in order.
func covers(t *rapid.T, sa *SA) {
	d := sa.Difference
	var left, right []*Event
	differ := false
	for _, row := range d.Rows {
		if row.Left != nil {
			left = append(left, row.Left)
		}
		if row.Right != nil {
			right = append(right, row.Right)
		}
		differ = differ || !row.Same
		if row.Same && (row.Left == nil || row.Right == nil || !same(row.Left, row.Right)) {
			t.Errorf("a row is not the same: %+v", row)
		}
		if row.Left == nil && row.Right == nil {
			t.Error("a row is empty")
		}
	}
	for _, half := range []struct {
		shown []*Event
		all   []Event
		after int
	}{{left, sa.left, d.LeftAfter}, {right, sa.right, d.RightAfter}} {
		if len(half.shown)+d.Before+half.after != len(half.all) {
			t.Fatalf("%d events are %d before, %d shown and %d after", len(half.all), d.Before, len(half.shown), half.after)
		}
		for i, e := range half.shown {
			if e != &half.all[d.Before+i] {
				t.Fatalf("event %d is not where it belongs", i)
			}
		}
	}
	if !differ {
		t.Error("no row is marked")
	}
}

// TestWhy: what is said of a difference.
func TestWhy(t *testing.T) {
	other := script{sim.ProtocolSA{Node: "gw-a", Connection: "to-b"}, []string{"command-ignored/x"}}
	for _, tc := range []struct {
		name        string
		left, right []script
		first       int
		why         string
	}{
		{"another kind", []script{gw(1, "a b c")}, []script{gw(1, "a c b")}, 0, "after 1 event that is the same, one has b and two has c"},
		{"another fact", []script{gw(1, "a b f/x")}, []script{gw(1, "a b f/y")}, 0, "after 2 events that are the same, one has f (x) and two has f (y)"},
		{"less", []script{gw(1, "a b")}, []script{gw(1, "a b c")}, 0, "after 2 events that are the same, two has c and one nothing more"},
		{"more", []script{gw(1, "a b c")}, []script{gw(1, "a b")}, 0, "after 2 events that are the same, one has c and two nothing more"},
		{"at once", []script{gw(1, "a")}, []script{gw(1, "b")}, 0, "from the beginning, one has a and two has b"},
		{"an SA more", []script{gw(1, "a"), gw(2, "b")}, []script{gw(1, "a")}, 1, "only one has any of it, first b"},
		{"an SA less", []script{gw(1, "a")}, []script{gw(2, "b"), gw(1, "a")}, 1, "only two has any of it, first b"},
		{"another SPI, its place", []script{gw(1, "a x"), gw(2, "b")}, []script{gw(1, "a x"), gw(3, "c")}, 1, "from the beginning, one has b and two has c"},
		{"outside", []script{gw(1, "a"), other}, []script{gw(1, "a")}, 1, "only one has any of it, first command-ignored (x)"},
		{"outside is no SA", []script{gw(1, "a")}, []script{{other.sa, []string{"a"}}}, 0, "only one has any of it, first a"},
		// The second SA differs before the first one does, in the run on the right, whatever the left one's instants are.
		{"the earliest on the right", []script{gw(2, "e"), gw(1, "a b c d")}, []script{gw(1, "a b c e"), gw(2, "f")}, 1, "after 3 events that are the same, one has d and two has e"},
		{"the earliest", []script{gw(1, "a b c d"), gw(2, "e")}, []script{gw(2, "f"), gw(1, "a b c e")}, 1, "from the beginning, one has e and two has f"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := compared(tc.left, tc.right)
			if r.Same || r.First != tc.first {
				t.Fatalf("same %v, first %d, want %d: %+v", r.Same, r.First, tc.first, r.SAs)
			}
			if got := r.SAs[r.First].Difference.Why; got != tc.why {
				t.Errorf("why: %q, want %q", got, tc.why)
			}
		})
	}
}

// TestPairs: the same SPI comes first; what has another one is found by its place; a second SA under an SPI is
// another one.
func TestPairs(t *testing.T) {
	named := func(spiI int, connection, peer string) sim.ProtocolSA {
		return sim.ProtocolSA{Node: "gw-a", SPIi: spi(spiI), Connection: connection, Peer: peer}
	}
	left := []sim.ProtocolSA{named(1, "c", "p"), named(2, "c", "p"), named(3, "", "q"), named(4, "d", "r"), named(4, "d", "r"), named(5, "only", "s")}
	right := []sim.ProtocolSA{named(4, "d", "r"), named(20, "c", "p"), named(1, "c", "p"), named(4, "d", "r"), named(30, "now known", "q"), named(6, "other", "t")}
	want := []paired{{0, 2}, {1, 1}, {2, 4}, {3, 0}, {4, 3}, {5, -1}, {-1, 5}}
	if got := pair(left, right); !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
}

// TestTail: what the end of a run cut off in the other one is told and is no difference, if there is any slack.
func TestTail(t *testing.T) {
	long := Side{Name: "one", Protocol: played([]script{gw(1, "a b c d")}, inOrder), Result: &sim.Result{Ended: 4 * time.Second}} // d is at 3 s
	short := Side{Name: "two", Protocol: played([]script{gw(1, "a b c")}, inOrder), Result: &sim.Result{Ended: 3 * time.Second}}
	other := Side{Name: "two", Protocol: played([]script{gw(1, "a b c e")}, inOrder), Result: &sim.Result{Ended: 4 * time.Second}}
	for _, tc := range []struct {
		name        string
		left, right Side
		slack       time.Duration
		tail        bool
	}{
		{"no slack", long, short, 0, false},
		{"too little", long, short, time.Second - 1, false},
		{"enough", long, short, time.Second, true},
		{"the other way round", short, long, time.Second, true},
		{"another event", long, other, time.Minute, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := Compare(tc.left, tc.right, Options{Slack: tc.slack})
			sa := r.SAs[0]
			if r.Same != tc.tail || (sa.Tail != nil) != tc.tail || sa.Same != 3 {
				t.Fatalf("%+v", sa)
			}
			if tc.tail && *sa.Tail != (Tail{Side: "one", Events: 1, From: 3 * time.Second, Ended: 4 * time.Second}) {
				t.Errorf("tail %+v", *sa.Tail)
			}
		})
	}
}
