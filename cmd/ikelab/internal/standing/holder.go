package standing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/netns"
	"github.com/ikelab/ikelab/sim/trace"
	"github.com/ikelab/ikelab/topology"
)

// Spec says which lab is to stand.
type Spec struct {
	Source Source  `json:"source"`
	Seed   *uint64 `json:"seed,omitempty"`
}

// Ready is what a holder says once its lab stands.
type Ready struct {
	ID     string      `json:"id"`
	Folder string      `json:"folder"`
	Holder int         `json:"holder"`
	Nodes  []ReadyNode `json:"nodes"`
	Steps  []string    `json:"steps,omitempty"`
}

// ReadyNode is a node of a lab that stands.
type ReadyNode struct {
	Name           string `json:"name"`
	Implementation string `json:"implementation"`
	Namespace      string `json:"namespace"`
}

// standingDuration is how long a lab stands when nobody takes it down. Nobody waits for it.
const standingDuration = 100 * 365 * 24 * time.Hour

// farewell is how long clients have to take what a lab that goes still says to them.
const farewell = time.Second

const (
	// longMax bounds how many commands and captures go on at a time, each as long as its client likes.
	longMax = 64
	// connsMax bounds all connections. Those that are neither end by themselves soon: of one that says nothing, and of
	// an answer that nobody takes, the time is bounded. So there is always room for a status, and for down.
	connsMax = 4 * longMax
)

// Held is a lab that stands.
type Held struct {
	spec Spec
	plan *topology.Plan // with everything that the run goes without
	lab  *netns.Lab
	seed uint64
	taps *taps
	log  *slog.Logger

	// KeepLog begins the log again where its file is gone; nil for a holder without one.
	KeepLog func() error

	// patience is busyTimeout, but for tests.
	patience time.Duration

	long  chan struct{} // as many as there are commands and captures
	stop  context.CancelFunc
	ended chan struct{} // closed when the lab is to go

	mu       sync.Mutex
	listener *net.UnixListener
	failed   string
	conns    map[*client]struct{}
	clients  sync.WaitGroup
}

// RefusedError says that the lab is wrong, not the host.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *RefusedError) Unwrap() error { return e.Err }

// Build makes a lab that stands. What it answers must be served, or closed.
func Build(spec Spec, log *slog.Logger) (*Held, error) {
	plan, diags := spec.Source.Load()
	if diags.HasErrors() || plan == nil {
		return nil, &RefusedError{errors.New(diags.Error())}
	}
	run, err := sim.New(Bare(plan), sim.Options{Seed: spec.Seed, Trace: trace.Options{RecordsMax: 1}})
	if err != nil {
		return nil, &RefusedError{err}
	}
	h := &Held{spec: spec, plan: plan, seed: plan.Lab.Seed, taps: &taps{}, log: log, patience: busyTimeout, ended: make(chan struct{}), long: make(chan struct{}, longMax), conns: map[*client]struct{}{}}
	if spec.Seed != nil {
		h.seed = *spec.Seed
	}
	if h.lab, err = netns.Create(run, netns.Options{Standing: true, Alone: true, Tap: h.taps}); err != nil {
		return nil, err
	}
	if err := h.listen(); err != nil {
		return nil, errors.Join(err, h.lab.Close())
	}
	return h, nil
}

// Bare is a plan without what happens in a lab by itself: steps, flows, processes and expectations are a person's, and
// nothing is judged.
func Bare(plan *topology.Plan) *topology.Plan {
	bare := *plan
	bare.Flows, bare.Steps, bare.Processes, bare.Expectations, bare.Watches = nil, nil, nil, nil, nil
	bare.Lab.Duration = standingDuration
	bare.Lab.InvariantsOff = sim.Invariants()
	return &bare
}

