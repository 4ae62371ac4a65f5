//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ikelab/ikelab/node/daemon"
)

// options are the command line's.
type options struct {
	duration time.Duration
	rounds   int
	only     string
	json     bool
	profile  string
}

func main() {
	if is, err := serveRole(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, "benchdataplane:", err)
			os.Exit(4)
		}
		return
	}
	var o options
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "how long TCP is measured at a time, 100ms to 30s; a trial of UDP takes a quarter of it")
	flag.IntVar(&o.rounds, "rounds", 3, "how often everything is measured, 1 to 50")
	flag.StringVar(&o.only, "only", "", "only contenders whose name contains one of these words, separated by commas")
	flag.BoolVar(&o.json, "json", false, "print everything that was measured as JSON instead of the table")
	flag.StringVar(&o.profile, "profile", "", "an existing folder for CPU profiles of ours and of wireguard-go, taken in a round that does not count")
	flag.Parse()
	if flag.NArg() > 0 || o.duration < 100*time.Millisecond || o.duration > 30*time.Second || o.rounds < 1 || o.rounds > 50 {
		flag.Usage()
		os.Exit(2)
	}
	switch err := run(o); {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "benchdataplane:", err)
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "benchdataplane:", err)
		os.Exit(4)
	}
}

var errInterrupted = errors.New("interrupted")

// interruptible is a context that ends with a signal, and with the parent: go run does not pass a signal on.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	parent := os.Getppid()
	go func() {
		for {
			select {
			case <-signals:
				cancel(errInterrupted)
			case <-time.After(time.Second):
				if os.Getppid() != parent {
					cancel(errInterrupted)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// run measures and prints.
func run(o options) (err error) {
	ctx, stop := interruptible()
	defer stop()
	r := report{Duration: o.duration.String(), Rounds: o.rounds}
	var field []*contender
	defer func() {
		for _, c := range field {
			err = errors.Join(err, c.close())
		}
	}()
	for _, name := range names {
		if o.only != "" && !slices.ContainsFunc(strings.Split(o.only, ","), func(w string) bool { return strings.Contains(name, w) }) {
			continue
		}
		fmt.Fprintln(os.Stderr, "starting", name)
		c, err := start(ctx, name)
		if errors.Is(err, daemon.ErrAbsent) {
			r.Skipped = append(r.Skipped, skipped{name, err.Error()})
			continue
		}
		if err != nil {
			return err
		}
		field = append(field, c)
		r.Contenders = append(r.Contenders, &result{Name: name, MTU: c.mtu})
	}
	if len(field) == 0 {
		return errors.New("no contender; look at -only and at what was skipped")
	}
	e := effortFor(o.duration)
	// Twice what it takes when every search needs all its trials.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Duration(o.rounds+1)*time.Duration(len(field))*e.total()+time.Minute)
	defer cancel()
	for i := range o.rounds {
		if err := round(ctx, field, r.Contenders, i, e); err != nil {
			return err
		}
	}
	if o.profile != "" {
		if err := profiles(ctx, field, r.Contenders, e, o.profile); err != nil {
			return err
		}
	}
	r.sum()
	if o.json {
		j := json.NewEncoder(os.Stdout)
		j.SetIndent("", "  ")
		return j.Encode(r)
	}
	return r.print(os.Stdout)
}

// round measures everything once. Each kind of measurement goes through all contenders before the next begins, so that
// what is compared is near in time; who begins differs from round to round.
func round(ctx context.Context, field []*contender, results []*result, number int, e effort) error {
	kinds := []func(c *contender, r *result) error{
		func(c *contender, r *result) error {
			s, err := c.tcp(ctx, e)
			if err != nil {
				return err
			}
			r.TCP = append(r.TCP, s)
			fmt.Fprintf(os.Stderr, "round %d  %-17s TCP %.2f Gbit/s\n", number+1, c.name, s.GbitPerSecond)
			return nil
		},
		func(c *contender, r *result) error {
			guess := float64(rateFirst)
			if n := len(r.UDP); n > 0 && r.UDP[n-1].Received > 0 {
				guess = 0.9 * r.UDP[n-1].Received
			}
			s, err := highest(guess, func(rate float64) (udpSample, error) { return c.udp(ctx, rate, e.trial) })
			if err != nil {
				return err
			}
			r.UDP = append(r.UDP, s)
			fmt.Fprintf(os.Stderr, "round %d  %-17s UDP %.1f kpps\n", number+1, c.name, s.Received/1e3)
			return nil
		},
		func(c *contender, r *result) error {
			s, err := c.ping(ctx, e)
			if err != nil {
				return err
			}
			r.Ping = append(r.Ping, s)
			fmt.Fprintf(os.Stderr, "round %d  %-17s RTT %v, %v\n", number+1, c.name, s.P50.Round(time.Microsecond), s.P99.Round(time.Microsecond))
			return nil
		},
	}
	for _, measure := range kinds {
		for i := range field {
			at := (i + number) % len(field)
			if err := measure(field[at], results[at]); err != nil {
				return fmt.Errorf("%s: %w", field[at].name, err)
			}
		}
	}
	return nil
}

// profiles takes CPU profiles of those ends that are Go's, under TCP and at the highest rate of UDP.
func profiles(ctx context.Context, field []*contender, results []*result, e effort, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for i, c := range field {
		rate := float64(rateFirst)
		for _, s := range results[i].UDP {
			rate = max(rate, s.Received)
		}
		for kind, work := range map[string]func() error{
			"tcp": func() error { _, err := c.tcp(ctx, e); return err },
			"udp": func() error { _, err := c.udp(ctx, rate, e.tcp); return err },
		} {
			for side, p := range c.ends {
				name := strings.NewReplacer(", ", "-", " ", "-").Replace(c.name)
				file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.pprof", name, kind, []string{"sends", "receives"}[side]))
				if err := p.call(ctx, "Profile", file, nil); err != nil {
					return err
				}
			}
			if err := work(); err != nil {
				return err
			}
			for _, p := range c.ends {
				if err := p.call(ctx, "Profiled", None{}, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
