package decode

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// FuzzReader reads arbitrary files: no panic, no frame longer than the file can
// hold, and an end.
func FuzzReader(f *testing.F) {
	frame := ipv4(alice, bob, 17, udp(500, 500, make([]byte, 28)))
	f.Add(pcapOf(f, layers.LinkTypeRaw, frame))
	f.Add(swapped(frame))
	f.Add(pcapng(f, frame, frame))
	f.Add(gzipped(f, pcapng(f, frame)))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		// A frame has a record of its own, gzip makes at most 1032 octets of one.
		for frames := 0; frames < 1100*(len(file)+1); frames++ {
			f, err := r.Next()
			if err != nil {
				if _, again := r.Next(); again == nil || again.Error() != err.Error() {
					t.Fatalf("error %v, and then %v", err, again)
				}
				return
			}
			if len(f.Data) > f.Length || len(f.Data) > 1100*len(file) {
				t.Fatalf("frame %d has %d octets of %d, in a file of %d", f.Number, len(f.Data), f.Length, len(file))
			}
			r.InterfaceName(f.Interface)
		}
		t.Fatal("no end")
	})
}

// FuzzDecode takes arbitrary frames through the whole path, with keys that fit
// some of the seeds: no panic, each line is one line and valid JSON, and the same
// input gives the same output.
func FuzzDecode(f *testing.F) {
	p := newPeers(f, "aes128-sha1-prfsha1-x25519")
	sa, row := outbound(f, 0x1000, "aes128gcm16", "AES-GCM with 16 octet ICV [RFC4106]", "NULL", "")
	packet, err := seal(sa, ipv4("10.1.0.1", "10.2.0.1", 17, udp(500, 500, p.message(wire.ExchangeInformational, 1, false))))
	if err != nil {
		f.Fatal(err)
	}
	rows := row + `"IPv4","*","*","*","NULL","","ANY 96 bit authentication [no checking]",""` + "\n" + `"IPv6","*","*","*","NULL","","NULL",""`
	folder := tables(p.table(true), rows)
	keys, warnings, err := LoadKeys(folder)
	if err != nil || len(warnings) > 0 {
		f.Fatal(err, warnings)
	}
	add := func(link layers.LinkType, frames ...[]byte) {
		f.Add(uint16(link), bytes.Join(lengths(frames), nil))
	}
	add(layers.LinkTypeRaw, append(p.init(), p.request(wire.ExchangeIKEAuth, 1, proposal(f, wire.ProtocolESP, []byte{1, 2, 3, 4}, "aes128-sha1")),
		p.response(wire.ExchangeIKEAuth, 1, proposal(f, wire.ProtocolESP, []byte{5, 6, 7, 8}, "aes128-sha1")))...)
	add(layers.LinkTypeRaw, ipv4(alice, bob, 50, packet), ipv4(alice, bob, 17, udp(4500, 4500, packet)))
	add(layers.LinkTypeRaw, cut(ipv4(alice, bob, 17, udp(500, 500, p.sealed(wire.ExchangeInformational, 1, false, &wire.Delete{Protocol: wire.ProtocolIKE}))), 24)...)
	add(layers.LinkTypeRaw, segment(alice, bob, 40000, 4500, 1, header.TCPFlagSyn, nil),
		segment(alice, bob, 40000, 4500, 2, header.TCPFlagAck, append([]byte(tcpPrefix), framed(marked(p.sealed(wire.ExchangeInformational, 1, false)))...)))
	add(layers.LinkTypeLinuxSLL, append(append(make([]byte, 14), 8, 0), ipv4(alice, bob, 51, append([]byte{50, 4, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 5}, make([]byte, 40)...))...))
	add(layers.LinkTypeEthernet, append(append(make([]byte, 12), 0x86, 0xdd), ipv6("::1", "::2", 0, []byte{50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 41})...))
	f.Fuzz(func(t *testing.T, link uint16, stream []byte) {
		first, second := show(t, keys, link, stream), show(t, keys, link, stream)
		if first != second {
			t.Errorf("once\n%s, and then\n%s", first, second)
		}
	})
}

// lengths puts its length before each frame.
func lengths(frames [][]byte) [][]byte {
	var out [][]byte
	for _, f := range frames {
		out = append(out, binary.BigEndian.AppendUint16(nil, uint16(len(f))), f)
	}
	return out
}

// show decodes frames and returns everything that a person can be shown of them.
func show(t *testing.T, keys *Keys, link uint16, stream []byte) string {
	var out strings.Builder
	var text Text
	d := NewDecoder(Options{Keys: keys, Ladder: true}, func(r *Record) error {
		one := text.Append(nil, r)
		if bytes.Count(one, []byte("\n")) != 1 || bytes.ContainsAny(one, "\x1b\x07\r\t") {
			t.Errorf("not one line of text: %q", one)
		}
		object := AppendJSON(nil, r)
		if !json.Valid(object) || bytes.Count(object, []byte("\n")) != 1 {
			t.Errorf("not one line of JSON: %q", object)
		}
		out.Write(one)
		out.Write(object)
		return nil
	})
	for number := uint64(1); len(stream) >= 2; number++ {
		// The topmost bit says that the frame was longer on its link, the next one
		// that it is of another interface.
		head := binary.BigEndian.Uint16(stream)
		n := min(int(head&0x3fff), len(stream)-2)
		f := Frame{Number: number, Time: start, Link: layers.LinkType(link), Data: stream[2 : 2+n], Length: n + int(head>>15)*100, Interface: int(head >> 14 & 1)}
		stream = stream[2+n:]
		if err := d.Frame(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.Summary(&out, nil); err != nil {
		t.Fatal(err)
	}
	rows, more := d.Ladder()
	fmt.Fprint(&out, rows, more, d.Stats())
	return out.String()
}

// FuzzKeys reads arbitrary tables: no panic, and no row is both used and refused.
func FuzzKeys(f *testing.F) {
	f.Add(`0102030405060708,0102030405060709,00,00,"NULL [RFC2410]",,,"NONE [RFC4306]"`, `"IPv4","*","192.0.2.*","0x*","NULL","","NULL",""`)
	f.Add("# ikelab SK_d,0102030405060708,0102030405060709,0000000000000000000000000000000000000000", `"IPv6","2001:db8::*","*","7","AES-CBC [RFC3602]","\"sixteen of them!\"","ANY 96 bit authentication [no checking]","","64-bit","1"`)
	f.Fuzz(func(t *testing.T, ike, table string) {
		keys, warnings, err := LoadKeys(tables(ike, table))
		if err != nil {
			return
		}
		used := len(keys.espWild)
		for _, rows := range keys.ike {
			used += len(rows)
		}
		for _, rows := range keys.skd {
			used += len(rows)
		}
		for _, rows := range keys.espBySPI {
			used += len(rows)
		}
		if used+len(warnings) > keys.rows {
			t.Errorf("%d used, %d refused, of %d rows", used, len(warnings), keys.rows)
		}
	})
}
