package decode

import (
	"fmt"
	"strconv"

	"github.com/gopacket/gopacket/layers"
)

// notLookedInto follows the name of what may carry IP and is not read.
const notLookedInto = ", not looked into"

// Unread is something in a capture that may carry IP and was not looked into.
type Unread struct {
	Name   string
	Frames uint64
}

// Unread lists what was not looked into, in order of appearance; beyond
// unreadMax names, all others together.
func (d *Decoder) Unread() []Unread { return d.unread }

// leave counts a frame that is not looked into.
func (d *Decoder) leave(name string) {
	for i := range d.unread {
		if u := &d.unread[i]; u.Name == name || i == unreadMax {
			u.Frames++
			return
		}
	}
	if len(d.unread) == unreadMax {
		name = "others"
	}
	d.unread = append(d.unread, Unread{Name: name, Frames: 1})
}

// tunnelProtocols are IP protocols that carry packets (IANA).
var tunnelProtocols = map[uint8]string{
	47: "GRE", 55: "minimal encapsulation", 97: "EtherIP", 98: "encapsulation header", 108: "IPComp", 115: "L2TPv3", 137: "MPLS in IP",
	143: "Ethernet in SRv6", 144: "AGGFRAG",
}

// tunnelEtherTypes are EtherTypes that carry packets (IANA, IEEE 802 numbers).
var tunnelEtherTypes = map[uint16]string{
	0x22f3: "TRILL", 0x6558: "transparent Ethernet bridging", 0x8847: "MPLS", 0x8848: "MPLS", 0x88e5: "MACsec", 0x88e7: "provider backbone bridge", 0x892f: "HSR",
	0x893f: "802.1BR E-TAG", 0x894f: "NSH",
}

// tunnelPPP are PPP protocols that carry packets (IANA, PPP numbers; RFC 3032 §4.3).
var tunnelPPP = map[uint16]string{0x0281: "MPLS", 0x0283: "MPLS"}

// udpTunnel names a tunnel by its UDP port, where its header fits; else it is empty.
func udpTunnel(src, dst uint16, b []byte) string {
	if len(b) < 8 {
		return ""
	}
	for _, port := range [2]uint16{dst, src} {
		switch {
		case (port == 4789 || port == 8472) && b[0]&0x08 != 0 && b[7] == 0: // RFC 7348 §5
			return "VXLAN"
		case port == 4790 && b[0]>>4&3 == 0:
			return "VXLAN-GPE"
		case port == 6081 && b[0]>>6 == 0: // RFC 8926 §3.4
			return "GENEVE"
		case port == 6080 && (b[0]>>5 == 0 || b[0]>>4 == 4 || b[0]>>4 == 6): // GUE: data of version 0, or IP itself as version 1
			return "GUE"
		case port == 2152 && b[0]>>5 == 1: // 3GPP TS 29.281 §5.1
			return "GTP-U"
		case port == 1701 && (b[1]&15 == 2 || b[1]&15 == 3): // RFC 2661 §3.1, RFC 3931 §3.2
			return "L2TP"
		case port == 4754 && b[0]&0x07 == 0 && b[1]&0x07 == 0: // RFC 8086 §3.1, RFC 2784 §2.1
			return "GRE in UDP"
		case port == 6635: // RFC 7510 §3
			return "MPLS in UDP"
		case port == 3544 && (b[0]>>4 == 6 || b[0] == 0 && b[1] <= 1): // RFC 4380 §5
			return "Teredo"
		case port == 4341: // RFC 9300 §5
			return "LISP"
		case port == 5247: // RFC 5415 §4
			return "CAPWAP"
		case port == 37008 && b[0] == 1:
			return "TZSP"
		}
	}
	return ""
}

// linkNames are link types that are met and not read, as tcpdump's list of them
// (LINKTYPE_…) describes them.
var linkNames = map[layers.LinkType]string{
	3: "AX.25", 6: "Token Ring", 7: "ARCNET", 8: "SLIP", 9: "PPP", 10: "FDDI", 50: "PPP in HDLC framing", 51: "PPPoE", 100: "ATM",
	104: "Cisco HDLC", 105: "802.11", 107: "Frame Relay", 109: "OpenBSD enc", 114: "LocalTalk", 117: "PFLOG", 119: "802.11 with Prism header",
	122: "IP over Fibre Channel", 127: "802.11 with radiotap header", 138: "IP over FireWire", 143: "DOCSIS", 163: "802.11 with AVS header",
	166: "PPP of pppd", 187: "Bluetooth HCI", 189: "USB of Linux", 192: "PPI", 195: "802.15.4", 201: "Bluetooth HCI with direction",
	203: "LAPD", 204: "PPP with direction", 205: "Cisco HDLC with direction", 206: "Frame Relay with direction", 220: "USB of Linux, padded",
	224: "Fibre Channel", 227: "CAN", 231: "D-Bus", 239: "NFLOG", 242: "IP over InfiniBand", 249: "USBPcap", 251: "Bluetooth LE",
	252: "Wireshark's exported PDU", 253: "Netlink", 258: "Apple packet tap", 265: "ATSC 3.0", 272: "nRF sniffer", 279: "RDS",
}

// linkName is a link type with its number, and its name where it has one.
func linkName(link layers.LinkType) string {
	name := "link type " + strconv.Itoa(int(link))
	switch known := linkNames[link]; {
	case known != "":
		return fmt.Sprintf("%s (%s)", name, known)
	case link >= 147 && link <= 162:
		return fmt.Sprintf("%s (private use %d)", name, link-147)
	}
	return name
}

// protocolName is an IP protocol for people.
func protocolName(p uint8) string {
	switch p {
	case protocolICMP:
		return "ICMP"
	case protocolIPv4:
		return "IPv4"
	case protocolTCP:
		return "TCP"
	case protocolUDP:
		return "UDP"
	case protocolIPv6:
		return "IPv6"
	case protocolESP:
		return "ESP"
	case protocolAH:
		return "AH"
	case protocolICMPv6:
		return "ICMPv6"
	case protocolNoNext:
		return "no next header"
	}
	if name := tunnelProtocols[p]; name != "" {
		return name
	}
	return "IP protocol " + strconv.Itoa(int(p))
}
