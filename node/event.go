package node

import (
	"net/netip"

	"github.com/ikelab/ikelab/ike"
)

// Input is what can happen to a node: PacketIn, FromInside, DatagramOut,
// EchoOut, Listen, NeighborFailed, InterfaceChange, AddressChange, Command or
// Timeout, all by value.
type Input interface{ input() }

// PacketIn is an IP packet that arrived at an interface.
type PacketIn struct {
	// Interface is the index in Config.Interfaces.
	Interface int
	// Bytes is the whole IP packet. The node keeps and changes it.
	Bytes []byte
}

// FromInside is a whole IP packet that a process of this host wants sent. Its
// source address must be the node's own, or unspecified for the node to choose
// (the node then also repairs the checksums).
type FromInside struct {
	// Bytes is the whole IP packet. The node keeps and changes it.
	Bytes []byte
}

// DatagramOut sends one UDP datagram from this host.
type DatagramOut struct {
	// Src may have no address: the node chooses one. Its port counts as open
	// from now on, as a socket that was bound to it.
	Src, Dst netip.AddrPort
	// Payload is what follows the UDP header; the node copies it.
	Payload []byte
	// MayFragment clears IPv4's DF. By default datagrams are sent with DF.
	MayFragment bool
	// Discover follows the path's MTU as a Linux socket does (IP_PMTUDISC_WANT;
	// RFC 1191, RFC 8201): with DF as long as the datagram fits the path as far as
	// it is known, in a tunnel the tunnel's; a longer one is cut at this host.
	Discover bool
	// HopLimit is the TTL or hop limit; zero is 64.
	HopLimit uint8
}

// EchoOut sends one ICMP echo request from this host.
type EchoOut struct {
	// Src may be the zero address: the node chooses one. The protocol is that
	// of Dst's family.
	Src, Dst netip.Addr
	// ID and Sequence are the fields of RFC 792 and RFC 4443 §4.1.
	ID, Sequence uint16
	// Payload is what follows the echo header; the node copies it.
	Payload []byte
	// MayFragment, Discover and HopLimit are as in DatagramOut.
	MayFragment bool
	Discover    bool
	HopLimit    uint8
}

// Listen opens or closes a UDP port at every address of the node. A datagram
// for a closed port is answered with port unreachable.
type Listen struct {
	Port uint16
	// Close closes the port instead of opening it.
	Close bool
}

// NeighborFailed says that nobody on the link answers for a packet's NextHop;
// Bytes is the packet that the node had sent. Its source is told (RFC 1812
// §5.2.7.1).
type NeighborFailed struct {
	// Interface is the one the packet had left by.
	Interface int
	Bytes     []byte
}

// InterfaceChange takes an interface up or down.
type InterfaceChange struct {
	// Interface is the index in Config.Interfaces.
	Interface int
	Up        bool
}

// AddressChange replaces the addresses of an interface.
type AddressChange struct {
	// Interface is the index in Config.Interfaces.
	Interface int
	// Addresses are as in Interface.Addresses.
	Addresses []netip.Prefix
}

// Command hands an operator's command to the IKEv2 machine.
type Command struct {
	// IKE is the command; a plain host ignores it.
	IKE ike.Command
}

// Timeout says that the instant that Deadline named has come.
type Timeout struct{}

func (PacketIn) input()        {}
func (FromInside) input()      {}
func (DatagramOut) input()     {}
func (EchoOut) input()         {}
func (Listen) input()          {}
func (NeighborFailed) input()  {}
func (InterfaceChange) input() {}
func (AddressChange) input()   {}
func (Command) input()         {}
func (Timeout) input()         {}

// Output is what a node wants done or known: *PacketOut, *Deliver or *Event.
// The pointers and the slice that holds them are valid until the next Handle;
// byte slices inside belong to the receiver.
type Output interface{ output() }

// Origin says why a packet leaves.
type Origin uint8

const (
	// OriginForwarded packets came in at an interface or out of a tunnel for
	// someone else.
	OriginForwarded Origin = iota + 1
	// OriginLocal packets were made by a process of this host, or answer an
	// echo request.
	OriginLocal
	// OriginICMPError packets report about another packet.
	OriginICMPError
	// OriginIKE packets are IKE messages and NAT keepalives.
	OriginIKE
	// OriginESP packets are ESP, bare or in UDP.
	OriginESP
)

// String names the origin.
func (o Origin) String() string {
	switch o {
	case OriginForwarded:
		return "forwarded"
	case OriginLocal:
		return "local"
	case OriginICMPError:
		return "icmp-error"
	case OriginIKE:
		return "ike"
	case OriginESP:
		return "esp"
	}
	return "unknown"
}

