package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse holds the round trip: what parses can be written, and what was
// written parses to the same values. It also asks for the text of everything.
func FuzzParse(f *testing.F) {
	seed := func(m *Message) {
		b, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	seed(sampleMessage())
	seed(&Message{Payloads: []Payload{
		&ID{Kind: PayloadIDi, IDType: IDTypeDERASN1DN, Data: unhex(f, "301b310b3009060355040613024348310c300a06035504030c03612c62")},
		&Cert{Encoding: CertX509Signature, Data: []byte{1}},
		&CertReq{Encoding: CertX509Signature},
		&Auth{Method: AuthSharedKey, Data: []byte{1}},
		&Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: [][]byte{{1, 2, 3, 4}}},
		&VendorID{Data: []byte("v")},
		&TS{Initiator: true, Selectors: []Selector{{Type: TSSecLabel, Data: []byte{1}}}},
		&CP{Kind: ConfigRequest, Attributes: []ConfigAttribute{{Type: ConfigInternalIP4DNS, Value: []byte{1}}}},
		&EAP{Code: EAPRequest, Data: []byte{1}},
		&Unknown{PayloadType: 54, Data: []byte{1}},
		&EncryptedFragment{First: PayloadSA, Number: 1, Total: 2, Body: []byte{1}},
	}})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if err.Error() == "" {
				t.Error("the error has no text")
			}
			return
		}
		for _, p := range m.Payloads {
			if Describe(p) == "" {
				t.Errorf("%s has no text", p.Type())
			}
		}
		again, err := m.Append(nil)
		if err != nil {
			t.Fatalf("cannot write what was read: %v", err)
		}
		if len(again) != len(b) {
			t.Errorf("%d octets were read, %d written", len(b), len(again))
		}
		m2, err := Parse(again)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if diff := cmp.Diff(m, m2, equalPayloads); diff != "" {
			t.Errorf("read again (-first +second):\n%s", diff)
		}
	})
}
