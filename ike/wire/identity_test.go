package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestParseIdentity holds what swanctl's notations mean, and that what only looks like
// a name is not taken for one.
func TestParseIdentity(t *testing.T) {
	for text, want := range map[string]string{
		"%any": "0:", "%any6": "0:", "0.0.0.0": "0:", "::": "0:",
		"192.0.2.1": "1:\xc0\x00\x02\x01", "2001:db8::1": "5: \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
		"gw.example.org": "2:gw.example.org", "@gw": "2:gw", "gw_1.example.org.": "2:gw_1.example.org.", "büro.example": "2:büro.example", "10-gw": "2:10-gw",
		"a.b+c@example.org": "3:a.b+c@example.org", "@@user@example.org": "3:user@example.org",
		"@#0a1B": "11:\x0a\x1b", "@#0a:1b:2c": "11:\x0a\x1b\x2c", "keyid:gate A": "11:gate A", "keyid:#00ff": "11:\x00\xff", "keyid:*": "11:*",
		"fqdn:10.0.0.256": "2:10.0.0.256", "FQDN:x": "2:x", "dns:x": "2:x", "email:x": "3:x", "rfc822:a@b": "3:a@b", "userfqdn:a@b": "3:a@b",
		"ipv4:192.0.2.1": "1:\xc0\x00\x02\x01", "ipv4:#c0000201": "1:\xc0\x00\x02\x01",
		"ipv6:2001:db8::1": "5: \x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		kind, data, err := ParseIdentity(text)
		if got := fmt.Sprintf("%d:%s", uint8(kind), data); err != nil || got != want {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
	for later, texts := range map[string][]string{
		laterPattern: {"*", "*@example.org", "user@*", "user@*.example.org", "*.example.org", "gw.*", "@*.example.org", "@@*@x", "fqdn:*.example.org", "dns:*.x", "email:*@x"},
		laterPrefix:  {"192.0.2.0/24", "192.0.2.0/33", "2001:db8::/32", "0.0.0.0/0", "::/0", "ipv4net:192.0.2.0/24", "ipv6net:2001:db8::/32"},
		laterRange:   {"10.0.0.1-10.0.0.9", "2001:db8::1-2001:db8::9", "ipv4range:10.0.0.1-10.0.0.9", "IPv6Range:::1-::2"},
		laterDN:      {"CN=gw", "C=DE, O=x, CN=gw:1", "/C=DE/CN=gw", "asn1dn:#3000", "ASN1DN:CN=x", "@~3000", "/gw"},
		laterGN:      {"asn1gn:#3000", "xmppaddr:a@b"},
		"": {
			"10.0.0.256", "10.0.0", "10.0.0.1.2", "10.0.0.5-9", "010.0.0.1", "2001:db8::g", "fe80::1%eth0", "2001:db8:", "fqdn:", "keyid:", "@", "@@", "user@", "a@b@",
			"foo:bar", "mailto:a@b", "IP:192.0.2.1", "DNS Name:x", "DER_ASN1_DN:x", "uri:http://x", "FQDN/gw.example.org", "user@192.0.2.0/24", "@[gate]", "{2}:gw", "%fromcert", "%myid",
			"two words", "gw.example.org ", "a..b", ".example.org", "gw\n", "fqdn:a\x00b", "@#", "@#abc", "@#xy", "keyid:0x0a", "keyid:#0", "ipv4:2001:db8::1", "ipv6:192.0.2.1",
			"ipv4:192.0.2.0/24", "ipv4:#c00002", "[2001:db8::1]", "192.0.2.1:500", "a,b", "", strings.Repeat("x", identityTextBytesMax+1), "\xff",
		},
	} {
		for _, text := range texts {
			kind, data, err := ParseIdentity(text)
			var e *IdentityError
			if !errors.As(err, &e) || e.Later != later || e.Reason == "" {
				t.Errorf("%q: type %d, %q, error %v, want one of the kind %q", text, kind, data, err, later)
			}
		}
	}
}

// FuzzParseIdentity holds that what is read can be written, and that an unmarked name
// holds nothing that makes a pattern or another program's notation.
func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"gw.example.org", "@#0a", "ipv4:#00000000", "user@x", "keyid:#ff", "::1", "*@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind, data, err := ParseIdentity(text)
		if err != nil || kind == 0 {
			return
		}
		p := &ID{Kind: PayloadIDi, IDType: kind, Data: data}
		if _, err := p.appendBody(nil); err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		if marked := strings.ContainsAny(text, "@:"); kind == IDTypeFQDN && !marked && strings.ContainsAny(string(data), "*/%[]{}, \n") {
			t.Fatalf("%q is taken for a name", text)
		}
	})
}
