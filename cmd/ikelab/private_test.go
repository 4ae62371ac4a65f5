package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// modes are the permissions of everything in a folder, by path below it.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	all := map[string]fs.FileMode{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		all[below] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// openToOthers checks that nothing in a folder is for anybody but its owner.
func openToOthers(t *testing.T, dir string, but ...string) {
	t.Helper()
	for name, mode := range modes(t, dir) {
		skip := false
		for _, b := range but {
			skip = skip || name == b
		}
		if want := fs.FileMode(privateFileMode); !skip && !mode.IsDir() && mode != want {
			t.Errorf("%s: %v, want %v", name, mode, want)
		}
		if want := fs.ModeDir | privateFolderMode; !skip && mode.IsDir() && mode != want {
			t.Errorf("%s: %v, want %v", name, mode, want)
		}
	}
}

// TestOutIsPrivate: result, trace, capture and Wireshark's tables carry keys, and what was protected. They are for who
// runs the lab, also in a folder that an earlier version made for everybody.
func TestOutIsPrivate(t *testing.T) {
	lab := write(t, "lab.hcl", hosts)
	t.Run("new folder", func(t *testing.T) {
		out := filepath.Join(t.TempDir(), "a", "out")
		for range 2 { // and again over what the first run left
			if o := here(t, "run", "--out", out, lab); o.status != exitOK {
				t.Fatalf("status %d: %s", o.status, o.err)
			}
			openToOthers(t, out)
		}
		for _, name := range artefactNames {
			if _, err := os.Lstat(filepath.Join(out, name)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("of an earlier version", func(t *testing.T) {
		out := t.TempDir()
		if err := errors.Join(os.Chmod(out, 0o755), os.Mkdir(filepath.Join(out, wiresharkDir), 0o755),
			os.WriteFile(filepath.Join(out, traceFile), []byte("old"), 0o644), os.WriteFile(filepath.Join(out, wiresharkDir, "esp_sa"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		if o := here(t, "run", "--out", out, lab); o.status != exitOK {
			t.Fatalf("status %d: %s", o.status, o.err)
		}
		openToOthers(t, out)
	})
	t.Run("with somebody's files", func(t *testing.T) {
		out := t.TempDir()
		if err := errors.Join(os.Chmod(out, 0o755), os.WriteFile(filepath.Join(out, "notes"), []byte("mine"), 0o644), os.Chmod(filepath.Join(out, "notes"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if o := here(t, "run", "--out", out, lab); o.status != exitOK {
			t.Fatalf("status %d: %s", o.status, o.err)
		}
		openToOthers(t, out, ".", "notes")
		if m := modes(t, out); m["."].Perm() != 0o755 || m["notes"].Perm() != 0o644 {
			t.Errorf("the folder's own mode is %v and that of notes %v: they are not ours to close", m["."], m["notes"])
		}
	})
}

// TestOutFollowsNoLink: who can write to the folder cannot lead ikelab to a file elsewhere.
func TestOutFollowsNoLink(t *testing.T) {
	lab := write(t, "lab.hcl", hosts)
	precious := write(t, "precious", "precious")
	elsewhere := t.TempDir()
	check := func(t *testing.T) {
		t.Helper()
		if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
			t.Errorf("a file behind a link: %q, %v", text, err)
		}
		if entries, err := os.ReadDir(elsewhere); err != nil || len(entries) > 0 {
			t.Errorf("a folder behind a link: %v, %v", entries, err)
		}
	}
	for _, name := range []string{resultFile, traceFile, captureFile, ladderFile, filepath.Join(wiresharkDir, "esp_sa")} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			if err := os.MkdirAll(filepath.Dir(filepath.Join(out, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(precious, filepath.Join(out, name)); err != nil {
				t.Fatal(err)
			}
			if o := here(t, "run", "--out", out, lab); o.status != exitOK {
				t.Fatalf("status %d: %s", o.status, o.err)
			}
			check(t)
			openToOthers(t, out)
		})
		t.Run(name+" is another name of a file", func(t *testing.T) {
			out := t.TempDir()
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(out, name)), 0o755), os.Link(precious, filepath.Join(out, name))); err != nil {
				t.Skipf("hard links across folders do not work here: %v; cure: set TMPDIR to a file system that has them", err)
			}
			if o := here(t, "run", "--out", out, lab); o.status != exitOK {
				t.Fatalf("status %d: %s", o.status, o.err)
			}
			check(t)
		})
	}
	for _, c := range []struct {
		name string
		make func(out string) error
		want string
	}{
		{"the folder itself", func(out string) error { return os.Symlink(elsewhere, out) }, "symbolic link"},
		{"the folder of keys", func(out string) error {
			return errors.Join(os.Mkdir(out, 0o700), os.Symlink(elsewhere, filepath.Join(out, wiresharkDir)))
		}, wiresharkDir + " is not a folder"},
		{"a folder in a file's place", func(out string) error {
			return os.MkdirAll(filepath.Join(out, traceFile), 0o700)
		}, traceFile + " is a folder"},
		{"everybody's folder", func(out string) error {
			return errors.Join(os.Mkdir(out, 0o700), os.Chmod(out, 0o777), os.WriteFile(filepath.Join(out, "x"), nil, 0o600))
		}, "everybody may write to"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			if err := c.make(out); err != nil {
				t.Fatal(err)
			}
			for _, spelt := range []string{out, out + "/"} {
				o := here(t, "run", "--out", spelt, lab)
				if o.status != exitUsage || !strings.Contains(o.err, "--out: ") || !strings.Contains(o.err, c.want) {
					t.Errorf("--out %s: status %d: %s", spelt, o.status, o.err)
				}
			}
			check(t)
		})
	}
}

// TestOutOfAnotherUser: nothing is written where another user can put files beside it.
func TestOutOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		hosttest.Lacks(t, "the right to give a folder away", "run as root")
	}
	lab := write(t, "lab.hcl", hosts)
	for _, theirs := range []string{".", wiresharkDir} {
		out := t.TempDir()
		if err := errors.Join(os.MkdirAll(filepath.Join(out, wiresharkDir), 0o700), os.Chown(filepath.Join(out, theirs), 65534, 65534)); err != nil {
			t.Fatal(err)
		}
		if o := here(t, "run", "--out", out, lab); o.status != exitUsage || !strings.Contains(o.err, "belongs to user id 65534") {
			t.Errorf("%s is another user's: status %d: %s", theirs, o.status, o.err)
		}
	}
}
