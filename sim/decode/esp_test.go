package decode

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/suite"
)

// outbound is an SA with made-up keys and its row of the table.
func outbound(t testing.TB, spi uint32, keywords, encryption, integrity string, more string) (*esp.Outbound, string) {
	t.Helper()
	parsed, err := suite.ParseProposals(suite.ProtocolESP, keywords)
	if err != nil {
		t.Fatal(err)
	}
	encr, _ := parsed[0].Find(suite.TransformENCR)
	integ, _ := parsed[0].Find(suite.TransformINTEG)
	esn, _ := parsed[0].Find(suite.TransformESN)
	e, i, ok := suite.RecordedKeyBytes(encr, integ)
	if !ok {
		t.Fatalf("no key lengths of %s", keywords)
	}
	c := esp.SAConfig{
		SPI: spi, Encr: encr, Integ: integ, EncrKey: bytes.Repeat([]byte{0x61}, e), IntegKey: bytes.Repeat([]byte{0x62}, i),
		IVKey: make([]byte, 16), ESN: esn.ID == suite.ESNYes,
	}
	sa, err := esp.NewOutbound(c)
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	if i > 0 {
		key = fmt.Sprintf("0x%x", c.IntegKey)
	}
	return sa, fmt.Sprintf("\"IPv4\",\"%s\",\"*\",\"0x%08x\",%q,\"0x%x\",%q,%q%s\n", alice, spi, encryption, c.EncrKey, integrity, key, more)
}

// TestESPAlgorithms opens packets of every algorithm of Wireshark's table that
// negotiation knows, with 32-bit and, without being told, with 64-bit numbers.
func TestESPAlgorithms(t *testing.T) {
	inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside")))
	for _, c := range []struct{ keywords, encryption, integrity string }{
		{"aes128gcm8", "AES-GCM with 8 octet ICV [RFC4106]", "NULL"},
		{"aes192gcm12", "AES-GCM with 12 octet ICV [RFC4106]", "NULL"},
		{"aes256gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL"},
		{"aes128gcm16", "AES-GCM [RFC4106]", "ANY 128 bit authentication [no checking]"},
		{"aes128gcm8", "AES-GCM [RFC4106]", "ANY 64 bit authentication [no checking]"},
		{"chacha20poly1305", "chacha20poly1305", "NULL"},
		{"aes128-sha1", "AES-CBC [RFC3602]", "HMAC-SHA-1-96 [RFC2404]"},
		{"aes192-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"},
		{"aes256-sha384", "AES-CBC [RFC3602]", "HMAC-SHA-384-192 [RFC4868]"},
		{"aes256-sha512", "AES-CBC [RFC3602]", "HMAC-SHA-512-256 [RFC4868]"},
		{"aes256ctr-sha256", "AES-CTR [RFC3686]", "HMAC-SHA-256-128 [RFC4868]"},
	} {
		for _, esn := range []string{"-noesn", "-esn"} {
			t.Run(c.keywords+esn, func(t *testing.T) {
				sa, row := outbound(t, 0x1000, c.keywords+esn, c.encryption, c.integrity, "")
				var packets [][]byte
				for range 3 {
					packet, err := seal(sa, inner)
					if err != nil {
						t.Fatal(err)
					}
					packets = append(packets, ipv4(alice, bob, 50, packet))
				}
				damaged := bytes.Clone(packets[2])
				damaged[len(damaged)-1] ^= 1
				lines, d := decodePackets(t, tables("", row), packets[0], packets[1], damaged)
				for i, l := range lines[:2] {
					if l.ICV != "ok" || !l.decrypted() || l.Inner != fmt.Sprintf("%x", inner) || l.Seq != uint64(i+1) || l.NextHeader != 4 || l.SPI != "00001000" {
						t.Errorf("line: %+v", l)
					}
				}
				if l := lines[2]; l.ICV != "bad" || d.Stats().BadICV != 1 {
					t.Errorf("the damaged one: %+v", l)
				}
			})
		}
	}
}