// listen opens the control socket, for the holder's own user. One that was there is closed.
func (h *Held) listen() error {
	err := withSocketPath(h.lab.ID(), func(path string) error {
		// Nobody else finds it before its mode is narrow: the folder is the user's alone.
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		listener.SetUnlinkOnClose(false) // it goes with the folder
		h.listenOn(listener)
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return fmt.Errorf("control socket of lab %q: %w", h.lab.ID(), err)
	}
	return nil
}

// listenOn puts a control socket in the place of the one that was there. In a lab that is to go it is closed: whoever
// waits for a connection is to notice the end.
func (h *Held) listenOn(listener *net.UnixListener) {
	h.mu.Lock()
	before := h.listener
	h.listener = listener
	h.mu.Unlock()
	if before != nil {
		_ = before.Close() // nobody finds it any more
	}
	select {
	case <-h.ended:
		_ = listener.Close()
	default:
	}
}

// listening is the control socket.
func (h *Held) listening() *net.UnixListener {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.listener
}

// Ready says what the maker of the lab wants to know.
func (h *Held) Ready() Ready {
	r := Ready{ID: h.lab.ID(), Folder: netns.Folder(h.lab.ID()), Holder: os.Getpid()}
	for _, n := range h.lab.State().Nodes {
		r.Nodes = append(r.Nodes, ReadyNode{n.Name, n.Implementation, n.Namespace})
	}
	for _, s := range h.plan.Steps {
		r.Steps = append(r.Steps, s.Name)
	}
	return r
}

// LogFile is where the holder's log belongs.
func LogFile(id string) string { return filepath.Join(netns.Folder(id), "log") }

// Start begins the lab's time.
func (h *Held) Start() { h.lab.Start() }

// Serve lets the lab stand until the context is cancelled or a client asks for its end.
func (h *Held) Serve(ctx context.Context) error {
	ctx, h.stop = context.WithCancel(ctx)
	defer h.stop()
	context.AfterFunc(ctx, func() { close(h.ended); _ = h.listening().Close() })
	var working sync.WaitGroup
	working.Go(h.accept)
	working.Go(h.keep)
	if _, err := h.lab.Drive(ctx, nil); err != nil {
		// Nothing moves any more, but a person can still look at what is there.
		h.log.Error("the lab has failed", "error", err)
		h.mu.Lock()
		h.failed = err.Error()
		h.mu.Unlock()
	}
	<-ctx.Done()
	working.Wait()
	return nil
}

// keep looks after the lab's folder until the lab is to go: what is missing there is made again. A lab whose folder is
// gone, or another lab's by now, is to go: nobody could reach it.
func (h *Held) keep() {
	for {
		select {
		case <-time.After(netns.KeepInterval):
		case <-h.ended:
			return
		}
		err := h.lab.KeepFolder()
		if errors.Is(err, netns.ErrTakenAway) {
			h.log.Error("the lab goes", "reason", err)
			h.stop()
			return
		}
		if missing(filepath.Join(netns.Folder(h.lab.ID()), controlFile)) {
			err = errors.Join(err, h.listen())
		}
		if h.KeepLog != nil && missing(LogFile(h.lab.ID())) {
			err = errors.Join(err, h.KeepLog())
		}
		if err != nil {
			h.log.Error("the lab's folder", "error", err)
		}
	}
}

// missing says that a file is not there.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Close takes the lab down.
func (h *Held) Close() error {
	_ = h.listening().Close() // it may be closed already
	err := h.lab.Close()
	// What they started has ended with the lab, and they are told; more is not waited for.
	timer := time.AfterFunc(farewell, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for c := range h.conns {
			_ = c.conn.Close()
		}
	})
	defer timer.Stop()
	h.clients.Wait()
	return err
}

// failure is why the lab cannot be acted on, nil for one that works.
func (h *Held) failure() *Failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.failed == "" {
		return nil
	}
	return &Failure{KindInternal, "the lab has failed: " + h.failed}
}

// client is a connection.
type client struct {
	held  *Held
	conn  *net.UnixConn
	since time.Time
	asked bool       // it has said what it wants; held.mu's
	mu    sync.Mutex // of out
	files []*os.File
}

