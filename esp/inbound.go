package esp

import "fmt"

// DropKind is why a packet was refused: the auditable events of RFC 4303 §4 and
// RFC 4301 §5.2.
type DropKind uint8

// The reasons.
const (
	DropTruncated DropKind = iota + 1 // too short, or not a whole number of blocks
	DropSPI                           // the SPI is another SA's
	DropReplay                        // the sequence number was seen, is too old, or is not one
	DropIntegrity                     // the ICV is wrong
	DropPadding                       // the trailer contradicts RFC 4303 §2.4
)

// String is a lower-case word for records.
func (k DropKind) String() string {
	switch k {
	case DropTruncated:
		return "truncated"
	case DropSPI:
		return "spi"
	case DropReplay:
		return "replay"
	case DropIntegrity:
		return "integrity"
	case DropPadding:
		return "padding"
	}
	return fmt.Sprintf("drop %d", uint8(k))
}

// DropError is a refused packet.
type DropError struct {
	Kind   DropKind
	SPI    uint32
	Seq    uint64 // as inferred; 0 when the packet was too short to have one
	Reason string
}

// Error names the SA, the packet and the reason.
func (e *DropError) Error() string {
	return fmt.Sprintf("ESP SA %#08x dropped packet %d: %s: %s", e.SPI, e.Seq, e.Kind, e.Reason)
}

// Inbound is the receiving half of a CHILD SA.
type Inbound struct {
	cipher
	window window
}

// NewInbound makes the receiving half. It fails for transforms that suite does
// not have, for keys of a wrong length, and for a replay window outside its
// limits.
func NewInbound(c SAConfig) (*Inbound, error) {
	if n := c.ReplayWindowPackets; n != 0 && (n < ReplayWindowPacketsMin || n > ReplayWindowPacketsMax) {
		return nil, fmt.Errorf("ESP SA %#08x: a replay window of %d packets; choose %d to %d, or 0 for none",
			c.SPI, n, ReplayWindowPacketsMin, ReplayWindowPacketsMax)
	}
	if c.ESN && c.ReplayWindowPackets == 0 {
		return nil, fmt.Errorf("ESP SA %#08x: extended sequence numbers need a replay window (RFC 4303 §2.2.1); set one or negotiate without ESN", c.SPI)
	}
	k, err := newCipher(c)
	if err != nil {
		return nil, err
	}
	return &Inbound{cipher: k, window: newWindow(c.ReplayWindowPackets)}, nil
}

// SPI is the SPI that this end chose.
func (i *Inbound) SPI() uint32 { return i.spi }

// Highest is the highest sequence number received, 0 before the first packet.
func (i *Inbound) Highest() uint64 { return i.window.top }

// Open checks and decrypts an ESP packet, from SPI to ICV, in place. inner is a
// part of packet; a peer that pads for traffic flow confidentiality (RFC 4303
// §2.7) leaves octets behind the IP packet's own length. seq is the whole
// sequence number, its upper half inferred with ESN. Errors are *DropError, and
// packet's content is then unspecified. The order is RFC 4303 §3.4's: replay
// check, integrity check, window, trailer.
func (i *Inbound) Open(packet []byte) (inner []byte, nextHeader uint8, seq uint64, err error) {
	textAt := headerBytes + i.ivBytes
	textEnd := len(packet) - i.icvBytes
	if len(packet) < headerBytes {
		return nil, 0, 0, i.drop(DropTruncated, 0, "no room for SPI and sequence number")
	}
	header := packet[:headerBytes]
	low := getUint32(header[4:])
	seq = uint64(low)
	if spi := getUint32(header); spi != i.spi {
		return nil, 0, seq, i.drop(DropSPI, seq, "the packet belongs to another SA")
	}
	if textEnd-textAt < i.alignBytes {
		return nil, 0, seq, i.drop(DropTruncated, seq, "no room for IV, trailer and ICV")
	}
	if (textEnd-textAt)%i.alignBytes != 0 {
		return nil, 0, seq, i.drop(DropTruncated, seq, "the encrypted part is not a whole number of blocks")
	}
	if i.esn {
		var ok bool
		if seq, ok = i.window.infer(low); !ok {
			return nil, 0, uint64(low), i.drop(DropReplay, uint64(low), "the number lies before the first or after the last of the SA")
		}
	}
	if reason := i.window.check(seq); reason != "" {
		return nil, 0, seq, i.drop(DropReplay, seq, reason)
	}

	text := packet[textAt:textEnd] // its capacity reaches the ICV: suite opens both as one
	aad, tail := i.associated(header, uint32(seq>>32))
	if i.crypter.Open(packet[headerBytes:textAt], text, packet[textEnd:], aad, tail) != nil {
		return nil, 0, seq, i.drop(DropIntegrity, seq, "the ICV is wrong")
	}
	i.window.advance(seq)

	nextHeader = text[len(text)-1]
	pad := int(text[len(text)-2])
	if pad > len(text)-trailerBytes {
		return nil, 0, seq, i.drop(DropPadding, seq, "Pad Length reaches before the payload")
	}
	innerEnd := len(text) - trailerBytes - pad
	for j, b := range text[innerEnd : innerEnd+pad] {
		if b != byte(j+1) {
			return nil, 0, seq, i.drop(DropPadding, seq, "the padding is not 1, 2, 3, …")
		}
	}
	return text[:innerEnd:innerEnd], nextHeader, seq, nil
}

func (i *Inbound) drop(kind DropKind, seq uint64, reason string) error {
	return &DropError{Kind: kind, SPI: i.spi, Seq: seq, Reason: reason}
}
