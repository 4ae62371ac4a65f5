package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/trace"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares with a file of testdata, or rewrites it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make golden writes it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); make golden rewrites it:\n%s", path, diff)
	}
}

const ms = time.Millisecond

// tunnel is a run with everything in it that a report has words for.
func tunnel() *sim.Result {
	init := []string{"SA(aes256gcm16-prfsha384-x25519)", "KE(x25519)", "Nonce(32)", "N(NAT_DETECTION_SOURCE_IP)", "N(NAT_DETECTION_DESTINATION_IP)", "N(IKEV2_FRAGMENTATION_SUPPORTED)", "N(SIGNATURE_HASH_ALGORITHMS)"}
	auth := []string{"IDi(fqdn:a.example)", "IDr(fqdn:b.example)", "AUTH(psk)", "SA(esp:aes256gcm16-noesn)", "TSi(10.1.0.0/16)", "TSr(10.2.0.0/16)"}
	return &sim.Result{
		Lab: "report", Seed: 7, Until: 30 * time.Second, Ended: 30 * time.Second, Events: 4711, Records: 99,
		Digest: strings.Repeat("0123456789abcdef", 4),
		Exchanges: []sim.ExchangeRow{
			{At: 0, Arrived: true, ArrivedAt: 20 * ms, From: "gw-a", To: "gw-b", Exchange: "IKE_SA_INIT", FromInitiator: true, Bytes: 240, Payloads: init},
			{At: 20 * ms, Arrived: true, ArrivedAt: 41 * ms, From: "gw-b", To: "gw-a", Exchange: "IKE_SA_INIT", Response: true, Bytes: 248, Payloads: init},
			{At: 41 * ms, Lost: true, Reason: "loss", From: "gw-a", To: "gw-b", Exchange: "IKE_AUTH", MessageID: 1, FromInitiator: true, Bytes: 225, Payloads: auth},
			{At: 4041 * ms, Arrived: true, ArrivedAt: 4061 * ms, From: "gw-a", To: "gw-b", Exchange: "IKE_AUTH", MessageID: 1, FromInitiator: true, Retransmission: 1, Bytes: 225, Discarded: "bad-checksum", Payloads: auth},
			{At: 4061 * ms, Lost: true, Reason: "link-down", From: "gw-b", To: "gw-a", Exchange: "IKE_AUTH", MessageID: 1, Response: true, Bytes: 200, Payloads: []string{"N(" + strings.Repeat("AUTHENTICATION_FAILED", 6) + ")"}},
			{At: 11241 * ms, From: "gw-a", To: "gw-b", Exchange: "CREATE_CHILD_SA", MessageID: 4294967295, FromInitiator: true, Retransmission: 2, Bytes: 225},
			{At: 12 * time.Second, Lost: true, From: "gw-a", To: "[192.0.2.99]", Exchange: "INFORMATIONAL", MessageID: 2, Bytes: 57},
		},
		ExchangesOmitted: 3,
		Connections: []sim.ConnectionResult{
			{Node: "gw-a", Name: "to-b", Established: true, EstablishedAt: 4100 * ms, EstablishedCount: 1, Retransmissions: 1, NAT: true, Encap: true,
				Children: []sim.ChildResult{{Name: "net", Installed: true, Installs: 1, PacketsIn: 10, PacketsOut: 11, BytesIn: 840, BytesOut: 924}}},
			{Node: "gw-b", Name: "to-a", Failed: "NO_PROPOSAL_CHOSEN", FailedCount: 1,
				Children: []sim.ChildResult{{Name: "net"}, {Name: "other", Failed: "TS_UNACCEPTABLE"}}},
			{Node: "gw-c", Name: "to-a", EstablishedCount: 2, EstablishedAt: time.Second, Children: []sim.ChildResult{{Name: "net", Installs: 2, PacketsIn: 1, BytesIn: 84}}},
			{Node: "gw-d", Name: "idle"},
		},
		Failures: []sim.Failure{
			{At: 41 * ms, Node: "gw-b", Connection: "to-a", Peer: "gw-a", Reason: "NO_PROPOSAL_CHOSEN",
				LocalProposals: []string{"aes256-sha2_256-modp2048"}, RemoteProposals: []string{"aes256gcm16-prfsha384-x25519", "aes128gcm16-prfsha256-ecp256", "chacha20poly1305-prfsha512-curve25519"},
				Fields: []trace.Field{{Key: "exchange", Value: "IKE_SA_INIT"}}},
			{At: 62 * ms, Node: "gw-a", Connection: "to-b", Child: "other", Peer: "[192.0.2.99]", Reason: "TS_UNACCEPTABLE"},
		},
		Flows: []sim.FlowResult{
			{Name: "ping", Protocol: "icmp", From: "host-a", To: "host-b", Sent: 21, Received: 19, Lost: 1, InFlight: 1, LongestGap: 2040 * ms, HasDelay: true,
				DelayMin: 40200 * time.Microsecond, DelayMean: 41 * ms, DelayP50: 40900 * time.Microsecond, DelayP99: 44100 * time.Microsecond, DelayMax: 45 * ms},
			{Name: "silent", Protocol: "udp", From: "host-a", To: "host-b", Sent: 100, Lost: 100, LongestGap: 10 * time.Second},
		},
		Processes: []sim.ProcessResult{
			{Name: "ping", Node: "host-a", Command: []string{"ping", "-c", "3", "10.2.0.2"}, Started: true, StartedAt: time.Second, Exited: true, Duration: 2030 * ms,
				Output: "3 received\n"},
			{Name: "fetch", Node: "host-a", Command: []string{"curl", "http://10.2.0.2/" + strings.Repeat("long/", 30)}, Started: true, StartedAt: 2 * time.Second,
				Exited: true, ExitStatus: 7, Duration: 130 * ms, ErrorOutput: "one\ntwo\nthree\r\ncurl: (7) \x1b[31mFailed\tto connect\n"},
			{Name: "server", Node: "host-b", Command: []string{"iperf3", "-s"}, Started: true, Running: true, StartedAt: 500 * ms, Duration: 29 * time.Second},
			{Name: "stopped", Node: "host-b", Command: []string{"tcpdump"}, Started: true, Exited: true, ExitStatus: 143, Stopped: true, Duration: 5 * time.Second, Output: "listening\n"},
			{Name: "crashed", Node: "host-b", Command: []string{"sh"}, Started: true, Exited: true, ExitStatus: 139, Duration: 5 * time.Second},
			{Name: "typo", Node: "gw-a", Command: []string{"pingg"}, Exited: true, ExitStatus: 127, Problem: "there is no command pingg"},
			{Name: "waits", Node: "gw-a", Command: []string{"true"}},
		},
		Nodes: []sim.NodeResult{
			{Name: "host-a"},
			{Name: "gw-a", PacketsDropped: 114, Drops: []sim.DropCount{{Reason: "esp-replay", Count: 2}, {Reason: "hold-full", Count: 100}, {Reason: "no-route", Count: 12}}},
			{Name: "gw-b", PacketsDropped: 1, Drops: []sim.DropCount{{Reason: "clear-inbound", Count: 1}}},
		},
		Expectations: []sim.ExpectationResult{
			{Name: "the tunnel comes up", Mode: "end", Pass: true},
			{Name: "the ping is answered", File: "lab.hcl", Line: 90, Mode: "within", At: 3 * time.Second, Why: "only 19 of 20 pings were answered, which is less than everybody who reads this long sentence hoped for at the beginning",
				Operands: []sim.OperandResult{{Text: "result.flow.ping.received", Value: "19"}, {Text: "20", Value: "20"}}},
		},
		Invariants: []sim.InvariantResult{
			{Name: "no-cleartext", Pass: true, Checks: 812},
			{Name: "no-reuse", Off: true},
			{Name: "no-replay", Count: 2, Checks: 40, At: 5 * time.Second, Why: "gw-b accepted sequence number 7 of the 1st SA from gw-a twice"},
		},
	}
}

