package wireshark

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestTsharkDecrypts: with what --out writes, tshark shows the payloads of IKE_AUTH and the packets inside ESP.
func TestTsharkDecrypts(t *testing.T) {
	hosttest.Program(t, "tshark")
	for _, name := range []string{"first-tunnel", "trap", "ipv6-encap", "auth-failure"} {
		t.Run(name, func(t *testing.T) {
			dir := example(t, name)
			// Payload types of RFC 7296 section 3.2 below the Encrypted payload (46): IDi 35, AUTH 39, TSi 44.
			auth := tshark(t, dir, "-Y", "isakmp.exchangetype == 35 && isakmp.flag_i == 1 && isakmp.flag_r == 0", "-T", "fields", "-e", "isakmp.typepayload", "-e", "isakmp.id.data.fqdn")
			if auth == "" {
				t.Fatal("no IKE_AUTH request in the capture")
			}
			for _, line := range strings.Split(strings.TrimSpace(auth), "\n") {
				for _, payload := range []string{"46", "35", "39", "33", "44", "45"} {
					if !strings.Contains(","+strings.SplitN(line, "\t", 2)[0]+",", ","+payload+",") {
						t.Errorf("an IKE_AUTH request lacks payload %s in tshark's eyes: %s", payload, line)
					}
				}
			}
			if name == "auth-failure" {
				if notify := tshark(t, dir, "-Y", "isakmp.exchangetype == 35 && isakmp.notify.msgtype == 24"); notify == "" {
					t.Error("tshark sees no AUTHENTICATION_FAILED")
				}
				return
			}
			for _, filter := range []string{"esp && (icmp.type == 8 || icmpv6.type == 128)", "esp && (icmp.type == 0 || icmpv6.type == 129)"} {
				if inner := tshark(t, dir, "-Y", filter); inner == "" {
					t.Errorf("tshark sees no packet with %s", filter)
				}
			}
			wrong := map[string]string{
				"is not decrypted":           "esp && !esp.protocol",
				"has no valid check value":   "esp && !esp.icv_good == 1",
				"is malformed":               "_ws.malformed",
				"has a wrong checksum":       "ip.checksum.status == 0 || udp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0",
				"is not ESP, ICMP, UDP, IKE": "!(esp || icmp || icmpv6 || udp || isakmp)",
			}
			filtered := func(filter string) string {
				return tshark(t, dir, "-Y", filter, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
			}
			// tshark's start is what costs: one question for all, and each alone where something is wrong.
			if filtered("("+strings.Join(slices.Sorted(maps.Values(wrong)), ") || (")+")") != "" {
				for what, filter := range wrong {
					if found := filtered(filter); found != "" {
						t.Errorf("in tshark's eyes this %s:\n%s", what, found)
					}
				}
				t.Error("something is wrong in tshark's eyes")
			}
			// The keys are what shows it: without them the same question has no answer.
			if err := os.RemoveAll(filepath.Join(dir, wiresharkDir)); err != nil {
				t.Fatal(err)
			}
			if inner := tshark(t, dir, "-Y", "esp && (icmp || icmpv6)"); inner != "" {
				t.Errorf("without keys tshark sees\n%s", inner)
			}
		})
	}
}
