package topology

import (
	"math"
	"time"
)

// Limits of a lab beside those of IPsec's options, which package settings has. They are far above what a lab needs and keep a mistake, or a
// hostile file, from taking the machine.
const (
	// fileBytesMax bounds the text of a lab.
	fileBytesMax = 1 << 20
	// nestingDepthMax bounds brackets within brackets in the text.
	nestingDepthMax = 100
	// evalDepthMax bounds how far values depend on values.
	evalDepthMax = 400
	// evalStepsMax bounds the iterations of all for and splat expressions.
	evalStepsMax = 300_000
	// stringBytesMax and elementsMax bound one value.
	stringBytesMax = 16 << 10
	elementsMax    = 16 << 10
	// instancesMax bounds count and for_each of one block, instancesTotalMax all
	// blocks together.
	instancesMax      = 10_000
	instancesTotalMax = 50_000
	// diagnosticsMax bounds what is said about one file.
	diagnosticsMax = 1000
	// nameBytesMax bounds a name; ikelab shows it in tables.
	nameBytesMax = 63

	networksMax            = 4096
	prefixesPerNetworkMax  = 16
	interfacesPerNodeMax   = 256
	addressesPerIfaceMax   = AddressesPerInterfaceMax
	derivedRoutesTotalMax  = 4_000_000
	watchesMax             = 4096
	durationMaxDefault     = 365 * 24 * time.Hour
	replayWindowPacketsMin = 32 // what package esp has, as is the next line
	replayWindowPacketsMax = 4096
	flowSizeBytesMin       = FlowSizeBytesMin
	flowSizeBytesMax       = 65_507 // the largest UDP payload over IPv4
	flowIntervalMin        = time.Microsecond
	secretBytesMax         = 4096
	mtuBytesMin            = 68 // RFC 791
	mtuIPv6BytesMin        = 1280
	mtuBytesMax            = 65_535
	mtuDefaultBytes        = 1500
	flowSourcePortFirst    = 49_152 // RFC 6335 §6, dynamic ports
	flowDestinationPort    = 9      // discard (RFC 863)
	epochDefault           = "2026-01-01T00:00:00Z"
	portIKE                = 500  // RFC 7296 §2
	portNATT               = 4500 // RFC 3948
	retransmitTimeoutMin   = time.Millisecond
)

// Limits that a run has too.
const (
	// AddressesPerInterfaceMax bounds an interface's addresses, at any time.
	AddressesPerInterfaceMax = 64
	// FlowSizeBytesMin has room for a packet's tag, sequence number and time.
	FlowSizeBytesMin = 20
	// FlowPacketsMax is what a packet's sequence number counts.
	FlowPacketsMax = math.MaxUint32
)
