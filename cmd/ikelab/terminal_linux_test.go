package main

import (
	"bytes"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestExecOnATerminal: a command that is run from a terminal has one of its own, of the same size, which is its
// controlling terminal, so that shells have job control and Ctrl-C is for the command.
func TestExecOnATerminal(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.good("up", p.lab(id("terminal")))
	master, slave, err := newTerminal()
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v; cure: mount devpts on /dev/pts", err)
	}
	defer func() { _ = master.Close() }()
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	script := `test -t 0 && test -t 1 && stty size; echo typed: $(head -n 1); trap 'echo caught; exit 5' INT; echo ready >/dev/tty; while :; do sleep 0.02; done`
	cmd := p.command("exec", "ha", "--", "sh", "-c", script)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = slave.Close()
	shown := make(chan string)
	go func() {
		var all bytes.Buffer
		chunk := make([]byte, 4096)
		for {
			n, err := master.Read(chunk)
			all.Write(chunk[:n])
			select {
			case shown <- all.String():
			case <-time.After(processTimeout):
				return
			}
			if err != nil {
				close(shown)
				return
			}
		}
	}()
	var screen string
	see := func(want string) {
		t.Helper()
		for !strings.Contains(screen, want) {
			next, there := <-shown
			if !there {
				t.Fatalf("the terminal shows %q, not %q", screen, want)
			}
			screen = next
		}
	}
	enter := func(text string) {
		t.Helper()
		if _, err := io.WriteString(master, text); err != nil {
			t.Fatal(err)
		}
	}
	see("33 77")
	enter("a line\r")
	see("typed: a line")
	see("ready")
	enter("\x03")
	see("caught")
	go func() {
		for range shown { // what is left
		}
	}()
	_ = cmd.Wait() // its state says it
	if cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("exec ends with %v, want the command's 5", cmd.ProcessState)
	}
}
