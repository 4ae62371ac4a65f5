//go:build linux

package host

// Held calls each for every packet that waits for an association at the moment, in the
// order of the policies and then of the packets. The bytes are the host's, whose lock is
// held: each must neither keep nor change them, nor call the host.
func (h *Host) Held(each func(packet []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.policies {
		for i := range p.held {
			each(p.held[i].bytes)
		}
	}
}
