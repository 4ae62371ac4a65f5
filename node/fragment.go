package node

import (
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// reassembliesMax packets are put together at a time; the oldest gives way.
	reassembliesMax = 64
	// fragmentsPerPacketMax bounds the pieces of one: a 64 KiB packet at the
	// smallest IPv6 MTU has 53, at IPv4's usual 576 bytes 119.
	fragmentsPerPacketMax = 128
	// reassemblyTimeoutMs is RFC 8200 §4.5's minute, which also is the least
	// of RFC 1122 §3.3.2.
	reassemblyTimeoutMs = 60_000
)

// cut cuts a packet into pieces of at most mtu bytes and calls send with each. What
// this host itself sent in pieces it remembers, because routers may report about any of
// them.
func (n *Node) cut(p *packet, mtu int, send func([]byte)) {
	if p.origin == OriginLocal || p.origin == OriginIKE || p.origin == OriginESP {
		protected, forward := n.mayBeProtected(p), send
		send = func(b []byte) {
			if canBeTooBig(p.v6, len(b)) {
				n.sent.rememberFragment(p, b, protected)
			}
			forward(b)
		}
	}
	if p.v6 {
		fragment6(p, mtu, n.nextID(p.key.Dst), send)
	} else {
		fragment4(p, mtu, send)
	}
}

// fragment4 cuts the IPv4 packet p into pieces of at most mtu bytes and calls
// send with each (RFC 791 §3.2).
func fragment4(p *packet, mtu int, send func([]byte)) {
	data := p.payload()
	head := p.bytes[:p.transport]
	last := !p.moreFragments
	for at := 0; at < len(data); {
		size := (mtu - len(head)) &^ 7
		more := true
		if len(data)-at <= mtu-len(head) {
			size, more = len(data)-at, !last
		}
		b := make([]byte, len(head)+size)
		copy(b, head)
		copy(b[len(head):], data[at:at+size])
		h := header.IPv4(b)
		h.SetTotalLength(uint16(len(b)))
		flags := uint8(0)
		if more {
			flags = header.IPv4FlagMoreFragments
		}
		h.SetFlagsFragmentOffset(flags, uint16(p.fragmentOffset+at))
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
		send(b)
		if at == 0 {
			head = laterHeader(head)
		}
		at += size
	}
}

// fragment6 cuts an IPv6 packet of this host into pieces of at most mtu bytes
// (RFC 8200 §4.5). All behind the fixed header is cut: packets made here have
// no header that every piece would need.
func fragment6(p *packet, mtu int, id uint32, send func([]byte)) {
	const head = header.IPv6MinimumSize + header.IPv6FragmentHeaderSize
	data := p.bytes[header.IPv6MinimumSize:]
	for at := 0; at < len(data); {
		size := min((mtu-head)&^7, len(data)-at)
		if len(data)-at <= mtu-head {
			size = len(data) - at
		}
		b := make([]byte, head+size)
		copy(b, p.bytes[:header.IPv6MinimumSize])
		copy(b[head:], data[at:at+size])
		h := header.IPv6(b)
		next := h.NextHeader()
		h.Encode(&header.IPv6Fields{
			TrafficClass: p.trafficClass, PayloadLength: uint16(len(b) - header.IPv6MinimumSize), HopLimit: h.HopLimit(),
			TransportProtocol: tcpip.TransportProtocolNumber(next), SrcAddr: h.SourceAddress(), DstAddr: h.DestinationAddress(),
			ExtensionHeaders: header.IPv6ExtHdrSerializer{&header.IPv6SerializableFragmentExtHdr{
				FragmentOffset: uint16(at / 8), M: at+size < len(data), Identification: id,
			}},
		})
		send(b)
		at += size
	}
}

// laterHeader is the header of the fragments behind the first: only options
// with the copied flag stay.
func laterHeader(head []byte) []byte {
	if len(head) == header.IPv4MinimumSize {
		return head
	}
	later := slices.Clone(head[:header.IPv4MinimumSize])
	for it := header.IPv4(head).Options().MakeIterator(); ; {
		option, done, problem := it.Next()
		if done || problem != nil {
			break
		}
		if option.Type()&0x80 != 0 {
			later = append(later, option.Contents()...)
		}
	}
	for len(later)%4 != 0 {
		later = append(later, uint8(header.IPv4OptionListEndType))
	}
	header.IPv4(later).SetHeaderLength(uint8(len(later)))
	return later
}

// reassemblyKey says which fragments belong together. Pieces that came by a
// tunnel never meet pieces that came in clear.
type reassemblyKey struct {
	src, dst netip.Addr
	protocol uint8
	id       uint32
	via      *association
}

// piece is the data of one fragment.
type piece struct {
	at   int
	data []byte
}

// reassembly is a packet in the making.
type reassembly struct {
	key     reassemblyKey
	expires time.Duration
	// pieces are ordered by where they stand and do not overlap.
	pieces []piece
	// length is that of the whole data, -1 until the last piece is known.
	length int
	// head is everything before the data, first the fragment that brought it.
	head  []byte
	first packet
}

