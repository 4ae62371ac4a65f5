package esp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func prefix(p string) Selector { return SelectorFromPrefix(netip.MustParsePrefix(p)) }

// ports narrows a selector.
func ports(s Selector, protocol uint8, start, end uint16) Selector {
	s.Protocol, s.StartPort, s.EndPort = protocol, start, end
	return s
}

func flow(source, destination string, protocol uint8, sourcePort, destinationPort uint16) Flow {
	return Flow{
		Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr(destination),
		Protocol: protocol, SourcePort: sourcePort, DestinationPort: destinationPort,
	}
}

// exampleSPD is that of a gateway for 10.1.0.0/16 and 2001:db8:1::/64 at 192.0.2.1.
func exampleSPD(t testing.TB) *SPD {
	spd := &SPD{}
	for _, p := range []Policy{
		{Name: "ike", Local: []Selector{ports(prefix("192.0.2.1/32"), 17, 500, 500)}, Remote: []Selector{AnySelector()}, Action: ActionBypass},
		{Name: "dns", Local: []Selector{prefix("10.1.0.0/16")}, Remote: []Selector{ports(prefix("10.9.0.0/16"), 17, 53, 53)}, Action: ActionProtect, Ref: 1},
		{Name: "fragments", Local: []Selector{prefix("10.1.5.0/24")}, Remote: []Selector{ports(prefix("10.8.0.0/16"), 17, 65535, 0)}, Action: ActionProtect, Ref: 2},
		{Name: "ping", Local: []Selector{ports(AnySelector(), 1, 0x0800, 0x0800)}, Remote: []Selector{ports(prefix("10.7.0.0/16"), 1, 0x0800, 0x0800)}, Action: ActionProtect, Ref: 3},
		{Name: "net", Local: []Selector{prefix("10.1.0.0/16"), prefix("2001:db8:1::/64")}, Remote: []Selector{prefix("10.0.0.0/8"), prefix("2001:db8::/32")}, Action: ActionProtect, Ref: 4},
		{Name: "rest", Local: []Selector{AnySelector()}, Remote: []Selector{AnySelector()}},
	} {
		if err := spd.Append(p); err != nil {
			t.Fatal(err)
		}
	}
	return spd
}

func TestLookup(t *testing.T) {
	noPorts := func(f Flow) Flow { f.NoPorts = true; return f }
	for _, c := range []struct {
		name string
		d    Direction
		f    Flow
		want string
	}{
		{"IKE out", DirectionOut, flow("192.0.2.1", "198.51.100.7", 17, 500, 500), "ike"},
		{"IKE in", DirectionIn, flow("198.51.100.7", "192.0.2.1", 17, 1024, 500), "ike"},
		{"IKE to another port", DirectionIn, flow("198.51.100.7", "192.0.2.1", 17, 500, 501), "rest"},
		{"TCP on IKE's port", DirectionOut, flow("192.0.2.1", "198.51.100.7", 6, 500, 500), "rest"},
		{"DNS before the network it is in", DirectionOut, flow("10.1.0.9", "10.9.0.9", 17, 4000, 53), "dns"},
		{"the answer", DirectionIn, flow("10.9.0.9", "10.1.0.9", 17, 53, 4000), "dns"},
		{"not the other way round", DirectionOut, flow("10.1.0.9", "10.9.0.9", 17, 53, 4000), "net"},
		{"a fragment has no port 53", DirectionOut, noPorts(flow("10.1.0.9", "10.9.0.9", 17, 0, 53)), "net"},
		{"OPAQUE matches a fragment", DirectionOut, noPorts(flow("10.1.5.9", "10.8.0.9", 17, 0, 0)), "fragments"},
		{"OPAQUE matches nothing with ports", DirectionOut, flow("10.1.5.9", "10.8.0.9", 17, 0, 0), "net"},
		{"ICMP type and code", DirectionOut, flow("10.1.5.9", "10.7.0.9", 1, 0x0800, 0x0800), "ping"},
		{"another ICMP type", DirectionOut, flow("10.1.5.9", "10.7.0.9", 1, 0x0b00, 0x0b00), "net"},
		{"first address", DirectionOut, flow("10.1.0.0", "10.0.0.0", 6, 1, 1), "net"},
		{"last address", DirectionOut, flow("10.1.255.255", "10.255.255.255", 6, 1, 1), "net"},
		{"one beyond", DirectionOut, flow("10.2.0.0", "10.0.0.0", 6, 1, 1), "rest"},
		{"IPv6", DirectionOut, flow("2001:db8:1::1", "2001:db8:2::1", 6, 1, 1), "net"},
		{"IPv6 outside", DirectionOut, flow("2001:db8:1:1::1", "2001:db8:2::1", 6, 1, 1), "rest"},
		{"IPv4 in IPv6 is IPv6", DirectionOut, flow("::ffff:10.1.0.1", "::ffff:10.2.0.1", 6, 1, 1), "rest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, ok := exampleSPD(t).Lookup(c.d, c.f)
			if !ok || p.Name != c.want {
				t.Errorf("got %+v, %t; want %s", p, ok, c.want)
			}
		})
	}
	if p, ok := (&SPD{}).Lookup(DirectionOut, flow("10.0.0.1", "10.0.0.2", 6, 1, 1)); ok {
		t.Errorf("an empty SPD has %+v", p)
	}
}

