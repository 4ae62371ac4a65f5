package daemon

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrAbsent says that strongSwan has not been unpacked on this machine.
var ErrAbsent = errors.New("strongSwan is not in the cache; cure: make daemons (Debian and its kin; needs no root)")

// Tree is an unpacked strongSwan: a folder with usr/sbin/charon-systemd and so on.
type Tree struct {
	Root string
}

// What a tree must hold, below its root.
const (
	charonPath  = "usr/sbin/charon-systemd"
	swanctlPath = "usr/sbin/swanctl"
	ipsecPath   = "usr/lib/ipsec"
)

// Find finds the tree that `make daemons` unpacked for this distribution. The error
// wraps ErrAbsent where there is none.
func Find() (Tree, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Tree{}, fmt.Errorf("strongSwan's cache: %w", err)
	}
	release, err := os.Open("/etc/os-release")
	if err != nil {
		return Tree{}, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	defer func() { _ = release.Close() }() // only read
	var uname unix.Utsname
	if err := unix.Uname(&uname); err != nil {
		return Tree{}, fmt.Errorf("uname: %w", err)
	}
	name := distribution(release, unix.ByteSliceToString(uname.Machine[:]))
	tree := Tree{Root: filepath.Join(cache, "ikelab", "daemons", name, "strongswan")}
	for _, path := range []string{charonPath, swanctlPath, filepath.Join(ipsecPath, "plugins")} {
		if _, err := os.Stat(filepath.Join(tree.Root, path)); err != nil {
			return Tree{}, fmt.Errorf("%w: %w", ErrAbsent, err)
		}
	}
	return tree, nil
}

// distribution names the machine's distribution, its version and its processor as
// .ci/daemons does, from the text of os-release(5).
func distribution(release io.Reader, machine string) string {
	values := make(map[string]string)
	for lines := bufio.NewScanner(release); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		values[key] = strings.Trim(value, "'")
	}
	or := func(a ...string) string {
		return a[slices.IndexFunc(a, func(s string) bool { return s != "" })]
	}
	return or(values["ID"], "unknown") + "-" + or(values["VERSION_ID"], values["VERSION_CODENAME"], "rolling") + "-" + machine
}

// libraries lists the folders of the tree that hold shared libraries, below its
// root: strongSwan's own, and of what it links with those that the machine lacks.
func (t Tree) libraries() ([]string, error) {
	var folders []string
	for _, pattern := range []string{"usr/lib/*/lib*.so.*", "lib/*/lib*.so.*"} {
		files, err := filepath.Glob(filepath.Join(t.Root, pattern))
		if err != nil {
			return nil, fmt.Errorf("libraries of %s: %w", t.Root, err)
		}
		for _, file := range files {
			folder, err := filepath.Rel(t.Root, filepath.Dir(file))
			if err != nil {
				return nil, fmt.Errorf("libraries of %s: %w", t.Root, err)
			}
			if !slices.Contains(folders, folder) {
				folders = append(folders, folder)
			}
		}
	}
	return folders, nil
}
