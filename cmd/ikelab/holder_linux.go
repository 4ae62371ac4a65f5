package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/sim/netns"
)

func newHolderCommand(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:    holderCommand,
		Short:  "Hold a lab for up; no command for people",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := asFile(std.in)
			if in == nil {
				return usageError("this is no command for people; see ikelab up")
			}
			conn, err := net.FileConn(in)
			if err != nil {
				return usageError("this is no command for people; see ikelab up")
			}
			return hold(cmd.Context(), conn, in)
		},
	}
}

// orderTimeout is how long a holder waits for the order that its maker gives at once.
const orderTimeout = 30 * time.Second

// hold makes the lab that its maker orders and lets it stand.
func hold(ctx context.Context, conn net.Conn, in *os.File) error {
	var o holderOrder
	if err := conn.SetReadDeadline(time.Now().Add(orderTimeout)); err != nil {
		return internalError("%w", err)
	}
	if err := json.NewDecoder(conn).Decode(&o); err != nil {
		return silent(exitInternal) // whoever ordered it is gone
	}
	// The lock first, then a look whether the maker lives: so either it had the lock until now, or nothing is made.
	start, err := standing.Starting(ctx, o.ID)
	if err == nil && hungUp(in) {
		start.Over(o.ID)
		return silent(exitInternal)
	}
	if err != nil {
		return answer(conn, internalError("%w", err))
	}
	held, err := standing.Build(o.Spec, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		defer start.Over(o.ID)
		return answer(conn, holderError(ctx, err))
	}
	if err := keepLog(o.ID); err != nil {
		defer start.Over(o.ID)
		return answer(conn, internalError("%w", errors.Join(err, held.Close())))
	}
	held.KeepLog = func() error { return keepLog(o.ID) }
	held.Start()
	if ctx.Err() != nil || hungUp(in) {
		err = errors.New("interrupted")
	} else {
		ready := held.Ready()
		err = json.NewEncoder(conn).Encode(holderWord{Ready: &ready})
	}
	if err == nil {
		_ = conn.Close()
		err = redirect(os.DevNull, os.O_RDONLY, 0)
		start.Over(o.ID)
	}
	if err != nil { // nobody waits for it any more
		defer start.Over(o.ID)
		return internalError("%w", errors.Join(err, held.Close()))
	}
	return errors.Join(held.Serve(ctx), held.Close())
}

// answer tells the maker why there is no lab.
func answer(conn net.Conn, err error) error {
	status := statusOf(err)
	_ = json.NewEncoder(conn).Encode(holderWord{Error: err.Error(), Status: status}) // the maker may be gone
	return silent(status)
}

// holderError gives a reason for which there is no lab its exit status.
func holderError(ctx context.Context, err error) error {
	var refused *standing.RefusedError
	switch {
	case errors.As(err, &refused), errors.Is(err, netns.ErrStanding):
		return usageError("%w", err)
	}
	return netnsError(ctx, err)
}

// hungUp says that the other end of a connection is closed.
func hungUp(in *os.File) bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(int(in.Fd()), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
}

// keepLog lets the process write to the lab's log from now on, whatever it is that writes.
func keepLog(id string) error {
	return redirect(standing.LogFile(id), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 1, 2)
}

// redirect puts a file in the place of others.
func redirect(path string, flags int, descriptors ...int) error {
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // the copies stay
	for _, d := range descriptors {
		if err := unix.Dup3(int(f.Fd()), d, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}
