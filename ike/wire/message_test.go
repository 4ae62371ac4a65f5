package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleMessage is an IKE_SA_INIT request such as an initiator sends first.
func sampleMessage() *Message {
	return &Message{
		Header: Header{InitiatorSPI: SPI{1, 2, 3, 4, 5, 6, 7, 8}, MajorVersion: 2, Exchange: ExchangeIKESAInit, Flags: FlagInitiator},
		Payloads: []Payload{
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{{Type: TransformENCR, ID: 20, KeyBits: 256}}}}},
			&KE{Group: 31, Data: bytes.Repeat([]byte{0x31}, 32)},
			&Nonce{Data: bytes.Repeat([]byte{0x4e}, 32)},
			&Notify{Kind: NATDetectionSourceIP, Data: bytes.Repeat([]byte{0x5e}, 20)},
		},
	}
}

func TestMessageRoundTrip(t *testing.T) {
	m := sampleMessage()
	b, err := m.Append([]byte("marker"))
	if err != nil {
		t.Fatal(err)
	}
	b = b[len("marker"):]
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want := *m
	want.Header.NextPayload = PayloadSA
	want.Header.Length = uint32(len(b))
	if diff := cmp.Diff(&want, got, equalPayloads); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	again, err := got.Append(nil)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("written again (%v)\n%x, want\n%x", err, again, b)
	}
}

// A message without payloads is legal on the wire: the header says so.
func TestMessageWithoutPayloads(t *testing.T) {
	b, err := (&Message{Header: Header{Exchange: ExchangeInformational, Flags: FlagResponse}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(b)
	if err != nil || len(m.Payloads) != 0 || m.Header.MajorVersion != 2 || !m.Header.IsResponse() || m.Header.FromInitiator() {
		t.Errorf("read back %+v, %v", m, err)
	}
}

// Neither overwriting the input nor appending to a field may change another field.
func TestParseDoesNotAlias(t *testing.T) {
	b, err := sampleMessage().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	ke := m.Payloads[1].(*KE)
	_ = append(ke.Data, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	if diff := cmp.Diff(sampleMessage().Payloads, m.Payloads, equalPayloads); diff != "" {
		t.Errorf("the message changed (-want +got):\n%s", diff)
	}
}

func TestParseRefusals(t *testing.T) {
	valid, err := sampleMessage().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, octets ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], octets); return b }
	}
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		want   ParseError
	}{
		{"no header", func(b []byte) []byte { return b[:27] }, ParseError{Field: "IKE Header", Offset: 27}},
		{"nothing", func(b []byte) []byte { return nil }, ParseError{Field: "IKE Header", Offset: 0}},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, ParseError{Field: "Length", Offset: 24}},
		{"octets after the message", func(b []byte) []byte { return append(b, 0) }, ParseError{Field: "Length", Offset: 24}},
		{"length of 4 GiB", change(24, 0xff, 0xff, 0xff, 0xff), ParseError{Field: "Length", Offset: 24}},
		{"more than a datagram", func(b []byte) []byte {
			b = append(b, make([]byte, 70000-len(b))...)
			return change(24, 0, 1, 0x11, 0x70)(b)
		}, ParseError{Field: "Length", Offset: 24}},
		{"payload length 3", change(30, 0, 3), ParseError{Payload: PayloadSA, Field: "Payload Length", Offset: 30}},
		{"payload length beyond the message", change(30, 0xff, 0xff), ParseError{Payload: PayloadSA, Field: "Payload Length", Offset: 30}},
		{"chain ends early", change(28, 0), ParseError{Field: "Next Payload", Offset: 52}},
		{"chain announces one more", change(len(valid)-28, byte(PayloadKE)), ParseError{Payload: PayloadKE, Field: "Generic Payload Header", Offset: len(valid)}},
		{"no payload announced", change(16, 0), ParseError{Field: "Next Payload", Offset: 28}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse(c.change(slices.Clone(valid)))
			checkParseError(t, m, err, &c.want)
		})
	}
}

