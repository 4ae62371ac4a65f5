package decode

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Kind is what a record is about.
type Kind string

// The kinds.
const (
	KindIKE   Kind = "ike"
	KindESP   Kind = "esp"
	KindAH    Kind = "ah"
	KindOther Kind = "other"
)

// Malformed says what of a frame is wrong, where, and what would be right.
type Malformed struct {
	// Where is the payload ("IDi") or the header ("IPv4", "ESP") that is wrong.
	Where string
	// Offset counts octets: in an IKE message from its header, in a decrypted
	// payload chain from its first payload, else from the header that Where names.
	Offset int
	Field  string // empty where no field is at fault
	Reason string
}

// Error is one sentence.
func (m *Malformed) Error() string {
	if m.Where == whereCapture {
		return m.Where + ": " + m.Reason // no octet of a frame is at fault
	}
	if m.Field == "" {
		return fmt.Sprintf("%s, octet %d: %s", m.Where, m.Offset, m.Reason)
	}
	return fmt.Sprintf("%s, octet %d, %s: %s", m.Where, m.Offset, m.Field, m.Reason)
}

// whereCapture is the Where of what is wrong with the file itself.
const whereCapture = "capture"

// Record is what one frame holds. A frame with packets inside packets (ESP in
// ESP) gives one record for each, the outer one first. It is valid until the
// function that receives it returns.
type Record struct {
	Frame     uint64
	Time      time.Time
	Interface int
	// Layer is 0 for what the frame itself carries, 1 for what was inside that, …
	Layer int
	Kind  Kind
	// Src and Dst are the ends, with ports where there are some. They are invalid
	// in a frame that is no IP packet.
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	// HasPorts says that the ports were captured; they may be 0.
	HasPorts bool
	// Transport is what carries it: "ip", "udp" or "tcp".
	Transport string
	// Frames is in how many IP fragments it came, 0 when it came whole.
	Frames int
	// Bytes is the length of the IKE message, ESP or AH packet, else of the frame.
	Bytes int

	// Header is the IKE header; HasHeader, that there are enough octets for one,
	// and HeaderBytes how many of them there are: of a header that was cut, the
	// fields in front of the cut are known.
	Header      wire.Header
	HasHeader   bool
	HeaderBytes int
	// Payloads names the chain in order, the encrypted ones behind "SK" or "SKF";
	// Details has for each what is worth telling.
	Payloads []string
	Details  []string
	// Fragment and Fragments are the numbers of an SKF payload (RFC 7383 §2.5).
	Fragment, Fragments uint16
	// Tracked says that the packet was compared with those before it, so that
	// what follows is known: Retransmission, Replay, Late, Duplicate, Elsewhere.
	Tracked bool
	// Retransmission counts how often the same message passed the same point
	// before, duplicates apart.
	Retransmission int
	// Duplicate says that the very same packet, with its IP identification, was
	// captured at the same point a moment ago: it was sent once.
	Duplicate bool
	// Elsewhere says that the same message or packet passed another point before.
	Elsewhere bool
	// Remarks say what a message does that its RFC forbids, though it parses.
	Remarks []string

	// SPI and Seq are those of ESP and AH; Seq has 64 bits where they are known.
	// HasSPI and HasSeq say that their octets were captured.
	SPI            uint32
	Seq            uint64
	HasSPI, HasSeq bool
	// NextHeader is the protocol inside, known with HasNextHeader.
	NextHeader    uint8
	HasNextHeader bool
	// Replay says that the sequence number passed the same point before.
	Replay bool
	// Gap is how many sequence numbers a packet leaves out that is ahead of all
	// before it, HasGap, that there was one before it to compare with.
	Gap    uint64
	HasGap bool
	// Late is how far a packet is behind the highest sequence number, 0 for none.
	Late uint64
	// TFC is how many octets of traffic flow confidentiality padding followed
	// Inner (RFC 4303 §2.7).
	TFC int

	// Encrypted says that there is something to decrypt, Decrypted that it was.
	Encrypted, Decrypted bool
	ICV                  suite.ICVState
	// Inner is the plaintext, without padding: the payload chain or the packet.
	Inner []byte

	// ICMP is what an ICMP message says, nil in all others.
	ICMP *ICMP
	// Note is anything else to be said, in our words.
	Note string
	// Unread names what may carry IP and was not looked into: a link type, a tunnel.
	Unread string
	Err    *Malformed
}

// reset makes r a record of a frame.
func (r *Record) reset(f *Frame) {
	payloads, details, remarks := r.Payloads[:0], r.Details[:0], r.Remarks[:0]
	*r = Record{Payloads: payloads, Details: details, Remarks: remarks}
	r.begin(f)
}

// begin makes an empty record one of a frame.
func (r *Record) begin(f *Frame) {
	r.Frame, r.Time, r.Interface, r.Kind, r.Bytes = f.Number, f.Time, f.Interface, KindOther, f.Length
}

// Stats counts what was read.
type Stats struct {
	Frames    uint64
	Records   uint64
	IKE       uint64
	ESP       uint64
	AH        uint64
	Other     uint64
	Decrypted uint64
	// Encrypted counts what could not be decrypted.
	Encrypted uint64
	Malformed uint64
	BadICV    uint64
	IKEv1     uint64
	// Remarks counts messages with remarks, Duplicates packets that were captured
	// twice, and Unread frames that were not looked into.
	Remarks    uint64
	Duplicates uint64
	Unread     uint64
}

// Clean reports whether nothing was malformed and no check value wrong.
func (s Stats) Clean() bool { return s.Malformed == 0 && s.BadICV == 0 }
