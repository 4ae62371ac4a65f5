package sim

import (
	"encoding/json"
	"time"

	"github.com/ikelab/ikelab/sim/capture"
	"github.com/ikelab/ikelab/sim/trace"
)

// Result is what a run comes to, and the content of result.json. Times are
// nanoseconds since the lab's epoch, durations nanoseconds; slices keep the
// plan's order, or the order of events where the plan has none.
type Result struct {
	// Lab is the lab's name; Seed the seed that the run used, which is the
	// lab's own unless the command line gave another.
	Lab  string `json:"lab"`
	Seed uint64 `json:"seed"`
	// Until is when the run was to end, Ended when it did.
	Until time.Duration `json:"until_ns"`
	Ended time.Duration `json:"ended_ns"`
	// Interrupted says that a person or a signal ended the run early;
	// Stopped, when not empty, that the engine gave up and why (its event
	// budget, say). In both cases the figures are those up to Ended.
	Interrupted bool   `json:"interrupted"`
	Stopped     string `json:"stopped,omitempty"`
	// Events is the number of events that the engine carried out.
	Events uint64 `json:"events"`
	// Records is the number of trace records, Digest their SHA-256 in
	// hexadecimal, without a prefix.
	Records uint64 `json:"records"`
	Digest  string `json:"digest"`

	Flows       []FlowResult       `json:"flows"`
	Connections []ConnectionResult `json:"connections"`
	Nodes       []NodeResult       `json:"nodes"`
	Processes   []ProcessResult    `json:"processes,omitempty"`
	EventCounts []EventCount       `json:"event_counts"`
	// Failures are the negotiations that failed, in order of time, at most
	// failuresMax.
	Failures     []Failure           `json:"failures,omitempty"`
	Expectations []ExpectationResult `json:"expectations"`
	Invariants   []InvariantResult   `json:"invariants"`
	// Exchanges holds one row for every IKE message that was put on a wire,
	// in order of time, at most exchangeRowsMax; ExchangesOmitted counts the
	// ones beyond that.
	Exchanges        []ExchangeRow `json:"exchanges"`
	ExchangesOmitted uint64        `json:"exchanges_omitted,omitempty"`
	// Unreachable counts packets whose next hop nobody on the network has.
	Unreachable uint64 `json:"unreachable"`
	// HostTroubles are what the host that ran the lab lacked, so that packets may have
	// been lost which are in no other figure.
	HostTroubles []HostTrouble `json:"host_troubles,omitempty"`
	// IKEKeys and ESPKeys are those of all SAs there were, for Wireshark. They
	// are no part of result.json.
	IKEKeys []capture.IKEKeys `json:"-"`
	ESPKeys []capture.ESPKeys `json:"-"`
}

// FlowResult holds one flow's figures. For an echo flow (protocol icmp) a
// packet is received when its reply is back, and the delays are round trips.
type FlowResult struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol"`
	From     string `json:"from"`
	To       string `json:"to"`

	// Sent and Received count packets; a duplicate is not received twice.
	// Sent = Received + Lost + InFlight.
	Sent          uint64 `json:"sent"`
	Received      uint64 `json:"received"`
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	Lost          uint64 `json:"lost"`
	InFlight      uint64 `json:"in_flight"`
	// Held counts those of InFlight that a node holds for a tunnel.
	Held       uint64 `json:"held,omitempty"`
	Duplicated uint64 `json:"duplicated"`
	// Reordered counts arrivals behind a packet that was sent later (RFC
	// 4737, section 3).
	Reordered uint64 `json:"reordered"`

	// LongestGap is the longest silence at the receiver between the flow's
	// first packet and its end; LongestGapAt is when it began.
	LongestGap   time.Duration `json:"longest_gap_ns"`
	LongestGapAt time.Duration `json:"longest_gap_at_ns"`

	// HasDelay says that at least one packet arrived, without which the
	// delays mean nothing. The percentiles are exact to 1/128 of their value.
	HasDelay  bool          `json:"has_delay"`
	DelayMin  time.Duration `json:"delay_min_ns"`
	DelayMean time.Duration `json:"delay_mean_ns"`
	DelayP50  time.Duration `json:"delay_p50_ns"`
	DelayP99  time.Duration `json:"delay_p99_ns"`
	DelayMax  time.Duration `json:"delay_max_ns"`
}

