//go:build linux

package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ikelab/ikelab/esp"
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

// applyFilter drops what comes in clear although a policy protects it (RFC 4301
// §5.2): anything not from the tunnel device or this host itself whose ends are a
// policy's. Replacing is one transaction. The lock is held.
func (h *Host) applyFilter(pairs []protectedPair) error {
	c, err := nftables.New(nftables.WithNetNSFd(int(h.namespace.Fd())))
	if err != nil {
		return fmt.Errorf("the filter against clear traffic: %w", err)
	}
	table := &nftables.Table{Name: filterTable, Family: nftables.TableFamilyINet}
	c.AddTable(table) // so that deleting what is not there is no error
	c.DelTable(table)
	c.AddTable(table)
	accept := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{Name: "clear-inbound", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw, Policy: &accept})
	rule := func(exprs ...[]expr.Any) {
		var all []expr.Any
		for _, e := range exprs {
			all = append(all, e...)
		}
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: all})
	}
	pass := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	rule(inputDevice(h.cfg.Tunnel), pass)
	rule(inputDevice("lo"), pass)
	// IKE and ESP of the node itself pass the policy by. A later fragment shows no
	// ports; it comes to nothing without the first one.
	rule(protocolIs(unix.IPPROTO_UDP), destinationPort(portIKE, portIKE), toThisHost(), pass)
	rule(protocolIs(unix.IPPROTO_UDP), destinationPort(portNATT, portNATT), toThisHost(), pass)
	rule(protocolIs(unix.IPPROTO_ESP), toThisHost(), pass)
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_ESP} {
		rule(familyIs(false), laterFragment(false), protocolIs(protocol), toThisHost(), pass)
		rule(familyIs(true), laterFragment(true), protocolIs(protocol), toThisHost(), pass)
	}
	// Errors about the outer packets, which routers send in clear (RFC 4301 §6.1.1);
	// and IPv6's neighbours, which are the link's affair.
	for _, types := range [][2]byte{{3, 3}, {11, 12}} {
		rule(familyIs(false), protocolIs(unix.IPPROTO_ICMP), icmpTypes(types), toThisHost(), pass)
	}
	rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{1, 4}), toThisHost(), pass)
	rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{130, 137}), pass)
	rule(familyIs(true), protocolIs(unix.IPPROTO_ICMPV6), icmpTypes([2]byte{143, 143}), pass)
	refuse := []expr.Any{&expr.Counter{},
		&expr.Log{Group: clearLogGroup, Snaplen: clearLogBytes, Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN},
		&expr.Verdict{Kind: expr.VerdictDrop}}
	for _, p := range pairs {
		v6 := p.local.Start.Is6()
		ends := append(familyIs(v6), addressIn(v6, true, p.remote)...)
		ends = append(ends, addressIn(v6, false, p.local)...)
		if p.protocol() != 0 {
			ends = append(ends, protocolIs(p.protocol())...)
		}
		ports, narrow := portsOf(p)
		rule(ends, ports, refuse)
		if narrow {
			rule(ends, laterFragment(v6), refuse)
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("the filter against clear traffic: %w; it takes nftables in the kernel (nf_tables, nft_fib_inet, nft_log) and CAP_NET_ADMIN", err)
	}
	return nil
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

// addressIn matches a packet's source or destination against a selector.
func addressIn(v6, source bool, s esp.Selector) []expr.Any {
	if s.Start.IsUnspecified() && s.End == lastOf(netip.PrefixFrom(s.Start, 0)) {
		return nil
	}
	offset, length := uint32(16), uint32(4)
	if v6 {
		offset, length = 24, 16
	}
	if source {
		offset -= length
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