// PacketOut is an IP packet that leaves by an interface.
type PacketOut struct {
	// Interface is the index in Config.Interfaces.
	Interface int
	// NextHop is the on-link address that shall get the packet.
	NextHop netip.Addr
	// Bytes is the whole IP packet, never longer than the interface's MTU.
	Bytes  []byte
	Origin Origin
	// Exchange describes the IKE message inside, when Origin is OriginIKE and
	// it is not a keepalive.
	Exchange *ike.Exchange
}

// DeliverKind says what reached the host.
type DeliverKind uint8

const (
	// DeliverDatagram is a UDP datagram for an open port.
	DeliverDatagram DeliverKind = iota + 1
	// DeliverEchoReply answers an echo request.
	DeliverEchoReply
	// DeliverICMPError reports about a packet that this host sent.
	DeliverICMPError
)

// Deliver hands a processed packet to the inside of the host.
type Deliver struct {
	Kind DeliverKind
	// Src and Dst are the packet's; the ports are zero for ICMP.
	Src, Dst netip.AddrPort
	// Payload is what follows the UDP or echo header; for errors the quoted
	// packet.
	Payload []byte
	// Protected says that the packet, or every fragment of it, came out of a security
	// association of this host. False says nothing: a gateway in front of it may have
	// opened the packet, and a kernel does not tell.
	Protected bool
	// HopLimit is the TTL or hop limit the packet arrived with.
	HopLimit uint8
	// ID and Sequence are the echo reply's.
	ID, Sequence uint16
	// Type and Code are the ICMP message's, in the numbering of its family;
	// MTU is that of frag-needed and packet-too-big, in bytes.
	Type, Code uint8
	MTU        uint32
	// Quoted describes the packet that the error is about.
	Quoted PacketKey
}

// EventKind names what happened, in the words that labs use. Besides the
// kinds below every ike.RecordKind occurs, as EventKind(record.Kind).
type EventKind string

const (
	// EventPacketDropped: the node gave a packet up; Drop says which and why.
	EventPacketDropped EventKind = "packet-dropped"
	// EventPolicyDrop: the security policy forbade the packet (RFC 4301 §5);
	// Drop says which and why. It stands instead of EventPacketDropped.
	EventPolicyDrop EventKind = "policy-drop"
	// EventTrapAcquire: an outbound packet hit a policy with start_action trap
	// and no security association; Drop.Packet describes it.
	EventTrapAcquire EventKind = "trap-acquire"
	// EventESPIn: an ESP packet was opened and its inner packet accepted.
	EventESPIn EventKind = "esp-in"
	// EventESPOut: a packet was sealed and left.
	EventESPOut EventKind = "esp-out"
	// EventClearOut: a packet left in clear although a policy protects its
	// traffic. It is looked for behind all processing, at the interface, and
	// must never occur.
	EventClearOut EventKind = "clear-out"
	// EventICMPError: the node reported an error; ICMP says which.
	EventICMPError EventKind = "icmp-error"
	// EventICMPSuppressed: the node would have reported an error about
	// Drop.Packet, but has reported too many.
	EventICMPSuppressed EventKind = "icmp-suppressed"
	// EventInterfaceUp and EventInterfaceDown: an interface changed state.
	EventInterfaceUp   EventKind = "interface-up"
	EventInterfaceDown EventKind = "interface-down"
	// EventAddressChanged: an interface got other addresses; with Problem it
	// was asked to and did not.
	EventAddressChanged EventKind = "address-changed"
	// EventInstallFailed: a CHILD_SA of the machine or a policy could not be
	// installed, and Problem says why. The machine is told to delete the
	// CHILD_SA.
	EventInstallFailed EventKind = "install-failed"
)

// Event is something worth recording. Which of the parts are set follows from
// Kind.
type Event struct {
	Kind EventKind
	// Interface is the interface concerned, -1 when there is none.
	Interface int
	// Drop is set for packet-dropped, policy-drop and icmp-suppressed, and
	// without a reason for trap-acquire and clear-out.
	Drop Drop
	// ESP is set for esp-in and esp-out, and for drops of an ESP packet. Its
	// names alone are set for trap-acquire and drops of what waited, or would
	// have, for a tunnel.
	ESP ESP
	// ICMP is set for icmp-error.
	ICMP ICMPError
	// IKE is the machine's record, for the kinds of package ike.
	IKE *ike.Record
	// Child is the security association, with its keys, for child-installed; it
	// is IKE.Child. Its Ordinal is the node's, the same as in ESP.
	Child *ike.ChildSA
	// Problem is a sentence about what went wrong, for the kinds that say so.
	Problem string
}

// Drop is a packet that went nowhere.
type Drop struct {
	Reason DropReason
	// Packet is as much of the packet as could be read.
	Packet PacketKey
}

