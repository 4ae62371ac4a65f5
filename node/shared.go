package node

import (
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// What follows is shared with the nodes of floor 4, which do on a real kernel what
// this package does in virtual time.

// NewESP makes the ESP halves of a CHILD_SA with its keys, transforms and replay
// window. ivBytes is the length of the IV in every packet.
func NewESP(sa *ike.ChildSA) (in *esp.Inbound, out *esp.Outbound, ivBytes int, err error) {
	encr, _ := sa.Proposal.Find(suite.TransformENCR)
	integ, _ := sa.Proposal.Find(suite.TransformINTEG)
	config := esp.SAConfig{SPI: sa.SPIIn, Encr: encr, Integ: integ, EncrKey: sa.In.Encr, IntegKey: sa.In.Integ,
		ESN: sa.ESN, ReplayWindowPackets: sa.ReplayWindowPackets}
	switch {
	case config.ReplayWindowPackets < 0:
		config.ReplayWindowPackets = 0 // none was asked for
	case config.ReplayWindowPackets == 0:
		config.ReplayWindowPackets = replayWindowDefaultPackets
	}
	if in, err = esp.NewInbound(config); err != nil {
		return nil, nil, 0, err
	}
	config.SPI, config.EncrKey, config.IntegKey, config.IVKey = sa.SPIOut, sa.Out.Encr, sa.Out.Integ, sa.Out.IV
	if out, err = esp.NewOutbound(config); err != nil {
		return nil, nil, 0, err
	}
	return in, out, out.Headroom() - espHeaderBytes, nil
}

// Selectors turns IKE's traffic selectors into the SPD's. None at all is
// "dynamic", which stands for the addresses.
func Selectors(ts []wire.Selector, dynamic []netip.Addr) []esp.Selector {
	var all []esp.Selector
	for _, s := range ts {
		if s.Type == wire.TSIPv4AddrRange || s.Type == wire.TSIPv6AddrRange {
			all = append(all, esp.Selector{Start: s.Start, End: s.End, Protocol: s.IPProtocol, StartPort: s.StartPort, EndPort: s.EndPort})
		}
	}
	if len(ts) > 0 {
		return all
	}
	for _, a := range dynamic {
		all = append(all, esp.SelectorFromPrefix(netip.PrefixFrom(a, a.BitLen())))
	}
	return all
}

// AnyPorts is a copy of selectors, widened to all ports: what a fragment that shows
// no ports may belong to.
func AnyPorts(narrow []esp.Selector) []esp.Selector {
	wide := slices.Clone(narrow)
	for i := range wide {
		wide[i].StartPort, wide[i].EndPort = 0, 0xffff
	}
	return wide
}

// Flow is the key as the SPD sees it.
func (k PacketKey) Flow() esp.Flow {
	return esp.Flow{Source: k.Src, Destination: k.Dst, Protocol: k.Protocol,
		SourcePort: k.SrcPort, DestinationPort: k.DstPort, NoPorts: !k.PortsKnown}
}

// ReadPacketKey describes the IP packet in b as the node's own layer would see it,
// with the same checks of its headers: a reason says what is wrong, and the key then
// holds what could be read. laterFragment is true for a fragment but the first.
func ReadPacketKey(b []byte) (key PacketKey, laterFragment bool, reason DropReason) {
	var p packet
	reason = parse(b, &p)
	return p.key, p.laterFragment(), reason
}

// IsIKE reports whether what came to a port of IKE is a message of IKE, of whatever
// version: it has a header, which says how long the message is and has an initiator's
// SPI (RFC 7296 §3.1). The rest is the machine's to judge. Anything else is dropped as
// ESP is that has no association, at either port: it is not worth a record of IKE, and
// not an answer.
func IsIKE(message []byte) bool {
	h, err := wire.ParseHeader(message)
	return err == nil && uint64(h.Length) == uint64(len(message)) && !h.InitiatorSPI.IsZero()
}

// ikePacketKey describes the packet that IKEPacket builds.
func ikePacketKey(s ike.Send) PacketKey {
	bytes := ipHeaderBytes(s.Remote.Addr()) + header.UDPMinimumSize + len(s.Payload)
	if s.NonESPMarker {
		bytes += markerBytes
	}
	return PacketKey{Src: s.Local.Addr(), Dst: s.Remote.Addr(), Protocol: protocolUDP,
		SrcPort: s.Local.Port(), DstPort: s.Remote.Port(), PortsKnown: true, Bytes: bytes}
}

// IKEPacket builds the IP packet that carries an IKE message or a NAT keepalive from
// s.Local to s.Remote, of one family, with the IPv4 identification id. The packet is
// nil when the message is too long for one; the key is answered in any case.
func IKEPacket(s ike.Send, id uint16) ([]byte, PacketKey) {
	key := ikePacketKey(s)
	if key.Bytes > 0xffff {
		return nil, key
	}
	b := make([]byte, key.Bytes)
	copy(b[len(b)-len(s.Payload):], s.Payload)
	writeIP(b, ipFields{src: key.Src, dst: key.Dst, protocol: protocolUDP, hopLimit: hopLimitDefault, id: id})
	writeUDP(b[ipHeaderBytes(key.Dst):], s.Local, s.Remote)
	return b, key
}
