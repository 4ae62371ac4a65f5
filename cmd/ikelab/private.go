package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	privateFolderMode = 0o700
	privateFileMode   = 0o600
	othersMayWrite    = 0o002
)

// privateFolder is a folder for files that may carry keys. Whoever runs ikelab as root names a folder that somebody else
// can perhaps write to: so nothing in it is written through a link, and every file is made anew, for its owner alone.
type privateFolder struct {
	path string
	root *os.Root
}

// openPrivate opens a folder, and makes it if there is none. One in which nothing but names of ours is becomes its
// owner's alone; one with anything else keeps its mode, because it is not ours to close. One of another user's is
// refused: who owns it can put files of his own beside the keys, and Wireshark runs the scripts that it finds there. The
// way to the folder is the caller's affair.
func openPrivate(path string, ours ...string) (*privateFolder, error) {
	path = filepath.Clean(path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, privateFolderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	named, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if named.Mode()&fs.ModeSymlink != 0 {
		to, _ := os.Readlink(path) // only for the text
		return nil, usageError("%s is a symbolic link to %s; keys are not written through one: name the folder itself", path, to)
	}
	if !named.IsDir() {
		return nil, fmt.Errorf("%s is not a folder; name another one", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	p := &privateFolder{path: path, root: root}
	if err := p.tighten(named, ours); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return p, nil
}

// outError says that nothing can be written where a flag names a folder: the command line is wrong where another folder
// is the remedy, else IO failed.
func outError(flag string, err error) error {
	var s *statusError
	if errors.As(err, &s) && s.status == exitUsage {
		return usageError("%s: %w", flag, err)
	}
	return internalError("%s: %w", flag, err)
}

// tighten checks that the folder is the one that was looked at, and takes it away from others.
func (p *privateFolder) tighten(named fs.FileInfo, ours []string) error {
	opened, err := p.root.Stat(".")
	if err != nil {
		return err
	}
	if !os.SameFile(named, opened) {
		return fmt.Errorf("%s was replaced by something else meanwhile", p.path)
	}
	if err := p.mine(opened); err != nil {
		return err
	}
	if opened.Mode().Perm()&^privateFolderMode == 0 {
		return nil
	}
	names, err := fs.ReadDir(p.root.FS(), ".")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, name := range ours {
		known[name] = true
	}
	for _, n := range names {
		if known[n.Name()] {
			continue
		}
		if opened.Mode().Perm()&othersMayWrite != 0 {
			return usageError("everybody may write to %s, and what is written here may carry keys; name a folder of your own, %s for example",
				p.path, filepath.Join(p.path, "NAME"))
		}
		return nil // somebody else's files are in it, too
	}
	return p.root.Chmod(".", privateFolderMode)
}

// mine says that the folder belongs to another user.
func (p *privateFolder) mine(info fs.FileInfo) error {
	if owner, known := ownerOf(info); known && owner != os.Geteuid() {
		return usageError("%s belongs to user id %d, and this process is user id %d; name a folder of your own", p.path, owner, os.Geteuid())
	}
	return nil
}

// create makes a file for its owner alone in the place of what had its name.
func (p *privateFolder) create(name string) (*os.File, error) {
	if err := p.remove(name); err != nil {
		return nil, err
	}
	// With O_EXCL a link that somebody has made meanwhile is no way out.
	f, err := p.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privateFileMode)
	if err != nil {
		return nil, p.named(name, err)
	}
	return f, nil
}

// remove removes a file, or a link, not what it leads to.
func (p *privateFolder) remove(name string) error {
	info, err := p.root.Lstat(name)
	if err == nil && info.IsDir() {
		return usageError("%s is a folder; move it away, or name another place", filepath.Join(p.path, name))
	}
	if err == nil {
		err = p.root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p.named(name, err)
	}
	return nil
}

// write makes a file with this content.
func (p *privateFolder) write(name string, content []byte) error {
	f, err := p.create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

// folder opens a folder below, and makes it if there is none.
func (p *privateFolder) folder(name string) (*privateFolder, error) {
	if err := p.root.Mkdir(name, privateFolderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, p.named(name, err)
	}
	path := filepath.Join(p.path, name)
	info, err := p.root.Lstat(name)
	if err != nil {
		return nil, p.named(name, err)
	}
	if !info.IsDir() {
		return nil, usageError("%s is not a folder; move it away, or name another place", path)
	}
	root, err := p.root.OpenRoot(name)
	if err != nil {
		return nil, p.named(name, err)
	}
	below := &privateFolder{path: path, root: root}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%s was replaced by something else meanwhile", path)
	}
	if err == nil {
		err = below.mine(opened)
	}
	if err == nil {
		err = root.Chmod(".", privateFolderMode)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return below, nil
}

// named is an error about a name below, with the path that a person knows.
func (p *privateFolder) named(name string, err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return &fs.PathError{Op: of.Op, Path: filepath.Join(p.path, name), Err: of.Err}
	}
	return fmt.Errorf("%s: %w", filepath.Join(p.path, name), err)
}

// close gives the folder back. The files stay open.
func (p *privateFolder) close() error { return p.root.Close() }
