package wire

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A bound is the largest that passes, in both directions. What lies beyond is
// refused in the test of its payload.
func TestBoundsAreReached(t *testing.T) {
	encr := Transform{Type: TransformENCR, ID: 12}
	label := Selector{Type: TSSecLabel}
	for _, c := range []struct {
		name    string
		payload Payload
	}{
		{"proposals", &SA{Proposals: slices.Repeat([]Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{encr}}}, proposalsMax)}},
		{"transforms", &SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: slices.Repeat([]Transform{encr}, transformsMax)}}}},
		{"transform attributes", &SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{{
			Type: TransformENCR, ID: 12, KeyBits: 128, Attributes: slices.Repeat([]Attribute{{Type: 0x7fff}}, transformAttributesMax-1),
		}}}}}},
		{"SPI of an unknown protocol", &SA{Proposals: []Proposal{{Number: 1, Protocol: 9, SPI: make([]byte, 255)}}}},
		{"selectors", &TS{Selectors: slices.Repeat([]Selector{label}, selectorsMax)}},
		{"SPIs", &Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: slices.Repeat([][]byte{{1, 2, 3, 4}}, deleteSPIsMax)}},
		{"configuration attributes", &CP{Kind: ConfigRequest, Attributes: slices.Repeat([]ConfigAttribute{{Type: 0x7fff}}, configAttributesMax)}},
		{"SPI of a notification", &Notify{SPI: make([]byte, 255)}},
		{"nonce", &Nonce{Data: make([]byte, nonceBytesMax)}},
		{"short nonce", &Nonce{Data: make([]byte, nonceBytesMin)}},
		{"payload", &VendorID{Data: make([]byte, 0xffff-payloadHeaderBytes)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := AppendPayloads(nil, []Payload{c.payload})
			if err != nil {
				t.Fatal(err)
			}
			ps, err := ParsePayloads(c.payload.Type(), b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]Payload{c.payload}, ps, equalPayloads); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}
