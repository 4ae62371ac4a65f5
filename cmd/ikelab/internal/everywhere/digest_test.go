package everywhere

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// build builds the command, with flags of go build, and returns its path.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ikelab")
	if out, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, "../..")...).CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", strings.Join(flags, " "), err, out)
	}
	return path
}

// digest runs the first example in a process of its own, and returns the line with its digest.
func digest(t *testing.T, program string, env []string, args ...string) string {
	t.Helper()
	lab := filepath.Join("..", "..", "..", "..", "examples", "first-tunnel.hcl")
	cmd := exec.Command(program, append([]string{"run", lab}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", env, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "digest  sha256:") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("a run printed no digest:\n%s", out)
	return ""
}

// TestTheSameDigestEverywhere: 20 fresh processes, with one, two and four processors, and with the race detector.
func TestTheSameDigestEverywhere(t *testing.T) {
	hosttest.NotQuick(t)
	digests := make(map[string][]string)
	run := func(path, what, processors string) {
		t.Helper()
		d := digest(t, path, []string{"GOMAXPROCS=" + processors})
		digests[d] = append(digests[d], what+processors)
	}
	plain := build(t)
	for i := range 18 {
		run(plain, "GOMAXPROCS=", []string{"1", "2", "4"}[i%3])
	}
	t.Run("race detector", func(t *testing.T) {
		hosttest.Program(t, "gcc")
		if out, err := exec.Command("go", "env", "CGO_ENABLED").Output(); err != nil || strings.TrimSpace(string(out)) != "1" {
			t.Skip("needs CGO_ENABLED=1 for the race detector; cure: unset CGO_ENABLED, apt-get install gcc libc6-dev")
		}
		raced := build(t, "-race")
		for _, processors := range []string{"2", "4"} {
			run(raced, "-race GOMAXPROCS=", processors)
		}
	})
	if len(digests) != 1 {
		t.Errorf("%d different digests: %v", len(digests), digests)
	}
	if other := digest(t, plain, nil, "--seed", "424242"); digests[other] != nil {
		t.Errorf("another seed gives the same %s", other)
	}
}
