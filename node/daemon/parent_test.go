package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/node/daemon"
	"go.uber.org/goleak"
)

// parentFolder makes the test binary a parent of a daemon, in the folder that it names.
const parentFolder = "IKELAB_TEST_DAEMON_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentFolder); dir != "" {
		if err := parent(dir); err != nil {
			_, _ = fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// parent starts a daemon, prints its process and waits to be killed.
func parent(dir string) error {
	strongswan, err := daemon.Find()
	if err != nil {
		return err
	}
	network, err := ns.TempNetNS()
	if err != nil {
		return err
	}
	// The namespace lives as long as somebody is in it: nothing of it is left to clean up.
	c, err := daemon.Start(context.Background(), daemon.Config{Tree: strongswan, Namespace: network, Dir: dir})
	if err != nil {
		return err
	}
	_, _ = fmt.Println(c.PID())
	<-c.Done()
	return c.Err()
}

// TestNoDaemonOutlivesItsParent: whatever ends the process that started it, a daemon ends too.
func TestNoDaemonOutlivesItsParent(t *testing.T) {
	tree(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentFolder+"="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		t.Fatalf("the parent said nothing: %v, %v", err, cmd.Wait())
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !charon(pid) {
		t.Errorf("process %d is no charon", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	await(t, "charon is gone after its parent was killed", func() bool { return !charon(pid) })
}

// charon reports whether a process is a charon that runs.
func charon(pid int) bool {
	name, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	return err == nil && strings.HasSuffix(name, "charon-systemd")
}
