//go:build linux

package netns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	vishns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/topology"
)

// lossy is a tunnel over a link that loses, delays, duplicates and reorders.
func lossy() string {
	return tunnel("4s", `link = {
      delay     = "5ms"
      jitter    = { distribution = "normal", sigma = "1ms" }
      loss      = { model = "gilbert-elliott", p = 0.05, r = 0.4 }
      duplicate = 0.02
      reorder   = 0.02
    }`, `
flow "call" {
  from  = node.host-a
  to    = node.host-b
  rate  = "100pps"
  size  = 200
  start = "1500ms"
  stop  = "3800ms"
}
expect "there is a tunnel" {
  condition = result.node.gw-a.connection.to-b.established
}
`)
}

// fate is what a link decided about a packet.
type fate struct {
	drop   string
	copies int
}

// decisions runs a lab and answers what was decided about each packet, by what it is.
func decisions(t *testing.T, text string) map[string]fate {
	t.Helper()
	var mu sync.Mutex
	all := map[string]fate{}
	o := run(t, load(t, text), Engine{Decided: func(d Decision) {
		mu.Lock()
		defer mu.Unlock()
		// The position in its flow of a packet that is known by its content is not
		// part of what it is.
		if d.Identity.Content != 0 {
			d.Identity.Ordinal = 0
		}
		all[fmt.Sprintf("%d.%d %v %+v", d.Node, d.Interface, d.Direction, d.Identity)] = fate{d.Drop, d.Copies}
	}}, sim.EngineOptions{})
	if o.Flows[1].Sent < 200 {
		t.Fatalf("only %d packets were sent", o.Flows[1].Sent)
	}
	return all
}

// TestSameDecisions: runs of one seed decide the same about the same packets, however
// busy the host is. (make soak runs it 50 times.)
func TestSameDecisions(t *testing.T) {
	t.Parallel()
	root(t)
	want := decisions(t, lossy())
	lost := 0
	for _, f := range want {
		if f.drop != "" {
			lost++
		}
	}
	if lost == 0 || lost == len(want) {
		t.Fatalf("%d of %d packets were lost", lost, len(want))
	}
	for range repeats(1, 49) {
		got := decisions(t, lossy())
		both := 0
		for _, id := range slices.Sorted(maps.Keys(want)) {
			f, there := got[id]
			if there {
				both++
			}
			if there && f != want[id] {
				t.Errorf("%s: %+v, then %+v", id, want[id], f)
			}
		}
		if both < len(want)*9/10 {
			t.Errorf("of %d packets only %d were there again (%d in all)", len(want), both, len(got))
		}
	}
}

// delayTap measures how long packets are on the network "left" of the lab of hosts, by
// their bytes, which nothing on the way changes.
type delayTap struct {
	entered map[string]time.Duration
	delays  []time.Duration
}

func (d *delayTap) Packet(at time.Duration, node, iface int, direction impair.Direction, packet []byte) {
	key := string(packet)
	if direction == impair.Up {
		d.entered[key] = at
	} else if begun, ok := d.entered[key]; ok {
		d.delays = append(d.delays, at-begun)
		delete(d.entered, key)
	}
}

// BenchmarkDelay: by how much an idle link of 10 ms delays more than that, between the
// box's ends of it, and from one process to another, with what two kernels and a router
// take besides.
func BenchmarkDelay(b *testing.B) {
	root(b)
	const delay = 10 * time.Millisecond
	for b.Loop() {
		r, err := sim.New(load(b, hosts), sim.Options{})
		if err != nil {
			b.Fatal(err)
		}
		tap := delayTap{entered: map[string]time.Duration{}}
		result, err := Engine{}.Run(b.Context(), r, sim.EngineOptions{Tap: &tap})
		if err != nil {
			b.Fatal(err)
		}
		var late []time.Duration
		for _, d := range tap.delays {
			if d >= delay { // the others are on the veth pair
				late = append(late, d-delay)
			}
		}
		slices.Sort(late)
		if len(late) < 100 {
			b.Fatalf("only %d packets", len(late))
		}
		b.ReportMetric(float64(late[len(late)/2].Microseconds()), "us-late-p50")
		b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "us-late-p99")
		b.ReportMetric(float64((result.Flows[2].DelayP50 - delay).Microseconds()), "us-late-process-p50")
	}
}

// TestSegments: where a link has a model the box switches, else the kernel does.
func TestSegments(t *testing.T) {
	plan := load(t, hosts)
	kind := func(standing bool) (kinds []string) {
		all, err := segments(plan, standing)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			kinds = append(kinds, fmt.Sprintf("%s %d %v %v", s.name, len(s.ends), s.switched, s.bridged))
		}
		return kinds
	}
	if d := gocmp.Diff([]string{"left 2 true false", "right 2 false false"}, kind(false)); d != "" {
		t.Errorf("of a run (-want +got):\n%s", d)
	}
	if d := gocmp.Diff([]string{"left 2 true false", "right 2 false true"}, kind(true)); d != "" {
		t.Errorf("of a standing lab (-want +got):\n%s", d)
	}
}

