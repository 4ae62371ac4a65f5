package wire

import (
	"strings"
	"testing"
)

func TestNotify(t *testing.T) {
	roundTrip(t, []roundTripCase{
		{"status without data", &Notify{Kind: MOBIKESupported}, "00 00 400c", "N(MOBIKE_SUPPORTED)"},
		{"NAT detection", &Notify{Kind: NATDetectionSourceIP, Data: make([]byte, 20)}, "00 00 4004" + repeat("00", 20), "N(NAT_DETECTION_SOURCE_IP)"},
		{"wanted key exchange method", &Notify{Kind: InvalidKEPayload, Data: []byte{0, 19}}, "00 00 0011 0013", "N(INVALID_KE_PAYLOAD ecp256)"},
		{"critical payload", &Notify{Kind: UnsupportedCriticalPayload, Data: []byte{55}}, "00 00 0001 37", "N(UNSUPPORTED_CRITICAL_PAYLOAD 55)"},
		{
			"rekeyed SA", &Notify{Protocol: ProtocolESP, SPI: []byte{1, 2, 3, 4}, Kind: RekeySA},
			"03 04 4009 01020304", "N(REKEY_SA ESP 01020304)",
		},
		{"private status", &Notify{Kind: 40960, Data: []byte{1}}, "00 00 a000 01", "N(NOTIFY_40960)"},
	})
	refuse(t, PayloadNotify, []refusal{
		{"cut", "00 00 40", "Notify Message Type", 4},
		{"SPI longer than the payload", "03 04 4009 010203", "SPI", 8},
	})
	refuseToWrite(t, []unwritable{{"SPI of 256 octets", &Notify{SPI: make([]byte, 256)}, "SPI Size"}})
}

// Every name must be unique and in the registry's spelling, and the boundary of
// RFC 7296 §3.10.1 decides what is an error.
func TestNotifyTypeNames(t *testing.T) {
	seen := map[string]NotifyType{}
	for kind, name := range notifyNames {
		if other, ok := seen[name]; ok {
			t.Errorf("%s names both %d and %d", name, kind, other)
		}
		seen[name] = kind
		if name != "USE_ASSIGNED_HoA" && name != strings.ToUpper(name) {
			t.Errorf("%q is not in capitals", name)
		}
	}
	for kind, want := range map[NotifyType]bool{StateNotFound: true, 16383: true, InitialContact: false, 65535: false} {
		if kind.IsError() != want {
			t.Errorf("%s.IsError() = %t", kind, !want)
		}
	}
}
