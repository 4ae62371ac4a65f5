package decode

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestLinkTypes finds the same message behind every link header.
func TestLinkTypes(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	packet := p.init()[0]
	packet6 := ipv6("2001:db8::1", "2001:db8::2", 17, udp(500, 500, packet[28:]))
	mac := make([]byte, 12)
	ether := func(etherTypes ...uint16) []byte {
		b := bytes.Clone(mac)
		for i, e := range etherTypes {
			b = binary.BigEndian.AppendUint16(b, e)
			if i < len(etherTypes)-1 {
				b = append(b, 0, 42) // the tag's VLAN
			}
		}
		return b
	}
	for _, c := range []struct {
		name   string
		link   layers.LinkType
		header []byte
		tail   []byte
		six    bool
	}{
		{"Ethernet", layers.LinkTypeEthernet, ether(0x0800), nil, false},
		{"Ethernet, padded", layers.LinkTypeEthernet, ether(0x0800), make([]byte, 9), false},
		{"Ethernet, IPv6", layers.LinkTypeEthernet, ether(0x86dd), nil, true},
		{"VLAN", layers.LinkTypeEthernet, ether(0x8100, 0x0800), nil, false},
		{"VLAN in VLAN", layers.LinkTypeEthernet, ether(0x88a8, 0x8100, 0x86dd), nil, true},
		{"VLAN of 0x9200", layers.LinkTypeEthernet, ether(0x9200, 0x0800), nil, false},
		{"PPPoE", layers.LinkTypeEthernet, append(ether(0x8864), 0x11, 0, 0, 1, 0, 0, 0, 0x21), nil, false},
		{"SNAP", layers.LinkTypeEthernet, append(ether(0x0100), 0xaa, 0xaa, 3, 0, 0, 0, 8, 0), nil, false},
		{"raw", layers.LinkTypeRaw, nil, nil, false},
		{"raw, IPv6", layers.LinkTypeRaw, nil, nil, true},
		{"raw as BSD numbers it", 12, nil, nil, false},
		{"IPv4", layers.LinkTypeIPv4, nil, nil, false},
		{"IPv6", layers.LinkTypeIPv6, nil, nil, true},
		{"Linux cooked", layers.LinkTypeLinuxSLL, append(make([]byte, 14), 8, 0), nil, false},
		{"Linux cooked 2", layers.LinkTypeLinuxSLL2, append([]byte{8, 0}, make([]byte, 18)...), nil, false},
		{"null, little endian", layers.LinkTypeNull, []byte{2, 0, 0, 0}, nil, false},
		{"null, big endian, IPv6 of macOS", layers.LinkTypeNull, []byte{0, 0, 0, 30}, nil, true},
		{"loop", layers.LinkTypeLoop, []byte{0, 0, 0, 2}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inside, src, dst := packet, alice, bob
			if c.six {
				inside, src, dst = packet6, "2001:db8::1", "2001:db8::2"
			}
			frame := append(append(bytes.Clone(c.header), inside...), c.tail...)
			lines, d := decodeBytes(t, pcapOf(t, c.link, frame), nil)
			want := []line{{
				Frame: 1, Time: "2026-01-02T03:04:05.000000000Z", Kind: "ike", Src: src, Dst: dst, SrcPort: 500, DstPort: 500,
				Transport: "udp", Bytes: len(packet) - 28, Version: "2.0", InitiatorSPI: "0102030405060708", ResponderSPI: "0000000000000000",
				Exchange: "IKE_SA_INIT", Initiator: true, Payloads: []string{"SA", "KE", "Nonce"},
				Details: []string{"SA[IKE aes256gcm16-prfsha384-x25519]", "KE(x25519)", "Ni"},
			}}
			if diff := cmp.Diff(want, lines, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if !d.Stats().Clean() {
				t.Errorf("stats %+v", d.Stats())
			}
		})
	}
}

