//go:build linux

package netns

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/ns"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// root skips a test that cannot make namespaces, and takes its turn on the host: benchmarks
// have it alone.
func root(t testing.TB) {
	t.Helper()
	if !canRun() {
		hosttest.Lacks(t, "network namespaces", "run as root, or: unshare --map-root-user --net --mount")
	}
	if _, measures := t.(*testing.B); measures {
		hosttest.Alone(t)
	} else {
		hosttest.Share(t)
	}
}

// canRun says whether this process may make namespaces.
func canRun() bool { return os.Geteuid() == 0 }

// privateState gives a test labs of its own: nothing is swept that another test made.
func privateState(t *testing.T) {
	t.Helper()
	t.Setenv("IKELAB_STATE_DIR", t.TempDir())
}

func namespaces(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(namespaceFolder)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestClaim: one lab of a name stands at a time, or any number with identifiers of
// their own; an owner that lives is left alone.
func TestClaim(t *testing.T) {
	privateState(t)
	one, err := newClaim("lab", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newClaim("lab", false); !errors.Is(err, ErrStanding) || !strings.Contains(err.Error(), "ikelab down lab") {
		t.Errorf("a second one: %v", err)
	}
	a, errA := newClaim("lab", true)
	b, errB := newClaim("lab", true)
	if errA != nil || errB != nil || a.id == b.id {
		t.Fatalf("%v %v, %v %v", a, errA, b, errB)
	}
	swept, err := Sweep()
	if err != nil || len(swept) != 3 || slices.ContainsFunc(swept, func(s Swept) bool { return !s.Standing }) {
		t.Errorf("swept %+v (%v), want three that stand", swept, err)
	}
	a.release() // as if its process had been killed
	swept, err = Sweep()
	gone := slices.DeleteFunc(swept, func(s Swept) bool { return s.Standing })
	if err != nil || len(gone) != 1 || gone[0].ID != a.id {
		t.Errorf("swept %+v (%v), want %s", gone, err, a.id)
	}
	if _, err := os.Stat(a.dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there", a.dir)
	}
	for _, c := range []*claim{one, b} {
		if err := c.remove(); err != nil {
			t.Error(err)
		}
	}
	if left, _ := os.ReadDir(StateDir()); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// TestSweepLeavesOthersAlone: whatever the folder of state holds besides labs stays, and
// is not touched.
func TestSweepLeavesOthersAlone(t *testing.T) {
	privateState(t)
	foreign := map[string]string{"precious/thesis.txt": "years of work", "mine.lab/thesis.txt": "a copy", "mine.lab/lock": "", "notes": "a file"}
	for name, text := range foreign {
		path := filepath.Join(StateDir(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	list, errList := List()
	swept, errSwept := Sweep()
	if len(list)+len(swept) > 0 || errList != nil || errSwept != nil {
		t.Errorf("listed %v (%v), swept %v (%v)", list, errList, swept, errSwept)
	}
	if _, err := newClaim("mine", false); err == nil || !strings.Contains(err.Error(), `"thesis.txt", which is no lab's`) {
		t.Errorf("a claim over it: %v", err)
	}
	for name, text := range foreign {
		if now, err := os.ReadFile(filepath.Join(StateDir(), name)); err != nil || string(now) != text {
			t.Errorf("%s: %q (%v)", name, now, err)
		}
	}
	if entries, _ := os.ReadDir(filepath.Join(StateDir(), "precious")); len(entries) != 1 {
		t.Errorf("something was put into a folder of somebody else's: %v", entries)
	}
}

// TestSweepRemovesNamespaces: what a dead owner leaves behind goes, with what runs in
// it; a namespace that is somebody else's stays.
func TestSweepRemovesNamespaces(t *testing.T) {
	root(t)
	privateState(t)
	c, err := newClaim("swept", true)
	if err != nil {
		t.Fatal(err)
	}
	name := c.namespace("gw")
	foreign := "foreign-" + c.id
	if err := c.plan([]string{name}); err != nil {
		t.Fatal(err)
	}
	inside, err := newNamespace(name)
	if err != nil {
		t.Fatal(err)
	}
	other, err := newNamespace(foreign)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.Close()
		if err := removeNamespaces([]string{foreign}); err != nil {
			t.Error(err)
		}
	})
	sleeper := exec.Command(hosttest.Program(t, "sleep"), "60")
	if err := inside.Do(func(ns.NetNS) error { return sleeper.Start() }); err != nil {
		t.Fatal(err)
	}
	// One that has gone to a namespace of its own is known by its environment.
	gone := exec.Command(hosttest.Program(t, "sleep"), "60")
	gone.Env = append(os.Environ(), c.mark())
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gone.Process.Kill() })
	_ = inside.Close()
	if err := c.plan([]string{name}); err == nil || !strings.Contains(err.Error(), "ip netns del "+name) {
		t.Errorf("a namespace that is there already: %v", err)
	}
	c.release()
	if _, err := Sweep(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill() })
	if err := sleeper.Wait(); err == nil || sleeper.ProcessState.String() != "signal: killed" {
		t.Errorf("the process inside ended with %v", sleeper.ProcessState)
	}
	if err := gone.Wait(); err == nil || gone.ProcessState.String() != "signal: killed" {
		t.Errorf("the process that went away ended with %v", gone.ProcessState)
	}
	left := namespaces(t)
	if slices.Contains(left, name) || !slices.Contains(left, foreign) {
		t.Errorf("namespaces %v: %s should be gone and %s be there", left, name, foreign)
	}
	if _, err := os.Stat(Folder(c.id)); !os.IsNotExist(err) {
		t.Error("the state is still there")
	}
}

// TestSweepWithoutAList: the namespaces of a dead lab are known from the one of two files that is left. Without both the
// folder stays, because nothing else shows that there was a lab.
func TestSweepWithoutAList(t *testing.T) {
	root(t)
	privateState(t)
	for _, missing := range [][]string{{namespacesFile}, {ownerFile}, {ownerFile, namespacesFile}, {lockFile, ownerFile, namespacesFile}} {
		c, err := newClaim("unlisted", true)
		if err != nil {
			t.Fatal(err)
		}
		name := c.namespace("gw")
		if err := c.plan([]string{name}); err != nil {
			t.Fatal(err)
		}
		namespace, err := newNamespace(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = namespace.Close()
		t.Cleanup(func() { _ = removeNamespaces([]string{name}) })
		if err := c.write(logFile, "words"); err != nil {
			t.Fatal(err)
		}
		for _, file := range missing {
			if err := os.Remove(filepath.Join(c.dir, file)); err != nil {
				t.Fatal(err)
			}
		}
		c.release() // as if its process had been killed
		if _, err := Sweep(); err != nil {
			t.Errorf("without %v: %v", missing, err)
		}
		_, err = os.Stat(c.dir)
		there, kept := slices.Contains(namespaces(t), name), err == nil
		if lost := len(missing) > 1; there != lost || kept != lost {
			t.Errorf("without %v: the namespace is there: %v, the folder is: %v", missing, there, kept)
		}
		if err := removeNamespaces([]string{name}); err != nil {
			t.Fatal(err)
		}
		if len(missing) > 2 {
			continue // a folder without a lock is somebody else's to take away
		}
		if _, err := Sweep(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(c.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("without %v: the folder stays (%v)", missing, err)
		}
	}
}
