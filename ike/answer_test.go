package ike

import (
	"net/netip"
	"testing"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestSmallRequestIsAnswered: a request whose integrity check holds is answered though
// the answer is longer, to the port and address that it came from, and again when it
// comes again (RFC 7296 §2.11).
func TestSmallRequestIsAnswered(t *testing.T) {
	n := quietPair(t)
	n.lieOnce(t, wire.ExchangeIKEAuth, false, func([]wire.Payload) []wire.Payload { return []wire.Payload{} })
	request := n.sent[2]
	if len(request.first) >= len(n.sent[3].first) {
		t.Fatalf("the request has %d octets, the response %d: nothing is shown", len(request.first), len(n.sent[3].first))
	}
	// b has spent on IKE_SA_INIT what came with it, so this is about IKE_AUTH alone.
	for _, from := range []string{"192.0.2.1:4321", "203.0.113.99:500"} {
		again := *request
		again.payload, again.remote = []byte(string(request.first)), netip.MustParseAddrPort(from)
		n.deliver(&again)
		last := n.sent[len(n.sent)-1]
		if last.local != again.remote || last.remote != request.local || string(last.first) != string(n.sent[3].first) {
			t.Errorf("the answer to %s goes from %s to %s", from, last.remote, last.local)
		}
	}
}

// TestPayloadBeforeSK: what stands in front of SK is covered by its integrity check
// (RFC 7296 §3.14), so the request is answered all the same.
func TestPayloadBeforeSK(t *testing.T) {
	n := quietPair(t)
	n.step(n.node("a"), Command{Kind: Initiate, Connection: "ike"})
	n.settle()
	sa := n.node("a").machine.sas[0]
	s := sa.keys.send
	body := make([]byte, s.crypter.IVBytes()+1+s.crypter.ICVBytes()) // no payload, no padding
	body[0] = 0xff                                                   // an IV of its own
	b, err := (&wire.Message{Header: sa.header(wire.ExchangeInformational, sa.nextRequest, false), Payloads: []wire.Payload{
		&wire.VendorID{Data: []byte("someone")}, &wire.Encrypted{Body: body},
	}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	iv, text, icv := b[len(b)-len(body):][:s.crypter.IVBytes()], b[len(b)-1-s.crypter.ICVBytes():][:1], b[len(b)-s.crypter.ICVBytes():]
	s.crypter.Seal(iv, text, icv, b[:len(b)-len(body)], nil)
	n.deliver(&flight{local: sa.remote, remote: sa.local, payload: b})
	n.settle()
	if got := sentBy(n, "b", wire.ExchangeInformational, true); len(got) != 1 || got[0] != "" {
		t.Errorf("b answers %q, want one empty response", got)
	}
}
