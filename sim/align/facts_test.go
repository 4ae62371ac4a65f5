package align

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/sim"
)

// message is an event about a message.
func message(kind ike.RecordKind, transmission int, fields ...ike.Field) sim.ProtocolEvent {
	return sim.ProtocolEvent{
		At: time.Second, Kind: kind, Facts: fields,
		Message: &ike.Exchange{
			Type: wire.ExchangeInformational, MessageID: 2, Initiator: true, Transmission: transmission,
			SPIi: spi(1), SPIr: spi(2), Protected: true, Payloads: []string{"D(IKE)"},
		},
	}
}

// TestWhatIsCompared: everything that an event says is compared but time.
func TestWhatIsCompared(t *testing.T) {
	field := func(key, value string) ike.Field { return ike.Field{Key: key, Value: value} }
	changed := func(change func(*sim.ProtocolEvent)) sim.ProtocolEvent {
		e := message(ike.RecordSent, 0, field("local", "192.0.2.1:500"))
		change(&e)
		return e
	}
	base := changed(func(*sim.ProtocolEvent) {})
	for _, tc := range []struct {
		name string
		a, b sim.ProtocolEvent
		want []FactDifference
	}{
		{"the same", base, base, nil},
		{"instant", base, changed(func(e *sim.ProtocolEvent) { e.At++ }), nil},
		{"exchange", base, changed(func(e *sim.ProtocolEvent) { e.Message.Type = wire.ExchangeIKEAuth }), []FactDifference{{"exchange", "INFORMATIONAL", "IKE_AUTH"}}},
		{"message ID", base, changed(func(e *sim.ProtocolEvent) { e.Message.MessageID = 3 }), []FactDifference{{"message-id", "2", "3"}}},
		{"direction", base, changed(func(e *sim.ProtocolEvent) { e.Message.Response = true }), []FactDifference{{"direction", "request", "response"}}},
		{"sender", base, changed(func(e *sim.ProtocolEvent) { e.Message.Initiator = false }), []FactDifference{{"sender", "initiator", "responder"}}},
		{"retransmission", base, changed(func(e *sim.ProtocolEvent) { e.Message.Transmission = 1 }), []FactDifference{{"retransmission", "0", "1"}}},
		{"initiator's SPI", base, changed(func(e *sim.ProtocolEvent) { e.Message.SPIi = spi(9) }), []FactDifference{{"spi-i", "0000000000000001", "0000000000000009"}}},
		{"responder's SPI", base, changed(func(e *sim.ProtocolEvent) { e.Message.SPIr = spi(9) }), []FactDifference{{"spi-r", "0000000000000002", "0000000000000009"}}},
		{"protection", base, changed(func(e *sim.ProtocolEvent) { e.Message.Protected = false }), []FactDifference{{"protected", "true", "false"}}},
		{"payload", base, changed(func(e *sim.ProtocolEvent) { e.Message.Payloads = []string{"D(ESP 1 SPI)"} }), []FactDifference{{"payload 1", "D(IKE)", "D(ESP 1 SPI)"}}},
		{"a payload more", base, changed(func(e *sim.ProtocolEvent) { e.Message.Payloads = append(e.Message.Payloads, "N(x)") }), []FactDifference{{"payloads", "1", "2"}, {"payload 2", "", "N(x)"}}},
		{"field", base, changed(func(e *sim.ProtocolEvent) { e.Facts = []ike.Field{field("local", "192.0.2.1:4500")} }), []FactDifference{{"local", "192.0.2.1:500", "192.0.2.1:4500"}}},
		{"no field", base, changed(func(e *sim.ProtocolEvent) { e.Facts = nil }), []FactDifference{{"local", "192.0.2.1:500", ""}}},
		{"an empty field", base, changed(func(e *sim.ProtocolEvent) { e.Facts = append(e.Facts, field("reason", "")) }), []FactDifference{{"number of facts", "11", "12"}}},
		{"how long a retransmission waits", message(ike.RecordRetransmit, 1, field("transmission", "1"), field("next", "4s")),
			message(ike.RecordRetransmit, 1, field("transmission", "1"), field("next", "4.1s")), nil},
		{"where a retry goes", sim.ProtocolEvent{Kind: ike.RecordIKERetry, Facts: []ike.Field{field("next", "192.0.2.1")}},
			sim.ProtocolEvent{Kind: ike.RecordIKERetry, Facts: []ike.Field{field("next", "192.0.2.2")}}, []FactDifference{{"next", "192.0.2.1", "192.0.2.2"}}},
		{"after how long one gives up", message(ike.RecordGiveUp, 5, field("transmissions", "6"), field("after", "165s")),
			message(ike.RecordGiveUp, 5, field("transmissions", "6"), field("after", "165.0001s")), nil},
		{"how long the peer was silent", sim.ProtocolEvent{Kind: ike.RecordLiveness, Facts: []ike.Field{field("reason", "silent for 3s")}},
			sim.ProtocolEvent{Kind: ike.RecordLiveness, Facts: []ike.Field{field("reason", "silent for 3.01s")}}, nil},
		{"why the peer is asked", sim.ProtocolEvent{Kind: ike.RecordLiveness, Facts: []ike.Field{field("reason", "silent for 3s")}},
			sim.ProtocolEvent{Kind: ike.RecordLiveness, Facts: []ike.Field{field("reason", "command")}}, []FactDifference{{"reason", "silent for a while", "command"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := event(&tc.a), event(&tc.b)
			if d := cmp.Diff(tc.want, Disagreements(&a, &b)); d != "" {
				t.Errorf("differences (-want +got):\n%s", d)
			}
			if same(&a, &b) != (tc.want == nil) {
				t.Errorf("same is %v", same(&a, &b))
			}
		})
	}
}

// TestRetransmission: a difference that is one says so, and what had become of the transmission before it.
func TestRetransmission(t *testing.T) {
	side := func(name string, rows []sim.ExchangeRow, events ...sim.ProtocolEvent) Side {
		return Side{
			Name:     name,
			Protocol: sim.Protocol{SAs: []sim.ProtocolSA{{Node: "gw-a", SPIi: spi(1), Initiator: true, Connection: "to-b", Peer: "gw-b"}}, Events: events},
			Result:   &sim.Result{Exchanges: rows, Ended: time.Minute},
		}
	}
	sent := message(ike.RecordSent, 0)
	again := message(ike.RecordRetransmit, 1)
	again.At = 5 * time.Second
	alive := sim.ProtocolEvent{At: 2 * time.Second, Kind: ike.RecordLiveness, Facts: []ike.Field{{Key: "reason", Value: "alive"}}}
	request := func(change func(*sim.ExchangeRow)) sim.ExchangeRow {
		r := sim.ExchangeRow{
			At: time.Second, From: "gw-a", To: "gw-b", Connection: "to-b", Exchange: "INFORMATIONAL", MessageID: 2, FromInitiator: true,
			Arrived: true, ArrivedAt: 2 * time.Second,
		}
		change(&r)
		return r
	}
	response := func(change func(*sim.ExchangeRow)) sim.ExchangeRow {
		r := sim.ExchangeRow{
			At: 2 * time.Second, From: "gw-b", To: "gw-a", Connection: "to-a", Exchange: "INFORMATIONAL", MessageID: 2, Response: true,
			Arrived: true, ArrivedAt: 6 * time.Second,
		}
		change(&r)
		return r
	}
	nothing := func(*sim.ExchangeRow) {}
	for _, tc := range []struct {
		name string
		rows []sim.ExchangeRow
		hint string
	}{
		{"unknown", nil, ""},
		{"another connection's", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.Connection = "to-c" })}, ""},
		{"lost", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.Arrived, r.Lost, r.Reason = false, true, "loss" })}, "was lost on a link."},
		{"lost otherwise", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.Arrived, r.Lost, r.Reason = false, true, "queue" })}, "was lost (queue)."},
		{"never arrived", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.Arrived = false })}, "had not arrived at the end of the run."},
		{"late", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.ArrivedAt = 8 * time.Second })}, "took 7s to arrive."},
		{"discarded", []sim.ExchangeRow{request(func(r *sim.ExchangeRow) { r.Discarded = "checksum" })}, "arrived and was discarded: checksum."},
		{"not answered", []sim.ExchangeRow{request(nothing)}, "arrived and was never answered."},
		{"the response is lost", []sim.ExchangeRow{request(nothing), response(func(r *sim.ExchangeRow) { r.Lost, r.Reason = true, "loss" })}, "the response was lost on a link."},
		{"the response is late", []sim.ExchangeRow{request(nothing), response(nothing)}, "the response to the transmission before it came 5s after that was sent."},
		{"the response is discarded", []sim.ExchangeRow{request(nothing), response(func(r *sim.ExchangeRow) { r.Discarded = "checksum" })}, "was discarded: checksum."},
		{"the response is under way", []sim.ExchangeRow{request(nothing), response(func(r *sim.ExchangeRow) { r.Arrived = false })}, "still on its way at the end of the run."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := Compare(side("one", nil, sent, alive), side("two", tc.rows, sent, again, alive), Options{})
			d := r.SAs[0].Difference
			if d == nil || !d.Retransmission || len(d.Hints) == 0 || !strings.HasPrefix(d.Hints[0], "This is a retransmission.") {
				t.Fatalf("%+v", d)
			}
			switch {
			case tc.hint == "" && len(d.Hints) == 1:
			case tc.hint != "" && len(d.Hints) == 2 && strings.HasPrefix(d.Hints[1], "In two the ") && strings.HasSuffix(d.Hints[1], tc.hint):
			default:
				t.Errorf("hints %q, want %q", d.Hints, tc.hint)
			}
		})
	}
	// What differs otherwise is none.
	if d := Compare(side("one", nil, sent), side("two", nil, sent, alive), Options{}).SAs[0].Difference; d == nil || d.Retransmission || d.Hints != nil {
		t.Errorf("%+v", d)
	}
}
