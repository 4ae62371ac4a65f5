//go:build !linux

package main

import (
	"context"

	"github.com/spf13/cobra"
)

// standingCommands say that they need Linux.
func standingCommands(stdio) []*cobra.Command {
	var all []*cobra.Command
	for _, name := range []string{"up", "status", "exec", "do", "capture", "down"} {
		all = append(all, &cobra.Command{
			Use: name, Short: "Needs Linux: labs stand in its network namespaces", DisableFlagParsing: true,
			RunE: func(*cobra.Command, []string) error {
				return capabilityError("this host lacks network-namespaces; cure: a Linux host")
			},
		})
	}
	return all
}

// inUserNamespace is for Linux.
func inUserNamespace(stdio, ...engineChoice) (bool, error) { return false, nil }

// netnsError is not called where there is no such engine.
func netnsError(_ context.Context, err error) error { return internalError("%w", err) }
