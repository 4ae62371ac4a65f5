//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is everything that was measured. Its JSON is what -json prints.
type report struct {
	Duration   string    `json:"duration"`
	Rounds     int       `json:"rounds"`
	Contenders []*result `json:"contenders"`
	Skipped    []skipped `json:"skipped,omitempty"`
	// Others is the median share of the machine that others used during what is in Contenders, from 0 to 1.
	Others float64 `json:"others"`
}

// skipped is a contender that was not measured, and what cures it.
type skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// result is one contender's, with a sample per round.
type result struct {
	Name    string       `json:"name"`
	MTU     int          `json:"inner_mtu_bytes"`
	TCP     []tcpSample  `json:"tcp"`
	UDP     []udpSample  `json:"udp"`
	Ping    []pingSample `json:"ping"`
	Summary summary      `json:"summary"`
}

// summary holds medians over the rounds, of ratios and differences too. Ratios are 0 and additions negative where there
// is nothing to compare with.
type summary struct {
	TCP      tcpSample `json:"tcp"`
	TCPRatio float64   `json:"tcp_to_wireguard_go"`
	UDP      udpSample `json:"udp"`
	UDPRatio float64   `json:"udp_to_wireguard_go"`
	// AddedP50 and AddedP99 are round trips beyond those of plain veth.
	P50      time.Duration `json:"p50_ns"`
	AddedP50 time.Duration `json:"added_p50_ns"`
	AddedP99 time.Duration `json:"added_p99_ns"`
}

// median is the middle of f over 0 to n-1; of an even number the mean of the two in the middle.
func median[T ~int64 | ~float64](n int, f func(i int) T) T {
	all := make([]T, n)
	for i := range all {
		all[i] = f(i)
	}
	slices.Sort(all)
	return (all[(n-1)/2] + all[n/2]) / 2
}

func (r *report) find(name string) *result {
	if i := slices.IndexFunc(r.Contenders, func(c *result) bool { return c.Name == name }); i >= 0 {
		return r.Contenders[i]
	}
	return nil
}

// sum fills the summaries in.
func (r *report) sum() {
	wireGuard, veth := r.find(nameWireGuard), r.find(nameVeth)
	var others []float64
	for _, c := range r.Contenders {
		for i := range c.TCP {
			others = append(others, c.TCP[i].Others, c.UDP[i].Others)
		}
	}
	r.Others = median(len(others), func(i int) float64 { return others[i] })
	for _, c := range r.Contenders {
		s := &c.Summary
		s.TCP = tcpSample{
			GbitPerSecond: median(r.Rounds, func(i int) float64 { return c.TCP[i].GbitPerSecond }),
			cost: cost{
				Tunnel:  median(r.Rounds, func(i int) float64 { return c.TCP[i].Tunnel }),
				Machine: median(r.Rounds, func(i int) float64 { return c.TCP[i].Machine }),
				Others:  median(r.Rounds, func(i int) float64 { return c.TCP[i].Others }),
			},
		}
		s.UDP = udpSample{
			Offered:  median(r.Rounds, func(i int) float64 { return c.UDP[i].Offered }),
			Sent:     median(r.Rounds, func(i int) float64 { return c.UDP[i].Sent }),
			Received: median(r.Rounds, func(i int) float64 { return c.UDP[i].Received }),
			Loss:     median(r.Rounds, func(i int) float64 { return c.UDP[i].Loss }),
			cost: cost{
				Tunnel:  median(r.Rounds, func(i int) float64 { return c.UDP[i].Tunnel }),
				Machine: median(r.Rounds, func(i int) float64 { return c.UDP[i].Machine }),
				Others:  median(r.Rounds, func(i int) float64 { return c.UDP[i].Others }),
			},
		}
		limited := 0
		for _, u := range c.UDP {
			if u.SenderLimit {
				limited++
			}
		}
		s.UDP.SenderLimit = 2*limited > r.Rounds
		if wireGuard != nil {
			s.TCPRatio = median(r.Rounds, func(i int) float64 { return c.TCP[i].GbitPerSecond / wireGuard.TCP[i].GbitPerSecond })
			// A search that found no rate at all has none to compare with.
			if !slices.ContainsFunc(wireGuard.UDP, func(u udpSample) bool { return u.Received == 0 }) {
				s.UDPRatio = median(r.Rounds, func(i int) float64 { return c.UDP[i].Received / wireGuard.UDP[i].Received })
			}
		}
		s.P50, s.AddedP50, s.AddedP99 = median(r.Rounds, func(i int) time.Duration { return c.Ping[i].P50 }), -1, -1
		if veth != nil {
			s.AddedP50 = max(0, median(r.Rounds, func(i int) time.Duration { return c.Ping[i].P50 - veth.Ping[i].P50 }))
			s.AddedP99 = max(0, median(r.Rounds, func(i int) time.Duration { return c.Ping[i].P99 - veth.Ping[i].P99 }))
		}
	}
}

// print writes the table.
func (r *report) print(to io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "One flow between two namespaces on %d processors; medians of %d rounds of %s.\n", runtime.NumCPU(), r.Rounds, r.Duration)
	fmt.Fprintf(&b, "Other work used %.0f %% of the machine at the median.\n\n", 100*r.Others)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { _, _ = fmt.Fprintln(t, "\t"+strings.Join(cells, "\t")+"\t") } // it writes to memory
	row("", "inner", "TCP", "of", "CPU s/Gbit", "", "UDP 1400 B", "of", "CPU s/Gbit", "", "added RTT", "")
	row("", "MTU", "Gbit/s", "wg-go", "tunnel", "machine", "kpps <1 %", "wg-go", "tunnel", "machine", "p50", "p99")
	for _, c := range r.Contenders {
		s := &c.Summary
		row(c.Name, fmt.Sprint(c.MTU),
			fmt.Sprintf("%.2f", s.TCP.GbitPerSecond), ratio(s.TCPRatio), fmt.Sprintf("%.2f", s.TCP.Tunnel), fmt.Sprintf("%.2f", s.TCP.Machine),
			kpps(s.UDP), ratio(s.UDPRatio), fmt.Sprintf("%.2f", s.UDP.Tunnel), fmt.Sprintf("%.2f", s.UDP.Machine),
			added(s.AddedP50), added(s.AddedP99))
	}
	_ = t.Flush() // as above
	if slices.ContainsFunc(r.Contenders, func(c *result) bool { return c.Summary.UDP.SenderLimit }) {
		b.WriteString("\n≥: the sender could not send more.\n")
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(&b, "\nskipped  %s: %s\n", s.Name, s.Reason)
	}
	_, err := io.WriteString(to, b.String())
	return err
}

func ratio(r float64) string {
	if r == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ×", r)
}

func kpps(s udpSample) string {
	atLeast := ""
	if s.SenderLimit {
		atLeast = "≥ "
	}
	return fmt.Sprintf("%s%.1f", atLeast, s.Received/1e3)
}

func added(d time.Duration) string {
	if d < 0 {
		return "-"
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}
