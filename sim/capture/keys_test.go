package capture

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
)

func TestTables(t *testing.T) {
	ike := []IKEKeys{
		{
			SPIi: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, SPIr: [8]byte{9, 10, 11, 12, 13, 14, 15, 16},
			SKei: []byte{0xe1, 0xe2}, SKer: []byte{0xe3, 0xe4}, SKd: []byte{0xd1}, Encr: gcm16(256),
		},
		{
			SPIi: [8]byte{0: 0x80}, SPIr: [8]byte{7: 0xff},
			SKei: []byte{0xe1}, SKer: []byte{0xe2}, SKai: []byte{0xa1}, SKar: []byte{0xa2}, Encr: cbc(128), Integ: sha256,
		},
		{SPIi: [8]byte{0: 0xcc}, SPIr: [8]byte{0: 0xdd}, Encr: chacha},
	}
	esp := []ESPKeys{
		{Src: link4.gwA, Dst: link4.gwB, SPI: 0xc1, Encr: gcm8(128), EncrKey: []byte{0xe1}},
		{Src: link6.gwA, Dst: link6.gwB, SPI: 0xc2, Encr: cbc(256), Integ: sha1, EncrKey: []byte{0xe1}, IntegKey: []byte{0xa1}},
		{Dst: link4.gwB, SPI: 0xc3, Encr: ctr(256), Integ: sha512, EncrKey: []byte{0xe1}, IntegKey: []byte{0xa1}, ESN: true},
		{Src: link4.gwA, Dst: link4.gwB, SPI: 0xc4, Encr: chacha},
	}
	wantIKE := `# Wireshark's table of IKEv2 keys: initiator's SPI, responder's SPI, SK_ei, SK_er,
# encryption, SK_ai, SK_ar, integrity.
0102030405060708,090a0b0c0d0e0f10,e1e2,e3e4,"AES-GCM-256 with 16 octet ICV [RFC5282]",,,"NONE [RFC4306]"
# ikelab SK_d,0102030405060708,090a0b0c0d0e0f10,d1
8000000000000000,00000000000000ff,e1,e2,"AES-CBC-128 [RFC3602]",a1,a2,"HMAC_SHA2_256_128 [RFC4868]"
# IKE SA cc00000000000000 dd00000000000000: left out, because Wireshark cannot decrypt chacha20poly1305
# ikelab SA,cc00000000000000,dd00000000000000,,,"chacha20poly1305",,,"NULL"
`
	wantESP := `# Wireshark's table of ESP keys: IP version, source, destination, SPI, encryption, its key,
# integrity, its key.
"IPv4","192.0.2.1","192.0.2.2","0x000000c1","AES-GCM with 8 octet ICV [RFC4106]","0xe1","NULL",""
"IPv6","2001:db8::1","2001:db8::2","0x000000c2","AES-CBC [RFC3602]","0xe1","HMAC-SHA-1-96 [RFC2404]","0xa1"
# ESP SA *>192.0.2.2 0x000000c3: decrypted, but Wireshark 4.0 cannot check the integrity of extended sequence numbers
# ikelab SA,"IPv4","*","192.0.2.2","0x000000c3","aes256ctr","0xe1","sha512","0xa1","64-bit"
"IPv4","*","192.0.2.2","0x000000c3","AES-CTR [RFC3686]","0xe1","ANY 256 bit authentication [no checking]",""
# ESP SA 192.0.2.1>192.0.2.2 0x000000c4: left out, because Wireshark cannot decrypt chacha20poly1305
# ikelab SA,"IPv4","192.0.2.1","192.0.2.2","0x000000c4","chacha20poly1305","","NULL","","32-bit"
`
	var gotIKE, gotESP bytes.Buffer
	gapsIKE, err := WriteIKEv2DecryptionTable(&gotIKE, ike)
	if err != nil {
		t.Fatal(err)
	}
	gapsESP, err := WriteESPSA(&gotESP, esp)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantIKE, gotIKE.String()); diff != "" {
		t.Errorf("ikev2_decryption_table (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantESP, gotESP.String()); diff != "" {
		t.Errorf("esp_sa (-want +got):\n%s", diff)
	}
	var gaps []string
	for _, g := range append(gapsIKE, gapsESP...) {
		gaps = append(gaps, g.String())
	}
	want := []string{
		"IKE SA cc00000000000000 dd00000000000000: left out, because Wireshark cannot decrypt chacha20poly1305",
		"ESP SA *>192.0.2.2 0x000000c3: decrypted, but Wireshark 4.0 cannot check the integrity of extended sequence numbers",
		"ESP SA 192.0.2.1>192.0.2.2 0x000000c4: left out, because Wireshark cannot decrypt chacha20poly1305",
	}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
}

