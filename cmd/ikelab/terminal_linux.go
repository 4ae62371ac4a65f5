package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
)

// runOn runs a command with these files, or where they are a terminal with a new one behind it: a shell wants a
// terminal of its own, and this one is already somebody's.
func runOn(c *standing.Client, spec standing.Command, files [3]*os.File, signals <-chan os.Signal, notice func(string)) (int, error) {
	in, out := int(files[0].Fd()), int(files[1].Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return c.Exec(spec, files, signals, notice)
	}
	master, slave, err := newTerminal()
	if err != nil {
		return 0, err
	}
	defer func() { _ = master.Close() }() // what was not read is nobody's any more
	resize := func() {
		// The slave's descriptor: asking the master for its own would make it block.
		if size, err := unix.IoctlGetWinsize(in, unix.TIOCGWINSZ); err == nil {
			_ = unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, size) // the program may draw badly
		}
	}
	resize()
	before, err := term.MakeRaw(in)
	if err != nil {
		return 0, err
	}
	defer func() { _ = term.Restore(in, before) }()
	sizes := make(chan os.Signal, 1)
	signal.Notify(sizes, unix.SIGWINCH)
	defer signal.Stop(sizes)
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			select {
			case <-sizes:
				resize()
			case <-over:
				return
			}
		}
	}()
	go func() { _, _ = io.Copy(master, files[0]) }() // ends with the program
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(files[1], master) // until nobody has the other end
	}()
	spec.Terminal = true
	// A raw terminal does not go back to the first column by itself.
	status, err := c.Exec(spec, [3]*os.File{slave, slave, slave}, signals, func(text string) { notice(text + "\r") })
	_ = slave.Close()
	// What it left running in the background may keep the terminal for ever.
	_ = master.SetReadDeadline(time.Now().Add(lastOutput))
	<-shown
	return status, err
}

// lastOutput is how long what a command wrote last may take to arrive.
const lastOutput = 300 * time.Millisecond

// newTerminal answers the two ends of a new terminal.
func newTerminal() (master, slave *os.File, err error) {
	var ioctlErr error
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	number := 0
	raw, err := master.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			var err1 error
			number, err1 = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
			ioctlErr = errors.Join(err1, unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0))
		})
	}
	if err = errors.Join(err, ioctlErr); err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}