// ConnectionResult is one connection as one of its two nodes saw it.
type ConnectionResult struct {
	Node string `json:"node"`
	Name string `json:"name"`
	// Established says that an IKE SA stands at the end; EstablishedAt is when
	// the first one was established, meaningful when EstablishedCount > 0.
	Established      bool          `json:"established"`
	EstablishedAt    time.Duration `json:"established_at_ns"`
	EstablishedCount uint64        `json:"established_count"`
	// Failed is the reason of the last failed negotiation ("NO_PROPOSAL_CHOSEN",
	// "AUTHENTICATION_FAILED", …), empty when none failed or the last one
	// succeeded. The whole story is in Result.Failures.
	Failed          string `json:"failed,omitempty"`
	FailedCount     uint64 `json:"failed_count"`
	Attempts        uint64 `json:"attempts"`
	Retransmissions uint64 `json:"retransmissions"`
	// NAT says that NAT detection found a translator, Encap that ESP travels
	// in UDP.
	NAT      bool          `json:"nat"`
	Encap    bool          `json:"encap"`
	Children []ChildResult `json:"children"`
}

// ChildResult is one child of a connection at one node, summed over the
// child's successive security associations.
type ChildResult struct {
	Name       string `json:"name"`
	Installed  bool   `json:"installed"`
	Installs   uint64 `json:"installs"`
	Failed     string `json:"failed,omitempty"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
}

// Failure is a negotiation that failed, as one node saw it.
type Failure struct {
	At   time.Duration `json:"at_ns"`
	Node string        `json:"node"`
	// Connection is empty when the node did not get to know which one it was.
	Connection string `json:"connection,omitempty"`
	// Child is empty when the IKE SA itself failed.
	Child string `json:"child,omitempty"`
	// Peer is the other end's node, or its address in brackets.
	Peer string `json:"peer,omitempty"`
	// Reason is a notify type's IANA name or one of package ike's reasons.
	Reason string `json:"reason"`
	// LocalProposals are this node's, RemoteProposals the peer's, each in order of
	// preference; they are present on both nodes' failures when either knew them
	// and the reason is about proposals.
	LocalProposals  []string `json:"local_proposals,omitempty"`
	RemoteProposals []string `json:"remote_proposals,omitempty"`
	// Fields are the record's further facts.
	Fields []trace.Field `json:"fields,omitempty"`
}

// MarshalJSON writes the failure in the manner of the rest of the result.
func (f Failure) MarshalJSON() ([]byte, error) {
	type fact struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	type plain Failure
	out := struct {
		plain
		Fields []fact `json:"fields,omitempty"`
	}{plain: plain(f)}
	for _, field := range f.Fields {
		out.Fields = append(out.Fields, fact(field))
	}
	return json.Marshal(out)
}

// NodeResult is what one node did besides its connections.
type NodeResult struct {
	Name           string `json:"name"`
	PacketsDropped uint64 `json:"packets_dropped"`
	// Drops breaks PacketsDropped down by reason, in order of name.
	Drops []DropCount `json:"drops,omitempty"`
}

// ProcessResult is what became of a process of the lab.
type ProcessResult struct {
	Name    string   `json:"name"`
	Node    string   `json:"node"`
	Command []string `json:"command"`
	// Started says that it has started, at StartedAt; Running that it had not exited
	// at the end. Duration is how long it ran, until the end if it is running.
	Started   bool          `json:"started"`
	StartedAt time.Duration `json:"started_at_ns"`
	Running   bool          `json:"running"`
	Duration  time.Duration `json:"duration_ns"`
	// Exited says that it is over or could not be started, of which Problem says
	// why; ExitStatus is meaningful then, and what a shell would say.
	Exited     bool   `json:"exited"`
	ExitStatus int    `json:"exit_status"`
	Problem    string `json:"problem,omitempty"`
	// Stopped says that the lab asked it to end, by stop or timeout, while it ran.
	Stopped bool `json:"stopped"`
	// Output and ErrorOutput are what it wrote, the middle left out where it is
	// longer than ProcessOutputBytesMax; OutputBytes and ErrorOutputBytes count all.
	Output           string `json:"output"`
	OutputBytes      uint64 `json:"output_bytes"`
	ErrorOutput      string `json:"error_output"`
	ErrorOutputBytes uint64 `json:"error_output_bytes"`
}

// DropCount is a number of packets dropped for one reason.
type DropCount struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// EventCount says how often an event happened at a node and when first and
// last; Connection is empty for events that belong to none.
type EventCount struct {
	Event      string        `json:"event"`
	Node       string        `json:"node"`
	Connection string        `json:"connection,omitempty"`
	Count      uint64        `json:"count"`
	FirstAt    time.Duration `json:"first_at_ns"`
	LastAt     time.Duration `json:"last_at_ns"`
}

// ExpectationResult is the verdict on one expect block.
type ExpectationResult struct {
	Name string `json:"name"`
	File string `json:"file"`
	Line int    `json:"line"`
	Mode string `json:"mode"` // "end", "always", "within" or "after"
	Pass bool   `json:"pass"`
	// Why says in one sentence why it failed; the operands of the condition
	// follow in Operands.
	Why      string          `json:"why,omitempty"`
	Operands []OperandResult `json:"operands,omitempty"`
	// At is when the verdict fell.
	At time.Duration `json:"at_ns"`
}

// OperandResult is one side of a condition: its text in the lab and the value
// it had.
type OperandResult struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

// InvariantResult is the verdict on one invariant. Checks counts what it had to
// judge, so that a pass over nothing can be told from a pass.
type InvariantResult struct {
	Name string `json:"name"`
	// Off says that the lab turned the invariant off; it then counts neither
	// as passed nor as failed.
	Off    bool          `json:"off"`
	Pass   bool          `json:"pass"`
	Why    string        `json:"why,omitempty"` // the first violation
	At     time.Duration `json:"at_ns"`         // when the first violation was seen
	Count  uint64        `json:"violations"`
	Checks uint64        `json:"checks"`
}

// ExchangeRow is one IKE message put on a wire: a rung of the ladder.
type ExchangeRow struct {
	// At is when From sent it; ArrivedAt when the first copy reached To's
	// wire end, meaningful when Arrived.
	At        time.Duration `json:"at_ns"`
	Arrived   bool          `json:"arrived"`
	ArrivedAt time.Duration `json:"arrived_at_ns"`
	// From and To are node names; To is the remote address in brackets when
	// no node of the lab has it.
	From string `json:"from"`
	To   string `json:"to"`
	// Connection is the sender's name for it, empty for a message that belongs
	// to none.
	Connection string `json:"connection,omitempty"`
	Exchange   string `json:"exchange"` // IANA name, e.g. "IKE_SA_INIT"
	MessageID  uint32 `json:"message_id"`
	Response   bool   `json:"response"`
	// FromInitiator says that the sender is the IKE SA's original initiator.
	FromInitiator bool `json:"from_initiator"`
	// Retransmission is 0 for the first transmission and then counts up.
	Retransmission int `json:"retransmission"`
	// Lost says that no copy arrived, Reason what dropped the message when the
	// run knows ("loss", "link-down", …).
	Lost   bool   `json:"lost"`
	Reason string `json:"reason,omitempty"`
	// Discarded says why To threw the message away that arrived, empty when it did
	// not.
	Discarded string `json:"discarded,omitempty"`
	// Label and Faults are for messages that a capture has and no node of ours
	// sent: what stands in place of exchange and message ID, and what is wrong.
	Label  string   `json:"-"`
	Faults []string `json:"-"`
	// Bytes is the length of the IKE message itself.
	Bytes int `json:"bytes"`
	// Payloads describes the message's payloads, those of the Encrypted
	// payload decrypted.
	Payloads []string `json:"payloads"`
}

// Passed counts what held: expectations, of how many, and invariants, of how
// many that are on.
func (r *Result) Passed() (expectations, expectationsAll, invariants, invariantsAll int) {
	for _, e := range r.Expectations {
		expectationsAll++
		if e.Pass {
			expectations++
		}
	}
	for _, i := range r.Invariants {
		if i.Off {
			continue
		}
		invariantsAll++
		if i.Pass {
			invariants++
		}
	}
	return expectations, expectationsAll, invariants, invariantsAll
}

// OK says that every expectation and every invariant that is on held in a run
// that came to its end.
func (r *Result) OK() bool {
	e, eAll, i, iAll := r.Passed()
	return !r.Interrupted && r.Stopped == "" && e == eAll && i == iAll
}
