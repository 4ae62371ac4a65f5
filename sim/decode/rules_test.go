package decode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ikelab/ikelab/ike/wire"
)

// at is a frame at an instant, of which only some octets may have been captured.
type at struct {
	after time.Duration
	data  []byte
	whole int // octets on the link, len(data) if it is 0
}

// pcapAt is a pcap file of frames at their instants.
func pcapAt(t testing.TB, link layers.LinkType, frames ...at) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriterNanos(&out)
	if err := w.WriteFileHeader(1<<18, link); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: start.Add(f.after), CaptureLength: len(f.data), Length: max(f.whole, len(f.data))}
		if err := w.WritePacket(info, f.data); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// objects are the JSON lines of a capture as they are, so that a field that is
// absent can be told from one that is 0.
func objects(t testing.TB, file []byte) []map[string]any {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	d := NewDecoder(Options{}, func(r *Record) error {
		var object map[string]any
		if err := json.Unmarshal(AppendJSON(nil, r), &object); err != nil {
			t.Fatal(err)
		}
		out = append(out, object)
		return nil
	})
	if err := d.Run(r); err != nil {
		t.Fatal(err)
	}
	return out
}

// pick is an object with some of its fields.
func pick(object map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if v, ok := object[name]; ok {
			out[name] = v
		}
	}
	return out
}

// TestZeroIsAValue: a field whose value is 0 or false is there.
func TestZeroIsAValue(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	ah := append([]byte{0, 4, 0, 0, 0, 0, 0x30, 1, 0, 0, 0, 0}, make([]byte, 12)...)
	esp := append([]byte{0, 0, 0x10, 0, 0, 0, 0, 0}, make([]byte, 24)...)
	v1 := p.message(wire.ExchangeInformational, 0, false)
	v1[17], v1[18] = 0x10, 0
	got := objects(t, pcapOf(t, layers.LinkTypeRaw,
		ipv4(alice, bob, 51, ah), sentAgain(ipv4(alice, bob, 51, append([]byte{0, 4, 0, 0, 0, 0, 0x30, 1, 0, 0, 0, 1}, make([]byte, 12)...)), 1),
		ipv4(alice, bob, 50, esp), p.init()[0], ipv4(alice, bob, 17, udp(500, 500, v1)), ipv4(alice, bob, 17, udp(0, 0, []byte{1}))))
	for i, want := range []map[string]any{
		{"interface": 0.0, "layer": 0.0, "ip_fragments": 0.0, "spi": "00003001", "seq": 0.0, "next_header": 0.0, "replay": false, "duplicate": false, "elsewhere": false},
		{"spi": "00003001", "seq": 1.0, "next_header": 0.0, "replay": false, "gap": 0.0, "late": 0.0},
		{"spi": "00001000", "seq": 0.0, "replay": false, "decrypted": false},
		{"message_id": 0.0, "retransmission": 0.0, "duplicate": false, "elsewhere": false, "response": false, "remarks": []any{}},
		{"exchange": "NONE", "exchange_number": 0.0, "message_id": 0.0, "retransmission": 0.0},
		{"sport": 0.0, "dport": 0.0},
	} {
		var names []string
		for name := range want {
			names = append(names, name)
		}
		if diff := cmp.Diff(want, pick(got[i], names...)); diff != "" {
			t.Errorf("frame %d (-want +got):\n%s", i+1, diff)
		}
	}
	for _, name := range []string{"gap", "late"} {
		if v, ok := got[0][name]; ok {
			t.Errorf("the first packet of an SA has %s %v, and nothing was before it", name, v)
		}
	}
}

