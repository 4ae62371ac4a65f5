package standing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim/netns"
)

const (
	// stopTimeout is how long a holder has to take its lab down before it is killed.
	stopTimeout = 20 * time.Second
	downPause   = 10 * time.Millisecond
	// runNotice is how long a lab is given to go before it is looked at what it is.
	runNotice = 2 * time.Second
)

// RunError says that a lab is no standing one but a run in progress.
type RunError struct{ ID string }

func (e *RunError) Error() string {
	return fmt.Sprintf("%s is a run, not a lab that was left standing; it takes its namespaces down itself when it ends or is interrupted", e.ID)
}

// IsRun tells a run from a lab that a holder owns.
func IsRun(id string) bool {
	_, err := os.Stat(LogFile(id))
	return errors.Is(err, fs.ErrNotExist)
}

// Down takes one lab down: it asks its holder, and waits until nothing is left. It answers false when there is nothing
// of that name. A lab whose holder does not answer, or not come to an end, is taken away from it, which killed says.
func Down(ctx context.Context, id string) (was, killed bool, err error) {
	if err := AwaitStarts(ctx, id); err != nil {
		return false, false, err
	}
	process, begun := 0, time.Now()
	asked, patience := time.Time{}, stopTimeout
	for {
		if _, err := os.Stat(netns.Folder(id)); errors.Is(err, fs.ErrNotExist) {
			return was, killed, awaitEnd(ctx, process)
		}
		was = true
		standing, err := stands(id)
		if err != nil {
			return was, killed, err
		}
		switch {
		case !standing:
			// Its owner is gone, or just going.
			if _, err := netns.Sweep(); err != nil {
				return was, killed, err
			}
			continue
		case asked.IsZero():
			process, err = stop(ctx, id)
			switch {
			case errors.Is(err, ErrNoAnswer):
				patience = 0
			case err != nil && !errors.Is(err, ErrNoHolder):
				return was, killed, err
			}
			if process > 0 {
				asked = time.Now()
			} else if since := time.Since(begun); since > runNotice && IsRun(id) {
				return was, killed, &RunError{id}
			} else if since > stopTimeout {
				return was, killed, fmt.Errorf("lab %q: %w, although its owner lives", id, ErrNoHolder)
			}
		case time.Since(asked) > patience && !killed:
			killed = true
			if err := unix.Kill(process, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return was, killed, fmt.Errorf("lab %q: its holder, process %d, does not end: %w", id, process, err)
			}
		}
		select {
		case <-ctx.Done():
			return was, killed, ctx.Err()
		case <-time.After(downPause):
		}
	}
}

// stands says whether a lab has an owner.
func stands(id string) (bool, error) {
	all, err := netns.List()
	for _, s := range all {
		if s.ID == id {
			return s.Standing, nil
		}
	}
	return false, err
}

// stop asks a lab's holder to end, and answers its process, also where that does not answer.
func stop(ctx context.Context, id string) (process int, err error) {
	c, err := Dial(ctx, id)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if process, err = c.Process(); err != nil {
		return 0, err
	}
	var f *Failure
	switch err := c.Stop(); {
	case errors.As(err, &f), ctx.Err() != nil:
		return 0, errors.Join(err, ctx.Err())
	case errors.Is(err, ErrNoAnswer):
		return process, err
	}
	return process, nil // or it ends before it answers
}

// awaitEnd waits for the end of a process that is about to.
func awaitEnd(ctx context.Context, process int) error {
	if process <= 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return nil // gone, or a kernel before 5.3, which cannot say
	}
	defer func() { _ = unix.Close(fd) }()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(downPause/time.Millisecond))
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
