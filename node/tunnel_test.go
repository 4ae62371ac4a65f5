package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// stream is a deterministic source of octets for tests.
type stream struct {
	label string
	block uint64
	rest  []byte
}

func (s *stream) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(s.rest) == 0 {
			sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte(s.label), s.block))
			s.block++
			s.rest = sum[:]
		}
		c := copy(b[n:], s.rest)
		n, s.rest = n+c, s.rest[c:]
	}
	return len(b), nil
}

// labelled gives the streams of a node.
func labelled(node string) func(string) io.Reader {
	return func(label string) io.Reader { return &stream{label: node + "/" + label} }
}

// ts are prefixes as traffic selectors, any protocol and port.
func ts(prefixes ...string) (all []wire.Selector) {
	for _, p := range prefixes {
		all = append(all, wire.PrefixSelector(prefix(p), 0, 0, 65535))
	}
	return all
}

func proposal(t testing.TB, protocol suite.Protocol, s string) []suite.Proposal {
	t.Helper()
	p, err := suite.ParseProposal(protocol, s)
	if err != nil {
		t.Fatal(err)
	}
	return []suite.Proposal{p}
}

// sideNets are the protected networks of the two gateways that gateway makes.
var sideNets = [2][]string{{"10.1.0.0/24", "2001:db8:1::/64"}, {"10.2.0.0/24", "2001:db8:2::/64"}}