// TestUncheckedESP opens packets whose check value has an algorithm that nobody
// knows, and packets without one; nothing is said to be right.
func TestUncheckedESP(t *testing.T) {
	inner := ipv4("10.1.0.1", "10.2.0.1", 1, []byte{8, 0, 0, 0, 0, 0, 0, 0})
	for _, c := range []struct {
		keywords, integrity string
		bits                int
	}{{"aes128-sha1", "ANY 96 bit authentication [no checking]", 96}, {"aes256-sha512", "ANY 256 bit authentication [no checking]", 256}} {
		sa, row := outbound(t, 0x1000, c.keywords, "AES-CBC [RFC3602]", c.integrity, "")
		packet, err := seal(sa, inner)
		if err != nil {
			t.Fatal(err)
		}
		whole := ipv4(alice, bob, 50, packet)
		bare := ipv4(alice, bob, 50, packet[:len(packet)-c.bits/8])
		lines, _ := decodePackets(t, tables("", row), whole)
		without, _ := decodePackets(t, tables("", strings.Replace(row, c.integrity, "NULL", 1)), bare)
		for _, l := range append(lines, without...) {
			if l.ICV != "unchecked" || l.Inner != fmt.Sprintf("%x", inner) {
				t.Errorf("%d bits: %+v", c.bits, l)
			}
		}
	}
}

