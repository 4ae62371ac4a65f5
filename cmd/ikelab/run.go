package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/report"
)

// Cuts of what run prints; with --out everything is in files.
const (
	pairsPrintedMax = 3
	rowsPrintedMax  = 16
	rungsPrintedMax = 64
)

// runFlags are run's flags.
type runFlags struct {
	engine string
	seed   uint64
	seeded bool
	vars   []string
	until  time.Duration
	out    string
	asJSON bool
}

func newRunCommand(std stdio) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run LAB",
		Short: "Run a lab to its end and judge it",
		Long: `run carries a lab out, in virtual time or with --engine netns in network namespaces of this
host, checks its expectations and the invariants that hold in every lab, and prints the
ladder of the IKE exchanges, the figures and the verdicts. The last two lines of standard
output are

  digest  sha256:...
  result  pass|fail|interrupted  expectations N/M  invariants N/M

In virtual time the same lab, seed and version give the same digest on every machine.

--out DIR writes result.json, trace.jsonl, capture.pcapng, ladder.txt, and wireshark/ with
the keys and settings that show the capture decrypted, all for your eyes alone. Files of an
earlier run are replaced, others are left alone; links are not followed.

An interrupt (Ctrl-C), or a terminal that goes, ends the run, which then writes and prints
what it has; a second one ends the program at once.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.seeded = cmd.Flags().Changed("seed")
			if cmd.Flags().Changed("until") && f.until <= 0 {
				return usageError("--until %v: want a duration greater than zero, such as 30s", f.until)
			}
			return runLab(cmd.Context(), std, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.engine, "engine", "sim", "sim: virtual time; netns: real network namespaces; guest comes with a later version")
	flags.Uint64Var(&f.seed, "seed", 0, "seed in place of the lab's")
	flags.StringArrayVar(&f.vars, "var", nil, "value of a variable of the lab, `name=value`; may be repeated")
	flags.DurationVar(&f.until, "until", 0, "end the run at this virtual time, before the lab's own end")
	flags.StringVar(&f.out, "out", "", "`directory` for result, trace, capture, keys and ladder")
	flags.BoolVar(&f.asJSON, "json", false, "print the result as JSON, and nothing else, on standard output")
	return cmd
}

// runLab is run, its command line being read.
func runLab(ctx context.Context, std stdio, lab string, f runFlags) error {
	choice, err := engineNamed(f.engine)
	if err != nil {
		return err
	}
	if again, err := inUserNamespace(std, choice); again {
		return err
	}
	engine := choice.make()
	plan, err := loadLab(std, lab, f.vars)
	if err != nil {
		return err
	}
	opt := sim.Options{Until: f.until}
	opt.Trace.RecordsMax = 1 // nothing here reads them back; with --out they go to the file
	if f.seeded {
		opt.Seed = &f.seed
	}
	var show *progress
	var files *artefacts
	var engineOptions sim.EngineOptions
	if f.out != "" {
		// Before the run: who cannot be written to should not be waited for.
		if files, err = createArtefacts(f.out, plan, func(err error) {
			show.stop() // two cannot write to one terminal
			_, _ = fmt.Fprintf(std.err, "ikelab: --out: %v; the run goes on without that file\n", err)
		}); err != nil {
			return outError("--out", err)
		}
		defer files.abandon()
		opt.Trace.Sink = files.trace
		engineOptions.Tap = files
	}
	run, err := sim.New(plan, opt)
	if err != nil {
		return usageError("%s: %w", lab, err)
	}

	show = startProgress(std.err)
	engineOptions.Progress = show.report
	result, engineErr := engine.Run(ctx, run, engineOptions)
	show.stop()
	if result == nil {
		return engineError(f.engine, engineErr)
	}

	// Files that find no room do not cost the verdict.
	var outErr error
	if files != nil {
		gaps, err := files.finish(run, result)
		if err != nil {
			outErr = fmt.Errorf("--out: %w", err)
		}
		for _, gap := range gaps {
			_, _ = fmt.Fprintln(std.err, "ikelab: Wireshark does not show all of", gap)
		}
	}
	if err := errors.Join(printResult(std, result, f), outErr); err != nil {
		return internalError("%w", err)
	}
	switch {
	case result.Interrupted:
		return silent(exitInterrupted)
	case engineErr != nil:
		return internalError("%w", engineErr)
	case !result.OK():
		return silent(exitFailed)
	}
	return nil
}

// printResult prints what a run came to.
func printResult(std stdio, result *sim.Result, f runFlags) error {
	if f.asJSON {
		return writeJSON(std.out, result)
	}
	width, color := terminal(std.out)
	return report.Summary(std.out, result, report.Options{
		WidthColumns: width,
		Colour:       color,
		PairsMax:     pairsPrintedMax,
		RowsMax:      rowsPrintedMax,
		RungsMax:     rungsPrintedMax,
		OutDir:       f.out,
		RealTime:     f.engine == netnsEngine.name,
	})
}
