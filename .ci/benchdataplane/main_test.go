//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/daemon"
	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestMain is, in a child, an end of a tunnel or of traffic: the program under test executes itself.
func TestMain(m *testing.M) {
	if is, err := serveRole(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestContenders: every contender passes TCP, UDP and round trips, and the clocks of its processes run.
func TestContenders(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces; cure: run as root")
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs a TUN device: %v; cure: modprobe tun", err)
	}
	_ = tun.Close()
	hosttest.Alone(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), hosttest.Patience)
			defer cancel()
			c, err := start(ctx, name)
			if errors.Is(err, daemon.ErrAbsent) {
				t.Skipf("needs strongSwan: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.close(); err != nil {
					t.Error(err)
				}
			}()
			var tcp tcpSample
			err = errNoTCP
			for errors.Is(err, errNoTCP) { // on a busy machine nothing may happen in so short a time
				tcp, err = c.tcpOnce(ctx, effortFor(100*time.Millisecond))
			}
			if err != nil {
				t.Fatal(err)
			}
			var udp udpSample
			for udp.Received == 0 { // what TCP has left behind may be in the way at first
				if udp, err = c.udp(ctx, 2000, 100*time.Millisecond); err != nil {
					t.Fatal(err)
				}
			}
			ping, err := c.ping(ctx, effort{pings: 10})
			if err != nil {
				t.Fatal(err)
			}
			if tcp.GbitPerSecond <= 0 || ping.P50 <= 0 || c.mtu < udpPacketBytes || c.mtu > 1500 {
				t.Errorf("inner MTU %d, TCP %+v, UDP %+v, round trips %+v", c.mtu, tcp, udp, ping)
			}
			if passes := c.pids != nil; passes != (tcp.Tunnel > 0) {
				t.Errorf("%d processes of the tunnel used %v s of processor time per gigabit", len(c.pids), tcp.Tunnel)
			}
		})
	}
}

// TestHighest: the search comes near a tunnel's and a sender's limit from either side, and does not take what a busy
// machine spoils for the tunnel's limit.
func TestHighest(t *testing.T) {
	for _, c := range []struct {
		name                  string
		guess, tunnel, sender float64
		spoilt                int // how many trials of each rate are spoilt first
		least, most           float64
		limited               bool
	}{
		{name: "from below", guess: 40e3, tunnel: 150e3, sender: 1e6, least: 141e3, most: 150e3},
		{name: "from above", guess: 140e3, tunnel: 35e3, sender: 1e6, least: 33e3, most: 35e3},
		{name: "the sender's limit", guess: 40e3, tunnel: 1e6, sender: 200e3, least: 199e3, most: 200e3, limited: true},
		{name: "on a busy machine", guess: 40e3, tunnel: 50e3, sender: 1e6, spoilt: 1, least: 47e3, most: 50e3},
		{name: "nothing passes", guess: 40e3, tunnel: 0, sender: 1e6, least: 0, most: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tried := make(map[float64]int)
			trialsLeft := trialsMax
			s, err := highest(c.guess, func(rate float64) (udpSample, error) {
				trialsLeft--
				tried[rate]++
				s := udpSample{Offered: rate, Sent: min(rate, c.sender)}
				s.Received = min(s.Sent, c.tunnel)
				if tried[rate] <= c.spoilt {
					s.Received, s.Others = 0, 0.5
				}
				s.Loss = 1 - s.Received/s.Sent
				return s, nil
			})
			if err != nil || s.Received < c.least || s.Received > c.most || s.SenderLimit != c.limited || trialsLeft < 0 {
				t.Errorf("found %+v, error %v, trials left %d", s, err, trialsLeft)
			}
		})
	}
}

// TestReport: medians and ratios are those of the rounds, and both forms hold them.
func TestReport(t *testing.T) {
	r := report{Duration: "2s", Rounds: 3, Skipped: []skipped{{"another", "its cure"}}}
	for _, name := range []string{nameVeth, nameOursUDP, nameWireGuard} {
		c := &result{Name: name, MTU: 1438}
		for i := range 3 {
			factor := map[string]float64{nameVeth: 10, nameOursUDP: 2, nameWireGuard: 1}[name]
			// Rounds differ by a factor of ten; their ratios do not.
			load := []float64{10, 1, 100}[i]
			c.TCP = append(c.TCP, tcpSample{GbitPerSecond: factor * load})
			c.UDP = append(c.UDP, udpSample{Received: 1000 * factor * load, SenderLimit: name == nameVeth})
			c.Ping = append(c.Ping, pingSample{P50: time.Duration(100/factor) * time.Microsecond, P99: time.Millisecond})
		}
		r.Contenders = append(r.Contenders, c)
	}
	r.sum()
	s := r.find(nameOursUDP).Summary
	if s.TCP.GbitPerSecond != 20 || s.TCPRatio != 2 || s.UDP.Received != 20000 || s.UDPRatio != 2 || s.AddedP50 != 40*time.Microsecond || s.AddedP99 != 0 {
		t.Errorf("the summary is %+v", s)
	}
	var table strings.Builder
	if err := r.print(&table); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20.00", "2.00 ×", "20.0", "≥ 100.0", "40 µs", "another: its cure"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, table.String())
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"tcp_to_wireguard_go":2`, `"gbit_per_s":100`, `"tunnel_cpu_s_per_gbit":0`, `"reason":"its cure"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the JSON lacks %s:\n%s", want, text)
		}
	}
}