// Every algorithm that ikelab negotiates has a name in both tables or is a known gap.
func TestEveryAlgorithmHasAName(t *testing.T) {
	for _, keyword := range []string{
		"aes128", "aes192", "aes256", "aes128ctr", "aes192ctr", "aes256ctr",
		"aes128gcm8", "aes192gcm8", "aes256gcm8", "aes128gcm12", "aes192gcm12", "aes256gcm12",
		"aes128gcm16", "aes192gcm16", "aes256gcm16", "chacha20poly1305",
	} {
		for _, integrity := range []string{"", "sha1", "sha256", "sha384", "sha512"} {
			text := keyword
			if integrity != "" {
				text += "-" + integrity
			}
			proposal, err := suite.ParseProposal(suite.ProtocolESP, text)
			if err != nil {
				continue // an AEAD with integrity, or a cipher without
			}
			encr, _ := proposal.Find(suite.TransformENCR)
			integ, _ := proposal.Find(suite.TransformINTEG)
			wantGaps := 0
			if encr.ID == suite.EncrChaCha20Poly1305 {
				wantGaps = 1
			}
			ike, _ := WriteIKEv2DecryptionTable(io.Discard, []IKEKeys{{Encr: encr, Integ: integ}})
			esp, _ := WriteESPSA(io.Discard, []ESPKeys{{Dst: link4.gwA, Encr: encr, Integ: integ}})
			if len(ike) != wantGaps || len(esp) != wantGaps {
				t.Errorf("%s: gaps %v and %v; want %d each", text, ike, esp, wantGaps)
			}
		}
	}
}

// Tables that Wireshark itself wrote come out as they went in.
func TestTablesThatWiresharkWrote(t *testing.T) {
	captures := os.Getenv("IKELAB_CAPTURES")
	if captures == "" {
		t.Skip("IKELAB_CAPTURES is unset; point it at a folder of recorded captures with their keys")
	}
	folder := filepath.Join(captures, "wireshark")
	compared := 0
	for _, table := range []struct {
		name    string
		rewrite func(t *testing.T, w io.Writer, record []string) bool
	}{
		{"ikev2_decryption_table", rewriteIKE},
		{"esp_sa", rewriteESP},
	} {
		file, err := os.Open(filepath.Join(folder, table.name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			record, err := csv.NewReader(strings.NewReader(lines.Text())).Read()
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if !table.rewrite(t, &b, record) {
				continue // an algorithm that ikelab does not have
			}
			got := strings.Split(strings.TrimSpace(b.String()), "\n")
			if diff := cmp.Diff(lines.Text(), got[len(got)-1]); diff != "" {
				t.Errorf("%s (-Wireshark +ikelab):\n%s", table.name, diff)
			}
			compared++
		}
	}
	if compared < 5 {
		t.Errorf("%d lines compared; the captures have at least 5", compared)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rewriteIKE(t *testing.T, w io.Writer, record []string) bool {
	encr, knowsEncr := named(ikeEncryption, record[4])
	integ, knowsInteg := named(ikeIntegrity, record[7])
	if !knowsEncr || !knowsInteg {
		return false
	}
	_, err := WriteIKEv2DecryptionTable(w, []IKEKeys{{
		SPIi: [8]byte(unhex(t, record[0])), SPIr: [8]byte(unhex(t, record[1])),
		SKei: unhex(t, record[2]), SKer: unhex(t, record[3]),
		SKai: unhex(t, record[5]), SKar: unhex(t, record[6]),
		Encr: suite.Transform{ID: encr.id, KeyBits: encr.keyBits}, Integ: suite.Transform{ID: integ.id},
	}})
	return err == nil
}

func rewriteESP(t *testing.T, w io.Writer, record []string) bool {
	encr, knowsEncr := named(espEncryption, record[4])
	integ, knowsInteg := named(espIntegrity, record[6])
	if !knowsEncr || !knowsInteg {
		return false
	}
	spi, err := strconv.ParseUint(record[3], 0, 32)
	if err != nil {
		t.Fatal(err)
	}
	_, err = WriteESPSA(w, []ESPKeys{{
		Src: netip.MustParseAddr(record[1]), Dst: netip.MustParseAddr(record[2]), SPI: uint32(spi),
		Encr: suite.Transform{ID: encr}, EncrKey: unhex(t, record[5]),
		Integ: suite.Transform{ID: integ}, IntegKey: unhex(t, record[7]),
	}})
	return err == nil
}

// named finds the algorithm that has a name.
func named[K comparable](m map[K]string, name string) (K, bool) {
	for k, n := range m {
		if n == name {
			return k, true
		}
	}
	var none K
	return none, false
}

// brokenFile fails where it is told to.
type brokenFile struct{ onWrite, onClose error }

func (f brokenFile) Write(b []byte) (int, error) { return len(b), f.onWrite }
func (f brokenFile) Close() error                { return f.onClose }

// A full disk is reported wherever it shows.
func TestProfileReportsErrors(t *testing.T) {
	full := errors.New("no space left on device")
	for name, create := range map[string]func(string) (io.WriteCloser, error){
		"create": func(string) (io.WriteCloser, error) { return nil, full },
		"write":  func(string) (io.WriteCloser, error) { return brokenFile{onWrite: full}, nil },
		"close":  func(string) (io.WriteCloser, error) { return brokenFile{onClose: full}, nil },
		"a table": func(name string) (io.WriteCloser, error) {
			if name == "esp_sa" {
				return brokenFile{onWrite: full}, nil
			}
			return brokenFile{}, nil
		},
	} {
		if _, err := WriteProfile(create, nil, nil); !errors.Is(err, full) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
