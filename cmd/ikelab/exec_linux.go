package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
)

// Exit statuses of commands that did not start, as shells have them.
const (
	statusNoStart  = 126
	statusNotFound = 127
)

func newExecCommand(std stdio) *cobra.Command {
	var lab string
	cmd := &cobra.Command{
		Use:   "exec [-l LAB] NODE -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a node of a lab that stands",
		Long: `exec runs a command in the network namespace of a node, with this terminal or these files as
its input and output, this working directory and this environment. From a directory that is
gone, or that the lab's holder cannot enter, it starts in / and exec says so on standard error.
Its exit status is the command's, or 128 and the number of the signal that ended it; 127 and
126 say that it does not exist and cannot be started. Signals are passed on, and the command
ends with exec, also when a signal finds no holder that answers.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("in which node shall what run? Such as: ikelab exec NODE -- ip address; ikelab status names the nodes")
			}
			node, command := args[0], args[1:]
			if len(command) > 0 && command[0] == "--" {
				command = command[1:]
			}
			if len(command) == 0 {
				return usageError("what shall run in %s? Such as: ikelab exec %s -- ip address", node, node)
			}
			return execIn(cmd.Context(), std, lab, node, command)
		},
	}
	labFlag(cmd, &lab)
	cmd.Flags().SetInterspersed(false) // what follows the node is the command's
	return cmd
}

// adminPath is where Debian keeps ip, tcpdump and their like, and people's PATH does not look.
const adminPath = "/usr/sbin:/sbin"

// lookUp finds a command as a shell does, and beside PATH where administrators' tools are.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !strings.ContainsRune(name, '/') {
		for _, dir := range filepath.SplitList(adminPath) {
			if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return p, nil
			}
		}
	}
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// execIn runs a command in a node.
func execIn(ctx context.Context, std stdio, lab, node string, command []string) error {
	c, _, err := dialLab(ctx, lab)
	if err != nil {
		return err
	}
	defer c.Close()
	files := [...]*os.File{asFile(std.in), asFile(std.out), asFile(std.err)}
	for _, f := range files {
		if f == nil {
			return internalError("standard input, output and error must be files")
		}
	}
	path, err := lookUp(command[0])
	if err != nil {
		// The node's name comes first: it may be what is wrong.
		path = command[0]
		if !filepath.IsAbs(path) {
			path = filepath.Join("/nonexistent", filepath.Base(path))
		}
	}
	notice := func(text string) { _, _ = fmt.Fprintln(std.err, "ikelab: "+text) }
	dir, err := os.Getwd()
	if err != nil {
		notice(fmt.Sprintf("this folder is gone, or cannot be entered (%v): the command starts in /", err))
		dir = ""
	}
	// Before the command starts: who interrupts means the command.
	signals, restore := standing.Signals()
	defer restore()
	spec := standing.Command{Node: node, Path: path, Args: command, Env: os.Environ(), Dir: dir}
	status, err := runOn(c, spec, files, signals, notice)
	var f *standing.Failure
	switch {
	case errors.As(err, &f) && f.Kind == standing.KindNotFound:
		return &statusError{statusNotFound, errors.New(command[0] + ": command not found")}
	case errors.As(err, &f) && f.Kind == standing.KindNoStart:
		return &statusError{statusNoStart, err}
	case err != nil:
		return standingError(ctx, err)
	}
	return silent(status)
}
