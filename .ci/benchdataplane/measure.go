//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"time"
)

const (
	// rateFirst is where the search for the highest rate begins, rateMax where it ends, in packets per second.
	rateFirst = 40e3
	rateMax   = 1.5e6
	// rateStep is how far the search goes up at a time, rateExact how near it comes.
	rateStep  = 1.5
	rateExact = 1.06
	// trialsMax bounds a search, repetitions included, and tcpTries the measurements of TCP.
	trialsMax = 12
	tcpTries  = 2
	// A rate is given up when what speaks against it is enough: two trials, three when others used more than othersMax
	// of the machine.
	againstOnce, againstDisturbed, againstEnough = 3, 2, 6
	othersMax                                    = 0.1
	lossMax                                      = 0.01
	// late is when a packet counts as lost, after the last one was sent.
	late = 20 * time.Millisecond
)

// effort is how long things are measured.
type effort struct {
	warm, tcp, trial time.Duration
	pings            int
}

// effortFor divides a duration: TCP has all of it, the search for a rate some trials of a quarter.
func effortFor(d time.Duration) effort {
	return effort{warm: d / 8, tcp: d, trial: d / 4, pings: max(int(d.Seconds()*200), 20)}
}

// total is about what one contender takes in one round.
func (e effort) total() time.Duration {
	return tcpTries*(e.warm+e.tcp) + trialsMax*(e.trial+3*late) + time.Duration(e.pings)*2*echoPause
}

// cost is what an amount of traffic took.
type cost struct {
	// Tunnel is processor time of the tunnel's processes, Machine that of everything, in seconds per gigabit (10^9 bits)
	// of payload that arrived.
	Tunnel  float64 `json:"tunnel_cpu_s_per_gbit"`
	Machine float64 `json:"machine_cpu_s_per_gbit"`
	// Others is the share of the machine that had nothing to do with the measurement, from 0 to 1.
	Others float64 `json:"others"`
}

func (c cost) disturbed() bool { return c.Others > othersMax }

// clocks are processor times at an instant; own is that of everything that belongs to the measurement.
type clocks struct{ at, tunnel, own, machine, stolen time.Duration }

func (c *contender) clocks() (clocks, error) {
	now := clocks{at: monotonic()}
	for _, pid := range c.pids {
		t, err := cpuOf(pid)
		if err != nil {
			return clocks{}, err
		}
		now.tunnel += t
	}
	now.own = now.tunnel
	for _, pid := range append([]int{os.Getpid(), c.world.traffic[0].pid(), c.world.traffic[1].pid()}, networkThreads()...) {
		t, err := cpuOf(pid)
		if err != nil {
			return clocks{}, err
		}
		now.own += t
	}
	var err error
	now.machine, now.stolen, err = machineCPU()
	return now, err
}

// since is the cost of what arrived between two instants.
func (c clocks) since(before clocks, bytes float64) cost {
	gigabits := bytes * 8 / 1e9
	others := c.machine + c.stolen - c.own - (before.machine + before.stolen - before.own)
	return cost{
		Tunnel: (c.tunnel - before.tunnel).Seconds() / gigabits, Machine: (c.machine - before.machine).Seconds() / gigabits,
		// The machine's clock ticks, the others do not.
		Others: min(max(others.Seconds()/(c.at-before.at).Seconds()/float64(runtime.NumCPU()), 0), 1),
	}
}

// tcpSample is one measurement of TCP.
type tcpSample struct {
	GbitPerSecond float64 `json:"gbit_per_s"`
	cost
}

// tcp measures TCP, again when it was disturbed, and answers the measurement that was less so.
func (c *contender) tcp(ctx context.Context, e effort) (tcpSample, error) {
	var best tcpSample
	for i := range tcpTries {
		s, err := c.tcpOnce(ctx, e)
		if err != nil {
			return tcpSample{}, err
		}
		if i == 0 || s.Others < best.Others {
			best = s
		}
		if !best.disturbed() {
			break
		}
	}
	return best, nil
}

var errNoTCP = errors.New("not one byte of TCP arrived")

