package house

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the repository's root, seen from this package.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("no go.mod where the repository's root should be: %v", err)
	}
	return dir
}

// repository is everything of ours, parsed.
func repository(t *testing.T) []Package {
	t.Helper()
	packages, err := Load(root(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages found", len(packages))
	}
	return packages
}

func report(t *testing.T, broken []string) {
	t.Helper()
	for _, b := range broken {
		t.Error(b)
	}
}

func TestImportsGoDownOnly(t *testing.T) { report(t, Floors(repository(t))) }

func TestTheCoreHasNoIONoClockNoChance(t *testing.T) { report(t, Bans(repository(t))) }

func TestExceptionsAreNeeded(t *testing.T) { report(t, StaleExceptions(repository(t))) }

func TestEveryPackageSaysWhatItIsFor(t *testing.T) { report(t, Docs(repository(t))) }

func TestFilesAreOneThing(t *testing.T) {
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if long := Length(filepath.ToSlash(name), bytes.Count(text, []byte("\n"))); long != "" {
			t.Error(long)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingElseGrowsAtTheTop asks git what is in the repository, because a work tree also holds what a person left
// there; in an archive without git everything counts.
func TestNothingElseGrowsAtTheTop(t *testing.T) {
	dir := root(t)
	var names []string
	if out, err := exec.Command("git", "-C", dir, "ls-files").Output(); err == nil && len(out) > 0 {
		for _, name := range strings.Fields(string(out)) {
			top, _, _ := strings.Cut(name, "/")
			names = append(names, top)
		}
	} else {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	if len(names) < len(TopLevel)/2 {
		t.Fatalf("found only %q", names)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Contains(TopLevel, name) {
			t.Errorf("%s: nothing else grows at the top level; put it into one of %s", name, strings.Join(TopLevel, " "))
		}
	}
}

// TestTheReadmesCommandsExist holds the README to what is there: make targets, files, commands.
func TestTheReadmesCommandsExist(t *testing.T) {
	dir := root(t)
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(dir, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"go run ./cmd/ikelab run examples/first-tunnel.hcl", "make test"} {
		if !bytes.Contains(readme, []byte(must)) {
			t.Errorf("README.md does not name its command %q", must)
		}
	}
	for _, m := range regexp.MustCompile(`\bmake ([a-z]+)`).FindAllSubmatch(readme, -1) {
		if !regexp.MustCompile(`(?m)^` + string(m[1]) + `:`).Match(makefile) {
			t.Errorf("README.md says make %s; the Makefile has no such target", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`\b(examples/[a-z0-9./-]+\.hcl|docs/[a-z-]+\.md)`).FindAll(readme, -1) {
		if _, err := os.Stat(filepath.Join(dir, string(m))); err != nil {
			t.Errorf("README.md names %s: %v", m, err)
		}
	}
	ci, err := os.ReadFile(filepath.Join(dir, ".ci", "run"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(ci, []byte("\nexec make test\n")) {
		t.Error(".ci/run does not call the README's test command, make test")
	}
}

// TestTheFloorTableIsTheArchitectures holds ARCHITECTURE.md to the table that is enforced.
func TestTheFloorTableIsTheArchitectures(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	// A row is `| floor | `package` … |`.
	floors := make(map[string]string)
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d) \\| ([^|]*) \\|").FindAllSubmatch(text, -1) {
		for _, p := range regexp.MustCompile("`([a-z/]+)`").FindAllSubmatch(row[2], -1) {
			floors[string(p[1])] = string(row[1])
		}
	}
	for _, r := range rooms {
		if got, want := floors[r.path], string(rune('0'+r.floor)); got != want {
			t.Errorf("ARCHITECTURE.md puts %s on floor %q, the enforced table on %s", r.path, got, want)
		}
		delete(floors, r.path)
	}
	for path := range floors {
		t.Errorf("ARCHITECTURE.md gives %s a floor, the enforced table does not", path)
	}
}
