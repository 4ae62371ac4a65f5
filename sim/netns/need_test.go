//go:build linux

package netns

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim"
)

// openDescriptors counts this process's.
func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// needLab has one of everything that takes descriptors.
const needLab = `
lab "need" { duration = "10s" }
network "n" { prefix = "192.0.2.0/24" }
network "l" { prefix = "10.0.0.0/24" }
node "client" {
  count = 20
  interface "e" {
    network = network.n
    link    = { delay = "1ms" }
  }
  connection "gw" {
    remote_addrs = [node.gw.interface.w]
    local { id = "client-${count.index}" }
    child "c" { remote_ts = [network.l] }
  }
}
node "gw" {
  interface "w" { network = network.n }
  interface "l" { network = network.l }
  connection "c" {
    child "c" { local_ts = [network.l] }
  }
}
node "host" {
  count          = 20
  implementation = "host"
  interface "e" { network = network.l }
}
secret "s" { secret = "x" }
`

// TestDescriptors: what a lab is said to take is what it takes, or a little more.
func TestDescriptors(t *testing.T) {
	root(t)
	plan := load(t, needLab)
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := openDescriptors(t)
	l, err := Create(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	takes := openDescriptors(t) - before
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	need := int(descriptorsNeeded(plan))
	t.Logf("%d descriptors, said to be %d", takes, need)
	if takes > need {
		t.Errorf("the lab takes %d descriptors and is said to take %d", takes, need)
	}
	if takes < need/3 {
		t.Errorf("the lab takes %d descriptors and is said to take %d: it would be refused where it has room", takes, need)
	}
	if after := openDescriptors(t); after > before+2 {
		t.Errorf("%d descriptors are open after the lab, %d before it", after, before)
	}
}

// TestTooFewDescriptors: a lab that would run out of descriptors is refused before anything of it is made, once, with
// what to type.
func TestTooFewDescriptors(t *testing.T) {
	root(t)
	plan := load(t, needLab)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	small := unix.Rlimit{Cur: descriptorsNeeded(plan) - 1, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &small); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}()
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(r, Options{})
	var need *NeedError
	if !errors.As(err, &need) || strings.Count(err.Error(), "ulimit -n ") != 1 || !strings.Contains(err.Error(), strconv.FormatUint(small.Cur, 10)) {
		t.Errorf("the lab was made, or refused without the cure: %v", err)
	}
}

// TestCollidingNames: two interfaces that Linux could only give one name are refused with both names.
func TestCollidingNames(t *testing.T) {
	long := "an-interface-with-a-long-name"
	short := deviceNames(&load(t, strings.ReplaceAll(needLab, `interface "l"`, `interface "`+long+`"`)).Nodes[20])[1]
	plan := load(t, strings.ReplaceAll(needLab, `interface "l" { network = network.l }`, `interface "`+long+`" { network = network.l }
  interface "`+short+`" { network = network.m }`)+`
network "m" { prefix = "10.1.0.0/24" }
`)
	err := refuse(plan)
	if err == nil || !strings.Contains(err.Error(), long) || !strings.Contains(err.Error(), `"`+short+`"`) || !strings.Contains(err.Error(), "rename one of them") {
		t.Errorf("interfaces %q and %q: %v", long, short, err)
	}
}

// TestOlderState: a lab that an older version of ikelab made is not stood beside, and not taken for nothing.
func TestOlderState(t *testing.T) {
	root(t)
	state := t.TempDir()
	t.Setenv("IKELAB_STATE_DIR", state)
	if err := os.MkdirAll(filepath.Join(state, "need"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := noOlderLab("need"); err != nil {
		t.Errorf("a folder that is no lab's: %v", err)
	}
	if err := os.WriteFile(filepath.Join(state, "need", lockFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := sim.New(load(t, needLab), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = Create(r, Options{Standing: true})
	var need *NeedError
	if !errors.As(err, &need) || !strings.Contains(err.Error(), filepath.Join(state, "need")) || !strings.Contains(err.Error(), "ip netns delete") {
		t.Errorf("an older lab: %v", err)
	}
}
