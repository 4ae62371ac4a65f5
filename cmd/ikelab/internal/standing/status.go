package standing

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/netns"
)

// Status is what a lab that stands looks like, and what status --json prints of it.
type Status struct {
	Lab         string `json:"lab"`
	Description string `json:"description,omitempty"`
	File        string `json:"file"`
	Seed        uint64 `json:"seed"`
	// Holder is the process that owns the lab, as it sees itself.
	Holder int `json:"holder"`
	// Since is when the lab's time began, Age how long ago that is.
	Since time.Time     `json:"since"`
	Age   time.Duration `json:"age_ns"`
	// Failed is why the lab cannot be acted on any more, empty for one that works.
	Failed string `json:"failed,omitempty"`
	// HostTroubles are what this host has lacked since the lab was made, so that packets
	// may have been lost which are in no other figure.
	HostTroubles []sim.HostTrouble `json:"host_troubles,omitempty"`
	Nodes        []NodeStatus      `json:"nodes"`
}

// NodeStatus is a node.
type NodeStatus struct {
	Name           string `json:"name"`
	Implementation string `json:"implementation"`
	Namespace      string `json:"namespace"`
	// Alive says that the node's process runs; Life counts its lives, 0 when it is dead.
	Alive bool `json:"alive"`
	Life  int  `json:"life"`
	// Problem is why it died, where nobody killed it.
	Problem    string            `json:"problem,omitempty"`
	Interfaces []InterfaceStatus `json:"interfaces"`
	IKE        []IKEStatus       `json:"ike,omitempty"`
	Children   []ChildStatus     `json:"children,omitempty"`
	Policies   []PolicyStatus    `json:"policies,omitempty"`
	// Drops are packets that the node gave up, by reason.
	Drops []sim.DropCount `json:"drops,omitempty"`
}

// InterfaceStatus is an interface, as the kernel has it.
type InterfaceStatus struct {
	Name      string         `json:"name"`
	Device    string         `json:"device"`
	Network   string         `json:"network"`
	Up        bool           `json:"up"` // and has a carrier
	Addresses []netip.Prefix `json:"addresses"`
}

// IKEStatus is an IKE SA.
type IKEStatus struct {
	Connection  string         `json:"connection"`
	State       string         `json:"state"` // "established" or "connecting"
	Initiator   bool           `json:"initiator"`
	SPIi        string         `json:"spi_i"`
	SPIr        string         `json:"spi_r"`
	Local       netip.AddrPort `json:"local"`
	Remote      netip.AddrPort `json:"remote"`
	LocalID     string         `json:"local_id,omitempty"`
	RemoteID    string         `json:"remote_id,omitempty"`
	Proposal    string         `json:"proposal,omitempty"`
	NATDetected bool           `json:"nat_detected"`
	// Age is how long it has been in its state.
	Age time.Duration `json:"age_ns"`
}

// ChildStatus is a CHILD_SA.
type ChildStatus struct {
	Connection string         `json:"connection"`
	Child      string         `json:"child"`
	SPIIn      string         `json:"spi_in"`
	SPIOut     string         `json:"spi_out"`
	Local      netip.AddrPort `json:"local"`
	Remote     netip.AddrPort `json:"remote"`
	Encap      bool           `json:"encap"`
	ESN        bool           `json:"esn"`
	Proposal   string         `json:"proposal"`
	LocalTS    []string       `json:"local_ts"`
	RemoteTS   []string       `json:"remote_ts"`
	Age        time.Duration  `json:"age_ns"`
	PacketsIn  uint64         `json:"packets_in"`
	BytesIn    uint64         `json:"bytes_in"`
	PacketsOut uint64         `json:"packets_out"`
	BytesOut   uint64         `json:"bytes_out"`
	// What was refused.
	Replays            uint64 `json:"replays"`
	IntegrityFailures  uint64 `json:"integrity_failures"`
	SelectorMismatches uint64 `json:"selector_mismatches"`
}

// PolicyStatus is a configured child, whose traffic is protected or goes nowhere.
type PolicyStatus struct {
	Connection string   `json:"connection"`
	Child      string   `json:"child"`
	Trap       bool     `json:"trap"`
	Local      []string `json:"local"`
	Remote     []string `json:"remote"`
}

// statusOf writes a lab's state as its status.
func statusOf(s netns.State) Status {
	out := Status{Since: s.Epoch, Age: s.Now, HostTroubles: s.HostTroubles}
	for _, n := range s.Nodes {
		at := NodeStatus{
			Name: n.Name, Implementation: n.Implementation, Namespace: n.Namespace, Alive: n.Alive, Life: n.Life, Problem: n.Problem, Drops: n.Drops,
			Interfaces: []InterfaceStatus{},
		}
		for _, i := range n.Interfaces {
			at.Interfaces = append(at.Interfaces, InterfaceStatus{i.Name, i.Device, i.Network, i.Up, append([]netip.Prefix{}, i.Addresses...)})
		}
		for _, i := range n.IKE {
			state := "connecting"
			if i.Established {
				state = "established"
			}
			at.IKE = append(at.IKE, IKEStatus{
				i.Connection, state, i.Initiator, i.SPIi.String(), i.SPIr.String(), i.Local, i.Remote,
				i.LocalID, i.RemoteID, i.Proposal, i.NAT, s.Now - i.Since,
			})
		}
		for _, c := range n.Children {
			at.Children = append(at.Children, childStatus(c, s.Now-c.Since))
		}
		for _, p := range n.Policies {
			at.Policies = append(at.Policies, PolicyStatus(p))
		}
		out.Nodes = append(out.Nodes, at)
	}
	return out
}

func childStatus(c netns.ChildState, age time.Duration) ChildStatus {
	var k node.Counters = c.Counters
	return ChildStatus{
		Connection: c.Connection, Child: c.Child, SPIIn: spiText(c.SPIIn), SPIOut: spiText(c.SPIOut), Local: c.Local, Remote: c.Remote,
		Encap: c.Encap, ESN: c.ESN, Proposal: c.Proposal, LocalTS: c.LocalTS, RemoteTS: c.RemoteTS, Age: age,
		PacketsIn: k.PacketsIn, BytesIn: k.BytesIn, PacketsOut: k.PacketsOut, BytesOut: k.BytesOut,
		Replays: k.Replays, IntegrityFailures: k.IntegrityFailures, SelectorMismatches: k.SelectorMismatches,
	}
}

// spiText writes an ESP SPI as everybody does.
func spiText(spi uint32) string { return fmt.Sprintf("0x%08x", spi) }
