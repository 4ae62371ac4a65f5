package decode

import (
	"net/netip"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// TestAlgorithmNames holds the names under which Wireshark 4.0 lists algorithms
// in its two tables: each is known, or known to be left unchecked.
func TestAlgorithmNames(t *testing.T) {
	for name, want := range map[string]string{
		"NULL [RFC2410]": "null", "3DES [RFC2451]": "3des", "AES-CBC-128 [RFC3602]": "aes128", "AES-CBC-192 [RFC3602]": "aes192",
		"AES-CBC-256 [RFC3602]": "aes256", "AES-CTR-128 [RFC5930]": "aes128ctr", "AES-CTR-192 [RFC5930]": "aes192ctr",
		"AES-CTR-256 [RFC5930]": "aes256ctr", "AES-GCM-128 with 8 octet ICV [RFC5282]": "aes128gcm8",
		"AES-GCM-192 with 8 octet ICV [RFC5282]": "aes192gcm8", "AES-GCM-256 with 8 octet ICV [RFC5282]": "aes256gcm8",
		"AES-GCM-128 with 12 octet ICV [RFC5282]": "aes128gcm12", "AES-GCM-192 with 12 octet ICV [RFC5282]": "aes192gcm12",
		"AES-GCM-256 with 12 octet ICV [RFC5282]": "aes256gcm12", "AES-GCM-128 with 16 octet ICV [RFC5282]": "aes128gcm16",
		"AES-GCM-192 with 16 octet ICV [RFC5282]": "aes192gcm16", "AES-GCM-256 with 16 octet ICV [RFC5282]": "aes256gcm16",
		"AES-CCM-128 with 8 octet ICV [RFC5282]": "aes128ccm8", "AES-CCM-192 with 8 octet ICV [RFC5282]": "aes192ccm8",
		"AES-CCM-256 with 8 octet ICV [RFC5282]": "aes256ccm8", "AES-CCM-128 with 12 octet ICV [RFC5282]": "aes128ccm12",
		"AES-CCM-192 with 12 octet ICV [RFC5282]": "aes192ccm12", "AES-CCM-256 with 12 octet ICV [RFC5282]": "aes256ccm12",
		"AES-CCM-128 with 16 octet ICV [RFC5282]": "aes128ccm16", "AES-CCM-192 with 16 octet ICV [RFC5282]": "aes192ccm16",
		"AES-CCM-256 with 16 octet ICV [RFC5282]": "aes256ccm16",
		"NULL": "null", "TripleDES-CBC [RFC2451]": "3des", "AES-CBC [RFC3602]": "aes", "AES-CTR [RFC3686]": "aesctr",
		"DES-CBC [RFC2405]": "des", "CAST5-CBC [RFC2144]": "cast", "BLOWFISH-CBC [RFC2451]": "blowfish", "AES-GCM [RFC4106]": "aesgcm16",
		"AES-GCM with 8 octet ICV [RFC4106]": "aesgcm8", "AES-GCM with 12 octet ICV [RFC4106]": "aesgcm12",
		"AES-GCM with 16 octet ICV [RFC4106]": "aesgcm16", "chacha20poly1305": "chacha20poly1305", "aes256gcm16": "aes256gcm16",
		"TWOFISH-CBC": "", "": "",
	} {
		got, ok := encryptionNamed(name)
		if ok != (want != "") || ok && suite.RecordedName(got) != want {
			t.Errorf("encryption %q is %v %t, want %q", name, suite.RecordedName(got), ok, want)
		}
	}
	for name, want := range map[string]struct {
		keyword   string
		unchecked int
	}{
		"NONE [RFC4306]": {"none", 0}, "NULL": {"none", 0}, "": {"none", 0},
		"HMAC_MD5_96 [RFC2403]": {"md5", 0}, "HMAC-MD5-96 [RFC2403]": {"md5", 0}, "HMAC_MD5_128 [RFC4595]": {"md5_128", 0},
		"HMAC_SHA1_96 [RFC2404]": {"sha1", 0}, "HMAC-SHA-1-96 [RFC2404]": {"sha1", 0}, "HMAC_SHA1_160 [RFC4595]": {"sha1_160", 0},
		"HMAC_SHA2_256_96 [draft-ietf-ipsec-ciph-sha-256-00]": {"sha256_96", 0}, "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]": {"sha256_96", 0},
		"HMAC_SHA2_256_128 [RFC4868]": {"sha256", 0}, "HMAC-SHA-256-128 [RFC4868]": {"sha256", 0},
		"HMAC_SHA2_384_192 [RFC4868]": {"sha384", 0}, "HMAC-SHA-384-192 [RFC4868]": {"sha384", 0},
		"HMAC_SHA2_512_256 [RFC4868]": {"sha512", 0}, "HMAC-SHA-512-256 [RFC4868]": {"sha512", 0},
		"MAC-RIPEMD-160-96 [RFC2857]": {"none", 12}, "ANY 64 bit authentication [no checking]": {"none", 8},
		"ANY 96 bit authentication [no checking]": {"none", 12}, "ANY 128 bit authentication [no checking]": {"none", 16},
		"ANY 192 bit authentication [no checking]": {"none", 24}, "ANY 256 bit authentication [no checking]": {"none", 32},
		"ANY 64-bits of Authentication [No Checking]": {"none", 8}, "ANY 96-bits of Authentication [No Checking]": {"none", 12},
		"ANY 160-bits of Authentication [No Checking]": {"none", 20}, "ANY 256-bits of Authentication [No Checking]": {"none", 32},
		"ANY 7 bit authentication [no checking]": {}, "ANY bit": {}, "HMAC-WHIRLPOOL": {},
	} {
		got, unchecked, ok := integrityNamed(name)
		keyword := "none"
		if got.ID != 0 {
			keyword = suite.RecordedName(got)
		}
		if ok != (want.keyword != "") || ok && (keyword != want.keyword || unchecked != want.unchecked) {
			t.Errorf("integrity %q is %s, %d octets unchecked, %t; want %+v", name, keyword, unchecked, ok, want)
		}
	}
}

// TestAddressPatterns holds wildcards and prefixes of the ESP table.
func TestAddressPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		v6      bool
		yes, no string
	}{
		{"*", false, "192.0.2.1 10.0.0.1", ""},
		{"192.0.2.1", false, "192.0.2.1", "192.0.2.2 192.0.3.1"},
		{"192.0.2.*", false, "192.0.2.1 192.0.2.255", "192.0.3.1"},
		{"*.0.2.*", false, "192.0.2.1 10.0.2.9", "10.0.3.9"},
		{"192.0.2.0/25", false, "192.0.2.1 192.0.2.127", "192.0.2.128"},
		{"192.0.0.0/13", false, "192.7.2.1", "192.8.0.0"},
		{"*", true, "2001:db8::1", ""},
		{"2001:db8::1", true, "2001:db8::1 2001:db8:0:0::1", "2001:db8::2"},
		{"2001:db8:*::1", true, "2001:db8:77::1 2001:db8:0::1", "2001:db8:77::2"},
		{"2001:db8::*", true, "2001:db8::1 2001:db8::ffff", "2001:db8::1:1"},
		{"2001:db8::/33", true, "2001:db8::1", "2001:db8:8000::1"},
		{"2001:db8::1*2*", true, "2001:db8::1a2b", "2001:db8::1a3b"},
	} {
		p, err := parsePattern(c.pattern, c.v6)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, a := range strings.Fields(c.yes) {
			if !p.matches(netip.MustParseAddr(a)) {
				t.Errorf("%s does not match %s", c.pattern, a)
			}
		}
		for _, a := range strings.Fields(c.no) {
			if p.matches(netip.MustParseAddr(a)) {
				t.Errorf("%s matches %s", c.pattern, a)
			}
		}
	}
	for _, c := range []struct {
		pattern string
		v6      bool
	}{
		{"192.0.2", false}, {"192.0.2.256", false}, {"2001:db8::1", false}, {"192.0.2.1", true}, {"*.0.2", false}, {"1.2.3.*/33", false},
		{"*::*::*", true}, {"12345::*", true}, {"x*::1", true}, {"fe80::1%eth0", true},
	} {
		if _, err := parsePattern(c.pattern, c.v6); err == nil {
			t.Errorf("%s is accepted", c.pattern)
		}
	}
}