func TestSPDOrder(t *testing.T) {
	names := func(spd *SPD) string {
		var all []string
		for _, p := range spd.Policies() {
			all = append(all, p.Name)
		}
		return strings.Join(all, " ")
	}
	everything := []Selector{AnySelector()}
	spd := &SPD{}
	for _, c := range []struct {
		index int
		name  string
		want  string
	}{
		{0, "b", "b"}, {0, "a", "a b"}, {2, "d", "a b d"}, {2, "c", "a b c d"}, {99, "e", "a b c d e"}, {-1, "f", "a b c d e f"},
	} {
		if err := spd.Insert(c.index, Policy{Name: c.name, Local: everything, Remote: everything}); err != nil {
			t.Fatal(err)
		}
		if got := names(spd); got != c.want {
			t.Errorf("%s inserted at %d: %s, want %s", c.name, c.index, got, c.want)
		}
	}
	for _, c := range []struct{ name, want string }{{"c", "a b d e f"}, {"a", "b d e f"}, {"f", "b d e"}} {
		if !spd.Remove(c.name) || spd.Remove(c.name) || names(spd) != c.want {
			t.Errorf("after the removal of %s: %s, want %s", c.name, names(spd), c.want)
		}
	}
	if spd.Len() != 3 {
		t.Errorf("%d policies, want 3", spd.Len())
	}
}

func TestSPDRefusals(t *testing.T) {
	everything := []Selector{AnySelector()}
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		name string
		p    Policy
		want string
	}{
		{"name taken", Policy{Name: "net", Local: everything, Remote: everything}, "taken"},
		{"no local selector", Policy{Name: "x", Remote: everything}, "selector"},
		{"no remote selector", Policy{Name: "x", Local: everything}, "selector"},
		{"two families", Policy{Name: "x", Local: everything, Remote: []Selector{{Start: v4, End: v6}}}, "family"},
		{"half a range", Policy{Name: "x", Local: []Selector{{Start: v4}}, Remote: everything}, "family"},
		{"addresses upside down", Policy{Name: "x", Local: []Selector{{Start: v4.Next(), End: v4}}, Remote: everything}, "above"},
		{"ports upside down", Policy{Name: "x", Local: []Selector{{StartPort: 2, EndPort: 1}}, Remote: everything}, "above"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spd := exampleSPD(t)
			before := spd.Len()
			err := spd.Append(c.p)
			if err == nil || !strings.Contains(err.Error(), c.want) || spd.Len() != before {
				t.Errorf("got %v with %d policies, want an error that says %q", err, spd.Len(), c.want)
			}
		})
	}
}

// A range that touches one end of the ports is not any port: it needs ports that
// can be seen (RFC 4301 §4.4.1.1).
func TestPortRanges(t *testing.T) {
	for _, c := range []struct {
		start, end uint16
		in, out    []uint16
		noPorts    bool
	}{
		{0, 65535, []uint16{0, 80, 65535}, nil, true},
		{0, 1023, []uint16{0, 1023}, []uint16{1024, 65535}, false},
		{1024, 65535, []uint16{1024, 65535}, []uint16{0, 1023}, false},
		{0, 0, []uint16{0}, []uint16{1, 65535}, false},
		{65535, 65535, []uint16{65535}, []uint16{0, 65534}, false},
		{65535, 0, nil, []uint16{0, 80, 65535}, true},
	} {
		s := ports(AnySelector(), 17, c.start, c.end)
		a := netip.MustParseAddr("10.0.0.1")
		for _, port := range c.in {
			if !s.matches(a, 17, port, false) {
				t.Errorf("port %d is not in %d to %d", port, c.start, c.end)
			}
		}
		for _, port := range c.out {
			if s.matches(a, 17, port, false) {
				t.Errorf("port %d is in %d to %d", port, c.start, c.end)
			}
		}
		if got := s.matches(a, 17, 0, true); got != c.noPorts {
			t.Errorf("a packet without ports in %d to %d: %t", c.start, c.end, got)
		}
	}
}

// The caller's slices are the caller's: changing them changes no policy.
func TestSPDCopiesSelectors(t *testing.T) {
	local := []Selector{prefix("10.1.0.0/16")}
	spd := &SPD{}
	if err := spd.Append(Policy{Name: "net", Local: local, Remote: []Selector{AnySelector()}}); err != nil {
		t.Fatal(err)
	}
	local[0] = prefix("10.2.0.0/16")
	if _, ok := spd.Lookup(DirectionOut, flow("10.1.0.1", "10.9.0.1", 6, 1, 1)); !ok {
		t.Error("the policy changed with the caller's slice")
	}
}

// A prefix selector holds exactly the prefix's addresses.
func TestSelectorFromPrefixAgainstNetip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
		p := netip.PrefixFrom(a, rapid.IntRange(0, 32).Draw(t, "bits"))
		s := SelectorFromPrefix(p)
		for _, probe := range []netip.Addr{s.Start, s.End, s.Start.Prev(), s.End.Next(), a} {
			if probe.IsValid() && s.matches(probe, 6, 1, false) != p.Contains(probe) {
				t.Fatalf("%s in %s: selector says %t", probe, p, !p.Contains(probe))
			}
		}
	})
}

func TestActionNames(t *testing.T) {
	for a, want := range map[Action]string{ActionDiscard: "discard", ActionBypass: "bypass", ActionProtect: "protect", 9: "action 9"} {
		if got := fmt.Sprint(a); got != want {
			t.Errorf("action %d is %q, want %q", uint8(a), got, want)
		}
	}
}