// Every strict prefix of a message, its Length corrected, is refused: no length
// is taken on trust.
func TestParseRefusesEveryPrefix(t *testing.T) {
	valid, err := sampleMessage().Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(valid) {
		b := slices.Clone(valid[:n])
		if n >= HeaderBytes {
			copy(b[24:], []byte{0, 0, byte(n >> 8), byte(n)})
		}
		if m, err := Parse(b); err == nil {
			t.Errorf("the first %d of %d octets were accepted: %+v", n, len(valid), m)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, c := range []struct {
		octet  byte
		accept bool
	}{{0x10, false}, {0x20, true}, {0x21, true}, {0x30, false}, {0x00, false}} {
		b, err := sampleMessage().Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		b[17] = c.octet
		_, err = Parse(b)
		var ve *VersionError
		switch {
		case c.accept && err != nil:
			t.Errorf("version %#02x: %v", c.octet, err)
		case !c.accept && (!errors.As(err, &ve) || ve.Major != c.octet>>4):
			t.Errorf("version %#02x: got %v, want a VersionError", c.octet, err)
		}
		if h, err := ParseHeader(b); err != nil || h.MajorVersion != c.octet>>4 || h.MinorVersion != c.octet&15 {
			t.Errorf("version %#02x: header %+v, %v", c.octet, h, err)
		}
	}
}

func TestPayloadsMax(t *testing.T) {
	ps := make([]Payload, payloadsMax)
	for i := range ps {
		ps[i] = &VendorID{}
	}
	b, err := AppendPayloads(nil, ps)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePayloads(PayloadVendorID, b); err != nil {
		t.Errorf("%d payloads: %v", payloadsMax, err)
	}
	if _, err := AppendPayloads(nil, append(ps, &VendorID{})); err == nil {
		t.Errorf("%d payloads were written", payloadsMax+1)
	}
	tooMany := append([]byte{byte(PayloadVendorID), 0, 0, 4}, b...)
	_, err = ParsePayloads(PayloadVendorID, tooMany)
	checkParseError(t, nil, err, &ParseError{Field: "Next Payload", Offset: payloadsMax * 4})
}

func TestMessageBytesMax(t *testing.T) {
	largest := messageBytesMax - HeaderBytes - payloadHeaderBytes
	b, err := (&Message{Payloads: []Payload{&VendorID{Data: make([]byte, largest)}}}).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b); err != nil {
		t.Errorf("the largest message: %v", err)
	}
	refuseToWrite(t, []unwritable{
		{"message", &VendorID{Data: make([]byte, largest+1)}, "Length"},
		{"payload", &VendorID{Data: make([]byte, 0x10000)}, "Payload Length"},
	})
	if _, err := (&Message{Header: Header{MajorVersion: 16}}).Append(nil); err == nil {
		t.Error("version 16 was written")
	}
}

// Errors are read by people: each names its place.
func TestErrorText(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&ParseError{Offset: 30, Payload: PayloadSA, Field: "Payload Length", Reason: "is 3"}, "IKE SA payload, octet 30, Payload Length: is 3"},
		{&ParseError{Offset: 24, Field: "Length", Reason: "is 3"}, "IKE message, octet 24, Length: is 3"},
		{&EncodeError{Payload: PayloadTSi, Field: "Start Port", Reason: "is 3"}, "cannot write IKE TSi payload, Start Port: is 3"},
		{&EncodeError{Field: "Version", Reason: "is 16"}, "cannot write IKE message, Version: is 16"},
		{&VersionError{Major: 1, Minor: 0}, "IKE message has version 1.0; this implementation speaks 2.0 (RFC 7296)"},
		{&UnsupportedCriticalError{Payload: 54, Offset: 8}, "IKE message, octet 8: payload type 54 is critical and unknown; answer a request with UNSUPPORTED_CRITICAL_PAYLOAD"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%T:\n got %s\nwant %s", c.err, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		value fmt.Stringer
		want  string
	}{
		{SPI{0xde, 0xad, 7: 1}, "dead000000000001"},
		{ExchangeIKESAInit, "IKE_SA_INIT"}, {ExchangeCreateChildSA, "CREATE_CHILD_SA"},
		{ExchangeIKEFollowupKE, "IKE_FOLLOWUP_KE"}, {ExchangeType(99), "EXCHANGE_99"},
		{PayloadSA, "SA"}, {PayloadNonce, "Ni,Nr"}, {PayloadSKF, "SKF"}, {PayloadType(99), "payload 99"},
		{ProtocolESP, "ESP"}, {ProtocolNone, "none"}, {ProtocolID(9), "protocol 9"},
		{TransformESN, "ESN"}, {TransformADDKE1 + 2, "ADDKE3"}, {TransformType(13), "transform type 13"},
		{NATDetectionDestinationIP, "NAT_DETECTION_DESTINATION_IP"}, {NoProposalChosen, "NO_PROPOSAL_CHOSEN"},
		{IDTypeFQDN, "ID_FQDN"}, {AuthNull, "NULL"}, {CertOCSP, "OCSP"},
		{TSFCAddrRange, "TS_FC_ADDR_RANGE"}, {TSType(99), "TS_99"}, {ConfigSet, "CFG_SET"}, {ConfigType(9), "CFG_9"},
		{ConfigInternalIP6Subnet, "INTERNAL_IP6_SUBNET"}, {ConfigAttributeType(5), "attribute 5"},
	} {
		if got := c.value.String(); got != c.want {
			t.Errorf("%T is %q, want %q", c.value, got, c.want)
		}
	}
}