func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		file string
		o    Options
	}{
		{"summary-100.txt", Options{}},
		{"summary-80.txt", Options{WidthColumns: 80}},
		{"summary-cut.txt", Options{PairsMax: 1, RowsMax: 1, OutDir: "out/"}},
		{"summary-colour.txt", Options{Colour: true}},
	} {
		t.Run(tc.file, func(t *testing.T) {
			var b bytes.Buffer
			if err := Summary(&b, tunnel(), tc.o); err != nil {
				t.Fatal(err)
			}
			golden(t, tc.file, b.Bytes())
		})
	}
}

// TestLadderKeepsItsWidth: no line of a ladder leaves its width, whatever the payloads.
func TestLadderKeepsItsWidth(t *testing.T) {
	for _, width := range []int{1, 64, 80, 99, 120, 500} {
		var b bytes.Buffer
		o := Options{WidthColumns: width}
		if err := Ladder(&b, tunnel(), o); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if got := lipgloss.Width(line); got > o.width() {
				t.Errorf("at width %d a line has %d columns: %q", o.width(), got, line)
			}
		}
	}
}

// TestALongLadderShowsItsEnds: of a conversation that goes on and on, the beginning and the end are shown.
func TestALongLadderShowsItsEnds(t *testing.T) {
	r := new(sim.Result)
	for i := range 100 {
		r.Exchanges = append(r.Exchanges, sim.ExchangeRow{At: time.Duration(i) * time.Second, From: "a", To: "b", Exchange: "INFORMATIONAL",
			MessageID: uint32(i), Lost: i%10 == 9, Arrived: i%10 != 9})
	}
	var b strings.Builder
	if err := Ladder(&b, r, Options{RungsMax: 8, OutDir: "out"}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		want := i < 6 || i >= 98
		if got := strings.Contains(b.String(), fmt.Sprintf("INFORMATIONAL request %d,", i)); got != want {
			t.Errorf("message %d is shown: %v", i, got)
		}
	}
	if want := "… 92 messages more until 97.000 s, 9 of them lost; see out/ladder.txt\n"; !strings.Contains(b.String(), want) {
		t.Errorf("want %q in\n%s", want, b.String())
	}
}

