//go:build linux

package netns

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// adoptVariable makes TestAdopt the process that adopts: it would end other tests' children.
const adoptVariable = "IKELAB_TEST_ADOPT"

// TestAdopt: where there is no control group, what a command has left behind is the lab's process's and ends with the
// lab, whatever it has made of itself.
func TestAdopt(t *testing.T) {
	for _, tool := range []string{"env", "setsid", "sh", "sleep"} {
		hosttest.Program(t, tool)
	}
	dir := os.Getenv(adoptVariable)
	if dir == "" {
		root(t)
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestAdopt$")
		cmd.Env = append(os.Environ(), adoptVariable+"="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	f := newForker("MARK=1", nil)
	f.adopt()
	inside, err := newNamespace("ikelab-adopt-" + filepath.Base(filepath.Dir(dir)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = inside.Close()
		if err := removeNamespaces([]string{"ikelab-adopt-" + filepath.Base(filepath.Dir(dir))}); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.Command(hosttest.Program(t, "sh"), "-c", "env -i PATH=$PATH setsid sh -c 'setsid sleep 1000 & exec sleep 1000' >/dev/null 2>&1 & exit 3")
	started, err := f.start(cmd, inside)
	if err != nil {
		t.Fatal(err)
	}
	if status := started.Wait(); status != 3 {
		t.Errorf("the command ends with %d", status)
	}
	if err := started.Signal(unix.SIGTERM); err != os.ErrProcessDone {
		t.Errorf("a signal to a command that has ended: %v", err)
	}
	children := func() (n int) {
		for _, pid := range processes() {
			if stat, err := readStat(pid); err == nil && stat.parent == os.Getpid() && !stat.ended() {
				line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
				if strings.HasPrefix(string(line), "sleep") {
					n++
				}
			}
		}
		return n
	}
	for deadline := time.Now().Add(hosttest.Patience); children() < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was adopted")
		}
	}
	f.stop()
	if err := f.endAdopted(); err != nil {
		t.Error(err)
	}
	for _, pid := range processes() {
		if stat, err := readStat(pid); err == nil && stat.parent == os.Getpid() {
			t.Errorf("process %d is left: %+v", pid, stat)
		}
	}
}