// TestSPIZero: neither ESP nor AH is ever sent with SPI 0 (RFC 4303 §2.1, RFC 4302
// §2.4), and what was seen is told all the same.
func TestSPIZero(t *testing.T) {
	ah := append([]byte{1, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 20)...)
	got := objects(t, pcapOf(t, layers.LinkTypeRaw, ipv4(alice, bob, 51, ah), sentAgain(ipv4(alice, bob, 51, ah), 1), ipv4(alice, bob, 50, make([]byte, 32))))
	for i, want := range []map[string]any{
		{"spi": "00000000", "seq": 0.0, "next_header": 1.0, "replay": false}, {"spi": "00000000", "seq": 0.0, "next_header": 1.0, "replay": true},
		{"spi": "00000000", "seq": 0.0, "replay": false},
	} {
		if diff := cmp.Diff(want, pick(got[i], "spi", "seq", "next_header", "replay")); diff != "" {
			t.Errorf("frame %d (-want +got):\n%s", i+1, diff)
		}
		if e, ok := got[i]["error"].(map[string]any); !ok || e["field"] != "SPI" {
			t.Errorf("frame %d: error %v", i+1, got[i]["error"])
		}
	}
}

// TestSequenceZero: an SA begins with 1, in ESP and AH (RFC 4303 §3.3.3, RFC 4302
// §3.3.2). That is remarked on once, is not malformed, and is no remark where 0 may
// be the lower half of an extended number.
func TestSequenceZero(t *testing.T) {
	esp := func(seq uint32) []byte {
		return ipv4(alice, bob, 50, binary.BigEndian.AppendUint32([]byte{0, 0, 0x10, 0}, seq)[:8:8])
	}
	pad := func(packet []byte) []byte {
		return ipv4(alice, bob, packet[9], append(packet[20:], make([]byte, 64)...))
	}
	ah := ipv4(alice, bob, 51, []byte{17, 4, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0})
	_, row := outbound(t, 0x1000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
	row = strings.TrimSpace(row)
	const says = "the first packet has the sequence number 0, an SA begins with 1 (RFC 430"
	for _, c := range []struct {
		name, row string
		packets   [][]byte
		want      []string
	}{
		{"ESP", "", [][]byte{pad(esp(0)), sentAgain(pad(esp(0)), 1), pad(esp(1))}, []string{says + "3 §3.3.3), unless extended sequence numbers are in use", "", ""}},
		{"AH", "", [][]byte{pad(ah), sentAgain(pad(ah), 1)}, []string{says + "2 §3.3.2), unless extended sequence numbers are in use", ""}},
		{"not the first", "", [][]byte{pad(esp(1)), pad(esp(0))}, []string{"", ""}},
		{"behind a wrap", "", [][]byte{pad(esp(0xffffffff)), pad(esp(0))}, []string{"", ""}},
		{"32 bits, as a table says", row + `,"32-bit"` + "\n", [][]byte{pad(esp(0))}, []string{says + "3 §3.3.3)"}},
		{"64 bits, as a table says", row + `,"64-bit"` + "\n", [][]byte{pad(esp(0))}, []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var keys fstest.MapFS
			if c.row != "" {
				keys = tables("", c.row)
			}
			lines, d := decodePackets(t, keys, c.packets...)
			var got []string
			for _, l := range lines {
				if l.Kind == "other" {
					continue
				}
				got = append(got, strings.Join(l.Remarks, "; "))
			}
			if diff := cmp.Diff(c.want, got); diff != "" || d.Stats().Malformed > 0 && c.row == "" {
				t.Errorf("%+v (-want +got):\n%s", d.Stats(), diff)
			}
			text, _ := shown(t, nil, c.packets...)
			if c.row == "" && strings.Contains(text[0], "  REMARK "+says) != (c.want[0] != "") {
				t.Errorf("the line: %s", text[0])
			}
		})
	}
}

