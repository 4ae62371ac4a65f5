//go:build linux

package netns

import (
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
	"sync"
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
	logFile        = "log"
)

// folderFiles are all that a lab's folder can hold: what is made here, and what a holder
// keeps beside it, its log and its socket. A folder with anything else is left alone.
var folderFiles = []string{lockFile, ownerFile, namespacesFile, logFile, "control"}

// claim is a lab's place on this host: a folder of state, locked while its owner
// lives, and the names of the namespaces that it may make. What the folder says the
// owner knows, too: others can take the folder away.
type claim struct {
	id, dir string

	mu     sync.Mutex // of what follows: the owner looks after its folder while it works
	lock   *os.File
	record *record // the owner's, nil for one that was not taken
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
		token, err := randomHex()
		if err != nil {
			return nil, err
		}
		if unique {
			id = name + "-" + token
		}
		// Whoever looks at a folder holds its lock for a moment, and whoever clears away may
		// meet one that is just being made. What lasts longer is no such moment.
		c, err := tryClaim(id, newRecord(unique, token), tries >= claimTries/2)
		switch {
		case err == nil:
			return c, nil
		case !errors.Is(err, ErrStanding) && !errors.Is(err, fs.ErrNotExist) || tries == claimTries:
			return nil, err
		case !unique:
			time.Sleep(claimPause)
		}
	}
}

// tokenDigits is how long a token is.
const tokenDigits = 6

