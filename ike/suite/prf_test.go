package suite

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

var prfOfHash = map[string]uint16{
	"sha1": PRFHMACSHA1, "sha256": PRFHMACSHA256, "sha384": PRFHMACSHA384, "sha512": PRFHMACSHA512,
}

func TestPRFSumsAsPublished(t *testing.T) {
	for _, v := range vectors[struct {
		Case, Hash     string
		Key, Data, Sum octets
	}](t, "hmac.json") {
		t.Run(v.Case+" "+v.Hash, func(t *testing.T) {
			prf, err := NewPRF(prfOfHash[v.Hash])
			if err != nil {
				t.Fatal(err)
			}
			if got := prf.Sum(nil, v.Key, v.Data); !bytes.Equal(got, v.Sum) {
				t.Errorf("got %x, want %x", got, v.Sum)
			}
			// In pieces, behind something: the same octets.
			half := len(v.Data) / 2
			if got := prf.Sum([]byte("before"), v.Key, v.Data[:half], nil, v.Data[half:]); !bytes.Equal(got, append([]byte("before"), v.Sum...)) {
				t.Errorf("in pieces: got %x", got)
			}
			if prf.SumBytes() != len(v.Sum) || prf.KeyBytes() != len(v.Sum) || prf.ID() != prfOfHash[v.Hash] {
				t.Errorf("sizes %d and %d, ID %d", prf.SumBytes(), prf.KeyBytes(), prf.ID())
			}
		})
	}
}

func TestPRFPlusLimits(t *testing.T) {
	for hash, id := range prfOfHash {
		prf, err := NewPRF(id)
		if err != nil {
			t.Fatal(err)
		}
		most := 255 * prf.SumBytes()
		all, err := prf.Plus([]byte("key"), []byte("seed"), most)
		if err != nil || len(all) != most {
			t.Errorf("%s: 255 blocks: %d octets, %v", hash, len(all), err)
		}
		// Every length is a prefix of every longer one.
		for _, n := range []int{0, 1, prf.SumBytes() - 1, prf.SumBytes(), prf.SumBytes() + 1, most - 1} {
			if got, err := prf.Plus([]byte("key"), []byte("seed"), n); err != nil || !bytes.Equal(got, all[:n]) {
				t.Errorf("%s: %d octets: %v, or not a prefix", hash, n, err)
			}
		}
		for _, n := range []int{-1, most + 1} {
			if _, err := prf.Plus(nil, nil, n); err == nil || !strings.Contains(err.Error(), "RFC 7296 §2.13") {
				t.Errorf("%s: %d octets: error %v", hash, n, err)
			}
		}
	}
}

func TestNewPRFNamesWhatItLacks(t *testing.T) {
	for _, id := range []uint16{0, 1, 3, 4, 8, 9} {
		if _, err := NewPRF(id); err == nil || !strings.Contains(err.Error(), "PRF(") {
			t.Errorf("PRF %d: error %v", id, err)
		}
	}
}

func TestKDFOfNSS(t *testing.T) {
	for _, v := range vectors[struct {
		PRF, Type                     string
		ID                            int
		IKM, GxyKM, Ni, Nr, Seed, OKM octets
	}](t, "nss_ike_kdf.json") {
		prf, err := NewPRF(prfOfHash[v.PRF])
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		switch v.Type {
		case "ikeGxy":
			// DeriveIKE gives SKEYSEED beside keys of any SA that has this prf.
			got, _, err = DeriveIKE(Proposal{ProtocolIKE, []Transform{{TransformPRF, prf.ID(), 0}, {TransformENCR, EncrAESGCM16, 128}}},
				v.Ni, v.Nr, v.IKM, [8]byte{}, [8]byte{})
		case "ikeV2Rekey":
			got = RekeySKEYSEED(prf, v.IKM, v.GxyKM, v.Ni, v.Nr)
		case "ikePlus":
			got, err = prf.Plus(v.IKM, v.Seed, len(v.OKM))
		default:
			t.Fatalf("unknown type %q", v.Type)
		}
		if err != nil || !bytes.Equal(got, v.OKM) {
			t.Errorf("%s %s %d: got %s, %v; want %x", v.PRF, v.Type, v.ID, hex.EncodeToString(got), err, v.OKM)
		}
	}
}
