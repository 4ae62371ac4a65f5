package sim

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// pieces cuts a packet into fragments of at most 48 octets behind the IP header.
func pieces(packet []byte, id uint32) [][]byte {
	const most = 48
	var src, dst netip.Addr
	var protocol uint8
	headerBytes := header.IPv4MinimumSize
	if header.IPVersion(packet) == header.IPv6Version {
		headerBytes = header.IPv6MinimumSize
		h := header.IPv6(packet)
		src, dst, protocol = netip.AddrFrom16(h.SourceAddress().As16()), netip.AddrFrom16(h.DestinationAddress().As16()), h.NextHeader()
	} else {
		h := header.IPv4(packet)
		src, dst, protocol = netip.AddrFrom4(h.SourceAddress().As4()), netip.AddrFrom4(h.DestinationAddress().As4()), h.Protocol()
	}
	payload := packet[headerBytes:]
	var all [][]byte
	for at := 0; at < len(payload); at += most {
		end := min(at+most, len(payload))
		more := end < len(payload)
		if src.Is6() {
			f := make([]byte, 8, 8+most)
			f[0] = protocol
			binary.BigEndian.PutUint16(f[2:], uint16(at))
			if more {
				f[3] |= 1
			}
			binary.BigEndian.PutUint32(f[4:], id)
			all = append(all, ip(src, dst, header.IPv6FragmentHeader, append(f, payload[at:end]...)))
			continue
		}
		b := make([]byte, header.IPv4MinimumSize, header.IPv4MinimumSize+most)
		fields := header.IPv4Fields{
			TotalLength: uint16(header.IPv4MinimumSize + end - at), TTL: 64, Protocol: protocol, ID: uint16(id), FragmentOffset: uint16(at),
			SrcAddr: tcpip.AddrFrom4(src.As4()), DstAddr: tcpip.AddrFrom4(dst.As4()),
		}
		if more {
			fields.Flags = header.IPv4FlagMoreFragments
		}
		header.IPv4(b).Encode(&fields)
		all = append(all, append(b, payload[at:end]...))
	}
	return all
}

// betweenGateways says whether both addresses are those of the tests' gateways.
func betweenGateways(s *sight) bool {
	gateways := []netip.Addr{gwA, gwB, peer6, netip.MustParseAddr("2001:db8:3::1")}
	return slices.Contains(gateways, s.src) && slices.Contains(gateways, s.dst)
}

