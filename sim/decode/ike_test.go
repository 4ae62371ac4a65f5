package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// ikeProposals cover every way in which a message is sealed.
var ikeProposals = []string{
	"aes256gcm16-prfsha384-x25519", "aes128gcm8-prfsha256-x25519", "aes192gcm12-prfsha256-x25519",
	"chacha20poly1305-prfsha256-x25519", "aes128-sha1-prfsha1-x25519", "aes256-sha512-prfsha512-x25519", "aes192ctr-sha384-prfsha384-x25519",
}

// TestSealedMessages opens messages of every algorithm that is negotiated.
func TestSealedMessages(t *testing.T) {
	for _, algorithms := range ikeProposals {
		t.Run(algorithms, func(t *testing.T) {
			p := newPeers(t, algorithms)
			packets := append(p.init(),
				p.request(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), &wire.Auth{Method: wire.AuthSharedKey, Data: []byte{1}}),
				p.response(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example"), &wire.Notify{Kind: wire.NotifyType(16384)}),
				p.request(wire.ExchangeInformational, 2),
			)
			lines, d := decodePackets(t, tables(p.table(false), ""), packets...)
			var got []string
			for _, l := range lines {
				got = append(got, fmt.Sprint(l.Exchange, " ", l.Response, " ", l.MessageID, " ", chain(l), " ", l.ICV))
			}
			want := []string{
				"IKE_SA_INIT false 0 SA KE Nonce ", "IKE_SA_INIT true 0 SA KE Nonce ",
				"IKE_AUTH false 1 SK IDi AUTH ok", "IKE_AUTH true 1 SK IDr N(INITIAL_CONTACT) ok", "INFORMATIONAL false 2 SK ok",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if !d.Stats().Clean() || d.Stats().Decrypted != 3 {
				t.Errorf("stats %+v", d.Stats())
			}
		})
	}
}

// TestDamagedMessages: a changed octet is a wrong check value, whatever follows
// is read all the same, and nothing is learnt from the damaged message.
func TestDamagedMessages(t *testing.T) {
	for _, algorithms := range ikeProposals {
		t.Run(algorithms, func(t *testing.T) {
			p := newPeers(t, algorithms)
			damaged := p.request(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"))
			damaged[len(damaged)-1] ^= 1 // in the check value: the plaintext stays
			lines, d := decodePackets(t, tables(p.table(false), ""), damaged, p.request(wire.ExchangeInformational, 2))
			if lines[0].ICV != "bad" || !lines[0].decrypted() || chain(lines[0]) != "SK IDi" || lines[1].ICV != "ok" {
				t.Errorf("lines: %+v", lines)
			}
			if d.Stats().BadICV != 1 || d.Stats().Clean() {
				t.Errorf("stats %+v", d.Stats())
			}
			d.ike.sas.each(func(_ ikeID, sa *ikeSA) {
				if sa.idi != "" || sa.badICV != 1 {
					t.Errorf("learnt %q, %d bad", sa.idi, sa.badICV)
				}
			})
		})
	}
}

// TestWrongIKEKeys shows no plaintext, and blames the check value and not a payload
// that a wrong key makes up.
func TestWrongIKEKeys(t *testing.T) {
	for _, algorithms := range ikeProposals {
		p := newPeers(t, algorithms)
		packet := p.request(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example"), &wire.Auth{Method: wire.AuthSharedKey, Data: make([]byte, 32)})
		for _, key := range [][]byte{p.keys.Ei, p.keys.Er, p.keys.Ai, p.keys.Ar} {
			for i := range key {
				key[i] ^= 0x5a
			}
		}
		lines, d := decodePackets(t, tables(p.table(false), ""), packet)
		l := lines[0]
		if l.decrypted() || l.Inner != "" || l.ICV != "bad" || l.Error == nil {
			t.Fatalf("%s: %+v", algorithms, l)
		}
		at := l.Bytes - d.opt.Keys.ike[ikeID{p.spiI, p.spiR}][0].fromI.ICVBytes()
		if l.Error.Payload != "SK" || l.Error.Field != "ICV" || l.Error.Offset != at {
			t.Errorf("%s: %+v, want SK, octet %d, ICV", algorithms, *l.Error, at)
		}
	}
}

// TestSeveralKeys opens the messages of an SA that has new keys after a further
// key exchange (RFC 9370), also those that are sent again under the old ones.
func TestSeveralKeys(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	first := *p
	second := *p
	var err error
	if _, second.keys, err = suite.DeriveIKE(p.chosen, p.nr, p.ni, []byte("another secret"), p.spiI, p.spiR); err != nil {
		t.Fatal(err)
	}
	old := first.request(wire.ExchangeIKEIntermediate, 1, &wire.KE{Group: 31, Data: make([]byte, 32)})
	packets := append(p.init(), old, second.request(wire.ExchangeInformational, 2), old)
	packets = append(packets, child(t, &second, wire.ExchangeIKEAuth, 3, false, "aes128gcm16")...)
	lines, d := decodePackets(t, tables(first.table(true)+second.table(true), ""), packets...)
	for _, l := range lines[2:] {
		if l.ICV != "ok" || !l.decrypted() {
			t.Errorf("line: %+v %+v", l, l.Error)
		}
	}
	if !d.Stats().Clean() || d.Stats().Decrypted != 7 {
		t.Errorf("stats %+v", d.Stats())
	}
}

// TestMessageFragments puts SKF payloads together, out of order, with one twice
// and one damaged in between (RFC 7383).
func TestMessageFragments(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	payloads := []wire.Payload{fqdn(wire.PayloadIDi, "a.example"), &wire.Cert{Encoding: wire.CertRawPublicKey, Data: make([]byte, 700)}}
	whole, err := wire.AppendPayloads(nil, payloads)
	if err != nil {
		t.Fatal(err)
	}
	fragment := func(number uint16) []byte {
		const total = 3
		at := int(number-1) * 300
		first := wire.PayloadNone
		if number == 1 {
			first = wire.PayloadIDi
		}
		return ipv4(alice, bob, 17, udp(4500, 4500, marked(p.seal(wire.ExchangeIKEAuth, 1, false, first, whole[at:min(at+300, len(whole))], number, total))))
	}
	damaged := fragment(2)
	damaged[len(damaged)-1] ^= 1
	again := fragment(3)
	last := fragment(2)
	lines, d := decodePackets(t, tables(p.table(false), ""), again, sentAgain(again, 1), damaged, fragment(1), last, last)
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%d/%d %s %s %d", l.Fragment, l.Fragments, chain(l), l.ICV, l.Retransmission))
	}
	want := []string{"3/3 SKF ok 0", "3/3 SKF ok 1", "2/3 SKF bad 0", "1/3 SKF ok 0", "2/3 SKF IDi CERT ok 0", "2/3 SKF ok 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if last := lines[len(lines)-2]; last.Inner != fmt.Sprintf("%x", whole) {
		t.Errorf("put together: %s", last.Inner)
	}
	if len(d.ike.fragmented.entries) != 0 {
		t.Errorf("%d messages are kept", len(d.ike.fragmented.entries))
	}
}

// TestRetransmissions are told from copies of one message at another point, and
// from other messages under the same message ID.
func TestRetransmissions(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	first := p.request(wire.ExchangeInformational, 2)
	behind := bytes.Clone(first)
	behind[8]-- // behind a router
	other := p.request(wire.ExchangeInformational, 2, &wire.Notify{Kind: 16384})
	lines, d := decodePackets(t, tables(p.table(false), ""), first, sentAgain(first, 1), behind, sentAgain(behind, 1), other, sentAgain(first, 2))
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprint(l.Retransmission, " ", l.Elsewhere))
	}
	want := []string{"0 false", "1 false", "0 true", "1 true", "0 false", "2 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("retransmissions (-want +got):\n%s", diff)
	}
	rows, _ := d.Ladder()
	if len(rows) != 4 || rows[1].Retransmission != 1 || rows[1].ArrivedAt == rows[1].At || rows[3].Retransmission != 2 {
		t.Errorf("ladder: %+v", rows)
	}
}

