package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
)

// Config is what a charon is started with.
type Config struct {
	Tree Tree
	// Namespace is the network namespace, with its interfaces, addresses and routes.
	// It stays the caller's.
	Namespace ns.NetNS
	// Dir is an existing folder of this daemon's own. Its strongswan.conf and
	// swanctl/swanctl.conf are written there, and the daemon writes charon.log.
	Dir string
	// Settings are lines for the section charon of strongswan.conf(5), beside those
	// that a daemon in a namespace needs. A plug-in's own settings go into a section
	// of their own, `plugins { … }`.
	Settings string
	// Connections is the text of swanctl.conf(5).
	Connections string
}

// How long things may take. They are limits for a daemon that hangs, nothing that a
// daemon which works comes near.
const (
	answerTimeout = time.Minute
	stopTimeout   = 10 * time.Second
	pollInterval  = 5 * time.Millisecond
)

// Charon is a running daemon. Its methods are safe for concurrent use.
type Charon struct {
	cfg   Config
	place *place
	env   []string
	cmd   *exec.Cmd
	done  chan struct{} // closed when the process has ended; err is set then
	err   error
	using sync.RWMutex // held for reading while something is done in the place, for writing to leave it
	left  bool
}

// Start starts a charon and waits until it answers and has loaded its connections.
// An error has ended what it began, and quotes the end of the log.
func Start(ctx context.Context, cfg Config) (*Charon, error) {
	c := &Charon{cfg: cfg, done: make(chan struct{})}
	if err := c.start(ctx); err != nil {
		return nil, fmt.Errorf("charon in %s: %w", cfg.Dir, err)
	}
	return c, nil
}

func (c *Charon) start(ctx context.Context) error {
	folders, err := c.cfg.Tree.libraries()
	if err != nil {
		return err
	}
	for i, folder := range folders {
		folders[i] = path.Join(placeTree, folder)
	}
	// Nothing of the caller's environment: neither its locale nor a service manager's
	// sockets are the daemon's.
	c.env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"LD_LIBRARY_PATH=" + strings.Join(folders, ":"),
		"STRONGSWAN_CONF=" + placeConf + "/strongswan.conf",
		"SWANCTL_DIR=" + placeConf + "/swanctl",
	}
	swanctl := filepath.Join(c.cfg.Dir, "swanctl")
	if err := os.MkdirAll(swanctl, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.cfg.Dir, "strongswan.conf"), []byte(settings(c.cfg.Settings)), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(swanctl, "swanctl.conf"), []byte(c.cfg.Connections), 0o600); err != nil {
		return err
	}
	if c.place, err = enter(c.cfg.Namespace, c.cfg.Tree, c.cfg.Dir); err != nil {
		return err
	}
	if err := c.run(); err != nil {
		c.place.leave()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err = c.listening(ctx)
	if err == nil {
		err = c.Load(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%w; its log ends with:\n%s", err, lastLines(c.Log(), 20)), c.Kill())
	}
	return nil
}

// plugins is what charon loads, in this order: the first to offer a feature provides
// it, so that ESP is kernel-libipsec's. Version 5.9.8 derives no key without kdf.
// What a version does not have it complains about in its log and goes on without,
// but for those with a ! behind their name.
const plugins = "nonce random drbg aes sha1 sha2 sha3 hmac kdf gmp curve25519 openssl gcm ccm ctr chapoly cmac xcbc ml " +
	"pem pkcs1 pkcs8 x509 pubkey revocation constraints " +
	"kernel-libipsec! kernel-netlink socket-default! vici!"

// settings is the text of strongswan.conf.
func settings(more string) string {
	return fmt.Sprintf(`# Written by ikelab.
charon {
  load = %s
  filelog {
    daemon {
      path = %s/charon.log
      append = yes
      flush_line = yes
      time_format = %%T
      time_add_ms = yes
      ike_name = yes
      default = 1
    }
  }
%s
}
`, plugins, placeConf, more)
}

// run starts the process.
func (c *Charon) run() error {
	log, err := os.OpenFile(filepath.Join(c.cfg.Dir, "charon.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child writes, we do not
	c.cmd = c.command(context.Background(), charonPath)
	c.cmd.Stdout, c.cmd.Stderr = log, log // what it says before it reads its configuration
	if err := c.place.do(c.cmd.Start); err != nil {
		return err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return nil
}

// command is a program of the tree, to be started in the place. It dies with the
// place's thread.
func (c *Charon) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path.Join(placeTree, program), args...)
	cmd.Dir = "/"
	cmd.Env = c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// listening waits until somebody listens on the socket that swanctl talks to.
func (c *Charon) listening(ctx context.Context) error {
	for {
		err := c.place.do(func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }() // nothing was written
			return unix.Connect(fd, &unix.SockaddrUnix{Name: "/run/charon.vici"})
		})
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("it ended before it listened: %w", c.Err())
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w: %w", err, ctx.Err())
		case <-time.After(pollInterval):
		}
	}
}

// Done is closed when the process has ended, however it did.
func (c *Charon) Done() <-chan struct{} { return c.done }

// Err is how the process ended, nil as long as it runs or if it ended by itself
// without an error.
func (c *Charon) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// PID is the daemon's process, for those who measure it.
func (c *Charon) PID() int { return c.cmd.Process.Pid }

// Log is what the daemon has logged so far.
func (c *Charon) Log() string {
	text, err := os.ReadFile(filepath.Join(c.cfg.Dir, "charon.log"))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Close ends the daemon in order: it deletes its SAs, which tells its peers, and
// what it made in the network namespace. One that does not end is killed. A second
// call does nothing.
func (c *Charon) Close() error { return c.end(unix.SIGTERM) }

// Kill ends the daemon at once; its peers are told nothing, and its routes and rules
// stay behind in the network namespace. A second call does nothing.
func (c *Charon) Kill() error { return c.end(unix.SIGKILL) }

func (c *Charon) end(signal syscall.Signal) error {
	// Before anything else, so that a swanctl that waits for this daemon ends too.
	// A process that has ended by itself needs no signal, which Signal reports.
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("charon in %s: %w", c.cfg.Dir, err)
	}
	var err error
	select {
	case <-c.done:
	case <-time.After(stopTimeout):
		err = fmt.Errorf("charon in %s: did not end within %v of signal %d and was killed; its log ends with:\n%s",
			c.cfg.Dir, stopTimeout, signal, lastLines(c.Log(), 20))
		_ = c.cmd.Process.Kill() // its only error is that it has ended meanwhile
		<-c.done
	}
	c.using.Lock()
	defer c.using.Unlock()
	if !c.left {
		c.left = true
		c.place.leave()
	}
	return err
}

// lastLines is the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
