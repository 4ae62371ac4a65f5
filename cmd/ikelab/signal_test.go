//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endless is a lab that takes hours of wall time.
var endless = strings.NewReplacer(`duration = "2s"`, `duration = "8000h"`, "10pps", "1000pps", "  stop = \"1s\"\n", "").Replace(hosts)

// started is a run of the endless lab in a process of its own.
type started struct {
	process *os.Process
	dir     string // --out
	ended   chan struct{}
	state   *os.ProcessState // when it has ended
	errs    bytes.Buffer
}

// begin starts a run of the endless lab and waits until it writes.
func begin(t *testing.T, out io.Writer) *started {
	t.Helper()
	s := &started{dir: filepath.Join(t.TempDir(), "out"), ended: make(chan struct{})}
	cmd := exec.Command(program(t), "run", write(t, "endless.hcl", endless), "--out", s.dir)
	cmd.Stdout, cmd.Stderr = out, &s.errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	go func() {
		_ = cmd.Wait() // the state says it
		s.state = cmd.ProcessState
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.process.Kill() // of a test that failed; usually it has ended
		<-s.ended
	})
	s.await(t, "the run to write its trace", func() bool {
		info, err := os.Stat(filepath.Join(s.dir, traceFile))
		return err == nil && info.Size() > 0
	})
	return s
}

// await waits until something has come true while the run goes on.
func (s *started) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(processTimeout); !done(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.ended:
			t.Fatalf("waiting for %s, the program ended with %v: %s", what, s.state, s.errs.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// signal sends a signal.
func (s *started) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := s.process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// end waits until the program has ended.
func (s *started) end(t *testing.T) *os.ProcessState {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(processTimeout):
		t.Fatal("the program does not end")
	}
	return s.state
}

// TestInterrupt: a run that is interrupted writes and says what it has.
func TestInterrupt(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) {
			if signal.Ignored(sig) {
				t.Skipf("needs %v, which this process has been told to ignore; cure: run the tests without nohup", sig)
			}
			var out bytes.Buffer
			run := begin(t, &out)
			run.signal(t, sig)
			if status := run.end(t).ExitCode(); status != exitInterrupted {
				t.Errorf("status %d, want %d", status, exitInterrupted)
			}
			_, result := closing(t, outcome{out: out.String()})
			if !strings.HasPrefix(result, "result  interrupted  ") {
				t.Errorf("last line is %q", result)
			}
			for _, name := range []string{resultFile, traceFile, captureFile, ladderFile, wiresharkDir + "/esp_sa"} {
				if _, err := os.Stat(filepath.Join(run.dir, name)); err != nil {
					t.Error(err)
				}
			}
			trace, err := os.ReadFile(filepath.Join(run.dir, traceFile))
			if err != nil || !bytes.HasSuffix(trace, []byte("}\n")) {
				t.Errorf("the trace does not end with a whole record: %v", err)
			}
		})
	}
}

// TestInterruptTwiceAtOnce: the two signals that timeout(1) sends do not cost the result.
func TestInterruptTwiceAtOnce(t *testing.T) {
	for range 10 {
		var out bytes.Buffer
		run := begin(t, &out)
		run.signal(t, syscall.SIGTERM)
		// As a second process could be late, but never so late as a person.
		time.Sleep(time.Millisecond)
		_ = run.process.Signal(syscall.SIGTERM) // it may be quick
		if status := run.end(t).ExitCode(); status != exitInterrupted {
			t.Errorf("status %d, want %d", status, exitInterrupted)
		}
		if _, result := closing(t, outcome{out: out.String()}); !strings.HasPrefix(result, "result  interrupted  ") {
			t.Errorf("last line is %q", result)
		}
	}
}

// TestInterruptOfFmt: who typed "fmt -" and thinks better of it is not held until the end of the input.
func TestInterruptOfFmt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	typed, in := io.Pipe()
	defer func() { _ = in.Close() }() // ends the reader
	go func() {
		_, _ = io.WriteString(in, "lab \"half\" {\n") // taken by a reader that goes on reading
		cancel()
	}()
	var out, errs bytes.Buffer
	if status := execute(ctx, []string{"fmt", "-"}, stdio{typed, &out, &errs}); status != exitInterrupted {
		t.Errorf("status %d, want %d", status, exitInterrupted)
	}
	if out.Len()+errs.Len() > 0 {
		t.Errorf("it says %q and %q", out.String(), errs.String())
	}
}

// TestSecondInterruptEndsAtOnce: a program that hangs, here because nobody reads what it prints, is not asked twice.
func TestSecondInterruptEndsAtOnce(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	// Fill the pipe, so that the first byte of the result blocks.
	if err := write.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := write.Write(make([]byte, 1<<22)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("filling a pipe: %v", err)
	}
	run := begin(t, write)
	_ = write.Close()
	run.signal(t, os.Interrupt)
	run.await(t, "the result", func() bool {
		_, err := os.Stat(filepath.Join(run.dir, resultFile))
		return err == nil
	})
	// It has written its files and hangs in printing. What comes together with the first is still the first.
	for deadline, ended := time.Now().Add(processTimeout), false; !ended; {
		time.Sleep(2 * sameRequest)
		if err := run.process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
		select {
		case <-run.ended:
			ended = true
		default:
			if time.Now().After(deadline) {
				t.Fatal("the program does not end")
			}
		}
	}
	state := run.end(t)
	if ws, ok := state.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("the program ended with %v, want the signal's death", state)
	}
}
