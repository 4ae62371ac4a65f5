package ike

import (
	"slices"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/wire"
)

// onlyTSOf keeps of the TS payloads those of one end.
func onlyTSOf(initiator bool) lie {
	return func(ps []wire.Payload) []wire.Payload {
		return slices.DeleteFunc(slices.Clone(ps), func(p wire.Payload) bool { ts, is := p.(*wire.TS); return is && ts.Initiator != initiator })
	}
}

// both tells one lie after another.
func both(lies ...lie) lie {
	return func(ps []wire.Payload) []wire.Payload {
		for _, l := range lies {
			ps = l(ps)
		}
		return ps
	}
}

// authFaults are what can be wrong with an IKE_AUTH message as a whole, in either
// direction. Each is for the receiver a reason to keep no IKE SA (RFC 7296 §2.21.2).
var authFaults = []struct {
	name   string
	tell   string // the notification by which the sender learns it
	lie    lie
	garble func(text []byte) []byte
}{
	{name: "no SA", tell: "N(INVALID_SYNTAX)", lie: without[*wire.SA]},
	{name: "no TSi", tell: "N(INVALID_SYNTAX)", lie: onlyTSOf(false)},
	{name: "no TSr", tell: "N(INVALID_SYNTAX)", lie: onlyTSOf(true)},
	{name: "no TS", tell: "N(INVALID_SYNTAX)", lie: without[*wire.TS]},
	{name: "neither SA nor TS", tell: "N(INVALID_SYNTAX)", lie: both(without[*wire.SA], without[*wire.TS])},
	{name: "SA and no TSi", tell: "N(INVALID_SYNTAX)", lie: both(without[*wire.SA], onlyTSOf(false))},
	{name: "two SA", tell: "N(INVALID_SYNTAX)", lie: twice[*wire.SA]},
	{name: "two TSi", tell: "N(INVALID_SYNTAX)", lie: twice[*wire.TS]},
	{name: "two TSr", tell: "N(INVALID_SYNTAX)", lie: add(&wire.TS{Selectors: selectors("10.2.0.0/16")})},
	{name: "two AUTH", tell: "N(INVALID_SYNTAX)", lie: twice[*wire.Auth]},
	{name: "two identities", tell: "N(INVALID_SYNTAX)", lie: twice[*wire.ID]},
	{name: "no identity", tell: "N(INVALID_SYNTAX)", lie: without[*wire.ID]},
	{name: "nothing at all", tell: "N(INVALID_SYNTAX)", lie: func([]wire.Payload) []wire.Payload { return []wire.Payload{} }},
	{name: "a critical payload that nobody knows", tell: "N(UNSUPPORTED_CRITICAL_PAYLOAD 201)", lie: add(&wire.Unknown{PayloadType: 201, Critical: true})},
	{name: "a critical one in front of all", tell: "N(UNSUPPORTED_CRITICAL_PAYLOAD 201)", lie: func(ps []wire.Payload) []wire.Payload {
		return append([]wire.Payload{&wire.Unknown{PayloadType: 201, Critical: true}}, ps...)
	}},
	{name: "a payload longer than the message", tell: "N(INVALID_SYNTAX)", lie: add(), garble: func(text []byte) []byte { text[2] = 0xff; return text }},
	{name: "a cut message", tell: "N(INVALID_SYNTAX)", lie: add(), garble: func(text []byte) []byte { return text[:len(text)-5] }},
	{name: "octets behind the last payload", tell: "N(INVALID_SYNTAX)", lie: add(), garble: func(text []byte) []byte { return append(text, 1, 2, 3) }},
	{name: "a payload shorter than its header", tell: "N(INVALID_SYNTAX)", lie: add(), garble: func(text []byte) []byte { text[2], text[3] = 0, 3; return text }},
}

// faultPair lets a initiate to b with a fault in one message, and waits.
func faultPair(t *testing.T, response bool, l lie, garble func([]byte) []byte) *testnet {
	t.Helper()
	n := quietPair(t)
	n.garble = garble
	n.lieOnce(t, wire.ExchangeIKEAuth, response, l)
	return n
}

// nothingLeft holds that neither end has an IKE SA or a CHILD_SA, and that what was
// ever established, at the end that could not know, is recorded as deleted.
func nothingLeft(t *testing.T, n *testnet) {
	t.Helper()
	if len(n.children) != 0 {
		t.Errorf("%d CHILD_SAs are left", len(n.children))
	}
	for _, node := range n.nodes {
		open := 0
		for _, r := range node.records {
			switch r.Kind {
			case RecordIKEEstablished:
				open++
			case RecordIKEDeleted:
				open--
			}
		}
		if open != 0 {
			t.Errorf("%s has established %d IKE SAs more than it has deleted", node.name, open)
		}
		for _, sa := range node.machine.sas {
			if sa.state != stateClosed {
				t.Errorf("%s: %s", node.name, n.state(node))
			}
		}
	}
}

// reasonOf is the reason of a record about a notification.
func reasonOf(tell string) string {
	name, _, _ := strings.Cut(strings.Trim(tell[2:], ")"), " ")
	return name
}

// sentBy are the payloads of the protected messages that a node sent.
func sentBy(n *testnet, name string, exchange wire.ExchangeType, response bool) (out []string) {
	for _, f := range n.sent {
		if f.from.name == name && f.info.Type == exchange && f.info.Response == response {
			out = append(out, strings.Join(f.info.Payloads, " "))
		}
	}
	return out
}

