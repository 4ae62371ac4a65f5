package decode

import (
	"encoding/binary"
	"fmt"

	"github.com/gopacket/gopacket/layers"
)

// EtherTypes that are looked into (IANA, IEEE 802 numbers).
const (
	etherIPv4  = 0x0800
	etherVLAN  = 0x8100
	etherIPv6  = 0x86dd
	etherPPPoE = 0x8864
	etherQinQ  = 0x88a8
	etherOldQ  = 0x9100
	etherARP   = 0x0806
)

// Values of link types that a file may have beside those that gopacket names.
const (
	linkRawBSD     layers.LinkType = 12 // DLT_RAW where it was written unmapped
	linkRawOpenBSD layers.LinkType = 14
)

// unlink removes a frame's link header. direction tells copies of one packet
// apart that the link header distinguishes (Linux cooked: in and out). other says
// what the frame is if it is no IP packet; malformed, what is wrong with it.
func unlink(link layers.LinkType, b []byte) (ip []byte, direction uint32, other string, malformed *Malformed) {
	short := func(n int, what string) (*Malformed, bool) {
		if len(b) < n {
			return &Malformed{Where: what, Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), n)}, true
		}
		return nil, false
	}
	switch link {
	case layers.LinkTypeEthernet:
		if m, ok := short(14, "Ethernet"); ok {
			return nil, 0, "", m
		}
		ip, other, malformed = byEtherType(binary.BigEndian.Uint16(b[12:]), b, 14)
		return ip, 0, other, malformed
	case layers.LinkTypeRaw, linkRawBSD, linkRawOpenBSD, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return b, 0, "", nil
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		if m, ok := short(4, "loopback"); ok {
			return nil, 0, "", m
		}
		// The family is in the recorder's byte order, in Loop in the network's, and
		// its number is the recorder's: the IP version says the same.
		return b[4:], 0, "", nil
	case layers.LinkTypeLinuxSLL:
		if m, ok := short(16, "Linux cooked"); ok {
			return nil, 0, "", m
		}
		ip, other, malformed = byEtherType(binary.BigEndian.Uint16(b[14:]), b, 16)
		return ip, cookedDirection(b[1]), other, malformed
	case layers.LinkTypeLinuxSLL2:
		if m, ok := short(20, "Linux cooked 2"); ok {
			return nil, 0, "", m
		}
		ip, other, malformed = byEtherType(binary.BigEndian.Uint16(b), b, 20)
		return ip, binary.BigEndian.Uint32(b[4:])<<1 | cookedDirection(b[10]), other, malformed
	}
	return nil, 0, fmt.Sprintf("link type %d, which is not dissected", uint16(link)), nil
}

// cookedDirection is 1 for a packet that the recorder sent (packet type 4).
func cookedDirection(packetType byte) uint32 {
	if packetType == 4 {
		return 1
	}
	return 0
}

// byEtherType looks behind a header with an EtherType, at octet at.
func byEtherType(etherType uint16, b []byte, at int) ([]byte, string, *Malformed) {
	for range vlanTagsMax {
		switch etherType {
		case etherIPv4, etherIPv6:
			return b[at:], "", nil
		case etherVLAN, etherQinQ, etherOldQ:
			if len(b) < at+4 {
				return nil, "", &Malformed{Where: "VLAN tag", Offset: at, Reason: fmt.Sprintf("needs 4 octets, %d are left", len(b)-at)}
			}
			etherType, at = binary.BigEndian.Uint16(b[at+2:]), at+4
			continue
		case etherPPPoE:
			if len(b) < at+8 {
				return nil, "", &Malformed{Where: "PPPoE", Offset: at, Reason: fmt.Sprintf("needs 8 octets, %d are left", len(b)-at)}
			}
			switch protocol := binary.BigEndian.Uint16(b[at+6:]); protocol {
			case 0x0021, 0x0057: // IPv4, IPv6 (IANA, PPP numbers)
				return b[at+8:], "", nil
			default:
				return nil, fmt.Sprintf("PPP protocol 0x%04x", protocol), nil
			}
		case etherARP:
			return nil, "ARP", nil
		}
		if etherType < 0x0600 { // IEEE 802.3: a length, and LLC behind it
			if len(b) >= at+8 && b[at] == 0xaa && b[at+1] == 0xaa && b[at+2] == 3 {
				etherType, at = binary.BigEndian.Uint16(b[at+6:]), at+8
				continue
			}
			return nil, "LLC", nil
		}
		return nil, fmt.Sprintf("EtherType 0x%04x", etherType), nil
	}
	return nil, "", &Malformed{Where: "VLAN tag", Offset: at, Reason: fmt.Sprintf("more than %d tags", vlanTagsMax)}
}
