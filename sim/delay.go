package sim

import (
	"math/bits"
	"time"
)

// A delay histogram is log-linear: every power of two of nanoseconds has
// delayBuckets buckets of equal width, so a percentile is exact to one part in
// delayBuckets whatever the delay, in integers only. Octaves are allocated when
// first used; real delays live in a handful of them.
const (
	delayBucketsBits = 7
	delayBuckets     = 1 << delayBucketsBits
	delayOctavesMax  = 64 - delayBucketsBits
)

// delayHistogram gathers delays. The zero value is empty and ready. It takes at
// most 57 KiB: 1 KiB per octave in use.
type delayHistogram struct {
	count    uint64
	sumHigh  uint64 // the sum is 128 bits wide: it cannot overflow
	sumLow   uint64
	min, max time.Duration
	octaves  [delayOctavesMax]*[delayBuckets]uint64
}

// add takes one delay; a negative one counts as zero.
func (h *delayHistogram) add(delay time.Duration) {
	delay = max(delay, 0)
	if h.count == 0 || delay < h.min {
		h.min = delay
	}
	h.max = max(h.max, delay)
	h.count++
	var carry uint64
	h.sumLow, carry = bits.Add64(h.sumLow, uint64(delay), 0)
	h.sumHigh += carry
	octave, bucket := delayBucket(uint64(delay))
	if h.octaves[octave] == nil {
		h.octaves[octave] = new([delayBuckets]uint64)
	}
	h.octaves[octave][bucket]++
}

// delayBucket finds the bucket of a value. Octave 0 holds the values below
// delayBuckets one by one; octave k > 0 those of which bit k+6 is the leading
// one, in buckets 2^(k-1) wide. The leading bit is implied by the octave.
func delayBucket(v uint64) (octave, bucket int) {
	octave = max(bits.Len64(v)-delayBucketsBits, 0)
	if octave == 0 {
		return 0, int(v)
	}
	return octave, int(v>>(octave-1)) & (delayBuckets - 1)
}

// delayBucketTop is the largest value that falls into a bucket.
func delayBucketTop(octave, bucket int) uint64 {
	if octave == 0 {
		return uint64(bucket)
	}
	return uint64(delayBuckets+bucket+1)<<(octave-1) - 1
}

// mean is the arithmetic mean, rounded down; 0 without samples.
func (h *delayHistogram) mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	quotient, _ := bits.Div64(h.sumHigh%h.count, h.sumLow, h.count)
	return time.Duration(quotient)
}

// percentile is the smallest bucket top at or below which at least percent of
// the samples lie, held within the smallest and largest sample; 0 without
// samples.
func (h *delayHistogram) percentile(percent uint64) time.Duration {
	// ceil(count*percent/100) without overflow.
	rank := h.count/100*percent + (h.count%100*percent+99)/100
	rank = max(rank, 1)
	var seen uint64
	for octave, buckets := range h.octaves {
		if buckets == nil {
			continue
		}
		for bucket, n := range buckets {
			seen += n
			if n > 0 && seen >= rank {
				top := delayBucketTop(octave, bucket)
				return min(max(time.Duration(top), h.min), h.max)
			}
		}
	}
	return 0
}
