package impair

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/dchest/siphash"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// testDraw is a keyed draw as sim/seed makes one; impair may not import that package.
func testDraw(seed uint64) Draw {
	return func(link string, dir Direction, effect Effect, id Identity) uint64 {
		b := fmt.Appendf(nil, "%s|%d|%s|%s|", link, dir, effect, id.Flow)
		b = binary.LittleEndian.AppendUint64(b, id.Ordinal)
		b = binary.LittleEndian.AppendUint64(b, id.Content)
		b = binary.LittleEndian.AppendUint32(b, id.Retransmission)
		return siphash.Hash(seed, 0x696b656c6162, b)
	}
}

// packet is the n-th packet of a flow.
func packet(flow string, n uint64, bytes int) Packet {
	return Packet{Identity: Identity{Flow: flow, Ordinal: n}, Bytes: make([]byte, bytes)}
}

func TestLinkStep(t *testing.T) {
	const ms = time.Millisecond
	type arrival struct {
		Sent  int // which packet
		At    Dur
		Bytes int
	}
	type send struct {
		at    Dur
		bytes int
	}
	tests := []struct {
		name  string
		cfg   LinkConfig
		send  []send
		want  []arrival
		drops []string // one per packet
	}{
		{
			name:  "the zero link delivers at once",
			send:  []send{{3 * ms, 100}},
			want:  []arrival{{0, 3 * ms, 100}},
			drops: []string{""},
		},
		{
			name:  "delay",
			cfg:   LinkConfig{Delay: 20 * ms},
			send:  []send{{0, 100}, {1 * ms, 1}},
			want:  []arrival{{0, 20 * ms, 100}, {1, 21 * ms, 1}},
			drops: []string{"", ""},
		},
		{
			name:  "at 8 Mbit/s a kilobyte takes a millisecond, and the next one waits",
			cfg:   LinkConfig{Delay: 5 * ms, RateBitsPerSecond: 8_000_000},
			send:  []send{{0, 1000}, {0, 1000}, {10 * ms, 500}},
			want:  []arrival{{0, 6 * ms, 1000}, {1, 7 * ms, 1000}, {2, 15*ms + ms/2, 500}},
			drops: []string{"", "", ""},
		},
		{
			name: "the queue is full at two packets, the one in transmission among them",
			cfg:  LinkConfig{RateBitsPerSecond: 8_000_000, Queue: Queue{LimitPackets: 2}},
			send: []send{{0, 1000}, {0, 1000}, {0, 1000}, {1 * ms, 1000}},
			want: []arrival{{0, 1 * ms, 1000}, {1, 2 * ms, 1000}, {3, 3 * ms, 1000}},
			drops: []string{
				"", "", DropQueuePackets, "",
			},
		},
		{
			name:  "the queue is full at 1500 bytes, and a small packet still fits",
			cfg:   LinkConfig{RateBitsPerSecond: 8_000_000, Queue: Queue{LimitBytes: 1500}},
			send:  []send{{0, 1000}, {0, 1000}, {0, 500}, {1 * ms, 1000}},
			want:  []arrival{{0, 1 * ms, 1000}, {2, ms + ms/2, 500}, {3, 2*ms + ms/2, 1000}},
			drops: []string{"", DropQueueBytes, "", ""},
		},
		{
			name:  "the queue is full when a packet would wait longer than a millisecond",
			cfg:   LinkConfig{RateBitsPerSecond: 8_000_000, Queue: Queue{LimitDelay: 1 * ms}},
			send:  []send{{0, 1000}, {0, 1000}, {0, 1000}},
			want:  []arrival{{0, 1 * ms, 1000}, {1, 2 * ms, 1000}},
			drops: []string{"", "", DropQueueDelay},
		},
		{
			name:  "what does not fit is dropped",
			cfg:   LinkConfig{MTUBytes: 1280},
			send:  []send{{0, 1280}, {0, 1281}},
			want:  []arrival{{0, 0, 1280}},
			drops: []string{"", DropMTU},
		},
		{
			name:  "certain loss loses everything, after it has taken its time on the wire",
			cfg:   LinkConfig{RateBitsPerSecond: 8_000_000, Loss: Loss{Model: LossRandom, P: 1}},
			send:  []send{{0, 1000}},
			drops: []string{DropLoss},
		},
		{
			name:  "certain duplication delivers twice",
			cfg:   LinkConfig{Delay: 1 * ms, Duplicate: 1},
			send:  []send{{0, 100}},
			want:  []arrival{{0, 1 * ms, 100}, {0, 1 * ms, 100}},
			drops: []string{""},
		},
		{
			name:  "certain reordering skips the delay but not the rate",
			cfg:   LinkConfig{Delay: 50 * ms, Reorder: 1, RateBitsPerSecond: 8_000_000},
			send:  []send{{0, 1000}},
			want:  []arrival{{0, 1 * ms, 1000}},
			drops: []string{""},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			l := NewLink(test.cfg, testDraw(1))
			var got []arrival
			var drops []string
			for i, s := range test.send {
				deliveries, drop := l.Step(s.at, Up, packet("f", uint64(i), s.bytes))
				for _, d := range deliveries {
					got = append(got, arrival{int(d.Packet.Identity.Ordinal), d.At, len(d.Packet.Bytes)})
				}
				drops = append(drops, drop)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.drops, drops); diff != "" {
				t.Errorf("drops (-want +got):\n%s", diff)
			}
		})
	}
}

