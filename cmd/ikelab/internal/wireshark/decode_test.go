package wireshark

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestDecodeAgreesWithTshark: for the captures of the examples, tshark and decode name the same payloads in the same
// order and have the same plaintexts.
func TestDecodeAgreesWithTshark(t *testing.T) {
	hosttest.Program(t, "tshark")
	for _, name := range examples(t) {
		t.Run(name, func(t *testing.T) {
			dir := example(t, name)
			theirs := tsharkView(t, dir)
			compared := 0
			for _, l := range decoded(t, dir) {
				if l.Kind == "other" {
					continue
				}
				compared++
				want, ok := theirs[l.Frame]
				if !ok {
					t.Fatalf("tshark has no frame %d", l.Frame)
				}
				var got view
				switch l.Kind {
				case "ike":
					for _, p := range l.Payloads {
						got.payloads = append(got.payloads, strconv.Itoa(payloadNumber(t, p)))
					}
					if l.Decrypted != nil {
						got.plain = l.Inner
					}
				case "esp":
					got.plain = l.Inner
				}
				if !slices.Equal(got.payloads, want.payloads) {
					t.Errorf("frame %d: payloads %v, tshark %v", l.Frame, got.payloads, want.payloads)
				}
				if got.plain != want.plain {
					t.Errorf("frame %d: plaintext\n%s, tshark\n%s", l.Frame, got.plain, want.plain)
				}
			}
			if compared == 0 {
				t.Error("nothing was compared")
			}
			t.Logf("%d frames with IKE and ESP compared", compared)
		})
	}
}

// view is what a program sees in a frame.
type view struct {
	payloads []string // types (RFC 7296 §3.2)
	plain    string   // hexadecimal
}

// payloadNumber is the type that a notation names.
func payloadNumber(t *testing.T, notation string) int {
	t.Helper()
	name, _, _ := strings.Cut(notation, "(")
	numbers := map[string]int{
		"SA": 33, "KE": 34, "IDi": 35, "IDr": 36, "CERT": 37, "CERTREQ": 38, "AUTH": 39, "Nonce": 40, "N": 41, "D": 42,
		"V": 43, "TSi": 44, "TSr": 45, "SK": 46, "CP": 47, "EAP": 48, "SKF": 53,
	}
	n, ok := numbers[name]
	if !ok {
		t.Fatalf("payload %q has no number", notation)
	}
	return n
}

// tsharkView is what tshark sees, by frame: payload types in order, and the decrypted octets without padding.
func tsharkView(t *testing.T, dir string) map[int]view {
	t.Helper()
	out := tshark(t, dir, "-T", "fields", "-E", "separator=|", "-e", "frame.number",
		"-e", "isakmp.typepayload", "-e", "esp.decrypted_data")
	views := map[int]view{}
	var encrypted []int // frames with an Encrypted payload
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimRight(line, "\n"), "|")
		frame, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatalf("tshark printed %q", line)
		}
		var v view
		for _, number := range strings.Split(f[1], ",") {
			// SA payloads hold proposals (2) and transforms (3), which tshark lists among the payloads.
			if number != "" && number != "2" && number != "3" {
				v.payloads = append(v.payloads, number)
			}
		}
		if f[2] != "" {
			// The padding stands in front of Pad Length and Next Header.
			pad, err := strconv.ParseUint(f[2][len(f[2])-4:len(f[2])-2], 16, 8)
			if err != nil || len(f[2]) < 2*(int(pad)+2) {
				t.Fatalf("tshark printed %q", line)
			}
			v.plain = f[2][:len(f[2])-2*(int(pad)+2)]
		}
		views[frame] = v
		if slices.Contains(v.payloads, "46") {
			encrypted = append(encrypted, frame)
		}
	}
	// Only raw JSON has the octets of what is inside an Encrypted payload, and it has no frame numbers.
	raw := tshark(t, dir, "-Y", "isakmp.enc.data", "-T", "jsonraw", "-j", "isakmp isakmp.typepayload isakmp.enc.decrypted")
	packets := strings.Split(raw, `"_index"`)[1:]
	if len(packets) != len(encrypted) {
		t.Fatalf("tshark has %d packets with an Encrypted payload, and then %d", len(encrypted), len(packets))
	}
	for i, packet := range packets {
		if m := contained.FindStringSubmatch(packet); m != nil {
			v := views[encrypted[i]]
			v.plain = m[1]
			views[encrypted[i]] = v
		}
	}
	return views
}

// contained are the octets inside an Encrypted payload, in tshark's raw JSON.
var contained = regexp.MustCompile(`"isakmp\.enc\.contained_raw": \[\s*"([0-9a-f]*)"`)
