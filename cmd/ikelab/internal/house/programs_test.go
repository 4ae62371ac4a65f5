package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestEveryProgramIsInstalledOrMissedByName: what tests and product start is in the table of programs, and .ci/tools
// installs what the table has. A newcomer's Debian shows what was forgotten; here it shows on every machine.
func TestEveryProgramIsInstalledOrMissedByName(t *testing.T) {
	files, err := Sources(root(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, Programs(files, hosttest.Programs()))
	script, err := os.ReadFile(filepath.Join(root(t), ".ci", "tools"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ToolRows(string(script))
	if err != nil {
		t.Fatalf(".ci/tools: %v", err)
	}
	if diff := cmp.Diff(hosttest.Programs(), rows); diff != "" {
		t.Errorf(".ci/tools and node/host/hosttest/program.go differ (-hosttest +tools):\n%s", diff)
	}
}

// TestProgramsCatches shows each way in which a test starts a program that a newcomer has not.
func TestProgramsCatches(t *testing.T) {
	table := map[string]string{"ping": "iputils-ping", "sh": "dash", "sleep": "coreutils"}
	for _, tc := range []struct {
		name, pkg, file, src string
		want                 []string // what each finding names; none when it is allowed
	}{
		{"by name", "node/host", "x_test.go", `exec.Command("nft", "--interactive")`, []string{`exec.Command("nft"): start it by the path`}},
		{"by name, with a row", "node/host", "x_test.go", `exec.CommandContext(ctx, "ping")`, []string{`exec.CommandContext("ping")`}},
		{"looked for", "sim/capture", "x_test.go", `exec.LookPath("tshark")`, []string{`exec.LookPath("tshark")`}},
		{"by the product", "cmd/ikelab", "x.go", `exec.Command("tc")`, []string{`exec.Command("tc")`}},
		{"go", "cmd/ikelab", "x_test.go", `exec.Command("go", "build")`, nil},
		{"by its path", "node/host", "x_test.go", `exec.Command(hosttest.Program(t, "nft"))`, nil},
		{"in a node", "cmd/ikelab", "x_test.go", `p.good("exec", "ha", "--", "conntrack", "-L")`, []string{`"conntrack", started in a node`}},
		{"in a node, from a list", "cmd/ikelab", "x_test.go", `f([]string{"exec", "ha", "--", "conntrack"})`, []string{`"conntrack", started in a node`}},
		{"in a node, with a row", "cmd/ikelab", "x_test.go", `p.good("exec", "ha", "--", "ping", "-c", "1")`, nil},
		{"in a node, meant to be missing", "cmd/ikelab", "x_test.go", `p.good("exec", "ha", "--", "no-such-command")`, nil},
		{"in a lab", "sim/netns", "x_test.go", "load(`command = [\"iperf3\", \"-s\"]`)", []string{`"iperf3", a lab's process`}},
		{"in a lab that nothing starts", "topology", "x_test.go", "load(`command = [\"iperf3\", \"-s\"]`)", nil},
		{"in a lab's script", "sim/netns", "x_test.go", "load(`\n  command = [\"sh\", \"-c\", \"trap '' TERM; sleep 1 & socat -u - x\"]\n`)", []string{`"socat", called by a script`}},
		{"in a script", "cmd/ikelab", "x_test.go", "run(`mount --bind a b 2>/dev/null && exec \"$@\"`)", []string{`"mount", called by a script`}},
		{"in a loop", "cmd/ikelab", "x_test.go", "run(`while ! test -e x; do usleep 5; done`)", []string{`"usleep", called by a script`}},
		{"plain text", "cmd/ikelab", "x_test.go", `say("ping it; then look")`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := synthetic(t, tc.pkg, tc.file, "package x\nvar _ = "+tc.src+"\n")
			got := Programs(p.Files, table)
			if len(got) != len(tc.want) {
				t.Fatalf("findings %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], tc.pkg+"/"+tc.file+":2: ") || !strings.Contains(got[i], want) {
					t.Errorf("finding %q does not name the place and %q", got[i], want)
				}
			}
		})
	}
	if _, err := ToolRows("while read -r x; do :; done"); err == nil {
		t.Error("a script without a table is accepted")
	}
}
