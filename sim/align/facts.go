package align

import (
	"strconv"
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/sim"
)

// Fact is one thing that an event says.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Event is a protocol event as it is compared: everything but its instant.
type Event struct {
	At   time.Duration  `json:"at_ns"` // not compared
	Kind ike.RecordKind `json:"kind"`
	// Message is the message that the event is about, nil for none; Facts repeat what
	// it says.
	Message *ike.Exchange `json:"-"`
	Facts   []Fact        `json:"facts"`
	// ordinal is its place among all events of the run.
	ordinal int
}

// timed are the facts that hold a duration, which one engine measures otherwise
// than another.
var timed = map[ike.RecordKind]string{
	ike.RecordRetransmit: "next",
	ike.RecordGiveUp:     "after",
}

// silence begins the reason of a liveness check, and a duration follows.
const silence = "silent for "

// event makes an event comparable.
func event(e *sim.ProtocolEvent) Event {
	out := Event{At: e.At, Kind: e.Kind, Message: e.Message}
	if m := e.Message; m != nil {
		direction := "request"
		if m.Response {
			direction = "response"
		}
		sender := "responder"
		if m.Initiator {
			sender = "initiator"
		}
		out.Facts = append(out.Facts,
			Fact{"exchange", m.Type.String()}, Fact{"message-id", strconv.FormatUint(uint64(m.MessageID), 10)},
			Fact{"direction", direction}, Fact{"sender", sender},
			Fact{"retransmission", strconv.Itoa(m.Transmission)},
			Fact{"spi-i", m.SPIi.String()}, Fact{"spi-r", m.SPIr.String()},
			Fact{"protected", strconv.FormatBool(m.Protected)}, Fact{"payloads", strconv.Itoa(len(m.Payloads))})
		for i, p := range m.Payloads {
			out.Facts = append(out.Facts, Fact{"payload " + strconv.Itoa(i+1), p})
		}
	}
	for _, f := range e.Facts {
		if timed[e.Kind] == f.Key {
			continue
		}
		value := f.Value
		if e.Kind == ike.RecordLiveness && strings.HasPrefix(value, silence) {
			value = strings.TrimSpace(silence) + " a while"
		}
		out.Facts = append(out.Facts, Fact{f.Key, value})
	}
	return out
}

// FactDifference is a fact that two events disagree about; a side that does not
// say it at all has "".
type FactDifference struct {
	Name  string `json:"name"`
	Left  string `json:"left"`
	Right string `json:"right"`
}

// Disagreements are the facts in which two events of one kind differ, in their
// order.
func Disagreements(a, b *Event) []FactDifference {
	var out []FactDifference
	// Facts have a fixed order per kind, so where both have as many they pair up;
	// a name may occur twice.
	if len(a.Facts) == len(b.Facts) {
		paired := true
		for i := range a.Facts {
			paired = paired && a.Facts[i].Name == b.Facts[i].Name
		}
		if paired {
			for i, f := range a.Facts {
				if g := b.Facts[i]; f.Value != g.Value {
					out = append(out, FactDifference{f.Name, f.Value, g.Value})
				}
			}
			return out
		}
	}
	for _, f := range a.Facts {
		if v := b.fact(f.Name); v != f.Value {
			out = append(out, FactDifference{f.Name, f.Value, v})
		}
	}
	for _, f := range b.Facts {
		if a.fact(f.Name) == "" && f.Value != "" {
			out = append(out, FactDifference{f.Name, "", f.Value})
		}
	}
	if len(out) == 0 {
		// The same facts in another order, or one of them empty: still not the same.
		out = append(out, FactDifference{"number of facts", strconv.Itoa(len(a.Facts)), strconv.Itoa(len(b.Facts))})
	}
	return out
}

// fact is the first one of a name, "" for none.
func (e *Event) fact(name string) string {
	for _, f := range e.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// same says that two events are the same but for their instants.
func same(a, b *Event) bool {
	return a.Kind == b.Kind && len(Disagreements(a, b)) == 0
}

// Title says what an event is in a few words.
func (e *Event) Title() string {
	m := e.Message
	if m == nil {
		title := string(e.Kind)
		if c := e.fact("child"); c != "" {
			title += " " + c
		}
		if r := e.fact("reason"); r != "" {
			title += " (" + r + ")"
		}
		return title
	}
	message := m.Type.String() + " request "
	if m.Response {
		message = m.Type.String() + " response "
	}
	message += strconv.FormatUint(uint64(m.MessageID), 10)
	if m.Transmission > 0 {
		message += ", retransmission " + strconv.Itoa(m.Transmission)
	}
	return string(e.Kind) + " " + message
}

// repetition says that an event is one of those that only a message that was
// lost, or was late, brings about.
func (e *Event) repetition() bool {
	switch e.Kind {
	case ike.RecordRetransmit, ike.RecordResponseResent, ike.RecordGiveUp:
		return true
	}
	return e.Message != nil && e.Message.Transmission > 0
}
