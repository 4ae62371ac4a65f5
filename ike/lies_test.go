package ike

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// A lie changes the payloads of one message, under its sender's own keys: what a
// peer with a fault of its own would send.
type lie func(ps []wire.Payload) []wire.Payload

// without leaves out all payloads of a Go type.
func without[P wire.Payload](ps []wire.Payload) []wire.Payload {
	return slices.DeleteFunc(slices.Clone(ps), func(p wire.Payload) bool { _, is := p.(P); return is })
}

// with changes the first payload of a Go type.
func with[P wire.Payload](change func(P)) lie {
	return func(ps []wire.Payload) []wire.Payload {
		for _, p := range ps {
			if x, is := p.(P); is {
				change(x)
				return ps
			}
		}
		return ps
	}
}

// twice repeats the first payload of a Go type.
func twice[P wire.Payload](ps []wire.Payload) []wire.Payload {
	for _, p := range ps {
		if _, is := p.(P); is {
			return append(slices.Clone(ps), p)
		}
	}
	return ps
}

// add appends payloads.
func add(more ...wire.Payload) lie {
	return func(ps []wire.Payload) []wire.Payload { return append(slices.Clone(ps), more...) }
}

// quietPair are machines a and b that fit each other, and write no ladder.
func quietPair(t *testing.T, settings ...string) *testnet {
	t.Helper()
	n := newTestnet()
	n.quiet = true
	for _, end := range [][3]string{{"a", "192.0.2.1", "198.51.100.1"}, {"b", "198.51.100.1", "192.0.2.1"}} {
		if _, err := addMachine(n, end[0], end[1], end[2], settings); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// liePair lets a initiate to b, with one lie told in one message, and waits.
func liePair(t *testing.T, exchange wire.ExchangeType, response bool, l lie, settings ...string) *testnet {
	t.Helper()
	n := quietPair(t, settings...)
	n.lieOnce(t, exchange, response, l)
	return n
}

// lieOnce lets a initiate to b, with one lie told in one message, and waits.
func (n *testnet) lieOnce(t *testing.T, exchange wire.ExchangeType, response bool, l lie) {
	t.Helper()
	told := false
	n.lie = func(e *Exchange, ps []wire.Payload) []wire.Payload {
		if told && e.Protected || e.Type != exchange || e.Response != response {
			return nil
		}
		told = true
		return l(ps)
	}
	n.step(n.node("a"), Command{Kind: Initiate, Connection: "ike"})
	n.advance(5 * time.Second)
	if !told {
		t.Fatal("the lie was never told")
	}
	for _, p := range n.problems {
		t.Error(p)
	}
}

// wantRecord holds that a node has a record of a kind whose fields hold a text.
func wantRecord(t *testing.T, node *testnode, kind RecordKind, text string) {
	t.Helper()
	var have []string
	for _, r := range node.records {
		line := fmt.Sprintf("%s %v", r.Kind, r.Fields)
		if r.Kind == kind && strings.Contains(line, text) {
			return
		}
		if len(r.Fields) > 0 {
			have = append(have, line)
		}
	}
	t.Errorf("%s has no record %s with %q, but\n%s", node.name, kind, text, strings.Join(have, "\n"))
}

// TestInitResponseLies holds that no answer to IKE_SA_INIT leads on unless it is an
// answer to what was asked. None ends the exchange before the timer does.
func TestInitResponseLies(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		lie        lie
	}{
		{"no SA", "lacks SA", without[*wire.SA]},
		{"no KE", "lacks SA", without[*wire.KE]},
		{"no nonce", "lacks SA", without[*wire.Nonce]},
		{"two nonces", "lacks SA", twice[*wire.Nonce]},
		{"another proposal", "was not offered", with(func(p *wire.SA) { p.Proposals[0].Transforms[0].KeyBits = 128 })},
		{"another group in SA", "sent a KE payload for group 31", with(func(p *wire.SA) {
			for i, t := range p.Proposals[0].Transforms {
				if t.Type == wire.TransformKE {
					p.Proposals[0].Transforms[i].ID = suite.KEECP256
				}
			}
		})},
		{"another group in KE", "sent a KE payload for group 19", with(func(p *wire.KE) { p.Group = suite.KEECP256 })},
		{"a point of small order", "small order", with(func(p *wire.KE) { clear(p.Data) })},
		{"a short public value", "invalid public value", with(func(p *wire.KE) { p.Data = p.Data[1:] })},
		{"an error that nobody knows", "8191", add(&wire.Notify{Kind: 8191})},
		{"INVALID_KE_PAYLOAD without group", "without a group", add(&wire.Notify{Kind: wire.InvalidKEPayload})},
		{"an endless cookie", "1 to 64", add(&wire.Notify{Kind: wire.Cookie, Data: make([]byte, 65)})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := liePair(t, wire.ExchangeIKESAInit, true, tc.lie, "proposals aes256gcm16-prfsha384-x25519-ecp256")
			wantRecord(t, n.node("a"), RecordIKEFailed, tc.want)
			for _, r := range n.node("a").records {
				if r.Kind == RecordIKEEstablished {
					t.Error("and yet it is established")
				}
			}
		})
	}
}

