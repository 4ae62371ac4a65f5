//go:build linux

package netns

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// namespaceFolder is where ip-netns(8) looks for names.
	namespaceFolder = "/run/netns"
	// namespacePrefix begins the name of every namespace that is made here.
	namespacePrefix = "ikelab-"

	// folderSuffix ends the name of every lab's folder, so that nothing else in the
	// folder of state is taken for one.
	folderSuffix = ".lab"

	lockFile       = "lock"
	ownerFile      = "owner"
	namespacesFile = "namespaces"
)

// folderFiles are all that a lab's folder can hold: what is made here, and what a holder
// keeps beside it, its log and its socket. A folder with anything else is left alone.
var folderFiles = []string{lockFile, ownerFile, namespacesFile, "log", "control"}

// claim is a lab's place on this host: a folder of state, locked while its owner
// lives, and the names of the namespaces that it may make.
type claim struct {
	id, dir string
	lock    *os.File
}

// How often a place is tried before it is taken for taken, and the time between.
const (
	claimTries = 16
	claimPause = 20 * time.Millisecond
)

// ErrStanding says that a lab of the name stands already.
var ErrStanding = errors.New("a lab of this name stands already")

// newClaim takes a place for a lab. With unique, any number of labs of one name can
// be there at a time, each with an identifier of its own; without, the identifier is
// the name, and ErrStanding says that it is taken.
func newClaim(name string, unique bool) (*claim, error) {
	if err := MakeState(); err != nil {
		return nil, err
	}
	id := name
	for tries := 0; ; tries++ {
		if unique {
			var tail [3]byte
			if _, err := rand.Read(tail[:]); err != nil {
				return nil, err
			}
			id = name + "-" + hex.EncodeToString(tail[:])
		}
		c, err := tryClaim(id)
		switch {
		case err == nil:
			return c, nil
		case !errors.Is(err, ErrStanding) && !errors.Is(err, fs.ErrNotExist) || tries == claimTries:
			return nil, err
		case !unique:
			// Whoever looks at a folder holds its lock for a moment, and whoever
			// clears away may meet one that is just being made.
			time.Sleep(claimPause)
		}
	}
}

