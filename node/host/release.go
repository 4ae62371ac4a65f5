//go:build linux

package host

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// releaser sends what does not come from the TUN device's worker: packets that have
// waited for an association, and those that leave in clear.
type releaser struct {
	clear4, clear6 *socket

	// queue has the packets that an association has been found for, in order; queued
	// guards it, and is taken last of all locks.
	queued sync.Mutex
	queue  []released
	wake   chan struct{}
	// waiting is true while the queue has packets, or had some that are on their way.
	waiting atomic.Bool
	// sending is held from taking packets out of the queue until they have left. It is
	// taken before all other locks.
	sending sync.Mutex
	worker  *outWorker
}

// released is a packet for an association.
type released struct {
	association *association
	bytes       []byte
}

// openRelease makes the raw sockets of the way in clear. The lock is held.
func (h *Host) openRelease() error {
	h.release.wake = make(chan struct{}, 1)
	h.release.worker = newOutWorker(h)
	var err error
	if h.release.clear4, err = h.openClear(unix.AF_INET); err == nil && slices.Contains(h.families, unix.AF_INET6) {
		h.release.clear6, err = h.openClear(unix.AF_INET6)
	}
	return err
}

func (r *releaser) close() {
	for _, s := range []*socket{r.clear4, r.clear6} {
		if s != nil {
			s.close()
		}
	}
}

// send queues a packet for an association. It leaves in a moment, and before whatever
// comes out of the TUN device from now on: the host's lock is held, and who seals and
// sends must not wait for it.
func (r *releaser) send(a *association, packet []byte) {
	r.queued.Lock()
	r.queue = append(r.queue, released{a, packet})
	r.waiting.Store(true)
	r.queued.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run sends what is queued while the worker of the TUN device has nothing to do.
func (r *releaser) run(h *Host) {
	defer h.workers.Done()
	for {
		select {
		case <-r.wake:
			r.drain(h)
		case <-h.stopped:
			return
		}
	}
}

// drain seals and sends everything that is queued, or waits until somebody else has. The
// host's lock is not held.
func (r *releaser) drain(h *Host) {
	if !r.waiting.Load() {
		return
	}
	r.sending.Lock()
	defer r.sending.Unlock()
	for {
		r.queued.Lock()
		queue := r.queue
		r.queue = nil
		if len(queue) == 0 {
			r.waiting.Store(false)
		}
		r.queued.Unlock()
		if len(queue) == 0 {
			return
		}
		r.worker.begin()
		for i := range queue {
			r.worker.takeReleased(&queue[i])
		}
		r.worker.flush()
		r.worker.leave()
	}
}

// takeReleased sorts a packet into the batch, which is sent when it is full.
func (w *outWorker) takeReleased(p *released) {
	if w.used+headroomBytes+len(p.bytes)+tailBytes > len(w.arena) || len(w.packets) == batchPacketsMax {
		w.flush()
	}
	if !readHeader(p.bytes, &w.view) {
		w.view = headerView{}
		if p.bytes[0]>>4 == 6 {
			w.view.key.kind = flowV6
		}
	}
	copy(w.add(p.association, 0, len(p.bytes)), p.bytes)
}