// child makes an exchange for a CHILD SA and packets of it both ways.
func child(t *testing.T, p *peers, exchange wire.ExchangeType, id uint32, pfs bool, algorithms string) [][]byte {
	t.Helper()
	spiI, spiR := []byte{0xc0, 0, 0, byte(id)}, []byte{0xd0, 0, 0, byte(id)}
	offered, err := suite.ParseProposals(suite.ProtocolESP, algorithms)
	if err != nil {
		t.Fatal(err)
	}
	ni, nr := p.ni, p.nr
	request := []wire.Payload{proposal(t, wire.ProtocolESP, spiI, algorithms)}
	response := []wire.Payload{proposal(t, wire.ProtocolESP, spiR, algorithms)}
	if exchange == wire.ExchangeCreateChildSA {
		ni, nr = bytes.Repeat([]byte{0x44}, 32), bytes.Repeat([]byte{0x55}, 32)
		request, response = append(request, &wire.Nonce{Data: ni}), append(response, &wire.Nonce{Data: nr})
		if pfs {
			ke := &wire.KE{Group: suite.KEX25519, Data: make([]byte, 32)}
			request, response = append(request, ke), append(response, ke)
		}
	}
	prf, _ := p.chosen.Find(suite.TransformPRF)
	f, err := suite.NewPRF(prf.ID)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := suite.DeriveChild(f, p.keys.D, offered[0], ni, nr, nil)
	if err != nil {
		t.Fatal(err)
	}
	encr, _ := offered[0].Find(suite.TransformENCR)
	integ, _ := offered[0].Find(suite.TransformINTEG)
	esn, _ := offered[0].Find(suite.TransformESN)
	out := [][]byte{p.request(exchange, id, request...), p.response(exchange, id, response...)}
	for _, way := range []struct {
		src, dst     string
		spi          []byte
		encr, integK []byte
	}{{alice, bob, spiR, keys.EncrI, keys.IntegI}, {bob, alice, spiI, keys.EncrR, keys.IntegR}} {
		sa, err := esp.NewOutbound(esp.SAConfig{
			SPI: binary.BigEndian.Uint32(way.spi), Encr: encr, Integ: integ, EncrKey: way.encr, IntegKey: way.integK,
			IVKey: make([]byte, 16), ESN: esn.ID == suite.ESNYes,
		})
		if err != nil {
			t.Fatal(err)
		}
		packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, ipv4(way.src, way.dst, 17, udp(4500, 4500, packet)))
	}
	return out
}

