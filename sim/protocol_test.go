package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// twoHosts is a plan of two nodes at addresses that records name.
func twoHosts() *topology.Plan {
	host := func(name string, addr netip.Addr) topology.Node {
		return topology.Node{Name: name, Implementation: topology.ImplementationHost, Dataplane: topology.DataplaneUserspace,
			Interfaces: []topology.Interface{{Name: "e", Up: true, MTUBytes: 1500, Addresses: []netip.Prefix{netip.PrefixFrom(addr, 24)}}}}
	}
	return &topology.Plan{Lab: topology.Lab{Name: "two", Duration: time.Minute}, Nodes: []topology.Node{host("gw-a", gwA), host("gw-b", gwB)}}
}

// TestProtocol: every record finds the IKE SA that it belongs to, whatever the machine calls it.
func TestProtocol(t *testing.T) {
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 500) }
	spi1, spi2 := wire.SPI{1}, wire.SPI{2}
	// of makes a record at gw-a; n is the machine's number.
	of := func(kind ike.RecordKind, n uint64, initiator bool, x *ike.Exchange) ike.Record {
		r := ike.Record{Kind: kind, IKE: n, Initiator: initiator, Exchange: x, Local: at(gwA), Remote: at(gwB)}
		if n != 0 {
			r.Connection = "to-b"
		}
		return r
	}
	init := func(spi wire.SPI, response bool) *ike.Exchange {
		return &ike.Exchange{Type: wire.ExchangeIKESAInit, SPIi: spi, Initiator: !response, Response: response}
	}
	unbound := func(connection string) ike.Record {
		return ike.Record{Kind: ike.RecordIgnored, Connection: connection, Fields: []ike.Field{{Key: "reason", Value: "x"}}}
	}
	unknown := of(ike.RecordDropped, 0, false, init(spi1, true)) // a response when nobody waits for it any more
	for _, tc := range []struct {
		name    string
		records []ike.Record
		// want are, for each SA, its SPI's first octet, its role, and the indices of its records.
		want []string
	}{
		{"an initiator learns its SPI with its first message",
			[]ike.Record{of(ike.RecordIKEInit, 1, true, nil), of(ike.RecordSent, 1, true, init(spi1, false)), of(ike.RecordReceived, 1, true, init(spi1, true))},
			[]string{"01 initiator 0 1 2"}},
		{"a responder knows it from the first",
			[]ike.Record{of(ike.RecordReceived, 1, false, init(spi1, false)), of(ike.RecordIKEInit, 1, false, nil), of(ike.RecordSent, 1, false, init(spi1, true))},
			[]string{"01 responder 0 1 2"}},
		{"two at once",
			[]ike.Record{of(ike.RecordIKEInit, 1, true, nil), of(ike.RecordIKEInit, 2, true, nil), of(ike.RecordSent, 2, true, init(spi2, false)), of(ike.RecordSent, 1, true, init(spi1, false))},
			[]string{"01 initiator 0 3", "02 initiator 1 2"}},
		{"keys tell an SPI too",
			[]ike.Record{of(ike.RecordIKEInit, 1, true, nil), {Kind: ike.RecordKeys, IKE: 1, Initiator: true, Keys: &ike.Keys{SPIi: spi1}}},
			[]string{"01 initiator 0 1"}},
		{"a node that starts again counts anew",
			[]ike.Record{of(ike.RecordIKEInit, 1, true, nil), of(ike.RecordSent, 1, true, init(spi1, false)), of(ike.RecordIKEInit, 1, true, nil), of(ike.RecordSent, 1, true, init(spi2, false))},
			[]string{"01 initiator 0 1", "02 initiator 2 3"}},
		{"and may meet the same SPI again",
			[]ike.Record{of(ike.RecordReceived, 1, false, init(spi1, false)), of(ike.RecordSent, 1, false, init(spi1, true)), of(ike.RecordReceived, 1, false, init(spi1, false)), of(ike.RecordIKEInit, 1, false, nil)},
			[]string{"01 responder 0 1", "01 responder 2 3"}},
		{"what was refused at first is the same story",
			[]ike.Record{
				of(ike.RecordReceived, 0, false, init(spi1, false)), of(ike.RecordSent, 0, false, init(spi1, true)), of(ike.RecordIKEFailed, 0, false, nil),
				of(ike.RecordReceived, 1, false, init(spi1, false)), of(ike.RecordIKEInit, 1, false, nil),
			},
			[]string{"01 responder 0 1 2 3 4"}},
		{"two that are refused",
			[]ike.Record{
				of(ike.RecordReceived, 0, false, init(spi1, false)), of(ike.RecordSent, 0, false, init(spi1, true)), of(ike.RecordIKEFailed, 0, false, nil),
				of(ike.RecordReceived, 0, false, init(spi2, false)), of(ike.RecordSent, 0, false, init(spi2, true)), of(ike.RecordIKEFailed, 0, false, nil),
			},
			[]string{"01 responder 0 1 2", "02 responder 3 4 5"}},
		{"what comes too late belongs to what is gone",
			[]ike.Record{of(ike.RecordIKEInit, 1, true, nil), of(ike.RecordSent, 1, true, init(spi1, false)), of(ike.RecordIKEFailed, 1, true, nil), unknown},
			[]string{"01 initiator 0 1 2 3"}},
		{"outside any, by connection",
			[]ike.Record{unbound("x"), unbound("y"), unbound("x"), unbound("")},
			[]string{"00 responder 0 2", "00 responder 1", "00 responder 3"}},
		{"a failure that no message led to",
			[]ike.Record{{Kind: ike.RecordIKEFailed, Connection: "x", Initiator: true}},
			[]string{"00 responder 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := New(twoHosts(), Options{Protocol: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range tc.records {
				r.Observe(time.Duration(i), 0, &node.Event{Kind: node.EventKind(tc.records[i].Kind), Interface: -1, IKE: &tc.records[i]})
			}
			p := r.Protocol()
			got := make([]string, len(p.SAs))
			for i, sa := range p.SAs {
				role := "responder"
				if sa.Initiator {
					role = "initiator"
				}
				got[i] = fmt.Sprintf("%02x %s", sa.SPIi[0], role)
				if sa.Node != "gw-a" {
					t.Errorf("SA %d is at %q", i, sa.Node)
				}
				if sa.Peer != "gw-b" && sa.SPIi != (wire.SPI{}) {
					t.Errorf("the peer of SA %d is %q", i, sa.Peer)
				}
			}
			for i, e := range p.Events {
				got[e.SA] += fmt.Sprintf(" %d", i)
				if e.At != time.Duration(i) || e.Kind != tc.records[i].Kind {
					t.Errorf("event %d is %+v", i, e)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("SAs (-want +got):\n%s", d)
			}
		})
	}
}

