package wireshark

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// What a run writes with --out.
const (
	captureFile  = "capture.pcapng"
	wiresharkDir = "wireshark"
)

// program is the command, built once for all tests.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ikelab-wireshark-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "ikelab")
	status := m.Run()
	if os.RemoveAll(dir) != nil {
		status = 1
	}
	os.Exit(status)
}

// ikelab runs a command line that must work, and returns what it printed.
func ikelab(t *testing.T, args ...string) string {
	t.Helper()
	if _, err := os.Stat(program); errors.Is(err, os.ErrNotExist) {
		if out, err := exec.Command("go", "build", "-o", program, "../..").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	cmd := exec.Command(program, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("ikelab %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return string(out)
}

// example runs one of the repository's examples and returns the folder with what it wrote.
func example(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	ikelab(t, "run", filepath.Join("..", "..", "..", "..", "examples", name+".hcl"), "--out", dir)
	return dir
}

// examples names all of them.
func examples(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "..", "examples", "*.hcl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".hcl"))
	}
	return names
}

// tshark reads the capture that a run wrote, with the keys that it wrote.
func tshark(t *testing.T, dir string, args ...string) string {
	t.Helper()
	return hosttest.Tshark(t, filepath.Join(dir, captureFile), filepath.Join(dir, wiresharkDir), args...)
}

// decodedLine is what these tests read of a JSON line of decode.
type decodedLine struct {
	Frame     int
	Kind      string
	Payloads  []string
	Decrypted *bool
	Inner     string
}

// decoded runs decode --json over a run's capture with the tables beside it.
func decoded(t *testing.T, dir string) (lines []decodedLine) {
	t.Helper()
	out := ikelab(t, "decode", "--json", filepath.Join(dir, captureFile), "--keys", filepath.Join(dir, wiresharkDir))
	for text := range strings.Lines(out) {
		var l decodedLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}
