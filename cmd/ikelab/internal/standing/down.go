package standing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ikelab/ikelab/sim/netns"
)

const (
	// stopTimeout is how long a holder has to take its lab down before it is killed.
	stopTimeout = 20 * time.Second
	downPause   = 10 * time.Millisecond
	// runNotice is how long a lab is given to go before it is looked at what it is, or to make its socket again.
	runNotice = 2 * time.Second
)

// RunError says that a lab is no standing one but a run in progress.
type RunError struct{ ID string }

func (e *RunError) Error() string {
	return fmt.Sprintf("%s is a run, not a lab that was left standing; it takes its namespaces down itself when it ends or is interrupted", e.ID)
}

// Went is how a lab went down.
type Went struct {
	// Was says that there was one.
	Was bool
	// Killed says that it was taken away from a holder that did not answer, or not come to an end.
	Killed bool
	// Foreign is what somebody has put into its folder, which stays for that; empty for nothing.
	Foreign string
}

// Down takes one lab down: it asks its holder, or where there is no socket ends its process, and waits until nothing is
// left. A lab whose holder does not answer, or not come to an end, is taken away from it.
func Down(ctx context.Context, id string) (went Went, err error) {
	if err := AwaitStarts(ctx, id); err != nil {
		return went, err
	}
	begun := time.Now()
	var holder *netns.Owner
	var astray []string
	asked, patience := time.Time{}, stopTimeout
	for {
		lab, there, err := netns.Find(id)
		if err != nil {
			return went, err
		}
		if !there {
			if err := errors.Join(awaitEnd(ctx, holder), netns.ClearNamespaces(id, astray)); err != nil {
				return went, err
			}
			return went, leftOver(id)
		}
		went.Was = true
		if lab.Foreign != "" {
			went.Foreign = lab.Foreign
		}
		switch {
		case !lab.Standing:
			// Its owner is gone, or just going.
			swept, err := netns.Sweep()
			if err != nil {
				return went, err
			}
			for _, s := range swept {
				if s.ID == id && s.Lost != nil {
					return went, Lost(s)
				}
			}
		case asked.IsZero():
			holder, err = stop(ctx, lab, begun)
			if errors.Is(err, ErrNoAnswer) {
				patience, err = 0, nil
			}
			if err != nil {
				return went, err
			}
			if holder != nil {
				asked = time.Now()
			}
		case time.Since(asked) > patience && !went.Killed:
			went.Killed = true
			if lab.Astray {
				astray = holder.Namespaces(id) // nothing else will say which it had
			}
			if err := holder.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return went, fmt.Errorf("lab %q: its holder, process %d, does not end: %w", id, holder.PID(), err)
			}
		}
		select {
		case <-ctx.Done():
			return went, ctx.Err()
		case <-time.After(downPause):
		}
	}
}

// leftOver says that namespaces stand that are called as the lab's. Nothing says any more that they are, so that nobody
// but a person can take them away.
func leftOver(id string) error {
	names := netns.Namespaces(id)
	if os.Geteuid() != 0 || len(names) == 0 {
		return nil // in a user namespace they are somebody else's
	}
	return fmt.Errorf("no process and no folder has lab %q here, and yet there are network namespaces with its name: %s; if no lab of another folder of state has them, remove each with: ip netns del NAME",
		id, strings.Join(names, ", "))
}

// Lost says of a lab that was to be cleared away that its namespaces stay, nil where they do not.
func Lost(s netns.Swept) error {
	if s.Lost == nil {
		return nil
	}
	return fmt.Errorf("lab %q has died, and %s, where it wrote down what it had, was emptied; there are network namespaces with its name: %s; remove each with: ip netns del NAME, and the folder with: ikelab down",
		s.ID, netns.Folder(s.ID), strings.Join(s.Lost, ", "))
}

// stop asks a lab's holder to end and answers its process, also with ErrNoAnswer. It answers nil where nobody could be
// asked yet.
func stop(ctx context.Context, lab netns.Swept, begun time.Time) (*netns.Owner, error) {
	holder, err := ask(ctx, lab.ID)
	if err == nil || !errors.Is(err, ErrNoHolder) {
		return holder, err
	}
	since := time.Since(begun)
	switch {
	case since < runNotice:
		return nil, nil // it may be going, or make its socket again
	case lab.Run:
		return nil, &RunError{lab.ID}
	case lab.Process != nil:
		// Its socket is gone, but it is known who it is.
		if err := lab.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return nil, fmt.Errorf("lab %q: its holder, process %d: %w", lab.ID, lab.Process.PID(), err)
		}
		return lab.Process, nil
	case since > stopTimeout:
		return nil, fmt.Errorf("%w, although its owner lives (process %s)", err, lab.Owner)
	}
	return nil, nil
}

// ask asks a lab's holder over its socket to end, and answers its process, also where that does not answer.
func ask(ctx context.Context, id string) (*netns.Owner, error) {
	c, err := Dial(ctx, id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	holder, err := c.holder()
	if err != nil {
		return nil, err
	}
	var f *Failure
	switch err := c.Stop(); {
	case errors.As(err, &f), ctx.Err() != nil:
		return nil, errors.Join(err, ctx.Err())
	case errors.Is(err, ErrNoAnswer):
		return holder, err
	}
	return holder, nil // or it ends before it answers
}

// holder is the process at the other end, while the connection stands: the number is not somebody else's yet.
func (c *Client) holder() (*netns.Owner, error) {
	cred, err := peer(c.conn)
	if err != nil {
		return nil, err
	}
	o, err := netns.OwnerOf(int(cred.Pid))
	if err != nil {
		return nil, fmt.Errorf("%w: its process is not to be seen: %w", ErrNoHolder, err)
	}
	if hungUp(c.conn) {
		return nil, ErrNoHolder
	}
	return o, nil
}

// awaitEnd waits for the end of a process that is about to.
func awaitEnd(ctx context.Context, o *netns.Owner) error {
	for o != nil && o.Alive() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(downPause):
		}
	}
	return nil
}
