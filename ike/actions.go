package ike

import (
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Action is what a machine wants done: Send, InstallChild, DeleteChild, MoveChild,
// TrapRests or Record. Actions are carried out in their order.
type Action interface{ isAction() }

// Send is a datagram to send. Payload is the IKE message without the marker, or
// the one octet of a keepalive.
type Send struct {
	Local, Remote netip.AddrPort
	Payload       []byte
	// NonESPMarker asks for the four zero octets in front of Payload.
	NonESPMarker bool
	// Keepalive marks a NAT keepalive.
	Keepalive bool
	// Exchange says what Payload is; nil for a keepalive.
	Exchange *Exchange
}

// Exchange describes one message of an exchange, for a ladder.
type Exchange struct {
	Type      wire.ExchangeType
	MessageID uint32
	Response  bool
	// Initiator says that the original initiator of the IKE SA sent it.
	Initiator bool
	// Transmission counts from 0; higher ones repeat the octets of the first.
	Transmission int
	SPIi, SPIr   wire.SPI
	// Protected says that Payloads came out of (or went into) an SK payload.
	Protected bool
	// Payloads as wire.Describe has them, in their order, decrypted; an SA payload
	// by its proposals, "SA[aes256gcm16-prfsha384-x25519]".
	Payloads []string
}

// InstallChild hands a CHILD_SA to the data plane.
type InstallChild struct{ SA ChildSA }

// ChildSA is a pair of ESP SAs in tunnel mode. Selectors are those that were agreed.
type ChildSA struct {
	Connection, Child string
	// IKE is the machine's number of the IKE SA, Ordinal that of the CHILD_SA within
	// it; both count from 1 in the order of creation.
	IKE, Ordinal uint64
	// Initiator says that this end began the exchange that made it.
	Initiator bool
	// Local and Remote are the tunnel's ends; with Encap, also the UDP ports.
	Local, Remote netip.AddrPort
	Encap         bool
	// SPIIn is in the packets this end receives, SPIOut in those it sends.
	SPIIn, SPIOut uint32
	// Proposal holds exactly the transforms that were chosen.
	Proposal suite.Proposal
	ESN      bool
	// In are the keys for received packets, Out for sent ones.
	In, Out           ChildKeys
	LocalTS, RemoteTS []wire.Selector
	// ReplayWindowPackets is the child's configuration, 0 unset, negative for none.
	ReplayWindowPackets int
}

// ChildKeys are one direction's keys out of KEYMAT (RFC 7296 §2.17).
type ChildKeys struct {
	Encr  []byte // for AEAD and counter modes with the salt or nonce at its end
	Integ []byte // empty for an AEAD
	// IV keys the generator of unpredictable IVs for CBC: 32 octets from the
	// machine's own stream, not from KEYMAT. Only set in Out.
	IV []byte
}

// DeleteChild takes SAs out of the data plane. A zero SPI leaves that direction,
// which RFC 7296 §1.4.1 needs when two deletes cross.
type DeleteChild struct {
	Connection, Child string
	SPIIn, SPIOut     uint32
	Reason            string
}

// MoveChild gives a CHILD_SA new ends, because the peer's NAT mapping changed
// (RFC 7296 §2.23).
type MoveChild struct {
	Connection, Child string
	SPIIn, SPIOut     uint32
	Local, Remote     netip.AddrPort
}

// TrapRests ends an Acquire in vain: packets that wait for the child go nowhere, and
// none is reported before the instant Until, which may be now. It comes whenever
// what an Acquire has begun fails, and at once for one that begins nothing. A child
// that is installed ends the rest.
type TrapRests struct {
	// Child is empty for every trap of the connection.
	Connection, Child string
	Until             time.Duration
}

func (Send) isAction()         {}
func (InstallChild) isAction() {}
func (DeleteChild) isAction()  {}
func (MoveChild) isAction()    {}
func (TrapRests) isAction()    {}
func (Record) isAction()       {}
