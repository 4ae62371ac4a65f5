package house

import (
	"fmt"
	"strings"
)

// fileLinesMax is the length at which a file is asked whether it is two things.
const fileLinesMax = 600

// longFiles answers for the files that are longer and one thing all the same.
var longFiles = map[string]string{}

// TopLevel is everything that stands in the repository's root.
var TopLevel = []string{
	".ci", ".git", ".gitattributes", ".gitignore", ".golangci.yml",
	"ARCHITECTURE.md", "LICENSE", "Makefile", "README.md", "go.mod", "go.sum",
	"cmd", "docs", "esp", "examples", "ike", "impair", "node", "sim", "topology",
}

// Length reports a file that is too long to be one thing.
func Length(name string, lines int) string {
	if lines <= fileLinesMax {
		if _, listed := longFiles[name]; listed {
			return fmt.Sprintf("%s: %d lines; it needs no exception any more", name, lines)
		}
		return ""
	}
	if _, ok := longFiles[name]; ok {
		return ""
	}
	return fmt.Sprintf("%s: %d lines, more than %d: split it by role", name, lines, fileLinesMax)
}

// Docs reports packages without a doc.go that holds their package comment.
func Docs(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		found := false
		for _, f := range p.Files {
			base := f.Name[strings.LastIndexByte(f.Name, '/')+1:]
			if base != "doc.go" {
				continue
			}
			found = true
			if f.AST.Doc == nil {
				broken = append(broken, f.Name+": has no package comment: what it is for, what it is not, what must stay true")
			}
		}
		if !found {
			broken = append(broken, p.Path+": has no doc.go: what it is for, what it is not, what must stay true")
		}
	}
	return broken
}
