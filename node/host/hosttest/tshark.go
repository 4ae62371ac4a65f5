package hosttest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Tshark reads a capture with the tables in a folder of configuration and nothing of this machine's own settings, and
// returns what it prints. Where there is no tshark the test is skipped.
func Tshark(t testing.TB, capture, configuration string, args ...string) string {
	t.Helper()
	cmd := exec.Command(Program(t, "tshark"), append([]string{"-r", capture}, args...)...)
	cmd.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+configuration, "HOME="+t.TempDir())
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v: %s", err, errs.String())
	}
	return string(out)
}
