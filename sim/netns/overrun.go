//go:build linux

package netns

import (
	"maps"
	"slices"

	"github.com/ikelab/ikelab/sim"
)

// overrun is how many packets a device of a node has lost for want of room.
type overrun struct {
	device  string
	packets uint64
}

// deviceLosses are the packets that the kernel could not hand to a process of ours: at
// the TAPs of a node, to the box; at its TUN, to the node's data plane. A device that is
// not there, as the TUN of a node that was killed, has lost nothing that we know of.
func (l *Lab) deviceLosses(n int) map[string]uint64 {
	s := l.stations[n]
	losses := map[string]uint64{}
	look := func(device string) {
		link, err := s.handle.LinkByName(device)
		if err == nil && link.Attrs().Statistics != nil {
			losses[device] = link.Attrs().Statistics.TxDropped
		}
	}
	for i := range s.plan.Interfaces {
		if l.ports[endpoint{n, i}] != nil {
			look(s.devices[i])
		}
	}
	if len(s.plan.Connections) > 0 {
		look(tunnelDevice)
	}
	return losses
}

// overruns are the losses of all nodes since the lab's time began, by node.
func (l *Lab) overruns() [][]overrun {
	all := make([][]overrun, len(l.stations))
	for n := range l.stations {
		if l.lostBefore == nil {
			continue // it has not begun
		}
		now := l.deviceLosses(n)
		for _, device := range slices.Sorted(maps.Keys(now)) {
			// A new TUN begins to count anew.
			if before := l.lostBefore[n][device]; now[device] > before {
				all[n] = append(all[n], overrun{device, now[device] - before})
			}
		}
	}
	return all
}

// trouble is what went wrong with the host, beside the lab, since it was made.
func (l *Lab) trouble() []sim.HostTrouble {
	now, err := NeighbourTables()
	if err != nil {
		return nil // it could be looked at before, so nothing is known now
	}
	return NeighbourTrouble(l.tablesBefore, now)
}