// TestNoCleartextFragments: what a later fragment belongs to is what its packet's first
// one shows, wherever and whenever that was seen. With a policy for everything, the
// gateway's own IKE and ESP in fragments are no alarm, all else is.
func TestNoCleartextFragments(t *testing.T) {
	own6 := netip.MustParseAddr("2001:db8:3::1")
	long := strings.Repeat("x", 200)
	espOver := func(src, dst netip.Addr) []byte {
		return ip(src, dst, protocolESP, append([]byte{0, 0, 0, 9, 0, 0, 0, 1}, long...))
	}
	inUDP := func(src, dst netip.Addr) []byte {
		return udp(src, dst, 4500, 4500, append([]byte{0, 0, 0, 9, 0, 0, 0, 1}, long...))
	}
	for name, test := range map[string]struct {
		packet []byte
		pass   bool
	}{
		"own ESP":                {espOver(gwA, gwB), true},
		"own ESP over IPv6":      {espOver(own6, peer6), true},
		"own ESP in UDP":         {inUDP(gwA, gwB), true},
		"own ESP in UDP, IPv6":   {inUDP(own6, peer6), true},
		"own IKE":                {ikePacket(t, gwA, gwB, 500, authRequest(), long), true},
		"own IKE, IPv6":          {ikePacket(t, own6, peer6, 500, authRequest(), long), true},
		"own IKE on 4500":        {ikePacket(t, gwA, gwB, 4500, authRequest(), long), true},
		"another's ESP":          {espOver(hostA, gwB), true},
		"another's ESP in UDP":   {inUDP(gwB, gwA), true},
		"a host's at its port":   {inUDP(hostA, hostB), false},
		"another's IKE":          {ikePacket(t, hostA, gwB, 500, authRequest(), long), false},
		"another's IKE, IPv6":    {ikePacket(t, host6, peer6, 500, authRequest(), long), false},
		"another's UDP":          {udp(hostA, hostB, 5000, 6000, []byte(long)), false},
		"another's UDP, IPv6":    {udp(host6, peer6, 5000, 6000, []byte(long)), false},
		"own UDP":                {udp(gwA, gwB, 5000, 6000, []byte(long)), false},
		"own UDP to port of IKE": {udp(gwA, gwB, 5000, 4500, []byte(long)), true}, // says of itself that it is ESP in UDP
		"own ping":               {ip(gwA, gwB, protocolICMP, append([]byte{8, 0, 0, 0, 0, 1, 0, 1}, long...)), false},
	} {
		everything := []wire.Selector{
			wire.PrefixSelector(netip.MustParsePrefix("0.0.0.0/0"), 0, 0, 65535), wire.PrefixSelector(netip.MustParsePrefix("::/0"), 0, 0, 65535),
		}
		c := testInvariantConfig()
		c.policies[nodeA] = []policy{{connection: "c", child: "all", local: everything, remote: everything}}
		leave := func(i *clearInvariant, b []byte, at time.Duration) {
			s := see(t, b)
			i.observe(&sighted{now: at, node: nodeA, direction: impair.Up, own: s.src == gwA || s.src == own6, tunnelEnds: betweenGateways(s), packet: s})
		}
		all := pieces(test.packet, 77)
		verdict := func(t *testing.T, i *clearInvariant, violations int) {
			t.Helper()
			got := i.finish(time.Hour)
			if test.pass {
				violations = 0
			}
			if got.Pass != test.pass || int(got.Count) != violations {
				t.Errorf("%d violations, want %d: %s", got.Count, violations, got.Why)
			}
		}
		t.Run(name, func(t *testing.T) {
			i := newClearInvariant(c)
			for _, b := range all {
				leave(i, b, time.Second)
			}
			verdict(t, i, len(all))
		})
		t.Run(name+", the last ahead", func(t *testing.T) {
			i := newClearInvariant(c)
			for n := range all {
				leave(i, all[len(all)-1-n], time.Second)
			}
			verdict(t, i, len(all))
		})
		t.Run(name+", the first seen elsewhere", func(t *testing.T) {
			i := newClearInvariant(c)
			first := see(t, all[0])
			i.observe(&sighted{now: time.Second, node: nodeB, direction: impair.Up, tunnelEnds: betweenGateways(first), packet: first})
			for _, b := range all[1:] {
				leave(i, b, 2*time.Second)
			}
			verdict(t, i, len(all)-1)
		})
	}
}

// TestNoCleartextFragmentsAlone: a later fragment without a first one is what it looks
// like, unless the first may still come.
func TestNoCleartextFragmentsAlone(t *testing.T) {
	long := []byte(strings.Repeat("x", 200))
	plain := pieces(udp(hostA, hostB, 5000, 6000, long), 1)
	for name, test := range map[string]struct {
		end, before time.Duration // of the run; how long before it the fragment left
		first       []byte        // seen a minute earlier, at another node
		hosts       bool          // both ends are hosts that run no IKE
		violation   string
	}{
		"long ago":                      {end: time.Minute, before: 2 * time.Second, violation: "gw-a put a packet from 10.1.0.2 to 10.2.0.2 (protocol 17, 68 bytes) on the wire in clear"},
		"just now":                      {end: time.Minute, before: 500 * time.Millisecond},
		"behind the first of another":   {end: time.Minute, before: 2 * time.Second, first: pieces(udp(hostA, hostB, 4500, 4500, long), 2)[0], violation: "in clear"},
		"behind one of ESP in UDP":      {end: time.Minute, before: 2 * time.Second, first: pieces(udp(hostA, hostB, 4500, 4500, long), 1)[0]},
		"behind one between hosts":      {end: time.Minute, before: 2 * time.Second, first: pieces(udp(hostA, hostB, 4500, 4500, long), 1)[0], hosts: true, violation: "in clear"},
		"behind one that is outdated":   {end: time.Hour, before: 2 * time.Second, first: pieces(udp(hostA, hostB, 4500, 4500, long), 1)[0], violation: "in clear"},
		"behind one of its own traffic": {end: time.Minute, before: 2 * time.Second, first: plain[0], violation: "in clear"},
	} {
		t.Run(name, func(t *testing.T) {
			i := newClearInvariant(testInvariantConfig())
			if test.first != nil {
				i.observe(&sighted{now: time.Second, node: nodeB, direction: impair.Up, tunnelEnds: !test.hosts, packet: see(t, test.first)})
			}
			i.observe(&sighted{now: test.end - test.before, node: nodeA, direction: impair.Up, packet: see(t, plain[2])})
			got := i.finish(test.end)
			if got.Pass != (test.violation == "") || !strings.Contains(got.Why, test.violation) {
				t.Errorf("%q, want %q", got.Why, test.violation)
			}
		})
	}
}

