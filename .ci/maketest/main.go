// Command maketest is what the Makefile runs go test through.
//
//	maketest test PACKAGES…             go test, quiet about what passes; skips are listed by name with their cure,
//	                                    and with CI=true a skip for a missing capability is a failure; so is a package
//	                                    that takes more than three times the processor time of its row in cpu.txt
//	maketest cputable PACKAGES…         the same, nothing from the cache, and rewrites cpu.txt
//	maketest fuzz -time 1m PACKAGES…    every fuzz target of the packages, one after the other
//	maketest golden PACKAGES…           go test -update in the packages whose tests have golden files
//
// It is not a test framework: tests are plain go test and run as well without it.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fatal(errors.New("want a command: test, cputable, fuzz or golden"))
	}
	args := os.Args[2:]
	var err error
	switch os.Args[1] {
	case "test":
		err = runTests(args, os.Getenv("CI") == "true", false)
	case "cputable":
		err = runTests(append([]string{"-count=1"}, args...), false, true)
	case "fuzz":
		err = runFuzz(args)
	case "golden":
		err = runGolden(args)
	default:
		err = fmt.Errorf("unknown command %q: want test, cputable, fuzz or golden", os.Args[1])
	}
	if err != nil {
		fatal(err)
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "maketest:", err)
	os.Exit(1)
}

// runTests runs go test over the arguments and judges what it reports, or rewrites the table of processor time.
func runTests(args []string, ci, rewrite bool) error {
	table, err := loadTable()
	if err != nil {
		return err
	}
	in, err := thisModule()
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := watch(cmd.Process.Pid)
	s := summary{ci: ci}
	if err := s.read(out, os.Stdout); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	took := byPackage(stop(), in)
	waitErr := cmd.Wait()
	s.printCost(os.Stdout, took, table)
	s.print(os.Stdout)
	switch {
	case waitErr != nil:
		return fmt.Errorf("go test: %w", waitErr)
	case rewrite:
		if err := took.update(table, in); err != nil {
			return err
		}
		return os.WriteFile(filepath.FromSlash(cpuFile), table.write(), 0o644)
	}
	return s.verdict(took.judge(table))
}

// listed is what go list says about a package.
type listed struct {
	Dir          string
	ImportPath   string
	TestGoFiles  []string
	XTestGoFiles []string
}

// list returns the packages that the patterns name.
func list(patterns []string) ([]listed, error) {
	cmd := exec.Command("go", append([]string{"list", "-json=Dir,ImportPath,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// testFiles parses a package's test files.
func (p listed) testFiles() ([]*ast.File, error) {
	var files []*ast.File
	for _, names := range [][]string{p.TestGoFiles, p.XTestGoFiles} {
		for _, name := range names {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// fuzzTargets names the fuzz targets that a test file declares.
func fuzzTargets(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Fuzz") && len(fn.Type.Params.List) == 1 {
			names = append(names, fn.Name.Name)
		}
	}
	return names
}

// runFuzz runs every fuzz target for a time, also those behind one that found something.
func runFuzz(args []string) error {
	fs := flag.NewFlagSet("fuzz", flag.ExitOnError)
	each := fs.String("time", "1m", "how long each target runs")
	_ = fs.Parse(args) // exits on error
	packages, err := list(fs.Args())
	if err != nil {
		return err
	}
	var ran int
	var findings []string
	for _, p := range packages {
		files, err := p.testFiles()
		if err != nil {
			return err
		}
		for _, f := range files {
			for _, target := range fuzzTargets(f) {
				ran++
				fmt.Printf("== %s %s for %s\n", p.ImportPath, target, *each)
				cmd := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+target+"$", "-fuzztime", *each, p.ImportPath)
				cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
				if err := cmd.Run(); err != nil {
					findings = append(findings, p.ImportPath+" "+target)
				}
			}
		}
	}
	if ran == 0 {
		return fmt.Errorf("no fuzz target in %s", strings.Join(fs.Args(), " "))
	}
	if len(findings) > 0 {
		return fmt.Errorf("%d of %d fuzz targets failed:\n  %s", len(findings), ran, strings.Join(findings, "\n  "))
	}
	fmt.Printf("== %d fuzz targets ran for %s each without a finding\n", ran, *each)
	return nil
}

// hasUpdateFlag reports whether a test file defines a flag -update, by which its package rewrites golden files.
func hasUpdateFlag(f *ast.File) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		fn, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := fn.X.(*ast.Ident)
		arg, isLit := call.Args[0].(*ast.BasicLit)
		if ok && isLit && pkg.Name == "flag" && fn.Sel.Name == "Bool" && arg.Value == `"update"` {
			found = true
		}
		return true
	})
	return found
}

// runGolden rewrites golden files.
func runGolden(args []string) error {
	packages, err := list(args)
	if err != nil {
		return err
	}
	var golden []string
	for _, p := range packages {
		files, err := p.testFiles()
		if err != nil {
			return err
		}
		for _, f := range files {
			if hasUpdateFlag(f) {
				golden = append(golden, p.ImportPath)
				break
			}
		}
	}
	if len(golden) == 0 {
		return fmt.Errorf("no package of %s has golden files", strings.Join(args, " "))
	}
	cmd := exec.Command("go", append(append([]string{"test", "-count=1"}, golden...), "-update")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
