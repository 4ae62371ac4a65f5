package main

import (
	"context"
	"errors"
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
holder that does not answer for ten seconds, or has not ended after twenty, is killed.
Labs and runs whose process died, killed by whatever it was, are cleared away too: their
namespaces and everything in them, and nothing else. Without LAB the one that stands is
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
	stand, dead, err := standingLabs()
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
	for _, s := range swept {
		if s.Standing {
			continue
		}
		did = true
		if err := line(std, "%s: cleared away what it left behind%s", s.ID, words[s.ID]); err != nil {
			return err
		}
	}
	switch {
	case all:
	case name != "":
		stand = slices.DeleteFunc(stand, func(id string) bool { return id != name })
		if len(stand) == 0 && slices.ContainsFunc(swept, func(s netns.Swept) bool { return s.Standing && s.ID == name }) {
			stand = []string{name} // a run, or one that is just going
		}
	case len(stand) > 1:
		_, err := chooseLab("")
		return err
	}
	for _, id := range stand {
		was, killed, err := standing.Down(ctx, id)
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
		if err != nil {
			continue
		}
		did = did || was
		text := "%s is down"
		if killed {
			text += "; its holder did not answer and was killed"
		}
		if err := line(std, text, id); err != nil {
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
		runs := slices.ContainsFunc(some, func(s netns.Swept) bool { return s.Standing && standing.IsRun(s.ID) })
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
