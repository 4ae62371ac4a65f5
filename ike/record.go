package ike

import (
	"net/netip"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// RecordKind names what a Record reports; labs select events by it.
type RecordKind string

// Kinds of records and the fields that each one has beside "reason".
const (
	RecordIKEInit        RecordKind = "ike-init"        // an IKE SA was begun, by either end
	RecordIKERetry       RecordKind = "ike-retry"       // an attempt failed, another follows: reason
	RecordIKEEstablished RecordKind = "ike-established" // proposal, local-id, remote-id; exactly one ike-deleted follows in time
	RecordIKEFailed      RecordKind = "ike-failed"      // reason, detail, and both sides' lists; it was never established
	RecordIKEDeleted     RecordKind = "ike-deleted"     // reason; an established IKE SA is gone
	RecordIKEExpired     RecordKind = "ike-expired"     // reason; a half-open IKE SA of a responder is gone
	RecordChildInstalled RecordKind = "child-installed" // child, spi-in, spi-out, proposal, local-ts, remote-ts
	RecordChildFailed    RecordKind = "child-failed"    // child, reason, local-… and remote-… of what disagreed
	RecordChildDeleted   RecordKind = "child-deleted"   // child, spi-in, spi-out, reason
	RecordChildMoved     RecordKind = "child-moved"     // child, spi-in, spi-out, remote
	RecordSent           RecordKind = "exchange-sent"
	RecordReceived       RecordKind = "exchange-received"
	RecordRetransmit     RecordKind = "retransmit" // a request is repeated; Exchange.Transmission says how often
	RecordGiveUp         RecordKind = "retransmit-give-up"
	RecordResponseResent RecordKind = "response-resent" // a response is repeated
	RecordDropped        RecordKind = "message-dropped" // reason
	RecordNATDetected    RecordKind = "nat-detected"    // local, remote, forced: who is behind one
	RecordLiveness       RecordKind = "liveness"        // reason: why the peer is asked; or "alive"
	RecordKeys           RecordKind = "ike-keys"        // Keys
	RecordIgnored        RecordKind = "command-ignored" // reason
)

// Record is something worth seeing. It never changes what the machine does.
type Record struct {
	Kind       RecordKind
	Connection string // "" while a responder does not know it yet
	// IKE is the machine's number of the IKE SA, counting from 1; 0 outside any.
	IKE uint64
	// Initiator says that this end began the IKE SA.
	Initiator bool
	// Local and Remote are the ends the record is about.
	Local, Remote netip.AddrPort
	// Exchange is the message the record is about; nil for none.
	Exchange *Exchange
	// Fields in a fixed order per kind.
	Fields []Field
	// Keys is set for RecordKeys.
	Keys *Keys
	// Child is set for RecordChildInstalled.
	Child *ChildSA
}

// Field is one named value of a record.
type Field struct{ Key, Value string }

// Field returns the value of the field with the key, "" when there is none.
func (r Record) Field(key string) string {
	for _, f := range r.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// Keys are an IKE SA's keys as Wireshark's ikev2_decryption_table wants them.
type Keys struct {
	SPIi, SPIr             wire.SPI
	SKei, SKer, SKai, SKar []byte          // SKai and SKar empty for an AEAD
	SKd                    []byte          // which Wireshark does not want, and decoding does
	Encr, Integ            suite.Transform // Integ zero for an AEAD
}