// A pulled link drops; what was on its way when it was pulled had its delivery already.
func TestLinkDown(t *testing.T) {
	l := NewLink(LinkConfig{}, testDraw(1))
	l.SetUp(false)
	if got, drop := l.Step(0, Down, packet("f", 0, 100)); len(got) != 0 || drop != DropLinkDown || l.Up() {
		t.Errorf("down: %v, %q", got, drop)
	}
	l.SetUp(true)
	if got, drop := l.Step(0, Down, packet("f", 1, 100)); len(got) != 1 || drop != "" || !l.Up() {
		t.Errorf("up again: %v, %q", got, drop)
	}
}

// Each direction has a transmitter of its own.
func TestDirectionsDoNotQueueBehindEachOther(t *testing.T) {
	l := NewLink(LinkConfig{RateBitsPerSecond: 8_000_000}, testDraw(1))
	for _, dir := range []Direction{Up, Down} {
		got, _ := l.Step(0, dir, packet("f", 0, 1000))
		if got[0].At != time.Millisecond {
			t.Errorf("%v: the first packet leaves at %v", dir, got[0].At)
		}
	}
}

// A long train of packets leaves at exactly the configured rate, although no packet's time is a whole number
// of nanoseconds.
func TestRateIsExact(t *testing.T) {
	const (
		rate    = 3_000_000_000
		bytes   = 64 // 170⅔ ns
		packets = 30_000
	)
	l := NewLink(LinkConfig{RateBitsPerSecond: rate, Queue: Queue{LimitPackets: packets}}, testDraw(1))
	var last Dur
	for i := range uint64(packets) {
		got, drop := l.Step(0, Up, packet("f", i, bytes))
		if drop != "" {
			t.Fatal(drop)
		}
		last = got[0].At
	}
	if want := Dur(packets * bytes * 8 * 1e9 / rate); last != want {
		t.Errorf("the last packet leaves at %d ns; %d packets take %d ns", last, packets, want)
	}
}

