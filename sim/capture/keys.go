package capture

import (
	"io"
	"net/netip"

	"github.com/ikelab/ikelab/ike/suite"
)

// IKEKeys are the keys of one IKE SA (RFC 7296 §2.14), as far as its messages are sealed with them.
type IKEKeys struct {
	SPIi, SPIr [8]byte
	// SKei and SKer are the encryption keys, with the salt or nonce that RFC 5282 and RFC 5930 append.
	SKei, SKer []byte
	// SKai and SKar are the integrity keys, empty with an AEAD.
	SKai, SKar []byte
	Encr       suite.Transform
	Integ      suite.Transform // the zero value with an AEAD
}

// ESPKeys are the keys of one ESP SA, which has one direction.
type ESPKeys struct {
	// Src and Dst are the outer addresses. The zero value of one of them stands for any address, for a
	// capture in which an address translator changes it.
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
	// Reason is a sentence: what Wireshark lacks, and what is shown nevertheless.
	Reason string
}

// WriteIKEv2DecryptionTable writes Wireshark's table of that name. It returns the SAs that Wireshark cannot
// decrypt, which stand in the table as comments.
func WriteIKEv2DecryptionTable(w io.Writer, keys []IKEKeys) ([]Gap, error) {
	return nil, nil
}

// WriteESPSA writes Wireshark's table esp_sa. It returns the SAs that Wireshark cannot decrypt, which stand in
// the table as comments, and those whose integrity it cannot check.
func WriteESPSA(w io.Writer, keys []ESPKeys) ([]Gap, error) {
	return nil, nil
}

// WriteProfile writes a Wireshark configuration with both tables: preferences that turn decryption on, columns
// and colours. create makes a file of a name without folders. The folder serves as WIRESHARK_CONFIG_DIR, or
// copied to the personal folder "profiles" as a profile for "wireshark -C".
func WriteProfile(create func(name string) (io.WriteCloser, error), ike []IKEKeys, esp []ESPKeys) ([]Gap, error) {
	return nil, nil
}
