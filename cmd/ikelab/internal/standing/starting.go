package standing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim/netns"
)

// startingSuffix ends the names of the files that are locked while labs are being made.
const startingSuffix = ".starting"

// Start is the lock of whoever makes a lab; it ends with the process. Its maker and its holder both have one, so
// that there is none without only if the lab stands, or will not.
type Start struct{ file *os.File }

func startingPath(id string) string { return filepath.Join(netns.StateDir(), id+startingSuffix) }

// Starting takes the lock for a lab, together with others. It waits for whoever clears away.
func Starting(ctx context.Context, id string) (*Start, error) {
	if err := netns.MakeState(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, clearingTimeout)
	defer cancel()
	f, err := lock(ctx, id, unix.LOCK_SH, os.O_CREATE)
	if err != nil {
		return nil, err
	}
	return &Start{f}, nil
}

// Over gives the lock up. The last one takes its file away.
func (s *Start) Over(id string) {
	if unix.Flock(int(s.file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(startingPath(id)) // one that stays is removed by AwaitStarts
	}
	_ = s.file.Close()
}

// AwaitStarts waits until nobody makes the lab, or with an empty identifier any lab.
func AwaitStarts(ctx context.Context, id string) error {
	if err := netns.CheckState(); err != nil {
		return err
	}
	ids := []string{id}
	if id == "" {
		ids = nil
		entries, err := os.ReadDir(netns.StateDir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("state of labs: %w", err)
		}
		for _, e := range entries {
			if id, is := strings.CutSuffix(e.Name(), startingSuffix); is {
				ids = append(ids, id)
			}
		}
	}
	var errs []error
	for _, id := range ids {
		if err := awaitStart(ctx, id); err != nil {
			errs = append(errs, err) // the others may be in order
		}
	}
	return errors.Join(errs...)
}

func awaitStart(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	f, err := lock(ctx, id, unix.LOCK_EX, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = os.Remove(startingPath(id)) // left by one that was killed
	_ = f.Close()
	return nil
}

const (
	// lockPause is the time between two looks at a lock.
	lockPause = 10 * time.Millisecond
	// startTimeout bounds the wait for who makes a lab.
	startTimeout = time.Minute
	// clearingTimeout bounds the wait for whoever clears away, who holds the lock for an instant.
	clearingTimeout = 10 * time.Second
	// strangerPatience is how long a lock is respected that only strangers hold: one that a maker who was killed had
	// goes with it a moment later.
	strangerPatience = time.Second
)

// lock opens and locks the file of a lab's makers, and sees to it that it is still the one with that name. A lock that is
// no maker's is not waited for: its file is taken away.
func lock(ctx context.Context, id string, how, flags int) (*os.File, error) {
	begun := time.Now()
	for {
		f, err := netns.OpenLock(startingPath(id), flags)
		if err != nil {
			return nil, fmt.Errorf("state of lab %q: %w", id, err)
		}
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil && named(f, id) {
			return f, nil
		}
		who := ""
		if errors.Is(err, unix.EWOULDBLOCK) {
			who = netns.LockedBy(f)
			if time.Since(begun) > strangerPatience && strangers(netns.Lockers(f)) {
				err = evict(f, id)
			} else {
				err = nil
			}
		}
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("state of lab %q: lock: %w", id, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lab %q is being made or cleared away by %s, which does not come to an end; end it and try again: %w", id, who, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}

// named says that the file is still the one of a lab's makers.
func named(f *os.File, id string) bool {
	mine, err1 := f.Stat()
	there, err2 := os.Stat(startingPath(id))
	return err1 == nil && err2 == nil && os.SameFile(mine, there)
}

// evict takes the file away that a stranger has locked; whoever comes next makes another one.
func evict(f *os.File, id string) error {
	state, err := netns.LockState()
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }() // which unlocks it
	if !named(f, id) {
		return nil // somebody was faster
	}
	return os.Remove(startingPath(id))
}

// strangers says that none of those who hold a lock can be making a lab or clearing one away. Who is not to be seen may.
func strangers(pids []int) bool {
	for _, pid := range pids {
		if isIkelab(pid) {
			return false
		}
	}
	return len(pids) > 0
}

// isIkelab says whether a process is this program, of whatever version.
func isIkelab(pid int) bool {
	own, err1 := os.Stat("/proc/self/exe")
	its, err2 := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err1 == nil && err2 == nil && os.SameFile(own, its) {
		return true
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	words := strings.Split(string(line), "\x00")
	return filepath.Base(words[0]) == program && len(words) > 1
}

// program is the name by which the program is usually called, and by which it calls itself.
const program = "ikelab"
