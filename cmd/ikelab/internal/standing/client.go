package standing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Client is a connection to a holder, for one command.
type Client struct {
	conn *net.UnixConn
	in   *json.Decoder
	mu   sync.Mutex // of what is sent
}

// ErrNoHolder says that nobody answers for a lab.
var ErrNoHolder = errors.New("nobody answers for the lab")

// Dial connects to the holder of a lab.
func Dial(ctx context.Context, id string) (*Client, error) {
	var conn net.Conn
	err := withSocketPath(id, func(path string) error {
		var err error
		var d net.Dialer
		conn, err = d.DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("lab %q: %w", id, ErrNoHolder)
	case err != nil:
		return nil, fmt.Errorf("lab %q: %w", id, err)
	}
	return &Client{conn: conn.(*net.UnixConn), in: json.NewDecoder(conn)}, nil
}

// Close ends the connection, and what was asked over it.
func (c *Client) Close() { _ = c.conn.Close() }

// Process is the holder's, as the kernel sees it from here.
func (c *Client) Process() (int, error) {
	cred, err := peer(c.conn)
	if err != nil {
		return 0, err
	}
	return int(cred.Pid), nil
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
	if _, _, err := c.conn.WriteMsgUnix(append(greeting, '\n'), rights, nil); err != nil {
		return err
	}
	return c.say(r)
}

func (c *Client) say(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.conn.Write(append(text, '\n'))
	return err
}

// next is the holder's next message.
func (c *Client) next() (reply, error) {
	var r reply
	if err := c.in.Decode(&r); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET) {
			err = errors.New("the lab ended")
		}
		return reply{}, err
	}
	if r.Error != nil {
		return reply{}, r.Error
	}
	return r, nil
}

// answer asks for something that has one answer.
func (c *Client) answer(r request) (reply, error) {
	if err := c.ask(r); err != nil {
		return reply{}, err
	}
	return c.next()
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

// Stop asks the holder to take the lab down.
func (c *Client) Stop() error {
	_, err := c.answer(request{Command: commandStop})
	return err
}

// Exec starts a command, with files for standard input, output and error, and answers its exit status when it has
// ended. Signals from the channel are passed on to it.
func (c *Client) Exec(cmd Command, files [execFiles]*os.File, signals <-chan os.Signal) (int, error) {
	if err := c.ask(request{Command: commandExec, Exec: &cmd}, files[:]...); err != nil {
		return 0, err
	}
	if _, err := c.next(); err != nil {
		return 0, err
	}
	over := make(chan struct{})
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			select {
			case s := <-signals:
				if n, is := s.(syscall.Signal); is {
					_ = c.say(more{Signal: int(n)}) // a holder that is gone has ended the command
				}
			case <-over:
				return
			}
		}
	})
	r, err := c.next()
	close(over)
	passing.Wait()
	return r.ExitStatus, err
}

// Signals are those that an exec passes on. What it answers ends that.
func Signals() (<-chan os.Signal, func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	return signals, func() { signal.Stop(signals) }
}

// Captured is what a capture came to.
type Captured struct {
	// Packets were captured; Dropped are missing because the reader was too slow.
	Packets, Dropped uint64
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
	defer context.AfterFunc(ctx, func() {
		_ = c.say(more{Stop: true}) // and if nobody hears it, it is over anyway
		// A holder that does not answer is not waited for.
		_ = c.conn.SetReadDeadline(time.Now().Add(writeTimeout))
	})()
	var sent uint64
	for {
		r, err := c.next()
		var f *Failure
		if err != nil && sent > 0 && !errors.As(err, &f) {
			return Captured{Packets: sent, Ended: true}, nil
		}
		if err != nil {
			return Captured{}, err
		}
		if r.Profile != nil {
			if err := keys(r.Profile); err != nil {
				return Captured{}, err
			}
		}
		if r.Done {
			return Captured{Packets: r.Packets, Dropped: r.Dropped, Ended: ctx.Err() == nil}, nil
		}
		if len(r.Data) > 0 {
			sent++
			if _, err := w.Write(r.Data); err != nil {
				return Captured{}, err
			}
		}
	}
}
