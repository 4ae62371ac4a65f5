package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// folder is where a lab's owner keeps its files.
func (p *place) folder(lab string) string { return filepath.Join(p.state, lab+".lab") }

// take takes a lab's folder, or files of it, away.
func (p *place) take(lab string, names ...string) {
	p.t.Helper()
	for _, name := range names {
		if err := os.RemoveAll(filepath.Join(p.folder(lab), name)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// TestFolderTakenAway: a lab whose folder is gone ends, by itself or at once by down, which says nothing else while it
// stands.
func TestFolderTakenAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("taken")
	lab := p.lab(name)
	for _, args := range [][]string{nil, {"down"}, {"down", name}, {"down", "--all"}, {"up", lab}} {
		p.good("up", lab)
		p.take(name, "")
		switch {
		case args == nil:
		case args[0] == "up":
			// The first one goes, and no second one stands beside it.
			p.good(args...)
			if s := p.status(name); s.Lab != name {
				t.Errorf("the status of %q", s.Lab)
			}
			await(t, "the end of the first holder", func() bool { return len(p.processes()) == 1 })
			p.good("down")
		default:
			if out := p.good(args...); len(named(t, name)) > 0 || !strings.Contains(out, name+" is down") && !strings.Contains(out, "nothing to do") {
				t.Errorf("%v says %q, and there are the namespaces %v", args, out, named(t, name))
			}
		}
		await(t, "the lab's end", func() bool { return len(named(t, name)) == 0 && len(p.processes()) == 0 })
		p.nothing(name, before)
	}
	// One that was moved is gone, too.
	p.good("up", lab)
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(p.folder(name), moved); err != nil {
		t.Fatal(err)
	}
	await(t, "the lab's end", func() bool { return len(named(t, name)) == 0 })
	p.nothing(name, before)
}

// TestFilesTakenAway: what is missing in a lab's folder is made again, and down takes the lab down whatever is missing.
func TestFilesTakenAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("files")
	files := []string{"lock", "owner", "namespaces", "control", "log"}
	p.good("up", p.lab(name))
	holder := p.status().Holder
	for _, missing := range append(files, "") {
		gone := []string{missing}
		if missing == "" {
			gone = files
		}
		p.take(name, gone...)
		for _, file := range files {
			await(t, file+" to be made again", func() bool {
				info, err := os.Lstat(filepath.Join(p.folder(name), file))
				return err == nil && info.Mode().Perm()&0o077 == 0
			})
		}
		await(t, "an answer", func() bool { return p.run("status", name).status == exitOK })
		if s := p.status(name); s.Holder != holder {
			t.Fatalf("without %v the lab has another holder: %d, not %d", gone, s.Holder, holder)
		}
		p.refused(exitUsage, "stands already", "up", p.lab(name))
	}
	p.good("exec", "ha", "--", "true")
	p.good("down")
	p.nothing(name, before)
	for _, missing := range append(files, "") {
		gone := []string{missing}
		if missing == "" {
			gone = files
		}
		p.good("up", p.lab(name))
		p.take(name, gone...)
		if out := p.good("down", name); !strings.Contains(out, name+" is down\n") {
			t.Errorf("without %v down says %q", gone, out)
		}
		p.nothing(name, before)
	}
}

// TestListTakenAway: down clears away what a holder that was killed had, or says that it does not know it; it never says
// that it has while something stands.
func TestListTakenAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("unlisted")
	ip := hosttest.Program(t, "ip")
	for _, missing := range [][]string{{"namespaces"}, {"owner"}, {"namespaces", "owner"}, {"namespaces", "owner", "lock"}} {
		p.good("up", p.lab(name))
		holder := p.status().Holder
		if err := syscall.Kill(holder, syscall.SIGSTOP); err != nil { // so that it puts nothing back
			t.Fatal(err)
		}
		p.take(name, missing...)
		if err := syscall.Kill(holder, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "the holder's end", func() bool { return len(p.processes()) == 0 })
		if len(missing) == 1 {
			if out := p.good("down"); !strings.Contains(out, name+": cleared away what it left behind") {
				t.Errorf("without %v down says %q", missing, out)
			}
			p.nothing(name, before)
			continue
		}
		for _, args := range [][]string{{"down"}, {"down", name}, {"down", "--all"}} {
			p.refused(exitInternal, "ip netns del", args...)
		}
		if _, err := os.Stat(p.folder(name)); err != nil {
			t.Errorf("without %v: %v", missing, err)
		}
		for _, namespace := range named(t, name) {
			if out, err := exec.Command(ip, "netns", "del", namespace).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		p.run("down")
		p.take(name, "") // without a lock it is somebody else's to take away
		p.nothing(name, before)
	}
}

// TestForeignFile: what somebody has put into a lab's folder stays there, and keeps nobody from the lab.
func TestForeignFile(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("foreign")
	lab := p.lab(name)
	p.good("up", lab)
	precious := filepath.Join(p.folder(name), "thesis.txt")
	if err := os.WriteFile(precious, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.good("exec", "ha", "--", "true")
	p.refused(exitUsage, "stands already", "up", lab)
	if out := p.good("down", name); !strings.Contains(out, name+" is down; "+p.folder(name)+" stays, because it holds \"thesis.txt\"") || len(named(t, name)) > 0 {
		t.Errorf("down says %q, and there are the namespaces %v", out, named(t, name))
	}
	if out := p.good("down", name); !strings.Contains(out, "nothing to do") {
		t.Errorf("a second down says %q", out)
	}
	p.refused(exitInternal, "which is no lab's", "up", lab)
	// Of a holder that was killed it is the same.
	if err := os.RemoveAll(p.folder(name)); err != nil {
		t.Fatal(err)
	}
	p.good("up", lab)
	if err := os.WriteFile(precious, []byte("years of work"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
	if out := p.good("down"); !strings.Contains(out, "stays, because it holds \"thesis.txt\"") || len(named(t, name)) > 0 {
		t.Errorf("down says %q, and there are the namespaces %v", out, named(t, name))
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "years of work" {
		t.Errorf("what was somebody else's is %q (%v)", text, err)
	}
	if err := os.RemoveAll(p.folder(name)); err != nil {
		t.Fatal(err)
	}
	p.nothing(name, before)
}

// strangers wait for the locks of a lab and hold them as long as they can get them.
func strangers(t *testing.T, paths ...string) {
	t.Helper()
	flock := hosttest.Program(t, "flock")
	for _, path := range paths {
		cmd := exec.Command(flock, "--no-fork", "--shared", path, "sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		await(t, "somebody to wait for "+path, func() bool {
			text, err := os.ReadFile("/proc/locks")
			return err == nil && strings.Contains(string(text), " "+strconv.Itoa(cmd.Process.Pid)+" ")
		})
	}
}

// TestLockOfAStranger: whoever else gets the lock of a lab that has died holds nobody up, and who may not open it does not
// get it.
func TestLockOfAStranger(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("stranger")
	lab := p.lab(name)
	setpriv := hosttest.Program(t, "setpriv")
	for _, again := range []bool{false, true} {
		p.good("up", lab)
		lock := filepath.Join(p.folder(name), "lock")
		out, err := exec.Command(setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups", hosttest.Program(t, "flock"), "--nonblock", lock, "true").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "ermission denied") {
			t.Errorf("another user locks: %v: %s", err, out)
		}
		strangers(t, lock)
		p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
		await(t, "the holder's end", func() bool { return len(p.processes()) == 0 })
		if again {
			p.good("up", lab)
		}
		p.good("down", "--all")
		p.nothing(name, before)
	}
}

// TestStoppedAndTakenAway: down takes a lab from a holder that does nothing any more and has no folder.
func TestStoppedAndTakenAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("stuck")
	p.good("up", p.lab(name))
	if err := syscall.Kill(p.status().Holder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.take(name, "")
	if out := p.good("down"); !strings.Contains(out, "did not answer and was killed") {
		t.Errorf("down says %q", out)
	}
	p.nothing(name, before)
}

// TestNothingOutlivesDown: what a command has started ends with the lab, also when it has left the session, the
// environment and the network namespace of the lab, and when the lab's holder was killed.
func TestNothingOutlivesDown(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	name := id("outlive")
	lab := p.lab(name)
	for _, tool := range []string{"env", "nsenter", "setsid", "sh", "sleep"} {
		hosttest.Program(t, tool)
	}
	// Nothing else sleeps so long, and env -i leaves no other sign.
	length := fmt.Sprintf("%d.5", 100000+os.Getpid())
	sleepers := func() (pids []int) {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, path := range lines {
			line, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(line), "sleep\x00"+length) {
				if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
					pids = append(pids, pid)
				}
			}
		}
		return pids
	}
	t.Cleanup(func() {
		for _, pid := range sleepers() {
			_ = syscall.Kill(pid, syscall.SIGKILL) // of a test that failed
		}
	})
	escape := "PATH=$PATH; env -i PATH=$PATH setsid nsenter --net=/proc/" + strconv.Itoa(os.Getpid()) + "/ns/net sh -c 'setsid sleep " + length + " >/dev/null 2>&1 & exec sleep " + length + "' >/dev/null 2>&1 &"
	for _, way := range []string{"asked", "killed", "killed without owner", "stopped without folder"} {
		if way != "asked" && ownCgroupMissing() {
			t.Logf("a holder that is killed ends only what shows that it is the lab's, because there is no control group of version 2 to write to")
			break
		}
		p.good("up", lab)
		p.good("exec", "ha", "--", "sh", "-c", escape)
		await(t, "the processes that escape", func() bool { return len(sleepers()) == 2 })
		if way != "asked" {
			if err := syscall.Kill(p.status().Holder, syscall.SIGSTOP); err != nil { // so that it puts nothing back
				t.Fatal(err)
			}
		}
		switch way {
		case "killed without owner":
			p.take(name, "owner")
			fallthrough
		case "killed":
			p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
		case "stopped without folder":
			p.take(name, "")
		}
		p.good("down")
		await(t, way+": the end of what escaped", func() bool { return len(sleepers()) == 0 })
		p.nothing(name, before)
	}
}

// ownCgroupMissing says that this process cannot make control groups of version 2.
func ownCgroupMissing() bool {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err == nil && syscall.Access(root, 2) == nil {
			return false
		}
	}
	return true
}
