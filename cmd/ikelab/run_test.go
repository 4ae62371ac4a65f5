package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
)

// hosts is a lab of two hosts, with room for more blocks.
const hosts = `
lab "hosts" {
  duration = "2s"
}
variable "delay" {
  type    = string
  default = "1ms"
}
network "n" { prefix = "10.0.0.0/24" }
node "a" {
  implementation = "host"
  interface "e" {
    network = network.n
    link    = { delay = var.delay }
  }
}
node "b" {
  implementation = "host"
  interface "e" { network = network.n }
}
flow "f" {
  from = node.a
  to   = node.b
  rate = "10pps"
  stop = "1s"
}
`

// TestExitStatus: each status that scripts rely on, and what a person is told with it.
func TestExitStatus(t *testing.T) {
	good := write(t, "good.hcl", hosts+`
expect "all arrive" {
  condition     = result.flow.f.lost == 0
  error_message = "lost some"
}
`)
	failing := write(t, "failing.hcl", hosts+`
expect "it rains" {
  condition     = result.flow.f.received > 99
  error_message = "only ${result.flow.f.received} drops fell"
}
`)
	if !strings.Contains(hosts, "interface \"e\" { network = network.n }") {
		t.Fatal("the lab of this test has changed")
	}
	wrong := write(t, "wrong.hcl", strings.Replace(hosts, "interface \"e\" { network = network.n }", "interface \"e\" { network = network.m }", 1))
	commands := write(t, "commands.hcl", hosts+`
process "p" {
  node    = node.a
  command = ["true"]
}
`)
	notHCL := write(t, "not.hcl", "lab \"x\" {\n")
	file := write(t, "file", "")

	for _, tc := range []struct {
		name   string
		args   []string
		status int
		out    []string // in standard output
		err    []string // in standard error
	}{
		{"everything held", []string{"run", good}, exitOK, []string{"pass  all arrive", "result  pass  expectations 1/1  invariants "}, nil},
		{"an expectation failed", []string{"run", failing}, exitFailed,
			[]string{"FAIL  it rains", "only 10 drops fell", "result.flow.f.received", "result  fail  expectations 0/1"}, nil},
		{"a dangling reference", []string{"run", wrong}, exitUsage, nil, []string{"wrong.hcl line 19, column 29", "network.m", "^^^^^^^^^"}},
		{"a dangling reference, validated", []string{"validate", wrong}, exitUsage, nil, []string{"wrong.hcl line 19, column 29", "network.m", "^^^^^^^^^"}},
		{"not HCL", []string{"run", notHCL}, exitUsage, nil, []string{"not.hcl line 1", "no closing brace"}},
		{"no such lab", []string{"run", "no-such.hcl"}, exitUsage, nil, []string{"no-such.hcl"}},
		{"a directory", []string{"run", t.TempDir()}, exitUsage, nil, []string{"is a directory"}},
		{"no lab", []string{"run"}, exitUsage, nil, []string{"1 arg"}},
		{"no command", nil, exitUsage, []string{"Available Commands"}, nil},
		{"unknown command", []string{"rnu", good}, exitUsage, nil, []string{`unknown command "rnu"`}},
		{"unknown flag", []string{"run", "--sede", "1", good}, exitUsage, nil, []string{"--sede", "ikelab run --help"}},
		{"a seed that is none", []string{"run", "--seed", "-1", good}, exitUsage, nil, []string{"--seed"}},
		{"until nothing", []string{"run", "--until", "0s", good}, exitUsage, nil, []string{"--until 0s"}},
		{"until what", []string{"run", "--until", "5", good}, exitUsage, nil, []string{"--until"}},
		{"unknown engine", []string{"run", "--engine", "warp", good}, exitUsage, nil, []string{"warp", "sim, netns, guest"}},
		{"an engine to come", []string{"run", "--engine", "guest", good}, exitUsage, nil, []string{"comes with a later version", "--engine sim"}},
		{"a variable of no lab", []string{"run", "--var", "nope=1", good}, exitUsage, nil, []string{"nope"}},
		{"commands in virtual time", []string{"run", commands}, exitUsage, nil, []string{`commands.hcl:28: process "p"`, "--engine netns"}},
		{"commands, validated", []string{"validate", commands}, exitOK, []string{"commands.hcl"}, nil},
		{"half a variable", []string{"run", "--var", "delay", good}, exitUsage, nil, []string{"name=value"}},
		{"a variable twice", []string{"run", "--var", "delay=1ms", "--var", "delay=2ms", good}, exitUsage, nil, []string{"twice"}},
		{"a variable of the wrong unit", []string{"run", "--var", "delay=5 furlongs", good}, exitUsage, nil, []string{"furlongs"}},
		{"out is a file", []string{"run", "--out", file, good}, exitInternal, nil, []string{"--out", file}},
		{"out is below a file", []string{"run", "--out", filepath.Join(file, "x"), good}, exitInternal, nil, []string{"--out"}},
		{"a capability that nobody has", []string{"doctor", "telepathy"}, exitUsage, nil, []string{"doctor knows"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := here(t, tc.args...)
			if o.status != tc.status {
				t.Errorf("status %d, want %d", o.status, tc.status)
			}
			for _, want := range tc.out {
				if !strings.Contains(o.out, want) {
					t.Errorf("standard output lacks %q", want)
				}
			}
			for _, want := range tc.err {
				if !strings.Contains(o.err, want) {
					t.Errorf("standard error lacks %q", want)
				}
			}
			if tc.err == nil && o.err != "" {
				t.Error("standard error is not empty")
			}
			if tc.status == exitUsage && tc.out == nil && o.out != "" {
				t.Error("standard output is not empty")
			}
			if t.Failed() {
				t.Logf("ikelab %s\nstandard output:\n%s\nstandard error:\n%s", strings.Join(tc.args, " "), o.out, o.err)
			}
		})
	}
}

