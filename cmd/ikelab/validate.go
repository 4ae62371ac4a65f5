package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/topology"
)

// validation is what validate --json says of one file.
type validation struct {
	File        string                `json:"file"`
	Valid       bool                  `json:"valid"`
	Diagnostics []validationComplaint `json:"diagnostics"`
}

// validationComplaint is one diagnostic. Lines and columns count from 1; the end is behind the last character.
type validationComplaint struct {
	Severity  string `json:"severity"` // "error" or "warning"
	Summary   string `json:"summary"`
	Detail    string `json:"detail"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
}

func newValidateCommand(std stdio) *cobra.Command {
	var vars []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate LAB...",
		Short: "Check labs without running them",
		Long: `validate reads labs, reports everything that is wrong with them in one go, each
complaint with file, line, the offending text and the remedy, and runs nothing.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, labs []string) error {
			if asJSON {
				return validateJSON(std, labs, vars)
			}
			var first error
			for _, lab := range labs {
				plan, err := loadLab(std, lab, vars)
				if err == nil {
					_, err = fmt.Fprintf(std.out, "%s is valid: %s\n", lab, contents(plan))
					if err != nil {
						err = internalError("%w", err)
					}
				}
				if err != nil && err.Error() != "" && len(labs) > 1 {
					_, _ = fmt.Fprintln(std.err, "ikelab:", err)
					err = silent(statusOf(err))
				}
				if first == nil {
					first = err
				}
			}
			return first
		},
	}
	cmd.Flags().StringArrayVar(&vars, "var", nil, "value of a variable of the lab, `name=value`; may be repeated")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the diagnostics as JSON")
	return cmd
}

func validateJSON(std stdio, labs, vars []string) error {
	values, err := parseVars(vars)
	if err != nil {
		return err
	}
	all, valid := make([]validation, 0, len(labs)), true
	for _, lab := range labs {
		if err := readable(lab); err != nil {
			return err
		}
		_, diags := topology.Load(disk{}, lab, values)
		v := validation{File: lab, Valid: !diags.HasErrors(), Diagnostics: []validationComplaint{}}
		for _, d := range diags.All() {
			severity := "warning"
			if d.Error {
				severity = "error"
			}
			v.Diagnostics = append(v.Diagnostics, validationComplaint{severity, d.Summary, d.Detail, d.File, d.Line, d.Column, d.EndLine, d.EndColumn})
		}
		valid = valid && v.Valid
		all = append(all, v)
	}
	if err := writeJSON(std.out, all); err != nil {
		return internalError("%w", err)
	}
	if !valid {
		return silent(exitUsage)
	}
	return nil
}

// contents counts what is in a plan.
func contents(p *topology.Plan) string {
	connections := 0
	for _, n := range p.Nodes {
		connections += len(n.Connections)
	}
	return fmt.Sprintf("%s, %s, %s, %s, %s, %s",
		number(len(p.Networks), "network"), number(len(p.Nodes), "node"), number(connections, "connection"),
		number(len(p.Flows), "flow"), number(len(p.Steps), "step"), number(len(p.Expectations), "expectation"))
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