// TestManyInstancesOfAnExpectation: those that passed share a line, those that failed are shown up to the cut.
func TestManyInstancesOfAnExpectation(t *testing.T) {
	r := new(sim.Result)
	for i := range 200 {
		r.Expectations = append(r.Expectations, sim.ExpectationResult{Name: fmt.Sprintf("up [%d]", i), Mode: "end", Pass: i < 150, File: "lab.hcl", Line: 3, Why: "down"})
	}
	r.Expectations = append(r.Expectations, sim.ExpectationResult{Name: "single", Pass: true})
	var b strings.Builder
	expectations(&b, r, Options{RowsMax: 2})
	want := `  pass  up [0] … [149]
  FAIL  up [150]  lab.hcl:3
        down
  FAIL  up [151]  lab.hcl:3
        down
  pass  single
  … and 48 others that failed; --out DIR keeps them
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("expectations (-want +got):\n%s", diff)
	}
}

func TestClosing(t *testing.T) {
	good := func() *sim.Result {
		return &sim.Result{Digest: "ab", Expectations: []sim.ExpectationResult{{Pass: true}}, Invariants: []sim.InvariantResult{{Pass: true}, {Off: true}}}
	}
	for _, tc := range []struct {
		name   string
		change func(*sim.Result)
		want   string
	}{
		{"all held", func(*sim.Result) {}, "digest  sha256:ab\nresult  pass  expectations 1/1  invariants 1/1\n"},
		{"an expectation failed", func(r *sim.Result) { r.Expectations[0].Pass = false }, "digest  sha256:ab\nresult  fail  expectations 0/1  invariants 1/1\n"},
		{"an invariant failed", func(r *sim.Result) { r.Invariants[0].Pass = false }, "digest  sha256:ab\nresult  fail  expectations 1/1  invariants 0/1\n"},
		{"the engine gave up", func(r *sim.Result) { r.Stopped = "budget" }, "digest  sha256:ab\nresult  fail  expectations 1/1  invariants 1/1\n"},
		{"interrupted", func(r *sim.Result) { r.Interrupted = true }, "digest  sha256:ab\nresult  interrupted  expectations 1/1  invariants 1/1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := good()
			tc.change(r)
			if diff := cmp.Diff(tc.want, Closing(r)); diff != "" {
				t.Errorf("closing lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                         "0 ns",
		999:                       "999 ns",
		1234:                      "1.23 µs",
		40200 * time.Microsecond:  "40.2 ms",
		999600 * time.Microsecond: "1000 ms",
		2040 * ms:                 "2.04 s",
		125 * time.Second:         "125 s",
		-ms:                       "-1.00 ms",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%d) is %q, want %q", d, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
	}{
		{"one two three", []string{"one two", "three"}},
		{"aes256gcm16-prfsha384-x25519", []string{"aes256gcm1", "6-prfsha38", "4-x25519"}},
		{"aes256-prfsha384-x25519", []string{"aes256-", "prfsha384-", "x25519"}},
		{"abcdefghijklmno", []string{"abcdefghij", "klmno"}},
		{"a abcdefghijk", []string{"a", "abcdefghij", "k"}},
		{"ää ööö üüüüüüüüüüü", []string{"ää ööö", "üüüüüüüüüü", "ü"}},
		{"", nil},
	} {
		if diff := cmp.Diff(tc.want, wrap(tc.text, 10)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.text, diff)
		}
	}
}

func TestClip(t *testing.T) {
	for text, want := range map[string]string{"": "", "exact": "exact", "longer": "long…", "ääääää": "ääää…"} {
		if got := clip(text, 5); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	p := sim.Progress{Now: 1500 * ms, Until: 40 * time.Second, Events: 1000, Established: 1}
	if got, want := ProgressLine(p, 500*ms), "1.500 s of 40.000 s  1000 events  1 IKE SA  2000/s  3.0× real time"; got != want {
		t.Errorf("line is %q, want %q", got, want)
	}
	if got, want := ProgressLine(sim.Progress{Until: time.Second}, 0), "0.000 s of 1.000 s  0 events"; got != want {
		t.Errorf("line is %q, want %q", got, want)
	}
}