// tryClaim takes one identifier. What a dead owner left under it is cleared away
// first.
func tryClaim(id string) (*claim, error) {
	c := newFolder(id)
	if err := os.Mkdir(c.dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("state of lab %q: %w", id, err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if foreign, err := c.foreign(); err != nil {
		return nil, fmt.Errorf("state of lab %q: %w", id, err)
	} else if foreign != "" {
		return nil, fmt.Errorf("state of lab %q: %s holds %q, which is no lab's; take it away from there, or let IKELAB_STATE_DIR name another folder", id, c.dir, foreign)
	}
	if err := c.acquire(os.O_CREATE); err != nil {
		return nil, err
	}
	if err := c.clear(); err != nil {
		c.release()
		return nil, err
	}
	owner := fmt.Sprintf("%d\n%s\n%s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339), processNamespace())
	if err := os.WriteFile(filepath.Join(c.dir, ownerFile), []byte(owner), fileMode); err != nil {
		c.release()
		return nil, fmt.Errorf("state of lab %q: %w", id, err)
	}
	return c, nil
}

// newFolder is the claim of an identifier, not taken.
func newFolder(id string) *claim { return &claim{id: id, dir: Folder(id)} }

// Folder is where the lab's owner keeps what belongs to it; it goes with the lab.
func Folder(id string) string { return filepath.Join(StateDir(), id+folderSuffix) }

// check says what is wrong with the folder, and takes rights from others that an older
// version gave them.
func (c *claim) check() error {
	info, err := os.Lstat(c.dir)
	switch {
	case err != nil:
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	case !info.IsDir() || ownerOf(info) != os.Geteuid():
		return fmt.Errorf("state of lab %q: %s is no folder of this user's; take it away, or let IKELAB_STATE_DIR name another folder", c.id, c.dir)
	}
	return narrow(c.dir, info, folderMode)
}

// folders are the claims that folders stand for, whoever made them.
func folders() ([]*claim, error) {
	if err := CheckState(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(StateDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state of labs: %w", err)
	}
	var all []*claim
	for _, e := range entries {
		id, is := strings.CutSuffix(e.Name(), folderSuffix)
		if !is || !e.IsDir() {
			continue
		}
		c := newFolder(id)
		if foreign, err := c.foreign(); err == nil && foreign == "" && c.check() == nil {
			all = append(all, c)
		}
	}
	return all, nil
}

// foreign names something in the folder that no lab has put there, empty for nothing.
func (c *claim) foreign() (string, error) {
	entries, err := os.ReadDir(c.dir)
	for _, e := range entries {
		if !slices.Contains(folderFiles, e.Name()) || e.IsDir() {
			return e.Name(), nil
		}
	}
	return "", err
}

// acquire locks the folder; create is os.O_CREATE where it may be one without a lock
// yet. The lock goes with the process, however it ends. A folder that was removed
// between opening and locking is not ours.
func (c *claim) acquire(create int) error {
	path := filepath.Join(c.dir, lockFile)
	f, err := OpenLock(path, create)
	if err != nil {
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		who := LockedBy(f)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lab %q: %w (process %s; its lock has %s); take it down with: ikelab down %s", c.id, ErrStanding, c.owner(), who, c.id)
		}
		return fmt.Errorf("state of lab %q: lock: %w", c.id, err)
	}
	mine, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(path); err == nil && !os.SameFile(mine, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("state of lab %q was removed by somebody else at this moment; try again (%w)", c.id, err)
	}
	c.lock = f
	return nil
}

// owner is the process that holds, or held, the claim, for messages.
func (c *claim) owner() string {
	text, err := os.ReadFile(filepath.Join(c.dir, ownerFile))
	if err != nil {
		return "unknown"
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	return pid
}

// orphaned says that the owner has ended, although the lock may still be held: by a
// child of its that was about to become another program, or to die with it.
func (c *claim) orphaned() bool {
	text, err := os.ReadFile(filepath.Join(c.dir, ownerFile))
	if err != nil {
		return false
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 3 || lines[2] != processNamespace() {
		return false // its number says nothing here
	}
	return isZombie(lines[0])
}

// processNamespace names the namespace in which this process has its number.
func processNamespace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "unknown"
	}
	return name
}

// namespace is the name of the namespace of a node. An identifier has no dot, so that
// no two labs can mean one name by it.
func (c *claim) namespace(node string) string { return namespacePrefix + c.id + "." + node }

// hub is the name of the namespace that holds bridges. No node can have a name that
// makes it its own.
func (c *claim) hub() string { return namespacePrefix + c.id + "@hub" }

// plan writes down which namespaces will be made, before the first one is. None of
// them may be there: it would be somebody else's, and be cleared away with ours.
func (c *claim) plan(names []string) error {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(namespaceFolder, name)); err == nil {
			return fmt.Errorf("network namespace %q exists already and is not this lab's; remove it with: ip netns del %s", name, name)
		}
	}
	path := filepath.Join(c.dir, namespacesFile)
	if err := os.WriteFile(path, []byte(strings.Join(names, "\n")+"\n"), fileMode); err != nil {
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	return nil
}

// clear removes what the claim's namespaces file lists: processes inside, then the
// namespaces with everything in them. It is safe to call for what never was.
func (c *claim) clear() error {
	names, err := c.names()
	if err != nil {
		return err
	}
	return errors.Join(killInside(names, c.mark()), removeNamespaces(names))
}

// killProcesses ends the processes in the claim's namespaces.
func (c *claim) killProcesses() error {
	names, err := c.names()
	if err != nil {
		return err
	}
	return killInside(names, c.mark())
}

// mark is what every command of the lab has in its environment.
func (c *claim) mark() string { return "IKELAB_LAB=" + c.dir }

// names are what the claim's namespaces file lists.
func (c *claim) names() ([]string, error) {
	list, err := os.ReadFile(filepath.Join(c.dir, namespacesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	var names []string
	for name := range bytes.FieldsSeq(list) {
		// Whatever the file says, nothing is removed that could not be ours.
		if n := string(name); strings.HasPrefix(n, namespacePrefix) && !strings.ContainsRune(n, '/') {
			names = append(names, n)
		}
	}
	return names, nil
}

// release gives the claim up without clearing it.
func (c *claim) release() {
	if c.lock != nil {
		_ = c.lock.Close() // which unlocks it
		c.lock = nil
	}
}

// remove clears everything away and ends the claim.
func (c *claim) remove() error {
	err := c.clear()
	if err == nil {
		// While the lock is held, so that nobody claims a folder that goes.
		err = c.removeFolder()
	}
	c.release()
	return err
}

// removeFolder takes the folder away, with what a lab has put there and nothing else.
func (c *claim) removeFolder() error {
	for _, name := range folderFiles {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Remove(c.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// killInside ends every process in the named namespaces, by pid, and those that have
// the mark wherever they are. Those are ours: what was started for the lab, and what
// that started.
func killInside(names []string, mark string) error {
	inside := map[uint64]struct{}{}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(namespaceFolder, name), &st) == nil {
			inside[st.Ino] = struct{}{}
		}
	}
	if len(names) == 0 {
		return nil // nothing was made yet, and so nothing started
	}
	// A process may fork while it is looked for: look until nothing is found.
	const roundsMax = 50
	for range roundsMax {
		found := false
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || pid == os.Getpid() {
				continue
			}
			ino, err := namespaceOf(e.Name())
			if err != nil {
				continue // gone, or not for us to see
			}
			_, is := inside[ino]
			if (is || isMarked(e.Name(), mark)) && !isZombie(e.Name()) {
				found = true
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if !found {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("processes in the lab's namespaces do not end; see: ip netns pids NAME")
}

// namespaceOf is the inode of a process's network namespace.
func namespaceOf(pid string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join("/proc", pid, "ns", "net"), &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// isMarked says that a process began with the variable in its environment.
func isMarked(pid, mark string) bool {
	environment, err := os.ReadFile(filepath.Join("/proc", pid, "environ"))
	return err == nil && slices.Contains(strings.Split(string(environment), "\x00"), mark)
}

// isZombie says that a process has ended and only waits to be asked how.
func isZombie(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return true
	}
	// The state follows the program's name, which stands in parentheses and may
	// itself have some.
	i := bytes.LastIndexByte(stat, ')')
	return i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' || stat[i+2] == 'X'
}

// Swept is a lab that Sweep has cleared away, or found standing.
type Swept struct {
	ID string
	// Standing says that its owner lives; nothing was done.
	Standing bool
	// Owner is the process that has, or had it.
	Owner string
}

// Sweep clears away what labs left behind whose owner is gone, and lists all labs.
// It is what every start begins with.
func Sweep() ([]Swept, error) {
	labs, err := folders()
	if err != nil {
		return nil, err
	}
	var all []Swept
	var errs []error
	for _, c := range labs {
		s := Swept{ID: c.id, Owner: c.owner()}
		err := c.acquire(0)
		for tries := 0; errors.Is(err, ErrStanding) && tries < claimTries && c.orphaned(); tries++ {
			time.Sleep(claimPause)
			err = c.acquire(0)
		}
		switch {
		case errors.Is(err, ErrStanding):
			s.Standing = true
		case errors.Is(err, fs.ErrNotExist):
			// Its owner has just removed it, or did not live to lock it.
			_ = os.Remove(c.dir)
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		default:
			if err := c.remove(); err != nil {
				errs = append(errs, fmt.Errorf("lab %q: %w", c.id, err))
				continue
			}
		}
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}
