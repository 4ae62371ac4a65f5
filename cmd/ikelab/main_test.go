package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains(hiddenCommands, os.Args[1]) {
		// The program starts itself, and this binary stands for it.
		os.Exit(execute(context.Background(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
	}
	flag.Parse()
	if signal.Ignored(syscall.SIGHUP) {
		// Under nohup the programs that tests start would ignore it, too, and it is one of those they shall heed.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	status := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			status = 1
		}
	}
	if status == 0 {
		// Nothing that ran in this process may have left a goroutine behind.
		if err := goleak.Find(); err != nil {
			_, _ = os.Stderr.WriteString(err.Error() + "\n")
			status = 1
		}
	}
	os.Exit(status)
}

// processTimeout bounds one run of the program in a test, and whatever else is waited for.
const processTimeout = hosttest.Patience

// outcome is what a command line came to.
type outcome struct {
	out, err string
	status   int
}

// here runs a command line inside the test.
func here(t *testing.T, args ...string) outcome {
	t.Helper()
	return hereWith(t, "", args...)
}

// hereWith runs a command line inside the test, with standard input.
func hereWith(t *testing.T, input string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), processTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	status := execute(ctx, args, stdio{strings.NewReader(input), &out, &errs})
	return outcome{out.String(), errs.String(), status}
}

// built holds the programs that tests start, each built once when first asked for.
var built struct {
	sync.Mutex
	dir      string
	programs map[string]string
}

// program builds the command, with flags of go build, and answers its path.
func program(t *testing.T, buildFlags ...string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	key := strings.Join(buildFlags, " ")
	if path, ok := built.programs[key]; ok {
		return path
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "ikelab-test-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.programs = dir, make(map[string]string)
	}
	path := filepath.Join(built.dir, "ikelab"+strings.ReplaceAll(key, " ", ""))
	args := append(append([]string{"build"}, buildFlags...), "-o", path, ".")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	built.programs[key] = path
	return path
}

// process runs a program of ours in a fresh process.
func process(t *testing.T, path string, env []string, args ...string) outcome {
	t.Helper()
	return processFor(t, processTimeout, path, env, args...)
}

// processFor is process with a limit of its own, and may be called from any goroutine.
func processFor(t *testing.T, limit time.Duration, path string, env []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Errorf("%s %s: %v", path, strings.Join(args, " "), err)
		return outcome{err: err.Error(), status: -1}
	}
	return outcome{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// example is the path of one of the repository's examples.
func example(name string) string { return filepath.Join("..", "..", "examples", name+".hcl") }

// write puts a file into a directory of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// closing splits off the last two lines of a run.
func closing(t *testing.T, o outcome) (digest, result string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(o.out, "\n"), "\n")
	if len(lines) < 2 {
		t.Fatalf("a run printed fewer than two lines: %q; on standard error: %s", o.out, o.err)
	}
	digest, result = lines[len(lines)-2], lines[len(lines)-1]
	if !strings.HasPrefix(digest, "digest  sha256:") || len(digest) != len("digest  sha256:")+64 {
		t.Fatalf("last but one line of a run is %q; on standard error: %s", digest, o.err)
	}
	return digest, result
}
