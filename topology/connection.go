package topology

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

func (l *loader) planConnection(it *item) Connection {
	c := Connection{
		Name:        it.label,
		LocalAddrs:  l.addresses(it, "local_addrs"),
		RemoteAddrs: l.addresses(it, "remote_addrs"),
		LocalPort:   uint16(value[uint64](it, "local_port")),
		RemotePort:  uint16(value[uint64](it, "remote_port")),
		Version:     int(value[uint64](it, "version")),
		Proposals:   l.proposals(it, "proposals", suite.DefaultIKE),
		Encap:       value[bool](it, "encap"),
		DPDDelay:    value[time.Duration](it, "dpd_delay"),
		KeepAlive:   value[time.Duration](it, "keep_alive"),
		KeyingTries: int(value[uint64](it, "keyingtries")),
		Retransmit: Retransmit{
			Timeout: value[time.Duration](it, "retransmit_timeout"),
			// An exact decimal times 1000: Round only undoes the binary fraction.
			BaseMilli: int(math.Round(value[float64](it, "retransmit_base") * 1000)),
			Tries:     int(value[uint64](it, "retransmit_tries")),
			Limit:     value[time.Duration](it, "retransmit_limit"),
		},
		Local:  l.auth(it, "local"),
		Remote: l.auth(it, "remote"),
	}
	l.checkLocalAddrs(it)
	l.checkPorts(it, &c)
	children := it.children("child")
	if len(children) > settings.ChildrenPerConnectionMax {
		l.errorf(children[settings.ChildrenPerConnectionMax].rng, "Too many children", "A connection has at most %d children.", settings.ChildrenPerConnectionMax)
	}
	for i, child := range children {
		child.index = i
		c.Children = append(c.Children, l.planChild(it, child, &c))
	}
	l.checkSecondChild(children, c.Children)
	if len(children) == 0 {
		l.warnf(it.rng, "Connection without a child", "connection %q protects no traffic; give it a child block.", it.label)
	}
	return c
}

// checkPorts refuses ports that IKE does not use with each other: a peer at 500 floats
// to 4500 with both (RFC 7296 §2.23), so one of each cannot be.
func (l *loader) checkPorts(it *item, c *Connection) {
	at := it.rng
	for _, name := range []string{"local_port", "remote_port"} {
		a := it.attr(name)
		if !a.ok {
			return
		}
		if !a.set {
			continue
		}
		at = a.rng
		if p := value[uint64](it, name); p != portIKE && p != portNATT {
			l.errorf(a.rng, "Invalid "+name, "%s is %d; IKE is spoken at %d, or at %d with ESP in UDP from the beginning.", name, p, portIKE, portNATT)
			return
		}
	}
	if c.LocalPort != c.RemotePort {
		l.errorf(at, "Different ports", "local_port is %d and remote_port is %d; both are %d or both are %d.", c.LocalPort, c.RemotePort, portIKE, portNATT)
	}
}

// auth answers one end's authentication. A block that is left out has the defaults.
func (l *loader) auth(it *item, side string) Auth {
	a := Auth{Method: AuthPSK}
	for _, b := range it.children(side) {
		a.Method, a.ID = value[string](b, "auth"), value[Identity](b, "id")
	}
	return a
}

// addresses answers a list of addresses, each once. %any beside others is refused.
func (l *loader) addresses(it *item, name string) []netip.Addr {
	c := it.attr(name)
	if !c.ok || !c.set {
		return nil
	}
	var out []netip.Addr
	for _, e := range c.typed.([]located) {
		a := e.typed.(netip.Addr)
		for _, o := range out {
			if o == a {
				l.errorf(e.rng, "Duplicate address "+a.String(), "It is in %s twice; take one out.", name)
			}
		}
		out = append(out, a)
	}
	return out
}

