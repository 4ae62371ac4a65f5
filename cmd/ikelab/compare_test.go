package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/virtual"
)

// broken is an engine that cannot begin.
type broken struct{}

func (broken) Run(context.Context, *sim.Run, sim.EngineOptions) (*sim.Result, error) {
	return nil, errors.New("the belt is torn")
}

// stopping is an engine that is interrupted at once.
type stopping struct{}

func (stopping) Run(ctx context.Context, r *sim.Run, opt sim.EngineOptions) (*sim.Result, error) {
	ctx, stop := context.WithCancel(ctx)
	stop()
	return virtual.Engine{}.Run(ctx, r, opt)
}

// withEngine adds an engine for a test's time.
func withEngine(t *testing.T, e engineChoice) {
	t.Helper()
	old := engines
	engines = append(slices.Clone(engines), e)
	t.Cleanup(func() { engines = old })
}

// pairLab is a tunnel between two gateways that stays up for a while.
const pairLab = `
lab "pair" {
  seed     = 7
  duration = var.duration
  %s
}
variable "duration" {
  type    = string
  default = "12s"
}
variable "delay" {
  type    = string
  default = "10ms"
}
variable "start" {
  type    = string
  default = "start"
}
variable "psk" {
  type    = string
  default = "x"
}
variable "steps" {
  type    = number
  default = 1
}
variable "proposal" {
  type    = string
  default = "aes256gcm16"
}
network "n" { prefix = "192.0.2.0/24" }
node "a" {
  interface "e" {
    network = network.n
    link    = { delay = var.delay }
  }
  connection "to-b" {
    remote_addrs = [node.b.interface.e]
    dpd_delay    = "3s"
    child "net" {
      start_action  = var.start
      esp_proposals = [var.proposal]
    }
  }
}
node "b" {
  interface "e" { network = network.n }
  connection "to-a" {
    remote_addrs = [node.a.interface.e]
    child "net" { esp_proposals = ["aes256gcm16", "aes128gcm16"] }
  }
}
secret "a" {
  nodes  = [node.a]
  secret = "x"
}
secret "b" {
  nodes  = [node.b]
  secret = var.psk
}
step "down" {
  count  = var.steps
  at     = "10.6s"
  action = terminate(node.a.connection.to-b)
}
expect "up" {
  condition = result.node.a.connection.to-b.established_count == 1
}
`

// TestCompareGolden: what compare prints, for a comparison that holds and for every way to differ.
func TestCompareGolden(t *testing.T) {
	plain := write(t, "pair.hcl", fmt.Sprintf(pairLab, ""))
	stated := write(t, "stated.hcl", fmt.Sprintf(pairLab, `engines_differ = "the second engine is made to differ"`))
	withEngine(t, engineChoice{name: "alike", make: func() sim.Engine { return virtual.Engine{} }, exact: true})
	withEngine(t, engineChoice{name: "real", make: func() sim.Engine { return virtual.Engine{} }})
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		says   []string
	}{
		{"same", []string{"sim,sim", plain}, exitOK, []string{"compare  same  runs 1/1  IKE SAs 2/2"}},
		{"runs", []string{"sim,alike", plain, "--runs=3"}, exitOK, []string{"alike #3", "compare  same  runs 3/3  IKE SAs 6/6"}},
		{"seed", []string{"sim,sim", plain, "--other-seed=8"}, exitFailed, []string{"spi-i is", "compare  differ  runs 0/1  IKE SAs 0/2"}},
		{"slow", []string{"sim,sim", plain, "--other-var=delay=3s"}, exitFailed, []string{
			"sim #1 has exchange-received IKE_SA_INIT response 0 and sim #2 has retransmit IKE_SA_INIT request 0, retransmission 1",
			"This is a retransmission", "In sim #2 the response to the transmission before it came 6s after that was sent",
		}},
		{"no step", []string{"sim,alike", plain, "--other-var=steps=0"}, exitFailed, []string{"sim has exchange-sent INFORMATIONAL request", "alike nothing more"}},
		{"no tunnel", []string{"sim,alike", plain, "--other-var=start=none"}, exitFailed, []string{"only in sim", "FAIL  up"}},
		{"other key", []string{"sim,alike", plain, "--other-var=psk=y"}, exitFailed, []string{"AUTHENTICATION_FAILED"}},
		{"proposal", []string{"sim,alike", plain, "--other-var=proposal=aes128gcm16"}, exitFailed, []string{"SA[aes128gcm16-noesn]"}},
		// In virtual time an end is exact; where a run has real time it is not.
		{"cut", []string{"sim,alike", plain, "--other-var=duration=10.61s"}, exitFailed, []string{"alike nothing more"}},
		{"early", []string{"sim,real", plain, "--until=10.9s", "--other-var=duration=10.61s"}, exitOK, []string{"cut off in real by its end", "compare  same"}},
		{"stated", []string{"sim,alike", stated}, exitOK, []string{"in this they did not", "compare  same"}},
		{"stated of engines", []string{"sim,alike", stated, "--other-seed=8"}, exitFailed, []string{"compare  differ"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := here(t, append([]string{"compare", "--engines"}, tc.args...)...)
			if o.status != tc.status || o.err != "" {
				t.Errorf("status %d, want %d; standard error: %s", o.status, tc.status, o.err)
			}
			for _, want := range tc.says {
				if !strings.Contains(strings.Join(strings.Fields(o.out), " "), strings.Join(strings.Fields(want), " ")) {
					t.Errorf("standard output lacks %q", want)
				}
			}
			for _, lab := range []string{plain, stated} {
				o.out = strings.ReplaceAll(o.out, lab, filepath.Base(lab))
			}
			path := filepath.Join("testdata", "compare", strings.NewReplacer(" ", "-", ",", "").Replace(tc.name)+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(o.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; make golden writes it", err)
			}
			if diff := cmp.Diff(string(golden), o.out); diff != "" {
				t.Errorf("%s (-written +printed); make golden rewrites it:\n%s", path, diff)
			}
		})
	}
}

