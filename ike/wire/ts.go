package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// TS is a Traffic Selector payload, TSi or TSr (RFC 7296 §3.13).
type TS struct {
	Initiator bool // TSi when true, TSr otherwise
	Selectors []Selector
}

// Selector is one traffic selector (RFC 7296 §3.13.1): a range of addresses and
// of ports, both ends included. For ICMP the ports hold type and code; ports
// 0 to 65535 mean any, 65535 to 0 mean OPAQUE.
type Selector struct {
	Type       TSType
	IPProtocol uint8 // 0: any
	StartPort  uint16
	EndPort    uint16
	Start, End netip.Addr
	// Data holds, for types other than the two IP address ranges, everything
	// after the selector's length field; the ports and addresses are then unused.
	Data []byte
}

const selectorHeaderBytes = 4

// PrefixSelector is the selector for all addresses of a prefix, one protocol
// (0: any) and a port range. The prefix need not be masked; it must be valid.
func PrefixSelector(p netip.Prefix, protocol uint8, startPort, endPort uint16) Selector {
	p = p.Masked()
	s := Selector{Type: TSIPv6AddrRange, IPProtocol: protocol, StartPort: startPort, EndPort: endPort, Start: p.Addr(), End: lastAddr(p)}
	if p.Addr().Is4() {
		s.Type = TSIPv4AddrRange
	}
	return s
}

// lastAddr is the highest address of a masked prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(b)*8; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// IsOpaque reports whether the selector asks for packets whose ports cannot be
// seen (RFC 7296 §3.13.1).
func (s Selector) IsOpaque() bool { return s.StartPort == 65535 && s.EndPort == 0 }

// Prefix is the prefix that the address range covers exactly, when there is one.
func (s Selector) Prefix() (netip.Prefix, bool) {
	if !s.Start.IsValid() || s.Start.BitLen() != s.End.BitLen() {
		return netip.Prefix{}, false
	}
	first, last := s.Start.AsSlice(), s.End.AsSlice()
	bits := 0
	for bits < len(first)*8 && (first[bits/8]^last[bits/8])&(0x80>>(bits%8)) == 0 {
		bits++
	}
	p := netip.PrefixFrom(s.Start, bits)
	return p, p.Masked().Addr() == s.Start && lastAddr(p) == s.End
}

// String is swanctl's form: "10.1.0.0/16", "10.1.0.0/16[udp/53]", "10.0.0.1-10.0.0.9".
func (s Selector) String() string {
	if s.Type != TSIPv4AddrRange && s.Type != TSIPv6AddrRange {
		return fmt.Sprintf("%s:0x%x", s.Type, s.Data)
	}
	var b strings.Builder
	if p, ok := s.Prefix(); ok {
		b.WriteString(p.String())
	} else {
		b.WriteString(s.Start.String() + "-" + s.End.String())
	}
	anyPort := s.StartPort == 0 && s.EndPort == 65535
	if s.IPProtocol == 0 && anyPort {
		return b.String()
	}
	b.WriteString("[" + protocolName(s.IPProtocol))
	switch {
	case anyPort:
	case s.IsOpaque():
		b.WriteString("/opaque")
	case s.StartPort == s.EndPort:
		fmt.Fprintf(&b, "/%d", s.StartPort)
	default:
		fmt.Fprintf(&b, "/%d-%d", s.StartPort, s.EndPort)
	}
	b.WriteString("]")
	return b.String()
}

// protocolName names the IP protocols that selectors usually hold.
func protocolName(p uint8) string {
	switch p {
	case 0:
		return "any"
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 58:
		return "ipv6-icmp"
	case 135:
		return "mobility-header"
	}
	return fmt.Sprint(p)
}

// Type is PayloadTSi or PayloadTSr.
func (p *TS) Type() PayloadType {
	if p.Initiator {
		return PayloadTSi
	}
	return PayloadTSr
}

