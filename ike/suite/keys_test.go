package suite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestACVPChain follows one SA of NIST's ACVP from its shared secret through
// its keys, two children and its rekeying. The stream of keys is published as
// one octet string, 132 octets of prf+.
func TestACVPChain(t *testing.T) {
	for _, v := range vectors[struct {
		Gir, GirNew, NInit, NResp, SPIInit, SPIResp octets
		SKeySeed, DerivedKeyingMaterial             octets
		DerivedKeyingMaterialChild                  octets
		DerivedKeyingMaterialDH                     octets
		SKeySeedReKey                               octets
	}](t, "acvp_ikev2_sha1.json") {
		prf, err := NewPRF(PRFHMACSHA1)
		if err != nil {
			t.Fatal(err)
		}
		// With these algorithms the seven keys take the 132 published octets exactly.
		chosen, err := ParseProposal(ProtocolIKE, "aes128-sha1-modp2048")
		if err != nil {
			t.Fatal(err)
		}
		seed, keys, err := DeriveIKE(chosen, v.NInit, v.NResp, v.Gir, [8]byte(v.SPIInit), [8]byte(v.SPIResp))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "SKEYSEED", seed, v.SKeySeed)
		stream := concat(keys.D, keys.Ai, keys.Ar, keys.Ei, keys.Er, keys.Pi, keys.Pr)
		equal(t, "IKE keys", stream, v.DerivedKeyingMaterial[:len(stream)])
		if len(stream) != 132 {
			t.Errorf("keys have %d octets, all 132 were to be compared", len(stream))
		}

		child := Proposal{ProtocolESP, []Transform{transform(t, "aes256"), transform(t, "sha256"), transform(t, "noesn")}}
		for _, c := range []struct {
			name   string
			shared []byte
			want   []byte
		}{
			{"child", nil, v.DerivedKeyingMaterialChild},
			{"child with its own exchange", v.GirNew, v.DerivedKeyingMaterialDH},
		} {
			k, err := DeriveChild(prf, v.DerivedKeyingMaterial[:20], child, v.NInit, v.NResp, c.shared)
			if err != nil {
				t.Fatal(err)
			}
			stream := concat(k.EncrI, k.IntegI, k.EncrR, k.IntegR)
			equal(t, c.name, stream, c.want[:len(stream)])
		}
		equal(t, "rekey SKEYSEED", RekeySKEYSEED(prf, v.DerivedKeyingMaterial[:20], v.GirNew, v.NInit, v.NResp), v.SKeySeedReKey)
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

// TestAOSPVectors follows an IKE_SA_INIT and IKE_AUTH that AOSP's tests carry.
func TestAOSPVectors(t *testing.T) {
	dir := os.Getenv("IKELAB_CAPTURES")
	if dir == "" {
		t.Skip("captures of others: set IKELAB_CAPTURES to the directory that holds them")
	}
	raw, err := os.ReadFile(filepath.Join(dir, "packets", "aosp_ike_2019_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]map[string]any
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	from := func(file, name string) []byte {
		t.Helper()
		for path, values := range files {
			if s, ok := values[name].(string); ok && strings.HasSuffix(path, "/"+file) {
				return unhex(t, s)
			}
		}
		t.Fatalf("%s has no %s", file, name)
		return nil
	}
	sa := func(name string) []byte { return from("SaRecordTest.java", name+"_HEX_STRING") }
	ni, nr := sa("IKE_NONCE_INIT"), sa("IKE_NONCE_RESP")
	chosen := Proposal{ProtocolIKE, []Transform{transform(t, "aes128"), transform(t, "sha1"), transform(t, "prfsha1")}}
	seed, keys, err := DeriveIKE(chosen, ni, nr, sa("IKE_SHARED_DH_KEY"),
		[8]byte(from("SaRecordTest.java", "IKE_INIT_SPI")), [8]byte(from("SaRecordTest.java", "IKE_RESP_SPI")))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "SKEYSEED", seed, sa("IKE_SKEYSEED"))
	equal(t, "SK_d", keys.D, sa("IKE_SK_D"))
	equal(t, "SK_ai", keys.Ai, sa("IKE_SK_AUTH_INIT"))
	equal(t, "SK_ar", keys.Ar, sa("IKE_SK_AUTH_RESP"))
	equal(t, "SK_ei", keys.Ei, sa("IKE_SK_ENCR_INIT"))
	equal(t, "SK_er", keys.Er, sa("IKE_SK_ENCR_RESP"))
	equal(t, "SK_pi", keys.Pi, sa("IKE_SK_PRF_INIT"))
	equal(t, "SK_pr", keys.Pr, sa("IKE_SK_PRF_RESP"))

	prf, err := NewPRF(PRFHMACSHA1)
	if err != nil {
		t.Fatal(err)
	}
	child, err := DeriveChild(prf, keys.D, Proposal{ProtocolESP, []Transform{transform(t, "aes128"), transform(t, "sha1")}}, ni, nr, nil)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "child encryption, initiator", child.EncrI, sa("FIRST_CHILD_ENCR_INIT"))
	equal(t, "child integrity, initiator", child.IntegI, sa("FIRST_CHILD_AUTH_INIT"))
	equal(t, "child encryption, responder", child.EncrR, sa("FIRST_CHILD_ENCR_RESP"))
	equal(t, "child integrity, responder", child.IntegR, sa("FIRST_CHILD_AUTH_RESP"))

	psk := func(name string) []byte { return from("IkeAuthPskPayloadTest.java", name) }
	signed := SignedOctets(prf, psk("PSK_IKE_INIT_REQUEST_HEX_STRING"), psk("PSK_NONCE_RESP_HEX_STRING"),
		psk("PSK_SKP_HEX_STRING"), psk("PSK_ID_INITIATOR_PAYLOAD_HEX_STRING"))
	equal(t, "signed octets", signed, from("IkeAuthPayloadTest.java", "PSK_INIT_SIGNED_OCTETS"))
	equal(t, "AUTH", AuthPSK(prf, psk("PSK_HEX_STRING"), signed), psk("PSK_AUTH_PAYLOAD_SIGNATURE_HEX_STRING"))

	// The IKE_AUTH request itself, opened with the keys derived above.
	body := func(name string) []byte { return from("IkeEncryptedPayloadBodyTest.java", name) }
	c, err := NewCrypter(transform(t, "aes128"), transform(t, "sha1"), keys.Ei, keys.Ai)
	if err != nil {
		t.Fatal(err)
	}
	aad := concat(body("IKE_AUTH_INIT_REQUEST_HEADER"), body("IKE_AUTH_INIT_REQUEST_SK_HEADER"))
	text := body("IKE_AUTH_INIT_REQUEST_ENCRYPT_PADDED_DATA")
	if err := c.Open(body("IKE_AUTH_INIT_REQUEST_IV"), text, body("IKE_AUTH_INIT_REQUEST_CHECKSUM"), aad, nil); err != nil {
		t.Fatal(err)
	}
	plain := body("IKE_AUTH_INIT_REQUEST_UNENCRYPTED_DATA")
	equal(t, "IKE_AUTH request", text[:len(plain)], plain)
}

// TestAuthPSK writes RFC 7296 §2.15 out with Go's HMAC:
// prf(prf(secret, "Key Pad for IKEv2"), message | nonce | prf(SK_p, ID body)).
func TestAuthPSK(t *testing.T) {
	mac := func(key []byte, data ...[]byte) []byte {
		m := hmac.New(sha256.New, key)
		m.Write(bytes.Join(data, nil))
		return m.Sum(nil)
	}
	message, nonce, skp, id := ramp(1, 300), ramp(2, 32), ramp(3, 32), ramp(4, 12)
	prf, err := NewPRF(PRFHMACSHA256)
	if err != nil {
		t.Fatal(err)
	}
	signed := SignedOctets(prf, message, nonce, skp, id)
	equal(t, "signed octets", signed, bytes.Join([][]byte{message, nonce, mac(skp, id)}, nil))
	pad := unhex(t, "4b6579 20 506164 20 666f72 20 494b457632")
	equal(t, "AUTH", AuthPSK(prf, []byte("secret"), signed), mac(mac([]byte("secret"), pad), signed))
}

// TestKeyLayout checks what goes where by algorithm: the lengths, that no key
// reaches into the next, and that the order is RFC 7296's.
func TestKeyLayout(t *testing.T) {
	for _, c := range []struct {
		proposal         string
		prf, integ, encr int
	}{
		{"aes256gcm16-prfsha384-x25519", 48, 0, 36},
		{"aes128gcm8-prfsha256-x25519", 32, 0, 20},
		{"chacha20poly1305-prfsha512-x25519", 64, 0, 36},
		{"aes192ctr-sha256-prfsha1-x25519", 20, 32, 28},
		{"aes256-sha512-prfsha256-x25519", 32, 64, 32},
		{"aes128-sha1-prfsha1-x25519", 20, 20, 16},
	} {
		chosen, err := ParseProposal(ProtocolIKE, c.proposal)
		if err != nil {
			t.Fatal(err)
		}
		seed, k, err := DeriveIKE(chosen, ramp(1, 32), ramp(2, 32), ramp(3, 32), [8]byte{1}, [8]byte{2})
		if err != nil {
			t.Fatal(err)
		}
		if len(k.D) != c.prf || len(k.Pi) != c.prf || len(k.Pr) != c.prf || len(k.Ai) != c.integ || len(k.Ar) != c.integ ||
			len(k.Ei) != c.encr || len(k.Er) != c.encr {
			t.Errorf("%s: lengths D %d, Ai %d, Ei %d, Pi %d", c.proposal, len(k.D), len(k.Ai), len(k.Ei), len(k.Pi))
		}
		prf, _ := NewPRF(mustFind(t, chosen, TransformPRF).ID)
		want, err := prf.Plus(seed, concat(ramp(1, 32), ramp(2, 32), []byte{1, 0, 0, 0, 0, 0, 0, 0}, []byte{2, 0, 0, 0, 0, 0, 0, 0}), 3*c.prf+2*c.integ+2*c.encr)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.proposal, concat(k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr), want)
		_ = append(k.D, 0xff) // must not write into Ai or Ei
		equal(t, c.proposal+" after an append", concat(k.D, k.Ai, k.Ar, k.Ei, k.Er, k.Pi, k.Pr), want)
	}
}

