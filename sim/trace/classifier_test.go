package trace

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"pgregory.net/rapid"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

const (
	initiator = wire.FlagInitiator
	response  = wire.FlagResponse
	saInit    = wire.ExchangeIKESAInit
	auth      = wire.ExchangeIKEAuth
)

// What packets are. Content is shown as 1 where an identity has one.
func TestClassify(t *testing.T) {
	type step struct {
		what   string
		packet []byte
		want   impair.Identity
	}
	var r random
	r.ttl = 64
	longIKE := r.udp(gwA4, 500, gwB4, 500, ike(0xa1, auth, initiator, 1, 0, make([]byte, 100)))
	longIKE1, longIKE2 := fragments(longIKE, 64)
	ping6 := r.echo(host6, srv6, false, 77, 1, make([]byte, 100))
	ping61, ping62 := fragments6(ping6, 99, 48)
	tests := []struct {
		name  string
		steps []step
	}{
		{"an IKE SA and its messages", []step{
			{"the initiator's first request", r.udp(gwA4, 500, gwB4, 500, ike(0xa1, saInit, initiator, 0, 0, nil)),
				impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 34 request"}},
			{"its retransmission", r.udp(gwA4, 500, gwB4, 500, ike(0xa1, saInit, initiator, 0, 0, nil)),
				impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 34 request", Retransmission: 1}},
			{"the response", r.udp(gwB4, 500, gwA4, 500, ike(0xa1, saInit, response, 0, 0, nil)),
				impair.Identity{Flow: "ike gw-b>gw-a #1 responder exchange 34 response"}},
			{"the next exchange, with a marker on port 4500", r.udp(gwA4, 4500, gwB4, 4500, marked(ike(0xa1, auth, initiator, 1, 0, nil))),
				impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request", Ordinal: 1 << 16}},
			{"its second fragment", r.udp(gwA4, 4500, gwB4, 4500, marked(ike(0xa1, auth, initiator, 1, 2, nil))),
				impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request", Ordinal: 1<<16 | 2}},
			{"from behind NAT, and from another address of the same node", r.udp(gwA4b, 40123, gwB4, 4500, marked(ike(0xa1, auth, initiator, 2, 0, nil))),
				impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request", Ordinal: 2 << 16}},
			{"over the other IP version", r.udp(gwB6, 4500, gwA6, 4500, marked(ike(0xa1, auth, response, 2, 0, nil))),
				impair.Identity{Flow: "ike gw-b>gw-a #1 responder exchange 35 response", Ordinal: 2 << 16}},
			{"the second SA, which the other side initiates", r.udp(gwB4, 500, gwA4, 500, ike(0xb2, saInit, initiator, 0, 0, nil)),
				impair.Identity{Flow: "ike gw-b>gw-a #2 initiator exchange 34 request"}},
			{"the third, whose count does not ask who initiates", r.udp(gwA4, 500, gwB4, 500, ike(0xc3, saInit, initiator, 0, 0, nil)),
				impair.Identity{Flow: "ike gw-a>gw-b #3 initiator exchange 34 request"}},
			{"an SA with a peer that no node of the lab is", r.udp(host4, 500, gwA4, 500, ike(0xa1, saInit, initiator, 0, 0, nil)),
				impair.Identity{Flow: "ike 10.1.0.7>gw-a #1 initiator exchange 34 request"}},
		}},
		{"an IKE message in IP fragments", []step{
			{"the first", longIKE1, impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request", Ordinal: 1 << 16}},
			{"the second", longIKE2, impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request fragment 64", Ordinal: 1 << 16}},
			{"the first, sent again", longIKE1, impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request", Ordinal: 1 << 16, Retransmission: 1}},
			{"the second, sent again", longIKE2, impair.Identity{Flow: "ike gw-a>gw-b #1 initiator exchange 35 request fragment 64", Ordinal: 1 << 16, Retransmission: 1}},
		}},
		{"a ping in IPv6 fragments", []step{
			{"the second, early", ping62, impair.Identity{Flow: "fragment 48 of protocol 58 2001:db8:a::7>2001:db8:b::9", Content: 1}},
			{"the first", ping61, impair.Identity{Flow: "protocol 58 2001:db8:a::7>2001:db8:b::9 #1", Content: 1}},
			{"the second", ping62, impair.Identity{Flow: "protocol 58 2001:db8:a::7>2001:db8:b::9 #1 fragment 48", Content: 1}},
		}},
		{"ESP", []step{
			{"raw", r.ip(gwA4, gwB4, protocolESP, esp(0xc0ffee, 1, []byte("x"))),
				impair.Identity{Flow: "esp gw-a>gw-b #1", Ordinal: 1}},
			{"the same SA in UDP, as after a move", r.udp(gwA4b, 4500, gwB4, 4500, esp(0xc0ffee, 2, []byte("y"))),
				impair.Identity{Flow: "esp gw-a>gw-b #1", Ordinal: 2}},
			{"a replay is the same packet", r.udp(gwA4b, 4500, gwB4, 4500, esp(0xc0ffee, 2, []byte("y"))),
				impair.Identity{Flow: "esp gw-a>gw-b #1", Ordinal: 2}},
			{"the other direction counts by itself, whatever its SPI", r.ip(gwB4, gwA4, protocolESP, esp(0xc0ffee, 9, nil)),
				impair.Identity{Flow: "esp gw-b>gw-a #1", Ordinal: 9}},
			{"the SA after a rekeying", r.ip(gwA6, gwB6, protocolESP, esp(0xdead, 1, nil)),
				impair.Identity{Flow: "esp gw-a>gw-b #2", Ordinal: 1}},
			{"AH", r.ip(gwA4, gwB4, protocolAH, append([]byte{4, 4, 0, 0}, esp(0xc0ffee, 3, make([]byte, 12))...)),
				impair.Identity{Flow: "ah gw-a>gw-b #1", Ordinal: 3}},
		}},
		{"a NAT-keepalive is an ordinary datagram", []step{
			{"", r.udp(gwA4, 4500, gwB4, 4500, []byte{0xff}),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 4500>192.0.2.2 port 4500", Content: 1}},
			{"and the next", r.udp(gwA4, 4500, gwB4, 4500, []byte{0xff}),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 4500>192.0.2.2 port 4500", Content: 1, Ordinal: 1, Retransmission: 1}},
		}},
		{"what is not IKEv2 on IKE's port", []step{
			{"IKEv1", r.udp(gwA4, 500, gwB4, 500, append(bytes.Repeat([]byte{1}, 16), 1, 0x10, 2, 0, 0, 0, 0, 0, 0, 0, 0, 28)),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 500>192.0.2.2 port 500", Content: 1}},
			{"IKEv3", r.udp(gwA4, 500, gwB4, 500, append(bytes.Repeat([]byte{1}, 16), 1, 0x30, 35, 0, 0, 0, 0, 0, 0, 0, 0, 28)),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 500>192.0.2.2 port 500", Content: 1, Ordinal: 1}},
			{"too short", r.udp(gwA4, 500, gwB4, 500, []byte("hello")),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 500>192.0.2.2 port 500", Content: 1, Ordinal: 2}},
			{"a length that lies", r.udp(gwA4, 500, gwB4, 500, append(ike(0xa1, auth, initiator, 1, 0, nil), 0)),
				impair.Identity{Flow: "protocol 17 192.0.2.1 port 500>192.0.2.2 port 500", Content: 1, Ordinal: 3}},
		}},
		{"UDP flows", []step{
			{"a service between fixed ports", r.udp(host4, 5001, server, 5001, []byte("a")),
				impair.Identity{Flow: "protocol 17 10.1.0.7 port 5001>10.2.0.9 port 5001", Content: 1}},
			{"a client's first conversation", r.udp(host4, 40000, server, 53, []byte("a")),
				impair.Identity{Flow: "protocol 17 10.1.0.7 port *>10.2.0.9 port 53 #1", Content: 1}},
			{"its second one", r.udp(host4, 33000, server, 53, []byte("a")),
				impair.Identity{Flow: "protocol 17 10.1.0.7 port *>10.2.0.9 port 53 #2", Content: 1}},
			{"the answer in the first", r.udp(server, 53, host4, 40000, []byte("b")),
				impair.Identity{Flow: "protocol 17 10.2.0.9 port 53>10.1.0.7 port * #1", Content: 1}},
			{"other content is another packet, not a repetition", r.udp(host4, 40000, server, 53, []byte("b")),
				impair.Identity{Flow: "protocol 17 10.1.0.7 port *>10.2.0.9 port 53 #1", Content: 1, Ordinal: 1}},
			{"equal content is a repetition", r.udp(host4, 40000, server, 53, []byte("a")),
				impair.Identity{Flow: "protocol 17 10.1.0.7 port *>10.2.0.9 port 53 #1", Content: 1, Ordinal: 2, Retransmission: 1}},
		}},
		{"pings", []step{
			{"a ping", r.echo(host4, server, false, 4711, 1, nil),
				impair.Identity{Flow: "protocol 1 10.1.0.7>10.2.0.9 #1", Content: 1}},
			{"its answer", r.echo(server, host4, true, 4711, 1, nil),
				impair.Identity{Flow: "protocol 1 10.2.0.9>10.1.0.7 #1", Content: 1}},
			{"another ping program", r.echo(host4, server, false, 4712, 1, nil),
				impair.Identity{Flow: "protocol 1 10.1.0.7>10.2.0.9 #2", Content: 1}},
			{"an ICMP error has the addresses for a flow", r.unreachable(server, host4, r.udp(host4, 40000, server, 9, nil)),
				impair.Identity{Flow: "protocol 1 10.2.0.9>10.1.0.7", Content: 1}},
		}},
		{"other protocols and nonsense", []step{
			{"GRE", r.ip(gwA4, gwB4, 47, []byte("gre")), impair.Identity{Flow: "protocol 47 192.0.2.1>192.0.2.2", Content: 1}},
			{"ESP without a sequence number", r.ip(gwA4, gwB4, protocolESP, []byte{1, 2, 3, 4, 5, 6, 7}),
				impair.Identity{Flow: "protocol 50 192.0.2.1>192.0.2.2", Content: 1}},
			{"no IP", []byte("hello"), impair.Identity{Flow: "malformed", Content: 1}},
			{"nothing", nil, impair.Identity{Flow: "malformed", Content: 1, Ordinal: 1}},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := NewClassifier(owner)
			for _, s := range test.steps {
				got := c.Classify(0, s.packet)
				if got.Content != 0 {
					got.Content = 1
				}
				if diff := cmp.Diff(s.want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", s.what, diff)
				}
			}
		})
	}
}

// message is something that nodes say, without the numbers that are drawn at random.
type message struct {
	kind             string
	from, to         int // 0 or 1
	sa, conversation int
	exchange         wire.ExchangeType
	id               uint32
	fragment         uint16
	natt             bool
	content          string
	flags            header.TCPFlags
	error            bool // an ICMP error that quotes the message instead of the message itself
	point            int
}

// world holds the numbers that one implementation draws: what the packets of the same messages differ in.
type world struct {
	ikeSPI     [4]uint64
	espSPI     [2][4]uint32
	port       [4]uint16
	ident      [4]uint16
	isn        [4][2]uint32
	ciphertext []byte
	random     []random
}

func drawWorld(t *rapid.T, name string, messages int) world {
	var w world
	distinct := func(kind string, low, high uint64) [4]uint64 {
		return [4]uint64(rapid.SliceOfNDistinct(rapid.Uint64Range(low, high), 4, 4, rapid.ID).Draw(t, name+" "+kind))
	}
	w.ikeSPI = distinct("IKE SPIs", 1, 1<<64-1)
	for i, v := range distinct("ESP SPIs out", 256, 1<<32-1) {
		w.espSPI[0][i] = uint32(v)
	}
	for i, v := range distinct("ESP SPIs in", 256, 1<<32-1) {
		w.espSPI[1][i] = uint32(v)
	}
	for i, v := range distinct("ports", 32768, 65535) {
		w.port[i] = uint16(v)
	}
	for i, v := range distinct("identifiers", 0, 65535) {
		w.ident[i] = uint16(v)
	}
	for i, v := range distinct("TCP sequence numbers", 0, 1<<64-1) {
		w.isn[i] = [2]uint32{uint32(v), uint32(v >> 32)}
	}
	w.ciphertext = rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, name+" ciphertext")
	w.random = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) random {
		return random{ttl: rapid.Uint8Range(1, 255).Draw(t, "ttl"), ipID: rapid.Uint16().Draw(t, "id")}
	}), messages, messages).Draw(t, name+" IP headers")
	return w
}

// packet says a message with a world's numbers.
func (w world) packet(m message, r random) []byte {
	gateways, hosts := [2]netip.Addr{gwA4, gwB4}, [2]netip.Addr{host4, server}
	src, dst := hosts[m.from], hosts[m.to]
	client, service := w.port[m.conversation], uint16(5000)
	sport, dport := client, service
	if m.from == 1 {
		sport, dport = service, client
	}
	var b []byte
	switch m.kind {
	case "ike":
		src, dst = gateways[m.from], gateways[m.to]
		flags := wire.Flags(0)
		if m.from == m.sa%2 { // every second SA is initiated by the other gateway
			flags = initiator
		}
		if m.id%2 == 1 {
			flags |= response
		}
		text := ike(w.ikeSPI[m.sa], m.exchange, flags, m.id, m.fragment, w.ciphertext)
		if m.natt {
			b = r.udp(src, 4500, dst, 4500, marked(text))
		} else {
			b = r.udp(src, 500, dst, 500, text)
		}
	case "esp":
		src, dst = gateways[m.from], gateways[m.to]
		text := esp(w.espSPI[m.from][m.sa], m.id, w.ciphertext)
		if m.natt {
			b = r.udp(src, 4500, dst, 4500, text)
		} else {
			b = r.ip(src, dst, protocolESP, text)
		}
	case "udp":
		b = r.udp(src, sport, dst, dport, []byte(m.content))
	case "tcp":
		b = r.tcp(src, sport, dst, dport, w.isn[m.conversation][m.from]+m.id, w.isn[m.conversation][m.to]+m.id/2, m.flags, []byte(m.content))
	case "ping":
		b = r.echo(src, dst, m.from == 1, w.ident[m.conversation], uint16(m.id), []byte(m.content))
	}
	if m.error {
		b = r.unreachable(dst, src, b)
	}
	return b
}

func drawMessages(t *rapid.T) []message {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) message {
		m := message{
			kind:         rapid.SampledFrom([]string{"ike", "esp", "udp", "tcp", "ping"}).Draw(t, "kind"),
			from:         rapid.IntRange(0, 1).Draw(t, "from"),
			sa:           rapid.IntRange(0, 3).Draw(t, "sa"),
			conversation: rapid.IntRange(0, 3).Draw(t, "conversation"),
			exchange:     rapid.SampledFrom([]wire.ExchangeType{saInit, auth, wire.ExchangeInformational}).Draw(t, "exchange"),
			id:           rapid.Uint32Range(0, 5).Draw(t, "id"),
			fragment:     rapid.Uint16Range(0, 2).Draw(t, "fragment"),
			natt:         rapid.Bool().Draw(t, "NAT traversal"),
			content:      rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "content"),
			// Acknowledgements only, so that both sides' numbers are defined by the first packet.
			flags: rapid.SampledFrom([]header.TCPFlags{header.TCPFlagAck, header.TCPFlagAck | header.TCPFlagFin}).Draw(t, "flags"),
			error: rapid.IntRange(0, 5).Draw(t, "error") == 0,
			point: rapid.IntRange(0, 2).Draw(t, "point"),
		}
		m.to = 1 - m.from
		return m
	}), 1, 40).Draw(t, "messages")
}

// An identity holds nothing that is drawn at random: SPIs, ephemeral ports, ICMP identifiers, TCP sequence
// numbers, IP identifications, hop limits, ciphertext. The same messages with other numbers have the same
// identities, so a foreign daemon's packets meet the same fates in every run.
func TestIdentitiesDoNotDependOnRandomNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := drawMessages(t)
		worlds := [2]world{drawWorld(t, "first", len(messages)), drawWorld(t, "second", len(messages))}
		var identities [2][]impair.Identity
		for i, w := range worlds {
			c := NewClassifier(owner)
			for j, m := range messages {
				identities[i] = append(identities[i], c.Classify(m.point, w.packet(m, w.random[j])))
			}
		}
		if diff := cmp.Diff(identities[0], identities[1]); diff != "" {
			t.Fatalf("identities (-first +second):\n%s", diff)
		}
	})
}

// Different messages have different identities; so does a message said again, but for ESP, whose sequence
// number says that it is the same packet.
func TestDifferentPacketsHaveDifferentIdentities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := drawMessages(t)
		w := drawWorld(t, "world", len(messages))
		c := NewClassifier(owner)
		seen := map[impair.Identity]message{}
		for j, m := range messages {
			if m.kind == "esp" && !m.error || m.error && m.kind == "tcp" {
				continue
			}
			m.point = 0
			id := c.Classify(0, w.packet(m, w.random[j]))
			id.Ordinal = keyOrdinal(id)
			if before, ok := seen[id]; ok {
				t.Fatalf("%+v and %+v are both %+v", before, m, id)
			}
			seen[id] = m
		}
	})
}

