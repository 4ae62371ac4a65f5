package decode

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike/wire"
)

// shown are the lines for people and the summary of packets.
func shown(t *testing.T, keys *Keys, packets ...[]byte) (lines []string, summary string) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(pcapOf(t, layers.LinkTypeRaw, packets...)))
	if err != nil {
		t.Fatal(err)
	}
	var text Text
	d := NewDecoder(Options{Keys: keys}, func(r *Record) error {
		lines = append(lines, strings.TrimSuffix(string(text.Append(nil, r)), "\n"))
		return nil
	})
	if err := d.Run(r); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := d.Summary(&b, nil); err != nil {
		t.Fatal(err)
	}
	return lines, b.String()
}

// TestLines is what a person sees of a short tunnel, decrypted.
func TestLines(t *testing.T) {
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	auth := child(t, p, wire.ExchangeIKEAuth, 1, false, "aes128gcm16-noesn")
	packets := append(p.init(), auth...)
	packets = append(packets, sentAgain(auth[0], 1), sentAgain(auth[2], 2),
		p.request(wire.ExchangeInformational, 2, &wire.Delete{Protocol: wire.ProtocolIKE}), p.response(wire.ExchangeInformational, 2),
		ipv4(alice, bob, 17, udp(4500, 4500, []byte{0xff})), ipv4(alice, bob, 17, udp(500, 500, make([]byte, 9))), ipv4(alice, bob, 132, nil))
	lines, summary := shown(t, loadKeys(t, tables(p.table(true), "")), packets...)
	want := []string{
		"     1     0.000000  192.0.2.1:500 > 198.51.100.7:500  IKE_SA_INIT request 0  SA[IKE aes256gcm16-prfsha384-x25519] KE(x25519) Ni",
		"     2     0.001000  198.51.100.7:500 > 192.0.2.1:500  IKE_SA_INIT response 0  SA[IKE aes256gcm16-prfsha384-x25519] KE(x25519) Nr",
		"     3     0.002000  192.0.2.1:4500 > 198.51.100.7:4500  IKE_AUTH request 1  SK: SA[ESP 0xc0000001 aes128gcm16-noesn]; icv ok",
		"     4     0.003000  198.51.100.7:4500 > 192.0.2.1:4500  IKE_AUTH response 1  SK: SA[ESP 0xd0000001 aes128gcm16-noesn]; icv ok",
		"     5     0.004000  192.0.2.1:4500 > 198.51.100.7:4500  ESP 0xd0000001 #1  10.1.0.1 > 10.2.0.1 UDP 1 > 2, 34 octets; icv ok",
		"     6     0.005000  198.51.100.7:4500 > 192.0.2.1:4500  ESP 0xc0000001 #1  10.1.0.1 > 10.2.0.1 UDP 1 > 2, 34 octets; icv ok",
		"     7     0.006000  192.0.2.1:4500 > 198.51.100.7:4500  IKE_AUTH request 1  [retransmission 1]  SK: SA[ESP 0xc0000001 aes128gcm16-noesn]; icv ok",
		"     8     0.007000  192.0.2.1:4500 > 198.51.100.7:4500  ESP 0xd0000001 #1  [replay]  10.1.0.1 > 10.2.0.1 UDP 1 > 2, 34 octets; icv ok",
		"     9     0.008000  192.0.2.1:4500 > 198.51.100.7:4500  INFORMATIONAL request 2  SK: D(IKE); icv ok",
		"    10     0.009000  198.51.100.7:4500 > 192.0.2.1:4500  INFORMATIONAL response 2  SK: nothing; icv ok",
		"    11     0.010000  192.0.2.1:4500 > 198.51.100.7:4500  NAT-keepalive, 29 octets",
		"    12     0.011000  192.0.2.1:500 > 198.51.100.7:500  IKE, 9 octets  MALFORMED IKE message, octet 9, IKE Header: ends after 9 octets, a header has 28",
		"    13     0.012000  192.0.2.1 > 198.51.100.7  IP protocol 132, 20 octets",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	wantSummary := `13 frames in 12ms: 8 IKE, 3 ESP, 0 AH, 2 other
decrypted 8 of 8; malformed 1; wrong ICV 0

IKE SA 0102030405060708-090a0b0c0d0e0f10  192.0.2.1:500 <> 198.51.100.7:500
  aes256gcm16-prfsha384-x25519; 7 messages, 689 bytes; 1 retransmission; deleted
  CHILD SA ESP 0xc0000001 / 0xd0000001  aes128gcm16-noesn; keys: derived from SK_d

ESP SA 0xd0000001  192.0.2.1 > 198.51.100.7 in UDP or TCP  aes128gcm16, keys derived
  2 packets, 136 bytes; sequence 1 to 1, 0 missing; 1 replay
  ICV ok 2, bad 0, unchecked 0

ESP SA 0xc0000001  198.51.100.7 > 192.0.2.1 in UDP or TCP  aes128gcm16, keys derived
  1 packet, 68 bytes; sequence 1 to 1, 0 missing; 0 replays
  ICV ok 1, bad 0, unchecked 0
`
	if diff := cmp.Diff(wantSummary, summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// TestDescribe tells of every payload what is worth telling.
func TestDescribe(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Country: []string{"CH"}, CommonName: "gw (west)"},
		NotBefore: start, NotAfter: start.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(nil, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	request, response := wire.Header{}, wire.Header{Flags: wire.FlagResponse}
	for _, c := range []struct {
		h    wire.Header
		p    wire.Payload
		want string
	}{
		{request, &wire.Cert{Encoding: wire.CertX509Signature, Data: der}, `CERT(X509 "C=CH, CN=gw (west)")`},
		{request, &wire.Cert{Encoding: wire.CertX509Signature, Data: der[1:]}, "octets that are no certificate)"},
		{request, &wire.Cert{Encoding: wire.CertCRL, Data: []byte{1}}, "CERT(CRL, 1 octet)"},
		{request, &wire.CertReq{Encoding: wire.CertX509Signature, Authority: make([]byte, 40)}, "CERTREQ(X509 2 authorities)"},
		{request, &wire.Nonce{}, "Ni"},
		{response, &wire.Nonce{}, "Nr"},
		{request, &wire.ID{Kind: wire.PayloadIDr, IDType: wire.IDTypeIPv4Addr, Data: []byte{192, 0, 2, 1}}, "IDr(192.0.2.1)"},
		{request, &wire.ID{Kind: wire.PayloadIDi, IDType: wire.IDTypeKeyID, Data: []byte{1, 0xff}}, "IDi(keyid:0x01ff)"},
		{request, fqdn(wire.PayloadIDi, "a b"), `IDi("a b")`},
		{request, &wire.Auth{Method: wire.AuthDigitalSignature}, "AUTH(SIG)"},
		{request, &wire.Notify{Kind: wire.InvalidKEPayload, Data: []byte{0, 31}}, "N(INVALID_KE_PAYLOAD x25519)"},
		{request, &wire.Delete{Protocol: wire.ProtocolESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}}, "D(ESP 0x01020304)"},
		{request, &wire.VendorID{Data: []byte{0xff, 1}}, "V(0xff01)"},
		{request, &wire.CP{Kind: wire.ConfigReply, Attributes: []wire.ConfigAttribute{
			{Type: wire.ConfigInternalIP4Address, Value: []byte{10, 3, 0, 1}}, {Type: wire.ConfigInternalIP4DNS},
			{Type: wire.ConfigInternalIP6Address, Value: append(make([]byte, 15), 1, 64)},
			{Type: wire.ConfigInternalIP4Subnet, Value: []byte{10, 0, 0, 0, 255, 0, 0, 0}},
		}}, "CP(CFG_REPLY INTERNAL_IP4_ADDRESS=10.3.0.1 INTERNAL_IP4_DNS INTERNAL_IP6_ADDRESS=::1/64 INTERNAL_IP4_SUBNET=10.0.0.0/255.0.0.0)"},
		{request, &wire.EAP{Code: wire.EAPRequest, Data: []byte{26, 1}}, "EAP(Request MSCHAPv2)"},
		{request, &wire.EAP{Code: wire.EAPSuccess}, "EAP(Success)"},
		{request, &wire.Unknown{PayloadType: 99, Data: []byte{1}}, "payload 99(1 octet)"},
		{request, &wire.SA{Proposals: []wire.Proposal{
			{Protocol: wire.ProtocolIKE, Transforms: []wire.Transform{
				{Type: 1, ID: 3}, {Type: 1, ID: 20, KeyBits: 256}, {Type: 1, ID: 23, KeyBits: 128}, {Type: 2, ID: 1}, {Type: 3, ID: 5}, {Type: 4, ID: 2}, {Type: 6, ID: 36}, {Type: 1, ID: 999},
			}},
			{Protocol: wire.ProtocolESP, SPI: []byte{1, 2, 3, 4}},
		}}, "SA[IKE 3des-aes256gcm16-camellia-cbc-128-prfmd5-aesxcbc-modp1024-ke1_mlkem768-ENCR(999) | ESP 0x01020304 nothing]"},
	} {
		if got := describe(c.h, c.p); !strings.HasSuffix(got, c.want) {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestInterfaceNames: a capture's file names its interfaces, so what it says is quoted like what the network says.
func TestInterfaceNames(t *testing.T) {
	text := Text{InterfaceName: func(number int) string { return []string{"", "eth0", "\x1b[2Jgw"}[number] }}
	for number, want := range []string{"  NAT-keepalive", "  eth0: NAT-keepalive", `  "\x1b[2Jgw": NAT-keepalive`} {
		got := string(text.Append(nil, &Record{Frame: 1, Time: start, Kind: KindOther, Interface: number, Note: "NAT-keepalive", Bytes: 29}))
		if want = "     1     0.000000" + want + ", 29 octets\n"; got != want {
			t.Errorf("interface %d: %q, want %q", number, got, want)
		}
	}
}
