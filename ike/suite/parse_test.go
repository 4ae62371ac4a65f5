package suite

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseProposal(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		text     string
		want     string // what String writes, all derived transforms included
	}{
		{ProtocolIKE, "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519"},
		{ProtocolIKE, "aes128-sha256-modp2048", "aes128-sha256-prfsha256-modp2048"},
		{ProtocolIKE, "aes128-aes256-sha1-sha512-ecp256-x25519", "aes128-aes256-sha1-sha512-prfsha1-prfsha512-ecp256-x25519"},
		{ProtocolIKE, "aes128-sha256-prfsha512-modp2048", "aes128-sha256-prfsha512-modp2048"},
		{ProtocolIKE, "x25519-sha384-aes192ctr", "x25519-sha384-prfsha384-aes192ctr"},
		// As strongSwan does: the integrity keyword says the prf and goes.
		{ProtocolIKE, "aes256gcm16-sha384-ecp384", "aes256gcm16-prfsha384-ecp384"},
		{ProtocolIKE, "chacha20poly1305-aes128gcm8-prfsha256-curve25519", "chacha20poly1305-aes128gcm8-prfsha256-x25519"},
		{ProtocolESP, "aes256gcm16", "aes256gcm16-noesn"},
		{ProtocolESP, "aes256gcm128", "aes256gcm16-noesn"},
		{ProtocolESP, "aes256gcm", "aes256gcm16-noesn"},
		{ProtocolESP, "aes-sha", "aes128-sha1-noesn"},
		{ProtocolESP, "aes256-sha512-esn-noesn", "aes256-sha512-esn-noesn"},
		{ProtocolESP, "aes256gcm12-x25519-esn", "aes256gcm12-x25519-esn"},
		{ProtocolAH, "sha256", "sha256-noesn"},
	} {
		p, err := ParseProposal(c.protocol, c.text)
		if err != nil {
			t.Errorf("%v %q: %v", c.protocol, c.text, err)
			continue
		}
		if got := p.String(); got != c.want || p.Protocol != c.protocol {
			t.Errorf("%v %q: got %v %q, want %q", c.protocol, c.text, p.Protocol, got, c.want)
		}
	}
}