// TestNoCleartextFragmentsByPort: a policy that selects by ports is about all fragments
// of its traffic and about none of others.
func TestNoCleartextFragmentsByPort(t *testing.T) {
	c := testInvariantConfig()
	dns := []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("10.2.0.0/16"), protocolUDP, 53, 53)}
	c.policies[nodeA] = []policy{{connection: "to-b", child: "dns", local: tsA, remote: dns}}
	long := []byte(strings.Repeat("x", 200))
	for port, violations := range map[uint16]uint64{53: 5, 54: 0} {
		i := newClearInvariant(c)
		for _, b := range pieces(udp(hostA, hostB, 5000, port, long), 1) {
			i.observe(&sighted{now: time.Second, node: nodeA, direction: impair.Up, packet: see(t, b)})
		}
		if got := i.finish(time.Hour); got.Count != violations {
			t.Errorf("port %d: %d violations, want %d: %s", port, got.Count, violations, got.Why)
		}
	}
}

// TestNoCleartextFragmentsBounded: neither table grows beyond its limit.
func TestNoCleartextFragmentsBounded(t *testing.T) {
	i := newClearInvariant(testInvariantConfig())
	long := []byte(strings.Repeat("x", 200))
	for id := range uint32(firstsMax + 100) {
		b := pieces(udp(hostA, hostB, 5000, 6000, long), id)
		i.observe(&sighted{now: time.Second, node: nodeB, direction: impair.Down, packet: see(t, b[0])})
	}
	for id := range uint32(fragmentsWaitingMax + 100) {
		b := pieces(udp(hostA, hostB, 5000, 6000, long), id)
		b[1][4] ^= 0x80 // of another packet
		i.observe(&sighted{now: 2 * time.Second, node: nodeA, direction: impair.Up, packet: see(t, b[1])})
	}
	if len(i.firsts.known) != firstsMax || len(i.firsts.order) != firstsMax || len(i.waiting) > fragmentsWaitingMax {
		t.Errorf("%d and %d first fragments, %d waiting; want %d, %d and at most %d", len(i.firsts.known), len(i.firsts.order), len(i.waiting), firstsMax, firstsMax, fragmentsWaitingMax)
	}
}

