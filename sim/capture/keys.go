package capture

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
)

// IKEKeys are the keys of one IKE SA (RFC 7296 §2.14), as far as its messages are sealed with them.
type IKEKeys struct {
	SPIi, SPIr [8]byte
	// SKei and SKer are the encryption keys, with the salt or nonce that RFC 5282 and RFC 5930 append.
	SKei, SKer []byte
	// SKai and SKar are the integrity keys, empty with an AEAD.
	SKai, SKar []byte
	// SKd is the key of CHILD SAs' keys. Wireshark has no use for it, ikelab's own decoding does. It may be empty.
	SKd   []byte
	Encr  suite.Transform
	Integ suite.Transform // the zero value with an AEAD
}

// ESPKeys are the keys of one ESP SA, which has one direction.
type ESPKeys struct {
	// Src and Dst are the outer addresses. The zero value of one of them stands for any address, for a
	// capture in which an address translator changes it. One of them must be there.
	Src, Dst netip.Addr
	SPI      uint32
	Encr     suite.Transform
	Integ    suite.Transform // the zero value with an AEAD
	// EncrKey is the encryption key, with the salt or nonce that RFC 4106, RFC 7634 and RFC 3686 append.
	EncrKey  []byte
	IntegKey []byte
	// ESN says that the SA has 64-bit sequence numbers (RFC 4303 §2.2.1).
	ESN bool
}

// Gap is an SA that Wireshark does not show in full.
type Gap struct {
	// SA names it: its SPIs, and its addresses if it is an ESP SA.
	SA string
	// Reason is what Wireshark lacks, and what is shown nevertheless.
	Reason string
}

// String returns a sentence.
func (g Gap) String() string { return g.SA + ": " + g.Reason }

// algorithm is a transform as a map key.
type algorithm struct {
	id      uint16
	keyBits uint16
}

func algorithmOf(t suite.Transform) algorithm { return algorithm{t.ID, t.KeyBits} }

// The names under which Wireshark 4.0 knows algorithms. They are compared letter by letter when it reads a
// table, and the RFC numbers in them are Wireshark's.
var (
	ikeEncryption = map[algorithm]string{
		{suite.EncrAESCBC, 128}:   "AES-CBC-128 [RFC3602]",
		{suite.EncrAESCBC, 192}:   "AES-CBC-192 [RFC3602]",
		{suite.EncrAESCBC, 256}:   "AES-CBC-256 [RFC3602]",
		{suite.EncrAESCTR, 128}:   "AES-CTR-128 [RFC5930]",
		{suite.EncrAESCTR, 192}:   "AES-CTR-192 [RFC5930]",
		{suite.EncrAESCTR, 256}:   "AES-CTR-256 [RFC5930]",
		{suite.EncrAESGCM8, 128}:  "AES-GCM-128 with 8 octet ICV [RFC5282]",
		{suite.EncrAESGCM8, 192}:  "AES-GCM-192 with 8 octet ICV [RFC5282]",
		{suite.EncrAESGCM8, 256}:  "AES-GCM-256 with 8 octet ICV [RFC5282]",
		{suite.EncrAESGCM12, 128}: "AES-GCM-128 with 12 octet ICV [RFC5282]",
		{suite.EncrAESGCM12, 192}: "AES-GCM-192 with 12 octet ICV [RFC5282]",
		{suite.EncrAESGCM12, 256}: "AES-GCM-256 with 12 octet ICV [RFC5282]",
		{suite.EncrAESGCM16, 128}: "AES-GCM-128 with 16 octet ICV [RFC5282]",
		{suite.EncrAESGCM16, 192}: "AES-GCM-192 with 16 octet ICV [RFC5282]",
		{suite.EncrAESGCM16, 256}: "AES-GCM-256 with 16 octet ICV [RFC5282]",
	}
	ikeIntegrity = map[algorithm]string{
		{suite.IntegNone, 0}:           "NONE [RFC4306]",
		{suite.IntegHMACSHA1_96, 0}:    "HMAC_SHA1_96 [RFC2404]",
		{suite.IntegHMACSHA256_128, 0}: "HMAC_SHA2_256_128 [RFC4868]",
		{suite.IntegHMACSHA384_192, 0}: "HMAC_SHA2_384_192 [RFC4868]",
		{suite.IntegHMACSHA512_256, 0}: "HMAC_SHA2_512_256 [RFC4868]",
	}
	// An ESP algorithm has no key length here: Wireshark counts the key's digits.
	espEncryption = map[uint16]string{
		suite.EncrAESCBC:   "AES-CBC [RFC3602]",
		suite.EncrAESCTR:   "AES-CTR [RFC3686]",
		suite.EncrAESGCM8:  "AES-GCM with 8 octet ICV [RFC4106]",
		suite.EncrAESGCM12: "AES-GCM with 12 octet ICV [RFC4106]",
		suite.EncrAESGCM16: "AES-GCM with 16 octet ICV [RFC4106]",
	}
	espIntegrity = map[uint16]string{
		suite.IntegNone:           "NULL",
		suite.IntegHMACSHA1_96:    "HMAC-SHA-1-96 [RFC2404]",
		suite.IntegHMACSHA256_128: "HMAC-SHA-256-128 [RFC4868]",
		suite.IntegHMACSHA384_192: "HMAC-SHA-384-192 [RFC4868]",
		suite.IntegHMACSHA512_256: "HMAC-SHA-512-256 [RFC4868]",
	}
	// espUnchecked are the names for a check value of some length that Wireshark cannot compute.
	espUnchecked = map[uint16]string{
		suite.IntegHMACSHA1_96:    "ANY 96 bit authentication [no checking]",
		suite.IntegHMACSHA256_128: "ANY 128 bit authentication [no checking]",
		suite.IntegHMACSHA384_192: "ANY 192 bit authentication [no checking]",
		suite.IntegHMACSHA512_256: "ANY 256 bit authentication [no checking]",
	}
)

