package decode

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/wire"
)

// expectation is what an independent program read from a frame.
type expectation struct {
	Frame        uint64
	Src, Dst     string
	Kind         string
	Port         string
	InitiatorSPI string `json:"ispi"`
	ResponderSPI string `json:"rspi"`
	Exchange     any    `json:"exch"`
	Initiator    bool
	Response     bool
	MessageID    uint32 `json:"mid"`
	Length       int    `json:"len"`
	Payloads     []string
	IKEVersion   int `json:"ikev"`
	Decrypted    *bool
	ICVOK        *bool `json:"icv_ok"`
	ICVFail      int   `json:"icv_fail"`
	InnerHex     string
	InnerRaw     *string `json:"inner_hex"`
	Inner        []string
	SPI          string `json:"esp_spi"`
	Seq          uint64
	NextHeader   int `json:"nh"`
	Offset       int `json:"off"`
}

// names are a list of payloads in this package's notation.
func (e expectation) names() []string {
	list := append([]string{}, e.Payloads...)
	list = append(list, e.Inner...)
	for i, name := range list {
		var number uint16
		switch {
		case strings.HasPrefix(name, "N("):
			if _, err := fmt.Sscanf(name, "N(%d)", &number); err == nil {
				list[i] = "N(" + wire.NotifyType(number).String() + ")"
			}
		case strings.HasPrefix(name, "AUTH("):
			list[i] = "AUTH"
		}
	}
	return list
}

// TestCaptures decodes what others recorded and compares every frame with what
// an independent program read from it.
func TestCaptures(t *testing.T) {
	root := captures(t)
	for _, c := range []struct {
		file string
		// decrypted is how many layers must decrypt.
		decrypted int
		// malformed names what is malformed, frame by frame.
		malformed string
	}{
		{"wireshark/ikev2-decrypt-3des-sha1_160.pcap", 4, ""},
		{"wireshark/ikev2-decrypt-aes192ctr.pcap", 4, ""},
		{"wireshark/ikev2-decrypt-aes256cbc.pcapng", 2, ""},
		{"wireshark/ikev2-decrypt-aes256gcm16.pcap", 4, ""},
		{"wireshark/esp-bug-12671.pcapng.gz", 6, ""},
		{"tcpdump-a/02-sunrise-sunset-esp.pcap", 8, ""},
		{"tcpdump-b/08-sunrise-sunset-esp2.pcap", 16, ""},
		{"negative/ISAKMP_sa_setup.pcap", 0, ""},
		{"negative/ikev1-certs.pcap", 0, ""},
		{"negative/ikev2four.pcap", 0, ""},
		{"negative/ikev2pI2.pcap", 1, ""},
		{"negative/ikev2-id-short.pcap", 0, "IDi"},
		{"negative/isakmp-pointer-loop.pcap", 0, "IKEv1"},
		{"negative/esp_truncated.pcap", 0, "IPv4 fragment"},
		{"negative/isakmp-various-oobr.pcap", 0, "IPv4 fragment, IPv4 fragment"},
		{"negative/isakmp-rfc3948-oobr.pcap", 0, "UDP"},
	} {
		t.Run(c.file, func(t *testing.T) {
			file := filepath.Join(root, filepath.FromSlash(c.file))
			lines, d := decodeFile(t, file, tablesIn(filepath.Dir(file)))
			var malformed []string
			for _, l := range lines {
				if l.Error != nil {
					malformed = append(malformed, l.Error.Payload)
				}
			}
			if got := strings.Join(malformed, ", "); got != c.malformed {
				t.Errorf("malformed: %s, want %s", got, c.malformed)
			}
			if bad := strings.Contains(c.file, "ikev2pI2"); (d.Stats().BadICV == 1) != bad || d.Stats().Clean() != (c.malformed == "" && !bad) {
				t.Errorf("stats %+v", d.Stats())
			}
			raw, err := os.Open(file + ".expected.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			decrypted, seen := 0, map[uint64]int{}
			scanner := bufio.NewScanner(raw)
			scanner.Buffer(nil, 1<<20)
			for scanner.Scan() {
				var e expectation
				if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
					t.Fatal(err)
				}
				var got *line
				layer := seen[e.Frame]
				for i := range lines {
					if lines[i].Frame == e.Frame && lines[i].Layer == layer {
						got = &lines[i]
					}
				}
				seen[e.Frame]++
				if got == nil {
					t.Fatalf("frame %d, layer %d: no line", e.Frame, layer)
				}
				if e.decrypts() {
					decrypted++
				}
				compare(t, e, *got)
			}
			if decrypted != c.decrypted || int(d.Stats().Decrypted) != c.decrypted {
				t.Errorf("decrypted %d, the other program %d, want %d", d.Stats().Decrypted, decrypted, c.decrypted)
			}
		})
	}
}

func (e expectation) decrypts() bool { return e.Decrypted != nil && *e.Decrypted }

func compare(t *testing.T, e expectation, got line) {
	t.Helper()
	type common struct {
		Kind, Src, Dst             string
		InitiatorSPI, ResponderSPI string
		MessageID                  uint32
		Decrypted                  bool
		Inner                      string
	}
	want := common{e.Kind, e.Src, e.Dst, e.InitiatorSPI, e.ResponderSPI, e.MessageID, e.decrypts(), ""}
	if e.InnerRaw != nil {
		want.Inner = *e.InnerRaw
	}
	if e.Kind == "ipfrag" {
		want.Kind = "other"
		if !strings.Contains(got.Note, "fragment") {
			t.Errorf("frame %d is a fragment and called %q", e.Frame, got.Note)
		}
	}
	have := common{got.Kind, got.Src, got.Dst, got.InitiatorSPI, got.ResponderSPI, got.MessageID, got.decrypted(), got.Inner}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("frame %d (-other program +ikelab):\n%s", e.Frame, diff)
	}
	switch {
	case e.Kind == "ike" && e.IKEVersion == 1:
		if !strings.Contains(got.Note, "IKEv1") || float64(got.ExchangeNumber) != e.Exchange.(float64) {
			t.Errorf("frame %d is IKEv1, exchange %v, and called %q, %d", e.Frame, e.Exchange, got.Note, got.ExchangeNumber)
		}
	case e.Kind == "ike":
		if got.Exchange != e.Exchange || got.Initiator != e.Initiator || got.Response != e.Response {
			t.Errorf("frame %d: %s initiator %t response %t, want %v %t %t", e.Frame, got.Exchange, got.Initiator, got.Response, e.Exchange, e.Initiator, e.Response)
		}
		if diff := cmp.Diff(e.names(), got.Payloads); diff != "" {
			t.Errorf("frame %d, payloads (-other program +ikelab):\n%s", e.Frame, diff)
		}
		if e.decrypts() {
			icv := "ok"
			if e.ICVOK == nil || e.ICVFail > 0 {
				icv = "bad"
			}
			if got.ICV != icv {
				t.Errorf("frame %d: ICV %s, want %s", e.Frame, got.ICV, icv)
			}
		}
	case e.Kind == "esp":
		icv := "unchecked"
		if e.ICVOK != nil && *e.ICVOK {
			icv = "ok"
		}
		if got.SPI != e.SPI || got.Seq != e.Seq || got.NextHeader != e.NextHeader || got.ICV != icv || got.Bytes != e.Length {
			t.Errorf("frame %d: SPI %s seq %d next header %d icv %s %d bytes, want %s %d %d %s %d", e.Frame,
				got.SPI, got.Seq, got.NextHeader, got.ICV, got.Bytes, e.SPI, e.Seq, e.NextHeader, icv, e.Length)
		}
	}
}
