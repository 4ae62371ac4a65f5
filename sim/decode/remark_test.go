package decode

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// offered is an SA payload of an IKE SA with one proposal for each list of keywords.
func offered(t testing.TB, proposals ...string) *wire.SA {
	t.Helper()
	out := &wire.SA{}
	for i, keywords := range proposals {
		p := proposal(t, wire.ProtocolIKE, nil, keywords).Proposals[0]
		p.Number = uint8(i + 1)
		out.Proposals = append(out.Proposals, p)
	}
	return out
}

// raw is an SA payload with transforms as they are given.
func raw(protocol wire.ProtocolID, transforms ...wire.Transform) *wire.SA {
	p := wire.Proposal{Number: 1, Protocol: protocol, Transforms: transforms}
	if protocol != wire.ProtocolIKE {
		p.SPI = []byte{0xc0, 0, 0, 1}
	}
	return &wire.SA{Proposals: []wire.Proposal{p}}
}

// TestProposalRemarks names what the RFCs forbid in proposals and KE payloads, and
// says nothing of what they allow.
func TestProposalRemarks(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	ke := func(group uint16, n int) *wire.KE { return &wire.KE{Group: group, Data: make([]byte, n)} }
	encr := func(id, bits uint16) wire.Transform {
		return wire.Transform{Type: wire.TransformENCR, ID: id, KeyBits: bits}
	}
	rest := []wire.Transform{{Type: wire.TransformPRF, ID: suite.PRFHMACSHA256}, {Type: wire.TransformINTEG, ID: suite.IntegHMACSHA256_128}, {Type: wire.TransformKE, ID: 14}}
	with := func(e ...wire.Transform) *wire.SA { return raw(wire.ProtocolIKE, append(e, rest...)...) }
	without := func(e wire.Transform) *wire.SA { return raw(wire.ProtocolIKE, e, rest[0], rest[2]) }
	none := wire.Transform{Type: wire.TransformINTEG}
	nonced := func(prfs ...uint16) *wire.SA {
		ts := []wire.Transform{encr(20, 256), rest[2]}
		for _, id := range prfs {
			ts = append(ts, wire.Transform{Type: wire.TransformPRF, ID: id})
		}
		return raw(wire.ProtocolIKE, ts...)
	}
	for _, c := range []struct {
		name     string
		payloads []wire.Payload
		says     []string
	}{
		{"all in order", []wire.Payload{with(encr(12, 128), encr(12, 256), encr(3, 0)), ke(14, 256)}, nil},
		{"an AEAD in order", []wire.Payload{without(encr(20, 256)), ke(14, 256)}, nil},
		{"an AEAD with NONE", []wire.Payload{raw(wire.ProtocolIKE, encr(28, 0), rest[0], rest[2], none), ke(14, 256)}, nil},
		{"an AEAD with integrity", []wire.Payload{with(encr(20, 256)), ke(14, 256)}, []string{"aes256gcm16 has an integrity check of its own, sha256 must not stand beside it (RFC 5282 §8)"}},
		{"CCM with integrity", []wire.Payload{with(encr(16, 128)), ke(14, 256)}, []string{"has an integrity check of its own"}},
		{"an AEAD beside a cipher", []wire.Payload{with(encr(20, 256), encr(12, 256)), ke(14, 256)}, []string{"aes256gcm16 and aes256 need a proposal each"}},
		{"a key of 16 bits", []wire.Payload{with(encr(12, 16)), ke(14, 256)}, []string{"aes16 has keys of 16 bits; 128, 192 and 256 exist"}},
		{"a key of 512 bits", []wire.Payload{without(encr(20, 512)), ke(14, 256)}, []string{"has keys of 512 bits"}},
		{"AES without a key length", []wire.Payload{with(encr(12, 0)), ke(14, 256)}, []string{"has no key length, which it must have"}},
		{"ChaCha20 with a key length", []wire.Payload{without(encr(28, 256)), ke(14, 256)}, []string{"has a key length, and its keys are of one length"}},
		{"3DES with a key length", []wire.Payload{with(encr(3, 192)), ke(14, 256)}, []string{"has a key length, and its keys are of one length"}},
		{"another group", []wire.Payload{with(encr(12, 128)), ke(19, 64)}, []string{"the KE payload is for ecp256, which no proposal of the message has (RFC 7296 §3.4)"}},
		{"a short public value", []wire.Payload{with(encr(12, 128)), ke(14, 255)}, []string{"the KE payload has 255 octets, modp2048 has 256"}},
		{"an encryption of private use without integrity", []wire.Payload{raw(wire.ProtocolIKE, encr(1024, 0), rest[0], rest[2]), ke(14, 256)}, nil},
		{"a nonce of half a key", []wire.Payload{nonced(7), &wire.Nonce{Data: make([]byte, 32)}}, nil},
		{"a nonce too short for SHA-512", []wire.Payload{nonced(7), &wire.Nonce{Data: make([]byte, 31)}}, []string{"the nonce has 31 octets, prfsha512 needs at least 32 (RFC 7296 §2.10)"}},
		{"a nonce too short for SHA-384", []wire.Payload{nonced(6), &wire.Nonce{Data: make([]byte, 16)}}, []string{"the nonce has 16 octets, prfsha384 needs at least 24 (RFC 7296 §2.10)"}},
		{"a nonce too short for one of several", []wire.Payload{nonced(2, 5, 6, 9), &wire.Nonce{Data: make([]byte, 16)}}, []string{"the nonce has 16 octets, " + prfNames[9] + " needs at least 32"}},
		{"a nonce of 16 octets for SHA-256", []wire.Payload{nonced(1, 2, 4, 5, 8), &wire.Nonce{Data: make([]byte, 16)}}, nil},
		{"nothing but encryption", []wire.Payload{raw(wire.ProtocolIKE, encr(12, 128))}, []string{"IKE lacks a transform of type PRF, INTEG, KE (RFC 7296 §3.3.3)"}},
		{"ESP without ESN", []wire.Payload{raw(wire.ProtocolESP, encr(20, 128))}, []string{"ESP lacks a transform of type ESN"}},
		{"ESP in order", []wire.Payload{raw(wire.ProtocolESP, encr(20, 128), wire.Transform{Type: wire.TransformESN})}, nil},
	} {
		for _, sealed := range []bool{false, true} {
			name, packet := c.name, ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, c.payloads...)))
			if sealed {
				name, packet = c.name+", encrypted", p.request(wire.ExchangeCreateChildSA, 7, c.payloads...)
			}
			t.Run(name, func(t *testing.T) {
				lines, d := decodePackets(t, tables(p.table(false), ""), packet)
				said(t, lines[0].Remarks, c.says)
				if !d.Stats().Clean() {
					t.Errorf("a remark is no malformed message: %+v", d.Stats())
				}
			})
		}
	}
}

