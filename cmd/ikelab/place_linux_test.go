package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/node/host/hosttest"
)

// standingLab is a lab with a tunnel, a line with a delay, and something of everything that happens by itself in a run
// and not in a lab that stands. The name is LAB.
const standingLab = `
lab "LAB" { duration = "60s" }
network "a" { prefix = "10.1.0.0/16" }
network "wan" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/16" }
link "line" { delay = "2ms" }
node "ha" {
  implementation = "host"
  interface "eth0" { network = network.a }
}
node "ga" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.wan
    link    = link.line
  }
  connection "b" {
    remote_addrs = [node.gb.interface.wan]
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "start"
    }
  }
}
node "gb" {
  interface "wan" { network = network.wan }
  interface "lan" { network = network.b }
  connection "a" {
    remote_addrs = [node.ga.interface.wan]
    child "net" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}
node "hb" {
  implementation = "host"
  interface "eth0" { network = network.b }
}
secret "psk" { secret = "standing" }
flow "f" {
  from     = node.ha
  to       = node.hb
  protocol = "icmp"
  rate     = "10pps"
}
process "sleeper" {
  node    = node.hb
  command = ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]
}
step "cut" {
  at     = "50ms"
  action = link_down(node.ga.interface.wan)
}
expect "never" { condition = result.flow.f.received < 0 }
`

// place is where a test has labs: a folder of state and a program of its own.
type place struct {
	t     *testing.T
	state string
	path  string
	// prefix are arguments in front of the program, with which another user runs it.
	prefix []string
	// dir is where commands are called; "" is the test's own folder.
	dir string
}

// id is a name for a lab that no other process of tests has.
func id(name string) string { return fmt.Sprintf("st%d-%s", os.Getpid(), name) }

// newPlace begins a test that makes namespaces, and sees to it that none stay.
func newPlace(t *testing.T) *place {
	t.Helper()
	namespaces(t)
	p := &place{t: t, state: filepath.Join(t.TempDir(), "state"), path: program(t)}
	t.Cleanup(func() {
		if o := p.run("down", "--all"); o.status != exitOK {
			t.Errorf("down --all: status %d: %s%s", o.status, o.out, o.err)
		}
	})
	return p
}

// variable is what marks every process of the place.
func (p *place) variable() string { return "IKELAB_STATE_DIR=" + p.state }

// command is a command line of the program. Where there is no such program as exec is to start the test is skipped.
func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	if i := slices.Index(args, "--"); i > 0 && i+1 < len(args) && args[0] == "exec" {
		hosttest.Command(p.t, args[i+1:])
	}
	all := append(slices.Clone(p.prefix), p.path)
	all = append(all, args...)
	cmd := exec.Command(all[0], all[1:]...)
	cmd.Env = append(os.Environ(), p.variable())
	cmd.Dir = p.dir
	return cmd
}

// run runs a command line to its end.
func (p *place) run(args ...string) outcome { return p.feed("", args...) }