// keyOrdinal is the ordinal as far as decisions about one packet are keyed by it.
func keyOrdinal(id impair.Identity) uint64 {
	if id.Content != 0 {
		return 0
	}
	return id.Ordinal
}

// A packet that crosses several links is the same packet on each.
func TestEveryPointCountsByItself(t *testing.T) {
	c := NewClassifier(owner)
	packets := [][]byte{
		random{ttl: 64}.udp(gwA4, 500, gwB4, 500, ike(0xa1, saInit, initiator, 0, 0, nil)),
		random{ttl: 64}.udp(host4, 40000, server, 53, []byte("query")),
	}
	for sending := range uint32(3) {
		for _, packet := range packets {
			for point := range 4 {
				got := c.Classify(point, packet)
				if got.Retransmission != sending {
					t.Errorf("sending %d at point %d: retransmission %d", sending, point, got.Retransmission)
				}
				if got.Content != 0 && got.Ordinal != uint64(sending) {
					t.Errorf("sending %d at point %d: ordinal %d", sending, point, got.Ordinal)
				}
			}
		}
	}
}

// Where nobody asks for identities, the packets are seen all the same: elsewhere they are what they would be.
func TestNote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		messages := drawMessages(t)
		w := drawWorld(t, "world", len(messages))
		asked, noted := NewClassifier(owner), NewClassifier(owner)
		for j, m := range messages {
			packet := w.packet(m, w.random[j])
			want := asked.Classify(m.point, packet)
			if m.point == 0 {
				noted.Note(packet)
				continue
			}
			if diff := cmp.Diff(want, noted.Classify(m.point, packet)); diff != "" {
				t.Fatalf("message %d (-asked +noted):\n%s", j, diff)
			}
		}
	})
}

