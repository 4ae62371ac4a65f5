package settings

import "time"

// Bounds of a node's IPsec configuration.
const (
	// ConnectionsPerNodeMax is far above what one gateway serves.
	ConnectionsPerNodeMax = 10_000
	// ChildrenPerConnectionMax and ChildrenPerNodeMax bound policies; a node's SPD has
	// room for four times the latter (package esp), because associations stand in it too.
	ChildrenPerConnectionMax = 256
	ChildrenPerNodeMax       = 16_384
	// AddressesPerListMax bounds local_addrs and remote_addrs.
	AddressesPerListMax = 64
	// SelectorsPerEndMax is what one payload holds: its count is one octet (RFC 7296 §3.13).
	SelectorsPerEndMax = 255
	// ProposalsPerListMax bounds proposals and esp_proposals; one octet numbers them
	// (RFC 7296 §3.3.1).
	ProposalsPerListMax = 64
	// KeyingTriesMax is how often a negotiation may be tried, unless it is for ever.
	KeyingTriesMax = 1000
	// RetransmitTriesMax is how often a request may be repeated.
	RetransmitTriesMax = 100
	// RetransmitWaitMax is the longest wait between two of them, and what no limit means.
	RetransmitWaitMax = time.Hour
	// RetransmitBaseMilliMin and RetransmitBaseMilliMax bound the growth from one wait to
	// the next, in thousandths.
	RetransmitBaseMilliMin = 1000
	RetransmitBaseMilliMax = 10_000
	// RepeatedMin is the least time between liveness checks, and between NAT keepalives.
	RepeatedMin = 100 * time.Millisecond
)