// said compares remarks with what each must contain.
func said(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("remarks %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("remark %q, want %q", got[i], want[i])
		}
	}
}

// TestChosenNotOffered: a response must choose one of the proposals of its request,
// whole (RFC 7296 §2.7, §3.3.6), in clear and encrypted; after a second request for
// another group it may answer either.
func TestChosenNotOffered(t *testing.T) {
	const strong, weak = "aes256-sha256-prfsha256-modp2048", "aes128-sha1-prfsha1-modp2048"
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	ke := &wire.KE{Group: 14, Data: make([]byte, 256)}
	second := offered(t, weak, strong)
	second.Proposals = second.Proposals[1:]
	twoChoices := offered(t, strong)
	twoChoices.Proposals[0].Transforms = append(twoChoices.Proposals[0].Transforms, wire.Transform{Type: wire.TransformPRF, ID: suite.PRFHMACSHA384})
	lacking := offered(t, strong)
	lacking.Proposals[0].Transforms = lacking.Proposals[0].Transforms[1:]
	for _, c := range []struct {
		name     string
		requests []*wire.SA
		response *wire.SA
		says     []string
	}{
		{"what was offered", []*wire.SA{offered(t, strong)}, offered(t, strong), nil},
		{"the second proposal", []*wire.SA{offered(t, weak, strong)}, second, nil},
		{"one of two choices", []*wire.SA{twoChoices}, offered(t, strong), nil},
		{"an answer to the first of two requests", []*wire.SA{offered(t, strong), offered(t, weak)}, offered(t, strong), nil},
		{"without a request in the capture", nil, offered(t, strong), nil},
		{"something else", []*wire.SA{offered(t, weak)}, offered(t, strong), []string{"the response chose aes256, sha256, prfsha256, which the request did not offer (RFC 7296 §2.7)"}},
		{"another key length", []*wire.SA{offered(t, "aes256-sha1-prfsha1-modp2048")}, offered(t, weak), []string{"the response chose aes128, which"}},
		{"another number", []*wire.SA{offered(t, strong)}, second, []string{"the response chose proposal 2 for IKE, which the request did not offer"}},
		{"two proposals", []*wire.SA{offered(t, weak, strong)}, offered(t, weak, strong), []string{"the response has 2 proposals, it must have one"}},
		{"two choices", []*wire.SA{twoChoices}, twoChoices, []string{"the response chose 2 transforms of type PRF"}},
		{"a transform less", []*wire.SA{offered(t, strong)}, lacking, []string{"IKE lacks a transform of type", "the response chose no transform of type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var packets [][]byte
			for i, r := range c.requests {
				packets = append(packets, ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, r, ke, &wire.Nonce{Data: bytes.Repeat([]byte{byte(i)}, 32)}))))
			}
			packets = append(packets, ipv4(bob, alice, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, true, c.response, ke, &wire.Nonce{Data: p.nr}))))
			lines, d := decodePackets(t, nil, packets...)
			said(t, lines[len(lines)-1].Remarks, c.says)
			var b strings.Builder
			if err := d.Summary(&b, nil); err != nil {
				t.Fatal(err)
			}
			if wrong := len(c.response.Proposals) == 1 && len(c.says) > 0; strings.Contains(b.String(), ", which was not offered") != wrong {
				t.Errorf("the summary:\n%s", b.String())
			}
		})
	}
	t.Run("another group is wanted", func(t *testing.T) {
		request := ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, offered(t, strong, "aes256-sha256-prfsha256-ecp256"), ke, &wire.Nonce{Data: p.ni})))
		wants := func(group byte) []byte {
			return ipv4(bob, alice, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, true, &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, group}})))
		}
		lines, _ := decodePackets(t, nil, request, wants(19), wants(31))
		said(t, lines[1].Remarks, nil)
		said(t, lines[2].Remarks, []string{"the response wants x25519, which the request did not offer"})
	})
	t.Run("a CHILD SA", func(t *testing.T) {
		request := p.request(wire.ExchangeCreateChildSA, 2, proposal(t, wire.ProtocolESP, []byte{0xc0, 0, 0, 1}, "aes128gcm16-noesn"), &wire.Nonce{Data: p.ni})
		response := p.response(wire.ExchangeCreateChildSA, 2, proposal(t, wire.ProtocolESP, []byte{0xd0, 0, 0, 1}, "aes256gcm16-noesn"), &wire.Nonce{Data: p.nr})
		lines, _ := decodePackets(t, tables(p.table(false), ""), request, response)
		said(t, lines[1].Remarks, []string{"the response chose aes256gcm16, which the request did not offer"})
	})
}

