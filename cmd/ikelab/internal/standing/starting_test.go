package standing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim/netns"
)

// TestStarting: whoever clears away waits for those who make a lab, and who makes one finds a lock of its own.
func TestStarting(t *testing.T) {
	t.Setenv("IKELAB_STATE_DIR", t.TempDir())
	ctx := t.Context()
	if err := AwaitStarts(ctx, ""); err != nil {
		t.Errorf("of nobody: %v", err)
	}
	maker, err := Starting(ctx, "lab")
	if err != nil {
		t.Fatal(err)
	}
	holder, err := Starting(ctx, "lab")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	for _, id := range []string{"lab", ""} {
		if err := AwaitStarts(short, id); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("while %q is being made: %v", id, err)
		}
	}
	if err := AwaitStarts(ctx, "other"); err != nil {
		t.Errorf("of another lab: %v", err)
	}
	waited := make(chan error)
	go func() { waited <- AwaitStarts(ctx, "") }()
	maker.Over("lab")
	select {
	case err := <-waited:
		t.Fatalf("the holder still has the lock, and: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	holder.Over("lab")
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(startingPath("lab")); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}

	// A maker that was killed leaves the file.
	if err := os.WriteFile(startingPath("dead"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := AwaitStarts(ctx, ""); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(startingPath("dead")); !os.IsNotExist(err) {
		t.Errorf("the file of one that was killed is still there: %v", err)
	}
}

// TestLockOfStrangers: a lock that no maker of labs has keeps nobody waiting; one of a maker that does not come to an end
// does for a while, and is named.
func TestLockOfStrangers(t *testing.T) {
	flock := hosttest.Program(t, "flock")
	t.Setenv("IKELAB_STATE_DIR", t.TempDir())
	ctx := t.Context()
	for _, how := range []string{"--exclusive", "--shared"} {
		stranger := exec.Command(flock, "--no-fork", how, startingPath("lab"), "sleep", "1000")
		if err := stranger.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = stranger.Process.Kill()
			_ = stranger.Wait()
		})
		locked := func() bool {
			f, err := os.Open(startingPath("lab"))
			if err != nil {
				return false
			}
			defer func() { _ = f.Close() }()
			return len(netns.Lockers(f)) > 0
		}
		for !locked() { // until the test's own end
			time.Sleep(time.Millisecond)
		}
		maker, err := Starting(ctx, "lab")
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		maker.Over("lab")
		if err := AwaitStarts(ctx, ""); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := os.Stat(startingPath("lab")); !os.IsNotExist(err) {
			t.Errorf("%s: the file is still there: %v", how, err)
		}
	}
	maker, err := Starting(ctx, "lab")
	if err != nil {
		t.Fatal(err)
	}
	defer maker.Over("lab")
	short, cancel := context.WithTimeout(ctx, 2*strangerPatience)
	defer cancel()
	if err := AwaitStarts(short, ""); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("by process %d", os.Getpid())) {
		t.Errorf("of a maker that goes on: %v", err)
	}
}
