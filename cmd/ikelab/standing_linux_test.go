package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestStandingLab is the life of a lab that stands.
func TestStandingLab(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	lab := p.lab(id("life"))
	p.refused(exitUsage, "no lab stands; begin with: ikelab up", "exec", "ha", "--", "true")
	if out := p.good("status"); out != "no lab stands\n" {
		t.Errorf("status of nothing: %q", out)
	}
	if out := p.good("down"); !strings.Contains(out, "nothing to do") {
		t.Errorf("down of nothing: %q", out)
	}
	p.refused(exitUsage, `Did you mean "wan"?`, "up", write(t, "bad.hcl", strings.Replace(standingLab, "network.wan\n", "network.wam\n", 1)))

	if out := p.good("up", lab); !strings.Contains(out, "lab "+id("life")+" stands") || !strings.Contains(out, "ikelab-"+id("life")+".ha") {
		t.Errorf("up says %q", out)
	}
	p.refused(exitUsage, "stands already", "up", lab)
	if names := named(t, id("life")); len(names) < 4 {
		t.Errorf("namespaces: %v", names)
	}

	// Nothing happens by itself, but IKE.
	ga := p.tunnel("ga")
	sa, child := ga.IKE[0], ga.Children[0]
	if sa.State != "established" || sa.Proposal == "" || len(sa.SPIi) != 16 || sa.Remote.String() != "198.51.100.2:500" || !sa.Initiator {
		t.Errorf("IKE SA: %+v", sa)
	}
	if child.SPIIn == "" || child.Proposal == "" || !slices.Equal(child.LocalTS, []string{"10.1.0.0/16"}) || child.PacketsOut != 0 {
		t.Errorf("CHILD_SA: %+v", child)
	}
	if len(ga.Policies) != 1 || ga.Interfaces[1].Addresses[0].String() != "198.51.100.1/24" || !ga.Interfaces[1].Up {
		t.Errorf("ga: %+v", ga)
	}
	if len(p.processes()) != 1 {
		t.Errorf("beside the holder there are %v", p.processes())
	}

	// One at a time: they are counted below, and ping sends another one while it waits.
	for range 3 {
		if out := p.good("exec", "ha", "--", "ping", "-c", "1", "-W", "600", "10.2.0.2"); !strings.Contains(out, " 1 received") {
			t.Errorf("ping through the tunnel: %s", out)
		}
	}
	if n := nodeStatus(t, p.status(id("life")), "gb").Children[0]; n.PacketsIn != 3 || n.PacketsOut != 3 {
		t.Errorf("counters after three pings: %+v", n)
	}
	text := p.good("status")
	for _, want := range []string{"lab " + id("life"), "IKE SA established", child.SPIIn, sa.SPIi, "10.1.0.0/16 ↔ 10.2.0.0/16", "3 packets (252 bytes) in"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q:\n%s", want, text)
		}
	}

	if out := p.good("do", "cut"); !strings.Contains(out, "link_down ga.wan") {
		t.Errorf("do says %q", out)
	}
	if nodeStatus(t, p.status(), "ga").Interfaces[1].Up {
		t.Error("the link is up after its step")
	}
	for _, c := range []struct{ do, want string }{
		{"link_down(node.ga.interface.wan)", "done: link_down ga.wan, which was down already\n"},
		{"link_up(node.ga.interface.wan)", "done: link_up ga.wan\n"},
		{"link_up(node.ga.interface.wan)", "done: link_up ga.wan, which was up already\n"},
	} {
		if out := p.good("do", c.do); out != c.want {
			t.Errorf("do %s says %q, want %q", c.do, out, c.want)
		}
	}
	p.good("do", "kill(node.ga)")
	if n := nodeStatus(t, p.status(), "ga"); n.Alive || len(n.IKE)+len(n.Children) > 0 {
		t.Errorf("a node that was killed: %+v", n)
	}
	p.refused(exitUsage, "the node is dead already", "do", "kill(node.ga)")
	p.good("do", "start(node.ga)")
	if n := p.tunnel("ga"); n.Life != 2 || n.IKE[0].SPIi == sa.SPIi {
		t.Errorf("a node that was started again: %+v", n)
	}
	// A person can break a node, which is then dead, and whole again after a restart; the lab stands.
	p.good("exec", "ga", "--", "ip", "link", "del", "ipsec0")
	await(t, "the node's death", func() bool {
		n := nodeStatus(t, p.status(), "ga")
		return !n.Alive && strings.Contains(n.Problem, "ipsec0")
	})
	p.good("do", "start(node.ga)")
	if n := p.tunnel("ga"); n.Life != 3 || n.Problem != "" {
		t.Errorf("a node that was broken and started again: %+v", n)
	}
	p.refused(exitUsage, `did you mean "cut"?`, "do", "cute")
	p.refused(exitUsage, `did you mean "link_up"?`, "do", "lnk_up(node.ga.interface.wan)")
	p.refused(exitUsage, `Did you mean "wan"?`, "do", "link_up(node.ga.interface.wam)")
	p.refused(exitUsage, "Missing newline", "do", "kill(node.ga)}step\"x\"{at=\"0s\",action=kill(node.gb)")

	p.capture(t)

	if out := p.good("down"); out != id("life")+" is down\n" {
		t.Errorf("down says %q", out)
	}
	p.nothing(id("life"), before)
	if out := p.good("down", id("life")); !strings.Contains(out, "does not stand; nothing to do") {
		t.Errorf("a second down says %q", out)
	}
}

