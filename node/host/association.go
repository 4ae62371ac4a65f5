//go:build linux

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
)

const (
	// espHeaderBytes is SPI and sequence number (RFC 4303 §2).
	espHeaderBytes = 8
	udpHeaderBytes = 8
	// espSeenInterval is how often the machine hears of an association's packets,
	// besides at once when they come from another address, and before its
	// deadlines.
	espSeenInterval = time.Second
	// narrowedInterval is how often news of a path's MTU are looked at.
	narrowedInterval = 20 * time.Millisecond
)

// ipHeaderBytes is the length of the outer IP header towards dst.
func ipHeaderBytes(dst netip.Addr) int {
	if dst.Is4() {
		return 20
	}
	return 40
}

// association is an installed CHILD_SA: a pair of ESP SAs with their selectors.
// What is not a lock, an atomic or behind one never changes after install, but for
// sends and receives, which the host's lock guards.
type association struct {
	ordinal           uint64
	connection, child string
	spiIn, spiOut     uint32
	encap             bool
	ivBytes           int
	// policy holds the agreed selectors.
	policy esp.Policy
	// sends and receives are false once that direction has been deleted.
	sends, receives bool

	in  inboundHalf
	out outboundHalf
	// order is held by who numbers packets, until they have been sent: numbers rise on
	// the wire, as a peer with a small replay window needs it. It comes before the
	// host's lock.
	order sync.Mutex
	path  atomic.Pointer[path]

	// seen is when a packet of this association last came, told the last such
	// instant that the machine knows; from the lab's epoch, in nanoseconds, -1
	// before the first.
	seen, told atomic.Int64
	// sent is when one was last sent in UDP, from the lab's epoch, in nanoseconds;
	// toldSent, which the host's lock guards, the last such instant that the machine knows.
	sent     atomic.Int64
	toldSent time.Duration
	// exhausted is true once the machine has been told that the sequence numbers
	// are used up.
	exhausted atomic.Bool
	counters  counters
}

// inboundHalf is the receiving SA; sa is nil once it has been deleted.
type inboundHalf struct {
	sync.Mutex
	sa *esp.Inbound
}

// outboundHalf is the sending SA; sa is nil once it has been deleted.
type outboundHalf struct {
	sync.Mutex
	sa *esp.Outbound
}

// counters are node.Counters for many goroutines.
type counters struct {
	packetsIn, bytesIn, packetsOut, bytesOut       atomic.Uint64
	replays, integrityFailures, selectorMismatches atomic.Uint64
}

// path is where an association's packets go. It is replaced, never changed.
type path struct {
	local, remote netip.AddrPort
	// via is nil while the host does not have the local address.
	via *socket
	to  sockaddr
	// iface is the interface that has the local address, -1 for none.
	iface int
	// mtu is the outer path's, in bytes; reported says that it is less than the
	// first link's because somebody said so.
	mtu      int
	reported bool
	// segments is true while the path takes UDP segmentation.
	segments atomic.Bool
}

// associations are the node's CHILD_SAs.
type associations struct {
	// all is in order of installation; installed counts also those that are gone.
	all       []*association
	installed uint64
	inbound   map[uint32]*association
}

func newAssociations() associations { return associations{inbound: make(map[uint32]*association)} }

// describe is the association for people.
func (a *association) describe() node.Association {
	way := a.path.Load()
	d := node.Association{Connection: a.connection, Child: a.child, Ordinal: a.ordinal, Local: way.local, Remote: way.remote, Encap: a.encap,
		Counters: node.Counters{
			PacketsIn: a.counters.packetsIn.Load(), BytesIn: a.counters.bytesIn.Load(),
			PacketsOut: a.counters.packetsOut.Load(), BytesOut: a.counters.bytesOut.Load(),
			Replays: a.counters.replays.Load(), IntegrityFailures: a.counters.integrityFailures.Load(),
			SelectorMismatches: a.counters.selectorMismatches.Load(),
		}}
	if way.reported {
		d.PathMTUBytes = way.mtu
	}
	if a.receives {
		d.SPIIn = a.spiIn
	}
	if a.sends {
		d.SPIOut = a.spiOut
	}
	return d
}

