package main

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"go.uber.org/goleak"

	"github.com/ikelab/ikelab/sim"
)

// TestProgress: the picture shows where the run is, and is gone with its goroutines when it stops.
func TestProgress(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var painted painted
	p := new(progress)
	p.start(&painted, 0, tea.WithWindowSize(120, 24)) // a buffer has no size of its own
	wants := []string{"of 40.000 s", "events", "real time", "█"}
	drawn := func() bool {
		return !slices.ContainsFunc(wants, func(want string) bool { return !strings.Contains(painted.text(), want) })
	}
	for deadline := time.Now().Add(processTimeout); !drawn() && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		p.report(sim.Progress{Now: 39 * time.Second, Until: 40 * time.Second, Events: 39_000})
	}
	p.stop()
	for _, want := range wants {
		if !strings.Contains(painted.text(), want) {
			t.Errorf("the picture lacks %q: %q", want, painted.text())
		}
	}
}

// painted keeps what the picture's goroutine draws while the test looks at it.
type painted struct {
	lock  sync.Mutex
	drawn bytes.Buffer
}

func (s *painted) Write(b []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.drawn.Write(b)
}

func (s *painted) text() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.drawn.String()
}

// TestNoProgressOnAPipe: what is not a terminal sees nothing, and a short run shows nothing.
func TestNoProgressOnAPipe(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var pipe bytes.Buffer
	p := startProgress(&pipe)
	p.report(sim.Progress{})
	p.stop()

	q := new(progress)
	q.start(&pipe, time.Hour)
	q.report(sim.Progress{})
	q.stop()
	if pipe.Len() != 0 {
		t.Errorf("written: %q", pipe.String())
	}
}

func TestProgressBar(t *testing.T) {
	for _, tc := range []struct {
		now, until time.Duration
		filled     int
	}{
		{0, time.Second, 0}, {500 * time.Millisecond, time.Second, 12}, {time.Second, time.Second, 24},
		{2 * time.Second, time.Second, 24}, {0, 0, 0}, {1<<62 + 1<<50, 1<<63 - 1, 12},
	} {
		if got := strings.Count(progressBar(tc.now, tc.until), "█"); got != tc.filled {
			t.Errorf("%v of %v fills %d, want %d", tc.now, tc.until, got, tc.filled)
		}
	}
}
