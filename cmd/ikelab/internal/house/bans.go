package house

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// coreFloorMax is the highest floor of the core, which has no IO, no clock and no chance.
const coreFloorMax = 3

// coreImports says what no file of the core imports, and why. A trailing /... takes the packages below along.
var coreImports = []struct{ path, why string }{
	{"net/...", "the core has no IO; addresses are net/netip"},
	{"os/...", "the core has no IO; topology reads files through fs.FS"},
	{"syscall/...", "the core has no IO"},
	{"golang.org/x/sys/...", "the core has no IO"},
	{"io/ioutil", "the core has no IO"},
	{"log/...", "the core has no IO; it emits records"},
	{"sync/...", "the core has one caller at a time and starts no goroutine"},
	{"context/...", "the core waits for nothing"},
	{"crypto/rand/...", "randomness is handed in, from sim/seed"},
	{"math/rand/...", "randomness is handed in, from sim/seed"},
}

// coreImportsAllowed are the exceptions to coreImports that hold everywhere in the core.
var coreImportsAllowed = []string{"net/netip"}

// importExceptions are the single files that a library forces to import what the core must not. They stand in
// .golangci.yml too.
var importExceptions = []struct {
	file, imported string
	// uses are all that the file may name of the package.
	uses []string
	why  string
}{
	{
		file: "topology/cidr.go", imported: "net", uses: []string{"IP", "ParseCIDR"},
		why: "go-cidr, which computes what Terraform's functions do, takes and answers net.IPNet and net.IP, plain data",
	},
}

// coreCalls says which functions no file of the core names, by package path.
var coreCalls = map[string]struct {
	names []string
	why   string
}{
	"time": {
		[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"},
		"the core reads no wall clock; an instant is a time.Duration that is handed in",
	},
	"math": {
		[]string{"Exp", "Exp2", "Expm1", "Log", "Log2", "Log10", "Log1p", "Pow", "Hypot"},
		"its code differs per architecture; use integers or a committed table",
	},
}

// everywhereElse says which imports are one room's alone, whatever the floor.
var everywhereElse = []struct {
	path, room, why string
}{
	{"math/rand/...", "sim/seed", "only sim/seed makes random streams"},
	{"gvisor.dev/gvisor/pkg/tcpip/stack/...", "sim/tcp", "the TCP/IP stack is for sim/tcp alone; others use the header and checksum views"},
	{"gvisor.dev/gvisor/pkg/tcpip/transport/...", "sim/tcp", "the TCP/IP stack is for sim/tcp alone; others use the header and checksum views"},
	{"gvisor.dev/gvisor/pkg/tcpip/network/...", "sim/tcp", "the TCP/IP stack is for sim/tcp alone; others use the header and checksum views"},
}

// Bans reports every use of what the core, or a room, must not touch, one sentence each, beginning with file and
// line.
func Bans(packages []Package) []string {
	var broken []string
	for _, p := range packages {
		r, ok := roomOf(p.Path)
		if !ok {
			continue // Floors says so
		}
		for _, f := range p.Files {
			paths, nodes := f.imports()
			for i, imported := range paths {
				if why := importBan(r, imported); why != "" {
					if excepted(f, imported) {
						broken = append(broken, exceptionAbuse(f, imported)...)
						continue
					}
					broken = append(broken, fmt.Sprintf("%s: import of %s: %s", f.at(nodes[i]), imported, why))
				}
			}
			if r.floor <= coreFloorMax {
				broken = append(broken, coreSyntax(f)...)
			}
		}
	}
	return broken
}

// excepted reports whether a file may import what its room may not.
func excepted(f *File, imported string) bool {
	for _, e := range importExceptions {
		if e.file == f.Name && e.imported == imported {
			return true
		}
	}
	return false
}

// exceptionAbuse finds uses of an excepted import beyond those it was granted for.
func exceptionAbuse(f *File, imported string) []string {
	var uses []string
	for _, e := range importExceptions {
		if e.file == f.Name && e.imported == imported {
			uses = e.uses
		}
	}
	var broken []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == path.Base(imported) && !slices.Contains(uses, sel.Sel.Name) {
			broken = append(broken, fmt.Sprintf("%s: %s.%s: the exception for this file covers %s only",
				f.at(n), imported, sel.Sel.Name, strings.Join(uses, ", ")))
		}
		return true
	})
	return broken
}

// StaleExceptions reports exceptions that no file needs any more.
func StaleExceptions(packages []Package) []string {
	var stale []string
	for _, e := range importExceptions {
		needed := false
		for _, p := range packages {
			for _, f := range p.Files {
				paths, _ := f.imports()
				needed = needed || f.Name == e.file && slices.Contains(paths, e.imported)
			}
		}
		if !needed {
			stale = append(stale, fmt.Sprintf("%s: does not import %s any more; take the exception away, also from .golangci.yml", e.file, e.imported))
		}
	}
	return stale
}

// importBan says why a room must not import a package that is not ours, or nothing.
func importBan(r room, imported string) string {
	if r.floor <= coreFloorMax {
		for _, ok := range coreImportsAllowed {
			if imported == ok {
				return ""
			}
		}
		for _, b := range coreImports {
			if matches(imported, b.path) {
				return b.why
			}
		}
	}
	for _, b := range everywhereElse {
		if r.path != b.room && matches(imported, b.path) {
			return b.why
		}
	}
	return ""
}

// matches compares an import path with a pattern that may end in /....
func matches(imported, pattern string) bool {
	if above, ok := strings.CutSuffix(pattern, "/..."); ok {
		return within(imported, above)
	}
	return imported == pattern
}

// coreSyntax finds goroutines and banned functions in a file of the core.
func coreSyntax(f *File) []string {
	// The name under which the file knows a package, aliases included.
	local := make(map[string]string)
	for _, spec := range f.AST.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = imported
	}
	var broken []string
	for imported := range coreCalls {
		if local["."] == imported {
			broken = append(broken, fmt.Sprintf("%s: dot import of %s hides what it uses", f.Name, imported))
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			broken = append(broken, f.at(n)+": go statement: the core starts no goroutine")
		case *ast.SelectStmt:
			broken = append(broken, f.at(n)+": select statement: the core waits for nothing")
		case *ast.ChanType:
			broken = append(broken, f.at(n)+": channel: the core has one caller at a time")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				broken = append(broken, f.at(n)+": receive: the core waits for nothing")
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			ban, ok := coreCalls[local[x.Name]]
			if !ok {
				return true
			}
			for _, name := range ban.names {
				if n.Sel.Name == name {
					broken = append(broken, fmt.Sprintf("%s: %s.%s: %s", f.at(n), local[x.Name], name, ban.why))
				}
			}
		}
		return true
	})
	return broken
}