// The share of packets that meet an effect is the configured probability: within four standard deviations of
// the binomial distribution, on fixed seeds.
func TestFrequencies(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	const n = 200_000
	within := func(t *testing.T, what string, got int, p float64) {
		t.Helper()
		if slack := 4 * math.Sqrt(n*p*(1-p)); math.Abs(float64(got)-n*p) > slack {
			t.Errorf("%s: %d of %d; want %.0f ± %.0f", what, got, n, n*p, slack)
		}
	}
	for _, p := range []float64{0, 0.001, 0.05, 0.5, 0.999, 1} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			l := NewLink(LinkConfig{Name: "l", Loss: Loss{Model: LossRandom, P: p}}, testDraw(7))
			effects := NewLink(LinkConfig{Name: "e", Delay: time.Second, Duplicate: p, Reorder: p, Corrupt: p}, testDraw(7))
			var lost, duplicated, reordered, corrupted int
			for i := range uint64(n) {
				if _, drop := l.Step(0, Up, packet("f", i, 8)); drop != "" {
					lost++
				}
				got, _ := effects.Step(0, Up, packet("f", i, 8))
				if len(got) == 2 {
					duplicated++
				}
				if got[0].At == 0 {
					reordered++
				}
				if binary.BigEndian.Uint64(got[0].Packet.Bytes) != 0 {
					corrupted++
				}
			}
			within(t, "lost", lost, p)
			within(t, "duplicated", duplicated, p)
			within(t, "reordered", reordered, p)
			within(t, "corrupted", corrupted, p)
		})
	}
}

// Corruption flips exactly one bit and finds every bit of the packet.
func TestCorruptFlipsEveryBitOnce(t *testing.T) {
	l := NewLink(LinkConfig{Corrupt: 1, Duplicate: 1}, testDraw(3))
	seen := map[uint64]int{}
	for i := range uint64(64 * 40) {
		got, _ := l.Step(0, Up, packet("f", i, 8))
		v := binary.BigEndian.Uint64(got[0].Packet.Bytes)
		if v == 0 || v&(v-1) != 0 {
			t.Fatalf("packet %d: %064b; want one bit", i, v)
		}
		if w := binary.BigEndian.Uint64(got[1].Packet.Bytes); w != v {
			t.Fatalf("packet %d: the duplicate has %064b, the original %064b", i, w, v)
		}
		got[0].Packet.Bytes[0]++ // the copies share no bytes
		if w := binary.BigEndian.Uint64(got[1].Packet.Bytes); w != v {
			t.Fatal("the duplicate shares the original's bytes")
		}
		seen[v]++
	}
	if len(seen) != 64 {
		t.Errorf("%d of 64 bits were ever flipped", len(seen))
	}
}

// The jitter's mean and standard deviation are what the configuration says, and its range what the
// documentation says.
func TestJitterMoments(t *testing.T) {
	const (
		n     = 200_000
		delay = time.Second
		sigma = 10 * time.Millisecond
	)
	tests := []struct {
		distribution Distribution
		deviation    float64 // in sigma
		slack        float64
		least, most  float64
		median       float64
	}{
		{"", 1 / math.Sqrt(3), 0.005, -1, 1, 0},
		{Uniform, 1 / math.Sqrt(3), 0.005, -1, 1, 0},
		{Normal, 1, 0.01, -3.7, 3.7, 0},
		// Heavy tails converge slowly; the median of a Pareto distribution of shape 3 is well below its mean.
		{Pareto, 1, 0.04, -0.65, 24, -0.31},
	}
	for _, test := range tests {
		t.Run(string(test.distribution), func(t *testing.T) {
			l := NewLink(LinkConfig{Delay: delay, Jitter: Jitter{Distribution: test.distribution, Sigma: sigma}}, testDraw(11))
			var sum, squares float64
			below := 0
			least, most := math.Inf(1), math.Inf(-1)
			for i := range uint64(n) {
				got, _ := l.Step(0, Up, packet("f", i, 8))
				x := float64(got[0].At-delay) / float64(sigma)
				sum += x
				squares += x * x
				least, most = min(least, x), max(most, x)
				if x < test.median {
					below++
				}
			}
			mean := sum / n
			deviation := math.Sqrt(squares/n - mean*mean)
			if math.Abs(mean) > 0.01 {
				t.Errorf("mean %.4f sigma; want 0", mean)
			}
			if math.Abs(deviation-test.deviation) > test.slack {
				t.Errorf("standard deviation %.4f sigma; want %.4f", deviation, test.deviation)
			}
			if least < test.least || most > test.most || most < 0.9*test.most && test.distribution != Pareto {
				t.Errorf("from %.3f to %.3f sigma; want within %.2f to %.2f", least, most, test.least, test.most)
			}
			if share := float64(below) / n; math.Abs(share-0.5) > 0.01 {
				t.Errorf("%.3f of the delays are below the median", share)
			}
		})
	}
}

