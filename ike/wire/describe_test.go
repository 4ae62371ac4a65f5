package wire

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A peer decides what a payload holds, so a description is bounded, and cut
// between characters.
func TestDescribeIsBounded(t *testing.T) {
	long := strings.Repeat("x", 60000)
	selector := PrefixSelector(netip.MustParsePrefix("2001:db8::/32"), 17, 1000, 2000)
	for _, c := range []struct {
		payload Payload
		begins  string
	}{
		{&VendorID{Data: []byte(long)}, "V(xxx"},
		{&VendorID{Data: []byte(strings.Repeat("é", 30000))}, "V(éé"},
		{&VendorID{Data: []byte("a" + strings.Repeat("é", 30000))}, "V(aéé"},
		{&ID{Kind: PayloadIDi, IDType: IDTypeFQDN, Data: []byte(long)}, "IDi(xxx"},
		{&ID{Kind: PayloadIDr, IDType: IDTypeKeyID, Data: make([]byte, 60000)}, "IDr(keyid:0x0000"},
		{&TS{Initiator: true, Selectors: slices.Repeat([]Selector{selector}, selectorsMax)}, "TSi[2001:db8::/32[udp/1000-2000] 2001:db8::"},
		{&CP{Kind: ConfigRequest, Attributes: slices.Repeat([]ConfigAttribute{{Type: ConfigInternalIP4Address}}, configAttributesMax)}, "CP(CFG_REQUEST INTERNAL_IP4_ADDRESS"},
		{&Notify{Kind: RekeySA, Protocol: ProtocolESP, SPI: make([]byte, 255)}, "N(REKEY_SA ESP 0000"},
	} {
		got := Describe(c.payload)
		if len(got) > descriptionBytesMax || len(got) < descriptionBytesMax-utf8.UTFMax || !strings.HasPrefix(got, c.begins) || !strings.HasSuffix(got, "…") || !utf8.ValidString(got) {
			t.Errorf("%d octets, %q; want up to %d that begin %q and end in an ellipsis", len(got), got, descriptionBytesMax, c.begins)
		}
	}
	// What fits is not touched.
	fits := &VendorID{Data: []byte(long[:descriptionBytesMax-len("V()")])}
	if got, want := Describe(fits), "V("+string(fits.Data)+")"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
