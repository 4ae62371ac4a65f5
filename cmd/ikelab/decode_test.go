package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/sim/decode"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// decodedLine is what these tests read of a JSON line of decode.
type decodedLine struct {
	Frame        int
	Time         time.Time
	Kind         string
	Interface    int
	Src, Dst     string
	InitiatorSPI string `json:"initiator_spi"`
	ResponderSPI string `json:"responder_spi"`
	Exchange     string
	Response     bool
	MessageID    int `json:"message_id"`
	Payloads     []string
	Elsewhere    bool
	SPI          string
	Seq          int
	Decrypted    *bool
	ICV          string
	Inner        string
	Error        *struct{ Reason string }
}

// decoded runs decode --json over a run's capture with the tables beside it.
func decoded(t *testing.T, dir string) []decodedLine {
	t.Helper()
	o := here(t, "decode", "--json", filepath.Join(dir, captureFile), "--keys", filepath.Join(dir, wiresharkDir))
	if o.status != exitOK || o.err != "" {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	var lines []decodedLine
	for text := range strings.Lines(o.out) {
		var l decodedLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// tracedPayload is a payload as traces describe it in the notation of decode.
func tracedPayload(description string) string {
	if rest, ok := strings.CutPrefix(description, "N("); ok {
		name, _, _ := strings.Cut(strings.TrimSuffix(rest, ")"), " ")
		return "N(" + name + ")"
	}
	if description == "Ni" || description == "Nr" {
		return "Nonce"
	}
	return description[:strings.IndexAny(description+"(", "([")]
}

// splitDescriptions takes a trace's list of payloads apart: commas in brackets belong to a payload.
func splitDescriptions(list string) []string {
	var out []string
	depth, start := 0, 0
	for i, c := range list {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case ',':
			if depth == 0 {
				out, start = append(out, strings.TrimSpace(list[start:i])), i+1
			}
		}
	}
	if rest := strings.TrimSpace(list[start:]); rest != "" {
		out = append(out, rest)
	}
	return out
}

// TestDecodeSaysWhatTheTraceSays: every example's capture decodes, with the tables written beside it, to the IKE
// messages that the trace says were sent, payload by payload, and to the ESP packets that it says went out and came
// in, by interface, instant, sequence number and length of what was inside.
func TestDecodeSaysWhatTheTraceSays(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			plan, diags := topology.Load(disk{}, example(name), nil)
			if diags.HasErrors() {
				t.Fatal("the example does not load")
			}
			dir := t.TempDir()
			if o := here(t, "run", example(name), "--out", dir); o.status != exitOK {
				t.Fatalf("status %d: %s", o.status, o.err)
			}
			wantIKE, wantESP, refused := traced(t, filepath.Join(dir, traceFile))
			interfaces := interfaceNames(t, filepath.Join(dir, captureFile))
			var gotIKE, gotESP []string
			for _, l := range decoded(t, dir) {
				at := l.Time.Sub(plan.Lab.Epoch)
				if l.Decrypted != nil && (!*l.Decrypted || l.ICV != "ok") {
					t.Errorf("frame %d: decrypted %t, icv %s", l.Frame, *l.Decrypted, l.ICV)
				}
				switch l.Kind {
				case "ike":
					payloads := slices.DeleteFunc(l.Payloads, func(p string) bool { return p == "SK" })
					if !l.Elsewhere {
						gotIKE = append(gotIKE, fmt.Sprintf("%d %s %s %s %d response %t %v", at, l.InitiatorSPI, l.ResponderSPI, l.Exchange, l.MessageID, l.Response, payloads))
					}
				case "esp":
					if where := fmt.Sprintf("%d %s", at, interfaces[l.Interface]); refused[where] > 0 {
						refused[where]-- // it came and was not taken, and the trace does not say what it was
						continue
					}
					gotESP = append(gotESP, fmt.Sprintf("%d %s #%d %d bytes", at, interfaces[l.Interface], l.Seq, len(l.Inner)/2))
				}
			}
			for _, list := range [][]string{wantIKE, gotIKE, wantESP, gotESP} {
				slices.Sort(list)
			}
			if len(wantIKE) == 0 {
				t.Error("the trace has no IKE message")
			}
			for where, count := range refused {
				if count > 0 {
					t.Errorf("the trace has %d more ESP packets refused at %s than the capture", count, where)
				}
			}
			if diff := cmp.Diff(wantIKE, gotIKE); diff != "" {
				t.Errorf("IKE messages (-trace +decode):\n%s", diff)
			}
			if diff := cmp.Diff(wantESP, gotESP); diff != "" {
				t.Errorf("ESP packets (-trace +decode):\n%s", diff)
			}
			t.Logf("%d IKE messages, %d ESP packets", len(gotIKE), len(gotESP))
		})
	}
}

