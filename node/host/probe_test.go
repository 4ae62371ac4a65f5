//go:build linux

package host

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestProbe tries filter and rules in a namespace, which is as before then; what is in
// the way shows.
func TestProbe(t *testing.T) {
	t.Parallel()
	needKernel(t)
	n := newNamespace(t)
	state := func() (all string) {
		for _, c := range []string{"ip rule", "ip -6 rule", "ip route show table all type unreachable", "nft list ruleset"} {
			out, err := run(t, n, strings.Fields(c)...)
			if err != nil && !strings.Contains(out, "FIB table does not exist") {
				t.Errorf("%s: %v: %s", c, err, out)
			}
			all += out
		}
		return all
	}
	before := state()
	if err := ProbeFilter(n); err != nil {
		t.Error(err)
	}
	if err := ProbeRules(n); err != nil {
		t.Error(err)
	}
	if after := state(); after != before {
		t.Errorf("there was\n%s\nand now there is\n%s", before, after)
	}
	// Somebody else has the table, and lets nobody else change it.
	owner := exec.Command(hosttest.Program(t, "nft"), "--interactive")
	input, err := owner.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	in(t, n, owner.Start)
	defer func() {
		_ = input.Close()
		_ = owner.Wait()
	}()
	if _, err := input.Write([]byte("add table inet ikelab { flags owner; }\n")); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(patience); !strings.Contains(state(), "owner"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("there is no such table:\n%s", state())
		}
	}
	if err := ProbeFilter(n); err == nil || !strings.Contains(err.Error(), "nf_tables") {
		t.Errorf("the error is %v, where Start must fail", err)
	}
}
