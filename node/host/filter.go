//go:build linux

package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ikelab/ikelab/esp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// filterTable is the nftables table of a host, one per namespace.
	filterTable = "ikelab"
	// clearLogGroup is where the filter reports what it dropped (NFLOG).
	clearLogGroup = 73
	// clearLogBytes of each packet are reported: enough for all headers that
	// policies look at.
	clearLogBytes = 128
)

// Registers of the filter's expressions.
const registerA = 1

// filter is the host's nftables table: rules that let pass what needs no tunnel, and
// then a rule and a set of remote addresses for every group of policies that differ in
// nothing else. So it takes the same time to look at a packet however many peers there
// are, and a new peer is one element of a set.
type filter struct {
	conn   *nftables.Conn
	table  *nftables.Table
	chain  *nftables.Chain
	groups map[filterGroup]*filterSet
}

// filterGroup is what policies of one rule have in common.
type filterGroup struct {
	local              esp.Selector
	protocol           uint8
	fromPort, toPort   uint16 // the remote end's
	remoteAll, remote6 bool   // any remote address; family
}

// filterSet is the set of a group's remote addresses, nil where it is all of them.
type filterSet struct {
	set    *nftables.Set
	ranges []addressRange // disjoint, in order
}

// addressRange has its ends included.
type addressRange struct{ from, to netip.Addr }

// netlinkBufferBytes is how much the kernel may have to say at once about a change of
// the filter.
const netlinkBufferBytes = 1 << 20

// applyFilter drops what comes in clear although a policy protects it (RFC 4301
// §5.2): anything not from the tunnel device or this host itself whose ends are a
// policy's. A change is one transaction. The lock is held.
func (h *Host) applyFilter(pairs []protectedPair) error {
	err := h.applied.filter.apply(h, pairs)
	if err != nil {
		// Whatever the kernel holds now, the next change begins anew.
		h.applied.filter.close()
		return fmt.Errorf("the filter against clear traffic: %w; it takes nftables in the kernel (nf_tables, nft_fib_inet, nft_log) and CAP_NET_ADMIN", err)
	}
	return nil
}

func (f *filter) apply(h *Host, pairs []protectedPair) error {
	if f.conn == nil {
		if err := f.begin(h); err != nil {
			return err
		}
	}
	wanted := map[filterGroup][]addressRange{}
	var order []filterGroup
	for _, p := range pairs {
		g := groupOf(p)
		if _, known := wanted[g]; !known {
			order = append(order, g)
		}
		wanted[g] = append(wanted[g], addressRange{p.remote.Start, p.remote.End})
	}
	for _, g := range order {
		if f.groups[g] == nil {
			if err := f.add(g); err != nil {
				return err
			}
		}
	}
	for g, s := range f.groups {
		if s.set == nil {
			if len(wanted[g]) == 0 {
				return f.again(h, pairs) // its rule has to go
			}
			continue
		}
		if err := s.replace(f.conn, joinRanges(wanted[g])); err != nil {
			return err
		}
	}
	return f.conn.Flush()
}

// again makes the whole filter anew, in one transaction.
func (f *filter) again(h *Host, pairs []protectedPair) error {
	f.close()
	return f.apply(h, pairs)
}

// begin replaces the table by one that protects nothing yet.
func (f *filter) begin(h *Host) error {
	c, err := nftables.New(nftables.WithNetNSFd(int(h.namespace.Fd())), nftables.AsLasting(),
		nftables.WithSockOptions(func(c *netlink.Conn) error { return c.SetReadBuffer(netlinkBufferBytes) }))
	if err != nil {
		return err
	}
	f.conn, f.groups = c, map[filterGroup]*filterSet{}
	f.table = &nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet}
	c.AddTable(f.table) // so that deleting what is not there is no error
	c.DelTable(f.table)
	c.AddTable(f.table)
	accept := nftables.ChainPolicyAccept
	f.chain = c.AddChain(&nftables.Chain{Name: "clear-inbound", Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw, Policy: &accept})
	pass := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	f.rule(inputDevice(h.cfg.Tunnel), pass)
	f.rule(inputDevice("lo"), pass)
	// IKE and ESP of the node itself pass the policy by. A later fragment shows no
	// ports; it comes to nothing without the first one.
	f.rule(protocolIs(unix.IPPROTO_UDP), destinationPort(portIKE, portIKE), toThisHost(), pass)
	f.rule(protocolIs(unix.IPPROTO_UDP), destinationPort(portNATT, portNATT), toThisHost(), pass)
	f.rule(protocolIs(unix.IPPROTO_ESP), toThisHost(), pass)
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_ESP} {
		f.rule(familyIs(false), laterFragment(false), protocolIs(protocol), toThisHost(), pass)
		f.rule(familyIs(true), laterFragment(true), protocolIs(protocol), toThisHost(), pass)
	}
	// Errors about the outer packets, which routers send in clear (RFC 4301 §6.1.1);
	// and IPv6's neighbours, which are the link's affair.
	for _, types := range [][2]byte{{3, 3}, {11, 12}} {
		f.rule(familyIs(false), protocolIs(unix.IPPROTO_ICMP), icmpTypes(types), toThisHost(), pass)
	}
	f.rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{1, 4}), toThisHost(), pass)
	f.rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{130, 137}), pass)
	f.rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{143, 143}), pass)
	return nil
}

