package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

const untidy = "lab \"x\" {\nduration=\"1s\"\n  description   = \"tidy me\"\n}\n"

const tidy = "lab \"x\" {\n  duration    = \"1s\"\n  description = \"tidy me\"\n}\n"

func TestFmt(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Run("in place", func(t *testing.T) {
		path := write(t, "lab.hcl", untidy)
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(t.TempDir(), "link.hcl")
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
		o := here(t, "fmt", link)
		if diff := cmp.Diff(outcome{out: link + "\n"}, o, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(tidy, read(path)); diff != "" {
			t.Errorf("file (-want +got):\n%s", diff)
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("the symbolic link is gone: %v %v", info, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode has changed: %v %v", info, err)
		}
		if o := here(t, "fmt", path); o != (outcome{}) {
			t.Errorf("a tidy file: %+v", o)
		}
	})
	t.Run("check", func(t *testing.T) {
		path := write(t, "lab.hcl", untidy)
		if o := here(t, "fmt", "--check", path); o != (outcome{out: path + "\n", status: exitFailed}) {
			t.Errorf("an untidy file: %+v", o)
		}
		if read(path) != untidy {
			t.Error("--check wrote")
		}
	})
	t.Run("diff", func(t *testing.T) {
		path := write(t, "lab.hcl", untidy)
		want := "--- " + path + "\n+++ " + path + "\n@@ -2,2 +2,2 @@\n-duration=\"1s\"\n-  description   = \"tidy me\"\n+  duration    = \"1s\"\n+  description = \"tidy me\"\n"
		if diff := cmp.Diff(outcome{out: want}, here(t, "fmt", "--diff", path), cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("outcome (-want +got):\n%s", diff)
		}
		if read(path) != untidy {
			t.Error("--diff wrote")
		}
	})
	t.Run("standard input", func(t *testing.T) {
		if o := hereWith(t, untidy, "fmt", "-"); o != (outcome{out: tidy}) {
			t.Errorf("outcome: %+v", o)
		}
		if o := hereWith(t, tidy, "fmt", "-"); o != (outcome{out: tidy}) {
			t.Errorf("a tidy text: %+v", o)
		}
	})
	t.Run("not HCL", func(t *testing.T) {
		path := write(t, "lab.hcl", "lab {{")
		if o := here(t, "fmt", path); o.status != exitUsage || !strings.Contains(o.err, path+" line 1") {
			t.Errorf("outcome: %+v", o)
		}
	})
}

func TestValidate(t *testing.T) {
	good, bad := write(t, "good.hcl", hosts), write(t, "bad.hcl", hosts+"flow \"f\" {}\n")
	o := here(t, "validate", good)
	if want := good + " is valid: 1 network, 2 nodes, 0 connections, 1 flow, 0 steps, 0 expectations\n"; o != (outcome{out: want}) {
		t.Errorf("outcome: %+v", o)
	}
	if o := here(t, "validate", good, bad, "missing.hcl"); o.status != exitUsage || !strings.Contains(o.out, good) || !strings.Contains(o.err, "missing.hcl") {
		t.Errorf("three labs: %+v", o)
	}
	o = here(t, "validate", "--json", good, bad)
	var got []validation
	if err := json.Unmarshal([]byte(o.out), &got); err != nil {
		t.Fatal(err)
	}
	if o.status != exitUsage || len(got) != 2 || !got[0].Valid || got[1].Valid {
		t.Fatalf("status %d: %+v", o.status, got)
	}
	for _, d := range got[1].Diagnostics {
		if d.Severity != "error" || d.File != bad || d.Line == 0 || d.Summary == "" {
			t.Errorf("diagnostic: %+v", d)
		}
	}
}

func TestGraphCommand(t *testing.T) {
	lab := example("first-tunnel")
	for _, tc := range []struct{ file, begins string }{
		{"x.svg", "<svg"}, {"x.dot", "graph "}, {"x.gv", "graph "}, {"x.mmd", "flowchart"}, {"x", "<svg"},
	} {
		path := filepath.Join(t.TempDir(), tc.file)
		if o := here(t, "graph", lab, "-o", path); o != (outcome{}) {
			t.Errorf("%s: %+v", tc.file, o)
		}
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), tc.begins) {
			t.Errorf("%s begins with %.20q: %v", tc.file, text, err)
		}
	}
	o := here(t, "graph", lab, "--format", "mermaid")
	for _, want := range []string{"flowchart", "gw-a", "198.51.100.", "to-b"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("Mermaid lacks %q:\n%s", want, o.out)
		}
	}
	if o := here(t, "graph", lab, "--format", "png"); o.status != exitUsage || !strings.Contains(o.err, "svg, dot, mermaid") {
		t.Errorf("an unknown format: %+v", o)
	}
	if o := here(t, "graph", lab, "-o", filepath.Join(t.TempDir(), "no", "x.svg")); o.status != exitInternal {
		t.Errorf("an unwritable file: %+v", o)
	}
}

func TestDoctor(t *testing.T) {
	hosttest.NotQuick(t) // it tries namespaces
	o := here(t, "doctor", "--json")
	var all []capability
	if err := json.Unmarshal([]byte(o.out), &all); err != nil || o.status != exitOK {
		t.Fatalf("status %d, %v: %s", o.status, err, o.err)
	}
	text := here(t, "doctor")
	for _, c := range all {
		if !strings.Contains(text.out, c.Name) {
			t.Errorf("the table lacks %s", c.Name)
		}
		if c.Found == "" || c.For == "" || !c.OK && c.Cure == "" {
			t.Errorf("incomplete: %+v", c)
		}
		want := exitOK
		if !c.OK {
			want = exitCapability
		}
		if o := here(t, "doctor", c.Name); o.status != want {
			t.Errorf("doctor %s ends with %d, want %d: %s", c.Name, o.status, want, o.err)
		}
	}
}

// TestDoctorNamesWhatIsMissing: without tools on the PATH the tools are missing by name, with a cure, and asked for
// by name they end the program with status 3.
func TestDoctorNamesWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := here(t, "doctor", "tshark")
	if o.status != exitCapability || !strings.Contains(o.err, "this host lacks tshark") || !strings.Contains(o.err, "apt-get install tshark") {
		t.Errorf("outcome: %+v", o)
	}
	if o := here(t, "doctor"); o.status != exitOK || !strings.Contains(o.out, "NO   tshark") {
		t.Errorf("outcome: %+v", o)
	}
}

func TestVersion(t *testing.T) {
	if o := here(t, "version"); o.status != exitOK || !strings.HasPrefix(o.out, "ikelab ") || !strings.Contains(o.out, "go1.") {
		t.Errorf("outcome: %+v", o)
	}
}
