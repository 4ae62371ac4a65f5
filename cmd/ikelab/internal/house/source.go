package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Module is the path that all packages of the repository begin with.
const Module = "github.com/ikelab/ikelab"

// Package is one package of the repository, parsed.
type Package struct {
	// Path is the import path below the module, "ike/wire" for example; "." is the module's root.
	Path string
	// Files holds the package's own files, tests left out, in order of name. Files that the current platform
	// leaves out are in it: a rule holds on every platform.
	Files []*File
}

// File is one parsed source file.
type File struct {
	// Name is the path below the repository's root, with slashes.
	Name  string
	Fset  *token.FileSet
	AST   *ast.File
	Lines int
}

// Load parses the packages that the go command finds below the repository's root. The root is where go.mod is.
func Load(root string) ([]Package, error) {
	cmd := exec.Command("go", "list", "-e", "-json=Dir,ImportPath,GoFiles,IgnoredGoFiles,CgoFiles", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list in %s: %w: %s", root, err, stderr.String())
	}
	var packages []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			Dir, ImportPath                   string
			GoFiles, IgnoredGoFiles, CgoFiles []string
		}
		if err := dec.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", root, err)
		}
		p := Package{Path: below(l.ImportPath)}
		for _, names := range [][]string{l.GoFiles, l.IgnoredGoFiles, l.CgoFiles} {
			for _, name := range names {
				if strings.HasSuffix(name, "_test.go") {
					continue
				}
				f, err := parse(root, filepath.Join(l.Dir, name), nil)
				if err != nil {
					return nil, err
				}
				p.Files = append(p.Files, f)
			}
		}
		sort.Slice(p.Files, func(i, j int) bool { return p.Files[i].Name < p.Files[j].Name })
		packages = append(packages, p)
	}
	return packages, nil
}

// below strips the module from an import path.
func below(importPath string) string {
	if importPath == Module {
		return "."
	}
	return strings.TrimPrefix(importPath, Module+"/")
}

// parse parses one file; src may hold its text, else it is read.
func parse(root, name string, src any) (*File, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	return &File{
		Name:  filepath.ToSlash(rel),
		Fset:  fset,
		AST:   f,
		Lines: fset.File(f.Pos()).LineCount(),
	}, nil
}

// at gives a position as file:line.
func (f *File) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Name, f.Fset.Position(n.Pos()).Line)
}

// imports returns the file's imports, unquoted, with their nodes.
func (f *File) imports() (paths []string, nodes []*ast.ImportSpec) {
	for _, spec := range f.AST.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue // the parser accepts none of these
		}
		paths = append(paths, path)
		nodes = append(nodes, spec)
	}
	return paths, nodes
}
