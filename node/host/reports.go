//go:build linux

package host

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// The kernel keeps one path MTU per destination, whatever protocol a report was about,
// and asks only whether some socket could have sent what is quoted: anybody may make the
// path to a peer narrow by a quote of UDP between the ports of IKE. So the filter has a
// chain for reports that a packet was too big, as they come from a network in clear:
//
//   - About an association's packet: its peer and SPI must be those of an association
//     (RFC 4301 §8.2.1), bare, in UDP, or in the first of IPv6's fragments. A later
//     fragment shows no SPI; the first one is no shorter and is reported as well.
//   - About anything else between this host and a peer, and about traffic that a policy
//     protects, which nobody in front of the tunnel sees: refused.
//   - The rest is the kernel's, which looks for a socket.
//
// What the kernel then believes never becomes more by a report, is forgotten after ten
// minutes (net.ipv4.route.mtu_expires) and has a floor (552 bytes of IPv4, 1280 of IPv6).
//
// IKE messages to a peer with whom there is an association get no report believed: over
// IPv4 at port 500 they may be cut on the way, elsewhere the path is known from ESP.

// pathsRecheck is how often paths that somebody called narrow are looked at again, since
// the kernel does not say when it forgets a report.
const pathsRecheck = time.Minute

// registerConcat is where a key of several parts begins (NFT_REG32_00).
const registerConcat = 8

// icmpHeaderBytes is in front of what an ICMP error quotes.
const icmpHeaderBytes = 8

// reports are the filter's sets of one family: the peers of associations, and the SPIs
// there.
type reports struct {
	chain       *nftables.Chain
	peers, spis *nftables.Set
	v6          bool
	known       map[outboundSPI]bool
}

// outboundSPI is a peer's address and the SPI of an association that sends there.
type outboundSPI struct {
	peer netip.Addr
	spi  uint32
}

func (o outboundSPI) key() []byte { return binary.BigEndian.AppendUint32(o.peer.AsSlice(), o.spi) }

// quotedHeader describes where an ICMP error's quote has what a family's header says.
func (r *reports) quotedHeader() (bytes, protocolAt, sourceAt, destinationAt, addressBytes uint32) {
	if r.v6 {
		return 40, 6, 8, 24, 16
	}
	return 20, 9, 12, 16, 4
}

func quoted(register, at, length uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: icmpHeaderBytes + at, Len: length}
}

// quotedIs matches octets of a quote.
func quotedIs(at uint32, data ...byte) []expr.Any {
	return []expr.Any{quoted(registerA, at, uint32(len(data))), compare(data)}
}

// isReport matches what the chain is about.
func (f *filter) isReport(r *reports) []expr.Any {
	protocol, kind := byte(unix.IPPROTO_ICMP), []byte{3, 4}
	if r.v6 {
		protocol, kind = unix.IPPROTO_ICMPV6, []byte{2, 0}
	}
	match := append(f.familyIs(r.v6), protocolIs(protocol)...)
	return append(match, &expr.Payload{DestRegister: registerA, Base: expr.PayloadBaseTransportHeader, Len: 2}, compare(kind))
}

// beginReports makes the chain and its sets, empty yet.
func (f *filter) beginReports(tunnel string) error {
	f.reports = nil
	accept, priority := nftables.ChainPolicyAccept, *nftables.ChainPriorityRaw-1
	c := f.conn.AddChain(&nftables.Chain{Name: "reports", Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: &priority, Policy: &accept})
	f.rule(c, byDevice(expr.MetaKeyIIFNAME, tunnel), pass)
	f.rule(c, byDevice(expr.MetaKeyIIFNAME, "lo"), pass)
	families := []bool{false}
	if f.ip6 {
		families = append(families, true)
	}
	for i, v6 := range families {
		r := &reports{chain: c, v6: v6, known: map[outboundSPI]bool{}}
		address, suffix := nftables.TypeIPAddr, "4"
		if v6 {
			address, suffix = nftables.TypeIP6Addr, "6"
		}
		id := uint32(1<<20 + 2*i) // apart from those of the groups
		r.peers = &nftables.Set{Table: f.table, ID: id, Name: "peers" + suffix, KeyType: address}
		r.spis = &nftables.Set{Table: f.table, ID: id + 1, Name: "spis" + suffix, KeyType: nftables.MustConcatSetType(address, nftables.TypeMark), Concatenation: true}
		for _, s := range []*nftables.Set{r.peers, r.spis} {
			if err := f.conn.AddSet(s, nil); err != nil {
				return err
			}
		}
		f.reports = append(f.reports, r)
		f.addReportRules(r)
	}
	return nil
}

