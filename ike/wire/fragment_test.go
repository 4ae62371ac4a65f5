package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncryptedFragment(t *testing.T) {
	for _, c := range []struct {
		name string
		skf  EncryptedFragment
		wire string // from the generic payload header
		text string
	}{
		{"first names the first payload", EncryptedFragment{First: PayloadIDi, Number: 1, Total: 2, Body: []byte{1, 2}}, "23 00 000a 0001 0002 0102", "SKF(1/2)"},
		{"others name none", EncryptedFragment{Number: 2, Total: 2, Body: []byte{3}}, "00 00 0009 0002 0002 03", "SKF(2/2)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := (&Message{Payloads: []Payload{&c.skf}}).Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if want := unhex(t, c.wire); !bytes.Equal(b[HeaderBytes:], want) {
				t.Errorf("written %x, want %x", b[HeaderBytes:], want)
			}
			m, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			want := c.skf
			want.Offset = 36
			if diff := cmp.Diff([]Payload{&want}, m.Payloads); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if got := Describe(&c.skf); got != c.text {
				t.Errorf("described as %q, want %q", got, c.text)
			}
		})
	}
}

func TestEncryptedFragmentRefusals(t *testing.T) {
	for _, c := range []struct {
		name, wire, field string
		offset            int
	}{
		{"cut", "00 00 0007 0001 00", "Fragment Number", 32},
		{"number 0", "00 00 0008 0000 0001", "Fragment Number", 32},
		{"number above total", "00 00 0008 0002 0001", "Total Fragments", 32},
		{"second names a payload", "23 00 0008 0002 0002", "Next Payload", 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := unhex(t, c.wire)
			b := unhex(t, "0102030405060708 0000000000000000 35 20 23 00 00000000 000000")
			b = append(append(b, byte(HeaderBytes+len(body))), body...)
			_, err := Parse(b)
			checkParseError(t, nil, err, &ParseError{Payload: PayloadSKF, Field: c.field, Offset: c.offset})
		})
	}
	refuseToWrite(t, []unwritable{
		{"number 0", &EncryptedFragment{Total: 1}, "Fragment Number"},
		{"second names a payload", &EncryptedFragment{First: PayloadSA, Number: 2, Total: 2}, "Next Payload"},
	})
}
