package topology

import "time"

// Limits of a lab. They are far above what a lab needs and keep a mistake, or a
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
	addressesPerIfaceMax   = 64
	connectionsPerNodeMax  = 10_000
	childrenPerConnMax     = 256
	proposalsMax           = 64
	selectorsMax           = 255 // one octet counts them (RFC 7296 §3.13)
	derivedRoutesTotalMax  = 4_000_000
	watchesMax             = 4096
	durationMaxDefault     = 365 * 24 * time.Hour
	retransmitTriesMax     = 100
	replayWindowPacketsMin = 32 // what package esp has, as is the next line
	replayWindowPacketsMax = 4096
	flowSizeBytesMin       = 20     // a flow's tag, sequence number and time (package sim)
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
	retransmitBaseMin      = 1.0
	retransmitBaseMax      = 10.0
	repeatedMin            = 100 * time.Millisecond // of what package ike does again and again
	portIKE                = 500                    // RFC 7296 §2
	portNATT               = 4500                   // RFC 3948
	retransmitTimeoutMin   = time.Millisecond
)
