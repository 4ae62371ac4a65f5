package decode

import (
	"strconv"

	"github.com/ikelab/ikelab/ike/wire"
)

// flagV1Encrypted is the encryption bit of an IKEv1 header (RFC 2408 §3.1).
const flagV1Encrypted wire.Flags = 1

// exchangesV1 are IKEv1's exchange types (RFC 2408 §3.1, RFC 2409 appendix A, and
// the configuration method that all call by this name).
var exchangesV1 = map[wire.ExchangeType]string{
	0: "NONE", 1: "Base", 2: "Main Mode", 3: "Authentication Only", 4: "Aggressive Mode", 5: "Informational",
	6: "Transaction", 32: "Quick Mode", 33: "New Group Mode", 34: "Acknowledged Informational",
}

// exchangeName is an exchange for people, empty where the version has none that
// is known.
func exchangeName(h wire.Header) string {
	switch h.MajorVersion {
	case 2:
		return h.Exchange.String()
	case 1:
		if name, ok := exchangesV1[h.Exchange]; ok {
			return name
		}
		return "exchange " + strconv.Itoa(int(h.Exchange))
	}
	return ""
}
