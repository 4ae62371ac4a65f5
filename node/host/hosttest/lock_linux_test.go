package hosttest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// free says whether nobody has a lock of the folder's, or waits at it.
func free(t *testing.T, dir, name string) bool {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // with the lock
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		t.Fatal(err)
	}
	return err == nil
}

// await waits for what comes at once unless the machine is very busy.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(5 * time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// TestLock: any number share; one that wants to be alone waits for them, and who comes later waits for that one.
func TestLock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	get := func(alone bool) func() {
		release, err := acquire(dir, alone)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first, second := get(false), get(false) // at the same time
	if free(t, dir, "labs") {
		t.Fatal("two share it, and it is free")
	}
	order := make(chan string, 2)
	over := make(chan struct{})
	go func() {
		release, err := acquire(dir, true)
		if err != nil {
			t.Error(err)
		} else {
			order <- "alone"
			<-over
			release()
		}
	}()
	await(t, "the one at the gate", func() bool { return !free(t, dir, "gate") })
	go func() {
		release, err := acquire(dir, false)
		if err != nil {
			t.Error(err)
		} else {
			order <- "late"
			release()
		}
	}()
	first()
	if len(order) > 0 {
		t.Error("somebody got in while it was shared and wanted alone")
	}
	second()
	if who := <-order; who != "alone" {
		t.Errorf("%q got in first", who)
	}
	if len(order) > 0 {
		t.Error("somebody shares what another has alone")
	}
	close(over)
	if who := <-order; who != "late" {
		t.Errorf("%q got in then", who)
	}
	await(t, "the end of all", func() bool { return free(t, dir, "labs") && free(t, dir, "gate") })
}

// TestTurns: a test and its subtests have one turn, which ends with the last of them; a share does not grow.
func TestTurns(t *testing.T) {
	NotQuick(t)
	if os.Geteuid() != 0 {
		t.Setenv("HOME", t.TempDir())
		t.Setenv("XDG_CACHE_HOME", "")
	}
	mine := func() *turn {
		turns.Lock()
		defer turns.Unlock()
		return turns.of["TestTurns"]
	}
	t.Run("all", func(t *testing.T) {
		Share(t)
		for range 3 {
			t.Run("sub", func(t *testing.T) {
				t.Parallel()
				Share(t)
			})
		}
		if end := ends(t, func(t testing.TB) { Alone(t) }); !strings.Contains(end, "TestTurns shares the host already") {
			t.Errorf("to be alone after sharing: %q", end)
		}
	})
	if mine() != nil {
		t.Error("the turn outlives the tests")
	}
	Share(t)
	if m := mine(); m == nil || m.alone || m.users != 1 {
		t.Errorf("the turn is %+v", m)
	}
}

// TestLockFolder: only a folder that nobody else enters is one for locks.
func TestLockFolder(t *testing.T) {
	dir := t.TempDir()
	good, open, file, link := filepath.Join(dir, "good"), filepath.Join(dir, "open"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	for _, err := range []error{os.Mkdir(open, 0o700), os.Chmod(open, 0o755), os.WriteFile(file, nil, 0o600), os.Symlink(good, link)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := own(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{open, file, link} {
		if err := own(bad); err == nil || !strings.Contains(err.Error(), bad+" is ") || !strings.Contains(err.Error(), "cure: remove it") {
			t.Errorf("%s: error %v", bad, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(good, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := own(good); err == nil {
			t.Error("a folder of another user's is accepted")
		}
	}
}
