package decode

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// notifies3GPP are notifications of the private ranges by which 3GPP's networks
// and phones speak to each other (TS 24.302 §8.1.2, TS 24.502 §9.2.4.1). Others may
// use the same numbers, so what a line tells of them ends in the number.
var notifies3GPP = map[wire.NotifyType]string{
	8192: "PDN_CONNECTION_REJECTION", 8193: "MAX_CONNECTION_REACHED", 8241: "SEMANTIC_ERROR_IN_THE_TFT_OPERATION",
	8242: "SYNTACTICAL_ERROR_IN_THE_TFT_OPERATION", 8244: "SEMANTIC_ERRORS_IN_PACKET_FILTERS", 8245: "SYNTACTICAL_ERRORS_IN_PACKET_FILTERS",
	9000: "NON_3GPP_ACCESS_TO_EPC_NOT_ALLOWED", 9001: "USER_UNKNOWN", 9002: "NO_APN_SUBSCRIPTION", 9003: "AUTHORIZATION_REJECTED",
	9006: "ILLEGAL_ME", 10500: "NETWORK_FAILURE", 11001: "RAT_TYPE_NOT_ALLOWED", 11005: "IMEI_NOT_ACCEPTED", 11011: "PLMN_NOT_ALLOWED",
	11055: "UNAUTHENTICATED_EMERGENCY_NOT_SUPPORTED", 15500: "CONGESTION",
	40961: "REACTIVATION_REQUESTED_CAUSE", 41041: "BACKOFF_TIMER", 41050: "PDN_TYPE_IPv4_ONLY_ALLOWED", 41051: "PDN_TYPE_IPv6_ONLY_ALLOWED",
	41101: "DEVICE_IDENTITY", 41112: "EMERGENCY_SUPPORT", 41134: "EMERGENCY_CALL_NUMBERS", 41288: "NBIFOM_GENERIC_CONTAINER",
	41304: "P_CSCF_RESELECTION_SUPPORT", 41501: "PTI", 42011: "IKEV2_MULTIPLE_BEARER_PDN_CONNECTIVITY", 42014: "EPS_QOS",
	42015: "EXTENDED_EPS_QOS", 42017: "TFT", 42020: "MODIFIED_BEARER", 42094: "APN_AMBR", 42095: "EXTENDED_APN_AMBR",
	51015: "N1_MODE_CAPABILITY", 51115: "N1_MODE_INFORMATION", 55500: "N1_MODE_S_NSSAI_PLMN_ID", 55501: "5G_QOS_INFO",
	55502: "NAS_IP4_ADDRESS", 55503: "NAS_IP6_ADDRESS", 55504: "UP_IP4_ADDRESS", 55505: "UP_IP6_ADDRESS", 55506: "NAS_TCP_PORT",
}

// notifyName is a notification in a list for programs.
func notifyName(t wire.NotifyType) string {
	if name, ok := notifies3GPP[t]; ok {
		return name
	}
	return t.String()
}

// notification is a notification with its data, where a person needs them.
func notification(n *wire.Notify) string {
	parts := []string{notifyName(n.Kind)}
	if len(n.SPI) > 0 {
		parts = append(parts, n.Protocol.String(), hex.EncodeToString(n.SPI[:min(len(n.SPI), textOctetsMax)]))
	}
	if data, ok := notifyData(n); !ok {
		parts = append(parts, octets(n.Data)) // not what it must be, or nobody's
	} else if data != "" {
		parts = append(parts, data)
	}
	if notifies3GPP[n.Kind] != "" {
		parts = append(parts, fmt.Sprintf("3GPP %d", n.Kind))
	}
	return "N(" + strings.Join(parts, " ") + ")"
}

// octets are hexadecimal digits, cut.
func octets(b []byte) string {
	if len(b) > notifyOctetsMax {
		return "0x" + hex.EncodeToString(b[:notifyOctetsMax]) + "…"
	}
	return "0x" + hex.EncodeToString(b)
}

// notifyOctetsMax cuts the data of a notification that are shown as they are.
const notifyOctetsMax = 16

