package sim

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const ms = time.Millisecond

// arrival is one packet at the receiver: its sequence number and when.
type arrival struct {
	sequence uint64
	at       time.Duration
}

func TestFlowMeter(t *testing.T) {
	// Every flow sends packets of 100 bytes at 0, 10, 20, … ms.
	tests := map[string]struct {
		sent     int
		arrivals []arrival
		now      time.Duration
		ended    bool
		want     FlowResult
	}{
		"nothing was sent": {now: time.Second, want: FlowResult{}},
		"all arrive": {
			sent: 3, arrivals: []arrival{{0, 5 * ms}, {1, 15 * ms}, {2, 25 * ms}}, now: 100 * ms, ended: true,
			want: FlowResult{Sent: 3, Received: 3, SentBytes: 300, ReceivedBytes: 300, LongestGap: 10 * ms, LongestGapAt: 5 * ms,
				HasDelay: true, DelayMin: 5 * ms, DelayMean: 5 * ms, DelayP50: 5 * ms, DelayP99: 5 * ms, DelayMax: 5 * ms},
		},
		"a hole in the middle is a gap": {
			sent: 4, arrivals: []arrival{{0, 5 * ms}, {3, 35 * ms}}, now: 100 * ms, ended: true,
			want: FlowResult{Sent: 4, Received: 2, SentBytes: 400, ReceivedBytes: 200, Lost: 2, LongestGap: 30 * ms, LongestGapAt: 5 * ms,
				HasDelay: true, DelayMin: 5 * ms, DelayMean: 5 * ms, DelayP50: 5 * ms, DelayP99: 5 * ms, DelayMax: 5 * ms},
		},
		"total silence is a gap to the flow's end": {
			sent: 101, now: 5 * time.Second, ended: true,
			want: FlowResult{Sent: 101, SentBytes: 10100, Lost: 101, LongestGap: time.Second},
		},
		"silence at the end counts": {
			sent: 11, arrivals: []arrival{{0, 1 * ms}}, now: 5 * time.Second, ended: true,
			want: FlowResult{Sent: 11, Received: 1, SentBytes: 1100, ReceivedBytes: 100, Lost: 10, LongestGap: 99 * ms, LongestGapAt: 1 * ms,
				HasDelay: true, DelayMin: 1 * ms, DelayMean: 1 * ms, DelayP50: 1 * ms, DelayP99: 1 * ms, DelayMax: 1 * ms},
		},
		"silence before the first arrival counts": {
			sent: 3, arrivals: []arrival{{2, 21 * ms}}, now: 22 * ms, ended: true,
			want: FlowResult{Sent: 3, Received: 1, SentBytes: 300, ReceivedBytes: 100, Lost: 2, LongestGap: 21 * ms,
				HasDelay: true, DelayMin: 1 * ms, DelayMean: 1 * ms, DelayP50: 1 * ms, DelayP99: 1 * ms, DelayMax: 1 * ms},
		},
		"what just left is in flight, not lost": {
			sent: 3, arrivals: []arrival{{0, 15 * ms}}, now: 30 * ms,
			want: FlowResult{Sent: 3, Received: 1, SentBytes: 300, ReceivedBytes: 100, Lost: 1, InFlight: 1, LongestGap: 15 * ms,
				HasDelay: true, DelayMin: 15 * ms, DelayMean: 15 * ms, DelayP50: 15 * ms, DelayP99: 15 * ms, DelayMax: 15 * ms},
		},
		"a late packet is reordered, a second copy duplicated": {
			sent: 3, arrivals: []arrival{{0, 5 * ms}, {2, 25 * ms}, {1, 27 * ms}, {1, 28 * ms}, {2, 29 * ms}}, now: 30 * ms, ended: true,
			want: FlowResult{Sent: 3, Received: 3, SentBytes: 300, ReceivedBytes: 300, Duplicated: 2, Reordered: 1, LongestGap: 20 * ms, LongestGapAt: 5 * ms,
				HasDelay: true, DelayMin: 5 * ms, DelayMean: 9 * ms, DelayP50: 5 * ms, DelayP99: 17 * ms, DelayMax: 17 * ms},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var m flowMeter
			for i := range test.sent {
				m.sent(time.Duration(i)*10*ms, 100)
			}
			for _, a := range test.arrivals {
				if !m.arrivedAt(a.at, time.Duration(a.sequence)*10*ms, a.sequence, 100) {
					t.Fatalf("packet %d was refused", a.sequence)
				}
			}
			got := m.figures(test.now, test.ended, m.inFlight(test.now, time.Hour))
			// The percentiles have their own test; here the median of the
			// reordered case only has to be within its bucket.
			if d := got.DelayP50 - test.want.DelayP50; d < 0 || d > test.want.DelayP50/delayBuckets {
				t.Errorf("the median is %v, want %v", got.DelayP50, test.want.DelayP50)
			}
			got.DelayP50 = test.want.DelayP50
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("figures (-want +got):\n%s", d)
			}
		})
	}
}

