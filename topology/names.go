package topology

import "slices"

// eventNames are the kinds of events that selectors know: those of ike's records, of
// node's events and of the run itself, in the order in which an error message lists them.
var eventNames = []string{
	"ike-init", "ike-retry", "ike-established", "ike-failed", "ike-deleted", "ike-expired",
	"child-installed", "child-failed", "child-deleted", "child-moved",
	"exchange-sent", "exchange-received", "retransmit", "retransmit-give-up", "response-resent",
	"message-dropped", "nat-detected", "liveness", "command-ignored",
	"packet-dropped", "policy-drop", "trap-acquire", "esp-in", "esp-out", "clear-out",
	"icmp-error", "interface-up", "interface-down", "address-changed",
	"node-killed", "node-started", "process-started", "process-exited",
}

// Events answers the names of the events that a Selector may name.
func Events() []string { return slices.Clone(eventNames) }

// invariantNames are the invariants that a lab may turn off.
var invariantNames = []string{
	"no-cleartext", "no-reuse", "no-replay", "no-orphan-sa",
	"identical-retransmission", "no-amplification",
}

// InvariantNames answers the names that Lab.InvariantsOff may hold.
func InvariantNames() []string { return slices.Clone(invariantNames) }
