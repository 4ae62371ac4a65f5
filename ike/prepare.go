package ike

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/ike/suite"
)

// prepare checks a configuration, fills the zero fields and copies what it changes.
func prepare(cfg *Config) ([]*connection, error) {
	if cfg.Random == nil {
		return nil, fmt.Errorf("ike: node %q: Config.Random is nil; it must give the stream of a label", cfg.Node)
	}
	if len(cfg.Connections) > settings.ConnectionsPerNodeMax {
		return nil, fmt.Errorf("ike: node %q: %d connections, at most %d are allowed", cfg.Node, len(cfg.Connections), settings.ConnectionsPerNodeMax)
	}
	children := 0
	for _, c := range cfg.Connections {
		children += len(c.Children)
	}
	if children > settings.ChildrenPerNodeMax {
		return nil, fmt.Errorf("ike: node %q: %d children, at most %d are allowed", cfg.Node, children, settings.ChildrenPerNodeMax)
	}
	cfg.Limits = cfg.Limits.defaults()
	names := make(map[string]bool)
	conns := make([]*connection, len(cfg.Connections))
	var errs []error
	for i, c := range cfg.Connections {
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("ike: node %q: two connections are named %q; give one of them another name", cfg.Node, c.Name))
		}
		names[c.Name] = true
		if err := c.complete(); err != nil {
			errs = append(errs, fmt.Errorf("ike: node %q, connection %q: %w", cfg.Node, c.Name, err))
		}
		conns[i] = &connection{Connection: c, index: i, rests: make([]rest, len(c.Children))}
	}
	for _, s := range cfg.Secrets {
		if len(s.Key) == 0 {
			errs = append(errs, fmt.Errorf("ike: node %q, secret %q: the key is empty", cfg.Node, s.Name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return conns, nil
}

// defaults fills the zero fields.
func (l Limits) defaults() Limits {
	if l.HalfOpenMax == 0 {
		l.HalfOpenMax = halfOpenMaxDefault
	}
	if l.IKESAsMax == 0 {
		l.IKESAsMax = ikeSAsMaxDefault
	}
	if l.HalfOpenTimeout == 0 {
		l.HalfOpenTimeout = halfOpenTimeoutDefault
	}
	if l.ClosedLinger == 0 {
		l.ClosedLinger = closedLingerDefault
	}
	if l.UnprotectedRepliesPerSecondMax == 0 {
		l.UnprotectedRepliesPerSecondMax = unprotectedRepliesPerSecondMaxDefault
	}
	return l
}

// complete checks one connection and fills its zero fields.
func (c *Connection) complete() error {
	if c.RemotePort == 0 {
		c.RemotePort = portIKE
	}
	if c.LocalPort == 0 {
		c.LocalPort = portIKE
		if c.RemotePort == portNATT {
			c.LocalPort = portNATT
		}
	}
	var errs []error
	if (c.LocalPort != portIKE && c.LocalPort != portNATT) || c.LocalPort != c.RemotePort {
		errs = append(errs, fmt.Errorf("local_port %d and remote_port %d: must both be %d or both be %d", c.LocalPort, c.RemotePort, portIKE, portNATT))
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = keepAliveDefault
	}
	if c.KeyingTries == 0 {
		c.KeyingTries = 1
	}
	if c.KeyingTries > settings.KeyingTriesMax {
		errs = append(errs, fmt.Errorf("keyingtries %d: must be 1 to %d, or negative to try for ever", c.KeyingTries, settings.KeyingTriesMax))
	}
	if c.DPDDelay != 0 && c.DPDDelay < settings.RepeatedMin {
		errs = append(errs, fmt.Errorf("dpd_delay %s: must be at least %s; 0 turns it off", c.DPDDelay, settings.RepeatedMin))
	}
	if c.KeepAlive > 0 && c.KeepAlive < settings.RepeatedMin {
		errs = append(errs, fmt.Errorf("keep_alive %s: must be at least %s; a negative one turns it off", c.KeepAlive, settings.RepeatedMin))
	}
	if err := c.Retransmit.check(); err != nil {
		errs = append(errs, err)
	}
	c.Retransmit = c.Retransmit.defaults()
	errs = append(errs, checkProposals("proposals", c.Proposals, suite.ProtocolIKE))
	errs = append(errs, checkAddrs("local_addrs", c.LocalAddrs), checkAddrs("remote_addrs", c.RemoteAddrs))
	if len(c.Children) > settings.ChildrenPerConnectionMax {
		errs = append(errs, fmt.Errorf("%d children, at most %d are allowed", len(c.Children), settings.ChildrenPerConnectionMax))
	}
	names := make(map[string]bool)
	for _, child := range c.Children {
		if names[child.Name] {
			errs = append(errs, fmt.Errorf("two children are named %q; give one of them another name", child.Name))
		}
		names[child.Name] = true
		if err := checkProposals("esp_proposals", child.ESPProposals, suite.ProtocolESP); err != nil {
			errs = append(errs, fmt.Errorf("child %q: %w", child.Name, err))
		}
		if len(child.LocalTS) > settings.SelectorsPerEndMax || len(child.RemoteTS) > settings.SelectorsPerEndMax {
			errs = append(errs, fmt.Errorf("child %q: at most %d traffic selectors fit into one payload", child.Name, settings.SelectorsPerEndMax))
		}
		if child.StartAction != StartNone && len(c.RemoteAddrs) == 0 {
			errs = append(errs, fmt.Errorf("child %q: a start_action of start or trap needs remote_addrs on the connection", child.Name))
		}
	}
	return errors.Join(errs...)
}

// checkProposals reports proposals that cannot be offered.
func checkProposals(what string, ps []suite.Proposal, protocol suite.Protocol) error {
	if len(ps) == 0 {
		return fmt.Errorf("%s is empty: at least one proposal is needed", what)
	}
	if len(ps) > settings.ProposalsPerListMax {
		return fmt.Errorf("%s: %d proposals, at most %d are allowed", what, len(ps), settings.ProposalsPerListMax)
	}
	for _, p := range ps {
		if p.Protocol != protocol {
			return fmt.Errorf("%s: %q is a proposal for %s, %s is needed", what, p, p.Protocol, protocol)
		}
		if _, ok := p.Find(suite.TransformENCR); !ok {
			return fmt.Errorf("%s: %q has no encryption", what, p)
		}
		if protocol != suite.ProtocolIKE {
			continue
		}
		for _, t := range []suite.TransformType{suite.TransformPRF, suite.TransformKE} {
			if _, ok := p.Find(t); !ok {
				return fmt.Errorf("%s: %q has no %s", what, p, t.Noun())
			}
		}
	}
	return nil
}

func checkAddrs(what string, list []netip.Addr) error {
	if len(list) > settings.AddressesPerListMax {
		return fmt.Errorf("%s: %d addresses, at most %d are allowed", what, len(list), settings.AddressesPerListMax)
	}
	for _, a := range list {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("%s: %s cannot be an IKE peer's address", what, a)
		}
	}
	return nil
}
