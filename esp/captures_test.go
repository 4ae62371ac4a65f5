package esp

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ikelab/ikelab/ike/suite"
)

// captures is the folder with the packets that other programs recorded.
func captures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("IKELAB_CAPTURES")
	if dir == "" {
		t.Skip("IKELAB_CAPTURES is not set; point it at the folder of recorded captures")
	}
	return dir
}

// linuxPacket is a packet that the Linux kernel sealed.
type linuxPacket struct {
	Title              string
	ScapySA            string `json:"scapy_sa"`
	ESPPacket          string `json:"esp_packet"`
	Verified           bool
	ExpectedNextHeader uint8  `json:"expected_next_header"`
	ExpectedInner      string `json:"expected_inner"`
}

// refusedByName are the IANA numbers of what the kernel can seal with and package
// suite does not have.
var refusedByName = map[string]uint16{"DES": 2, "3DES": 3, "CAST": 6, "Blowfish": 7, "AES-CCM": 14, "AES-NULL-GMAC": 21}

// TestLinuxPackets opens what the Linux kernel sealed. An SA with an algorithm that
// there is not must be refused; a packet that its source could not open is no packet
// of that SA here either.
func TestLinuxPackets(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(captures(t), "packets", "scapy_ipsec_linux_packets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var packets []linuxPacket
	if err := json.Unmarshal(raw, &packets); err != nil {
		t.Fatal(err)
	}
	quoted := func(p linuxPacket, field string) string {
		m := regexp.MustCompile(field + `=b?'([^']*)'`).FindStringSubmatch(p.ScapySA)
		if m == nil {
			t.Fatalf("%s: no %s in %q", p.Title, field, p.ScapySA)
		}
		return m[1]
	}
	opened := 0
	for _, p := range packets {
		t.Run(p.Title, func(t *testing.T) {
			c := SAConfig{SPI: 0x222, EncrKey: []byte(quoted(p, "crypt_key")), ReplayWindowPackets: 64}
			packet := unhex(t, p.ESPPacket)
			algo := quoted(p, "crypt_algo")
			if id, ok := refusedByName[algo]; ok {
				c.Encr = encr(id, uint16(8*len(c.EncrKey)))
				if _, err := NewInbound(c); err == nil {
					t.Errorf("an SA with %s was made", algo)
				}
				return
			}
			switch algo {
			case "AES-GCM":
				c.Encr = encr(suite.EncrAESGCM16, 128)
				c.ESN = strings.Contains(p.ScapySA, "esn_en = True")
			case "AES-CBC":
				c.Encr = encr(suite.EncrAESCBC, 128)
				c, packet = addICV(c, packet) // sealed without integrity, which suite refuses
			case "AES-CTR":
				c.Encr = encr(suite.EncrAESCTR, 128)
				c, packet = addICV(c, packet)
			default:
				t.Fatalf("the test does not know the algorithm %s", algo)
			}
			i, err := NewInbound(c)
			if err != nil {
				t.Fatal(err)
			}
			inner, nextHeader, _, err := i.Open(packet)
			if !p.Verified {
				if err == nil {
					t.Error("a packet was opened that its source could not open")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(inner, unhex(t, p.ExpectedInner)) || nextHeader != p.ExpectedNextHeader {
				t.Errorf("opened under Next Header %d as\n%x, want %d\n%s", nextHeader, inner, p.ExpectedNextHeader, p.ExpectedInner)
			}
			opened++
		})
	}
	if opened < 3 {
		t.Errorf("only %d packets were opened", opened)
	}
}

// TestCapturedESP opens a capture of AES-CBC with HMAC-SHA-1-96 under the keys of
// its esp_sa table, in the order in which it was sent.
func TestCapturedESP(t *testing.T) {
	dir := filepath.Join(captures(t), "wireshark")
	table, err := os.Open(filepath.Join(dir, "esp_sa"))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	rows, err := csv.NewReader(table).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	inbound := map[string]*Inbound{} // by SPI
	for _, row := range rows {
		if row[4] != "AES-CBC [RFC3602]" || row[6] != "HMAC-SHA-1-96 [RFC2404]" {
			t.Fatalf("the table has other algorithms than this test knows: %q", row)
		}
		key := func(column int) []byte { return unhex(t, strings.TrimPrefix(row[column], "0x")) }
		i, err := NewInbound(SAConfig{
			SPI: getUint32(key(3)), Encr: encr(suite.EncrAESCBC, 128), EncrKey: key(5),
			Integ: integ(suite.IntegHMACSHA1_96), IntegKey: key(7), ReplayWindowPackets: 32,
		})
		if err != nil {
			t.Fatal(err)
		}
		inbound[strings.TrimPrefix(row[3], "0x")] = i
	}

	expectations, err := os.Open(filepath.Join(dir, "esp-bug-12671.pcapng.gz.expected.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer expectations.Close()
	frames := espFrames(t, filepath.Join(dir, "esp-bug-12671.pcapng.gz"))
	opened := 0
	for lines := bufio.NewScanner(expectations); lines.Scan(); opened++ {
		var want struct {
			Frame    int
			SPI      string `json:"esp_spi"`
			Seq      uint64
			NH       uint8
			InnerHex string `json:"inner_hex"`
		}
		if err := json.Unmarshal(lines.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(want.Frame), func(t *testing.T) {
			packet := frames[want.Frame-1]
			inner, nextHeader, seq, err := inbound[want.SPI].Open(packet)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(inner, unhex(t, want.InnerHex)) || nextHeader != want.NH || seq != want.Seq {
				t.Errorf("opened packet %d under %d as\n%x, want %d under %d\n%s", seq, nextHeader, inner, want.Seq, want.NH, want.InnerHex)
			}
		})
	}
	if opened == 0 {
		t.Error("no packet was opened")
	}
}

// espFrames are the ESP packets of a gzipped pcapng file, one per frame.
func espFrames(t *testing.T, file string) [][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	source, err := pcapgo.NewNgReader(z, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for {
		data, _, err := source.ReadPacketData()
		if err != nil {
			return packets
		}
		ip, ok := gopacket.NewPacket(data, source.LinkType(), gopacket.Default).NetworkLayer().(*layers.IPv4)
		if !ok {
			t.Fatalf("frame %d is not IPv4", len(packets)+1)
		}
		packets = append(packets, ip.Payload)
	}
}
