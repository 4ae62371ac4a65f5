package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// A flow's packet begins with a header of its own, from which the receiver
// knows which packet of which flow it is and when it left: the flow's tag, the
// packet's sequence number and the instant in nanoseconds, all big-endian. The
// rest is zero. The tag follows from the flow's name and not from its place in
// the lab, so that another flow changes no octet of this one's packets.
const (
	flowTagBytes    = 8
	flowHeaderBytes = flowTagBytes + 4 + 8
)

// flow is one flow of the plan while it runs.
type flow struct {
	topology.Flow
	tag      flowTag
	number   uint16 // from 1, in the plan's order; the echo requests' identifier
	from, to int    // nodes
	next     uint64 // number of the next packet, from 0
	meter    flowMeter
}

// flowTag is the beginning of SHA-256 over the flow's name.
type flowTag [flowTagBytes]byte

func newFlow(f topology.Flow, number uint16, from, to int) (*flow, error) {
	if f.SizeBytes < topology.FlowSizeBytesMin {
		return nil, fmt.Errorf("flow %q: size is %d octets; a packet's sequence number and time take %d, so let size be at least that",
			f.Name, f.SizeBytes, topology.FlowSizeBytesMin)
	}
	if f.Rate.Packets == 0 || f.Rate.Per <= 0 {
		return nil, fmt.Errorf("flow %q: rate is %d packets per %v; both must be positive", f.Name, f.Rate.Packets, f.Rate.Per)
	}
	name := sha256.Sum256([]byte(f.Name))
	return &flow{Flow: f, tag: flowTag(name[:]), number: number, from: from, to: to}, nil
}

// due is when the next packet leaves; ok is false when the flow is over.
func (f *flow) due() (at time.Duration, ok bool) {
	if f.Packets > 0 && f.next >= f.Packets || f.next >= topology.FlowPacketsMax {
		return 0, false
	}
	at = f.Start + f.Rate.At(f.next)
	return at, at >= f.Start && at < f.Stop
}

// send makes the next packet.
func (f *flow) send(now time.Duration) Order {
	f.next++
	sequence := f.meter.sent(now, f.SizeBytes)
	payload := make([]byte, f.SizeBytes)
	copy(payload, f.tag[:])
	binary.BigEndian.PutUint32(payload[flowTagBytes:], uint32(sequence))
	binary.BigEndian.PutUint64(payload[flowTagBytes+4:], uint64(now))
	if f.Protocol == topology.ProtocolICMP {
		return Order{Node: f.from, Input: node.EchoOut{
			Src: f.FromAddr, Dst: f.ToAddr, ID: f.number, Sequence: uint16(sequence), Payload: payload, Discover: true,
		}}
	}
	return Order{Node: f.from, Input: node.DatagramOut{
		Src:     netip.AddrPortFrom(f.FromAddr, f.SourcePort),
		Dst:     netip.AddrPortFrom(f.ToAddr, f.DestinationPort),
		Payload: payload, Discover: true,
	}}
}

// flowArrival is a flow's packet at its receiver.
type flowArrival struct {
	tag      flowTag
	sequence uint64
	sentAt   time.Duration
}

// parseFlowPayload reads the header of a flow's packet; ok is false when the
// payload is too short for one.
func parseFlowPayload(b []byte) (a flowArrival, ok bool) {
	if len(b) < flowHeaderBytes {
		return a, false
	}
	return flowArrival{
		tag:      flowTag(b),
		sequence: uint64(binary.BigEndian.Uint32(b[flowTagBytes:])),
		sentAt:   time.Duration(binary.BigEndian.Uint64(b[flowTagBytes+4:])),
	}, true
}

// receiver is the node at which packets of the flow are counted: for echo
// requests the sender, which gets the replies.
func (f *flow) receiver() int {
	if f.Protocol == topology.ProtocolICMP {
		return f.from
	}
	return f.to
}

// flowFigures are a flow's figures as of now.
func (r *Run) flowFigures(now time.Duration, f *flow) FlowResult {
	_, goesOn := f.due()
	inFlight, held := r.inFlight(now, f)
	figures := f.meter.figures(now, !goesOn, inFlight)
	figures.Held = held
	figures.Name, figures.Protocol, figures.From, figures.To = f.Name, f.Protocol, f.Flow.From, f.Flow.To
	return figures
}
