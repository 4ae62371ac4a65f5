package decode

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Ends of what the tests make up.
const (
	alice = "192.0.2.1"
	bob   = "198.51.100.7"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// pcapOf is a pcap file of frames, one millisecond apart.
func pcapOf(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := pcapgo.NewWriterNanos(&out)
	if err := w.WriteFileHeader(1<<18, link); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		info := gopacket.CaptureInfo{Timestamp: start.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(f), Length: len(f)}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// decodePackets decodes IP packets with the tables of a folder.
func decodePackets(t testing.TB, tables fstest.MapFS, packets ...[]byte) ([]line, *Decoder) {
	t.Helper()
	if tables == nil {
		return decodeBytes(t, pcapOf(t, layers.LinkTypeRaw, packets...), nil)
	}
	return decodeBytes(t, pcapOf(t, layers.LinkTypeRaw, packets...), tables)
}

// tables are key tables with rows.
func tables(ike, esp string) fstest.MapFS {
	folder := fstest.MapFS{}
	if ike != "" {
		folder[IKETable] = &fstest.MapFile{Data: []byte(ike)}
	}
	if esp != "" {
		folder[ESPTable] = &fstest.MapFile{Data: []byte(esp)}
	}
	return folder
}

// ipv4 puts an IPv4 header in front of a payload.
func ipv4(src, dst string, protocol uint8, payload []byte) []byte {
	b := make([]byte, header.IPv4MinimumSize+len(payload))
	header.IPv4(b).Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b)), TTL: 64, Protocol: protocol,
		SrcAddr: tcpip.AddrFrom4(netip.MustParseAddr(src).As4()), DstAddr: tcpip.AddrFrom4(netip.MustParseAddr(dst).As4()),
	})
	h := header.IPv4(b)
	h.SetChecksum(^h.CalculateChecksum())
	copy(b[header.IPv4MinimumSize:], payload)
	return b
}

// sentAgain is an IPv4 packet as its host sends it once more: with another
// identification.
func sentAgain(packet []byte, id uint16) []byte {
	b := bytes.Clone(packet)
	binary.BigEndian.PutUint16(b[4:], id)
	return b
}

// ipv6 puts an IPv6 header in front of a payload.
func ipv6(src, dst string, next uint8, payload []byte) []byte {
	b := make([]byte, header.IPv6MinimumSize+len(payload))
	header.IPv6(b).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(payload)), TransportProtocol: tcpip.TransportProtocolNumber(next), HopLimit: 64,
		SrcAddr: tcpip.AddrFrom16(netip.MustParseAddr(src).As16()), DstAddr: tcpip.AddrFrom16(netip.MustParseAddr(dst).As16()),
	})
	copy(b[header.IPv6MinimumSize:], payload)
	return b
}

// udp puts a UDP header without a checksum in front of a payload.
func udp(src, dst uint16, payload []byte) []byte {
	b := make([]byte, header.UDPMinimumSize+len(payload))
	header.UDP(b).Encode(&header.UDPFields{SrcPort: src, DstPort: dst, Length: uint16(len(b))})
	copy(b[header.UDPMinimumSize:], payload)
	return b
}

// marked puts the non-ESP marker in front of an IKE message.
func marked(message []byte) []byte {
	return append(wire.NonESPMarker[:len(wire.NonESPMarker):len(wire.NonESPMarker)], message...)
}

// peers are two ends with an IKE SA whose keys are known.
type peers struct {
	t          testing.TB
	chosen     suite.Proposal
	ni, nr     []byte
	spiI, spiR wire.SPI
	keys       suite.IKEKeys
	iv         uint64
}

// newPeers derives an IKE SA's keys from a made-up secret.
func newPeers(t testing.TB, proposal string) *peers {
	t.Helper()
	parsed, err := suite.ParseProposals(suite.ProtocolIKE, proposal)
	if err != nil {
		t.Fatal(err)
	}
	p := &peers{
		t: t, chosen: parsed[0], ni: bytes.Repeat([]byte{0x11}, 32), nr: bytes.Repeat([]byte{0x22}, 32),
		spiI: wire.SPI{1, 2, 3, 4, 5, 6, 7, 8}, spiR: wire.SPI{9, 10, 11, 12, 13, 14, 15, 16},
	}
	if _, p.keys, err = suite.DeriveIKE(p.chosen, p.ni, p.nr, bytes.Repeat([]byte{0x33}, 32), p.spiI, p.spiR); err != nil {
		t.Fatal(err)
	}
	return p
}

// table are the rows of the SA, with SK_d in ikelab's extension where wanted.
func (p *peers) table(withSKd bool) string {
	e, _ := p.chosen.Find(suite.TransformENCR)
	i, ok := p.chosen.Find(suite.TransformINTEG)
	integ := "NONE [RFC4306]"
	if ok {
		integ = i.String()
	}
	row := fmt.Sprintf("# a comment\n%v,%v,%x,%x,%q,%x,%x,%q\n", p.spiI, p.spiR, p.keys.Ei, p.keys.Er, e.String(), p.keys.Ai, p.keys.Ar, integ)
	if withSKd {
		row += fmt.Sprintf("# ikelab SK_d,%v,%v,%x\n", p.spiI, p.spiR, p.keys.D)
	}
	return row
}

