package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// cpuFile is the committed table, seen from the repository's root, where make runs.
	cpuFile = ".ci/maketest/cpu.txt"
	// cpuFactor is how many times its row a package may take. It catches a test that got dear, not one processor that
	// is slower than another.
	cpuFactor = 3
	// cpuRowMin is the least that a row says, in seconds: below that, starting and linking is all there is.
	cpuRowMin = 2
	// cpuBudget is the most that a row may say. A package that needs more is split, or its tests made cheaper.
	cpuBudget = 90
)

// measured is the processor time of each package whose tests ran, by import path. Results from go test's cache have
// none.
type measured map[string]time.Duration

// module is where the packages are: a prefix of their import paths, and of their folders.
type module struct{ Path, Dir string }

// thisModule asks go for the module of the working directory.
func thisModule() (module, error) {
	out, err := exec.Command("go", "list", "-m", "-json").Output()
	if err != nil {
		return module{}, fmt.Errorf("go list -m: %w", err)
	}
	var m module
	return m, json.Unmarshal(out, &m)
}

// byPackage tells what was measured by import path. Folders outside the module are nobody's.
func byPackage(folders map[string]time.Duration, in module) measured {
	took := make(measured)
	for dir, t := range folders {
		if below, err := filepath.Rel(in.Dir, dir); err == nil && filepath.IsLocal(below) {
			took[path.Join(in.Path, filepath.ToSlash(below))] = t
		}
	}
	return took
}

// cpuTable says what packages take, in whole seconds of processor time.
type cpuTable map[string]int

// readTable reads the committed table.
func readTable(text []byte) (cpuTable, error) {
	table := make(cpuTable)
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		n++
		line, _, _ := strings.Cut(s.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		bad := fmt.Errorf("%s:%d: want a package and its seconds, a whole number from %d to %d: %q", cpuFile, n, cpuRowMin, cpuBudget, s.Text())
		if len(fields) != 2 {
			return nil, bad
		}
		seconds, err := strconv.Atoi(fields[1])
		if err != nil || seconds < cpuRowMin || seconds > cpuBudget {
			return nil, bad
		}
		if _, twice := table[fields[0]]; twice {
			return nil, fmt.Errorf("%s:%d: a second row for %s", cpuFile, n, fields[0])
		}
		table[fields[0]] = seconds
	}
	return table, nil
}

// row is what the table says of a package that took so long.
func row(took time.Duration) int { return max(cpuRowMin, int(math.Ceil(took.Seconds()))) }

// judge says which packages took too long, and which have no row.
func (m measured) judge(table cpuTable) (broken []string) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		took := m[name]
		switch seconds, there := table[name]; {
		case !there:
			broken = append(broken, fmt.Sprintf("%s has no row in %s; add the line: %s %d", name, cpuFile, name, row(took)))
		case took > cpuFactor*time.Duration(seconds)*time.Second:
			broken = append(broken, fmt.Sprintf("%s took %.1f s of processor time, more than %d times the %d s of its row in %s: make its tests cheaper, or say in the commit why they are not", name, took.Seconds(), cpuFactor, seconds, cpuFile))
		}
	}
	return broken
}

// update puts what was measured into the table. Rows of packages that did not run stay while there is a folder.
func (m measured) update(table cpuTable, in module) error {
	for name, took := range m {
		if table[name] = row(took); table[name] > cpuBudget {
			return fmt.Errorf("%s took %.1f s of processor time, and no package may take more than %d: split it, or make its tests cheaper", name, took.Seconds(), cpuBudget)
		}
	}
	for name := range table {
		if _, err := os.Stat(filepath.Join(in.Dir, filepath.FromSlash(strings.TrimPrefix(name, in.Path)))); errors.Is(err, fs.ErrNotExist) {
			delete(table, name)
		}
	}
	return nil
}

// tableHead begins the committed table.
const tableHead = `# Processor time of each package's tests in seconds, with the processes that they wait for, on a machine of two cores.
# With CI=true a package that takes more than three times as long fails, or one without a row.
# make cputable rewrites it, as root and on an idle machine. No row may be above 90.
`

// write is the table as it is committed.
func (t cpuTable) write() []byte {
	var b bytes.Buffer
	b.WriteString(tableHead)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(&b, "%s %d\n", name, t[name])
	}
	return b.Bytes()
}

// loadTable reads the committed table; there may be none yet.
func loadTable() (cpuTable, error) {
	text, err := os.ReadFile(filepath.FromSlash(cpuFile))
	if errors.Is(err, fs.ErrNotExist) {
		return make(cpuTable), nil
	}
	if err != nil {
		return nil, err
	}
	return readTable(text)
}
