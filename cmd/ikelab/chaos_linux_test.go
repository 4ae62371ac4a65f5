package main

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// rounds is how often chaos strikes: a few times in make test, a hundred in make soak.
func rounds(few int) int {
	if os.Getenv("IKELAB_SOAK") != "" {
		return 100
	}
	return few
}

// bystanders are things of somebody else's that look like a lab's, and must be there in the end.
func bystanders(t *testing.T, lab string) (intact func()) {
	t.Helper()
	ip := hosttest.Program(t, "ip")
	names := []string{"ikelab-" + lab + "x.ha", lab + "-other"}
	var sleepers []*exec.Cmd
	for _, name := range names {
		if out, err := exec.Command(ip, "netns", "add", name).CombinedOutput(); err != nil {
			t.Fatalf("ip netns add %s: %v: %s", name, err, out)
		}
		t.Cleanup(func() { _ = exec.Command(ip, "netns", "del", name).Run() })
		if out, err := exec.Command(ip, "-n", name, "link", "add", "ve0", "type", "veth", "peer", "name", "ve1").CombinedOutput(); err != nil {
			t.Fatalf("a link in %s: %v: %s", name, err, out)
		}
		sleeper := exec.Command(ip, "netns", "exec", name, "sleep", "1000")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = sleeper.Process.Kill()
			_ = sleeper.Wait()
		})
		sleepers = append(sleepers, sleeper)
	}
	return func() {
		t.Helper()
		for i, name := range names {
			if out, err := exec.Command(ip, "-n", name, "link", "show", "ve0").CombinedOutput(); err != nil {
				t.Errorf("somebody else's link in %s: %v: %s", name, err, out)
			}
			if err := sleepers[i].Process.Signal(syscall.Signal(0)); err != nil {
				t.Errorf("somebody else's process in %s: %v", name, err)
			}
		}
	}
}

// kill kills the processes of the place whose command lines satisfy a condition.
func (p *place) kill(which func(line string) bool) {
	for pid, line := range p.processes() {
		if which(line) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
	}
}

// TestSoakKillUp kills -9 who makes or holds a lab, at random moments, and takes it down: nothing of it is left, and
// what others have is.
func TestSoakKillUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	intact := bystanders(t, id("killup"))
	before := hostState(t)
	lab := p.lab(id("killup"))
	for round := range rounds(6) {
		// Making the lab takes a fraction of this; so some are killed as they stand, with commands in them.
		after := time.Duration(rand.Int64N(int64(400 * time.Millisecond)))
		victim := []string{"ikelab up", "ikelab holder", "ikelab"}[rand.IntN(3)]
		t.Logf("round %d: %q after %v", round, victim, after)
		begun := time.Now()
		cmd := p.command("up", lab)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // killed or not
			close(ended)
		}()
		if round%2 == 0 {
			_ = p.run("exec", "hb", "--", "sh", "-c", "setsid sleep 1000 & setsid setsid sleep 1000 >/dev/null 2>&1 &")
		}
		time.Sleep(after - time.Since(begun))
		p.kill(func(line string) bool {
			return strings.Contains(strings.ReplaceAll(line, p.path, "ikelab"), victim)
		})
		<-ended
		o := p.run("down")
		if o.status != exitOK {
			t.Errorf("round %d: down: status %d: %s%s", round, o.status, o.out, o.err)
		}
		p.nothing(id("killup"), before)
		intact()
		if t.Failed() {
			return
		}
	}
}

// TestSoakKillRun kills -9 runs in namespaces at random moments: the next ikelab, down or another run, clears away what
// they left, and nothing else.
func TestSoakKillRun(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	intact := bystanders(t, id("killrun"))
	before := hostState(t)
	lab := p.lab(id("killrun"))
	for round := range rounds(6) {
		after := time.Duration(rand.Int64N(int64(600 * time.Millisecond)))
		t.Logf("round %d: after %v", round, after)
		cmd := p.command("run", "--engine", "netns", "--until", "30s", lab)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		if round%2 == 0 {
			p.good("down")
		} else {
			p.run("run", "--engine", "netns", "--until", "100ms", lab) // fails for its expectation
		}
		p.nothing(id("killrun"), before)
		intact()
		if t.Failed() {
			return
		}
	}
}

// TestSoakTakenAway takes from a lab that is made or stands what it has in its folder of state, at random moments, or has
// strangers wait for its locks and kills its holder, and takes it down: nothing of it is left, and what others have is.
func TestSoakTakenAway(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.soakTaken(t, id("soaktaken"), bystanders(t, id("soaktaken")))
}

// TestSoakTakenAwayRootless is the same without root.
func TestSoakTakenAwayRootless(t *testing.T) {
	t.Parallel()
	home := nobodyHome(t)
	p := newPlace(t)
	p.nobody(t, home)
	if o := p.run("doctor", "rights"); o.status != exitOK {
		t.Skipf("needs user namespaces without root: %s; cure: sysctl -w user.max_user_namespaces=10000, and on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0", o.out)
	}
	p.soakTaken(t, id("takenrootless"), func() {})
}