// TestInitRequestLies holds what a responder makes of requests that are wrong.
func TestInitRequestLies(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		lie        lie
	}{
		{"no nonce", "INVALID_SYNTAX", without[*wire.Nonce]},
		{"two SA payloads", "INVALID_SYNTAX", twice[*wire.SA]},
		{"a point of small order", "small order", with(func(p *wire.KE) { clear(p.Data) })},
		{"a transform with an unknown attribute", "NO_PROPOSAL_CHOSEN", with(func(p *wire.SA) {
			p.Proposals[0].Transforms[0].Attributes = []wire.Attribute{{Type: 99, Short: true, Value: []byte{0, 1}}}
		})},
		{"a proposal for ESP", "NO_PROPOSAL_CHOSEN", with(func(p *wire.SA) { p.Proposals[0].Protocol, p.Proposals[0].SPI = wire.ProtocolESP, []byte{1, 2, 3, 4} })},
		{"an unknown transform type beside the others", "NO_PROPOSAL_CHOSEN", with(func(p *wire.SA) {
			p.Proposals[0].Transforms = append(p.Proposals[0].Transforms, wire.Transform{Type: 200, ID: 1})
		})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := liePair(t, wire.ExchangeIKESAInit, false, tc.lie)
			wantRecord(t, n.node("b"), RecordIKEFailed, tc.want)
		})
	}
}

// TestNoNATDetection: a peer that sends no NAT_DETECTION does not traverse NATs, so
// it gets none, and ESP is not put into UDP even where that is forced (RFC 7296 §2.23).
func TestNoNATDetection(t *testing.T) {
	n := liePair(t, wire.ExchangeIKESAInit, false, without[*wire.Notify], "encap yes")
	if got := strings.Join(n.sent[1].info.Payloads, " "); strings.Contains(got, "NAT_DETECTION") {
		t.Errorf("the response is %s", got)
	}
	for _, r := range n.node("b").records {
		if r.Kind == RecordNATDetected {
			t.Errorf("b has found a NAT: %v", r.Fields)
		}
	}
}

// TestShortNonce holds that a short request gets a short nonce, so that the answer
// is no longer than the request, as far as the PRF allows.
func TestShortNonce(t *testing.T) {
	short := with(func(p *wire.Nonce) { p.Data = p.Data[:24] })
	n := liePair(t, wire.ExchangeIKESAInit, false, short)
	if got := len(n.sent[1].first); got > len(n.sent[0].first) {
		t.Errorf("the response has %d octets, the request %d", got, len(n.sent[0].first))
	}
}