// notifyData is what the data of a notification say. It is empty where they say
// nothing to a person; ok is false where they are not what they must be, or the
// notification is not known.
func notifyData(n *wire.Notify) (said string, ok bool) {
	b := n.Data
	number := func() (uint32, bool) {
		if len(b) != 4 {
			return 0, false
		}
		return binary.BigEndian.Uint32(b), true
	}
	switch n.Kind {
	case wire.InvalidKEPayload: // RFC 7296 §1.3
		if len(b) == 2 {
			return groupOf(binary.BigEndian.Uint16(b)), true
		}
	case wire.UnsupportedCriticalPayload: // RFC 7296 §2.5
		if len(b) == 1 {
			return strconv.Itoa(int(b[0])), true
		}
	case wire.InvalidMessageID, wire.SetWindowSize: // RFC 7296 §2.3
		if v, ok := number(); ok {
			return strconv.FormatUint(uint64(v), 10), true
		}
	case wire.AuthLifetime: // RFC 4478 §3
		if v, ok := number(); ok {
			return strconv.FormatUint(uint64(v), 10) + "s", true
		}
	case wire.InvalidSPI: // RFC 7296 §1.5
		if v, ok := number(); ok {
			return fmt.Sprintf("0x%08x", v), true
		}
		return "", len(b) == 0
	case wire.InvalidSelectors: // RFC 7296 §2.9: the front of the packet
		if q := parseQuote(b); q != nil {
			return "about " + string(q.appendText(nil)), true
		}
		return "", len(b) == 0
	case wire.AdditionalIP4Address, wire.AdditionalIP6Address: // RFC 4555 §4.2
		want := 4
		if n.Kind == wire.AdditionalIP6Address {
			want = 16
		}
		if a, valid := netip.AddrFromSlice(b); valid && len(b) == want {
			return a.String(), true
		}
	case wire.Redirect, wire.RedirectedFrom: // RFC 5685 §6.2, §6.3
		return gateway(n.Kind, b)
	case wire.SignatureHashAlgorithms: // RFC 7427 §4
		return numbers(b, hashNames, "hash")
	case wire.SecurePasswordMethods: // RFC 6467 §3
		return numbers(b, passwordNames, "method")
	case wire.IPCompSupported: // RFC 7296 §2.22
		if len(b) == 3 {
			return fmt.Sprintf("cpi 0x%04x %s", binary.BigEndian.Uint16(b), named(ipcompNames, uint16(b[2]), "transform")), true
		}
	case wire.TicketLTOpaque: // RFC 5723 §7.2
		if len(b) > 4 {
			return fmt.Sprintf("%ds, %s", binary.BigEndian.Uint32(b), count(len(b)-4, "octet", "octets")), true
		}
	case wire.Puzzle: // RFC 8019 §8.1
		if len(b) == 3 {
			prf := suite.Transform{Type: suite.TransformPRF, ID: binary.BigEndian.Uint16(b)}
			return fmt.Sprintf("%s, %s", transformName(prf), count(int(b[2]), "bit", "bits")), true
		}
	case wire.PPKIdentity: // RFC 8784 §5.1
		if len(b) > 1 {
			return fmt.Sprintf("type %d %s", b[0], text(b[1:])), true
		}
	case wire.IKEv2MessageIDSync: // RFC 6311 §5.2
		if len(b) == 12 {
			return fmt.Sprintf("sends %d, expects %d", binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])), true
		}
	case wire.IPsecReplayCounterSync: // RFC 6311 §5.4: 4 octets, or 8 with ESN
		switch len(b) {
		case 4:
			return fmt.Sprintf("+%d", binary.BigEndian.Uint32(b)), true
		case 8:
			return fmt.Sprintf("+%d", binary.BigEndian.Uint64(b)), true
		}
	case wire.Cookie, wire.Cookie2, wire.NATDetectionSourceIP, wire.NATDetectionDestinationIP, wire.NoPPKAuth, wire.PSKConfirm,
		wire.TicketOpaque, wire.TicketRequest, wire.QuickCrashDetection, wire.RedirectSupported, wire.AdditionalKeyExchange, wire.PSKPersist:
		return "", true // random octets and hashes
	case backoffTimer:
		return backoff(b)
	}
	return "", len(b) == 0
}

// numbers is a list of numbers of 16 bits by name.
func numbers(b []byte, names map[uint16]string, what string) (string, bool) {
	if len(b) == 0 || len(b)%2 != 0 {
		return "", false
	}
	var parts []string
	for i := 0; i < len(b); i += 2 {
		if len(parts) == attributesMax {
			parts = append(parts, fmt.Sprintf("… %d more", (len(b)-i)/2))
			break
		}
		parts = append(parts, named(names, binary.BigEndian.Uint16(b[i:]), what))
	}
	return strings.Join(parts, " "), true
}

// named is a number by its name, or with a word in front.
func named(names map[uint16]string, n uint16, what string) string {
	if name, ok := names[n]; ok {
		return name
	}
	return fmt.Sprintf("%s %d", what, n)
}

// Names of IANA's registries.
var (
	hashNames     = map[uint16]string{1: "sha1", 2: "sha256", 3: "sha384", 4: "sha512", 5: "identity", 6: "streebog256", 7: "streebog512"}
	passwordNames = map[uint16]string{1: "PACE", 2: "AugPAKE", 3: "SPSK"}
	ipcompNames   = map[uint16]string{1: "OUI", 2: "DEFLATE", 3: "LZS", 4: "LZJH"}
)

// gateway is where a client is sent, or was: a type, a length, and an address or a
// name; the nonce of the request may follow.
func gateway(kind wire.NotifyType, b []byte) (string, bool) {
	if len(b) < 2 || len(b) < 2+int(b[1]) {
		return "", false
	}
	word := "to "
	if kind == wire.RedirectedFrom {
		word = "from "
	}
	id := b[2 : 2+int(b[1])]
	switch {
	case b[0] == 1 && len(id) == 4, b[0] == 2 && len(id) == 16:
		a, _ := netip.AddrFromSlice(id) // it has the length of one
		return word + a.String(), true
	case b[0] == 3 && len(id) > 0:
		return word + text(id), true
	}
	return "", false
}

// backoffTimer is 3GPP's BACKOFF_TIMER.
const backoffTimer wire.NotifyType = 41041

// backoff is how long a phone must not try again (TS 24.302 §8.2.9.1): a length
// and a timer of three bits for the unit and five for the count (TS 24.008
// §10.5.7.4a).
func backoff(b []byte) (string, bool) {
	if len(b) != 2 || b[0] != 1 {
		return "", false
	}
	n := int(b[1] & 0x1f)
	switch b[1] >> 5 {
	case 0:
		return strconv.Itoa(10*n) + "min", true
	case 1:
		return strconv.Itoa(n) + "h", true
	case 2:
		return strconv.Itoa(10*n) + "h", true
	case 3:
		return strconv.Itoa(2*n) + "s", true
	case 4:
		return strconv.Itoa(30*n) + "s", true
	case 5:
		return strconv.Itoa(n) + "min", true
	case 6:
		return strconv.Itoa(320*n) + "h", true
	}
	return "deactivated", true
}
