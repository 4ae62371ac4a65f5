package decode

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// line is a JSON line as a program reads it.
type line struct {
	Frame          uint64   `json:"frame"`
	Time           string   `json:"time"`
	Kind           string   `json:"kind"`
	Interface      int      `json:"interface"`
	Layer          int      `json:"layer"`
	Src            string   `json:"src"`
	Dst            string   `json:"dst"`
	SrcPort        int      `json:"sport"`
	DstPort        int      `json:"dport"`
	Transport      string   `json:"transport"`
	Bytes          int      `json:"bytes"`
	IPFragments    int      `json:"ip_fragments"`
	Version        string   `json:"version"`
	InitiatorSPI   string   `json:"initiator_spi"`
	ResponderSPI   string   `json:"responder_spi"`
	Exchange       string   `json:"exchange"`
	ExchangeNumber int      `json:"exchange_number"`
	Initiator      bool     `json:"initiator"`
	Response       bool     `json:"response"`
	MessageID      uint32   `json:"message_id"`
	Payloads       []string `json:"payloads"`
	Details        []string `json:"details"`
	Fragment       int      `json:"fragment"`
	Fragments      int      `json:"fragments"`
	Retransmission int      `json:"retransmission"`
	Elsewhere      bool     `json:"elsewhere"`
	Duplicate      bool     `json:"duplicate"`
	Remarks        []string `json:"remarks"`
	Gap            uint64   `json:"gap"`
	Late           uint64   `json:"late"`
	TFC            int      `json:"tfc_padding"`
	Unread         string   `json:"unread"`
	ICMP           *struct {
		Type, Code int
		Name       string
		MTU        *uint32
		Quoted     map[string]any
	} `json:"icmp"`
	SPI        string `json:"spi"`
	Seq        uint64 `json:"seq"`
	Replay     bool   `json:"replay"`
	NextHeader int    `json:"next_header"`
	Decrypted  *bool  `json:"decrypted"`
	ICV        string `json:"icv"`
	Inner      string `json:"inner"`
	Note       string `json:"note"`
	Error      *struct {
		Payload string `json:"payload"`
		Offset  int    `json:"offset"`
		Field   string `json:"field"`
		Reason  string `json:"reason"`
	} `json:"error"`
}

func (l line) decrypted() bool { return l.Decrypted != nil && *l.Decrypted }

// decodeFile decodes a capture with the tables of a folder, if it has some, and
// reads the JSON lines back.
func decodeFile(t testing.TB, file, keyFolder string) ([]line, *Decoder) {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var folder fs.FS
	if keyFolder != "" {
		folder = os.DirFS(keyFolder)
	}
	return decodeBytes(t, raw, folder)
}

func loadKeys(t testing.TB, folder fs.FS) *Keys {
	t.Helper()
	keys, warnings, err := LoadKeys(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Errorf("the key tables: %v", w)
	}
	return keys
}

func decodeBytes(t testing.TB, capture []byte, folder fs.FS) ([]line, *Decoder) {
	t.Helper()
	opt := Options{Ladder: true}
	if folder != nil {
		opt.Keys = loadKeys(t, folder)
	}
	r, err := NewReader(bytes.NewReader(capture))
	if err != nil {
		t.Fatal(err)
	}
	var lines []line
	var text Text
	d := NewDecoder(opt, func(r *Record) error {
		raw := AppendJSON(nil, r)
		decoder := json.NewDecoder(bytes.NewReader(raw))
		decoder.DisallowUnknownFields()
		var l line
		if err := decoder.Decode(&l); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		lines = append(lines, l)
		shown := string(text.Append(nil, r))
		if strings.Count(shown, "\n") != 1 || !strings.HasSuffix(shown, "\n") {
			t.Errorf("frame %d is not one line: %q", r.Frame, shown)
		}
		return nil
	})
	if err := d.Run(r); err != nil {
		t.Fatal(err)
	}
	return lines, d
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// captures is the folder with what other programs recorded.
func captures(t testing.TB) string {
	t.Helper()
	folder := os.Getenv("IKELAB_CAPTURES")
	if folder == "" {
		t.Skip("IKELAB_CAPTURES is not set; point it at the folder of recorded captures")
	}
	return folder
}

// tablesIn is the folder itself if it has key tables, else nothing.
func tablesIn(folder string) string {
	for _, name := range []string{IKETable, ESPTable} {
		if _, err := os.Stat(filepath.Join(folder, name)); !errors.Is(err, os.ErrNotExist) {
			return folder
		}
	}
	return ""
}