// Bits that differ in transit do not hide a repetition, and a repetition in another conversation is none.
func TestChecksumsAndHopLimitsAreIgnored(t *testing.T) {
	c := NewClassifier(owner)
	first := c.Classify(0, random{ttl: 64, ipID: 1}.udp(host4, 40000, server, 53, []byte("query")))
	second := c.Classify(0, random{ttl: 63, ipID: 2}.udp(host4, 40000, server, 53, []byte("query")))
	other := c.Classify(0, random{ttl: 63, ipID: 2}.udp(host4, 40001, server, 53, []byte("query")))
	if second.Content != first.Content || second.Retransmission != 1 || other.Flow == first.Flow || other.Retransmission != 0 {
		t.Errorf("got %+v, %+v and %+v", first, second, other)
	}
}

// What an Ethernet or a sender puts behind a packet is not part of it.
func TestTrailersAreIgnored(t *testing.T) {
	c := NewClassifier(owner)
	r := random{ttl: 64}
	query, ping := r.udp(host4, 5001, server, 5001, []byte("query")), r.echo(host4, server, false, 1, 1, []byte("text"))
	surplus := r.ip(host4, server, protocolUDP, append(bytes.Clone(query[header.IPv4MinimumSize:]), "surplus"...))
	for _, test := range []struct {
		name        string
		plain, with []byte
	}{
		{"behind the IP packet", ping, append(bytes.Clone(ping), "padding"...)},
		{"behind the UDP datagram", query, surplus},
	} {
		plain, with := c.Classify(0, test.plain), c.Classify(0, test.with)
		if with.Content != plain.Content || with.Flow != plain.Flow || with.Retransmission != 1 {
			t.Errorf("%s: %+v; without it %+v", test.name, with, plain)
		}
	}
}

