//go:build linux

package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Swept is a lab that Sweep has cleared away, or found standing.
type Swept struct {
	ID string
	// Standing says that its owner lives; nothing was done.
	Standing bool
	// Run says that it is a run and no lab that was left standing.
	Run bool
	// Owner is the process that has, or had it, for messages.
	Owner string
	// Process is the one that has it, nil where it is not known or not to be seen from
	// here.
	Process *Owner
	// Astray says that its folder is gone.
	Astray bool
	// Foreign is something in its folder that no lab has put there, empty for nothing.
	Foreign string
	// Lost are network namespaces that are called as the lab's, where its folder says
	// neither who owned it nor which it had. They stay, and so does the folder.
	Lost []string
}

// about is what a lab's folder says.
func (c *claim) about() Swept {
	s := Swept{ID: c.id, Owner: c.owner()}
	if r := c.recorded(); r != nil {
		s.Run, s.Process = r.run, r.seen()
		if _, err := os.Stat(filepath.Join(c.dir, logFile)); !r.said {
			s.Run = errors.Is(err, fs.ErrNotExist) // only a holder has a log
		}
	}
	s.Foreign, _ = c.foreign() // a folder that is gone has nothing
	return s
}

// claimDead takes the place of a lab whose owner has ended, to clear it away.
// ErrStanding says that it lives, and fs.ErrNotExist that there is nothing.
func (c *claim) claimDead() error {
	err := c.acquire(0)
	for tries := 0; errors.Is(err, ErrStanding) && tries < claimTries && c.orphaned(); tries++ {
		time.Sleep(claimPause)
		err = c.acquire(0)
	}
	switch {
	case errors.Is(err, ErrStanding) && c.orphaned():
		return c.takeFromStranger()
	case errors.Is(err, fs.ErrNotExist) && c.recorded().elsewhere():
		return c.taken("nobody") // its owner makes it again
	case errors.Is(err, fs.ErrNotExist) && c.abandoned():
		return c.takeFromStranger() // somebody has removed it
	case err == nil && c.recorded().elsewhere():
		c.release()
		return c.taken("nobody")
	}
	return err
}

// takeFromStranger takes the place of a lab whose owner has ended and whose lock is
// gone, or held by somebody who has nothing to do with it.
func (c *claim) takeFromStranger() error {
	state, err := LockState()
	if err != nil {
		return err
	}
	defer func() { _ = state.Close() }() // which unlocks it
	if r := c.recorded(); r != nil && !r.dead() {
		return c.taken("nobody") // somebody was faster
	}
	return c.takeOver()
}

// abandoned says of a folder without a lock that its owner is gone: it is known to have
// ended, or does not put back what is missing.
func (c *claim) abandoned() bool {
	if c.recorded() == nil {
		if names, err := c.listed(); err != nil || len(names) == 0 || holders()[c.id] != nil {
			return false
		}
		time.Sleep(2 * keepInterval)
		return c.recorded() == nil
	}
	return c.orphaned()
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
		s := c.about()
		switch err := c.claimDead(); {
		case errors.Is(err, ErrStanding):
			s.Standing = true
		case errors.Is(err, fs.ErrNotExist):
			if s.Lost = c.lost(); s.Lost != nil {
				break
			}
			// Its owner has just removed it, or did not live to lock it.
			_ = os.Remove(c.dir)
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		default:
			if s.Lost = c.lost(); s.Lost != nil {
				c.release()
				break
			}
			if err := c.remove(); err != nil {
				errs = append(errs, fmt.Errorf("lab %q: %w", c.id, err))
				continue
			}
		}
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

// lost are the namespaces that are called as those of a lab whose owner is gone, and whose
// folder says nothing of it any more, nil where it does.
func (c *claim) lost() []string {
	silent := func() bool {
		if r := c.recorded(); r != nil && r.said {
			return false // it would say which it had, if any
		}
		names, err := c.listed()
		return err == nil && len(names) == 0 && len(Namespaces(c.id)) > 0 && holders()[c.id] == nil
	}
	if os.Geteuid() != 0 || !silent() {
		return nil // without root, they are in a user namespace
	}
	time.Sleep(2 * keepInterval) // an owner that lives puts it back
	if !silent() {
		return nil
	}
	return Namespaces(c.id)
}

// List names the labs of this host: those that stand, and those whose owner is gone
// and which Sweep would clear away. It changes nothing.
func List() ([]Swept, error) {
	labs, err := folders()
	if err != nil {
		return nil, err
	}
	var all []Swept
	for _, c := range labs {
		s := c.about()
		switch err := c.acquire(0); {
		case errors.Is(err, ErrStanding):
			s.Standing = !c.orphaned()
		case errors.Is(err, fs.ErrNotExist) && c.recorded() != nil, err == nil:
			s.Standing = c.recorded().elsewhere()
		case err != nil:
			continue // it goes, or is not for us to see
		}
		c.release()
		all = append(all, s)
	}
	return all, nil
}

// Find is the lab of an identifier, as List has it, or as the process that holds it is
// found where its folder is gone. It answers false when there is none.
func Find(id string) (Swept, bool, error) {
	labs, err := List()
	i := slices.IndexFunc(labs, func(s Swept) bool { return s.ID == id })
	if err != nil {
		return Swept{}, false, err
	}
	if i >= 0 && labs[i].Process != nil {
		return labs[i], true, nil
	}
	holder := holders()[id]
	if i >= 0 {
		labs[i].Process = holder
		return labs[i], true, nil
	}
	if holder != nil {
		return Swept{ID: id, Standing: true, Astray: true, Owner: fmt.Sprint(holder.pid), Process: holder}, true, nil
	}
	return Swept{}, false, nil
}

// ClearNamespaces removes namespaces of a lab whose owner has ended without a folder,
// and what runs in them.
func ClearNamespaces(id string, names []string) error {
	return errors.Join(newFolder(id).kill(names), removeNamespaces(names))
}

// Astray names the labs that stand, and whose folder is gone.
func Astray() []string {
	var all []string
	for id := range holders() {
		if _, err := os.Stat(Folder(id)); errors.Is(err, fs.ErrNotExist) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all
}

// Namespaces are the named network namespaces that are called as a lab's are.
func Namespaces(id string) []string {
	entries, err := os.ReadDir(namespaceFolder)
	if err != nil {
		return nil // there are none
	}
	c := &claim{id: id}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), c.namespace("")) || e.Name() == c.hub() {
			names = append(names, filepath.Base(e.Name()))
		}
	}
	return names
}
