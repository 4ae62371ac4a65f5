package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// unhex reads hexadecimal digits with any white space between them.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatalf("test data %q: %v", s, err)
	}
	return b
}

// equalPayloads are the options of a comparison in which nil and empty are equal.
var equalPayloads = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(Selector{}.Start)}

// roundTripCase is a payload, its body on the wire and its text in a ladder.
type roundTripCase struct {
	name     string
	payload  Payload
	body     string // hexadecimal, after the generic payload header
	describe string
}

// roundTrip checks that each payload is written as its body, read back from it,
// and described as stated.
func roundTrip(t *testing.T, cases []roundTripCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body := unhex(t, c.body)
			wantWire := append([]byte{0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}, body...)
			prefix := []byte("kept")
			got, err := AppendPayloads(prefix, []Payload{c.payload})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(got, prefix) {
				t.Fatalf("what was in dst changed: %x", got)
			}
			if diff := cmp.Diff(hex.Dump(wantWire), hex.Dump(got[len(prefix):])); diff != "" {
				t.Errorf("written octets (-want +got):\n%s", diff)
			}
			ps, err := ParsePayloads(c.payload.Type(), wantWire)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Payload{c.payload}, ps, equalPayloads); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
			if got := Describe(c.payload); got != c.describe {
				t.Errorf("described as %q, want %q", got, c.describe)
			}
		})
	}
}

// refusal is a body that a parser must refuse, naming the field and the octet,
// which counts from the generic payload header.
type refusal struct {
	name   string
	body   string
	field  string
	offset int
}

// refuse checks that each body is refused as stated.
func refuse(t *testing.T, first PayloadType, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			body := unhex(t, c.body)
			ps, err := ParsePayloads(first, append([]byte{0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}, body...))
			checkParseError(t, ps, err, &ParseError{Payload: first, Field: c.field, Offset: c.offset})
		})
	}
}

func checkParseError(t *testing.T, got any, err error, want *ParseError) {
	t.Helper()
	var pe *ParseError
	if !errors.As(err, &pe) {
		t.Fatalf("got %v and error %v, want a ParseError at %s", got, err, want.Field)
	}
	if pe.Payload != want.Payload || pe.Field != want.Field || pe.Offset != want.Offset {
		t.Errorf("refused with %v\nwant payload %s, field %s, octet %d", err, want.Payload, want.Field, want.Offset)
	}
	if pe.Reason == "" {
		t.Error("the error gives no reason")
	}
}

// unwritable is a payload that must not be written.
type unwritable struct {
	name    string
	payload Payload
	field   string
}

// refuseToWrite checks that each payload is refused, and dst left alone.
func refuseToWrite(t *testing.T, cases []unwritable) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dst := []byte{1, 2, 3}
			m := &Message{Payloads: []Payload{c.payload}}
			got, err := m.Append(dst)
			var ee *EncodeError
			if !errors.As(err, &ee) {
				t.Fatalf("got error %v, want an EncodeError at %s", err, c.field)
			}
			if ee.Field != c.field || ee.Reason == "" {
				t.Errorf("refused with %v, want field %s", err, c.field)
			}
			if !bytes.Equal(got, dst) {
				t.Errorf("dst became %x", got)
			}
		})
	}
}

// repeat is n copies of an octet in hexadecimal.
func repeat(octet string, n int) string { return strings.Repeat(octet, n) }
