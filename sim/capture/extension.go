package capture

import (
	"bufio"
	"fmt"

	"github.com/ikelab/ikelab/ike/suite"
)

// extension begins a line that is a comment to Wireshark and that `ikelab decode` reads: what Wireshark's tables
// have no room for (docs/decode.md).
const extension = "# ikelab "

// writeSKd writes the key from which the keys of CHILD SAs follow (RFC 7296 §2.17), where it is known.
func writeSKd(w *bufio.Writer, k IKEKeys) {
	if len(k.SKd) > 0 {
		fmt.Fprintf(w, "%sSK_d,%x,%x,%x\n", extension, k.SPIi, k.SPIr, k.SKd)
	}
}

// writeIKESA writes a row with swanctl.conf's names for algorithms.
func writeIKESA(w *bufio.Writer, k IKEKeys) {
	fmt.Fprintf(w, "%sSA,%x,%x,%x,%x,%q,%x,%x,%q\n", extension,
		k.SPIi, k.SPIr, k.SKei, k.SKer, k.Encr.String(), k.SKai, k.SKar, integrityName(k.Integ))
}

// writeESPRow writes a row with swanctl.conf's names for algorithms, and with the size of sequence numbers.
func writeESPRow(w *bufio.Writer, k ESPKeys) {
	size := "32-bit"
	if k.ESN {
		size = "64-bit"
	}
	fmt.Fprintf(w, "%sSA,%q,%q,%q,\"0x%08x\",%q,%q,%q,%q,%q\n", extension, version(k), wildcard(k.Src), wildcard(k.Dst), k.SPI,
		k.Encr.String(), hexKey(k.EncrKey), integrityName(k.Integ), hexKey(k.IntegKey), size)
}

// integrityName is swanctl.conf's name, or Wireshark's for none.
func integrityName(t suite.Transform) string {
	if t.ID == suite.IntegNone {
		return "NULL"
	}
	return t.String()
}

// version is the IP version as esp_sa has it.
func version(k ESPKeys) string {
	if k.Src.Is6() || k.Dst.Is6() {
		return "IPv6"
	}
	return "IPv4"
}
