package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// nobodyHome is a folder of a user without rights. t.TempDir is below folders that only root enters.
func nobodyHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "ikelab-nobody-")
	if err == nil {
		err = errors.Join(os.Chmod(home, 0o755), os.Chown(home, nobodyID, nobodyID))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	return home
}

const nobodyID = 65534

// nobody runs a test's commands as a user without rights, in a mount namespace in which that user may open /dev/net/tun,
// as on most hosts.
func (p *place) nobody(t *testing.T, home string) {
	t.Helper()
	unshare := hosttest.Program(t, "unshare")
	setpriv := hosttest.Program(t, "setpriv")
	script := fmt.Sprintf(`mknod %[1]s/tun c 10 200 2>/dev/null; chmod 666 %[1]s/tun && mount --bind %[1]s/tun /dev/net/tun && exec %[2]s --reuid %[3]d --regid %[3]d --clear-groups "$@"`, home, setpriv, nobodyID)
	binary, err := os.ReadFile(p.path)
	if err == nil {
		p.path = filepath.Join(home, "ikelab")
		err = os.WriteFile(p.path, binary, 0o755)
	}
	p.state = filepath.Join(home, "state")
	for _, err := range []error{err, os.Mkdir(p.state, 0o700), os.Chown(p.state, nobodyID, nobodyID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p.prefix = []string{unshare, "--mount", "sh", "-c", script, "sh"}
}

// TestRootless: without root a lab runs, stands and goes in a user namespace, which is chosen by itself.
func TestRootless(t *testing.T) {
	t.Parallel()
	home := nobodyHome(t)
	p := newPlace(t)
	p.nobody(t, home)
	if o := p.run("doctor", "rights"); o.status != exitOK {
		t.Skipf("needs user namespaces without root: %s; cure: sysctl -w user.max_user_namespaces=10000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0", o.out)
	}
	before := hostState(t)
	lab := filepath.Join(filepath.Dir(p.path), "lab.hcl")
	text := strings.NewReplacer("LAB", id("rootless"), "received < 0", "received > 0", "  at     = \"50ms\"", "  at     = \"50s\"").Replace(standingLab)
	if err := os.WriteFile(lab, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if o := p.run("run", "--engine", "netns", "--until", "1s", lab); o.status != exitOK {
		t.Errorf("run: status %d: %s%s", o.status, o.out, o.err)
	}
	p.nothing(id("rootless"), before)

	// Two signals that come together, as timeout(1) sends them, ask for the result once, and SIGHUP under nohup for nothing.
	sleeping := func() bool {
		for _, line := range p.processes() {
			if line == "sleep 1000" {
				return true
			}
		}
		return false
	}
	ignorant := *p
	ignorant.prefix = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh"}, p.prefix...)
	for range 5 {
		b := ignorant.background("run", "--engine", "netns", "--until", "50s", lab)
		await(t, "the lab's process", sleeping)
		for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGTERM, syscall.SIGINT} {
			if err := b.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
		b.end(t, exitInterrupted, "result  interrupted")
	}
	p.nothing(id("rootless"), before)

	p.good("up", lab)
	if names := named(t, id("rootless")); len(names) > 0 {
		t.Errorf("outside there are namespaces %v", names)
	}
	p.tunnel("ga")
	if out := p.good("exec", "ha", "--", "ping", "-c", "2", "-i", "0.2", "-w", "600", "10.2.0.2"); !strings.Contains(out, "2 received") {
		t.Errorf("ping: %s", out)
	}
	p.good("exec", "ha", "--", "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
	p.good("do", "cut")
	p.good("down")
	p.nothing(id("rootless"), before)

	// Whatever is killed, everything ends.
	for _, victim := range []string{"rootless -- holder", " holder"} {
		p.good("up", lab)
		p.good("exec", "ha", "--", "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
		p.kill(func(line string) bool { return strings.HasSuffix(line, victim) })
		await(t, "the end of what was in the namespaces", func() bool { return len(p.processes()) == 0 })
		p.good("down")
		p.nothing(id("rootless"), before)
	}
	cmd := p.command("run", "--engine", "netns", "--until", "50s", lab)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the lab's process", sleeping)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	await(t, "the end of what was in the namespaces", func() bool { return len(p.processes()) == 0 })
	p.good("down")
	p.nothing(id("rootless"), before)
}

// TestSoakKillRootless kills -9 whatever is there of labs and runs without root, at random moments.
func TestSoakKillRootless(t *testing.T) {
	t.Parallel()
	home := nobodyHome(t)
	p := newPlace(t)
	p.nobody(t, home)
	if o := p.run("doctor", "rights"); o.status != exitOK {
		t.Skipf("needs user namespaces without root: %s; cure: sysctl -w user.max_user_namespaces=10000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0", o.out)
	}
	before := hostState(t)
	lab := filepath.Join(home, "lab.hcl")
	if err := os.WriteFile(lab, []byte(strings.Replace(standingLab, "LAB", id("killrootless"), 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for round := range rounds(3) {
		after := time.Duration(rand.Int64N(int64(500 * time.Millisecond)))
		args := [][]string{{"up"}, {"run", "--engine", "netns", "--until", "30s"}}[rand.IntN(2)]
		victim := []string{" up ", " run ", "holder", "rootless", ""}[rand.IntN(5)]
		t.Logf("round %d: %s, kill %q after %v", round, args[0], victim, after)
		cmd := p.command(append(args, lab)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // killed or not
			close(ended)
		}()
		time.Sleep(after)
		p.kill(func(line string) bool { return strings.Contains(line, victim) })
		if args[0] == "run" {
			_ = cmd.Process.Kill() // of what was not the victim
		}
		<-ended
		p.good("down")
		p.nothing(id("killrootless"), before)
		if t.Failed() {
			return
		}
	}
}

// TestRootlessRefused: where user namespaces are not to be had, the reason is named, and the status is 3.
func TestRootlessRefused(t *testing.T) {
	t.Parallel()
	home := nobodyHome(t)
	p := newPlace(t)
	p.nobody(t, home)
	// The kernel gives no user namespace to who sees not all of the file system.
	script := fmt.Sprintf(`mkdir -p %[1]s/root && mount --rbind / %[1]s/root && exec chroot %[1]s/root setpriv --reuid %[2]d --regid %[2]d --clear-groups "$@"`, home, nobodyID)
	p.prefix = []string{hosttest.Program(t, "unshare"), "--mount", "sh", "-c", script, "sh"}
	for _, args := range [][]string{{"run", "--engine", "netns"}, {"up"}} {
		lab := filepath.Join(filepath.Dir(p.path), "lab.hcl")
		if err := os.WriteFile(lab, []byte(strings.Replace(standingLab, "LAB", id("refused"), 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		p.refused(exitCapability, "this host lacks rights", append(args, lab)...)
	}
	p.refused(exitCapability, "this host lacks rights", "doctor", "rights")
}

// TestWhatTheHostLacks: where a run or a lab fails for something that the host lacks, that is named as doctor names it,
// with its cure, and nothing stays.
func TestWhatTheHostLacks(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	lab := p.lab(id("lacks"))
	p.prefix = []string{hosttest.Program(t, "unshare"), "--mount", "sh", "-c", `mount --bind /dev/null /dev/net/tun && exec "$@"`, "sh"}
	for _, args := range [][]string{{"run", "--engine", "netns", lab}, {"up", lab}, {"doctor", "tun"}} {
		p.refused(exitCapability, "this host lacks tun: /dev/net/tun", args...)
		p.refused(exitCapability, "modprobe tun", args...)
	}
	p.nothing(id("lacks"), before)
}
