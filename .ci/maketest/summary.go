package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build-output and build-fail
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// skip is a test that did not run and why.
type skip struct {
	pkg, test, reason string
}

// data reports whether the skip is for want of captures that others recorded. They are not a capability of the
// host, so their absence never fails a run.
func (s skip) data() bool { return strings.Contains(s.reason, "IKELAB_CAPTURES") }

// testKey names a test within a run.
type testKey struct{ pkg, test string }

// summary collects what go test -json reports.
type summary struct {
	ci     bool
	passed int
	failed []testKey
	skips  []skip
	output map[testKey]*strings.Builder
}

// outputBytesMax bounds what is kept of one test's output; a test that says more is cut at its head.
const outputBytesMax = 1 << 20

// read consumes the events of one go test run and prints what a person wants to see while it runs: packages as
// they end, and everything that a failed test said.
func (s *summary) read(r io.Reader, w io.Writer) error {
	s.output = make(map[testKey]*strings.Builder)
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			// go test prints some errors of its own as plain text.
			_, _ = fmt.Fprintln(w, lines.Text())
			continue
		}
		s.add(e, w)
	}
	return lines.Err()
}

func (s *summary) add(e event, w io.Writer) {
	key := testKey{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		_, _ = io.WriteString(w, e.Output)
	case "output":
		b := s.output[key]
		if b == nil {
			b = new(strings.Builder)
			s.output[key] = b
		}
		if b.Len() < outputBytesMax {
			b.WriteString(e.Output)
		}
	case "pass":
		if e.Test != "" {
			s.passed++
		} else {
			_, _ = fmt.Fprintf(w, "ok    %-52s %6.1fs\n", e.Package, e.Elapsed)
		}
		delete(s.output, key)
	case "skip":
		if e.Test != "" {
			s.skips = append(s.skips, skip{e.Package, e.Test, s.reason(key)})
		} else {
			_, _ = fmt.Fprintf(w, "-     %-52s no tests\n", e.Package)
		}
		delete(s.output, key)
	case "fail":
		if b := s.output[key]; b != nil {
			_, _ = io.WriteString(w, b.String())
		}
		delete(s.output, key)
		if e.Test != "" {
			s.failed = append(s.failed, key)
			return
		}
		// A panic or an os.Exit takes the test that was running with it, without an event of its own.
		for k, b := range s.output {
			if k.pkg == e.Package && strings.Contains(b.String(), "panic: ") {
				_, _ = io.WriteString(w, b.String())
			}
		}
		_, _ = fmt.Fprintf(w, "FAIL  %-52s %6.1fs\n", e.Package, e.Elapsed)
		// A package that does not build, panics or runs out of time fails without a test that does.
		if !slices.ContainsFunc(s.failed, func(k testKey) bool { return k.pkg == e.Package }) {
			s.failed = append(s.failed, testKey{e.Package, "(as a whole, see above)"})
		}
	}
}

// logLine matches what t.Skip prints: the place and the message.
var logLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)$`)

// reason is what a skipped test said last, continuation lines included.
func (s *summary) reason(key testKey) string {
	b := s.output[key]
	if b == nil {
		return "(no reason given)"
	}
	var reason []string
	for _, line := range strings.Split(b.String(), "\n") {
		if m := logLine.FindStringSubmatch(line); m != nil {
			reason = []string{m[1]}
		} else if len(reason) > 0 && strings.HasPrefix(line, "        ") {
			reason = append(reason, strings.TrimSpace(line))
		}
	}
	if len(reason) == 0 {
		return "(no reason given)"
	}
	return strings.Join(reason, " ")
}

// print lists failures and skips. Skips with one reason stand under it together.
func (s *summary) print(w io.Writer) {
	var b strings.Builder
	if len(s.failed) > 0 {
		b.WriteString("\nfailed:\n")
		for _, k := range s.failed {
			fmt.Fprintf(&b, "  %s %s\n", k.pkg, k.test)
		}
	}
	if len(s.skips) > 0 {
		b.WriteString("\nskipped, and what cures it:\n")
		var reasons []string
		byReason := make(map[string][]skip)
		for _, k := range s.skips {
			if byReason[k.reason] == nil {
				reasons = append(reasons, k.reason)
			}
			byReason[k.reason] = append(byReason[k.reason], k)
		}
		for _, reason := range reasons {
			fmt.Fprintf(&b, "  %s\n", reason)
			for _, k := range byReason[reason] {
				fmt.Fprintf(&b, "    %s %s\n", k.pkg, k.test)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), len(s.skips))
	_, _ = io.WriteString(w, b.String())
}

// verdict fails a run in which tests were skipped although CI=true says that nothing may be.
func (s *summary) verdict() error {
	if !s.ci {
		return nil
	}
	n := 0
	for _, k := range s.skips {
		if !k.data() {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("CI=true makes a skip for a missing capability a failure: %d skipped", n)
	}
	return nil
}
