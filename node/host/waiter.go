//go:build linux

package host

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// waiter lets a worker sleep until its descriptor has something to read. Go's own
// poller would wake a thread for every packet that comes, and for every one that has
// left, though the worker is awake and busy; this one is asked only by a worker that
// found nothing. It is an epoll instance of its own, armed for one event at a time,
// which Go's poller watches in its turn.
type waiter struct {
	file *os.File
	raw  syscall.RawConn
	// watched is the descriptor; the waiter does not own it.
	watched int32
	// asleep is true from arming to the event.
	asleep bool
	// failed says that the descriptor has an error to tell.
	failed bool
	try    func() bool
	step   func(fd uintptr) bool
	errno  error
	events [1]unix.EpollEvent
}

// newWaiter watches a descriptor, which must stay open until the waiter is closed.
func newWaiter(watched int) (*waiter, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that os.NewFile gives it to Go's poller
	}
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, watched, &unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(watched)})
	}
	if err != nil {
		return nil, fmt.Errorf("a poller of its own: %w", err)
	}
	w := &waiter{file: os.NewFile(uintptr(fd), "poller"), watched: int32(watched)}
	w.step = w.advance
	if w.raw, err = w.file.SyscallConn(); err != nil {
		_ = w.file.Close()
		return nil, err
	}
	return w, nil
}

func (w *waiter) close() { _ = w.file.Close() }

// wait calls try until it answers true, sleeping in between. An error says that the
// waiter has been closed. One goroutine calls it.
func (w *waiter) wait(try func() bool) error {
	w.try, w.errno = try, nil
	if err := w.raw.Read(w.step); err != nil {
		return err
	}
	return w.errno
}

// advance tries, and arms the epoll instance when there was nothing; false lets Go's
// poller wait for that.
func (w *waiter) advance(fd uintptr) bool {
	if w.asleep {
		// Take the event, so that the next one is news.
		n, _ := unix.EpollWait(int(fd), w.events[:], 0)
		w.failed = n == 1 && w.events[0].Events&unix.EPOLLERR != 0
		w.asleep = false
	}
	if w.try() {
		return true
	}
	w.events[0] = unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: w.watched}
	if w.errno = unix.EpollCtl(int(fd), unix.EPOLL_CTL_MOD, int(w.watched), &w.events[0]); w.errno != nil {
		return true
	}
	w.asleep = true
	return false
}

// waitWritable waits until a descriptor takes more, or a while.
func waitWritable(fd uintptr) {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	_, _ = unix.Poll(p[:], 50)
}