// checkLocalAddrs reports local addresses that the node does not have.
func (l *loader) checkLocalAddrs(it *item) {
	c := it.attr("local_addrs")
	if !c.ok || !c.set {
		return
	}
	for _, e := range c.typed.([]located) {
		a := e.typed.(netip.Addr)
		has := false
		for _, i := range it.parent.children("interface") {
			addresses, ok := i.addresses()
			has = has || !ok
			for _, p := range addresses {
				has = has || p.Addr() == a
			}
		}
		if !has {
			l.errorf(e.rng, "Not an address of this node", "No interface of %s has %s; write one of its interfaces, or leave local_addrs out.", it.parent.path, a)
		}
	}
}

// proposals answers a list of proposals, or the default one.
func (l *loader) proposals(it *item, name string, fallback func() []suite.Proposal) []suite.Proposal {
	c := it.attr(name)
	if !c.ok {
		return nil
	}
	if !c.set {
		return fallback()
	}
	var out []suite.Proposal
	for _, e := range c.typed.([]located) {
		out = append(out, e.typed.(suite.Proposal))
	}
	switch {
	case len(out) == 0:
		c.src.bad("%s is empty; leave it out for the default, or write a proposal.", name)
	case len(out) > settings.ProposalsPerListMax:
		c.src.bad("%s has %d proposals; at most %d are allowed.", name, len(out), settings.ProposalsPerListMax)
	}
	return out
}

func (l *loader) planChild(conn, it *item, c *Connection) Child {
	child := Child{
		Name:                it.label,
		LocalTS:             l.trafficSelectors(it, "local_ts"),
		RemoteTS:            l.trafficSelectors(it, "remote_ts"),
		ESPProposals:        l.proposals(it, "esp_proposals", suite.DefaultESP),
		StartAction:         value[string](it, "start_action"),
		ReplayWindowPackets: int(value[uint64](it, "replay_window")),
	}
	value[string](it, "mode")
	if child.StartAction != StartNone && len(c.RemoteAddrs) == 0 && conn.attr("remote_addrs").ok && it.attr("start_action").ok {
		l.errorf(it.attr("start_action").rng, "Nobody to start with", "The connection has no remote_addrs, so it can only respond; give it some, or take start_action out.")
	}
	if child.ReplayWindowPackets == 0 && it.attr("replay_window").ok {
		l.withoutESN(it, &child)
	}
	l.checkPairs(it, child, c.RemoteAddrs)
	return child
}

// checkSecondChild refuses a second child that this end would begin: IKE_AUTH makes one,
// and CREATE_CHILD_SA, which makes the others (RFC 7296 §1.3), is still to come. A
// responder may have many to choose from.
func (l *loader) checkSecondChild(items []*item, children []Child) {
	begun := false
	for i, c := range children {
		switch {
		case c.StartAction == StartNone || !items[i].attr("start_action").ok:
		case !begun:
			begun = true
		default:
			l.report(hcl.DiagError, items[i].attr("start_action").rng, refusal{}, "A second child that this end begins is not available yet",
				"CREATE_CHILD_SA comes with a later version. Give the child a connection of its own, or take start_action out.")
		}
	}
}

// withoutESN takes extended sequence numbers out of a child without replay window,
// which RFC 4303 §2.2.1 does not allow together; where the file asks for them, it is
// told so.
func (l *loader) withoutESN(it *item, child *Child) {
	asked := it.attr("esp_proposals")
	esn := suite.Transform{Type: suite.TransformESN, ID: suite.ESNYes}
	for i, p := range child.ESPProposals {
		if !slices.Contains(p.Transforms, esn) {
			continue
		}
		if asked.set {
			l.errorf(it.attr("replay_window").rng, "Extended sequence numbers without a replay window",
				"%q asks for esn, which needs a replay window (RFC 4303 §2.2.1): set one, or take esn out.", p.String())
			return
		}
		child.ESPProposals[i] = p.Clone()
		child.ESPProposals[i].Transforms = slices.DeleteFunc(child.ESPProposals[i].Transforms,
			func(t suite.Transform) bool { return t == esn })
	}
}