func TestParseProposalPointsAtTheMistake(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		text     string
		keyword  string
		offset   int
		suggest  string
		later    bool
		says     string
	}{
		{ProtocolIKE, "aes256gmc16-prfsha384-x25519", "aes256gmc16", 0, "aes256gcm16", false, `did you mean "aes256gcm16"?`},
		{ProtocolIKE, "aes256gcm16-prfsha348-x25519", "prfsha348", 12, "prfsha384", false, "not an algorithm keyword"},
		{ProtocolIKE, "aes256gcm16-prfsha384-X25519", "X25519", 22, "x25519", false, "did you mean"},
		{ProtocolIKE, "AES256GCM16-prfsha384-x25519", "AES256GCM16", 0, "aes256gcm16", false, "did you mean"},
		{ProtocolIKE, "aes128-sha256-modp", "modp", 14, "modp2048", false, "did you mean"},
		{ProtocolIKE, "aes128-sha256-ecp", "ecp", 14, "ecp256", false, "did you mean"},
		{ProtocolIKE, "aes25-sha256-x25519", "aes25", 0, "aes256", false, "did you mean"},
		{ProtocolIKE, "aes128-sha256-modp2048!", "modp2048!", 14, "modp2048", false, "did you mean"},
		{ProtocolIKE, "aes128-sha256-qqqqqqqq", "qqqqqqqq", 14, "", false, "docs/language.md"},
		{ProtocolIKE, "aes128-sha256-" + strings.Repeat("x", 1000), strings.Repeat("x", 1000), 14, "", false, "docs/language.md"},
		{ProtocolIKE, "aes256gcm16-prfsha384-x25519-ke1_mlkem768", "ke1_mlkem768", 29, "", true, "known but not available yet; choose among x25519, ecp256"},
		{ProtocolIKE, "3des-sha1-modp2048", "3des", 0, "", true, "choose among aes128gcm16"},
		{ProtocolIKE, "aes128ccm16-prfsha256-x25519", "aes128ccm16", 0, "", true, "not available yet"},
		{ProtocolIKE, "camellia128-sha256-x25519", "camellia128", 0, "", true, "not available yet"},
		{ProtocolIKE, "aes128-aesxcbc-x25519", "aesxcbc", 7, "", true, "choose among sha1, sha256, sha384, sha512"},
		{ProtocolIKE, "aes128-sha256-prfaesxcbc-x25519", "prfaesxcbc", 14, "", true, "choose among prfsha1"},
		{ProtocolIKE, "aes128-sha256-curve448", "curve448", 14, "", true, "not available yet"},
		{ProtocolIKE, "aes128-sha256-modp1024", "modp1024", 14, "", true, "not available yet"},
		{ProtocolIKE, "", "", 0, "", false, "the proposal is empty"},
		{ProtocolIKE, "aes128--sha256", "", 7, "", false, "a keyword is missing here"},
		{ProtocolIKE, "aes128-", "", 7, "", false, "a keyword is missing here"},
		{ProtocolIKE, "aes128-sha256-x25519, aes256-sha512-x25519", "x25519, aes256", 14, "", false, "an entry of its own"},
		{ProtocolIKE, "aes128-sha256-default", "default", 14, "", false, "an entry of its own"},
		{ProtocolIKE, "aes128-sha256-x25519-aes128", "aes128", 21, "", false, `repeats "aes128"`},
		{ProtocolIKE, "aes-sha256-x25519-aes128", "aes128", 18, "", false, `"aes128" repeats "aes"`},
		{ProtocolIKE, "aes128-sha256-x25519-esn", "esn", 21, "", false, "does not belong into a proposal for IKE"},
		{ProtocolESP, "aes128-sha256-prfsha256", "prfsha256", 14, "", false, "does not belong into a proposal for ESP"},
		{ProtocolAH, "aes128-sha256", "aes128", 0, "", false, "AH does not encrypt"},
		{ProtocolIKE, "aes256gcm16-prfsha384", "aes256gcm16-prfsha384", 0, "", false, "needs a key exchange method"},
		{ProtocolIKE, "aes256gcm16-x25519", "aes256gcm16-x25519", 0, "", false, "needs a pseudorandom function"},
		{ProtocolIKE, "prfsha256-x25519", "prfsha256-x25519", 0, "", false, "needs an encryption algorithm"},
		{ProtocolIKE, "aes128-prfsha256-x25519", "aes128-prfsha256-x25519", 0, "", false, `"aes128" does not protect integrity`},
		{ProtocolESP, "aes128", "aes128", 0, "", false, "does not protect integrity"},
		{ProtocolESP, "sha256", "sha256", 0, "", false, "needs an encryption algorithm"},
		{ProtocolAH, "esn", "esn", 0, "", false, "needs an integrity algorithm"},
		{ProtocolESP, "aes128gcm16-sha256", "sha256", 12, "", false, "has no place beside it"},
		{ProtocolIKE, "aes128gcm16-sha256-prfsha256-x25519", "sha256", 12, "", false, "leave it out"},
		{ProtocolESP, "aes128gcm16-aes128-sha256", "aes128", 12, "", false, "write two proposals"},
	} {
		_, err := ParseProposal(c.protocol, c.text)
		var e *KeywordError
		if !errors.As(err, &e) {
			t.Errorf("%v %q: error %v", c.protocol, c.text, err)
			continue
		}
		got := []any{e.Keyword, e.Offset, e.Suggest, e.KnownLater}
		if diff := cmp.Diff([]any{c.keyword, c.offset, c.suggest, c.later}, got); diff != "" {
			t.Errorf("%v %q (-want +got):\n%s", c.protocol, c.text, diff)
		}
		if !strings.Contains(e.Error(), c.says) {
			t.Errorf("%v %q: %q does not say %q", c.protocol, c.text, e, c.says)
		}
	}
}

func TestDefaults(t *testing.T) {
	var texts []string
	for _, p := range append(DefaultIKE(), DefaultESP()...) {
		texts = append(texts, p.Protocol.String()+" "+p.String())
	}
	if diff := cmp.Diff([]string{
		"IKE aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-" +
			"x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp6144-modp8192-modp2048",
		"IKE aes256-aes128-aes256ctr-aes128ctr-sha256-sha384-sha512-prfsha384-prfsha256-prfsha512-" +
			"x25519-ecp256-ecp384-ecp521-modp3072-modp4096-modp6144-modp8192-modp2048",
		"ESP aes256gcm16-aes128gcm16-chacha20poly1305-noesn-esn",
		"ESP aes256-aes128-aes256ctr-aes128ctr-sha256-sha384-sha512-noesn-esn",
	}, texts); diff != "" {
		t.Errorf("docs/language.md and every golden digest rest on these (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		protocol Protocol
		list     []Proposal
	}{{ProtocolIKE, DefaultIKE()}, {ProtocolESP, DefaultESP()}} {
		parsed, err := ParseProposals(c.protocol, "default")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.list, parsed); diff != "" {
			t.Errorf("%v (-constructed +parsed):\n%s", c.protocol, diff)
		}
		if first, err := ParseProposal(c.protocol, "default"); err != nil || first.String() != c.list[0].String() {
			t.Errorf("%v: ParseProposal: %v, %v", c.protocol, first, err)
		}
		for _, p := range c.list {
			// The defaults are complete, and writing them out means the same.
			again, err := ParseProposals(c.protocol, p.String())
			if err != nil {
				t.Errorf("%v %v: %v", c.protocol, p, err)
				continue
			}
			if diff := cmp.Diff([]Proposal{p}, again); diff != "" {
				t.Errorf("%v %v (-default +parsed):\n%s", c.protocol, p, diff)
			}
			if strings.Contains(p.String(), "sha1") {
				t.Errorf("%v: SHA-1 is in a default", p)
			}
		}
	}
	if _, err := ParseProposal(ProtocolAH, "default"); err == nil {
		t.Error("AH has a default")
	}
	DefaultIKE()[0].Transforms[0].ID = 99
	if DefaultIKE()[0].Transforms[0].ID == 99 {
		t.Error("the defaults share memory")
	}
}

