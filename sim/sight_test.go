package sim

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ikelab/ikelab/ike/wire"
)

func TestSight(t *testing.T) {
	message := ikeMessage(t, wire.Header{InitiatorSPI: wire.SPI{1}, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagInitiator}, "x")
	marked := append(make([]byte, nonESPMarkerBytes), message...)
	inUDP := []byte{0xc0, 0, 0, 1, 0, 0, 0, 1, 9, 9}
	fragment := ip(hostA, hostB, protocolUDP, []byte{0x12, 0x34, 0x56, 0x78, 0, 0, 0, 0})
	fragment[7] = 1 // fragment offset 8 octets
	fragment[5] = 7 // identification
	first := udp(gwA, gwB, 500, 500, message)
	first[5], first[6] = 7, 0x20 // more fragments
	fragment6 := func(offset byte, more byte) []byte {
		return ip(host6, peer6, 44, append([]byte{50, 0, offset >> 5, offset<<3 | more, 0, 1, 0, 7}, inUDP...))
	}
	later := append([]byte(nil), message...)
	later[17] = 0x50
	tests := map[string]struct {
		packet []byte
		want   sight
	}{
		"IKE in fragments":         {first, sight{src: gwA, dst: gwB, protocol: 17, srcPort: 500, dstPort: 500, portsKnown: true, ike: message, atIKE: message, partial: true, fragmentID: 7}},
		"UDP":                      {udp(hostA, hostB, 5000, 6000, []byte("x")), sight{src: hostA, dst: hostB, protocol: 17, srcPort: 5000, dstPort: 6000, portsKnown: true}},
		"UDP over IPv6":            {udp(host6, peer6, 5000, 6000, []byte("x")), sight{src: host6, dst: peer6, protocol: 17, srcPort: 5000, dstPort: 6000, portsKnown: true}},
		"IKE":                      {udp(gwA, gwB, 500, 500, message), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 500, dstPort: 500, portsKnown: true, ike: message, atIKE: message}},
		"a later IKE":              {udp(gwA, gwB, 500, 500, later), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 500, dstPort: 500, portsKnown: true, atIKE: later}},
		"IKE of another length":    {udp(gwA, gwB, 500, 500, append(message[:len(message):len(message)], 0)), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 500, dstPort: 500, portsKnown: true, atIKE: append(message[:len(message):len(message)], 0)}},
		"IKE on 4500":              {udp(gwA, gwB, 4500, 4500, marked), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 4500, dstPort: 4500, portsKnown: true, ike: message, atIKE: message}},
		"IKE cut short":            {udp(gwA, gwB, 500, 500, message[:20]), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 500, dstPort: 500, portsKnown: true}},
		"ESP in UDP":               {udp(gwA, gwB, 4500, 4500, inUDP), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 4500, dstPort: 4500, portsKnown: true, esp: inUDP}},
		"NAT keepalive":            {udp(gwA, gwB, 4500, 4500, []byte{0xff}), sight{src: gwA, dst: gwB, protocol: 17, srcPort: 4500, dstPort: 4500, portsKnown: true, keepalive: true}},
		"ESP":                      {ip(gwA, gwB, 50, inUDP), sight{src: gwA, dst: gwB, protocol: 50, esp: inUDP}},
		"ICMP":                     {ip(hostA, hostB, 1, []byte{8, 0, 1, 2}), sight{src: hostA, dst: hostB, protocol: 1, srcPort: 0x800, dstPort: 0x800, portsKnown: true, icmp: []byte{8, 0, 1, 2}}},
		"later fragment":           {fragment, sight{src: hostA, dst: hostB, protocol: 17, later: true, fragmentID: 7}},
		"first fragment over IPv6": {fragment6(0, 1), sight{src: host6, dst: peer6, protocol: 50, esp: inUDP, partial: true, fragmentID: 0x10007}},
		"later fragment over IPv6": {fragment6(8, 1), sight{src: host6, dst: peer6, protocol: 50, later: true, fragmentID: 0x10007}},
		"a fragment that is all":   {fragment6(0, 0), sight{src: host6, dst: peer6, protocol: 50, esp: inUDP}},
		"IPv6 behind hop-by-hop": {ip(host6, peer6, 0, append([]byte{17, 0, 1, 4, 0, 0, 0, 0}, udp(host6, peer6, 1, 2, nil)[40:]...)),
			sight{src: host6, dst: peer6, protocol: 17, srcPort: 1, dstPort: 2, portsKnown: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := *see(t, test.packet)
			got.inside = nil // what flows are known by; labs try it
			test.want.bytes = test.packet
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(sight{}), cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Errorf("seen (-want +got):\n%s", d)
			}
		})
	}
}

