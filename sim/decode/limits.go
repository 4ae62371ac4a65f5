package decode

import "time"

// Bounds on what a Decoder keeps. They are far above what a capture of a busy
// gateway needs at any one time, and bound the memory of all tables together to
// some hundred megabytes.
const (
	// frameBytesMax is the longest frame that is dissected: Linux has bridges
	// with large offloaded packets, and no link has longer ones.
	frameBytesMax = 1 << 18
	// metadataBytesMax is how much of a capture may be something other than
	// packets (names, secrets, statistics): the reader keeps some of it.
	metadataBytesMax = 64 << 20
	// packetOverheadBytes is what a packet's own record may add to it.
	packetOverheadBytes = 512
	// readBytes is how much of a file is read at a time.
	readBytes = 1 << 18
	// interfacesMax bounds the interfaces of a pcapng file.
	interfacesMax = 1 << 16
	// vlanTagsMax bounds the tags on one frame.
	vlanTagsMax = 8
	// extensionHeadersMax bounds the IPv6 extension headers of one packet.
	extensionHeadersMax = 32

	// datagramsMax and datagramBytesMax bound IP datagrams that wait for fragments.
	datagramsMax         = 1 << 10
	datagramBytesMax     = 65535
	datagramFragmentsMax = 1 << 13
	// datagramsBytesMax bounds all of them together, pieceBytes being what a
	// fragment costs beside its octets.
	datagramsBytesMax = 64 << 20
	pieceBytes        = 64
	// nestingMax bounds packets inside packets.
	nestingMax = 8

	// ikeSAsMax bounds the IKE SAs that are told apart.
	ikeSAsMax = 1 << 16
	// ikeCandidatesMax bounds the keys of one IKE SA: one more than it can have key
	// exchanges (RFC 9370 §2.2.2).
	ikeCandidatesMax = 8
	// ikeInitsMax bounds the IKE_SA_INIT requests that wait for their answer.
	ikeInitsMax = 1 << 16
	// messagesMax bounds the messages that are remembered to recognise a retransmission.
	messagesMax = 1 << 17
	// messagePointsMax bounds the points of observation of one message.
	messagePointsMax = 16
	// childRequestsMax bounds the requests for CHILD SAs that wait for their answer.
	childRequestsMax = 1 << 14
	// childrenMax bounds the CHILD SAs of one IKE SA that the summary names.
	childrenMax = 64
	// ikeFragmentedMax bounds IKE messages that wait for fragments (RFC 7383).
	ikeFragmentedMax      = 1 << 8
	ikeFragmentsMax       = 1 << 9
	ikeFragmentedBytesMax = 1 << 18

	// espSAsMax bounds the ESP and AH SAs that are told apart.
	espSAsMax = 1 << 16
	// espPointsMax bounds the points of observation of one SA.
	espPointsMax = 8
	// espCandidatesMax bounds the keys that are tried for one SA.
	espCandidatesMax = 16
	// derivedMax bounds the keys that follow from decrypted exchanges.
	derivedMax = 1 << 16
	// replayWindowPackets is how far behind the highest sequence number a packet
	// can be told from its replay.
	replayWindowPackets = 1024
	// esnHighTriesMax is how many upper halves of a sequence number are tried for
	// an SA that was recorded from its middle, and esnTryPacketsMax for how many of
	// its packets.
	esnHighTriesMax  = 16
	esnTryPacketsMax = 4

	// tableRowsMax and tableLineBytesMax bound the key tables.
	tableRowsMax      = 1 << 20
	tableLineBytesMax = 1 << 16

	// ladderRowsMax bounds the rows of a ladder.
	ladderRowsMax = 1 << 16

	// tcpStreamsMax bounds TCP connections that are put together, tcpPagesMax and
	// tcpStreamPagesMax their segments out of order, in pages of the library.
	tcpStreamsMax     = 1 << 12
	tcpPagesMax       = 1 << 14
	tcpStreamPagesMax = 1 << 10
	// tcpIdleMax is after which silence a connection is forgotten.
	tcpIdleMax = 10 * time.Minute
	// tcpBufferBytesMax bounds the octets of one direction that are no whole message yet.
	tcpBufferBytesMax = 1 << 17
)
