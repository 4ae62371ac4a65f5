package esp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/suite"
)

// unhex reads hexadecimal digits with any white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("test data %q: %v", s, err)
	}
	return b
}

// algorithm is a transform pair with keys of the right length.
type algorithm struct {
	name string
	SAConfig
}

// encr is an ENCR transform; keyBits 0 for one without the attribute.
func encr(id, keyBits uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformENCR, ID: id, KeyBits: keyBits}
}

func integ(id uint16) suite.Transform {
	return suite.Transform{Type: suite.TransformINTEG, ID: id}
}

// ascending is n octets that count up from first, so that keys differ.
func ascending(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// algorithms are all that this project offers for ESP, as SA configurations with
// a replay window of 64 packets.
func algorithms() []algorithm {
	sa := func(name string, e suite.Transform, encrBytes int, i suite.Transform, integBytes int) algorithm {
		return algorithm{name, SAConfig{
			SPI: 0xc0ffee01, Encr: e, Integ: i,
			EncrKey: ascending(0x10, encrBytes), IntegKey: ascending(0x80, integBytes), IVKey: ascending(0xd0, 16),
			ReplayWindowPackets: 64,
		}}
	}
	none := suite.Transform{}
	return []algorithm{
		sa("aes128gcm16", encr(suite.EncrAESGCM16, 128), 20, none, 0),
		sa("aes192gcm12", encr(suite.EncrAESGCM12, 192), 28, none, 0),
		sa("aes256gcm8", encr(suite.EncrAESGCM8, 256), 36, none, 0),
		sa("chacha20poly1305", encr(suite.EncrChaCha20Poly1305, 0), 36, none, 0),
		sa("aes128-sha1", encr(suite.EncrAESCBC, 128), 16, integ(suite.IntegHMACSHA1_96), 20),
		sa("aes256-sha256", encr(suite.EncrAESCBC, 256), 32, integ(suite.IntegHMACSHA256_128), 32),
		sa("aes128ctr-sha384", encr(suite.EncrAESCTR, 128), 20, integ(suite.IntegHMACSHA384_192), 48),
		sa("aes256ctr-sha512", encr(suite.EncrAESCTR, 256), 36, integ(suite.IntegHMACSHA512_256), 64),
	}
}

// pair makes both halves of an SA.
func pair(t testing.TB, c SAConfig) (*Outbound, *Inbound) {
	t.Helper()
	o, err := NewOutbound(c)
	if err != nil {
		t.Fatal(err)
	}
	i, err := NewInbound(c)
	if err != nil {
		t.Fatal(err)
	}
	return o, i
}

// sealNext reserves a number and seals inner under it.
func sealNext(t testing.TB, o *Outbound, inner []byte) []byte {
	t.Helper()
	seq, err := o.Reserve(1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.Seal(nil, seq, inner, NextHeaderIPv4)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// checkDrop expects a packet to be refused for a reason.
func checkDrop(t testing.TB, i *Inbound, packet []byte, want DropKind) {
	t.Helper()
	inner, _, seq, err := i.Open(bytes.Clone(packet))
	var drop *DropError
	if !errors.As(err, &drop) {
		t.Fatalf("packet %d was accepted with %d octets (%v), want it dropped: %s", seq, len(inner), err, want)
	}
	if drop.Kind != want {
		t.Errorf("dropped with %v, want %s", err, want)
	}
}

// checkOpen expects a packet to be accepted with its inner packet.
func checkOpen(t testing.TB, i *Inbound, packet, inner []byte) uint64 {
	t.Helper()
	got, nextHeader, seq, err := i.Open(bytes.Clone(packet))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, inner) || nextHeader != NextHeaderIPv4 {
		t.Errorf("opened as %x under Next Header %d, want %x under 4", got, nextHeader, inner)
	}
	return seq
}
