package standing

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client is a connection to a holder, for one command.
type Client struct {
	conn *net.UnixConn
	in   *bufio.Reader
	mu   sync.Mutex // of what is sent
	// ctx ends the connection until unbind is called; then who called it does.
	ctx    context.Context
	unbind func() bool
	// patience is AnswerTimeout, but for tests.
	patience time.Duration
}

// AnswerTimeout is how long a holder may take to answer what it can answer at once. One that is stopped never does.
const AnswerTimeout = 10 * time.Second

// ErrNoAnswer says that a holder takes connections and says nothing.
var ErrNoAnswer = fmt.Errorf("the lab's holder does not answer (waited %v)", AnswerTimeout)

// ErrNoHolder says that nobody answers for a lab.
var ErrNoHolder = errors.New("nobody answers for the lab")

// Dial connects to the holder of a lab. What is asked of it then ends with the context, too, whether it answers or not.
func Dial(ctx context.Context, id string) (*Client, error) {
	var conn net.Conn
	err := withSocketPath(id, func(path string) error {
		var err error
		var d net.Dialer
		begun := time.Now()
		for {
			// A queue that is full of others is no reason to give up at once.
			conn, err = d.DialContext(ctx, "unix", path)
			if !errors.Is(err, unix.EAGAIN) || time.Since(begun) > AnswerTimeout || ctx.Err() != nil {
				return err
			}
			time.Sleep(downPause)
		}
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("lab %q: %w", id, ErrNoHolder)
	case err != nil:
		return nil, fmt.Errorf("lab %q: %w", id, err)
	}
	c := newClient(ctx, conn.(*net.UnixConn))
	if err := c.trust(); err != nil {
		c.Close()
		return nil, fmt.Errorf("lab %q: %w", id, err)
	}
	return c, nil
}

// trust checks who is at the other end: a holder gets descriptors, an environment and orders.
func (c *Client) trust() error {
	cred, err := peer(c.conn)
	if err != nil {
		return err
	}
	if int(cred.Uid) != os.Geteuid() && cred.Uid != 0 {
		return usage("its holder is process %d of user id %d, and this one is of %d: only that user and root are trusted; work as that user (sudo -u '#%d' …)",
			cred.Pid, cred.Uid, os.Geteuid(), cred.Uid)
	}
	return nil
}

func newClient(ctx context.Context, conn *net.UnixConn) *Client {
	unbind := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &Client{conn: conn, in: bufio.NewReaderSize(conn, tapBatchBytes), ctx: ctx, unbind: unbind, patience: AnswerTimeout}
}

// Close ends the connection, and what was asked over it.
func (c *Client) Close() {
	c.unbind()
	_ = c.conn.Close() // the context may have closed it
}

// ask sends a request, with files that go with it.
func (c *Client) ask(r request, files ...*os.File) error {
	greeting, err := json.Marshal(hello{Version})
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		var descriptors []int
		for _, f := range files {
			descriptors = append(descriptors, int(f.Fd()))
		}
		rights = unix.UnixRights(descriptors...)
	}
	// A long request does not fit into the socket's buffers, and waits for a holder, which may be stopped.
	if err := c.conn.SetWriteDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return c.reason(err)
	}
	if _, _, err := c.conn.WriteMsgUnix(append(greeting, '\n'), rights, nil); err != nil {
		return c.reason(err)
	}
	return c.reason(c.say(r))
}

// reason is why the connection failed.
func (c *Client) reason(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrNoAnswer
	case errors.Is(err, net.ErrClosed) && c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return errors.New("the lab ended")
	}
	return err
}

func (c *Client) say(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return err
	}
	_, err = c.conn.Write(append(text, '\n'))
	return err
}

// next is the holder's next message.
func (c *Client) next() (reply, error) {
	var r reply
	text, err := c.in.ReadBytes('\n')
	if err != nil {
		return reply{}, c.reason(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return reply{}, fmt.Errorf("the holder's answer: %w", err)
	}
	if r.Error != nil {
		return reply{}, r.Error
	}
	return r, nil
}

// answer asks for something that has one answer. A holder that works on it says so again and again, for busyTimeout at
// most; one that says nothing for AnswerTimeout is not waited for (ErrNoAnswer).
func (c *Client) answer(r request) (reply, error) {
	if err := c.ask(r); err != nil {
		return reply{}, err
	}
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
			return reply{}, c.reason(err)
		}
		r, err := c.next()
		if err != nil || !r.Heard {
			return r, err
		}
	}
}

// Status asks what the lab looks like.
func (c *Client) Status() (*Status, error) {
	r, err := c.answer(request{Command: commandStatus})
	if err == nil && r.Status == nil {
		err = errors.New("the holder's answer has no status")
	}
	return r.Status, err
}

// Do asks for an action, by the name of a step or as a step would have it, and answers what was done.
func (c *Client) Do(what string) (string, error) {
	r, err := c.answer(request{Command: commandDo, Do: what})
	return r.Text, err
}

// Stop asks the holder to take the lab down, which it says at once that it will: ErrNoAnswer is one that does not.
func (c *Client) Stop() error {
	_, err := c.answer(request{Command: commandStop})
	return err
}