// checkPairs reports selectors of which no pair can match a packet: of different
// families or protocols, say. A responder would never choose such a child, and an
// initiator be refused (RFC 7296 §2.9).
func (l *loader) checkPairs(it *item, c Child, remoteAddrs []netip.Addr) {
	local, remote := pairable(c.LocalTS, remoteAddrs), pairable(c.RemoteTS, remoteAddrs)
	if len(local) == 0 || len(remote) == 0 || !it.attr("local_ts").ok || !it.attr("remote_ts").ok {
		return
	}
	if matched, _ := wire.PairUp(local, remote); len(matched) > 0 {
		return
	}
	at := it.attr("remote_ts")
	if !at.set {
		at = it.attr("local_ts")
	}
	for i := range local {
		local[i].IPProtocol, local[i].StartPort, local[i].EndPort = 0, 0, 65535
	}
	for i := range remote {
		remote[i].IPProtocol, remote[i].StartPort, remote[i].EndPort = 0, 0, 65535
	}
	if matched, _ := wire.PairUp(local, remote); len(matched) == 0 {
		l.errorf(at.rng, "Traffic selectors of different families", "local_ts and remote_ts have no address family in common; nothing can match both. What is left out is the connection's address of that end.")
		return
	}
	l.errorf(at.rng, "Traffic selectors of different protocols", "local_ts and remote_ts have no protocol, or no ICMP type, in common; no packet can match both.")
}

// pairable are selectors as packets are matched; without any the end's IKE address
// decides, of which the family is known when the peer's is.
func pairable(list []TrafficSelector, peers []netip.Addr) []wire.Selector {
	var out []wire.Selector
	for _, s := range list {
		out = append(out, wire.PrefixSelector(s.Prefix, s.Protocol, s.FromPort, s.ToPort))
	}
	if len(list) > 0 {
		return out
	}
	for _, a := range peers {
		out = append(out, wire.PrefixSelector(netip.PrefixFrom(a, 0), 0, 0, 65535))
	}
	return out
}

// trafficSelectors answers a policy; nil is "dynamic".
func (l *loader) trafficSelectors(it *item, name string) []TrafficSelector {
	c := it.attr(name)
	if !c.ok || !c.set {
		return nil
	}
	elements := c.typed.([]located)
	var out []TrafficSelector
	for _, e := range elements {
		ts := e.typed.(TrafficSelector)
		if ts.Prefix.IsValid() {
			out = append(out, ts)
		} else if len(elements) > 1 {
			l.refuse(e.rng, "\"dynamic\" beside other traffic selectors")
		}
	}
	switch {
	case len(elements) == 0:
		c.src.bad("%s is empty; leave it out for \"dynamic\".", name)
	case len(out) > settings.SelectorsPerEndMax:
		c.src.bad("%s has %d selectors; at most %d are allowed (RFC 7296, section 3.13).", name, len(out), settings.SelectorsPerEndMax)
	}
	return out
}

