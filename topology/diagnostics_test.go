package topology

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"
)

// TestDiagnostics loads every lab of testdata/diagnostics. What it expects stands in
// the file, on the offending line: "# want: " and a part of "summary: detail". Every
// want must be met by a diagnostic of its own, and no other may appear.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diagnostics/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".hcl"), func(t *testing.T) {
			src, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, d := loadFile(t, "diagnostics/"+name)
			got := map[int][]string{}
			for _, one := range d.All() {
				got[one.Line] = append(got[one.Line], one.Summary+": "+one.Detail)
				if one.Line > 0 && one.Column < 1 || one.EndLine < one.Line {
					t.Errorf("%s: range %d:%d-%d:%d of %q", name, one.Line, one.Column, one.EndLine, one.EndColumn, one.Summary)
				}
			}
			for i, line := range strings.Split(string(src), "\n") {
				wants := strings.Split(line, "# want: ")[1:]
				for _, want := range wants {
					want = strings.TrimSpace(want)
					rest, met := got[i+1][:0:0], false
					for _, g := range got[i+1] {
						if !met && strings.Contains(g, want) {
							met = true
							continue
						}
						rest = append(rest, g)
					}
					if !met {
						t.Errorf("%s:%d: want %q\n  got %s", name, i+1, want, strings.Join(got[i+1], "\n      "))
					}
					got[i+1] = rest
				}
			}
			for line := range len(strings.Split(string(src), "\n")) + 1 {
				for _, g := range got[line] {
					t.Errorf("%s:%d: unexpected: %s", name, line, g)
				}
			}
			if err := d.Write(&strings.Builder{}, 80, true); err != nil {
				t.Error(err)
			}
			if d.HasErrors() != (d.Error() != "") {
				t.Errorf("HasErrors and Error differ: %q", d.Error())
			}
		})
	}
}

// TestDiagnosticText holds the form that a person sees.
func TestDiagnosticText(t *testing.T) {
	_, d := loadText(t, "lab \"x\" {\n\tduration = \"40\" # too short a word\n}\n", nil)
	var out strings.Builder
	if err := d.Write(&out, 60, false); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"Error: Invalid duration",
		"  on lab.hcl line 2, column 13:",
		"     2 │ \tduration = \"40\" # too short a word",
		"       │ \t           ^^^^",
		"  duration: \"40\" has no unit: give a unit, e.g. \"40s\".",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if got := d.Error(); got != `lab.hcl:2:13: Invalid duration: duration: "40" has no unit: give a unit, e.g. "40s".` {
		t.Error(got)
	}
}

// TestDiagnosticsAreBounded: a file can be wrong in any number of places.
func TestDiagnosticsAreBounded(t *testing.T) {
	var src strings.Builder
	src.WriteString("lab \"x\" {}\n")
	for i := range diagnosticsMax + 10 {
		fmt.Fprintf(&src, "wrong \"n%d\" {}\n", i)
	}
	_, d := loadText(t, src.String(), nil)
	if d.Len() != diagnosticsMax+1 || !strings.Contains(d.Error(), "Too many diagnostics") {
		t.Errorf("%d diagnostics", d.Len())
	}
}

// TestDiagnosticsStayOnTheirLine: a lab's own bytes can neither move a terminal's cursor
// nor fill the screen, and what is no text is said to be none.
func TestDiagnosticsStayOnTheirLine(t *testing.T) {
	write := func(src string) string {
		_, d := Load(fstest.MapFS{"lab.hcl": {Data: []byte(src)}}, "lab.hcl", nil)
		var out strings.Builder
		if err := d.Write(&out, 80, false); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	got := write("lab \"x\" {\n  duration = \"1s\"\n  foo = \"\x1b[2J\u009b31m\"\n}\n")
	if strings.ContainsAny(got, "\x1b\u009b") || !strings.Contains(got, "  foo = \"\uFFFD[2J\uFFFD31m\"\n       │   ^^^\n") {
		t.Errorf("control characters came through, or the marks moved:\n%q", got)
	}
	got = write(strings.Repeat("a ", 3000) + "!\n")
	for _, line := range strings.Split(got, "\n") {
		if n := utf8.RuneCountInString(line); n > snippetColumnsMax+20 {
			t.Errorf("a line of %d columns was written", n)
		}
	}
	for _, src := range []string{"lab \"x\" {}\x00", "\xff\xfe"} {
		if got := write(src); !strings.Contains(got, "lab.hcl is no text: byte ") {
			t.Errorf("%q was answered by\n%s", src, got)
		}
	}
}

func TestWindow(t *testing.T) {
	text := strings.Repeat("x", 1000) + "BAD" + strings.Repeat("y", 1000)
	cut, from, to := window(text, 1000, 1003)
	if got := string([]rune(cut)[from:to]); got != "BAD" || !strings.HasPrefix(cut, "…") || !strings.HasSuffix(cut, "…") {
		t.Errorf("the window shows %q of %q", got, cut)
	}
	if cut, from, to := window(text, 0, 2003); from != 0 || to != snippetColumnsMax || strings.HasPrefix(cut, "…") {
		t.Errorf("a whole line was cut to %d-%d of %q", from, to, cut)
	}
}
