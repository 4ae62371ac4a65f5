package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"

	"github.com/ikelab/ikelab/ike/wire"
)

// documented is a field of docs/decode.md.
type documented struct {
	kind  string // of JSON
	in    []string
	found bool
}

// schema reads the table of fields.
func schema(t *testing.T) map[string]*documented {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "decode.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(raw), "| field | type | in | meaning |\n")
	if !ok {
		t.Fatal("docs/decode.md has no table of fields")
	}
	fields := map[string]*documented{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		if len(cells) != 6 {
			break
		}
		for _, name := range strings.Split(cells[1], ",") {
			name = strings.Trim(strings.TrimSpace(name), "`")
			if strings.HasPrefix(name, "---") {
				continue
			}
			in := strings.Split(strings.ReplaceAll(strings.TrimSpace(cells[3]), " ", ""), ",")
			fields[name] = &documented{kind: strings.TrimSpace(cells[2]), in: in}
		}
	}
	return fields
}

// TestSchema: every field that decode writes is in docs/decode.md with its type
// and the kinds that have it, and every field there is written.
func TestSchema(t *testing.T) {
	fields := schema(t)
	if len(fields) < 35 {
		t.Fatalf("only %d fields are documented", len(fields))
	}
	for _, object := range samples(t) {
		kind, _ := object["kind"].(string)
		check(t, fields, kind, "", object)
	}
	for name, f := range fields {
		if !f.found {
			t.Errorf("%s is documented and never written", name)
		}
	}
}

func check(t *testing.T, fields map[string]*documented, kind, prefix string, object map[string]any) {
	t.Helper()
	for name, value := range object {
		f := fields[prefix+name]
		if prefix == "icmp.quoted." {
			if fields[name] == nil && name != "protocol" {
				t.Errorf("a quoted packet has %s, which no packet has", name)
			}
			continue
		}
		if f == nil {
			t.Errorf("%s%s is not documented", prefix, name)
			continue
		}
		f.found = true
		is := map[string]string{"string": "string", "float64": "number", "bool": "boolean", "[]interface {}": "array", "map[string]interface {}": "object"}[fmt.Sprintf("%T", value)]
		if is != f.kind {
			t.Errorf("%s%s is %s, documented as %s", prefix, name, is, f.kind)
		}
		if !slices.Contains(f.in, "all") && !slices.Contains(f.in, kind) {
			t.Errorf("%s%s is in %q, documented for %v", prefix, name, kind, f.in)
		}
		if inner, ok := value.(map[string]any); ok {
			check(t, fields, kind, prefix+name+".", inner)
		}
	}
	if prefix == "" {
		for _, name := range []string{"frame", "time", "kind", "bytes"} {
			if _, ok := object[name]; !ok {
				t.Errorf("a line lacks %s: %v", name, object)
			}
		}
	}
}

// samples are JSON lines of everything that the other tests decode.
func samples(t *testing.T) []map[string]any {
	t.Helper()
	p := newPeers(t, "aes256gcm16-prfsha384-x25519")
	sa, row := outbound(t, 0x1000, "aes256gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	inside, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(500, 500, p.message(wire.ExchangeInformational, 1, false))))
	if err != nil {
		t.Fatal(err)
	}
	next, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(1, 2, nil)))
	if err != nil {
		t.Fatal(err)
	}
	message := p.sealed(wire.ExchangeInformational, 9, false, &wire.Delete{Protocol: wire.ProtocolIKE})
	v1 := bytes.Clone(message)
	v1[17] = 0x10
	bad := p.message(wire.ExchangeInformational, 9, false, &wire.Nonce{Data: p.ni})
	bad[31] = 9
	ah := append([]byte{17, 4, 0, 0, 0, 0, 0x30, 1, 0, 0, 0, 5}, make([]byte, 20)...)
	packet := ipv4(alice, bob, 17, udp(500, 500, message))
	behind := bytes.Clone(packet)
	behind[8]--
	packets := append(p.init(), packet, packet, behind,
		ipv4(alice, bob, 50, inside), ipv4(alice, bob, 50, inside), ipv4(alice, bob, 50, next), ipv4(alice, bob, 51, ah), ipv4(alice, bob, 1, make([]byte, 8)),
		ipv4(alice, bob, 17, udp(500, 500, v1)), ipv4(alice, bob, 17, udp(500, 500, bad)),
		ipv4(alice, bob, 17, udp(4500, 4500, marked(p.seal(wire.ExchangeIKEAuth, 1, false, wire.PayloadNone, nil, 1, 1)))),
		[]byte{0x45}, []byte{0x90}, ipv4(alice, bob, 47, make([]byte, 8)),
		ipv4(bob, alice, 1, append([]byte{3, 4, 0, 0, 0, 0, 5, 120}, ipv4(alice, bob, 50, make([]byte, 32))...)))
	packets = append(packets, cut(ipv4(alice, bob, 17, udp(500, 500, p.message(wire.ExchangeInformational, 3, false, &wire.Nonce{Data: p.ni}))), 48)...)
	var objects []map[string]any
	for _, file := range [][]byte{pcapOf(t, layers.LinkTypeRaw, packets...), pcapng(t, packets...)} {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(Options{Keys: loadKeys(t, tables(p.table(true), row))}, func(r *Record) error {
			var object map[string]any
			if err := json.Unmarshal(AppendJSON(nil, r), &object); err != nil {
				t.Fatal(err)
			}
			objects = append(objects, object)
			return nil
		})
		if err := d.Run(r); err != nil {
			t.Fatal(err)
		}
	}
	return objects
}

// TestStrings writes JSON strings that encoding/json reads back, whatever the octets.
func TestStrings(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\\n\t\x00\x1f\x7f", "ü€😀", "\u2028", "a\xffb"} {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%q comes back as %q, %v", s, back, err)
		}
	}
}
