package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/rootless"
	"github.com/ikelab/ikelab/sim/netns"
)

func newRootlessCommand() *cobra.Command {
	return &cobra.Command{
		Use:    rootlessCommand,
		Short:  "Run ikelab as root of a user namespace; no command for people",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			status, err := rootless.Init(args)
			if err != nil {
				return startError(err)
			}
			return silent(status)
		},
	}
}

// inUserNamespace runs this command line again as root of a user namespace, where the person is not root and an engine
// needs network namespaces. Without need it answers false.
func inUserNamespace(std stdio, engines ...engineChoice) (bool, error) {
	need := false
	for _, e := range engines {
		need = need || e.name == netnsEngine.name
	}
	if !need || !rootless.Needed() {
		return false, nil
	}
	in, out, errs := asFile(std.in), asFile(std.out), asFile(std.err)
	if in == nil || out == nil || errs == nil {
		return true, capabilityError("this host lacks %s: user id is %d; cure: run as root", rightsCapability, os.Geteuid())
	}
	if err := shareState(); err != nil {
		return true, err
	}
	status, err := rootless.Run(rootlessCommand, os.Args[1:], in, out, errs)
	if err != nil {
		return true, startError(err)
	}
	return true, silent(status)
}

// shareState lets what runs in a user namespace keep the state of labs where this user looks for it.
func shareState() error {
	if err := netns.MakeState(); err != nil {
		return internalError("%w", err)
	}
	if err := os.Setenv("IKELAB_STATE_DIR", netns.StateDir()); err != nil {
		return internalError("%w", err)
	}
	return nil
}

// userNamespaceError says that neither root nor a user namespace is to be had.
func userNamespaceError(err error) error {
	return capabilityError("this host lacks %s: user id is %d, and %w; cure: %s", rightsCapability, os.Geteuid(), err, rightsCure)
}
