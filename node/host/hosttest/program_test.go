package hosttest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test whose end is looked at. Skip and Fatal end its goroutine, as a test's do.
type recorder struct {
	testing.TB
	end string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.end = "skip: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.end = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ends says how a test that does this would end; "" is that it goes on.
func ends(t *testing.T, do func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	over := make(chan struct{})
	go func() {
		defer close(over)
		do(r)
	}()
	<-over
	return r.end
}

// TestProgram: a program that is there is found, also where only administrators look; one that is missing skips by
// name with its package, and fails with CI=true; one without a row fails although it is there.
func TestProgram(t *testing.T) {
	NotQuick(t) // it would skip for another reason
	dir, admin := t.TempDir(), t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("CI", "")
	before := adminFolders
	adminFolders = []string{admin}
	defer func() { adminFolders = before }()
	for _, path := range []string{filepath.Join(dir, "ping"), filepath.Join(dir, "nmap"), filepath.Join(admin, "nft")} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ name, ci, end, path string }{
		{"ping", "", "", filepath.Join(dir, "ping")},
		{"nft", "", "", filepath.Join(admin, "nft")},
		{"tshark", "", "skip: needs tshark, which is not in PATH; cure: apt-get install tshark (make test does it as root on Debian)", ""},
		{"tshark", "true", "fatal: needs tshark, which is not in PATH; cure: apt-get install tshark (make test does it as root on Debian)", ""},
		{"gcc", "", "skip: needs gcc, which is not in PATH; cure: apt-get install gcc libc6-dev (make test does it as root on Debian)", ""},
		{"nmap", "", `fatal: no row for the program "nmap": put it with its Debian package into node/host/hosttest/program.go, and into .ci/tools, which installs it`, ""},
	} {
		t.Setenv("CI", tc.ci)
		var path string
		end := ends(t, func(t testing.TB) { path = Program(t, tc.name) })
		if end != tc.end || path != tc.path {
			t.Errorf("%s, CI=%q: %q, and the test ends with %q; want %q and %q", tc.name, tc.ci, path, end, tc.path, tc.end)
		}
	}
}

// TestCommand: a command line gets the path of its program, and one that has a path stays.
func TestCommand(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"sh -c true", Program(t, "sh") + " -c true"},
		{"/bin/sh -c true", "/bin/sh -c true"},
		{"", ""},
	} {
		if got := strings.Join(Command(t, strings.Fields(tc.in)), " "); got != tc.want {
			t.Errorf("%q became %q, want %q", tc.in, got, tc.want)
		}
	}
}
