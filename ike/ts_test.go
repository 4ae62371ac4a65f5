package ike

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike/wire"
)

func selectors(text string) (out []wire.Selector) {
	for _, s := range strings.Fields(text) {
		out = append(out, parseSelector(s))
	}
	return out
}

func TestNarrow(t *testing.T) {
	for _, tc := range []struct{ name, policy, proposed, want string }{
		{"equal", "10.1.0.0/16", "10.1.0.0/16", "10.1.0.0/16"},
		{"policy is narrower", "10.1.1.0/24", "10.1.0.0/16", "10.1.1.0/24"},
		{"proposal is narrower", "10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"},
		{"nothing in common", "10.1.0.0/16", "10.2.0.0/16", ""},
		{"ranges overlap", "10.0.0.1-10.0.0.9", "10.0.0.5-10.0.0.20", "10.0.0.5-10.0.0.9"},
		{"ranges touch in one address", "10.0.0.1-10.0.0.9", "10.0.0.9-10.0.0.20", "10.0.0.9/32"},
		{"families differ", "10.0.0.0/8", "2001:db8::/32", ""},
		{"a protocol in the policy", "10.0.0.0/8[udp]", "10.1.0.0/16", "10.1.0.0/16[udp]"},
		{"a protocol in the proposal", "10.0.0.0/8", "10.1.0.0/16[tcp/80]", "10.1.0.0/16[tcp/80]"},
		{"protocols differ", "10.0.0.0/8[udp]", "10.1.0.0/16[tcp]", ""},
		{"ports overlap", "10.0.0.0/8[udp/100-200]", "10.0.0.0/8[udp/150-300]", "10.0.0.0/8[udp/150-200]"},
		{"ports do not", "10.0.0.0/8[udp/100-200]", "10.0.0.0/8[udp/201-300]", ""},
		{"opaque and any port", "10.0.0.0/8", "10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]"},
		{"any port and opaque", "10.0.0.0/8[tcp/opaque]", "10.0.0.0/8", "10.0.0.0/8[tcp/opaque]"},
		{"opaque and a port", "10.0.0.0/8[tcp/80]", "10.0.0.0/8[tcp/opaque]", ""},
		{"both opaque", "10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]", "10.0.0.0/8[tcp/opaque]"},
		{"the packet's selector is inside the policy's", "10.1.0.0/16", "10.1.2.3/32[udp/53] 10.1.0.0/16", "10.1.0.0/16"},
		{"the packet's selector alone is admitted", "10.1.2.0/24[udp]", "10.1.2.3/32[udp/53] 10.9.0.0/16", "10.1.2.3/32[udp/53]"},
		{"several of each, in the order proposed", "10.1.0.0/16 10.2.0.0/16", "10.2.1.0/24 10.1.1.0/24 10.3.0.0/16", "10.2.1.0/24 10.1.1.0/24"},
		{"everything", "0.0.0.0/0", "0.0.0.0/0", "0.0.0.0/0"},
		{"no policy", "", "10.1.0.0/16", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := describeSelectors(narrow(selectors(tc.policy), selectors(tc.proposed)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("narrow (-want +got)\n%s", diff)
			}
		})
	}
}

// TestNarrowIsBounded: an answer has no more selectors than fit into a payload, and
// begins with what the proposal begins with. All pairs of the two lists would be 65025.
func TestNarrowIsBounded(t *testing.T) {
	var policy, proposed []wire.Selector
	for i := range selectorsPerPayloadMax {
		policy = append(policy, parseSelector(fmt.Sprintf("10.0.%d.0/24", i)))
		proposed = append(proposed, parseSelector(fmt.Sprintf("10.0.0.0/8[udp/%d]", i)))
	}
	got := narrow(policy, proposed)
	if len(got) != selectorsPerPayloadMax || got[0].String() != "10.0.0.0/24[udp/0]" || !within(got, policy) || !within(got, proposed) {
		t.Errorf("%d selectors, the first %s", len(got), got[0])
	}
}

// TestProposedSelectors: the packet goes in front of the policy that admits it, as
// far as the payload has room (RFC 7296 §2.9).
func TestProposedSelectors(t *testing.T) {
	long := strings.TrimSpace(strings.Repeat("10.0.0.0/8 ", selectorsPerPayloadMax))
	for _, tc := range []struct{ name, policy, packet, want string }{
		{"inside", "10.1.0.0/16 10.2.0.0/16", "10.2.0.1", "10.2.0.1/32[udp/53] 10.1.0.0/16 10.2.0.0/16"},
		{"outside", "10.1.0.0/16", "10.2.0.1", "10.1.0.0/16"},
		{"of another protocol", "10.1.0.0/16[tcp]", "10.1.0.1", "10.1.0.0/16[tcp]"},
		{"no room", long, "10.0.0.1", long},
	} {
		got := proposedSelectors(selectors(tc.policy), netip.MustParseAddr(tc.packet), 17, 53)
		if diff := cmp.Diff(tc.want, describeSelectors(got)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", tc.name, diff)
		}
	}
}

// TestNarrowIsIntersection holds, for random selectors and points of traffic, that a
// point is in the answer exactly when policy and proposal both admit it.
func TestNarrowIsIntersection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := rapid.SliceOfN(drawSelector, 0, 4).Draw(t, "policy")
		proposed := rapid.SliceOfN(drawSelector, 0, 4).Draw(t, "proposed")
		got := narrow(policy, proposed)
		if len(got) > 0 && (!within(got, policy) || !within(got, proposed)) {
			t.Fatalf("%s is outside %s or %s", describeSelectors(got), describeSelectors(policy), describeSelectors(proposed))
		}
		for range 20 {
			point := drawPoint.Draw(t, "point")
			p := []wire.Selector{point}
			if want := within(p, policy) && within(p, proposed); within(p, got) != want {
				t.Fatalf("%s: in the answer %s is %v, want %v", point, describeSelectors(got), !want, want)
			}
		}
		for i, s := range got {
			for j, o := range got {
				if i != j && contains(o, s) {
					t.Fatalf("%s is covered by %s", s, o)
				}
			}
		}
	})
}

// A small world, so that selectors meet: 16 addresses, 3 protocols, 8 ports.
var drawSelector = rapid.Custom(func(t *rapid.T) wire.Selector {
	s := parseSelector("10.0.0.0/32")
	from, to := rapid.IntRange(0, 15).Draw(t, "from"), rapid.IntRange(0, 15).Draw(t, "to")
	first, last := rapid.IntRange(0, 7).Draw(t, "first"), rapid.IntRange(0, 7).Draw(t, "last")
	for range min(from, to) {
		s.Start = s.Start.Next()
	}
	for range max(from, to) {
		s.End = s.End.Next()
	}
	s.IPProtocol = rapid.SampledFrom([]uint8{0, 6, 17}).Draw(t, "protocol")
	if s.IPProtocol != 0 {
		s.StartPort, s.EndPort = uint16(min(first, last)), uint16(max(first, last))
	}
	return s
})

var drawPoint = rapid.Custom(func(t *rapid.T) wire.Selector {
	s := parseSelector("10.0.0.0/32")
	for range rapid.IntRange(0, 15).Draw(t, "address") {
		s.Start = s.Start.Next()
	}
	s.End = s.Start
	s.IPProtocol = rapid.SampledFrom([]uint8{6, 17}).Draw(t, "protocol")
	s.StartPort = uint16(rapid.IntRange(0, 7).Draw(t, "port"))
	s.EndPort = s.StartPort
	return s
})
