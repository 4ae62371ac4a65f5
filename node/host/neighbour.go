//go:build linux

package host

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tunnelNextHop is the next hop of IPv6's routes to the tunnel device. Nobody has it and
// nothing is sent to it: without one, every destination would be a neighbour on the
// device.
var tunnelNextHop = netip.MustParseAddr("fe80::1")

// addNeighbours gives the kernel what it wants of a device before it sends there: an
// entry in its neighbour table, though a TUN has no hardware addresses. It would make one
// itself, but all namespaces share that table, which another one may have filled, and
// then the device gets no packet any more. Permanent entries are neither limited nor
// collected. IPv4 has one for all destinations of such a device, by the address zero.
func (h *Host) addNeighbours(t *tunDevice) error {
	for _, family := range h.families {
		next := tunnelNextHop
		if family == unix.AF_INET {
			next = netip.IPv4Unspecified()
		}
		if err := h.kernel.NeighSet(&netlink.Neigh{LinkIndex: t.index, Family: family, State: netlink.NUD_PERMANENT, IP: next.AsSlice()}); err != nil {
			return fmt.Errorf("its next hop %s as a permanent neighbour: %w", next, err)
		}
	}
	return nil
}
