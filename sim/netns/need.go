//go:build linux

package netns

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/topology"
)

// NeedError says what a lab takes that this host does not give, before anything is made.
type NeedError struct {
	// What is needed, and Cure what a person can do.
	What, Cure string
}

func (e *NeedError) Error() string { return e.What + "; cure: " + e.Cure }

// HostLacks is what the host lacks, for whoever makes an exit status of the error.
func (e *NeedError) HostLacks() string { return e.What }

// Descriptors of a lab's owner, a little more than TestDescriptors counts. Every place of
// a node or an address is held open for as long as the lab is there.
const (
	descriptorsBase      = 48 // the program's own, its log and lock, and what is open for a moment while nodes are made
	descriptorsNode      = 6  // namespace, netlink, watcher, ping
	descriptorsIPsec     = 8  // TUN, epoll, timers, netlink and raw sockets of node/host
	descriptorsAddress   = 3  // its UDP and ESP sockets
	descriptorsInterface = 1  // TAP
	descriptorsFlow      = 2
	descriptorsProcess   = 4
)

// descriptorsNeeded is about how many descriptors a lab's owner has open.
func descriptorsNeeded(plan *topology.Plan) uint64 {
	n := uint64(descriptorsBase + descriptorsFlow*len(plan.Flows) + descriptorsProcess*len(plan.Processes))
	for i := range plan.Nodes {
		node := &plan.Nodes[i]
		n += descriptorsNode + descriptorsInterface*uint64(len(node.Interfaces))
		if len(node.Connections) == 0 {
			continue
		}
		n += descriptorsIPsec
		for _, iface := range node.Interfaces {
			n += descriptorsAddress * uint64(len(iface.Addresses))
		}
	}
	return n
}

// enoughDescriptors says beforehand that a lab would run out of descriptors halfway.
func enoughDescriptors(plan *topology.Plan) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("open files: %w", err)
	}
	if need := descriptorsNeeded(plan); need > limit.Cur {
		return &NeedError{
			What: fmt.Sprintf("lab %q takes about %d open files, and this process may have %d", plan.Lab.Name, need, limit.Cur),
			Cure: fmt.Sprintf("ulimit -n %d (as root, where it is above the hard limit)", need+need/8),
		}
	}
	return nil
}

// noOlderLab says that a lab of the name stands, or has left something, which a version
// of ikelab made that kept its state under the lab's bare name. Two labs of one name
// would be in each other's way.
func noOlderLab(name string) error {
	dir := filepath.Join(StateDir(), name)
	if _, err := os.Lstat(filepath.Join(dir, lockFile)); err != nil {
		return nil // whatever it is, no lab's
	}
	return &NeedError{
		What: fmt.Sprintf("%s is the state of a lab that an older version of ikelab made", dir),
		Cure: fmt.Sprintf("take the lab down with that version, or remove what is left with: for n in $(ip netns list | grep -o '^%s%s[.][^ ]*'); do ip netns delete $n; done; rm -r %s", namespacePrefix, name, dir),
	}
}
