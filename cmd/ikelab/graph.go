package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/sim/report"
)

func newGraphCommand(std stdio) *cobra.Command {
	var format, output string
	var vars []string
	cmd := &cobra.Command{
		Use:   "graph LAB",
		Short: "Draw a lab's topology as SVG, DOT or Mermaid",
		Long: `graph draws the networks, nodes, interfaces and tunnels of a lab. Instances of a count that
are alike become one box that says how many it stands for.

The format is --format, else what the name of the output file ends in (.svg, .dot, .gv,
.mmd, .mermaid), else SVG.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if format == "" {
				format = formatOf(output)
			}
			if !slices.Contains(report.Formats, format) {
				return usageError("--format %q: want one of %s", format, strings.Join(report.Formats, ", "))
			}
			plan, err := loadLab(std, args[0], vars)
			if err != nil {
				return err
			}
			var picture bytes.Buffer
			if err := report.Graph(&picture, plan, format); err != nil {
				return internalError("%w", err)
			}
			if output == "" || output == "-" {
				_, err = picture.WriteTo(std.out)
			} else {
				err = os.WriteFile(output, picture.Bytes(), 0o644)
			}
			if err != nil {
				return internalError("%w", err)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "svg, dot or mermaid")
	cmd.Flags().StringVarP(&output, "output", "o", "", "`file` to write; standard output if not given")
	cmd.Flags().StringArrayVar(&vars, "var", nil, "value of a variable of the lab, `name=value`; may be repeated")
	return cmd
}

// formatOf guesses the format from the name of the file that it is written to.
func formatOf(output string) string {
	switch strings.ToLower(filepath.Ext(output)) {
	case ".dot", ".gv":
		return "dot"
	case ".mmd", ".mermaid":
		return "mermaid"
	default:
		return "svg"
	}
}