// feed is run with standard input. All three streams are files, as exec wants them.
func (p *place) feed(input string, args ...string) outcome {
	p.t.Helper()
	dir := p.t.TempDir()
	var files [3]*os.File
	for i, name := range []string{"in", "out", "err"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			p.t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // read below by name
		files[i] = f
	}
	if _, err := files[0].WriteAt([]byte(input), 0); err != nil {
		p.t.Fatal(err)
	}
	cmd := p.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	timer := time.AfterFunc(processTimeout, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // its state says it
	out, err1 := os.ReadFile(files[1].Name())
	errs, err2 := os.ReadFile(files[2].Name())
	if err := errors.Join(err1, err2); err != nil {
		p.t.Fatal(err)
	}
	return outcome{string(out), string(errs), cmd.ProcessState.ExitCode()}
}

// good is run for what must work.
func (p *place) good(args ...string) string {
	p.t.Helper()
	o := p.run(args...)
	if o.status != exitOK {
		p.t.Fatalf("ikelab %s: status %d: %s%s", strings.Join(args, " "), o.status, o.out, o.err)
	}
	return o.out
}

// refused is run for what must not work, and be said why.
func (p *place) refused(status int, want string, args ...string) {
	p.t.Helper()
	if o := p.run(args...); o.status != status || !strings.Contains(o.err, want) {
		p.t.Errorf("ikelab %s: status %d, want %d and %q: %s%s", strings.Join(args, " "), o.status, status, want, o.out, o.err)
	}
}

// lab writes a lab of a name and answers its path.
func (p *place) lab(name string) string {
	return write(p.t, name+".hcl", strings.Replace(standingLab, "LAB", name, 1))
}

// status is a lab's status.
func (p *place) status(args ...string) standing.Status {
	p.t.Helper()
	var s standing.Status
	if err := json.Unmarshal([]byte(p.good(append([]string{"status", "--json"}, args...)...)), &s); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// node finds a node.
func nodeStatus(t *testing.T, s standing.Status, name string) standing.NodeStatus {
	t.Helper()
	i := slices.IndexFunc(s.Nodes, func(n standing.NodeStatus) bool { return n.Name == name })
	if i < 0 {
		t.Fatalf("the status has no node %q", name)
	}
	return s.Nodes[i]
}

// tunnel waits until a gateway has a CHILD_SA.
func (p *place) tunnel(node string, args ...string) standing.NodeStatus {
	p.t.Helper()
	for deadline := time.Now().Add(processTimeout); ; time.Sleep(50 * time.Millisecond) {
		if n := nodeStatus(p.t, p.status(args...), node); len(n.Children) > 0 {
			return n
		}
		if time.Now().After(deadline) {
			p.t.Fatal("there is no tunnel")
		}
	}
}

// processes are those of the place that live, by number, with their command lines. Those that only wait to be asked how
// they ended have neither.
func (p *place) processes() map[int]string {
	p.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.t.Fatal(err)
	}
	found := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		environment, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err != nil || !slices.Contains(strings.Split(string(environment), "\x00"), p.variable()) {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && len(line) > 0 {
			found[pid] = strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " ")
		}
	}
	return found
}

// named lists the named network namespaces of a lab, and of its runs.
func named(t *testing.T, lab string) []string {
	t.Helper()
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "ikelab-"+lab+".") || strings.HasPrefix(e.Name(), "ikelab-"+lab+"-") || strings.HasPrefix(e.Name(), "ikelab-"+lab+"@") {
			names = append(names, e.Name())
		}
	}
	return names
}

// hostState is what the host's own namespace has that labs could leave something in.
func hostState(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, args := range [][]string{{"ip", "-o", "link"}, {"ip", "rule"}, {"ip", "-6", "rule"}, {"ip", "route", "show", "table", "all"}, {"nft", "list", "tables"}} {
		args = hosttest.Command(t, args)
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		fmt.Fprintf(&all, "%v\n%s", args, out)
	}
	return all.String()
}

// groups are the control groups of a lab, and of its runs, wherever they are.
func groups(lab string) []string {
	var all []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), "ikelab-"+lab+"-") {
			all = append(all, path)
		}
		return nil // groups come and go
	})
	return all
}

// nothing checks that nothing of a lab is left. before is the host's state before it.
func (p *place) nothing(lab, before string) {
	p.t.Helper()
	if names := named(p.t, lab); len(names) > 0 {
		p.t.Errorf("namespaces are left: %v", names)
	}
	if left := groups(lab); len(left) > 0 {
		p.t.Errorf("control groups are left: %v", left)
	}
	entries, err := os.ReadDir(p.state)
	if err != nil && !os.IsNotExist(err) {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		p.t.Errorf("%s is left in the folder of state", e.Name())
	}
	if after := hostState(p.t); after != before {
		p.t.Errorf("the host's own namespace is another one; before:\n%s\nafter:\n%s", before, after)
	}
	// What was killed takes a moment to end.
	for deadline := time.Now().Add(processTimeout); ; time.Sleep(10 * time.Millisecond) {
		left := p.processes()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Errorf("processes are left: %v", left)
			return
		}
	}
}