// TestInClear: what must be encrypted and is not gets a remark, unless it is a
// notification that has no SA to be encrypted with (RFC 7296 §1.5, §2.21.4).
func TestInClear(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	notify := func(k wire.NotifyType) wire.Payload { return &wire.Notify{Kind: k} }
	for _, c := range []struct {
		name    string
		message []byte
		remark  bool
	}{
		{"INFORMATIONAL", p.message(wire.ExchangeInformational, 2, false, notify(wire.SetWindowSize)), true},
		{"INFORMATIONAL without payloads", p.message(wire.ExchangeInformational, 2, true), true},
		{"a deletion", p.message(wire.ExchangeInformational, 2, false, &wire.Delete{Protocol: wire.ProtocolIKE}), true},
		{"IKE_AUTH", p.message(wire.ExchangeIKEAuth, 1, false, fqdn(wire.PayloadIDi, "a.example")), true},
		{"a refusal of IKE_AUTH", p.message(wire.ExchangeIKEAuth, 1, true, notify(wire.AuthenticationFailed)), true},
		{"CREATE_CHILD_SA", p.message(wire.ExchangeCreateChildSA, 3, false, &wire.Nonce{Data: p.ni}), true},
		{"IKE_SA_INIT", p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}), false},
		{"no such SA", p.message(wire.ExchangeInformational, 2, true, notify(wire.InvalidIKESPI)), false},
		{"no such CHILD SA", p.message(wire.ExchangeInformational, 0, false, notify(wire.InvalidSPI)), false},
		{"a token", p.message(wire.ExchangeInformational, 2, true, notify(wire.InvalidIKESPI), notify(wire.QuickCrashDetection)), false},
		{"encrypted", p.sealed(wire.ExchangeInformational, 2, false), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, _ := decodePackets(t, nil, ipv4(alice, bob, 17, udp(500, 500, c.message)))
			if got := strings.Contains(strings.Join(lines[0].Remarks, ""), "in the clear: it has no SK payload"); got != c.remark {
				t.Errorf("remarks %q, want one %t", lines[0].Remarks, c.remark)
			}
		})
	}
}

