//go:build linux

package netns

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
)

// IKEState is an IKE SA that a node has, or is negotiating.
type IKEState struct {
	Connection    string
	Established   bool
	Initiator     bool // this end began it
	SPIi, SPIr    wire.SPI
	Local, Remote netip.AddrPort
	// What the negotiation came to; empty before it has.
	LocalID, RemoteID, Proposal string
	// NAT says that NAT detection found a translator, or was told that there is one.
	NAT bool
	// Since is when it was begun, or once it stands, established.
	Since time.Duration

	number uint64
}

// ChildState is a CHILD_SA that a node has.
type ChildState struct {
	Connection, Child string
	SPIIn, SPIOut     uint32
	Local, Remote     netip.AddrPort
	Encap, ESN        bool
	Proposal          string
	// LocalTS and RemoteTS are the traffic selectors agreed on.
	LocalTS, RemoteTS []string
	// Since is when it was installed.
	Since time.Duration
	// Counters are what it has done.
	Counters node.Counters
}

// ledger is what a node's records say of its security associations now. The lab's
// lock guards it. Its size is bounded by what the IKE machine takes on.
type ledger struct {
	// problem is why the node died by itself, empty for one that did not.
	problem  string
	ikes     map[uint64]*IKEState // by the machine's number
	children map[uint32]*ChildState
}

func newLedger() *ledger {
	return &ledger{ikes: map[uint64]*IKEState{}, children: map[uint32]*ChildState{}}
}

// note takes an event of the node.
func (l *ledger) note(now time.Duration, e *node.Event) {
	r := e.IKE
	if r == nil {
		return
	}
	switch r.Kind {
	case ike.RecordIKEInit:
		l.ike(now, r)
	case ike.RecordKeys:
		s := l.ike(now, r)
		s.SPIi, s.SPIr = r.Keys.SPIi, r.Keys.SPIr
	case ike.RecordNATDetected:
		l.ike(now, r).NAT = true
	case ike.RecordIKEEstablished:
		s := l.ike(now, r)
		s.Established, s.Since = true, now
		s.LocalID, s.RemoteID, s.Proposal = r.Field("local-id"), r.Field("remote-id"), r.Field("proposal")
	case ike.RecordIKEFailed, ike.RecordIKEDeleted, ike.RecordIKEExpired:
		delete(l.ikes, r.IKE)
	case ike.RecordChildInstalled:
		l.children[r.Child.SPIIn] = childState(now, r.Child)
	case ike.RecordChildDeleted:
		delete(l.children, recordedSPI(r.Field("spi-in")))
	case ike.RecordChildMoved:
		if c := l.children[recordedSPI(r.Field("spi-in"))]; c != nil {
			c.Local, c.Remote = r.Local, r.Remote
		}
	}
}

// ike is the entry of the IKE SA that a record is about, up to date.
func (l *ledger) ike(now time.Duration, r *ike.Record) *IKEState {
	s := l.ikes[r.IKE]
	if s == nil {
		s = &IKEState{Since: now, number: r.IKE}
		l.ikes[r.IKE] = s
	}
	s.Initiator, s.Local, s.Remote = r.Initiator, r.Local, r.Remote
	if r.Connection != "" {
		s.Connection = r.Connection
	}
	return s
}

func childState(now time.Duration, sa *ike.ChildSA) *ChildState {
	s := &ChildState{
		Connection: sa.Connection, Child: sa.Child, SPIIn: sa.SPIIn, SPIOut: sa.SPIOut, Local: sa.Local, Remote: sa.Remote,
		Encap: sa.Encap, ESN: sa.ESN, Proposal: sa.Proposal.String(), Since: now,
	}
	for _, ts := range sa.LocalTS {
		s.LocalTS = append(s.LocalTS, ts.String())
	}
	for _, ts := range sa.RemoteTS {
		s.RemoteTS = append(s.RemoteTS, ts.String())
	}
	return s
}

// recordedSPI reads an SPI as records write it, 0 when there is none.
func recordedSPI(text string) uint32 {
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return 0
	}
	return uint32(v)
}

// sorted are copies of what stands, in the order of creation.
func (l *ledger) sorted() ([]IKEState, []ChildState) {
	var ikes []IKEState
	for _, s := range l.ikes {
		ikes = append(ikes, *s)
	}
	slices.SortFunc(ikes, func(a, b IKEState) int { return cmp.Compare(a.number, b.number) })
	var children []ChildState
	for _, s := range l.children {
		children = append(children, *s)
	}
	slices.SortFunc(children, func(a, b ChildState) int {
		return cmp.Or(cmp.Compare(a.Since, b.Since), cmp.Compare(a.SPIIn, b.SPIIn))
	})
	return ikes, children
}