// TestLegacyESP opens 3DES and NULL, with HMAC-MD5, which no negotiation accepts.
func TestLegacyESP(t *testing.T) {
	inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside!!")))
	key, macKey := []byte("twenty-four octets here!"), []byte("sixteen of them!")
	header := []byte{0, 0, 0x10, 0, 0, 0, 0, 9}
	padded := func(align int) []byte {
		text := bytes.Clone(inner)
		n := 0
		for (len(text)+2)%align != 0 {
			n++
			text = append(text, byte(n))
		}
		return append(text, byte(n), 4)
	}
	sign := func(b []byte) []byte {
		m := hmac.New(md5.New, macKey)
		m.Write(b)
		return append(b, m.Sum(nil)[:12]...)
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	iv := []byte("initial!")
	text := padded(8)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, text)
	for _, c := range []struct {
		name   string
		packet []byte
		row    string
	}{
		{"3DES, quoted keys", sign(append(append(bytes.Clone(header), iv...), text...)),
			`"IPv4","*","*","0x1000","TripleDES-CBC [RFC2451]","\x22twenty-four octets here!\x22","HMAC-MD5-96 [RFC2403]","\"sixteen of them!\""`},
		{"3DES, bare string keys", sign(append(append(bytes.Clone(header), iv...), text...)),
			`"IPv4","*","*","4096","TripleDES-CBC [RFC2451]","twenty-four octets here!","HMAC-MD5-96 [RFC2403]","sixteen of them!"`},
		{"NULL", sign(append(bytes.Clone(header), padded(4)...)),
			`"IPv4","*","*","*","NULL","","HMAC-MD5-96 [RFC2403]","0x7369787465656e206f66207468656d21"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, _ := decodePackets(t, tables("", c.row), ipv4(alice, bob, 50, c.packet))
			if l := lines[0]; l.ICV != "ok" || l.Inner != fmt.Sprintf("%x", inner) || l.Seq != 9 {
				t.Errorf("line: %+v %+v", l, l.Error)
			}
		})
	}
}

// TestESPInESP opens layer by layer, through UDP, AH and transport mode too.
func TestESPInESP(t *testing.T) {
	outer, row1 := outbound(t, 0x1000, "aes256gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	middle, row2 := outbound(t, 0x2000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
	inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside")))
	inside, err := seal(middle, inner)
	if err != nil {
		t.Fatal(err)
	}
	ah := append([]byte{50, 4, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 5}, make([]byte, 12)...)
	for _, c := range []struct {
		name  string
		outer []byte
		next  uint8
		kinds string
	}{
		{"tunnel in tunnel", ipv4(alice, bob, 50, inside), 4, "esp esp"},
		{"in UDP in the tunnel", ipv4(alice, bob, 17, udp(4500, 4500, inside)), 4, "esp esp"},
		{"transport mode", inside, 50, "esp esp"},
		{"AH between", ipv4(alice, bob, 51, append(bytes.Clone(ah), inside...)), 4, "esp ah esp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			seq, err := outer.Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			packet, err := outer.Seal(nil, seq, c.outer, c.next)
			if err != nil {
				t.Fatal(err)
			}
			lines, _ := decodePackets(t, tables("", row1+row2), ipv4(alice, bob, 50, packet))
			var kinds []string
			for i, l := range lines {
				kinds = append(kinds, l.Kind)
				if l.Layer != i || l.Frame != 1 {
					t.Errorf("line %d: %+v", i, l)
				}
			}
			if got := strings.Join(kinds, " "); got != c.kinds {
				t.Fatalf("kinds %s, want %s", got, c.kinds)
			}
			if last := lines[len(lines)-1]; last.Inner != fmt.Sprintf("%x", inner) || last.ICV != "ok" {
				t.Errorf("innermost: %+v", last)
			}
		})
	}
}

// TestNesting ends, however deep packets are in packets.
func TestNesting(t *testing.T) {
	packet := ipv4(alice, bob, 17, udp(500, 500, nil))
	for range 100 {
		packet = ipv4(alice, bob, 4, packet)
	}
	lines, _ := decodePackets(t, nil, packet)
	if len(lines) != 1 || !strings.Contains(lines[0].Note, "packets inside packets") {
		t.Errorf("lines: %+v", lines)
	}
}

// TestManyKeys finds the right one of several rows for one SA.
func TestManyKeys(t *testing.T) {
	sa, right := outbound(t, 0x1000, "aes256gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	wrong := strings.ReplaceAll(right, "6161", "7171")
	packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
	if err != nil {
		t.Fatal(err)
	}
	second, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
	if err != nil {
		t.Fatal(err)
	}
	lines, d := decodePackets(t, tables("", wrong+strings.Replace(wrong, "7171", "8181", 1)+right), ipv4(alice, bob, 50, packet), ipv4(alice, bob, 50, second))
	if lines[0].ICV != "ok" || lines[1].ICV != "ok" || !d.Stats().Clean() {
		t.Errorf("lines: %+v", lines)
	}
	lines, d = decodePackets(t, tables("", wrong), ipv4(alice, bob, 50, packet))
	if l := lines[0]; l.ICV != "bad" || l.decrypted() || l.Inner != "" || d.Stats().BadICV != 1 {
		t.Errorf("with a wrong key: %+v", l)
	}
}

// TestESNFromTheMiddle infers the upper half of sequence numbers of an SA whose
// beginning is not in the capture, and follows it over the wrap of the lower one.
func TestESNFromTheMiddle(t *testing.T) {
	sa, row := outbound(t, 0x1000, "aes128gcm16-esn", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	const first = 3<<32 - 2
	if _, err := sa.Reserve(first - 1); err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for range 5 {
		packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, ipv4(alice, bob, 50, packet))
	}
	check := func(t *testing.T, row string) {
		lines, _ := decodePackets(t, tables("", row), packets...)
		for i, l := range lines {
			if l.ICV != "ok" || l.Seq != uint64(first+i) {
				t.Errorf("line %d: seq %d, icv %s", i, l.Seq, l.ICV)
			}
		}
	}
	t.Run("guessed", func(t *testing.T) { check(t, row) })
	t.Run("told", func(t *testing.T) { check(t, strings.TrimSpace(row)+`,"64-bit","0x00000002"`+"\n") })
}

// TestSequences counts gaps and marks replays.
func TestSequences(t *testing.T) {
	packet := func(seq uint32) []byte {
		b := []byte{0, 0, 0x10, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}
		binary.BigEndian.PutUint32(b[4:], seq)
		return ipv4(alice, bob, 50, b)
	}
	lines, d := decodePackets(t, nil, packet(5), packet(6), sentAgain(packet(6), 1), packet(9), packet(5), packet(8), packet(4))
	var replays []uint64
	for _, l := range lines {
		if l.Replay {
			replays = append(replays, l.Frame)
		}
	}
	if diff := cmp.Diff([]uint64{3, 5}, replays); diff != "" {
		t.Errorf("replays (-want +got):\n%s", diff)
	}
	var b strings.Builder
	if err := d.Summary(&b, nil); err != nil {
		t.Fatal(err)
	}
	if want := "7 packets, 112 bytes; sequence 4 to 9, 1 missing; 2 replays"; !strings.Contains(b.String(), want) {
		t.Errorf("the summary lacks %q:\n%s", want, b.String())
	}
}

// TestDamagedSequence: once an SA's packets verify, one whose check value is wrong
// counts as a packet, and its number as nothing: neither as thousands of missing
// ones, nor as the original of a later replay.
func TestDamagedSequence(t *testing.T) {
	sa, row := outbound(t, 0x1000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
	inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside")))
	var packets [][]byte
	for range 4 {
		packet, err := seal(sa, inner)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet)
	}
	far := bytes.Clone(packets[1])
	far[4] ^= 0x80 // number 2^31 + 2
	next := bytes.Clone(packets[2])
	next[7] ^= 3 ^ 4 // the number of the packet that comes next
	var frames [][]byte
	for i, b := range [][]byte{packets[0], far, packets[2], next, packets[3], packets[3]} {
		frames = append(frames, sentAgain(ipv4(alice, bob, 50, b), uint16(i)))
	}
	lines, d := decodePackets(t, tables("", row), frames...)
	for i, want := range []struct {
		icv    string
		replay bool
	}{{"ok", false}, {"bad", false}, {"ok", false}, {"bad", false}, {"ok", false}, {"ok", true}} {
		if lines[i].ICV != want.icv || lines[i].Replay != want.replay {
			t.Errorf("frame %d: icv %s, replay %t, want %s, %t", i+1, lines[i].ICV, lines[i].Replay, want.icv, want.replay)
		}
	}
	var b strings.Builder
	if err := d.Summary(&b, nil); err != nil {
		t.Fatal(err)
	}
	if want := "6 packets, 528 bytes; sequence 1 to 4, 1 missing; 1 replay\n  ICV ok 4, bad 2"; !strings.Contains(b.String(), want) {
		t.Errorf("the summary lacks %q:\n%s", want, b.String())
	}
}

// TestSequenceModel compares replays and gaps with a set of all numbers, within
// the window.
func TestSequenceModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &espPoint{}
		seen := map[uint64]bool{}
		var low, top uint64
		at := rapid.Uint64Range(1, 1<<33).Draw(t, "first")
		for i := range rapid.IntRange(1, 400).Draw(t, "packets") {
			seq := at
			if i > 0 {
				seq = uint64(int64(top) + rapid.Int64Range(-min(replayWindowPackets-1, int64(top)-1), 700).Draw(t, "step"))
			}
			if i == 0 {
				low, top = seq, seq
			}
			want := order{replay: seen[seq], first: i == 0}
			switch {
			case seq > top:
				want.gap = seq - top - 1
			case i > 0:
				want.late = top - seq
			}
			if got := p.see(seq, 1); got != want {
				t.Fatalf("packet %d, number %d: %+v, want %+v", i, seq, got, want)
			}
			seen[seq] = true
			low, top = min(low, seq), max(top, seq)
			if want := top - low + 1 - uint64(len(seen)); p.gaps() != want {
				t.Fatalf("packet %d: %d missing, want %d", i, p.gaps(), want)
			}
		}
	})
}

// TestAH reads authentication headers and what follows them.
func TestAH(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	ah := append([]byte{17, 4, 0, 0, 0, 0, 0x30, 1, 0, 0, 0, 5}, make([]byte, 12)...)
	message := udp(500, 500, p.message(37, 0, false))
	lines, d := decodePackets(t, nil, ipv4(alice, bob, 51, append(ah, message...)))
	if len(lines) != 2 || lines[0].Kind != "ah" || lines[0].SPI != "00003001" || lines[0].Seq != 5 || lines[0].ICV != "unchecked" || lines[1].Kind != "ike" {
		t.Errorf("lines: %+v", lines)
	}
	if !d.Stats().Clean() {
		t.Errorf("stats %+v", d.Stats())
	}
	for _, b := range [][]byte{ah[:11], append([]byte{17, 200}, ah[2:]...)} {
		lines, _ := decodePackets(t, nil, ipv4(alice, bob, 51, b))
		if l := lines[0]; l.Kind != "ah" || l.Error == nil || l.Error.Payload != "AH" {
			t.Errorf("a malformed one: %+v", l)
		}
	}
}

// TestMalformedESP names what is wrong with packets that cannot be ESP.
func TestMalformedESP(t *testing.T) {
	_, row := outbound(t, 0x1000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
	for _, c := range []struct {
		name   string
		packet []byte
		says   string
	}{
		{"seven octets", make([]byte, 7), "ends after 7 octets"},
		{"SPI 0", make([]byte, 32), "never sent"},
		{"no room for the algorithm", []byte{0, 0, 0x10, 0, 0, 0, 0, 1, 9, 9, 9, 9}, "too few"},
		{"half a block", append([]byte{0, 0, 0x10, 0, 0, 0, 0, 1}, make([]byte, 16+24+16)...), "whole number of blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodePackets(t, tables("", row), ipv4(alice, bob, 50, c.packet))
			if l := lines[0]; l.Kind != "esp" || l.Error == nil || !strings.Contains(l.Error.Reason, c.says) || d.Stats().Malformed != 1 {
				t.Errorf("line: %+v %+v", l, l.Error)
			}
		})
	}
}
