package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/topology"
)

func newStatusCommand(std stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [LAB]",
		Short: "Show the labs that stand, their nodes, SAs, policies and counters",
		Long: `status shows a lab that stands: nodes and whether their processes live, interfaces as the
kernel has them, IKE SAs and CHILD_SAs with SPIs, proposals, selectors and counters, and the
policies behind them. Without LAB it shows the one that stands, or lists them.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			} else if stand, dead, err := standingLabs(); err != nil {
				return err
			} else if len(stand) != 1 {
				return listLabs(cmd.Context(), std, stand, dead, asJSON)
			}
			c, _, err := dialLab(cmd.Context(), name)
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Status()
			if err != nil {
				return standingError(cmd.Context(), err)
			}
			if asJSON {
				if err := writeJSON(std.out, s); err != nil {
					return internalError("%w", err)
				}
				return nil
			}
			return printStatus(std, s)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON: of one lab an object, of several or none a list of their names")
	return cmd
}

// listLabs names the labs that there are.
func listLabs(ctx context.Context, std stdio, stand, dead []string, asJSON bool) error {
	if asJSON {
		if err := writeJSON(std.out, append([]string{}, stand...)); err != nil {
			return internalError("%w", err)
		}
		return nil
	}
	if len(stand)+len(dead) == 0 {
		return line(std, "no lab stands")
	}
	for _, id := range stand {
		text := "its holder does not answer"
		soon, cancel := context.WithTimeout(ctx, standing.AnswerTimeout)
		if c, err := standing.Dial(soon, id); err == nil {
			if s, err := c.Status(); err == nil {
				text = fmt.Sprintf("%s, up %s", number(len(s.Nodes), "node"), age(s.Age))
			}
			c.Close()
		}
		cancel()
		if ctx.Err() != nil {
			return standingError(ctx, ctx.Err())
		}
		if err := line(std, "%s  %s", id, text); err != nil {
			return err
		}
	}
	for _, id := range dead {
		if err := line(std, "%s  its holder has died; clear away what it left with: ikelab down %s", id, id); err != nil {
			return err
		}
	}
	return nil
}

// age writes how long something has been.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// printStatus writes a lab's status for a person.
func printStatus(std stdio, s *standing.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s, up %s, seed %d, %s\n", s.Lab, age(s.Age), s.Seed, s.File)
	if s.Failed != "" {
		fmt.Fprintf(&b, "%s\n", s.Failed)
	}
	for _, t := range s.HostTroubles {
		fmt.Fprintf(&b, "%s\n", t)
	}
	for _, n := range s.Nodes {
		printNode(&b, &n)
	}
	if _, err := std.out.Write([]byte(b.String())); err != nil {
		return internalError("%w", err)
	}
	return nil
}

func printNode(b *strings.Builder, n *standing.NodeStatus) {
	state := n.Implementation
	switch {
	case !n.Alive:
		state += ", DEAD"
		if n.Problem != "" {
			state += " (" + n.Problem + ")"
		}
	case n.Life > 1:
		state += fmt.Sprintf(", alive for the %s time", ordinal(n.Life))
	case n.Implementation != topology.ImplementationHost:
		state += ", alive"
	}
	fmt.Fprintf(b, "\n%s  %s, namespace %s\n", n.Name, state, n.Namespace)
	columns := 0
	for _, i := range n.Interfaces {
		columns = max(columns, len(i.Name))
	}
	for _, i := range n.Interfaces {
		up := "up  "
		if !i.Up {
			up = "DOWN"
		}
		device := ""
		if i.Device != i.Name {
			device = ", device " + i.Device
		}
		fmt.Fprintf(b, "  %-*s  %s  %s  network %s%s\n", columns, i.Name, up, prefixes(i.Addresses), i.Network, device)
	}
	for _, i := range n.IKE {
		fmt.Fprintf(b, "  %s  IKE SA %s for %s, %s %s %s\n", i.Connection, i.State, age(i.Age), i.Local, arrow(i.Initiator), i.Remote)
		if i.Proposal != "" {
			fmt.Fprintf(b, "    %s ↔ %s, %s\n", i.LocalID, i.RemoteID, i.Proposal)
		}
		nat := ""
		if i.NATDetected {
			nat = ", NAT detected"
		}
		fmt.Fprintf(b, "    SPIs %s %s%s\n", i.SPIi, i.SPIr, nat)
	}
	for _, c := range n.Children {
		encap := ""
		if c.Encap {
			encap = fmt.Sprintf(", in UDP %s ↔ %s", c.Local, c.Remote)
		}
		fmt.Fprintf(b, "  %s.%s  CHILD_SA in %s out %s, %s%s\n", c.Connection, c.Child, c.SPIIn, c.SPIOut, c.Proposal, encap)
		fmt.Fprintf(b, "    %s ↔ %s\n", strings.Join(c.LocalTS, " "), strings.Join(c.RemoteTS, " "))
		fmt.Fprintf(b, "    %s (%d bytes) in, %s (%d bytes) out", number(int(c.PacketsIn), "packet"), c.BytesIn, number(int(c.PacketsOut), "packet"), c.BytesOut)
		for _, refused := range []struct {
			count uint64
			what  string
		}{{c.Replays, "replayed"}, {c.IntegrityFailures, "failed the integrity check"}, {c.SelectorMismatches, "did not fit the selectors"}} {
			if refused.count > 0 {
				fmt.Fprintf(b, ", %d %s", refused.count, refused.what)
			}
		}
		b.WriteByte('\n')
	}
	for _, p := range n.Policies {
		trap := "protect"
		if p.Trap {
			trap = "trap"
		}
		fmt.Fprintf(b, "  policy %s.%s  %s  %s ↔ %s\n", p.Connection, p.Child, trap, strings.Join(p.Local, " "), strings.Join(p.Remote, " "))
	}
	var drops []string
	for _, d := range n.Drops {
		drops = append(drops, fmt.Sprintf("%d %s", d.Count, d.Reason))
	}
	if len(drops) > 0 {
		fmt.Fprintf(b, "  dropped  %s\n", strings.Join(drops, ", "))
	}
}

// arrow points from the initiator to the responder.
func arrow(initiator bool) string {
	if initiator {
		return "→"
	}
	return "←"
}

func prefixes(list []netip.Prefix) string {
	texts := make([]string, 0, len(list))
	for _, p := range list {
		texts = append(texts, p.String())
	}
	if len(texts) == 0 {
		return "no address"
	}
	return strings.Join(texts, " ")
}

// ordinal is a number as a place in a row.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		suffix = slices.Concat([]string{"th", "st", "nd", "rd"}, slices.Repeat([]string{"th"}, 6))[n%10]
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