// TestCutPackets: of a packet that was cut there is what was captured, and nothing
// else.
func TestCutPackets(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	esp := ipv4(alice, bob, 50, append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 7}, make([]byte, 64)...))
	ah := ipv4(alice, bob, 51, append([]byte{17, 4, 0, 0, 0xc0, 0xde, 0, 2, 0, 0, 0, 9}, make([]byte, 20)...))
	encapsulated := ipv4(alice, bob, 17, udp(4500, 4500, append([]byte{0xc0, 0xde, 0, 3, 0, 0, 0, 8}, make([]byte, 64)...)))
	message := p.init()[1]
	fields := []string{"kind", "spi", "seq", "next_header", "icv", "replay", "sport", "initiator_spi", "responder_spi", "version", "exchange", "response", "message_id", "payloads", "bytes"}
	for _, c := range []struct {
		name     string
		packet   []byte
		captured int
		want     map[string]any
	}{
		{"ESP behind the SPI", esp, 24, map[string]any{"kind": "esp", "spi": "c0de0001", "bytes": 72.0}},
		{"ESP within the SPI", esp, 23, map[string]any{"kind": "esp", "bytes": 72.0}},
		{"ESP behind the sequence number", esp, 28, map[string]any{"kind": "esp", "spi": "c0de0001", "seq": 7.0, "icv": "unchecked", "replay": false, "bytes": 72.0}},
		{"AH behind the SPI", ah, 28, map[string]any{"kind": "ah", "spi": "c0de0002", "next_header": 17.0, "bytes": 32.0}},
		{"AH within the SPI", ah, 27, map[string]any{"kind": "ah", "next_header": 17.0, "bytes": 32.0}},
		{"AH within the check value", ah, 36, map[string]any{"kind": "ah", "spi": "c0de0002", "seq": 9.0, "next_header": 17.0, "icv": "unchecked", "replay": false, "bytes": 32.0}},
		{"ESP in UDP behind the SPI", encapsulated, 32, map[string]any{"kind": "esp", "spi": "c0de0003", "sport": 4500.0, "bytes": 72.0}},
		{"UDP before ESP and IKE can be told apart", encapsulated, 31, map[string]any{"kind": "other", "sport": 4500.0, "bytes": 100.0}},
		{"UDP behind the ports", encapsulated, 24, map[string]any{"kind": "other", "sport": 4500.0, "bytes": 100.0}},
		{"UDP within the ports", encapsulated, 23, map[string]any{"kind": "other", "bytes": 100.0}},
		{"IKE behind the first SPI", message, 36, map[string]any{"kind": "ike", "sport": 500.0, "initiator_spi": "0102030405060708", "bytes": float64(len(message) - 28)}},
		{"IKE behind the flags", message, 48, map[string]any{"kind": "ike", "sport": 500.0, "initiator_spi": "0102030405060708", "responder_spi": "090a0b0c0d0e0f10", "version": "2.0", "exchange": "IKE_SA_INIT", "response": true, "bytes": float64(len(message) - 28)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := objects(t, pcapAt(t, layers.LinkTypeRaw, at{0, c.packet[:c.captured], len(c.packet)}))
			if diff := cmp.Diff(c.want, pick(got[0], fields...)); diff != "" || len(got) != 1 {
				t.Errorf("%d lines (-want +got):\n%s", len(got), diff)
			}
		})
	}
}

// TestESPLengths: Pad Length and Next Header are always there and end at a
// multiple of 4 octets (RFC 4303 §2, §2.4), bare and in UDP.
func TestESPLengths(t *testing.T) {
	for n := 8; n <= 41; n++ {
		packet := append([]byte{0, 0, 0x10, 0, 0, 0, 0, byte(n)}, make([]byte, n-8)...)
		for _, whole := range [][]byte{ipv4(alice, bob, 50, packet), ipv6("2001:db8::1", "2001:db8::2", 50, packet), ipv4(alice, bob, 17, udp(4500, 4500, packet))} {
			lines, d := decodePackets(t, nil, whole)
			want := n < 12 || n%4 != 0
			if got := lines[0].Error != nil; got != want || d.Stats().Clean() == want || lines[0].SPI != "00001000" || lines[0].Seq != uint64(n) {
				t.Errorf("%d octets: malformed %t, want %t: %+v", n, got, want, lines[0])
			}
		}
	}
}

