package decode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestSeveralRowsForOneIKESA: of several rows for the same SPIs each is tried until
// the integrity check holds, whatever its algorithms are and wherever it stands:
// tables of several runs, joined, have many.
func TestSeveralRowsForOneIKESA(t *testing.T) {
	for _, algorithms := range []string{"aes256gcm16-prfsha384-x25519", "aes128-sha1-prfsha1-x25519", "aes256ctr-sha256-prfsha256-x25519"} {
		p := newPeers(t, algorithms)
		right := p.table(true)
		for _, c := range []struct {
			name string
			rows func() string
		}{
			{"one wrong row in front", func() string { return wrongRows(p, 1) + right }},
			{"twenty wrong rows in front", func() string { return wrongRows(p, 20) + right }},
			{"wrong rows behind", func() string { return right + wrongRows(p, 3) }},
			{"rows of other algorithms", func() string {
				return fmt.Sprintf("%v,%v,%x,%x,\"3DES [RFC2451]\",%x,%x,\"HMAC_SHA1_96 [RFC2404]\"\n", p.spiI, p.spiR, make([]byte, 24), make([]byte, 24), make([]byte, 20), make([]byte, 20)) +
					fmt.Sprintf("%v,%v,%x,%x,\"AES-GCM-128 with 8 octet ICV [RFC5282]\",,,\"NONE [RFC4306]\"\n", p.spiI, p.spiR, make([]byte, 20), make([]byte, 20)) + right
			}},
			{"a row that checks nothing", func() string {
				return fmt.Sprintf("%v,%v,%x,%x,\"NULL [RFC2410]\",,,\"ANY 96-bits of Authentication [No Checking]\"\n", p.spiI, p.spiR, []byte{}, []byte{}) + right
			}},
		} {
			t.Run(algorithms+", "+c.name, func(t *testing.T) {
				packets := append(p.init(), p.request(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDi, "a.example")),
					p.response(wire.ExchangeIKEAuth, 1, fqdn(wire.PayloadIDr, "b.example")), p.request(wire.ExchangeInformational, 2))
				lines, d := decodePackets(t, tables(c.rows(), ""), packets...)
				for _, l := range lines[2:] {
					if l.ICV != "ok" || !l.decrypted() {
						t.Errorf("frame %d: icv %s, decrypted %t, %+v", l.Frame, l.ICV, l.decrypted(), l.Error)
					}
				}
				if !d.Stats().Clean() {
					t.Errorf("stats %+v", d.Stats())
				}
			})
		}
	}
}

// wrongRows are rows for the SPIs of an SA with keys of the right lengths that are
// another SA's.
func wrongRows(p *peers, n int) string {
	right := p.table(false)
	var rows strings.Builder
	for i := range n {
		for _, k := range [][]byte{p.keys.Ei, p.keys.Er, p.keys.Ai, p.keys.Ar} {
			if len(k) > 0 {
				other := make([]byte, len(k))
				other[0] = byte(i)
				right = strings.Replace(right, fmt.Sprintf("%x", k), fmt.Sprintf("%x", other), 1)
			}
		}
		rows.WriteString(right)
		right = p.table(false)
	}
	return rows.String()
}

// TestSeveralRowsForOneESPSA is the same for ESP, with rows whose SPI is a pattern
// among them.
func TestSeveralRowsForOneESPSA(t *testing.T) {
	for _, c := range []struct{ keywords, encryption, integrity string }{
		{"aes256gcm16-noesn", "AES-GCM with 16 octet ICV [RFC4106]", "NULL"},
		{"aes256gcm16-esn", "AES-GCM with 16 octet ICV [RFC4106]", "NULL"},
		{"aes128-sha256-noesn", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"},
		{"aes128-sha256-esn", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]"},
	} {
		sa, right := outbound(t, 0x1000, c.keywords, c.encryption, c.integrity, "")
		var packets [][]byte
		for range 12 {
			packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
			if err != nil {
				t.Fatal(err)
			}
			packets = append(packets, ipv4(alice, bob, 50, packet))
		}
		wrong := func(n int) (rows string) {
			for i := range n {
				rows += strings.ReplaceAll(strings.ReplaceAll(right, "6161", fmt.Sprintf("%02x71", i)), "6262", fmt.Sprintf("%02x72", i))
			}
			return rows
		}
		unchecked := "\"IPv4\",\"*\",\"*\",\"0x1000\",\"NULL\",\"\",\"ANY 96 bit authentication [no checking]\",\"\"\n"
		null := "\"IPv4\",\"*\",\"*\",\"0x1000\",\"NULL\",\"\",\"NULL\",\"\"\n"
		for name, rows := range map[string]string{
			"one wrong row in front":                 wrong(1) + right,
			"forty wrong rows in front":              wrong(40) + right,
			"a pattern behind":                       wrong(20) + strings.Replace(right, "0x00001000", "*", 1),
			"a row that checks nothing":              unchecked + right,
			"a row that checks nothing, and a wrong": unchecked + null + wrong(2) + right,
		} {
			t.Run(c.keywords+", "+name, func(t *testing.T) {
				lines, d := decodePackets(t, tables("", rows), packets...)
				for i, l := range lines {
					if l.ICV != "ok" || !l.decrypted() || l.Seq != uint64(i+1) {
						t.Fatalf("frame %d: icv %s, decrypted %t, seq %d, %+v", l.Frame, l.ICV, l.decrypted(), l.Seq, l.Error)
					}
				}
				if !d.Stats().Clean() {
					t.Errorf("stats %+v", d.Stats())
				}
			})
		}
	}
}
