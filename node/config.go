package node

import (
	"net/netip"

	"github.com/ikelab/ikelab/ike"
)

// Config describes one host. New checks it and copies what it keeps.
type Config struct {
	// Name is the node's name in the lab; it labels nothing but errors here.
	Name string
	// Forward makes the node a router: packets for others are passed on
	// instead of dropped.
	Forward bool
	// Interfaces are the host's links; inputs and outputs name them by their
	// index in this slice.
	Interfaces []Interface
	// Routes are what the node knows beyond its connected prefixes. The
	// longest prefix wins, then the order of this slice.
	Routes []Route
	// Listen names UDP ports that are open from the start, at every address of
	// the node. A Listen input opens and closes ports later.
	Listen []uint16
	// IKE configures the IKEv2 machine; nil is a plain host without IPsec. The
	// children of its connections become the node's security policy (package
	// documentation, "Policy").
	IKE *ike.Config
}

// Interface is one attachment to a network.
type Interface struct {
	// Name is unique within the node.
	Name string
	// Addresses are the node's own addresses, each with its network's prefix
	// length. Each prefix is a connected route while the interface is up.
	Addresses []netip.Prefix
	// Up is the state at the epoch.
	Up bool
	// MTUBytes is the largest IP packet the link carries, in bytes; zero is
	// mtuDefaultBytes. At least 68 (RFC 791), 1280 with an IPv6 address
	// (RFC 8200 §5).
	MTUBytes int
}

// Route leads packets for a prefix to an interface.
type Route struct {
	// Prefix is the destination, masked.
	Prefix netip.Prefix
	// Via is the next hop; the zero address means the destination itself is
	// on the link.
	Via netip.Addr
	// Interface is the outgoing interface's name. It may be empty when Via is
	// inside a connected prefix of one interface.
	Interface string
}

const (
	// mtuDefaultBytes is Ethernet's, which nearly every link of the field has.
	mtuDefaultBytes = 1500
	// hopLimitDefault is the TTL and hop limit of packets that start here
	// (IANA "IP option numbers": recommended default 64).
	hopLimitDefault = 64
	// interfacesMax and routesMax bound a node.
	interfacesMax = 4096
	routesMax     = 65536
	// addressesPerInterfaceMax bounds one interface.
	addressesPerInterfaceMax = 4096
)