// capture looks at packets of the lab as they pass, decrypted by tshark.
func (p *place) capture(t *testing.T) {
	hosttest.Program(t, "tshark")
	precious := write(t, "precious", "of last week")
	p.refused(exitUsage, `did you mean "ga.wan"?`, "capture", "ga.wam", "-w", precious)
	if text, err := os.ReadFile(precious); err != nil || string(text) != "of last week" {
		t.Errorf("the file of a capture that was refused holds %q (%v)", text, err)
	}
	p.refused(exitInternal, "no such file or directory", "capture", "ga.wan", "-w", filepath.Join(t.TempDir(), "no", "folder"))
	dir := t.TempDir()
	cmd := p.command("capture", "ga.wan", "gb", "-w", filepath.Join(dir, captureFile), "--keys", filepath.Join(dir, wiresharkDir))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(filepath.Join(dir, captureFile))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	await(t, "the capture to begin", func() bool { return size() > 0 })
	head := size()
	for range 2 {
		p.good("exec", "ha", "--", "ping", "-c", "1", "-W", "600", "10.2.0.2")
	}
	// The file grows while the capture goes on: nothing waits for its end.
	await(t, "packets in the file", func() bool { return size() > head+8*100 })
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(errs.String(), "packets captured") || strings.Contains(errs.String(), "missing") {
		t.Errorf("capture: %v: %s", err, errs.String())
	}
	for filter, want := range map[string]int{
		`frame.interface_name == "ga.wan" && esp && icmp`:  4,
		`frame.interface_name == "gb.wan" && esp && icmp`:  4,
		`frame.interface_name == "gb.lan" && !esp && icmp`: 4,
		`frame.interface_name == "ga.lan"`:                 0,
		`esp && !esp.icv_good == 1`:                        0,
	} {
		if got := strings.Count(hosttest.Tshark(t, filepath.Join(dir, captureFile), filepath.Join(dir, wiresharkDir), "-Y", filter), "\n"); got != want {
			t.Errorf("tshark counts %d packets with %s, want %d", got, filter, want)
		}
	}
}