// TestDerivedKeys opens ESP with nothing but the keys of the IKE SA and its
// SK_d: the first CHILD SA from IKE_AUTH, another from CREATE_CHILD_SA; not one
// that has a key exchange of its own.
func TestDerivedKeys(t *testing.T) {
	for _, algorithms := range []string{"aes128gcm16-noesn", "aes256gcm16-esn", "aes128-sha256-noesn", "aes256-sha512-esn", "chacha20poly1305-noesn", "aes192ctr-sha1-noesn"} {
		t.Run(algorithms, func(t *testing.T) {
			p := newPeers(t, "aes256gcm16-prfsha384-x25519")
			packets := append(p.init(), child(t, p, wire.ExchangeIKEAuth, 1, false, algorithms)...)
			packets = append(packets, child(t, p, wire.ExchangeCreateChildSA, 2, false, algorithms)...)
			packets = append(packets, child(t, p, wire.ExchangeCreateChildSA, 3, true, algorithms)...)
			count := func(withSKd bool) (opened int, summary string) {
				lines, d := decodePackets(t, tables(p.table(withSKd), ""), packets...)
				for _, l := range lines {
					if l.Kind == "esp" && l.decrypted() && l.ICV == "ok" {
						opened++
						if !strings.HasSuffix(l.Inner, fmt.Sprintf("%x", "inside")) {
							t.Errorf("frame %d has %s inside", l.Frame, l.Inner)
						}
					}
				}
				var b strings.Builder
				if err := d.Summary(&b, nil); err != nil {
					t.Fatal(err)
				}
				return opened, b.String()
			}
			opened, summary := count(true)
			if opened != 4 || strings.Count(summary, "derived from SK_d") != 2 || strings.Count(summary, "PFS") != 1 {
				t.Errorf("opened %d packets, want 4:\n%s", opened, summary)
			}
			opened, summary = count(false)
			if opened != 0 || strings.Count(summary, "the table has no SK_d") != 3 {
				t.Errorf("opened %d packets without SK_d:\n%s", opened, summary)
			}
		})
	}
}

// TestNetworkTextIsQuoted: what a peer sends can neither end a line, nor move the
// cursor, nor imitate what decode prints.
func TestNetworkTextIsQuoted(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	const evil = "x\x1b[2J\n     9  0.0  AUTH(PSK); icv ok\u202e"
	packet := p.request(wire.ExchangeIKEAuth, 1,
		fqdn(wire.PayloadIDi, evil), &wire.ID{Kind: wire.PayloadIDr, IDType: wire.IDTypeKeyID, Data: []byte(evil)},
		&wire.VendorID{Data: []byte(evil)}, &wire.VendorID{Data: []byte("a) AUTH(PSK")},
		&wire.CP{Kind: wire.ConfigReply, Attributes: []wire.ConfigAttribute{{Type: wire.ConfigApplicationVersion, Value: []byte("v1) N(EVIL")}}},
		&wire.EAP{Code: wire.EAPResponse, Identifier: 1, Data: append([]byte{1}, "me) SA("...)},
	)
	var shown string
	r, err := NewReader(bytes.NewReader(pcapOf(t, 101, packet)))
	if err != nil {
		t.Fatal(err)
	}
	var text Text
	d := NewDecoder(Options{Keys: loadKeys(t, tables(p.table(false), ""))}, func(r *Record) error {
		shown += string(text.Append(nil, r))
		return nil
	})
	if err := d.Run(r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`V("a) AUTH(PSK")`, `APPLICATION_VERSION="v1) N(EVIL"`, `EAP(Response Identity "me) SA(")`} {
		if !strings.Contains(shown, want) {
			t.Errorf("the line lacks %s:\n%s", want, shown)
		}
	}
	if strings.Count(shown, "\n") != 1 || strings.ContainsAny(shown, "\x1b\u202e") {
		t.Errorf("not quoted: %q", shown)
	}
}

