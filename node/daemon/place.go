package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
)

// Where a daemon finds its own things, in its private /run.
const (
	placeTree = "/run/strongswan" // the unpacked tree
	placeConf = "/run/conf"       // Config.Dir
)

// place is an operating system thread that lives in a network namespace and in a
// mount namespace made for one daemon. What it starts lives there too, and is killed
// by the kernel when the thread ends, at the latest with the process.
type place struct {
	work chan func()
	stop func()
	gone chan struct{}
}

// enter makes a place. The network namespace stays the caller's; where no daemon
// library folder exists on the host, making one is the mount namespace's business.
func enter(network ns.NetNS, tree Tree, dir string) (*place, error) {
	p := &place{work: make(chan func()), gone: make(chan struct{})}
	p.stop = sync.OnceFunc(func() { close(p.work) })
	made := make(chan error)
	go p.live(made, func() error { return furnish(network, tree, dir) })
	if err := <-made; err != nil {
		<-p.gone
		return nil, err
	}
	return p, nil
}

// live is the thread's life. It is never unlocked, so that it ends with the
// goroutine and nothing else ever runs in its namespaces.
func (p *place) live(made chan<- error, furnish func() error) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The first thread stands for the whole process in /proc and outlives its
		// goroutines. While this one holds it, another gets another thread.
		moved := make(chan error)
		go p.live(moved, furnish)
		err := <-moved
		runtime.UnlockOSThread()
		made <- err
		return
	}
	defer close(p.gone)
	err := furnish()
	made <- err
	if err != nil {
		return
	}
	for f := range p.work {
		f()
	}
}

// do runs f on the place's thread. It must not be called after leave.
func (p *place) do(f func() error) error {
	done := make(chan error, 1)
	p.work <- func() { done <- f() }
	return <-done
}

// leave ends the thread, and with it everything that still runs in the place.
func (p *place) leave() {
	p.stop()
	<-p.gone
}

// furnish moves the calling thread into its namespaces and mounts what the daemon
// expects: /usr/lib/ipsec with its plug-ins, a private /run, and in that the tree
// and the daemon's own folder.
func furnish(network ns.NetNS, tree Tree, dir string) error {
	// A thread shares root and working folder with the others until it unshares them,
	// without which it may not have a mount namespace of its own.
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace for the daemon: %w; cure: run as root", err)
	}
	// What is unmounted on the host goes away here too; nothing goes the other way.
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("a mount namespace for the daemon: %w", err)
	}
	if err := network.Set(); err != nil {
		return fmt.Errorf("the daemon's network namespace: %w", err)
	}
	// Both may lie below /run, which is about to be covered: they are held open.
	sources := make(map[string]int)
	for target, source := range map[string]string{placeTree: tree.Root, placeConf: dir} {
		fd, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: source, Err: err}
		}
		defer func() { _ = unix.Close(fd) }() // nothing was written
		sources[target] = fd
	}
	if err := mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for target, fd := range sources {
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		if err := mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return mountBelow("/usr/lib", "ipsec", filepath.Join(placeTree, ipsecPath))
}

// mountBelow makes source appear as folder/name. Where there is no such folder, the
// whole folder above is covered by a copy of itself, made of bind mounts, with one
// entry more: nothing is made on the host. (An overlay would do in one line, on
// kernels that have it.)
func mountBelow(folder, name, source string) error {
	target := filepath.Join(folder, name)
	switch _, err := os.Lstat(target); {
	case err == nil:
		return mount(source, target, "", unix.MS_BIND, "")
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	old := "/run/" + name + ".old"
	if err := os.Mkdir(old, 0o755); err != nil {
		return err
	}
	if err := mount(folder, old, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(old, e.Name()), filepath.Join(folder, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			link, err := os.Readlink(from)
			if err != nil {
				return err
			}
			if err := os.Symlink(link, to); err != nil {
				return err
			}
			continue
		case e.IsDir():
			if err := os.Mkdir(to, 0o755); err != nil {
				return err
			}
		default:
			if err := os.WriteFile(to, nil, 0o644); err != nil {
				return err
			}
		}
		if err := mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	return mount(source, target, "", unix.MS_BIND, "")
}

// mount is mount(2) with an error that names the place.
func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("the daemon's mount namespace: mounting %s on %s: %w", source, target, err)
	}
	return nil
}
