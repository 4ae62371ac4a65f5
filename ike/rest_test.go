package ike

import (
	"slices"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestRestGrowsToItsBound holds the schedule that docs/language.md promises.
func TestRestGrowsToItsBound(t *testing.T) {
	var r rest
	now := time.Duration(0)
	var waits []time.Duration
	for range 9 {
		waits = append(waits, r.fail(now))
		now = r.until
	}
	s := time.Second
	if want := []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, time.Minute, time.Minute, time.Minute}; !slices.Equal(waits, want) {
		t.Errorf("rests %v, want %v", waits, want)
	}
	r.succeed(now)
	if got := r.fail(now); got != restMin {
		t.Errorf("after a success the rest is %v, want %v", got, restMin)
	}
	r.failures = 1 << 40 // years of failing
	if got := r.fail(now); got != restMax {
		t.Errorf("the rest is %v, want %v", got, restMax)
	}
}

// TestRefusedChildKeepsIKESA answers IKE_AUTH with IDr, AUTH and an error that concerns
// the child alone (RFC 7296 §2.21.2): the IKE SA stands at both ends, the trap rests,
// and fires again afterwards.
func TestRefusedChildKeepsIKESA(t *testing.T) {
	for _, kind := range []wire.NotifyType{
		wire.NoProposalChosen, wire.TSUnacceptable, wire.SinglePairRequired, wire.InternalAddressFailure, wire.FailedCPRequired,
		wire.NoAdditionalSAs, wire.TemporaryFailure,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			n := quietPair(t, "start_action trap", "dpd_delay 10s")
			a, b := n.node("a"), n.node("b")
			b.machine.connections[0].Children[0].LocalTS = selectors("10.77.0.0/16") // so that it has none either
			refuses := true
			n.lie = func(e *Exchange, ps []wire.Payload) []wire.Payload {
				if !refuses || e.Type != wire.ExchangeIKEAuth || !e.Response {
					return nil
				}
				ps = slices.DeleteFunc(slices.Clone(ps), func(p wire.Payload) bool { _, is := p.(*wire.Notify); return is })
				return append(ps, &wire.Notify{Kind: kind})
			}
			n.step(a, Acquire{Connection: "ike", Child: "net"})
			n.advance(500 * time.Millisecond)
			wantRecord(t, a, RecordChildFailed, kind.String())
			wantRecord(t, a, RecordChildFailed, "{rests 1s}")
			n.advance(time.Minute)
			n.step(a, Command{Kind: Liveness, Connection: "ike"})
			n.advance(time.Second)
			for _, node := range []*testnode{a, b} {
				if got := established(node); got != 1 {
					t.Errorf("%s has %d established IKE SAs, want 1", node.name, got)
				}
				if slices.ContainsFunc(node.records, func(r Record) bool { return r.Kind == RecordIKEDeleted }) {
					t.Errorf("%s has deleted one", node.name)
				}
			}
			refuses = false
			b.machine.connections[0].Children[0].LocalTS = selectors("10.2.0.0/16")
			n.step(a, Acquire{Connection: "ike", Child: "net"})
			n.advance(time.Second)
			wantRecord(t, a, RecordChildInstalled, "net")
			if a, b := established(a), established(b); a != 1 || b != 1 {
				t.Errorf("%d and %d established IKE SAs, want one each", a, b)
			}
		})
	}
}

// TestEveryAcquireIsAnswered drives a machine whose peer refuses, vanishes and comes
// back, with a packet every 100 ms from a data plane that waits for an answer to each
// Acquire before the next: an answer always comes.
func TestEveryAcquireIsAnswered(t *testing.T) {
	n := quietPair(t, "start_action trap", "retransmit_timeout 1s", "retransmit_tries 1", "dpd_delay 2s")
	a, b := n.node("a"), n.node("b")
	waiting, asked, longest, up := false, time.Duration(0), time.Duration(0), 0
	var rests time.Duration
	look := func(actions []Action) {
		for _, x := range actions {
			switch x := x.(type) {
			case InstallChild:
				waiting, up = false, up+1
			case DeleteChild:
				up--
			case TrapRests:
				waiting, rests = false, x.Until
			}
		}
	}
	n.watch = func(node *testnode, actions []Action) {
		if node == a {
			look(actions)
		}
	}
	for tick := range 3000 {
		switch tick {
		case 200:
			b.machine.connections[0].Children[0].LocalTS = selectors("10.77.0.0/16")
			n.step(b, Command{Kind: Terminate, Connection: "ike"})
		case 1000:
			b.machine.connections[0].Children[0].LocalTS = selectors("10.2.0.0/16")
		case 1800:
			n.rules = append(n.rules, &rule{from: "a", to: "b", what: "lose", count: -1})
		case 2400:
			n.rules = nil
		}
		if waiting {
			longest = max(longest, n.now-asked)
		}
		if up == 0 && !waiting && n.now >= rests {
			waiting, asked = true, n.now
			n.step(a, Acquire{Connection: "ike", Child: "net"})
		}
		n.advance(100 * time.Millisecond)
	}
	if longest > 4*time.Second {
		t.Errorf("an Acquire had no answer for %v", longest)
	}
	if up != 1 || established(a) != 1 {
		t.Errorf("at the end %d CHILD_SAs and %d IKE SAs, want one each", up, established(a))
	}
	began := 0
	for _, r := range a.records {
		if r.Kind == RecordIKEInit && r.Initiator {
			began++
		}
	}
	if began > 25 {
		t.Errorf("%d IKE SAs were begun in 5 minutes", began)
	}
}
