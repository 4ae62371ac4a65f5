//go:build linux

package netns

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
)

// seenAt counts what a tap is shown by interface, and the longest packet of all.
type seenAt struct {
	mu      sync.Mutex
	packets map[endpoint]int
	longest int
}

// Packet implements sim.Tap.
func (s *seenAt) Packet(_ time.Duration, node, iface int, _ impair.Direction, packet []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packets[endpoint{node, iface}]++
	s.longest = max(s.longest, len(packet))
}

// take returns what was seen since it was last called.
func (s *seenAt) take() map[endpoint]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.packets
	s.packets = map[endpoint]int{}
	return seen
}

// TestTappingCostsNobodyElse: who captures a link of a lab that stands gets its packets, and nobody looks at any other;
// one who comes later takes nothing away; and where somebody looks, the kernel still sends segments whole.
func TestTappingCostsNobodyElse(t *testing.T) {
	root(t)
	privateState(t)
	ping := hosttest.Program(t, "ping")
	plan := load(t, `
lab "tapping" { duration = "1h" }
network "n" { prefix = "10.0.0.0/24" }
network "m" { prefix = "10.0.1.0/24" }
node "a" {
  implementation = "host"
  interface "e" { network = network.n }
}
node "r" {
  implementation = "host"
  interface "n" { network = network.n }
  interface "m" { network = network.m }
}
node "b" {
  implementation = "host"
  interface "e" { network = network.m }
}
`)
	r, err := sim.New(plan, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := &seenAt{packets: map[endpoint]int{}}
	l, err := Create(r, Options{Standing: true, Tap: seen})
	if err != nil {
		t.Fatal(err)
	}
	l.Start()
	ctx, stop := context.WithCancel(t.Context())
	var driving sync.WaitGroup
	driving.Go(func() { _, _ = l.Drive(ctx, nil) }) // ends with the context
	defer func() {
		stop()
		driving.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	to := plan.Nodes[2].Interfaces[0].Addresses[0].Addr().String()
	// send sends packets and waits until every interface of want has seen theirs, of either direction.
	send := func(want ...endpoint) {
		t.Helper()
		cmd := exec.Command(ping, "-c", "3", "-i", "0.01", "-s", "1200", to)
		started, err := l.Exec(0, cmd)
		if err != nil {
			t.Fatal(err)
		}
		if status := started.Wait(); status != 0 {
			t.Fatalf("ping ends with %d", status)
		}
		for deadline := time.Now().Add(hosttest.Patience); ; time.Sleep(10 * time.Millisecond) {
			seen.mu.Lock()
			all := true
			for _, at := range want {
				all = all && seen.packets[at] >= 6
			}
			seen.mu.Unlock()
			if all || time.Now().After(deadline) {
				break
			}
		}
		got := seen.take()
		if len(got) != len(want) {
			t.Errorf("seen at %v, want %v", got, want)
		}
		for _, at := range want {
			if got[at] != 6 {
				t.Errorf("at %v %d packets are seen, want 6", at, got[at])
			}
		}
	}
	tap := func(on bool, at endpoint) {
		t.Helper()
		if err := l.Tapping(on, func(node, iface int) bool { return at == endpoint{node, iface} }); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(n, i int) {
		t.Helper()
		link, err := l.stations[n].handle.LinkByIndex(l.stations[n].links[i].Attrs().Index)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := int(link.Attrs().GSOMaxSegs), segmentsWatched(); got < want {
			t.Errorf("interface %d of node %d is given %d segments at a time, want %d", i, n, got, want)
		}
	}
	a, left, right := endpoint{0, 0}, endpoint{1, 0}, endpoint{1, 1}
	send()
	tap(true, left)
	send(left)
	whole(1, 0)
	tap(true, right)
	send(left, right)
	tap(true, left) // a second one
	tap(true, a)
	send(left, right, a)
	tap(false, left)
	tap(false, right)
	send(left, a)
	tap(false, left)
	tap(false, a)
	send()
	for n, w := range l.watchers {
		if w != nil {
			t.Errorf("somebody still looks at node %s", fmt.Sprint(plan.Nodes[n].Name))
		}
	}
}
