package standing

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
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
