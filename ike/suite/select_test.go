package suite

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// proposals reads a list for one protocol, separated by spaces, and completes
// nothing: it is what came over the wire. Transforms without a keyword are
// written ":TYPE/ID".
func proposals(t testing.TB, p Protocol, s string) []Proposal {
	t.Helper()
	var out []Proposal
	for _, text := range strings.Fields(s) {
		x := Proposal{Protocol: p}
		for _, word := range strings.Split(text, "-") {
			switch word {
			case ":INTEG/0":
				x.Transforms = append(x.Transforms, Transform{Type: TransformINTEG})
			case ":KE/0":
				x.Transforms = append(x.Transforms, Transform{Type: TransformKE})
			case ":6/36": // an additional key exchange of RFC 9370
				x.Transforms = append(x.Transforms, Transform{Type: 6, ID: 36})
			case ":ENCR/3":
				x.Transforms = append(x.Transforms, Transform{Type: TransformENCR, ID: 3})
			default:
				x.Transforms = append(x.Transforms, transform(t, word))
			}
		}
		out = append(out, x)
	}
	return out
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name, own, peer string
		protocol        Protocol
		chosen          string // empty: nothing fits
		index           int
		mismatch        string
	}{
		{"the same", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519", ProtocolIKE,
			"aes256gcm16-prfsha384-x25519", 0, ""},
		{"our order of transforms decides", "aes256gcm16-aes128gcm16-prfsha384-prfsha256-x25519-ecp256", "ecp256-x25519-prfsha256-prfsha384-aes128gcm16-aes256gcm16", ProtocolIKE,
			"aes256gcm16-prfsha384-x25519", 0, ""},
		{"our order of proposals decides", "aes256gcm16-prfsha384-x25519 aes128-sha256-prfsha256-x25519", "aes128-sha256-prfsha256-x25519 aes256gcm16-prfsha384-x25519", ProtocolIKE,
			"aes256gcm16-prfsha384-x25519", 1, ""},
		{"the first of the peer's that fits", "aes128-sha256-prfsha256-x25519", "aes256-sha256-prfsha256-x25519 aes128-sha256-prfsha256-x25519 aes128-sha256-prfsha256-x25519", ProtocolIKE,
			"aes128-sha256-prfsha256-x25519", 1, ""},
		{"key lengths must be equal", "aes256gcm16-prfsha384-x25519", "aes128gcm16-prfsha384-x25519", ProtocolIKE,
			"", 0, "no encryption in common: we have aes256gcm16, the peer offers aes128gcm16"},
		{"key exchange", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-ecp256-modp2048", ProtocolIKE,
			"", 0, "no key exchange in common: we have x25519, the peer offers ecp256, modp2048"},
		{"prf", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha256-x25519", ProtocolIKE,
			"", 0, "no pseudorandom function in common: we have prfsha384, the peer offers prfsha256"},
		{"the closest pair explains", "aes256gcm16-prfsha384-x25519 aes128-sha256-prfsha256-ecp256", "aes128-sha512-prfsha256-ecp256", ProtocolIKE,
			"", 0, "no integrity in common: we have sha256, the peer offers sha512"},
		{"of equally close pairs the first explains", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha256-x25519 aes128gcm16-prfsha384-x25519", ProtocolIKE,
			"", 0, "no pseudorandom function in common: we have prfsha384, the peer offers prfsha256"},
		{"an algorithm that nobody here knows", "aes256-sha1-prfsha1-x25519", ":ENCR/3-sha1-prfsha1-x25519", ProtocolIKE,
			"", 0, "no encryption in common: we have aes256, the peer offers ENCR(3)"},
		{"a type that nobody here knows", "aes256gcm16-prfsha384-x25519", "aes256gcm16-prfsha384-x25519-:6/36", ProtocolIKE,
			"", 0, "no transform type 6 in common: we have none, the peer offers transform type 6(36)"},
		{"an AEAD with integrity NONE", "aes256gcm16-noesn", "aes256gcm16-:INTEG/0-noesn", ProtocolESP,
			"aes256gcm16-noesn", 0, ""},
		{"an AEAD with integrity", "aes256gcm16-noesn", "aes256gcm16-sha256-noesn", ProtocolESP,
			"", 0, "no integrity in common: we have none, the peer offers sha256"},
		{"esn by our preference", "aes256gcm16-esn-noesn", "aes256gcm16-noesn-esn", ProtocolESP,
			"aes256gcm16-esn", 0, ""},
		{"only noesn in common", "aes256gcm16-esn-noesn", "aes256gcm16-noesn", ProtocolESP,
			"aes256gcm16-noesn", 0, ""},
		{"esn only", "aes256gcm16-esn", "aes256gcm16-noesn", ProtocolESP,
			"", 0, "no sequence number size in common: we have esn, the peer offers noesn"},
		{"a child that says nothing about esn", "aes256gcm16-noesn", "aes256gcm16", ProtocolESP,
			"", 0, "no sequence number size in common: we have noesn, the peer offers none"},
		{"a child's own exchange", "aes256gcm16-x25519-noesn", "aes256gcm16-x25519-noesn", ProtocolESP,
			"aes256gcm16-x25519-noesn", 0, ""},
		{"a child's own exchange that the peer may go without", "aes256gcm16-noesn", "aes256gcm16-x25519-:KE/0-noesn", ProtocolESP,
			"aes256gcm16-noesn", 0, ""},
		{"a child's own exchange that the peer does not offer", "aes256gcm16-x25519-noesn", "aes256gcm16-noesn", ProtocolESP,
			"", 0, "no key exchange in common: we have x25519, the peer offers none"},
		{"nothing of our own", "", "aes256gcm16-noesn", ProtocolESP, "", 0, "no proposal of our own"},
		{"nothing offered", "aes256gcm16-noesn", "", ProtocolESP, "", 0, "the peer offers no proposal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			own, peer := proposals(t, c.protocol, c.own), proposals(t, c.protocol, c.peer)
			chosen, index, ok := Select(own, peer)
			if ok != (c.chosen != "") {
				t.Fatalf("ok is %v, chosen %v", ok, chosen)
			}
			if got := Mismatch(own, peer); got != c.mismatch {
				t.Errorf("Mismatch: got %q, want %q", got, c.mismatch)
			}
			if !ok {
				return
			}
			want := proposals(t, c.protocol, c.chosen)[0]
			slices.SortStableFunc(want.Transforms, func(a, b Transform) int { return int(a.Type) - int(b.Type) })
			if diff := cmp.Diff(want, chosen); diff != "" || index != c.index {
				t.Errorf("proposal %d of the peer, want %d (-want +got):\n%s", index, c.index, diff)
			}
		})
	}
}

