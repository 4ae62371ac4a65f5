//go:build linux

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
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

// filter is the host's nftables table: for each direction rules that let pass what needs
// no tunnel, and then a rule and a set of remote addresses for every group of policies that differ in
// nothing else. So it takes the same time to look at a packet however many peers there
// are, and a new peer is one element of a set.
type filter struct {
	conn   *nftables.Conn
	table  *nftables.Table
	chains []filterChain
	groups map[filterGroup]*filterSet
	// reports are about errors that routers send.
	reports []*reports
	// ip6 says that the kernel has IPv6.
	ip6 bool
}

// familyIs matches a packet's family, where the table has two.
func (f *filter) familyIs(v6 bool) []expr.Any {
	if !f.ip6 {
		return nil
	}
	return familyIs(v6)
}

// newFilterTable names the table: of both families, unless the kernel has no IPv6 and
// then no such tables.
func newFilterTable(families []int) *nftables.Table {
	t := &nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet}
	if !slices.Contains(families, unix.AF_INET6) {
		t.Family = nftables.TableFamilyIPv4
	}
	return t
}

// filterChain is where the filter meets packets.
type filterChain struct {
	*nftables.Chain
	// remote is the end of a packet there that is a policy's remote one.
	remote end
	reason node.DropReason
	// forwarded says that neither end of a packet is this host.
	forwarded bool
}

// filterGroup is what policies of one rule have in common.
type filterGroup struct {
	local              esp.Selector
	protocol           uint8
	fromPort, toPort   uint16 // the remote end's
	remoteAll, remote6 bool   // any remote address; family
	dynamic            bool
}

// filterSet is the set of a group's remote addresses, nil where it is all of them.
type filterSet struct {
	set    *nftables.Set
	ranges []addressRange // disjoint, in order
}

// addressRange has its ends included.
type addressRange struct{ from, to netip.Addr }

// netlinkBufferBytes is how much there may be to say at once about a change of the
// filter, by the kernel and to it.
const netlinkBufferBytes = 4 << 20

// applyFilter drops what comes or leaves in clear although a policy protects it (RFC
// 4301 §5.1 and §5.2): anything whose ends are a policy's and that neither comes from
// the tunnel device, nor leaves by it, nor is of this host's own sockets. A change is
// one transaction. The lock is held.
func (h *Host) applyFilter(pairs []protectedPair) error {
	err := h.applied.filter.apply(h, pairs)
	if err != nil {
		// Whatever the kernel holds now, the next change begins anew.
		h.applied.filter.close()
		return filterError(err)
	}
	return nil
}

// addToFilter does that for pairs that are new.
func (h *Host) addToFilter(more []protectedPair) error {
	if h.applied.filter.conn == nil {
		return h.applyFilter(h.pairs()) // the last change failed
	}
	err := h.applied.filter.extend(more)
	if err != nil {
		h.applied.filter.close()
		return filterError(err)
	}
	return nil
}

func filterError(err error) error {
	return fmt.Errorf("the filter against clear traffic: %w; it takes nftables in the kernel (nf_tables, nft_fib_inet, nft_log) and CAP_NET_ADMIN", err)
}

// extend adds pairs.
func (f *filter) extend(more []protectedPair) error {
	for _, p := range more {
		g := groupOf(p)
		if f.groups[g] == nil {
			if err := f.add(g); err != nil {
				return err
			}
		}
		if s := f.groups[g]; s.set != nil {
			if err := s.replace(f.conn, joinRanges(append(slices.Clone(s.ranges), addressRange{p.remote.Start, p.remote.End}))); err != nil {
				return err
			}
		}
	}
	return f.conn.Flush()
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
	if _, err := f.syncReports(h); err != nil {
		return err
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
		nftables.WithSockOptions(func(c *netlink.Conn) error {
			return errors.Join(c.SetReadBuffer(netlinkBufferBytes), c.SetWriteBuffer(netlinkBufferBytes))
		}))
	if err != nil {
		return err
	}
	f.conn, f.groups = c, map[filterGroup]*filterSet{}
	f.ip6 = slices.Contains(h.families, unix.AF_INET6)
	f.table = newFilterTable(h.families)
	c.AddTable(f.table) // so that deleting what is not there is no error
	c.DelTable(f.table)
	c.AddTable(f.table)
	f.chains = nil
	if err := f.beginReports(h.cfg.Tunnel); err != nil {
		return err
	}
	f.beginInbound(h.cfg.Tunnel)
	f.beginOutbound(nftables.ChainHookOutput, "clear-outbound", h.cfg.Tunnel)
	f.beginOutbound(nftables.ChainHookForward, "clear-forwarded", h.cfg.Tunnel)
	return nil
}

