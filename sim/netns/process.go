//go:build linux

package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim"
)

// forker starts commands in namespaces. It owns a thread for as long as the lab
// stands: a command gets SIGKILL when the thread that started it ends, so that none
// outlives a lab whose process was killed.
type forker struct {
	// mark is a variable in the environment of every command, by which what a command
	// leaves behind is known although it has gone to a namespace of its own.
	mark     string
	requests chan func()
	stopped  chan struct{}
	once     sync.Once
}

func newForker(mark string) *forker {
	f := &forker{mark: mark, requests: make(chan func()), stopped: make(chan struct{})}
	onThread(func() {
		for {
			select {
			case request := <-f.requests:
				request()
			case <-f.stopped:
				return
			}
		}
	})
	return f
}

// onThread calls f on a thread that ends with it. The process's first thread never
// ends, so f is kept from it.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked: so the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		elsewhere := make(chan struct{})
		onThread(func() {
			close(elsewhere)
			f()
		})
		<-elsewhere // until then nobody else can have this thread
		runtime.UnlockOSThread()
	}()
}

// stop ends the thread, and with it what was started and still runs.
func (f *forker) stop() { f.once.Do(func() { close(f.stopped) }) }

// start starts a command inside a namespace, in a process group of its own.
func (f *forker) start(cmd *exec.Cmd, in ns.NetNS) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, f.mark)
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	// The leader of a session leads a group already.
	cmd.SysProcAttr.Setpgid = !cmd.SysProcAttr.Setsid
	catchIgnored()
	done := make(chan error, 1)
	request := func() {
		home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			done <- err
			return
		}
		defer func() { _ = home.Close() }()
		if err = unix.Setns(int(in.Fd()), unix.CLONE_NEWNET); err == nil {
			err = cmd.Start()
			// The thread must be back whatever became of the command.
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("leaving a network namespace: %w", back))
			}
		}
		done <- err
	}
	select {
	case f.requests <- request:
		return <-done
	case <-f.stopped:
		return ErrEnded
	}
}

// signalGroup sends a signal to a command and what it started.
func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	if cmd.Process == nil {
		return os.ErrProcessDone
	}
	err := syscall.Kill(-cmd.Process.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Exit statuses of commands that did not start, as shells have them.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128
)

// process starts a process of the plan, or ends it.
func (l *Lab) process(change *sim.ProcessChange) {
	i := change.Process
	switch change.Do {
	case sim.ProcessTerminate:
		_ = signalGroup(l.running[i], syscall.SIGTERM) // it may have ended by itself
		return
	case sim.ProcessKill:
		_ = signalGroup(l.running[i], syscall.SIGKILL)
		return
	}
	p := &l.run.Plan().Processes[i]
	n := 0
	for l.run.Plan().Nodes[n].Name != p.Node {
		n++
	}
	cmd := exec.Command(p.Command[0], p.Command[1:]...)
	cmd.Env = append(os.Environ(), p.Env...)
	if p.Stdin != "" {
		cmd.Stdin = strings.NewReader(p.Stdin)
	}
	cmd.Stdout, cmd.Stderr = &processOutput{l, i, sim.ProcessOutput}, &processOutput{l, i, sim.ProcessErrorOutput}
	// What it started may keep its outputs open for ever.
	cmd.WaitDelay = time.Second
	if err := l.forker.start(cmd, l.stations[n].ns); err != nil {
		status := statusNotExecutable
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			status = statusNotFound
		}
		l.enter(func(now time.Duration) { l.run.ProcessFailed(now, i, status, err.Error()) })
		return
	}
	l.running[i] = cmd
	l.enter(func(now time.Duration) { l.run.ProcessStarted(now, i) })
	l.waiting.Go(func() {
		_ = cmd.Wait() // how it ended is asked of its state
		l.enter(func(now time.Duration) { l.run.ProcessExited(now, i, exitStatus(cmd.ProcessState)) })
	})
}

// exitStatus is what a shell would say of how a command ended.
func exitStatus(s *os.ProcessState) int {
	if s == nil {
		return statusNotExecutable
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return statusSignal + int(w.Signal())
	}
	return s.ExitCode()
}

// processOutput passes what a process writes to the run.
type processOutput struct {
	lab    *Lab
	index  int
	stream sim.ProcessStream
}

func (o *processOutput) Write(b []byte) (int, error) {
	o.lab.enter(func(now time.Duration) { o.lab.run.ProcessWrote(now, o.index, o.stream, b) })
	return len(b), nil
}
