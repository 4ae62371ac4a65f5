package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
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

// quickReason is that of tests that -short leaves out (node/host/hosttest). Asked for, they are counted and not named.
const quickReason = "not for -short; cure: make test"

// testKey names a test within a run.
type testKey struct{ pkg, test string }

// summary collects what go test -json reports.
type summary struct {
	ci     bool
	passed int
	failed []testKey
	skips  []skip
	output map[testKey]*strings.Builder
	tests  []timed
	// cached are packages whose tests did not run now.
	cached map[string]bool
}

// timed is a test without its subtests' names, and how long it ran.
type timed struct {
	testKey
	seconds float64
}

// outputBytesMax bounds what is kept of one test's output; a test that says more is cut at its head.
const outputBytesMax = 1 << 20

// read consumes the events of one go test run and prints what a person wants to see while it runs: packages as
// they end, and everything that a failed test said.
func (s *summary) read(r io.Reader, w io.Writer) error {
	s.output, s.cached = make(map[testKey]*strings.Builder), make(map[string]bool)
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
	if (e.Action == "pass" || e.Action == "fail") && e.Test != "" && !strings.Contains(e.Test, "/") {
		s.tests = append(s.tests, timed{key, e.Elapsed})
	}
	switch e.Action {
	case "build-output":
		_, _ = io.WriteString(w, e.Output)
	case "output":
		b := s.output[key]
		if b == nil {
			b = new(strings.Builder)
			s.output[key] = b
		}
		if e.Test == "" && strings.HasSuffix(e.Output, "\t(cached)\n") {
			s.cached[e.Package] = true
		}
		if b.Len() < outputBytesMax {
			b.WriteString(e.Output)
		}
	case "pass":
		if e.Test != "" {
			s.passed++
		} else {
			_, _ = fmt.Fprintf(w, "ok    %-52s %6.1fs%s\n", e.Package, e.Elapsed, map[bool]string{true: " (cached)"}[s.cached[e.Package]])
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

// dearestMax is how many of the tests that ran longest are named.
const dearestMax = 10

// printCost says what the packages took of the processors, and which tests ran longest. Tests of a package that run in
// parallel share its processor time, so for them there is only the time that passed.
func (s *summary) printCost(w io.Writer, took measured, table cpuTable) {
	var b strings.Builder
	if len(took) > 0 {
		b.WriteString("\nprocessor time, and its row in " + cpuFile + ":\n")
		var total time.Duration
		names := slices.SortedFunc(maps.Keys(took), func(a, b string) int {
			return cmp.Or(cmp.Compare(took[b], took[a]), cmp.Compare(a, b))
		})
		for _, name := range names {
			total += took[name]
			row := "none"
			if seconds, there := table[name]; there {
				row = fmt.Sprint(seconds)
			}
			fmt.Fprintf(&b, "  %-56s %7.1fs %5s\n", name, took[name].Seconds(), row)
		}
		fmt.Fprintf(&b, "  %-56s %7.1fs\n", "all", total.Seconds())
	}
	ran := slices.DeleteFunc(slices.Clone(s.tests), func(t timed) bool { return s.cached[t.pkg] })
	slices.SortStableFunc(ran, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	if len(ran) > 0 {
		b.WriteString("\nthe tests that ran longest:\n")
		for _, t := range ran[:min(len(ran), dearestMax)] {
			fmt.Fprintf(&b, "  %-66s %7.1fs\n", path.Base(t.pkg)+" "+t.test, t.seconds)
		}
	}
	_, _ = io.WriteString(w, b.String())
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
			if reason == quickReason {
				fmt.Fprintf(&b, "  %s: %d tests\n", reason, len(byReason[reason]))
				continue
			}
			fmt.Fprintf(&b, "  %s\n", reason)
			for _, k := range byReason[reason] {
				fmt.Fprintf(&b, "    %s %s\n", k.pkg, k.test)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d skipped\n", s.passed, len(s.failed), len(s.skips))
	_, _ = io.WriteString(w, b.String())
}

// verdict fails a run in which tests were skipped although CI=true says that nothing may be, or packages were dearer
// than they may be.
func (s *summary) verdict(dear []string) error {
	if !s.ci {
		return nil
	}
	if len(dear) > 0 {
		return fmt.Errorf("CI=true holds packages to their processor time:\n  %s", strings.Join(dear, "\n  "))
	}
	n := 0
	for _, k := range s.skips {
		if !k.data() && k.reason != quickReason {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("CI=true makes a skip for a missing capability a failure: %d skipped", n)
	}
	return nil
}
