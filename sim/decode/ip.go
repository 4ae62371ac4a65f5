package decode

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// IP protocol numbers (IANA).
const (
	protocolHopByHop    uint8 = 0
	protocolICMP        uint8 = 1
	protocolIPv4        uint8 = 4
	protocolTCP         uint8 = 6
	protocolUDP         uint8 = 17
	protocolIPv6        uint8 = 41
	protocolRouting     uint8 = 43
	protocolFragment    uint8 = 44
	protocolESP         uint8 = 50
	protocolAH          uint8 = 51
	protocolICMPv6      uint8 = 58
	protocolNoNext      uint8 = 59
	protocolDestination uint8 = 60
	protocolMobility    uint8 = 135
	protocolHIP         uint8 = 139
	protocolShim6       uint8 = 140
)

// datagram is an IP packet without its headers.
type datagram struct {
	src, dst netip.Addr
	protocol uint8
	hops     uint8 // TTL or hop limit
	payload  []byte
	missing  int // octets of the payload that were not captured
	// A fragment has one of these.
	fragment bool
	offset   int // octets
	more     bool
	id       uint32
}

// version is 4 or 6.
func (d *datagram) version() int {
	if d.src.Is4() {
		return 4
	}
	return 6
}

// parseIP reads the headers of an IP packet of which missing octets at the end
// were not captured.
func parseIP(b []byte, missing int) (datagram, *Malformed) {
	if len(b) == 0 {
		return datagram{}, &Malformed{Where: "IP", Reason: "the frame ends before the packet"}
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b, missing)
	case 6:
		return parseIPv6(b, missing)
	}
	return datagram{}, &Malformed{Where: "IP", Reason: fmt.Sprintf("version %d; 4 and 6 exist", b[0]>>4)}
}

func parseIPv4(b []byte, missing int) (datagram, *Malformed) {
	if len(b) < header.IPv4MinimumSize {
		return datagram{}, &Malformed{Where: "IPv4", Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), header.IPv4MinimumSize)}
	}
	h := header.IPv4(b)
	d := datagram{
		src: netip.AddrFrom4([4]byte(b[12:16])), dst: netip.AddrFrom4([4]byte(b[16:20])),
		protocol: h.Protocol(), hops: h.TTL(),
		offset: int(h.FragmentOffset()), more: h.More(), id: uint32(h.ID()),
	}
	d.fragment = d.more || d.offset > 0
	size, total := int(h.HeaderLength()), int(h.TotalLength())
	if size < header.IPv4MinimumSize || size > len(b) {
		return d, &Malformed{Where: "IPv4", Field: "IHL", Reason: fmt.Sprintf("says %d octets, must be between %d and the %d that are there", size, header.IPv4MinimumSize, len(b))}
	}
	if total == 0 {
		total = len(b) + missing // a packet that the network card was to segment
	}
	if total < size {
		return d, &Malformed{Where: "IPv4", Offset: 2, Field: "Total Length", Reason: fmt.Sprintf("says %d octets, the header alone has %d", total, size)}
	}
	return d, d.cut(b, size, total, missing, "IPv4", 2, "Total Length")
}

func parseIPv6(b []byte, missing int) (datagram, *Malformed) {
	if len(b) < header.IPv6MinimumSize {
		return datagram{}, &Malformed{Where: "IPv6", Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), header.IPv6MinimumSize)}
	}
	h := header.IPv6(b)
	d := datagram{
		src: netip.AddrFrom16([16]byte(b[8:24])), dst: netip.AddrFrom16([16]byte(b[24:40])),
		protocol: h.NextHeader(), hops: h.HopLimit(),
	}
	total := header.IPv6MinimumSize + int(h.PayloadLength())
	if h.PayloadLength() == 0 {
		total = len(b) + missing // a jumbogram, or left to the network card
	}
	if m := d.cut(b, header.IPv6MinimumSize, total, missing, "IPv6", 4, "Payload Length"); m != nil {
		return d, m
	}
	at := header.IPv6MinimumSize // for errors
	for range extensionHeadersMax {
		var size int
		switch d.protocol {
		case protocolHopByHop, protocolRouting, protocolDestination, protocolMobility, protocolHIP, protocolShim6:
			if len(d.payload) >= 2 {
				size = 8 + 8*int(d.payload[1])
			}
		case protocolFragment:
			size = 8
			if len(d.payload) >= size {
				field := binary.BigEndian.Uint16(d.payload[2:])
				d.offset, d.more, d.id = int(field&^7), field&1 != 0, binary.BigEndian.Uint32(d.payload[4:])
				d.fragment = d.more || d.offset > 0
			}
		default:
			return d, nil
		}
		if size == 0 || size > len(d.payload) {
			return d, &Malformed{Where: "IPv6", Offset: at, Field: "extension header",
				Reason: fmt.Sprintf("number %d needs %d octets, %d are left", d.protocol, max(size, 2), len(d.payload))}
		}
		d.protocol, d.payload = d.payload[0], d.payload[size:]
		at += size
		if d.offset > 0 {
			return d, nil // what follows is the middle of something
		}
	}
	return d, &Malformed{Where: "IPv6", Offset: at, Field: "extension header", Reason: fmt.Sprintf("more than %d", extensionHeadersMax)}
}

// cut sets the payload: what follows the header of size octets in a packet of
// total octets. A link may pad (Ethernet's 60 octets), and may not lack octets.
func (d *datagram) cut(b []byte, size, total, missing int, where string, offset int, field string) *Malformed {
	have := len(b) + missing
	switch {
	case total <= len(b):
		d.payload = b[size:total]
	case total <= have:
		d.payload, d.missing = b[size:], total-len(b)
	default:
		d.payload, d.missing = b[size:], total-len(b)
		return &Malformed{Where: where, Offset: offset, Field: field, Reason: fmt.Sprintf("says %d octets, the frame has %d", total, have)}
	}
	return nil
}