func TestFlowMeterRefusesWhatWasNeverSent(t *testing.T) {
	var m flowMeter
	m.sent(0, 100)
	if m.arrivedAt(ms, 0, 1, 100) {
		t.Error("sequence number 1 was taken though only 0 was sent")
	}
	if got := m.figures(ms, false, 0).Received; got != 0 {
		t.Errorf("%d packets received, want 0", got)
	}
}

// TestFlowMeterModel holds the meter against plain bookkeeping over a channel
// that loses, delays, reorders and duplicates.
func TestFlowMeterModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sentTimes := rapid.IntRange(1, 200).Draw(t, "packets")
		var m flowMeter
		var arrivals []arrival
		for i := range sentTimes {
			m.sent(time.Duration(i)*ms, 50)
			for range rapid.IntRange(0, 2).Draw(t, "copies") {
				delay := time.Duration(rapid.IntRange(1, 20).Draw(t, "delay")) * ms
				arrivals = append(arrivals, arrival{uint64(i), time.Duration(i)*ms + delay})
			}
		}
		slices.SortStableFunc(arrivals, func(a, b arrival) int { return int(a.at - b.at) })
		var (
			seen                  = map[uint64]bool{}
			duplicated, reordered uint64
			last, gap             time.Duration
			largest               = int64(-1)
		)
		for _, a := range arrivals {
			m.arrivedAt(a.at, time.Duration(a.sequence)*ms, a.sequence, 50)
			if seen[a.sequence] {
				duplicated++
				continue
			}
			seen[a.sequence] = true
			if int64(a.sequence) < largest {
				reordered++
			}
			largest = max(largest, int64(a.sequence))
			gap = max(gap, a.at-last)
			last = a.at
		}
		end := time.Duration(sentTimes-1) * ms
		gap = max(gap, end-last)
		got := m.figures(time.Hour, true, m.inFlight(time.Hour, 2*time.Hour))
		want := FlowResult{
			Sent: uint64(sentTimes), SentBytes: 50 * uint64(sentTimes),
			Received: uint64(len(seen)), ReceivedBytes: 50 * uint64(len(seen)),
			Lost: uint64(sentTimes - len(seen)), Duplicated: duplicated, Reordered: reordered, LongestGap: gap,
		}
		if got.Sent != want.Sent || got.SentBytes != want.SentBytes || got.Received != want.Received ||
			got.ReceivedBytes != want.ReceivedBytes || got.Lost != want.Lost || got.InFlight != 0 ||
			got.Duplicated != want.Duplicated || got.Reordered != want.Reordered || got.LongestGap != want.LongestGap {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// TestFlowMeterForgetsLongDelays: packets that were held while a tunnel was
// negotiated do not make losses long afterwards look like packets on their way.
func TestFlowMeterForgetsLongDelays(t *testing.T) {
	var m flowMeter
	const packets, lost = 200, 50
	for i := range packets {
		m.sent(time.Duration(i)*10*ms, 100)
		if i < packets-lost {
			delay := 5 * ms
			if i < 10 {
				delay = 10 * time.Second
			}
			m.arrivedAt(time.Duration(i)*10*ms+delay, time.Duration(i)*10*ms, uint64(i), 100)
		}
	}
	got := m.figures(packets*10*ms, false, m.inFlight(packets*10*ms, time.Hour))
	if got.Lost != lost || got.InFlight != 0 || got.DelayMax != 10*time.Second {
		t.Errorf("%d lost and %d in flight with a largest delay of %v, want %d, 0 and 10 s", got.Lost, got.InFlight, got.DelayMax, lost)
	}
}