// A delay never becomes negative, whatever the jitter.
func TestDelayIsNeverNegative(t *testing.T) {
	for _, d := range []Distribution{Uniform, Normal, Pareto} {
		l := NewLink(LinkConfig{Delay: time.Millisecond, Jitter: Jitter{Distribution: d, Sigma: time.Second}}, testDraw(5))
		atOnce := 0
		for i := range uint64(1000) {
			got, _ := l.Step(time.Hour, Up, packet("f", i, 8))
			if got[0].At < time.Hour {
				t.Fatalf("%s: packet %d arrives %v before it was sent", d, i, time.Hour-got[0].At)
			}
			if got[0].At == time.Hour {
				atOnce++
			}
		}
		if atOnce < 300 {
			t.Errorf("%s: only %d of 1000 delays were cut at 0; the test does not test what it says", d, atOnce)
		}
	}
}

// Jitter reorders like netem's, unless KeepOrder says not to.
func TestKeepOrder(t *testing.T) {
	overtaken := func(keep bool) (n int) {
		l := NewLink(LinkConfig{
			Delay:  10 * time.Millisecond,
			Jitter: Jitter{Distribution: Normal, Sigma: 2 * time.Millisecond, KeepOrder: keep},
		}, testDraw(5))
		var last Dur
		for i := range uint64(1000) {
			got, _ := l.Step(Dur(i)*time.Millisecond, Up, packet("f", i, 8))
			if got[0].At < last {
				n++
			}
			last = max(last, got[0].At)
		}
		return n
	}
	if n := overtaken(false); n < 100 {
		t.Errorf("without keep_order %d of 1000 packets are overtaken; 2 ms of jitter and 1 ms between packets make many", n)
	}
	if n := overtaken(true); n != 0 {
		t.Errorf("with keep_order %d packets are overtaken", n)
	}
}

// fates records what happened to packets, by identity.
type fate struct {
	Drop  string
	Delay []Dur
	Bytes []byte
}

// A packet's fate depends on what it is, not on what else is on the link or in which order it came; and what
// another link is or does is of no concern.
func TestFateIsOfThePacketAlone(t *testing.T) {
	cfg := LinkConfig{
		Name:      "gw.wan",
		Delay:     10 * time.Millisecond,
		Jitter:    Jitter{Distribution: Pareto, Sigma: 3 * time.Millisecond},
		Duplicate: 0.2, Reorder: 0.2, Corrupt: 0.2,
	}
	losses := []Loss{
		{Model: LossRandom, P: 0.3},
		{Model: LossGilbertElliott, P: 0.1, R: 0.3, DeliverBad: 0.2, LossGood: 0.1},
		{Model: LossGilbertElliott, P: 0.9, R: 0.8},
		{Model: LossGilbertElliott, P: 0.001, R: 0.002},
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := cfg
		cfg.Loss = rapid.SampledFrom(losses).Draw(t, "loss")
		seed := rapid.Uint64().Draw(t, "seed")
		packets := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) Identity {
			return Identity{
				Flow:           rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "flow"),
				Ordinal:        rapid.Uint64Range(0, 300).Draw(t, "ordinal"),
				Content:        rapid.SampledFrom([]uint64{0, 0, 77, 78}).Draw(t, "content"),
				Retransmission: rapid.Uint32Range(0, 5).Draw(t, "retransmission"),
			}
		}), 1, 60, rapid.ID).Draw(t, "packets")
		run := func(l *Link, order []Identity) map[Identity]fate {
			fates := map[Identity]fate{}
			for i, id := range order {
				now := Dur(i) * time.Second
				got, drop := l.Step(now, Up, Packet{Identity: id, Bytes: make([]byte, 16)})
				f := fate{Drop: drop}
				for _, d := range got {
					f.Delay = append(f.Delay, d.At-now)
					f.Bytes = append(f.Bytes, d.Packet.Bytes...)
				}
				fates[id] = f
			}
			return fates
		}
		inOrder := run(NewLink(cfg, testDraw(seed)), packets)
		shuffled := run(NewLink(cfg, testDraw(seed)), rapid.Permutation(packets).Draw(t, "order"))
		if diff := cmp.Diff(inOrder, shuffled); diff != "" {
			t.Fatalf("another order gives other fates (-first +second):\n%s", diff)
		}
		for _, id := range packets {
			alone := run(NewLink(cfg, testDraw(seed)), []Identity{id})
			if diff := cmp.Diff(inOrder[id], alone[id]); diff != "" {
				t.Fatalf("%+v alone has another fate (-among others +alone):\n%s", id, diff)
			}
		}
	})
}

