package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/align"
	"github.com/ikelab/ikelab/sim/report"
	"github.com/ikelab/ikelab/topology"
)

const (
	// compareSlack is how long before the end of a run in real time its last events may be missing in the other one:
	// whether a thing happens just before the end or would have just after it is a matter of time.
	compareSlack = 500 * time.Millisecond
	// compareRunsMax bounds --runs; every run's answer is kept.
	compareRunsMax = 1000
)

// Verdicts of a comparison.
const (
	verdictSame   = "same"
	verdictDiffer = "differ"
	// verdictStated is for a difference of which the lab says why.
	verdictStated = "stated"
)

// compareFlags are compare's flags.
type compareFlags struct {
	engines []string
	seed    uint64
	seeded  bool
	vars    []string
	until   time.Duration
	runs    int
	asJSON  bool
	// otherVars and otherSeed are for the second engine's runs alone.
	otherVars   []string
	otherSeed   uint64
	otherSeeded bool
}

// other are the flags for the second engine's runs. A variable that is given for them takes the place of its value in
// both.
func (f compareFlags) other() (compareFlags, error) {
	special, err := parseVars(f.otherVars)
	if err != nil {
		return f, err
	}
	f.vars = slices.DeleteFunc(slices.Clone(f.vars), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, again := special[name]
		return again
	})
	f.vars = append(f.vars, f.otherVars...)
	if f.otherSeeded {
		f.seed, f.seeded = f.otherSeed, true
	}
	return f, nil
}