// planSecrets hands the secrets to the nodes that may use them and reports
// connections that have none.
func (l *loader) planSecrets(p *Plan) {
	type entry struct {
		secret Secret
		nodes  []*item // nil: any
		item   *item
		used   bool
	}
	var all []*entry
	sound := true // no secret is left out because of a mistake
	for _, it := range l.all("secret") {
		c := it.attr("secret")
		if !c.ok || !c.set || !it.attr("ids").ok || !it.attr("nodes").ok {
			sound = false
			continue
		}
		key, err := secretKey(c.typed.(string))
		if err != nil {
			c.src.bad("%s.", err)
			sound = false
			continue
		}
		e := &entry{secret: Secret{Name: it.name, Key: key}, item: it}
		for _, id := range value[[]located](it, "ids") {
			e.secret.IDs = append(e.secret.IDs, id.typed.(Identity))
		}
		for _, n := range value[[]located](it, "nodes") {
			e.nodes = append(e.nodes, n.typed.(*item))
		}
		all = append(all, e)
	}
	// 200 road warriors with a secret each: find by identity, not by trying all.
	byID := map[string][]int{}
	var general []int
	for i, e := range all {
		if len(e.secret.IDs) == 0 || slices.ContainsFunc(e.secret.IDs, Identity.IsZero) {
			general = append(general, i) // "%any" is anyone
		}
		for _, id := range e.secret.IDs {
			byID[idKey(id)] = append(byID[idKey(id)], i)
		}
	}
	for _, it := range l.all("node") {
		if it.index >= len(p.Nodes) {
			continue
		}
		n := &p.Nodes[it.index]
		mayUse := func(e *entry) bool {
			if e.nodes == nil {
				return true
			}
			for _, o := range e.nodes {
				if o == it {
					return true
				}
			}
			return false
		}
		wanted := make([]bool, len(all))
		for i, c := range it.children("connection") {
			conn := n.Connections[i]
			found := false
			take := func(indices []int) {
				for _, k := range indices {
					if mayUse(all[k]) {
						wanted[k], found = true, true
					}
				}
			}
			take(general)
			peers := l.identitiesOf(conn.Remote.ID, conn.RemoteAddrs)
			if len(peers) == 0 {
				// Anyone may come: any secret may be theirs.
				for k := range all {
					take([]int{k})
				}
			}
			for _, id := range peers {
				take(byID[idKey(id)])
			}
			for _, id := range l.identitiesOf(conn.Local.ID, l.localAddresses(c, conn)) {
				take(byID[idKey(id)])
			}
			if !found && sound && l.identified(c) && !l.refusedAuth(c) {
				who := conn.Remote.ID.Text
				if who == "" && len(peers) > 0 {
					who = peers[0].Text
				}
				if who == "" {
					who = "the peer's identity"
				}
				l.errorf(c.rng, "Connection without a secret", "No secret is for %s at %s; declare one: secret \"psk\" { ids = [%q], secret = \"…\" }.", conn.Name, it.path, who)
			}
		}
		for k, use := range wanted {
			if use {
				all[k].used = true
				n.Secrets = append(n.Secrets, all[k].secret)
			}
		}
	}
	for _, e := range all {
		if !e.used {
			l.warnf(e.item.rng, fmt.Sprintf("Secret %q is not used", e.item.name), "No connection of a node that may use it has one of its identities.")
		}
	}
}

// identified says that what a connection says of its ends is not wrong.
func (l *loader) identified(c *item) bool {
	ok := c.attr("remote_addrs").ok && c.attr("local_addrs").ok
	for _, side := range []string{"local", "remote"} {
		for _, b := range c.children(side) {
			ok = ok && b.attr("id").ok && b.attr("auth").ok
		}
	}
	return ok
}

// refusedAuth says that a connection asks for a method that was refused.
func (l *loader) refusedAuth(c *item) bool {
	for _, side := range []string{"local", "remote"} {
		for _, b := range c.children(side) {
			if a := b.attr("auth"); a.set && a.src.l != nil && !strings.Contains(l.textOf(a.src.rng), AuthPSK) {
				return true
			}
		}
	}
	return false
}

// localAddresses are those that a connection's own end may have.
func (l *loader) localAddresses(it *item, c Connection) []netip.Addr {
	if len(c.LocalAddrs) > 0 {
		return c.LocalAddrs
	}
	var out []netip.Addr
	for _, i := range it.parent.children("interface") {
		addresses, _ := i.addresses()
		for _, p := range addresses {
			out = append(out, p.Addr())
		}
	}
	return out
}

// identitiesOf answers what an end may call itself: its identity, or its addresses.
func (l *loader) identitiesOf(id Identity, addresses []netip.Addr) []Identity {
	if !id.IsZero() {
		return []Identity{id}
	}
	var out []Identity
	for _, a := range addresses {
		if one, err := parseIdentity(a.String()); err == nil {
			out = append(out, one)
		}
	}
	return out
}

// idKey is equal for equal identities; names are compared without regard to case.
func idKey(id Identity) string {
	data := id.Data
	if id.Type == wire.IDTypeFQDN || id.Type == wire.IDTypeRFC822Addr {
		data = bytes.ToLower(data)
	}
	return string(rune(id.Type)) + string(data)
}