// reassemble takes the fragment p for this host and returns true when p has
// become the whole packet.
func (n *Node) reassemble(p *packet) bool {
	data := p.payload()
	if p.v6 {
		data = p.bytes[p.fragmentAt+header.IPv6FragmentHeaderSize:]
	}
	end := p.fragmentOffset + len(data)
	if len(data) == 0 || end > 0xffff || (p.moreFragments && len(data)%8 != 0) {
		n.drop(p, DropHeaderInvalid)
		return false
	}
	r := n.reassemblyFor(p)
	reason := r.add(p, piece{at: p.fragmentOffset, data: data}, end)
	if reason != "" {
		n.drop(p, reason)
		n.forgetReassembly(r)
		return false
	}
	if !r.complete() {
		return false
	}
	n.forgetReassembly(r)
	arrived, via := p.arrived, p.via
	whole := r.join()
	reason = parse(whole, p)
	p.arrived, p.via = arrived, via
	p.dontFragment = false
	if reason != "" {
		n.drop(p, reason)
		return false
	}
	return true
}

// reassemblyFor finds or starts the packet that p is a piece of.
func (n *Node) reassemblyFor(p *packet) *reassembly {
	key := reassemblyKey{src: p.key.Src, dst: p.key.Dst, protocol: p.key.Protocol, id: p.fragmentID, via: p.via}
	if p.v6 {
		// The upper protocol is named by the first fragment alone.
		key.protocol = extensionFragment
	}
	for _, r := range n.reassemblies {
		if r.key == key {
			return r
		}
	}
	if len(n.reassemblies) == reassembliesMax {
		oldest := n.reassemblies[0]
		n.dropKey(oldest.describe(), DropFragmentTableFull, p.arrived)
		n.forgetReassembly(oldest)
	}
	r := &reassembly{key: key, expires: n.now + reassemblyTimeoutMs*time.Millisecond, length: -1}
	n.reassemblies = append(n.reassemblies, r)
	return r
}

func (n *Node) forgetReassembly(r *reassembly) {
	n.reassemblies = slices.DeleteFunc(n.reassemblies, func(o *reassembly) bool { return o == r })
}

// describe is the key of the packet that r would have become.
func (r *reassembly) describe() PacketKey {
	if r.head != nil {
		return r.first.key
	}
	return PacketKey{Src: r.key.src, Dst: r.key.dst, Protocol: r.key.protocol}
}

// add puts a piece in its place. A repeated piece is ignored; one that overlaps
// another spoils the packet (RFC 5722, RFC 8200 §4.5; the same for IPv4).
func (r *reassembly) add(p *packet, q piece, end int) DropReason {
	if !p.moreFragments {
		if r.length >= 0 && r.length != end {
			return DropFragmentOverlap
		}
		r.length = end
	}
	if r.length >= 0 && end > r.length {
		return DropFragmentOverlap
	}
	at, found := slices.BinarySearchFunc(r.pieces, q, func(a, b piece) int { return a.at - b.at })
	if found && len(r.pieces[at].data) == len(q.data) {
		return ""
	}
	if found || (at > 0 && r.pieces[at-1].at+len(r.pieces[at-1].data) > q.at) || (at < len(r.pieces) && end > r.pieces[at].at) {
		return DropFragmentOverlap
	}
	if len(r.pieces) == fragmentsPerPacketMax {
		return DropFragmentTableFull
	}
	r.pieces = slices.Insert(r.pieces, at, q)
	if q.at == 0 {
		r.first = *p
		r.head = p.bytes[:p.transport]
		if p.v6 {
			r.head = p.bytes[:p.fragmentAt]
		}
	}
	return ""
}

// complete is true when no piece is missing. Pieces do not overlap, so their
// lengths tell.
func (r *reassembly) complete() bool {
	if r.length < 0 || r.head == nil {
		return false
	}
	sum := 0
	for _, q := range r.pieces {
		sum += len(q.data)
	}
	return sum == r.length
}

// join makes the whole packet. One that no length field can hold fails its
// parse as truncated.
func (r *reassembly) join() []byte {
	b := make([]byte, len(r.head)+r.length)
	copy(b, r.head)
	for _, q := range r.pieces {
		copy(b[len(r.head)+q.at:], q.data)
	}
	if r.first.v6 {
		b[r.first.fragmentNamedAt] = r.first.bytes[r.first.fragmentAt]
		header.IPv6(b).SetPayloadLength(uint16(min(len(b)-header.IPv6MinimumSize, 0xffff)))
		return b
	}
	h := header.IPv4(b)
	h.SetTotalLength(uint16(min(len(b), 0xffff)))
	h.SetFlagsFragmentOffset(0, 0)
	h.SetChecksum(0)
	h.SetChecksum(^h.CalculateChecksum())
	return b
}

// expireReassemblies gives up the packets whose time is over, and tells the
// sender when the first piece is there to quote (RFC 1122 §3.3.2).
func (n *Node) expireReassemblies() {
	for len(n.reassemblies) > 0 && n.reassemblies[0].expires <= n.now {
		r := n.reassemblies[0]
		n.forgetReassembly(r)
		n.dropKey(r.describe(), DropFragmentTimeout, fromInside)
		if r.head != nil {
			n.sendError(&r.first, errorReassemblyTimeout, 0)
		}
	}
}
