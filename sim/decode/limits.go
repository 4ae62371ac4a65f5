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
	// completedMax bounds datagrams that are complete and of which a copy may come.
	completedMax = 1 << 8
	// unreadMax bounds the names of what is not looked into.
	unreadMax = 32
	// nestingMax bounds packets inside packets.
	nestingMax = 8

	// ikeSAsMax bounds the IKE SAs that are told apart.
	ikeSAsMax = 1 << 16
	// ikeCandidatesMax bounds the keys of one IKE SA, of which each is tried. It
	// can have eight key exchanges itself (RFC 9370 §2.2.2), and tables are joined.
	ikeCandidatesMax = 1 << 8
	// ikeInitsMax bounds the IKE_SA_INIT requests that wait for their answer.
	ikeInitsMax = 1 << 16
	// offersMax bounds the requests of one IKE_SA_INIT that an answer may be for.
	offersMax = 2
	// remarksMax bounds the remarks on one message.
	remarksMax = 16
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
	espCandidatesMax = 1 << 8
	// derivedCandidatesMax bounds the derived keys of one SPI.
	derivedCandidatesMax = 16
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

	// duplicateMax is within which the same octets at the same point are one packet
	// that was captured twice. With an IP identification they prove it themselves: a
	// host has another one for each packet (RFC 6864 §4.1), and duplicateMax only
	// says how long that holds. Without one, in IPv6 and in atomic datagrams, they
	// are a duplicate only within duplicateBareMax: nothing is retransmitted so
	// soon, and a bridge or a mirror port shows its copies within microseconds.
	duplicateMax     = 100 * time.Millisecond
	duplicateBareMax = 2 * time.Millisecond
	// recentPackets is how many ESP and AH packets are remembered to tell a
	// duplicate, a power of two.
	recentPackets = 1 << 10

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