func (p *place) soakTaken(t *testing.T, name string, intact func()) {
	before := hostState(t)
	lab := filepath.Join(t.TempDir(), "lab.hcl")
	if len(p.prefix) > 0 {
		lab = filepath.Join(filepath.Dir(p.path), "lab.hcl") // where that user can read it
	}
	if err := os.WriteFile(lab, []byte(strings.Replace(standingLab, "LAB", name, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for round := range rounds(8) {
		after := time.Duration(rand.Int64N(int64(600 * time.Millisecond)))
		// Who kills a holder whose folder is gone leaves nothing that says what it had; so either the one or the other.
		mischief := []string{"folder", "state", "namespaces", "lock", "owner", "control", "log", "stranger"}[round%8]
		kill := (mischief == "namespaces" || mischief == "lock" || mischief == "owner" || mischief == "control" || mischief == "log") && rand.IntN(2) == 0
		t.Logf("round %d: %s after %v, kill the holder: %v", round, mischief, after, kill)
		begun := time.Now()
		cmd := p.command("up", lab)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // it may fail
			close(ended)
		}()
		if mischief == "stranger" {
			<-ended // there is a lock to wait for
			strangers(t, filepath.Join(p.folder(name), "lock"))
			kill = true
		}
		time.Sleep(after - time.Since(begun))
		switch mischief {
		case "folder":
			p.take(name, "")
		case "state":
			entries, err := os.ReadDir(p.state)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			for _, e := range entries {
				if err := os.RemoveAll(filepath.Join(p.state, e.Name())); err != nil {
					t.Fatal(err)
				}
			}
		case "stranger":
		default:
			p.take(name, mischief)
		}
		if kill {
			p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
		}
		<-ended
		if o := p.run("down"); o.status != exitOK {
			t.Errorf("round %d: down: status %d: %s%s", round, o.status, o.out, o.err)
		}
		p.nothing(name, before)
		intact()
		if t.Failed() {
			return
		}
	}
}

// TestDeadHolder: a lab whose holder was killed is known as such, and up makes it anew.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	lab := p.lab(id("dead"))
	p.good("up", lab)
	p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
	await(t, "the holder's end", func() bool { return len(p.processes()) == 0 })
	// What held the lab's lock ends a moment later.
	died := func() bool { return strings.Contains(p.run("status").out, "its holder has died") }
	await(t, "the lab's death", died)
	p.refused(exitUsage, "its holder has died", "exec", "-l", id("dead"), "ha", "true")
	p.refused(exitUsage, "ikelab down "+id("dead"), "exec", "ha", "true")
	p.good("up", lab)
	p.tunnel("ga")
	p.kill(func(line string) bool { return strings.HasSuffix(line, "holder") })
	await(t, "the lab's death", died)
	if out := p.good("down", id("dead")); !strings.Contains(out, id("dead")+": cleared away what it left behind") {
		t.Errorf("down says %q", out)
	}
	p.nothing(id("dead"), before)

	// A run is no lab that stands.
	cmd := p.command("run", "--engine", "netns", "--until", "50s", lab)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the run", func() bool { return len(named(t, id("dead"))) > 0 })
	entries, err := filepath.Glob(filepath.Join(p.state, id("dead")+"-*"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("the run's folder: %v, %v", entries, err)
	}
	p.refused(exitUsage, "is a run, not a lab that was left standing", "down", strings.TrimSuffix(filepath.Base(entries[0]), ".lab"))
	if out := p.good("down"); !strings.Contains(out, "nothing to do") {
		t.Errorf("down beside a run says %q", out)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted {
		t.Errorf("an interrupted run ends with %d", status)
	}
	p.nothing(id("dead"), before)
}

// TestInterruptedUp: whoever interrupts up while it works has no lab.
func TestInterruptedUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	lab := p.lab(id("interrupt"))
	// A stopped holder does not come to an end of its work before the interrupt.
	cmd := p.command("up", lab)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the holder", func() bool {
		for pid, line := range p.processes() {
			if strings.HasSuffix(line, "holder") {
				return syscall.Kill(pid, syscall.SIGSTOP) == nil
			}
		}
		return false
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // it may take longer to notice; then it finds a lab that stands
	for pid, line := range p.processes() {
		if strings.HasSuffix(line, "holder") {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
	switch status := cmd.ProcessState.ExitCode(); status {
	case exitInterrupted:
		p.nothing(id("interrupt"), before)
	case exitOK:
		p.good("down")
		p.nothing(id("interrupt"), before)
	default:
		t.Errorf("an interrupted up ends with %d", status)
	}
}