// randomHex are digits, different each time.
func randomHex() (string, error) {
	var random [tokenDigits / 2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(random[:]), nil
}

// tryClaim takes one identifier. What a dead owner left under it is cleared away
// first. With force a lock does not count whose owner is dead: somebody else has it.
func tryClaim(id string, r *record, force bool) (*claim, error) {
	state, err := LockState()
	if err != nil {
		return nil, err
	}
	defer func() { _ = state.Close() }() // which unlocks it
	c := newFolder(id)
	if err := os.Mkdir(c.dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("state of lab %q: %w", id, err)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if foreign, err := c.foreign(); err != nil {
		return nil, fmt.Errorf("state of lab %q: %w", id, err)
	} else if foreign != "" && c.recorded().elsewhere() {
		return nil, c.taken("its holder")
	} else if foreign != "" {
		return nil, fmt.Errorf("state of lab %q: %s holds %q, which is no lab's; take it away from there, or let IKELAB_STATE_DIR name another folder", id, c.dir, foreign)
	}
	err = c.acquire(os.O_CREATE)
	if errors.Is(err, ErrStanding) && force && c.recorded().dead() {
		err = c.takeOver()
	}
	if err != nil {
		return nil, err
	}
	if c.recorded().elsewhere() {
		c.release()
		return nil, c.taken("nobody") // and its owner makes the lock again
	}
	if err := c.clear(); err != nil {
		c.release()
		return nil, err
	}
	r.cgroup = cgroupPath(id, r.token)
	c.record = r
	if err := c.write(ownerFile, r.text()); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// takeOver takes the lock although somebody holds it who has nothing to do with the
// lab. The caller holds the lock of the folder of state, so that nobody claims the
// lab meanwhile, or takes it over, too.
func (c *claim) takeOver() error {
	if err := os.Remove(filepath.Join(c.dir, lockFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	return c.acquire(os.O_CREATE)
}

// write writes a file of the folder.
func (c *claim) write(name, text string) error {
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), fileMode); err != nil {
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	return nil
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
		foreign, err := c.foreign()
		if err == nil && (foreign == "" || c.recorded() != nil) && c.check() == nil {
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
			return c.taken(who)
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

// taken is ErrStanding with who is there, and who has the lock.
func (c *claim) taken(locker string) error {
	return fmt.Errorf("lab %q: %w (process %s; its lock has %s); take it down with: ikelab down %s", c.id, ErrStanding, c.owner(), locker, c.id)
}

// recorded is what the folder says of its owner, nil when it says nothing.
func (c *claim) recorded() *record {
	text, err := os.ReadFile(filepath.Join(c.dir, ownerFile))
	if err != nil {
		return nil
	}
	r, err := parseRecord(string(text))
	if err != nil {
		return nil
	}
	return r
}

// owner is the process that holds, or held, the claim, for messages.
func (c *claim) owner() string {
	r := c.recorded()
	if r == nil {
		return "unknown"
	}
	if o := r.seen(); o != nil {
		return strconv.Itoa(o.pid)
	}
	return strconv.Itoa(r.owners[0].pid)
}

// orphaned says that the owner has ended, although the lock may still be held: by a
// child of its that was about to become another program, or to die with it, or by
// somebody who has nothing to do with the lab.
func (c *claim) orphaned() bool { return c.recorded().dead() }

// namespace is the name of the namespace of a node. An identifier has no dot, so that
// no two labs can mean one name by it.
func (c *claim) namespace(node string) string { return namespacePrefix + c.id + "." + node }

// hub is the name of the namespace that holds bridges. No node can have a name that
// makes it its own.
func (c *claim) hub() string { return namespacePrefix + c.id + "@hub" }

// goingTimeout is how long a namespace may take to go that is in the way: that of a lab
// whose folder was taken away, and which ends.
const goingTimeout = 2 * time.Second

// plan writes down which namespaces will be made, before the first one is. None of
// them may be there: it would be somebody else's, and be cleared away with ours.
func (c *claim) plan(names []string) error {
	for begun := time.Now(); ; time.Sleep(claimPause) {
		name := firstThere(names)
		if name == "" {
			break
		}
		if time.Since(begun) > goingTimeout {
			return fmt.Errorf("network namespace %q exists already and is not this lab's; remove it with: ip netns del %s", name, name)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record.names = names
	if err := c.write(namespacesFile, strings.Join(names, "\n")+"\n"); err != nil {
		return err
	}
	// At the end of the file, so that whoever reads it meanwhile knows the owner.
	f, err := os.OpenFile(filepath.Join(c.dir, ownerFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, fileMode)
	if err == nil {
		_, err = f.WriteString(namespaceLines(names))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	return nil
}

// firstThere is a network namespace of these that exists, empty for none.
func firstThere(names []string) string {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(namespaceFolder, name)); err == nil {
			return name
		}
	}
	return ""
}

// clear removes what the claim's files list, and what its owner knows:
// processes inside, then the namespaces with everything in them. It is safe to call for
// what never was.
func (c *claim) clear() error {
	names, err := c.listed()
	if err != nil {
		return err
	}
	return errors.Join(c.kill(names), removeNamespaces(names))
}

// killProcesses ends the processes in the claim's namespaces.
func (c *claim) killProcesses() error {
	names, err := c.listed()
	if err != nil {
		return err
	}
	return c.kill(names)
}

func (c *claim) kill(names []string) error {
	r := c.record
	var groups []string
	if r == nil {
		// Others know the group by its name, where nothing says any more which it is.
		r, groups = c.recorded(), labGroups(c.id)
	}
	if r == nil {
		r = &record{}
	}
	var errs []error
	for _, group := range append(groups, r.cgroup) {
		errs = append(errs, clearCgroup(group))
	}
	return errors.Join(errors.Join(errs...), killInside(names, r.mark(c.dir)))
}

// mark is what every command of the lab has in its environment.
func (c *claim) mark() string { return c.record.mark(c.dir) }

// listed are the namespaces that the owner may have made: those that it knows, or, for
// anybody else, that its files list.
func (c *claim) listed() ([]string, error) {
	if c.record != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.record.names, nil
	}
	list, err := os.ReadFile(filepath.Join(c.dir, namespacesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("state of lab %q: %w", c.id, err)
	}
	names := strings.Fields(string(list))
	if r := c.recorded(); r != nil {
		names = append(names, r.names...)
	}
	slices.Sort(names)
	// Whatever the files say, nothing is removed that could not be ours.
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool {
		return !strings.HasPrefix(n, namespacePrefix) || strings.ContainsRune(n, '/')
	}), nil
}

// keepInterval is the time between two looks of an owner at its folder.
const keepInterval = 250 * time.Millisecond

// ErrTakenAway says that a lab's folder is gone, or another lab's.
var ErrTakenAway = errors.New("the lab's folder of state was taken away")

// keep puts back what is missing in the owner's folder, and answers ErrTakenAway where
// it is the owner's no more.
func (c *claim) keep() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lock == nil {
		return nil // given up
	}
	if _, err := os.Stat(c.dir); errors.Is(err, fs.ErrNotExist) {
		return ErrTakenAway
	}
	switch mine, err := c.holdsLock(); {
	case errors.Is(err, fs.ErrNotExist):
		if err := c.lockAgain(); err != nil {
			return err
		}
	case err != nil:
		return err
	case !mine:
		return ErrTakenAway
	}
	for name, text := range map[string]string{ownerFile: c.record.text(), namespacesFile: strings.Join(c.record.names, "\n") + "\n"} {
		_, err := os.Stat(filepath.Join(c.dir, name))
		if errors.Is(err, fs.ErrNotExist) && (name == ownerFile || c.record.names != nil) {
			err = c.write(name, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lockAgain makes the lock again that somebody has removed. The caller holds c.mu.
func (c *claim) lockAgain() error {
	state, err := LockState()
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }() // which unlocks it
	before := c.lock
	err = c.acquire(os.O_CREATE)
	switch {
	case errors.Is(err, ErrStanding), errors.Is(err, fs.ErrNotExist):
		return ErrTakenAway
	case err != nil:
		return err
	}
	_ = before.Close() // the lock of a file that nobody finds
	return nil
}

// holdsLock says whether the folder's lock is the one that this claim holds.
func (c *claim) holdsLock() (bool, error) {
	there, err := os.Stat(filepath.Join(c.dir, lockFile))
	if err != nil {
		return false, err
	}
	mine, err := c.lock.Stat()
	return err == nil && os.SameFile(mine, there), err
}

// release gives the claim up without clearing it.
func (c *claim) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
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

// removeFolder takes the folder away, with what a lab has put there and nothing else:
// what somebody else has put there stays, and the folder with it. One that is another
// lab's by now is left alone.
func (c *claim) removeFolder() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mine, err := c.holdsLock(); err == nil && !mine {
		return nil
	}
	// The lock last: who finds the folder without it and without an owner takes it for empty.
	names := slices.Clone(folderFiles)
	slices.Reverse(names)
	for _, name := range names {
		if err := os.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := os.Remove(c.dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}