// chain makes a chain.
func (f *filter) chain(name string, hook *nftables.ChainHook, remote end, reason node.DropReason) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	c := f.conn.AddChain(&nftables.Chain{Name: name, Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityRaw, Policy: &accept})
	f.chains = append(f.chains, filterChain{Chain: c, remote: remote, reason: reason, forwarded: hook == nftables.ChainHookForward})
	return c
}

var pass = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}

// beginInbound makes the chain for what comes from a network.
func (f *filter) beginInbound(tunnel string) {
	c := f.chain("clear-inbound", nftables.ChainHookPrerouting, source, node.DropClearInbound)
	f.rule(c, byDevice(expr.MetaKeyIIFNAME, tunnel), pass)
	f.rule(c, byDevice(expr.MetaKeyIIFNAME, "lo"), pass)
	// IKE and ESP of the node itself pass the policy by. A later fragment shows no
	// ports; it comes to nothing without the first one.
	f.rule(c, protocolIs(unix.IPPROTO_UDP), destinationPort(portIKE, portIKE), toThisHost(), pass)
	f.rule(c, protocolIs(unix.IPPROTO_UDP), destinationPort(portNATT, portNATT), toThisHost(), pass)
	f.rule(c, protocolIs(unix.IPPROTO_ESP), toThisHost(), pass)
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_ESP} {
		f.rule(c, f.familyIs(false), laterFragment(false), protocolIs(protocol), toThisHost(), pass)
		if f.ip6 {
			f.rule(c, f.familyIs(true), laterFragment(true), protocolIs(protocol), toThisHost(), pass)
		}
	}
	// Errors about the outer packets, which routers send in clear (RFC 4301 §6.1.1);
	// and IPv6's neighbours, which are the link's affair.
	for _, types := range [][2]byte{{3, 3}, {11, 12}} {
		f.rule(c, f.familyIs(false), protocolIs(unix.IPPROTO_ICMP), icmpTypes(types), toThisHost(), pass)
	}
	if f.ip6 {
		f.rule(c, f.familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{1, 4}), toThisHost(), pass)
	}
	f.passNeighbours(c)
}

// beginOutbound makes a chain for what leaves. Routing rules lead what is protected
// into the tunnel, but not where a socket has chosen its device: Linux takes an answer
// of no route there for a neighbour's address. Whatever the host itself sends on
// passes by its mark, so there are no exceptions for IKE and ESP. Nor for ICMP errors:
// those about outer packets are this host's own packets like any other and take the way
// that the policy says (RFC 4301 §6.2), and no socket's device keeps them from it.
func (f *filter) beginOutbound(hook *nftables.ChainHook, name, tunnel string) {
	c := f.chain(name, hook, destination, node.DropNoAssociation)
	f.rule(c, markIs(socketMark), pass)
	f.rule(c, byDevice(expr.MetaKeyOIFNAME, tunnel), pass)
	f.rule(c, byDevice(expr.MetaKeyOIFNAME, "lo"), pass)
	f.passNeighbours(c)
	f.rule(c, f.familyIs(false), protocolIs(unix.IPPROTO_IGMP), pass)
}