func parseTS(d *decoder) (Payload, error) {
	if err := d.need(4, "Number of TSs"); err != nil {
		return nil, err
	}
	start := d.at
	p := &TS{Initiator: d.payload == PayloadTSi}
	count := int(d.uint8())
	d.take(3)
	if count == 0 {
		return nil, d.errorf(start, "Number of TSs", "is 0, at least one selector is needed")
	}
	for range count {
		s, err := parseSelector(d)
		if err != nil {
			return nil, err
		}
		p.Selectors = append(p.Selectors, s)
	}
	if d.left() != 0 {
		return nil, d.errorf(start, "Number of TSs", "is %d, but %d octets follow the last one", count, d.left())
	}
	return p, nil
}

func parseSelector(d *decoder) (Selector, error) {
	if err := d.need(selectorHeaderBytes, "Traffic Selector"); err != nil {
		return Selector{}, err
	}
	start := d.at
	s := Selector{Type: TSType(d.uint8()), IPProtocol: d.uint8()}
	length := int(d.uint16())
	if rest := d.end - start; length < selectorHeaderBytes || length > rest {
		return s, d.errorf(start+2, "Selector Length", "is %d, must be between %d and the %d octets that are left", length, selectorHeaderBytes, rest)
	}
	addrBytes := s.addrBytes()
	if addrBytes == 0 {
		s.Data = d.take(length - selectorHeaderBytes)
		return s, nil
	}
	if want := selectorHeaderBytes + 4 + 2*addrBytes; length != want {
		return s, d.errorf(start+2, "Selector Length", "is %d, a %s has %d", length, s.Type, want)
	}
	s.StartPort, s.EndPort = d.uint16(), d.uint16()
	s.Start, _ = netip.AddrFromSlice(d.take(addrBytes))
	s.End, _ = netip.AddrFromSlice(d.take(addrBytes))
	if field, reason := s.check(); reason != "" {
		return s, d.errorf(start, field, "%s", reason)
	}
	return s, nil
}

// addrBytes is the length of an address of the selector's type, 0 for types that
// are kept raw.
func (s Selector) addrBytes() int {
	switch s.Type {
	case TSIPv4AddrRange:
		return 4
	case TSIPv6AddrRange:
		return 16
	}
	return 0
}

// check says what is wrong with the ranges, "" for nothing.
func (s Selector) check() (field, reason string) {
	n := s.addrBytes()
	if s.Start.BitLen() != n*8 || s.End.BitLen() != n*8 {
		return "Starting Address", fmt.Sprintf("%s to %s are not two addresses of %s", s.Start, s.End, s.Type)
	}
	if s.StartPort > s.EndPort && !s.IsOpaque() {
		return "Start Port", fmt.Sprintf("%d is above End Port %d; only 65535 to 0 (OPAQUE) may be", s.StartPort, s.EndPort)
	}
	if s.End.Less(s.Start) {
		return "Starting Address", fmt.Sprintf("%s is above Ending Address %s", s.Start, s.End)
	}
	return "", ""
}

func (p *TS) appendBody(b []byte) ([]byte, error) {
	t := p.Type()
	if n := len(p.Selectors); n == 0 || n > selectorsMax {
		return nil, encodeErrorf(t, "Number of TSs", "%d selectors, must be between 1 and %d", n, selectorsMax)
	}
	b = append(b, byte(len(p.Selectors)), 0, 0, 0)
	for _, s := range p.Selectors {
		b = append(b, byte(s.Type), s.IPProtocol)
		n := s.addrBytes()
		if n == 0 {
			if len(s.Data) > 0xffff-selectorHeaderBytes {
				return nil, encodeErrorf(t, "Selector Length", "%d octets do not fit into 16 bits", len(s.Data))
			}
			b = binary.BigEndian.AppendUint16(b, uint16(selectorHeaderBytes+len(s.Data)))
			b = append(b, s.Data...)
			continue
		}
		if field, reason := s.check(); reason != "" {
			return nil, encodeErrorf(t, field, "%s", reason)
		}
		b = binary.BigEndian.AppendUint16(b, uint16(selectorHeaderBytes+4+2*n))
		b = binary.BigEndian.AppendUint16(b, s.StartPort)
		b = binary.BigEndian.AppendUint16(b, s.EndPort)
		b = append(b, s.Start.AsSlice()...)
		b = append(b, s.End.AsSlice()...)
	}
	return b, nil
}
