package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// newcomerPrograms are there wherever tests run: whoever has the repository and runs go test has both.
var newcomerPrograms = []string{"go", "git"}

// kernelFolders hold the tests that run labs on a real kernel, and with them the commands of those labs.
var kernelFolders = []string{".ci", "cmd/ikelab", "node/daemon", "node/host", "sim/netns"}

// Sources parses every Go file below the root, tests and the folder .ci included; go list leaves both out.
func Sources(root string) ([]*File, error) {
	var files []*File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		f, err := parse(root, path, nil)
		if err == nil {
			files = append(files, f)
		}
		return err
	})
	return files, err
}

// Programs reports the programs that sources start without the path that node/host/hosttest has looked for, and those
// that tests start inside labs although its table does not know them, one sentence each. Whoever starts a program in
// another way than these passes its name to hosttest.Command, which refuses what the table does not know.
func Programs(files []*File, table map[string]string) []string {
	var broken []string
	for _, f := range files {
		if f.Name == "cmd/ikelab/internal/house/violations_test.go" || f.Name == "cmd/ikelab/internal/house/programs_test.go" {
			continue // the text of violations
		}
		test := strings.HasSuffix(f.Name, "_test.go")
		kernel := slices.ContainsFunc(kernelFolders, func(folder string) bool { return within(f.Name, folder) })
		unknown := func(n ast.Node, where string, names []string) {
			for _, name := range names {
				if _, known := table[name]; !known && !foreignName(name) {
					broken = append(broken, fmt.Sprintf("%s: %q, %s, is in no row of node/host/hosttest/program.go: put it there and into .ci/tools, with its Debian package", f.at(n), name, where))
				}
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name, call := startedByName(n); call != "" && !slices.Contains(newcomerPrograms, name) && !foreignName(name) {
					broken = append(broken, fmt.Sprintf("%s: %s(%q): start it by the path that hosttest.Program returns, which skips a test by name", f.at(n), call, name))
				}
				if test && kernel {
					afterDashes(n.Args, func(name string) { unknown(n, "started in a node", []string{name}) })
				}
			case *ast.CompositeLit:
				if test && kernel {
					afterDashes(n.Elts, func(name string) { unknown(n, "started in a node", []string{name}) })
				}
			case *ast.BasicLit:
				if text, ok := literal(n); ok && test && kernel {
					unknown(n, "a lab's process", labCommands(text))
					unknown(n, "called by a script", scriptCommands(text))
				}
			}
			return true
		})
	}
	return broken
}

// foreignName says that a name is none of a program that is looked for: it has a path, is made up, or is meant not to
// exist.
func foreignName(name string) bool {
	return strings.ContainsAny(name, "/%$") || strings.HasPrefix(name, "no-such-")
}

// literal is the text of a string literal.
func literal(e ast.Node) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

// startedByName finds calls of os/exec with the program's name as a literal.
func startedByName(c *ast.CallExpr) (name, call string) {
	fn, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if x, ok := fn.X.(*ast.Ident); !ok || x.Name != "exec" {
		return "", ""
	}
	at := map[string]int{"Command": 0, "CommandContext": 1, "LookPath": 0}
	i, ok := at[fn.Sel.Name]
	if !ok || i >= len(c.Args) {
		return "", ""
	}
	if name, ok = literal(c.Args[i]); !ok {
		return "", ""
	}
	return name, "exec." + fn.Sel.Name
}

// afterDashes finds the literal behind a "--", as in exec NODE -- COMMAND.
func afterDashes(args []ast.Expr, found func(name string)) {
	for i := 0; i+1 < len(args); i++ {
		if dashes, _ := literal(args[i]); dashes == "--" {
			if name, ok := literal(args[i+1]); ok && name != "" {
				found(name)
			}
		}
	}
}

var labCommand = regexp.MustCompile(`\bcommand\s*=\s*\[\s*"([^"]*)"`)

// labCommands are the programs of the processes of a lab in HCL.
func labCommands(text string) (names []string) {
	for _, m := range labCommand.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}

var (
	labScript   = regexp.MustCompile(`"sh", "-c", "((?:[^"\\]|\\.)*)"`)
	quoted      = regexp.MustCompile(`'[^']*'|"(?:[^"\\]|\\.)*"`)
	separators  = regexp.MustCompile(`&&|\|\||\$\(|[;|()\n]|[^>0-9]&|&$`)
	assignment  = regexp.MustCompile(`^[A-Za-z_]+=`)
	programName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`)
	// What a shell does itself, and the words in front of a command.
	shellWords = strings.Fields("! if then elif else fi for in do done while until case esac exec setsid nohup env time")
	builtins   = strings.Fields("cd echo exit export false kill pwd printf read set shift test trap true umask unset wait")
)

// scriptCommands are the programs that a text calls if it is a shell's script: what stands behind sh -c in a lab, and a
// line that sets a trap, has a loop, or starts another program in its own place. Quoted words are not looked into.
func scriptCommands(text string) (names []string) {
	var scripts []string
	for _, m := range labScript.FindAllStringSubmatch(text, -1) {
		scripts = append(scripts, strings.ReplaceAll(m[1], `\"`, `"`))
	}
	signs := []string{`exec "$@"`, "trap ", "; do ", "exec sleep "}
	if !strings.Contains(text, "\n") && slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(text, sign) }) {
		scripts = append(scripts, text)
	}
	for _, s := range scripts {
		for _, part := range separators.Split(quoted.ReplaceAllString(s, "QUOTED"), -1) {
			words := strings.Fields(part)
			for len(words) > 0 && (slices.Contains(shellWords, words[0]) || assignment.MatchString(words[0])) {
				words = words[1:]
			}
			if len(words) > 0 && programName.MatchString(words[0]) && !slices.Contains(builtins, words[0]) {
				names = append(names, words[0])
			}
		}
	}
	return names
}

// ToolRows reads the table in .ci/tools: a program and its packages on each line.
func ToolRows(script string) (map[string]string, error) {
	_, rest, found := strings.Cut(script, "<<'PROGRAMS'\n")
	rows, _, ended := strings.Cut(rest, "\nPROGRAMS\n")
	if !found || !ended {
		return nil, fmt.Errorf("no table between <<'PROGRAMS' and PROGRAMS")
	}
	table := make(map[string]string)
	for line := range strings.Lines(rows) {
		program, packages, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			return nil, fmt.Errorf("the row %q has no package", line)
		}
		table[program] = packages
	}
	return table, nil
}