// TestInitIsInTheCapture: the summary says of IKE_SA_INIT what is missing: a
// message, a payload, or nothing.
func TestInitIsInTheCapture(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	sa, ke := offered(t, "aes256gcm16-prfsha384-x25519"), &wire.KE{Group: suite.KEX25519, Data: make([]byte, 32)}
	ni, nr := &wire.Nonce{Data: p.ni}, &wire.Nonce{Data: p.nr}
	request := func(ps ...wire.Payload) []byte {
		return ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, ps...)))
	}
	response := func(ps ...wire.Payload) []byte {
		return ipv4(bob, alice, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, true, ps...)))
	}
	auth := p.request(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"))
	bad := response(sa, ke, nr)
	bad[28+28+2] = 0xff // the SA payload's length
	refused := response(&wire.Notify{Kind: wire.NoProposalChosen})
	// A response without an SA has no responder's SPI, or has one all the same.
	cookie, group := &wire.Notify{Kind: wire.Cookie, Data: []byte("cookie")}, &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 19}}
	early := func(n *wire.Notify) []byte {
		m := p.message(wire.ExchangeIKESAInit, 0, true, n)
		copy(m[8:16], make([]byte, 8))
		return ipv4(bob, alice, 17, udp(500, 500, m))
	}
	for _, c := range []struct {
		name    string
		packets [][]byte
		says    string
		lacks   string
	}{
		{"both", [][]byte{request(sa, ke, ni), response(sa, ke, nr), auth}, "aes256gcm16-prfsha384-x25519; 3 messages", "IKE_SA_INIT"},
		{"neither", [][]byte{auth}, "  IKE_SA_INIT is not in the capture; 1 message,", ""},
		{"only the request", [][]byte{request(sa, ke, ni), auth}, "  the IKE_SA_INIT response is not in the capture; 2 messages,", "; IKE_SA_INIT"},
		{"only the request, sent again", [][]byte{request(sa, ke, ni), sentAgain(request(sa, ke, ni), 1), auth}, "  the IKE_SA_INIT response is not in the capture; 3 messages, ", "; IKE_SA_INIT"},
		{"only the response", [][]byte{response(sa, ke, nr), auth}, "aes256gcm16-prfsha384-x25519; the IKE_SA_INIT request is not in the capture; 2 messages,", "; IKE_SA_INIT"},
		{"without KE and nonces", [][]byte{request(sa), response(sa)}, "aes256gcm16-prfsha384-x25519; the IKE_SA_INIT request has no KE and Nonce (RFC 7296 §1.2); the IKE_SA_INIT response has no KE and Nonce (RFC 7296 §1.2); 2 messages,", "not in the capture"},
		{"a response without a nonce", [][]byte{request(sa, ke, ni), response(sa, ke)}, "aes256gcm16-prfsha384-x25519; the IKE_SA_INIT response has no Nonce (RFC 7296 §1.2); 2 messages,", "not in the capture"},
		{"a response without a proposal", [][]byte{request(sa, ke, ni), response(ke, nr)}, "  the IKE_SA_INIT response has no SA (RFC 7296 §1.2); 2 messages,", "not in the capture"},
		{"a malformed response", [][]byte{request(sa, ke, ni), bad, auth}, "  the IKE_SA_INIT response is malformed; 3 messages,", "not in the capture"},
		{"a refusal", [][]byte{request(sa, ke, ni), refused}, "  the IKE_SA_INIT response is a refusal: N(NO_PROPOSAL_CHOSEN); 2 messages,", "not in the capture"},
		{"a cookie, and the response lost", [][]byte{request(sa, ke, ni), early(cookie), request(cookie, sa, ke, ni), auth}, "  the IKE_SA_INIT response is not in the capture, before it came N(COOKIE); 4 messages,", "refusal"},
		{"a cookie with an SPI, and the response lost", [][]byte{request(sa, ke, ni), response(cookie), request(cookie, sa, ke, ni), auth}, "  the IKE_SA_INIT response is not in the capture, before it came N(COOKIE); 4 messages,", "refusal"},
		{"another group, and the response lost", [][]byte{request(sa, ke, ni), early(group), request(sa, ke, ni), auth}, "  the IKE_SA_INIT response is not in the capture, before it came N(INVALID_KE_PAYLOAD); ", "refusal"},
		{"a cookie and the response", [][]byte{request(sa, ke, ni), early(cookie), request(cookie, sa, ke, ni), response(sa, ke, nr), auth}, "aes256gcm16-prfsha384-x25519; 5 messages,", "COOKIE"},
		{"a cookie with an SPI, and no more", [][]byte{request(sa, ke, ni), response(cookie)}, "  the IKE_SA_INIT response is a refusal: N(COOKIE); 2 messages,", "not in the capture"},
		{"the request once more behind the response", [][]byte{request(sa, ke, ni), response(sa, ke, nr), sentAgain(request(sa, ke, ni), 1)}, "3 messages, ", "not in the capture"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, d := decodePackets(t, nil, c.packets...)
			var b strings.Builder
			if err := d.Summary(&b, nil); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), c.says) || c.lacks != "" && strings.Contains(b.String(), c.lacks) {
				t.Errorf("the summary lacks %q, or has %q:\n%s", c.says, c.lacks, b.String())
			}
		})
	}
	t.Run("resumed", func(t *testing.T) {
		resume := func(response bool) []byte {
			return p.message(wire.ExchangeIKESessionResume, 0, response, &wire.Nonce{Data: p.ni})
		}
		first := resume(false)
		copy(first[8:16], make([]byte, 8)) // the responder's SPI is not known yet
		_, d := decodePackets(t, nil, ipv4(alice, bob, 17, udp(500, 500, first)), ipv4(bob, alice, 17, udp(500, 500, resume(true))), auth)
		var b strings.Builder
		if err := d.Summary(&b, nil); err != nil {
			t.Fatal(err)
		}
		if want := "  resumed with a ticket (RFC 5723); 3 messages, "; !strings.Contains(b.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, b.String())
		}
	})
	t.Run("made in place of another", func(t *testing.T) {
		rekey := func(spi ...byte) *wire.SA {
			sa := offered(t, "aes256gcm16-prfsha384-x25519")
			sa.Proposals[0].SPI = spi
			return sa
		}
		packets := append(p.init(), p.request(wire.ExchangeCreateChildSA, 2, rekey(1, 1, 1, 1, 1, 1, 1, 1), ni, ke), p.response(wire.ExchangeCreateChildSA, 2, rekey(2, 2, 2, 2, 2, 2, 2, 2), nr, ke))
		_, d := decodePackets(t, tables(p.table(false), ""), packets...)
		var b strings.Builder
		if err := d.Summary(&b, nil); err != nil {
			t.Fatal(err)
		}
		want := "IKE SA 0101010101010101-0202020202020202  192.0.2.1:500 <> 198.51.100.7:500\n  aes256gcm16-prfsha384-x25519; in place of 0102030405060708-090a0b0c0d0e0f10; 0 messages"
		if !strings.Contains(b.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, b.String())
		}
	})
}

