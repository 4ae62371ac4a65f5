//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
)

// roleVariable names in a child's environment what it is: traffic or tunnel.
const roleVariable = "IKELAB_BENCHDATAPLANE_ROLE"

// pipe is a child's standard input and output.
type pipe struct {
	io.Reader
	io.WriteCloser
}

// serveRole makes this process what its environment says, and reports false where that says nothing. It returns when the
// parent has gone or wants no more.
func serveRole() (bool, error) {
	var service any
	role := os.Getenv(roleVariable)
	switch role {
	case "":
		return false, nil
	case "traffic":
		service = new(Traffic)
	case "tunnel":
		service = new(Tunnel)
	default:
		return true, fmt.Errorf("%s=%q is no role", roleVariable, role)
	}
	s := rpc.NewServer()
	if err := s.RegisterName(role, service); err != nil {
		return true, err
	}
	s.ServeConn(pipe{os.Stdin, os.Stdout})
	return true, nil
}

// process is this program again, in a namespace.
type process struct {
	role   string
	cmd    *exec.Cmd
	client *rpc.Client
}

// startProcess executes this program again in a namespace. It ends when its standard input does, so at the latest with
// this process.
func startProcess(network ns.NetNS, role string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{role: role, cmd: exec.Command(self)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role, "GOMAXPROCS="+strconv.Itoa(runtime.NumCPU()))
	p.cmd.Stderr = os.Stderr
	// Not in the terminal's foreground: who interrupts means this process, which ends the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := network.Do(func(ns.NetNS) error { return p.cmd.Start() }); err != nil {
		return nil, fmt.Errorf("a process for %s: %w", role, err)
	}
	p.client = rpc.NewClient(pipe{out, in})
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// call calls a method of the process's role; answer may be nil.
func (p *process) call(ctx context.Context, method string, argument, answer any) error {
	if answer == nil {
		answer = new(None)
	}
	select {
	case c := <-p.client.Go(p.role+"."+method, argument, answer, make(chan *rpc.Call, 1)).Done:
		if c.Error != nil {
			return fmt.Errorf("%s: %w", method, c.Error)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// close ends the process: at once where it does not end by itself.
func (p *process) close() error {
	err := p.client.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() }) // its only error is that it has ended
	defer kill.Stop()
	return errors.Join(err, p.cmd.Wait())
}

// cpuOf is the processor time that all threads of a process have used.
func cpuOf(pid int) (time.Duration, error) {
	const schedulerClock = 2 // CPUCLOCK_SCHED; clock_getcpuclockid(3) makes the same number
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// machineCPU is the processor time that the whole machine has been busy, and the time that a hypervisor took away
// (proc_stat(5)).
func machineCPU() (busy, stolen time.Duration, err error) {
	const ticksPerSecond = 100 // USER_HZ, on every architecture of Go's
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for _, i := range []int{1, 2, 3, 6, 7, 8} { // user, nice, system, irq, softirq, steal
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		t := time.Duration(n) * time.Second / ticksPerSecond
		if i == 8 {
			stolen = t
		} else {
			busy += t
		}
	}
	return busy, stolen, nil
}

// networkThreads are the kernel's threads that carry packets on when there are many. A container does not show them.
var networkThreads = sync.OnceValue(func() (pids []int) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil // the pattern is right
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(text), "ksoftirqd/") {
			continue // it may have ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
})
