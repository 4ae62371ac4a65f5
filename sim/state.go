package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/topology"
)

// nodeState is what the run knows of one node from its events.
type nodeState struct {
	plan        *topology.Node
	connections []connectionState // in the plan's order
	byName      map[string]int
	// spis are the present IKE SAs' SPIs by the machine's number, ordinals the
	// present child SAs' numbers by inbound SPI.
	spis     map[uint64]spiPair
	ordinals map[uint32]uint64
	dropped  uint64
	drops    map[string]uint64
	// life counts the node's lives from 1, the present one or the last; dead says
	// that it is over.
	life int
	dead bool
	// up and addresses are the interfaces' present ones, in the plan's order.
	up        []bool
	addresses [][]netip.Prefix
	// downSince is since when an interface is down that is.
	downSince []time.Duration
}

// spiPair is an IKE SA.
type spiPair struct{ i, r wire.SPI }

// connectionState is one connection at one node.
type connectionState struct {
	standing         int // IKE SAs
	establishedCount uint64
	establishedAt    time.Duration // the first
	failed           string
	failedCount      uint64
	attempts         uint64
	retransmissions  uint64
	nat, encap       bool
	children         []childState // in the plan's order
	byName           map[string]int
}

// childState is one child of a connection at one node.
type childState struct {
	standing              int // CHILD_SAs
	installs              uint64
	failed                string
	packetsIn, packetsOut uint64
	bytesIn, bytesOut     uint64
}

func newNodeState(n *topology.Node) nodeState {
	s := nodeState{life: 1, plan: n, byName: map[string]int{}, spis: map[uint64]spiPair{}, ordinals: map[uint32]uint64{}, drops: map[string]uint64{}}
	for _, i := range n.Interfaces {
		s.up, s.addresses, s.downSince = append(s.up, i.Up), append(s.addresses, i.Addresses), append(s.downSince, 0)
	}
	for i, c := range n.Connections {
		s.byName[c.Name] = i
		state := connectionState{byName: map[string]int{}, children: make([]childState, len(c.Children))}
		for j, child := range c.Children {
			state.byName[child.Name] = j
		}
		s.connections = append(s.connections, state)
	}
	return s
}

// connection finds a connection by name, nil for one the plan does not have.
func (s *nodeState) connection(name string) *connectionState {
	if i, ok := s.byName[name]; ok {
		return &s.connections[i]
	}
	return nil
}

// child finds a child by names, nil for one the plan does not have.
func (s *nodeState) child(connection, child string) *childState {
	if c := s.connection(connection); c != nil {
		if i, ok := c.byName[child]; ok {
			return &c.children[i]
		}
	}
	return nil
}

// eventKey says which events are counted together.
type eventKey struct {
	event      string
	node       int
	connection string
}

// eventCounts counts events by kind, node and connection. The plan bounds the
// number of entries.
type eventCounts struct {
	index   map[eventKey]int
	keys    []eventKey
	entries []EventCount
}

// note counts an event.
func (c *eventCounts) note(now time.Duration, k eventKey, nodeName string) {
	if c.index == nil {
		c.index = map[eventKey]int{}
	}
	i, ok := c.index[k]
	if !ok {
		i = len(c.entries)
		c.index[k] = i
		c.keys = append(c.keys, k)
		c.entries = append(c.entries, EventCount{Event: k.event, Node: nodeName, Connection: k.connection, FirstAt: now})
	}
	c.entries[i].Count++
	c.entries[i].LastAt = now
}

// sorted answers the counts by node, then event, then connection.
func (c *eventCounts) sorted() []EventCount {
	order := make([]int, len(c.entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := c.keys[i], c.keys[j]
		return cmp.Or(cmp.Compare(a.node, b.node), cmp.Compare(a.event, b.event), cmp.Compare(a.connection, b.connection))
	})
	counts := make([]EventCount, 0, len(order))
	for _, i := range order {
		counts = append(counts, c.entries[i])
	}
	return counts
}

// results are the measured values as of now, for expectations.
func (r *Run) results(now time.Duration) topology.Results {
	res := topology.Results{Now: now, Watches: slices.Clone(r.watches)}
	for _, f := range r.flows {
		m := r.flowFigures(now, f)
		res.Flows = append(res.Flows, topology.FlowResult{
			Sent: m.Sent, Received: m.Received, SentBytes: m.SentBytes, ReceivedBytes: m.ReceivedBytes,
			Lost: m.Lost, Duplicated: m.Duplicated, Reordered: m.Reordered, LongestGap: m.LongestGap,
			HasDelay: m.HasDelay, DelayMin: m.DelayMin, DelayMean: m.DelayMean, DelayMax: m.DelayMax,
			DelayP50: m.DelayP50, DelayP99: m.DelayP99,
		})
	}
	for i := range r.processes {
		res.Processes = append(res.Processes, r.processes[i].measured(now))
	}
	for n := range r.nodes {
		state := &r.nodes[n]
		res.Nodes = append(res.Nodes, topology.NodeResult{Dropped: state.dropped})
		for i := range state.connections {
			c := &state.connections[i]
			out := topology.ConnectionResult{
				Established: c.standing > 0, EstablishedCount: c.establishedCount, EstablishedAt: c.establishedAt,
				Failed: c.failed, FailedCount: c.failedCount,
				Attempts: c.attempts, Retransmissions: c.retransmissions, NAT: c.nat, Encap: c.encap,
			}
			for _, ch := range c.children {
				out.Children = append(out.Children, topology.ChildResult{
					Installed: ch.standing > 0, Installs: ch.installs, Failed: ch.failed,
					PacketsIn: ch.packetsIn, PacketsOut: ch.packetsOut, BytesIn: ch.bytesIn, BytesOut: ch.bytesOut,
				})
			}
			res.Connections = append(res.Connections, out)
		}
	}
	return res
}

// nodeResults and connectionResults are the same values for the Result.
func (r *Run) nodeResults() []NodeResult {
	out := []NodeResult{}
	for n := range r.nodes {
		state := &r.nodes[n]
		out = append(out, NodeResult{Name: state.plan.Name, PacketsDropped: state.dropped, Drops: state.dropCounts()})
	}
	return out
}

// dropCounts are the packets that the node has given up, in order of the reason's name.
func (s *nodeState) dropCounts() []DropCount {
	var out []DropCount
	for reason, count := range s.drops {
		out = append(out, DropCount{reason, count})
	}
	slices.SortFunc(out, func(a, b DropCount) int { return cmp.Compare(a.Reason, b.Reason) })
	return out
}

func (r *Run) connectionResults() []ConnectionResult {
	out := []ConnectionResult{}
	for n := range r.nodes {
		state := &r.nodes[n]
		for i := range state.connections {
			c, plan := &state.connections[i], &state.plan.Connections[i]
			result := ConnectionResult{
				Node: state.plan.Name, Name: plan.Name,
				Established: c.standing > 0, EstablishedCount: c.establishedCount, EstablishedAt: c.establishedAt,
				Failed: c.failed, FailedCount: c.failedCount,
				Attempts: c.attempts, Retransmissions: c.retransmissions, NAT: c.nat, Encap: c.encap, Children: []ChildResult{},
			}
			for j, ch := range c.children {
				result.Children = append(result.Children, ChildResult{
					Name: plan.Children[j].Name, Installed: ch.standing > 0, Installs: ch.installs, Failed: ch.failed,
					PacketsIn: ch.packetsIn, PacketsOut: ch.packetsOut, BytesIn: ch.bytesIn, BytesOut: ch.bytesOut,
				})
			}
			out = append(out, result)
		}
	}
	return out
}
