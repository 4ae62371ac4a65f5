package sim

import (
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/impair"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/sim/trace"
)

// Kinds of the run's own records; all others are node.EventKind.
const (
	recordStep        = "step"
	recordNodeKilled  = "node-killed"
	recordNodeStarted = "node-started"
	recordProcStarted = "process-started"
	recordProcExited  = "process-exited"
	recordLinkDrop    = "link-drop"
	recordFlowSent    = "flow-sent"
	recordFlowArrival = "flow-arrival"
	recordDelivered   = "delivered"
	recordUnreachable = "next-hop-unreachable"
	recordExpectation = "expectation"
	recordInvariant   = "invariant"
	recordEnd         = "end"
)

// record adds a record to the trace; nodeIndex is -1 for the run itself.
func (r *Run) record(now time.Duration, nodeIndex int, kind string, fields ...trace.Field) {
	name := ""
	if nodeIndex >= 0 {
		name = r.plan.Nodes[nodeIndex].Name
	}
	r.trace.Add(trace.Record{At: now, Node: name, Kind: kind, Fields: fields})
}

// text makes a field of a string.
func text(key, value string) trace.Field { return trace.Field{Key: key, Value: value} }

// interfaceName is an interface's name in the plan.
func (r *Run) interfaceName(nodeIndex, iface int) string {
	return r.plan.Nodes[nodeIndex].Interfaces[iface].Name
}

// recordDrop says that a link dropped a packet.
func (r *Run) recordDrop(now time.Duration, nodeIndex, iface int, direction impair.Direction, s *sight, reason string) {
	r.record(now, nodeIndex, recordLinkDrop,
		text("interface", r.interfaceName(nodeIndex, iface)), text("direction", direction.String()), text("reason", reason),
		text("src", s.src.String()), text("dst", s.dst.String()),
		trace.Uint("protocol", s.protocol), trace.Int("bytes", len(s.bytes)))
}

// recordEvent writes a node's event down, with everything it says.
func (r *Run) recordEvent(now time.Duration, nodeIndex int, e *node.Event) {
	fields := make([]trace.Field, 0, 8)
	if e.Interface >= 0 && e.Interface < len(r.plan.Nodes[nodeIndex].Interfaces) {
		fields = append(fields, text("interface", r.interfaceName(nodeIndex, e.Interface)))
	}
	if e.Problem != "" {
		fields = append(fields, text("problem", e.Problem))
	}
	if e.Drop.Reason != "" {
		fields = append(fields, text("reason", string(e.Drop.Reason)))
	}
	if e.Drop.Packet.Src.IsValid() {
		fields = append(fields, text("packet", e.Drop.Packet.String()))
	}
	if e.ESP.SPI != 0 {
		fields = append(fields,
			text("connection", e.ESP.Connection), text("child", e.ESP.Child),
			trace.Uint("sa", e.ESP.Ordinal), trace.Uint("sequence", e.ESP.Sequence),
			trace.Bytes("iv", e.ESP.IV[:e.ESP.IVBytes]))
		if e.ESP.Inner.Src.IsValid() {
			fields = append(fields, text("inner", e.ESP.Inner.String()))
		}
	}
	if e.ICMP.To.IsValid() {
		fields = append(fields, text("to", e.ICMP.To.String()), trace.Uint("type", e.ICMP.Type), trace.Uint("code", e.ICMP.Code),
			trace.Uint("mtu", e.ICMP.MTU), text("about", e.ICMP.About.String()))
	}
	if e.IKE != nil {
		fields = appendIKE(fields, e.IKE)
	}
	r.trace.Add(trace.Record{At: now, Node: r.plan.Nodes[nodeIndex].Name, Kind: string(e.Kind), Fields: fields})
}

// appendIKE adds what a record of the IKE machine says, keys included: who
// knows the seed can compute them anyway, and so the digest covers them.
func appendIKE(fields []trace.Field, rec *ike.Record) []trace.Field {
	role := "responder"
	if rec.Initiator {
		role = "initiator"
	}
	if rec.Connection != "" {
		fields = append(fields, text("connection", rec.Connection))
	}
	if rec.IKE != 0 {
		fields = append(fields, trace.Uint("ike", rec.IKE), text("role", role))
	}
	if rec.Local.IsValid() {
		fields = append(fields, text("local", rec.Local.String()))
	}
	if rec.Remote.IsValid() {
		fields = append(fields, text("remote", rec.Remote.String()))
	}
	if x := rec.Exchange; x != nil {
		fields = append(fields,
			text("exchange", x.Type.String()), trace.Uint("message_id", x.MessageID), trace.Bool("response", x.Response),
			trace.Int("transmission", x.Transmission), text("spi_i", x.SPIi.String()), text("spi_r", x.SPIr.String()),
			text("payloads", strings.Join(x.Payloads, ", ")))
	}
	for _, f := range rec.Fields {
		fields = append(fields, trace.Field(f))
	}
	if k := rec.Keys; k != nil {
		fields = append(fields,
			text("spi_i", k.SPIi.String()), text("spi_r", k.SPIr.String()),
			trace.Bytes("sk_ei", k.SKei), trace.Bytes("sk_er", k.SKer),
			trace.Bytes("sk_ai", k.SKai), trace.Bytes("sk_ar", k.SKar))
	}
	if c := rec.Child; c != nil {
		fields = append(fields,
			trace.Uint("sa", c.Ordinal), trace.Bool("encap", c.Encap),
			trace.Bytes("encr_in", c.In.Encr), trace.Bytes("integ_in", c.In.Integ),
			trace.Bytes("encr_out", c.Out.Encr), trace.Bytes("integ_out", c.Out.Integ))
	}
	return fields
}
