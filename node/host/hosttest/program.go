package hosttest

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// programs are the programs that tests call, each with the Debian packages that it takes.
var programs = map[string]string{
	"chmod":    "coreutils",
	"chroot":   "coreutils",
	"env":      "coreutils",
	"flock":    "util-linux",
	"gcc":      "gcc libc6-dev",
	"grep":     "grep",
	"head":     "coreutils",
	"cat":      "coreutils",
	"ip":       "iproute2",
	"iperf3":   "iperf3",
	"mkdir":    "coreutils",
	"mknod":    "coreutils",
	"mount":    "mount",
	"nsenter":  "util-linux",
	"nft":      "nftables",
	"ping":     "iputils-ping",
	"prlimit":  "util-linux",
	"readlink": "coreutils",
	"setpriv":  "util-linux",
	"setsid":   "util-linux",
	"sh":       "dash",
	"sleep":    "coreutils",
	"ss":       "iproute2",
	"stty":     "coreutils",
	"tcpdump":  "tcpdump",
	"touch":    "coreutils",
	"true":     "coreutils",
	"tshark":   "tshark",
	"unshare":  "util-linux",
}

// everywhere are the packages that every Debian machine has.
var everywhere = []string{"coreutils", "dash", "grep", "mount", "util-linux"}

// Programs is a copy of the table: a program's name, and its Debian packages with spaces between.
func Programs() map[string]string { return maps.Clone(programs) }

// adminFolders are where Debian keeps ip, nft and their like, and people's PATH does not look.
var adminFolders = []string{"/usr/sbin", "/sbin"}

// Look finds a program without judging the test: in PATH, and where administrators' tools are.
func Look(name string) (path string, err error) {
	path, err = exec.LookPath(name)
	for _, folder := range adminFolders {
		if err == nil {
			break
		}
		if p, e := exec.LookPath(filepath.Join(folder, name)); e == nil {
			return p, nil
		}
	}
	return path, err
}

// Program returns the path of a program, or skips the test by name with what cures it.
func Program(t testing.TB, name string) string {
	t.Helper()
	packages, known := programs[name]
	if !known {
		t.Fatalf("no row for the program %q: put it with its Debian package into node/host/hosttest/program.go, and into .ci/tools, which installs it", name)
	}
	if !slices.Contains(everywhere, packages) {
		NotQuick(t)
	}
	path, err := Look(name)
	if err != nil {
		Lacks(t, name+", which is not in PATH", "apt-get install "+packages+" (make test does it as root on Debian)")
	}
	return path
}

// Command returns a command line with the path of its program in front, which is looked for as Program does. A name
// with a slash is taken as it is, and so is one that begins with no-such-, which is meant not to exist.
func Command(t testing.TB, command []string) []string {
	t.Helper()
	if len(command) == 0 || strings.ContainsRune(command[0], '/') || strings.HasPrefix(command[0], "no-such-") {
		return command
	}
	return append([]string{Program(t, command[0])}, command[1:]...)
}

// NotQuick skips a test with -short, as make quick has it: one that needs root, namespaces or a tool that is slow to
// start, or that takes more than a second of processor time.
func NotQuick(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip(quickReason)
	}
}

// quickReason is what .ci/maketest counts without names.
const quickReason = "not for -short; cure: make test"

// Lacks skips a test for something that the machine lacks, with what cures it. With CI=true the test fails, but not
// with -short, which asks for nothing of the machine.
func Lacks(t testing.TB, what, cure string) {
	t.Helper()
	NotQuick(t)
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s; cure: %s", what, cure)
	}
	t.Skipf("needs %s; cure: %s", what, cure)
}
