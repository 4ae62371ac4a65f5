package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
)

func newDoCommand(std stdio) *cobra.Command {
	var lab string
	cmd := &cobra.Command{
		Use:   "do [-l LAB] STEP|ACTION",
		Short: "Do a step of a lab that stands, or any action",
		Long: `do carries out an action in a lab that stands, at once: that of one of the lab's steps, by the
step's name, or any other, written as a step has it:

  ikelab do link-fails
  ikelab do 'link_down(node.gw.interface.wan)'
  ikelab do 'kill(node.gw)'
  ikelab do 'initiate(node.gw.connection.office)'
  ikelab do 'add_address(node.gw.interface.wan, "192.0.2.7")'

docs/language.md has all of them.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := dialLab(cmd.Context(), lab)
			if err != nil {
				return err
			}
			defer c.Close()
			done, err := c.Do(args[0])
			if err != nil {
				return standingError(cmd.Context(), err)
			}
			return line(std, "done: %s", done)
		},
	}
	labFlag(cmd, &lab)
	return cmd
}

func newCaptureCommand(std stdio) *cobra.Command {
	var lab, file, keys string
	cmd := &cobra.Command{
		Use:   "capture [-l LAB] [LINK...] [-w FILE]",
		Short: "Capture packets of a lab that stands, as they pass",
		Long: `capture writes the packets that pass links of a lab as pcapng, each as soon as it passes, to a
file or to standard output, until it is interrupted (Ctrl-C) or the lab ends:

  ikelab capture gw.wan -w - | wireshark -k -i -
  ikelab capture -w all.pcapng --keys keys

A link is named by its NODE.INTERFACE; a node's name means all of its links, and without any
it is those of the whole lab. --keys DIR writes a Wireshark profile with the keys of all SAs,
at the beginning and again at the end: WIRESHARK_CONFIG_DIR=DIR wireshark all.pcapng.

A reader that is too slow does not slow the lab down: it misses packets, and at the end
capture says how many.`,
		RunE: func(cmd *cobra.Command, links []string) error {
			return captureLinks(cmd.Context(), std, lab, links, file, keys)
		},
	}
	labFlag(cmd, &lab)
	cmd.Flags().StringVarP(&file, "write", "w", "-", "`file` to write to, - for standard output")
	cmd.Flags().StringVar(&keys, "keys", "", "`directory` for a Wireshark profile with the keys")
	return cmd
}

// captureLinks is capture, its command line being read.
func captureLinks(ctx context.Context, std stdio, lab string, links []string, file, keys string) error {
	out := screen.Raw(std.out)
	if f := asFile(out); file == "-" && f != nil && term.IsTerminal(int(f.Fd())) {
		return usageError("a capture is nothing for a terminal; write it to a file with -w FILE, or pipe it into wireshark -k -i -")
	}
	c, _, err := dialLab(ctx, lab)
	if err != nil {
		return err
	}
	defer c.Close()
	var created lateFile
	if file != "-" {
		created.path = file
		out = &created
	}
	came, err := c.Capture(ctx, links, out, func(files map[string]string) error { return writeKeys(keys, files) })
	if err = errors.Join(err, created.Close()); err != nil {
		return standingError(ctx, err)
	}
	return sayCaptured(std.err, came, keys)
}

// lateFile is a file that is made when there is something to write to it: what was there under its name is not lost for a
// mistyped link.
type lateFile struct {
	path string
	file *os.File
}

// Write implements io.Writer.
func (f *lateFile) Write(b []byte) (int, error) {
	if f.file == nil {
		var err error
		if f.file, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, privateFileMode); err != nil {
			return 0, err
		}
		// One that was there may be open to others; what is no file, /dev/stdout for example, is left as it is.
		if info, err := f.file.Stat(); err == nil && info.Mode().IsRegular() {
			if err := f.file.Chmod(privateFileMode); err != nil {
				return 0, err
			}
		}
	}
	return f.file.Write(b)
}

// Close closes the file, if there is one.
func (f *lateFile) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// writeKeys writes a Wireshark profile.
func writeKeys(dir string, files map[string]string) error {
	if dir == "" {
		return nil
	}
	var names []string
	for name := range files {
		names = append(names, filepath.Base(name))
	}
	folder, err := openPrivate(dir, names...)
	if err != nil {
		return err
	}
	for name, text := range files {
		err = errors.Join(err, folder.write(filepath.Base(name), []byte(text)))
	}
	return errors.Join(err, folder.close())
}

// sayCaptured says what a capture came to, to standard error.
func sayCaptured(w io.Writer, came standing.Captured, keys string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s captured", number(int(came.Packets), "packet"))
	if came.Ended {
		b.Reset()
		b.WriteString("the lab ended, and with it the capture")
	}
	if came.Dropped > 0 {
		fmt.Fprintf(&b, "; %d are missing, because they came faster than they were taken", came.Dropped)
	}
	if came.Unseen > 0 {
		fmt.Fprintf(&b, "; %d passed the lab's links unseen, because this host was too busy to look at all of them", came.Unseen)
	}
	if keys != "" {
		fmt.Fprintf(&b, "; shown decrypted with WIRESHARK_CONFIG_DIR=%s", keys)
	}
	if _, err := fmt.Fprintln(w, b.String()); err != nil {
		return internalError("%w", err)
	}
	return nil
}
