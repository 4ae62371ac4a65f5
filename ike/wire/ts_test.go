package wire

import (
	"net/netip"
	"testing"
)

func TestTS(t *testing.T) {
	prefix := func(p string, protocol uint8, from, to uint16) Selector {
		return PrefixSelector(netip.MustParsePrefix(p), protocol, from, to)
	}
	roundTrip(t, []roundTripCase{
		{
			"IPv4 network", &TS{Initiator: true, Selectors: []Selector{prefix("10.1.2.3/16", 0, 0, 65535)}},
			"01 000000 07 00 0010 0000 ffff 0a010000 0a01ffff", "TSi[10.1.0.0/16]",
		},
		{
			"two selectors, one of them IPv6 and TCP", &TS{Selectors: []Selector{
				prefix("10.0.0.1/32", 17, 53, 53), prefix("2001:db8:1::/64", 6, 8000, 8999),
			}},
			`02 000000 07 11 0010 0035 0035 0a000001 0a000001
			 08 06 0028 1f40 2327 20010db8000100000000000000000000 20010db800010000ffffffffffffffff`,
			"TSr[10.0.0.1/32[udp/53] 2001:db8:1::/64[tcp/8000-8999]]",
		},
		{
			"range that is no prefix, opaque ports", &TS{Initiator: true, Selectors: []Selector{{
				Type: TSIPv4AddrRange, IPProtocol: 135, StartPort: 65535, EndPort: 0,
				Start: netip.MustParseAddr("192.0.2.100"), End: netip.MustParseAddr("192.0.3.101"),
			}}},
			"01 000000 07 87 0010 ffff 0000 c0000264 c0000365", "TSi[192.0.2.100-192.0.3.101[mobility-header/opaque]]",
		},
		{
			"everything", &TS{Selectors: []Selector{prefix("0.0.0.0/0", 0, 0, 65535), prefix("::/0", 0, 0, 65535)}},
			"02 000000 07 00 0010 0000 ffff 00000000 ffffffff 08 00 0028 0000 ffff" + repeat("00", 16) + repeat("ff", 16),
			"TSr[0.0.0.0/0 ::/0]",
		},
		{
			"IPv4 mapped into IPv6 stays IPv6", &TS{Selectors: []Selector{prefix("::ffff:10.0.0.0/104", 1, 0, 65535)}},
			"01 000000 08 01 0028 0000 ffff 00000000000000000000ffff0a000000 00000000000000000000ffff0affffff",
			"TSr[::ffff:10.0.0.0/104[icmp]]",
		},
		{
			"security label is kept raw", &TS{Initiator: true, Selectors: []Selector{{Type: TSSecLabel, Data: []byte{1, 2, 3}}}},
			"01 000000 0a 00 0007 010203", "TSi[TS_SECLABEL:0x010203]",
		},
	})
	refuse(t, PayloadTSr, []refusal{
		{"cut", "01 0000", "Number of TSs", 4},
		{"no selector", "00 000000", "Number of TSs", 4},
		{"fewer than counted", "01 000000", "Traffic Selector", 8},
		{"more than counted", "01 000000 0a 00 0004 00", "Number of TSs", 4},
		{"selector shorter than its header", "01 000000 0a 00 0003", "Selector Length", 10},
		{"selector longer than the payload", "01 000000 0a 00 0005", "Selector Length", 10},
		{"IPv4 of 15 octets", "01 000000 07 00 000f 0000 ffff 0a010000 0a01ff", "Selector Length", 10},
		{"IPv6 as long as IPv4", "01 000000 08 00 0010 0000 ffff 0a010000 0a01ffff", "Selector Length", 10},
		{"ports upside down", "01 000000 07 00 0010 1f90 01bb c6336405 c6336409", "Start Port", 8},
		{"addresses upside down", "01 000000 07 00 0010 0000 ffff c6336409 c6336309", "Starting Address", 8},
	})
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")
	refuseToWrite(t, []unwritable{
		{"no selector", &TS{}, "Number of TSs"},
		{"too many selectors", &TS{Selectors: make([]Selector, 256)}, "Number of TSs"},
		{"no addresses", &TS{Selectors: []Selector{{Type: TSIPv4AddrRange}}}, "Starting Address"},
		{"two families", &TS{Selectors: []Selector{{Type: TSIPv4AddrRange, Start: v4, End: v6}}}, "Starting Address"},
		{"the wrong family", &TS{Selectors: []Selector{{Type: TSIPv4AddrRange, Start: v6, End: v6}}}, "Starting Address"},
		{"64 KiB of raw data", &TS{Selectors: []Selector{{Type: TSSecLabel, Data: make([]byte, 65535)}}}, "Selector Length"},
	})
}

func TestSelectorPrefix(t *testing.T) {
	for _, c := range []struct {
		start, end, want string // "" for no prefix
	}{
		{"10.0.0.0", "10.255.255.255", "10.0.0.0/8"},
		{"10.0.0.7", "10.0.0.7", "10.0.0.7/32"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"10.0.0.1", "10.0.0.2", ""},
		{"10.0.0.0", "10.0.0.2", ""},
		{"2001:db8::", "2001:db8::ffff", "2001:db8::/112"},
		{"10.0.0.0", "::1", ""},
	} {
		s := Selector{Start: netip.MustParseAddr(c.start), End: netip.MustParseAddr(c.end)}
		p, ok := s.Prefix()
		if ok != (c.want != "") || ok && p.String() != c.want {
			t.Errorf("%s to %s: prefix %s, %t; want %q", c.start, c.end, p, ok, c.want)
		}
	}
	if p, ok := (Selector{}).Prefix(); ok {
		t.Errorf("the zero selector has the prefix %s", p)
	}
}