// close lets go of the connection to the kernel, which keeps the table.
func (f *filter) close() {
	if f.conn != nil {
		_ = f.conn.CloseLasting()
		f.conn = nil
	}
}

func (f *filter) rule(exprs ...[]expr.Any) {
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: f.chain, Exprs: slices.Concat(exprs...)})
}

// groupOf says to which rule a pair belongs.
func groupOf(p protectedPair) filterGroup {
	return filterGroup{
		local: p.local, protocol: p.protocol(), fromPort: p.remote.StartPort, toPort: p.remote.EndPort,
		remoteAll: isAll(p.remote), remote6: p.remote.Start.Is6(),
	}
}

// pair stands for the group where remote addresses do not matter.
func (g filterGroup) pair() protectedPair {
	return protectedPair{local: g.local, remote: esp.Selector{Protocol: g.protocol, StartPort: g.fromPort, EndPort: g.toPort}}
}

// add makes a group's set, empty yet, and its rules.
func (f *filter) add(g filterGroup) error {
	s := &filterSet{}
	ends := append(familyIs(g.remote6), addressIn(g.remote6, g.local)...)
	if !g.remoteAll {
		// A number of its own, within the table, because the library counts those that
		// it gives without a lock.
		s.set = &nftables.Set{Table: f.table, ID: uint32(len(f.groups) + 1), Name: fmt.Sprintf("remote%d", len(f.groups)), Interval: true, KeyType: nftables.TypeIPAddr}
		offset, length := uint32(12), uint32(4)
		if g.remote6 {
			s.set.KeyType, offset, length = nftables.TypeIP6Addr, 8, 16
		}
		if err := f.conn.AddSet(s.set, nil); err != nil {
			return err
		}
		ends = append(ends, &expr.Payload{DestRegister: registerA, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
			&expr.Lookup{SourceRegister: registerA, SetName: s.set.Name, SetID: s.set.ID})
	}
	if g.protocol != 0 {
		ends = append(ends, protocolIs(g.protocol)...)
	}
	refuse := []expr.Any{&expr.Counter{},
		&expr.Log{Group: clearLogGroup, Snaplen: clearLogBytes, Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN},
		&expr.Verdict{Kind: expr.VerdictDrop}}
	ports, narrow := portsOf(g.pair())
	f.rule(ends, ports, refuse)
	if narrow {
		f.rule(ends, laterFragment(g.remote6), refuse)
	}
	f.groups[g] = s
	return nil
}

// replace makes a set's ranges others, by what differs.
func (s *filterSet) replace(c *nftables.Conn, ranges []addressRange) error {
	difference := func(a, b []addressRange) (elements []nftables.SetElement) {
		for _, r := range a {
			if !slices.Contains(b, r) {
				elements = append(elements, r.elements()...)
			}
		}
		return elements
	}
	// What goes first makes room for what it overlaps with.
	if gone := difference(s.ranges, ranges); len(gone) > 0 {
		if err := c.SetDeleteElements(s.set, gone); err != nil {
			return err
		}
	}
	if more := difference(ranges, s.ranges); len(more) > 0 {
		if err := c.SetAddElements(s.set, more); err != nil {
			return err
		}
	}
	s.ranges = ranges
	return nil
}

// elements are a range as nftables has it: where it begins, and where it has ended.
func (r addressRange) elements() []nftables.SetElement {
	all := []nftables.SetElement{{Key: r.from.AsSlice()}}
	if next := r.to.Next(); next.IsValid() {
		all = append(all, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
	}
	return all
}

// joinRanges makes ranges disjoint and puts them in order. Those that touch become
// one: the end of one and the beginning of the next would be the same element.
func joinRanges(all []addressRange) []addressRange {
	slices.SortFunc(all, func(a, b addressRange) int { return a.from.Compare(b.from) })
	var joined []addressRange
	for _, r := range all {
		if n := len(joined); n > 0 {
			last := &joined[n-1]
			if next := last.to.Next(); !next.IsValid() || !next.Less(r.from) {
				if last.to.Less(r.to) {
					last.to = r.to
				}
				continue
			}
		}
		joined = append(joined, r)
	}
	return joined
}

// removeFilter takes the filter away from a namespace.
func removeFilter(namespace int) error {
	c, err := nftables.New(nftables.WithNetNSFd(namespace))
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet})
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("taking the filter away: %w", err)
	}
	return nil
}