// gateway makes side 0 or 1 of a site-to-site tunnel over 198.51.100.0/24. Its
// LAN is interface 0, its WAN interface 1.
func gateway(t testing.TB, side int, change ...func(*Config)) *Node {
	t.Helper()
	peer := 1 - side
	cfg := Config{
		Name: fmt.Sprintf("gw%d", side), Forward: true,
		Interfaces: []Interface{
			{Name: "lan", Up: true, Addresses: []netip.Prefix{prefix(fmt.Sprintf("10.%d.0.1/24", side+1)), prefix(fmt.Sprintf("2001:db8:%d::1/64", side+1))}},
			{Name: "wan", Up: true, Addresses: []netip.Prefix{prefix(fmt.Sprintf("198.51.100.%d/24", side+1)), prefix(fmt.Sprintf("2001:db8:ff::%d/64", side+1))}},
		},
		Routes: []Route{
			{Prefix: prefix("0.0.0.0/0"), Via: addr(fmt.Sprintf("198.51.100.%d", peer+1))},
			{Prefix: prefix("::/0"), Via: addr(fmt.Sprintf("2001:db8:ff::%d", peer+1))},
		},
		IKE: &ike.Config{
			Node:   fmt.Sprintf("gw%d", side),
			Random: labelled(fmt.Sprint(side)),
			Connections: []ike.Connection{{
				Name:        "site",
				LocalAddrs:  []netip.Addr{addr(fmt.Sprintf("198.51.100.%d", side+1))},
				RemoteAddrs: []netip.Addr{addr(fmt.Sprintf("198.51.100.%d", peer+1))},
				Proposals:   proposal(t, suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519"),
				Children: []ike.Child{{
					Name: "nets", LocalTS: ts(sideNets[side]...), RemoteTS: ts(sideNets[peer]...),
					ESPProposals: proposal(t, suite.ProtocolESP, "aes256gcm16"),
				}},
			}},
			Secrets: []ike.Secret{{Name: "psk", Key: []byte("a shared secret")}},
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return newNode(t, cfg)
}

// startAction, overIPv6 and wanMTU change what gateway makes.
func startAction(a ike.StartAction) func(*Config) {
	return func(c *Config) { c.IKE.Connections[0].Children[0].StartAction = a }
}

func wanMTU(n int) func(*Config) { return func(c *Config) { c.Interfaces[1].MTUBytes = n } }

// keyed is side's half of a CHILD_SA as IKE would install it, without IKE. The
// number tells its SPIs and keys from others'.
func keyed(t testing.TB, side int, number uint64, change ...func(*ike.ChildSA)) *ike.ChildSA {
	t.Helper()
	keys := func(sender int) ike.ChildKeys {
		k := ike.ChildKeys{Encr: make([]byte, 36), IV: make([]byte, 32)}
		_, _ = (&stream{label: fmt.Sprint("keys", sender, number)}).Read(k.Encr)
		return k
	}
	spi := func(receiver int) uint32 { return uint32(0x1000*(receiver+1)) + uint32(number) }
	sa := &ike.ChildSA{
		Connection: "site", Child: "nets", IKE: number, Ordinal: 1,
		Local:  netip.AddrPortFrom(addr(fmt.Sprintf("198.51.100.%d", side+1)), 4500),
		Remote: netip.AddrPortFrom(addr(fmt.Sprintf("198.51.100.%d", 2-side)), 4500),
		SPIIn:  spi(side), SPIOut: spi(1 - side), Proposal: proposal(t, suite.ProtocolESP, "aes256gcm16")[0],
		In: keys(1 - side), Out: keys(side), LocalTS: ts(sideNets[side]...), RemoteTS: ts(sideNets[1-side]...),
	}
	for _, c := range change {
		c(sa)
	}
	return sa
}

// encapsulated puts ESP into UDP.
func encapsulated(sa *ike.ChildSA) { sa.Encap = true }

// outerIPv6 runs the tunnel over IPv6.
func outerIPv6(sa *ike.ChildSA) {
	v6 := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(addr(fmt.Sprintf("2001:db8:ff::%d", a.Addr().As4()[3])), a.Port())
	}
	sa.Local, sa.Remote = v6(sa.Local), v6(sa.Remote)
}

// tunnel makes both gateways with one installed CHILD_SA.
func tunnel(t testing.TB, sa func(*ike.ChildSA), change ...func(*Config)) (both [2]*Node) {
	t.Helper()
	for side := range both {
		both[side] = gateway(t, side, change...)
		var changes []func(*ike.ChildSA)
		if sa != nil {
			changes = append(changes, sa)
		}
		if err := both[side].install(keyed(t, side, 1, changes...)); err != nil {
			t.Fatal(err)
		}
	}
	return both
}

// place is an interface of a node in a net.
type place struct{ node, iface int }

// net carries packets between nodes over links without delay, in virtual time.
type net struct {
	t     testing.TB
	nodes []*Node
	links map[place]place
	// wan says which place has an address, for a network of more than two.
	wan map[netip.Addr]place
	now time.Duration
	// lose says which packets a link loses; nil loses none.
	lose func(from place, p PacketOut) bool
	// log is every output, with the node that made it.
	log []logged
}

type logged struct {
	node int
	at   time.Duration
	Output
}

// netStepsMax ends a net that does not come to rest.
const netStepsMax = 100_000

// join links two places.
func (n *net) join(a, b place) {
	if n.links == nil {
		n.links = make(map[place]place)
	}
	n.links[a], n.links[b] = b, a
}

// do hands an input to a node and lets everything that follows at once happen.
func (n *net) do(node int, in Input) {
	n.t.Helper()
	type pending struct {
		node int
		in   Input
	}
	queue := []pending{{node, in}}
	for steps := 0; len(queue) > 0; steps++ {
		if steps == netStepsMax {
			n.t.Fatal("the net does not come to rest")
		}
		next := queue[0]
		queue = queue[1:]
		for _, o := range n.nodes[next.node].Handle(n.now, next.in) {
			switch o := o.(type) {
			case *PacketOut:
				c := *o
				c.Bytes = bytes.Clone(o.Bytes)
				n.log = append(n.log, logged{next.node, n.now, &c})
				from := place{next.node, o.Interface}
				to, ok := n.links[from]
				if !ok {
					to, ok = n.wan[o.NextHop]
				}
				if ok && (n.lose == nil || !n.lose(from, c)) {
					queue = append(queue, pending{to.node, PacketIn{Interface: to.iface, Bytes: bytes.Clone(o.Bytes)}})
				}
			case *Deliver:
				c := *o
				c.Payload = bytes.Clone(o.Payload)
				n.log = append(n.log, logged{next.node, n.now, &c})
			case *Event:
				c := *o
				n.log = append(n.log, logged{next.node, n.now, &c})
			}
		}
	}
}

// run lets time pass until the deadlines of all nodes lie behind.
func (n *net) run(until time.Duration) {
	n.t.Helper()
	for steps := 0; ; steps++ {
		if steps == netStepsMax {
			n.t.Fatal("the net does not come to rest")
		}
		node, at := -1, until
		for i, x := range n.nodes {
			if d, _, ok := x.Deadline(); ok && (d < at || (d == at && node < 0)) {
				node, at = i, d
			}
		}
		n.now = max(n.now, at)
		if node < 0 {
			return
		}
		n.do(node, Timeout{})
	}
}

// events are those of a node and a kind, in order.
func (n *net) events(node int, kind EventKind) (all []*Event) {
	for _, l := range n.log {
		if e, ok := l.Output.(*Event); ok && l.node == node && e.Kind == kind {
			all = append(all, e)
		}
	}
	return all
}

// deliveries are those of a node, in order.
func (n *net) deliveries(node int) (all []*Deliver) {
	for _, l := range n.log {
		if d, ok := l.Output.(*Deliver); ok && l.node == node {
			all = append(all, d)
		}
	}
	return all
}

// reasons are those of a node's drops, in order.
func (n *net) reasons(node int) (all []DropReason) {
	for _, l := range n.log {
		if e, ok := l.Output.(*Event); ok && l.node == node && (e.Kind == EventPacketDropped || e.Kind == EventPolicyDrop) {
			all = append(all, e.Drop.Reason)
		}
	}
	return all
}

// Places in the net that site makes.
const (
	gwA = iota
	gwB
	hostA
	hostB
)

// site is two gateways and a host behind each.
func site(t testing.TB, gateways [2]*Node) *net {
	t.Helper()
	n := &net{t: t, nodes: gateways[:]}
	for side := range 2 {
		n.nodes = append(n.nodes, newNode(t, Config{
			Name: fmt.Sprintf("host%d", side), Listen: []uint16{7},
			Interfaces: []Interface{{Name: "lan", Up: true, Addresses: []netip.Prefix{
				prefix(fmt.Sprintf("10.%d.0.9/24", side+1)), prefix(fmt.Sprintf("2001:db8:%d::9/64", side+1))}}},
			Routes: []Route{
				{Prefix: prefix("0.0.0.0/0"), Via: addr(fmt.Sprintf("10.%d.0.1", side+1))},
				{Prefix: prefix("::/0"), Via: addr(fmt.Sprintf("2001:db8:%d::1", side+1))},
			},
		}))
	}
	n.join(place{gwA, 1}, place{gwB, 1})
	n.join(place{gwA, 0}, place{hostA, 0})
	n.join(place{gwB, 0}, place{hostB, 0})
	return n
}

// ping sends an echo request that may be cut, and says whether the reply came.
func (n *net) ping(from int, dst string, size int) bool {
	n.t.Helper()
	before := len(n.deliveries(from))
	n.do(from, EchoOut{Dst: addr(dst), ID: 1, Sequence: uint16(before), Payload: pattern(size), MayFragment: true})
	after := n.deliveries(from)[before:]
	return len(after) == 1 && after[0].Kind == DeliverEchoReply && bytes.Equal(after[0].Payload, pattern(size))
}

// onWAN are the packets that the gateways sent by their WAN, in order.
func (n *net) onWAN() (all []*PacketOut) {
	for _, l := range n.log {
		if p, ok := l.Output.(*PacketOut); ok && l.node <= gwB && p.Interface == 1 {
			all = append(all, p)
		}
	}
	return all
}

// noClear fails when a byte pattern of the inside shows on the WAN, or a gateway
// says so.
func (n *net) noClear() {
	n.t.Helper()
	for _, p := range n.onWAN() {
		if bytes.Contains(p.Bytes, pattern(200)[150:166]) {
			n.t.Errorf("the content shows on the WAN in a packet of origin %v", p.Origin)
		}
	}
	for side := range 2 {
		if e := n.events(side, EventClearOut); len(e) > 0 {
			n.t.Errorf("gateway %d let out in clear: %v", side, e[0].Drop.Packet)
		}
	}
}

// kinds are the kinds of a node's events, in order, without repetition of
// neighbours and without exchange records.
func (n *net) kinds(node int) (all []EventKind) {
	for _, l := range n.log {
		if e, ok := l.Output.(*Event); ok && l.node == node && (e.IKE == nil || e.IKE.Exchange == nil) {
			all = append(all, e.Kind)
		}
	}
	return slices.Compact(all)
}