// Exec starts a command, with files for standard input, output and error, and answers its exit status when it has
// ended. Signals from the channel are passed on to it, and the context's end is no matter: it is the command that knows
// what to make of a signal. Only a holder that does not hear of one is not waited for (ErrNoAnswer). notice gets what
// there is to say about a command that has started otherwise than asked.
func (c *Client) Exec(cmd Command, files [execFiles]*os.File, signals <-chan os.Signal, notice func(string)) (int, error) {
	if !c.unbind() {
		return 0, c.ctx.Err()
	}
	if err := c.ask(request{Command: commandExec, Exec: &cmd}, files[:]...); err != nil {
		return 0, err
	}
	over := make(chan struct{})
	var passing sync.WaitGroup
	defer passing.Wait()
	defer close(over)
	passed, heard := 0, 0
	var mu sync.Mutex
	silent := false
	passing.Go(func() {
		for {
			select {
			case s := <-signals:
				n, is := s.(syscall.Signal)
				if !is {
					continue
				}
				mu.Lock()
				passed++
				mine := passed
				mu.Unlock()
				time.AfterFunc(AnswerTimeout, func() {
					mu.Lock()
					defer mu.Unlock()
					if heard < mine {
						silent = true
						_ = c.conn.Close() // which ends the wait below; later it is closed anyway
					}
				})
				_ = c.say(more{Signal: int(n)}) // a holder that is gone has ended the command
			case <-over:
				return
			}
		}
	})
	// In a terminal of its own nobody could interrupt a start.
	if err := c.conn.SetReadDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return 0, c.reason(err)
	}
	for {
		r, err := c.next()
		if r.Started {
			err = c.reason(c.conn.SetReadDeadline(time.Time{}))
			if r.Text != "" {
				notice(r.Text)
			}
		}
		mu.Lock()
		if r.Heard {
			heard++
		}
		if silent {
			err = ErrNoAnswer
		}
		mu.Unlock()
		if err != nil || r.Done {
			return r.ExitStatus, err
		}
	}
}

// Signals are those that an exec passes on. What it answers ends that. A caller who ignores SIGHUP, as under nohup(1),
// means that the command goes on without a terminal, too.
func Signals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	return signals, func() { signal.Stop(signals) }
}

// Captured is what a capture came to.
type Captured struct {
	// Packets were captured; Dropped are missing because the reader was too slow. Unseen passed links of the lab,
	// captured or not, without the lab's holder noticing.
	Packets, Dropped, Unseen uint64
	// Ended says that the lab ended, not the context.
	Ended bool
}

// Capture writes what passes the links, by node and interface as in "gw.wan" (none: all), as pcapng until the context
// is cancelled or the lab ends. keys gets Wireshark's files, by name, with all keys until then: at the beginning and at
// the end.
func (c *Client) Capture(ctx context.Context, links []string, w io.Writer, keys func(map[string]string) error) (Captured, error) {
	if err := c.ask(request{Command: commandCapture, Capture: &captureSpec{links}}); err != nil {
		return Captured{}, err
	}
	stopped := func() bool { return false }
	defer func() { stopped() }()
	var stopping atomic.Bool
	// Once it is to stop, a holder that says nothing is not waited for. What w takes of the time does not count: a
	// reader may want minutes for what has come already.
	patience := func() error {
		if !stopping.Load() {
			return nil
		}
		return c.reason(c.conn.SetReadDeadline(time.Now().Add(c.patience)))
	}
	var data []byte
	if err := c.conn.SetReadDeadline(time.Now().Add(AnswerTimeout)); err != nil {
		return Captured{}, c.reason(err)
	}
	for {
		if err := patience(); err != nil {
			return Captured{}, err
		}
		r, err := c.next()
		var f *Failure
		if err != nil && data != nil && !errors.As(err, &f) && !errors.Is(err, ErrNoAnswer) {
			return Captured{Ended: true}, nil
		}
		if err != nil {
			return Captured{}, err
		}
		if r.Started {
			if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
				return Captured{}, c.reason(err)
			}
			if !c.unbind() { // what there is until the context's end is still to come from now on
				return Captured{}, c.ctx.Err()
			}
			stopped = context.AfterFunc(ctx, func() {
				stopping.Store(true)
				_ = c.say(more{Stop: true}) // and if nobody hears it, it is over anyway
				_ = patience()              // of who reads already; one that is closed is over
			})
		}
		if r.Profile != nil {
			if err := keys(r.Profile); err != nil {
				return Captured{}, err
			}
		}
		if r.Done {
			return Captured{Packets: r.Packets, Dropped: r.Dropped, Unseen: r.Unseen, Ended: ctx.Err() == nil}, nil
		}
		if r.Bytes > 0 {
			if err := patience(); err != nil {
				return Captured{}, err
			}
			data = slices.Grow(data[:0], r.Bytes)[:r.Bytes]
			if _, err := io.ReadFull(c.in, data); err != nil {
				return Captured{}, c.reason(err)
			}
			if _, err := w.Write(data); err != nil {
				return Captured{}, err
			}
		}
	}
}