// TestAuthResponseLies holds what an initiator makes of IKE_AUTH responses that are
// wrong: authentication fails, and the responder is told, or the CHILD_SA alone does.
func TestAuthResponseLies(t *testing.T) {
	sa := func(change func(p *wire.Proposal)) lie {
		return with(func(s *wire.SA) { change(&s.Proposals[0]) })
	}
	for _, tc := range []struct {
		name, want string
		kind       RecordKind
		lie        lie
	}{
		{"no IDr", "lacks IDr or AUTH", RecordIKEFailed, without[*wire.ID]},
		{"no AUTH", "lacks IDr or AUTH", RecordIKEFailed, without[*wire.Auth]},
		{"two AUTH", "lacks IDr or AUTH", RecordIKEFailed, twice[*wire.Auth]},
		{"another identity", "b.example is configured", RecordIKEFailed, with(func(p *wire.ID) { p.Data = []byte("c.example") })},
		{"AUTH of another length", "does not verify", RecordIKEFailed, with(func(p *wire.Auth) { p.Data = p.Data[1:] })},
		{"AUTH with another bit", "does not verify", RecordIKEFailed, with(func(p *wire.Auth) { p.Data[0] ^= 1 })},
		{"another method", "a pre-shared key is needed", RecordIKEFailed, with(func(p *wire.Auth) { p.Method = wire.AuthRSASignature })},
		{"a payload that cannot be read", "cannot be read", RecordIKEFailed, add(&wire.Unknown{PayloadType: 201, Critical: true})},
		{"AUTHENTICATION_FAILED", "AUTHENTICATION_FAILED", RecordIKEFailed, func([]wire.Payload) []wire.Payload {
			return []wire.Payload{&wire.Notify{Kind: wire.AuthenticationFailed}}
		}},
		{"NO_PROPOSAL_CHOSEN alone", "local-proposals", RecordIKEFailed, func([]wire.Payload) []wire.Payload {
			return []wire.Payload{&wire.Notify{Kind: wire.NoProposalChosen}}
		}},
		{"an error beside AUTH", "INTERNAL_ADDRESS_FAILURE", RecordChildFailed, add(&wire.Notify{Kind: wire.InternalAddressFailure})},
		{"another proposal", "not offered", RecordChildFailed, sa(func(p *wire.Proposal) { p.Transforms[0].KeyBits = 192 })},
		{"a proposal number that was not offered", "not offered", RecordChildFailed, sa(func(p *wire.Proposal) { p.Number = 9 })},
		{"a reserved SPI", "is reserved", RecordChildFailed, sa(func(p *wire.Proposal) { p.SPI = []byte{0, 0, 0, 255} })},
		{"wider selectors", "outside those proposed", RecordChildFailed, with(func(p *wire.TS) { p.Selectors = selectors("10.0.0.0/8") })},
		{"wider selectors for one end alone", "outside those proposed", RecordChildFailed, func(ps []wire.Payload) []wire.Payload {
			for _, p := range ps {
				if ts, is := p.(*wire.TS); is && !ts.Initiator {
					ts.Selectors = selectors("10.0.0.0/8")
				}
			}
			return ps
		}},
		{"selectors of another family", "outside those proposed", RecordChildFailed, with(func(p *wire.TS) { p.Selectors = selectors("2001:db8::/32") })},
		{"USE_TRANSPORT_MODE that nobody asked for", "child", RecordChildInstalled, add(&wire.Notify{Kind: wire.UseTransportMode})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := liePair(t, wire.ExchangeIKEAuth, true, tc.lie)
			wantRecord(t, n.node("a"), tc.kind, tc.want)
			ikeSAs := 1
			if tc.kind == RecordIKEFailed {
				ikeSAs = 0
			}
			if got := established(n.node("a")); got != ikeSAs {
				t.Errorf("a has %d established IKE SAs, want %d", got, ikeSAs)
			}
			if tc.kind == RecordChildInstalled {
				return
			}
			// Whatever the responder thought, nothing is left of it, but where the
			// lie was that it refused.
			if len(n.children) != 0 && !strings.Contains(tc.name, "AUTHENTICATION_FAILED") && !strings.Contains(tc.name, "NO_PROPOSAL_CHOSEN") &&
				!strings.Contains(tc.name, "an error beside") {
				t.Errorf("%d CHILD_SAs are left", len(n.children))
			}
		})
	}
}