// addReportRules makes a family's rules that do not depend on policies.
func (f *filter) addReportRules(r *reports) {
	header, protocolAt, _, destinationAt, addressBytes := r.quotedHeader()
	report := f.isReport(r)
	shows := func(spiAt uint32, match ...[]expr.Any) {
		lookup := []expr.Any{
			quoted(registerConcat, destinationAt, addressBytes), quoted(registerConcat+addressBytes/4, spiAt, 4),
			&expr.Lookup{SourceRegister: registerConcat, SetName: r.spis.Name, SetID: r.spis.ID},
		}
		exprs := append([][]expr.Any{report}, match...)
		f.rule(r.chain, append(exprs, lookup, pass)...)
	}
	portAt := func(at uint32) []expr.Any { return quotedIs(at, portNATT>>8, portNATT&0xff) }
	if !r.v6 {
		notLater := []expr.Any{quoted(registerA, 6, 2),
			&expr.Bitwise{SourceRegister: registerA, DestRegister: registerA, Len: 2, Mask: []byte{0x1f, 0xff}, Xor: []byte{0, 0}}, compare([]byte{0, 0})}
		shows(header, quotedIs(0, 0x45), notLater, quotedIs(protocolAt, protocolESP))
		shows(header+udpHeaderBytes, quotedIs(0, 0x45), notLater, quotedIs(protocolAt, protocolUDP), portAt(header))
	} else {
		const fragmentBytes = 8
		shows(header, quotedIs(protocolAt, protocolESP))
		shows(header+udpHeaderBytes, quotedIs(protocolAt, protocolUDP), portAt(header))
		first := []expr.Any{quoted(registerA, header+2, 2),
			&expr.Bitwise{SourceRegister: registerA, DestRegister: registerA, Len: 2, Mask: []byte{0xff, 0xf8}, Xor: []byte{0, 0}}, compare([]byte{0, 0})}
		fragment := quotedIs(protocolAt, unix.IPPROTO_FRAGMENT)
		shows(header+fragmentBytes, fragment, first, quotedIs(header, protocolESP))
		shows(header+fragmentBytes+udpHeaderBytes, fragment, first, quotedIs(header, protocolUDP), portAt(header+fragmentBytes))
	}
	f.rule(r.chain, report,
		[]expr.Any{quoted(registerA, destinationAt, addressBytes), &expr.Lookup{SourceRegister: registerA, SetName: r.peers.Name, SetID: r.peers.ID}},
		refuse(node.DropICMPUnproven))
	// IKE with somebody who is no peer yet passes every policy by.
	for _, port := range []byte{portIKE & 0xff, portNATT & 0xff} {
		high := byte(portIKE >> 8)
		if port == portNATT&0xff {
			high = portNATT >> 8
		}
		f.rule(r.chain, report, quotedIs(protocolAt, protocolUDP), quotedIs(header, high, port), pass)
	}
}

// refuseReports refuses reports in clear about what a group of policies protects.
func (f *filter) refuseReports(g filterGroup, s *filterSet) {
	for _, r := range f.reports {
		if r.v6 != g.remote6 || g.dynamic {
			continue // a dynamic end is this host's own, which the peers' rule has
		}
		_, _, sourceAt, destinationAt, addressBytes := r.quotedHeader()
		match := append(f.isReport(r), quotedIn(sourceAt, addressBytes, g.local)...)
		if s.set != nil {
			match = append(match, quoted(registerA, destinationAt, addressBytes),
				&expr.Lookup{SourceRegister: registerA, SetName: s.set.Name, SetID: s.set.ID})
		}
		if g.protocol != 0 {
			_, protocolAt, _, _, _ := r.quotedHeader()
			match = append(match, quotedIs(protocolAt, g.protocol)...)
		}
		f.rule(r.chain, match, toThisHost(), refuse(node.DropICMPUnproven))
	}
}

// quotedIn matches a quoted address against a selector.
func quotedIn(at, length uint32, s esp.Selector) []expr.Any {
	if isAll(s) {
		return nil
	}
	return []expr.Any{quoted(registerA, at, length),
		&expr.Range{Op: expr.CmpOpEq, Register: registerA, FromData: s.Start.AsSlice(), ToData: s.End.AsSlice()}}
}

// syncReports brings the sets in line with the associations; changed says that there is
// something to flush.
func (f *filter) syncReports(h *Host) (changed bool, err error) {
	for _, r := range f.reports {
		wanted, peers := map[outboundSPI]bool{}, map[netip.Addr]bool{}
		for _, a := range h.sas.all {
			if peer := a.path.Load().remote.Addr(); a.sends && peer.Is6() == r.v6 {
				wanted[outboundSPI{peer, a.spiOut}], peers[peer] = true, true
			}
		}
		had := map[netip.Addr]bool{}
		for o := range r.known {
			had[o.peer] = true
		}
		var more, gone, morePeers, gonePeers []nftables.SetElement
		for o := range wanted {
			if !r.known[o] {
				more = append(more, nftables.SetElement{Key: o.key()})
			}
		}
		for o := range r.known {
			if !wanted[o] {
				gone = append(gone, nftables.SetElement{Key: o.key()})
			}
		}
		for p := range peers {
			if !had[p] {
				morePeers = append(morePeers, nftables.SetElement{Key: p.AsSlice()})
			}
		}
		for p := range had {
			if !peers[p] {
				gonePeers = append(gonePeers, nftables.SetElement{Key: p.AsSlice()})
			}
		}
		for _, c := range []struct {
			set      *nftables.Set
			elements []nftables.SetElement
			do       func(*nftables.Set, []nftables.SetElement) error
		}{
			{r.spis, gone, f.conn.SetDeleteElements}, {r.spis, more, f.conn.SetAddElements},
			{r.peers, gonePeers, f.conn.SetDeleteElements}, {r.peers, morePeers, f.conn.SetAddElements},
		} {
			if len(c.elements) == 0 {
				continue
			}
			changed = true
			if err := c.do(c.set, c.elements); err != nil {
				return changed, err
			}
		}
		r.known = wanted
	}
	return changed, nil
}

// applyReports does that for associations that changed without their policies. The lock
// is held.
func (h *Host) applyReports() {
	f := &h.applied.filter
	if f.conn == nil {
		return // the next change of policies makes the filter anew
	}
	changed, err := f.syncReports(h)
	if err == nil && changed {
		err = f.conn.Flush()
	}
	if err != nil {
		f.close()
		h.event(node.Event{Kind: node.EventInstallFailed, Interface: fromInside, Problem: "the filter against false reports of a path's MTU: " + err.Error()})
	}
}

// recheckPaths looks at narrow paths again when it is time; they may have become wide.
func (h *Host) recheckPaths() {
	if h.recheckAt != 0 && h.now >= h.recheckAt {
		h.refreshPaths()
	}
}
