//go:build linux

package host

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJoinRanges: whatever policies overlap in, a set's ranges are disjoint, in order,
// and have the same addresses.
func TestJoinRanges(t *testing.T) {
	parse := func(text string) (all []addressRange) {
		for _, word := range strings.Fields(text) {
			from, to, _ := strings.Cut(word, "-")
			if to == "" {
				to = from
			}
			all = append(all, addressRange{netip.MustParseAddr(from), netip.MustParseAddr(to)})
		}
		return all
	}
	for in, want := range map[string]string{
		"":                  "",
		"10.0.0.9 10.0.0.1": "10.0.0.1 10.0.0.9",
		"10.0.0.1 10.0.0.1": "10.0.0.1",
		"10.0.0.1 10.0.0.2": "10.0.0.1-10.0.0.2",
		"10.0.0.0-10.0.0.9 10.0.0.3-10.0.0.4 10.0.0.11": "10.0.0.0-10.0.0.9 10.0.0.11",
		"10.0.0.0-10.0.0.5 10.0.0.3-10.0.0.8":           "10.0.0.0-10.0.0.8",
		"255.255.255.0-255.255.255.255 255.255.255.255": "255.255.255.0-255.255.255.255",
		"::1-::5 ::7 ::6": "::1-::7",
	} {
		if d := cmp.Diff(parse(want), joinRanges(parse(in)), cmp.AllowUnexported(addressRange{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%q (-want +got):\n%s", in, d)
		}
	}
	if e := (addressRange{netip.MustParseAddr("255.255.255.0"), netip.MustParseAddr("255.255.255.255")}).elements(); len(e) != 1 {
		t.Errorf("a range to the last address has %d elements", len(e))
	}
}