// TestSPIPatterns holds wildcards in SPIs.
func TestSPIPatterns(t *testing.T) {
	row := func(spi string) *Keys {
		return loadKeys(t, tables("", `"IPv4","*","*","`+spi+`","NULL","","NULL",""`))
	}
	a := netip.MustParseAddr(alice)
	for _, c := range []struct {
		pattern string
		spi     uint32
		matches bool
	}{
		{"*", 7, true}, {"0x12345678", 0x12345678, true}, {"0x12345678", 0x12345679, false}, {"0x1234*678", 0x1234f678, true},
		{"0x1234*678", 0x1234f679, false}, {"0x7", 7, true}, {"256", 256, true}, {"256", 0x256, false}, {"0x*", 7, true}, {"0x*", 0x17, false},
	} {
		if got := len(row(c.pattern).esp(a, a, c.spi)) == 1; got != c.matches {
			t.Errorf("%s matches %#x: %t", c.pattern, c.spi, got)
		}
	}
}

// TestRows: what cannot be used is named with its line, and the rest is used.
func TestRows(t *testing.T) {
	const good = `"IPv4","*","*","0x1","NULL","","NULL",""`
	for _, c := range []struct{ row, says string }{
		{`"IPv4","*","*","0x1","NULL",""`, "has 6 values"},
		{`"IPv5","*","*","0x1","NULL","","NULL",""`, "IP version IPv5"},
		{`"IPv4","2001:db8::1","*","0x1","NULL","","NULL",""`, "address 2001:db8::1"},
		{`"IPv4","*","*","0x123456789","NULL","","NULL",""`, "SPI 0x123456789"},
		{`"IPv4","*","*","seven","NULL","","NULL",""`, "SPI seven"},
		{`"IPv4","*","*","0x1","AES-CBC [RFC3602]","0x00","NULL",""`, "does not take a key of 1 octets"},
		{`"IPv4","*","*","0x1","TripleDES-CBC [RFC2451]","0xzz","NULL",""`, "is not hexadecimal"},
		{`"IPv4","*","*","0x1","NULL","","HMAC-WHIRLPOOL",""`, "integrity HMAC-WHIRLPOOL is not known"},
		{`"IPv4","*","*","0x1","NULL","","NULL","","63-bit"`, "sequence numbers of 63-bit"},
		{`"IPv4","*","*","0x1","NULL","","NULL","","64-bit","many"`, "upper half"},
		{`"IPv4","*`, "quotation mark is missing"},
		{`"IPv4"x,"*"`, "a comma must"},
		{`"\xzz"`, "is no octet"},
	} {
		keys, warnings, err := LoadKeys(tables("", "# comment\n\n"+c.row+"\n"+good+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) != 1 || warnings[0].Line != 3 || !strings.Contains(warnings[0].String(), c.says) {
			t.Errorf("%s: %v, want %q in line 3", c.row, warnings, c.says)
		}
		if len(keys.espBySPI[1]) != 1 {
			t.Errorf("%s: the good row is not used", c.row)
		}
	}
	for _, c := range []struct{ row, says string }{
		{"0102030405060708,0102030405060709,aa", "has 3 values"},
		{"01020304050607,0102030405060709,,,\"NULL [RFC2410]\",,,\"NONE [RFC4306]\"", "is no IKE SPI"},
		{"0102030405060708,0102030405060709,xx,,\"NULL [RFC2410]\",,,\"NONE [RFC4306]\"", "not hexadecimal"},
		{"0102030405060708,0102030405060709,00,00,\"AES-CBC-128 [RFC3602]\",,,\"NONE [RFC4306]\"", "does not take a key"},
		{"0102030405060708,0102030405060709,,,\"ROT13\",,,\"NONE [RFC4306]\"", "encryption ROT13"},
		{"0102030405060708,0102030405060709,,,\"NULL [RFC2410]\",,,\"CRC\"", "integrity CRC"},
		{"# ikelab SK_d,0102030405060708,0102030405060709,00", "SK_d has 1 octets"},
		{"# ikelab SK_d,0102030405060708", "has 1 values"},
	} {
		_, warnings, err := LoadKeys(tables(c.row+"\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0].String(), c.says) {
			t.Errorf("%s: %v, want %q", c.row, warnings, c.says)
		}
	}
	if _, _, err := LoadKeys(fstest.MapFS{}); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, warnings, err := LoadKeys(tables("# ikelab is a program, and this a comment\n# ikelab notes, a comment\n", "")); err != nil || len(warnings) != 0 {
		t.Errorf("comments: %v %v", warnings, err)
	}
}

// TestQuotedIKERow takes octets of the IKE table as a string too.
func TestQuotedIKERow(t *testing.T) {
	keys := loadKeys(t, tables(`"initiato","responde","\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f",000102030405060708090a0b0c0d0e0f,"AES-CBC-128 [RFC3602]","0x61",61,"HMAC_SHA1_96 [RFC2404]"`, ""))
	rows := keys.ike[ikeID{wire.SPI([]byte("initiato")), wire.SPI([]byte("responde"))}]
	if len(rows) != 1 || rows[0].algorithms != "aes128 with sha1" {
		t.Fatalf("rows: %+v", keys.ike)
	}
	row := rows[0]
	iv, sealed := make([]byte, 16), make([]byte, 32+12)
	i, _ := row.fromI.Open(nil, iv, sealed, nil, nil)
	r, _ := row.fromR.Open(nil, iv, sealed, nil, nil)
	if string(i) != string(r) {
		t.Error("a string and digits of the same octets are different keys")
	}
}

// TestSplit takes rows apart as Wireshark writes them.
func TestSplit(t *testing.T) {
	for row, want := range map[string][]field{
		`a,b`:                 {{"a", false}, {"b", false}},
		`a,,`:                 {{"a", false}, {"", false}, {"", false}},
		`"a,b","c"`:           {{"a,b", true}, {"c", true}},
		`"\x22k\x22", "x\"y"`: {{`"k"`, true}, {`x"y`, true}},
		`"a""b"`:              {{`a"b`, true}},
		`""`:                  {{"", true}},
	} {
		got, err := split(row)
		if err != nil {
			t.Errorf("%s: %v", row, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(field{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row, diff)
		}
	}
}

// TestSafe quotes whatever could be taken for something of ours.
func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"gw.example.org": "gw.example.org", "a@b": "a@b", "": `""`, "a b": `"a b"`, "a)": `"a)"`, "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`,
		"ü": `"ü"`, "\u202e": `"\u202e"`, "a;b": `"a;b"`,
	} {
		if got := safe(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