// install makes the ESP SAs of a CHILD_SA and puts its selectors in front of the
// SPD, so that the newest is used for sending. The lock is held, here and below.
func (h *Host) install(sa *ike.ChildSA) error {
	if h.sas.inbound[sa.SPIIn] != nil {
		return fmt.Errorf("inbound SPI %#08x is in use by another association", sa.SPIIn)
	}
	a := &association{
		ordinal: h.sas.installed + 1, connection: sa.Connection, child: sa.Child,
		spiIn: sa.SPIIn, spiOut: sa.SPIOut, encap: sa.Encap, sends: true, receives: true,
	}
	a.seen.Store(-1)
	a.told.Store(-1)
	var err error
	if a.in.sa, a.out.sa, a.ivBytes, err = node.NewESP(sa); err != nil {
		return err
	}
	a.policy = esp.Policy{Name: fmt.Sprintf("association %d", a.ordinal), Action: esp.ActionProtect, Ref: int(a.ordinal),
		Local:  node.Selectors(sa.LocalTS, []netip.Addr{sa.Local.Addr()}),
		Remote: node.Selectors(sa.RemoteTS, []netip.Addr{sa.Remote.Addr()})}
	var check esp.SPD // which refuses selectors that are not sets
	if err := check.Append(a.policy); err != nil {
		return err
	}
	way := h.findPath(a, sa.Local, sa.Remote)
	if a.path.Store(way); way.reported && h.recheckAt == 0 {
		h.recheckAt = h.now + pathsRecheck
	}
	h.sas.installed++
	h.sas.all = append(h.sas.all, a)
	h.sas.inbound[a.spiIn] = a
	h.unpublished = true
	h.fitTUN()
	if err := h.applyAssociation(a); err != nil {
		h.uninstall(ike.DeleteChild{Connection: a.connection, Child: a.child, SPIIn: a.spiIn, SPIOut: a.spiOut})
		return err
	}
	h.applyReports()
	return nil
}

// findPath makes the path of an association between two ends.
func (h *Host) findPath(a *association, local, remote netip.AddrPort) *path {
	w := &path{local: local, remote: remote, iface: h.interfaceWith(local.Addr()), mtu: mtuDefaultBytes}
	socketAt := local
	if !a.encap {
		socketAt = netip.AddrPortFrom(local.Addr(), portRawESP)
	}
	w.via = h.sockets[socketAt]
	w.to = newSockaddr(remote, a.encap)
	if way, ok := h.route(local.Addr(), remote.Addr()); ok {
		w.mtu, w.reported = way.mtu, way.reported
	}
	w.segments.Store(a.encap)
	return w
}

// uninstall takes one or both directions of an association away.
func (h *Host) uninstall(d ike.DeleteChild) {
	a := h.findAssociation(d.Connection, d.Child, d.SPIIn, d.SPIOut)
	if a == nil {
		return
	}
	if d.SPIIn != 0 {
		delete(h.sas.inbound, a.spiIn)
		a.receives = false
	}
	if d.SPIOut != 0 {
		a.sends = false
	}
	if !a.receives && !a.sends {
		h.sas.all = slices.DeleteFunc(h.sas.all, func(o *association) bool { return o == a })
	}
	h.publish()
	// After the snapshot, and waiting for whoever is at it: when uninstall is done,
	// nothing is sealed or opened any more.
	if d.SPIIn != 0 {
		a.in.Lock()
		a.in.sa = nil
		a.in.Unlock()
	}
	if d.SPIOut != 0 {
		a.out.Lock()
		a.out.sa = nil
		a.out.Unlock()
		h.fitTUN()
	}
	if err := h.applyPolicies(); err != nil {
		h.event(node.Event{Kind: node.EventInstallFailed, Interface: fromInside, Problem: err.Error()})
	}
	h.applyReports()
}

