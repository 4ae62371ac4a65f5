package main

import (
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/report"
)

const (
	// progressAfter is how long a run may take before it shows progress: most end sooner.
	progressAfter = 300 * time.Millisecond
	// progressEvery is the time between two pictures.
	progressEvery = 100 * time.Millisecond
	// progressBarColumns is the length of the bar.
	progressBarColumns = 24
)

// progress shows on a terminal how far a run has come. The engine's goroutine only leaves its figures here; a
// goroutine of its own paints them. The zero value shows nothing.
type progress struct {
	latest atomic.Pointer[sim.Progress]
	quit   chan struct{}
	done   chan struct{}
	once   sync.Once
}

// startProgress begins to show progress if w is a terminal.
func startProgress(w io.Writer) *progress {
	p := new(progress)
	f := screen.File(w)
	if f == nil || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return p
	}
	p.start(f, progressAfter)
	return p
}

// start shows progress on w once the run has taken a while.
func (p *progress) start(w io.Writer, after time.Duration, more ...tea.ProgramOption) {
	p.quit, p.done = make(chan struct{}), make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(p.done)
		select {
		case <-p.quit:
			return
		case <-time.After(after):
		}
		// Signals are main's affair, and without input the terminal stays as it is, so that Ctrl-C is a signal.
		options := append([]tea.ProgramOption{tea.WithOutput(w), tea.WithInput(nil), tea.WithoutSignalHandler()}, more...)
		program := tea.NewProgram(progressModel{source: p, begun: begun}, options...)
		// A terminal that fails costs the picture, not the run.
		_, _ = program.Run()
	}()
}

// report takes the engine's figures. It never waits.
func (p *progress) report(now sim.Progress) { p.latest.Store(&now) }

// stop ends the picture and wipes it. Afterwards the terminal is the caller's, and of whoever stops it once more.
func (p *progress) stop() {
	if p.quit == nil {
		return
	}
	p.once.Do(func() { close(p.quit) })
	<-p.done
}

// progressModel is Bubble Tea's model of the picture: one line, looked at again every so often.
type progressModel struct {
	source *progress
	begun  time.Time
	ended  bool
}

// look is the message that it is time to look again.
type look struct{}

func lookAgain() tea.Cmd {
	return tea.Tick(progressEvery, func(time.Time) tea.Msg { return look{} })
}

// Init implements tea.Model.
func (progressModel) Init() tea.Cmd { return lookAgain() }

// Update implements tea.Model.
func (m progressModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if _, ok := msg.(look); !ok {
		return m, nil
	}
	select {
	case <-m.source.quit:
		m.ended = true
		return m, tea.Quit
	default:
		return m, lookAgain()
	}
}

// View implements tea.Model.
func (m progressModel) View() tea.View {
	now := m.source.latest.Load()
	if m.ended || now == nil {
		return tea.NewView("")
	}
	return tea.NewView(progressBar(now.Now, now.Until) + " " +
		report.ProgressLine(*now, time.Since(m.begun)))
}

// progressBar draws how much of the virtual time is over.
func progressBar(now, until time.Duration) string {
	filled := 0
	if until > 0 {
		filled = int(min(int64(progressBarColumns), int64(progressBarColumns)*int64(now/time.Microsecond)/max(int64(until/time.Microsecond), 1)))
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", progressBarColumns-filled)
}