// TestEveryKeywordWorks makes of every keyword what it names: a keyword that
// parses and then fails in use would be a lie.
func TestEveryKeywordWorks(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range keywords {
		if seen[k.name] || later(k.name) {
			t.Errorf("%q is listed twice", k.name)
		}
		seen[k.name] = true
		var err error
		switch k.t.Type {
		case TransformENCR:
			_, err = EncrKeyBytes(k.t)
		case TransformINTEG:
			_, err = IntegKeyBytes(k.t)
		case TransformPRF:
			_, err = NewPRF(k.t.ID)
		case TransformKE:
			_, err = NewKeyExchange(k.t.ID)
		}
		if err != nil {
			t.Errorf("%q: %v", k.name, err)
		}
	}
	for _, l := range laterKeywords {
		for _, name := range strings.Fields(l.names) {
			if seen[name] {
				t.Errorf("%q is listed twice", name)
			}
			seen[name] = true
		}
	}
}

func TestTransformNames(t *testing.T) {
	for _, c := range []struct {
		t    Transform
		want string
	}{
		{Transform{TransformENCR, EncrAESGCM16, 256}, "aes256gcm16"},
		{Transform{TransformENCR, EncrAESCBC, 128}, "aes128"},
		{Transform{TransformKE, KEX25519, 0}, "x25519"},
		{Transform{TransformESN, ESNNo, 0}, "noesn"},
		{Transform{TransformENCR, 23, 256}, "ENCR(23,256)"},
		{Transform{TransformENCR, 3, 0}, "ENCR(3)"},
		{Transform{6, 36, 0}, "transform type 6(36)"},
		{Transform{}, "none"},
	} {
		if got := c.t.String(); got != c.want {
			t.Errorf("%#v: got %q, want %q", c.t, got, c.want)
		}
	}
}

// FuzzParseProposal: whatever parses writes itself out in keywords that parse to
// the same, and whatever does not says where in the text.
func FuzzParseProposal(f *testing.F) {
	for _, s := range []string{
		"aes256gcm16-prfsha384-x25519", "aes128-sha256-modp2048", "aes256-sha512-esn-noesn", "default", "",
		"aes256gcm16-sha384-ecp384", "3des-sha1-modp1024", "aes256gcm16-ke1_mlkem768", "aes--", "sha256", "aes128, aes256",
	} {
		for p := ProtocolIKE; p <= ProtocolESP; p++ {
			f.Add(byte(p), s)
		}
	}
	f.Fuzz(func(t *testing.T, protocol byte, text string) {
		list, err := ParseProposals(Protocol(protocol), text)
		var e *KeywordError
		switch {
		case errors.As(err, &e):
			if e.Offset < 0 || e.Offset > len(text) || !strings.HasPrefix(text[e.Offset:], e.Keyword) || e.Problem == "" {
				t.Fatalf("%q: %+v does not point into the text", text, e)
			}
			if _, known := transformOf(e.Suggest); e.Suggest != "" && !known {
				t.Fatalf("%q: suggests %q, which is no keyword", text, e.Suggest)
			}
			return
		case err != nil:
			t.Fatalf("%q: %T is not a *KeywordError", text, err)
		}
		for _, p := range list {
			again, err := ParseProposal(Protocol(protocol), p.String())
			if err != nil {
				t.Fatalf("%q became %q, which does not parse: %v", text, p, err)
			}
			if diff := cmp.Diff(p, again); diff != "" {
				t.Fatalf("%q became %q (-first +again):\n%s", text, p, diff)
			}
		}
	})
}

// TestAllKeywordErrors holds that every keyword that is wrong or not available is named,
// once and in its place.
func TestAllKeywordErrors(t *testing.T) {
	for text, want := range map[string]string{
		"3des-md5-modp1024":            "3des@0 md5@5 modp1024@9",
		"aes128-shaa256-ecp192-ecp192": "shaa256@7 ecp192@15",
		"aes128-modp768":               "modp768@7",
		"aes128-sha256-modp2048":       "",
	} {
		_, err := ParseProposals(ProtocolIKE, text)
		got := ""
		for _, e := range AllKeywordErrors(err) {
			got += fmt.Sprintf(" %s@%d", e.Keyword, e.Offset)
			if !strings.Contains(err.Error(), e.Error()) {
				t.Errorf("%q: %v does not say %v", text, err, e)
			}
		}
		if strings.TrimSpace(got) != want || (err == nil) != (want == "") {
			t.Errorf("%q: %q (%v), want %q", text, got, err, want)
		}
	}
}