// TestTFCPadding: what lies behind the end that the inner packet says is traffic
// flow confidentiality padding (RFC 4303 §2.7) and no part of it.
func TestTFCPadding(t *testing.T) {
	inner4 := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside")))
	inner6 := ipv6("2001:db8:1::1", "2001:db8:2::1", 17, udp(1, 2, []byte("inside")))
	for _, c := range []struct {
		name    string
		next    uint8
		inner   []byte
		padding int
	}{
		{"IPv4", 4, inner4, 100}, {"IPv4 without", 4, inner4, 0}, {"IPv6", 41, inner6, 7}, {"UDP in transport mode", 17, udp(1, 2, []byte("inside")), 31},
		{"TCP has no length of its own", 6, make([]byte, 40), 0}, {"an inner packet that was cut", 4, inner4[:30], 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sa, row := outbound(t, 0x1000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
			seq, err := sa.Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			packet, err := sa.Seal(nil, seq, append(bytes.Clone(c.inner), make([]byte, c.padding)...), c.next)
			if err != nil {
				t.Fatal(err)
			}
			lines, _ := decodePackets(t, tables("", row), ipv4(alice, bob, 50, packet))
			if l := lines[0]; l.ICV != "ok" || l.Inner != fmt.Sprintf("%x", c.inner) || l.TFC != c.padding {
				t.Errorf("%d octets of padding and %s inside, want %d and %x", l.TFC, l.Inner, c.padding, c.inner)
			}
		})
	}
}

// TestGaps marks each packet that leaves numbers out, and each that comes late, in
// ESP and AH, and at each point for itself.
func TestGaps(t *testing.T) {
	esp := func(seq uint32) []byte {
		b := append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 0}, make([]byte, 24)...)
		binary.BigEndian.PutUint32(b[4:], seq)
		return ipv4(alice, bob, 50, b)
	}
	ah := func(seq uint32) []byte {
		b := append([]byte{17, 4, 0, 0, 0xc0, 0xde, 0, 1, 0, 0, 0, 0}, make([]byte, 24)...)
		binary.BigEndian.PutUint32(b[8:], seq)
		return ipv4(alice, bob, 51, b)
	}
	for name, packet := range map[string]func(uint32) []byte{"ESP": esp, "AH": ah} {
		var packets [][]byte
		for i, seq := range []uint32{1, 2, 9, 5, 10, 10, 5, 4000, 3000, 3999} {
			packets = append(packets, sentAgain(packet(seq), uint16(i+1)))
		}
		lines, _ := decodePackets(t, nil, packets...)
		var got []string
		for _, l := range lines {
			got = append(got, fmt.Sprintf("#%d gap %d late %d replay %t", l.Seq, l.Gap, l.Late, l.Replay))
		}
		want := []string{
			"#1 gap 0 late 0 replay false", "#2 gap 0 late 0 replay false", "#9 gap 6 late 0 replay false", "#5 gap 0 late 4 replay false",
			"#10 gap 0 late 0 replay false", "#10 gap 0 late 0 replay true", "#5 gap 0 late 5 replay true", "#4000 gap 3989 late 0 replay false",
			"#3000 gap 0 late 1000 replay false", "#3999 gap 0 late 1 replay false",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		text, _ := shown(t, nil, packets...)
		for i, mark := range map[int]string{2: "#9  [6 missing before it]", 3: "#5  [late, 4 behind]", 5: "#10  [replay]", 8: "#3000  [late, 1000 behind]"} {
			if !strings.Contains(text[i], mark) {
				t.Errorf("%s: the line lacks %q: %s", name, mark, text[i])
			}
		}
		if strings.Contains(text[1]+text[4]+text[9], "missing") {
			t.Errorf("%s: a packet that leaves nothing out is marked: %s", name, text)
		}
	}
}