// TestUnwritable: what cannot be written ends with status 4, also when it is standard output.
func TestUnwritable(t *testing.T) {
	if os.Geteuid() != 0 {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		if o := here(t, "run", "--out", filepath.Join(dir, "out"), write(t, "lab.hcl", hosts)); o.status != exitInternal {
			t.Errorf("status %d, want %d: %s", o.status, exitInternal, o.err)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skipf("needs /dev/full: %v; cure: run on Linux, with its devices in /dev", err)
	}
	defer func() { _ = full.Close() }()
	lab := write(t, "lab.hcl", hosts)
	for _, args := range [][]string{{"run", lab}, {"run", "--json", lab}, {"validate", lab}, {"graph", lab}, {"doctor"}, {"version"}} {
		var errs strings.Builder
		if status := execute(t.Context(), args, stdio{nil, full, &errs}); status != exitInternal {
			t.Errorf("%s to a full device: status %d, want %d", args[0], status, exitInternal)
		}
		if !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%s to a full device says %q", args[0], errs.String())
		}
	}
}

// TestFullDisk: a run whose files find no room says so at once, once for each, and still gives its verdict. No file may
// be longer than a limit here, because files are made anew and none of them can be a device that is full.
func TestFullDisk(t *testing.T) {
	lab := write(t, "lab.hcl", strings.NewReplacer("10pps", "1000pps", "  stop = \"1s\"\n", "").Replace(hosts))
	out := filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	limited := func(bytes int, lab string) outcome {
		return process(t, hosttest.Program(t, "prlimit"), nil, fmt.Sprintf("--fsize=%d", bytes), program(t), "run", "--out", out, lab)
	}
	o := limited(200_000, lab)
	if o.status != exitInternal {
		t.Errorf("status %d, want %d", o.status, exitInternal)
	}
	if _, result := closing(t, o); !strings.HasPrefix(result, "result  pass  ") {
		t.Errorf("last line is %q", result)
	}
	for _, name := range []string{traceFile, captureFile} {
		if n := strings.Count(o.err, name); n != 1 {
			t.Errorf("%s is named %d times: %s", name, n, o.err)
		}
		if want := filepath.Join(out, name) + ": file too large; the run goes on"; !strings.Contains(o.err, want) {
			t.Errorf("%q is not said: %s", want, o.err)
		}
	}
	if !strings.HasSuffix(o.err, "ikelab: --out: "+out+" lacks what could not be written\n") {
		t.Errorf("at the end it says %s", o.err)
	}
	if _, err := os.Stat(filepath.Join(out, resultFile)); err != nil {
		t.Error(err)
	}
	// What is little is written at the end, and complained of then.
	o = limited(100, write(t, "lab.hcl", hosts))
	if n := strings.Count(o.err, "file too large"); o.status != exitInternal || n < 2 || strings.Contains(o.err, "goes on") {
		t.Errorf("status %d: %s", o.status, o.err)
	}
	closing(t, o)
}

// TestJSON: standard output is one document, which holds what the closing lines say.
func TestJSON(t *testing.T) {
	lab := write(t, "lab.hcl", hosts)
	digest, _ := closing(t, here(t, "run", lab))
	o := here(t, "run", "--json", lab)
	if o.status != exitOK {
		t.Fatalf("status %d: %s", o.status, o.err)
	}
	var r sim.Result
	dec := json.NewDecoder(strings.NewReader(o.out))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if dec.More() {
		t.Error("something follows the document")
	}
	if "digest  sha256:"+r.Digest != digest {
		t.Errorf("digest %s, want %s", r.Digest, digest)
	}
	if len(r.Flows) != 1 || r.Flows[0].Sent != 10 || r.Flows[0].Received != 10 {
		t.Errorf("flows: %+v", r.Flows)
	}
}

// TestUntilAndVar: a run ends where --until says, and a variable's value arrives in the lab.
func TestUntilAndVar(t *testing.T) {
	lab := write(t, "lab.hcl", hosts)
	var r sim.Result
	o := here(t, "run", "--json", "--until", "550ms", "--var", "delay=7ms", lab)
	if err := json.Unmarshal([]byte(o.out), &r); err != nil {
		t.Fatalf("%v: %s", err, o.err)
	}
	if r.Ended != 550*time.Millisecond || r.Flows[0].Sent != 6 {
		t.Errorf("ended at %v with %d packets sent, want 550ms and 6", r.Ended, r.Flows[0].Sent)
	}
	if r.Flows[0].DelayMin != 7*time.Millisecond {
		t.Errorf("delay %v, want 7ms", r.Flows[0].DelayMin)
	}
}
