package ike

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/wire"
)

// TestChooseChild holds which of a responder's children an initiator's selectors get,
// and what is left of them. A child is "NAME LOCAL… - REMOTE…", a "-" between.
func TestChooseChild(t *testing.T) {
	for _, tc := range []struct {
		name     string
		children []string
		tsi, tsr string
		want     string // "NAME TSi - TSr", "" for none
	}{
		{
			"the packet's child, though another one overlaps first",
			[]string{"wide 10.1.0.0/25 - 10.2.0.0/16", "right 10.1.0.128/25 - 10.2.0.0/16"},
			"10.2.0.7/32[udp/40000] 10.2.0.0/16", "10.1.0.200/32[udp/53] 10.1.0.0/24",
			"right 10.2.0.0/16 - 10.1.0.128/25",
		},
		{
			"the packet's child by protocol",
			[]string{"tcp 10.1.0.0/16[tcp] - 10.2.0.0/16[tcp]", "udp 10.1.0.0/16[udp] - 10.2.0.0/16[udp]"},
			"10.2.0.7/32[udp/40000] 10.2.0.0/16", "10.1.0.9/32[udp/53] 10.1.0.0/16",
			"udp 10.2.0.0/16[udp] - 10.1.0.0/16[udp]",
		},
		{
			"the packet's child by the initiator's end",
			[]string{"one 10.1.0.0/16 - 10.2.1.0/24", "two 10.1.0.0/16 - 10.2.2.0/24"},
			"10.2.2.9/32[tcp/50000] 10.2.0.0/16", "10.1.0.9/32[tcp/80] 10.1.0.0/16",
			"two 10.2.2.0/24 - 10.1.0.0/16",
		},
		{
			"a part of a first selector before none of it",
			[]string{"none 10.1.9.0/24 - 10.2.0.0/16", "part 10.1.5.0/28 - 10.2.0.0/16"},
			"10.2.0.0/16", "10.1.5.0/24 10.1.0.0/16",
			"part 10.2.0.0/16 - 10.1.5.0/28",
		},
		{
			"the child for everything before one for the first selectors",
			[]string{"first 10.1.5.0/24 - 10.2.0.0/16", "all 10.1.0.0/16 - 10.2.0.0/16"},
			"10.2.0.0/16", "10.1.5.9/32[tcp/80] 10.1.0.0/16",
			"all 10.2.0.0/16 - 10.1.0.0/16",
		},
		{
			"the first of equals",
			[]string{"one 10.1.0.0/16 - 10.2.0.0/16", "two 10.1.0.0/16 - 10.2.0.0/16"},
			"10.2.0.0/16", "10.1.0.0/16", "one 10.2.0.0/16 - 10.1.0.0/16",
		},
		{"families that differ", []string{"any 0.0.0.0/0 ::/0 - 0.0.0.0/0 ::/0"}, "10.2.0.0/16", "2001:db8::/32", ""},
		{"protocols that differ", []string{"any 0.0.0.0/0 - 0.0.0.0/0"}, "10.2.0.0/16[tcp]", "10.1.0.0/16[udp]", ""},
		{"protocols that differ after narrowing", []string{"any 0.0.0.0/0[udp] - 0.0.0.0/0[tcp]"}, "10.2.0.0/16", "10.1.0.0/16", ""},
		{"families that differ after narrowing", []string{"any ::/0 - 0.0.0.0/0"}, "10.2.0.0/16 2001:db8:2::/48", "10.1.0.0/16 2001:db8:1::/48", ""},
		{"a port at one end, none to be seen at the other", []string{"any 0.0.0.0/0 - 0.0.0.0/0"}, "10.2.0.0/16[tcp/opaque]", "10.1.0.0/16[tcp/80]", ""},
		{"fragments and any port", []string{"any 0.0.0.0/0 - 0.0.0.0/0"}, "10.2.0.0/16[tcp/opaque]", "10.1.0.0/16", "any 10.2.0.0/16[tcp/opaque] - 10.1.0.0/16"},
		{"types of ICMP that differ", []string{"any 0.0.0.0/0 - 0.0.0.0/0"}, "10.2.0.0/16[icmp/2048]", "10.1.0.0/16[icmp/0]", ""},
		{"one type of ICMP", []string{"any 0.0.0.0/0 - 0.0.0.0/0"}, "10.2.0.0/16[icmp/2048]", "10.1.0.0/16[icmp/2048]", "any 10.2.0.0/16[icmp/2048] - 10.1.0.0/16[icmp/2048]"},
		{
			"what pairs with nothing is not in the answer",
			[]string{"any 0.0.0.0/0 ::/0 - 0.0.0.0/0 ::/0"},
			"10.2.0.0/16", "2001:db8::/32 10.1.0.0/16", "any 10.2.0.0/16 - 10.1.0.0/16",
		},
		{
			"a child that cannot match before one that can",
			[]string{"mixed 10.1.0.0/16[tcp] - 10.2.0.0/16[udp]", "udp 10.1.0.0/16[udp] - 10.2.0.0/16[udp]"},
			"10.2.0.0/16", "10.1.0.0/16", "udp 10.2.0.0/16[udp] - 10.1.0.0/16[udp]",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := &connection{}
			for _, text := range tc.children {
				name, rest, _ := strings.Cut(text, " ")
				local, remote, _ := strings.Cut(rest, " - ")
				conn.Children = append(conn.Children, Child{Name: name, LocalTS: selectors(local), RemoteTS: selectors(remote)})
			}
			end := netip.MustParseAddrPort("192.0.2.1:500")
			choice := (&ikeSA{local: end, remote: end}).chooseChild(conn, selectors(tc.tsi), selectors(tc.tsr))
			got := ""
			if choice.fit != fitNone {
				got = choice.cfg.Name + " " + describeSelectors(choice.tsi) + " - " + describeSelectors(choice.tsr)
			}
			if got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestUnpairedAnswer: selectors in a response that no packet can match make no
// CHILD_SA, and the responder's goes.
func TestUnpairedAnswer(t *testing.T) {
	const both = "0.0.0.0/0 ::/0"
	n := liePair(t, wire.ExchangeIKEAuth, true, func(ps []wire.Payload) []wire.Payload {
		for _, p := range ps {
			if ts, is := p.(*wire.TS); is && ts.Initiator {
				ts.Selectors = selectors("0.0.0.0/0")
			} else if is {
				ts.Selectors = selectors("::/0")
			}
		}
		return ps
	}, "local_ts "+both, "remote_ts "+both)
	wantRecord(t, n.node("a"), RecordChildFailed, "that no packet can match")
	if len(n.children) != 0 || established(n.node("a")) != 1 || established(n.node("b")) != 1 {
		t.Errorf("%d CHILD_SAs, a has %s, b has %s", len(n.children), n.state(n.node("a")), n.state(n.node("b")))
	}
}

// TestChooseConnection: of two connections with the same identities the one is taken
// whose child is for the packet, though the other's comes first and overlaps.
func TestChooseConnection(t *testing.T) {
	n := newTestnet()
	n.quiet = true
	if _, err := addMachine(n, "a", "192.0.2.1", "198.51.100.1", []string{"local_ts 10.1.0.0/16", "remote_ts 10.2.0.0/16"}); err != nil {
		t.Fatal(err)
	}
	if _, err := addMachine(n, "b", "198.51.100.1", "192.0.2.1", []string{
		"local_ts 10.2.0.0/24", "remote_ts 10.1.0.0/16", "connection servers", "local_ts 10.2.8.0/24",
	}); err != nil {
		t.Fatal(err)
	}
	n.step(n.node("a"), Acquire{Connection: "ike", Child: "net", Packet: TrafficKey{
		Source: netip.MustParseAddr("10.1.0.9"), Destination: netip.MustParseAddr("10.2.8.5"), Protocol: 6, SourcePort: 50000, DestinationPort: 80,
	}})
	n.settle()
	wantRecord(t, n.node("a"), RecordChildInstalled, "{local-ts 10.1.0.0/16} {remote-ts 10.2.8.0/24}")
	for _, r := range n.node("b").records {
		if r.Kind == RecordChildInstalled && r.Connection != "servers" {
			t.Errorf("b takes %q", r.Connection)
		}
	}
	for _, p := range n.problems {
		t.Error(p)
	}
}
