package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// background is a command line that goes on while the test does.
type background struct {
	cmd   *exec.Cmd
	ended chan struct{}
	out   bytes.Buffer // when it has ended
}

// background starts a command line.
func (p *place) background(args ...string) *background {
	p.t.Helper()
	b := &background{cmd: p.command(args...), ended: make(chan struct{})}
	f, err := os.Create(filepath.Join(p.t.TempDir(), "out"))
	if err != nil {
		p.t.Fatal(err)
	}
	b.cmd.Stdout, b.cmd.Stderr = f, f
	if err := b.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = b.cmd.Wait() // its state says how
		text, _ := os.ReadFile(f.Name())
		_ = f.Close()
		b.out.Write(text)
		close(b.ended)
	}()
	p.t.Cleanup(func() {
		_ = b.cmd.Process.Kill() // of a test that failed; usually it has ended
		<-b.ended
	})
	return b
}

// connected waits until it has asked its question, of which a socket is the sign.
func (b *background) connected(t *testing.T) {
	t.Helper()
	await(t, strings.Join(b.cmd.Args[1:], " ")+" to connect", func() bool {
		descriptors, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", b.cmd.Process.Pid))
		for _, d := range descriptors {
			if target, err := os.Readlink(d); err == nil && strings.HasPrefix(target, "socket:") {
				return true
			}
		}
		return false
	})
}

// end waits for its end and checks what it says.
func (b *background) end(t *testing.T, status int, want string) {
	t.Helper()
	select {
	case <-b.ended:
	case <-time.After(processTimeout):
		t.Fatalf("%v does not end", b.cmd.Args[1:])
	}
	if got := b.cmd.ProcessState.ExitCode(); got != status || !strings.Contains(b.out.String(), want) {
		t.Errorf("%v: %v, want status %d and %q: %s", b.cmd.Args[1:], b.cmd.ProcessState, status, want, b.out.String())
	}
}

// TestStoppedHolder: a holder that takes connections and answers none holds nobody for ever, and down takes its lab away.
func TestStoppedHolder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	p.good("up", p.lab(id("stopped")))
	mark := filepath.Join(t.TempDir(), "mark")
	running := p.background("exec", "ha", "--", "sh", "-c", "touch "+mark+"; exec sleep 1000")
	await(t, "the command", func() bool { _, err := os.Stat(mark); return err == nil })
	holder := p.status().Holder
	if err := syscall.Kill(holder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"do", "cut"}, {"capture", "-w", filepath.Join(t.TempDir(), "x")}, {"down"}} {
		b := p.background(args...)
		b.connected(t)
		if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		b.end(t, exitInterrupted, "interrupted")
	}
	var waiting []*background
	for _, args := range [][]string{{"status"}, {"do", "cut"}, {"capture", "-w", filepath.Join(t.TempDir(), "x")}} {
		waiting = append(waiting, p.background(args...))
	}
	for _, b := range waiting {
		b.end(t, exitInternal, "does not answer (waited 10s); ikelab down takes the lab away from it")
	}
	// What was asked for by somebody who has gone is not done.
	if err := syscall.Kill(holder, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if ga := nodeStatus(t, p.status(), "ga"); !ga.Interfaces[1].Up {
		t.Error("a step was done for somebody who had gone")
	}
	if err := syscall.Kill(holder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := running.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	starting := p.background("exec", "ha", "--", "true")
	running.end(t, exitInternal, "does not answer")
	starting.end(t, exitInternal, "does not answer")
	if out := p.good("down"); !strings.Contains(out, "did not answer and was killed") {
		t.Errorf("down says %q", out)
	}
	p.nothing(id("stopped"), before)
}
