package ike

import (
	"time"

	"github.com/ikelab/ikelab/ike/settings"
)

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

// Bounds on a configuration, beside those of package settings.
const (
	selectorsPerPayloadMax = settings.SelectorsPerEndMax
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
