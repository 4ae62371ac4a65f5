package standing

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/sim/netns"
	"github.com/ikelab/ikelab/topology"
)

const (
	// tapBytesMax bounds what waits for a reader of a capture, as it is sent to it.
	tapBytesMax = 32 << 20
	// tapBatchBytes is how much is sent at once where there is more.
	tapBatchBytes = 256 << 10
)

// taps hands the lab's packets to those who capture.
type taps struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*tap] // replaced, never changed
}

var _ sim.Tap = (*taps)(nil)

// tap is one capture. Packets are written into it as the file has them, once, by who sees them; the one who sends takes
// all that there is.
type tap struct {
	numbers [][]int       // the capture's number of a node's interface, -1 for one that is not wanted
	ready   chan struct{} // that there is something to send

	mu      sync.Mutex
	file    *capture.Writer // over waiting
	waiting batches
	spare   batches // were sent, and are written to again
	packets uint64
	dropped uint64
}

// batches are parts of a file that follow each other, all but the last tapBatchBytes long. One large buffer that grows
// would be copied and cleared by who sees the packets, on the thread that carries the lab's links.
type batches [][]byte

// bytes is how much is in them, or a little more.
func (b batches) bytes() int { return len(b) * tapBatchBytes }

// wants says whether the capture is of an interface, by its places in the plan.
func (t *tap) wants(node, iface int) bool { return t.numbers[node][iface] >= 0 }

// Packet implements sim.Tap. It never waits for a reader.
func (t *taps) Packet(at time.Duration, node, iface int, _ impair.Direction, packet []byte) {
	list := t.list.Load()
	if list == nil {
		return
	}
	for _, one := range *list {
		if one.wants(node, iface) {
			one.take(at, one.numbers[node][iface], packet)
		}
	}
}

// take keeps a packet, or counts it where too much is waiting already.
func (t *tap) take(at time.Duration, number int, packet []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting.bytes() > tapBytesMax || t.file.Packet(at, number, packet) != nil { // the only error is one of the caller's
		t.dropped++
		return
	}
	t.packets++
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// counts are the packets that were kept, and those for which there was no room.
func (t *tap) counts() (packets, dropped uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.packets, t.dropped
}

func (t *taps) change(f func([]*tap) []*tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []*tap
	if old := t.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = f(list)
	if len(list) == 0 {
		t.list.Store(nil)
		return
	}
	t.list.Store(&list)
}

func (t *taps) add(one *tap) { t.change(func(l []*tap) []*tap { return append(l, one) }) }

func (t *taps) remove(one *tap) {
	t.change(func(l []*tap) []*tap { return slices.DeleteFunc(l, func(o *tap) bool { return o == one }) })
}

// newTap chooses links, by node and interface as in "gw.wan"; none is all. Packets are stamped from the epoch on.
// interfaces are the names of those chosen, in the order of their numbers.
func newTap(plan *topology.Plan, epoch time.Time, links []string) (one *tap, interfaces []string, err error) {
	one = &tap{ready: make(chan struct{}, 1)}
	one.file = capture.NewWriter(batchesOf{one}, epoch)
	var all []string
	found := map[string]bool{}
	for _, n := range plan.Nodes {
		numbers := make([]int, len(n.Interfaces))
		for i, f := range n.Interfaces {
			name := n.Name + "." + f.Name
			all = append(all, name)
			numbers[i] = -1
			chosen := len(links) == 0
			for _, l := range links {
				// A node's name is all of its interfaces; a traversal as in the lab is taken, too.
				plain := strings.Replace(strings.TrimPrefix(l, "node."), ".interface.", ".", 1)
				if plain == name || plain == n.Name {
					chosen, found[l] = true, true
				}
			}
			if chosen {
				numbers[i] = one.file.AddInterface(name)
				interfaces = append(interfaces, name)
			}
		}
		one.numbers = append(one.numbers, numbers)
	}
	for _, l := range links {
		if !found[l] {
			return nil, nil, usage("there is no link %q (NODE.INTERFACE): %s", l, DidYouMean(l, all))
		}
	}
	return one, interfaces, nil
}

// profile is a Wireshark profile with the keys of all SAs until now, by file.
func profile(lab *netns.Lab) (map[string]string, error) {
	files := map[string]string{}
	ikeKeys, espKeys := lab.Keys()
	_, err := capture.WriteProfile(func(name string) (io.WriteCloser, error) {
		return &profileFile{name: name, into: files}, nil
	}, ikeKeys, espKeys)
	return files, err
}

type profileFile struct {
	bytes.Buffer
	name string
	into map[string]string
}

func (f *profileFile) Close() error {
	f.into[f.name] = f.String()
	return nil
}

// batchesOf writes into what waits. The caller holds the tap's mu.
type batchesOf struct{ *tap }

// Write implements io.Writer.
func (b batchesOf) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		last := len(b.waiting) - 1
		if last < 0 || len(b.waiting[last]) == tapBatchBytes {
			b.waiting = append(b.waiting, b.empty())
			last++
		}
		n := min(tapBatchBytes-len(b.waiting[last]), len(rest))
		b.waiting[last] = append(b.waiting[last], rest[:n]...)
		rest = rest[n:]
	}
	return len(p), nil
}

// empty is a batch to write to. The caller holds t.mu.
func (t *tap) empty() []byte {
	last := len(t.spare) - 1
	if last < 0 {
		return make([]byte, 0, tapBatchBytes)
	}
	b := t.spare[last]
	t.spare = t.spare[:last]
	return b[:0]
}

// pump sends what a tap gets until stop is closed, and then what still waits.
func (t *tap) pump(stop <-chan struct{}, send func([]byte) error) error {
	var sent batches
	// all sends all that waits, and at first the head, so that a reader knows at once what this is.
	all := func() error {
		t.mu.Lock()
		err := t.file.Flush()
		t.spare = append(t.spare, sent...)
		sent, t.waiting = t.waiting, sent[:0]
		t.mu.Unlock()
		for _, b := range sent {
			if err == nil {
				err = send(b)
			}
		}
		return err
	}
	for {
		if err := all(); err != nil {
			return err
		}
		select {
		case <-t.ready:
		case <-stop:
			return all()
		}
	}
}
