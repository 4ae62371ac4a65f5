package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/topology"
)

func newFmtCommand(std stdio) *cobra.Command {
	var check, diff bool
	cmd := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Rewrite labs in the canonical layout",
		Long: `fmt lays labs out the way Terraform lays out its files, in place, and prints the name of
every file that it changed. "-" reads standard input and writes standard output.

With --check nothing is written; the names of files that would change are printed and the
exit status is 1 if there are any. --diff prints what would change and writes nothing.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			changed := false
			for _, file := range files {
				c, err := formatFile(cmd.Context(), std, file, check, diff)
				if err != nil {
					return err
				}
				changed = changed || c
			}
			if check && changed {
				return silent(exitFailed)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; exit with 1 if a file is not in the canonical layout")
	cmd.Flags().BoolVar(&diff, "diff", false, "write nothing; print what would change")
	return cmd
}

// formatFile formats one file, or standard input, and reports whether that changes it.
func formatFile(ctx context.Context, std stdio, file string, check, diff bool) (changed bool, err error) {
	name := file
	var src []byte
	if file == "-" {
		name = "<stdin>"
		src, err = readInput(ctx, std.in)
		if ctx.Err() != nil {
			return false, silent(exitInterrupted)
		}
	} else {
		if err := readable(file); err != nil {
			return false, err
		}
		src, err = os.ReadFile(file)
	}
	if err != nil {
		return false, internalError("%w", err)
	}
	formatted, diags := topology.Format(src, name)
	if diags.Len() > 0 {
		width, color := terminal(std.err)
		if err := diags.Write(std.err, width, color); err != nil {
			return false, internalError("%w", err)
		}
	}
	if diags.HasErrors() {
		return false, silent(exitUsage)
	}
	changed = !bytes.Equal(src, formatted)
	var out bytes.Buffer
	to := std.out
	if f := screen.File(to); f == nil || !term.IsTerminal(int(f.Fd())) {
		to = screen.Raw(to) // a file gets the lab's own bytes
	}
	if changed && diff {
		lineDiff(&out, name, src, formatted)
	}
	switch {
	case file == "-" && !check && !diff:
		out.Write(formatted)
	case changed && !diff:
		fmt.Fprintln(&out, name)
	}
	if changed && !check && !diff && file != "-" {
		if err := replaceFile(file, formatted); err != nil {
			return false, internalError("%w", err)
		}
	}
	if _, err := out.WriteTo(to); err != nil {
		return false, internalError("%w", err)
	}
	return changed, nil
}

// readInput reads standard input to its end or until it is interrupted. A person may be typing it, and a read does not
// end with the context; the goroutine that waits in it then ends with the program.
func readInput(ctx context.Context, in io.Reader) ([]byte, error) {
	type input struct {
		src []byte
		err error
	}
	read := make(chan input, 1)
	go func() {
		src, err := io.ReadAll(in)
		read <- input{src, err}
	}()
	select {
	case i := <-read:
		return i.src, i.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// replaceFile puts new content in a file's place at once, so that a crash leaves the old or the new one.
func replaceFile(file string, content []byte) (err error) {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	// A symbolic link stays one.
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(target), ".ikelab-fmt-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err := tmp.Write(content); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Chmod(info.Mode().Perm()); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// lineDiff prints the changed lines in the unified format without context. Formatting moves text within its line
// and never from line to line; were that to change, the whole file would be one hunk.
func lineDiff(w *bytes.Buffer, name string, before, after []byte) {
	a, b := strings.SplitAfter(string(before), "\n"), strings.SplitAfter(string(after), "\n")
	fmt.Fprintf(w, "--- %s\n+++ %s\n", name, name)
	hunk := func(aFrom, aTo, bFrom, bTo int) {
		fmt.Fprintf(w, "@@ -%d,%d +%d,%d @@\n", aFrom+1, aTo-aFrom, bFrom+1, bTo-bFrom)
		for _, side := range []struct {
			sign  string
			lines []string
		}{{"-", a[aFrom:aTo]}, {"+", b[bFrom:bTo]}} {
			for _, line := range side.lines {
				if line != "" {
					w.WriteString(side.sign + strings.TrimSuffix(line, "\n") + "\n")
				}
			}
		}
	}
	if len(a) != len(b) {
		hunk(0, len(a), 0, len(b))
		return
	}
	for i := 0; i < len(a); i++ {
		if a[i] == b[i] {
			continue
		}
		from := i
		for i < len(a) && a[i] != b[i] {
			i++
		}
		hunk(from, i, from, i)
	}
}