// tcpOnce sends at full speed for a while.
func (c *contender) tcpOnce(ctx context.Context, e effort) (tcpSample, error) {
	from, to := c.world.traffic[0], c.world.traffic[1]
	if err := from.call(ctx, "Pour", path(0), nil); err != nil {
		return tcpSample{}, err
	}
	read := func(wait time.Duration) (bytes int64, now clocks, err error) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, now, context.Cause(ctx)
		}
		if now, err = c.clocks(); err == nil {
			err = to.call(ctx, "Received", None{}, &bytes)
		}
		return bytes, now, err
	}
	bytes, before, err := read(e.warm)
	if err != nil {
		return tcpSample{}, err
	}
	after, now, err := read(e.tcp)
	if err != nil {
		return tcpSample{}, err
	}
	if err := from.call(ctx, "Stop", None{}, nil); err != nil {
		return tcpSample{}, err
	}
	if after == bytes {
		return tcpSample{}, fmt.Errorf("%w in %v", errNoTCP, e.tcp)
	}
	got := float64(after - bytes)
	return tcpSample{GbitPerSecond: got * 8 / 1e9 / (now.at - before.at).Seconds(), cost: now.since(before, got)}, nil
}

// udpSample is one trial at a rate.
type udpSample struct {
	// Offered, Sent and Received are packets per second.
	Offered  float64 `json:"offered_pps"`
	Sent     float64 `json:"sent_pps"`
	Received float64 `json:"received_pps"`
	Loss     float64 `json:"loss"`
	// SenderLimit says that the sender could not send more.
	SenderLimit bool `json:"sender_limit"`
	cost
}

// reached says whether the sender could send at the rate, passes whether that arrived.
func (s udpSample) reached() bool { return s.Sent > 0.95*s.Offered }
func (s udpSample) passes() bool  { return s.Loss < lossMax }

// udp sends at a rate for a while.
func (c *contender) udp(ctx context.Context, rate float64, length time.Duration) (udpSample, error) {
	from, to := c.world.traffic[0], c.world.traffic[1]
	trials++
	if err := to.call(ctx, "Expect", trials, nil); err != nil {
		return udpSample{}, err
	}
	before, err := c.clocks()
	if err != nil {
		return udpSample{}, err
	}
	var sent Blasted
	if err := from.call(ctx, "Blast", Blast{Path: path(0), Trial: trials, PerSecond: rate, For: length}, &sent); err != nil {
		return udpSample{}, err
	}
	var received int64
	if err := to.call(ctx, "Counted", sent.Ended+late, &received); err != nil {
		return udpSample{}, err
	}
	after, err := c.clocks()
	if err != nil {
		return udpSample{}, err
	}
	s := udpSample{Offered: rate, Sent: float64(sent.Packets) / sent.Took.Seconds(), Received: float64(received) / sent.Took.Seconds(), Loss: 1}
	if sent.Packets > 0 {
		s.Loss = 1 - float64(received)/float64(sent.Packets)
	}
	s.cost = after.since(before, float64(max(received, 1))*udpPayload)
	return s, nil
}

// trials numbers all trials, so that no packet is counted in another one.
var trials uint32

// highest looks for the highest rate of which less than lossMax is lost, from a first guess.
func highest(guess float64, trial func(rate float64) (udpSample, error)) (udpSample, error) {
	var best udpSample
	low, high := 0.0, math.Inf(1)
	against := 0 // what speaks against the rate so far
	for rate, n := guess, 0; n < trialsMax; n++ {
		s, err := trial(rate)
		if err != nil {
			return udpSample{}, err
		}
		if s.passes() && s.Received > best.Received {
			best = s
		}
		if !s.passes() || !s.reached() {
			// Perhaps the machine was busy elsewhere.
			if against += againstOnce; s.disturbed() {
				against -= againstOnce - againstDisturbed
			}
			if against < againstEnough {
				continue
			}
		}
		against = 0
		switch {
		case s.passes() && (!s.reached() || rate >= rateMax):
			best.SenderLimit = !s.reached()
			return best, nil
		case s.passes():
			low = rate
		default:
			high = rate
		}
		switch {
		case high/low < rateExact:
			return best, nil
		case math.IsInf(high, 1):
			rate = min(rate*rateStep, rateMax)
		case low == 0:
			rate /= rateStep
		default:
			rate = math.Sqrt(low * high)
		}
	}
	return best, nil
}

// pingSample is a number of round trips.
type pingSample struct {
	P50  time.Duration `json:"p50_ns"`
	P99  time.Duration `json:"p99_ns"`
	Lost int           `json:"lost"`
}

// ping measures round trips over the idle tunnel.
func (c *contender) ping(ctx context.Context, e effort) (pingSample, error) {
	var trips []time.Duration
	if err := c.world.traffic[0].call(ctx, "Ping", Ping{Path: path(0), Count: e.pings}, &trips); err != nil {
		return pingSample{}, err
	}
	if len(trips) == 0 {
		return pingSample{}, fmt.Errorf("not one of %d round trips was made", e.pings)
	}
	slices.Sort(trips)
	return pingSample{P50: trips[len(trips)/2], P99: trips[len(trips)*99/100], Lost: e.pings - len(trips)}, nil
}