// An ICMP error is the same error however much of the packet it quotes: systems differ in that. Eight bytes
// behind the IP header are the least (RFC 792).
func TestQuotationsMayBeShort(t *testing.T) {
	r := random{ttl: 64}
	for name, packet := range map[string][]byte{
		"UDP":      r.udp(host4, 40000, server, 53, []byte("query")),
		"TCP":      r.tcp(host4, 40000, server, 80, 7, 8, header.TCPFlagAck, []byte("GET")),
		"ping":     r.echo(host4, server, false, 4711, 1, []byte("text")),
		"ESP":      r.ip(host4, server, protocolESP, esp(0xc0ffee, 1, []byte("ciphertext"))),
		"GRE":      r.ip(host4, server, 47, []byte("0123456789")),
		"IPv6 UDP": r.udp(host6, 40000, srv6, 53, []byte("query")),
	} {
		from, to, headerBytes := server, host4, header.IPv4MinimumSize
		if header.IPVersion(packet) == header.IPv6Version {
			from, to, headerBytes = srv6, host6, header.IPv6MinimumSize
		}
		c := NewClassifier(owner)
		c.Classify(0, packet)
		long := c.Classify(0, r.unreachable(from, to, packet))
		short := c.Classify(0, r.unreachable(from, to, packet[:headerBytes+8]))
		if short.Content != long.Content || short.Retransmission != 1 {
			t.Errorf("%s: quoted long %+v, quoted short %+v", name, long, short)
		}
	}
}

