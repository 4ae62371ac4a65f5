package topology

import (
	"io"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostics is everything that Load has to say about a lab. The zero value says
// nothing.
type Diagnostics struct {
	list    hcl.Diagnostics
	sources map[string][]byte
}

// Diagnostic is one message, with the place it is about.
type Diagnostic struct {
	// Error says that it keeps the lab from being planned; else it is a warning.
	Error bool
	// Summary is one short sentence; Detail says more and what would be right.
	Summary, Detail string
	// File is as given to Load, lines and columns count from 1. The end is behind
	// the last character. A diagnostic about no place has no file.
	File                             string
	Line, Column, EndLine, EndColumn int
	// Refusal says that the lab asks for what a later version brings.
	Refusal bool
}

// HasErrors says whether any of them is an error.
func (d Diagnostics) HasErrors() bool { return d.list.HasErrors() }

// Len answers how many there are.
func (d Diagnostics) Len() int { return len(d.list) }

// All answers them in the order of the file.
func (d Diagnostics) All() []Diagnostic { return nil }

// Error answers the errors, one line each: file, line, column, summary, detail.
func (d Diagnostics) Error() string { return "" }

// Write renders them for a person: file and line, the source text with the offending
// part underlined, and the remedy, wrapped to width columns (0: not wrapped).
func (d Diagnostics) Write(w io.Writer, width int, color bool) error { return nil }
