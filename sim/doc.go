// Package sim is one run of a lab: what every engine shares.
//
// A Run turns a validated plan into node configurations, holds the lab's
// timeline (flows and steps), watches what nodes and links report, and at the
// end judges expectations and invariants and writes down a Result. It does no
// IO, owns no goroutine and reads no clock: an engine calls Step when the
// run's Deadline is due, hands every node output to Observe and every packet
// at a link's end to Transit, and carries out the Orders that come back.
//
// It is not an engine (those are sim/virtual and, later, sim/netns and
// sim/guest), and it is not a protocol: it looks at packets only to judge
// them.
//
// The way of what happens: Step takes what is due off the timeline and makes
// Orders of it; Observe takes what nodes answer, Transit, Dropped and Unreachable
// what becomes of packets. All of them write records (record.go), follow what
// expectations ask for (state.go, flow_meter.go) and tell the invariants
// (invariant_*.go), each of which judges by its own means: by the octets on the
// wire, where it can, and not by the code that it judges. Before Finish brings
// everything into a Result, the engine tells what packets are still under way
// (underway.go): what is neither there nor received is lost.
//
// A node may die and live again, and its interfaces may get other addresses (step.go,
// life.go): the run knows who lives, where, and with what configuration the next life
// begins, so that engines only carry out. Processes (process.go) are the engine's to
// run; it reports what became of them.
//
// What must stay true:
//
//   - The same plan, seed and order of calls give the same Orders, the same
//     trace and the same Result.
//   - Everything that is drawn at random comes from sim/seed by label; the run
//     itself draws nothing.
//   - Invariants are always on; a lab can turn one off by name and the result
//     then says so.
//   - Every table that grows with the run has a named bound.
package sim