// TestWrap: without a check value that says it, a number that falls by more than
// half of all numbers has another upper half (RFC 4303 §2.2.1, appendix A2), at all
// points and over reordering. A smaller fall is a late packet.
func TestWrap(t *testing.T) {
	esp := func(seq uint32) []byte {
		b := append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 0}, make([]byte, 24)...)
		binary.BigEndian.PutUint32(b[4:], seq)
		return ipv4(alice, bob, 50, b)
	}
	ah := func(seq uint32) []byte {
		b := append([]byte{17, 4, 0, 0, 0xc0, 0xde, 0, 1, 0, 0, 0, 0}, make([]byte, 24)...)
		binary.BigEndian.PutUint32(b[8:], seq)
		return ipv4(alice, bob, 51, b)
	}
	wrapping := []uint32{0xfffffffe, 0, 0xffffffff, 1, 1, 3}
	for name, packet := range map[string]func(uint32) []byte{"ESP": esp, "AH": ah} {
		var packets [][]byte
		for i, seq := range wrapping {
			packets = append(packets, sentAgain(packet(seq), uint16(i+1)))
		}
		behind := sentAgain(packet(3), 6) // only there
		behind[8]--
		packets = append(packets, behind)
		lines, _ := decodePackets(t, nil, packets...)
		var got []string
		for _, l := range lines {
			got = append(got, fmt.Sprintf("#%d gap %d late %d replay %t wraps %t elsewhere %t", l.Seq, l.Gap, l.Late, l.Replay, strings.Contains(l.Note, "the number wrapped: extended sequence numbers are in use (RFC 4303 §2.2.1)"), l.Elsewhere))
		}
		want := []string{
			"#4294967294 gap 0 late 0 replay false wraps false elsewhere false", "#4294967296 gap 1 late 0 replay false wraps true elsewhere false",
			"#4294967295 gap 0 late 1 replay false wraps false elsewhere false", "#4294967297 gap 0 late 0 replay false wraps false elsewhere false",
			"#4294967297 gap 0 late 0 replay true wraps false elsewhere false", "#4294967299 gap 1 late 0 replay false wraps false elsewhere false",
			"#4294967299 gap 0 late 0 replay false wraps false elsewhere true",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		text, summary := shown(t, nil, packets...)
		if want := "sequence 4294967294 to 4294967299, 1 missing; 1 replay"; !strings.Contains(summary, want) || !strings.Contains(summary, ", esn as its numbers wrap\n") || !strings.Contains(text[1], "the number wrapped") {
			t.Errorf("%s: the summary lacks %q, or esn:\n%s\n%s", name, want, text[1], summary)
		}
	}
	lines, _ := decodePackets(t, nil, esp(1<<31+1), esp(1))
	if l := lines[1]; l.Seq != 1 || l.Late != 1<<31 || l.Note != "" {
		t.Errorf("a fall of half of all numbers: %+v", l)
	}
	_, row := outbound(t, 0xc0de0001, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
	lines, _ = decodePackets(t, tables("", strings.TrimSpace(row)+`,"32-bit"`+"\n"), esp(0xffffffff), esp(0))
	if l := lines[1]; l.Seq != 0 || l.Late != 0xffffffff || l.Note != "" {
		t.Errorf("32 bits, as a table says: %+v", l)
	}
}

// TestCapturedTwice: the very same packet at the same point within moments was sent
// once; with another IP identification, or later, it was sent again.
func TestCapturedTwice(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	esp := append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 1}, make([]byte, 24)...)
	six := func(packet []byte) []byte { return ipv6("2001:db8::1", "2001:db8::2", packet[9], packet[20:]) }
	const us, ms = time.Microsecond, time.Millisecond
	for _, c := range []struct {
		name      string
		packet    []byte
		again     []byte
		after     time.Duration
		duplicate bool
	}{
		{"IKE", sentAgain(p.init()[0], 7), sentAgain(p.init()[0], 7), 3 * us, true},
		{"IKE on a slow mirror port", sentAgain(p.init()[0], 7), sentAgain(p.init()[0], 7), 50 * ms, true},
		{"IKE, sent again", sentAgain(p.init()[0], 7), sentAgain(p.init()[0], 8), 3 * us, false},
		{"IKE, sent again by a host without identifications", p.init()[0], p.init()[0], 500 * ms, false},
		{"IKE, later under the same identification", sentAgain(p.init()[0], 7), sentAgain(p.init()[0], 7), 2 * time.Second, false},
		{"IKE in IPv6", six(p.init()[0]), six(p.init()[0]), 3 * us, true},
		{"IKE in IPv6, sent again", six(p.init()[0]), six(p.init()[0]), 500 * ms, false},
		{"ESP", sentAgain(ipv4(alice, bob, 50, esp), 7), sentAgain(ipv4(alice, bob, 50, esp), 7), 3 * us, true},
		{"ESP in UDP", sentAgain(ipv4(alice, bob, 17, udp(4500, 4500, esp)), 7), sentAgain(ipv4(alice, bob, 17, udp(4500, 4500, esp)), 7), 3 * us, true},
		{"ESP, replayed", sentAgain(ipv4(alice, bob, 50, esp), 7), sentAgain(ipv4(alice, bob, 50, esp), 9), 3 * us, false},
		{"ESP, other octets under the same number", sentAgain(ipv4(alice, bob, 50, esp), 7), sentAgain(ipv4(alice, bob, 50, append(bytes.Clone(esp[:28]), 1, 1, 1, 1)), 7), 3 * us, false},
		{"ESP in IPv6", six(ipv4(alice, bob, 50, esp)), six(ipv4(alice, bob, 50, esp)), 3 * us, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodeBytes(t, pcapAt(t, layers.LinkTypeRaw, at{0, c.packet, 0}, at{c.after, c.again, 0}), nil)
			l := lines[1]
			if again := l.Retransmission > 0 || l.Replay; l.Duplicate != c.duplicate || again == c.duplicate {
				t.Errorf("duplicate %t, want %t; retransmission %d, replay %t", l.Duplicate, c.duplicate, l.Retransmission, l.Replay)
			}
			rows, _ := d.Ladder()
			if want := map[bool]int{true: 1, false: 2}[c.duplicate]; l.Kind == "ike" && len(rows) != want {
				t.Errorf("%d rungs, want %d", len(rows), want)
			}
			var b strings.Builder
			if err := d.Summary(&b, nil); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "; captured twice 1") != c.duplicate {
				t.Errorf("the summary:\n%s", b.String())
			}
		})
	}
}

