package standing

import (
	"errors"
	"net"
	"time"
)

// accept takes connections until the lab is to go. Where there is no room, of connections or of descriptors, those that
// say nothing make it.
func (h *Held) accept() {
	pause := acceptPauseMin
	for {
		select {
		case <-h.ended:
			return
		default:
		}
		conn, err := h.listening().AcceptUnix()
		select {
		case <-h.ended:
			if err == nil {
				_ = conn.Close() // it would be told the same
			}
			return
		default:
		}
		if err != nil {
			if !errors.Is(err, net.ErrClosed) { // by keep, which has made another one
				h.log.Error("control socket", "error", err)
				h.evict()
			}
			select {
			case <-time.After(pause):
				pause = min(2*pause, acceptPauseMax)
			case <-h.ended:
				return
			}
			continue
		}
		pause = acceptPauseMin
		c := &client{held: h, conn: conn, since: time.Now()}
		for !h.admit(c) {
			h.evict()
			select {
			case <-time.After(acceptPauseMin):
			case <-h.ended:
				_ = conn.Close()
				return
			}
		}
		h.clients.Go(func() {
			defer h.dismiss(c)
			c.serve()
		})
	}
}

// The time between two attempts to take connections, where the host has no room for them.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// admit takes note of a client, if there is room for it.
func (h *Held) admit(c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.conns) >= connsMax {
		return false
	}
	h.conns[c] = struct{}{}
	return true
}

// dismiss forgets a client.
func (h *Held) dismiss(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// evict closes the connection that has been here longest without asking for anything.
func (h *Held) evict() {
	h.mu.Lock()
	defer h.mu.Unlock()
	var oldest *client
	for c := range h.conns {
		if !c.asked && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest != nil {
		oldest.asked = true // once is enough
		_ = oldest.conn.Close()
	}
}