// TestCompareStatus: the exit statuses besides 0 and 1, and what a person is told.
func TestCompareStatus(t *testing.T) {
	plain := write(t, "pair.hcl", fmt.Sprintf(pairLab, ""))
	failing := write(t, "failing.hcl", hosts+`
expect "it rains" {
  condition     = result.flow.f.received > 99
  error_message = "no"
}
`)
	withEngine(t, engineChoice{name: "broken", make: func() sim.Engine { return broken{} }})
	withEngine(t, engineChoice{name: "stopping", make: func() sim.Engine { return stopping{} }})
	withEngine(t, engineChoice{name: "missing", absent: "it comes with a later version"})
	for _, tc := range []struct {
		name     string
		args     []string
		status   int
		out, err string
	}{
		{"an expectation failed", []string{"--engines", "sim,sim", failing}, exitFailed, "FAIL  it rains", ""},
		{"one engine", []string{"--engines", "sim", plain}, exitUsage, "", "want two"},
		{"three engines", []string{"--engines", "sim,sim,sim", plain}, exitUsage, "", "want two"},
		{"an engine that nobody has", []string{"--engines", "sim,warp", plain}, exitUsage, "", `engine "warp"`},
		{"an engine to come", []string{"--engines", "sim,missing", plain}, exitUsage, "", "engine missing: this version does not have it"},
		{"no run", []string{"--engines", "sim,sim", "--runs", "0", plain}, exitUsage, "", "--runs 0"},
		{"until nothing", []string{"--engines", "sim,sim", "--until", "0s", plain}, exitUsage, "", "--until 0s"},
		{"no such lab", []string{"--engines", "sim,sim", "no-such.hcl"}, exitUsage, "", "no-such.hcl"},
		{"half a variable", []string{"--engines", "sim,sim", "--other-var", "delay", plain}, exitUsage, "", "name=value"},
		{"a variable of no lab", []string{"--engines", "sim,sim", "--other-var", "nope=1", plain}, exitUsage, "", "nope"},
		{"no lab", nil, exitUsage, "", "1 arg"},
		{"an engine that breaks", []string{"--engines", "sim,broken", plain}, exitInternal, "", "engine broken: the belt is torn"},
		{"interrupted", []string{"--engines", "sim,stopping", plain}, exitInterrupted, "", "interrupted while stopping ran the lab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := here(t, append([]string{"compare"}, tc.args...)...)
			if o.status != tc.status || !strings.Contains(o.out, tc.out) || !strings.Contains(o.err, tc.err) {
				t.Errorf("status %d, want %d\nstandard output: %s\nstandard error: %s", o.status, tc.status, o.out, o.err)
			}
			if tc.out == "" && o.out != "" {
				t.Errorf("standard output is not empty: %s", o.out)
			}
		})
	}
}

