//go:build linux

package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// sleeper is a process that does nothing, which a test may lose to what it tests.
func sleeper(t *testing.T, set func(*exec.Cmd)) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(hosttest.Program(t, "sleep"), "1000")
	if set != nil {
		set(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// alive checks that a sleeper has not been ended.
func alive(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if stat, err := readStat(cmd.Process.Pid); err != nil || stat.ended() {
		t.Errorf("process %d, which has nothing to do with the lab, was ended (%v)", cmd.Process.Pid, err)
	}
}

// TestStrangerIsNoHolder: another user's process is no lab's holder, whatever its environment says.
func TestStrangerIsNoHolder(t *testing.T) {
	root(t)
	privateState(t)
	const nobody = 65534
	stranger := sleeper(t, func(cmd *exec.Cmd) {
		cmd.Dir = "/"
		cmd.Env = []string{HolderVariable + "=" + Folder("ghost")}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	})
	if lab, there, err := Find("ghost"); there || err != nil {
		t.Errorf("process %d poses as a holder: %+v (%v)", stranger.Process.Pid, lab, err)
	}
	if labs := Astray(); len(labs) > 0 {
		t.Errorf("labs without a folder: %v", labs)
	}
	// One of this user's is.
	own := sleeper(t, func(cmd *exec.Cmd) { cmd.Env = []string{HolderVariable + "=" + Folder("ghost")} })
	if lab, there, err := Find("ghost"); !there || err != nil || lab.Process.PID() != own.Process.Pid {
		t.Errorf("process %d is not found: %+v (%v)", own.Process.Pid, lab, err)
	}
}

// TestNumberOfAnother: the number of a lab's process is not enough to take another process for it: one that has the
// number now, or had it with the same start when the host ran the last time.
func TestNumberOfAnother(t *testing.T) {
	privateState(t)
	innocent := sleeper(t, nil)
	pid := innocent.Process.Pid
	stat, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	old := fmt.Sprintf("%d\n2026-01-01T00:00:00Z\n%s\n", pid, processNamespace()) // as the first versions wrote it
	for name, text := range map[string]string{
		"old":    old,
		"reboot": old + fmt.Sprintf("process %d %s %d\nkind lab\ntoken abcdef\nboot 00000000-0000-0000-0000-000000000000\n", pid, processNamespace(), stat.start),
	} {
		c := newFolder(name)
		if err := errors.Join(os.MkdirAll(c.dir, folderMode), c.write(lockFile, ""), c.write(ownerFile, text)); err != nil {
			t.Fatal(err)
		}
		lab, there, err := Find(name)
		if err != nil || !there || lab.Standing {
			t.Errorf("%s: %+v, %v (%v), want one that is dead", name, lab, there, err)
		} else if err := lab.Process.Signal(syscall.SIGKILL); err == nil {
			t.Errorf("%s: the process gets a signal", name)
		}
		alive(t, innocent)
		if swept, err := Sweep(); err != nil || len(swept) != 1 || swept[0].Standing {
			t.Errorf("%s: swept %+v (%v)", name, swept, err)
		}
		alive(t, innocent)
		_ = os.RemoveAll(c.dir)
	}
}

// TestKillAllIsPatient: what was killed may take long to end, and is waited for.
func TestKillAllIsPatient(t *testing.T) {
	slow := sleeper(t, nil)
	asked := 0
	ended := killAll(hosttest.Patience, func(pid int) bool {
		if pid != slow.Process.Pid {
			return false
		}
		// Every second question is the one before the signal: so it gets none at first.
		asked++
		return asked%2 == 1 || asked > 200
	})
	if stat, err := readStat(slow.Process.Pid); !ended || err == nil && !stat.ended() {
		t.Errorf("asked %d times, and the process lives; killAll says that it has ended: %v", asked, ended)
	}
}