func TestDeriveFailuresNameWhatIsMissing(t *testing.T) {
	prf, _ := NewPRF(PRFHMACSHA256)
	for _, c := range []struct {
		p    Proposal
		want string
	}{
		{Proposal{ProtocolIKE, nil}, "no pseudorandom function"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, 9, 0}}}, "PRF(9)"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, PRFHMACSHA256, 0}}}, "no encryption"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, PRFHMACSHA256, 0}, {TransformENCR, 3, 0}}}, "ENCR(3)"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, PRFHMACSHA256, 0}, {TransformENCR, EncrAESCBC, 128}}}, "no integrity"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, PRFHMACSHA256, 0}, {TransformENCR, EncrAESCBC, 128}, {TransformINTEG, 5, 0}}}, "INTEG(5)"},
		{Proposal{ProtocolIKE, []Transform{{TransformPRF, PRFHMACSHA256, 0}, {TransformENCR, EncrAESCBC, 100}}}, "ENCR(12,100)"},
	} {
		if _, _, err := DeriveIKE(c.p, nil, nil, nil, [8]byte{}, [8]byte{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want %q in it", c.p, err, c.want)
		}
	}
	if _, err := DeriveChild(prf, nil, Proposal{ProtocolESP, nil}, nil, nil, nil); err == nil {
		t.Error("a child without encryption has keys")
	}
	if k, err := DeriveChild(prf, nil, Proposal{ProtocolAH, []Transform{{TransformINTEG, IntegHMACSHA256_128, 0}}}, nil, nil, nil); err != nil || len(k.EncrI) != 0 || len(k.IntegR) != 32 {
		t.Errorf("AH: %v, %d and %d octets", err, len(k.EncrI), len(k.IntegR))
	}
}

func mustFind(t *testing.T, p Proposal, ty TransformType) Transform {
	t.Helper()
	x, ok := p.Find(ty)
	if !ok {
		t.Fatalf("%v has no %v", p, ty)
	}
	return x
}