// A packet known by its content keeps its fate wherever it comes in its flow.
func TestFateOfContentIgnoresThePlaceInTheFlow(t *testing.T) {
	l := NewLink(LinkConfig{Name: "l", Loss: Loss{Model: LossRandom, P: 0.5}}, testDraw(1))
	for content := range uint64(50) {
		var fates [2]string
		for place := range fates {
			_, fates[place] = l.Step(0, Up, Packet{Identity: Identity{Flow: "f", Ordinal: uint64(place), Content: content + 1}})
		}
		if fates[0] != fates[1] {
			t.Errorf("content %d: %q first in its flow, %q second", content, fates[0], fates[1])
		}
	}
}

// The two arrivals of a duplicated packet have delays of their own.
func TestDuplicatesHaveTheirOwnDelay(t *testing.T) {
	l := NewLink(LinkConfig{Delay: time.Second, Jitter: Jitter{Sigma: time.Millisecond}, Duplicate: 1}, testDraw(1))
	got, _ := l.Step(0, Up, packet("f", 0, 8))
	if got[0].At == got[1].At {
		t.Errorf("both arrive at %v", got[0].At)
	}
}

// Delays are not confined to the tables' knots.
func TestJitterIsFine(t *testing.T) {
	const n = 20_000
	for _, d := range []Distribution{Uniform, Normal, Pareto} {
		l := NewLink(LinkConfig{Delay: time.Minute, Jitter: Jitter{Distribution: d, Sigma: time.Second}}, testDraw(1))
		seen := map[Dur]bool{}
		for i := range uint64(n) {
			got, _ := l.Step(0, Up, packet("f", i, 8))
			seen[got[0].At] = true
		}
		if len(seen) < n/2 {
			t.Errorf("%s: %d different delays among %d", d, len(seen), n)
		}
	}
}

// Links that differ in nothing but the name, and the directions of one link, decide independently: of 1000
// packets lost by half on each, about a quarter is lost on both.
func TestLinksAndDirectionsAreIndependent(t *testing.T) {
	const n = 10_000
	loss := Loss{Model: LossRandom, P: 0.5}
	a := NewLink(LinkConfig{Name: "a", Loss: loss}, testDraw(1))
	b := NewLink(LinkConfig{Name: "b", Loss: loss}, testDraw(1))
	var bothLinks, bothWays int
	for i := range uint64(n) {
		_, up := a.Step(0, Up, packet("f", i, 8))
		_, down := a.Step(0, Down, packet("f", i, 8))
		_, other := b.Step(0, Up, packet("f", i, 8))
		if up != "" && other != "" {
			bothLinks++
		}
		if up != "" && down != "" {
			bothWays++
		}
	}
	for what, got := range map[string]int{"both links": bothLinks, "both directions": bothWays} {
		if got < n/4-200 || got > n/4+200 {
			t.Errorf("%d of %d packets are lost on %s; want about %d", got, n, what, n/4)
		}
	}
}

// A delay or loss draws nothing for the effects that the link does not have.
func TestPlainLinkDrawsNothing(t *testing.T) {
	l := NewLink(LinkConfig{Delay: time.Millisecond, RateBitsPerSecond: 1_000_000}, func(_ string, _ Direction, e Effect, _ Identity) uint64 {
		t.Fatalf("drew for %s", e)
		return 0
	})
	l.Step(0, Up, packet("f", 0, 100))
}

