//go:build linux

package netns

import (
	"maps"
	"slices"

	"github.com/ikelab/ikelab/sim"
)

// overrun is how many packets a device or a socket of a node has lost for want of room.
type overrun struct {
	device  string
	packets uint64
}

// losses are the packets that the kernel could not hand to a process of ours or take from
// it, by device or socket: at the TAPs of a node, from and to the box; at its TUN, to the
// node's data plane; at the node's sockets, to it. What is not there, as the TUN of a node
// that was killed, has lost nothing that is known now.
func (l *Lab) losses(n int) map[string]uint64 {
	s := l.stations[n]
	losses := map[string]uint64{}
	look := func(device string) {
		link, err := s.handle.LinkByName(device)
		if err == nil && link.Attrs().Statistics != nil {
			losses[device] += link.Attrs().Statistics.TxDropped
		}
	}
	for i := range s.plan.Interfaces {
		if p := l.ports[endpoint{n, i}]; p != nil {
			look(s.devices[i])
			losses[s.devices[i]] += p.refused.Load()
		}
	}
	if len(s.plan.Connections) > 0 {
		look(tunnelDevice)
	}
	if h := l.host(n); h != nil {
		for socket, packets := range h.Overflows() {
			losses[socket] += packets
		}
	}
	return losses
}

// since is what a node has lost since the lab's time began, or since its present life
// did.
func (l *Lab) since(n int) map[string]uint64 {
	now := l.losses(n)
	for device := range now {
		// A new TUN begins to count anew.
		now[device] -= min(now[device], l.lostBefore[n][device])
	}
	return now
}

// bequeath keeps what a node has lost by the end of a life: its TUN and its sockets go.
func (l *Lab) bequeath(n int) {
	l.lostMu.Lock()
	defer l.lostMu.Unlock()
	if l.lostBefore == nil {
		return
	}
	for device, packets := range l.since(n) {
		l.lostEarlier[n][device] += packets
	}
	l.lostBefore[n] = l.losses(n)
	maps.DeleteFunc(l.lostBefore[n], func(device string, _ uint64) bool { return !slices.Contains(l.stations[n].devices, device) })
}

// overruns are the losses of all nodes since the lab's time began, by node.
func (l *Lab) overruns() [][]overrun {
	l.lostMu.Lock()
	defer l.lostMu.Unlock()
	all := make([][]overrun, len(l.stations))
	if l.lostBefore == nil {
		return all // it has not begun
	}
	for n := range l.stations {
		now := l.since(n)
		for device, packets := range l.lostEarlier[n] {
			now[device] += packets
		}
		for _, device := range slices.Sorted(maps.Keys(now)) {
			if now[device] > 0 {
				all[n] = append(all[n], overrun{device, now[device]})
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
