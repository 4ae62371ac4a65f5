package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/sim/netns"
)

// downTimeout bounds what one lab may take to go.
const downTimeout = 2 * time.Minute

func newDownCommand(std stdio) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down [LAB]",
		Short: "Take a lab down that stands, and clear away what dead ones left",
		Long: `down ends a lab that stands, with everything in it, and waits until nothing of it is left. A
holder that does not answer for ten seconds, or has not ended after twenty, is killed. Whatever
of a lab's folder of state was taken away, its process is found; what somebody else has put
into that folder stays.
Labs and runs whose process died, killed by whatever it was, are cleared away too: their
namespaces and everything in them, and nothing else. Where nothing in a dead lab's folder says
what it had, namespaces with its name stay, and down names them and fails. Without LAB the one that stands is
meant; --all takes all of them down. With nothing to do it says so.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usageError("either a lab or --all")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), downTimeout)
			defer cancel()
			return down(ctx, std, append(args, "")[0], all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "take all labs down")
	return cmd
}

// down takes labs down.
func down(ctx context.Context, std stdio, name string, all bool) error {
	if strings.ContainsRune(name, '/') {
		return usageError("%q is no lab's name; ikelab status lists those that stand", name)
	}
	var errs []error
	if err := standing.AwaitStarts(ctx, name); err != nil {
		if name != "" || ctx.Err() != nil || netns.CheckState() != nil {
			return standingError(ctx, err)
		}
		errs = append(errs, internalError("%w", err)) // others go nevertheless
	}
	_, dead, err := standingLabs()
	if err != nil {
		return err
	}
	// The last words of those who died are in the logs that go now.
	words := map[string]string{}
	for _, id := range dead {
		words[id] = lastWords(id)
	}
	swept, err := sweep()
	if err != nil {
		return internalError("%w", err)
	}
	did := false
	stand := netns.Astray()
	for _, s := range swept {
		if s.Standing {
			if !s.Run {
				stand = append(stand, s.ID)
			}
			continue
		}
		if err := standing.Lost(s); err != nil {
			if name == "" || name != s.ID { // else it is said below
				errs = append(errs, internalError("%w", err))
			}
			continue
		}
		did = true
		if err := line(std, "%s: cleared away what it left behind%s%s", s.ID, stays(s.ID, s.Foreign), words[s.ID]); err != nil {
			return err
		}
	}
	switch {
	case all:
	case name != "":
		stand = []string{name} // which may also be a run, or one that is just going
	case len(stand) > 1:
		return usageError("%d labs stand: %s; say which", len(stand), strings.Join(stand, ", "))
	}
	for _, id := range stand {
		went, err := standing.Down(ctx, id)
		var run *standing.RunError
		switch {
		case errors.As(err, &run):
			errs = append(errs, usageError("%w", err))
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			errs = append(errs, internalError("lab %q does not go: %w", id, err))
		case err != nil:
			errs = append(errs, standingError(ctx, err))
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			break // one word about it is enough
		}
		if err != nil || !went.Was {
			continue
		}
		did = true
		if err := line(std, "%s", saidOf(id, went)); err != nil {
			return err
		}
	}
	if !did && len(errs) == 0 {
		if name != "" {
			return line(std, "lab %s does not stand; nothing to do", name)
		}
		return line(std, "no lab stands; nothing to do")
	}
	return errors.Join(errs...)
}

// saidOf says how a lab went.
func saidOf(id string, went standing.Went) string {
	text := id + " is down"
	if went.Killed {
		text += "; its holder did not answer and was killed"
	}
	return text + stays(id, went.Foreign)
}

// stays says that a lab's folder stays for what somebody has put there.
func stays(id, foreign string) string {
	if foreign == "" {
		return ""
	}
	return fmt.Sprintf("; %s stays, because it holds %q, which is no lab's", netns.Folder(id), foreign)
}

// A run without root whose process was killed takes a moment to end: that of its process namespace.
const (
	sweepFor   = 500 * time.Millisecond
	sweepPause = 25 * time.Millisecond
)

// sweep clears away what dead labs left, and looks again for a while where a run may be dying.
func sweep() (all []netns.Swept, err error) {
	for begun := time.Now(); ; time.Sleep(sweepPause) {
		some, err := netns.Sweep()
		all = append(slices.DeleteFunc(all, func(s netns.Swept) bool { return s.Standing }), some...)
		runs := slices.ContainsFunc(some, func(s netns.Swept) bool { return s.Standing && s.Run })
		if err != nil || !runs || time.Since(begun) > sweepFor {
			return all, err
		}
	}
}

// lastWordsBytes is how much of a log is shown.
const lastWordsBytes = 600

// lastWords is the end of a dead lab's log.
func lastWords(id string) string {
	text, err := os.ReadFile(standing.LogFile(id))
	if err != nil || len(text) == 0 {
		return ""
	}
	if len(text) > lastWordsBytes {
		text = text[len(text)-lastWordsBytes:]
	}
	return "; the last that its holder wrote:\n" + string(text)
}
