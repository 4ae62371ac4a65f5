package decode

import (
	"encoding/binary"
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// ports notes the ports of UDP or TCP, if they were captured.
func (d *Decoder) ports(b []byte) {
	if d.rec.HasPorts = len(b) >= 4; d.rec.HasPorts {
		d.rec.SrcPort, d.rec.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}

// udpPayload tells IKE and ESP from the rest: by port, elsewhere by what fits.
func (d *Decoder) udpPayload(g *datagram, src, dst uint16, payload []byte, missing, layer int) {
	r := &d.rec
	marked := len(payload) >= wire.NonESPMarkerBytes && [wire.NonESPMarkerBytes]byte(payload) == wire.NonESPMarker
	natt, plain := src == portIKENATT || dst == portIKENATT, src == portIKE || dst == portIKE
	other := func(note string) {
		r.Note = note
		d.send()
	}
	switch {
	case (natt || plain) && len(payload)+missing == 0:
		other("UDP without payload")
	case natt && isKeepalive(payload, missing):
		other("NAT-keepalive")
	case plain && isKeepalive(payload, missing):
		// RFC 3948 §2.3 has them at the other port, and helpers send them here.
		other("NAT-keepalive on port 500")
	case natt && marked && fitsIKE(payload[wire.NonESPMarkerBytes:], missing):
		d.udpIKE(g, payload[wire.NonESPMarkerBytes:], missing)
	case natt && foreign(src, dst, payload) != "":
		other(foreign(src, dst, payload) + " on port 4500, neither IKE nor ESP")
	case natt && marked:
		d.udpIKE(g, payload[wire.NonESPMarkerBytes:], missing)
	case natt && len(payload) < wire.NonESPMarkerBytes && missing > 0:
		other(fmt.Sprintf("UDP on port 4500, cut before IKE and ESP can be told apart: %d octets were not captured", missing))
	case natt && len(payload)+missing < espHeaderBytes:
		r.Err = &Malformed{Where: "UDP", Offset: header.UDPMinimumSize, Reason: fmt.Sprintf("%d octets on port %d are neither a NAT-keepalive nor IKE nor ESP", len(payload)+missing, portIKENATT)}
		d.send()
	case natt:
		d.udpESP(g, payload, missing, layer)
	case marked && fitsIKE(payload[wire.NonESPMarkerBytes:], missing):
		if plain {
			r.Note = "non-ESP marker on port 500"
		}
		d.udpIKE(g, payload[wire.NonESPMarkerBytes:], missing)
	case fitsIKE(payload, missing):
		d.udpIKE(g, payload, missing)
	case plain && foreign(src, dst, payload) != "":
		other(foreign(src, dst, payload) + " on port 500, not IKE")
	case plain && shape(payload, missing) != "":
		other("UDP on port 500, by its shape " + shape(payload, missing) + ", not IKE")
	case plain:
		d.udpIKE(g, payload, missing)
	case len(payload) >= espHeaderBytes && d.knowsSPI(g, binary.BigEndian.Uint32(payload)):
		d.udpESP(g, payload, missing, layer)
	default:
		r.Note = "UDP"
		if name := udpTunnel(src, dst, payload); name != "" {
			r.Note, r.Unread = name+notLookedInto, name
		}
		d.send()
	}
}

func (d *Decoder) udpIKE(g *datagram, message []byte, missing int) {
	d.rec.Kind = KindIKE
	d.ikeMessage(g, message, missing)
}

func (d *Decoder) udpESP(g *datagram, payload []byte, missing, layer int) {
	inside := *g
	inside.payload, inside.missing = payload, missing
	d.rec.Kind, d.rec.Bytes = KindESP, len(payload)+missing
	if !d.knowsSPI(g, binary.BigEndian.Uint32(payload)) {
		d.rec.Note = hint(payload, missing)
	}
	d.espPacket(&inside, payload, layer)
}

// isKeepalive is RFC 3948 §2.3's NAT-keepalive.
func isKeepalive(payload []byte, missing int) bool {
	return len(payload) == 1 && payload[0] == 0xff && missing == 0
}

// fitsIKE reports whether octets on an unexpected port are an IKEv2 message: a
// header of version 2 whose length, exchange and flags can be.
func fitsIKE(b []byte, missing int) bool {
	h, err := wire.ParseHeader(b)
	return err == nil && h.MajorVersion == 2 && int(h.Length) == len(b)+missing &&
		h.Exchange >= wire.ExchangeIKESAInit && h.Exchange <= wire.ExchangeIKEFollowupKE &&
		h.Flags&^(wire.FlagInitiator|wire.FlagResponse|wire.FlagVersion) == 0 && !h.InitiatorSPI.IsZero()
}

// hint is what a packet on port 4500 looks like that RFC 3948 §2.2 makes ESP,
// empty for nothing: somebody else may use the port, or have left out the marker.
func hint(payload []byte, missing int) string {
	if fitsIKE(payload, missing) {
		h, _ := wire.ParseHeader(payload) // it fits
		direction := "request"
		if h.IsResponse() {
			direction = "response"
		}
		return fmt.Sprintf("perhaps IKE without the non-ESP marker (RFC 3948 §2.2): it fits %s %s %d", h.Exchange, direction, h.MessageID)
	}
	if h, err := wire.ParseHeader(payload); err == nil && h.MajorVersion == 1 && int(h.Length) == len(payload)+missing && exchangesV1[h.Exchange] != "" {
		return fmt.Sprintf("perhaps IKEv1 without the non-ESP marker (RFC 3948 §2.2): it fits %s", exchangesV1[h.Exchange])
	}
	if what := shape(payload, missing); what != "" {
		return "perhaps no ESP: by its shape " + what
	}
	return ""
}

// shape names what is not ours and known by its octets, empty for nothing.
func shape(b []byte, missing int) string {
	if len(b) < 8 {
		return ""
	}
	size := len(b) + missing
	if what := wireGuard(binary.LittleEndian.Uint32(b), size); what != "" {
		return what
	}
	switch {
	case b[0]&0xc0 == 0 && binary.BigEndian.Uint32(b[4:]) == 0x2112a442 && int(binary.BigEndian.Uint16(b[2:]))+20 == size:
		return "STUN (RFC 8489)"
	case b[0] >= 20 && b[0] <= 26 && b[1] == 0xfe && (b[2] == 0xff || b[2] == 0xfd):
		return "DTLS (RFC 9147)"
	}
	return ""
}

// wireGuard names a WireGuard message by its type, of which three octets are
// reserved, and its length.
func wireGuard(kind uint32, size int) string {
	switch {
	case kind == 1 && size == 148:
		return "a WireGuard handshake initiation"
	case kind == 2 && size == 92:
		return "a WireGuard handshake response"
	case kind == 3 && size == 64:
		return "a WireGuard cookie reply"
	case kind == 4 && size >= 32 && size%16 == 0:
		return "WireGuard transport data"
	}
	return ""
}

// services are the system ports (RFC 6335 §6) of which an answer may come to a
// client that chose one of our ports.
var services = map[uint16]string{
	53: "DNS", 67: "DHCP", 68: "DHCP", 69: "TFTP", 123: "NTP", 137: "NetBIOS", 138: "NetBIOS", 161: "SNMP", 162: "SNMP",
	389: "LDAP", 443: "QUIC", 514: "syslog", 520: "RIP", 546: "DHCPv6", 547: "DHCPv6", 623: "IPMI",
}

// foreign names the service whose datagram this is, with one of our ports at the
// client's side; empty if it may be ours. A translator may give an IKE client any
// port, so where octets can tell, they must.
func foreign(src, dst uint16, b []byte) string {
	port := src
	if src == portIKE || src == portIKENATT {
		port = dst
	}
	name := services[port]
	switch name {
	case "DNS":
		// RFC 1035 §4.1.1: opcode below 7, Z zero, few questions.
		if len(b) < 12 || b[2]>>3&15 > 6 || b[3]&0x40 != 0 || binary.BigEndian.Uint16(b[4:]) > 4 {
			return ""
		}
	case "NTP":
		// RFC 5905 §7.3: version 1 to 4, mode not 0.
		if len(b) < 48 || b[0]>>3&7 < 1 || b[0]>>3&7 > 4 || b[0]&7 == 0 {
			return ""
		}
	default:
		if src == portIKENATT || dst == portIKENATT {
			return "" // any octets may be ESP
		}
	}
	return name
}
