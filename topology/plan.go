package topology

import (
	"math/bits"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// Dur is an instant, counted from the lab's epoch, or a length of time.
type Dur = time.Duration

// Plan is a whole lab, checked, with every default filled in and every address and
// route present. Slices are in the order of the file; the instances of a block with
// count or for_each follow each other in the order of their index or key. Names are
// unique per slice. An instance is called after its block and its index or key:
// "roadwarrior-0", "site-berlin".
type Plan struct {
	Lab      Lab
	Networks []Network
	// Links are the link blocks, for pictures: what an interface has is in its own
	// Interface.Link.
	Links        []Link
	Nodes        []Node
	Flows        []Flow
	Steps        []Step
	Processes    []Process
	Expectations []Expectation
	// Watches are the selectors that expectations count or time. A run hands what it
	// saw of them to Expectation.Evaluate in Results.Watches, in this order.
	Watches []Selector
}

// Position is where something stands in the file of a lab; the zero Position is
// nowhere.
type Position struct {
	File string
	Line int // from 1
}

// Lab is the lab block.
type Lab struct {
	Name, Description string
	// Seed keys every random decision of a run.
	Seed uint64
	// Duration is how long a run lasts.
	Duration Dur
	// Epoch is the wall time of instant zero, for certificates.
	Epoch time.Time
	// EnginesDiffer says why the protocol events of the lab differ between engines,
	// "" where they must not.
	EnginesDiffer string
	// InvariantsOff names the invariants that the lab turns off (Invariants).
	InvariantsOff []string
}

// Network is a broadcast domain with one or more prefixes, masked, none of which
// overlaps with that of another network.
type Network struct {
	Name     string
	Prefixes []netip.Prefix
}

// Link is a link block. Every interface that names it has a link of its own with
// these properties; Config.Name is the block's.
type Link struct {
	Name   string
	Config impair.LinkConfig
	Pos    Position
}

// Implementations of a node.
const (
	// ImplementationIkelab is this project's IKEv2 and ESP.
	ImplementationIkelab = "ikelab"
	// ImplementationHost is a host without IPsec.
	ImplementationHost = "host"
	// ImplementationNAT stands for a NAT box. It only occurs in plans that were
	// made with PlanDespiteRefusals.
	ImplementationNAT = "nat"
)

// DataplaneUserspace is the data plane of package esp.
const DataplaneUserspace = "userspace"

// Node is one host.
type Node struct {
	Name           string
	Implementation string
	Dataplane      string
	// Forward makes the node a router.
	Forward    bool
	Interfaces []Interface
	// Routes are what the node knows beyond the prefixes of its interfaces. The
	// longest prefix wins, then the first in this order whose interface is up.
	Routes      []Route
	Connections []Connection
	// Secrets are those of the lab that this node may use.
	Secrets []Secret
}

// Interface attaches a node to a network.
type Interface struct {
	Name    string
	Network string
	// Addresses hold the network's prefix length, in the order of the file, or in
	// that of the network's prefixes where they were derived.
	Addresses []netip.Prefix
	// Up is the state at the epoch.
	Up bool
	// Link is what lies between the interface and its network; LinkRef is the name
	// of the link block that it was made from, empty for one written in place or
	// for none. Link.Name is "<node>.<interface>", which keys its random draws.
	Link    impair.LinkConfig
	LinkRef string
	// MTUBytes is the largest IP packet in bytes.
	MTUBytes int
	Pos      Position
}

// Route leads packets for a prefix to a next hop.
type Route struct {
	// Prefix is masked; zero bits make a default route.
	Prefix netip.Prefix
	// Via is the next hop; the zero Addr means the destination itself is on the
	// link.
	Via netip.Addr
	// Interface is the name of the outgoing interface, never empty.
	Interface string
	// Derived says that the lab does not state this route.
	Derived bool
}

// Connection is swanctl's connection: with whom a node speaks IKE, and how.
type Connection struct {
	Name string
	// LocalAddrs is empty for swanctl's %any: the address that the route to the
	// peer asks for. RemoteAddrs is empty for %any: such a connection responds only.
	LocalAddrs, RemoteAddrs []netip.Addr
	// LocalPort and RemotePort are UDP ports, 500 by default.
	LocalPort, RemotePort uint16
	// Version is the IKE version, always 2.
	Version int
	// Proposals of the IKE SA, in order of preference, at least one.
	Proposals     []suite.Proposal
	Local, Remote Auth
	Children      []Child
	// Encap forces UDP encapsulation of ESP.
	Encap bool
	// DPDDelay is the silence after which the peer is asked for a sign of life, 0
	// for never.
	DPDDelay Dur
	// KeepAlive is the time between NAT keepalives (RFC 3948 §2.3), 0 for none.
	KeepAlive Dur
	// KeyingTries is how often a negotiation is tried before it has failed, 0 for
	// without end.
	KeyingTries int
	Retransmit  Retransmit
}

// Retransmit is charon's schedule: the n-th wait is Timeout·(BaseMilli/1000)^n, cut
// to Limit.
type Retransmit struct {
	Timeout   Dur
	BaseMilli int // growth per wait in thousandths
	Tries     int // retransmissions after the first transmission, 0 for none
	Limit     Dur // the longest single wait, 0 for no limit
}

// AuthPSK is the pre-shared key method (RFC 7296 §2.15), the only one for now.
const AuthPSK = "psk"

// Auth is one end's authentication round.
type Auth struct {
	// Method is AuthPSK.
	Method string
	// ID is who this end is; the zero Identity means the address in use for the
	// local end, anyone for the remote one, as with swanctl.
	ID Identity
}

// Identity is an IKE identity (RFC 7296 §3.5).
type Identity struct {
	Type wire.IDType
	// Text is how the lab wrote it, Data what goes into the payload.
	Text string
	Data []byte
}

// IsZero says that no identity was stated.
func (i Identity) IsZero() bool { return i.Type == 0 && len(i.Data) == 0 }

// Start actions of a child.
const (
	StartNone  = "none"
	StartStart = "start"
	StartTrap  = "trap"
)

// Child is swanctl's child: one CHILD_SA and its traffic.
type Child struct {
	Name string
	// LocalTS and RemoteTS are the policy. An empty one is swanctl's "dynamic":
	// the IKE address of that end.
	LocalTS, RemoteTS []TrafficSelector
	// ESPProposals in order of preference, at least one.
	ESPProposals []suite.Proposal
	// StartAction is StartNone, StartStart or StartTrap.
	StartAction string
	// ReplayWindowPackets is the size of the anti-replay window, 0 for none.
	ReplayWindowPackets int
}

// TrafficSelector is one range of traffic (RFC 7296 §3.13.1). Protocol 0 is any; the
// ports are inclusive, 0 to 65535 for any.
type TrafficSelector struct {
	Prefix           netip.Prefix
	Protocol         uint8
	FromPort, ToPort uint16
}

// Secret is a pre-shared key. Without IDs it is for anyone.
type Secret struct {
	Name string
	IDs  []Identity
	Key  []byte
}

// Protocols of a flow.
const (
	ProtocolUDP  = "udp"
	ProtocolICMP = "icmp" // echo requests and replies, of either family
)

// Flow is traffic from one node to another.
type Flow struct {
	Name string
	// From and To are nodes; the addresses are of the same family.
	From, To         string
	FromAddr, ToAddr netip.Addr
	Protocol         string
	// SourcePort and DestinationPort are UDP ports, 0 for ProtocolICMP. No two
	// flows share addresses, protocol and ports.
	SourcePort, DestinationPort uint16
	// Rate says when packets leave: the n-th one, from 0, at Start + Rate.At(n).
	Rate Rate
	// SizeBytes is the length of the UDP payload or of the echo data.
	SizeBytes int
	// Packets ends the flow after so many, 0 for no such end.
	Packets uint64
	// Start is when the first packet leaves, Stop the instant at which none leaves
	// any more: the lab's end if the file does not say.
	Start, Stop Dur
}

// Rate is Packets per Per, exact.
type Rate struct {
	Packets uint64
	Per     Dur
}

// At answers how long after the flow's start its n-th packet leaves, from 0, rounded
// down to the nanosecond: without drift, however long the flow. It saturates at the
// largest duration.
func (r Rate) At(n uint64) Dur {
	high, low := bits.Mul64(n, uint64(r.Per))
	if high >= r.Packets {
		return durMax
	}
	quotient, _ := bits.Div64(high, low, r.Packets)
	return Dur(min(quotient, uint64(durMax)))
}

// durMax is the largest duration.
const durMax = Dur(1<<63 - 1)

// Step is something that is done to the lab while it runs.
type Step struct {
	Name string
	// At is when, if On is nil.
	At Dur
	// On is the event that triggers the step, once; it is done After later.
	On     *Selector
	After  Dur
	Action Action
	Pos    Position
}

// Kinds of actions.
const (
	// ActionLinkDown and ActionLinkUp take the link at Interface of Node away and
	// bring it back; the node notices, as by a lost carrier.
	ActionLinkDown = "link_down"
	ActionLinkUp   = "link_up"
	// ActionInitiate, ActionTerminate and ActionLiveness are operator commands for
	// Connection of Node, and for Child of it if that is not empty.
	ActionInitiate  = "initiate"
	ActionTerminate = "terminate"
	ActionLiveness  = "liveness"
	// ActionKill ends the IPsec process of Node as kill -9 does: it says nothing to
	// anybody and forgets everything. ActionStart begins its next life, from its
	// configuration and with the addresses that the interfaces have by then;
	// ActionRestart does both at one instant.
	ActionKill    = "kill"
	ActionStart   = "start"
	ActionRestart = "restart"
	// ActionAddAddress and ActionRemoveAddress give Interface of Node another address
	// and take one away; ActionSetAddress replaces all it has by Addresses, which may
	// then be none.
	ActionAddAddress    = "add_address"
	ActionRemoveAddress = "remove_address"
	ActionSetAddress    = "set_address"
)

// Action says what a step does.
type Action struct {
	Kind string
	Node string
	// Interface, Connection and Child are empty where the kind has no use for them.
	Interface, Connection, Child string
	// Addresses hold the network's prefix length: the one that is added or removed, or
	// all that the interface has from then on.
	Addresses []netip.Prefix
}

// Process is a command that runs in the place of a node: in its network namespace.
type Process struct {
	Name string
	Node string
	// Command is the program and its arguments; nothing stands between them and it.
	Command []string
	// Env are variables in the form NAME=VALUE, in order of name, which the command
	// gets besides those that every command gets.
	Env []string
	// Stdin is what its standard input holds.
	Stdin string
	// Start is when it starts, if On is nil.
	Start Dur
	// On is the event that starts it, once; it starts After later.
	On    *Selector
	After Dur
	// Stop is the instant at which it is asked to end (SIGTERM), 0 for never. What has
	// not started by then does not start any more.
	Stop Dur
	// Timeout is how long it may run before it is asked to end, 0 for any length.
	Timeout Dur
	Pos     Position
}

// Selector selects events. Empty Node or Connection: at any.
type Selector struct {
	// Event is one of Events().
	Event      string
	Node       string
	Connection string
	// Nth counts the matching events from 1.
	Nth int
}

// Matches says whether an event is one that the selector counts.
func (s Selector) Matches(event, node, connection string) bool {
	return s.Event == event && (s.Node == "" || s.Node == node) &&
		(s.Connection == "" || s.Connection == connection)
}

// Modes of an expectation.
const (
	// ModeEnd is judged once, when the run ends.
	ModeEnd = "end"
	// ModeAfter is judged once, at the instant At.
	ModeAfter = "after"
	// ModeWithin is judged from From on and has passed as soon as the condition
	// holds; it has failed when it did not until At.
	ModeWithin = "within"
	// ModeAlways is judged from From on, has failed as soon as the condition does
	// not hold, and passes when the run ends. Verdict.NoSamples means "not yet"
	// until then, and a failure at the end.
	ModeAlways = "always"
)

// Expectation is an expect block.
type Expectation struct {
	Name string
	// File and Line are where it stands.
	File string
	Line int
	// Mode is ModeEnd, ModeAfter, ModeWithin or ModeAlways.
	Mode     string
	From, At Dur
	// Evaluate judges the condition over what was measured until now. It keeps
	// nothing of its argument and may be called as often as one likes.
	Evaluate func(Results) Verdict `json:"-"`
}

// Verdict is what an expectation says of one instant.
type Verdict struct {
	Pass bool
	// Message is the lab's error_message when the condition does not hold, and
	// otherwise why it could not be judged.
	Message string
	// Operands are the sides of the comparison, or the values that the condition
	// refers to, in the order of its text.
	Operands []Operand
	// NoSamples says that a value was asked for of which nothing was measured, such
	// as the delay of a flow of which no packet arrived. Pass is then false.
	NoSamples bool
}

// Operand is a part of a condition: its text in the lab and the value it had.
type Operand struct{ Text, Value string }