// A flood of half-open SAs evicts neither the ESP SAs nor more than the table holds.
func TestTablesAreBounded(t *testing.T) {
	c := NewClassifier(owner)
	r := random{ttl: 64}
	c.Classify(0, r.ip(gwA4, gwB4, protocolESP, esp(0xc0ffee, 1, nil)))
	for spi := range uint64(ikeSAsMax + 1000) {
		c.Classify(0, r.udp(gwA4, 500, gwB4, 500, ike(spi+1, saInit, initiator, 0, 0, nil)))
	}
	if n := len(c.ikeSAs.entries); n != ikeSAsMax {
		t.Errorf("%d IKE SAs; the bound is %d", n, ikeSAsMax)
	}
	if got := c.Classify(0, r.ip(gwA4, gwB4, protocolESP, esp(0xc0ffee, 2, nil))); got.Flow != "esp gw-a>gw-b #1" {
		t.Errorf("after the flood the ESP SA is %q", got.Flow)
	}
	got := c.Classify(0, r.udp(gwA4, 500, gwB4, 500, ike(1, auth, initiator, 1, 0, nil)))
	if want := fmt.Sprintf("ike gw-a>gw-b #%d initiator exchange 35 request", ikeSAsMax+1001); got.Flow != want {
		t.Errorf("an evicted SA that is seen again is %q; want a new ordinal, %q", got.Flow, want)
	}
}

