package ike

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// TestNATHash pins the layout of RFC 7296 §2.23: SPIi | SPIr | address | port. The
// sums are those of sha1sum over the octets written out here.
func TestNATHash(t *testing.T) {
	for _, tc := range []struct{ name, end, want string }{
		// printf '\1\2\3\4\5\6\7\10\0\0\0\0\0\0\0\0\300\0\2\1\1\364' | sha1sum
		{"IPv4", "192.0.2.1:500", "644b4575455bd6fcc1efe2be8162a9218e448e5f"},
		// printf with \40\1\15\270 … \1 and \21\224 in place of address and port
		{"IPv6", "[2001:db8::1]:4500", "98c75483db80168697635aa7844504963e87de33"},
	} {
		got := hex.EncodeToString(natHash(wire.SPI{1, 2, 3, 4, 5, 6, 7, 8}, wire.SPI{}, netip.MustParseAddrPort(tc.end)))
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestDetectNAT(t *testing.T) {
	a, b, nat := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("198.51.100.1:500"), netip.MustParseAddrPort("203.0.113.1:40000")
	i, r := wire.SPI{1}, wire.SPI{2}
	two := append(natPayloads(i, r, nat, b, false), natPayloads(i, r, a, b, false)[:1]...)
	for _, tc := range []struct {
		name          string
		ps            []wire.Payload
		local, remote netip.AddrPort
		want          natState
	}{
		{"none", natPayloads(i, r, a, b, false), b, a, natState{supported: true}},
		{"the peer is behind one", natPayloads(i, r, a, b, false), b, nat, natState{supported: true, remote: true}},
		{"this end is behind one", natPayloads(i, r, a, nat, false), b, a, natState{supported: true, local: true}},
		{"forced by the peer", natPayloads(i, r, a, b, true), b, a, natState{supported: true, remote: true}},
		{"one of two sources fits", two, b, a, natState{supported: true}},
		{"other SPIs", natPayloads(i, wire.SPI{}, a, b, false), b, a, natState{supported: true, local: true, remote: true}},
		{"not supported", []wire.Payload{&wire.Nonce{}}, b, a, natState{}},
		{"only one of the two", natPayloads(i, r, a, b, false)[:1], b, a, natState{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := detectNAT(tc.ps, i, r, tc.local, tc.remote); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParseIdentity(t *testing.T) {
	for _, tc := range []struct{ text, want, wantErr string }{
		{"", "0 %any", ""},
		{"%any", "0 %any", ""},
		{"192.0.2.1", "1 192.0.2.1", ""},
		{"2001:db8::1", "5 2001:db8::1", ""},
		{"gw.example.org", "2 gw.example.org", ""},
		{"@gw.example.org", "2 gw.example.org", ""},
		{"phone@example.org", "3 phone@example.org", ""},
		{"keyid:site-7", "11 keyid:site-7", ""},
		{"keyid:#00ff", "11 keyid:0x00ff", ""},
		{"CN=gw, O=Example", "", "distinguished name"},
		{"two words", "", "is not a name"},
	} {
		id, err := ParseIdentity(tc.text)
		if tc.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("%q: error %v, want one with %q", tc.text, err, tc.wantErr)
			}
			continue
		}
		if got := fmt.Sprintf("%d %s", id.Type, id); err != nil || got != tc.want {
			t.Errorf("%q: %s (%v), want %s", tc.text, got, err, tc.want)
		}
	}
}

func TestIdentityEqual(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"gw.example.org", "GW.example.ORG", true},
		{"gw.example.org", "gw2.example.org", false},
		{"keyid:A", "keyid:a", false},
		{"192.0.2.1", "192.0.2.1", true},
		{"a@example.org", "fqdn:a@example.org", false},
	} {
		a, _ := ParseIdentity(tc.a)
		b, _ := ParseIdentity(tc.b)
		if a.Equal(b) != tc.want {
			t.Errorf("%s and %s: equal is %v", tc.a, tc.b, !tc.want)
		}
	}
}

func TestSecretFor(t *testing.T) {
	id := func(text string) Identity {
		i, err := ParseIdentity(text)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	secret := func(name string, ids ...string) Secret {
		s := Secret{Name: name, Key: []byte(name)}
		for _, i := range ids {
			s.IDs = append(s.IDs, id(i))
		}
		return s
	}
	for _, tc := range []struct {
		name    string
		secrets []Secret
		want    string // key, "" for none
	}{
		{"none", nil, ""},
		{"for others", []Secret{secret("other", "carol", "dave")}, ""},
		{"for anyone", []Secret{secret("any")}, "any"},
		{"the peer beats anyone", []Secret{secret("any"), secret("peer", "bob")}, "peer"},
		{"the peer beats this end", []Secret{secret("own", "alice"), secret("peer", "bob")}, "peer"},
		{"both beat the peer", []Secret{secret("peer", "bob"), secret("both", "alice", "bob")}, "both"},
		{"another peer's has this end too", []Secret{secret("carol", "alice", "carol"), secret("bob", "alice", "bob")}, "bob"},
		{"%any is weaker than a name", []Secret{secret("wild", "%any"), secret("peer", "bob")}, "peer"},
		{"for anyone beats a name for this end alone", []Secret{secret("own", "alice"), secret("any")}, "any"},
		{"the first of equals", []Secret{secret("first", "bob"), secret("second", "bob")}, "first"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &Machine{cfg: Config{Secrets: tc.secrets}}
			key, ok := m.secretFor(id("alice"), id("bob"))
			if string(key) != tc.want || ok != (tc.want != "") {
				t.Errorf("got %q (%v), want %q", key, ok, tc.want)
			}
		})
	}
}

// TestSchedule pins charon's default schedule: 165 s in all.
func TestSchedule(t *testing.T) {
	for _, tc := range []struct {
		name string
		r    Retransmit
		want string
	}{
		{"default", Retransmit{}, "4s 7.2s 12.96s 23.328s 41.9904s 1m15.58272s"},
		{"limit", Retransmit{Limit: 10 * time.Second}, "4s 7.2s 10s 10s 10s 10s"},
		{"steady", Retransmit{Timeout: time.Second, BaseMilli: 1000, Tries: 2}, "1s 1s 1s"},
		{"none", Retransmit{Tries: -1}, "4s"},
		{"an hour at most", Retransmit{Timeout: 30 * time.Minute, BaseMilli: 10000, Tries: 2}, "30m0s 1h0m0s 1h0m0s"},
	} {
		r := tc.r.defaults()
		var got []string
		for wait, i := r.first(), 0; i <= max(r.Tries, 0); i, wait = i+1, r.after(wait) {
			got = append(got, wait.String())
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, strings.Join(got, " "), tc.want)
		}
	}
}

// TestLabelsNeverRepeat holds that a peer's SPI which comes back never gets an old
// label, even after the table has forgotten it.
func TestLabelsNeverRepeat(t *testing.T) {
	var p peerSPIs
	seen := map[string]bool{}
	again := wire.SPI{0xff}
	for i := range 2*peerSPIsMax + 7 {
		spi := wire.SPI{1, byte(i >> 16), byte(i >> 8), byte(i)}
		for _, s := range []wire.SPI{spi, again} {
			if s == again && i%1000 != 0 {
				continue
			}
			label := p.label(s)
			if seen[label] {
				t.Fatalf("the label %s comes twice", label)
			}
			seen[label] = true
		}
		if n := len(p.counts); n > peerSPIsMax {
			t.Fatalf("%d SPIs are kept, at most %d may be", n, peerSPIsMax)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tc := range []struct{ name, settings, want string }{
		{"no proposals", "proposals", "proposals is empty"},
		{"ESP for IKE", "proposals-of-esp", "is a proposal for ESP"},
		{"ports that differ", "remote-port 4500", "must both be"},
		{"a multicast peer", "remote_addrs 224.0.0.1", "cannot be an IKE peer"},
		{"a trap without peer", "remote_addrs any;start_action trap", "needs remote_addrs"},
		{"twins", "child net", "two children are named"},
		{"two connections", "connection ike", "two connections are named"},
		{"a shrinking schedule", "retransmit_base 900", "must be 1000 to 10000"},
		{"too many tries", "retransmit_tries 101", "at most 100"},
		{"a wait beyond an hour", "retransmit_timeout 2h", "at most 1h"},
		{"a negative limit", "retransmit_limit -1s", "above 0"},
		{"too many keyingtries", "keyingtries 1001", "must be 1 to 1000"},
		{"a negative dpd_delay", "dpd_delay -1s", "must be at least 100ms"},
		{"a keepalive that floods", "keep_alive 1ms", "must be at least 100ms"},
		{"an empty key", "empty-secret", "the key is empty"},
		{"no randomness", "no-random", "Config.Random is nil"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg, err := testConfig("a", "198.51.100.1", nil)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Random = func(string) io.Reader { return zeros{} }
			c := &cfg.Connections[0]
			for _, s := range strings.Split(tc.settings, ";") {
				switch s {
				case "proposals":
					c.Proposals = nil
				case "proposals-of-esp":
					c.Proposals = c.Children[0].ESPProposals
				case "remote-port 4500":
					c.LocalPort, c.RemotePort = 500, 4500
				case "empty-secret":
					cfg.Secrets[0].Key = nil
				case "no-random":
					cfg.Random = nil
				case "connection ike":
					cfg.Connections = append(cfg.Connections, *c)
				default:
					if err := set(&cfg, c, s); err != nil {
						t.Fatal(err)
					}
				}
			}
			if _, err = New(cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

// TestAnswerTo holds what an initiator accepts as the choice of one of its proposals.
func TestAnswerTo(t *testing.T) {
	offered, err := proposals(suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519-ecp256 aes128-sha256-prfsha256-ecp256")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(number uint8, text string) *wire.SA {
		p, err := proposals(suite.ProtocolIKE, text)
		if err != nil {
			t.Fatal(err)
		}
		return toWire(p, number, nil)
	}
	attribute := answer(1, "aes256gcm16-prfsha384-ecp256")
	attribute.Proposals[0].Transforms[0].Attributes = []wire.Attribute{{Type: 77, Short: true, Value: []byte{0, 1}}}
	for _, tc := range []struct {
		name   string
		answer *wire.SA
		want   string // "" for refused
	}{
		{"the first", answer(1, "aes256gcm16-prfsha384-ecp256"), "aes256gcm16-prfsha384-ecp256"},
		{"the second", answer(2, "aes128-sha256-prfsha256-ecp256"), "aes128-prfsha256-sha256-ecp256"},
		{"the wrong number", answer(1, "aes128-sha256-prfsha256-ecp256"), ""},
		{"a number that was not offered", answer(3, "aes256gcm16-prfsha384-ecp256"), ""},
		{"number 0", answer(0, "aes256gcm16-prfsha384-ecp256"), ""},
		{"two groups", answer(1, "aes256gcm16-prfsha384-x25519-ecp256"), ""},
		{"another key length", answer(1, "aes128gcm16-prfsha384-ecp256"), ""},
		{"two proposals", answer(1, "aes256gcm16-prfsha384-ecp256 aes256gcm16-prfsha384-x25519"), ""},
		{"an attribute that was not offered", attribute, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chosen, _, ok := answerTo(offered, tc.answer)
			if diff := cmp.Diff(tc.want, chosen.String()); ok != (tc.want != "") || ok && diff != "" {
				t.Errorf("got %q (%v), want %q", chosen, ok, tc.want)
			}
		})
	}
}

// TestSKRejects flips every octet of protected messages under every kind of cipher:
// none may pass, and all lengths of plaintext must come back.
func TestSKRejects(t *testing.T) {
	for _, text := range []string{"aes256gcm16-prfsha384-x25519", "aes128gcm8-prfsha256-x25519", "chacha20poly1305-prfsha512-x25519",
		"aes256-sha512-prfsha512-x25519", "aes128ctr-sha1-prfsha1-x25519"} {
		t.Run(text, func(t *testing.T) {
			chosen, err := suite.ParseProposal(suite.ProtocolIKE, text)
			if err != nil {
				t.Fatal(err)
			}
			m := &Machine{cfg: Config{Random: testStream}}
			ends := [2]*ikeSA{{initiator: true, label: "i"}, {label: "r"}}
			for _, sa := range ends {
				sa.conn = &connection{}
				sa.proposal, sa.spiI, sa.spiR = chosen, wire.SPI{1}, wire.SPI{2}
				sa.init.nonceI, sa.init.nonceR = make([]byte, 32), make([]byte, 32)
				if err := m.deriveKeys(sa, []byte("shared")); err != nil {
					t.Fatal(err)
				}
			}
			for size := range 40 {
				ps := []wire.Payload{&wire.Notify{Kind: wire.Cookie2, Data: make([]byte, size), SPI: []byte{}}}
				b, err := m.encode(ends[0], ends[0].header(wire.ExchangeInformational, 7, false), ps)
				if err != nil {
					t.Fatal(err)
				}
				got, err := openWhole(m, ends[1], b)
				if diff := cmp.Diff(ps, got); err != nil || diff != "" {
					t.Fatalf("%d octets (-sealed +opened, %v)\n%s", size, err, diff)
				}
				if size != 17 {
					continue
				}
				for i := range b {
					changed := append([]byte(nil), b...)
					changed[i] ^= 0x10
					if _, err := openWhole(m, ends[1], changed); err == nil {
						t.Errorf("octet %d of %d is changed, and the message passes", i, len(b))
					}
				}
				if _, err := openWhole(m, ends[0], b); err == nil {
					t.Error("an end opens what it sealed itself: both directions have one key")
				}
			}
		})
	}
}

func openWhole(m *Machine, sa *ikeSA, b []byte) ([]wire.Payload, error) {
	msg, err := wire.Parse(b)
	if err != nil {
		return nil, err
	}
	o, err := m.open(sa, b, msg)
	if err != nil {
		return nil, err
	}
	return o.parse()
}

// TestDeterminism holds that the same events give the same actions, octet for octet.
func TestDeterminism(t *testing.T) {
	run := func() string {
		s := &script{t: t, net: newTestnet()}
		return s.run("pair\n  start_action start\n  proposals aes256-sha256-prfsha256-x25519\n  esp_proposals aes128-sha256\n----\n\n"+
			"lose a->b 1\nstart a\nstart b\nadvance 60s\ndown a\nadvance 60s\n----\n") + fmt.Sprintf("%x", allOctets(s.net))
	}
	if diff := cmp.Diff(run(), run()); diff != "" {
		t.Errorf("two runs differ\n%s", diff)
	}
}

func allOctets(n *testnet) (out []byte) {
	for _, f := range n.sent {
		out = append(out, f.first...)
	}
	return out
}

// TestDescribeSA: a ladder shows which algorithms are offered and chosen, whatever
// a peer offers.
func TestDescribeSA(t *testing.T) {
	sa := func(ps ...wire.Proposal) *wire.SA { return &wire.SA{Proposals: ps} }
	own := func(protocol suite.Protocol, texts ...string) (ps []suite.Proposal) {
		for _, text := range texts {
			p, err := suite.ParseProposal(protocol, text)
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		return ps
	}
	const long = "aes256gcm16-aes128gcm16-prfsha512-prfsha384-prfsha256-x25519-ecp256-ecp384-ecp521-modp2048" // 88 octets
	for _, tc := range []struct {
		name string
		sa   *wire.SA
		want string
	}{
		{"IKE", toWire(own(suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519"), 1, nil), "SA[aes256gcm16-prfsha384-x25519]"},
		{"ESP", toWire(own(suite.ProtocolESP, "aes256gcm16-esn"), 1, espSPIBytes(256)), "SA[aes256gcm16-esn]"},
		{"several", toWire(own(suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519", "aes128-sha256-ecp256"), 1, nil),
			"SA[aes256gcm16-prfsha384-x25519 / aes128-sha256-prfsha256-ecp256]"},
		{"without a name", sa(wire.Proposal{Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
			{Type: wire.TransformENCR, ID: 3}, {Type: wire.TransformENCR, ID: 12, KeyBits: 64}, {Type: 200, ID: 7},
			{Type: wire.TransformENCR, ID: 20, KeyBits: 256, Attributes: []wire.Attribute{{Type: 15, Short: true, Value: []byte{0, 1}}}},
		}}), "SA[ENCR(3)-ENCR(12,64)-transform type 200(7)-aes256gcm16(attribute 15)]"},
		{"AH", sa(wire.Proposal{Protocol: wire.ProtocolAH, SPI: espSPIBytes(256), Transforms: []wire.Transform{{Type: wire.TransformINTEG, ID: 12}}}),
			"SA[AH:sha256]"},
		{"no transforms", sa(wire.Proposal{Protocol: wire.ProtocolIKE}), "SA[]"},
		{"more than fit", toWire(own(suite.ProtocolIKE, slices.Repeat([]string{long}, 5)...), 1, nil), "SA[" + long + " / " + long + "… and 3 more]"},
		{"one too long", toWire([]suite.Proposal{{Protocol: suite.ProtocolIKE, Transforms: slices.Repeat([]suite.Transform{{Type: suite.TransformKE, ID: 31}}, 60)}}, 1, nil),
			"SA[" + strings.Repeat("x25519-", 60)[:256] + "…]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := describe(wire.Header{}, []wire.Payload{tc.sa}, false)
			if diff := cmp.Diff([]string{tc.want}, e.Payloads); diff != "" {
				t.Error(diff)
			}
		})
	}
}
