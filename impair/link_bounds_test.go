package impair

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawConfig is any configuration that Validate accepts, with its extremes.
func drawConfig(t *rapid.T) LinkConfig {
	probability := func(name string) float64 {
		return rapid.OneOf(
			rapid.SampledFrom([]float64{0, 1, math.SmallestNonzeroFloat64, math.Nextafter(1, 0), 0.5}),
			rapid.Float64Range(0, 1),
		).Draw(t, name)
	}
	delay := func(name string) Dur {
		return Dur(rapid.OneOf(
			rapid.SampledFrom([]int64{0, 1, int64(DelayMax)}),
			rapid.Int64Range(0, int64(DelayMax)),
		).Draw(t, name))
	}
	cfg := LinkConfig{
		Name:  "l",
		Delay: delay("delay"),
		Jitter: Jitter{
			Distribution: rapid.SampledFrom([]Distribution{"", Uniform, Normal, Pareto}).Draw(t, "distribution"),
			Sigma:        delay("sigma"),
			KeepOrder:    rapid.Bool().Draw(t, "keep order"),
		},
		Loss: Loss{
			Model: rapid.SampledFrom([]LossModel{"", LossNone, LossRandom, LossGilbertElliott}).Draw(t, "loss model"),
			P:     probability("p"), R: max(probability("r"), 1e-3),
			DeliverBad: probability("deliver bad"), LossGood: probability("loss good"),
		},
		Duplicate: probability("duplicate"), Reorder: probability("reorder"), Corrupt: probability("corrupt"),
		RateBitsPerSecond: rapid.SampledFrom([]uint64{0, RateBitsPerSecondMin, 1_000_000, 999_999_937, RateBitsPerSecondMax}).Draw(t, "rate"),
		Queue: Queue{
			LimitPackets: rapid.SampledFrom([]int{0, 1, 2, 17, QueueLimitPacketsMax}).Draw(t, "limit in packets"),
			LimitBytes:   rapid.SampledFrom([]int{0, 1, 100_000, math.MaxInt}).Draw(t, "limit in bytes"),
			LimitDelay:   delay("limit in time"),
		},
		MTUBytes: rapid.SampledFrom([]int{0, 1, 1500}).Draw(t, "MTU"),
	}
	return cfg
}

// Whatever the configuration, nothing arrives before it was sent or has been serialised, what is dropped does
// not arrive, a queue never holds more than its limits, and with KeepOrder only what reordering picks overtakes.
func TestLinkKeepsItsBounds(t *testing.T) {
	type packetSize struct {
		wait  Dur
		bytes int
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		if err := cfg.Validate(); err != nil {
			t.Fatalf("drawConfig draws what Validate refuses: %v", err)
		}
		l := NewLink(cfg, testDraw(rapid.Uint64().Draw(t, "seed")))
		now, last := Dur(0), Dur(0)
		sizes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) packetSize {
			return packetSize{
				wait:  Dur(rapid.SampledFrom([]int64{0, 0, 1, int64(time.Millisecond), int64(time.Hour)}).Draw(t, "wait")),
				bytes: rapid.SampledFrom([]int{0, 1, 60, 1500, 65535}).Draw(t, "bytes"),
			}
		}), 1, 60).Draw(t, "packets")
		for i, s := range sizes {
			now += s.wait
			deliveries, drop := l.Step(now, Up, packet("f", uint64(i), s.bytes))
			if (drop != "") != (len(deliveries) == 0) || len(deliveries) > 2 {
				t.Fatalf("packet %d: dropped for %q and delivered %d times", i, drop, len(deliveries))
			}
			lane := &l.lanes[Up]
			q := &lane.serialiser
			if q.length > max(cfg.Queue.LimitPackets, queueLimitPackets) ||
				cfg.Queue.LimitPackets > 0 && q.length > cfg.Queue.LimitPackets ||
				cfg.Queue.LimitBytes > 0 && q.bytes > cfg.Queue.LimitBytes ||
				len(q.waiting) > q.limit.LimitPackets {
				t.Fatalf("packet %d: %d packets of %d bytes are waiting in %d places, with the limits %+v",
					i, q.length, q.bytes, len(q.waiting), cfg.Queue)
			}
			for _, d := range deliveries {
				if d.At < now || cfg.RateBitsPerSecond > 0 && d.At < q.busyUntil {
					t.Fatalf("packet %d arrives at %v, sent at %v and serialised at %v", i, d.At, now, q.busyUntil)
				}
				if len(d.Packet.Bytes) != s.bytes {
					t.Fatalf("packet %d arrives with %d bytes, sent with %d", i, len(d.Packet.Bytes), s.bytes)
				}
				if cfg.Jitter.KeepOrder && cfg.Reorder == 0 && d.At < last {
					t.Fatalf("packet %d arrives at %v, before the one in front at %v", i, d.At, last)
				}
				last = max(last, d.At)
			}
		}
	})
}

// BenchmarkStep compares a link with loss, jitter and a rate with one that has nothing, interleaved.
func BenchmarkStep(b *testing.B) {
	// A draw as cheap as can be, so that the link's own work shows.
	draw := func(_ string, _ Direction, _ Effect, id Identity) uint64 { return id.Ordinal * 0x9e3779b97f4a7c15 }
	bare := NewLink(LinkConfig{}, draw)
	full := NewLink(LinkConfig{
		Name: "l", Delay: time.Millisecond, Jitter: Jitter{Distribution: Pareto, Sigma: time.Millisecond},
		Loss: Loss{Model: LossGilbertElliott, P: 0.01, R: 0.3}, RateBitsPerSecond: 1_000_000_000,
	}, draw)
	p := packet("f", 0, 1400)
	var times [2]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, l := range []*Link{bare, full} {
			start := time.Now()
			for range 1000 {
				p.Identity.Ordinal++
				l.Step(Dur(p.Identity.Ordinal)*20*time.Microsecond, Up, p)
			}
			times[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(times[1])/float64(times[0]), "ratio")
}