// A table keeps its newest keys, whatever their values do meanwhile.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const bound = 4
		tab := newTable[int, int](bound)
		var order []int // the reference: a list of keys, oldest first
		values := map[int]int{}
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			key, value := rapid.IntRange(0, 8).Draw(t, "key"), rapid.Int().Draw(t, "value")
			tab.put(key, value)
			if _, ok := values[key]; !ok {
				order = append(order, key)
			}
			values[key] = value
			if len(order) > bound {
				delete(values, order[0])
				order = order[1:]
			}
			if diff := cmp.Diff(values, tab.entries); diff != "" {
				t.Fatalf("entries (-want +got):\n%s", diff)
			}
		}
	})
}

// Recognising a packet of a known SA or conversation costs no memory.
func TestClassifyDoesNotAllocate(t *testing.T) {
	r := random{ttl: 64}
	for name, packet := range map[string][]byte{
		"ESP":         r.ip(gwA4, gwB4, protocolESP, esp(0xc0ffee, 1, make([]byte, 1400))),
		"ESP in UDP":  r.udp(gwA4, 4500, gwB4, 4500, esp(0xc0ffee, 1, make([]byte, 1400))),
		"ESP in IPv6": r.ip(gwA6, gwB6, protocolESP, esp(0xc0ffee, 1, make([]byte, 1400))),
		"UDP":         r.udp(host4, 40000, server, 53, make([]byte, 1400)),
		"ping":        r.echo(host4, server, false, 1, 1, make([]byte, 56)),
	} {
		c := NewClassifier(owner)
		c.Classify(0, packet)
		if n := testing.AllocsPerRun(100, func() { c.Classify(0, packet); c.Note(packet) }); n != 0 {
			t.Errorf("%s: %v allocations per packet", name, n)
		}
	}
}

