package node

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// ikeEventsPerHandleMax bounds how often one input enters the machine; what is
// left waits for the Timeout that Deadline then asks for at once.
const ikeEventsPerHandleMax = 1024

// attachIKE gives the node its machine and its security policy.
func (n *Node) attachIKE(cfg ike.Config) error {
	if cfg.SourceAddr == nil {
		cfg.SourceAddr = func(remote netip.Addr) netip.Addr {
			src, _ := n.routedSource(remote)
			return src
		}
	}
	machine, err := ike.New(cfg)
	if err != nil {
		return err
	}
	n.machine = machine
	n.policies = newPolicies(&cfg)
	return n.refreshPolicies()
}

// boot is the node's first instant.
func (n *Node) boot() {
	n.tellIKE(ike.AddressChange{Local: n.addresses()})
	n.tellIKE(ike.Start{})
	n.runIKE()
}

// tellIKE queues an event for the machine; a plain host has none.
func (n *Node) tellIKE(ev ike.Event) {
	if n.machine != nil {
		n.ikeEvents = append(n.ikeEvents, ev)
	}
}

// runIKE lets the machine handle what is queued and carries its actions out.
func (n *Node) runIKE() {
	done := 0
	for ; done < len(n.ikeEvents) && done < ikeEventsPerHandleMax; done++ {
		for _, action := range n.machine.Step(n.now, n.ikeEvents[done]) {
			n.act(action)
		}
		// What waited leaves behind the message that tells the peer of the
		// association: a responder installs before it sends its response.
		for _, a := range n.installed {
			n.release(a.connection, a.child)
		}
		n.installed = n.installed[:0]
	}
	n.ikeEvents = slices.Delete(n.ikeEvents, 0, done)
}

func (n *Node) ikeDeadline() (at time.Duration, why string, ok bool) {
	if n.machine == nil {
		return 0, "", false
	}
	if len(n.ikeEvents) > 0 {
		return n.now, "events for the machine", true
	}
	return n.machine.Deadline()
}

// act carries out one action of the machine.
func (n *Node) act(action ike.Action) {
	switch action := action.(type) {
	case ike.Send:
		n.sendIKE(action)
	case ike.InstallChild:
		if err := n.install(&action.SA); err != nil {
			e := n.event(EventInstallFailed, fromInside)
			e.Problem, e.ESP.Connection, e.ESP.Child = err.Error(), action.SA.Connection, action.SA.Child
			n.tellIKE(ike.Lifetime{SPI: action.SA.SPIIn, Hard: true, NotInstalled: true})
			return
		}
		n.installed = append(n.installed, childName{action.SA.Connection, action.SA.Child})
	case ike.DeleteChild:
		n.uninstall(action)
	case ike.MoveChild:
		n.move(action)
	case ike.TrapRests:
		n.rest(action)
	case ike.Record:
		n.record(action)
	}
}

// record passes a record on. A CHILD_SA is passed on under the number by which the node's
// own events name it: the machine's is unique within one IKE SA alone.
func (n *Node) record(r ike.Record) {
	if r.Child != nil {
		if a := n.associations.inbound[r.Child.SPIIn]; a != nil {
			numbered := *r.Child
			numbered.Ordinal = a.ordinal
			r.Child = &numbered
		}
	}
	e := n.event(EventKind(r.Kind), fromInside)
	e.IKE = &r
	e.Child = r.Child
}

// sendIKE sends an IKE message or a NAT keepalive. IKE passes the policy by. Its
// datagrams may be fragmented on the way: an IKE_AUTH request has no smaller
// form before RFC 7383.
func (n *Node) sendIKE(s ike.Send) {
	src, dst := s.Local.Addr(), s.Remote.Addr()
	key := ikePacketKey(s)
	switch {
	case !src.IsValid() || src.Is4() != dst.Is4() || !n.routes.isLocal(src):
		n.dropKey(key, DropNoSource, fromInside)
		return
	case key.Bytes > 0xffff:
		n.dropKey(key, DropTooBig, fromInside)
		return
	}
	b, _ := IKEPacket(s, uint16(n.nextID(dst)))
	var p packet
	if reason := parse(b, &p); reason != "" {
		n.drop(&p, reason)
		return
	}
	p.origin = OriginIKE
	p.dontFragment = false
	if n.routes.isLocal(dst) {
		n.inputLocal(&p)
		return
	}
	iface, next, ok := n.routes.lookup(dst)
	if !ok {
		n.drop(&p, DropNoRoute)
		return
	}
	n.rememberSent(&p)
	mtu, _ := n.ownMTU(dst, n.interfaces[iface].mtu) // IPv6 is cut by its source alone
	n.transmit(&p, iface, next, mtu, s.Exchange)
}

// isIKEPort says whether a UDP port of the node is the machine's.
func (n *Node) isIKEPort(port uint16) bool {
	return n.machine != nil && (port == portIKE || port == portNATT)
}

// inputIKEPort handles a datagram for an IKE port.
func (n *Node) inputIKEPort(p *packet) {
	u, reason := checkUDP(p)
	switch {
	case reason != "":
		n.drop(p, reason)
	case u.DestinationPort() == portNATT:
		n.inputNATT(p, u)
	default:
		n.inputIKE(p, u, u.Payload())
	}
}

// inputNATT tells apart what shares port 4500: keepalives, IKE behind its
// marker, and ESP (RFC 3948 §2).
func (n *Node) inputNATT(p *packet, u header.UDP) {
	payload := u.Payload()
	switch {
	case esp.IsKeepalive(payload):
		// A keepalive has done its work on the way.
	case esp.IsNonESP(payload):
		n.inputIKE(p, u, payload[markerBytes:])
	default:
		n.unprotect(p, payload, true)
	}
}

// inputIKE hands an IKE message to the machine, and drops what is none.
func (n *Node) inputIKE(p *packet, u header.UDP, message []byte) {
	if !IsIKE(message) {
		n.drop(p, DropIKEMalformed)
		return
	}
	n.tellIKE(ike.Datagram{
		Local:   netip.AddrPortFrom(p.key.Dst, u.DestinationPort()),
		Remote:  netip.AddrPortFrom(p.key.Src, u.SourcePort()),
		Payload: message,
	})
}

// outOfSequence tells the machine, once, that an association is used up.
func (n *Node) outOfSequence(a *association, err error) {
	if errors.Is(err, esp.ErrSequenceExhausted) && !a.exhausted {
		a.exhausted = true
		n.tellIKE(ike.Lifetime{SPI: a.spiIn, Hard: true})
	}
}
