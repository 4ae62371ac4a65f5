package capture

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// link is one end of a tiny lab: two gateways and a host behind each, in one IP version.
type link struct {
	gwA, gwB, hostA, hostB netip.Addr
}

var (
	link4 = link{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"),
		netip.MustParseAddr("10.1.0.7"), netip.MustParseAddr("10.2.0.9")}
	link6 = link{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2"),
		netip.MustParseAddr("2001:db8:a::7"), netip.MustParseAddr("2001:db8:b::9")}
)

func tcpipAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

// ipPacket puts an IP header in front of a payload.
func ipPacket(src, dst netip.Addr, protocol uint8, payload []byte) []byte {
	if src.Is6() {
		b := make([]byte, header.IPv6MinimumSize, header.IPv6MinimumSize+len(payload))
		header.IPv6(b).Encode(&header.IPv6Fields{
			PayloadLength:     uint16(len(payload)),
			TransportProtocol: tcpip.TransportProtocolNumber(protocol),
			HopLimit:          64,
			SrcAddr:           tcpipAddr(src),
			DstAddr:           tcpipAddr(dst),
		})
		return append(b, payload...)
	}
	b := make([]byte, header.IPv4MinimumSize, header.IPv4MinimumSize+len(payload))
	h := header.IPv4(b)
	h.Encode(&header.IPv4Fields{
		TotalLength: uint16(len(b) + len(payload)),
		TTL:         64,
		Protocol:    protocol,
		SrcAddr:     tcpipAddr(src),
		DstAddr:     tcpipAddr(dst),
	})
	h.SetChecksum(^h.CalculateChecksum())
	return append(b, payload...)
}

// udpPacket puts an IP and a UDP header in front of a payload.
func udpPacket(src, dst netip.AddrPort, payload []byte) []byte {
	b := make([]byte, header.UDPMinimumSize, header.UDPMinimumSize+len(payload))
	u := header.UDP(b)
	u.Encode(&header.UDPFields{
		SrcPort: src.Port(), DstPort: dst.Port(), Length: uint16(header.UDPMinimumSize + len(payload)),
	})
	sum := header.PseudoHeaderChecksum(header.UDPProtocolNumber,
		tcpipAddr(src.Addr()), tcpipAddr(dst.Addr()), uint16(header.UDPMinimumSize+len(payload)))
	u.SetChecksum(^u.CalculateChecksum(checksum.Checksum(payload, sum)))
	return ipPacket(src.Addr(), dst.Addr(), 17, append(b, payload...))
}

// echoRequest is a ping of host B by host A.
func (l link) echoRequest() []byte {
	data := []byte("the text of the ping")
	if l.hostA.Is6() {
		h := header.ICMPv6(append(make([]byte, header.ICMPv6EchoMinimumSize), data...))
		h.SetType(header.ICMPv6EchoRequest)
		h.SetIdent(7)
		h.SetSequence(1)
		h.SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{
			Header: h, Src: tcpipAddr(l.hostA), Dst: tcpipAddr(l.hostB),
		}))
		return ipPacket(l.hostA, l.hostB, 58, h)
	}
	h := header.ICMPv4(append(make([]byte, header.ICMPv4MinimumSize), data...))
	h.SetType(header.ICMPv4Echo)
	h.SetIdent(7)
	h.SetSequence(1)
	h.SetChecksum(header.ICMPv4Checksum(h, 0))
	return ipPacket(l.hostA, l.hostB, 1, h)
}

// key is n bytes that differ from those of another name.
func key(name string, n int) []byte {
	return bytes.Repeat([]byte(name), n/len(name)+1)[:n]
}

func encrKey(t *testing.T, tr suite.Transform, name string) []byte {
	t.Helper()
	n, err := suite.EncrKeyBytes(tr)
	if err != nil {
		t.Fatal(err)
	}
	return key(name, n)
}

func integKey(t *testing.T, tr suite.Transform, name string) []byte {
	t.Helper()
	if tr.ID == suite.IntegNone {
		return nil
	}
	n, err := suite.IntegKeyBytes(tr)
	if err != nil {
		t.Fatal(err)
	}
	return key(name, n)
}

