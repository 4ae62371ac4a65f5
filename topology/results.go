package topology

// Results are the measured values that expectations judge. Nodes, Connections, Flows
// and Processes are those of the plan, in the plan's order and number; the connections are
// those of the first node, then those of the second, and so on.
type Results struct {
	// Now is the instant of the judgement.
	Now         Dur
	Flows       []FlowResult
	Connections []ConnectionResult
	Nodes       []NodeResult
	Processes   []ProcessResult
	// Watches are in the order of Plan.Watches.
	Watches []WatchResult
}

// FlowResult is what was measured of a flow until now. For ProtocolICMP a packet is
// received when its reply is back, and delays are round trips.
type FlowResult struct {
	Sent, Received           uint64 // packets, duplicates not counted
	SentBytes, ReceivedBytes uint64 // of payload
	// Lost counts packets that will not arrive any more, as far as known.
	Lost, Duplicated, Reordered uint64
	// LongestGap is the longest silence at the receiver, from the flow's start to
	// its end or to now.
	LongestGap Dur
	// HasDelay says that a packet arrived; without one the delays mean nothing.
	HasDelay                                          bool
	DelayMin, DelayMean, DelayMax, DelayP50, DelayP99 Dur
}

// ConnectionResult is what one node saw of one of its connections until now.
type ConnectionResult struct {
	// Established says that an IKE SA stands now. EstablishedCount counts those
	// there were; EstablishedAt is when the first was established, if there was one.
	Established      bool
	EstablishedCount uint64
	EstablishedAt    Dur
	// Failed is the reason of the last failed negotiation in the words of IANA's
	// notify types or of ike's records ("AUTHENTICATION_FAILED"), empty when none
	// failed or the last one succeeded.
	Failed      string
	FailedCount uint64
	// Attempts counts negotiations begun by this node.
	Attempts, Retransmissions uint64
	// NAT says that NAT detection found a translator, Encap that ESP is in UDP.
	NAT, Encap bool
	// Children are the connection's, in the plan's order and number.
	Children []ChildResult
}

// ChildResult is what one node saw of one child until now, summed over its
// successive security associations.
type ChildResult struct {
	// Installed says that a CHILD_SA stands now; Installs counts those there were.
	Installed bool
	Installs  uint64
	// Failed is the reason of the last failed negotiation, empty as above.
	Failed                string
	PacketsIn, PacketsOut uint64
	BytesIn, BytesOut     uint64
}

// NodeResult is what one node did besides.
type NodeResult struct {
	// Dropped counts the packets that the node gave up.
	Dropped uint64
}

// WatchResult is what was seen of one selector of Plan.Watches until now.
type WatchResult struct {
	// Count is the number of matching events; At is when the Nth of them
	// happened, meaningful when Count is at least Nth.
	Count uint64
	At    Dur
}

// ProcessResult is what was seen of a process until now.
type ProcessResult struct {
	// Started says that it has started, at StartedAt; Running that it has not exited
	// since. Duration is how long it ran, or has run until now.
	Started, Running    bool
	StartedAt, Duration Dur
	// Exited says that it is over, or could not be started. ExitStatus is then what a
	// shell would say: 128 and the signal's number after a signal, 127 for a command
	// that does not exist and 126 for one that cannot be run.
	Exited     bool
	ExitStatus int
	// Output and ErrorOutput are what it wrote to standard output and standard error,
	// the middle left out where it was long.
	Output, ErrorOutput string
}