// TestCutMessages: a message of which the capture has the header and not the end
// belongs to its SA, counts with its whole length, and is not malformed. One whose
// length is wrong besides belongs to none.
func TestCutMessages(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	auth := p.sealed(wire.ExchangeIKEAuth, 1, false, fqdn(wire.PayloadIDi, "a.example"))
	answer := p.sealed(wire.ExchangeIKEAuth, 1, true, fqdn(wire.PayloadIDr, "b.example"))
	packets := append(p.init(), ipv4(alice, bob, 17, udp(500, 500, auth)), ipv4(bob, alice, 17, udp(500, 500, answer)))
	octets := 0
	for _, packet := range packets {
		octets += len(packet) - 28
	}
	wrong := bytes.Clone(packets[2])
	wrong[28+24] = 1 // its length
	const name = "IKE SA 0102030405060708-090a0b0c0d0e0f10  192.0.2.1:500 <> 198.51.100.7:500\n  "
	for _, c := range []struct {
		name    string
		packets [][]byte
		cut     int // from this one on
		says    string
	}{
		{"all", packets, 0, fmt.Sprintf("%sthe IKE_SA_INIT request was not captured whole; the IKE_SA_INIT response was not captured whole; 4 messages, %d bytes; 0 retransmissions; no keys\n", name, octets)},
		{"all but IKE_SA_INIT", packets, 2, fmt.Sprintf("%saes256gcm16-prfsha384-x25519; 4 messages, %d bytes; 0 retransmissions; no keys\n", name, octets)},
		{"sent again", append(packets[:3:3], sentAgain(packets[2], 1)), 2, fmt.Sprintf("4 messages, %d bytes; 1 retransmission; no keys\n", octets-len(answer)+len(auth))},
		{"a wrong length", [][]byte{wrong}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var frames []at
			for i, packet := range c.packets {
				n := len(packet)
				if i >= c.cut {
					n = 28 + wire.HeaderBytes + 8
				}
				frames = append(frames, at{time.Duration(i) * time.Second, packet[:n], len(packet)})
			}
			lines, d := decodeBytes(t, pcapAt(t, layers.LinkTypeRaw, frames...), nil)
			for _, l := range lines[c.cut:] {
				if l.Error == nil {
					t.Errorf("frame %d has no error, though it was cut", l.Frame)
				}
			}
			var b strings.Builder
			if err := d.Summary(&b, nil); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), c.says) || c.says == "" && strings.Contains(b.String(), "IKE SA ") {
				t.Errorf("the summary lacks %q, or has an SA:\n%s", c.says, b.String())
			}
		})
	}
}

