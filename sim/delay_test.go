package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDelayHistogram compares the histogram with the sorted samples.
func TestDelayHistogram(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(0, 300),
			rapid.Int64Range(0, int64(10*time.Second)),
			rapid.Int64Range(0, math.MaxInt64/1000),
		), 1, 300).Draw(t, "samples")
		var h delayHistogram
		var sum int64
		for _, s := range samples {
			h.add(time.Duration(s))
			sum += s / int64(len(samples)) // only to see that it does not overflow
		}
		slices.Sort(samples)
		if int64(h.min) != samples[0] || int64(h.max) != samples[len(samples)-1] {
			t.Fatalf("min %d max %d, want %d and %d", h.min, h.max, samples[0], samples[len(samples)-1])
		}
		if mean := int64(h.mean()); mean < sum || mean > sum+int64(len(samples)) {
			t.Fatalf("mean %d, want about %d", mean, sum)
		}
		for _, percent := range []uint64{1, 50, 99, 100} {
			rank := (len(samples)*int(percent) + 99) / 100
			want := samples[max(rank, 1)-1]
			got := int64(h.percentile(percent))
			if got < want || got-want > want/delayBuckets {
				t.Fatalf("p%d is %d, want %d to one part in %d", percent, got, want, delayBuckets)
			}
		}
	})
}

func TestDelayHistogramOfOneValueIsExact(t *testing.T) {
	for _, delay := range []time.Duration{0, 1, 127, 128, 12_345_678, 10 * time.Millisecond, math.MaxInt64} {
		var h delayHistogram
		for range 7 {
			h.add(delay)
		}
		for name, got := range map[string]time.Duration{
			"min": h.min, "max": h.max, "mean": h.mean(), "p50": h.percentile(50), "p99": h.percentile(99),
		} {
			if got != delay {
				t.Errorf("%s of seven times %d is %d", name, delay, got)
			}
		}
	}
}

func TestDelayHistogramEmpty(t *testing.T) {
	var h delayHistogram
	if h.mean() != 0 || h.percentile(50) != 0 {
		t.Errorf("an empty histogram has mean %d and median %d", h.mean(), h.percentile(50))
	}
}

// TestDelayBuckets: buckets cover the values without gap or overlap.
func TestDelayBuckets(t *testing.T) {
	var previous uint64
	for octave := range delayOctavesMax {
		for bucket := range delayBuckets {
			top := delayBucketTop(octave, bucket)
			if o, b := delayBucket(top); o != octave || b != bucket {
				t.Fatalf("the top of bucket %d/%d, %d, falls into %d/%d", octave, bucket, top, o, b)
			}
			if octave+bucket > 0 {
				if o, b := delayBucket(previous + 1); o != octave || b != bucket {
					t.Fatalf("%d falls into %d/%d, want %d/%d", previous+1, o, b, octave, bucket)
				}
			}
			previous = top
		}
	}
}
