package decode

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestNotOurs: what others send from or to our ports is named as what it is and is
// no malformed IKE, while IKE that is malformed still is.
func TestNotOurs(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	message := p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni})
	dns := append([]byte{0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, "\x07example\x03com\x00\x00\x01\x00\x01\x00\x00\x00"...)
	ntp := append([]byte{0x24}, make([]byte, 47)...)
	guard := append([]byte{1, 0, 0, 0}, bytes.Repeat([]byte{5}, 144)...)
	stun := append([]byte{0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}, make([]byte, 20)...)
	for _, c := range []struct {
		name   string
		packet []byte
		kind   string
		note   string
		clean  bool
	}{
		{"a keepalive on 500", udp(500, 500, []byte{0xff}), "other", "NAT-keepalive on port 500", true},
		{"nothing on 500", udp(500, 500, nil), "other", "UDP without payload", true},
		{"nothing on 4500", udp(40000, 4500, nil), "other", "UDP without payload", true},
		{"a DNS answer to 500", udp(53, 500, dns), "other", "DNS on port 500, not IKE", true},
		{"a DNS question from 500", udp(500, 53, dns), "other", "DNS on port 500, not IKE", true},
		{"a DNS answer to 4500", udp(53, 4500, dns), "other", "DNS on port 4500, neither IKE nor ESP", true},
		{"an NTP answer to 500", udp(123, 500, ntp), "other", "NTP on port 500, not IKE", true},
		{"WireGuard on 500", udp(51000, 500, guard), "other", "UDP on port 500, by its shape a WireGuard handshake initiation, not IKE", true},
		{"STUN on 500", udp(51000, 500, stun), "other", "UDP on port 500, by its shape STUN (RFC 8489), not IKE", true},
		{"WireGuard on 4500", udp(51000, 4500, guard), "esp", "perhaps no ESP: by its shape a WireGuard handshake initiation", true},
		{"STUN on 4500", udp(51000, 4500, stun), "esp", "perhaps no ESP: by its shape STUN (RFC 8489)", true},
		{"IKE without a marker on 4500", udp(4500, 4500, message), "esp", "perhaps IKE without the non-ESP marker (RFC 3948 §2.2): it fits IKE_SA_INIT request 0", true},
		{"ESP on 4500", udp(4500, 4500, append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 1}, make([]byte, 144)...)), "esp", "", true},
		{"IKE from the port of another service", udp(53, 500, message), "ike", "", true},
		{"IKE on 4500 from the port of another service", udp(53, 4500, marked(message)), "ike", "", true},
		{"half a header of IKE", udp(500, 500, message[:20]), "ike", "", false},
		{"half a header of IKE behind a translator", udp(61234, 500, message[:20]), "ike", "", false},
		{"two octets on 500", udp(500, 500, []byte{0xff, 0xff}), "ike", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodePackets(t, nil, ipv4(alice, bob, 17, c.packet))
			if l := lines[0]; len(lines) != 1 || l.Kind != c.kind || l.Note != c.note || d.Stats().Clean() != c.clean {
				t.Errorf("%s %q, clean %t; want %s %q, %t: %+v", l.Kind, l.Note, d.Stats().Clean(), c.kind, c.note, c.clean, l.Error)
			}
		})
	}
}