// traced reads what a trace says was sent: IKE messages, ESP packets as they went out and came in, and how many were
// refused by a node that is dead or knows no SA for them, by instant and interface.
func traced(t *testing.T, path string) (ike, esp []string, refused map[string]int) {
	t.Helper()
	refused = map[string]int{}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := trace.Read(file, func(r trace.Record) error {
		value := map[string]string{}
		for _, f := range r.Fields {
			value[f.Key] = f.Value
		}
		switch r.Kind {
		case "exchange-sent", "retransmit":
			names := []string{}
			for _, p := range splitDescriptions(value["payloads"]) {
				names = append(names, tracedPayload(p))
			}
			ike = append(ike, fmt.Sprintf("%d %s %s %s %s response %s %v", r.At, value["spi_i"], value["spi_r"], value["exchange"], value["message_id"], value["response"], names))
		case "packet-dropped":
			if reason := value["reason"]; (reason == "node-dead" || reason == "esp-no-association") && strings.Contains(value["packet"], " protocol 50,") {
				refused[fmt.Sprintf("%d %s.%s", r.At, r.Node, value["interface"])]++
			}
		case "esp-out", "esp-in":
			inner := value["inner"]
			bytes := inner[strings.LastIndex(inner, ", ")+2:]
			esp = append(esp, fmt.Sprintf("%d %s.%s #%s %s", r.At, r.Node, value["interface"], value["sequence"], bytes))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return ike, esp, refused
}

// interfaceNames are the names of a capture's interfaces.
func interfaceNames(t *testing.T, path string) map[int]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	r, err := decode.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	names := map[int]string{}
	for {
		f, err := r.Next()
		if err != nil {
			return names
		}
		names[f.Interface] = r.InterfaceName(f.Interface)
	}
}

// TestDecodeOpensWhatWiresharkCannot: SAs for which Wireshark has no algorithm, and 64-bit sequence numbers, which it
// cannot check; first with both tables that run writes, then with the keys of the IKE SA alone, from which those of its
// CHILD SA are derived.
func TestDecodeOpensWhatWiresharkCannot(t *testing.T) {
	raw, err := os.ReadFile(example("first-tunnel"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ike, esp string }{
		{"chacha20poly1305-prfsha256-x25519", "chacha20poly1305-esn"},
		{"aes256-sha512-prfsha512-ecp256", "aes128-sha256-esn"},
		{"aes128gcm8-prfsha256-x25519", "aes256gcm16-esn"},
	} {
		t.Run(c.ike+" "+c.esp, func(t *testing.T) {
			lab := strings.ReplaceAll(string(raw), `"aes256gcm16-prfsha384-x25519"`, strconv.Quote(c.ike))
			lab = strings.ReplaceAll(lab, `"aes256gcm16"`, strconv.Quote(c.esp))
			if strings.Count(lab, strconv.Quote(c.ike)) != 2 || strings.Count(lab, strconv.Quote(c.esp)) != 2 {
				t.Fatal("the example proposes something else than this test replaces")
			}
			dir := t.TempDir()
			if o := here(t, "run", write(t, "lab.hcl", lab), "--out", dir); o.status != exitOK {
				t.Fatalf("status %d: %s", o.status, o.err)
			}
			for _, table := range []string{"both tables", "without esp_sa"} {
				opened := map[string]int{}
				for _, l := range decoded(t, dir) {
					if l.Decrypted != nil && *l.Decrypted && l.ICV == "ok" {
						opened[l.Kind]++
					} else if l.Decrypted != nil {
						t.Fatalf("%s: frame %d: decrypted %t, icv %s", table, l.Frame, *l.Decrypted, l.ICV)
					}
				}
				if opened["ike"] < 4 || opened["esp"] < 1000 {
					t.Errorf("%s: opened %v", table, opened)
				}
				if err := os.RemoveAll(filepath.Join(dir, wiresharkDir, "esp_sa")); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestDecodeDrawsTheLadderOfTheRun: the rungs that decode draws of a capture, with the keys beside it, are those that run
// drew: when a message was sent, what it was, and when it arrived.
func TestDecodeDrawsTheLadderOfTheRun(t *testing.T) {
	for _, name := range examples(t) {
		dir := t.TempDir()
		if o := here(t, "run", example(name), "--out", dir); o.status != exitOK {
			t.Fatalf("%s: status %d: %s", name, o.status, o.err)
		}
		written, err := os.ReadFile(filepath.Join(dir, ladderFile))
		if err != nil {
			t.Fatal(err)
		}
		o := here(t, "decode", "--ladder", filepath.Join(dir, captureFile), "--keys", filepath.Join(dir, wiresharkDir))
		want, got := rungs(t, string(written)), rungs(t, o.out)
		if len(want) == 0 {
			t.Errorf("%s: the run drew nothing", name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: rungs (-run +decode):\n%s", name, diff)
		}
	}
}

// rung is a line of a ladder with an arrow: when, what, and when it arrived.
var rung = regexp.MustCompile(`^ *([0-9.]+ s) .*((?:IKE_SA_INIT|IKE_AUTH|CREATE_CHILD_SA|INFORMATIONAL) (?:request|response) \d+(?:, retransmission \d+|, \d+ bytes)).*?([0-9.]+ s)?$`)

// rungs are the messages that a ladder draws, sorted: pairs of peers may come in another order. Instants count from the
// first of them: a capture does not know when its lab began.
func rungs(t *testing.T, ladder string) []string {
	t.Helper()
	var found [][]string
	first := math.Inf(1)
	seconds := func(s string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSuffix(s, " s"), 64)
		if err != nil {
			t.Fatalf("an instant %q in a ladder", s)
		}
		return v
	}
	for line := range strings.Lines(ladder) {
		if m := rung.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			found = append(found, m)
			first = min(first, seconds(m[1]))
		}
	}
	var out []string
	for _, m := range found {
		arrived := "lost"
		if m[3] != "" {
			arrived = fmt.Sprintf("%.3f", seconds(m[3])-first)
		}
		out = append(out, fmt.Sprintf("%.3f %s %s", seconds(m[1])-first, m[2], arrived))
	}
	slices.Sort(out)
	return out
}

// TestDecodeInterrupted sums up what was read until then.
func TestDecodeInterrupted(t *testing.T) {
	dir := t.TempDir()
	if o := here(t, "run", example("trap"), "--out", dir); o.status != exitOK {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	status := execute(ctx, []string{"decode", filepath.Join(dir, captureFile)}, stdio{strings.NewReader(""), &out, &errs})
	if status != exitInterrupted || !strings.Contains(out.String(), "1 frame in") {
		t.Errorf("status %d, output %q, %q", status, out.String(), errs.String())
	}
}

// lines hands on what is written to it.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// TestDecodeOfALiveCapture: what has been captured is shown while the capture goes on.
func TestDecodeOfALiveCapture(t *testing.T) {
	dir := t.TempDir()
	if o := here(t, "run", example("trap"), "--out", dir); o.status != exitOK {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, captureFile))
	if err != nil {
		t.Fatal(err)
	}
	in, recorder := io.Pipe()
	out, status := make(lines), make(chan int)
	var errs bytes.Buffer
	go func() {
		status <- execute(context.Background(), []string{"decode", "-"}, stdio{in, out, &errs})
	}()
	go func() { _, _ = recorder.Write(raw[:len(raw)/2]) }()
	timeout := time.After(processTimeout)
	for shown := ""; !strings.Contains(shown, "IKE_SA_INIT request 0"); {
		select {
		case text := <-out:
			shown += text
		case <-timeout:
			t.Fatal("nothing is shown before the capture ends")
		}
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case <-out:
		case got := <-status:
			if got != exitFailed { // it was cut in the middle
				t.Errorf("status %d: %s", got, errs.String())
			}
			return
		case <-timeout:
			t.Fatal("decode does not end with its input")
		}
	}
}

// TestDecodeCommand holds decode's command line, its input and its exit statuses.
func TestDecodeCommand(t *testing.T) {
	dir := t.TempDir()
	if o := here(t, "run", example("trap"), "--out", dir); o.status != exitOK {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	file, keys := filepath.Join(dir, captureFile), filepath.Join(dir, wiresharkDir)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := here(t, "decode", file, "--keys", keys)
	if want.status != exitOK || want.err != "" || !strings.Contains(want.out, "TSi[10.1.0.0/16]") {
		t.Fatalf("outcome: %+v", want)
	}
	t.Run("standard input", func(t *testing.T) {
		if o := hereWith(t, string(raw), "decode", "-", "--keys", keys); o != want {
			t.Errorf("differs from the file's: %+v", o)
		}
	})
	t.Run("gzip", func(t *testing.T) {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if o := here(t, "decode", write(t, "capture.pcapng.gz", packed.String()), "--keys", keys); o != want {
			t.Errorf("differs from the file's: %+v", o)
		}
	})
	t.Run("ladder", func(t *testing.T) {
		o := here(t, "decode", "--ladder", file, "--keys", keys)
		for _, part := range []string{"IKE_SA_INIT request 0", "▶", "◀", "IDi(198.51.100.1)", "IKE SA ", "CHILD SA ESP"} {
			if !strings.Contains(o.out, part) {
				t.Errorf("the ladder lacks %q:\n%s", part, o.out)
			}
		}
		if o.status != exitOK {
			t.Errorf("status %d: %s", o.status, o.err)
		}
	})
	t.Run("interfaces are named", func(t *testing.T) {
		for _, part := range []string{
			"  gw-a.wan: 198.51.100.1:500 > 198.51.100.2:500  IKE_SA_INIT request 0  SA[",
			"  gw-b.wan: 198.51.100.1:500 > 198.51.100.2:500  IKE_SA_INIT request 0  [seen at another point]",
		} {
			if !strings.Contains(want.out, part) {
				t.Errorf("the lines lack %q", part)
			}
		}
	})
	t.Run("without keys", func(t *testing.T) {
		o := here(t, "decode", file)
		if o.status != exitOK || !strings.Contains(o.out, "not decrypted") || strings.Contains(o.out, "TSi[") {
			t.Errorf("outcome: %+v", o)
		}
	})
	t.Run("a wrong key", func(t *testing.T) {
		table, err := os.ReadFile(filepath.Join(keys, "esp_sa"))
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.ReplaceAll(string(table), `"0x0`, `"0x1`)
		for _, digit := range "123456789abcdef" {
			wrong = strings.ReplaceAll(wrong, fmt.Sprintf(`[RFC3602]","0x%c`, digit), `[RFC3602]","0x0`)
			wrong = strings.ReplaceAll(wrong, fmt.Sprintf(`[RFC4868]","0x%c`, digit), `[RFC4868]","0x0`)
		}
		path := write(t, "esp_sa", wrong)
		o := here(t, "decode", file, "--keys", filepath.Dir(path))
		if o.status != exitFailed || !strings.Contains(o.out, "ICV BAD") {
			t.Errorf("status %d, standard error %s", o.status, o.err)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		o := hereWith(t, string(raw[:len(raw)-7]), "decode", "-", "--keys", keys)
		if o.status != exitFailed || !strings.Contains(o.out, "  MALFORMED capture: behind frame ") || !strings.Contains(o.out, "TSi[10.1.0.0/16]") {
			t.Errorf("outcome: %+v", o)
		}
	})
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"no capture", []string{write(t, "x.pcap", "this is text")}, "is no capture"},
		{"empty", []string{write(t, "x.pcap", "")}, "is no capture"},
		{"no file", []string{filepath.Join(dir, "missing.pcap")}, "missing.pcap"},
		{"a folder", []string{dir}, "is a folder"},
		{"no folder of keys", []string{file, "--keys", filepath.Join(dir, "missing")}, "missing: no such file"},
		{"no keys", []string{file, "--keys", t.TempDir()}, "neither ikev2_decryption_table nor esp_sa"},
		{"two forms", []string{file, "--json", "--ladder"}, "want one of them"},
		{"no argument", nil, "arg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := here(t, append([]string{"decode"}, c.args...)...)
			if o.status != exitUsage || !strings.Contains(o.err, c.says) {
				t.Errorf("outcome: %+v", o)
			}
		})
	}
	t.Run("a row that is not used", func(t *testing.T) {
		path := write(t, "esp_sa", "\"IPv4\",\"*\",\"*\",\"*\",\"TWOFISH-CBC\",\"0x00\",\"NULL\",\"\"\n")
		o := here(t, "decode", file, "--keys", filepath.Dir(path))
		if o.status != exitOK || !strings.Contains(o.err, "esp_sa:1: encryption TWOFISH-CBC is not known") {
			t.Errorf("outcome: %d %s", o.status, o.err)
		}
	})
}