// TestNoCleartextWideArea: what came out of a tunnel does not leave in clear by an
// interface that carries the node's tunnels, unless it is delivered there.
func TestNoCleartextWideArea(t *testing.T) {
	const wan, lan, other = 0, 1, 2
	sa := func(change func(*installed)) *installed {
		i := with(child(nodeA, 1, 1), func(i *installed) {
			i.policy.local = []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("10.0.0.0/8"), 0, 0, 65535)}
		})
		if change != nil {
			change(i)
		}
		return i
	}
	// From behind the peer, to a host of the network on the far side and of the near one.
	inner := udp(hostB, netip.MustParseAddr("10.3.0.9"), 5000, 6000, []byte("x"))
	toLAN := udp(hostB, hostA, 5000, 6000, []byte("x"))
	toWAN := udp(hostB, netip.MustParseAddr("198.51.100.99"), 5000, 6000, []byte("x"))
	come := func(iface int, packet []byte) observation {
		return &opened{now: time.Second, by: association{node: nodeA, ordinal: 1}, spi: 0xa01, sequence: 1, iface: iface, inner: see(t, packet).traffic()}
	}
	leave := func(iface int, packet []byte) observation {
		s := see(t, packet)
		return &sighted{now: time.Second, node: nodeA, iface: iface, direction: impair.Up, own: s.src == gwA, packet: s}
	}
	everything := func(i *installed) {
		i.policy.local = []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("0.0.0.0/0"), 0, 0, 65535)}
	}
	const why = "gw-a put a packet from 10.2.0.2 to "
	for name, test := range map[string]invariantTest{
		"out where it came in": {observations: []observation{sa(nil), come(wan, inner), leave(wan, inner)},
			violation: why + "10.3.0.9 (protocol 17, 29 bytes) on the wire in clear by its wide-area side, though it came protected, by child net of connection to-b"},
		"out where another tunnel runs": {observations: []observation{sa(nil), come(wan, inner), leave(other, esp(gwA, hostA, 1, 1)), leave(other, inner)}, violation: why},
		"out where another negotiates": {observations: []observation{sa(nil), come(wan, inner), leave(other, ikePacket(t, gwA, hostA, 500, authRequest(), "x")), leave(other, inner)},
			violation: why},
		"into the inside, where another tunnel runs": {observations: []observation{sa(nil), come(wan, inner), leave(lan, esp(gwA, hostA, 1, 1)), leave(lan, inner)}},
		"into what a tunnel for everything leaves open": {
			observations: []observation{sa(everything), come(wan, inner), leave(lan, esp(gwA, hostA, 1, 1)), leave(lan, inner)}, violation: why},
		"into a network that is named in part": {
			observations: []observation{sa(func(i *installed) {
				i.policy.local = []wire.Selector{wire.PrefixSelector(netip.MustParsePrefix("10.1.0.0/17"), 0, 0, 65535)}
			}), come(wan, inner), leave(lan, esp(gwA, hostA, 1, 1)), leave(lan, inner)}, violation: why},
		"out where another asks in vain": {observations: []observation{sa(nil), come(wan, inner), leave(lan, ikePacket(t, gwA, hostA, 500, initRequest(), "x")), leave(lan, inner)}},
		"into another tunnel":            {observations: []observation{sa(nil), come(wan, inner), leave(wan, esp(gwA, gwB, 1, 1))}},
		"out on the inside":              {observations: []observation{sa(nil), come(wan, inner), leave(lan, inner)}},
		"to the network inside, where another tunnel runs": {
			observations: []observation{sa(nil), come(wan, toLAN), leave(lan, esp(gwA, hostA, 1, 1)), leave(lan, toLAN)}},
		"through one arm, to the network that it protects": {
			observations: []observation{sa(func(i *installed) { i.policy.local = tsA }), come(lan, toLAN), leave(lan, toLAN)}},
		"through one arm, to beyond it": {
			observations: []observation{sa(nil), come(lan, inner), leave(lan, inner)}, violation: why},
		"to a host outside, out of a tunnel for everything": {observations: []observation{sa(everything), come(wan, toWAN), leave(wan, toWAN)}, violation: why + "198.51.100.99"},
		"other traffic than came out":                       {observations: []observation{sa(nil), come(wan, inner), leave(wan, udp(hostB, gwB, 1, 2, nil))}},
		"what nobody has opened":                            {observations: []observation{sa(nil), come(wan, toLAN), leave(wan, inner)}},
		"once the SA is gone": {observations: []observation{sa(nil), come(wan, inner),
			&removed{by: association{node: nodeA, ordinal: 1}, spiIn: 0xa01, spiOut: 0xb01}, leave(wan, inner)}},
		"a later fragment of it": {observations: []observation{sa(nil), come(wan, inner), leave(wan, pieces(udp(hostB, netip.MustParseAddr("10.3.0.9"), 5000, 6000, make([]byte, 100)), 1)[1])}},
		"all fragments of it": {observations: []observation{sa(nil), come(wan, inner), leave(lan, pieces(udp(hostB, netip.MustParseAddr("10.3.0.9"), 5000, 6000, make([]byte, 100)), 1)[0]),
			leave(wan, pieces(udp(hostB, netip.MustParseAddr("10.3.0.9"), 5000, 6000, make([]byte, 100)), 1)[1])}, violation: why},
	} {
		t.Run(name, func(t *testing.T) {
			c := testInvariantConfig()
			c.networks = [][][]netip.Prefix{{{netip.MustParsePrefix("198.51.100.0/24")}, {netip.MustParsePrefix("10.1.0.0/16")}, {netip.MustParsePrefix("203.0.113.0/24")}}, {}}
			i := newClearInvariant(c)
			for _, o := range test.observations {
				i.observe(o)
			}
			got := i.finish(time.Hour)
			if got.Pass != (test.violation == "") || !strings.Contains(got.Why, test.violation) {
				t.Errorf("%q, want %q", got.Why, test.violation)
			}
		})
	}
}