// TestCutResponse: a response that was cut behind its proposal does not keep the
// nonce from being learnt when it comes whole.
func TestCutResponse(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	init := p.init()
	packets := append([][]byte{init[0], init[1], sentAgain(init[1], 1)}, child(t, p, wire.ExchangeIKEAuth, 1, false, "aes128gcm16-noesn")...)
	var frames []at
	for i, packet := range packets {
		n := len(packet)
		if i == 1 {
			n -= 10
		}
		frames = append(frames, at{time.Duration(i) * time.Second, packet[:n], len(packet)})
	}
	lines, _ := decodeBytes(t, pcapAt(t, layers.LinkTypeRaw, frames...), tables(p.table(true), ""))
	if l := lines[len(lines)-1]; l.Kind != "esp" || l.ICV != "ok" {
		t.Errorf("line: %+v", l)
	}
}

// TestDetailsOfMalformedMessages: the payloads before and behind a malformed one
// are told like any others, in clear and encrypted.
func TestDetailsOfMalformedMessages(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	sa, ke := offered(t, "aes256gcm16-prfsha384-x25519"), &wire.KE{Group: suite.KEX25519, Data: make([]byte, 32)}
	critical := &wire.Unknown{PayloadType: 200, Critical: true, Data: []byte("abcd")}
	address := &wire.Notify{Kind: wire.AdditionalIP4Address, Data: []byte{192, 0, 2, 5}}
	lines, _ := decodePackets(t, tables(p.table(false), ""),
		ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, sa, ke, critical, address))),
		p.request(wire.ExchangeInformational, 2, address, critical, &wire.Delete{Protocol: wire.ProtocolIKE}),
	)
	for i, want := range [][]string{
		{"SA[IKE aes256gcm16-prfsha384-x25519]", "KE(x25519)", "payload 200(4 octets)", "N(ADDITIONAL_IP4_ADDRESS 192.0.2.5)"},
		{"SK(53 octets)", "N(ADDITIONAL_IP4_ADDRESS 192.0.2.5)", "payload 200(4 octets)", "D(IKE)"},
	} {
		if diff := cmp.Diff(want, lines[i].Details); diff != "" || lines[i].Error == nil || lines[i].Error.Payload != "payload 200" {
			t.Errorf("frame %d, error %+v, details (-want +got):\n%s", i+1, lines[i].Error, diff)
		}
	}
	t.Run("a malformed one in the middle", func(t *testing.T) {
		message := p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}, &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 31}}, ke)
		message[28+36+5] = 0xff // the notification's SPI size
		lines, _ := decodePackets(t, nil, ipv4(alice, bob, 17, udp(500, 500, message)))
		if diff := cmp.Diff([]string{"Ni", "N", "KE(x25519)"}, lines[0].Details); diff != "" {
			t.Errorf("details (-want +got):\n%s", diff)
		}
	})
}

