package decode

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNobodyElseOpensUnchecked: suite.NewOpener gives plaintexts whose check value
// is wrong or unknown. No code but this package's may call it.
func TestNobodyElseOpensUnchecked(t *testing.T) {
	root := filepath.Join("..", "..")
	calls := map[string]int{}
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == ".git":
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(path)), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "NewOpener" {
				calls[filepath.ToSlash(filepath.Dir(path))]++
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls["sim/decode"] == 0 {
		t.Error("this package does not call it: the test looks for another name")
	}
	for folder := range calls {
		if folder != "sim/decode" {
			t.Errorf("%s calls suite.NewOpener; it must use suite.NewCrypter, which hands out nothing that failed its check", folder)
		}
	}
}