// FuzzClassify: any bytes have an identity, twice the same bytes are told apart or are the same packet, and two
// classifiers agree.
func FuzzClassify(f *testing.F) {
	r := random{ttl: 64, ipID: 7}
	longPacket := r.udp(host4, 40000, server, 53, make([]byte, 64))
	first, second := fragments(longPacket, 32)
	first6, second6 := fragments6(r.echo(host6, srv6, false, 1, 1, make([]byte, 64)), 5, 32)
	for _, packet := range [][]byte{
		nil,
		r.udp(gwA4, 500, gwB4, 500, ike(0xa1, saInit, initiator, 0, 0, nil)),
		r.udp(gwA6, 4500, gwB6, 4500, marked(ike(0xa1, auth, initiator, 1, 2, nil))),
		r.ip(gwA4, gwB4, protocolESP, esp(0xc0ffee, 1, nil)),
		r.ip(gwA4, gwB4, protocolAH, append([]byte{4, 4, 0, 0}, esp(0xc0ffee, 3, nil)...)),
		r.tcp(host4, 40000, server, 80, 1, 2, header.TCPFlagAck, []byte("GET")),
		r.unreachable(server, host4, longPacket),
		r.unreachable(srv6, host6, r.echo(host6, srv6, false, 1, 1, nil)),
		first, second, first6, second6,
	} {
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		a, b := NewClassifier(owner), NewClassifier(owner)
		var ids [2]impair.Identity
		for i := range ids {
			ids[i] = a.Classify(1, packet)
			if other := b.Classify(1, packet); other != ids[i] {
				t.Fatalf("two classifiers disagree: %+v and %+v", ids[i], other)
			}
		}
		if !bytes.Equal(before, packet) {
			t.Fatal("the packet was changed")
		}
		if ids[0].Flow == "" {
			t.Fatal("an identity without a flow")
		}
		again := ids[0]
		again.Retransmission, again.Ordinal = ids[1].Retransmission, ids[1].Ordinal
		if again != ids[1] && ids[0].Content == 0 {
			t.Fatalf("seen again, the packet changes from %+v to %+v", ids[0], ids[1])
		}
	})
}