// espPacket seals an inner packet as RFC 4303 §2 lays it out.
func espPacket(t *testing.T, k ESPKeys, sequence uint64, inner []byte) []byte {
	t.Helper()
	crypter, err := suite.NewCrypter(k.Encr, k.Integ, k.EncrKey, k.IntegKey)
	if err != nil {
		t.Fatal(err)
	}
	next := byte(4)
	if header.IPVersion(inner) == header.IPv6Version {
		next = 41
	}
	align := max(4, crypter.AlignBytes())
	padding := (align - (len(inner)+2)%align) % align
	text := append([]byte(nil), inner...)
	for i := range padding {
		text = append(text, byte(i+1))
	}
	text = append(text, byte(padding), next)

	b := binary.BigEndian.AppendUint32(nil, k.SPI)
	b = binary.BigEndian.AppendUint32(b, uint32(sequence))
	iv := key("initialisation vector", crypter.IVBytes())
	icv := make([]byte, crypter.ICVBytes())
	aad, tail := b[:8:8], []byte(nil)
	if k.ESN {
		high := binary.BigEndian.AppendUint32(nil, uint32(sequence>>32))
		if crypter.AEAD() {
			aad = append(append(append([]byte(nil), b[:4]...), high...), b[4:8]...)
		} else {
			tail = high
		}
	}
	crypter.Seal(iv, text, icv, aad, tail)
	b = append(b, iv...)
	b = append(b, text...)
	return append(b, icv...)
}

// ikeAuth seals an IKE_AUTH request that carries an identity (RFC 7296 §3.14).
func ikeAuth(t *testing.T, k IKEKeys, fqdn string) []byte {
	t.Helper()
	crypter, err := suite.NewCrypter(k.Encr, k.Integ, k.SKei, k.SKai)
	if err != nil {
		t.Fatal(err)
	}
	inner := []wire.Payload{&wire.ID{Kind: wire.PayloadIDi, IDType: wire.IDTypeFQDN, Data: []byte(fqdn)}}
	text, err := wire.AppendPayloads(nil, inner)
	if err != nil {
		t.Fatal(err)
	}
	align := crypter.AlignBytes()
	padding := (align - (len(text)+1)%align) % align
	text = append(append(text, make([]byte, padding)...), byte(padding))

	body := make([]byte, crypter.IVBytes()+len(text)+crypter.ICVBytes())
	m := wire.Message{
		Header: wire.Header{
			InitiatorSPI: k.SPIi, ResponderSPI: k.SPIr,
			Exchange: wire.ExchangeIKEAuth, Flags: wire.FlagInitiator, MessageID: 1,
		},
		Payloads: []wire.Payload{&wire.Encrypted{First: wire.FirstType(inner), Body: body}},
	}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := len(b) - len(body)
	iv := b[at : at+crypter.IVBytes()]
	copy(iv, key("initialisation vector", len(iv)))
	sealed := b[at+len(iv) : len(b)-crypter.ICVBytes()]
	copy(sealed, text)
	crypter.Seal(iv, sealed, b[len(b)-crypter.ICVBytes():], b[:at], nil)
	return b
}

var (
	gcm8   = func(bits uint16) suite.Transform { return encr(suite.EncrAESGCM8, bits) }
	gcm12  = func(bits uint16) suite.Transform { return encr(suite.EncrAESGCM12, bits) }
	gcm16  = func(bits uint16) suite.Transform { return encr(suite.EncrAESGCM16, bits) }
	cbc    = func(bits uint16) suite.Transform { return encr(suite.EncrAESCBC, bits) }
	ctr    = func(bits uint16) suite.Transform { return encr(suite.EncrAESCTR, bits) }
	chacha = encr(suite.EncrChaCha20Poly1305, 0)
	none   = suite.Transform{}
	sha1   = integ(suite.IntegHMACSHA1_96)
	sha256 = integ(suite.IntegHMACSHA256_128)
	sha384 = integ(suite.IntegHMACSHA384_192)
	sha512 = integ(suite.IntegHMACSHA512_256)
)

func encr(id, bits uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformENCR, ID: id, KeyBits: bits}
}

func integ(id uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformINTEG, ID: id}
}

// ikeKeys are made-up keys of an IKE SA with some algorithms.
func ikeKeys(t *testing.T, number int, encr, integ suite.Transform) IKEKeys {
	t.Helper()
	return IKEKeys{
		SPIi: [8]byte{1, 2, 3, 4, 5, 6, 7, byte(number)},
		SPIr: [8]byte{9, 10, 11, 12, 13, 14, 15, 16},
		SKei: encrKey(t, encr, "SK_ei"), SKer: encrKey(t, encr, "SK_er"),
		SKai: integKey(t, integ, "SK_ai"), SKar: integKey(t, integ, "SK_ar"),
		Encr: encr, Integ: integ,
	}
}

// espKeys are made-up keys of an ESP SA with some algorithms, from gateway A to gateway B.
func (l link) espKeys(t *testing.T, number int, encr, integ suite.Transform) ESPKeys {
	t.Helper()
	return ESPKeys{
		Src: l.gwA, Dst: l.gwB, SPI: 0xc1a2b300 + uint32(number),
		Encr: encr, Integ: integ,
		EncrKey:  encrKey(t, encr, "ESP encryption"),
		IntegKey: integKey(t, integ, "ESP integrity"),
	}
}