func TestSelectKeepsProtocolsApart(t *testing.T) {
	own := []Proposal{{ProtocolESP, []Transform{transform(t, "sha256"), transform(t, "noesn")}}}
	peer := []Proposal{{ProtocolAH, own[0].Transforms}}
	if _, _, ok := Select(own, peer); ok {
		t.Error("ESP and AH fit")
	}
	if got, want := Mismatch(own, peer), "the peer offers AH, we have ESP"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFirstChildHasNoExchange(t *testing.T) {
	own := proposals(t, ProtocolESP, "aes256gcm16-x25519-noesn")[0]
	peer := proposals(t, ProtocolESP, "aes256gcm16-noesn")
	if got := own.Without(TransformKE).String(); got != "aes256gcm16-noesn" {
		t.Errorf("got %q", got)
	}
	if _, _, ok := Select([]Proposal{own.Without(TransformKE)}, peer); !ok {
		t.Error("they do not fit")
	}
	if own.String() != "aes256gcm16-x25519-noesn" {
		t.Errorf("Without changed its proposal to %v", own)
	}
}

// TestSelectIsSound holds for any two lists over few algorithms: what is chosen
// has one transform of each type that both lists' proposals name, a choice
// exists exactly when the other side would find one too, and Mismatch speaks
// exactly when there is none.
func TestSelectIsSound(t *testing.T) {
	pool := []Transform{
		transform(t, "aes128"), transform(t, "aes256"), transform(t, "sha1"), transform(t, "sha256"),
		{Type: TransformINTEG}, transform(t, "prfsha1"), transform(t, "prfsha256"), transform(t, "x25519"), {Type: TransformKE},
	}
	lists := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Proposal {
		return Proposal{ProtocolIKE, rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 1, 6, rapid.ID).Draw(r, "transforms")}
	}), 1, 3)
	rapid.Check(t, func(r *rapid.T) {
		own, peer := lists.Draw(r, "own"), lists.Draw(r, "peer")
		chosen, index, ok := Select(own, peer)
		if _, _, other := Select(peer, own); other != ok {
			r.Fatalf("one side finds a proposal, the other does not")
		}
		if (Mismatch(own, peer) == "") != ok {
			r.Fatalf("Mismatch says %q, ok is %v", Mismatch(own, peer), ok)
		}
		if !ok {
			return
		}
		for i, x := range chosen.Transforms {
			if i > 0 && chosen.Transforms[i-1].Type >= x.Type {
				r.Fatalf("%v: not one of each type, ascending", chosen)
			}
			found := false
			for _, y := range peer[index].Transforms {
				found = found || x == y
			}
			if !found {
				r.Fatalf("%v is not in the peer's %v", x, peer[index])
			}
		}
		for _, y := range peer[index].Transforms {
			if _, has := chosen.Find(y.Type); !has && !optional(y.Type) {
				r.Fatalf("%v has no %v, which the peer's %v names", chosen, y.Type, peer[index])
			}
		}
	})
}
