//go:build linux

package netns

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// modes are those of a folder and what is in it, by name.
func modes(t *testing.T, dir string) map[string]os.FileMode {
	t.Helper()
	all := map[string]os.FileMode{}
	for _, path := range []string{"", "*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(f, dir)] = info.Mode().Perm()
		}
	}
	return all
}

// TestStateIsPrivate: nobody else can open what labs keep on the host, and so lock it; what an older version left open
// is closed.
func TestStateIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "ikelab")
	defer unix.Umask(unix.Umask(0))
	t.Setenv("IKELAB_STATE_DIR", dir)
	private := func(when string) {
		t.Helper()
		for name, mode := range modes(t, dir) {
			if mode&0o077 != 0 {
				t.Errorf("%s: %q has mode %v", when, name, mode)
			}
		}
	}
	c, err := newClaim("lab", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.plan([]string{c.namespace("gw")}); err != nil {
		t.Fatal(err)
	}
	if n := len(modes(t, dir)); n < 5 {
		t.Fatalf("there are %d files", n)
	}
	private("made")
	open := func() {
		t.Helper()
		for name, mode := range map[string]os.FileMode{"": 0o755, "lab.lab": 0o755, "lab.lab/lock": 0o644} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	open()
	if all, err := List(); err != nil || len(all) != 1 {
		t.Errorf("labs: %v, %v", all, err)
	}
	private("listed")
	c.release()
	open()
	if c, err = newClaim("lab", false); err != nil {
		t.Fatal(err)
	}
	private("claimed again")
	if err := c.remove(); err != nil {
		t.Error(err)
	}
}

// TestStateOfOthers: a folder of state that another user has, or could replace, is refused with what cures it.
func TestStateOfOthers(t *testing.T) {
	root(t)
	const nobody = 65534
	base := t.TempDir()
	path := func(name string) string { return filepath.Join(base, name) }
	for _, err := range []error{
		os.Mkdir(path("theirs"), 0o755), os.Chown(path("theirs"), nobody, nobody),
		os.Mkdir(path("open"), 0o755), os.Chmod(path("open"), 0o777),
		os.Mkdir(path("sticky"), 0o755), os.Chmod(path("sticky"), 0o777|os.ModeSticky),
		os.Mkdir(path("mine"), 0o755),
		os.Symlink(path("mine"), path("link")),
		os.Symlink(path("mine"), path("trap")), os.Lchown(path("trap"), nobody, nobody),
		os.Symlink("loop", path("loop")),
		os.WriteFile(path("file"), nil, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"theirs":       "belongs to user id 65534",
		"theirs/state": "belongs to user id 65534, who could put another folder there",
		"open/state":   "chmod o-w",
		"trap":         "belongs to user id 65534, who could put another folder there",
		"loop":         "too many levels of symbolic links",
		"file":         "is no folder",
		"sticky/state": "",
		"mine":         "",
		"link":         "",
		"link/state":   "",
	} {
		t.Setenv("IKELAB_STATE_DIR", path(name))
		err := MakeState()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if want != "" && err != nil && !strings.Contains(err.Error(), "IKELAB_STATE_DIR") && name != "loop" {
			t.Errorf("%s: no cure: %v", name, err)
		}
	}
}

// TestLockers: who holds a lock is known, and who waits for it is not taken for one.
func TestLockers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := OpenLock(path, os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if pids := Lockers(f); len(pids) > 0 {
		t.Errorf("nobody has it, and %v are named", pids)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if pids := Lockers(f); !slices.Equal(pids, []int{os.Getpid()}) {
		t.Errorf("%v are named, want %d", pids, os.Getpid())
	}
	if err := os.Symlink(path, path+"-link"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLock(path+"-link", os.O_CREATE); !errors.Is(err, unix.ELOOP) {
		t.Errorf("a link: %v", err)
	}
}