// await waits until something has come true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(processTimeout); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// TestExec: a command in a node has its caller's files, folder, environment, signals and end.
func TestExec(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.good("up", p.lab(id("exec")))
	if o := p.feed("typed", "exec", "ha", "--", "sh", "-c", "cat; pwd; echo $IKELAB_STATE_DIR; echo no >&2; exit 7"); o.status != 7 || o.err != "no\n" {
		t.Errorf("status %d, %q and %q", o.status, o.out, o.err)
	} else if here, err := os.Getwd(); err != nil || o.out != "typed"+here+"\n"+p.state+"\n" {
		t.Errorf("the command says %q", o.out)
	}
	inside := p.good("exec", "ha", "--", "readlink", "/proc/self/ns/net")
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || inside == own+"\n" || inside == p.good("exec", "hb", "--", "readlink", "/proc/self/ns/net") {
		t.Errorf("commands in ha run in %s", inside)
	}
	for _, c := range []struct {
		status int
		want   string
		args   []string
	}{
		{statusNotFound, "no-such-command: command not found", []string{"ha", "no-such-command"}},
		{statusNoStart, "permission denied", []string{"ha", write(t, "text", "no program")}},
		{exitUsage, `no node "hx": did you mean "ha"?`, []string{"hx", "true"}},
		{exitUsage, "what shall run in ha?", []string{"ha", "--"}},
		{exitUsage, "what shall run in ha?", []string{"ha"}},
		{exitUsage, "in which node shall what run?", nil},
		{exitUsage, "no lab \"" + id("exce") + "\" stands; did you mean \"" + id("exec") + "\"?", []string{"-l", id("exce"), "ha", "true"}},
		{128 + 9, "", []string{"-l", id("exec"), "ha", "--", "sh", "-c", "kill -9 $$"}},
	} {
		p.refused(c.status, c.want, append([]string{"exec"}, c.args...)...)
	}

	// A command that catches the signal says so, and its status is what it makes of it.
	marks := t.TempDir()
	begin := func(script string) (*exec.Cmd, *bytes.Buffer) {
		cmd := p.command("exec", "ha", "--", "sh", "-c", script)
		out := new(bytes.Buffer)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, write, write
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_ = write.Close()
		t.Cleanup(func() { _ = read.Close() })
		go func() { _, _ = io.Copy(out, read) }()
		return cmd, out
	}
	mark := func(name string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(marks, name)); return err == nil }
	}
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		ready := fmt.Sprintf("ready-%d", int(s))
		cmd, _ := begin(fmt.Sprintf("trap 'exit 42' %d; touch %s; while :; do sleep 0.02; done", int(s), filepath.Join(marks, ready)))
		await(t, "the command", mark(ready))
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		wait(t, cmd)
		if cmd.ProcessState.ExitCode() != 42 {
			t.Errorf("after %v the command ends with %v", s, cmd.ProcessState)
		}
	}
	// Who kills the client, kills the command.
	cmd, _ := begin("touch " + filepath.Join(marks, "killed") + "; sleep 1000")
	await(t, "the command", mark("killed"))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, cmd)
	await(t, "the command's end", func() bool { return len(p.processes()) == 1 }) // the holder
	// The lab's end is the command's.
	cmd, _ = begin("touch " + filepath.Join(marks, "down") + "; sleep 1000")
	await(t, "the command", mark("down"))
	p.good("down")
	wait(t, cmd)
	if cmd.ProcessState.ExitCode() != 128+9 {
		t.Errorf("a command in a lab that goes down ends with %v", cmd.ProcessState)
	}
}

// wait waits for a command's end, and kills one that does not come to it.
func wait(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	timer := time.AfterFunc(processTimeout, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // its state says how
	if !timer.Stop() {
		t.Errorf("%v did not end", cmd.Args[1:])
	}
}

// TestIgnoredSignals: what runs in nodes has signals as a shell gives them, although ikelab was started with some ignored.
func TestIgnoredSignals(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.prefix = []string{"sh", "-c", `trap "" HUP INT TSTP USR1; exec "$@"`, "sh"}
	// Signals 32 and 33 are the C library's own, which nobody else can catch; some who start tests ignore them.
	none := func(line string) bool {
		mask, err := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(line, "SigIgn:")), 16, 64)
		return err == nil && mask&^(3<<31) == 0
	}
	p.good("up", p.lab(id("ignored")))
	p.prefix = nil
	if out := p.good("exec", "ha", "--", "grep", "SigIgn", "/proc/self/status"); !none(out) {
		t.Errorf("a command of exec has %s", out)
	}
	p.good("down")

	p.prefix = []string{"sh", "-c", `trap "" HUP TSTP; exec "$@"`, "sh"}
	said := filepath.Join(t.TempDir(), "said")
	lab := write(t, "lab.hcl", strings.Replace(hosts, "lab \"hosts\"", "lab \""+id("ignored")+"\"", 1)+`
process "p" {
  node    = node.a
  command = ["sh", "-c", "grep SigIgn /proc/self/status > `+said+`"]
}
`)
	p.good("run", "--engine", "netns", lab)
	if text, err := os.ReadFile(said); err != nil || !none(string(text)) {
		t.Errorf("a process of a run has %s (%v)", text, err)
	}
	// nohup is meant for the run itself, and for exec.
	p.good("up", p.lab(id("ignored")))
	marks := t.TempDir()
	mark := func(name string) string { return filepath.Join(marks, name) }
	b := p.background("exec", "ha", "--", "sh", "-c", "touch "+mark("begun")+"; while ! test -e "+mark("go")+"; do sleep 0.02; done; exit 5")
	await(t, "the command", func() bool { _, err := os.Stat(mark("begun")); return err == nil })
	if err := b.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mark("go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	b.end(t, 5, "")
}

