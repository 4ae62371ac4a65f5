//go:build linux

package host

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// Registers of the filter's expressions.
const registerA = 1

// end is one of a packet's two.
type end int

const (
	source end = iota
	destination
)

// other is the opposite end.
func (e end) other() end { return 1 - e }

func compare(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: registerA, Data: data}
}

// byDevice matches the device that a packet came by, or leaves by.
func byDevice(key expr.MetaKey, name string) []expr.Any {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return []expr.Any{&expr.Meta{Key: key, Register: registerA}, compare(b)}
}

// markIs matches what a socket with this mark sends.
func markIs(mark uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: registerA}, compare(binary.NativeEndian.AppendUint32(nil, mark))}
}

// refuse drops a packet and reports it under a reason.
func refuse(reason node.DropReason) []expr.Any {
	return []expr.Any{&expr.Counter{},
		&expr.Log{Group: clearLogGroup, Snaplen: clearLogBytes, Data: []byte(reason),
			Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_SNAPLEN | 1<<unix.NFTA_LOG_PREFIX},
		&expr.Verdict{Kind: expr.VerdictDrop}}
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

// address is where a packet's address at one end stands in its IP header.
func address(v6 bool, at end) (offset, length uint32) {
	if v6 {
		return 8 + 16*uint32(at), 16
	}
	return 12 + 4*uint32(at), 4
}

// addressIn matches a packet's address at one end against a selector.
func addressIn(v6 bool, at end, s esp.Selector) []expr.Any {
	if isAll(s) {
		return nil
	}
	offset, length := address(v6, at)
	return between(expr.PayloadBaseNetworkHeader, offset, length, s.Start.AsSlice(), s.End.AsSlice())
}

// addressInSet matches it against a set.
func addressInSet(v6 bool, at end, set *nftables.Set) []expr.Any {
	offset, length := address(v6, at)
	return []expr.Any{&expr.Payload{DestRegister: registerA, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: registerA, SetName: set.Name, SetID: set.ID}}
}

// portsOf matches a packet's ports, as far as the pair asks for any; narrow says that
// it does. The remote end of the pair is the packet's end at remote. ICMP's type and code stand in both selectors (RFC 7296
// §3.13.1).
func portsOf(p protectedPair, remote end) (match []expr.Any, narrow bool) {
	isICMP := p.protocol() == unix.IPPROTO_ICMP || p.protocol() == unix.IPPROTO_ICMPV6
	for i, s := range []esp.Selector{p.remote, p.local} {
		if s.StartPort == 0 && s.EndPort == 0xffff {
			continue
		}
		narrow = true
		if s.StartPort > s.EndPort {
			continue // OPAQUE: the fragments that the second rule has
		}
		offset := 2 * uint32(i^int(remote)) // the source port stands first
		if isICMP {
			offset = 0
		}
		match = append(match, between(expr.PayloadBaseTransportHeader, offset, 2,
			binary.BigEndian.AppendUint16(nil, s.StartPort), binary.BigEndian.AppendUint16(nil, s.EndPort))...)
	}
	return match, narrow
}
