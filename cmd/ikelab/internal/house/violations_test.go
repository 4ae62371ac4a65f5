package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// synthetic makes a package of one file, as Load would.
func synthetic(t *testing.T, path, name, src string) Package {
	t.Helper()
	f, err := parse("/root", "/root/"+path+"/"+name, src)
	if err != nil {
		t.Fatal(err)
	}
	return Package{Path: path, Files: []*File{f}}
}

// TestFloorsCatches shows each rule of the table catching its violation, and letting its neighbour pass.
func TestFloorsCatches(t *testing.T) {
	for _, tc := range []struct {
		pkg, imports string
		want         []string
	}{
		{"ike", Module + "/ike/wire", nil},
		{"ike", Module + "/esp", nil},
		{"ike/wire", Module + "/ike/suite", []string{"ike/wire/x.go:2: ike/wire imports ike/suite: ike/wire imports nothing of ours"}},
		{"impair", Module + "/ike/wire", []string{"impair/x.go:2: impair imports ike/wire: impair imports nothing of ours"}},
		{"esp", Module + "/ike/suite", nil},
		{"esp", Module + "/ike/wire", []string{"esp/x.go:2: esp imports ike/wire: esp may import ike/suite only"}},
		{"topology", Module + "/esp", []string{"topology/x.go:2: topology imports esp: both stand on floor 1, and imports go down only"}},
		{"ike", Module + "/node", []string{"ike/x.go:2: ike imports node: floor 2 must not see floor 3"}},
		{"node", Module + "/sim/seed", []string{"node/x.go:2: node imports sim/seed: floor 3 must not see floor 5"}},
		{"node/host", Module + "/sim", []string{"node/host/x.go:2: node/host imports sim: node/host never imports sim"}},
		{"sim", Module + "/node/host", []string{"sim/x.go:2: sim imports node/host: sim never imports node/host"}},
		{"sim", Module + "/sim/seed", nil},
		{"sim/seed", Module + "/sim", []string{"sim/seed/x.go:2: sim/seed imports sim: both stand on floor 5, and imports go down only"}},
		{"sim/report", Module + "/sim", nil},
		{"sim", Module + "/sim/report", []string{"sim/x.go:2: sim imports sim/report: both stand on floor 5, and imports go down only"}},
		{"sim/guest", Module + "/sim/netns", []string{"sim/guest/x.go:2: sim/guest imports sim/netns: both stand on floor 6, and imports go down only"}},
		{"sim/virtual", Module + "/cmd/ikelab/internal/house", []string{"sim/virtual/x.go:2: sim/virtual imports cmd/ikelab/internal/house: floor 6 must not see floor 7"}},
		{"sim/virtual/heap", Module + "/sim/virtual", nil},
		{"ike/internal/x", Module + "/node", []string{"ike/internal/x/x.go:2: ike/internal/x imports node: floor 2 must not see floor 3"}},
		{"util", "fmt", []string{"util/x.go: package util is in no room of the floor table; give it a floor there and in ARCHITECTURE.md"}},
		{"ike", Module + "/util", []string{"ike/x.go:2: ike imports util: it is in no room of the floor table"}},
	} {
		t.Run(tc.pkg+" imports "+below(tc.imports), func(t *testing.T) {
			p := synthetic(t, tc.pkg, "x.go", "package x\nimport _ \""+tc.imports+"\"\n")
			if diff := cmp.Diff(tc.want, Floors([]Package{p})); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBansCatches shows each ban of the core catching its violation.
func TestBansCatches(t *testing.T) {
	for _, tc := range []struct {
		name, pkg, src string
		want           string // "" when it is allowed
	}{
		{"net", "node", "import _ \"net\"", "import of net: "},
		{"net/http", "node", "import _ \"net/http\"", "import of net/http: "},
		{"net/netip", "node", "import _ \"net/netip\"", ""},
		{"os", "topology", "import _ \"os\"", "import of os: "},
		{"os/exec", "topology", "import _ \"os/exec\"", "import of os/exec: "},
		{"io/fs", "topology", "import _ \"io/fs\"", ""},
		{"sync", "esp", "import _ \"sync\"", "import of sync: "},
		{"sync/atomic", "esp", "import _ \"sync/atomic\"", "import of sync/atomic: "},
		{"context", "ike", "import _ \"context\"", "import of context: "},
		{"crypto/rand", "ike/suite", "import _ \"crypto/rand\"", "import of crypto/rand: "},
		{"math/rand", "impair", "import _ \"math/rand\"", "import of math/rand: "},
		{"math/rand/v2", "impair", "import _ \"math/rand/v2\"", "import of math/rand/v2: "},
		{"math/rand/v2 above the core", "sim/virtual", "import _ \"math/rand/v2\"", "only sim/seed makes random streams"},
		{"math/rand/v2 in its room", "sim/seed", "import _ \"math/rand/v2\"", ""},
		{"gVisor's stack", "sim/virtual", "import _ \"gvisor.dev/gvisor/pkg/tcpip/stack\"", "for sim/tcp alone"},
		{"gVisor's views", "node", "import _ \"gvisor.dev/gvisor/pkg/tcpip/header\"", ""},
		{"os above the core", "cmd/ikelab", "import _ \"os\"", ""},
		{"goroutine", "ike", "func f() { go f() }", "go statement"},
		{"goroutine above the core", "sim/netns", "func f() { go f() }", ""},
		{"channel", "ike", "var c chan int", "channel"},
		{"receive", "ike", "func f() { <-g() }", "receive"},
		{"select", "ike", "func f() { select {} }", "select statement"},
		{"time.Now", "node", "import \"time\"\nvar t = time.Now()", "time.Now: "},
		{"time.Now by another name", "node", "import wall \"time\"\nvar t = wall.Now()", "time.Now: "},
		{"time.Now as a value", "node", "import \"time\"\nvar now = time.Now", "time.Now: "},
		{"time.Duration", "node", "import \"time\"\nvar d time.Duration", ""},
		{"a method Now", "node", "func f(c clock) { c.Now() }", ""},
		{"math.Pow", "impair", "import \"math\"\nvar x = math.Pow(2, 3)", "math.Pow: "},
		{"math.Sqrt is exact", "impair", "import \"math\"\nvar x = math.Sqrt(2)", ""},
		{"dot import", "impair", "import . \"math\"\nvar x = Pow(2, 3)", "dot import of math"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Bans([]Package{synthetic(t, tc.pkg, "x.go", "package x\n"+tc.src+"\n")})
			switch {
			case tc.want == "" && len(got) != 0:
				t.Errorf("findings where none should be: %q", got)
			case tc.want != "" && len(got) != 1:
				t.Errorf("%d findings, want one: %q", len(got), got)
			case tc.want != "" && (!strings.HasPrefix(got[0], tc.pkg+"/x.go") || !strings.Contains(got[0], tc.want)):
				t.Errorf("finding %q does not name %s/x.go and %q", got[0], tc.pkg, tc.want)
			}
		})
	}
}

// TestExceptionsAreNarrow: an exception is for one file, and for what it was granted for.
func TestExceptionsAreNarrow(t *testing.T) {
	const src = "package topology\nimport \"net\"\nvar n net.IP\n"
	for _, tc := range []struct {
		name, file, src, want string
	}{
		{"the file", "cidr.go", src, ""},
		{"its neighbour", "load.go", src, "import of net: "},
		{"the file, dialling", "cidr.go", src + "var d = net.Dial\n", "net.Dial: the exception"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := strings.Join(Bans([]Package{synthetic(t, "topology", tc.file, tc.src)}), "\n")
			if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
				t.Errorf("findings %q, want %q", got, tc.want)
			}
		})
	}
	if stale := StaleExceptions(nil); len(stale) != len(importExceptions) {
		t.Errorf("with no file at all every exception is stale, found %q", stale)
	}
}

// TestLoadSeesAViolationOnDisk goes the whole way: a module on disk, with a file that this platform does not build.
func TestLoadSeesAViolationOnDisk(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module "+Module+"\n\ngo 1.26\n")
	write("esp/esp.go", "package esp\n")
	write("ike/ike_plan9.go", "package ike\n\nimport _ \"os\"\n\nimport _ \""+Module+"/node\"\n")
	write("ike/ike.go", "package ike\n")
	write("ike/ike_test.go", "package ike\n\nimport _ \"os\"\n")
	write("node/node.go", "package node\n")
	if out, err := exec.Command("go", "env", "GOOS").Output(); err != nil || strings.TrimSpace(string(out)) == "plan9" {
		t.Fatalf("this test wants go, and not on plan9: %v", err)
	}
	packages, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ike/ike_plan9.go:5: ike imports node: floor 2 must not see floor 3"}
	if diff := cmp.Diff(want, Floors(packages)); diff != "" {
		t.Errorf("floors (-want +got):\n%s", diff)
	}
	want = []string{"ike/ike_plan9.go:3: import of os: the core has no IO; topology reads files through fs.FS"}
	if diff := cmp.Diff(want, Bans(packages)); diff != "" {
		t.Errorf("bans (-want +got):\n%s", diff)
	}
	if docs := Docs(packages); len(docs) != 3 {
		t.Errorf("three packages have no doc.go, found %q", docs)
	}
}

func TestLengthCatches(t *testing.T) {
	if got := Length("ike/x.go", 600); got != "" {
		t.Errorf("600 lines are allowed, got %q", got)
	}
	if got := Length("ike/x.go", 601); !strings.HasPrefix(got, "ike/x.go: 601 lines") {
		t.Errorf("601 lines are not, got %q", got)
	}
}
