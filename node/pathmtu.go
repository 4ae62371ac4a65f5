package node

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// pathMTUsMax bounds the destinations whose path is remembered; at one more,
	// all are forgotten and learned again.
	pathMTUsMax = 1024
	// pathMTUAgeMs is how long a report counts: RFC 1191 §6.3 and RFC 8201 §4 ask
	// for ten minutes, after which the path may have become wider.
	pathMTUAgeMs = 600_000
)

// pathMTU is what a report said of the way to a destination.
type pathMTU struct {
	bytes   int
	expires time.Duration
}

// learnPathMTU takes a report that a packet of this host was too long for its path
// to dst.
func (n *Node) learnPathMTU(dst netip.Addr, mtu int) {
	least := pathMTU4Min
	if dst.Is6() {
		least = pathMTU6Min
	}
	if _, known := n.pathMTUs[dst]; !known && len(n.pathMTUs) >= pathMTUsMax {
		clear(n.pathMTUs)
	}
	n.pathMTUs[dst] = pathMTU{bytes: max(mtu, least), expires: n.now + pathMTUAgeMs*time.Millisecond}
}

// pathMTUTo is the longest packet in bytes that is known to reach dst: the first
// link's MTU, or less if something on the way said so.
func (n *Node) pathMTUTo(dst netip.Addr) int {
	mtu := header.IPv4MaximumPayloadSize
	if iface, _, ok := n.routes.lookup(dst); ok {
		mtu = n.interfaces[iface].mtu
	}
	return n.knownPathMTU(dst, mtu)
}

// knownPathMTU cuts mtu down to what was reported of the way to dst.
func (n *Node) knownPathMTU(dst netip.Addr, mtu int) int {
	if known, ok := n.pathMTUs[dst]; ok && n.now < known.expires {
		return min(mtu, known.bytes)
	}
	return mtu
}