// Draws is true of the links that draw, and of no other.
func TestDraws(t *testing.T) {
	for name, cfg := range map[string]LinkConfig{
		"nothing":         {},
		"delay":           {Delay: time.Millisecond},
		"rate and MTU":    {RateBitsPerSecond: 1_000_000, MTUBytes: 1400},
		"jitter":          {Jitter: Jitter{Sigma: time.Millisecond}},
		"loss":            {Loss: Loss{Model: LossRandom, P: 0.1}},
		"loss of all":     {Loss: Loss{Model: LossRandom, P: 1}},
		"Gilbert-Elliott": {Loss: Loss{Model: LossGilbertElliott, P: 0.1, R: 0.3}},
		"duplicates":      {Duplicate: 0.1},
		"reordering":      {Reorder: 0.1},
		"corruption":      {Corrupt: 0.1},
	} {
		drawn := false
		l := NewLink(cfg, func(string, Direction, Effect, Identity) uint64 {
			drawn = true
			return 1 << 63
		})
		for n := range uint64(3) {
			l.Step(Dur(n), Up, packet("f", n, 100))
		}
		if l.Draws() != drawn {
			t.Errorf("%s: it says %v", name, l.Draws())
		}
	}
}

// A link that delivers every packet once allocates nothing for it.
func TestStepDoesNotAllocate(t *testing.T) {
	l := NewLink(LinkConfig{
		Name: "l", Delay: time.Millisecond, Jitter: Jitter{Distribution: Normal, Sigma: time.Millisecond},
		Loss:              Loss{Model: LossGilbertElliott, P: 0.01, R: 0.3},
		RateBitsPerSecond: 1_000_000_000,
	}, func(_ string, _ Direction, _ Effect, id Identity) uint64 {
		return id.Ordinal * 0x9e3779b97f4a7c15
	})
	p := packet("f", 0, 100)
	allocated := testing.AllocsPerRun(1000, func() {
		p.Identity.Ordinal++
		l.Step(Dur(p.Identity.Ordinal)*time.Millisecond, Up, p)
	})
	if allocated != 0 {
		t.Errorf("%v allocations per packet", allocated)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		cfg  LinkConfig
		want string
	}{
		{"zero", LinkConfig{}, ""},
		{"probability", LinkConfig{Name: "wan", Duplicate: 1.5}, `link "wan": duplicate is 1.5; a probability lies between 0 and 1`},
		{"not a number", LinkConfig{Name: "wan", Loss: Loss{P: math.NaN()}}, `link "wan": loss.p is NaN; a probability lies between 0 and 1`},
		{"negative delay", LinkConfig{Name: "wan", Delay: -1}, `link "wan": delay is -1ns; it lies between 0 and 1h0m0s`},
		{"distribution", LinkConfig{Name: "wan", Jitter: Jitter{Distribution: "gauss"}}, `link "wan": jitter.distribution is "gauss"; it is one of "uniform", "normal", "pareto"`},
		{"loss model", LinkConfig{Name: "wan", Loss: Loss{Model: "bursty"}}, `link "wan": loss.model is "bursty"; it is one of "none", "random", "gilbert-elliott"`},
		{"endless burst", LinkConfig{Name: "wan", Loss: Loss{Model: LossGilbertElliott, P: 0.1}}, `link "wan": loss.r is 0; below 2⁻⁶⁴ a gilbert-elliott chain never leaves the bad state and loses everything`},
		{"codel", LinkConfig{Name: "wan", Queue: Queue{Discipline: "codel"}}, `link "wan": queue.discipline is "codel"; this version has "droptail"`},
		{"slow", LinkConfig{Name: "wan", RateBitsPerSecond: 10}, `link "wan": rate is 10 bit/s; it is 0 for no limit or lies between 1000 and 1000000000000`},
		{"queue", LinkConfig{Name: "wan", Queue: Queue{LimitPackets: -1}}, `link "wan": queue.limit is -1 packets; it lies between 0 and 1048576`},
		{"mtu", LinkConfig{Name: "wan", MTUBytes: -1}, `link "wan": mtu is -1 bytes; it is not negative`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			if err := test.cfg.Validate(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
