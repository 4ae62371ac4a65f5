package hosttest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Share takes a test's share of the host's kernel until the test ends. All tests that make network namespaces share
// or have it alone, those of other packages and checkouts, too: namespaces have one neighbour table, one limit of
// memory for sockets and the same processors. A test that runs in parallel says so first, because one that waits for
// its turn with its share in hand keeps out whoever wants the host alone. Subtests have their test's share.
func Share(t testing.TB) {
	t.Helper()
	take(t, false)
}

// Alone is Share for tests that are large or measure: while one runs no other test of labs does. It waits for those
// that run, and none begins before it has had its turn.
func Alone(t testing.TB) {
	t.Helper()
	take(t, true)
}

// turn is what one test with its subtests has of the host.
type turn struct {
	alone   bool
	users   int
	ready   chan struct{} // closed when the lock is there, or err
	release func()
	err     error
}

// turns are those of this process, by the names of tests without subtests.
var turns = struct {
	sync.Mutex
	of map[string]*turn
}{of: make(map[string]*turn)}

func take(t testing.TB, alone bool) {
	t.Helper()
	NotQuick(t)
	name, _, _ := strings.Cut(t.Name(), "/")
	turns.Lock()
	mine, there := turns.of[name]
	if !there {
		mine = &turn{alone: alone, ready: make(chan struct{})}
		turns.of[name] = mine
	}
	mine.users++
	turns.Unlock()
	t.Cleanup(func() {
		turns.Lock()
		defer turns.Unlock()
		if mine.users--; mine.users == 0 {
			delete(turns.of, name)
			if mine.release != nil {
				mine.release()
			}
		}
	})
	if !there {
		var dir string
		if dir, mine.err = lockFolder(); mine.err == nil {
			mine.release, mine.err = acquire(dir, alone)
		}
		close(mine.ready)
	}
	<-mine.ready
	if mine.err != nil {
		t.Fatalf("the lock that tests of labs share: %v", mine.err)
	}
	if alone && !mine.alone {
		t.Fatalf("%s shares the host already, and could wait for itself for ever: let the test ask to be alone before", name)
	}
}

// lockFolder is where the lock is, made if need be. A lock that a stranger can open is one that a stranger can hold
// for ever, so it is in a folder that only its user enters: for root, who makes nearly all namespaces, below /run,
// whatever HOME is; for every other user, and root of a user namespace, among the user's cached files. Users do
// not wait for one another: without root a user may make few labs, and kernel and lock would need trust.
func lockFolder() (string, error) {
	if os.Geteuid() == 0 {
		const dir = "/run/ikelab-tests"
		err := own(dir)
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
			return dir, err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("%w; cure: set HOME", err)
	}
	dir := filepath.Join(cache, "ikelab", "tests")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	return dir, own(dir)
}

// own makes a folder of this user's alone, or looks whether it is one.
func own(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(s.Uid) != os.Geteuid() || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s is %v and not a folder that only user %d enters; cure: remove it", dir, info.Mode(), os.Geteuid())
	}
	return nil
}

// acquire waits for the lock. It is two: flock alone would let those that share come and go for ever past one that
// wants to be alone. So everybody passes a gate, one at a time, and keeps it until the lock is there.
func acquire(dir string, alone bool) (release func(), err error) {
	gate, err := lockFile(dir, "gate", unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer func() { _ = gate.Close() }() // which opens it
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	labs, err := lockFile(dir, "labs", how)
	if err != nil {
		return nil, err
	}
	return func() { _ = labs.Close() }, nil // which is all that there is to it
}

// holders says which processes have the lock of a file, as far as the kernel tells (proc_locks(5)).
func holders(f *os.File) string {
	info, err := f.Stat()
	locks, readErr := os.ReadFile("/proc/locks")
	if err != nil || readErr != nil {
		return "others have"
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	var pids []string
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line) // 1: FLOCK ADVISORY WRITE 4711 00:1a:4242 0 EOF
		if ok && len(fields) > 5 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], ":"+strconv.FormatUint(s.Ino, 10)) {
			pids = append(pids, fields[4])
		}
	}
	if len(pids) == 0 {
		return "others have"
	}
	return "processes " + strings.Join(pids, ", ") + " have"
}

// lockFile opens a file and waits until it has its lock. The lock ends with the file, and so with the process.
func lockFile(dir, name string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	// Whoever looks at a test run that stands still sees for whom it waits.
	said := time.AfterFunc(time.Minute, func() {
		fmt.Fprintf(os.Stderr, "hosttest: waiting for %s, which %s; tests of labs in namespaces take turns on a host\n", f.Name(), holders(f))
	})
	for err = unix.EINTR; err != nil && errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), how)
	}
	said.Stop()
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return f, nil
}