// TestAuthRequestLies holds what a responder makes of IKE_AUTH requests that are wrong.
func TestAuthRequestLies(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		kind       RecordKind
		lie        lie
		peer       string // what the initiator's record says
	}{
		{"no IDi", "one IDi", RecordIKEFailed, func(ps []wire.Payload) []wire.Payload { return ps[1:] }, "INVALID_SYNTAX"},
		{"no AUTH", "EAP", RecordIKEFailed, without[*wire.Auth], "AUTHENTICATION_FAILED"},
		{"someone else", "no connection is for fqdn:mallory as fqdn:b.example: \"ike\" is for fqdn:a.example as fqdn:b.example", RecordIKEFailed, with(func(p *wire.ID) { p.Data = []byte("mallory") }), "AUTHENTICATION_FAILED"},
		{"asks for someone else", "as fqdn:mallory", RecordIKEFailed, func(ps []wire.Payload) []wire.Payload {
			id, _ := onlyID(ps, wire.PayloadIDr)
			id.Data = []byte("mallory")
			return ps
		}, "AUTHENTICATION_FAILED"},
		{"another bit in AUTH", "does not verify", RecordIKEFailed, with(func(p *wire.Auth) { p.Data[3] ^= 1 }), "AUTHENTICATION_FAILED"},
		{"a signature", "a pre-shared key is needed", RecordIKEFailed, with(func(p *wire.Auth) { p.Method = wire.AuthDigitalSignature }), "AUTHENTICATION_FAILED"},
		{"a reserved SPI", "is reserved", RecordChildFailed, with(func(p *wire.SA) { p.Proposals[0].SPI = []byte{0, 0, 0, 1} }), "NO_PROPOSAL_CHOSEN"},
		{"a group in IKE_AUTH", "child", RecordChildInstalled, with(func(p *wire.SA) {
			p.Proposals[0].Transforms = append(p.Proposals[0].Transforms, wire.Transform{Type: wire.TransformKE, ID: suite.KEX25519})
		}), ""},
		{"USE_TRANSPORT_MODE", "child", RecordChildInstalled, add(&wire.Notify{Kind: wire.UseTransportMode}), ""},
		{"a request for an address", "child", RecordChildInstalled, add(&wire.CP{Kind: wire.ConfigRequest}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := liePair(t, wire.ExchangeIKEAuth, false, tc.lie)
			wantRecord(t, n.node("b"), tc.kind, tc.want)
			if tc.peer != "" {
				kind := tc.kind
				wantRecord(t, n.node("a"), kind, tc.peer)
			}
		})
	}
}

// TestInformationalResponseLies holds that a response that cannot be read ends an
// established IKE SA at the end that got it (RFC 7296 §2.21.3).
func TestInformationalResponseLies(t *testing.T) {
	n := quietPair(t)
	n.step(n.node("a"), Command{Kind: Initiate, Connection: "ike"})
	n.settle()
	n.lie = func(e *Exchange, ps []wire.Payload) []wire.Payload {
		if !e.Response {
			return nil
		}
		return []wire.Payload{&wire.Unknown{PayloadType: 201, Critical: true}}
	}
	n.step(n.node("a"), Command{Kind: Liveness, Connection: "ike"})
	n.settle()
	wantRecord(t, n.node("a"), RecordIKEDeleted, "malformed response")
	wantRecord(t, n.node("b"), RecordIKEDeleted, "the peer deleted it")
}

func established(node *testnode) (count int) {
	for _, sa := range node.machine.sas {
		if sa.up() {
			count++
		}
	}
	return count
}
