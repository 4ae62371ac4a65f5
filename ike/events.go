package ike

import (
	"net/netip"
	"time"
)

// Event is what happens to a machine: Start, Datagram, Timeout, Acquire, ESPSeen,
// ESPSent, Lifetime, AddressChange or Command.
type Event interface{ isEvent() }

// Start is the node's boot: children with StartStart are initiated, in order.
type Start struct{}

// Datagram is a UDP datagram that holds an IKE message, without its non-ESP marker.
// Keepalives and ESP packets are not IKE messages; the node keeps them.
type Datagram struct {
	Local, Remote netip.AddrPort
	Payload       []byte // the machine keeps it
}

// Timeout says that the instant of Deadline has come. Too early, it does nothing.
type Timeout struct{}

// Acquire reports a packet for which the SPD has a policy and no SA. It ends with an
// InstallChild or a TrapRests for the child. While the connection is being negotiated,
// further ones do nothing.
type Acquire struct {
	Connection, Child string
	// Packet is the first packet's key; its selectors go in front of the policy's
	// (RFC 7296 §2.9). The zero value leaves them out.
	Packet TrafficKey
}

// TrafficKey is what traffic selectors see of a packet.
type TrafficKey struct {
	Source, Destination         netip.Addr
	Protocol                    uint8
	SourcePort, DestinationPort uint16 // of UDP, TCP and SCTP; 0 means any, as for ICMP
}

// ESPSeen reports that ESP packets of an inbound SA passed their integrity check
// and replay window: a sign of life, and the peer's present address. A node
// reports at once when the source changed, else as seldom as it likes.
type ESPSeen struct {
	SPI    uint32 // inbound
	Remote netip.AddrPort
	// At is when the last of them came; the zero value means now.
	At time.Duration
}

// ESPSent reports that ESP in UDP was sent from the ends of a CHILD_SA, so that no
// keepalive is needed (RFC 3948 §4). A node reports it before a Timeout.
type ESPSent struct {
	SPI uint32 // inbound, as elsewhere
	// At is when the last of it was sent.
	At time.Duration
}

// Lifetime reports that the data plane's limit for a CHILD_SA is near (soft) or
// reached (hard). A hard one deletes the CHILD_SA.
type Lifetime struct {
	SPI  uint32 // inbound
	Hard bool
	// NotInstalled says that the data plane never had it; Hard is then true. Its trap
	// rests.
	NotInstalled bool
}

// AddressChange gives the node's present addresses, in the node's order. IKE SAs
// on an address that is gone stay until they time out; MOBIKE is a later issue.
type AddressChange struct{ Local []netip.Addr }

// Command is an operator's order. A Child that is empty means the connection's
// first child for Initiate and the whole IKE SA for Terminate.
type Command struct {
	Kind              CommandKind
	Connection, Child string
}

// CommandKind is what an operator orders.
type CommandKind uint8

// Commands.
const (
	Initiate  CommandKind = iota + 1 // swanctl --initiate
	Terminate                        // swanctl --terminate
	Liveness                         // ask the peer for a sign of life now
)

func (Start) isEvent()         {}
func (Datagram) isEvent()      {}
func (Timeout) isEvent()       {}
func (Acquire) isEvent()       {}
func (ESPSeen) isEvent()       {}
func (ESPSent) isEvent()       {}
func (Lifetime) isEvent()      {}
func (AddressChange) isEvent() {}
func (Command) isEvent()       {}

// never is the deadline of what waits for nothing.
const never = time.Duration(1<<63 - 1)