// Gaps of SAs with extended sequence numbers. Their check value covers 32 bits that no packet carries and that
// the table of Wireshark 4.0 cannot state.
const (
	reasonESNUnchecked = "decrypted, but Wireshark 4.0 cannot check the integrity of extended sequence numbers"
	reasonESNMarkedBad = "decrypted, but Wireshark 4.0 calls every integrity check value wrong, " +
		"because it does not know extended sequence numbers"
)

// WriteIKEv2DecryptionTable writes Wireshark's table of that name. It returns the SAs that Wireshark cannot
// decrypt, which stand in the table as comments. The order of the keys is kept.
func WriteIKEv2DecryptionTable(w io.Writer, keys []IKEKeys) ([]Gap, error) {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "# Wireshark's table of IKEv2 keys: initiator's SPI, responder's SPI, SK_ei, SK_er,")
	fmt.Fprintln(out, "# encryption, SK_ai, SK_ar, integrity.")
	var gaps []Gap
	for _, k := range keys {
		encryption, knowsEncryption := ikeEncryption[algorithmOf(k.Encr)]
		integrity, knowsIntegrity := ikeIntegrity[algorithmOf(k.Integ)]
		if !knowsEncryption || !knowsIntegrity {
			gap := Gap{
				SA:     fmt.Sprintf("IKE SA %x %x", k.SPIi, k.SPIr),
				Reason: "left out, because Wireshark cannot decrypt " + names(k.Encr, k.Integ),
			}
			fmt.Fprintf(out, "# %s\n", gap)
			writeIKESA(out, k)
			writeSKd(out, k)
			gaps = append(gaps, gap)
			continue
		}
		fmt.Fprintf(out, "%x,%x,%x,%x,%q,%x,%x,%q\n",
			k.SPIi, k.SPIr, k.SKei, k.SKer, encryption, k.SKai, k.SKar, integrity)
		writeSKd(out, k)
	}
	if err := out.Flush(); err != nil {
		return gaps, fmt.Errorf("capture: writing ikev2_decryption_table: %w", err)
	}
	return gaps, nil
}

// WriteESPSA writes Wireshark's table esp_sa. It returns the SAs that Wireshark cannot decrypt, which stand in
// the table as comments, and those whose integrity it cannot check. The order of the keys is kept.
func WriteESPSA(w io.Writer, keys []ESPKeys) ([]Gap, error) {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, "# Wireshark's table of ESP keys: IP version, source, destination, SPI, encryption, its key,")
	fmt.Fprintln(out, "# integrity, its key.")
	var gaps []Gap
	for _, k := range keys {
		sa := fmt.Sprintf("ESP SA %s>%s 0x%08x", wildcard(k.Src), wildcard(k.Dst), k.SPI)
		encryption, knowsEncryption := espEncryption[k.Encr.ID]
		integrity, knowsIntegrity := espIntegrity[k.Integ.ID]
		integrityKey := hexKey(k.IntegKey)
		if !knowsEncryption || !knowsIntegrity {
			gap := Gap{SA: sa, Reason: "left out, because Wireshark cannot decrypt " + names(k.Encr, k.Integ)}
			fmt.Fprintf(out, "# %s\n", gap)
			writeESPRow(out, k)
			gaps = append(gaps, gap)
			continue
		}
		if k.ESN {
			gap := Gap{SA: sa, Reason: reasonESNMarkedBad}
			if !k.Encr.AEAD() {
				gap.Reason = reasonESNUnchecked
				integrity, integrityKey = espUnchecked[k.Integ.ID], ""
			}
			fmt.Fprintf(out, "# %s\n", gap)
			writeESPRow(out, k)
			gaps = append(gaps, gap)
		}
		fields := []string{version(k), wildcard(k.Src), wildcard(k.Dst), fmt.Sprintf("0x%08x", k.SPI),
			encryption, hexKey(k.EncrKey), integrity, integrityKey}
		fmt.Fprintf(out, "\"%s\"\n", strings.Join(fields, `","`))
	}
	if err := out.Flush(); err != nil {
		return gaps, fmt.Errorf("capture: writing esp_sa: %w", err)
	}
	return gaps, nil
}

// names says which algorithms an SA has.
func names(encr, integ suite.Transform) string {
	if integ.ID == suite.IntegNone {
		return encr.String()
	}
	return encr.String() + " with " + integ.String()
}

// wildcard writes an address as esp_sa has it.
func wildcard(a netip.Addr) string {
	if !a.IsValid() {
		return "*"
	}
	return a.String()
}

// hexKey writes a key as esp_sa has it.
func hexKey(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	return "0x" + hex.EncodeToString(key)
}
