package ike

import "time"

// Defaults of Limits.
const (
	halfOpenMaxDefault                    = 1024
	ikeSAsMaxDefault                      = 65536
	halfOpenTimeoutDefault                = 30 * time.Second
	closedLingerDefault                   = 30 * time.Second
	unprotectedRepliesPerSecondMaxDefault = 16
)

// Defaults of Connection and Retransmit, those of charon.
const (
	retransmitTimeoutDefault   = 4 * time.Second
	retransmitBaseMilliDefault = 1800
	retransmitTriesDefault     = 5
	keepAliveDefault           = 20 * time.Second
)

// Bounds on a configuration.
const (
	connectionsMax           = 4096
	addressesMax             = 64 // per list of a connection
	childrenPerConnectionMax = 256
	selectorsPerPayloadMax   = 255 // the field is one octet (RFC 7296 §3.13)
	proposalsPerPayloadMax   = 128
	keyingTriesMax           = 1000
	retransmitTriesMax       = 100
	retransmitWaitMax        = time.Hour
	retransmitBaseMilliMin   = 1000
	retransmitBaseMilliMax   = 10000
	repeatedMin              = 100 * time.Millisecond // between liveness checks, and between keepalives
)

// Bounds on what a peer, or whoever pretends to be one, can cause.
const (
	initRestartsMax          = 8  // answers to COOKIE and INVALID_KE_PAYLOAD per IKE SA
	cookieBytesMax           = 64 // RFC 7296 §2.6
	natSourceHashesMax       = 16 // NAT_DETECTION_SOURCE_IP payloads that are compared; several are allowed (RFC 7296 §2.23)
	pendingTasksMax          = 16 // own exchanges that wait for the window, per IKE SA
	childSAsPerIKEMax        = 16
	spiDrawsMax              = 64      // attempts at an SPI that is free
	peerSPIsMax              = 1 << 16 // initiators' SPIs remembered per generation (streams.go)
	unprotectedRepliesWindow = time.Second
	detailBytesMax           = 512
	candidatesShownMax       = 4   // connections in the record of a peer that none is for
	saDescriptionBytesMax    = 256 // proposals of one SA payload in Exchange.Payloads
)

// Sizes and numbers of the protocol.
const (
	nonceBytes             = 32 // half the key of the PRF that has the longest, HMAC-SHA-512 (RFC 7296 §2.10)
	nonceBytesMin          = 16 // RFC 7296 §2.10
	childIVKeyBytes        = 32
	portIKE                = 500
	portNATT               = 4500
	reservedSPIMax         = 255 // RFC 4303 §2.1
	authMessageID   uint32 = 1
)