// TestFragmentsCapturedTwice: doubled fragments neither make the message a
// retransmission nor leave a datagram behind that seems to lack fragments.
func TestFragmentsCapturedTwice(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	message := ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}, &wire.VendorID{Data: make([]byte, 200)})))
	var frames []at
	for i, f := range cut(message, 104) {
		frames = append(frames, at{time.Duration(2*i) * time.Microsecond, f, 0}, at{time.Duration(2*i+1) * time.Microsecond, f, 0})
	}
	lines, d := decodeBytes(t, pcapAt(t, layers.LinkTypeRaw, frames...), nil)
	ike, twice := 0, 0
	for _, l := range lines {
		if l.Kind == "ike" {
			ike++
		}
		if l.Duplicate {
			twice++
		}
	}
	var b strings.Builder
	if err := d.Summary(&b, nil); err != nil {
		t.Fatal(err)
	}
	if ike != 1 || twice != len(frames)/2 || strings.Contains(b.String(), "without all fragments") {
		t.Errorf("%d messages, %d of %d frames are duplicates:\n%s", ike, twice, len(frames), b.String())
	}
}

// TestEvictedFragments: datagrams that make room for others before they are
// complete are counted, apart from those that still wait.
func TestEvictedFragments(t *testing.T) {
	var frames [][]byte
	for i := range datagramsMax + 5 {
		f := cut(ipv4(alice, bob, 17, make([]byte, 100)), 64)[0]
		frames = append(frames, sentAgain(f, uint16(i+1)))
	}
	_, d := decodePackets(t, nil, frames...)
	var b strings.Builder
	if err := d.Summary(&b, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("%d IP datagrams without all fragments\n", datagramsMax), "5 IP datagrams forgotten before all fragments came\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the summary lacks %q:\n%s", want, b.String())
		}
	}
}
