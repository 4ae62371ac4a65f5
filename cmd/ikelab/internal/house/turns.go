package house

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// largeCount is how many nodes from one block make a lab large.
const largeCount = 50

var labCount = regexp.MustCompile(`\bcount\s*=\s*(\d+)`)

// makers are functions that make network namespaces, called by their own packages' tests or by others'.
var makers = []string{"TempNetNS", "NewNS", "newNamespace", "netns.Create", "standing.Build", "Create"}

// labCommandWords are the first words of command lines of ikelab that make namespaces.
var labCommandWords = []string{"up"}

// turnExceptions are tests that look like ones that make namespaces and make none, by folder
// and name, with the reason.
var turnExceptions = map[string]string{
	"sim/netns TestRefused": "it is refused before anything is made",
}

// testFunc is what the turns of tests depend on, of one function in test files; functions of one name are one.
type testFunc struct {
	calls  map[string]bool // by bare name
	locks  bool            // calls hosttest.Share or hosttest.Alone
	alone  bool            // calls hosttest.Alone, whatever the test
	shares bool            // calls hosttest.Share itself
	large  bool            // has a lab of many nodes
	makes  bool            // makes namespaces
	at     string
	isTest bool
}

// Turns reports tests that make network namespaces without a turn on the host (hosttest.Share, hosttest.Alone), those
// of large labs that do not have it alone, and those that take it before they say that they run in parallel: paused with it in hand they would keep out for ever
// who wants the host alone and is not parallel. One sentence each, beginning with file and line.
func Turns(files []*File) []string {
	folders := make(map[string][]*File)
	var names []string
	for _, f := range files {
		folder := path.Dir(f.Name)
		if !strings.HasSuffix(f.Name, "_test.go") || !slices.ContainsFunc(kernelFolders, func(k string) bool { return within(folder, k) }) {
			continue
		}
		if folders[folder] == nil {
			names = append(names, folder)
		}
		folders[folder] = append(folders[folder], f)
	}
	slices.Sort(names)
	var broken []string
	for _, folder := range names {
		funcs := make(map[string]*testFunc)
		for _, f := range folders[folder] {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
					note(funcs, f, fn)
				}
			}
		}
		spread(funcs, func(f *testFunc) *bool { return &f.locks })
		spread(funcs, func(f *testFunc) *bool { return &f.makes })
		for _, f := range funcs {
			f.alone = f.alone && !f.shares // one that does both has benchmarks alone, and tests share
		}
		spread(funcs, func(f *testFunc) *bool { return &f.alone })
		var tests []string
		for name, f := range funcs {
			if f.isTest && f.makes && !f.locks && turnExceptions[folder+" "+name] == "" {
				tests = append(tests, fmt.Sprintf("%s: %s makes network namespaces without a turn on the host: call hosttest.Share(t), or hosttest.Alone(t) if it is large or measures", f.at, name))
			}
			if f.isTest && f.makes && f.large && !f.alone {
				tests = append(tests, fmt.Sprintf("%s: %s has a lab of %d nodes or more: call hosttest.Alone(t)", f.at, name, largeCount))
			}
		}
		slices.Sort(tests)
		broken = append(broken, tests...)
		for _, f := range folders[folder] {
			broken = append(broken, pausedWithTurn(f, funcs)...)
		}
	}
	return broken
}

// note takes down what a function does.
func note(funcs map[string]*testFunc, f *File, fn *ast.FuncDecl) {
	name := fn.Name.Name
	mine := funcs[name]
	if mine == nil {
		mine = &testFunc{calls: make(map[string]bool), at: f.at(fn)}
		funcs[name] = mine
	}
	mine.isTest = mine.isTest || fn.Recv == nil && (strings.HasPrefix(name, "Test") && name != "TestMain" || strings.HasPrefix(name, "Benchmark") || strings.HasPrefix(name, "Fuzz"))
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			bare, full := called(n)
			mine.calls[bare] = true
			mine.locks = mine.locks || isTurn(full)
			mine.alone = mine.alone || full == "hosttest.Alone"
			mine.shares = mine.shares || full == "hosttest.Share"
			mine.makes = mine.makes || slices.Contains(makers, full) || slices.Contains(makers, bare) && bare != "Create" || labCommandLine(n.Args)
		case *ast.BasicLit:
			text, _ := literal(n)
			for _, m := range labCount.FindAllStringSubmatch(text, -1) {
				count, err := strconv.Atoi(m[1])
				mine.large = mine.large || err == nil && count >= largeCount
			}
		case *ast.CompositeLit:
			typeName := ""
			switch x := n.Type.(type) {
			case *ast.Ident:
				typeName = x.Name
			case *ast.SelectorExpr:
				typeName = x.Sel.Name
			}
			mine.makes = mine.makes || typeName == "Engine" && within(f.Name, "sim/netns") || labCommandLine(n.Elts)
		}
		return true
	})
}

// called names the function of a call: bare, and with its package or receiver.
func called(c *ast.CallExpr) (bare, full string) {
	switch fn := c.Fun.(type) {
	case *ast.Ident:
		return fn.Name, fn.Name
	case *ast.SelectorExpr:
		if x, ok := fn.X.(*ast.Ident); ok {
			return fn.Sel.Name, x.Name + "." + fn.Sel.Name
		}
		return fn.Sel.Name, fn.Sel.Name
	}
	return "", ""
}

func isTurn(full string) bool { return full == "hosttest.Share" || full == "hosttest.Alone" }

// labCommandLine finds the arguments of ikelab up, and of a run with --engine netns.
func labCommandLine(args []ast.Expr) bool {
	for i := range args {
		word, _ := literal(args[i])
		if i == 0 && slices.Contains(labCommandWords, word) {
			return true
		}
		if word == "--engine" && i+1 < len(args) {
			if engine, _ := literal(args[i+1]); engine == "netns" {
				return true
			}
		}
	}
	return false
}

// spread sets a property for everything that calls what has it.
func spread(funcs map[string]*testFunc, property func(*testFunc) *bool) {
	for changed := true; changed; {
		changed = false
		for _, f := range funcs {
			for callee := range f.calls {
				if c := funcs[callee]; c != nil && *property(c) && !*property(f) {
					*property(f), changed = true, true
				}
			}
		}
	}
}

// pausedWithTurn finds functions that call t.Parallel after they have taken a turn.
func pausedWithTurn(f *File, funcs map[string]*testFunc) (broken []string) {
	body := func(statements []ast.Stmt) {
		taken := ""
		for _, s := range statements {
			if e, ok := s.(*ast.ExprStmt); ok {
				if c, ok := e.X.(*ast.CallExpr); ok {
					if _, full := called(c); full == "t.Parallel" && taken != "" {
						broken = append(broken, fmt.Sprintf("%s: t.Parallel() after %s, which takes the test's turn on the host: say it first", f.at(s), taken))
					}
				}
			}
			ast.Inspect(s, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncLit:
					return false // a subtest's, looked at by itself
				case *ast.CallExpr:
					bare, full := called(n)
					if isTurn(full) || funcs[bare] != nil && funcs[bare].locks && !funcs[bare].isTest {
						taken = bare
					}
				}
				return true
			})
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				body(n.Body.List)
			}
		case *ast.FuncLit:
			body(n.Body.List)
		}
		return true
	})
	return broken
}
