// Package align answers whether two runs of a lab, in two engines say, had the
// same protocol events in the same order: for each IKE SA at each node, and for
// what a node reports outside any. Where they had not, it says which event is
// the first to differ and in what.
//
// It is not a judge of runs, which expectations and invariants are, and it draws
// nothing: sim/report shows what it answers. It reads sim.Protocol and, to say
// why something was repeated, the rows of the ladder.
//
// What is compared is what the protocol decided: which event, which exchange
// with which message ID, SPIs and payloads, who sent it and how often before;
// proposals, identities, selectors, SPIs and a fingerprint of the keys, ends,
// ports and encapsulation; every reason, and both sides' lists with it. What is
// not compared is time: instants, how long something took or will take, and
// packets of ESP, of which there are as many as there is time. The order between
// different IKE SAs is not compared either; no engine but the one in virtual
// time can promise it.
//
// Retransmissions are compared like everything else. Losses are keyed by what a
// packet is, so every engine loses the same messages and repeats the same ones.
// One that was repeated because the machine was too slow is a difference, and
// the answer says that it is one of this kind.
//
// What must stay true:
//
//   - The answer does not depend on how events of different IKE SAs are mixed.
//   - Two sequences agree if and only if they hold the same events in the same
//     order, but for a tail that the end of a run cut off, which is always told.
//   - Nothing is left out of the comparison without standing in facts.go.
package align
