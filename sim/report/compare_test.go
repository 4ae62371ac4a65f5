package report

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/ikelab/ikelab/ike"
	ikewire "github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/align"
	"github.com/ikelab/ikelab/topology"
)

// escapes are the sequences that colours are made of.
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// parted are two runs that differ in every manner there is.
func parted() *align.Report {
	message := func(transmission int, id uint32, response bool, payloads ...string) *ike.Exchange {
		return &ike.Exchange{Type: ikewire.ExchangeInformational, MessageID: id, Response: response, Initiator: !response, Transmission: transmission,
			SPIi: ikewire.SPI{0xa1}, SPIr: ikewire.SPI{0xb1}, Payloads: payloads}
	}
	fields := func(pairs ...string) []ike.Field {
		var out []ike.Field
		for i := 0; i < len(pairs); i += 2 {
			out = append(out, ike.Field{Key: pairs[i], Value: pairs[i+1]})
		}
		return out
	}
	run := func(name string, other bool) align.Side {
		p := sim.Protocol{SAs: []sim.ProtocolSA{
			{Node: "gw-a", SPIi: ikewire.SPI{0xa1}, Initiator: true, Connection: "to-b", Peer: "gw-b"},
			{Node: "a-gateway-with-a-name-that-is-longer-than-its-half-of-the-page", SPIi: ikewire.SPI{0xa1}, Peer: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]"},
			{Node: "gw-a", Connection: "to-c"},
			{Node: "gw-a", SPIi: ikewire.SPI{0xa2}, Initiator: true, Connection: "to-d", Peer: "gw-d"},
			{Node: "gw-b", SPIi: ikewire.SPI{0xa3}, Connection: "tail", Peer: "gw-a"},
		}}
		add := func(sa int, at time.Duration, kind ike.RecordKind, m *ike.Exchange, facts ...string) {
			p.Events = append(p.Events, sim.ProtocolEvent{At: at, SA: sa, Kind: kind, Message: m, Facts: fields(facts...)})
		}
		for i := range uint32(7) {
			add(0, time.Duration(i)*100*ms, ike.RecordSent, message(0, i, false))
			add(0, time.Duration(i)*100*ms+20*ms, ike.RecordReceived, message(0, i, true))
		}
		ts := "10.1.0.0/16, 10.2.0.0/16, 2001:db8:1::/64, 2001:db8:2::/64, 192.0.2.77/32[tcp/443]"
		if other {
			ts = "10.1.0.0/16"
			add(0, 4*time.Second, ike.RecordRetransmit, message(1, 7, false, "D(IKE)"), "next", "7.2s")
			add(0, 4020*ms, ike.RecordDropped, message(0, 7, true), "reason", "a response to nothing that is outstanding, which takes more than a line")
		} else {
			add(0, 4*time.Second, ike.RecordSent, message(0, 7, false, "D(IKE)", "N(SOMETHING_WITH_A_VERY_LONG_NAME_"+strings.Repeat("X", 60)+")"))
			for i := range uint32(12) {
				add(0, time.Duration(5+i)*time.Second, ike.RecordReceived, message(0, 8+i, true))
			}
		}
		add(0, 99999*time.Second, ike.RecordChildInstalled, nil, "child", "net", "spi-in", "c0ffee01", "local-ts", ts, "keys-in", "0123456789abcdef")
		add(1, 100*ms, ike.RecordIKEEstablished, nil, "proposal", "aes256gcm16-prfsha384-x25519", "local-id", fmt.Sprint("gw-", other))
		if other {
			add(2, time.Second, ike.RecordIgnored, nil, "reason", "there is nothing to terminate")
		} else {
			add(4, 58*time.Second, ike.RecordLiveness, nil, "reason", "alive")
		}
		add(3, time.Second, ike.RecordIKEInit, nil)
		return align.Side{Name: name, Protocol: p, Result: &sim.Result{Ended: 58 * time.Second}}
	}
	return align.Compare(run("sim", false), run("netns", true), align.Options{Slack: time.Second})
}