// TestAuthRequestFaults holds that an IKE_AUTH request that is malformed as a whole gets
// nothing but the notification, and leaves no IKE SA at either end (RFC 7296 §2.21.2).
// That of a critical payload names its type (§3.10.1).
func TestAuthRequestFaults(t *testing.T) {
	for _, tc := range authFaults {
		t.Run(tc.name, func(t *testing.T) {
			n := faultPair(t, false, tc.lie, tc.garble)
			if got := sentBy(n, "b", wire.ExchangeIKEAuth, true); !slices.Equal(got, []string{tc.tell}) {
				t.Errorf("b answers %q, want %q alone", got, tc.tell)
			}
			wantRecord(t, n.node("b"), RecordIKEFailed, reasonOf(tc.tell))
			wantRecord(t, n.node("a"), RecordIKEFailed, reasonOf(tc.tell))
			nothingLeft(t, n)
		})
	}
}

// TestAuthResponseFaults holds that a response that is malformed as a whole leaves no
// IKE SA either: the initiator establishes none, and tells the responder, which has.
func TestAuthResponseFaults(t *testing.T) {
	for _, tc := range authFaults {
		t.Run(tc.name, func(t *testing.T) {
			n := faultPair(t, true, tc.lie, tc.garble)
			if got := sentBy(n, "a", wire.ExchangeInformational, false); !slices.Equal(got, []string{tc.tell}) {
				t.Errorf("a tells %q, want %q", got, tc.tell)
			}
			wantRecord(t, n.node("a"), RecordIKEFailed, reasonOf(tc.tell))
			wantRecord(t, n.node("b"), RecordIKEDeleted, reasonOf(tc.tell))
			nothingLeft(t, n)
		})
	}
}

// TestAuthResponseErrors holds which errors of a response end the IKE SA: the three of
// RFC 7296 §2.21.2, whatever stands beside them, and those of no known type (§3.10.1).
// Errors of the CHILD_SA alone do not.
func TestAuthResponseErrors(t *testing.T) {
	for _, tc := range []struct {
		kind  wire.NotifyType
		tells []string // what the initiator says in INFORMATIONAL
		stays bool
	}{
		{kind: wire.InvalidSyntax},
		{kind: wire.AuthenticationFailed},
		{kind: wire.UnsupportedCriticalPayload},
		{kind: 8191, tells: []string{"D(IKE)"}},
		{kind: 12345, tells: []string{"D(IKE)"}},
		{kind: wire.NoProposalChosen, stays: true},
		{kind: wire.TSUnacceptable, stays: true},
		{kind: wire.SinglePairRequired, stays: true},
		{kind: wire.InternalAddressFailure, stays: true},
		{kind: wire.FailedCPRequired, stays: true},
		{kind: wire.TemporaryFailure, stays: true},
		{kind: wire.NoAdditionalSAs, stays: true},
	} {
		t.Run(tc.kind.String(), func(t *testing.T) {
			n := liePair(t, wire.ExchangeIKEAuth, true, func(ps []wire.Payload) []wire.Payload {
				ps = without[*wire.TS](without[*wire.SA](ps))
				return append(ps, &wire.Notify{Kind: tc.kind})
			})
			a := n.node("a")
			if got := sentBy(n, "a", wire.ExchangeInformational, false); !slices.Equal(got, tc.tells) {
				t.Errorf("a tells %q, want %q", got, tc.tells)
			}
			if tc.stays {
				wantRecord(t, a, RecordChildFailed, tc.kind.String())
				wantRecord(t, a, RecordIKEEstablished, "")
				if established(a) != 1 {
					t.Errorf("a has %s", n.state(a))
				}
				return
			}
			wantRecord(t, a, RecordIKEFailed, tc.kind.String())
			if got := n.state(a); got != "nothing" {
				t.Errorf("a has %s", got)
			}
		})
	}
}

// TestReservedOfIdentity holds that AUTH covers the identity as it was received, its
// RESERVED octets included (RFC 7296 §2.15), in both directions.
func TestReservedOfIdentity(t *testing.T) {
	for _, response := range []bool{false, true} {
		n := quietPair(t)
		n.lie = func(e *Exchange, ps []wire.Payload) []wire.Payload {
			if e.Type != wire.ExchangeIKEAuth || e.Response != response {
				return nil
			}
			for _, p := range ps {
				if id, is := p.(*wire.ID); is {
					id.Reserved = [3]byte{0xff, 1, 0x80}
				}
			}
			teller := n.node("a")
			if response {
				teller = n.node("b")
			}
			own, _ := onlyID(ps, wire.PayloadIDi)
			if response {
				own, _ = onlyID(ps, wire.PayloadIDr)
			}
			for i, p := range ps {
				if _, is := p.(*wire.Auth); is { // a peer that sets them signs them
					ps[i] = teller.machine.sas[0].authPayload(!response, own, []byte("squeamish ossifrage"))
				}
			}
			return ps
		}
		n.step(n.node("a"), Command{Kind: Initiate, Connection: "ike"})
		n.settle()
		for _, node := range n.nodes {
			wantRecord(t, node, RecordChildInstalled, "")
		}
		for _, p := range n.problems {
			t.Error(p)
		}
	}
}