func newCompareCommand(std stdio) *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare LAB",
		Short: "Run a lab in two engines and compare their protocol events",
		Long: `compare runs a lab in two engines and compares what their nodes' IKE did, for each IKE SA at
each node: the same events in the same order, or the first difference with both ladders
around it. SPIs, message IDs, payloads, proposals, selectors, keys, reasons and
retransmissions are compared; time is not, nor is the order between different IKE SAs.

A lab in which engines must differ says why in its attribute engines_differ; compare then
prints the reason, and says so when they do not differ any more.

--other-seed and --other-var change the lab for the second engine alone: with
--engines sim,sim they show what a seed or a variable does to the protocol.

--runs N runs the second engine N times and compares each run with that of the first.

The last line of standard output is

  compare  same|differ|stated  runs N/M  IKE SAs N/M

Exit status: 0 the same, or different for the reason that the lab states; 1 different, or an
expectation or invariant failed in a run.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.seeded, f.otherSeeded = cmd.Flags().Changed("seed"), cmd.Flags().Changed("other-seed")
			switch {
			case cmd.Flags().Changed("until") && f.until <= 0:
				return usageError("--until %v: want a duration greater than zero, such as 30s", f.until)
			case len(f.engines) != 2:
				return usageError("--engines %s: want two, such as sim,netns", strings.Join(f.engines, ","))
			case f.runs < 1 || f.runs > compareRunsMax:
				return usageError("--runs %d: want 1 to %d", f.runs, compareRunsMax)
			}
			return compareLab(cmd.Context(), std, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.engines, "engines", []string{"sim", "netns"}, "the two engines; one may be named twice")
	flags.Uint64Var(&f.seed, "seed", 0, "seed in place of the lab's")
	flags.StringArrayVar(&f.vars, "var", nil, "value of a variable of the lab, `name=value`; may be repeated")
	flags.Uint64Var(&f.otherSeed, "other-seed", 0, "seed for the second engine alone")
	flags.StringArrayVar(&f.otherVars, "other-var", nil, "value of a variable, `name=value`, for the second engine alone; may be repeated")
	flags.DurationVar(&f.until, "until", 0, "end the runs at this time of the lab, before its own end")
	flags.IntVar(&f.runs, "runs", 1, "how often to run the second engine")
	flags.BoolVar(&f.asJSON, "json", false, "print the comparison as JSON, and nothing else, on standard output")
	return cmd
}

// comparison is what compare comes to, and the document that --json prints (docs/compare.md).
type comparison struct {
	Lab     string `json:"lab"`
	Verdict string `json:"verdict"` // "same", "differ" or "stated"
	// EnginesDiffer is why the lab says that engines differ.
	EnginesDiffer string        `json:"engines_differ,omitempty"`
	Runs          []comparedRun `json:"runs"`
	// Comparisons are those of the first run with each of the others.
	Comparisons []*align.Report `json:"comparisons"`
}

// comparedRun is one of the runs.
type comparedRun struct {
	Name    string        `json:"name"`
	Engine  string        `json:"engine"`
	Seed    uint64        `json:"seed"`
	Pass    bool          `json:"pass"`
	Ended   time.Duration `json:"ended_ns"`
	Digest  string        `json:"digest"`
	Failed  []string      `json:"failed"` // names of expectations and invariants
	Stopped string        `json:"stopped,omitempty"`

	side align.Side
}

// compareLab is compare, its command line being read.
func compareLab(ctx context.Context, std stdio, lab string, f compareFlags) error {
	var choices [2]engineChoice
	for i, name := range f.engines {
		var err error
		if choices[i], err = engineNamed(strings.TrimSpace(name)); err != nil {
			return err
		}
	}
	first, second := choices[0], choices[1]
	if again, err := inUserNamespace(std, first, second); again {
		return err
	}
	other, err := f.other()
	if err != nil {
		return err
	}
	plan, err := loadLab(std, lab, f.vars)
	if err != nil {
		return err
	}
	otherPlan := plan
	if len(f.otherVars) > 0 {
		if otherPlan, err = loadLab(std, lab, other.vars); err != nil {
			return err
		}
	}
	// What a lab says of engines is about the same lab in both.
	foreign := first.name != second.name && len(f.otherVars) == 0 && !f.otherSeeded
	c := comparison{Lab: plan.Lab.Name, Verdict: verdictSame, EnginesDiffer: plan.Lab.EnginesDiffer}
	var opt align.Options
	if !first.exact || !second.exact {
		opt.Slack = compareSlack
	}
	for n := range f.runs + 1 {
		var run comparedRun
		if n == 0 {
			run, err = comparedRunOf(ctx, std, lab, plan, first, f)
		} else {
			run, err = comparedRunOf(ctx, std, lab, otherPlan, second, other)
		}
		if err != nil {
			return err
		}
		run.Name = comparedName(f, first, second, n)
		run.side.Name = run.Name
		c.Runs = append(c.Runs, run)
		c.Runs[n].Seed = run.side.Result.Seed
		if n == 0 {
			continue
		}
		r := align.Compare(c.Runs[0].side, run.side, opt)
		c.Comparisons = append(c.Comparisons, r)
		if !r.Same {
			c.Verdict = verdictDiffer
		}
		// What was compared needs no more room.
		c.Runs[n].side.Protocol = sim.Protocol{}
	}
	if c.Verdict == verdictDiffer && c.EnginesDiffer != "" && foreign {
		c.Verdict = verdictStated
	}
	if f.asJSON {
		err = writeJSON(std.out, c)
	} else {
		err = c.print(std.out, foreign)
	}
	if err != nil {
		return internalError("%w", err)
	}
	for _, run := range c.Runs {
		if !run.Pass {
			return silent(exitFailed)
		}
	}
	if c.Verdict == verdictDiffer {
		return silent(exitFailed)
	}
	return nil
}

// comparedName names the n-th run.
func comparedName(f compareFlags, first, second engineChoice, n int) string {
	switch {
	case first.name == second.name:
		return fmt.Sprintf("%s #%d", first.name, n+1)
	case n == 0:
		return first.name
	case f.runs == 1:
		return second.name
	}
	return fmt.Sprintf("%s #%d", second.name, n)
}

// comparedRunOf runs the lab in an engine.
func comparedRunOf(ctx context.Context, std stdio, lab string, plan *topology.Plan, choice engineChoice, f compareFlags) (comparedRun, error) {
	opt := sim.Options{Until: f.until, Protocol: true}
	opt.Trace.RecordsMax = 1
	if f.seeded {
		opt.Seed = &f.seed
	}
	run, err := sim.New(plan, opt)
	if err != nil {
		return comparedRun{}, usageError("%s: %w", lab, err)
	}
	show := startProgress(std.err)
	result, err := choice.make().Run(ctx, run, sim.EngineOptions{Progress: show.report})
	show.stop()
	switch {
	case err != nil:
		return comparedRun{}, engineError(choice.name, err)
	case result.Interrupted:
		_, _ = fmt.Fprintf(std.err, "ikelab: interrupted while %s ran the lab; nothing was compared\n", choice.name)
		return comparedRun{}, silent(exitInterrupted)
	}
	p := run.Protocol()
	if p.Omitted > 0 {
		return comparedRun{}, internalError("%s: the run had %d protocol events more than are kept; --until ends it earlier", choice.name, p.Omitted)
	}
	out := comparedRun{
		Engine: choice.name, Pass: result.OK(), Ended: result.Ended, Digest: "sha256:" + result.Digest, Stopped: result.Stopped,
		Failed: []string{}, side: align.Side{Protocol: p, Result: result},
	}
	for _, e := range result.Expectations {
		if !e.Pass {
			out.Failed = append(out.Failed, e.Name)
		}
	}
	for _, i := range result.Invariants {
		if !i.Pass && !i.Off {
			out.Failed = append(out.Failed, i.Name)
		}
	}
	return out, nil
}

// print writes the comparison for a person. foreign says that two different engines ran the same lab, of which alone
// a lab may say that they differ.
func (c *comparison) print(w io.Writer, foreign bool) error {
	width, color := terminal(w)
	o := report.Options{WidthColumns: width, Colour: color, PairsMax: pairsPrintedMax, RowsMax: rowsPrintedMax}
	runs := make([]report.NamedResult, len(c.Runs))
	for i, run := range c.Runs {
		runs[i] = report.NamedResult{Name: run.Name, Result: run.side.Result}
	}
	if err := report.Runs(w, runs, o); err != nil {
		return err
	}
	same, sas, sasSame := 0, 0, 0
	for _, r := range c.Comparisons {
		brief := r.Same && len(c.Comparisons) > 1
		if err := report.Comparison(w, r, brief, o); err != nil {
			return err
		}
		if r.Same {
			same++
		}
		for i := range r.SAs {
			if sas++; r.SAs[i].Agrees() {
				sasSame++
			}
		}
	}
	if foreign && c.EnginesDiffer != "" {
		if err := report.EnginesDiffer(w, c.EnginesDiffer, c.Verdict == verdictStated, o); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\ncompare  %s  runs %d/%d  IKE SAs %d/%d\n", c.Verdict, same, len(c.Comparisons), sasSame, sas)
	return err
}