// passNeighbours lets pass what is the link's affair: IPv6's neighbour discovery and
// listeners to multicast.
func (f *filter) passNeighbours(c *nftables.Chain) {
	if !f.ip6 {
		return
	}
	for _, types := range [][2]byte{{130, 137}, {143, 143}} {
		f.rule(c, f.familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes(types), pass)
	}
}

// close lets go of the connection to the kernel, which keeps the table.
func (f *filter) close() {
	if f.conn != nil {
		_ = f.conn.CloseLasting()
		f.conn = nil
	}
}

func (f *filter) rule(chain *nftables.Chain, exprs ...[]expr.Any) {
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: slices.Concat(exprs...)})
}

// groupOf says to which rule a pair belongs.
func groupOf(p protectedPair) filterGroup {
	return filterGroup{
		local: p.local, protocol: p.protocol(), fromPort: p.remote.StartPort, toPort: p.remote.EndPort,
		remoteAll: isAll(p.remote), remote6: p.remote.Start.Is6(), dynamic: p.dynamic,
	}
}

// pair stands for the group where remote addresses do not matter.
func (g filterGroup) pair() protectedPair {
	return protectedPair{local: g.local, remote: esp.Selector{Protocol: g.protocol, StartPort: g.fromPort, EndPort: g.toPort}}
}

// add makes a group's set, empty yet, and its rules.
func (f *filter) add(g filterGroup) error {
	s := &filterSet{}
	if !g.remoteAll {
		// A number of its own, within the table, because the library counts those that
		// it gives without a lock.
		s.set = &nftables.Set{Table: f.table, ID: uint32(len(f.groups) + 1), Name: fmt.Sprintf("remote%d", len(f.groups)), Interval: true, KeyType: nftables.TypeIPAddr}
		if g.remote6 {
			s.set.KeyType = nftables.TypeIP6Addr
		}
		if err := f.conn.AddSet(s.set, nil); err != nil {
			return err
		}
	}
	for _, c := range f.chains {
		if g.dynamic && c.forwarded {
			continue // it is not of this host
		}
		ends := append(f.familyIs(g.remote6), addressIn(g.remote6, c.remote.other(), g.local)...)
		if s.set != nil {
			ends = append(ends, addressInSet(g.remote6, c.remote, s.set)...)
		}
		if g.protocol != 0 {
			ends = append(ends, protocolIs(g.protocol)...)
		}
		if g.dynamic && c.remote == source {
			ends = append(ends, toThisHost()...)
		}
		ports, narrow := portsOf(g.pair(), c.remote)
		f.rule(c.Chain, ends, ports, refuse(c.reason))
		if narrow {
			f.rule(c.Chain, ends, laterFragment(g.remote6), refuse(c.reason))
		}
	}
	f.refuseReports(g, s)
	f.groups[g] = s
	return nil
}

// replace makes a set's ranges others, by what differs.
func (s *filterSet) replace(c *nftables.Conn, ranges []addressRange) error {
	// Both are in order, and a gateway may have thousands of peers.
	difference := func(a, b []addressRange) (elements []nftables.SetElement) {
		for _, r := range a {
			for len(b) > 0 && b[0].from.Less(r.from) {
				b = b[1:]
			}
			if len(b) == 0 || b[0] != r {
				elements = append(elements, r.elements()...)
			}
		}
		return elements
	}
	// What goes first makes room for what it overlaps with.
	for some := range slices.Chunk(difference(s.ranges, ranges), elementsMax) {
		if err := c.SetDeleteElements(s.set, some); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(difference(ranges, s.ranges), elementsMax) {
		if err := c.SetAddElements(s.set, some); err != nil {
			return err
		}
	}
	s.ranges = ranges
	return nil
}

// elementsMax bounds the elements of a message, which is an attribute of at most 64 KiB.
const elementsMax = 1000

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
func removeFilter(namespace int, families []int) error {
	c, err := nftables.New(nftables.WithNetNSFd(namespace))
	if err != nil {
		return err
	}
	c.DelTable(newFilterTable(families))
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("taking the filter away: %w", err)
	}
	return nil
}
