package node

import (
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// pathMTUsMax bounds the paths that are remembered; at one more, all are
	// forgotten and learned again.
	pathMTUsMax = 1024
	// pathMTUAgeMs is how long an estimate holds after it was last made less
	// (RFC 8201 §5.3, RFC 1191 §6.3, RFC 4301 §8.2.2). Linux's default is the same
	// (net.ipv4.route.mtu_expires).
	pathMTUAgeMs = 600_000
	// pathMTUQuietMs is how long no wider path may be looked for after any report
	// of it (RFC 8201 §4).
	pathMTUQuietMs = 300_000
	// pathMTU4Min and pathMTU6Min are the least that a report can bring an estimate
	// to. IPv6's is that of every link (RFC 8200 §5). IPv4's is Linux' own
	// (net.ipv4.route.min_pmtu), so that virtual time and namespaces agree: links
	// that carry less are rare, and less is what a forger would ask for.
	pathMTU4Min = 552
	pathMTU6Min = header.IPv6MinimumMTU
	// ipv4LinkMTUMin is what every link carries of IPv4 (RFC 791 §3.2).
	ipv4LinkMTUMin = 68
)

// Path is a way between two addresses. Local is the zero address where the way does
// not depend on it.
type Path struct{ Local, Remote netip.Addr }

// PathMTU is what reports said of a path.
type PathMTU struct {
	// Bytes is the longest IP packet that is known to get through.
	Bytes int
	// Fragile says that a link of the path carries less than Bytes: what goes there
	// must not forbid routers to cut it. IPv4 alone knows that.
	Fragile bool
	expires time.Duration
}

// PathMTUs remembers what routers reported of paths. Who calls Learn has seen to it
// that the report is about something that was sent. The zero value is empty and ready
// for use; it has no lock.
type PathMTUs struct{ known map[Path]PathMTU }

// Learn takes the report, at the instant now since the lab's epoch, that a packet was
// too long for a path, and that mtu bytes are not. An estimate never becomes more by
// it (RFC 8201 §4). A report of less than IPv6's least MTU counts for nothing (ibid.);
// one of less than 552 bytes of IPv4, zero among them (RFC 1191 §5), counts as 552 and
// makes the path fragile, as Linux has it. Learn returns whether anything changed.
func (m *PathMTUs) Learn(now time.Duration, path Path, mtu int) bool {
	if path.Remote.Is6() && mtu < pathMTU6Min {
		return false
	}
	report := PathMTU{Bytes: mtu, expires: now + pathMTUAgeMs*time.Millisecond}
	if path.Remote.Is4() && mtu < pathMTU4Min {
		report.Bytes, report.Fragile = pathMTU4Min, true
	}
	old, known := m.Known(now, path)
	changed := true
	if known && report.Bytes >= old.Bytes && (!report.Fragile || old.Fragile) {
		changed = false
		report = old
		report.expires = max(old.expires, now+pathMTUQuietMs*time.Millisecond)
	} else if known {
		report.Bytes = min(report.Bytes, old.Bytes)
		report.Fragile = report.Fragile || old.Fragile
	}
	if m.known == nil || !known && len(m.known) >= pathMTUsMax {
		m.known = make(map[Path]PathMTU)
	}
	m.known[path] = report
	return changed
}

// Known returns what is known of a path at the instant now; ok is false when that is
// nothing, or has become too old: then the first link's MTU is tried again.
func (m *PathMTUs) Known(now time.Duration, path Path) (known PathMTU, ok bool) {
	if len(m.known) == 0 {
		return PathMTU{}, false
	}
	known, ok = m.known[path]
	if !ok || now >= known.expires {
		return PathMTU{}, false
	}
	return known, true
}

// Forget forgets a path, because its ends have moved.
func (m *PathMTUs) Forget(path Path) { delete(m.known, path) }

// limit cuts mtu down to what is known of a path. fragile is as in PathMTU.
func (m *PathMTUs) limit(now time.Duration, path Path, mtu int) (bytes int, fragile bool) {
	if known, ok := m.Known(now, path); ok {
		return min(mtu, known.Bytes), known.Fragile
	}
	return mtu, false
}

// outerPath is the path of an association's packets.
func (a *association) outerPath() Path { return Path{Local: a.local.Addr(), Remote: a.remote.Addr()} }

// outerMTU is the longest outer packet in bytes for an association that leaves by a
// link of mtu bytes. Associations between the same two addresses share what is known,
// so that a new one need not find it out again.
func (n *Node) outerMTU(a *association, mtu int) (bytes int, fragile bool) {
	return n.outerMTUs.limit(n.now, a.outerPath(), mtu)
}

// ownMTU is the same for what this host sends to dst in no tunnel of its own, or
// inside one: there routers behind the tunnel report.
func (n *Node) ownMTU(dst netip.Addr, mtu int) (bytes int, fragile bool) {
	return n.pathMTUs.limit(n.now, Path{Remote: dst}, mtu)
}

// allowFragments clears DF of a packet of this host that follows its path's MTU and
// turned out to be too long for it.
func (n *Node) allowFragments(p *packet) {
	p.discover, p.dontFragment = false, false
	if p.v6 {
		return // its header does not say
	}
	h := header.IPv4(p.bytes)
	h.SetFlagsFragmentOffset(0, 0)
	h.SetID(uint16(n.nextID(p.key.Dst)))
	p.refreshChecksum(h)
}
