package node

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
)

// replayWindowDefaultPackets is what a child without a window of its own gets.
const replayWindowDefaultPackets = 64

// association is an installed CHILD_SA: a pair of ESP SAs with their selectors.
type association struct {
	ordinal           uint64
	connection, child string
	spiIn, spiOut     uint32
	encap             bool
	local, remote     netip.AddrPort
	// in and out are nil once that direction has been deleted.
	in  *esp.Inbound
	out *esp.Outbound
	// policy holds the agreed selectors, wide the same without ports; rank is the place
	// of the child's own in Node.policies.
	policy, wide esp.Policy
	rank         int
	ivBytes      int
	// seen is when a packet of this association last came, told the last such
	// instant that the machine knows.
	seen, told time.Duration
	seenOnce   bool
	// sent is when one was last sent in UDP, toldSent the last such instant that the
	// machine knows.
	sent, toldSent time.Duration
	// exhausted is true once the machine has been told that the sequence
	// numbers are used up.
	exhausted bool
	counters  Counters
}

// Counters are what one association has done.
type Counters struct {
	// PacketsIn and BytesIn count inner packets that were accepted, PacketsOut
	// and BytesOut those that were sealed.
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	// Replays, IntegrityFailures and SelectorMismatches count packets refused.
	Replays, IntegrityFailures, SelectorMismatches uint64
}

// Association describes an installed CHILD_SA.
type Association struct {
	Connection, Child string
	// Ordinal counts the node's associations in the order of installation, from 1.
	Ordinal uint64
	// SPIIn or SPIOut is zero once that direction has been deleted.
	SPIIn, SPIOut uint32
	Local, Remote netip.AddrPort
	Encap         bool
	// PathMTUBytes is what ICMP has reported about the outer path, 0 for nothing,
	// or nothing that still holds (RFC 4301 §8.2.2).
	PathMTUBytes int
	Counters     Counters
}

// associations are the node's CHILD_SAs.
type associations struct {
	// all is in order of installation; installed counts also those that are gone.
	all       []*association
	installed uint64
	inbound   map[uint32]*association
	byOrdinal map[int]*association
}

func newAssociations() associations {
	return associations{inbound: make(map[uint32]*association), byOrdinal: make(map[int]*association)}
}

// Associations lists the installed CHILD_SAs in order of installation.
func (n *Node) Associations() []Association {
	all := make([]Association, len(n.associations.all))
	for i, a := range n.associations.all {
		all[i] = Association{Connection: a.connection, Child: a.child, Ordinal: a.ordinal, Local: a.local, Remote: a.remote,
			Encap: a.encap, Counters: a.counters}
		known, _ := n.outerMTUs.Known(n.now, a.outerPath())
		all[i].PathMTUBytes = known.Bytes
		if a.in != nil {
			all[i].SPIIn = a.spiIn
		}
		if a.out != nil {
			all[i].SPIOut = a.spiOut
		}
	}
	return all
}

// sendsFor says whether an association of a policy's child sends.
func (s *associations) sendsFor(by *policy) bool {
	return slices.ContainsFunc(s.all, func(a *association) bool {
		return a.out != nil && a.connection == by.connection && a.child == by.child
	})
}

// install makes the ESP SAs of a CHILD_SA and puts its selectors into the SPD, in front
// of its child's policy and of older associations of it: of one child the newest sends,
// and between children the file's order decides (RFC 4301 §4.4.1).
func (n *Node) install(sa *ike.ChildSA) error {
	a := &association{
		ordinal: n.associations.installed + 1, connection: sa.Connection, child: sa.Child,
		spiIn: sa.SPIIn, spiOut: sa.SPIOut, encap: sa.Encap, local: sa.Local, remote: sa.Remote,
	}
	if n.associations.inbound[sa.SPIIn] != nil {
		return fmt.Errorf("inbound SPI %#08x is in use by another association", sa.SPIIn)
	}
	var err error
	if a.in, a.out, a.ivBytes, err = NewESP(sa); err != nil {
		return err
	}
	a.policy = esp.Policy{Name: fmt.Sprintf("association %d", a.ordinal), Action: esp.ActionProtect, Ref: int(a.ordinal),
		Local:  Selectors(sa.LocalTS, []netip.Addr{sa.Local.Addr()}),
		Remote: Selectors(sa.RemoteTS, []netip.Addr{sa.Remote.Addr()})}
	a.wide = a.policy
	a.wide.Local, a.wide.Remote = AnyPorts(a.policy.Local), AnyPorts(a.policy.Remote)
	a.rank = slices.IndexFunc(n.policies, func(p *policy) bool { return p.connection == a.connection && p.child == a.child })
	if err := n.spd.Insert(n.place(a.rank), a.policy); err != nil {
		return err
	}
	n.associations.installed++
	n.associations.all = append(n.associations.all, a)
	n.associations.inbound[a.spiIn] = a
	n.associations.byOrdinal[int(a.ordinal)] = a
	n.forgetDecisions()
	return nil
}

// uninstall takes one or both directions of an association away.
func (n *Node) uninstall(d ike.DeleteChild) {
	a := n.findAssociation(d.Connection, d.Child, d.SPIIn, d.SPIOut)
	if a == nil {
		return
	}
	if d.SPIIn != 0 {
		delete(n.associations.inbound, a.spiIn)
		a.in = nil
	}
	if d.SPIOut != 0 {
		n.spd.Remove(a.policy.Name)
		n.forgetDecisions()
		delete(n.associations.byOrdinal, int(a.ordinal))
		a.out = nil
	}
	if a.in == nil && a.out == nil {
		n.associations.all = slices.DeleteFunc(n.associations.all, func(o *association) bool { return o == a })
	}
}

// move gives an association new outer addresses.
func (n *Node) move(m ike.MoveChild) {
	if a := n.findAssociation(m.Connection, m.Child, m.SPIIn, m.SPIOut); a != nil {
		a.local, a.remote = m.Local, m.Remote
		n.outerMTUs.Forget(a.outerPath())
	}
}

// findAssociation finds an association by the SPI of either direction; the
// outbound one is the peer's choice, and unique only together with the child.
func (n *Node) findAssociation(connection, child string, spiIn, spiOut uint32) *association {
	if spiIn != 0 {
		return n.associations.inbound[spiIn]
	}
	i := slices.IndexFunc(n.associations.all, func(a *association) bool {
		return a.spiOut == spiOut && a.out != nil && a.connection == connection && a.child == child
	})
	if i < 0 {
		return nil
	}
	return n.associations.all[i]
}
