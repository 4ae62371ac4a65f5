package ike

import (
	"io"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Config is what a machine is made of. New checks it and keeps it: neither it nor
// what it points to may change afterwards.
type Config struct {
	// Node names the machine in errors.
	Node string
	// Connections in the order in which a responder tries them.
	Connections []Connection
	// Secrets are the pre-shared keys, swanctl's "secrets { ike… }".
	Secrets []Secret
	// Random returns the endless stream of a label. It must give different streams
	// for different labels and is never asked for one label twice. The caller's
	// function puts the node's name before the label; the rest names the IKE SA,
	// the exchange and the purpose (streams.go).
	Random func(label string) io.Reader
	// SourceAddr is the address from which the node reaches remote, by its routes;
	// the zero Addr when it cannot. It is asked for connections without LocalAddrs.
	// Nil: the first address of the last AddressChange in remote's family.
	SourceAddr func(remote netip.Addr) netip.Addr
	// Limits; zero fields take the defaults.
	Limits Limits
}

// Connection is swanctl's connection: with whom to speak IKE, and how.
type Connection struct {
	Name string
	// LocalAddrs are the addresses to use and to accept requests at; empty: any.
	LocalAddrs []netip.Addr
	// RemoteAddrs are the peer's addresses, tried in order by an initiator and
	// required of a peer by a responder; empty: any, and the connection cannot initiate.
	RemoteAddrs []netip.Addr
	// LocalPort and RemotePort are UDP ports: both 500 (or 0), or both 4500 (a
	// LocalPort of 0 then follows), which uses the non-ESP marker from the start.
	LocalPort, RemotePort uint16
	// Proposals for the IKE SA in order of preference; at least one.
	Proposals []suite.Proposal
	// Local says who this end is: its ID goes into IDi or IDr, the zero ID meaning
	// the address in use. Remote says who the peer must be, the zero ID meaning anyone.
	Local, Remote Auth
	// Children in the order in which a responder tries them.
	Children []Child
	// Encap forces UDP encapsulation by sending a NAT_DETECTION_SOURCE_IP that
	// cannot match, so that both ends see a NAT.
	Encap bool
	// DPDDelay is how long the peer may be silent before it is asked for a sign of
	// life, 100 ms or more; 0 never asks.
	DPDDelay time.Duration
	// KeepAlive is the time between NAT keepalives (RFC 3948 §2.3), 100 ms or more,
	// 0 for 20 s, negative for none.
	KeepAlive time.Duration
	// KeyingTries is how often all RemoteAddrs are tried, each with a whole
	// retransmission schedule, before the connection has failed; 0 for 1, negative
	// for without end. Between two tries there is a rest (doc.go, "Trying again"). What
	// the peer refuses is not tried again.
	KeyingTries int
	// Retransmit is the schedule of every request.
	Retransmit Retransmit
}

// Auth is one end's authentication; the method is always the pre-shared key.
type Auth struct {
	ID Identity
}

// Retransmit is charon's schedule: the n-th wait is Timeout·(BaseMilli/1000)^n, cut
// to Limit. Zero fields take the defaults 4 s, 1800, 5 and no limit; with those a
// request is given up 165 s after it was first sent.
type Retransmit struct {
	Timeout   time.Duration
	BaseMilli int           // growth per wait in thousandths, 1000 to 10000
	Tries     int           // retransmissions after the first transmission; negative for none
	Limit     time.Duration // longest single wait, 0 for one hour
}

// Child is swanctl's child: one CHILD_SA and its traffic.
type Child struct {
	Name string
	// LocalTS and RemoteTS are the policy; empty is swanctl's "dynamic", the IKE
	// address of that end.
	LocalTS, RemoteTS []wire.Selector
	// ESPProposals in order of preference; at least one. Key exchange methods in
	// them wait for CREATE_CHILD_SA: IKE_AUTH leaves them out (RFC 7296 §1.2).
	ESPProposals []suite.Proposal
	// StartAction is what the Start event does with the child.
	StartAction StartAction
	// ReplayWindowPackets goes into ChildSA unchanged; 0 lets the data plane choose, negative is none.
	ReplayWindowPackets int
}

// StartAction is swanctl's start_action.
type StartAction uint8

// Start actions.
const (
	StartNone  StartAction = iota // wait for the peer or for a Command
	StartStart                    // initiate at Start; not again after a failure or a delete
	StartTrap                     // initiate when Acquire reports a packet for it, unless it rests
)

// Secret is a pre-shared key and the identities that may use it. Without IDs it is
// for anyone. Of several, the one that fits the peer better wins, then the one that
// fits this end better, then the first.
type Secret struct {
	Name string
	IDs  []Identity
	Key  []byte
}

// Limits bounds what others can make the machine hold or send. Zero fields take
// the defaults.
type Limits struct {
	// HalfOpenMax is how many IKE SAs may wait for their IKE_AUTH request (1024).
	HalfOpenMax int
	// IKESAsMax bounds IKE SAs in every state (65536).
	IKESAsMax int
	// HalfOpenTimeout is how long a responder waits for IKE_AUTH (30 s).
	HalfOpenTimeout time.Duration
	// ClosedLinger is how long a deleted IKE SA goes on repeating its last response
	// to a peer that did not get it (30 s); negative for not at all.
	ClosedLinger time.Duration
	// UnprotectedRepliesPerSecondMax bounds answers to messages that belong to no IKE
	// SA and cannot begin one (16). Refused IKE_SA_INIT requests do not count.
	UnprotectedRepliesPerSecondMax int
}
