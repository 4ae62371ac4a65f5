package decode

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike/wire"
)

// cut cuts an IP packet into fragments of at most size octets of payload each, a
// multiple of eight.
func cut(packet []byte, size int) [][]byte {
	var out [][]byte
	if packet[0]>>4 == 4 {
		payload := packet[header.IPv4MinimumSize:]
		for at := 0; at < len(payload); at += size {
			end := min(at+size, len(payload))
			f := ipv4(alice, bob, packet[9], payload[at:end])
			field := uint16(at / 8)
			if end < len(payload) {
				field |= 0x2000
			}
			binary.BigEndian.PutUint16(f[4:], 77)
			binary.BigEndian.PutUint16(f[6:], field)
			out = append(out, f)
		}
		return out
	}
	payload := packet[header.IPv6MinimumSize:]
	for at := 0; at < len(payload); at += size {
		end := min(at+size, len(payload))
		fragment := []byte{packet[6], 0, 0, 0, 0, 0, 0, 77}
		field := uint16(at)
		if end < len(payload) {
			field |= 1
		}
		binary.BigEndian.PutUint16(fragment[2:], field)
		out = append(out, ipv6("2001:db8::1", "2001:db8::2", 44, append(fragment, payload[at:end]...)))
	}
	return out
}

// TestFragments puts a message together from fragments in any order, with some
// twice, in both IP versions; the completing frame has the record.
func TestFragments(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	message := udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}, &wire.VendorID{Data: make([]byte, 900)}))
	for name, packet := range map[string][]byte{
		"IPv4": ipv4(alice, bob, 17, message), "IPv6": ipv6("2001:db8::1", "2001:db8::2", 17, message),
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				pieces := cut(packet, 8*rapid.IntRange(3, 60).Draw(rt, "size"))
				order := rapid.Permutation(pieces).Draw(rt, "order")
				twice := rapid.IntRange(0, len(order)-1).Draw(rt, "twice")
				frames := append(order[:twice:twice], append([][]byte{order[twice]}, order[twice:]...)...)
				lines, d := decodeBytes(t, pcapOf(t, layers.LinkTypeRaw, frames...), nil)
				ike := 0
				for _, l := range lines {
					if l.Kind == "ike" {
						ike++
						if chain(l) != "Nonce V" || l.IPFragments != len(pieces) {
							rt.Errorf("frame %d: %+v", l.Frame, l)
						}
					} else if !strings.Contains(l.Note, "fragment of protocol 17") {
						rt.Errorf("frame %d: %+v", l.Frame, l)
					}
				}
				if ike != 1 || len(lines) != len(frames) || !d.Stats().Clean() {
					rt.Errorf("%d messages of %d fragments, %d lines", ike, len(frames), len(lines))
				}
				if d.reassembler.bytes != sum(d.reassembler) {
					rt.Errorf("%d octets counted, %d kept", d.reassembler.bytes, sum(d.reassembler))
				}
			})
		})
	}
}

func sum(r *reassembler) (n int) {
	r.waiting.each(func(_ fragmentKey, i *incomplete) {
		for _, p := range i.pieces {
			n += len(p.data) + pieceBytes
		}
	})
	return n
}

// TestHostileFragments are refused by name and forgotten.
func TestHostileFragments(t *testing.T) {
	packet := ipv4(alice, bob, 17, make([]byte, 200))
	pieces := cut(packet, 64)
	shifted := bytes.Clone(pieces[1])
	binary.BigEndian.PutUint16(shifted[6:], 0x2000|4) // overlaps the first
	odd := ipv4(alice, bob, 17, make([]byte, 13))
	binary.BigEndian.PutUint16(odd[6:], 0x2000)
	far := ipv4(alice, bob, 17, make([]byte, 64))
	binary.BigEndian.PutUint16(far[6:], 0x1fff)
	secondLast := bytes.Clone(pieces[2])
	binary.BigEndian.PutUint16(secondLast[6:], 16)
	empty := ipv4(alice, bob, 17, nil)
	binary.BigEndian.PutUint16(empty[6:], 0x2000|7)
	for _, c := range []struct {
		name   string
		frames [][]byte
		says   string
	}{
		{"without octets", [][]byte{empty}, "carries nothing"},
		{"overlapping", [][]byte{pieces[0], shifted}, "overlaps another fragment"},
		{"of no multiple of eight", [][]byte{odd}, "multiple of 8"},
		{"behind the end of a datagram", [][]byte{far}, "at most 65535"},
		{"with two ends", [][]byte{pieces[3], secondLast}, "two last fragments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines, d := decodePackets(t, nil, c.frames...)
			last := lines[len(lines)-1]
			if last.Error == nil || !strings.Contains(last.Error.Reason, c.says) {
				t.Errorf("last line: %+v", last)
			}
			if len(d.reassembler.waiting.entries) != 0 || d.reassembler.bytes != 0 {
				t.Errorf("%d datagrams and %d octets are kept", len(d.reassembler.waiting.entries), d.reassembler.bytes)
			}
		})
	}
}

// TestFragmentsAreBounded: first fragments of ever new datagrams fill a table of
// fixed size.
func TestFragmentsAreBounded(t *testing.T) {
	r := newReassembler()
	for i := range 3 * datagramsMax {
		g, m := parseIP(cut(ipv4(alice, bob, 17, make([]byte, 2000)), 1024)[0], 0)
		if m != nil {
			t.Fatal(m)
		}
		g.id = uint32(i)
		if _, _, _, m := r.add(1, uint64(i), start, &g); m != nil {
			t.Fatal(m)
		}
	}
	if len(r.waiting.entries) != datagramsMax || r.bytes != datagramsMax*(1024+pieceBytes) || r.bytes != sum(r) {
		t.Errorf("%d datagrams, %d octets", len(r.waiting.entries), r.bytes)
	}
}