// message is an IKE message in clear.
func (p *peers) message(exchange wire.ExchangeType, id uint32, response bool, payloads ...wire.Payload) []byte {
	p.t.Helper()
	m := &wire.Message{Header: p.header(exchange, id, response), Payloads: payloads}
	if exchange == wire.ExchangeIKESAInit && !response {
		m.Header.ResponderSPI = wire.SPI{}
	}
	b, err := m.Append(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// header is that of a message, in which the initiator of the SA sends all requests.
func (p *peers) header(exchange wire.ExchangeType, id uint32, response bool) wire.Header {
	h := wire.Header{InitiatorSPI: p.spiI, ResponderSPI: p.spiR, Exchange: exchange, MessageID: id, Flags: wire.FlagInitiator}
	if response {
		h.Flags = wire.FlagResponse
	}
	return h
}

// sealed is an IKE message with an Encrypted payload, or, with fragment numbers,
// an Encrypted Fragment payload around a part of a chain.
func (p *peers) sealed(exchange wire.ExchangeType, id uint32, response bool, payloads ...wire.Payload) []byte {
	p.t.Helper()
	chain, err := wire.AppendPayloads(nil, payloads)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.seal(exchange, id, response, wire.FirstType(payloads), chain, 0, 0)
}

func (p *peers) seal(exchange wire.ExchangeType, id uint32, response bool, first wire.PayloadType, chain []byte, number, total uint16) []byte {
	p.t.Helper()
	encr, _ := p.chosen.Find(suite.TransformENCR)
	integ, _ := p.chosen.Find(suite.TransformINTEG)
	ek, ak := p.keys.Ei, p.keys.Ai
	if response {
		ek, ak = p.keys.Er, p.keys.Ar
	}
	c, err := suite.NewCrypter(encr, integ, ek, ak)
	if err != nil {
		p.t.Fatal(err)
	}
	pad := 0
	for (len(chain)+pad+1)%c.AlignBytes() != 0 {
		pad++
	}
	text := append(append(bytes.Clone(chain), make([]byte, pad)...), byte(pad))
	body := make([]byte, c.IVBytes()+len(text)+c.ICVBytes())
	m := &wire.Message{Header: p.header(exchange, id, response)}
	if total > 0 {
		m.Payloads = []wire.Payload{&wire.EncryptedFragment{First: first, Number: number, Total: total, Body: body}}
	} else {
		m.Payloads = []wire.Payload{&wire.Encrypted{First: first, Body: body}}
	}
	b, err := m.Append(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	at := len(b) - len(body)
	p.iv++
	iv := b[at : at+c.IVBytes()]
	binary.BigEndian.PutUint64(iv[len(iv)-8:], p.iv)
	copy(b[at+len(iv):], text)
	c.Seal(iv, b[at+len(iv):at+len(iv)+len(text)], b[len(b)-c.ICVBytes():], b[:at], nil)
	return b
}

// proposal is an SA payload with one proposal.
func proposal(t testing.TB, protocol wire.ProtocolID, spi []byte, keywords string) *wire.SA {
	t.Helper()
	parsed, err := suite.ParseProposals(suite.Protocol(protocol), keywords)
	if err != nil {
		t.Fatal(err)
	}
	p := wire.Proposal{Number: 1, Protocol: protocol, SPI: spi}
	for _, x := range parsed[0].Transforms {
		p.Transforms = append(p.Transforms, wire.Transform{Type: wire.TransformType(x.Type), ID: x.ID, KeyBits: x.KeyBits})
	}
	return &wire.SA{Proposals: []wire.Proposal{p}}
}

// init are the two messages of IKE_SA_INIT, as packets.
func (p *peers) init() [][]byte {
	p.t.Helper()
	sa := &wire.SA{Proposals: []wire.Proposal{{Number: 1, Protocol: wire.ProtocolIKE}}}
	for _, x := range p.chosen.Transforms {
		sa.Proposals[0].Transforms = append(sa.Proposals[0].Transforms, wire.Transform{Type: wire.TransformType(x.Type), ID: x.ID, KeyBits: x.KeyBits})
	}
	ke := &wire.KE{Group: suite.KEX25519, Data: make([]byte, 32)}
	return [][]byte{
		ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, false, sa, ke, &wire.Nonce{Data: p.ni}))),
		ipv4(bob, alice, 17, udp(500, 500, p.message(wire.ExchangeIKESAInit, 0, true, sa, ke, &wire.Nonce{Data: p.nr}))),
	}
}

// request and response are packets with a sealed message, on port 4500.
func (p *peers) request(exchange wire.ExchangeType, id uint32, payloads ...wire.Payload) []byte {
	return ipv4(alice, bob, 17, udp(4500, 4500, marked(p.sealed(exchange, id, false, payloads...))))
}

func (p *peers) response(exchange wire.ExchangeType, id uint32, payloads ...wire.Payload) []byte {
	return ipv4(bob, alice, 17, udp(4500, 4500, marked(p.sealed(exchange, id, true, payloads...))))
}

// fqdn is an identity.
func fqdn(kind wire.PayloadType, name string) *wire.ID {
	return &wire.ID{Kind: kind, IDType: wire.IDTypeFQDN, Data: []byte(name)}
}

// chain joins the names of payloads.
func chain(l line) string { return strings.Join(l.Payloads, " ") }