// TestComparison: the ladders side by side on a wide page, one below the other on a narrow one, and in no case wider.
func TestComparison(t *testing.T) {
	r := parted()
	for _, width := range []int{64, 80, besideColumnsMin, 100, 101, 140} {
		var plain, coloured bytes.Buffer
		o := Options{WidthColumns: width}
		if err := Comparison(&plain, r, false, o); err != nil {
			t.Fatal(err)
		}
		lines, ladders := strings.Split(plain.String(), "\n"), false
		for i, line := range lines {
			// Lines of SAs are as long as their names are; ladders keep to the page.
			ladders = ladders || strings.HasPrefix(line, "the first difference")
			if w := lipgloss.Width(line); ladders && w > width {
				t.Errorf("width %d, line %d has %d columns: %s", width, i, w, line)
			}
		}
		if !ladders {
			t.Error("there is no ladder")
		}
		o.Colour = true
		if err := Comparison(&coloured, r, false, o); err != nil {
			t.Fatal(err)
		}
		if coloured.String() == plain.String() || escapes.ReplaceAllString(coloured.String(), "") != plain.String() {
			t.Errorf("width %d: colours are none, or more than colours", width)
		}
		if width == 80 || width == 140 {
			golden(t, fmt.Sprintf("compare-%d.txt", width), plain.Bytes())
		}
	}
}

// TestComparisonCut: bounds leave nothing out silently, and a brief comparison is a line.
func TestComparisonCut(t *testing.T) {
	r := parted()
	var b bytes.Buffer
	if err := Comparison(&b, r, false, Options{PairsMax: 1}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "… and 2 other differences later; --json shows all\n") || strings.Contains(b.String(), "and at ") {
		t.Errorf("one of three differences:\n%s", b.String())
	}
	same := align.Report{Left: "sim", Right: "netns", Same: true, First: -1}
	for i := range 5 {
		same.SAs = append(same.SAs, align.SA{Node: fmt.Sprint("gw-", i), SPI: "a100000000000000", Same: i, Left: i, Right: i})
	}
	b.Reset()
	if err := Comparison(&b, &same, false, Options{RowsMax: 2}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "… and 3 others with 9 events, each in the same order\n") || strings.Count(b.String(), "gw-") != 2 {
		t.Errorf("two of five:\n%s", b.String())
	}
	b.Reset()
	for i := range same.SAs {
		same.SAs[i].Difference = &align.Difference{}
		if i < 2 {
			same.SAs[i].Difference, same.SAs[i].Tail = nil, &align.Tail{Side: "sim", Events: 1}
		}
	}
	if err := Comparison(&b, &same, false, Options{RowsMax: 1, PairsMax: 1}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"… and 1 other that the end of a run cut off\n", "… and 2 others that differ; --json shows all\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("five that do not agree lack %q:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := Comparison(&b, &same, true, Options{}); err != nil {
		t.Fatal(err)
	}
	if b.String() != "\nsim and netns  5 IKE SAs, 10 events, the same order\n" {
		t.Errorf("brief: %q", b.String())
	}
	b.Reset()
	if err := Comparison(&b, &align.Report{Left: "sim", Right: "netns", Same: true, First: -1}, false, Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "no node reported anything of IKE") {
		t.Errorf("nothing: %q", b.String())
	}
}

// TestRuns: what failed in which run, and how much of it is not shown.
func TestRuns(t *testing.T) {
	held := &sim.Result{Lab: "pair", Seed: 7, Ended: 2 * time.Second, Expectations: []sim.ExpectationResult{{Name: "up", Pass: true}}, Invariants: []sim.InvariantResult{{Name: "no-reuse", Off: true}}}
	failed := &sim.Result{Lab: "pair", Seed: 8, Ended: time.Second, Stopped: "the belt is torn", Invariants: []sim.InvariantResult{{Name: "no-reuse", Why: "an IV came twice"}}}
	for i := range 6 {
		failed.Expectations = append(failed.Expectations, sim.ExpectationResult{Name: fmt.Sprint("up ", i), File: "pair.hcl", Line: 9, Mode: topology.ModeEnd, Why: "it is down"})
	}
	for _, bounded := range []bool{true, false} {
		o := Options{}
		if bounded {
			o.RowsMax = 16
		}
		var b bytes.Buffer
		if err := Runs(&b, []NamedResult{{"sim", held}, {"netns #1", failed}}, o); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"lab pair\n\n  sim       pass  seed 7  2.000 s  expectations 1/1  invariants 0/0\n",
			"  netns #1  FAIL  seed 8  1.000 s  expectations 0/6  invariants 0/1\n    stopped: the belt is torn\n",
			"  FAIL  up 3  pair.hcl:9\n        it is down\n", "  FAIL  no-reuse\n        an IV came twice\n",
		} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("bounded %v: %q is not in\n%s", bounded, want, b.String())
			}
		}
		cut := strings.Contains(b.String(), "… and 2 others that failed; --json names all\n")
		if cut != bounded || strings.Contains(b.String(), "up 4") == bounded {
			t.Errorf("bounded %v:\n%s", bounded, b.String())
		}
	}
}