// TestLadderOfEverything: each IKE message has a rung, also one that is malformed,
// has no whole header, or is IKEv1's.
func TestLadderOfEverything(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	v1 := p.message(wire.ExchangeInformational, 0x4d, false)
	v1[17], v1[18], v1[19] = 0x10, 32, 1
	bad := p.init()[1]
	bad[28+28+2] = 0xff
	third := p.message(wire.ExchangeInformational, 1, false)
	third[17] = 0x30
	_, d := decodePackets(t, nil, p.init()[0], bad, ipv4(alice, bob, 17, udp(500, 500, v1)), ipv4(alice, bob, 17, udp(500, 500, v1[:20])),
		ipv4(alice, bob, 17, udp(500, 500, third)), ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeInformational, 2, false))))
	rows, _ := d.Ladder()
	var got []string
	for _, r := range rows {
		name := r.Label
		if name == "" {
			name = r.Exchange
		}
		faults := strings.Join(r.Faults, "")
		got = append(got, name+" "+strings.Join(r.Payloads, ",")+" "+faults[:min(len(faults), 20)])
	}
	want := []string{
		"IKE_SA_INIT SA[IKE aes256gcm16-prfsha384-x25519],KE(x25519),Ni ", "IKE_SA_INIT SA MALFORMED SA, octet ",
		"IKEv1 Quick Mode 0102030405060708-090a0b0c0d0e0f10 message ID 0x0000004d encrypted ", "IKE without a whole header  MALFORMED IKE messag",
		"IKE of version 3.0  MALFORMED IKE messag", "INFORMATIONAL  REMARK INFORMATIONAL",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestNotifications tells what notifications say, and shows the octets of those
// whose data are not what they must be.
func TestNotifications(t *testing.T) {
	six := append([]byte{0x20, 1, 0x0d, 0xb8}, append(make([]byte, 11), 5)...)
	for _, c := range []struct {
		kind wire.NotifyType
		data []byte
		want string
	}{
		{wire.Redirect, append([]byte{1, 4, 192, 0, 2, 1}, make([]byte, 32)...), "N(REDIRECT to 192.0.2.1)"},
		{wire.Redirect, append([]byte{2, 16}, six...), "N(REDIRECT to 2001:db8::5)"},
		{wire.Redirect, append([]byte{3, 10}, "gw.example"...), "N(REDIRECT to gw.example)"},
		{wire.Redirect, []byte{1, 4, 192, 0, 2}, "N(REDIRECT 0x0104c00002)"},
		{wire.RedirectedFrom, []byte{1, 4, 192, 0, 2, 9}, "N(REDIRECTED_FROM from 192.0.2.9)"},
		{wire.SignatureHashAlgorithms, []byte{0, 2, 0, 5, 0, 99}, "N(SIGNATURE_HASH_ALGORITHMS sha256 identity hash 99)"},
		{wire.SetWindowSize, []byte{0, 0, 0, 5}, "N(SET_WINDOW_SIZE 5)"},
		{wire.SetWindowSize, []byte{5}, "N(SET_WINDOW_SIZE 0x05)"},
		{wire.AdditionalIP4Address, []byte{192, 0, 2, 5}, "N(ADDITIONAL_IP4_ADDRESS 192.0.2.5)"},
		{wire.AdditionalIP6Address, six, "N(ADDITIONAL_IP6_ADDRESS 2001:db8::5)"},
		{wire.AuthLifetime, []byte{0, 0, 0x0e, 0x10}, "N(AUTH_LIFETIME 3600s)"},
		{wire.InvalidMessageID, []byte{0, 0, 0, 7}, "N(INVALID_MESSAGE_ID 7)"},
		{wire.InvalidSPI, []byte{0xc0, 0xde, 0, 1}, "N(INVALID_SPI 0xc0de0001)"},
		{wire.IPCompSupported, []byte{0, 2, 2}, "N(IPCOMP_SUPPORTED cpi 0x0002 DEFLATE)"},
		{wire.InvalidSelectors, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, nil)), "N(INVALID_SELECTORS about 10.1.0.1:1 > 10.2.0.1:2 UDP)"},
		{wire.UnsupportedCriticalPayload, []byte{200}, "N(UNSUPPORTED_CRITICAL_PAYLOAD 200)"},
		{wire.Cookie, []byte{1, 2, 3}, "N(COOKIE)"},
		{wire.InitialContact, nil, "N(INITIAL_CONTACT)"},
		{41041, []byte{1, 2}, "N(BACKOFF_TIMER 20min 3GPP 41041)"},
		{41041, []byte{1, 0x65}, "N(BACKOFF_TIMER 10s 3GPP 41041)"},
		{41041, []byte{1, 0xe0}, "N(BACKOFF_TIMER deactivated 3GPP 41041)"},
		{10500, nil, "N(NETWORK_FAILURE 3GPP 10500)"},
		{9002, nil, "N(NO_APN_SUBSCRIPTION 3GPP 9002)"},
		{12345, []byte{1, 2}, "N(NOTIFY_12345 0x0102)"},
		{40000, bytes.Repeat([]byte{0xab}, 20), "N(NOTIFY_40000 0x" + strings.Repeat("ab", 16) + "…)"},
	} {
		if got := describe(wire.Header{}, &wire.Notify{Kind: c.kind, Data: c.data}); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
	for _, n := range []*wire.Notify{{Kind: 41041}, {Kind: 10500}} {
		if got := notation(n); strings.Contains(got, "NOTIFY_") {
			t.Errorf("%s for programs", got)
		}
	}
}
