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
	if err := os.MkdirAll(netns.StateDir(), 0o755); err != nil {
		return nil, fmt.Errorf("state of labs: %w", err)
	}
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
	for _, id := range ids {
		f, err := lock(ctx, id, unix.LOCK_EX, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_ = os.Remove(startingPath(id)) // left by one that was killed
		_ = f.Close()
	}
	return nil
}

// lockPause is the time between two looks at a lock.
const lockPause = 10 * time.Millisecond

// lock opens and locks the file of a lab's makers, and sees to it that it is still the one with that name.
func lock(ctx context.Context, id string, how, flags int) (*os.File, error) {
	for {
		f, err := os.OpenFile(startingPath(id), os.O_RDWR|flags, 0o644)
		if err != nil {
			return nil, fmt.Errorf("state of lab %q: %w", id, err)
		}
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			mine, err1 := f.Stat()
			there, err2 := os.Stat(startingPath(id))
			if err1 == nil && err2 == nil && os.SameFile(mine, there) {
				return f, nil
			}
		}
		_ = f.Close()
		if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("state of lab %q: lock: %w", id, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lab %q is being made by somebody who does not come to an end: %w", id, ctx.Err())
		case <-time.After(lockPause):
		}
	}
}
