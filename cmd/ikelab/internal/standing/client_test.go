package standing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// testClient answers a client and its connection's other end.
func testClient(t *testing.T, ctx context.Context) (*Client, *client) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }() // one connection is all
	near, err := net.DialUnix("unix", nil, listener.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(ctx, near)
	t.Cleanup(func() {
		c.Close()
		_ = far.Close()
	})
	return c, &client{held: &Held{log: slog.New(slog.DiscardHandler)}, conn: far}
}

// TestCaptureIsAsItWasSent: what a capture's packets hold is no matter to the messages around them, and what was lost on
// the way is told apart by who lost it.
func TestCaptureIsAsItWasSent(t *testing.T) {
	t.Parallel()
	c, holder := testClient(t, t.Context())
	parts := [][]byte{[]byte("\n\n{\"done\":true}\n"), bytes.Repeat([]byte("\x00\xff\n"), 1<<20), {'\n'}}
	var sending sync.WaitGroup
	sending.Go(func() {
		err := holder.send(reply{Started: true, Profile: map[string]string{"f": "one"}}, writeTimeout)
		for _, part := range parts {
			err = errors.Join(err, holder.send(reply{Bytes: len(part)}, writeTimeout, part...))
		}
		if err != nil {
			t.Error(err)
		}
		holder.end(reply{Packets: 5, Dropped: 3, Unseen: 2, Profile: map[string]string{"f": "two"}})
	})
	var out bytes.Buffer
	var keys []string
	came, err := c.Capture(t.Context(), nil, &out, func(files map[string]string) error {
		keys = append(keys, files["f"])
		return nil
	})
	sending.Wait()
	if err != nil || came.Packets != 5 || came.Dropped != 3 || came.Unseen != 2 {
		t.Errorf("the capture came to %+v, %v", came, err)
	}
	if want := bytes.Join(parts, nil); !bytes.Equal(out.Bytes(), want) {
		t.Errorf("%d bytes arrive, want the %d that were sent", out.Len(), len(want))
	}
	if len(keys) != 2 || keys[0] != "one" || keys[1] != "two" {
		t.Errorf("keys: %q", keys)
	}
}

// TestContextEndsWaiting: who asks a holder that says nothing stops waiting with the context.
func TestContextEndsWaiting(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*Client) error{
		"status":  func(c *Client) error { _, err := c.Status(); return err },
		"do":      func(c *Client) error { _, err := c.Do("x"); return err },
		"stop":    (*Client).Stop,
		"capture": func(c *Client) error { _, err := c.Capture(c.ctx, nil, nil, nil); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		c, holder := testClient(t, ctx)
		go func() {
			_, _, _ = holder.conn.ReadFromUnix(make([]byte, 1)) // it has asked
			cancel()
		}()
		if err := ask(c); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLabThatHangs: who asks a holder that is well, of a lab that does not move any more, does not wait for ever.
func TestLabThatHangs(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*Client) error{
		"status": func(c *Client) error { _, err := c.Status(); return err },
		"do":     func(c *Client) error { _, err := c.Do("x"); return err },
	} {
		c, holder := testClient(t, t.Context())
		c.patience = 2 * heardInterval
		holder.held.patience = 2 * heardInterval
		done := holder.busy() // with what never comes to an end
		answer := make(chan error, 1)
		go func() { answer <- ask(c) }()
		select {
		case err := <-answer:
			if !errors.Is(err, ErrNoAnswer) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(hosttest.Patience):
			t.Errorf("%s waits for ever", name)
		}
		c.Close()
		done()
	}
}

// TestLateSocket: a control socket that is made again when its lab is to go keeps nobody waiting for connections.
func TestLateSocket(t *testing.T) {
	t.Parallel()
	listener := func() *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	for _, swapped := range []bool{false, true} { // before the accept loop looks, or while it waits
		h := &Held{log: slog.New(slog.DiscardHandler), ended: make(chan struct{}), listener: listener()}
		over := make(chan struct{})
		if !swapped {
			close(h.ended)
		}
		go func() {
			h.accept()
			close(over)
		}()
		if swapped {
			first := h.listening()
			close(h.ended)
			h.listenOn(listener())
			_ = first.Close()
		}
		select {
		case <-over:
		case <-time.After(hosttest.Patience):
			t.Fatalf("swapped %v: the holder waits for a connection and not for its end", swapped)
		}
	}
}

// TestStopWaitsForPacketsAlone: a capture that is stopped while its reader is slow comes to its end, however long the
// reader takes for what has come; only a holder that says nothing is not waited for.
func TestStopWaitsForPacketsAlone(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	c, holder := testClient(t, t.Context())
	c.patience = patience
	part := bytes.Repeat([]byte("x"), 2*tapBatchBytes) // more than the client has read before it writes
	var sending sync.WaitGroup
	sending.Go(func() {
		err := holder.send(reply{Started: true}, 0)
		for range 3 {
			err = errors.Join(err, holder.send(reply{Bytes: len(part)}, 0, part...))
		}
		if err != nil {
			t.Error(err)
		}
		holder.end(reply{Packets: 3})
	})
	var out bytes.Buffer
	slow := writerFunc(func(b []byte) (int, error) {
		if out.Len() == 0 {
			cancel()
			time.Sleep(patience + patience/2) // a slow reader; longer changes nothing
		}
		return out.Write(b)
	})
	came, err := c.Capture(ctx, nil, slow, nil)
	c.Close() // whoever still sends is done, too
	sending.Wait()
	if err != nil || came.Packets != 3 || came.Ended || out.Len() != 3*len(part) {
		t.Errorf("the capture came to %+v, %v, with %d bytes", came, err, out.Len())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
