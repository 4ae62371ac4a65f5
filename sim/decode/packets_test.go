package decode

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// TestLinuxPackets opens the packets that the Linux kernel sealed, with every
// algorithm that decoding knows, to the same inner packet where the source could
// verify it, and else to a whole IP packet.
func TestLinuxPackets(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(captures(t), "packets", "scapy_ipsec_linux_packets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var packets []struct {
		Title              string
		SA                 string `json:"scapy_sa"`
		Packet             string `json:"esp_packet"`
		Verified           bool
		ExpectedNextHeader int    `json:"expected_next_header"`
		ExpectedInner      string `json:"expected_inner"`
	}
	if err := json.Unmarshal(raw, &packets); err != nil {
		t.Fatal(err)
	}
	quoted := func(sa, name string) string {
		m := regexp.MustCompile(name + `=b?'([^']*)'`).FindStringSubmatch(sa)
		if m == nil {
			return ""
		}
		return m[1]
	}
	names := map[string]string{
		"DES": "DES-CBC [RFC2405]", "3DES": "TripleDES-CBC [RFC2451]", "AES-CBC": "AES-CBC [RFC3602]", "AES-CTR": "AES-CTR [RFC3686]",
		"Blowfish": "BLOWFISH-CBC [RFC2451]", "CAST": "CAST5-CBC [RFC2144]", "AES-GCM": "AES-GCM with 16 octet ICV [RFC4106]",
		"AES-CCM": "aes128ccm8", "AES-NULL-GMAC": "aes128gmac",
	}
	opened, verified := 0, 0
	for _, p := range packets {
		t.Run(p.Title, func(t *testing.T) {
			name, ok := names[quoted(p.SA, "crypt_algo")]
			if !ok {
				t.Fatalf("a packet of %s", quoted(p.SA, "crypt_algo"))
			}
			row := fmt.Sprintf(`"IPv4","*","*","0x222",%q,"0x%x","NULL",""`, name, quoted(p.SA, "crypt_key"))
			packet, err := hex.DecodeString(p.Packet)
			if err != nil {
				t.Fatal(err)
			}
			lines, _ := decodePackets(t, tables("", row), ipv4("10.125.0.2", "10.125.0.1", 50, packet))
			l := lines[0]
			switch {
			case !l.decrypted():
				t.Errorf("not opened: %+v %+v", l, l.Error)
			case p.Verified && (l.Inner != p.ExpectedInner || l.NextHeader != p.ExpectedNextHeader):
				t.Errorf("opened under %d as\n%s, want %d\n%s", l.NextHeader, l.Inner, p.ExpectedNextHeader, p.ExpectedInner)
			case !whole(uint8(l.NextHeader), unhex(t, l.Inner)):
				t.Errorf("opened as %s, which is no packet", l.Inner)
			}
			want := "unchecked"
			if strings.Contains(name, "ICV") || strings.HasPrefix(name, "aes128") {
				want = "ok"
			}
			if l.ICV != want {
				t.Errorf("icv %s, want %s", l.ICV, want)
			}
			opened++
			if p.Verified {
				verified++
			}
		})
	}
	if opened < 9 || verified < 6 {
		t.Errorf("opened %d packets, %d of them verified", opened, verified)
	}
}

// TestAndroidKeys derives the same keys as the Android Open Source Project's
// tests, those of the child by the way that decoding takes.
func TestAndroidKeys(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(captures(t), "packets", "aosp_ike_2019_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]map[string]string
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	for path, values := range files {
		if strings.HasSuffix(path, "SaRecordTest.java") {
			v = values
		}
	}
	value := func(name string) []byte {
		if v[name] == "" {
			t.Fatalf("no %s", name)
		}
		return unhex(t, strings.ToLower(v[name]))
	}
	chosen, err := suite.ParseProposals(suite.ProtocolIKE, "aes128-sha1-prfsha1-modp2048")
	if err != nil {
		t.Fatal(err)
	}
	ni, nr := value("IKE_NONCE_INIT_HEX_STRING"), value("IKE_NONCE_RESP_HEX_STRING")
	skeyseed, keys, err := suite.DeriveIKE(chosen[0], ni, nr, value("IKE_SHARED_DH_KEY_HEX_STRING"),
		[8]byte(value("IKE_INIT_SPI")), [8]byte(value("IKE_RESP_SPI")))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{
		"IKE_SKEYSEED_HEX_STRING": skeyseed, "IKE_SK_D_HEX_STRING": keys.D,
		"IKE_SK_AUTH_INIT_HEX_STRING": keys.Ai, "IKE_SK_AUTH_RESP_HEX_STRING": keys.Ar,
		"IKE_SK_ENCR_INIT_HEX_STRING": keys.Ei, "IKE_SK_ENCR_RESP_HEX_STRING": keys.Er,
	} {
		if want := hex.EncodeToString(value(name)); want != hex.EncodeToString(got) {
			t.Errorf("%s is %x, want %s", name, got, want)
		}
	}
	// The first CHILD SA's packets, sealed with the keys of those tests, open with SK_d alone.
	p := &peers{t: t, chosen: chosen[0], ni: ni, nr: nr, spiI: [8]byte(value("IKE_INIT_SPI")), spiR: [8]byte(value("IKE_RESP_SPI")), keys: keys}
	const algorithms = "aes128-sha1-noesn"
	packets := append(p.init(),
		p.request(wire.ExchangeIKEAuth, 1, proposal(t, wire.ProtocolESP, []byte{0x11, 0x22, 0x33, 0x44}, algorithms)),
		p.response(wire.ExchangeIKEAuth, 1, proposal(t, wire.ProtocolESP, []byte{0x55, 0x66, 0x77, 0x88}, algorithms)))
	inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, []byte("inside")))
	for _, way := range []struct {
		src, dst, encr, integ string
		spi                   uint32
	}{
		{alice, bob, "FIRST_CHILD_ENCR_INIT_HEX_STRING", "FIRST_CHILD_AUTH_INIT_HEX_STRING", 0x55667788},
		{bob, alice, "FIRST_CHILD_ENCR_RESP_HEX_STRING", "FIRST_CHILD_AUTH_RESP_HEX_STRING", 0x11223344},
	} {
		sa, err := esp.NewOutbound(esp.SAConfig{
			SPI: way.spi, Encr: suite.Transform{Type: suite.TransformENCR, ID: suite.EncrAESCBC, KeyBits: 128},
			Integ:   suite.Transform{Type: suite.TransformINTEG, ID: suite.IntegHMACSHA1_96},
			EncrKey: value(way.encr), IntegKey: value(way.integ), IVKey: make([]byte, 16),
		})
		if err != nil {
			t.Fatal(err)
		}
		packet, err := seal(sa, inner)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, ipv4(way.src, way.dst, 50, packet))
	}
	lines, _ := decodePackets(t, tables(p.table(true), ""), packets...)
	for _, l := range lines[4:] {
		if l.ICV != "ok" || l.Inner != hex.EncodeToString(inner) {
			t.Errorf("line: %+v %+v", l, l.Error)
		}
	}
}
