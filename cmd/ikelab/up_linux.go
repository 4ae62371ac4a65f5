package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/rootless"
	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
	"github.com/ikelab/ikelab/sim/netns"
	"github.com/ikelab/ikelab/topology"
)

func newUpCommand(std stdio) *cobra.Command {
	var vars []string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "up LAB",
		Short: "Leave a lab standing in network namespaces, to work in",
		Long: `up builds a lab in network namespaces of this host, starts its nodes, and leaves it standing
until ikelab down. A process of its own, the holder, owns it: it survives the terminal, and
whatever ends it, ikelab down clears everything away.

What the lab does by itself does not happen: its steps, flows and processes wait for you,
and expectations and invariants are not judged. IKE begins as each child's start_action
says. Look at it with ikelab status, go in with ikelab exec NODE -- COMMAND, do a step or
any action with ikelab do, and watch packets with ikelab capture.

Of labs of one name, one stands at a time. Without root the lab is built in a user
namespace, where the kernel allows that.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, plan, err := loadSource(std, args[0], vars)
			if err != nil {
				return err
			}
			spec := standing.Spec{Source: source}
			if cmd.Flags().Changed("seed") {
				spec.Seed = &seed
			}
			return up(cmd.Context(), std, spec, plan)
		},
	}
	cmd.Flags().StringArrayVar(&vars, "var", nil, "value of a variable of the lab, `name=value`; may be repeated")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "seed in place of the lab's")
	return cmd
}

// holderOrder is what up tells the holder, and holderWord what the holder answers.
type holderOrder struct {
	ID   string        `json:"id"`
	Spec standing.Spec `json:"spec"`
}

type holderWord struct {
	Ready  *standing.Ready `json:"ready,omitempty"`
	Error  string          `json:"error,omitempty"`
	Status int             `json:"status,omitempty"`
}

// up starts a holder and waits until its lab stands.
func up(ctx context.Context, std stdio, spec standing.Spec, plan *topology.Plan) error {
	id := plan.Lab.Name
	if err := shareState(); err != nil {
		return err
	}
	start, err := standing.Starting(ctx, id)
	if err != nil {
		return internalError("%w", err)
	}
	defer start.Over(id)
	tables, err := netns.NeighbourTables()
	if err != nil {
		return internalError("%w", err)
	}
	conn, theirs, err := socketPair()
	if err != nil {
		return internalError("%w", err)
	}
	defer func() { _ = conn.Close() }() // the holder that stands does not listen any more
	var cmd *exec.Cmd
	if rootless.Needed() {
		cmd = rootless.Command(rootlessCommand, holderCommand)
	} else {
		cmd = exec.Command(rootless.Self, holderCommand)
		cmd.Args[0], cmd.SysProcAttr = "ikelab", &syscall.SysProcAttr{}
	}
	folder, err := filepath.Abs(netns.Folder(id))
	if err != nil {
		return internalError("%w", err)
	}
	cmd.Env = append(cmd.Environ(), netns.HolderVariable+"="+folder) // by which down finds it without that folder
	cmd.SysProcAttr.Setsid = true
	cmd.Stdin = theirs
	var complaints bytes.Buffer
	if f := asFile(std.err); f != nil {
		cmd.Stderr = f // until the holder has its log
	} else {
		cmd.Stderr = &complaints
	}
	err = cmd.Start()
	_ = theirs.Close() // the holder has its own
	if err != nil {
		return startError(err)
	}
	// Its end is waited for where it does not come to stand; else it outlives this process.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // by which it notices that nobody waits any more
	word, err := order(conn, holderOrder{ID: id, Spec: spec})
	if ctx.Err() != nil {
		_ = cmd.Wait()
		return silent(exitInterrupted)
	}
	if err != nil {
		_ = cmd.Wait()
		_, _ = std.err.Write(complaints.Bytes())
		if cmd.ProcessState.ExitCode() == exitCapability {
			return silent(exitCapability) // it has said why
		}
		return internalError("the holder of lab %q ended before the lab stood: %v", id, cmd.ProcessState)
	}
	if word.Ready == nil {
		_ = cmd.Wait()
		return &statusError{word.Status, errors.New(word.Error)}
	}
	if rootless.Needed() {
		word.Ready.Holder = cmd.Process.Pid // it sees itself in another process namespace
	}
	warnOfNeighbours(std, tables)
	return printReady(std, word.Ready, plan)
}

// warnOfNeighbours says that the host's neighbour table has been full since it was
// looked at.
func warnOfNeighbours(std stdio, before []netns.NeighbourTable) {
	now, err := netns.NeighbourTables()
	if err != nil {
		return // nothing is known, and the lab stands
	}
	for _, t := range netns.NeighbourTrouble(before, now) {
		_, _ = fmt.Fprintf(std.err, "ikelab: %s\n", t)
	}
}

// somethingToRun is a node of a plan with a command that is worth running there: a ping from the first host to the last.
func somethingToRun(plan *topology.Plan) string {
	var hosts []topology.Node
	for _, n := range plan.Nodes {
		if n.Implementation == topology.ImplementationHost && len(n.Interfaces) > 0 && len(n.Interfaces[0].Addresses) > 0 {
			hosts = append(hosts, n)
		}
	}
	if len(hosts) < 2 {
		return plan.Nodes[0].Name + " -- ip address"
	}
	return fmt.Sprintf("%s -- ping %s", hosts[0].Name, hosts[len(hosts)-1].Interfaces[0].Addresses[0].Addr())
}

// startError says why the holder, or a run in a user namespace, could not be started.
func startError(err error) error {
	if err := rootless.StartError(err); errors.Is(err, rootless.ErrNotAllowed) && rootless.Needed() {
		return userNamespaceError(err)
	}
	return internalError("%w", err)
}

// socketPair answers a connection and the file that is its other end.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "holder"), os.NewFile(uintptr(fds[1]), "maker")
	conn, err := net.FileConn(ours)
	_ = ours.Close() // conn has a copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// order tells the holder what to do and waits for its answer.
func order(conn net.Conn, o holderOrder) (holderWord, error) {
	var word holderWord
	if err := json.NewEncoder(conn).Encode(o); err != nil {
		return word, err
	}
	err := json.NewDecoder(conn).Decode(&word)
	return word, err
}

// printReady says what stands and what to do with it.
func printReady(std stdio, r *standing.Ready, plan *topology.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "lab %s stands, held by process %d\n\n", r.ID, r.Holder)
	columns := 0
	for _, n := range r.Nodes {
		columns = max(columns, len(n.Name))
	}
	for _, n := range r.Nodes {
		fmt.Fprintf(&b, "  %-*s  %-6s  namespace %s\n", columns, n.Name, n.Implementation, n.Namespace)
	}
	link, best := "", -1
	for _, n := range plan.Nodes {
		for _, i := range n.Interfaces {
			worth := 0 // a gateway's line is what one wants to see
			if len(n.Connections) > 0 {
				worth++
			}
			if i.Link.Delay > 0 || i.LinkRef != "" {
				worth++
			}
			if worth > best {
				link, best = n.Name+"."+i.Name, worth
			}
		}
	}
	on := ""
	if stand, _, err := standingLabs(); err == nil && len(stand) > 1 {
		on = " -l " + r.ID
	}
	fmt.Fprintf(&b, "\n  ikelab status%s\n", strings.Replace(on, " -l", "", 1))
	if len(plan.Nodes) > 0 {
		fmt.Fprintf(&b, "  ikelab exec%s %s\n", on, somethingToRun(plan))
	}
	if len(r.Steps) > 0 {
		fmt.Fprintf(&b, "  ikelab do%s %s\n", on, r.Steps[0])
	}
	if link != "" {
		node, iface, _ := strings.Cut(link, ".")
		fmt.Fprintf(&b, "  ikelab do%s 'link_down(node.%s.interface.%s)'\n", on, node, iface)
		fmt.Fprintf(&b, "  ikelab capture%s %s -w - | wireshark -k -i -\n", on, link)
	}
	fmt.Fprintf(&b, "  ikelab down %s\n", r.ID)
	if _, err := std.out.Write([]byte(b.String())); err != nil {
		return internalError("%w", err)
	}
	return nil
}
