package trace

import (
	"net/netip"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// datagram is what the classifier reads of an IP header.
type datagram struct {
	src, dst netip.Addr
	protocol uint8
	payload  []byte
	// offset and more place a fragment in its datagram, id names the datagram.
	offset int
	more   bool
	id     uint32
	// cut says that payload may end before the datagram does: a first fragment, or the quotation in an ICMP
	// error.
	cut bool
	// quoted says that the packet stands in an ICMP error.
	quoted bool
}

// parseIP reads a whole packet.
func parseIP(b []byte) (datagram, bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		h := header.IPv4(b)
		if !h.IsValid(len(b)) {
			return datagram{}, false
		}
		d := ipv4(h)
		d.payload = b[h.HeaderLength():h.TotalLength()]
		return d, true
	case header.IPv6Version:
		h := header.IPv6(b)
		if !h.IsValid(len(b)) {
			return datagram{}, false
		}
		return ipv6(h, h.Payload())
	}
	return datagram{}, false
}

// parseQuotedIP reads a packet as an ICMP error quotes it: from its first byte, but not to its last.
func parseQuotedIP(b []byte) (d datagram, ok bool) {
	switch header.IPVersion(b) {
	case header.IPv4Version:
		h := header.IPv4(b)
		if len(b) < header.IPv4MinimumSize || int(h.HeaderLength()) < header.IPv4MinimumSize || len(b) < int(h.HeaderLength()) {
			return datagram{}, false
		}
		d, ok = ipv4(h), true
		d.payload = b[h.HeaderLength():]
	case header.IPv6Version:
		if len(b) < header.IPv6MinimumSize {
			return datagram{}, false
		}
		d, ok = ipv6(header.IPv6(b), b[header.IPv6MinimumSize:])
	}
	d.cut, d.quoted = true, true
	return d, ok
}

func ipv4(h header.IPv4) datagram {
	return datagram{
		src:      address(h.SourceAddress()),
		dst:      address(h.DestinationAddress()),
		protocol: h.Protocol(),
		offset:   int(h.FragmentOffset()),
		more:     h.More(),
		id:       uint32(h.ID()),
		cut:      h.More(),
	}
}

// ipv6 reads past the extension headers.
func ipv6(h header.IPv6, payload []byte) (datagram, bool) {
	d := datagram{
		src:      address(h.SourceAddress()),
		dst:      address(h.DestinationAddress()),
		protocol: h.NextHeader(),
		payload:  payload,
	}
	switch header.IPv6ExtensionHeaderIdentifier(h.NextHeader()) {
	case header.IPv6HopByHopOptionsExtHdrIdentifier,
		header.IPv6RoutingExtHdrIdentifier,
		header.IPv6FragmentExtHdrIdentifier,
		header.IPv6DestinationOptionsExtHdrIdentifier:
	default:
		return d, true // nearly every packet, without the iterator's allocations
	}
	headers := header.MakeIPv6PayloadIterator(
		header.IPv6ExtensionHeaderIdentifier(h.NextHeader()), buffer.MakeWithData(payload))
	defer headers.Release()
	for {
		next, done, err := headers.Next()
		if err != nil {
			return datagram{}, false
		}
		if done {
			d.protocol, d.payload = uint8(header.IPv6NoNextHeaderIdentifier), nil
			return d, true
		}
		switch next := next.(type) {
		case header.IPv6FragmentExtHdr:
			d.offset, d.more, d.id = int(next.FragmentOffset())*8, next.More(), next.ID()
			d.cut = d.more
		case header.IPv6RawPayloadHeader:
			d.protocol, d.payload = uint8(next.Identifier), next.Buf.Flatten()
			next.Release()
			return d, true
		default:
			next.Release()
		}
	}
}

func address(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}