// ESP identifies one protected packet.
type ESP struct {
	// Connection and Child name the configuration behind the association.
	Connection, Child string
	// Ordinal is the association's number in the order of installation at
	// this node, from 1; zero when no association was found.
	Ordinal uint64
	// SPI is the one in the packet.
	SPI uint32
	// Sequence is the whole 64-bit number with ESN, else the 32 bits sent.
	Sequence uint64
	// IV holds the packet's initialisation vector in its first IVBytes.
	IV      [ivMax]byte
	IVBytes uint8
	// Outer describes the packet on the wire, Inner the one inside.
	Outer, Inner PacketKey
}

// ICMPError is an error that the node sent.
type ICMPError struct {
	// To got the report.
	To netip.Addr
	// Type and Code are in the numbering of To's family; MTU is in bytes.
	Type, Code uint8
	MTU        uint32
	// About is the packet at fault.
	About PacketKey
}

func (*PacketOut) output() {}
func (*Deliver) output()   {}
func (*Event) output()     {}

// ivMax is the longest IV of any ESP transform, in bytes (AES-CBC's).
const ivMax = 16

// DropReason says why a packet went nowhere.
type DropReason string

// Reasons of the IP layer.
const (
	DropInterfaceDown   DropReason = "interface-down"
	DropTruncated       DropReason = "truncated"         // a length reaches behind the end
	DropHeaderInvalid   DropReason = "header-invalid"    // a field contradicts another
	DropChecksum        DropReason = "bad-checksum"      // IP, UDP or ICMP
	DropMartian         DropReason = "martian"           // an address that cannot be there
	DropSourceRoute     DropReason = "source-route"      // RFC 5095, RFC 7126
	DropMulticast       DropReason = "multicast"         // also broadcast: neither is supported
	DropNotForUs        DropReason = "not-for-us"        // and the node does not forward
	DropTTL             DropReason = "ttl-exceeded"      // or hop limit
	DropNoRoute         DropReason = "no-route"          // net unreachable
	DropHostUnreachable DropReason = "host-unreachable"  // nobody on the last link
	DropNoSource        DropReason = "no-source-address" // none of the node's own fits
	DropTooBig          DropReason = "too-big"           // and may not be fragmented
	DropProtocol        DropReason = "protocol-unreachable"
	DropPortClosed      DropReason = "port-unreachable"
	DropICMPUnhandled   DropReason = "icmp-unhandled"    // a message without meaning here
	DropICMPUnproven    DropReason = "icmp-unproven"     // too-big, but quotes nothing that was sent
	DropICMPRateLimited DropReason = "icmp-rate-limited" // the reason of EventICMPSuppressed
	DropCongested       DropReason = "congested"         // marked, and cannot tell (RFC 6040 §4.2)

	// What a real kernel did not take from a node, package host's alone.
	DropSendQueueFull DropReason = "send-queue-full" // no room in a queue, a socket or the neighbour table
	DropFiltered      DropReason = "filtered"        // by a packet filter, or a route that prohibits
	DropNotSent       DropReason = "not-sent"        // for another reason
	DropTunnelRefused DropReason = "tunnel-refused"  // what came out of a tunnel, by the kernel's TUN device

	DropFragmentUnmatched DropReason = "fragment-unmatched" // a policy selects by ports it does not show
	DropFragmentTimeout   DropReason = "fragment-timeout"   // the rest did not come
	DropFragmentOverlap   DropReason = "fragment-overlap"   // RFC 5722
	DropFragmentTableFull DropReason = "fragment-table-full"
)

// Reasons of IPsec. The first six are verdicts of the policy and come with
// EventPolicyDrop.
const (
	DropClearInbound     DropReason = "clear-inbound"          // protected traffic came in clear
	DropNoAssociation    DropReason = "no-association"         // protected traffic without a tunnel
	DropOutsideNarrowed  DropReason = "outside-narrowed"       // the child's tunnel was narrowed, and has no room for it
	DropTrapRests        DropReason = "trap-rests"             // the negotiation has failed, and is not tried again yet
	DropSelectorMismatch DropReason = "selector-mismatch"      // not what was agreed
	DropICMPUnprotected  DropReason = "icmp-error-unprotected" // an error would quote a tunnel's content in clear

	DropHoldFull          DropReason = "hold-full"          // newer packets wait
	DropHoldTimeout       DropReason = "hold-timeout"       // waited for a tunnel too long
	DropNegotiationFailed DropReason = "negotiation-failed" // waited in vain
	DropStillHeld         DropReason = "still-held"         // waited when the run, or the node, ended
	DropESPNoAssociation  DropReason = "esp-no-association" // the SPI is unknown
	DropESPMalformed      DropReason = "esp-malformed"
	DropIKEMalformed      DropReason = "ike-malformed" // at a port of IKE, and no message of any IKE
	DropESPReplay         DropReason = "esp-replay"
	DropESPIntegrity      DropReason = "esp-integrity"
	DropESPSequence       DropReason = "esp-sequence-exhausted"
	DropESPDummy          DropReason = "esp-dummy" // RFC 4303 §2.6
	DropInnerNotIP        DropReason = "inner-not-ip"
)