func TestSightRefusesWhatIsNoIP(t *testing.T) {
	for name, packet := range map[string][]byte{
		"nothing": nil, "IPv4 cut short": ip(hostA, hostB, 17, nil)[:19], "IPv6 cut short": ip(host6, peer6, 17, nil)[:39],
		"another version": {0x50, 0, 0, 0}, "a header of no length": append([]byte{0x40}, make([]byte, 30)...),
	} {
		var s sight
		if s.look(packet) {
			t.Errorf("%s was taken for %s > %s", name, s.src, s.dst)
		}
	}
}

func FuzzSight(f *testing.F) {
	f.Add(udp(hostA, hostB, 5000, 6000, []byte("x")))
	f.Add(udp(host6, peer6, 4500, 4500, []byte{0, 0, 0, 0, 1}))
	f.Add(icmpError(hostA, hostB, esp(gwA, gwB, 1, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sight
		if s.look(b) && (!s.src.IsValid() || !s.dst.IsValid() || s.src.Is4() != s.dst.Is4()) {
			t.Errorf("%x gave the addresses %v and %v", b, s.src, s.dst)
		}
		passesBy(&s)
	})
}

func TestSelects(t *testing.T) {
	prefix := func(p string, protocol uint8, from, to uint16) wire.Selector {
		return wire.PrefixSelector(netip.MustParsePrefix(p), protocol, from, to)
	}
	packet := see(t, udp(hostA, hostB, 5000, 53, nil))
	later := see(t, udp(hostA, hostB, 5000, 53, nil))
	later.portsKnown = false
	tests := map[string]struct {
		packet        *sight
		local, remote wire.Selector
		want          bool
	}{
		"both ends":         {packet, prefix("10.1.0.0/16", 0, 0, 65535), prefix("10.2.0.0/16", 0, 0, 65535), true},
		"wrong source":      {packet, prefix("10.3.0.0/16", 0, 0, 65535), prefix("10.2.0.0/16", 0, 0, 65535), false},
		"wrong destination": {packet, prefix("10.1.0.0/16", 0, 0, 65535), prefix("10.3.0.0/16", 0, 0, 65535), false},
		"the other way":     {packet, prefix("10.2.0.0/16", 0, 0, 65535), prefix("10.1.0.0/16", 0, 0, 65535), false},
		"port":              {packet, prefix("10.1.0.0/16", 17, 0, 65535), prefix("10.2.0.0/16", 17, 53, 53), true},
		"wrong port":        {packet, prefix("10.1.0.0/16", 17, 0, 65535), prefix("10.2.0.0/16", 17, 54, 60), false},
		"wrong protocol":    {packet, prefix("10.1.0.0/16", 6, 0, 65535), prefix("10.2.0.0/16", 6, 0, 65535), false},
		"no ports to see":   {later, prefix("10.1.0.0/16", 17, 0, 65535), prefix("10.2.0.0/16", 17, 53, 53), false},
		"opaque":            {later, prefix("10.1.0.0/16", 17, 0, 65535), prefix("10.2.0.0/16", 17, 65535, 0), true},
		"the other family":  {packet, prefix("::/0", 0, 0, 65535), prefix("::/0", 0, 0, 65535), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.packet.under([]wire.Selector{test.local}, []wire.Selector{test.remote}); got != test.want {
				t.Errorf("under %v to %v: %v, want %v", test.local, test.remote, got, test.want)
			}
		})
	}
}
