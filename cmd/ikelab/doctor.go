package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/spf13/cobra"
)

// capability is something that a host can or cannot do.
type capability struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Found says what was seen, a version or the reason of a failure.
	Found string `json:"found"`
	// For says what of ikelab calls for it.
	For string `json:"for"`
	// Cure says what to do, empty when there is nothing to do.
	Cure string `json:"cure,omitempty"`
}

// probe looks for one capability by trying it, not by guessing from versions.
type probe struct {
	name, what, cure string
	try              func(context.Context) (found string, err error)
}

// probeTimeout bounds what one probe may take.
const probeTimeout = 10 * time.Second

// Who calls for what.
const (
	forNetns = "--engine netns, up"
	forTests = "make test"
)

// probes is what doctor looks for, on this operating system.
func probes() []probe {
	return append([]probe{
		{
			name: "virtual-time",
			what: "run, validate, fmt, graph",
			try: func(context.Context) (string, error) {
				return fmt.Sprintf("needs nothing; %s, %d processors", runtime.Version(), runtime.GOMAXPROCS(0)), nil
			},
		},
	}, append(hostProbes(),
		toolProbe("tshark", forTests+"; opens the captures of run --out", "apt-get install tshark", "--version"),
		toolProbe("dot", "pictures of graph --format dot", "apt-get install graphviz", "-V"),
		toolProbe("gcc", forTests+": the race detector", "apt-get install gcc libc6-dev", "--version"),
	)...)
}

// toolProbe looks for a program and asks for its version.
func toolProbe(name, what, cure string, args ...string) probe {
	return probe{name: name, what: what, cure: cure, try: func(ctx context.Context) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("no %s in PATH", name)
		}
		cmd := exec.CommandContext(ctx, path, args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s %s: %w", path, strings.Join(args, " "), err)
		}
		// Most print their version to standard output and complaints to standard error, dot its version there.
		if line := firstLine(out.Bytes()); line != "" {
			return line, nil
		}
		return firstLine(errs.Bytes()), nil
	}}
}

// firstLine is the first line of a program's output that says something.
func firstLine(out []byte) string {
	for _, line := range strings.Split(string(out), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			return strings.TrimSuffix(line, ".")
		}
	}
	return ""
}

// examine tries probes.
func examine(ctx context.Context, probes []probe) []capability {
	var found []capability
	for _, p := range probes {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		text, err := p.try(ctx)
		cancel()
		c := capability{Name: p.name, OK: err == nil, Found: text, For: p.what}
		if err != nil {
			c.Found, c.Cure = err.Error(), p.cure
		}
		found = append(found, c)
	}
	return found
}

func newDoctorCommand(std stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [CAPABILITY...]",
		Short: "Say what this host can and cannot do, and what to install",
		Long: `doctor tries what ikelab and its tests may call for and says by name what works, what does
not, and what cures it. It changes nothing and needs no privileges, but finds less without.

With names of capabilities it looks at those alone, and the exit status is 3 if one of them
is missing.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			chosen, err := choose(probes(), names)
			if err != nil {
				return err
			}
			wanted := examine(cmd.Context(), chosen)
			if asJSON {
				err = writeJSON(std.out, wanted)
			} else {
				_, color := terminal(std.out)
				err = printCapabilities(std, wanted, color)
			}
			if err != nil {
				return internalError("%w", err)
			}
			for _, c := range wanted {
				if !c.OK && len(names) > 0 {
					return capabilityError("this host lacks %s: %s; cure: %s", c.Name, c.Found, c.Cure)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// choose picks probes by name, all of them for no name.
func choose(all []probe, names []string) ([]probe, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	byName := make(map[string]probe, len(all))
	for _, p := range all {
		byName[p.name] = p
		known = append(known, p.name)
	}
	var wanted []probe
	for _, name := range names {
		p, ok := byName[name]
		if !ok {
			return nil, usageError("no capability %q; doctor knows %s", name, strings.Join(known, ", "))
		}
		wanted = append(wanted, p)
	}
	return wanted, nil
}

func printCapabilities(std stdio, all []capability, color bool) error {
	good, bad := lipgloss.NewStyle().Foreground(lipgloss.Green), lipgloss.NewStyle().Foreground(lipgloss.Red)
	paint := func(s lipgloss.Style, text string) string {
		if color {
			return s.Render(text)
		}
		return text
	}
	columns := 0
	for _, c := range all {
		columns = max(columns, len(c.Name))
	}
	var b bytes.Buffer
	for _, c := range all {
		word := paint(good, "yes")
		if !c.OK {
			word = paint(bad, "NO ")
		}
		fmt.Fprintf(&b, "%s  %-*s  %s\n", word, columns, c.Name, c.Found)
		fmt.Fprintf(&b, "     %-*s  for %s\n", columns, "", c.For)
		if c.Cure != "" {
			fmt.Fprintf(&b, "     %-*s  cure: %s\n", columns, "", c.Cure)
		}
	}
	_, err := b.WriteTo(std.out)
	return err
}
