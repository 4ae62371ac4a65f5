package main

import (
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/screen"
	"github.com/ikelab/ikelab/topology"
)

// disk opens files by the path that a person typed, so that diagnostics show the same path. fs.FS would have paths
// without .. and without a leading slash; nothing below it depends on that.
type disk struct{}

func (disk) Open(name string) (fs.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err // not a typed nil
	}
	return f, nil
}

// loadLab reads a lab, prints what there is to say about it to std.err, and answers its plan.
func loadLab(std stdio, path string, vars []string) (*topology.Plan, error) {
	values, err := parseVars(vars)
	if err != nil {
		return nil, err
	}
	if err := readable(path); err != nil {
		return nil, err
	}
	plan, diags := topology.Load(disk{}, path, values)
	if diags.Len() > 0 {
		width, color := terminal(std.err)
		if err := diags.Write(std.err, width, color); err != nil {
			return nil, internalError("%w", err)
		}
	}
	if diags.HasErrors() || plan == nil {
		return nil, silent(exitUsage)
	}
	return plan, nil
}

// readable tells a lab that is not there, or not a file, from one that is wrong.
func readable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return usageError("%w", err)
	}
	if info.IsDir() {
		return usageError("%s is a directory; a lab is one file, such as examples/first-tunnel.hcl", path)
	}
	return nil
}

// parseVars reads name=value arguments.
func parseVars(vars []string) (map[string]string, error) {
	values := make(map[string]string, len(vars))
	for _, v := range vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usageError("--var %q is not of the form name=value", v)
		}
		if _, twice := values[name]; twice {
			return nil, usageError("--var %s is given twice", name)
		}
		values[name] = value
	}
	return values, nil
}

// widthColumnsPlain is the width of text that is not for a terminal.
const widthColumnsPlain = 100

// terminal answers the width of what is behind a writer, and whether it shows colours.
func terminal(w io.Writer) (widthColumns int, color bool) {
	f := screen.File(w)
	if f == nil || !term.IsTerminal(int(f.Fd())) {
		return widthColumnsPlain, false
	}
	// https://no-color.org: set and not empty means none.
	color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return width, color
	}
	return widthColumnsPlain, color
}

// writeJSON writes a value as an indented document.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(screen.JSON(w))
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
