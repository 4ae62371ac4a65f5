package rootless

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim/netns"
)

// Self is the path of the running program, also after its file was replaced or removed.
const Self = "/proc/self/exe"

// ErrNotAllowed says that the host does not let this user have a user namespace.
var ErrNotAllowed = errors.New("user namespaces are not allowed")

// Needed says that the caller has no root rights and so has no use for namespaces without a user namespace.
func Needed() bool { return os.Geteuid() != 0 }

// Command is the program itself, to be started in namespaces of its own. The arguments begin with its hidden command
// that calls Init, and go on with those of the program inside.
func Command(initCommand string, args ...string) *exec.Cmd {
	cmd := exec.Command(Self, append([]string{initCommand, "--"}, args...)...)
	cmd.Args[0] = "ikelab"
	// Init completes it with the number that it has out here.
	if here, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		cmd.Env = append(os.Environ(), netns.OuterVariable+"="+here)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	return cmd
}

// StartError tells a host that does not allow it from other reasons for which Command's process did not start.
func StartError(err error) error {
	for _, denial := range []error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS} {
		if errors.Is(err, denial) {
			return fmt.Errorf("%w: %w", ErrNotAllowed, err)
		}
	}
	return err
}

// Run runs the program in namespaces of its own, passes on the signals that ask it to end, those that come together as
// one, and answers its exit status.
// What it started ends with the caller, however that ends.
func Run(initCommand string, args []string, stdin, stdout, stderr *os.File) (int, error) {
	cmd := Command(initCommand, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// A terminal's interrupt goes to the whole group: the process inside must get one, not two.
	cmd.SysProcAttr.Setpgid = true
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	signals := wanted()
	defer signal.Stop(signals)
	// The death signal comes when the thread ends that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, StartError(err)
	}
	over := make(chan struct{})
	go relay(signals, over, cmd.Process)
	_ = cmd.Wait() // its state says how it ended
	close(over)
	return status(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// wanted gets the signals that ask a program to end, but for the one that nohup(1) keeps from it.
func wanted() chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals
}

// sameRequest is how close together signals come that are one request: timeout(1) sends one to its child and another to
// the whole group, and service managers SIGHUP behind SIGTERM. No person interrupts twice so soon.
const sameRequest = 100 * time.Millisecond

// relay passes signals on until over is closed. Those of one request arrive as one, because for the program inside a
// second one means that it is to end at once, without its result.
func relay(signals <-chan os.Signal, over <-chan struct{}, to *os.Process) {
	var last time.Time
	for {
		select {
		case s := <-signals:
			if s != syscall.SIGQUIT && time.Since(last) < sameRequest {
				continue
			}
			last = time.Now()
			_ = to.Signal(s) // it may have ended
		case <-over:
			return
		}
	}
}

// status is what a shell would say.
func status(w syscall.WaitStatus) int {
	if w.Signaled() {
		return 128 + int(w.Signal())
	}
	return w.ExitStatus()
}

// Init is the first process in the namespaces that Command made: it prepares them, starts the program again with the
// arguments, waits for orphans and answers the program's exit status. It returns an error before anything was started.
func Init(args []string) (int, error) {
	if os.Getpid() != 1 {
		return 0, errors.New("this is no command for people")
	}
	outside() // while /proc is still that of outside
	if err := prepare(); err != nil {
		return 0, err
	}
	signals := wanted()
	p, err := os.StartProcess(Self, append([]string{"ikelab"}, args...), &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		// What the program writes and reads is its own affair; interrupts come from here alone.
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, err
	}
	if err := letGo(); err != nil {
		return 0, errors.Join(err, p.Kill())
	}
	go relay(signals, nil, p) // until this process ends
	for {
		var w syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &w, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, err
		case pid == p.Pid:
			return status(w), nil
		}
	}
}

// outside lets the program inside know by which number this process, with which everything inside ends, is known
// outside. Where that is not to be learned, a lab's owner cannot be found by its number.
func outside() {
	namespace := os.Getenv(netns.OuterVariable)
	_ = os.Unsetenv(netns.OuterVariable)
	pid, err := os.Readlink("/proc/self")
	if err != nil || namespace == "" {
		return
	}
	number, err := strconv.Atoi(pid)
	if err != nil {
		return
	}
	o, err := netns.OwnerOf(number)
	if err != nil {
		return
	}
	_ = os.Setenv(netns.OuterVariable, o.In(namespace)) // there is room for it
}

// letGo closes what the program inside has been given: whoever waits for its end of a pipe waits for the program alone.
func letGo() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = null.Close() }() // the copies stay
	return errors.Join(unix.Dup3(int(null.Fd()), 0, 0), unix.Dup3(int(null.Fd()), 1, 0), unix.Dup3(int(null.Fd()), 2, 0))
}

// prepare makes mounts: processes as this namespace has them, and a private /run.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("%w: mounts: %w", ErrNotAllowed, err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("%w: /proc: %w", ErrNotAllowed, err)
	}
	if err := privateRun(); err != nil {
		return fmt.Errorf("%w: /run: %w", ErrNotAllowed, err)
	}
	return nil
}

// namespaceFolder is where named network namespaces are, below /run; the host's are not for us.
const namespaceFolder = "netns"

// privateRun puts a folder of our own in the place of /run, in which everything shows that was there.
func privateRun() error {
	before, err := os.Open("/run")
	if err != nil {
		return err
	}
	defer func() { _ = before.Close() }() // only read
	entries, err := before.ReadDir(-1)
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == namespaceFolder || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		// What cannot be shown is missing inside, and the program says so when it needs it.
		_ = show(fmt.Sprintf("/proc/self/fd/%d/%s", before.Fd(), e.Name()), filepath.Join("/run", e.Name()), e)
	}
	return os.Mkdir(filepath.Join("/run", namespaceFolder), 0o755)
}

// show makes a file or folder appear in a second place.
func show(from, to string, e fs.DirEntry) error {
	switch {
	case e.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case e.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	default:
		f, err := os.Create(to)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
}
