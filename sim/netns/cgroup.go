//go:build linux

package netns

import (
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
// was killed. Where this host or this user has none, see forker.adopt.

// cgroupPath is where the group of a lab will be, empty where none can be made.
func cgroupPath(id, token string) string {
	own := ownCgroup()
	if own == "" || unix.Access(own, unix.W_OK|unix.X_OK) != nil {
		return ""
	}
	return filepath.Join(own, namespacePrefix+id+"-"+token)
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
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || !found {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		root, point := fields[3], fields[4]
		below, err := filepath.Rel(root, path)
		if err == nil && below != ".." && !strings.HasPrefix(below, "../") {
			return filepath.Join(point, below)
		}
	}
	return ""
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

// cgroupTimeout bounds the wait for the end of what was killed in a group.
const cgroupTimeout = 10 * time.Second

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
		if time.Since(begun) > cgroupTimeout {
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
