//go:build linux

package netns

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Commands of a lab are in a control group of their own (cgroups(7), version 2), below
// the one of the lab's process: whatever they start is in it, too, also when it has left
// their session, their namespaces and their environment, and it outlives a process that
// was killed. Where this host or this user has none, see forker.adopt. The group's name
// says whose it is, so that it is found when nothing else says so.

// cgroupPath is where the group of a lab will be, empty where none can be made.
func cgroupPath(id, token string) string {
	own := ownCgroup()
	if own == "" || unix.Access(own, unix.W_OK|unix.X_OK) != nil {
		return ""
	}
	return filepath.Join(own, groupPrefix(id)+token)
}

// groupPrefix begins the name of a lab's group; its token follows. Labs of one name in
// different folders of state have different ones.
func groupPrefix(id string) string {
	var st unix.Stat_t
	if unix.Stat(StateDir(), &st) != nil {
		return namespacePrefix + id + "-"
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d", st.Dev, st.Ino))
	return namespacePrefix + id + "-" + hex.EncodeToString(sum[:4]) + "-"
}

// labGroups are the groups that labs of this identifier have in this folder of state,
// whatever group their process was in.
func labGroups(id string) []string {
	prefix := groupPrefix(id)
	if prefix == namespacePrefix+id+"-" {
		return nil // nothing says which folder of state they are of
	}
	var all []string
	for _, m := range cgroupMounts() {
		_ = filepath.WalkDir(m.point, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.IsDir() {
				return nil // it goes, or is not for us to see
			}
			// A longer name may be that of a lab whose identifier is longer.
			token, is := strings.CutPrefix(e.Name(), prefix)
			if !is || len(token) != tokenDigits || strings.ContainsRune(token, '-') {
				return nil
			}
			if info, err := e.Info(); err == nil && ownerOf(info) == os.Geteuid() {
				all = append(all, path)
			}
			return fs.SkipDir
		})
	}
	return all
}

// ownCgroup is the folder of this process's control group, empty where there is none.
func ownCgroup() string {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	path, found := "", false
	for line := range strings.Lines(string(groups)) {
		if rest, is := strings.CutPrefix(strings.TrimSpace(line), "0::"); is {
			path, found = rest, true
		}
	}
	if !found {
		return ""
	}
	for _, m := range cgroupMounts() {
		below, err := filepath.Rel(m.root, path)
		if err == nil && below != ".." && !strings.HasPrefix(below, "../") {
			return filepath.Join(m.point, below)
		}
	}
	return ""
}

// cgroupMount is where control groups of version 2 are to be seen: the root and those
// below it.
type cgroupMount struct{ root, point string }

func cgroupMounts() []cgroupMount {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil // a host without /proc has more to complain of
	}
	var all []cgroupMount
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		if fields := strings.Fields(before); ok && len(fields) >= 5 && strings.HasPrefix(after, "cgroup2 ") {
			all = append(all, cgroupMount{fields[3], fields[4]})
		}
	}
	return all
}

// openCgroup makes a lab's group and opens it, and answers nil where nothing can be
// started in it.
func openCgroup(path string) *os.File {
	if path == "" || os.Mkdir(path, 0o755) != nil {
		return nil
	}
	group, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		// A program that does not exist fails to start only behind all that could fail before.
		_, err = syscall.ForkExec("/proc/self/no-such-program", nil, &syscall.ProcAttr{
			Sys: &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())},
		})
		if errors.Is(err, unix.ENOENT) {
			return group
		}
		_ = group.Close() // only opened
	}
	_ = os.Remove(path) // it is empty
	return nil
}

// clearCgroup ends what is in a lab's group, and removes it with what the lab's commands
// have made below it. Nothing is done where there is none.
func clearCgroup(path string) error {
	if path == "" || !strings.HasPrefix(filepath.Base(path), namespacePrefix) {
		return nil
	}
	var fsType unix.Statfs_t
	if unix.Statfs(path, &fsType) != nil || fsType.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil // gone, and whatever a file says, nothing else is removed
	}
	for begun := time.Now(); ; time.Sleep(claimPause) {
		killCgroup(path)
		err := removeTree(path)
		if err == nil {
			return nil
		}
		if time.Since(begun) > endTimeout {
			return fmt.Errorf("processes in the lab's control group do not end: %w; see %s/cgroup.procs", err, path)
		}
	}
}

// killCgroup ends what is in a group now, and below it.
func killCgroup(path string) {
	if os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	// Linux before 5.14. A number in the list may be another process's by the time of the
	// signal, but not behind a look into the list once more.
	in := func(pid int) bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		return err == nil && strings.Contains(string(text), "/"+filepath.Base(path)+"\n") || err == nil && strings.Contains(string(text), "/"+filepath.Base(path)+"/")
	}
	_ = filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "cgroup.procs" {
			return nil
		}
		list, _ := os.ReadFile(at) // of a group that goes there is none
		for word := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				killProcess(pid, in)
			}
		}
		return nil
	})
}

// removeTree removes a group with those below it, the innermost first.
func removeTree(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeTree(filepath.Join(path, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
