package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike/wire"
)

// segment is a TCP segment in a packet.
func segment(src, dst string, sport, dport uint16, seq uint32, flags header.TCPFlags, payload []byte) []byte {
	b := make([]byte, header.TCPMinimumSize+len(payload))
	header.TCP(b).Encode(&header.TCPFields{
		SrcPort: sport, DstPort: dport, SeqNum: seq, AckNum: 1, DataOffset: header.TCPMinimumSize, Flags: flags, WindowSize: 65535,
	})
	copy(b[header.TCPMinimumSize:], payload)
	return ipv4(src, dst, 6, b)
}

// framed puts a message into the stream (RFC 9329 §3).
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message)+2)), message...)
}

// TestTCP takes IKE and ESP out of a stream that is cut anywhere and arrives in
// any order, on port 4500 and on another (RFC 9329).
func TestTCP(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	sa, row := outbound(t, 0x1000, "aes256gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside"))))
	if err != nil {
		t.Fatal(err)
	}
	stream := bytes.Join([][]byte{
		[]byte(tcpPrefix),
		framed(marked(p.message(wire.ExchangeIKESAInit, 0, false, &wire.Nonce{Data: p.ni}))),
		framed(marked(p.sealed(wire.ExchangeIKEAuth, 1, false, fqdn(wire.PayloadIDi, "a.example")))),
		framed(packet),
	}, nil)
	want := []string{"ike Nonce ", "ike SK IDi ok", "esp  ok"}
	for _, port := range []uint16{4500, 443} {
		t.Run(fmt.Sprint(port), func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				packets := [][]byte{segment(alice, bob, 40000, port, 999, header.TCPFlagSyn, nil)}
				var data [][]byte
				for at := 0; at < len(stream); {
					n := rapid.IntRange(6, 200).Draw(rt, "octets")
					if at == 0 && port != 4500 {
						n = max(n, len(tcpPrefix)) // the prefix tells what the connection is
					}
					end := min(at+n, len(stream))
					data = append(data, segment(alice, bob, 40000, port, 1000+uint32(at), header.TCPFlagAck, stream[at:end]))
					at = end
				}
				rest := rapid.Permutation(data[1:]).Draw(rt, "order")
				packets = append(append(packets, data[0]), rest...)
				packets = append(packets, rest...) // everything once more
				lines, d := decodePackets(t, tables(p.table(false), row), packets...)
				var got []string
				for _, l := range lines {
					if l.Kind != "other" {
						got = append(got, fmt.Sprintf("%s %s %s", l.Kind, chain(l), l.ICV))
						if l.Transport != "tcp" || l.Src != alice || l.DstPort != int(port) {
							rt.Errorf("line: %+v", l)
						}
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					rt.Errorf("messages (-want +got):\n%s", diff)
				}
				if !d.Stats().Clean() {
					rt.Errorf("stats %+v", d.Stats())
				}
			})
		})
	}
}

// TestTCPFromTheMiddle finds the next message of a connection whose beginning is
// not in the capture.
func TestTCPFromTheMiddle(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	tail := bytes.Repeat([]byte{0xee}, 50)
	message := framed(marked(p.sealed(wire.ExchangeInformational, 5, false)))
	lines, _ := decodePackets(t, tables(p.table(false), ""),
		segment(alice, bob, 40000, 4500, 5000, header.TCPFlagAck, tail),
		segment(alice, bob, 40000, 4500, 5050, header.TCPFlagAck, message))
	if len(lines) != 2 || lines[0].Kind != "other" || lines[1].Kind != "ike" || lines[1].ICV != "ok" {
		t.Errorf("lines: %+v", lines)
	}
}

// TestTCPMalformed names a length that cannot be, and segments that are cut.
func TestTCPMalformed(t *testing.T) {
	lines, _ := decodePackets(t, nil,
		segment(alice, bob, 40000, 4500, 999, header.TCPFlagSyn, nil),
		segment(alice, bob, 40000, 4500, 1000, header.TCPFlagAck, []byte(tcpPrefix+"\x00\x01xxxx")),
		ipv4(alice, bob, 6, make([]byte, 10)),
		segment(alice, bob, 40000, 80, 1, header.TCPFlagAck, []byte("GET /")))
	if len(lines) != 4 || lines[1].Error == nil || lines[1].Error.Field != "Length" || lines[2].Error == nil || lines[3].Note != "TCP" || lines[3].Error != nil {
		t.Errorf("lines: %+v", lines)
	}
}

// TestTCPConnectionsAreBounded: connections without end leave a table of fixed size.
func TestTCPConnectionsAreBounded(t *testing.T) {
	d := NewDecoder(Options{}, nil)
	for i := range 3 * tcpStreamsMax {
		src := fmt.Sprintf("10.%d.%d.1", i>>8&255, i&255)
		f := Frame{Number: uint64(i + 1), Time: start, Link: 101, Data: segment(src, bob, uint16(1024+i>>16), 4500, 1, header.TCPFlagSyn, nil)}
		f.Length = len(f.Data)
		if err := d.Frame(f); err != nil {
			t.Fatal(err)
		}
		if d.tcp.open > tcpStreamsMax {
			t.Fatalf("%d connections are kept", d.tcp.open)
		}
	}
}
