package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/sim/netns"
	"github.com/ikelab/ikelab/topology"
)

// standingCommands are those about labs that are left standing, and the hidden ones by which ikelab starts itself.
func standingCommands(std stdio) []*cobra.Command {
	return []*cobra.Command{
		newUpCommand(std),
		newStatusCommand(std),
		newExecCommand(std),
		newDoCommand(std),
		newCaptureCommand(std),
		newDownCommand(std),
		newHolderCommand(std),
		newRootlessCommand(),
		newProbeCommand(std),
	}
}

// labFlag is the flag by which commands that have other arguments say which lab they mean.
func labFlag(cmd *cobra.Command, lab *string) {
	cmd.Flags().StringVarP(lab, "lab", "l", "", "which `lab`; may be left out while one alone stands")
}

// standingLabs are the labs that stand, and those whose holder is gone.
func standingLabs() (stand, dead []string, err error) {
	all, err := netns.List()
	if err != nil {
		return nil, nil, internalError("%w", err)
	}
	for _, s := range all {
		switch _, missing := os.Stat(standing.LogFile(s.ID)); {
		case !s.Standing:
			dead = append(dead, s.ID)
		case missing == nil: // a run has no log
			stand = append(stand, s.ID)
		}
	}
	return stand, dead, nil
}

// chooseLab finds the lab that a command is about.
func chooseLab(name string) (string, error) {
	stand, dead, err := standingLabs()
	if err != nil {
		return "", err
	}
	switch {
	case name != "" && slices.Contains(stand, name), name == "" && len(stand) == 1:
		if name == "" {
			name = stand[0]
		}
		return name, nil
	case name != "" && slices.Contains(dead, name):
		return "", usageError("lab %q: its holder has died; clear away what it left with: ikelab down %s", name, name)
	case len(stand) == 0 && len(dead) > 0:
		return "", usageError("no lab stands; the holder of %s has died: ikelab down %s clears away what it left", dead[0], dead[0])
	case len(stand) == 0:
		return "", usageError("no lab stands; begin with: ikelab up LAB")
	case name != "":
		return "", usageError("no lab %q stands; %s", name, standing.DidYouMean(name, stand))
	}
	return "", usageError("%d labs stand: %s; say which", len(stand), strings.Join(stand, ", "))
}

// dialLab connects to the lab that a command is about.
func dialLab(ctx context.Context, name string) (*standing.Client, string, error) {
	id, err := chooseLab(name)
	if err != nil {
		return nil, "", err
	}
	c, err := standing.Dial(ctx, id)
	if err != nil {
		return nil, "", standingError(ctx, err)
	}
	return c, id, nil
}

// standingError gives what a holder says its exit status, or that of who did not want to wait for it any longer.
func standingError(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return &statusError{exitInterrupted, errors.New("interrupted")}
	}
	if errors.Is(err, standing.ErrNoAnswer) {
		err = fmt.Errorf("%w; ikelab down takes the lab away from it", err)
	}
	var f *standing.Failure
	if errors.As(err, &f) && f.Kind == standing.KindUsage {
		return usageError("%w", err)
	}
	return internalError("%w", err)
}

// loadSource reads a lab once, prints what there is to say about it, and answers it with its plan.
func loadSource(std stdio, path string, vars []string) (standing.Source, *topology.Plan, error) {
	values, err := parseVars(vars)
	if err != nil {
		return standing.Source{}, nil, err
	}
	if err := readable(path); err != nil {
		return standing.Source{}, nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return standing.Source{}, nil, usageError("%w", err)
	}
	source := standing.Source{Path: path, Text: text, Vars: values}
	plan, diags := source.Load()
	if diags.Len() > 0 {
		width, color := terminal(std.err)
		if err := diags.Write(std.err, width, color); err != nil {
			return standing.Source{}, nil, internalError("%w", err)
		}
	}
	if diags.HasErrors() || plan == nil {
		return standing.Source{}, nil, silent(exitUsage)
	}
	// The holder has another working directory than whoever asks it.
	if source.Path, err = filepath.Abs(path); err != nil {
		return standing.Source{}, nil, internalError("%w", err)
	}
	return source, plan, nil
}

// asFile is a stream as the file that it is; nil when it is none, as in tests.
func asFile(stream any) *os.File {
	return screen.File(stream)
}

// line writes a line for a person.
func line(std stdio, format string, args ...any) error {
	if _, err := fmt.Fprintf(std.out, format+"\n", args...); err != nil {
		return internalError("%w", err)
	}
	return nil
}
