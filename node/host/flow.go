//go:build linux

package host

import (
	"encoding/binary"
	"net/netip"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// flowKey is what policies look at, as it stands in the packet.
type flowKey struct {
	src, dst [16]byte
	ports    uint32
	protocol uint8
	// kind tells what the rest means.
	kind uint8
}

const (
	flowV6 = 1 << iota
	flowPorts
	flowLater
)

// headerView is what the data plane reads of a packet.
type headerView struct {
	key          flowKey
	trafficClass uint8
	// bytes is the packet's own length.
	bytes int
}

// readHeader looks at a packet's headers; false asks for the long way, because of
// options or extension headers, or because something is wrong.
func readHeader(b []byte, v *headerView) bool {
	if len(b) < 20 {
		return false
	}
	v.key = flowKey{}
	var transport []byte
	switch b[0] >> 4 {
	case 4:
		if b[0] != 0x45 {
			return false
		}
		v.bytes = int(binary.BigEndian.Uint16(b[2:]))
		if v.bytes < 20 || v.bytes > len(b) {
			return false
		}
		v.trafficClass = b[1]
		copy(v.key.src[:], b[12:16])
		copy(v.key.dst[:], b[16:20])
		v.key.protocol = b[9]
		if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			v.key.kind = flowLater
			return true
		}
		transport = b[20:v.bytes]
	case 6:
		if len(b) < 40 {
			return false
		}
		v.bytes = 40 + int(binary.BigEndian.Uint16(b[4:]))
		if v.bytes > len(b) {
			return false
		}
		v.trafficClass = b[0]<<4 | b[1]>>4
		copy(v.key.src[:], b[8:24])
		copy(v.key.dst[:], b[24:40])
		v.key.protocol, v.key.kind = b[6], flowV6
		transport = b[40:v.bytes]
	default:
		return false
	}
	switch v.key.protocol {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP:
		if len(transport) >= udpHeaderBytes {
			v.key.ports = binary.BigEndian.Uint32(transport)
			v.key.kind |= flowPorts
		}
		return true
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		// Type and code stand for both ports (RFC 7296 §3.13.1).
		if len(transport) >= 8 {
			c := uint32(binary.BigEndian.Uint16(transport))
			v.key.ports = c<<16 | c
			v.key.kind |= flowPorts
		}
		return true
	}
	// Other protocols have no ports in IPv4; in IPv6 it may be an extension.
	return v.key.kind&flowV6 == 0
}

// flow is the key as the SPD sees it.
func (k *flowKey) flow() esp.Flow {
	f := esp.Flow{Protocol: k.protocol, NoPorts: k.kind&flowPorts == 0}
	if !f.NoPorts {
		f.SourcePort, f.DestinationPort = uint16(k.ports>>16), uint16(k.ports)
	}
	if k.kind&flowV6 != 0 {
		f.Source, f.Destination = netip.AddrFrom16(k.src), netip.AddrFrom16(k.dst)
	} else {
		f.Source, f.Destination = netip.AddrFrom4([4]byte(k.src[:4])), netip.AddrFrom4([4]byte(k.dst[:4]))
	}
	return f
}

// hash spreads keys over a cache's entries.
func (k *flowKey) hash() uint32 {
	h := uint64(k.ports)<<8 | uint64(k.protocol)
	for _, b := range [][]byte{k.src[:8], k.src[8:], k.dst[:8], k.dst[8:]} {
		h = (h ^ binary.NativeEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return uint32(h >> 32)
}

// flowCacheEntries is how many flows a worker remembers; one that shares its entry
// with another is looked up again.
const flowCacheEntries = 256

// outCache remembers what the SPD said about outbound flows. It is one worker's.
type outCache struct {
	snapshot *snapshot
	entries  [flowCacheEntries]struct {
		key     flowKey
		known   bool
		verdict verdict
	}
}

// decide answers from the cache, or asks the snapshot.
func (c *outCache) decide(s *snapshot, k *flowKey) (verdict, uint32) {
	if c.snapshot != s {
		c.snapshot = s
		clear(c.entries[:])
	}
	at := k.hash()
	e := &c.entries[at%flowCacheEntries]
	if !e.known || e.key != *k {
		e.key, e.known = *k, true
		e.verdict = s.decide(k.flow(), k.kind&flowLater != 0)
	}
	return e.verdict, at
}

// inCache remembers what was found of flows that came out of associations. It is one
// worker's.
type inCache struct {
	snapshot *snapshot
	entries  [flowCacheEntries]struct {
		key         flowKey
		association *association
		refused     node.DropReason
	}
}

// refuses answers from the cache, or asks the snapshot.
func (c *inCache) refuses(s *snapshot, a *association, k *flowKey) node.DropReason {
	if c.snapshot != s {
		c.snapshot = s
		clear(c.entries[:])
	}
	e := &c.entries[k.hash()%flowCacheEntries]
	if e.association != a || e.key != *k {
		e.association, e.key = a, *k
		e.refused = s.refusesInner(a, k.flow())
	}
	return e.refused
}