// TestProtocolFacts: an event says everything that its record says, keys by a fingerprint only, and keeps nothing of
// the record, which is the node's.
func TestProtocolFacts(t *testing.T) {
	r, err := New(twoHosts(), Options{Protocol: true})
	if err != nil {
		t.Fatal(err)
	}
	key := []byte("a key that nobody shall read")
	rec := ike.Record{
		Kind: ike.RecordChildInstalled, Connection: "to-b", IKE: 1, Local: netip.AddrPortFrom(gwA, 4500), Remote: netip.AddrPortFrom(gwB, 4500),
		Exchange: &ike.Exchange{SPIi: spiI, Payloads: []string{"Ni"}},
		Fields:   []ike.Field{{Key: "child", Value: "net"}},
		Keys:     &ike.Keys{SPIi: spiI, SPIr: spiR, SKei: key},
		Child:    &ike.ChildSA{Encap: true, Local: netip.AddrPortFrom(gwA, 4500), Remote: netip.AddrPortFrom(gwB, 4500), In: ike.ChildKeys{Encr: key}},
	}
	r.Observe(0, 0, &node.Event{Kind: node.EventKind(rec.Kind), Interface: -1, IKE: &rec})
	rec.Exchange.Payloads[0], rec.Fields[0].Value = "overwritten", "overwritten"
	e := r.Protocol().Events[0]
	var got []string
	for _, f := range e.Facts {
		got = append(got, f.Key)
		if strings.Contains(f.Value, "overwritten") || strings.Contains(f.Value, string(key)) || strings.Contains(f.Value, fmt.Sprintf("%x", key)) {
			t.Errorf("%s is %q", f.Key, f.Value)
		}
	}
	want := []string{"connection", "child", "spi-i", "spi-r", "keys", "encap", "keys-in", "keys-out", "tunnel-local", "tunnel-remote", "local", "remote"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("facts (-want +got):\n%s", d)
	}
	if e.Message == nil || e.Message.Payloads[0] != "Ni" {
		t.Errorf("message %+v", e.Message)
	}
	if fingerprint([]byte("ab"), []byte("c")) == fingerprint([]byte("a"), []byte("bc")) || fingerprint(key) == fingerprint(key, nil) {
		t.Error("keys that are cut otherwise have the same fingerprint")
	}
}

// TestProtocolIsForThoseWhoAsk: nothing is kept for others, and no more than the bound.
func TestProtocolIsForThoseWhoAsk(t *testing.T) {
	event := &node.Event{Kind: node.EventInstallFailed, Interface: -1, Problem: "no buffer space"}
	for _, asked := range []bool{false, true} {
		r, err := New(twoHosts(), Options{Protocol: asked})
		if err != nil {
			t.Fatal(err)
		}
		if r.protocol != nil {
			r.protocol.protocol.Events = make([]ProtocolEvent, protocolEventsMax-1)
		}
		for range 3 {
			r.Observe(0, 0, event)
		}
		p := r.Protocol()
		if !asked && (len(p.Events) != 0 || p.Omitted != 0) {
			t.Errorf("nobody asked, and %d events were kept", len(p.Events))
		}
		if !asked {
			continue
		}
		if len(p.Events) != protocolEventsMax || p.Omitted != 2 {
			t.Errorf("%d events were kept and %d left out", len(p.Events), p.Omitted)
		}
		last := p.Events[len(p.Events)-1]
		if last.Kind != "install-failed" || len(last.Facts) != 1 || last.Facts[0].Value != event.Problem || p.SAs[last.SA].SPIi != (wire.SPI{}) {
			t.Errorf("what could not be installed is %+v", last)
		}
	}
}
