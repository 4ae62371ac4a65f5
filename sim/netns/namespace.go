//go:build linux

package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
)

// shareNamespaces makes the folder of named namespaces a mount that is shared with
// every mount namespace, as ip-netns(8) does: a name that is removed here is then
// removed everywhere, and no copy of the mount keeps the namespace alive.
var shareNamespaces = sync.OnceValue(func() error {
	if err := os.MkdirAll(namespaceFolder, 0o755); err != nil {
		return fmt.Errorf("network namespaces: %w", err)
	}
	err := unix.Mount("", namespaceFolder, "none", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // not a mount point yet
		if err = unix.Mount(namespaceFolder, namespaceFolder, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", namespaceFolder, "none", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("network namespaces: sharing %s: %w", namespaceFolder, err)
	}
	return nil
})

// newNamespace makes a network namespace with a name that ip-netns(8) shows.
func newNamespace(name string) (ns.NetNS, error) {
	if err := shareNamespaces(); err != nil {
		return nil, err
	}
	path := filepath.Join(namespaceFolder, name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return nil, fmt.Errorf("network namespace %q: %w", name, err)
	}
	_ = f.Close() // nothing was written
	made := make(chan error)
	go func() { made <- mountNew(path) }()
	if err := <-made; err != nil {
		_ = os.Remove(path)
		return nil, fmt.Errorf("network namespace %q: %w", name, err)
	}
	return ns.GetNS(path)
}

// mountNew makes a namespace and holds it by a mount. The thread is back in its own
// when this returns; one that cannot come back ends with the goroutine, which stays
// locked to it.
func mountNew(path string) error {
	runtime.LockOSThread()
	self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
	home, err := os.Open(self)
	if err != nil {
		return err
	}
	defer func() { _ = home.Close() }()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = unix.Mount(self, path, "none", unix.MS_BIND, "")
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return err
}

// removeNamespaces takes named namespaces away. The kernel ends them when the last
// socket and process in them is gone.
func removeNamespaces(names []string) error {
	var errs []error
	for _, name := range names {
		path := filepath.Join(namespaceFolder, name)
		for {
			err := unix.Unmount(path, unix.MNT_DETACH)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
				break // not mounted, or no more
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("network namespace %q: %w", name, err))
				break
			}
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("network namespace %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