// TestCompareSeedAndVar: both runs get what the command line says of the lab.
func TestCompareSeedAndVar(t *testing.T) {
	lab := write(t, "lab.hcl", fmt.Sprintf(pairLab, ""))
	var digests []string
	for _, args := range [][]string{nil, {"--seed", "8"}, {"--var", "delay=70ms"}, {"--until", "5s"}} {
		o := here(t, append([]string{"compare", "--engines", "sim,sim", "--json", lab}, args...)...)
		var c comparison
		if err := json.Unmarshal([]byte(o.out), &c); err != nil || o.status != exitOK {
			t.Fatalf("%v: status %d, %v: %s", args, o.status, err, o.err)
		}
		if len(c.Runs) != 2 || c.Runs[0].Digest != c.Runs[1].Digest {
			t.Errorf("%v: the runs are not the same: %+v", args, c.Runs)
		}
		if slices.Contains(digests, c.Runs[0].Digest) {
			t.Errorf("%v changes nothing", args)
		}
		digests = append(digests, c.Runs[0].Digest)
	}
}

// TestCompareSchema: every field of the document is in docs/compare.md with its type, and every field there occurs.
func TestCompareSchema(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "compare.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(raw), "| field | type | meaning |\n")
	if !ok {
		t.Fatal("docs/compare.md has no table of fields")
	}
	type field struct{ kind, found string }
	fields := map[string]*field{}
	optional := map[string]bool{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		name := strings.TrimSpace(cells[1])
		optional[strings.Trim(name, "[]`")] = strings.HasPrefix(name, "[")
		fields[strings.Trim(name, "[]`")] = &field{kind: strings.TrimSpace(cells[2])}
	}
	if len(fields) < 40 {
		t.Fatalf("only %d fields are documented", len(fields))
	}
	var check func(prefix string, v any)
	check = func(prefix string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				check(prefix, e)
			}
		case map[string]any:
			if prefix == "left." || prefix == "right." {
				prefix = "event."
			}
			for name, value := range v {
				f := fields[prefix+name]
				if f == nil {
					t.Errorf("%s%s is not documented", prefix, name)
					continue
				}
				f.found = map[string]string{"string": "string", "float64": "number", "bool": "boolean", "[]interface {}": "array", "map[string]interface {}": "object"}[fmt.Sprintf("%T", value)]
				if f.found != f.kind {
					t.Errorf("%s%s is %s, documented as %s", prefix, name, f.found, f.kind)
				}
				check(name+".", value)
			}
			for name := range fields {
				if rest, ok := strings.CutPrefix(name, prefix); ok && !strings.Contains(rest, ".") && !optional[name] {
					if _, ok := v[rest]; !ok {
						t.Errorf("%s is missing in %v", name, v)
					}
				}
			}
		}
	}
	plain := write(t, "pair.hcl", fmt.Sprintf(pairLab, `engines_differ = "it shall"`))
	withEngine(t, engineChoice{name: "real", make: func() sim.Engine { return virtual.Engine{} }})
	for _, more := range []string{"--other-seed=8", "--other-var=delay=3s", "--other-var=steps=0", "--other-var=start=none", "--other-var=duration=10.61s"} {
		o := here(t, "compare", "--engines=sim,real", "--json", "--until=10.9s", plain, more)
		var document map[string]any
		dec := json.NewDecoder(bytes.NewReader([]byte(o.out)))
		if err := dec.Decode(&document); err != nil || dec.More() {
			t.Fatalf("%s: %v, more %v: %s", more, err, dec.More(), o.err)
		}
		check("", document)
	}
	for name, f := range fields {
		if f.found == "" && name != "runs.stopped" {
			t.Errorf("%s is documented and never written", name)
		}
	}
}

// enginesMayDiffer are the examples that say in engines_differ why their protocol events differ between engines. A
// lab is added here by who has found out why, and taken out when it does not differ any more.
var enginesMayDiffer = []string{}

// TestExamplesCompare: an example compares with itself, event by event, and none says that engines differ without
// standing in the list.
func TestExamplesCompare(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			o := here(t, "compare", "--engines", "sim,sim", "--json", example(name))
			var c comparison
			if err := json.Unmarshal([]byte(o.out), &c); err != nil || o.status != exitOK {
				t.Fatalf("status %d, %v: %s", o.status, err, o.err)
			}
			if stated := c.EnginesDiffer != ""; stated != slices.Contains(enginesMayDiffer, name) {
				t.Errorf("engines_differ is %q; the test's list has %v", c.EnginesDiffer, enginesMayDiffer)
			}
			r := c.Comparisons[0]
			if c.Verdict != verdictSame || !r.Same || len(r.SAs) < 2 {
				t.Errorf("verdict %s, %d SAs", c.Verdict, len(r.SAs))
			}
			for _, sa := range r.SAs {
				if sa.Same == 0 || sa.Same != sa.Left || sa.Same != sa.Right {
					t.Errorf("%s %s: %d of %d and %d events are the same", sa.Node, sa.SPI, sa.Same, sa.Left, sa.Right)
				}
			}
		})
	}
}
