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
	// tapPacketsMax and tapBytesMax bound what waits for a reader of a capture.
	tapPacketsMax = 32768
	tapBytesMax   = 32 << 20
	// tapBatchBytes is about how much is sent at once where there is more.
	tapBatchBytes = 256 << 10
)

// taps hands the lab's packets to those who capture.
type taps struct {
	mu   sync.Mutex
	list atomic.Pointer[[]*tap] // replaced, never changed
}

var _ sim.Tap = (*taps)(nil)

// tap is one capture.
type tap struct {
	numbers [][]int // the capture's number of a node's interface, -1 for one that is not wanted
	queue   chan tapped
	waiting atomic.Int64 // bytes
	dropped atomic.Uint64
}

type tapped struct {
	at     time.Duration
	number int
	packet []byte
}

// Packet implements sim.Tap. It never waits.
func (t *taps) Packet(at time.Duration, node, iface int, _ impair.Direction, packet []byte) {
	list := t.list.Load()
	if list == nil {
		return
	}
	for _, one := range *list {
		number := one.numbers[node][iface]
		if number < 0 {
			continue
		}
		if one.waiting.Load() > tapBytesMax {
			one.dropped.Add(1)
			continue
		}
		select {
		case one.queue <- tapped{at, number, slices.Clone(packet)}:
			one.waiting.Add(int64(len(packet)))
		default:
			one.dropped.Add(1)
		}
	}
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

// newTap chooses links, by node and interface as in "gw.wan"; none is all. Interfaces gets their names, in the
// order of their numbers.
func newTap(plan *topology.Plan, links []string) (one *tap, interfaces []string, err error) {
	one = &tap{queue: make(chan tapped, tapPacketsMax)}
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
				numbers[i] = len(interfaces)
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

// pump sends what a tap gets until stop is closed, and then what still waits. It answers how many packets it sent.
func (t *tap) pump(epoch time.Time, interfaces []string, stop <-chan struct{}, send func([]byte) error) (packets uint64, err error) {
	var out bytes.Buffer
	w := capture.NewWriter(&out, epoch)
	for _, name := range interfaces {
		w.AddInterface(name)
	}
	flush := func() error {
		if err := w.Flush(); err != nil || out.Len() == 0 {
			return err
		}
		err := send(out.Bytes())
		out.Reset()
		return err
	}
	if err := flush(); err != nil { // the head, so that a reader knows at once what this is
		return 0, err
	}
	take := func(p tapped) error {
		t.waiting.Add(-int64(len(p.packet)))
		packets++
		return w.Packet(p.at, p.number, p.packet)
	}
	for {
		select {
		case p := <-t.queue:
			err = take(p)
		case <-stop:
			for err == nil {
				select {
				case p := <-t.queue:
					err = take(p)
					continue
				default:
				}
				break
			}
			if err == nil {
				err = flush()
			}
			return packets, err
		}
		for more := true; more && err == nil && out.Len() < tapBatchBytes; {
			select {
			case p := <-t.queue:
				err = take(p)
			default:
				more = false
			}
		}
		if err == nil {
			err = flush()
		}
		if err != nil {
			return packets, err
		}
	}
}
