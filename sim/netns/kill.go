//go:build linux

package netns

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// killInside ends every process in the named namespaces, and those that have the mark
// wherever they are. Those are ours: what was started for the lab, and what that
// started. Without names nothing was made yet, and so nothing started.
func killInside(names []string, mark string) error {
	if len(names) == 0 {
		return nil
	}
	inside := map[uint64]struct{}{}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(namespaceFolder, name), &st) == nil {
			inside[st.Ino] = struct{}{}
		}
	}
	ours := func(pid int) bool {
		ino, err := namespaceOf(pid)
		if err != nil {
			return false // gone, or not for us to see
		}
		_, is := inside[ino]
		return is || isMarked(pid, mark)
	}
	if !killAll(endTimeout, ours) {
		return errors.New("processes in the lab's namespaces do not end; see: ip netns pids NAME")
	}
	return nil
}

// endTimeout bounds the wait for the end of what was killed. A host that is busy, or short
// of memory, may take seconds.
const endTimeout = 10 * time.Second

// killAll ends all processes of a kind, and says whether none is left. One may fork
// while it is looked for: it is looked until nothing is found, or it takes too long.
func killAll(within time.Duration, ours func(pid int) bool) bool {
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		found := false
		for _, pid := range processes() {
			if pid == os.Getpid() || !ours(pid) {
				continue
			}
			stat, err := readStat(pid)
			if err != nil || stat.ended() {
				continue
			}
			found = true
			killProcess(pid, ours)
		}
		if !found {
			return true
		}
		if time.Since(begun) > within {
			return false
		}
	}
}

// killProcess ends a process, if the number is still that of one of ours once it is
// held by a descriptor.
func killProcess(pid int, ours func(pid int) bool) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return // it has ended
	}
	if ours(pid) {
		_ = p.Signal(syscall.SIGKILL) // it may have ended
	}
	_ = p.Release()
}

// namespaceOf is the inode of a process's network namespace.
func namespaceOf(pid int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// isMarked says that a process began with the mark in its environment. One that ends
// with its separator, because nobody knows what follows, means all that begin with it.
func isMarked(pid int, mark string) bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && slices.ContainsFunc(bytes.Split(environment, []byte{0}), func(variable []byte) bool {
		return string(variable) == mark || strings.HasSuffix(mark, "#") && strings.HasPrefix(string(variable), mark)
	})
}