// TestICMPErrors tells type, code, MTU and the packet that an error is about, in
// both families and inside ESP.
func TestICMPErrors(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	init := p.init()[0]
	esp := append([]byte{0xc0, 0xde, 0, 1, 0, 0, 0, 1}, make([]byte, 1192)...)
	icmp := func(kind, code byte, rest uint32, quote []byte) []byte {
		b := []byte{kind, code, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint32(b[4:], rest)
		return append(b, quote...)
	}
	four := func(b []byte) []byte { return ipv4(bob, alice, 1, b) }
	six := func(b []byte) []byte { return ipv6("2001:db8::9", "2001:db8::1", 58, b) }
	natt := ipv6("2001:db8::1", "2001:db8::2", 17, udp(4500, 4500, esp))
	fragment := cut(ipv6("2001:db8::1", "2001:db8::2", 17, udp(4500, 4500, esp)), 496)
	for _, c := range []struct {
		name   string
		packet []byte
		says   string
		mtu    int // -1 for none
		quoted map[string]any
	}{
		{"port unreachable, the whole message", four(icmp(3, 3, 0, init)), "ICMP destination unreachable, port unreachable, about 192.0.2.1:500 > 198.51.100.7:500 IKE_SA_INIT request 0", -1,
			map[string]any{"kind": "ike", "sport": 500.0, "exchange": "IKE_SA_INIT", "initiator_spi": "0102030405060708", "message_id": 0.0}},
		{"port unreachable, eight octets", four(icmp(3, 3, 0, init[:28])), "about 192.0.2.1:500 > 198.51.100.7:500 UDP", -1, map[string]any{"kind": "other", "sport": 500.0}},
		{"fragmentation needed", four(icmp(3, 4, 1400, ipv4(alice, bob, 50, esp)[:28])), "ICMP destination unreachable, fragmentation needed, MTU 1400, about 192.0.2.1 > 198.51.100.7 ESP 0xc0de0001 #1", 1400,
			map[string]any{"kind": "esp", "spi": "c0de0001", "seq": 1.0}},
		{"fragmentation needed by an old router", four(icmp(3, 4, 0, ipv4(alice, bob, 50, esp)[:28])), "fragmentation needed, MTU 0, about", 0, map[string]any{"kind": "esp", "spi": "c0de0001", "seq": 1.0}},
		{"time exceeded, ESP in UDP", four(icmp(11, 0, 0, ipv4(alice, bob, 17, udp(4500, 4500, esp))[:36])), "ICMP time exceeded, TTL exceeded in transit, about 192.0.2.1:4500 > 198.51.100.7:4500 ESP 0xc0de0001 #1", -1,
			map[string]any{"kind": "esp", "sport": 4500.0, "spi": "c0de0001", "seq": 1.0}},
		{"prohibited, IKE behind the marker", four(icmp(3, 13, 0, ipv4(alice, bob, 17, udp(4500, 4500, marked(init[28:]))))), "administratively prohibited, about 192.0.2.1:4500 > 198.51.100.7:4500 IKE_SA_INIT request 0", -1,
			map[string]any{"kind": "ike", "sport": 4500.0, "exchange": "IKE_SA_INIT", "initiator_spi": "0102030405060708", "message_id": 0.0}},
		{"AH", four(icmp(3, 2, 0, ipv4(alice, bob, 51, []byte{17, 4, 0, 0, 0, 0, 0x30, 1})[:28])), "protocol unreachable, about 192.0.2.1 > 198.51.100.7 AH 0x00003001", -1, map[string]any{"kind": "ah", "spi": "00003001"}},
		{"packet too big", six(icmp(2, 0, 1280, natt[:1200])), "ICMPv6 packet too big, MTU 1280, about [2001:db8::1]:4500 > [2001:db8::2]:4500 ESP 0xc0de0001 #1", 1280,
			map[string]any{"kind": "esp", "sport": 4500.0, "spi": "c0de0001", "seq": 1.0}},
		{"packet too big, the first fragment", six(icmp(2, 0, 1280, fragment[0])), "MTU 1280, about [2001:db8::1]:4500 > [2001:db8::2]:4500 ESP 0xc0de0001 #1", 1280,
			map[string]any{"kind": "esp", "sport": 4500.0, "spi": "c0de0001", "seq": 1.0}},
		{"packet too big, a later fragment", six(icmp(2, 0, 1280, fragment[1])), "MTU 1280, about 2001:db8::1 > 2001:db8::2 a later fragment of UDP", 1280, map[string]any{"kind": "other"}},
		{"no route", six(icmp(1, 0, 0, natt)), "ICMPv6 destination unreachable, no route, about [2001:db8::1]:4500", -1, map[string]any{"kind": "esp", "sport": 4500.0, "spi": "c0de0001", "seq": 1.0}},
		{"an error about nothing", four(icmp(3, 1, 0, nil)), "ICMP destination unreachable, host unreachable", -1, nil},
		{"an echo request", four(icmp(8, 0, 1, []byte("payload"))), "ICMP echo request", -1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodePackets(t, nil, c.packet)
			l := lines[0]
			if len(lines) != 1 || l.Kind != "other" || l.ICMP == nil || !strings.Contains(l.Note, c.says) || !d.Stats().Clean() {
				t.Fatalf("lines: %+v", lines)
			}
			mtu := -1
			if l.ICMP.MTU != nil {
				mtu = int(*l.ICMP.MTU)
			}
			if mtu != c.mtu {
				t.Errorf("MTU %d, want %d", mtu, c.mtu)
			}
			got := pick(l.ICMP.Quoted, "kind", "sport", "spi", "seq", "exchange", "initiator_spi", "message_id")
			if diff := cmp.Diff(c.quoted, got); diff != "" && (c.quoted != nil || len(got) > 0) {
				t.Errorf("quoted (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("half a header", func(t *testing.T) {
		lines, _ := decodePackets(t, nil, four([]byte{3, 3, 0, 0}))
		if l := lines[0]; l.Error == nil || l.Error.Payload != "ICMP" {
			t.Errorf("line: %+v", l)
		}
	})
	t.Run("inside ESP", func(t *testing.T) {
		sa, row := outbound(t, 0x1000, "aes128-sha256", "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "")
		packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 1, icmp(3, 4, 1280, ipv4("10.2.0.1", "10.1.0.9", 6, make([]byte, 20)))))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := shown(t, loadKeys(t, tables("", row)), ipv4(alice, bob, 50, packet))
		if !strings.Contains(text[0], "ICMP destination unreachable, fragmentation needed, MTU 1280, about 10.2.0.1:0 > 10.1.0.9:0 TCP") {
			t.Errorf("line: %s", text[0])
		}
	})
}

// TestUnread: link types that are not read, and tunnels, are named and counted, and
// nothing else is.
func TestUnread(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	inner := p.init()[0]
	ether := func(etherType uint16, b []byte) []byte {
		return append(binary.BigEndian.AppendUint16(make([]byte, 12), etherType), b...)
	}
	for _, c := range []struct {
		name  string
		link  layers.LinkType
		frame []byte
		want  string
	}{
		{"enc", 109, make([]byte, 64), "link type 109 (OpenBSD enc)"},
		{"NFLOG", 239, make([]byte, 64), "link type 239 (NFLOG)"},
		{"802.11", 105, make([]byte, 64), "link type 105 (802.11)"},
		{"radiotap", 127, make([]byte, 64), "link type 127 (802.11 with radiotap header)"},
		{"private", 150, make([]byte, 64), "link type 150 (private use 3)"},
		{"no name", 7777, make([]byte, 64), "link type 7777"},
		{"GRE", 101, ipv4(alice, bob, 47, append([]byte{0, 0, 8, 0}, inner...)), "GRE"},
		{"GRE in IPv6", 101, ipv6("2001:db8::1", "2001:db8::2", 47, append([]byte{0, 0, 8, 0}, inner...)), "GRE"},
		{"IPComp", 101, ipv4(alice, bob, 108, make([]byte, 40)), "IPComp"},
		{"VXLAN", 101, ipv4(alice, bob, 17, udp(40000, 4789, append([]byte{8, 0, 0, 0, 0, 0, 5, 0}, ether(0x0800, inner)...))), "VXLAN"},
		{"GENEVE", 101, ipv4(alice, bob, 17, udp(40000, 6081, append([]byte{0, 0, 0x65, 0x58, 0, 0, 5, 0}, ether(0x0800, inner)...))), "GENEVE"},
		{"GTP-U", 101, ipv4(alice, bob, 17, udp(2152, 2152, append([]byte{0x30, 0xff, 0, 100, 0, 0, 0, 1}, inner...))), "GTP-U"},
		{"L2TP", 101, ipv4(alice, bob, 17, udp(1701, 1701, append([]byte{0, 2, 0, 1, 0, 2, 0xff, 3, 0, 0x21}, inner...))), "L2TP"},
		{"MPLS", 1, ether(0x8847, append([]byte{0, 1, 1, 64}, inner...)), "MPLS"},
		{"MPLS in a VLAN", 1, ether(0x8100, append([]byte{0, 5, 0x88, 0x47, 0, 1, 1, 64}, inner...)), "MPLS"},
		{"MPLS in PPPoE", 1, ether(0x8864, append([]byte{0x11, 0, 0, 1, 0, 40, 2, 0x81, 0, 1, 1, 64}, inner...)), "MPLS"},
		{"HSR", 1, ether(0x892f, append([]byte{0, 52, 0, 1, 8, 0}, inner...)), "HSR"},
		{"E-TAG", 1, ether(0x893f, append([]byte{0, 0, 0, 1, 0, 0, 8, 0}, inner...)), "802.1BR E-TAG"},
		{"GUE", 101, ipv4(alice, bob, 17, udp(40000, 6080, append([]byte{0, 4, 0, 0}, inner...))), "GUE"},
		{"GUE of version 1", 101, ipv4(alice, bob, 17, udp(40000, 6080, inner)), "GUE"},
		{"no GUE on its port", 101, ipv4(alice, bob, 17, udp(40000, 6080, bytes.Repeat([]byte{0xff}, 20))), ""},
		{"another protocol in PPPoE", 1, ether(0x8864, append([]byte{0x11, 0, 0, 1, 0, 40, 0xc0, 0x21}, inner...)), ""},
		{"MACsec", 1, ether(0x88e5, make([]byte, 50)), "MACsec"},
		{"no tunnel on a tunnel's port", 101, ipv4(alice, bob, 17, udp(40000, 4789, make([]byte, 20))), ""},
		{"ARP", 1, ether(0x0806, make([]byte, 28)), ""},
		{"TCP", 101, ipv4(alice, bob, 6, make([]byte, 20)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodeBytes(t, pcapOf(t, c.link, c.frame, c.frame), nil)
			var want []Unread
			if c.want != "" {
				want = []Unread{{c.want, 2}}
			}
			if diff := cmp.Diff(want, d.Unread()); diff != "" || lines[0].Unread != c.want || !strings.HasPrefix(lines[0].Note, c.want) {
				t.Errorf("line %+v, unread (-want +got):\n%s", lines[0], diff)
			}
		})
	}
}