// move gives an association new outer addresses.
func (h *Host) move(m ike.MoveChild) {
	if a := h.findAssociation(m.Connection, m.Child, m.SPIIn, m.SPIOut); a != nil {
		a.path.Store(h.findPath(a, m.Local, m.Remote))
		h.fitTUN()
		h.applyReports()
	}
}

// refreshPaths looks up again where associations go, after sockets or routes have
// changed.
func (h *Host) refreshPaths() {
	h.recheckAt = 0
	for _, a := range h.sas.all {
		old := a.path.Load()
		way := h.findPath(a, old.local, old.remote)
		if a.path.Store(way); way.reported {
			h.recheckAt = h.now + pathsRecheck
		}
	}
	h.fitTUN()
}

// pathNarrowed looks at the paths again because one has become narrower, but not more
// often than is useful: anybody can claim so.
func (h *Host) pathNarrowed() {
	if h.narrowedAt != 0 && h.now-h.narrowedAt < narrowedInterval {
		return
	}
	h.narrowedAt = h.now
	h.refreshPaths()
}

// findAssociation finds an association by the SPI of either direction; the
// outbound one is the peer's choice, and unique only together with the child.
func (h *Host) findAssociation(connection, child string, spiIn, spiOut uint32) *association {
	if spiIn != 0 {
		return h.sas.inbound[spiIn]
	}
	i := slices.IndexFunc(h.sas.all, func(a *association) bool {
		return a.spiOut == spiOut && a.sends && a.connection == connection && a.child == child
	})
	if i < 0 {
		return nil
	}
	return h.sas.all[i]
}

// outerBytes is what an association puts in front of ESP towards remote.
func (a *association) outerBytes(remote netip.Addr) int {
	outer := ipHeaderBytes(remote)
	if a.encap {
		outer += udpHeaderBytes
	}
	return outer
}

// innerMTU is the longest inner packet whose outer packet fits the path.
func (a *association) innerMTU(sa *esp.Outbound) int {
	w := a.path.Load()
	outer := a.outerBytes(w.remote.Addr())
	// Padding makes the overhead jump by less than a block, so few steps do.
	inner := w.mtu - outer
	for inner > 0 && outer+inner+sa.Overhead(inner) > w.mtu {
		inner--
	}
	return max(inner, 0)
}

// refused counts and names what Open did not accept.
func (a *association) refused(err error) node.DropReason {
	var e *esp.DropError
	if errors.As(err, &e) {
		switch e.Kind {
		case esp.DropReplay:
			a.counters.replays.Add(1)
			return node.DropESPReplay
		case esp.DropIntegrity:
			a.counters.integrityFailures.Add(1)
			return node.DropESPIntegrity
		}
	}
	return node.DropESPMalformed
}

// describeESP fills an event's part about an ESP packet.
func (a *association) describeESP(spi uint32, sequence uint64, packet []byte, outer, inner node.PacketKey) node.ESP {
	e := node.ESP{Connection: a.connection, Child: a.child, Ordinal: a.ordinal, SPI: spi, Sequence: sequence, Outer: outer, Inner: inner}
	if len(packet) >= espHeaderBytes {
		e.IVBytes = uint8(copy(e.IV[:a.ivBytes], packet[espHeaderBytes:]))
	}
	return e
}

// outerKey describes the outer packet around an ESP packet of length bytes.
func outerKey(src, dst netip.AddrPort, encap bool, length int) node.PacketKey {
	k := node.PacketKey{Src: src.Addr(), Dst: dst.Addr(), Protocol: protocolESP, Bytes: ipHeaderBytes(dst.Addr()) + length}
	if encap {
		k.Protocol, k.SrcPort, k.DstPort, k.PortsKnown = protocolUDP, src.Port(), dst.Port(), true
		k.Bytes += udpHeaderBytes
	}
	return k
}

// outOfSequence tells the machine, once, that an association is used up.
func (h *Host) outOfSequence(a *association) {
	if a.exhausted.CompareAndSwap(false, true) {
		h.tell(ike.Lifetime{SPI: a.spiIn, Hard: true})
	}
}
