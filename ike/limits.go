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

// Bounds that nobody needs to configure.
const (
	addressesMax                    = 64 // per list of a connection
	connectionsMax                  = 4096
	childrenPerConnectionMax        = 256
	initRestartsMax                 = 8 // INVALID_KE_PAYLOAD and COOKIE answers per attempt
	cookieBytesMax                  = 64
	natSourceHashesMax              = 16 // NAT_DETECTION_SOURCE_IP payloads looked at (RFC 7296 §2.23 allows several)
	pendingTasksMax                 = 16 // own exchanges that wait for the window, per IKE SA
	childSAsPerIKEMax               = 16
	spiDrawsMax                     = 64 // attempts at an SPI that is free
	initSPIGenerationMax            = 4096
	retransmitTriesMax              = 32
	retransmitWaitMax               = time.Hour
	keyingTriesMax                  = 1000
	selectorsPerPayloadMax          = 255
	retransmitBaseMilliMin          = 1000
	retransmitBaseMilliMax          = 10000
	defaultRetransmitBase           = 1800
	defaultRetransmitTries          = 5
	defaultRetransmitTimeout        = 4 * time.Second
	defaultKeepAlive                = 20 * time.Second
	identityBytesMax                = 1024
	nonceBytes                      = 32
	childIVKeyBytes                 = 32
	portIKE                         = 500
	portNATT                        = 4500
	unprotectedWindow               = time.Second
	errorReasonBytesMax             = 512
	highestSPIReserved              = 255 // RFC 4303 §2.1
	authMessageID            uint32 = 1
)
