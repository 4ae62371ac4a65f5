//go:build linux

package netns

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/sim"
)

// NeighbourTable is one of the kernel's two tables of who is where on a link. All network
// namespaces of a host share it.
type NeighbourTable struct {
	// Family is "IPv4" or "IPv6".
	Family string
	// Entries are all that it holds, permanent ones included; only others are held to
	// Limit (net.ipv4.neigh.default.gc_thresh3, or ipv6's).
	Entries, Limit uint32
	// Overflows is how often since the host started there was no room for a new entry.
	Overflows uint64
}

// Sysctl is the name of the table's limit, which only the host's own namespace may set.
func (t *NeighbourTable) Sysctl() string {
	if t.Family == "IPv6" {
		return "net.ipv6.neigh.default.gc_thresh3"
	}
	return "net.ipv4.neigh.default.gc_thresh3"
}

// Attributes of a neighbour table and its statistics (linux/neighbour.h).
const (
	ndtaThresh3 = 4
	ndtaConfig  = 5
	ndtaStats   = 7
	// ndtmsgBytes is struct ndtmsg.
	ndtmsgBytes = 4
	// entriesAt is where struct ndt_config has its number of entries, and tableFullsAt
	// where struct ndt_stats has that of overflows, in bytes.
	entriesAt    = 4
	tableFullsAt = 80
)

// NeighbourTables looks at the tables, from any namespace and without any right. A kernel
// without IPv6 has one of them.
func NeighbourTables() ([]NeighbourTable, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNEIGHTBL, unix.NLM_F_DUMP)
	request.AddRawData(make([]byte, ndtmsgBytes))
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNEIGHTBL)
	if err != nil {
		return nil, fmt.Errorf("the kernel's neighbour tables: %w", err)
	}
	var all []NeighbourTable
	for _, m := range messages {
		if len(m) < ndtmsgBytes || m[0] != unix.AF_INET && m[0] != unix.AF_INET6 {
			continue
		}
		attributes, err := nl.ParseRouteAttr(m[ndtmsgBytes:])
		if err != nil {
			return nil, fmt.Errorf("the kernel's neighbour tables: %w", err)
		}
		t, whole := NeighbourTable{Family: "IPv4"}, false
		if m[0] == unix.AF_INET6 {
			t.Family = "IPv6"
		}
		for _, a := range attributes {
			switch kind := a.Attr.Type &^ unix.NLA_F_NESTED; {
			case kind == ndtaThresh3 && len(a.Value) >= 4:
				t.Limit = binary.NativeEndian.Uint32(a.Value)
			case kind == ndtaConfig && len(a.Value) >= entriesAt+4:
				t.Entries, whole = binary.NativeEndian.Uint32(a.Value[entriesAt:]), true
			case kind == ndtaStats && len(a.Value) >= tableFullsAt+8:
				t.Overflows = binary.NativeEndian.Uint64(a.Value[tableFullsAt:])
			}
		}
		if whole { // else it is about one device
			all = append(all, t)
		}
	}
	return all, nil
}

// NeighbourTrouble says which tables have had no room between two looks at them, whoever
// on this host filled them.
func NeighbourTrouble(before, after []NeighbourTable) []sim.HostTrouble {
	var all []sim.HostTrouble
	for _, now := range after {
		for _, then := range before {
			if now.Family == then.Family && now.Overflows > then.Overflows {
				all = append(all, now.trouble(now.Overflows-then.Overflows))
			}
		}
	}
	return all
}

// NeighbourLimitCure is a limit that nothing on a host comes near to by accident.
const NeighbourLimitCure = 65536

// Full says that the table was full at some time, and that its limit is such that it may
// be again.
func (t *NeighbourTable) Full() bool { return t.Overflows > 0 && t.Limit < NeighbourLimitCure }

// Cure says how the table gets more room.
func (t *NeighbourTable) Cure() string {
	return fmt.Sprintf("sysctl -w %s=%d, as root of the host itself; or end what fills it", t.Sysctl(), NeighbourLimitCure)
}

func (t *NeighbourTable) trouble(overflows uint64) sim.HostTrouble {
	return sim.HostTrouble{
		Kind: "neighbour-table-full", Count: overflows, Cure: t.Cure(),
		Means: fmt.Sprintf("the %s neighbour table of this host, which all its network namespaces share, was full %d times (it learns at most %d neighbours): "+
			"packets to neighbours that a node was not told of were lost without a word, in this lab and beside it", t.Family, overflows, t.Limit),
	}
}
