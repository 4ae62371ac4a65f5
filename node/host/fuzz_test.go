//go:build linux

package host

import (
	"bytes"
	"testing"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/ikelab/ikelab/node/host/offload/offloadtest"
)

// FuzzFrame gives frames of any kind to the outbound side: nothing may panic, and what
// is cut stays inside its buffers.
func FuzzFrame(f *testing.F) {
	f.Add(frameOf(f, 3000))
	f.Add(frameOf(f, 10)[:30])
	for _, v6 := range []bool{false, true} {
		p := offloadtest.WholePacket(f, v6, true, make([]byte, 100), nil)
		f.Add(append([]byte{1, 5, 0, 0, 7, 0, 40, 0, 6, 0}, p...))
		f.Add(append(make([]byte, offload.HeaderBytes), p...))
	}
	l := newLoop(f, true)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > frameBytesMax {
			return
		}
		w := l.out
		w.begin()
		defer w.leave()
		w.take(bytes.Clone(frame))
		for i := range w.packets {
			p := &w.packets[i]
			if p.at < headroomBytes || p.at+p.size+tailBytes > len(w.arena) {
				t.Fatalf("packet %d lies at %d to %d", i, p.at, p.at+p.size)
			}
		}
		w.used, w.packets = 0, w.packets[:0]
		w.grouper.reset()
	})
}

// FuzzInner gives what may come out of a tunnel to the inbound side, twice, so that the
// second may join the first.
func FuzzInner(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for _, udp := range []bool{false, true} {
			p := offloadtest.WholePacket(f, v6, udp, make([]byte, 50), nil)
			f.Add(p, p)
			q := offloadtest.Cut(f, bytes.Clone(p), offloadtest.VirtioFor(p, udp, 20))
			f.Add(q[0], q[1])
		}
	}
	l := newLoop(f, true)
	a := l.h.sas.all[0]
	f.Fuzz(func(_ *testing.T, first, second []byte) {
		w := l.in
		w.take()
		defer w.leave()
		for _, b := range [][]byte{bytes.Clone(first), bytes.Clone(second)} {
			next := uint8(4)
			if len(b) > 0 && b[0]>>4 == 6 {
				next = 41
			}
			if reason, slow := w.checkInner(a, b, next); reason == "" {
				w.writer.add(b[:w.view.bytes], &w.view, slow)
			}
		}
		w.writer.flush()
	})
}

// FuzzReports gives anything at all to the parsers of what the kernel reports and packets
// are quoted in. Links and addresses are netlink's own parsers' affair.
func FuzzReports(f *testing.F) {
	f.Add([]byte{12, 0, 4, 0, 0, 0, 0, 1})
	f.Add(append([]byte{104, 0, 9, 0}, offloadtest.WholePacket(f, false, true, make([]byte, 72), nil)...))
	h := &Host{cfg: Config{Node: node.Config{Interfaces: []node.Interface{{Name: "a"}}}}, interfaces: []attachment{{name: "a", device: "a", index: 1}}}
	f.Fuzz(func(_ *testing.T, b []byte) {
		h.refusedByFilter(b)
		eachControl(b, func(int32, int32, int) {})
		_ = parseSockaddr(b)
	})
}
