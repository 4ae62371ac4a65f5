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
	etherOldQ  = 0x9100 // of before 802.1ad, as etherOldQ2
	etherOldQ2 = 0x9200
	etherARP   = 0x0806
)

// Values of link types that a file may have beside those that gopacket names.
const (
	linkRawBSD     layers.LinkType = 12 // DLT_RAW where it was written unmapped
	linkRawOpenBSD layers.LinkType = 14
)

// unlinked is a frame without its link header.
type unlinked struct {
	ip []byte
	// direction tells copies of one packet apart that the link header
	// distinguishes (Linux cooked: in and out).
	direction uint32
	// other says what the frame is if it is no IP packet; unread names it if it
	// may carry IP all the same.
	other, unread string
	malformed     *Malformed
}

// unlink removes a frame's link header.
func unlink(link layers.LinkType, b []byte) unlinked {
	switch link {
	case layers.LinkTypeEthernet:
		if len(b) < 14 {
			return cutLink("Ethernet", b, 14)
		}
		return byEtherType(binary.BigEndian.Uint16(b[12:]), b, 14)
	case layers.LinkTypeRaw, linkRawBSD, linkRawOpenBSD, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return unlinked{ip: b}
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		if len(b) < 4 {
			return cutLink("loopback", b, 4)
		}
		// The family is in the recorder's byte order, in Loop in the network's, and
		// its number is the recorder's: the IP version says the same.
		return unlinked{ip: b[4:]}
	case layers.LinkTypeLinuxSLL:
		if len(b) < 16 {
			return cutLink("Linux cooked", b, 16)
		}
		u := byEtherType(binary.BigEndian.Uint16(b[14:]), b, 16)
		u.direction = cookedDirection(b[1])
		return u
	case layers.LinkTypeLinuxSLL2:
		if len(b) < 20 {
			return cutLink("Linux cooked 2", b, 20)
		}
		u := byEtherType(binary.BigEndian.Uint16(b), b, 20)
		u.direction = binary.BigEndian.Uint32(b[4:])<<1 | cookedDirection(b[10])
		return u
	}
	name := linkName(link)
	return unlinked{other: name + ", not read", unread: name}
}

// cutLink is a frame that ends inside its link header of n octets.
func cutLink(what string, b []byte, n int) unlinked {
	return unlinked{malformed: &Malformed{Where: what, Offset: len(b), Reason: fmt.Sprintf("ends after %d octets, a header has %d", len(b), n)}}
}

// cookedDirection is 1 for a packet that the recorder sent (packet type 4).
func cookedDirection(packetType byte) uint32 {
	if packetType == 4 {
		return 1
	}
	return 0
}

// byEtherType looks behind a header with an EtherType, at octet at.
func byEtherType(etherType uint16, b []byte, at int) unlinked {
	for range vlanTagsMax {
		switch etherType {
		case etherIPv4, etherIPv6:
			return unlinked{ip: b[at:]}
		case etherVLAN, etherQinQ, etherOldQ, etherOldQ2:
			if len(b) < at+4 {
				return unlinked{malformed: &Malformed{Where: "VLAN tag", Offset: at, Reason: fmt.Sprintf("needs 4 octets, %d are left", len(b)-at)}}
			}
			etherType, at = binary.BigEndian.Uint16(b[at+2:]), at+4
			continue
		case etherPPPoE:
			if len(b) < at+8 {
				return unlinked{malformed: &Malformed{Where: "PPPoE", Offset: at, Reason: fmt.Sprintf("needs 8 octets, %d are left", len(b)-at)}}
			}
			switch protocol := binary.BigEndian.Uint16(b[at+6:]); protocol {
			case 0x0021, 0x0057: // IPv4, IPv6 (IANA, PPP numbers)
				return unlinked{ip: b[at+8:]}
			default:
				if name := tunnelPPP[protocol]; name != "" {
					return unlinked{other: name + notLookedInto, unread: name}
				}
				return unlinked{other: fmt.Sprintf("PPP protocol 0x%04x", protocol)}
			}
		case etherARP:
			return unlinked{other: "ARP"}
		}
		if etherType < 0x0600 { // IEEE 802.3: a length, and LLC behind it
			if len(b) >= at+8 && b[at] == 0xaa && b[at+1] == 0xaa && b[at+2] == 3 {
				etherType, at = binary.BigEndian.Uint16(b[at+6:]), at+8
				continue
			}
			return unlinked{other: "LLC"}
		}
		if name := tunnelEtherTypes[etherType]; name != "" {
			return unlinked{other: name + notLookedInto, unread: name}
		}
		return unlinked{other: fmt.Sprintf("EtherType 0x%04x", etherType)}
	}
	return unlinked{malformed: &Malformed{Where: "VLAN tag", Offset: at, Reason: fmt.Sprintf("more than %d tags", vlanTagsMax)}}
}
