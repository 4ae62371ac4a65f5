package sim

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// nodeConfig turns one node of a plan into package node's configuration. listen
// are the UDP ports at which flows end; random makes the node's streams.
func nodeConfig(n topology.Node, listen []uint16, random func(label string) io.Reader) (node.Config, error) {
	c := node.Config{Name: n.Name, Forward: n.Forward, Listen: listen}
	for _, i := range n.Interfaces {
		c.Interfaces = append(c.Interfaces, node.Interface{
			Name: i.Name, Addresses: i.Addresses, Up: i.Up, MTUBytes: i.MTUBytes,
		})
	}
	for _, r := range n.Routes {
		c.Routes = append(c.Routes, node.Route{Prefix: r.Prefix, Via: r.Via, Interface: r.Interface})
	}
	switch n.Implementation {
	case topology.ImplementationHost:
		return c, nil
	case topology.ImplementationIkelab:
	default:
		return c, fmt.Errorf("node %q: implementation %q cannot be run; use %q or %q",
			n.Name, n.Implementation, topology.ImplementationIkelab, topology.ImplementationHost)
	}
	if len(n.Connections) == 0 {
		return c, nil // nobody to speak IKE with: a host
	}
	c.IKE = &ike.Config{Node: n.Name, Random: random}
	for _, connection := range n.Connections {
		c.IKE.Connections = append(c.IKE.Connections, ikeConnection(connection))
	}
	for _, s := range n.Secrets {
		secret := ike.Secret{Name: s.Name, Key: s.Key}
		for _, id := range s.IDs {
			secret.IDs = append(secret.IDs, ikeIdentity(id))
		}
		c.IKE.Secrets = append(c.IKE.Secrets, secret)
	}
	return c, nil
}

func ikeConnection(c topology.Connection) ike.Connection {
	out := ike.Connection{
		Name:       c.Name,
		LocalAddrs: c.LocalAddrs, RemoteAddrs: c.RemoteAddrs,
		LocalPort: c.LocalPort, RemotePort: c.RemotePort,
		Proposals:   c.Proposals,
		Local:       ike.Auth{ID: ikeIdentity(c.Local.ID)},
		Remote:      ike.Auth{ID: ikeIdentity(c.Remote.ID)},
		Encap:       c.Encap,
		DPDDelay:    c.DPDDelay,
		KeepAlive:   c.KeepAlive,
		KeyingTries: c.KeyingTries,
		Retransmit: ike.Retransmit{
			Timeout: c.Retransmit.Timeout, BaseMilli: c.Retransmit.BaseMilli,
			Tries: c.Retransmit.Tries, Limit: c.Retransmit.Limit,
		},
	}
	// The plan has every default filled in and says none with 0; package ike
	// takes 0 for its default and says none with a negative number.
	if c.KeepAlive == 0 {
		out.KeepAlive = -1
	}
	if c.KeyingTries == 0 {
		out.KeyingTries = -1
	}
	if c.Retransmit.Tries == 0 {
		out.Retransmit.Tries = -1
	}
	for _, child := range c.Children {
		out.Children = append(out.Children, ikeChild(child))
	}
	return out
}

func ikeChild(c topology.Child) ike.Child {
	out := ike.Child{
		Name:    c.Name,
		LocalTS: selectors(c.LocalTS), RemoteTS: selectors(c.RemoteTS),
		ESPProposals:        c.ESPProposals,
		ReplayWindowPackets: c.ReplayWindowPackets,
	}
	if c.ReplayWindowPackets == 0 {
		out.ReplayWindowPackets = -1 // none; 0 would be the data plane's default
	}
	switch c.StartAction {
	case topology.StartStart:
		out.StartAction = ike.StartStart
	case topology.StartTrap:
		out.StartAction = ike.StartTrap
	}
	return out
}

func selectors(in []topology.TrafficSelector) []wire.Selector {
	var out []wire.Selector
	for _, s := range in {
		out = append(out, wire.PrefixSelector(s.Prefix, s.Protocol, s.FromPort, s.ToPort))
	}
	return out
}

func ikeIdentity(id topology.Identity) ike.Identity {
	if id.IsZero() {
		return ike.Identity{}
	}
	return ike.Identity{Type: id.Type, Data: id.Data}
}

// scheduleLength is how long a connection's whole negotiation may take: its
// retransmission schedule, from the first transmission until it is given up, as
// often as it is tried; once where that is without end, because each try is a new IKE
// SA and nothing is left of the one before.
func scheduleLength(c topology.Connection) time.Duration {
	const waitMax = settings.RetransmitWaitMax
	var total time.Duration
	wait := c.Retransmit.Timeout
	for range c.Retransmit.Tries + 1 {
		cut := min(wait, waitMax)
		if c.Retransmit.Limit > 0 {
			cut = min(cut, c.Retransmit.Limit)
		}
		total += cut
		wait = min(wait, waitMax) * time.Duration(c.Retransmit.BaseMilli) / 1000
	}
	return total * time.Duration(max(c.KeyingTries, 1))
}

// configuredPolicies are the policies that a node's children make from the
// start: each child protects its traffic whatever its start_action (RFC 4301,
// section 4.4.1). An end without selectors is the connection's addresses, or the
// node's own; where a connection takes any peer, there is no policy yet.
func configuredPolicies(n topology.Node) []policy {
	var own []netip.Addr
	for _, i := range n.Interfaces {
		for _, a := range i.Addresses {
			own = append(own, a.Addr())
		}
	}
	var all []policy
	for _, c := range n.Connections {
		local := c.LocalAddrs
		if len(local) == 0 {
			local = own
		}
		for _, child := range c.Children {
			p := policy{connection: c.Name, child: child.Name, local: selectors(child.LocalTS), remote: selectors(child.RemoteTS)}
			if len(p.local) == 0 {
				p.local = hostSelectors(local)
			}
			if len(p.remote) == 0 {
				p.remote = hostSelectors(c.RemoteAddrs)
			}
			if len(p.local) > 0 && len(p.remote) > 0 {
				all = append(all, p)
			}
		}
	}
	return all
}

func hostSelectors(addrs []netip.Addr) []wire.Selector {
	var out []wire.Selector
	for _, a := range addrs {
		out = append(out, wire.PrefixSelector(netip.PrefixFrom(a, a.BitLen()), 0, 0, 65535))
	}
	return out
}
