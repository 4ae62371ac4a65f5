package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/sim/trace"
)

// examples are the labs that the README and the docs point at, all of them.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(example("*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".hcl"))
	}
	return names
}

// TestExamples runs every example: it passes, it is formatted, and its digest is the committed one. A digest that
// differs prints the first record that does; make golden accepts it.
func TestExamples(t *testing.T) {
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			if o := here(t, "fmt", "--diff", example(name)); o.status != exitOK || o.out != "" {
				t.Errorf("not in the canonical layout (status %d):\n%s%s", o.status, o.out, o.err)
			}
			dir := t.TempDir()
			o := here(t, "run", example(name), "--out", dir)
			digest, result := closing(t, o)
			if o.status != exitOK || !strings.HasPrefix(result, "result  pass  ") {
				t.Fatalf("status %d, %s; on standard error: %s\n%s", o.status, result, o.err, o.out)
			}
			goldenDigest(t, name, digest, filepath.Join(dir, traceFile))
		})
	}
}

// goldenDigest compares a digest with the committed one and, where they differ, the traces. Traces are committed
// compressed; only their content is compared.
func goldenDigest(t *testing.T, name, digest, tracePath string) {
	t.Helper()
	digestPath := filepath.Join("testdata", "golden", name+".digest")
	goldenTrace := filepath.Join("testdata", "golden", name+".trace.jsonl.gz")
	got, err := os.ReadFile(tracePath)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(digestPath)
	if *update {
		if err == nil && string(want) == digest+"\n" {
			return // the same content compresses to other bytes with another version of Go
		}
		if err := rewriteGolden(digestPath, goldenTrace, digest, got); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v; make golden writes it", err)
	}
	if string(want) == digest+"\n" {
		return
	}
	t.Errorf("%s\nthe committed one is\n%s", digest, want)
	file, err := os.Open(goldenTrace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	difference, err := trace.FirstDifference(unpacked, bytes.NewReader(got))
	switch {
	case err != nil:
		t.Fatal(err)
	case difference == nil:
		t.Error("the traces are equal: either the digest is not over the trace, or the golden files are of different runs")
	default:
		t.Errorf("-committed +now, %v", difference)
	}
	t.Log("if the change is meant, make golden accepts it")
}

func rewriteGolden(digestPath, tracePath, digest string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(digestPath), 0o755); err != nil {
		return err
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(content); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(tracePath, packed.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(digestPath, []byte(digest+"\n"), 0o644)
}

// TestGoldenMismatchShowsTheRecord: the comparison that TestExamples relies on sees a changed record.
func TestGoldenMismatchShowsTheRecord(t *testing.T) {
	dir := t.TempDir()
	if o := here(t, "run", example("trap"), "--out", dir); o.status != exitOK {
		t.Fatal(o.err)
	}
	content, err := os.ReadFile(filepath.Join(dir, traceFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(content, []byte("\n"))
	if len(lines) < 10 {
		t.Fatalf("a trace of %d records", len(lines))
	}
	changed := bytes.Join([][]byte{bytes.Join(lines[:7], nil), bytes.Replace(lines[7], []byte(`"at":`), []byte(`"at":1`), 1), bytes.Join(lines[8:], nil)}, nil)
	d, err := trace.FirstDifference(bytes.NewReader(content), bytes.NewReader(changed))
	if err != nil || d == nil || d.Line != 8 {
		t.Fatalf("difference %v, error %v; want line 8", d, err)
	}
}

// TestSeedsReachTheLab: --seed is what the lab's own seed is, and the lab's own is the default.
func TestSeedsReachTheLab(t *testing.T) {
	const lab = `
lab "seeds" {
  seed     = %d
  duration = "5s"
}
network "n" { prefix = "10.0.0.0/24" }
node "a" {
  implementation = "host"
  interface "e" {
    network = network.n
    link    = { delay = "5ms", loss = { p = 0.5 } }
  }
}
node "b" {
  implementation = "host"
  interface "e" { network = network.n }
}
flow "f" {
  from = node.a
  to   = node.b
  rate = "20pps"
}
`
	digestOf := func(args ...string) string {
		t.Helper()
		digest, _ := closing(t, here(t, append([]string{"run"}, args...)...))
		return digest
	}
	one := write(t, "lab.hcl", fmt.Sprintf(lab, 1))
	two := write(t, "lab.hcl", fmt.Sprintf(lab, 2))
	if digestOf(one) == digestOf(two) {
		t.Error("the lab's seed changes nothing")
	}
	if digestOf(one, "--seed", "2") != digestOf(two) {
		t.Error("--seed 2 is not the lab's seed = 2")
	}
	if digestOf(one) != digestOf(one, "--out", t.TempDir()) {
		t.Error("--out changes the digest")
	}
}

// TestArtefacts: every file that --out promises is there, and strangers' files stay.
func TestArtefacts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "out")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(stranger, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	var before map[string][]byte
	for range 2 { // the second run replaces what the first one left
		o := here(t, "run", example("first-tunnel"), "--out", dir)
		if o.status != exitOK {
			t.Fatalf("status %d: %s", o.status, o.err)
		}
		now := make(map[string][]byte)
		for _, name := range []string{resultFile, traceFile, captureFile, ladderFile,
			wiresharkDir + "/ikev2_decryption_table", wiresharkDir + "/esp_sa", wiresharkDir + "/preferences"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if len(content) == 0 {
				t.Errorf("%s is empty", name)
			}
			now[name] = content
		}
		for name, content := range before {
			if !bytes.Equal(content, now[name]) {
				t.Errorf("%s of the same run differs", name)
			}
		}
		before = now
	}
	if content, err := os.ReadFile(stranger); err != nil || string(content) != "mine" {
		t.Errorf("a stranger's file is now %q, %v", content, err)
	}
	// Anybody can check the digest: it is over the trace as it is written.
	digest, _ := closing(t, here(t, "run", example("first-tunnel")))
	if sum := fmt.Sprintf("digest  sha256:%x", sha256.Sum256(before[traceFile])); sum != digest {
		t.Errorf("the trace's %s is not the run's %s", sum, digest)
	}
	records := 0
	file, err := os.Open(filepath.Join(dir, traceFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := trace.Read(io.Reader(file), func(trace.Record) error { records++; return nil }); err != nil {
		t.Error(err)
	}
	if records < 100 {
		t.Errorf("the trace has %d records", records)
	}
}