// hasAsked notes that the client has said what it wants, and answers false where it was sent away before.
func (c *client) hasAsked() bool {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	before := c.asked
	c.asked = true
	return !before
}

// busyTimeout is how long a client is told that what it asked is under way. Nothing that one can ask takes so long: a lab
// that does not move any more is as a holder that does not answer.
const busyTimeout = 3 * time.Minute

// busy tells the client again and again that it is heard, until what it answers is called, or for busyTimeout.
func (c *client) busy() (done func()) {
	over := make(chan struct{})
	var telling sync.WaitGroup
	begun := time.Now()
	telling.Go(func() {
		for time.Since(begun) < c.held.patience {
			if c.send(reply{Heard: true}, writeTimeout) != nil {
				return // it is gone
			}
			select {
			case <-time.After(heardInterval):
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		telling.Wait()
	}
}

// heardInterval is the time between two words to a client that waits for something.
const heardInterval = 2 * time.Second

// send sends a message, which waits at most so long for a client that does not read, with what follows it.
func (c *client) send(r reply, wait time.Duration, raw ...byte) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Time{}
	if wait > 0 {
		deadline = time.Now().Add(wait)
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	message := net.Buffers{append(text, '\n'), raw}
	_, err = message.WriteTo(c.conn)
	return err
}

// end sends the last message.
func (c *client) end(r reply) {
	r.Done = true
	if err := c.send(r, writeTimeout); err != nil {
		c.held.log.Info("a client went without its answer", "error", err)
	}
}

func (c *client) fail(err error) { c.end(reply{Error: failureOf(err)}) }

// serve does what one client asks.
func (c *client) serve() {
	defer func() {
		closeAll(c.files)
		_ = c.conn.Close()
	}()
	cred, err := peer(c.conn)
	if err == nil && int(cred.Uid) != os.Geteuid() && cred.Uid != 0 {
		err = usage("the lab belongs to user id %d, not to %d", os.Geteuid(), cred.Uid)
	}
	if err != nil {
		c.fail(err)
		return
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return
	}
	in, hello, files, err := receiveHello(c.conn)
	if err != nil {
		c.held.log.Info("a client said nothing that makes sense", "error", err)
		return
	}
	c.files = files
	var r request
	if err := in.Decode(&r); err != nil {
		c.fail(usage("the request cannot be read: %v", err))
		return
	}
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	if hello.Version != Version && r.Command != commandStop {
		c.fail(usage("the lab is held by another version of ikelab (protocol %d, this one speaks %d); use that one, or take the lab down with: ikelab down %s",
			Version, hello.Version, c.held.lab.ID()))
		return
	}
	if !c.hasAsked() || hungUp(c.conn) {
		c.held.log.Info("a client did not wait for what it asked", "command", r.Command)
		return
	}
	switch r.Command {
	case commandStatus:
		done := c.busy()
		s := statusOf(c.held.lab.State())
		s.Lab, s.Description, s.File, s.Seed, s.Holder = c.held.lab.ID(), c.held.plan.Lab.Description, c.held.spec.Source.Path, c.held.seed, os.Getpid()
		if f := c.held.failure(); f != nil {
			s.Failed = f.Text
		}
		done()
		c.end(reply{Status: &s})
	case commandDo:
		c.do(r.Do)
	case commandExec, commandCapture:
		select {
		case c.held.long <- struct{}{}:
		default:
			c.fail(&Failure{KindInternal, fmt.Sprintf(
				"lab %s has %d commands and captures under way, and takes no more at a time; let one of them end first", c.held.lab.ID(), longMax)})
			return
		}
		defer func() { <-c.held.long }()
		if r.Command == commandExec {
			c.exec(in, r.Exec)
		} else {
			c.capture(in, r.Capture)
		}
	case commandStop:
		c.end(reply{Text: "stopping"})
		c.held.stop()
	default:
		c.fail(usage("there is no command %q", r.Command))
	}
}

// do does an action by hand.
func (c *client) do(what string) {
	name, action, err := c.held.spec.Source.actionOf(c.held.plan, what)
	if err == nil {
		if f := c.held.failure(); f != nil {
			err = f
		}
	}
	already := ""
	if err == nil {
		done := c.busy()
		already = c.held.already(action)
		// Others' actions may come first, and nobody may wait for this one by then.
		err = c.held.lab.DoFor(name, action, func() bool { return !hungUp(c.conn) })
		done()
		switch {
		case errors.Is(err, netns.ErrUnwanted):
			c.held.log.Info("not done, because nobody waits for it", "step", name, "action", action.Kind, "node", action.Node)
			return
		case errors.Is(err, sim.ErrNoEffect):
			err = usage("%v", err)
		}
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.held.log.Info("by hand", "step", name, "action", action.Kind, "node", action.Node)
	c.end(reply{Text: describe(action) + already})
}

// already says of a link that it is as an action would have it. The action is done nevertheless, which is no harm, and
// the kernel is asked, because a person can have done anything to the link.
func (h *Held) already(a topology.Action) string {
	if a.Kind != topology.ActionLinkDown && a.Kind != topology.ActionLinkUp {
		return ""
	}
	for _, n := range h.lab.State().Nodes {
		for _, i := range n.Interfaces {
			if n.Name != a.Node || i.Name != a.Interface || i.Up != (a.Kind == topology.ActionLinkUp) {
				continue
			}
			if i.Up {
				return ", which was up already"
			}
			return ", which was down already"
		}
	}
	return ""
}

// listen tells a channel of what the client still says, and closes it when the client is gone.
func (c *client) listen(in *json.Decoder) <-chan more {
	said := make(chan more, 16)
	go func() {
		defer close(said)
		for {
			var m more
			if err := in.Decode(&m); err != nil {
				return
			}
			said <- m
		}
	}()
	return said
}

// capture sends packets until the client or the lab has had enough.
func (c *client) capture(in *json.Decoder, spec *captureSpec) {
	if spec == nil {
		spec = &captureSpec{}
	}
	one, _, err := newTap(c.held.plan, c.held.lab.State().Epoch, spec.Links)
	if err != nil {
		c.fail(err)
		return
	}
	err = c.held.lab.Tapping(true, one.wants)
	defer func() { _ = c.held.lab.Tapping(false, one.wants) }() // the lab may be gone by then
	c.held.taps.add(one)
	unseen := c.held.lab.Unseen() // by those who captured before
	var keys map[string]string
	if err == nil {
		keys, err = profile(c.held.lab)
	}
	if err == nil {
		err = c.send(reply{Started: true, Profile: keys}, writeTimeout)
	}
	if err != nil {
		c.held.taps.remove(one)
		c.fail(err)
		return
	}
	defer c.held.taps.remove(one)
	stop := make(chan struct{})
	said := c.listen(in)
	go func() {
		select {
		case _, there := <-said:
			if !there {
				_ = c.conn.Close() // which ends a write that waits
			}
		case <-c.held.ended:
		}
		c.held.taps.remove(one)
		close(stop)
		for range said { // until the client is gone
		}
	}()
	// Few large messages cost less than many small ones; what a socket refuses it does with as it is.
	_ = c.conn.SetWriteBuffer(tapBatchBytes)
	err = one.pump(stop, func(data []byte) error {
		return c.send(reply{Bytes: len(data)}, 0, data...)
	})
	if err != nil {
		c.held.log.Info("a capture ended", "error", err)
		return
	}
	if keys, err = profile(c.held.lab); err != nil {
		c.fail(err)
		return
	}
	packets, dropped := one.counts()
	c.end(reply{Packets: packets, Dropped: dropped, Unseen: c.held.lab.Unseen() - unseen, Profile: keys})
}
