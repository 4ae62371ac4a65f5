package capture

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node/host/hosttest"
)

// writeRun writes a capture and a profile into a fresh folder, as a run does with --out.
func writeRun(t *testing.T, packets [][]byte, ike []IKEKeys, esp []ESPKeys) (capture, profile string, gaps []Gap) {
	t.Helper()
	folder := t.TempDir()
	capture, profile = filepath.Join(folder, "capture.pcapng"), filepath.Join(folder, "wireshark")
	file, err := os.Create(capture)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(file, epoch)
	end := w.AddInterface("gw-a.wan")
	for i, p := range packets {
		if err := w.Packet(Dur(i)*time.Millisecond, end, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(profile, 0o755); err != nil {
		t.Fatal(err)
	}
	gaps, err = WriteProfile(func(name string) (io.WriteCloser, error) {
		return os.Create(filepath.Join(profile, name))
	}, ike, esp)
	if err != nil {
		t.Fatal(err)
	}
	return capture, profile, gaps
}

// fields are the values of one packet, by Wireshark's field name.
type fields map[string][]string

func (f fields) has(name, value string) bool {
	return slices.Contains(f[name], value)
}

// dissect runs tshark over a capture. Anything that it says about a table it cannot read fails the test.
func dissect(t *testing.T, tshark, capture, configuration string, args ...string) []fields {
	t.Helper()
	command := exec.Command(tshark, append([]string{"-r", capture, "-T", "json", "--no-duplicate-keys"}, args...)...)
	command.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+configuration)
	var out, messages bytes.Buffer
	command.Stdout, command.Stderr = &out, &messages
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, &messages)
	}
	for line := range strings.Lines(messages.String()) {
		if !strings.HasPrefix(line, "Running as user") {
			t.Errorf("tshark complains: %s", line)
		}
	}
	var packets []struct {
		Source struct {
			Layers map[string]any `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(out.Bytes(), &packets); err != nil {
		t.Fatal(err)
	}
	var dissected []fields
	for _, p := range packets {
		f := fields{}
		flatten(f, "", p.Source.Layers)
		dissected = append(dissected, f)
	}
	return dissected
}

// flatten collects the values of tshark's tree.
func flatten(f fields, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, v := range v {
			flatten(f, name, v)
		}
	case []any:
		for _, v := range v {
			flatten(f, name, v)
		}
	case string:
		f[name] = append(f[name], v)
	}
}

// tshark shows what an IKE_AUTH request carries and finds its check value right, on port 500 and behind the
// non-ESP marker on port 4500. A changed bit it finds wrong, so that its approval means something.
func TestTsharkDecryptsIKE(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	tests := []struct{ encr, integ suite.Transform }{
		{gcm8(128), none}, {gcm8(192), none}, {gcm8(256), none},
		{gcm12(128), none}, {gcm12(192), none}, {gcm12(256), none},
		{gcm16(128), none}, {gcm16(192), none}, {gcm16(256), none},
		{cbc(128), sha1}, {cbc(192), sha384}, {cbc(256), sha256}, {cbc(256), sha512},
		{ctr(128), sha1}, {ctr(192), sha512}, {ctr(256), sha256},
	}
	const identity = "gw-a.example.org"
	var keys []IKEKeys
	var packets [][]byte
	for i, test := range tests {
		k := ikeKeys(t, i, test.encr, test.integ)
		keys = append(keys, k)
		message := ikeAuth(t, k, identity)
		forged := bytes.Clone(message)
		forged[len(forged)-1] ^= 1 // the last byte of the check value
		packets = append(packets,
			udpPacket(netip.AddrPortFrom(link4.gwA, 500), netip.AddrPortFrom(link4.gwB, 500), message),
			udpPacket(netip.AddrPortFrom(link6.gwA, 4500), netip.AddrPortFrom(link6.gwB, 4500),
				append(wire.NonESPMarker[:], message...)),
			udpPacket(netip.AddrPortFrom(link4.gwA, 500), netip.AddrPortFrom(link4.gwB, 500), forged))
	}
	capture, profile, gaps := writeRun(t, packets, keys, nil)
	if len(gaps) != 0 {
		t.Errorf("gaps: %v", gaps)
	}
	dissected := dissect(t, tshark, capture, profile)
	for i, test := range tests {
		t.Run(names(test.encr, test.integ), func(t *testing.T) {
			for j, what := range []string{"on port 500", "on port 4500", "forged"} {
				p := dissected[3*i+j]
				_, wrong := p["isakmp.ikev2.integrity_checksum"]
				if forged := what == "forged"; wrong != forged {
					t.Errorf("%s: tshark finds the check value wrong: %v", what, wrong)
				}
				if !p.has("isakmp.id.data.fqdn", identity) {
					t.Errorf("%s: the identity is not shown; got %v", what, p)
				}
			}
		})
	}
}

// tshark shows the inner packet of ESP, raw and in UDP, and finds its check value right; a changed bit it finds
// wrong.
func TestTsharkDecryptsESP(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	tests := []struct{ encr, integ suite.Transform }{
		{gcm8(128), none}, {gcm8(192), none}, {gcm8(256), none},
		{gcm12(128), none}, {gcm12(192), none}, {gcm12(256), none},
		{gcm16(128), none}, {gcm16(192), none}, {gcm16(256), none},
		{cbc(128), sha1}, {cbc(128), sha256}, {cbc(192), sha512}, {cbc(256), sha384}, {cbc(256), sha512},
		{ctr(128), sha256}, {ctr(192), sha384}, {ctr(256), sha1},
	}
	links := []struct {
		name string
		link
	}{{"IPv4", link4}, {"IPv6", link6}}
	var keys []ESPKeys
	var packets [][]byte
	for i, test := range tests {
		for _, l := range links {
			k := l.espKeys(t, i, test.encr, test.integ)
			keys = append(keys, k)
			sealed := espPacket(t, k, 5, l.echoRequest())
			forged := bytes.Clone(sealed)
			forged[len(forged)-1] ^= 1
			packets = append(packets,
				ipPacket(l.gwA, l.gwB, 50, sealed),
				udpPacket(netip.AddrPortFrom(l.gwA, 4500), netip.AddrPortFrom(l.gwB, 4500), sealed),
				ipPacket(l.gwA, l.gwB, 50, forged))
		}
	}
	capture, profile, gaps := writeRun(t, packets, nil, keys)
	if len(gaps) != 0 {
		t.Errorf("gaps: %v", gaps)
	}
	dissected := dissect(t, tshark, capture, profile)
	for _, test := range tests {
		for _, l := range links {
			t.Run(names(test.encr, test.integ)+" "+l.name, func(t *testing.T) {
				for _, what := range []string{"raw", "in UDP", "forged"} {
					p := dissected[0]
					dissected = dissected[1:]
					good, bad := "1", "0"
					if what == "forged" {
						good, bad = "0", "1"
					}
					if !p.has("esp.icv_good", good) || !p.has("esp.icv_bad", bad) {
						t.Errorf("%s: check value good %v, bad %v", what, p["esp.icv_good"], p["esp.icv_bad"])
					}
					l.checkInner(t, what, p)
				}
			})
		}
	}
}

// checkInner looks for the ping between the hosts.
func (l link) checkInner(t *testing.T, what string, p fields) {
	t.Helper()
	address, icmp, request := "ip.dst", "icmp.type", "8"
	if l.hostB.Is6() {
		address, icmp, request = "ipv6.dst", "icmpv6.type", "128"
	}
	if !p.has(address, l.hostB.String()) || !p.has(icmp, request) {
		t.Errorf("%s: the inner ping to %v is not shown; got %v", what, l.hostB, p)
	}
}

// With extended sequence numbers tshark 4.0 shows the inner packet and has no way to check the integrity. The
// gaps say which of the two SAs it will mark as wrong.
func TestTsharkShowsESN(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	tests := []struct {
		encr, integ suite.Transform
		bad         string
		reason      string
	}{
		{cbc(256), sha256, "0", reasonESNUnchecked},
		{ctr(128), sha384, "0", reasonESNUnchecked},
		{gcm16(128), none, "1", reasonESNMarkedBad},
	}
	for _, test := range tests {
		t.Run(names(test.encr, test.integ), func(t *testing.T) {
			k := link4.espKeys(t, 0, test.encr, test.integ)
			k.ESN = true
			capture, profile, gaps := writeRun(t, [][]byte{
				ipPacket(link4.gwA, link4.gwB, 50, espPacket(t, k, 5, link4.echoRequest())),
				ipPacket(link4.gwA, link4.gwB, 50, espPacket(t, k, 7<<32|5, link4.echoRequest())),
			}, nil, []ESPKeys{k})
			want := []Gap{{SA: "ESP SA 192.0.2.1>192.0.2.2 0xc1a2b300", Reason: test.reason}}
			if diff := cmp.Diff(want, gaps); diff != "" {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			for _, p := range dissect(t, tshark, capture, profile) {
				link4.checkInner(t, "ESN", p)
				if !p.has("esp.icv_bad", test.bad) || !p.has("esp.icv_good", "0") {
					t.Errorf("check value good %v, bad %v; the gap says otherwise", p["esp.icv_good"], p["esp.icv_bad"])
				}
			}
		})
	}
}

// What Wireshark 4.0 cannot decrypt leaves the table readable, and the SAs around it are shown.
func TestTsharkReadsTablesWithGaps(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	ike := []IKEKeys{ikeKeys(t, 1, chacha, none), ikeKeys(t, 2, gcm16(256), none)}
	esp := []ESPKeys{link4.espKeys(t, 1, chacha, none), link4.espKeys(t, 2, gcm16(256), none)}
	capture, profile, gaps := writeRun(t, [][]byte{
		udpPacket(netip.AddrPortFrom(link4.gwA, 500), netip.AddrPortFrom(link4.gwB, 500), ikeAuth(t, ike[1], "gw-a.example.org")),
		ipPacket(link4.gwA, link4.gwB, 50, espPacket(t, esp[1], 1, link4.echoRequest())),
		ipPacket(link4.gwA, link4.gwB, 50, espPacket(t, esp[0], 1, link4.echoRequest())),
	}, ike, esp)
	if len(gaps) != 2 {
		t.Errorf("gaps: %v; want one IKE SA and one ESP SA", gaps)
	}
	got := dissect(t, tshark, capture, profile)
	if !got[0].has("isakmp.id.data.fqdn", "gw-a.example.org") {
		t.Errorf("the IKE SA behind the gap is not decrypted: %v", got[0])
	}
	link4.checkInner(t, "the ESP SA behind the gap", got[1])
	if got[2].has("icmp.type", "8") {
		t.Error("tshark shows the inner packet of ChaCha20-Poly1305; it has learnt it, and the table should use that")
	}
}

// An address that is left open matches any: an address translator may stand between the capture's points.
func TestTsharkMatchesAnyAddress(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	k := link4.espKeys(t, 0, gcm16(128), none)
	k.Src = netip.Addr{}
	natted := netip.MustParseAddr("203.0.113.77")
	capture, profile, _ := writeRun(t, [][]byte{
		udpPacket(netip.AddrPortFrom(natted, 61234), netip.AddrPortFrom(link4.gwB, 4500), espPacket(t, k, 1, link4.echoRequest())),
	}, nil, []ESPKeys{k})
	link4.checkInner(t, "from behind NAT", dissect(t, tshark, capture, profile)[0])
}

// The folder works as a profile of a person's own Wireshark too, with its columns.
func TestTsharkOpensTheProfileByName(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	k := link4.espKeys(t, 0, gcm16(128), none)
	capture, profile, _ := writeRun(t, [][]byte{
		ipPacket(link4.gwA, link4.gwB, 50, espPacket(t, k, 1, link4.echoRequest())),
	}, nil, []ESPKeys{k})
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "profiles"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(home, "profiles", "ikelab"), os.DirFS(profile)); err != nil {
		t.Fatal(err)
	}
	link4.checkInner(t, "with the profile", dissect(t, tshark, capture, home, "-C", "ikelab")[0])

	command := exec.Command(tshark, "-r", capture, "-C", "ikelab", "-T", "psml")
	command.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+home)
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<section>Link end</section>", "<section>gw-a.wan</section>", "<section>Echo (ping) request",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the packet list has no %s:\n%s", want, out)
		}
	}
}

// Every colouring rule is a filter that tshark understands; it would say so otherwise and colour nothing.
func TestTsharkUnderstandsTheColours(t *testing.T) {
	tshark := hosttest.Program(t, "tshark")
	k := ikeKeys(t, 0, gcm16(128), none)
	capture, profile, _ := writeRun(t, [][]byte{
		udpPacket(netip.AddrPortFrom(link4.gwA, 500), netip.AddrPortFrom(link4.gwB, 500), ikeAuth(t, k, "gw-a.example.org")),
	}, []IKEKeys{k}, nil)
	p := dissect(t, tshark, capture, profile, "--color")[0]
	if !p.has("frame.coloring_rule.name", "IKE") {
		t.Errorf("an IKE packet is coloured by the rule %v", p["frame.coloring_rule.name"])
	}
}
