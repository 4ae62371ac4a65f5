package ike

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// childSA is a CHILD_SA as its IKE SA keeps it.
type childSA struct {
	ike           *ikeSA
	child         string // name of its configuration
	ordinal       uint64 // within the IKE SA, from 1
	spiIn, spiOut uint32
	ending        bool // this end's Delete is out or waits
	deleting      bool // this end's Delete is out
	outGone       bool // the peer's Delete crossed ours: only the inbound SA is left
	failed        bool // never installed here; the peer's half is to be deleted
}

// hasAny reports whether the IKE SA has a CHILD_SA that is to stay.
func (sa *ikeSA) hasAny() bool {
	return slices.ContainsFunc(sa.children, func(c *childSA) bool { return !c.ending && !c.failed })
}

// has reports whether it has one of a name.
func (sa *ikeSA) has(child string) bool {
	return slices.ContainsFunc(sa.children, func(c *childSA) bool { return c.child == child && !c.ending && !c.failed })
}

// espSPI is an ESP SPI as people write it.
func espSPI(spi uint32) string { return fmt.Sprintf("%08x", spi) }

func espSPIBytes(spi uint32) []byte { return binary.BigEndian.AppendUint32(nil, spi) }

// espSPIValue reads an SPI whose length package wire has checked.
func espSPIValue(b []byte) uint32 {
	if len(b) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// reserveChild makes a CHILD_SA with an inbound SPI that no other one has. The
// first 256 SPIs are reserved (RFC 4303 §2.1).
func (m *Machine) reserveChild(sa *ikeSA) (*childSA, bool) {
	if len(sa.children) >= childSAsPerIKEMax {
		return nil, false
	}
	sa.childCount++
	c := &childSA{ike: sa, ordinal: sa.childCount}
	r := m.stream(sa, fmt.Sprintf("child/%d", c.ordinal), "spi")
	for range spiDrawsMax {
		c.spiIn = binary.BigEndian.Uint32(readFull(r, 4))
		if _, taken := m.inboundSPIs[c.spiIn]; !taken && c.spiIn > reservedSPIMax {
			m.inboundSPIs[c.spiIn] = c
			return c, true
		}
	}
	return nil, false
}

// reservedSPI says what is wrong with the peer's SPI, "" for nothing.
func reservedSPI(spi uint32) string {
	if spi <= reservedSPIMax {
		return fmt.Sprintf("the peer's SPI %s is reserved (RFC 4303 §2.1)", espSPI(spi))
	}
	return ""
}

// freeSPI gives an inbound SPI back.
func (m *Machine) freeSPI(c *childSA) {
	if m.inboundSPIs[c.spiIn] == c {
		delete(m.inboundSPIs, c.spiIn)
	}
}

// dropPending forgets the CHILD_SA of an IKE_AUTH that failed.
func (m *Machine) dropPending(sa *ikeSA) {
	if sa.pending != nil {
		m.freeSPI(sa.pending)
		sa.pending = nil
	}
}

// install hands a CHILD_SA to the data plane. tsi and tsr are the initiator's and
// the responder's selectors of the exchange that made it.
func (m *Machine) install(sa *ikeSA, c *childSA, cfg Child, chosen suite.Proposal, spiOut uint32, tsi, tsr []wire.Selector) bool {
	in, out, err := m.deriveChild(sa, chosen, c.ordinal)
	if err != nil {
		m.freeSPI(c)
		if sa.initiator {
			m.childRefused(sa, cfg.Name, err.Error())
		} else {
			m.childFailed(sa, cfg.Name, err.Error())
		}
		return false
	}
	c.spiOut = spiOut
	esn, _ := chosen.Find(suite.TransformESN)
	localTS, remoteTS := tsi, tsr
	if !sa.initiator {
		localTS, remoteTS = tsr, tsi
	}
	local, remote := sa.tunnelEnds()
	child := ChildSA{
		Connection: sa.conn.Name, Child: cfg.Name, IKE: sa.id, Ordinal: c.ordinal, Initiator: sa.initiator,
		Local: local, Remote: remote, Encap: sa.nat.encap(),
		SPIIn: c.spiIn, SPIOut: c.spiOut, Proposal: chosen, ESN: esn.ID == suite.ESNYes,
		In: in, Out: out, LocalTS: localTS, RemoteTS: remoteTS, ReplayWindowPackets: cfg.ReplayWindowPackets,
	}
	sa.children = append(sa.children, c)
	if r := sa.conn.restOf(cfg.Name); r != nil {
		r.succeed(m.now)
	}
	m.emit(InstallChild{SA: child})
	m.record(sa, Record{Kind: RecordChildInstalled, Child: &child, Fields: []Field{
		{"child", cfg.Name}, {"spi-in", espSPI(c.spiIn)}, {"spi-out", espSPI(c.spiOut)}, {"proposal", chosen.String()},
		{"local-ts", describeSelectors(localTS)}, {"remote-ts", describeSelectors(remoteTS)},
	}})
	return true
}

// tunnelEnds are the ends of the SA's tunnels. Encapsulated ESP runs between ports
// 4500 (RFC 3948 §2.1), even should an initiator have stayed on 500.
func (sa *ikeSA) tunnelEnds() (local, remote netip.AddrPort) {
	local, remote = sa.local, sa.remote
	if sa.nat.encap() && local.Port() != portNATT {
		local = netip.AddrPortFrom(local.Addr(), portNATT)
		remote = netip.AddrPortFrom(remote.Addr(), portNATT)
	}
	return local, remote
}

// removeChild takes a CHILD_SA, or with a zero SPI one direction of it, out of the
// data plane; once neither direction is left it is forgotten.
func (m *Machine) removeChild(sa *ikeSA, c *childSA, spiIn, spiOut uint32, why string) {
	if c.outGone {
		spiOut = 0
	}
	if !c.failed {
		m.emit(DeleteChild{Connection: sa.conn.Name, Child: c.child, SPIIn: spiIn, SPIOut: spiOut, Reason: why})
	}
	if spiIn == 0 {
		c.outGone = true
		return
	}
	m.freeSPI(c)
	if i := slices.Index(sa.children, c); i >= 0 {
		sa.children = slices.Delete(sa.children, i, i+1)
	}
	if !c.failed {
		m.record(sa, Record{Kind: RecordChildDeleted, Fields: []Field{
			{"child", c.child}, {"spi-in", espSPI(c.spiIn)}, {"spi-out", espSPI(c.spiOut)}, {"reason", why},
		}})
	}
}

// childFailed records a CHILD_SA that did not come about.
func (m *Machine) childFailed(sa *ikeSA, child, why string, more ...Field) {
	m.record(sa, Record{Kind: RecordChildFailed, Fields: append([]Field{{"child", child}, {"reason", why}}, more...)})
}

// childFields shows both sides' lists of a CHILD_SA that failed; nil lists are left out.
func childFields(own, peer []suite.Proposal, localTS, remoteTS, peerLocalTS, peerRemoteTS []wire.Selector) []Field {
	var out []Field
	if own != nil {
		out = append(out, Field{"local-proposals", describeProposals(own)})
	}
	if peer != nil {
		out = append(out, Field{"remote-proposals", describeProposals(peer)})
	}
	out = append(out, Field{"local-ts", describeSelectors(localTS)}, Field{"remote-ts", describeSelectors(remoteTS)})
	if peerLocalTS != nil {
		out = append(out, Field{"peer-local-ts", describeSelectors(peerLocalTS)})
	}
	if peerRemoteTS != nil {
		out = append(out, Field{"peer-remote-ts", describeSelectors(peerRemoteTS)})
	}
	return out
}

// lifetime handles the data plane's limits. Without rekeying a soft one changes
// nothing, and a hard one deletes.
func (m *Machine) lifetime(ev Lifetime) {
	c := m.inboundSPIs[ev.SPI]
	if c == nil || !ev.Hard || c.ending || !c.ike.up() {
		return
	}
	m.touch(c.ike)
	c.ending = true
	why := "its lifetime is over"
	if ev.NotInstalled {
		why = "the data plane could not install it"
		m.childLost(c)
	}
	c.ike.queue(task{kind: taskDeleteChild, child: c, spi: c.spiIn, reason: why})
}

// createChildRequest refuses CREATE_CHILD_SA as RFC 7296 §4 has it for those who do
// not speak it.
func (m *Machine) createChildRequest(sa *ikeSA, d Datagram, h wire.Header) {
	m.respond(sa, d, h, []wire.Payload{&wire.Notify{Kind: wire.NoAdditionalSAs}})
}
