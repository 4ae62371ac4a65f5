//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// endless is a lab that takes hours of wall time.
var endless = strings.NewReplacer(`duration = "2s"`, `duration = "9000h"`, "10pps", "1000pps", "  stop = \"1s\"\n", "").Replace(hosts)

// begin starts a run of the endless lab and waits until it writes.
func begin(t *testing.T, out io.Writer, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithTimeout(context.Background(), processTimeout)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, program(t), append([]string{"run", write(t, "endless.hcl", endless), "--out", dir}, args...)...)
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // for a test that fails
	for info := os.FileInfo(nil); info == nil || info.Size() == 0; {
		time.Sleep(20 * time.Millisecond)
		var err error
		if info, err = os.Stat(filepath.Join(dir, traceFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if ctx.Err() != nil {
			t.Fatal("the run wrote nothing")
		}
	}
	return cmd, dir
}

// TestInterrupt: a run that is interrupted writes and says what it has.
func TestInterrupt(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			var out bytes.Buffer
			cmd, dir := begin(t, &out)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its status is looked at below
			if status := cmd.ProcessState.ExitCode(); status != exitInterrupted {
				t.Errorf("status %d, want %d", status, exitInterrupted)
			}
			_, result := closing(t, outcome{out: out.String()})
			if !strings.HasPrefix(result, "result  interrupted  ") {
				t.Errorf("last line is %q", result)
			}
			for _, name := range []string{resultFile, traceFile, captureFile, ladderFile, wiresharkDir + "/esp_sa"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
			trace, err := os.ReadFile(filepath.Join(dir, traceFile))
			if err != nil || !bytes.HasSuffix(trace, []byte("}\n")) {
				t.Errorf("the trace does not end with a whole record: %v", err)
			}
		})
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
	cmd, dir := begin(t, write)
	_ = write.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	// It has stopped when the result is there, and now hangs in printing it.
	for deadline := time.Now().Add(processTimeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(dir, resultFile)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the first interrupt did not stop the run")
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is looked at below
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGINT {
		t.Errorf("the program ended with %v, want the signal's death", cmd.ProcessState)
	}
}
