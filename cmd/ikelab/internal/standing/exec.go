package standing

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim/netns"
	"github.com/ikelab/ikelab/topology"
)

// execFiles are how many files come with an exec: standard input, output and error.
const execFiles = 3

// exec starts a command and says how it ended.
func (c *client) exec(in *json.Decoder, spec *Command) {
	n, err := c.nodeOf(spec)
	if err != nil {
		c.fail(err)
		return
	}
	dir, notice := folder(spec.Dir)
	cmd := &exec.Cmd{
		Path: spec.Path, Args: spec.Args, Env: spec.Env, Dir: dir,
		Stdin: c.files[0], Stdout: c.files[1], Stderr: c.files[2], SysProcAttr: &syscall.SysProcAttr{},
	}
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would be the holder's own
	}
	if dir != spec.Dir {
		cmd.Env = append(cmd.Env, "PWD="+dir) // the last one counts
	}
	if spec.Terminal {
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true // Ctty 0 is standard input
	}
	started, err := c.held.lab.Exec(n, cmd)
	if err != nil {
		f := &Failure{KindNoStart, err.Error()}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			f.Kind = KindNotFound
		case errors.Is(err, netns.ErrEnded):
			f.Kind = KindInternal
		}
		c.fail(f)
		return
	}
	closeAll(c.files) // the command has its own
	c.files = nil
	if err := c.send(reply{Started: true, Text: notice}, writeTimeout); err != nil {
		c.held.log.Info("a client went as its command started", "error", err)
	}
	said := c.listen(in)
	go func() {
		for m := range said {
			if m.Signal > 0 {
				_ = started.Signal(syscall.Signal(m.Signal)) // it may be about to end by itself
				_ = c.send(reply{Heard: true}, writeTimeout) // a client that is gone is noticed here, too
			}
		}
		_ = started.Signal(syscall.SIGKILL) // the client is gone
	}()
	c.end(reply{ExitStatus: started.Wait()})
}

// folder is where a command starts: in its caller's folder, or in / where the caller has none that can be named, or the
// holder, which may be another user's or see other mounts, cannot enter it. notice says the latter.
func folder(wanted string) (dir, notice string) {
	if wanted == "" {
		return "/", ""
	}
	// Looking up a name inside a folder takes the same right as entering it.
	fd, err := unix.Open(filepath.Join(wanted, "/")+"/.", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "/", fmt.Sprintf("the lab's holder cannot enter %q (%v): the command starts in /", wanted, err)
	}
	_ = unix.Close(fd)
	return wanted, ""
}

// nodeOf checks an exec and finds its node.
func (c *client) nodeOf(spec *Command) (int, error) {
	if spec == nil || spec.Path == "" || len(spec.Args) == 0 || len(c.files) != execFiles {
		return 0, usage("an exec needs a command and %d files", execFiles)
	}
	var names []string
	for _, n := range c.held.plan.Nodes {
		names = append(names, n.Name)
	}
	i := slices.Index(names, spec.Node)
	if i < 0 {
		return 0, usage("the lab has no node %q: %s", spec.Node, DidYouMean(spec.Node, names))
	}
	return i, nil
}

// describe says what an action was.
func describe(a topology.Action) string {
	text := a.Kind + " " + a.Node
	for _, part := range []string{a.Interface, a.Connection, a.Child} {
		if part != "" {
			text += "." + part
		}
	}
	for _, p := range a.Addresses {
		text += " " + p.String()
	}
	return text
}