// TestOtherLinks names what is no IP packet, and what is cut in its link header.
func TestOtherLinks(t *testing.T) {
	for _, c := range []struct {
		name      string
		link      layers.LinkType
		frame     []byte
		note      string
		malformed string
	}{
		{"ARP", layers.LinkTypeEthernet, append(make([]byte, 12), 8, 6, 0, 1), "ARP", ""},
		{"LLC", layers.LinkTypeEthernet, append(make([]byte, 12), 0, 3, 0x42, 0x42, 3), "LLC", ""},
		{"another protocol", layers.LinkTypeEthernet, append(make([]byte, 12), 0x88, 0xcc), "EtherType 0x88cc", ""},
		{"a link type without IP", layers.LinkTypeLinuxUSB, make([]byte, 64), "link type 220", ""},
		{"half an Ethernet header", layers.LinkTypeEthernet, make([]byte, 7), "", "Ethernet"},
		{"half a tag", layers.LinkTypeEthernet, append(make([]byte, 12), 0x81, 0, 0), "", "VLAN tag"},
		{"tags without end", layers.LinkTypeEthernet, append(make([]byte, 12), bytes.Repeat([]byte{0x81, 0, 0, 1}, 40)...), "", "VLAN tag"},
		{"half a cooked header", layers.LinkTypeLinuxSLL, make([]byte, 15), "", "Linux cooked"},
		{"half a cooked 2 header", layers.LinkTypeLinuxSLL2, make([]byte, 19), "", "Linux cooked 2"},
		{"half a loopback header", layers.LinkTypeNull, make([]byte, 3), "", "loopback"},
		{"nothing", layers.LinkTypeRaw, []byte{}, "", "IP"},
		{"IP version 5", layers.LinkTypeRaw, []byte{0x50, 0, 0, 0}, "", "IP"},
		{"half an IPv4 header", layers.LinkTypeRaw, ipv4(alice, bob, 17, nil)[:19], "", "IPv4"},
		{"half an IPv6 header", layers.LinkTypeRaw, ipv6("::1", "::2", 17, nil)[:39], "", "IPv6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodeBytes(t, pcapOf(t, c.link, c.frame), nil)
			if len(lines) != 1 || lines[0].Kind != "other" || !strings.HasPrefix(lines[0].Note, c.note) {
				t.Fatalf("lines: %+v", lines)
			}
			where := ""
			if lines[0].Error != nil {
				where = lines[0].Error.Payload
			}
			if where != c.malformed || d.Stats().Clean() != (c.malformed == "") {
				t.Errorf("malformed %q, want %q", where, c.malformed)
			}
		})
	}
}

// TestExtensionHeaders finds UDP and ESP behind IPv6's extension headers.
func TestExtensionHeaders(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	message := udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}))
	option := func(next uint8, units int) []byte {
		return append([]byte{next, byte(units)}, make([]byte, 6+8*units)...)
	}
	for _, c := range []struct {
		name  string
		first uint8
		chain []byte
		kind  string
	}{
		{"hop by hop", 0, option(17, 0), "ike"},
		{"all of them", 0, bytes.Join([][]byte{option(60, 1), option(43, 0), option(44, 2), {60, 0, 0, 0, 1, 2, 3, 4}, option(17, 0)}, nil), "ike"},
		{"a whole packet with a fragment header", 44, []byte{17, 0, 0, 0, 9, 9, 9, 9}, "ike"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, _ := decodePackets(t, nil, ipv6("2001:db8::1", "2001:db8::2", c.first, append(bytes.Clone(c.chain), message...)))
			if len(lines) != 1 || lines[0].Kind != c.kind || chain(lines[0]) != "Nonce" {
				t.Errorf("lines: %+v", lines)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		lines, _ := decodePackets(t, nil, ipv6("2001:db8::1", "2001:db8::2", 60, []byte{17, 4, 0, 0}))
		if len(lines) != 1 || lines[0].Error == nil || lines[0].Error.Field != "extension header" {
			t.Errorf("lines: %+v", lines)
		}
	})
	t.Run("without end", func(t *testing.T) {
		lines, _ := decodePackets(t, nil, ipv6("2001:db8::1", "2001:db8::2", 60, bytes.Repeat([]byte{60, 0, 0, 0, 0, 0, 0, 0}, 100)))
		if len(lines) != 1 || lines[0].Error == nil || !strings.Contains(lines[0].Error.Reason, "more than 32") {
			t.Errorf("lines: %+v", lines)
		}
	})
}
