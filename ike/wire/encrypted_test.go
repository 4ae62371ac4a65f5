package wire

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An Encrypted payload announces the first payload of its plaintext, ends the
// message, and says where its body begins.
func TestEncrypted(t *testing.T) {
	m := &Message{
		Header: Header{Exchange: ExchangeIKEAuth, Flags: FlagInitiator, MessageID: 1},
		Payloads: []Payload{
			&Notify{Kind: InitialContact},
			&Encrypted{First: PayloadIDi, Body: []byte{0xaa, 0xbb, 0xcc}},
		},
	}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := unhex(t, `0000000000000000 0000000000000000 29 20 23 08 00000001 0000002b
		2e 00 0008 00 00 4000
		23 00 0007 aabbcc`)
	if !bytes.Equal(b, want) {
		t.Fatalf("written\n%x, want\n%x", b, want)
	}
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	sk := got.Payloads[1].(*Encrypted)
	if diff := cmp.Diff(&Encrypted{First: PayloadIDi, Body: []byte{0xaa, 0xbb, 0xcc}, Offset: 40}, sk); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if !bytes.Equal(b[sk.Offset:], sk.Body) {
		t.Errorf("Offset %d does not lead to Body", sk.Offset)
	}
	if got := Describe(sk); got != "SK(3 octets)" {
		t.Errorf("described as %q", got)
	}
}

func TestEncryptedIsLast(t *testing.T) {
	header := "0102030405060708 0000000000000000 2e 20 25 00 00000000"
	b := unhex(t, header+"00000024 29 00 0004 00 00 0004")
	_, err := Parse(b)
	checkParseError(t, nil, err, &ParseError{Payload: PayloadSK, Field: "Payload Length", Offset: 30})

	_, err = ParsePayloads(PayloadSK, unhex(t, "00 00 0004"))
	checkParseError(t, nil, err, &ParseError{Payload: PayloadSK, Field: "Next Payload", Offset: 0})

	for name, ps := range map[string][]Payload{
		"before another": {&Encrypted{}, &Notify{}},
		"twice":          {&Encrypted{}, &Encrypted{}},
	} {
		if b, err := (&Message{Payloads: ps}).Append(nil); err == nil {
			t.Errorf("SK %s was written: %x", name, b)
		}
	}
	if b, err := AppendPayloads(nil, []Payload{&Encrypted{}}); err == nil {
		t.Errorf("SK inside SK was written: %x", b)
	}
}
