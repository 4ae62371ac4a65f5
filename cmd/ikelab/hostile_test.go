package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
)

// onScreen are the characters of a text that would act on a terminal.
func onScreen(text string) (bad []rune) {
	for _, r := range text {
		if r != '\n' && r != '\t' && !screen.Visible(r) {
			bad = append(bad, r)
		}
	}
	return bad
}

// hostile moves a cursor, names a window and hides a line, in every way that there is to say so.
const hostile = "\x1b[2J\x1b]0;owned\x07\r\b\x7f\u009b1;1H\u202e"

// hostileLab is a lab whose own texts are hostile.
func hostileLab() string {
	quoted := strings.NewReplacer("\x1b", `\u001b`, "\x07", `\u0007`, "\r", `\r`, "\b", `\u0008`, "\x7f", `\u007f`, "\u009b", `\u009b`, "\u202e", `\u202e`).Replace(hostile)
	return strings.Replace(hosts, `lab "hosts" {`, `lab "hosts" {
  description = "`+quoted+`"`, 1) + `
expect "never ` + quoted + `" {
  condition     = result.flow.f.received < 0
  error_message = "` + quoted + `"
}
`
}

// TestHostileTexts: whatever a lab says, nothing of it acts on the terminal of who runs it, as text or as JSON, on either
// stream or in the files that a person looks at; and JSON still says what the lab said.
func TestHostileTexts(t *testing.T) {
	lab := write(t, "lab.hcl", hostileLab())
	raw := write(t, "raw.hcl", strings.Replace(hosts, `"1ms"`, `"`+hostile+`"`, 1))
	out := filepath.Join(t.TempDir(), "out")
	for _, c := range []struct {
		status int
		args   []string
	}{
		{exitFailed, []string{"run", "--out", out, lab}},
		{exitFailed, []string{"run", "--json", lab}},
		{exitOK, []string{"validate", lab}},
		{exitOK, []string{"graph", lab}},
		{exitUsage, []string{"run", raw}},
		{exitUsage, []string{"validate", "--json", raw}},
		{exitUsage, []string{"run", "--var", hostile + "=1", lab}},
		{exitUsage, []string{"run", "--engine", hostile, lab}},
		{exitUsage, []string{"run", "/nonexistent/" + hostile}},
		{exitUsage, []string{"decode", "/nonexistent/" + hostile}},
		{exitUsage, []string{hostile}},
		{exitUsage, []string{"run", "--" + hostile}},
	} {
		name, _, _ := strings.Cut(strings.Join(c.args, " "), "\x1b")
		o := here(t, c.args...)
		if o.status != c.status {
			t.Errorf("%s: status %d, want %d: %s%s", name, o.status, c.status, o.out, o.err)
		}
		if bad := onScreen(o.out + o.err); len(bad) > 0 {
			t.Errorf("%s: %q reach a terminal: %q%q", name, bad, o.out, o.err)
		}
	}
	for _, file := range []string{ladderFile, resultFile} {
		text, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			t.Fatal(err)
		}
		if bad := onScreen(string(text)); len(bad) > 0 {
			t.Errorf("%s: %q reach a terminal", file, bad)
		}
	}
	o := here(t, "run", "--json", lab)
	var result struct {
		Expectations []struct{ Name, Why string }
	}
	if err := json.Unmarshal([]byte(o.out), &result); err != nil || len(result.Expectations) != 1 {
		t.Fatalf("%v: %s", err, o.out)
	}
	if e := result.Expectations[0]; e.Name != "never "+hostile || e.Why != hostile {
		t.Errorf("the lab's texts came out as %q and %q", e.Name, e.Why)
	}
}

// TestFormattedAsItIs: what fmt writes to a file is the lab, to the octet.
func TestFormattedAsItIs(t *testing.T) {
	text := "locals { x = \"\u009b\u202e\x7f\" }\n"
	o := hereWith(t, text, "fmt", "-")
	if o.status != exitOK || !bytes.Equal([]byte(o.out), []byte(text)) {
		t.Errorf("status %d: %q, want %q; %s", o.status, o.out, text, o.err)
	}
}
