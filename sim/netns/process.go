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
	mark string
	// group is the control group that commands start in, nil where there is none.
	group    *os.File
	requests chan func()
	stopped  chan struct{}
	once     sync.Once

	// adopting says that this process gets what its commands leave behind, for want of a
	// group. It has no other children but those that it started here.
	adopting bool
	mu       sync.Mutex     // held while a command starts, so that none is taken for adopted
	own      map[int]uint64 // the commands' numbers and starts
}

func newForker(mark string, group *os.File) *forker {
	f := &forker{mark: mark, group: group, requests: make(chan func()), stopped: make(chan struct{}), own: map[int]uint64{}}
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

// adopt makes this process the parent of what its commands leave behind, as a process
// of its own group or session for example: so it is known, and endAdopted ends it. It is
// for a process that does nothing beside the lab. Who kills it makes orphans of them.
func (f *forker) adopt() {
	f.adopting = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == nil
}

// adopted says that a process is a child of this one that was not started here. The
// caller holds f.mu.
func (f *forker) adopted(pid int) bool {
	stat, err := readStat(pid)
	if err != nil || stat.parent != os.Getpid() {
		return false
	}
	start, own := f.own[pid]
	return !own || start != stat.start
}

// reap forgets adopted processes that have ended.
func (f *forker) reap() {
	if !f.adopting {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pid := range processes() {
		if stat, err := readStat(pid); err == nil && stat.ended() && f.adopted(pid) {
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil) // nobody asks how
		}
	}
}

// endAdopted ends adopted processes, and those that become so by it. Nothing is started
// any more.
func (f *forker) endAdopted() error {
	if !f.adopting {
		return nil
	}
	f.mu.Lock()
	ended := killAll(endTimeout, f.adopted)
	f.mu.Unlock()
	f.reap()
	if !ended {
		return errors.New("processes that the lab's commands left behind do not end")
	}
	return nil
}

// stop ends the thread, and with it what was started and still runs.
func (f *forker) stop() { f.once.Do(func() { close(f.stopped) }) }

// start starts a command inside a namespace, in a process group of its own.
func (f *forker) start(cmd *exec.Cmd, in ns.NetNS) (*Started, error) {
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
	if f.group != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.group.Fd())
	}
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
			f.mu.Lock()
			if err = cmd.Start(); err == nil && f.adopting {
				if stat, statErr := readStat(cmd.Process.Pid); statErr == nil {
					f.own[cmd.Process.Pid] = stat.start
				}
			}
			f.mu.Unlock()
			// The thread must be back whatever became of the command.
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("leaving a network namespace: %w", back))
			}
		}
		done <- err
	}
	select {
	case f.requests <- request:
		if err := <-done; err != nil {
			return nil, err
		}
		return &Started{cmd: cmd, forker: f}, nil
	case <-f.stopped:
		return nil, ErrEnded
	}
}

// Started is a command that was started. Its methods are safe for concurrent use, but for
// Wait, which one caller calls.
type Started struct {
	cmd    *exec.Cmd
	forker *forker
	mu     sync.Mutex
	ended  bool // its number may be somebody else's
}

// Signal sends a signal to the command, and to what it started in its group. One that has
// ended answers os.ErrProcessDone.
func (s *Started) Signal(signal syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return os.ErrProcessDone
	}
	err := syscall.Kill(-s.cmd.Process.Pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// Wait waits for the command's end, and answers its exit status as a shell has it.
func (s *Started) Wait() int {
	// Learn of the end without taking the number away.
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, s.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	_ = s.cmd.Wait() // its state says how it ended
	s.forker.reap()
	return exitStatus(s.cmd.ProcessState)
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
	case sim.ProcessTerminate, sim.ProcessKill:
		signal := syscall.SIGTERM
		if change.Do == sim.ProcessKill {
			signal = syscall.SIGKILL
		}
		if l.running[i] != nil {
			_ = l.running[i].Signal(signal) // it may have ended by itself
		}
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
	started, err := l.forker.start(cmd, l.stations[n].ns)
	if err != nil {
		status := statusNotExecutable
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
			status = statusNotFound
		}
		l.enter(func(now time.Duration) { l.run.ProcessFailed(now, i, status, err.Error()) })
		return
	}
	l.running[i] = started
	l.enter(func(now time.Duration) { l.run.ProcessStarted(now, i) })
	l.waiting.Go(func() {
		status := started.Wait()
		l.enter(func(now time.Duration) { l.run.ProcessExited(now, i, status) })
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
