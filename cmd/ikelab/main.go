package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
)

func main() {
	// The first signal asks a run to stop and write what it has. After it the default is restored, so that a second
	// one ends the program at once; but not one so soon that it is the same request.
	ctx, restore := signal.NotifyContext(context.Background(), enders()...)
	context.AfterFunc(ctx, func() {
		time.Sleep(sameRequest)
		restore()
	})
	status := execute(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	restore()
	os.Exit(status)
}

// enders are the signals that ask a program to end: a terminal that goes is one, but not under nohup(1).
func enders() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// sameRequest is how close together signals come that are one request: timeout(1) sends one to its child and another to
// the whole group. No person interrupts twice so soon.
const sameRequest = 100 * time.Millisecond

// Names of the hidden commands, by which the program starts itself.
const (
	holderCommand   = "holder"
	rootlessCommand = "rootless"
	probeCommand    = "probe"
)

var hiddenCommands = []string{holderCommand, rootlessCommand, probeCommand}

// stdio is what a command reads and writes.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// execute runs one command line and answers the exit status.
func execute(ctx context.Context, args []string, std stdio) int {
	// What is printed quotes labs, processes and networks.
	out, errs := guarded(std.out), guarded(std.err)
	std.out, std.err = out, errs
	defer func() { _, _ = out.Close(), errs.Close() }() // half a character, at the most
	root := newRoot(std)
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for os.Args
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		_, _ = fmt.Fprintln(std.err, "ikelab:", err)
	}
	return statusOf(err)
}

// guarded is a stream for text that quotes others. What must come out as it is goes to the file behind it.
func guarded(w io.Writer) *screen.Writer {
	_, color := terminal(w)
	return screen.New(w, color)
}

func newRoot(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "ikelab",
		Short: "IPsec labs in virtual time and in network namespaces",
		Long: `ikelab runs labs: one HCL file describes hosts, gateways, links, faults and traffic;
every gateway negotiates IKEv2 and carries ESP. In virtual time a run is fast, and the same on
every machine for the same seed; in network namespaces the same lab has real kernels and
sockets, and can be left standing to work in (ikelab up).

Exit status: 0 everything held; 1 an expectation or invariant failed; 2 the lab or the
command line is wrong; 3 this host lacks something, named; 4 an internal or IO error;
130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help() // to standard output; what fails there fails for the caller too
			return silent(exitUsage)
		},
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w; see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(standingCommands(std)...)
	root.AddCommand(
		newRunCommand(std),
		newCompareCommand(std),
		newValidateCommand(std),
		newFmtCommand(std),
		newGraphCommand(std),
		newDecodeCommand(std),
		newDoctorCommand(std),
		newVersionCommand(std),
	)
	return root
}