func compare(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: registerA, Data: data}
}

func inputDevice(name string) []expr.Any {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: registerA}, compare(b)}
}

func familyIs(v6 bool) []expr.Any {
	family := byte(unix.NFPROTO_IPV4)
	if v6 {
		family = unix.NFPROTO_IPV6
	}
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: registerA}, compare([]byte{family})}
}

func protocolIs(protocol byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: registerA}, compare([]byte{protocol})}
}

func toThisHost() []expr.Any {
	return []expr.Any{&expr.Fib{Register: registerA, FlagDADDR: true, ResultADDRTYPE: true},
		compare(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL))}
}

func between(base expr.PayloadBase, offset, length uint32, from, to []byte) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: registerA, Base: base, Offset: offset, Len: length},
		&expr.Range{Op: expr.CmpOpEq, Register: registerA, FromData: from, ToData: to}}
}

func destinationPort(from, to uint16) []expr.Any {
	return between(expr.PayloadBaseTransportHeader, 2, 2, binary.BigEndian.AppendUint16(nil, from), binary.BigEndian.AppendUint16(nil, to))
}

func icmpTypes(types [2]byte) []expr.Any {
	return between(expr.PayloadBaseTransportHeader, 0, 1, types[:1], types[1:])
}

// laterFragment matches fragments but the first, which show no ports.
func laterFragment(v6 bool) []expr.Any {
	offset := expr.Any(&expr.Payload{DestRegister: registerA, Base: expr.PayloadBaseNetworkHeader, Offset: 6, Len: 2})
	mask := []byte{0x1f, 0xff}
	if v6 {
		offset = &expr.Exthdr{DestRegister: registerA, Type: 44, Offset: 2, Len: 2, Op: expr.ExthdrOpIpv6}
		mask = []byte{0xff, 0xf8}
	}
	return []expr.Any{offset,
		&expr.Bitwise{SourceRegister: registerA, DestRegister: registerA, Len: 2, Mask: mask, Xor: []byte{0, 0}},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: registerA, Data: []byte{0, 0}}}
}

// isAll says that a selector has every address of its family.
func isAll(s esp.Selector) bool {
	return s.Start.IsUnspecified() && s.End == lastOf(netip.PrefixFrom(s.Start, 0))
}

// addressIn matches a packet's destination against a selector.
func addressIn(v6 bool, s esp.Selector) []expr.Any {
	if isAll(s) {
		return nil
	}
	offset, length := uint32(16), uint32(4)
	if v6 {
		offset, length = 24, 16
	}
	return between(expr.PayloadBaseNetworkHeader, offset, length, s.Start.AsSlice(), s.End.AsSlice())
}

// portsOf matches an inbound packet's ports, as far as the pair asks for any; narrow
// says that it does. ICMP's type and code stand in both selectors (RFC 7296
// §3.13.1).
func portsOf(p protectedPair) (match []expr.Any, narrow bool) {
	isICMP := p.protocol() == unix.IPPROTO_ICMP || p.protocol() == unix.IPPROTO_ICMPV6
	for i, s := range []esp.Selector{p.remote, p.local} {
		if s.StartPort == 0 && s.EndPort == 0xffff {
			continue
		}
		narrow = true
		if s.StartPort > s.EndPort {
			continue // OPAQUE: the fragments that the second rule has
		}
		offset := uint32(2 * i)
		if isICMP {
			offset = 0
		}
		match = append(match, between(expr.PayloadBaseTransportHeader, offset, 2,
			binary.BigEndian.AppendUint16(nil, s.StartPort), binary.BigEndian.AppendUint16(nil, s.EndPort))...)
	}
	return match, narrow
}
