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

// stateFolder is below /run, or below a user's runtime folder.
const stateFolder = "ikelab"

// Modes of what labs keep on the host. Whoever can open a file can lock it, if only to
// read, and so keep its owner waiting: nobody else opens them.
const (
	folderMode = 0o700
	fileMode   = 0o600
)

// StateDir is the folder in which labs keep their state on this host: below /run for
// root, below their runtime folder or their cache for others, and wherever
// IKELAB_STATE_DIR says.
func StateDir() string {
	if dir := os.Getenv("IKELAB_STATE_DIR"); dir != "" {
		return dir
	}
	if os.Geteuid() != 0 {
		if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
			return filepath.Join(dir, stateFolder)
		}
		if dir, err := os.UserCacheDir(); err == nil {
			return filepath.Join(dir, stateFolder, "run")
		}
	}
	return filepath.Join("/run", stateFolder)
}

// MakeState makes the folder of state, for its user alone. One that is there already
// is checked as CheckState does.
func MakeState() error {
	dir := StateDir()
	if err := CheckState(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return fmt.Errorf("state of labs: %w; set IKELAB_STATE_DIR to a folder that is yours", err)
	}
	return CheckState()
}

// CheckState says what is wrong with the folder of state, so that what it holds cannot
// be relied on: it is another user's, or another user could put something else in its
// place. Modes that an older version left too wide are made narrow. A folder that is
// not there is in order.
func CheckState() error {
	if _, err := os.UserCacheDir(); err != nil && os.Geteuid() != 0 && os.Getenv("IKELAB_STATE_DIR") == "" && os.Getenv("XDG_RUNTIME_DIR") == "" {
		return &NeedError{
			What: fmt.Sprintf("there is no place for the state of labs: user id %d has no HOME (%v)", os.Geteuid(), err),
			Cure: "set HOME, or let IKELAB_STATE_DIR name a folder that is yours",
		}
	}
	dir := StateDir()
	if err := checkWay(dir); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state of labs: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("state of labs: %s is no folder; set IKELAB_STATE_DIR to a folder that is yours", dir)
	}
	if uid := ownerOf(info); uid != os.Geteuid() {
		return fmt.Errorf("state of labs: %s belongs to user id %d, and this process to %d; work as that user (sudo -u '#%d' …), or set IKELAB_STATE_DIR to a folder that is yours", dir, uid, os.Geteuid(), uid)
	}
	return narrow(dir, info, folderMode)
}

// narrow takes rights away that an older version gave to others.
func narrow(path string, info fs.FileInfo, mode fs.FileMode) error {
	if info.Mode().Perm()&^mode == 0 {
		return nil
	}
	if err := os.Chmod(path, info.Mode().Perm()&mode); err != nil {
		return fmt.Errorf("state of labs: %s is open to other users, who could lock it: %w; close it with: chmod go= %s", path, err, path)
	}
	return nil
}

// ownerOf is the user id of a file's owner.
func ownerOf(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// checkWay says where on the way to a folder somebody other than this user and root
// could put another folder in its place.
func checkWay(dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("state of labs: %w", err)
	}
	const linksMax = 40 // as the kernel has it
	here, rest := "/", strings.Split(strings.TrimPrefix(path, "/"), "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(here, name)
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // made by this process, if at all
		}
		if err != nil {
			return fmt.Errorf("state of labs: %w; set IKELAB_STATE_DIR to a folder that is yours", err)
		}
		last := len(rest) == 0 && info.Mode()&fs.ModeSymlink == 0
		if uid := ownerOf(info); !last && !trusted(uid) {
			return fmt.Errorf("state of labs: %s on the way to %s belongs to user id %d, who could put another folder there; set IKELAB_STATE_DIR to a folder that is yours", next, dir, uid)
		}
		const othersWrite = 0o002
		if info.IsDir() && !last && info.Mode().Perm()&othersWrite != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("state of labs: everybody can write to %s on the way to %s, and put another folder there; set IKELAB_STATE_DIR to a folder that is yours, or take the right away with: chmod o-w %s", next, dir, next)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			here = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err == nil && links > linksMax {
			err = unix.ELOOP
		}
		if err != nil {
			return fmt.Errorf("state of labs: %s: %w", next, err)
		}
		if filepath.IsAbs(target) {
			here = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

// trusted says whether a user may own what is on the way to the folder of state: this
// one, root, and in a user namespace whoever has no number there, root among them. The
// way was checked outside before that namespace was made.
func trusted(uid int) bool {
	if uid == 0 || uid == os.Geteuid() {
		return true
	}
	overflow, err := os.ReadFile("/proc/sys/kernel/overflowuid")
	if err != nil || strings.TrimSpace(string(overflow)) != strconv.Itoa(uid) {
		return false
	}
	users, err := os.ReadFile("/proc/self/uid_map")
	const everybody = "0 0 4294967295"
	return err == nil && strings.Join(strings.Fields(string(users)), " ") != everybody
}

// OpenLock opens a file to lock, by nobody else to be opened; create is os.O_CREATE
// where it may be made.
func OpenLock(path string, create int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|create, fileMode)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = narrow(path, info, fileMode)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// stateTimeout bounds the wait for others who make or clear away labs.
const stateTimeout = 10 * time.Second

// LockState takes the lock of the folder of state itself, which whoever takes a lab's
// place or takes it over holds for a moment. Closing the file gives it up.
func LockState() (*os.File, error) {
	dir, err := os.OpenFile(StateDir(), os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("state of labs: %w", err)
	}
	for begun := time.Now(); ; time.Sleep(claimPause) {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return dir, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) && time.Since(begun) < stateTimeout {
			continue
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s has held its lock for %v", LockedBy(dir), stateTimeout)
		}
		_ = dir.Close() // only read
		return nil, fmt.Errorf("state of labs: %s: %w", StateDir(), err)
	}
}

// Lockers are the processes that hold a lock on a file, as far as /proc/locks tells
// this user.
func Lockers(f *os.File) []int {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return nil
	}
	text, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	var pids []int
	for line := range strings.Lines(string(text)) {
		// 4: FLOCK  ADVISORY  WRITE 14689 fe:00:10035207 0 EOF; who waits has "->" behind
		// the number.
		fields := strings.Fields(line)
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// LockedBy names who holds a lock on a file, for a message.
func LockedBy(f *os.File) string {
	var names []string
	for _, pid := range Lockers(f) {
		name := fmt.Sprintf("process %d", pid)
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
			name += fmt.Sprintf(" (%q)", strings.TrimSpace(string(text)))
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "a process that /proc/locks does not show"
	}
	return strings.Join(names, " and ")
}