// TestTwoLabs: labs of different names stand side by side, and are told apart.
func TestTwoLabs(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	p.good("up", p.lab(id("one")))
	if out := p.good("up", p.lab(id("two"))); !strings.Contains(out, "exec -l "+id("two")) {
		t.Errorf("up of a second lab says %q", out)
	}
	if out := p.good("status"); !strings.Contains(out, id("one")+"  4 nodes") || !strings.Contains(out, id("two")+"  4 nodes") {
		t.Errorf("status of two labs: %s", out)
	}
	p.refused(exitUsage, "2 labs stand: "+id("one")+", "+id("two")+"; say which", "exec", "ha", "--", "true")
	p.refused(exitUsage, "2 labs stand", "down")
	p.tunnel("ga", id("one"))
	p.tunnel("ga", id("two"))
	p.good("do", "-l", id("one"), "cut")
	for lab, up := range map[string]bool{id("one"): false, id("two"): true} {
		if nodeStatus(t, p.status(lab), "ga").Interfaces[1].Up != up {
			t.Errorf("the line of %s", lab)
		}
	}
	p.good("down", id("one"))
	if out := p.good("exec", "ha", "--", "ping", "-c", "1", "-w", "600", "10.2.0.2"); !strings.Contains(out, "1 received") {
		t.Errorf("ping in the lab that is left: %s", out)
	}
	p.good("up", p.lab(id("one")))
	if out := p.good("down", "--all"); !strings.Contains(out, id("one")+" is down") || !strings.Contains(out, id("two")+" is down") {
		t.Errorf("down --all says %q", out)
	}
	p.nothing(id("one"), before)
	p.nothing(id("two"), before)
}

// TestHundredNodes: a lab with a hundred nodes stands, and goes.
func TestHundredNodes(t *testing.T) {
	t.Parallel()
	hosttest.Alone(t)
	p := newPlace(t)
	before := hostState(t)
	lab := write(t, "many.hcl", strings.Replace(`
lab "LAB" { duration = "10s" }
network "wan" { prefix = "10.0.0.0/16" }
secret "psk" { secret = "many" }
node "gw" {
  interface "wan" { network = network.wan }
  connection "all" {
    child "net" {}
  }
}
node "rw" {
  count = 99
  interface "wan" {
    network = network.wan
    link    = { delay = "1ms" }
  }
  connection "gw" {
    remote_addrs = [node.gw.interface.wan]
    child "net" { start_action = "start" }
  }
}
`, "LAB", id("many"), 1))
	p.good("up", lab)
	standing := func() (n int) {
		for _, c := range nodeStatus(t, p.status(), "gw").Children {
			if c.SPIIn != "" {
				n++
			}
		}
		return n
	}
	await(t, "99 tunnels", func() bool { return standing() == 99 })
	if s := p.status(); len(s.Nodes) != 100 {
		t.Errorf("%d nodes", len(s.Nodes))
	}
	if out := p.good("exec", "rw-98", "--", "ping", "-c", "1", "-w", "600", "10.0.0.1"); !strings.Contains(out, "1 received") {
		t.Errorf("ping: %s", out)
	}
	p.good("down")
	p.nothing(id("many"), before)
}

// TestRunOnAFullDisk: a run in namespaces whose files find no room says so, and leaves no namespace.
func TestRunOnAFullDisk(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	out := t.TempDir()
	if err := syscall.Mount("ikelab-test", out, "tmpfs", 0, "size=8k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(out, 0); err != nil {
			t.Error(err)
		}
	})
	o := p.run("run", "--engine", "netns", "--until", "3s", "--out", filepath.Join(out, "run"), p.lab(id("full")))
	if o.status != exitInternal || !strings.Contains(o.err, "no space left on device") {
		t.Errorf("status %d: %s", o.status, o.err)
	}
	closing(t, o) // the verdict is there
	p.nothing(id("full"), before)
}
