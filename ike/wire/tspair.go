package wire

// Protocols whose packets have something in the place of ports.
const (
	protocolICMP     = 1
	protocolTCP      = 6
	protocolUDP      = 17
	protocolDCCP     = 33
	protocolICMPv6   = 58
	protocolSCTP     = 132
	protocolMobility = 135
	protocolUDPLite  = 136
)

// AnyPort reports whether the selector admits every port, seen or not
// (RFC 7296 §3.13.1).
func (s Selector) AnyPort() bool { return s.StartPort == 0 && s.EndPort == 65535 }

// Pairs reports whether there is a packet with one end in s and the other in o: both
// of one family, of one protocol, and with ports that can stand in one packet. A
// packet shows both its ports or, as a later fragment, neither; ICMP and the Mobility
// Header have one type for both ends, and OPAQUE then says that the other direction is
// not meant (RFC 4301 §4.4.1.3); a protocol without ports has none to show.
func (s Selector) Pairs(o Selector) bool {
	switch {
	case s.addrBytes() == 0 || s.Type != o.Type:
		return false
	case s.IPProtocol != 0 && o.IPProtocol != 0 && s.IPProtocol != o.IPProtocol:
		return false
	}
	sees, oSees := !s.AnyPort() && !s.IsOpaque(), !o.AnyPort() && !o.IsOpaque()
	switch max(s.IPProtocol, o.IPProtocol) {
	case 0, protocolTCP, protocolUDP, protocolDCCP, protocolSCTP, protocolUDPLite:
		return !(s.IsOpaque() && oSees || o.IsOpaque() && sees)
	case protocolICMP, protocolICMPv6, protocolMobility:
		return !sees || !oSees || s.StartPort <= o.EndPort && o.StartPort <= s.EndPort
	}
	return !sees && !oSees
}

// PairUp returns of two payloads' selectors those that a packet can match, because
// they pair with one of the other payload; both are empty when none do. Selectors of
// unknown types pair with none, as RFC 7296 §2.9 has it.
func PairUp(a, b []Selector) (withB, withA []Selector) { return pairing(a, b), pairing(b, a) }

// pairing are the selectors of list that pair with one of others.
func pairing(list, others []Selector) []Selector {
	out := make([]Selector, 0, len(list))
	for _, s := range list {
		for _, o := range others {
			if s.Pairs(o) {
				out = append(out, s)
				break
			}
		}
	}
	return out
}
