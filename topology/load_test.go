package topology

import (
	"flag"
	"os"
	"testing"
	"testing/fstest"
)

var update = flag.Bool("update", false, "rewrite golden files")

// loadText loads a lab that stands in a test.
func loadText(t testing.TB, src string, vars map[string]string, opts ...Option) (*Plan, Diagnostics) {
	t.Helper()
	return Load(fstest.MapFS{"lab.hcl": {Data: []byte(src)}}, "lab.hcl", vars, opts...)
}

// loadFile loads a lab of testdata.
func loadFile(t testing.TB, path string, opts ...Option) (*Plan, Diagnostics) {
	t.Helper()
	return Load(os.DirFS("testdata"), path, nil, opts...)
}