// TestMalformedMessages names payload and offset, and what of the chain there is.
func TestMalformedMessages(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	good := p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}, &wire.Notify{Kind: 16388, Data: make([]byte, 20)}, &wire.VendorID{Data: []byte("v")})
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	for _, c := range []struct {
		name    string
		message []byte
		chain   string
		payload string
		offset  int
	}{
		{"a short header", good[:27], "", "IKE message", 27},
		{"a wrong length", with(func(b []byte) { b[27]++ }), "Nonce N(NAT_DETECTION_SOURCE_IP) V", "IKE message", 24},
		{"a nonce too short", with(func(b []byte) { b[31] = 10 }), "Nonce N", "Nonce", 32},
		{"a payload behind the end", with(func(b []byte) { b[28+36+2] = 0xff }), "Nonce N", "N", 28 + 36 + 2},
		{"an unknown critical payload", with(func(b []byte) { b[28] = 99; b[28+36+1] = 0x80 }), "Nonce payload 99 V", "payload 99", 64},
		{"a third version", with(func(b []byte) { b[17] = 0x30 }), "", "IKE message", 17},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodePackets(t, nil, ipv4(alice, bob, 17, udp(500, 500, c.message)), ipv4(alice, bob, 17, udp(500, 500, good)))
			l := lines[0]
			if l.Kind != "ike" || chain(l) != c.chain || l.Error == nil || l.Error.Payload != c.payload || l.Error.Offset != c.offset {
				t.Errorf("line: %+v, error %+v", l, l.Error)
			}
			if lines[1].Error != nil || d.Stats().Malformed != 1 {
				t.Errorf("the next line: %+v", lines[1])
			}
		})
	}
	t.Run("cut by the capture", func(t *testing.T) {
		packet := ipv4(alice, bob, 17, udp(500, 500, good))
		r := bytes.NewReader(pcapOf(t, 101, packet[:len(packet)-10]))
		raw := make([]byte, r.Size())
		_, _ = r.Read(raw)
		binary.LittleEndian.PutUint32(raw[24+12:], uint32(len(packet))) // the frame's length on its link
		lines, _ := decodeBytes(t, raw, nil)
		if l := lines[0]; l.Error == nil || !strings.Contains(l.Error.Reason, "10 of its") || chain(l) != "Nonce N" {
			t.Errorf("line: %+v %+v", l, l.Error)
		}
	})
}

// TestOtherPorts: IKE is found on any UDP port where header and length fit, with
// the non-ESP marker or without, and nothing else is taken for it.
func TestOtherPorts(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	message := p.message(wire.ExchangeInformational, 7, false, &wire.Nonce{Data: p.ni})
	for _, c := range []struct {
		name    string
		packet  []byte
		kind    string
		note    string
		isError bool
	}{
		{"IKE", udp(4000, 4001, message), "ike", "", false},
		{"IKE behind a marker", udp(4000, 4001, marked(message)), "ike", "", false},
		{"a marker on port 500", udp(500, 500, marked(message)), "ike", "non-ESP marker on port 500", false},
		{"IKE behind a translator", udp(61234, 4500, marked(message)), "ike", "", false},
		{"a length that does not fit", udp(4000, 4001, message[:len(message)-1]), "other", "UDP", false},
		{"something else", udp(53, 4001, make([]byte, 64)), "other", "UDP", false},
		{"a keepalive", udp(4500, 4500, []byte{0xff}), "other", "NAT-keepalive", false},
		{"nothing on 4500", udp(4500, 4500, nil), "other", "UDP without payload", false},
		{"three octets on 4500", udp(4500, 4500, []byte{1, 2, 3}), "other", "", true},
		{"half a UDP header", udp(500, 500, nil)[:7], "other", "", true},
		{"a UDP length beyond the packet", append([]byte{1, 244, 1, 244, 0, 99, 0, 0}, message...), "other", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, _ := decodePackets(t, nil, ipv4(alice, bob, 17, c.packet))
			if l := lines[0]; len(lines) != 1 || l.Kind != c.kind || l.Note != c.note || (l.Error != nil) != c.isError {
				t.Errorf("line: %+v %+v", l, l.Error)
			}
		})
	}
}

// TestEndpoint writes ends as people do.
func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		addr string
		port uint16
		want string
	}{{"192.0.2.1", 0, "192.0.2.1"}, {"192.0.2.1", 500, "192.0.2.1:500"}, {"2001:db8::1", 4500, "[2001:db8::1]:4500"}} {
		r := Record{Src: netip.MustParseAddr(c.addr), SrcPort: c.port, HasPorts: c.port > 0}
		if got := string(appendEnd(nil, &r, true)); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
