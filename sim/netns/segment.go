//go:build linux

package netns

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/topology"
)

// deviceNameMax is the longest name of an interface that Linux has, in bytes
// (IFNAMSIZ less its final zero).
const deviceNameMax = 15

// endpoint is an interface of a node, by their places in the plan.
type endpoint struct{ node, iface int }

// segment is a network of the plan as it is built here.
type segment struct {
	name string
	ends []endpoint
	// switched segments are the box's; the others are the kernel's.
	switched bool
	// bridged tells the kernel's segments with a bridge from a veth pair.
	bridged bool
}

// modelled says that a link does anything to packets.
func modelled(c impair.LinkConfig) bool {
	lossy := c.Loss.P > 0 || c.Loss.LossGood > 0
	return c.Delay > 0 || c.Jitter.Sigma > 0 || lossy || c.Duplicate > 0 || c.Reorder > 0 || c.Corrupt > 0 ||
		c.RateBitsPerSecond > 0 || c.MTUBytes > 0
}

// segments decides how each network is built. With standing, a person may pull any
// link at any time.
func segments(plan *topology.Plan, standing bool) ([]segment, error) {
	index := map[string]int{}
	all := make([]segment, len(plan.Networks))
	for i, n := range plan.Networks {
		index[n.Name] = i
		all[i].name = n.Name
	}
	pulled := map[string]bool{} // by node and interface
	for _, s := range plan.Steps {
		if s.Action.Kind == topology.ActionLinkDown || s.Action.Kind == topology.ActionLinkUp {
			pulled[s.Action.Node+" "+s.Action.Interface] = true
		}
	}
	for n := range plan.Nodes {
		node := &plan.Nodes[n]
		for i := range node.Interfaces {
			iface := &node.Interfaces[i]
			at, ok := index[iface.Network]
			if !ok {
				return nil, fmt.Errorf("node %q: interface %q is on network %q, which the lab does not have", node.Name, iface.Name, iface.Network)
			}
			s := &all[at]
			s.ends = append(s.ends, endpoint{n, i})
			s.switched = s.switched || modelled(iface.Link)
			// The two ends of a veth pair share one carrier, and links do not.
			s.bridged = s.bridged || standing || !iface.Up || pulled[node.Name+" "+iface.Name]
		}
	}
	for i := range all {
		s := &all[i]
		s.bridged = !s.switched && (s.bridged || len(s.ends) != 2)
	}
	return all, nil
}

// deviceNamesTaken are names that are somebody else's in a namespace: the loopback and
// our TUN, what Linux means every interface by, and what its tunnel drivers make in each
// namespace when they are there.
var deviceNamesTaken = []string{
	"lo", tunnelDevice, "all", "default",
	"sit0", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6tnl0", "ip6gre0", "bonding_masters",
}

// deviceNames are the kernel's names of a node's interfaces: their own where Linux
// can have them, else a beginning of the name and a hash of it.
func deviceNames(n *topology.Node) []string {
	names := make([]string, len(n.Interfaces))
	for i, iface := range n.Interfaces {
		names[i] = iface.Name
		if len(iface.Name) > deviceNameMax || slices.Contains(deviceNamesTaken, iface.Name) {
			sum := sha256.Sum256([]byte(iface.Name))
			names[i] = iface.Name[:min(len(iface.Name), deviceNameMax-7)] + "-" + hex.EncodeToString(sum[:3])
		}
	}
	return names
}

// tunnelDevice is node/host's TUN device.
const tunnelDevice = "ipsec0"

// hardwareAddress is an interface's MAC address: locally administered, and the same
// in every run.
func hardwareAddress(node, iface string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(node + "." + iface))
	return append(net.HardwareAddr{0x02}, sum[:5]...)
}

// refuse names everything in a plan that cannot be carried out here.
func refuse(plan *topology.Plan) error {
	var errs []error
	macs := map[string]string{}
	for n := range plan.Nodes {
		node := &plan.Nodes[n]
		switch node.Implementation {
		case topology.ImplementationIkelab, topology.ImplementationHost:
		default:
			errs = append(errs, fmt.Errorf("node %q: implementation %q cannot be run in namespaces; use %q or %q",
				node.Name, node.Implementation, topology.ImplementationIkelab, topology.ImplementationHost))
		}
		devices := map[string]string{}
		for i, device := range deviceNames(node) {
			name := node.Interfaces[i].Name
			if other, taken := devices[device]; taken {
				errs = append(errs, fmt.Errorf("node %q: interfaces %q and %q would both be called %q, because Linux has names of at most %d bytes; rename one of them",
					node.Name, other, name, device, deviceNameMax))
			}
			devices[device] = name
		}
		for _, iface := range node.Interfaces {
			if err := iface.Link.Validate(); err != nil {
				errs = append(errs, fmt.Errorf("node %q: interface %q: %w", node.Name, iface.Name, err))
			}
			name := node.Name + "." + iface.Name
			mac := hardwareAddress(node.Name, iface.Name).String()
			if other, taken := macs[mac]; taken {
				errs = append(errs, fmt.Errorf("interfaces %s and %s would have the same hardware address %s; rename one of them", other, name, mac))
			}
			macs[mac] = name
		}
	}
	return errors.Join(errs...)
}