// TestPacketOf tells the lab's packets from what kernels say of themselves.
func TestPacketOf(t *testing.T) {
	frame := func(mac byte, kind uint16, payload ...byte) []byte {
		f := make([]byte, 14, 14+len(payload))
		f[0], f[12], f[13] = mac, byte(kind>>8), byte(kind)
		return append(f, payload...)
	}
	v4 := make([]byte, 28)
	v4[0], v4[3] = 0x45, 24 // four octets of padding follow
	v6 := make([]byte, 48)
	v6[0], v6[5], v6[6], v6[7] = 0x60, 8, 58, 255
	solicit, echo := slices.Clone(v6), slices.Clone(v6)
	solicit[40], echo[40] = 135, 128
	tests := map[string]struct {
		frame []byte
		bytes int // 0: not the lab's
	}{
		"IPv4":                {frame(2, 0x0800, v4...), 24},
		"IPv4 multicast":      {frame(1, 0x0800, v4...), 0},
		"ARP":                 {frame(2, 0x0806, v4...), 0},
		"IPv6 echo":           {frame(2, 0x86dd, echo...), 48},
		"IPv6 solicitation":   {frame(2, 0x86dd, solicit...), 0},
		"IPv4 that is cut":    {frame(2, 0x0800, v4[:12]...), 0},
		"IPv6 that is cut":    {frame(2, 0x86dd, v6[:30]...), 0},
		"no payload whatever": {frame(2, 0x0800), 0},
	}
	for name, test := range tests {
		packet, ok := packetOf(test.frame)
		if ok != (test.bytes > 0) || len(packet) != test.bytes && ok {
			t.Errorf("%s: %d bytes, %v", name, len(packet), ok)
		}
	}
}

// TestDeviceNames: names that Linux cannot have are shortened and stay apart.
func TestDeviceNames(t *testing.T) {
	n := topology.Node{Name: "n"}
	for _, name := range []string{"an-interface-with-a-long-name", "an-interface-with-a-longer-name", tunnelDevice, "lo", "all", "sit0", "eth0"} {
		n.Interfaces = append(n.Interfaces, topology.Interface{Name: name})
	}
	names := deviceNames(&n)
	seen := map[string]bool{}
	for _, name := range names {
		if len(name) > deviceNameMax || seen[name] || slices.Contains(deviceNamesTaken, name) {
			t.Errorf("device name %q", name)
		}
		seen[name] = true
	}
	if names[6] != "eth0" {
		t.Errorf("eth0 is called %q", names[6])
	}
}

// TestTravels: frames arrive in the order of their instants, and of one instant in the
// order in which they left.
func TestTravels(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var all travels
		var want []travelling
		take := func(now time.Duration) {
			slices.SortStableFunc(want, func(a, b travelling) int { return cmp.Compare(a.at, b.at) })
			for len(want) > 0 && want[0].at <= now {
				f, ok := all.pop(now)
				if !ok || f.at != want[0].at || f.frame[0] != want[0].frame[0] {
					r.Fatalf("%+v, %v instead of %+v", f, ok, want[0])
				}
				want = want[1:]
			}
			if f, ok := all.pop(now); ok {
				r.Fatalf("%+v is not due at %v", f, now)
			}
		}
		for i := range rapid.IntRange(1, 200).Draw(r, "frames") {
			f := travelling{at: time.Duration(rapid.IntRange(0, 20).Draw(r, "at")), frame: []byte{byte(i)}}
			all.add(f)
			want = append(want, f)
			if rapid.IntRange(0, 9).Draw(r, "take") == 0 {
				take(time.Duration(rapid.IntRange(0, 20).Draw(r, "now")))
			}
		}
		take(20)
	})
}

// TestCarrier: a node is told that its link has been pulled, also when it is plugged in
// again at once, and many times.
func TestCarrier(t *testing.T) {
	t.Parallel()
	root(t)
	r, err := sim.New(load(t, hosts), sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := Create(r, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	done, updates := make(chan struct{}), make(chan netlink.LinkUpdate, 1000)
	defer func() {
		close(done)
		for range updates { // until the subscription has ended
		}
	}()
	at := vishns.NsHandle(l.Namespace(0).Fd())
	if err := netlink.LinkSubscribeAt(at, updates, done); err != nil {
		t.Fatal(err)
	}
	patience := time.After(hosttest.Patience)
	for range 5 {
		for _, up := range []bool{false, true} {
			if err := l.plug(endpoint{0, 0}, up); err != nil {
				t.Fatal(err)
			}
		}
		for down := false; !down; {
			select {
			case u := <-updates:
				down = u.Attrs().Name == "eth0" && u.Attrs().RawFlags&unix.IFF_LOWER_UP == 0
			case <-patience:
				t.Fatal("nobody was told")
			}
		}
	}
}
